"""Spelling and reading: percent-encoding, base64, clean paths, base URLs and header fields."""

from __future__ import annotations

import base64
import contextlib
import posixpath
import re
import subprocess
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cfgate_middleware._core.encoding import (
    RESERVED,
    content_disposition,
    folds_into,
    from_base64,
    header_problem,
    is_clean,
    is_encodable,
    is_loopback,
    is_reserved,
    is_spelled_path,
    parse_base_url,
    parse_location,
    prefers_json,
    spell_path,
    spell_query,
    spell_value,
    to_base64,
)

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

# The first three are binascii's words, which depend on the Python version.
NOT_CANONICAL = "[Pp]adding|Excess|data characters|not the canonical base64"
EVERY_ASCII = "".join(map(chr, range(128)))
SPELLED = re.compile(r"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})*")

# Pieces that make paths likely to be unclean in every way, glued together at random.
odd_paths = st.lists(
    st.sampled_from(["/", "//", ".", "..", "...", "a", "b", "\\", "\n", "\x7f", "\x85", "é", "%2e", "http://h"])
).map("".join)
segments = st.text("abcABC019._~-", min_size=1, max_size=8).filter(lambda segment: segment not in (".", ".."))


# Percent-encoding


@given(st.text())
def test_a_spelled_path_is_unreserved_and_slashes_and_upper_case_hex(path: str) -> None:
    """Whatever the path, no browser finds a character to rewrite, and decoding gives the path back."""
    spelled = spell_path(path)
    assert SPELLED.fullmatch(spelled.replace("/", ""))
    assert unquote(spelled, errors="strict") == path


@given(st.text())
def test_a_spelled_value_is_unreserved_and_upper_case_hex(text: str) -> None:
    """A value carries no slash, no delimiter and no plus, and decoding gives the text back."""
    spelled = spell_value(text)
    assert SPELLED.fullmatch(spelled)
    assert unquote(spelled, errors="strict") == text


@pytest.mark.parametrize("char", "*?#&=+;\"\\'%@:<> \n\0()!,$|^`{}[]")
def test_no_delimiter_or_wildcard_survives_spelling(char: str) -> None:
    """A star, a quote, a question mark: each becomes its hex form, so it is data wherever it lands."""
    assert spell_path(char) == spell_value(char) == f"%{ord(char):02X}"


def test_spelling_encodes_exactly_once() -> None:
    """An encoded dot segment in a decoded path is text and is encoded again."""
    assert spell_path("/a/%2e%2e/é") == "/a/%252e%252e/%C3%A9"


@given(st.lists(st.tuples(st.text(), st.text())))
def test_a_spelled_query_splits_back_into_its_pairs(pairs: list[tuple[str, str]]) -> None:
    """No name or value can add, drop, merge or reorder a parameter."""
    query = spell_query(pairs)
    read = [tuple(map(unquote, pair.split("="))) for pair in query.split("&")] if query else []
    assert read == pairs


@given(st.text())
def test_valid_text_is_encodable(text: str) -> None:
    """Text without surrogates has a UTF-8 form."""
    assert is_encodable(text)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\udce9"])
def test_a_lone_surrogate_is_not_encodable(text: str) -> None:
    """Text from surrogateescape or broken JSON is found before it is spelled."""
    assert not is_encodable(text)
    with pytest.raises(UnicodeEncodeError):
        spell_path(text)


@pytest.mark.parametrize("name", [spelling(name) for name in RESERVED for spelling in (str, str.upper, str.lower)])
def test_reserved_names_are_known_in_any_case(name: str) -> None:
    """CloudFront's own parameter names belong to nobody else, however they are written."""
    assert is_reserved(name)


@pytest.mark.parametrize("name", ["", "Expire", "Expires ", "xPolicy", "Key_Pair_Id", "response-expires"])
def test_other_names_are_free(name: str) -> None:
    """Names that merely resemble a reserved one may be used."""
    assert not is_reserved(name)


# Base64


@given(st.binary(min_size=1))
def test_base64_reads_back(data: bytes) -> None:
    """What is written is read as the same bytes."""
    assert from_base64(to_base64(data)) == data


@given(st.binary())
def test_base64_is_standard_base64_with_three_letters_exchanged(data: bytes) -> None:
    """Padding is kept, as the guide says, and nothing else moves."""
    standard = base64.b64encode(data).decode()
    assert to_base64(data) == standard.replace("+", "-").replace("=", "_").replace("/", "~")


def test_base64_equals_the_documented_shell_command() -> None:
    """The guide's own recipe, openssl and tr, writes the same text."""
    data = bytes(range(256)) + b"\xfb\xff\xfe"
    for cut in range(3):
        encoded = subprocess.run(["openssl", "base64", "-A"], input=data[cut:], capture_output=True, check=True)
        command = ["tr", "--", "+=/", "-_~"]
        wanted = subprocess.run(command, input=encoded.stdout, capture_output=True, check=True).stdout.decode()
        assert to_base64(data[cut:]) == wanted


@given(st.text("AQgwZz09-~_+/= \n\u0410", max_size=12))
def test_from_base64_accepts_only_what_to_base64_writes(text: str) -> None:
    """Any accepted text is the one spelling of its bytes."""
    try:
        data = from_base64(text)
    except ValueError:
        return
    assert to_base64(data) == text


@given(st.binary(min_size=1), st.data())
def test_a_changed_base64_text_never_reads_as_the_same_bytes(data: bytes, draw: st.DataObject) -> None:
    """One replaced, dropped or added character gives other bytes or an error, so a signature has one spelling."""
    text = to_base64(data)
    at = draw.draw(st.integers(0, len(text) - 1))
    with_what = draw.draw(st.sampled_from(["", *"AB9-~_+/=\n "]))
    changed = text[:at] + with_what + text[at + draw.draw(st.integers(0, 1)) :]
    assume(changed != text)
    with contextlib.suppress(ValueError):
        assert from_base64(changed) != data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "alphabet"),
        ("AA==", "alphabet"),
        ("-_8_", "alphabet"),
        ("AAA+", "alphabet"),
        ("AAA/", "alphabet"),
        ("AAA%7E", "alphabet"),
        ("AA__\n", "alphabet"),
        (" AAAA", "alphabet"),
        ("AAAA\u0661", "alphabet"),
        ("AA___", "alphabet"),
        ("A_A_", "alphabet"),
        ("_", "alphabet"),
        ("A", NOT_CANONICAL),
        ("AA", NOT_CANONICAL),
        ("AA_", NOT_CANONICAL),
        ("AAA", NOT_CANONICAL),
        ("AAA__", NOT_CANONICAL),
        ("AAAA_", NOT_CANONICAL),
        ("AAAA__", NOT_CANONICAL),
        ("AB__", NOT_CANONICAL),
        ("AAB_", NOT_CANONICAL),
        ("A~__", NOT_CANONICAL),
    ],
)
def test_from_base64_refuses_every_other_spelling(text: str, message: str) -> None:
    """Foreign alphabets, missing or spare padding and spare bits are errors."""
    with pytest.raises(ValueError, match=message):
        from_base64(text)


# Clean paths


def clean_by_definition(path: str) -> bool:
    """Say the same as is_clean from segments and Unicode categories instead of a pattern."""
    if not path.startswith("/") or any(char == "\\" or unicodedata.category(char) == "Cc" for char in path):
        return False
    *directories, name = path[1:].split("/")
    return name not in (".", "..") and not {"", ".", ".."} & set(directories)


@given(odd_paths | st.text())
def test_is_clean_agrees_with_its_definition(path: str) -> None:
    """Absolute, no dot or empty segment before the last slash, no backslash, no control character."""
    assert is_clean(path) == clean_by_definition(path)


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/", True),
        ("/a/", True),
        ("/a/...", True),
        ("/a/.b", True),
        ("/a/b..", True),
        ("/a/%2e%2e/b", True),
        ("/é\u2028", True),
        ("", False),
        ("a", False),
        ("http://evil.com/private/x", False),
        ("*", False),
        ("//", False),
        ("/a//", False),
        ("/a/..", False),
        ("/a/.", False),
        ("/./a", False),
        ("/a\\b", False),
        ("/a\n", False),
        ("/\0", False),
        ("/\x7f", False),
        ("/\x9f", False),
    ],
)
def test_clean_paths(path: str, clean: bool) -> None:
    """The edges of what counts as a clean path."""
    assert is_clean(path) is clean


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        # a prefix is whole segments
        ("/private", True),
        ("/private/x", True),
        ("/privatefoo/x", False),
        ("/private../x", False),
        ("/private.bak", False),
        # dot segments
        ("/private/../x", False),
        ("/public/../private/x", True),
        ("/../private/x", True),
        ("/../../private", True),
        ("/public/../private/../x", False),
        ("/a/b/../../private/x", True),
        ("/private/..", False),
        # one decoding: an encoded prefix is not the prefix
        ("/private%2e/x", False),
        ("/public/%2e%2e/private/x", False),
        # dots and slashes in front and between
        ("/./private/x", True),
        ("//private/x", True),
        ("///private", True),
        ("/private//x", True),
        ("/private/./x", True),
        ("/.//./private/x", True),
        ("/public//../private/x", True),
        ("//public/../../private/x", True),
        # the empty segment is something for '..' to remove, or it is not
        ("/private//../x", True),
        ("/x//../../private/y", True),
        # a decoded slash is a slash
        ("/private/alice/../bob/x", True),
        # a semicolon is an ordinary character
        ("/private;x=1/a", False),
        ("/private/a;/../b", True),
        ("/public/..;/private/x", False),
        # a backslash is a separator, or it is not
        ("/private\\x", True),
        ("\\private\\x", True),
        ("/public\\..\\private\\x", True),
        ("/private/..\\..\\x", True),
        ("/private\\..\\x", False),
        ("/public/a\\b/../../private/x", True),
        # targets that are no path
        ("private/x", True),
        ("http://evil.com/private/x", True),
        ("HTTP://evil.com/public/../private/x", True),
        ("http:\\\\evil.com\\private\\x", True),
        ("http://evil.com\\private\\x", True),
        ("http://evil.com/x", False),
        ("http://evil.com", False),
        ("x/http://evil.com/private/x", False),
        ("", False),
        ("*", False),
        # letter case matters
        ("/PRIVATE/x", False),
        ("/./PRIVATE/x", False),
    ],
)
def test_paths_that_some_reader_takes_for_private_ones(path: str, inside: bool) -> None:
    """A path counts as inside if any usual way of normalising it leads there, and only then."""
    assert folds_into(path, "/private") is inside


def test_empty_segments_may_be_dropped_after_dot_segments_are_resolved() -> None:
    """Resolved first and squeezed later, a path can lead where neither step alone would."""
    assert folds_into("/a//b//../../private/x", "/a/private")


@pytest.mark.parametrize("path", ["/x", "", "*", "x", "http://h/x"])
def test_everything_is_inside_the_root_prefix(path: str) -> None:
    """The prefix that is the whole site covers every path."""
    assert folds_into(path, "")


detours = st.lists(
    st.sampled_from(["/.", "/", "/x/..", "/x/./..", "/x/y/../..", "/x//.."]), min_size=1, max_size=4
).map("".join)


@given(st.lists(segments, max_size=4), st.lists(detours, min_size=6, max_size=6), st.booleans(), st.booleans())
def test_no_detour_hides_an_inside_path(
    names: list[str], around: list[str], backslashes: bool, absolute_form: bool
) -> None:
    """Dots, empty segments and there-and-back segments at any boundary leave an inside path recognised."""
    path = "".join(f"{detour}/{name}" for detour, name in zip(around, ["private", *names], strict=False))
    if backslashes:
        path = path.replace("/", "\\")
    if absolute_form:
        path = f"http://evil.com{path}"
    assert folds_into(path, "/private")


@given(odd_paths)
def test_folding_never_misses_what_posixpath_finds(path: str) -> None:
    """The standard library's normalisation is one of the readings."""
    normal = posixpath.normpath(f"/{path}").lstrip("/")
    assume(not path.startswith("http://h"))
    if normal == "a" or normal.startswith("a/"):
        assert folds_into(path, "/a")


@given(st.lists(segments, min_size=1).map(lambda names: "/" + "/".join(names)))
def test_a_clean_path_folds_into_its_own_directories_only(path: str) -> None:
    """For a clean path nothing is guessed: it is inside exactly where its text says so."""
    assert folds_into(path, "/a") == (path == "/a" or path.startswith("/a/"))


@pytest.mark.parametrize(
    ("path", "spelled"),
    [
        ("", True),
        ("/", True),
        ("/a/%C3%A9/", True),
        ("/%2A%25", True),
        ("a", False),
        ("/a//b", False),
        ("/%2a", False),
        ("/%41", False),
        ("/%2F", False),
        ("/%5C", False),
        ("/%00", False),
        ("/%FF", False),
        ("/%C0%AF", False),
        ("/%ED%A0%80", False),
        ("/.", False),
        ("/..", False),
        ("/%2E%2E/x", False),
        ("/%", False),
        ("/a*", False),
        ("/a'b", False),
        ("/a?b", False),
        ("/é", False),
        ("/a\n", False),
    ],
)
def test_a_spelled_path_is_what_spelling_writes(path: str, spelled: bool) -> None:
    """Only a clean path in its one spelling is taken as it is."""
    assert is_spelled_path(path) is spelled


@given(odd_paths | st.text())
def test_every_clean_path_once_spelled_is_a_spelled_path(path: str) -> None:
    """Spelling makes a configured path acceptable exactly if it was clean."""
    assert is_spelled_path(spell_path(path)) == (not path or is_clean(path))


# Base URLs


@pytest.mark.parametrize(
    ("text", "base_url"),
    [
        ("https://d111111abcdef8.cloudfront.net", "https://d111111abcdef8.cloudfront.net"),
        ("d111111abcdef8.cloudfront.net", "https://d111111abcdef8.cloudfront.net"),
        ("HTTPS://CDN.Example.COM:443/", "https://cdn.example.com"),
        ("http://cdn.example.com:80", "http://cdn.example.com"),
        ("http://cdn.example.com:443", "http://cdn.example.com:443"),
        ("https://cdn.example.com:080", "https://cdn.example.com:80"),
        ("cdn.example.com:8443/base", "https://cdn.example.com:8443/base"),
        ("https://cdn.example.com/a/%C3%A9~b/", "https://cdn.example.com/a/%C3%A9~b"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("http://[2001:DB8::1]", "http://[2001:db8::1]"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("https://1-2.3d.example", "https://1-2.3d.example"),
        ("http://4f2a91c0ffee", "http://4f2a91c0ffee"),
    ],
)
def test_a_base_url_is_rebuilt_from_its_parts(text: str, base_url: str) -> None:
    """Scheme and host in lower case, no default port, no trailing slash."""
    assert parse_base_url(text) == base_url


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://user:pw@cdn.example.com", "'@' is refused: user information"),
        ("https://cdn.example.com@evil.com", "'@' is refused"),
        ("https://cdn.example.com?x", r"'\?' is refused: a query"),
        ("https://cdn.example.com#x", "'#' is refused: a fragment"),
        ("https://*.example.com", r"'\*' is refused: a wildcard"),
        ("https://cdn.example.com/*", r"'\*' is refused: a wildcard"),
        ("https:\\\\evil.com", r"'\\\\' is refused: a backslash"),
        ("https://cdn.example.com/ ; comment", "whitespace"),
        ("https://cdn.example.com\n", "whitespace"),
        ("https://cdn.exa\tmple.com", "whitespace"),
        ("https://b\u00fccher.example", "xn--"),
        ("https://cdn\uff0eexample.com", "non-ASCII"),
        ("ftp://cdn.example.com", "scheme 'ftp' is refused: expected https"),
        ("cdn.example.com/x://y", "scheme '' is refused"),
        ("https://bucket.s3.amazonaws.com", "an S3 or AWS host cannot check"),
        ("https://S3.AMAZONAWS.COM/bucket", "an S3 or AWS host cannot check"),
        ("s3.cn-north-1.amazonaws.com.cn", "an S3 or AWS host cannot check"),
        ("", "expected a host name"),
        ("https://", "expected a host name"),
        ("//cdn.example.com", "expected a host name"),
        ("https:///path", "expected a host name"),
        ("https:/cdn.example.com", "expected a host name"),
        ("https://:8443", "expected a host name"),
        ("https://cdn.example.com:", "expected a host name"),
        ("https://cdn.example.com.", "expected a host name"),
        ("https://.example.com", "expected a host name"),
        ("https://cdn..example.com", "expected a host name"),
        ("https://-cdn.example.com", "expected a host name"),
        ("https://cdn_1.example.com", "expected a host name"),
        ("https://${CDN_HOST}", "expected a host name"),
        ("https://cdn%2eexample.com", "expected a host name"),
        ('https://cdn.example.com"', "expected a host name"),
        (f"https://{'a' * 64}.example", "expected a host name"),
        # urlsplit reads the address out of the brackets and forgets what stands around it
        ("https://[::1]evil.com", "expected a host name|not a URL"),
        ("https://cdn.example.com[::1]", "expected a host name|not a URL"),
        ("https://[v1.abc]", "expected a host name|not a URL"),
        # a zone id is free text, and no browser takes one
        ("https://[::1%eth0]", "expected a host name|not a URL"),
        ('https://[::1%",x]', "expected a host name|not a URL"),
        ("https://[::1", "not a URL"),
        ("https://[1.2.3.4]", "expected a host name|not a URL"),
        # browsers rewrite these addresses, so they would not send what was signed
        ("http://127.1", "expected a host name"),
        ("http://2130706433", "expected a host name"),
        ("http://0x7f000001", "expected a host name"),
        ("http://example.0x7f", "expected a host name"),
        ("http://127.0.0.01", "expected a host name"),
        ("http://[0:0::1]", "expected a host name"),
        ("https://cdn.example.com:0", "port 0"),
        ("https://cdn.example.com:65536", "not a URL"),
        ("https://cdn.example.com:8x", "not a URL"),
        ("javascript:alert(1)", "not a URL"),
        ("https://cdn.example.com/a//b", "the base path must be spelled"),
        ("https://cdn.example.com//", "the base path must be spelled"),
        ("https://cdn.example.com/../a", "the base path must be spelled"),
        ("https://cdn.example.com/a/%2e", "the base path must be spelled"),
        ("https://cdn.example.com/%2f", "the base path must be spelled"),
        ("https://cdn.example.com/%FF", "the base path must be spelled"),
        ("https://cdn.example.com/a;b", "the base path must be spelled"),
        ('https://cdn.example.com/"', "the base path must be spelled"),
    ],
)
def test_a_base_url_that_could_mislead_is_refused(text: str, message: str) -> None:
    """Anything but scheme, host, port and a spelled path is an error that says what is wrong."""
    with pytest.raises(ValueError, match=message):
        parse_base_url(text)


@given(
    st.sampled_from(["", "https://", "http://", "HTTPS://"]),
    st.lists(segments, min_size=1, max_size=3).map(".".join) | st.sampled_from(["[::1]", "127.0.0.1", "A.example"]),
    st.sampled_from(["", ":443", ":80", ":08443", ":1"]),
    st.lists(segments, max_size=3).map(lambda names: "".join(f"/{name}" for name in names)),
    st.sampled_from(["", "/"]),
)
def test_parsing_a_base_url_twice_changes_nothing(scheme: str, host: str, port: str, path: str, end: str) -> None:
    """The rebuilt form is its own rebuilt form, and urlsplit finds every part where it was put."""
    try:
        base_url = parse_base_url(scheme + host + port + path + end)
    except ValueError:
        assume(False)
    assert parse_base_url(base_url) == base_url
    parts = urlsplit(base_url)
    assert (parts.scheme, parts.hostname, parts.path) == (
        scheme.lower().removesuffix("://") or "https",
        host.lower().strip("[]"),
        path,
    )


@given(st.text(EVERY_ASCII, max_size=20).map(lambda text: f"https://{text}") | st.text(max_size=20))
def test_an_accepted_base_url_has_no_character_that_could_rewrite_a_policy(text: str) -> None:
    """Whatever is configured, the result stands in a policy as it is."""
    try:
        base_url = parse_base_url(text)
    except ValueError:
        return
    assert re.fullmatch(r"https?://[a-z0-9.\[\]:-]+(?:/[A-Za-z0-9._~%/-]*)?", base_url)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("https://cdn.example.com/a/%C3%A9", ("https://cdn.example.com", "/a/%C3%A9", "")),
        ("https://CDN.example.com:443/a/", ("https://cdn.example.com", "/a/", "")),
        ("https://cdn.example.com/a?x=1&y=2", ("https://cdn.example.com", "/a", "x=1&y=2")),
        ("http://[::1]:8000/a?u=https://x", ("http://[::1]:8000", "/a", "u=https://x")),
        ("d111111abcdef8.cloudfront.net", ("https://d111111abcdef8.cloudfront.net", "/", "")),
        ("d111111abcdef8.cloudfront.net/a?u=https://x", ("https://d111111abcdef8.cloudfront.net", "/a", "u=https://x")),
    ],
)
def test_a_location_is_split_into_base_url_path_and_query(text: str, parts: tuple[str, str, str]) -> None:
    """Scheme and host are normalised; path and query are handed on as they are."""
    assert parse_location(text) == parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a host name"),
        ("//evil.com/x", "expected a host name"),
        ("/just/a/path", "expected a host name"),
        ("https://user@cdn.example.com/x", "user information"),
        ("https://cdn.example.com\\@evil.com/x", "user information"),
        ("ftp://cdn.example.com/x", "scheme 'ftp'"),
        ("https://cdn.example.com#x", "a fragment"),
        ("https://cdn.example.com/a#x", "the path must be spelled"),
        ("https://cdn.example.com/a b", "the path must be spelled"),
        ("https://cdn.example.com/a*", "the path must be spelled"),
        ("https://cdn.example.com//a", "the path must be spelled"),
        ("https://cdn.example.com/%2a", "the path must be spelled"),
        ("https://cdn.example.com/../a", "the path must be spelled"),
        ('https://cdn.example.com/a"', "the path must be spelled"),
    ],
)
def test_a_location_that_is_not_spelled_is_refused(text: str, message: str) -> None:
    """A location is an error unless its host and path are written as browsers send them."""
    with pytest.raises(ValueError, match=message):
        parse_location(text)


@pytest.mark.parametrize(
    ("base_url", "loopback"),
    [
        ("http://localhost:8000", True),
        ("http://app.localhost", True),
        ("http://127.0.0.2", True),
        ("http://[::1]:8000", True),
        ("http://cdn.example.com", False),
        ("http://localhost.example.com", False),
        ("http://mylocalhost", False),
        ("http://10.0.0.1", False),
        ("/no/host", False),
    ],
)
def test_loopback_is_this_machine_only(base_url: str, loopback: bool) -> None:
    """Only loopback addresses and names below localhost count."""
    assert is_loopback(base_url) is loopback


# Header fields

BAD_NAME = "a header name must be a token such as X-Frame-Options"
BAD_VALUE = "the value of header X-A must be one line of latin-1 text without surrounding space"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("X-A", "", None),
        ("X-A", "one two", None),
        ("x_a1", "caf\xe9", None),
        ("X", "x", None),
        ("", "x", BAD_NAME),
        ("X A", "x", BAD_NAME),
        ("X-A:", "x", BAD_NAME),
        ("X-A\n", "x", BAD_NAME),
        ("X-A-", "x", BAD_NAME),
        ("X-A_", "x", BAD_NAME),
        ("1X", "x", BAD_NAME),
        ("X.A", "x", BAD_NAME),
        ("X-\xc4", "x", BAD_NAME),
        ("status", "200 OK", BAD_NAME),
        ("Status", "200 OK", BAD_NAME),
        (b"X-A", "x", BAD_NAME),
        (None, "x", BAD_NAME),
        ("X-A", "a\r\nSet-Cookie: b=1", BAD_VALUE),
        ("X-A", "a\n b", BAD_VALUE),
        ("X-A", "a\n", BAD_VALUE),
        ("X-A", " a", BAD_VALUE),
        ("X-A", "a ", BAD_VALUE),
        ("X-A", "a\tb", BAD_VALUE),
        ("X-A", "\0", BAD_VALUE),
        ("X-A", "\x7f", BAD_VALUE),
        ("X-A", "\x85", BAD_VALUE),
        ("X-A", "\u20ac", BAD_VALUE),
        ("X-A", b"x", BAD_VALUE),
        ("X-A", 1, BAD_VALUE),
        ("X-A", None, BAD_VALUE),
    ],
)
def test_header_fields(name: object, value: object, problem: str | None) -> None:
    """A field is a WSGI-safe name and one line of latin-1; the message names the field and never the value."""
    assert header_problem(name, value) == problem


@given(st.text(EVERY_ASCII, max_size=4) | st.just("X-A"), st.text(max_size=4))
def test_accepted_header_fields_pass_the_wsgi_validator(name: str, value: str) -> None:
    """Nothing that is accepted trips wsgiref's validator or has no latin-1 form."""
    if header_problem(name, value) is None:
        value.encode("latin-1")

        def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain"), (name, value)])
            return []

        environ: WSGIEnvironment = {"QUERY_STRING": ""}
        setup_testing_defaults(environ)
        answer = validator(app)(environ, lambda *_: bytes.__len__)
        list(answer)
        answer.close()  # type: ignore[attr-defined]  # the validator's iterator has it and wants it called


# Content-Disposition and Accept


@pytest.mark.parametrize(
    ("filename", "field"),
    [
        ("report.pdf", 'attachment; filename="report.pdf"'),
        ("my report; v=2.pdf", 'attachment; filename="my report; v=2.pdf"'),
        ("it's ~ [1], {2}.pdf", 'attachment; filename="it\'s ~ [1], {2}.pdf"'),
        ("né.pdf", "attachment; filename=\"n_.pdf\"; filename*=UTF-8''n%C3%A9.pdf"),
        ("€ 5.pdf", "attachment; filename=\"_ 5.pdf\"; filename*=UTF-8''%E2%82%AC%205.pdf"),
        ("\U0001f600", "attachment; filename=\"_\"; filename*=UTF-8''%F0%9F%98%80"),
        ("100%.pdf", "attachment; filename=\"100_.pdf\"; filename*=UTF-8''100%25.pdf"),
        ("%41.pdf", "attachment; filename=\"_41.pdf\"; filename*=UTF-8''%2541.pdf"),
        ('a"b.pdf', "attachment; filename=\"a_b.pdf\"; filename*=UTF-8''a%22b.pdf"),
        ("a\\b.pdf", "attachment; filename=\"a_b.pdf\"; filename*=UTF-8''a%5Cb.pdf"),
        ("../etc/x", "attachment; filename=\".._etc_x\"; filename*=UTF-8''..%2Fetc%2Fx"),
        (
            'x"; filename=y.exe',
            "attachment; filename=\"x_; filename=y.exe\"; filename*=UTF-8''x%22%3B%20filename%3Dy.exe",
        ),
    ],
)
def test_content_dispositions(filename: str, field: str) -> None:
    """A plain name stands as it is; any other has a fallback and its true form beside it."""
    assert content_disposition(filename) == field


# RFC 8187 section 3.2.1: what may stand in an extended value as it is, and RFC 6266 section 4.1 around it.
DISPOSITION = re.compile(
    r"attachment; filename=\"(?P<fallback>[ -~]+)\""
    r"(?:; filename\*=UTF-8''(?P<extended>(?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})+))?"
)


@given(st.text(min_size=1))
def test_a_content_disposition_carries_any_name(filename: str) -> None:
    """The field is one safe line of ASCII, the fallback is harmless, and the name reads back as RFC 8187 says."""
    field = content_disposition(filename)
    assert header_problem("Content-Disposition", field) is None
    match = DISPOSITION.fullmatch(field)
    assert match
    assert not set(match["fallback"]) & set('"\\%/')
    assert len(match["fallback"]) == len(filename)
    assert (match["fallback"] if match["extended"] is None else unquote(match["extended"], errors="strict")) == filename


CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("application/json", True),
        ("Application/JSON", True),
        ("application/json, text/plain, */*", True),  # axios
        ("application/json, text/javascript, */*; q=0.01", True),  # jQuery
        ("text/plain, application/json;charset=utf-8", True),
        ("application/json ; q=0.001", True),
        ("application/json;q=1.000", True),
        ("application/json;q=1.", True),
        ("application/json;q=0.", False),
        ("application/json;Q=0.5", True),
        ("application/json;version=2;q=0.5", True),
        ("application/json;q=0.5;ext=1", True),
        (" , application/json,, ", True),
        ("application/json;q=0, application/json", True),
        ("application/json, application/json;q=0", True),
        ("application/json;q=0.5, text/html, text/html;q=0.1", False),
        ("application/json, text/html", True),
        ("text/html;q=0.5, application/json;q=0.5", True),
        ("text/html;q=0.9, application/json", True),
        ("text/html;q=0, application/json;q=0.1", True),
        ("text/*, application/json;q=0.1", True),
        ("text/html, application/json;q=0.999", False),
        ("application/json;q=0.5, text/html;q=0.501", False),
        ("application/json;q=0.5, text/html;level=1", False),
        ("application/json;q=0", False),
        ("application/json;q=0.000", False),
        ("application/json;q=0, text/html;q=0", False),
        ("", False),
        (",", False),
        ("*/*", False),  # curl, fetch
        ("application/*", False),
        ("text/html, application/*", False),
        ("application/jsonp", False),
        ("application/json-seq", False),
        ("application/ld+json", False),
        ("application", False),
        ("q=1", False),
        ("application/json/", False),
        (CHROME, False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),  # Firefox, Safari
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", False),  # an img element
        ("text/css,*/*;q=0.1", False),  # a stylesheet
        (f"{CHROME},application/json;q=0.7", False),
        (f"{CHROME},application/json", True),
        *((f"application/json;q={bad}", False) for bad in ("", "x", "-1", "+1", "2", "1.1", "1.001", "0.1234", ".5")),
        *((f"application/json;q={bad}", False) for bad in ("1e0", "nan", "inf", "0,5", "0 .5", '"1"', "٠", "1\n1")),
        ("application/json, text/html;q=2", True),
        ("application/json;q=0.5, text/html;q=nan", True),
    ],
)
def test_who_prefers_json(accept: str, answer: bool) -> None:
    """JSON is for those who name it, above nothing and not below HTML; a malformed weight makes its element void."""
    assert prefers_json(accept) is answer


accept_pieces = st.sampled_from(["application/json", "text/html", ",", ";", " ", "q=", "0", "1", ".5", "*/*"])


@given(st.text() | st.lists(accept_pieces).map("".join))
def test_only_who_names_json_prefers_it(accept: str) -> None:
    """No Accept field is an error, and none without the name itself counts."""
    assert not prefers_json(accept) or "application/json" in accept.lower()
