"""Policies: the bytes that are signed, and what is read or refused as a policy."""

from __future__ import annotations

import functools
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
from tests.support import BASE_URL, KEY_GROUP, SIGNER, by

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


END = NOW + 60
LESS = f'"DateLessThan":{{"AWS:EpochTime":{END}}}'


def with_condition(form: str, value: str = "") -> bytes:
    """Wrap the inside of a Condition, or such a form and a value for it."""
    return f'{{"Statement":[{{"Resource":"*","Condition":{{{form.replace("...", value)}}}}}]}}'.encode()


with_end = functools.partial(with_condition, '"DateLessThan":{"AWS:EpochTime":...}')
with_start = functools.partial(with_condition, f'{LESS},"DateGreaterThan":{{"AWS:EpochTime":...}}')
with_address = functools.partial(with_condition, f'{LESS},"IpAddress":...')
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
# Of each error: what gets it.
NOT_POLICIES: dict[str, tuple[bytes, ...]] = {
    # not JSON
    "Expecting value": (b"undefined",),
    "Expecting property name": (GOOD.replace(b'"', b"'"),),
    "Expecting": (
        *(GOOD[:-1], with_end("0x10"), with_end(f"0{END}")),
        GOOD.replace(b'"Condition":{', b'"Condition":[').replace(b"}}}]}", b"}]}]}"),
    ),
    "Extra data": (GOOD + b"x", GOOD + b"}", GOOD + b"\0", GOOD * 2),
    "BOM": (b"\xef\xbb\xbf" + GOOD,),
    "can't decode|codec": (GOOD.decode().encode("utf-16"),),
    "can't decode": tuple(GOOD.replace(b"*", byte) for byte in (b"/\xff", b"/\xc0\xaf", b"/\xed\xa0\x80")),
    "control character": (with_resource('"/\n"'),),
    **{f"{name} is not JSON": (with_end(name),) for name in ("NaN", "Infinity", "-Infinity")},
    "5000 digits|4300": (with_end("1" * 5000),),
    "nested too deeply": (b"[" * 100_000, b'{"Statement":' * 100_000, b"[" * 100_000 + b"]" * 100_000),
    # the policy and its statement
    "the policy must be an object": (b"null", b"[]", b'"x"'),
    r"the policy must have \['Statement'\]": (b"{}",),
    f"the policy {NULL}": (b'{"Statement":null}',),
    STATEMENT: (
        *(b'{"Statement":{}}', GOOD.replace(b"[", b"").replace(b"]", b""), b'{"Statement":[]}'),
        *(b'{"Statement":[{},{}]}', b'{"Statement":[%b,%b]}' % ((GOOD[14:-2],) * 2)),
    ),
    "the statement must be an object": (b'{"Statement":[null]}', b'{"Statement":[[]]}'),
    r"the statement must have \['Condition'\]": (b'{"Statement":[{"Resource":"https://h/x"}]}',),
    r"nothing but \['Statement'\]": (b'{"statement":[]}', b'{"Version":"2012-10-17",' + GOOD[1:]),
    r"nothing but \['Condition', 'Resource'\]": (
        *(GOOD.replace(b'"Res', b'"Effect":"Allow","Res'), GOOD.replace(b"Resource", b"resource")),
    ),
    f"the statement {NULL}": (with_resource("null"),),
    f"Resource {STRING}": tuple(map(with_resource, ("1", "false", '["*"]'))),
    # the conditions
    r"Condition must have \['DateLessThan'\]": (
        *(with_condition(""), with_condition('"DateGreaterThan":{"AWS:EpochTime":1}')),
    ),
    "Condition must be an object": (b'{"Statement":[{"Condition":[]}]}',),
    "Condition must have .* nothing but": (with_condition(f'{LESS},"Bool":{{}}'),),
    f"Condition {NULL}": (
        *(with_condition('"DateLessThan":null'), with_condition(f'{LESS},"DateGreaterThan":null')),
        with_address("null"),
    ),
    "DateLessThan must be an object": (with_condition(f'"DateLessThan":{END}'),),
    r"DateLessThan must have \['AWS:EpochTime'\]": (
        *(with_condition('"DateLessThan":{}'), with_condition('"DateLessThan":{"aws:epochtime":1}')),
    ),
    r"nothing but \['AWS:EpochTime'\]": (with_condition('"DateLessThan":{"AWS:EpochTime":1,"x":2}'),),
    "DateGreaterThan must be an object": (with_condition(f'{LESS},"DateGreaterThan":[]'),),
    f"DateLessThan {NULL}": (with_end("null"),),
    f"DateLessThan {WHOLE}": tuple(
        map(with_end, ("true", f"{END}.0", "1.8e9", "1e999", "1e400", f'"{END}"', f"[{END}]"))
    ),
    f"DateGreaterThan {WHOLE}": tuple(map(with_start, ('"1"', "false"))),
    "IpAddress must be an object": (with_address('"203.0.113.7"'),),
    r"IpAddress must have \['AWS:SourceIp'\]": (with_address("{}"),),
    f"IpAddress {NULL}": (with_address('{"AWS:SourceIp":null}'),),
    f"AWS:SourceIp {STRING}": (
        *(with_address('{"AWS:SourceIp":3405803783}'), with_address('{"AWS:SourceIp":["203.0.113.7"]}')),
    ),
    "IPv4 address or CIDR": tuple(
        with_address(f'{{"AWS:SourceIp":"{value}"}}') for value in ("::1", "2001:db8::/32", "localhost")
    ),
    RANGE: (
        *(with_resource(f'"{text}"') for text in ("", "h/ x", "h/\\n", "h/\\u0022", "h/\\ud800", "h/é")),
        *(with_end(value) for value in ("1" * 4000, "-1", str(MAX_EPOCH + 1), f"{END}000")),
        *(with_start(f"{NOW}000"), with_resource('""')),
    ),
    # a name twice: two readers could pick two values
    TWICE: (
        *(with_condition(f"{LESS},{LESS}"), with_condition('"DateLessThan":{"AWS:EpochTime":1,"AWS:EpochTime":2}')),
        GOOD.replace(b'"Res', b'"Resource":"https://h/y","Res'),
        *(GOOD.replace(b'"Res', b'"\\u0052esource":"https://h/y","Res'), GOOD[:-1] + b"," + GOOD[1:]),
    ),
}


@pytest.mark.parametrize(("data", "message"), by(NOT_POLICIES), ids=lambda value: repr(value[:60]))
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
