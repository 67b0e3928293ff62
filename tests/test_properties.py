"""What holds for any request: 2,000 examples each, or as many as ``CFGATE_EXAMPLES`` says (``nox -s fuzz``)."""

from __future__ import annotations

import contextlib
import os
import re
import string
from typing import Any
from urllib.parse import unquote_to_bytes

import hypothesis
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cfgate_middleware import PASS, AuthorizerError, ConfigError, Grant, KeyRing, PathError, SigningError, signed_url
from cfgate_middleware._core.encoding import from_base64, to_base64
from cfgate_middleware._core.policy import CustomPolicy
from cfgate_middleware.edge import LocalEdge
from cfgate_middleware.verify import KeyGroup, VerificationError, verify, verify_url
from tests.conftest import KEYS, NOW
from tests.support import BASE_URL, KEY_GROUP, SIGNER, Judge, Wrapped, fetch, gate, verified

pytestmark = pytest.mark.slow
many = hypothesis.settings(max_examples=int(os.environ.get("CFGATE_EXAMPLES", "2000")), deadline=None)

SCHEMES = [b"", b"http://h", b"//h", b"http:", b"\\"]
# What attacks are made of, plain and escaped up to three times.
PIECES = [b"/", b"//", b"/./", b"/../", b"\\", b"private", b"private/", b"p", b"x", b".", b"..", b";", b"*", b"?"]
PIECES += [b"#", b"%", b"\x00", b"\r\n", b"\x7f", b"\xff", b"\xc3\xa9", b"\xe2\x82\xac", b" ", b"+", b"'", b'"']
PIECES += [b"@", b":", b"$", b"|"]


def escaped(piece: bytes, times: int) -> bytes:
    """Return a piece percent-encoded as often as told."""
    for _ in range(times):
        piece = b"".join(b"%%%02X" % byte for byte in piece)
    return piece


pieces = st.builds(escaped, st.sampled_from(PIECES), st.integers(0, 3)) | st.binary(max_size=4)
paths = st.builds(lambda start, parts: start + b"".join(parts), st.sampled_from(SCHEMES), st.lists(pieces, max_size=9))
private_paths = st.builds(lambda parts: b"/private/" + b"".join(parts), st.lists(pieces, max_size=9))
names = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\"), min_size=1, max_size=12)
objects = st.lists(names.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4).map(
    lambda segments: "/private/" + "/".join(segments)
)
texts = st.text(st.characters(max_codepoint=255), max_size=40)
methods = st.sampled_from(["GET", "HEAD", "GET", "OPTIONS", "POST"]) | texts
queries = st.lists(st.sampled_from(["v", "Expires", "%76", "Policy", "w", ""]) | texts, max_size=4).map(
    lambda names: "&".join(f"{name}={name}" for name in names)
)
grants = [Grant(), Grant(scope="directory"), Grant(answer="cookies"), Grant(path="/other")]
verdicts = st.sampled_from([True, False, PASS, 200, 204, 404, *grants])
conditions = st.dictionaries(st.sampled_from(["RANGE", "IF_RANGE", "IF_NONE_MATCH", "ORIGIN"]), texts)
key_like = st.binary(max_size=300).map(lambda data: f"-----BEGIN PRIVATE KEY-----{data!r}-----END PRIVATE KEY-----")
ID = "K2JCJMDEHXQW5F"
OPTIONS: dict[str, Any] = {"base_url": BASE_URL, "key_group": KEY_GROUP, "now": NOW}


@many
@given(paths | private_paths, methods, queries, texts, texts, verdicts, st.sampled_from(["", "/mnt", "/mnt/private"]))
def test_any_request_is_answered(
    path: bytes, method: str, query: str, accept: str, header: str, verdict: Any, mount: str
) -> None:
    """No bytes, method and header make a gate fail; what it sends begins with the configured address and a slash."""
    wrapped = Wrapped(strict=False)
    app = gate(Judge(verdict), wrapped, answer="json", forward_query=["v"], index="index.html")
    headers = {"HTTP_ACCEPT": accept, "HTTP_HOST": header, "HTTP_X_FORWARDED_HOST": header}
    try:
        answer = fetch(app, path, method=method or "GET", query=query, mount=mount, strict=False, **headers)
    except AuthorizerError as error:
        assert isinstance(verdict, Grant) and "root" in str(error)
        return
    assert answer.code in (200, 204, 303, 400, 403, 404, 405, 414)
    for location in answer.values("Location"):
        assert location.startswith(f"{BASE_URL}/")
        assert re.fullmatch(r"[!-~]+", location)
    if wrapped.calls:
        levels = [path]
        for _ in range(3):
            levels.append(unquote_to_bytes(levels[-1]))
        assert verdict is PASS or not any(re.match(rb"/+private(/|\Z)", level) for level in levels)


@many
@given(objects, queries, st.integers(0, 10_000), st.sampled_from(string.printable[:94]))
def test_exactly_what_was_signed_verifies(path: str, query: str, place: int, char: str) -> None:
    """A signed URL verifies, covers one object without a wildcard, and no other byte in path or query does."""
    answer = fetch(gate(Judge(), forward_query=["v"]), path, query=query, strict=False)
    assume(answer.code == 303)
    target = answer.location.removeprefix(BASE_URL)
    resource = verified(answer.location).policy.resource
    assert "*" not in resource
    own, _, rest = target.partition("Expires=")
    changed = own[: place % len(own)] + char + own[place % len(own) + 1 :]
    assume(changed != own)
    with pytest.raises(VerificationError):
        verify_url(f"{changed}Expires={rest}", base_url=BASE_URL, key_group=KEY_GROUP, now=NOW)


@many
@given(st.text(max_size=60) | st.text("abc/.%*?&=;+@:~-'", max_size=60))
def test_what_is_signed_as_it_is_verifies(text: str) -> None:
    """A URL of the caller's own is refused, or verifies exactly as it is."""
    url = f"{BASE_URL}/{text}"
    with contextlib.suppress(PathError, ConfigError):
        location = signed_url(url, SIGNER, now=NOW)
        assert location.startswith(url)
        assert verified(location).policy.resource == url
        assert "*" not in url


@many
@given(st.binary(max_size=200), st.text(max_size=200))
def test_base64_is_read_as_it_is_written(data: bytes, text: str) -> None:
    """What was written reads back, and what reads is written the same."""
    assert from_base64(to_base64(data)) == data if data else to_base64(data) == ""
    with contextlib.suppress(ValueError):
        assert to_base64(from_base64(text)) == text


@many
@given(
    st.text("abc/*?.%", min_size=1, max_size=20),
    st.integers(0, 9223372036),
    st.none() | st.integers(0, 9223372035),
    st.none() | st.ip_addresses(v=4).map(str),
)
def test_a_policy_reads_as_it_was_written(path: str, end: int, start: int | None, address: str | None) -> None:
    """Writing and reading a custom policy is the identity."""
    policy = CustomPolicy(resource=f"{BASE_URL}/{path}", end=end, start=start, ip_address=address)
    assert CustomPolicy.parse(policy.to_bytes()) == policy


@many
@given(
    paths,
    methods,
    texts,
    st.dictionaries(st.sampled_from(["RANGE", "IF_RANGE", "IF_NONE_MATCH", "ORIGIN"]), texts),
    st.booleans(),
)
def test_an_edge_never_fails(path: bytes, method: str, cookie: str, fields: dict[str, str], signed: bool) -> None:
    """An edge answers whatever comes, signed or not, with what CloudFront would."""
    app = LocalEdge(KEYS, KEY_GROUP, public_url=BASE_URL, allow_origin="https://app.example")
    app.clock = lambda: NOW
    target = path.decode("latin-1")
    if signed:
        answer = fetch(gate(Judge()), b"/private" + path, strict=False)
        target = answer.location.removeprefix(BASE_URL) if answer.code == 303 else target
    extra = {f"HTTP_{name}": value for name, value in fields.items()}
    answer = fetch(app, "/", method=method or "GET", strict=False, RAW_URI=target, HTTP_COOKIE=cookie, **extra)
    assert answer.code in (200, 206, 304, 403, 404, 412, 414, 416)


@many
@given(texts, texts, st.text(max_size=300))
def test_the_verifier_only_raises_what_it_documents(target: str, name: str, value: str) -> None:
    """Any target and any cookies are verified, or refused with a reason."""
    cookies = [
        ("CloudFront-Policy", value),
        ("CloudFront-Signature", name),
        ("CloudFront-Key-Pair-Id", ID),
    ]
    with contextlib.suppress(VerificationError):
        verify(f"/{target}", cookies, **OPTIONS)
    with contextlib.suppress(VerificationError):
        verify(
            f"/a?Policy={value}&Signature={name}&Key-Pair-Id=K2JCJMDEHXQW5F",
            (),
            base_url=BASE_URL,
            key_group=KEY_GROUP,
            now=NOW,
        )


@many
@given(
    st.text(max_size=300)
    | st.binary(max_size=300).map(lambda data: f"-----BEGIN PRIVATE KEY-----{data!r}-----END PRIVATE KEY-----")
)
def test_any_text_for_a_key_is_a_clear_error(text: str) -> None:
    """Nothing that is given as a key, a ring or a public key fails otherwise than with a ConfigError."""
    for make in (
        lambda: gate(Judge(), signer=None, key_pair_id=ID, private_key=text),
        lambda: gate(Judge(), signer=None, keys=text),
        lambda: KeyGroup({ID: text}),
        lambda: KeyRing([text]),  # type: ignore[list-item]  # it is wrong on purpose
    ):
        with pytest.raises((ConfigError, SigningError)):
            make()
