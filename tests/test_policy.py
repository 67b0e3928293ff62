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

from cfgate_middleware.errors import ConfigError
from cfgate_middleware._core.policy import MAX_EPOCH, CannedPolicy, CustomPolicy, canned_policy, ipv4_network
from tests.conftest import NOW

URL = "https://d111111abcdef8.cloudfront.net/a%20b.pdf"
NOT_PRINTABLE = [*map(chr, range(33)), *map(chr, range(127, 161)), "é", "\u2028", "\ud800", "\U0001f600"]
REWRITING = ['"', "\\", "<", ">", "#"]
NO_EPOCHS = [
    True,
    False,
    None,
    1.0,
    float("nan"),
    "1800000000",
    -1,
    MAX_EPOCH + 1,
    NOW * 1000,
    10**5000,
    HTTPStatus.OK,
    Fraction(NOW),
    datetime.fromtimestamp(NOW, UTC),
]

resources = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"\\<>#'), min_size=1).map(
    lambda text: f"https://h/{text}"
)
epochs = st.integers(0, MAX_EPOCH)
networks = st.ip_addresses(v=4, network="0.0.0.0/0").flatmap(
    lambda address: st.integers(0, 32).map(lambda length: str(ipaddress.ip_network(f"{address}/{length}", False)))
)
addresses = st.ip_addresses(v=4).map(str)
custom_policies = st.builds(
    CustomPolicy,
    resource=resources,
    end=epochs,
    start=st.none() | epochs,
    ip_address=st.none() | networks | addresses,
)


def botocore_policy(resource: str, end: int, start: int | None = None, ip_address: str | None = None) -> bytes:
    """Let botocore write the policy."""
    policy: str = CloudFrontSigner("K", None).build_policy(
        resource,
        datetime.fromtimestamp(end, UTC),
        None if start is None else datetime.fromtimestamp(start, UTC),
        ip_address,
    )
    return policy.encode()


# Writing


def test_canned_policy_is_the_documented_literal() -> None:
    """The bytes are those the guide prints, with nothing but URL and time filled in."""
    wanted = (
        b'{"Statement":[{"Resource":"https://d111111abcdef8.cloudfront.net/a%20b.pdf",'
        b'"Condition":{"DateLessThan":{"AWS:EpochTime":1800000000}}}]}'
    )
    assert CannedPolicy(URL, NOW).to_bytes() == canned_policy(URL, NOW) == wanted


def test_custom_policy_has_its_conditions_in_one_order() -> None:
    """End, address, start; a single address is written as a CIDR."""
    policy = CustomPolicy(resource="https://h/*", end=NOW, start=1, ip_address="203.0.113.7")
    assert policy.to_bytes() == (
        b'{"Statement":[{"Resource":"https://h/*","Condition":{"DateLessThan":{"AWS:EpochTime":1800000000},'
        b'"IpAddress":{"AWS:SourceIp":"203.0.113.7/32"},"DateGreaterThan":{"AWS:EpochTime":1}}}]}'
    )


@given(resources.filter(lambda resource: "*" not in resource), epochs)
def test_canned_policy_equals_botocores(resource: str, end: int) -> None:
    """AWS's own signer writes the same bytes."""
    assert CannedPolicy(resource, end).to_bytes() == botocore_policy(resource, end)


@given(resources, epochs, st.none() | epochs, st.none() | networks | addresses)
def test_custom_policy_equals_botocores(resource: str, end: int, start: int | None, ip_address: str | None) -> None:
    """AWS's own signer writes the same bytes for every combination of conditions."""
    policy = CustomPolicy(resource=resource, end=end, start=start, ip_address=ip_address)
    assert policy.to_bytes() == botocore_policy(resource, end, start, ip_address)


@given(custom_policies)
def test_a_policy_is_json_that_says_what_it_was_given(policy: CustomPolicy) -> None:
    """A JSON reader finds each field where it belongs, so nothing in a URL can add or move one."""
    ((statement,),) = json.loads(policy.to_bytes()).values()
    assert statement.pop("Resource") == policy.resource
    condition = statement.pop("Condition")
    assert condition.pop("DateLessThan") == {"AWS:EpochTime": policy.end}
    assert condition.pop("DateGreaterThan", None) == (None if policy.start is None else {"AWS:EpochTime": policy.start})
    assert condition.pop("IpAddress", None) == (
        None if policy.ip_address is None else {"AWS:SourceIp": policy.ip_address}
    )
    assert not statement
    assert not condition


@given(custom_policies)
def test_a_custom_policy_reads_back(policy: CustomPolicy) -> None:
    """What is written is read as the same policy."""
    assert CustomPolicy.parse(policy.to_bytes()) == policy


@given(resources.filter(lambda resource: "*" not in resource), epochs)
def test_canned_bytes_are_a_custom_policy_too(resource: str, end: int) -> None:
    """The reason for refusing a star: a canned signature also covers the same text sent as a custom policy."""
    assert CustomPolicy.parse(CannedPolicy(resource, end).to_bytes()) == CustomPolicy(resource=resource, end=end)


# Fields


@pytest.mark.parametrize("resource", ["https://h/*", "https://h/a?b=*", "*"])
def test_canned_policy_has_no_wildcards(resource: str) -> None:
    """A star in a canned policy could be replayed as a wildcard grant."""
    with pytest.raises(ConfigError, match=r"a canned policy has no wildcards; spell '\*' as %2A"):
        CannedPolicy(resource, NOW)


@pytest.mark.parametrize("char", [*REWRITING, *NOT_PRINTABLE])
def test_no_policy_takes_a_character_that_could_rewrite_it(char: str) -> None:
    """Quotes, backslashes, controls, spaces and non-ASCII are refused wherever they stand."""
    for resource in (f"https://h/{char}x", f"{char}https://h/x", f"https://h/x{char}"):
        with pytest.raises(ConfigError, match="expected a URL in printable ASCII"):
            CannedPolicy(resource, NOW)
        with pytest.raises(ConfigError, match="expected a URL in printable ASCII"):
            CustomPolicy(resource=resource, end=NOW)


@pytest.mark.parametrize("resource", ["", None, b"https://h/x", 1, ["https://h/x"]])
def test_a_resource_is_text(resource: Any) -> None:
    """Nothing but a non-empty str is a resource."""
    with pytest.raises(ConfigError, match="expected a URL in printable ASCII"):
        CannedPolicy(resource, NOW)


def test_a_path_cannot_inject_a_second_resource() -> None:
    """The textbook injection, a quote that closes the string, never becomes a policy."""
    path = 'x","Condition":{"DateLessThan":{"AWS:EpochTime":9223372036}}},{"Resource":"https://h/y'
    with pytest.raises(ConfigError, match="percent-encode everything else first"):
        CannedPolicy(f"https://h/{path}", NOW)


@pytest.mark.parametrize("value", NO_EPOCHS, ids=lambda value: type(value).__name__)
def test_times_are_whole_seconds_in_range(value: Any) -> None:
    """Booleans, floats, text, negative times and milliseconds are refused, and the field is named."""
    expected = f"expected whole epoch seconds from 0 to {MAX_EPOCH}"
    with pytest.raises(ConfigError, match=f"^end=.*: {expected}"):
        CannedPolicy(URL, value)
    with pytest.raises(ConfigError, match=f"^end=.*: {expected}"):
        CustomPolicy(resource=URL, end=value)
    if value is not None:
        with pytest.raises(ConfigError, match=f"^start=.*: {expected}"):
            CustomPolicy(resource=URL, end=NOW, start=value)


@pytest.mark.parametrize("end", [0, MAX_EPOCH])
def test_the_first_and_the_last_second_can_be_written(end: int) -> None:
    """The range includes both its ends."""
    assert CustomPolicy.parse(CannedPolicy(URL, end).to_bytes()).end == end


@pytest.mark.parametrize(
    ("value", "network"),
    [
        ("203.0.113.7", "203.0.113.7/32"),
        ("203.0.113.7/24", "203.0.113.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("255.255.255.255", "255.255.255.255/32"),
    ],
)
def test_addresses_are_written_as_cidr(value: str, network: str) -> None:
    """A single address gets /32, and host bits are dropped."""
    assert ipv4_network(value) == network


@pytest.mark.parametrize(
    "value",
    [
        "",
        "::1",
        "::ffff:203.0.113.7",
        "2001:db8::/32",
        "203.0.113.7/33",
        "203.0.113.7/-1",
        "203.0.113.7/",
        "203.0.113.7/08",
        "203.0.113.7/024",
        "203.0.113.7/2\u0664",
        "203.0.113.7/0.0.0.0",
        "203.0.113.7/255.255.255.0",
        "203.0.113.7/0.0.0.255",
        "203.0.113",
        "203.0.113.07",
        "203.0.113.256",
        " 203.0.113.7",
        "203.0.113.7\n",
        "203.0.113.7, 10.0.0.1",
        "203.0.113.7:8080",
        "localhost",
        '203.0.113.7"',
        3405803783,
        b"\xcb\x00\x71\x07",
        ("203.0.113.7", 24),
        ipaddress.IPv4Address("203.0.113.7"),
        None,
    ],
)
def test_other_addresses_are_refused(value: object) -> None:
    """IPv6, netmasks, ports, lists, padding and other types are errors that show an example."""
    with pytest.raises(ConfigError, match=r"(?s)^ip_address=.*such as '203\.0\.113\.7' or '203\.0\.113\.0/24'"):
        ipv4_network(value)


def test_a_custom_policy_checks_its_address() -> None:
    """An address that cannot be signed never gets into a policy."""
    with pytest.raises(ConfigError, match="CloudFront policies have no IPv6"):
        CustomPolicy(resource=URL, end=NOW, ip_address="::1")


# Reading


END = '"DateLessThan":{"AWS:EpochTime":1800000000}'


def with_condition(condition: str) -> bytes:
    """Wrap the inside of a Condition."""
    return f'{{"Statement":[{{"Resource":"https://h/x","Condition":{{{condition}}}}}]}}'.encode()


def with_end(value: str) -> bytes:
    """Wrap the value of a DateLessThan's EpochTime."""
    return with_condition(f'"DateLessThan":{{"AWS:EpochTime":{value}}}')


def test_white_space_and_order_are_free() -> None:
    """Only meaning is read: other writers' line breaks and member order make no difference."""
    text = """
    { "Statement" : [ { "Condition" : {
        "DateGreaterThan": {"AWS:EpochTime": 1}, "IpAddress": {"AWS:SourceIp": "203.0.113.7"},
        "DateLessThan" : { "AWS:EpochTime" : 1800000000 } },\t
        "Resource" : "https:\\/\\/h\\u002fx" } ] }
    """
    assert CustomPolicy.parse(text.replace("\n", "\r\n").encode()) == CustomPolicy(
        resource="https://h/x", end=NOW, start=1, ip_address="203.0.113.7/32"
    )


def test_no_resource_means_every_resource() -> None:
    """The guide says so, and it is read as what it grants."""
    policy = CustomPolicy.parse(f'{{"Statement":[{{"Condition":{{{END}}}}}]}}'.encode())
    assert policy == CustomPolicy(resource="*", end=NOW)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        # no JSON at all
        (b"", "Expecting value"),
        (b"undefined", "Expecting value"),
        (with_condition(END) + b"x", "Extra data"),
        (with_condition(END) * 2, "Extra data"),
        (with_condition(END)[:-1], "Expecting"),
        (with_condition(END).replace(b'"', b"'"), "Expecting property name"),
        (b"\xef\xbb\xbf" + with_condition(END), "BOM"),
        (with_condition(END).decode().encode("utf-16"), "can't decode|codec"),
        (with_condition(END).replace(b"/x", b"/\xff"), "can't decode"),
        (with_condition(END).replace(b"/x", b"/\xc0\xaf"), "can't decode"),
        (with_condition(END).replace(b"/x", b"/\xed\xa0\x80"), "can't decode"),
        (with_condition(END).replace(b"/x", b"/\n"), "control character"),
        (with_end("NaN"), "NaN is no JSON"),
        (with_end("Infinity"), "Infinity is no JSON"),
        (with_end("-Infinity"), "-Infinity is no JSON"),
        (with_end("0x10"), "Expecting"),
        (with_end("1" * 5000), "5000 digits|4300"),
        (with_end("1" * 4000), r"end=1{113}\.\.\.: expected whole epoch seconds|end=.*: expected whole"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"Statement":' * 100_000, "nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        # the policy and its statement
        (b"null", "the policy must be an object"),
        (b"[]", "the policy must be an object"),
        (b'"x"', "the policy must be an object"),
        (b"{}", r"the policy must have \['Statement'\]"),
        (b'{"Statement":null}', "the policy holds a null"),
        (b'{"Statement":{}}', "Statement must be an array of exactly one statement"),
        (b'{"Statement":[]}', "Statement must be an array of exactly one statement"),
        (b'{"Statement":[{},{}]}', "Statement must be an array of exactly one statement"),
        (b'{"Statement":[null]}', "the statement must be an object"),
        (b'{"Statement":[[]]}', "the statement must be an object"),
        (b'{"Statement":[{"Resource":"https://h/x"}]}', r"the statement must have \['Condition'\]"),
        (b'{"statement":[]}', r"nothing but \['Statement'\]"),
        (b'{"Version":"2012-10-17",' + with_condition(END)[1:], r"nothing but \['Statement'\]"),
        (with_condition(END).replace(b'"Res', b'"Effect":"Allow","Res'), r"nothing but \['Condition', 'Resource'\]"),
        # the resource
        (with_condition(END).replace(b'"https://h/x"', b"null"), "the statement holds a null"),
        (with_condition(END).replace(b'"https://h/x"', b"1"), "Resource must be a string"),
        (with_condition(END).replace(b'"https://h/x"', b"false"), "Resource must be a string"),
        (with_condition(END).replace(b'"https://h/x"', b'["https://h/x"]'), "Resource must be a string"),
        (with_condition(END).replace(b"https://h/x", b""), "expected a URL in printable ASCII"),
        (with_condition(END).replace(b"/x", b"/\\u0022"), "expected a URL in printable ASCII"),
        (with_condition(END).replace(b"/x", b"/\\ud800"), "expected a URL in printable ASCII"),
        (with_condition(END).replace(b"/x", "/é".encode()), "expected a URL in printable ASCII"),
        # the conditions
        (with_condition(""), r"Condition must have \['DateLessThan'\]"),
        (with_condition(f'{END},"Bool":{{}}'), "Condition must have .* nothing but"),
        (with_condition('"DateLessThan":null'), "Condition holds a null"),
        (with_condition(f'{END},"DateGreaterThan":null'), "Condition holds a null"),
        (with_condition(f'{END},"IpAddress":null'), "Condition holds a null"),
        (with_condition('"DateLessThan":1800000000'), "DateLessThan must be an object"),
        (with_condition('"DateLessThan":{}'), r"DateLessThan must have \['AWS:EpochTime'\]"),
        (with_condition('"DateLessThan":{"AWS:EpochTime":1,"x":2}'), r"nothing but \['AWS:EpochTime'\]"),
        (with_condition('"DateLessThan":{"aws:epochtime":1}'), r"DateLessThan must have \['AWS:EpochTime'\]"),
        (with_condition(f'{END},"DateGreaterThan":[]'), "DateGreaterThan must be an object"),
        (with_condition(f'{END},"DateGreaterThan":{{"AWS:EpochTime":"1"}}'), "DateGreaterThan must be whole epoch"),
        (with_end("null"), "DateLessThan holds a null"),
        (with_end("true"), "DateLessThan must be whole epoch seconds"),
        (with_end("1800000000.0"), "DateLessThan must be whole epoch seconds"),
        (with_end("1.8e9"), "DateLessThan must be whole epoch seconds"),
        (with_end("1e999"), "DateLessThan must be whole epoch seconds"),
        (with_end('"1800000000"'), "DateLessThan must be whole epoch seconds"),
        (with_end("[1800000000]"), "DateLessThan must be whole epoch seconds"),
        (with_end("-1"), "end=-1: expected whole epoch seconds"),
        (with_end("1800000000000"), "end=1800000000000: expected whole epoch seconds"),
        (with_condition(f'{END},"IpAddress":"203.0.113.7"'), "IpAddress must be an object"),
        (with_condition(f'{END},"IpAddress":{{}}'), r"IpAddress must have \['AWS:SourceIp'\]"),
        (with_condition(f'{END},"IpAddress":{{"AWS:SourceIp":null}}'), "IpAddress holds a null"),
        (with_condition(f'{END},"IpAddress":{{"AWS:SourceIp":1}}'), "AWS:SourceIp must be a string"),
        (with_condition(f'{END},"IpAddress":{{"AWS:SourceIp":["203.0.113.7"]}}'), "AWS:SourceIp must be a string"),
        (with_condition(f'{END},"IpAddress":{{"AWS:SourceIp":"::1"}}'), "CloudFront policies have no IPv6"),
        # a name twice: two readers could pick two values
        (with_condition(f"{END},{END}"), "a name stands twice"),
        (with_condition('"DateLessThan":{"AWS:EpochTime":1,"AWS:EpochTime":2}'), "a name stands twice"),
        (with_condition(END).replace(b'"Res', b'"Resource":"https://h/y","Res'), "a name stands twice"),
        (with_condition(END).replace(b'"Res', b'"\\u0052esource":"https://h/y","Res'), "a name stands twice"),
        (b'{"Statement":[],"Statement":[]}', "a name stands twice"),
    ],
    ids=lambda value: repr(value[:60]),
)
def test_anything_else_is_no_policy(data: bytes, message: str) -> None:
    """Every malformed policy is a ValueError that says what is wrong with it."""
    with pytest.raises(ValueError, match=message):
        CustomPolicy.parse(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "Statement",
                    "Resource",
                    "Condition",
                    "DateLessThan",
                    "AWS:EpochTime",
                    "IpAddress",
                    "AWS:SourceIp",
                    "x",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
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
        read = CustomPolicy.parse(damaged)
    except ValueError:
        return
    assert (read == policy) == (damaged == written)
