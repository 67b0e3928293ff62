"""Faults that were found in use, each under its id, so that none comes back: K for security, C for correctness."""

from __future__ import annotations

import contextlib
import json
import os
import re
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from paste.deploy import loadapp

from cfgate_middleware import (
    PASS,
    AuthorizerError,
    CloudFrontRedirect,
    ConfigError,
    DecisionRecord,
    Distribution,
    Grant,
    PathError,
    Signer,
    SigningError,
    signed_cookies,
    signed_url,
)
from cfgate_middleware._core.problems import shown
from cfgate_middleware._core.signer import MEMO_BYTES
from cfgate_middleware._core.urls import RESERVED
from cfgate_middleware._keys import pem as pem_module
from cfgate_middleware._keys.watched import WatchedRing
from cfgate_middleware.edge import LocalEdge
from cfgate_middleware.verify import (
    BadSignature,
    Contradiction,
    KeyGroup,
    MalformedSignature,
    VerificationError,
    verify_cookies,
    verify_url,
)
from tests.conftest import KEY_PAIR_ID, KEYS, NOW
from tests.support import BASE_URL, KEY_GROUP, SIGNER, Answer, Judge, Wrapped, fetch, gate, verified

BODY = "".join((KEYS / "p256-pkcs8.pem").read_text().splitlines()[1:-1])


def sent(target: str, judge: Judge, wrapped: Wrapped | None = None, *, mount: str = "", **options: Any) -> int:
    """Send a request target through a gate below ``mount``, decoded once as servers do, and return the status."""
    path = unquote_to_bytes(target.removeprefix(mount))
    return fetch(gate(judge, wrapped or Wrapped(strict=False), **options), path, mount=mount, strict=False).code


@pytest.mark.parametrize("option", ["key_pair_id", "expires", "code", "index", "prefix", "domain", "answer", "keys"])
@pytest.mark.parametrize("material", [BODY, BODY[:64], quote(BODY, safe="")[:150]], ids=["body", "line", "escaped"])
def test_K4_key_material_in_any_option_is_refused_and_not_shown(option: str, material: str) -> None:
    """A key in the wrong place is refused, and no error repeats it."""
    options: dict[str, Any] = {"key_pair_id": KEY_PAIR_ID, "private_key": BODY, "signer": None, option: material}
    with pytest.raises(ConfigError) as caught:
        gate(Judge(), **options)
    assert material[:60] not in str(caught.value)


@given(st.binary(min_size=100, max_size=200))
def test_K4_der_is_never_shown(data: bytes) -> None:
    """An error shows nothing of the base64 of a DER sequence, whatever its bytes are."""
    for text in (b64encode(b"\x30\x81" + data).decode(), b64encode(b"-----BEGIN PRIVATE KEY-----" + data).decode()):
        assert text[:40] not in shown(text)


@pytest.mark.parametrize(
    "name", [f"{BODY[:80]}", "K" * 65, "cloudfront/key", "12345678-1234-1234-1234-123456789abc", "E2QWRUHAPOMQZL"]
)
def test_C11_an_id_of_something_else_is_refused_with_help(name: str) -> None:
    """What is not the id of a public key is refused, saying where the right one is."""
    with pytest.raises(ConfigError, match="beside the public key"):
        Signer(name, BODY)


def test_C11_white_space_around_an_id_is_dropped() -> None:
    """An id that was read from a file with its newline is the same id, of every kind of signer and of a key group."""

    class Remote:
        key_pair_id = f"{KEY_PAIR_ID}\n"
        hash_algorithm = SIGNER.hash_algorithm
        sign = SIGNER.sign

    for signer in (Remote(), Signer(f" {KEY_PAIR_ID}\n", KEYS / "p256-pkcs8.pem")):
        location = fetch(gate(Judge(), signer=signer), "/private/a").location
        group = KeyGroup({f"{KEY_PAIR_ID}\n": KEYS / "p256-public.pem"})
        assert verify_url(location.removeprefix(BASE_URL), base_url=BASE_URL, key_group=group, now=NOW)


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("slash", ["/", "\\", "//", "/./", "/x/../"])
@pytest.mark.parametrize("mount", ["", "/mnt"])
def test_K6_a_path_that_decodes_into_the_prefix_is_refused(depth: int, slash: str, mount: str) -> None:
    """However often an application decodes again, up to three times, and however it folds, nothing gets past."""
    hidden = f"{slash}private{slash}x.txt"
    for _ in range(depth):
        hidden = quote(hidden, safe="/").replace("private", "%70rivate").replace(".", "%2E")
    judge, wrapped = Judge(), Wrapped(strict=False)
    app = gate(judge, wrapped)
    answer = fetch(app, hidden if hidden[:1] == "/" else f"/{hidden}", mount=mount, strict=False)
    assert (answer.code, judge.asked, wrapped.calls) in [(400, [], []), (303, ["/x.txt"], [])]


@pytest.mark.parametrize(
    "target",
    ["/%2570rivate/x.txt", "/private%252Fx.txt", "/.%252Fprivate/x.txt", "/%252e/private/x", "/a%255c..%255cprivate/x"],
)
def test_K6_a_second_decoding_leads_into_the_prefix(target: str) -> None:
    """A path that is harmless as it comes, and private once it is decoded again, is refused."""
    judge, wrapped = Judge(), Wrapped()
    assert (sent(target, judge, wrapped), judge.asked, wrapped.calls) == (400, [], [])


@pytest.mark.parametrize(
    "target", ["/public/100%25.pdf", "/a%2520b", "/%25E2%2582%25AC", "/privat%2565r/x", "/%2570ub/x"]
)
def test_K6_other_escaped_names_are_the_applications(target: str) -> None:
    """A percent sign in a name outside the prefix is the application's business."""
    wrapped = Wrapped()
    assert sent(target, Judge(), wrapped) == 200
    assert len(wrapped.calls) == 1


@pytest.mark.parametrize("verdict", [PASS], ids=["PASS"])
@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/private/thumbnails/..%252fx.txt", 400),
        ("/private/thumbnails%252fx.txt", 400),
        ("/private/a%255cb", 400),
        ("/private/%252e%252e", 400),
        ("/private/a%2500", 400),
        ("/private/a%257f", 400),
        ("/private/%25252e%25252e/x", 400),
        ("/private/100%25.pdf", 200),
        ("/private/%25E2%2582%25AC", 200),
        ("/private/a%2520b", 200),
        ("/private/%E2%82%AC", 200),
    ],
)
def test_K7_what_a_second_decoding_changes_is_not_passed_on(verdict: Any, target: str, code: int) -> None:
    """PASS is for paths that mean the same to an application that decodes again; a yes needs no such care."""
    judge, wrapped = Judge(verdict), Wrapped(strict=False)
    assert (sent(target, judge, wrapped), len(wrapped.calls)) == (code, int(code == 200))
    assert judge.asked
    assert sent(target, Judge(True)) == 303


@pytest.mark.parametrize(
    "target",
    ["/mnt/../mnt/private/x", "/mnt/%2e%2e/mnt/private/x", "/mnt//mnt/private/x", "/mnt/%252e%252e/mnt/private"],
)
def test_K8_a_path_that_climbs_out_of_the_mount_point_and_back_is_refused(target: str) -> None:
    """The path is folded together with the mount point, too."""
    judge, wrapped = Judge(), Wrapped(strict=False)
    assert (sent(target, judge, wrapped, mount="/mnt"), judge.asked, wrapped.calls) == (400, [], [])


def test_K9_a_url_that_is_too_long_is_refused_before_anyone_is_asked() -> None:
    """Nobody is asked about what could not be signed for its length, and nothing is signed or remembered."""
    judge = Judge()
    app = gate(judge, reuse_for=60, forward_query=["v"])
    for path, query in (
        ("/private/" + "x" * 250_000, ""),
        ("/private/" + "é" * 2000, ""),
        ("/private/x", "v=" + "%20" * 2730),
    ):
        answer = fetch(app, path, query=query)
        assert (answer.code, judge.asked, answer.values("Location")) == (414, [], [])


def test_K9_a_signature_for_a_long_policy_is_not_remembered() -> None:
    """What is remembered is bounded by bytes: a policy of more than 2 KB is signed each time."""
    messages: list[bytes] = []

    class Counting:
        key_pair_id = KEY_PAIR_ID
        hash_algorithm = "SHA256"

        def sign(self, message: bytes) -> bytes:
            messages.append(message)
            return SIGNER.sign(message)

    app = gate(Judge(), reuse_for=60, signer=Counting())
    probes = len(messages)
    for length in (1_000, 3_000):
        before = len(messages)
        for _ in range(3):
            fetch(app, "/private/" + "x" * length)
        assert len(messages) - before == (1 if length == 1_000 else 3)
    assert probes <= 1
    assert MEMO_BYTES == 16 * 2**20


@pytest.mark.parametrize("now", [float("nan"), float("inf"), -float("inf"), "1800000000", None])
def test_K11_a_time_that_is_no_finite_number_verifies_nothing(now: Any) -> None:
    """No URL is accepted at a time that compares with nothing."""
    location = fetch(gate(Judge()), "/private/a").location.removeprefix(BASE_URL)
    with pytest.raises(ConfigError, match="now="):
        verify_url(location, base_url=BASE_URL, key_group=KEY_GROUP, now=now)


@pytest.mark.parametrize("clock", [NOW * 1000, -100, float("nan"), float("inf"), "now", None, 1e300])
@pytest.mark.parametrize("grant", [Grant(), Grant(ip_address="203.0.113.7")], ids=["canned", "custom"])
def test_K19_a_clock_that_gives_no_epoch_seconds_signs_nothing(clock: Any, grant: Grant) -> None:
    """Milliseconds and no numbers are an error of both kinds of policy, never a URL that is valid for long."""
    app = gate(Judge(grant))
    app.clock = lambda: clock
    with pytest.raises(SigningError, match="epoch seconds"):
        fetch(app, "/private/a")


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("X-Accel-Expires", "3600", "0"),
        ("Edge-Control", "cache-maxage=1h", "no-store"),
        ("Edge-Control", "!no-store", "no-store"),
        ("Expires", "Thu, 01 Jan 2099 00:00:00 GMT", "0"),
        ("CDN-Cache-Control", "max-age=60", "no-store"),
        ("Netlify-CDN-Cache-Control", "public", "public, no-store"),
        ("Surrogate-Control", "max-age=60", "no-store"),
        ("cache-control", "private", "private, no-store"),
    ],
)
def test_K20_no_header_field_lets_a_cache_keep_a_grant(name: str, value: str, good: str) -> None:
    """A field that speaks to a cache must forbid storing, in the option and in a grant."""
    for refuse in (lambda: gate(Judge(), headers={name: value}), lambda: Grant(headers={name: value})):
        with pytest.raises(ConfigError, match="cache"):
            refuse()
    assert good in fetch(gate(Judge(), headers={name: good}), "/private/a").values(name)


@pytest.mark.parametrize("name", ["a\u202egpj.exe", "\u2066a", "..", ".", " ", ". .", "a\u2029b", "a\x00"])
def test_K21_a_name_that_deceives_or_is_none_is_refused(name: str) -> None:
    """No download gets a name that shows another extension than it has, or is no name."""
    with pytest.raises(ConfigError, match="filename"):
        Grant(filename=name)


@pytest.mark.parametrize("path", [b"/private/" + b"\xff" * 1_000_000, b"/private/" + b"x" * 1_000_000])
def test_K22_log_and_record_are_cut(path: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """A request cannot write long lines into the log or the record, whatever it asks for."""
    records: list[DecisionRecord] = []
    caplog.set_level("INFO", "cfgate_middleware")
    fetch(gate(Judge(), on_decision=records.append), path)
    assert len(records[0].path) == 2000
    assert max(len(line) for line in caplog.messages) < 2100


def test_K22_a_method_is_spelled_and_cut() -> None:
    """A method is escaped and cut in the record, too."""
    records: list[DecisionRecord] = []
    for verdict in (False, PASS, True):
        app = gate(Judge(verdict), Wrapped(strict=False), on_decision=records.append)
        fetch(app, "/private/a", method="G\nT" * 5000, strict=False)
        assert records[-1].method.startswith("G%0AT")
        assert len(records[-1].method) == 2000


@pytest.mark.parametrize("prefix", ["/", "/private"])
def test_K23_an_environ_of_http_0_9_is_no_error(prefix: str) -> None:
    """A server that gives no method and no path gets an answer."""
    app: Any = gate(Judge(), Wrapped(strict=False), prefix=prefix)
    started: list[str] = []
    app({"QUERY_STRING": ""}, lambda status, headers: started.append(status)) if prefix == "/" else None
    assert started == (["400 Bad Request"] if prefix == "/" else [])
    assert sent("/other", Judge()) == 200


class AsyncError(Exception):
    """What a framework for ASGI raises."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


def test_K24_an_exception_that_cannot_answer_is_chained() -> None:
    """An exception that only ASGI could send is reported as raised, with the real one behind it."""
    raised = AsyncError("real reason")
    with pytest.raises(AuthorizerError, match=r"raised .*AsyncError") as caught:
        fetch(gate(Judge(raised)), "/private/a")
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "get"])
def test_C4_every_method_and_every_clean_path_asks(method: str) -> None:
    """Forms, uploads and listings of the application can live below the prefix."""
    for path in ("/private", "/private/", "/private/v2/", "/private/x"):
        judge, wrapped = Judge(PASS), Wrapped(strict=False)
        assert fetch(gate(judge, wrapped), path, method=method, strict=False).code == 200
        assert judge.asked == [path.removeprefix("/private") or "/"]
        refused = fetch(gate(Judge(404)), path, method=method, strict=False)
        assert refused.code == 404


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("OPTIONS", "/private/x", 204),
        ("OPTIONS", "/private/", 204),
        ("POST", "/private/x", 405),
        ("POST", "/private/", 405),
        ("GET", "/private/", 404),
        ("HEAD", "/private", 404),
        ("GET", "/private/dir/", 404),
    ],
)
def test_C4_a_yes_to_what_cannot_be_signed_is_no_grant(method: str, path: str, code: int) -> None:
    """A yes signs objects for GET and HEAD; the answer to any other says what is possible."""
    for verdict in (True, 204, Grant(), Grant(expires=5)):
        judge = Judge(verdict)
        answer = fetch(gate(judge), path, method=method)
        assert (answer.code, answer.values("Location"), len(judge.asked)) == (code, [], 1)
        assert answer.values("Allow") == (["GET, HEAD, OPTIONS"] if code in (204, 405) else [])


def test_C4_a_grant_for_another_object_needs_none_of_its_own() -> None:
    """A path without object can stand for one that the authorizer names."""
    answer = fetch(gate(Judge(Grant(path="/index.html"))), "/private/")
    assert verified(answer.location).policy.resource == f"{BASE_URL}/index.html"


def test_C6_players_may_escape_what_they_copy() -> None:
    """A signature whose ``~`` was escaped on its way verifies in a URL, and not in a cookie."""
    location = next(
        url for url in (fetch(gate(Judge()), f"/private/{n}").location for n in range(99)) if "~" in url.split("?")[1]
    )
    assert verified(location.replace("~", "%7E"))
    cookies = Distribution(BASE_URL, signer=SIGNER).cookies("/a")
    cookies["CloudFront-Signature"] = f"%7E{cookies['CloudFront-Signature']}"
    with pytest.raises(MalformedSignature):
        verify_cookies("/a", cookies, base_url=BASE_URL, key_group=KEY_GROUP, now=0)


def test_C7_with_policy_and_expires_the_policy_counts() -> None:
    """A URL with both, as a signer for Node.js writes it, is judged by its policy; cookies with both are not."""
    answer = fetch(gate(Judge(Grant(ip_address="203.0.113.7"))), "/private/a")
    assert verified(f"{answer.location}&Expires={NOW + 9999}", viewer_address="203.0.113.7").policy.end == NOW + 60
    cookies = signed_cookies(f"{BASE_URL}/a", SIGNER, now=NOW, scope="/")
    with pytest.raises(Contradiction):
        verify_cookies(
            "/a", {**cookies, "CloudFront-Expires": f"{NOW + 60}"}, base_url=BASE_URL, key_group=KEY_GROUP, now=NOW
        )


@pytest.mark.parametrize("verdict", [1, 302, HTTPStatus.FOUND, type("ACLAllowed", (int,), {})(1)])
def test_C16_an_int_that_is_no_verdict_is_named(verdict: int) -> None:
    """An int subclass, such as what a permission check of a framework returns, is named with the cure."""
    with pytest.raises(AuthorizerError) as caught:
        fetch(gate(Judge(verdict)), "/private/a")
    assert ("ACLAllowed, an int subclass: wrap it in bool()" in str(caught.value)) == (
        type(verdict).__name__ == "ACLAllowed"
    )


def test_C17_a_refusal_says_which_url_was_checked() -> None:
    """A URL that was signed for another name of the same machine is easily told."""
    target = fetch(gate(Judge(), domain="http://localhost:8000"), "/private/a").location.removeprefix(
        "http://localhost:8000"
    )
    with pytest.raises(BadSignature, match=re.escape("http://127.0.0.1:8000/a")):
        verify_url(target, base_url="http://127.0.0.1:8000", key_group=KEY_GROUP, now=NOW)


def edge(root: Path, **options: Any) -> LocalEdge:
    """Return an edge over a directory, at the tests' time."""
    made = LocalEdge(root, KEY_GROUP, public_url=BASE_URL, **options)
    made.clock = lambda: NOW
    return made


def of_edge(app: LocalEdge, path: str, *, method: str = "GET", target: str = "", **extra: Any) -> Answer:
    """Ask an edge for a path, signed, or for ``target``."""
    raw = target or fetch(gate(Judge()), f"/private{path}").location.removeprefix(BASE_URL)
    return fetch(app, "/", method=method, RAW_URI=raw, **extra)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("HTTP_RANGE", f"bytes={'9' * 5000}-", 416),
        ("HTTP_RANGE", f"bytes=1-{'9' * 5000}", 206),
        ("HTTP_RANGE", f"bytes=-{'9' * 5000}", 416),
        ("HTTP_RANGE", "bytes=x", 200),
        ("HTTP_RANGE", "bytes=5-2", 200),
        ("HTTP_RANGE", "\xff", 200),
        *(
            (name, "Thu, 01 Jan 99999999999 00:00:00 GMT", 200)
            for name in (
                "HTTP_IF_MODIFIED_SINCE",
                "HTTP_IF_UNMODIFIED_SINCE",
                "HTTP_IF_RANGE",
                "HTTP_IF_NONE_MATCH",
            )
        ),
    ],
)
def test_K14_a_condition_that_cannot_be_read_is_ignored(tmp_path: Path, field: str, value: str, code: int) -> None:
    """No Range and no condition of a client is a server error."""
    (tmp_path / "a").write_bytes(b"0123456789")
    extra = {"HTTP_RANGE": "bytes=0-"} if field == "HTTP_IF_RANGE" else {}
    assert of_edge(edge(tmp_path), "/a", **{**extra, field: value}).code == code


@given(
    st.sampled_from(["RANGE", "IF_RANGE", "IF_MATCH", "IF_NONE_MATCH", "IF_MODIFIED_SINCE", "IF_UNMODIFIED_SINCE"]),
    st.text(st.characters(max_codepoint=255))
    | st.from_regex(r"(bytes|x) ?= ?[0-9,\- ]*", fullmatch=True)
    | st.from_regex(
        r'(W/)?"?[a-z]*"?|[A-Z][a-z]{2}, [0-9]{1,3} Jan [0-9]{1,12} [0-9:]* ?(GMT|[+-][0-9]{1,9})', fullmatch=True
    ),
)
def test_K14_the_edge_never_fails(name: str, value: str) -> None:
    """Whatever a condition holds, an edge answers with what it serves or refuses."""
    app = edge(KEYS)
    answer = of_edge(app, "/README.rst", **{"HTTP_RANGE": "bytes=0-5", f"HTTP_{name}": value})
    assert answer.code in (200, 206, 304, 412, 416)


def test_K15_a_long_target_without_a_slash_is_refused(tmp_path: Path) -> None:
    """A target without a scheme and a path is no URL, however long it is."""
    assert of_edge(edge(tmp_path), "", target="a" * 8000).code == 403
    assert of_edge(edge(tmp_path), "", target="a" * 60_000).code == 414


@pytest.mark.parametrize("link", ["directory", "file"])
def test_K16_what_becomes_a_link_while_it_is_opened_is_not_followed(
    tmp_path: Path, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that appears between the check of a path and its opening does not lead out of the root."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "d", outside):
        folder.mkdir(parents=True)
        (folder / "a").write_bytes(folder.name.encode())
    app = edge(root)
    assert of_edge(app, "/d/a").body == b"d"
    resolve = os.path.realpath

    def swap(path: Any, **options: Any) -> Any:
        """Resolve a path, and then put a link in its place, as somebody who is faster would."""
        resolved = resolve(path, **options)
        changed = root / "d" if link == "directory" else root / "d" / "a"
        if not changed.is_symlink():
            changed.rename(tmp_path / "moved")
            changed.symlink_to(outside if link == "directory" else outside / "a")
        return resolved

    monkeypatch.setattr("os.path.realpath", swap)
    answer = of_edge(app, "/d/a")
    assert (answer.code, b"outside" in answer.body) == (403, False)


def test_K16_links_inside_the_root_are_followed(tmp_path: Path) -> None:
    """A link from one place inside the root to another goes on working."""
    (tmp_path / "a").write_bytes(b"inside")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "c").symlink_to(tmp_path)
    app = edge(tmp_path)
    assert [of_edge(app, path).body for path in ("/b", "/c/a", "/c/c/b")] == [b"inside"] * 3


@pytest.mark.parametrize(
    ("target", "extra", "code"),
    [
        ("http://evil.example/a", {}, 403),
        ("https://cdn.example.com.evil.example/a", {}, 403),
        ("/" + "a" * 8200, {}, 414),
        ("/a", {"CONTENT_LENGTH": "1"}, 403),
        ("/a", {"HTTP_TRANSFER_ENCODING": "chunked"}, 403),
    ],
)
def test_K18_what_cloudfront_would_not_take_is_refused(
    tmp_path: Path, target: str, extra: dict[str, str], code: int
) -> None:
    """A target for another host, too long a URL and a body are refused with a page, before any signature is read."""
    answer = of_edge(edge(tmp_path), "", target=target, **extra)
    assert (answer.code, answer.values("Content-Type")) == (code, ["text/html"])


def test_K18_a_target_in_absolute_form_for_the_edge_itself_is_served(tmp_path: Path) -> None:
    """A proxy may send the whole URL."""
    (tmp_path / "a").write_bytes(b"served")
    target = fetch(gate(Judge()), "/private/a").location
    assert of_edge(edge(tmp_path), "", target=target).body == b"served"


@pytest.mark.parametrize(
    ("allowed", "origin", "fields"),
    [
        (None, "https://app.example", (None, None, None)),
        ("*", "null", ("*", None, None)),
        ("https://app.example", "https://app.example", ("https://app.example", "true", "Origin")),
        (
            ["https://b.example", "https://app.example"],
            "https://app.example",
            ("https://app.example", "true", "Origin"),
        ),
        ("https://app.example", "https://evil.example", (None, None, "Origin")),
        ("https://app.example", "", (None, None, "Origin")),
    ],
)
def test_C3_an_edge_answers_scripts_of_allowed_origins(tmp_path: Path, allowed: Any, origin: str, fields: Any) -> None:
    """The edge speaks CORS as a distribution with a response headers policy does, on what it serves."""
    (tmp_path / "a").write_bytes(b"served")
    app = edge(tmp_path, allow_origin=allowed)
    names = ("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Vary")
    answer = of_edge(app, "/a", **({"HTTP_ORIGIN": origin} if origin else {}))
    assert (answer.body, *(next(iter(answer.values(name)), None) for name in names)) == (b"served", *fields)
    asked = {
        "HTTP_ORIGIN": origin,
        "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "GET",
        "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": "range",
    }
    preflight = of_edge(app, "/a", method="OPTIONS", **asked)
    assert preflight.code == (200 if allowed else 403)
    assert preflight.values("Access-Control-Allow-Headers") == (["range"] if fields[0] else [])
    assert of_edge(app, "", target="/a", HTTP_ORIGIN=origin).values(names[0]) == []


@pytest.mark.parametrize("origins", ["app.example", "https://app.example/", "", [], 7, ["*", None]])
def test_C3_what_is_not_an_origin_is_refused(tmp_path: Path, origins: Any) -> None:
    """An origin is a scheme and a host."""
    with pytest.raises(ConfigError, match="allow_origin"):
        edge(tmp_path, allow_origin=origins)


@pytest.mark.parametrize(
    "url",
    [
        "https://d1.cloudfront.net/npm/foo@1.0.tgz",
        "https://d1.cloudfront.net/plain/s3://bucket/a.jpg",
        "https://d1.cloudfront.net/d/a?download",
        "https://d1.cloudfront.net/d/a?expires=1&policy=x/y",
        "https://d1.cloudfront.net/d/a?",
        "https://d1.cloudfront.net/a%20b/%e2%82%ac;x=1+2$~%2F",
        "http://localhost:8000/a//b/?q=a/b?c",
    ],
)
def test_C9_a_url_is_signed_as_it_is(url: str) -> None:
    """A URL and its scopes are signed byte for byte, whatever its own spelling is."""
    location = signed_url(url, SIGNER, now=NOW)
    assert location.startswith(f"{url}&Expires=" if "?" in url else f"{url}?Expires=")
    assert verified(location).policy.resource == url
    path = url.partition("?")[0]
    scoped = verified(signed_url(url, SIGNER, now=NOW, scope="directory")).policy.resource
    assert scoped == f"{path[: path.rindex('/') + 1]}*"


@pytest.mark.parametrize(
    ("url", "telling"),
    [
        ("videos/test.mp4", "whole URL"),
        ("d1.cloudfront.net/a", "whole URL"),
        ("ftp://d1.cloudfront.net/a", "whole URL"),
        ("https://d1.cloudfront.net", "whole URL"),
        ("https://user@d1.cloudfront.net/a", "user information"),
        ("https://D1.cloudfront.net/a", "https://d1.cloudfront.net"),
        ("https://d1.cloudfront.net:443/a", "https://d1.cloudfront.net"),
        *((f"https://d1.cloudfront.net/a{char}b", "%XX") for char in " \"'\\<>{}|^`#*é\n\x7f"),
        *((f"https://d1.cloudfront.net/a?b{char}", "%XX") for char in " '*é"),
        ("https://d1.cloudfront.net/a/../b", "dot segments"),
        ("https://d1.cloudfront.net/a/%2e%2E/b", "dot segments"),
        ("https://d1.cloudfront.net/.", "dot segments"),
        *((f"https://d1.cloudfront.net/a?x=1&{name}=1", name) for name in RESERVED),
        ("https://d1.cloudfront.net/a?%50olicy=1", "Policy"),
        ("https://d1.cloudfront.net/a?response-content-type=text%2Fhtml", "response-content-type"),
        ("https://d1.cloudfront.net/a?x&RESPONSE-Cache-Control", "RESPONSE-Cache-Control"),
    ],
)
def test_C8_K10_what_clients_rewrite_or_text_from_outside_could_hold_is_not_signed(url: str, telling: str) -> None:
    """A URL that would grant something else than it seems is refused, and so are its cookies."""
    for sign in (signed_url, signed_cookies):
        with pytest.raises(PathError, match=re.escape(telling)):
            sign(url, SIGNER, now=NOW)


@pytest.mark.parametrize("slug", ["a.svg?response-content-type=text%2Fhtml", "a?Expires=9", "a*", "../b", "a#b"])
def test_K10_a_path_from_outside_has_a_place_of_its_own(slug: str) -> None:
    """What is put into ``location`` can smuggle nothing; what is given as ``path`` is only ever a path."""
    options: dict[str, Any] = {"signer": SIGNER, "authorize": lambda: True}
    with pytest.raises(ConfigError, match="location"):
        CloudFrontRedirect(f"{BASE_URL}/{slug}", **options)
    if ".." in slug:
        with pytest.raises(PathError, match="path"):
            CloudFrontRedirect(BASE_URL, path=f"/{slug}", **options)
        return
    redirect: Any = CloudFrontRedirect(f"{BASE_URL}/base", path=f"/{slug}", **options)
    redirect.clock = lambda: NOW
    assert verified(redirect.go().location).policy.resource == f"{BASE_URL}/base/{quote(slug, safe='/=')}"


@pytest.mark.parametrize(
    ("domain", "telling"),
    [
        ("EDFDVBD6EXAMPLE", "names a distribution"),
        ("arn:aws:cloudfront::123456789012:distribution/EDFDVBD6EXAMPLE", "names a distribution"),
        (f"https://d1.cloudfront.net/{'a' * 8000}", "room"),
    ],
)
def test_C11_a_domain_that_is_none_is_named(domain: str, telling: str) -> None:
    """What is no address of a distribution is refused with the reason."""
    with pytest.raises(ConfigError, match=telling):
        Distribution(domain, signer=SIGNER)


def test_C1_every_stable_spelling_is_a_domain_and_a_location() -> None:
    """What we would write ourselves is taken in a base path and in a location."""
    base = f"{BASE_URL}/(a)@1.0,b=c:d!e&f"
    assert verified(fetch(gate(Judge(), domain=base), "/private/x").location).policy.resource == f"{base}/x"
    redirect: Any = CloudFrontRedirect(f"{base}?v=a/b@c", signer=SIGNER, authorize=lambda: True)
    assert redirect.go().location.startswith(f"{base}?v=a/b@c&Expires=")


async def asgi_application(scope: Any, receive: Any, send: Any) -> None:
    """An application of another kind."""


class AsgiApplication:
    """The same as an object."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize("app", [asgi_application, AsgiApplication(), partial(asgi_application)])
def test_C14_an_asgi_application_is_refused(app: Any) -> None:
    """An application that no WSGI server could call is refused when the gate is built."""
    with pytest.raises(ConfigError, match="ASGI"):
        gate(Judge(), app)


def test_C14_a_generator_is_an_application() -> None:
    """A WSGI application may be a generator function."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"generated"

    assert fetch(gate(Judge(), app), "/other").body == b"generated"


def of_ini(tmp_path: Path, *lines: str) -> Any:
    """Load a gate from an ini file with these lines beside what every gate needs."""
    ini = tmp_path / "gate.ini"
    common = ["[app:main]", "use = egg:cfgate-middleware", "prefix = /private", f"domain = {BASE_URL}"]
    keys = [f"key_pair_id = {KEY_PAIR_ID}", f"private_key = {KEYS / 'p256-pkcs8.pem'}"]
    ini.write_text("\n".join([*common, *keys, *lines]))
    return loadapp(f"config:{ini}")


@pytest.mark.parametrize("names", ["['a', 'b']", "[a, b]", '"a"', "('a')", "{'a'}"])
def test_C19_names_in_brackets_or_quotes_are_refused(tmp_path: Path, names: str) -> None:
    """An ini file takes names, not Python's spelling of a list."""
    with pytest.raises(ConfigError, match="forward_query"):
        of_ini(tmp_path, "authorize = tests.test_regressions:factory", f"forward_query = {names}")


def factory(*, password: str) -> Any:
    """Make an authorizer, or fail as a constructor does that checks its arguments."""
    raise ValueError(f"weak password: {password}")


def test_K5_the_value_of_a_role_is_not_shown(tmp_path: Path) -> None:
    """What a factory raises may hold what it was given, so only its kind is reported."""
    with pytest.raises(ConfigError, match=r"authorize\.password") as caught:
        of_ini(tmp_path, "authorize = tests.test_regressions:factory", "authorize.password = hunter2")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


def test_K5_a_misspelt_role_is_named(tmp_path: Path) -> None:
    """A line that the factory does not take is reported with its name."""
    with pytest.raises(ConfigError, match="passwrod"):
        of_ini(tmp_path, "authorize = tests.test_regressions:factory", "authorize.passwrod = hunter2")


@pytest.mark.parametrize("value", [" sid=SECRET", "sid=SE\nCRET", "sid=SECRET\u20ac"])
def test_K5_the_value_of_a_header_field_is_not_shown(value: str) -> None:
    """A wrong header field is reported by its name."""
    with pytest.raises(ConfigError, match="Set-Cookie") as caught:
        Grant(headers=[("Set-Cookie", value)])
    assert "CRET" not in str(caught.value)


OTHER = ec.derive_private_key(4711, ec.SECP256R1())
OTHER_PRIVATE = OTHER.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
OTHER_PUBLIC = OTHER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
PRIVATE, PUBLIC = ((KEYS / f"p256-{name}.pem").read_text() for name in ("pkcs8", "public"))


@pytest.mark.parametrize(
    ("pem", "telling"),
    [
        (PRIVATE + OTHER_PRIVATE, "2 private keys"),
        (PRIVATE + PRIVATE, "2 private keys"),
        (PRIVATE + OTHER_PUBLIC, "another pair"),
        (OTHER_PUBLIC + PRIVATE, "another pair"),
    ],
)
def test_K12_a_file_to_which_a_key_was_appended_is_refused(pem: str, telling: str) -> None:
    """Which key signs is never a matter of order in a file."""
    with pytest.raises(ConfigError, match=telling):
        Signer(KEY_PAIR_ID, pem)


def test_K12_a_key_beside_its_own_public_half_is_taken() -> None:
    """A file that holds one pair is unambiguous."""
    for pem in (PRIVATE + PUBLIC, PUBLIC + PRIVATE):
        assert Signer(KEY_PAIR_ID, pem).public_key_pem() == PUBLIC


def make_device(path: Path) -> None:
    """Make what never ends."""
    path.symlink_to("/dev/zero")


def make_fifo(path: Path) -> None:
    """Make what would hang a reader."""
    os.mkfifo(path)


def make_large(path: Path) -> None:
    """Make a file that no key file is as large as, without writing it."""
    with path.open("wb") as file:
        file.truncate(2**30)


@pytest.mark.parametrize(
    ("make", "telling"),
    [
        (make_fifo, "regular"),
        (make_large, "64 KB"),
        (Path.mkdir, ""),
        (make_device, "regular"),
    ],
)
def test_K13_only_a_small_regular_file_is_read(
    tmp_path: Path, make: Any, telling: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A pipe, a device or a huge file in place of a key or a ring is refused at once, and the old ring stays."""
    make(tmp_path / "odd")
    with pytest.raises(ConfigError, match=f"private_key.*{telling}"):
        Signer(KEY_PAIR_ID, tmp_path / "odd")
    with pytest.raises(ConfigError, match=f"ring file .*{telling}"):
        gate(Judge(), signer=None, keys=f"file:{tmp_path / 'odd'}")
    (tmp_path / "ring").write_text(f"{KEY_PAIR_ID} {KEYS / 'p256-pkcs8.pem'}\n")
    seconds = [0.0]
    ring = WatchedRing(tmp_path / "ring", clock=lambda: seconds[0])
    (tmp_path / "odd").rename(tmp_path / "new")
    (tmp_path / "ring").unlink()
    (tmp_path / "new").rename(tmp_path / "ring")
    seconds[0] += 30
    assert ring.current(NOW).key_pair_id == KEY_PAIR_ID
    assert "the current keys stay in use" in caplog.text


def test_K25_a_ring_file_that_may_be_half_written_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A reloaded file without a last newline is used only after two equal readings, with one error meanwhile."""
    for name, pem in (("old", PRIVATE), ("new", OTHER_PRIVATE)):
        (tmp_path / name).write_text(pem)
    file, seconds = tmp_path / "ring", [0.0]
    file.write_text("KOLD old")
    ring = WatchedRing(file, clock=lambda: seconds[0])

    def used() -> str:
        """Return the key in use after the next check of the file."""
        seconds[0] += 30
        return ring.current(NOW).key_pair_id

    assert used() == "KOLD"
    file.write_text("KOLD old\nKNEW new")
    os.utime(file, ns=(1, 1))
    assert used() == "KOLD"
    file.write_text("KOLD old\nKNEW new 2100-01-01T00:00:00Z")
    os.utime(file, ns=(2, 2))
    assert used() == "KOLD"
    assert caplog.text.count("newline") == 2
    assert used() == "KOLD"
    assert caplog.text.count("newline") == 2
    file.write_text("KNEW new")
    os.utime(file, ns=(3, 3))
    assert [used(), used()] == ["KOLD", "KNEW"]
    file.write_text("KOLD old\n")
    assert used() == "KOLD"


@pytest.mark.parametrize("newline", ["\n", "\\n", "\\\\n", "\\\\\\\\n", "\\r\\n", "\\\\r\\\\n", " ", "\r\n", "\t\n\n"])
@pytest.mark.parametrize("key", ["p256-pkcs8", "p256-sec1", "rsa-2048-pkcs1"])
def test_C10_line_ends_of_a_pem_are_repaired(newline: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often an environment or a JSON file escaped the lines of a PEM, the key loads, and so does its base64."""
    pem = (KEYS / f"{key}.pem").read_text()
    mangled = pem.replace("\n", newline)
    public = Signer(KEY_PAIR_ID, pem).public_key_pem()
    monkeypatch.setenv("CFGATE_TEST_KEY", mangled)
    monkeypatch.setenv("CFGATE_TEST_BASE64", b64encode(mangled.encode()).decode())
    for source in (mangled, mangled.encode(), "env:CFGATE_TEST_KEY", "env:CFGATE_TEST_BASE64", b64encode(pem.encode())):
        assert Signer(KEY_PAIR_ID, source).public_key_pem() == public
    assert KeyGroup({KEY_PAIR_ID: public.replace("\n", newline)})


@given(st.binary(max_size=300), st.sampled_from([PRIVATE, PUBLIC]), st.integers(0, 400))
def test_C10_a_damaged_pem_is_refused(noise: bytes, pem: str, place: int) -> None:
    """Whatever a damaged PEM holds, it loads or is refused; it never fails otherwise."""
    damaged = pem.encode()[:place] + noise + pem.encode()[place:]
    for make in (lambda: Signer(KEY_PAIR_ID, damaged), lambda: KeyGroup({KEY_PAIR_ID: damaged})):
        with contextlib.suppress(ConfigError):
            make()


@pytest.mark.parametrize("path", [str, Path])
def test_C13_C15_a_path_is_taken_and_a_wrong_one_is_named(tmp_path: Path, path: Any) -> None:
    """Wherever a source is asked for a path works, and one that cannot be read is shown with its folder."""
    assert Signer(KEY_PAIR_ID, path(KEYS / "p256-pkcs8.pem"))
    assert KeyGroup({KEY_PAIR_ID: path(KEYS / "p256-public.pem")})
    wrong = path("keys/cloudfornt.pem")
    for make in (lambda: Signer(KEY_PAIR_ID, wrong), lambda: KeyGroup({KEY_PAIR_ID: wrong})):
        with pytest.raises(ConfigError) as caught:
            make()
        assert "'keys/cloudfornt.pem'" in str(caught.value)
        assert str(Path.cwd()) in str(caught.value)
    ring = tmp_path / "ring"
    ring.write_text(f"{KEY_PAIR_ID} cloudfornt.pem\n")
    with pytest.raises(ConfigError, match=re.escape(str(tmp_path))):
        gate(Judge(), signer=None, keys=f"file:{ring}")


@pytest.mark.parametrize("line", ["${KEY}", f"{KEY_PAIR_ID} ${{KEY}}", f"{KEY_PAIR_ID}$(x)"])
def test_C18_a_placeholder_in_a_ring_is_named(line: str) -> None:
    """A placeholder that nothing filled in gets the same help in a ring as elsewhere."""
    for keys in (line, [line]):
        with pytest.raises(ConfigError, match="placeholder"):
            gate(Judge(), signer=None, keys=keys)


def test_K17_where_openssl_refuses_sha_1_a_request_without_a_marker_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a hardened machine a SHA-1 signature is refused as one that does not hold; it is never a server error."""

    class Forbidden(SHA1):
        name = "forbidden"  # OpenSSL knows no such hash, so it refuses as it refuses a forbidden one

    monkeypatch.setitem(pem_module._HASHES, "SHA1", Forbidden)
    (tmp_path / "a").write_bytes(b"served")
    target = "/a" + fetch(gate(Judge()), "/private/a").location.removeprefix(f"{BASE_URL}/a")
    assert of_edge(edge(tmp_path), "", target=target.replace("&Hash-Algorithm=SHA256", "")).code == 403


@pytest.mark.parametrize(
    ("prefix", "mount", "path", "cure"),
    [
        ("/private", "/private", "/x", "write /"),
        ("/private", "/mnt/private", "/x", "write /"),
        ("/mnt/private", "/mnt", "/private/x", "write /private"),
        ("/private", "/mnt", "/x", None),
        ("/mnt/private", "/mnt", "/x", None),
        ("/private", "/myprivate", "/x", None),
        ("/", "/mnt", "", None),
        ("/private", "", "/x", None),
    ],
)
def test_C5_a_gate_that_is_mounted_where_it_guards_nothing_says_so_once(
    prefix: str, mount: str, path: str, cure: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A mount point that makes the prefix useless is one error in the log, with what to write instead."""
    app = gate(Judge(), Wrapped(), prefix=prefix)
    for _ in range(2):
        assert fetch(app, path, mount=mount).code in (200, 404)
    assert [cure in message for message in caplog.messages if cure] == ([True] if cure else [])


@pytest.mark.parametrize("mount", ["private", "\\private", "/a/../private", "http://h/private"])
def test_K8_a_mount_point_without_its_slash_hides_nothing(mount: str) -> None:
    """A dispatcher that takes an odd target for a mount point does not lead it past the gate."""
    judge, wrapped = Judge(), Wrapped(strict=False)
    code = fetch(gate(judge, wrapped), "/x", mount=mount, strict=False).code
    assert (code, judge.asked) == (400 if mount[0] != "/" else 200, [])


def test_K8_an_odd_name_is_the_applications_wherever_it_is_mounted() -> None:
    """A site that is mounted below a path of the prefix's name keeps its own odd names."""
    wrapped = Wrapped()
    assert fetch(gate(Judge(), wrapped), "/100%.pdf", mount="/private").code == 200


@pytest.mark.parametrize("name", ["\u0301", "\u2025", ".\u0301.", "\uff0e\uff0e", "\u00a0", "\u3000"])
def test_K21_the_fallback_of_a_name_is_a_name(name: str) -> None:
    """What is left of a name in ASCII is never empty, dots or space."""
    location = unquote_to_bytes(fetch(gate(Judge(Grant(filename=f"{name}"))), "/private/a").location).decode()
    assert 'attachment; filename="_";' in location


def test_K9_a_viewer_cannot_cause_a_server_error_by_length() -> None:
    """A path that is too long for any grant is 414, also where the grant adds a query; what that adds is an error."""
    for verdict in (Grant(query={"v": "1"}), Grant(filename="a"), Grant(ip_address="203.0.113.7"), True):
        assert fetch(gate(Judge(verdict)), "/private/" + "a" * 8050).code == 414
        assert fetch(gate(Judge(verdict), answer="cookies"), "/private/" + "a" * 1100).code == 414
    with pytest.raises(AuthorizerError, match="long"):
        fetch(gate(Judge(Grant(query={"v": "1" * 7000}))), "/private/" + "a" * 1000)


def test_K4_a_piece_of_a_key_as_a_source_is_not_shown() -> None:
    """No line of a key is shown, however short it is, when it stands where a path should."""
    for pem in (PRIVATE, (KEYS / "rsa-2048-pkcs8.pem").read_text()):
        body = "".join(pem.splitlines()[1:-1])
        for piece in (pem.splitlines()[-2], body[70:128], body[30:55]):
            with pytest.raises(ConfigError) as caught:
                Signer(KEY_PAIR_ID, piece)
            assert piece not in str(caught.value)


def test_K25_what_is_wrong_with_an_unfinished_ring_is_logged_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is neither finished nor right says both, one after the other."""
    file, seconds = tmp_path / "ring", [0.0]
    file.write_text(f"{KEY_PAIR_ID} {KEYS / 'p256-pkcs8.pem'}\n")
    ring = WatchedRing(file, clock=lambda: seconds[0])
    file.write_text("KNEW /no/such.pem")
    for _ in range(4):
        seconds[0] += 30
        ring.current(NOW)
    assert [caplog.text.count(word) for word in ("newline", "/no/such.pem")] == [1, 1]


def test_C4_a_repeated_parameter_is_the_applications_business() -> None:
    """A form below the prefix may repeat a name that is kept for signing; only a yes needs it once."""
    for verdict, code in ((PASS, 200), (404, 404), (True, 400)):
        for method in ("GET", "POST"):
            app = gate(Judge(verdict), Wrapped(strict=False), forward_query=["v"])
            expected = 405 if (verdict, method) == (True, "POST") else code
            assert fetch(app, "/private/x", method=method, query="v=1&v=2").code == expected


@pytest.mark.parametrize(
    ("path", "method", "verdict", "code"),
    [
        ("/private/", "GET", True, 404),
        ("/private/..", "GET", True, 400),
        ("/private/a", "POST", True, 405),
        ("/private/" + "a" * 9000, "GET", True, 414),
        ("/private/a", "GET", 401, 401),
        ("/private/a", "GET", False, 403),
    ],
)
def test_C12_a_script_that_accepts_json_is_refused_in_json(path: str, method: str, verdict: Any, code: int) -> None:
    """Every refusal of a gate that answers with JSON is JSON for whom accepts it, and text for others."""
    app = gate(Judge(verdict), answer="json")
    answer = fetch(app, path, method=method, HTTP_ACCEPT="application/json")
    assert (answer.code, answer.values("Content-Type")) == (code, ["application/json"])
    assert json.loads(answer.body)["status"] == code
    assert fetch(app, path, method=method).values("Content-Type") == ["text/plain; charset=utf-8"]


@pytest.mark.parametrize("mark", ["", "/", "%3F", "&"])
def test_K1_a_url_that_lost_its_question_mark_shows_no_signature(
    tmp_path: Path, mark: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a mistake puts a signature into the path, errors and the edge's log hide it."""
    location = fetch(gate(Judge()), "/private/a").location
    target, signature = location.removeprefix(BASE_URL).replace("?", mark), location.split("Signature=")[1][:20]
    for sent_target in (target, f"{target}?{location.partition('?')[2]}"):
        with pytest.raises(VerificationError) as caught:
            verify_url(sent_target, base_url=BASE_URL, key_group=KEY_GROUP, now=NOW)
        assert signature not in str(caught.value)
        assert of_edge(edge(tmp_path), "", target=sent_target).code == 403
    assert signature not in caplog.text
