"""Policies: the bytes that are signed, and what is read or refused as a policy."""

from __future__ import annotations

import ipaddress
import json
from datetime import UTC, datetime
from fractions import Fraction
from http import HTTPStatus
from typing import Any

import pytest
from botocore.signers import CloudFrontSigner
from hypothesis import given
from hypothesis import strategies as st

from cfgate_middleware import ConfigError
from cfgate_middleware._core.policy import MAX_EPOCH, CustomPolicy, canned_policy
from cfgate_middleware.verify import MalformedPolicy, verify_url
from tests.conftest import NOW
from tests.signed import items, with_items
from tests.support import BASE_URL, KEY_GROUP, SIGNER

URL = "https://d111111abcdef8.cloudfront.net/a%20b.pdf"

resources = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"\\<>#'), min_size=1).map(
    lambda text: f"https://h/{text}"
)
epochs = st.integers(0, MAX_EPOCH)
networks = st.ip_addresses(v=4, network="0.0.0.0/0").flatmap(
    lambda address: st.integers(0, 32).map(lambda length: str(ipaddress.ip_network(f"{address}/{length}", False)))
)
optional_addresses = st.none() | networks | st.ip_addresses(v=4).map(str)
custom_policies = st.builds(
    CustomPolicy, resource=resources, end=epochs, start=st.none() | epochs, ip_address=optional_addresses
)


def botocore_policy(resource: str, end: int, start: int | None = None, ip_address: str | None = None) -> bytes:
    """Let botocore write the policy."""
    times = [None if time is None else datetime.fromtimestamp(time, UTC) for time in (end, start)]
    policy: str = CloudFrontSigner("K", None).build_policy(resource, *times, ip_address)
    return policy.encode()


# Writing


def test_canned_policy_is_the_documented_literal() -> None:
    """The bytes are those the guide prints, with nothing but URL and time filled in."""
    assert canned_policy(URL, NOW) == (
        b'{"Statement":[{"Resource":"https://d111111abcdef8.cloudfront.net/a%20b.pdf",'
        b'"Condition":{"DateLessThan":{"AWS:EpochTime":1800000000}}}]}'
    )


def test_custom_policy_has_its_conditions_in_one_order() -> None:
    """End, address, start; a single address is written as a CIDR."""
    policy = CustomPolicy(resource="https://h/*", end=NOW, start=1, ip_address="203.0.113.7")
    assert policy.to_bytes() == (
        b'{"Statement":[{"Resource":"https://h/*","Condition":{"DateLessThan":{"AWS:EpochTime":1800000000},'
        b'"IpAddress":{"AWS:SourceIp":"203.0.113.7/32"},"DateGreaterThan":{"AWS:EpochTime":1}}}]}'
    )


@given(resources, epochs, st.none() | epochs, optional_addresses)
def test_policies_equal_botocores(resource: str, end: int, start: int | None, ip_address: str | None) -> None:
    """AWS's own signer writes the same bytes, canned and for every combination of conditions."""
    policy = CustomPolicy(resource=resource, end=end, start=start, ip_address=ip_address)
    assert policy.to_bytes() == botocore_policy(resource, end, start, ip_address)
    assert canned_policy(resource, end) == botocore_policy(resource, end)


@given(custom_policies)
def test_a_policy_is_json_that_says_what_it_was_given(policy: CustomPolicy) -> None:
    """A JSON reader finds each field where it belongs, so nothing in a URL can add or move one; ours reads it back."""
    condition: dict[str, Any] = {"DateLessThan": {"AWS:EpochTime": policy.end}}
    if policy.ip_address is not None:
        condition["IpAddress"] = {"AWS:SourceIp": policy.ip_address}
    if policy.start is not None:
        condition["DateGreaterThan"] = {"AWS:EpochTime": policy.start}
    assert json.loads(policy.to_bytes()) == {"Statement": [{"Resource": policy.resource, "Condition": condition}]}
    assert CustomPolicy.parse(policy.to_bytes()) == policy


@given(resources, epochs)
def test_canned_bytes_are_a_custom_policy_too(resource: str, end: int) -> None:
    """Why no star is signed: a canned signature also covers the same text sent as a custom policy."""
    assert CustomPolicy.parse(canned_policy(resource, end)) == CustomPolicy(resource=resource, end=end)


# Fields

REWRITING = ['"', "\\", "<", ">", "#"]
NOT_PRINTABLE = [*map(chr, range(33)), *map(chr, range(127, 161)), "é", "\u2028", "\ud800", "\U0001f600"]
INJECTION = 'https://h/x","Condition":{"DateLessThan":{"AWS:EpochTime":9223372036}}},{"Resource":"https://h/y'


@pytest.mark.parametrize(
    "resource",
    [
        *(text.format(char) for char in REWRITING + NOT_PRINTABLE for text in ("https://h/{}x", "{}https://h", "h/{}")),
        *("", None, b"https://h/x", 1, ["https://h/x"], INJECTION),
    ],
)
def test_no_custom_policy_takes_a_resource_that_could_rewrite_it(resource: Any) -> None:
    """Quotes, backslashes, controls, spaces, non-ASCII, and what is not text, are refused wherever they occur."""
    with pytest.raises(ConfigError, match="resource .*printable ASCII"):
        CustomPolicy(resource=resource, end=NOW)


NOT_EPOCHS = [True, False, 1.0, float("nan"), "1800000000", -1, MAX_EPOCH + 1, NOW * 1000, 10**5000, HTTPStatus.OK]


@pytest.mark.parametrize("value", [*NOT_EPOCHS, Fraction(NOW), datetime.fromtimestamp(NOW, UTC)], ids=type)
@pytest.mark.parametrize("field", ["end", "start"])
def test_times_are_whole_seconds_in_range(field: str, value: Any) -> None:
    """Booleans, floats, text, negative times and milliseconds are refused, and the field is named."""
    fields: dict[str, Any] = {"end": NOW, field: value}
    with pytest.raises(ConfigError, match=f"^{field}=.*: expected whole epoch seconds from 0 to {MAX_EPOCH}"):
        CustomPolicy(resource=URL, **fields)


# Reading


END = NOW + 60
LESS = f'"DateLessThan":{{"AWS:EpochTime":{END}}}'


def with_condition(condition: str) -> bytes:
    """Wrap the inside of a Condition."""
    return f'{{"Statement":[{{"Resource":"*","Condition":{{{condition}}}}}]}}'.encode()


def with_end(value: str) -> bytes:
    """Wrap the value of a DateLessThan's EpochTime."""
    return with_condition(f'"DateLessThan":{{"AWS:EpochTime":{value}}}')


def with_start(value: str) -> bytes:
    """Wrap the value of a DateGreaterThan's EpochTime."""
    return with_condition(f'{LESS},"DateGreaterThan":{{"AWS:EpochTime":{value}}}')


def with_address(value: str) -> bytes:
    """Wrap the value of an IpAddress."""
    return with_condition(f'{LESS},"IpAddress":{value}')


GOOD = with_condition(LESS)


def with_resource(value: str) -> bytes:
    """Replace the resource of a good policy."""
    return GOOD.replace(b'"*"', value.encode())


def read(data: bytes) -> CustomPolicy:
    """Return how CloudFront's side reads ``data``, well signed, in a URL."""
    target = with_items("/x", items(SIGNER, data))
    verified = verify_url(target, base_url=BASE_URL, key_group=KEY_GROUP, now=NOW, viewer_address="203.0.113.7")
    return verified.policy


@pytest.mark.parametrize(
    ("data", "policy"),
    [
        # only meaning is read: other writers' line breaks and member order make no difference
        (
            b'{ "Statement" :\r\n [ { "Condition" : { "DateGreaterThan": {"AWS:EpochTime": 1},\n\t"IpAddress": '
            b'{"AWS:SourceIp": "203.0.113.7"}, "DateLessThan" : { "AWS:EpochTime" : 1800000060 } },\t'
            b'"Resource" : "https:\\/\\/cdn.example.com\\u002fx" } ] }\n',
            CustomPolicy(resource=f"{BASE_URL}/x", end=END, start=1, ip_address="203.0.113.7/32"),
        ),
        # the guide says that no resource is every resource, and it is read as what it grants
        (b'{"Statement":[{"Condition":{%b}}]}' % LESS.encode(), CustomPolicy(resource="*", end=END)),
        (with_end(str(MAX_EPOCH)), CustomPolicy(resource="*", end=MAX_EPOCH)),
        (with_start("0"), CustomPolicy(resource="*", end=END, start=0)),
        (with_address('{"AWS:SourceIp":"0.0.0.0/0"}'), CustomPolicy(resource="*", end=END, ip_address="0.0.0.0/0")),
    ],
)
def test_white_space_and_order_are_free(data: bytes, policy: CustomPolicy) -> None:
    """What counts is the bytes that were signed, and what they say."""
    assert read(data) == policy


STATEMENT, RANGE, WHOLE = "Statement must be an array of exactly one", "out of range", "must be whole epoch seconds"
TWICE, NULL, STRING = "a name occurs twice", "holds a null", "must be a string"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        # not JSON
        (b"undefined", "Expecting value"),
        (GOOD + b"x", "Extra data"),
        (GOOD + b"}", "Extra data"),
        (GOOD + b"\0", "Extra data"),
        (GOOD * 2, "Extra data"),
        (GOOD[:-1], "Expecting"),
        (GOOD.replace(b'"', b"'"), "Expecting property name"),
        (b"\xef\xbb\xbf" + GOOD, "BOM"),
        (GOOD.decode().encode("utf-16"), "can't decode|codec"),
        (with_resource('"/\\xff"').replace(b"\\xff", b"\xff"), "can't decode"),
        (with_resource('"/\\xff"').replace(b"\\xff", b"\xc0\xaf"), "can't decode"),
        (with_resource('"/\\xff"').replace(b"\\xff", b"\xed\xa0\x80"), "can't decode"),
        (with_resource('"/\n"'), "control character"),
        (with_end("NaN"), "NaN is not JSON"),
        (with_end("Infinity"), "Infinity is not JSON"),
        (with_end("-Infinity"), "-Infinity is not JSON"),
        (with_end("0x10"), "Expecting"),
        (with_end(f"0{END}"), "Expecting"),
        (with_end("1" * 5000), "5000 digits|4300"),
        (with_end("1" * 4000), RANGE),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"Statement":' * 100_000, "nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        # the policy and its statement
        (b"null", "the policy must be an object"),
        (b"[]", "the policy must be an object"),
        (b'"x"', "the policy must be an object"),
        (b"{}", r"the policy must have \['Statement'\]"),
        (b'{"Statement":null}', f"the policy {NULL}"),
        (b'{"Statement":{}}', STATEMENT),
        (GOOD.replace(b"[", b"").replace(b"]", b""), STATEMENT),
        (b'{"Statement":[]}', STATEMENT),
        (b'{"Statement":[{},{}]}', STATEMENT),
        (b'{"Statement":[%b,%b]}' % ((GOOD[14:-2],) * 2), STATEMENT),
        (b'{"Statement":[null]}', "the statement must be an object"),
        (b'{"Statement":[[]]}', "the statement must be an object"),
        (b'{"Statement":[{"Resource":"https://h/x"}]}', r"the statement must have \['Condition'\]"),
        (b'{"statement":[]}', r"nothing but \['Statement'\]"),
        (b'{"Version":"2012-10-17",' + GOOD[1:], r"nothing but \['Statement'\]"),
        (GOOD.replace(b'"Res', b'"Effect":"Allow","Res'), r"nothing but \['Condition', 'Resource'\]"),
        (GOOD.replace(b"Resource", b"resource"), r"nothing but \['Condition', 'Resource'\]"),
        # the resource
        (with_resource("null"), f"the statement {NULL}"),
        (with_resource("1"), f"Resource {STRING}"),
        (with_resource("false"), f"Resource {STRING}"),
        (with_resource('["*"]'), f"Resource {STRING}"),
        (with_resource('""'), RANGE),
        (with_resource('"https://h/ x"'), RANGE),
        (with_resource('"https://h/\\n"'), RANGE),
        (with_resource('"https://h/\\u0022"'), RANGE),
        (with_resource('"https://h/\\ud800"'), RANGE),
        (with_resource('"https://h/é"'), RANGE),
        # the conditions
        (with_condition(""), r"Condition must have \['DateLessThan'\]"),
        (with_condition('"DateGreaterThan":{"AWS:EpochTime":1}'), r"Condition must have \['DateLessThan'\]"),
        (GOOD.replace(b'"Condition":{', b'"Condition":[').replace(b"}}}]}", b"}]}]}"), "Expecting"),
        (b'{"Statement":[{"Condition":[]}]}', "Condition must be an object"),
        (with_condition(f'{LESS},"Bool":{{}}'), "Condition must have .* nothing but"),
        (with_condition('"DateLessThan":null'), f"Condition {NULL}"),
        (with_condition(f'{LESS},"DateGreaterThan":null'), f"Condition {NULL}"),
        (with_address("null"), f"Condition {NULL}"),
        (with_condition(f'"DateLessThan":{END}'), "DateLessThan must be an object"),
        (with_condition('"DateLessThan":{}'), r"DateLessThan must have \['AWS:EpochTime'\]"),
        (with_condition('"DateLessThan":{"AWS:EpochTime":1,"x":2}'), r"nothing but \['AWS:EpochTime'\]"),
        (with_condition('"DateLessThan":{"aws:epochtime":1}'), r"DateLessThan must have \['AWS:EpochTime'\]"),
        (with_condition(f'{LESS},"DateGreaterThan":[]'), "DateGreaterThan must be an object"),
        (with_end("null"), f"DateLessThan {NULL}"),
        *((with_end(value), f"DateLessThan {WHOLE}") for value in ("true", f"{END}.0", "1.8e9", "1e999", "1e400")),
        *((with_end(value), f"DateLessThan {WHOLE}") for value in (f'"{END}"', f"[{END}]")),
        *((with_start(value), f"DateGreaterThan {WHOLE}") for value in ('"1"', "false")),
        (with_end("-1"), RANGE),
        (with_end(str(MAX_EPOCH + 1)), RANGE),
        (with_end(f"{END}000"), RANGE),
        (with_start(f"{NOW}000"), RANGE),
        (with_address('"203.0.113.7"'), "IpAddress must be an object"),
        (with_address("{}"), r"IpAddress must have \['AWS:SourceIp'\]"),
        (with_address('{"AWS:SourceIp":null}'), f"IpAddress {NULL}"),
        (with_address('{"AWS:SourceIp":3405803783}'), f"AWS:SourceIp {STRING}"),
        (with_address('{"AWS:SourceIp":["203.0.113.7"]}'), f"AWS:SourceIp {STRING}"),
        *(
            (with_address(f'{{"AWS:SourceIp":"{value}"}}'), "IPv4 address or CIDR")
            for value in ("::1", "2001:db8::/32", "localhost")
        ),
        # a name twice: two readers could pick two values
        (with_condition(f"{LESS},{LESS}"), TWICE),
        (with_condition('"DateLessThan":{"AWS:EpochTime":1,"AWS:EpochTime":2}'), TWICE),
        (GOOD.replace(b'"Res', b'"Resource":"https://h/y","Res'), TWICE),
        (GOOD.replace(b'"Res', b'"\\u0052esource":"https://h/y","Res'), TWICE),
        (GOOD[:-1] + b"," + GOOD[1:], TWICE),
    ],
    ids=lambda value: repr(value[:60]),
)
def test_anything_else_is_not_a_policy(data: bytes, message: str) -> None:
    """However well it is signed, nothing is read that is not documented; the reason helps and quotes no resource."""
    with pytest.raises(MalformedPolicy, match=message) as caught:
        read(data)
    assert "https" not in str(caught.value)


NAMES = ["Statement", "Resource", "Condition", "DateLessThan", "AWS:EpochTime", "IpAddress", "AWS:SourceIp", "x"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
)


@given(json_values.map(lambda value: json.dumps(value).encode()) | st.binary())
def test_reading_any_bytes_gives_a_policy_or_a_value_error(data: bytes) -> None:
    """No input makes the reader fail in another way, and what it accepts can be written again."""
    try:
        policy = CustomPolicy.parse(data)
    except ValueError:
        return
    assert CustomPolicy.parse(policy.to_bytes()) == policy


@given(custom_policies, st.data())
def test_a_damaged_policy_is_refused_or_says_something_else(policy: CustomPolicy, data: st.DataObject) -> None:
    """One exchanged byte never leaves a policy that reads as before."""
    written = policy.to_bytes()
    at = data.draw(st.integers(0, len(written) - 1))
    byte = data.draw(st.sampled_from(b'0a"{}[]:,\\*\xff'))
    damaged = written[:at] + bytes([byte]) + written[at + 1 :]
    try:
        parsed = CustomPolicy.parse(damaged)
    except ValueError:
        return
    assert (parsed == policy) == (damaged == written)
