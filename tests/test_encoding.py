"""Spelling and reading: percent-encoding, CloudFront's base64, file names, header fields and Accept."""

from __future__ import annotations

import base64
import contextlib
import re
import string
import subprocess
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cfgate_middleware import ConfigError, Distribution, Grant, PathError
from cfgate_middleware._core.encoding import (
    content_disposition,
    from_base64,
    is_clean,
    is_spelled_path,
    spell_path,
    spell_query,
    spell_value,
    to_base64,
)
from tests.support import BASE_URL, SIGNER, Judge, by, fetch, gate

# What is written bare; all else is written as upper-case hex.
BARE_IN_VALUES = f"{string.ascii_letters}{string.digits}-._~!(),/:@"
BARE_IN_PATHS = f"{BARE_IN_VALUES}&="

# Pieces that make paths likely to be unclean in every way, glued together at random.
odd_paths = st.lists(
    st.sampled_from(["/", "//", ".", "..", "...", "a", "b", "\\", "\n", "\x7f", "\x85", "é", "%2e", "http://h"])
).map("".join)


@pytest.mark.parametrize("char", [chr(code) for code in range(0x20, 0x7F)])
def test_a_character_has_one_spelling(char: str) -> None:
    """A printable ASCII character is written bare or as upper-case hex, by where it is."""
    in_path, in_value = (char if char in bare else f"%{ord(char):02X}" for bare in (BARE_IN_PATHS, BARE_IN_VALUES))
    assert (spell_path(char), spell_value(char)) == (in_path, in_value)
    assert spell_query([(char, char)]) == f"{in_value}={in_value}"


@given(st.text())
def test_a_spelled_path_has_bare_characters_and_upper_case_hex_only(path: str) -> None:
    """Whatever the path, decoding its spelling once gives the path back."""
    assert re.fullmatch(f"(?:[{re.escape(BARE_IN_PATHS)}]|%[0-9A-F]{{2}})*", spell_path(path))
    assert unquote(spell_path(path), errors="strict") == path


@given(st.lists(st.tuples(st.text(), st.text())))
def test_a_spelled_query_splits_back_into_its_pairs(pairs: list[tuple[str, str]]) -> None:
    """No name or value can add, drop, merge or reorder a parameter."""
    query = spell_query(pairs)
    assert re.fullmatch(f"(?:[{re.escape(BARE_IN_VALUES)}&=]|%[0-9A-F]{{2}})*", query)
    assert [tuple(map(unquote, pair.split("="))) for pair in query.split("&") if query] == pairs


def test_spelling_encodes_exactly_once() -> None:
    """An encoded dot segment in a decoded path is text and is encoded again; bytes are spelled as they are."""
    assert spell_path("/a/%2e%2e/é") == spell_path("/a/%2e%2e/é".encode()) == "/a/%252e%252e/%C3%A9"
    assert spell_path(b"/\xff") == "/%FF"


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\udce9"])
def test_a_lone_surrogate_is_an_error_before_it_is_spelled(text: str) -> None:
    """Text from surrogateescape or broken JSON has no UTF-8 form."""
    with pytest.raises(PathError, match="decoded path of one object"):
        Distribution(BASE_URL, signer=SIGNER).sign(f"/{text}")
    with pytest.raises(ConfigError) as caught:
        Grant(path=f"/{text}", filename=text, query={text: "1"}, headers={"X": text})
    named = [re.split("=| is ", problem)[0] for problem in caught.value.problems]
    assert named == [f"Grant: {name}" for name in ("path", "query", "headers", "filename")]


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
    assert is_spelled_path(spell_path(path)) == (not path or is_clean(path))


CLEAN = ["/", "/a/", "/a/...", "/a/.b", "/a/b..", "/a/%2e%2e/b", "/é\u2028"]
UNCLEAN = ["", "a", "http://evil.com/private/x", "*", "//", "/a//", "/a/..", "/a/.", "/./a", "/a\\b"]
CONTROLS = ["/a\n", "/\0", "/\x7f", "/\x9f"]


@pytest.mark.parametrize(("path", "clean"), by({True: CLEAN, False: UNCLEAN + CONTROLS}))
def test_clean_paths(path: str, clean: bool) -> None:
    """The edges of what counts as a clean path."""
    assert is_clean(path) is clean


SPELLED = ["", "/", "/a/%C3%A9/", "/%2A%25"]
MISSPELLED = ["a", "/a//b", "/%2a", "/%41", "/%2F", "/%5C", "/%00", "/%FF", "/%C0%AF", "/%ED%A0%80", "/%", "/é", "/a\n"]
NOT_CLEAN = ["/.", "/..", "/%2E%2E/x", "/a*", "/a'b", "/a?b"]


@pytest.mark.parametrize(("path", "spelled"), by({True: SPELLED, False: MISSPELLED + NOT_CLEAN}))
def test_a_spelled_path_is_what_spelling_writes(path: str, spelled: bool) -> None:
    """Only a clean path in its one spelling is taken as it is."""
    assert is_spelled_path(path) is spelled


@given(st.binary(min_size=1))
def test_base64_is_standard_base64_with_three_letters_exchanged_and_reads_back(data: bytes) -> None:
    """Padding is kept, as the guide says, nothing else moves, and the same bytes are read."""
    standard = base64.b64encode(data).decode()
    assert to_base64(data) == standard.replace("+", "-").replace("=", "_").replace("/", "~")
    assert from_base64(to_base64(data)) == data


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
    with contextlib.suppress(ValueError):
        assert to_base64(from_base64(text)) == text


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


FOREIGN = ["", "AA==", "-_8_", "AAA+", "AAA/", "AAA%7E", "AA__\n", " AAAA", "AAAA\u0661", "AA___", "A_A_", "_"]
NOT_CANONICAL = ["A", "AA", "AA_", "AAA", "AAA__", "AAAA_", "AAAA__", "AB__", "AAB_", "A~__"]
CANONICAL = "[Pp]adding|Excess|data characters|canonical"  # some are binascii's words, by Python version


@pytest.mark.parametrize(("text", "message"), by({"alphabet": FOREIGN, CANONICAL: NOT_CANONICAL}))
def test_from_base64_refuses_every_other_spelling(text: str, message: str) -> None:
    """Foreign alphabets, missing or spare padding and spare bits are errors."""
    with pytest.raises(ValueError, match=message):
        from_base64(text)


@pytest.mark.parametrize(
    ("filename", "fallback", "extended"),
    [
        *((plain, plain, None) for plain in ("report.pdf", "my report; v=2.pdf", "it's ~ [1], {2}.pdf")),
        *(("né.pdf", "ne.pdf", "n%C3%A9.pdf"), ("€ 5.pdf", "_ 5.pdf", "%E2%82%AC%205.pdf")),
        *(("\U0001f600", "_", "%F0%9F%98%80"), ("100%.pdf", "100_.pdf", "100%25.pdf")),
        *(("%41.pdf", "_41.pdf", "%2541.pdf"), ('a"b.pdf', "a_b.pdf", "a%22b.pdf")),
        *(("a\\b.pdf", "a_b.pdf", "a%5Cb.pdf"), ("../etc/x", ".._etc_x", "..%2Fetc%2Fx")),
        ('x"; filename=y.exe', "x_; filename=y.exe", "x%22%3B%20filename%3Dy.exe"),
    ],
)
def test_content_dispositions(filename: str, fallback: str, extended: str | None) -> None:
    """A plain name is written as it is; any other has a fallback and its true form beside it."""
    more = "" if extended is None else f"; filename*=UTF-8''{extended}"
    assert content_disposition(filename) == f'attachment; filename="{fallback}"{more}'


# RFC 8187 section 3.2.1: what an extended value may hold as it is, and RFC 6266 section 4.1 around it.
DISPOSITION = re.compile(
    r"attachment; filename=\"(?P<fallback>[ -~]+)\""
    r"(?:; filename\*=UTF-8''(?P<extended>(?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})+))?"
)


@given(st.text(min_size=1))
def test_a_content_disposition_carries_any_name(filename: str) -> None:
    """The field is one safe line of ASCII, the fallback is harmless, and the name reads back as RFC 8187 says."""
    field = content_disposition(filename)
    assert Grant(headers={"Content-Disposition": field})
    match = DISPOSITION.fullmatch(field)
    assert match
    assert not set(match["fallback"]) & set('"\\%/')
    assert (match["fallback"] if match["extended"] is None else unquote(match["extended"], errors="strict")) == filename


@given(
    st.text(string.printable, max_size=4) | st.just("X-A"),
    st.text(max_size=4) | st.sampled_from(["", "one two", "caf\xe9"]),
)
def test_accepted_header_fields_pass_the_wsgi_validator(name: str, value: str) -> None:
    """Nothing that is accepted trips wsgiref's validator, and each reaches the viewer as it was given."""
    try:
        grant = Grant(headers=[(name, value)])
    except ConfigError:
        return
    assert value in fetch(gate(Judge(grant)), "/private/x").values(name)


CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
JSON = "application/json"
BAD_WEIGHTS = ["", "x", "-1", "+1", "2", "1.1", "1.001", "0.1234", ".5", "1e0", "nan", "inf", "0,5", "0 .5", '"1"', "٠"]
ACCEPTS: dict[int, tuple[str, ...]] = {
    200: (
        *(JSON, "Application/JSON", f"text/plain, {JSON};charset=utf-8", f"{JSON} ; q=0.001", f"{JSON};q=1.000"),
        *(f"{JSON};q=1.", f"{JSON};Q=0.5", f"{JSON};version=2;q=0.5", f"{JSON};q=0.5;ext=1", f" , {JSON},, "),
        *(f"{JSON};q=0, {JSON}", f"{JSON}, {JSON};q=0", f"{JSON}, text/html", f"text/html;q=0.5, {JSON};q=0.5"),
        *(f"text/html;q=0.9, {JSON}", f"text/html;q=0, {JSON};q=0.1", f"text/*, {JSON};q=0.1", f"{CHROME},{JSON}"),
        *(f"{JSON}, text/html;q=2", f"{JSON};q=0.5, text/html;q=nan"),
        f"{JSON}, text/plain, */*",  # axios
        f"{JSON}, text/javascript, */*; q=0.01",  # jQuery
    ),
    303: (
        *("", ",", "application/*", "text/html, application/*", "application/jsonp", "application/json-seq", "q=1"),
        *("application/ld+json", "application", f"{JSON}/", f"{JSON};q=0", f"{JSON};q=0.", f"{JSON};q=0.000"),
        *(f"{JSON};q=0, text/html;q=0", f"{JSON};q=0.5, text/html, text/html;q=0.1", f"text/html, {JSON};q=0.999"),
        *(f"{JSON};q=0.5, text/html;q=0.501", f"{JSON};q=0.5, text/html;level=1", CHROME, f"{CHROME},{JSON};q=0.7"),
        "*/*",  # curl, fetch
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",  # Firefox, Safari
        "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",  # an img element
        "text/css,*/*;q=0.1",  # a stylesheet
        *(f"{JSON};q={bad}" for bad in [*BAD_WEIGHTS, "1\n1"]),
    ),
}


@pytest.mark.parametrize(("accept", "code"), by(ACCEPTS))
def test_who_prefers_json(accept: str, code: int) -> None:
    """JSON is for those who name it, above nothing and not below HTML; a malformed weight makes its element void."""
    assert fetch(gate(Judge(), answer="json"), "/private/x", HTTP_ACCEPT=accept).code == code


JSON_GATE = gate(Judge(), answer="json", reuse_for=60)
accept_pieces = st.sampled_from(["application/json", "text/html", ",", ";", " ", "q=", "0", "1", ".5", "*/*"])


@given(st.text() | st.lists(accept_pieces).map("".join))
def test_only_who_names_json_prefers_it(accept: str) -> None:
    """No Accept field is an error, and none without the name itself counts."""
    code = fetch(JSON_GATE, "/private/x", HTTP_ACCEPT=accept).code
    assert code == 303 or "application/json" in accept.lower()
