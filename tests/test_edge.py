"""The local edge: what it serves, how it refuses, and what it says to whom."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest
import waitress
from waitress import wasyncore

from cfgate_middleware._core.policy import CustomPolicy
from cfgate_middleware.edge import LocalEdge
from cfgate_middleware.errors import ConfigError
from tests.conftest import KEY_PAIR_ID, NOW
from tests.signed import as_cookies, canned, items, with_items
from tests.support import KEY_GROUP, SIGNER, Answer, Log, Patch, Wrapped, by, environ_for, fetch

BASE_URL = "http://127.0.0.1:8800"
END = NOW + 60
DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Access denied</Message></Error>'
)


def signed(target: str) -> str:
    """Return ``target`` with a canned signature that holds."""
    return canned(SIGNER, target, END, BASE_URL)


def below(resource: str, **fields: Any) -> dict[str, str]:
    """Return the items of a custom policy for a resource under the edge's address."""
    return items(SIGNER, CustomPolicy(resource=BASE_URL + resource, **{"end": END, **fields}))


def ask(edge: LocalEdge, target: str, method: str = "GET", **environ: Any) -> Answer:
    """Send a request as a server with RAW_URI would."""
    return fetch(edge, "/", method=method, **{"RAW_URI": target, "REMOTE_ADDR": "203.0.113.7", **environ})


def edge_of(origin: Any, public_url: str = BASE_URL) -> LocalEdge:
    """Return an edge at the tests' time."""
    made = LocalEdge(origin, KEY_GROUP, public_url=public_url)
    made.clock = lambda: NOW
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory to serve, with a secret beside it."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "root-and-more").mkdir()
    (tmp_path / "root-and-more" / "secret.txt").write_text("secret")
    root = tmp_path / "root"
    (root / "reports").mkdir(parents=True)
    (root / "reports" / "1.txt").write_bytes(b"0123456789")
    (root / "index.html").write_text("index")
    (root / "a b+é.bin").write_bytes(b"odd")
    (root / "empty").touch()
    (root / "logs.tar.gz").write_bytes(b"gz")
    return root


@pytest.fixture
def edge(root: Path) -> LocalEdge:
    """An edge over the directory."""
    return edge_of(root)


@pytest.fixture
def wrapped() -> Wrapped:
    """An application behind an edge."""
    return Wrapped()


@pytest.fixture
def app_edge(wrapped: Wrapped) -> LocalEdge:
    """An edge over the application."""
    return edge_of(wrapped)


TEXT, HTML, BYTES = "text/plain; charset=UTF-8", "text/html; charset=UTF-8", "application/octet-stream"


@pytest.mark.parametrize(
    ("target", "body", "kind"),
    [
        *((target, b"0123456789", TEXT) for target in ("/reports/1.txt", "/reports%2F1.txt")),
        *((target, b"index", HTML) for target in ("/%69ndex.html", "/index.html?v=2&x")),
        *((target, b"odd", BYTES) for target in ("/a%20b+%C3%A9.bin", "/a%20b%2B%c3%a9.bin")),
        *(("/empty", b"", BYTES), ("/logs.tar.gz", b"gz", BYTES)),
    ],
)
def test_a_signed_file_is_served(edge: LocalEdge, target: str, body: bytes, kind: str) -> None:
    """A file is found by its decoded path, whatever spelling was signed, and served as it lies there."""
    answer = ask(edge, signed(target))
    assert (answer.status, answer.body, answer.values("Content-Type")) == ("200 OK", body, [kind])
    assert (answer.values("Content-Length"), answer.values("Accept-Ranges")) == ([str(len(body))], ["bytes"])
    assert not answer.values("Content-Encoding")


@pytest.mark.parametrize(
    ("wanted", "status", "body", "content_range"),
    [
        ("bytes=2-4", "206 Partial Content", b"234", ["bytes 2-4/10"]),
        ("bytes=0-0", "206 Partial Content", b"0", ["bytes 0-0/10"]),
        ("bytes=7-", "206 Partial Content", b"789", ["bytes 7-9/10"]),
        *((wanted, "206 Partial Content", b"89", ["bytes 8-9/10"]) for wanted in ("bytes=-2", "bytes=8-99")),
        ("bytes=10-", "416 Requested Range Not Satisfiable", None, ["bytes */10"]),
        ("lines=1-2", "200 OK", b"0123456789", []),
    ],
)
def test_ranges_are_served(edge: LocalEdge, wanted: str, status: str, body: Any, content_range: list[str]) -> None:
    """Video players and download managers get the bytes they ask for."""
    answer = ask(edge, signed("/reports/1.txt"), HTTP_RANGE=wanted)
    assert (answer.status, answer.values("Content-Range")) == (status, content_range)
    assert body is None or answer.body == body
    assert answer.values("Content-Length") == [str(len(answer.body))]


def test_an_unchanged_file_is_not_sent_again(edge: LocalEdge, root: Path) -> None:
    """The validators of an answer bring a 304, until the file changes."""
    target = signed("/reports/1.txt")
    first = ask(edge, target)
    (etag,), (modified,) = first.values("ETag"), first.values("Last-Modified")
    for condition in ({"HTTP_IF_NONE_MATCH": etag}, {"HTTP_IF_MODIFIED_SINCE": modified}):
        for method in ("GET", "HEAD"):
            answer = ask(edge, target, method, **condition)
            assert (answer.status, answer.body) == ("304 Not Modified", b"")
    (root / "reports" / "1.txt").write_bytes(b"changed")
    assert ask(edge, target, HTTP_IF_NONE_MATCH=etag).body == b"changed"
    part = ask(edge, target, HTTP_RANGE="bytes=0-1", HTTP_IF_RANGE=etag)
    assert (part.status, part.body) == ("200 OK", b"changed")


@pytest.mark.parametrize("wanted", [{}, {"HTTP_RANGE": "bytes=1-3"}, {"HTTP_RANGE": "bytes=99-"}])
def test_head_has_the_headers_of_get_and_no_body(edge: LocalEdge, wanted: dict[str, str]) -> None:
    """HEAD answers what GET would, ranges included, without the bytes."""
    get = ask(edge, signed("/reports/1.txt"), **wanted)
    assert ask(edge, signed("/reports/1.txt"), "HEAD", **wanted) == (get.status, get.headers, b"")


def test_a_file_that_grows_while_it_is_sent_is_sent_as_announced(edge: LocalEdge, root: Path) -> None:
    """Never more bytes than Content-Length promised."""
    body = edge(environ_for("/", RAW_URI=signed("/reports/1.txt")), lambda *started: lambda data: None)
    with contextlib.closing(body):  # type: ignore[type-var]  # WebOb closes it; WSGI types say iterable only
        with (root / "reports" / "1.txt").open("ab") as file:
            file.write(b"more")
        assert b"".join(body) == b"0123456789"


@pytest.mark.parametrize(
    ("path", "reason"),
    by(
        {
            "dot segments": (
                *("/../secret.txt", "/reports/../index.html", "/reports/../../secret.txt", "/./index.html"),
                *("/reports/..", "/%2e%2e/secret.txt", "/%2E%2e%2Fsecret.txt", "/..%2Fsecret.txt"),
                "/reports%2F..%2F..%2Fsecret.txt",
            ),
            "empty segments": ("/%2Fetc/passwd", "//index.html", "/reports//1.txt"),
            "backslash": ("/..%5Csecret.txt",),
            "controls": ("/index.html%00", "/index.html%00.jpg", "/%0a"),
            "leads out": ("/out/secret.txt", "/out", "/secret-link.txt", "/sibling/secret.txt"),
            "links form a circle": ("/loop",),
        }
    ),
)
def test_nothing_leads_out_of_the_directory(edge: LocalEdge, root: Path, caplog: Log, path: str, reason: str) -> None:
    """However validly it is signed, a path with dot segments or through a symlink to outside or itself is refused."""
    (root / "out").symlink_to(root.parent, target_is_directory=True)
    (root / "secret-link.txt").symlink_to(root.parent / "secret.txt")
    (root / "sibling").symlink_to(root.parent / "root-and-more")
    (root / "loop").symlink_to(root / "loop")
    answer = ask(edge, with_items(path, below("/*")))
    assert (answer.status, answer.body) == ("403 Forbidden", DENIED)
    assert reason in caplog.text


@pytest.mark.parametrize(
    ("path", "reason"),
    by(
        {
            "no such file": (
                *("/missing", "/", "/reports", "/reports/", "/index.html/", "/index.html/x", "/INDEX.HTML"),
                *("/%252e%252e/secret.txt", "/a%2520b", "/pipe", f"/{'x' * 5000}"),
            ),
            "not UTF-8": ("/%FF", "/%c0%af", "/%ED%A0%80"),
        }
    ),
)
def test_what_is_no_file_is_not_found(edge: LocalEdge, root: Path, caplog: Log, path: str, reason: str) -> None:
    """There are no listings, no index and no redirects; directories and special files are no objects."""
    os.mkfifo(root / "pipe")
    answer = ask(edge, with_items(path, below("/*")))
    assert (answer.status, answer.body) == ("404 Not Found", b"Not found")
    assert answer.values("Content-Type") == ["text/plain"]
    assert str(root) not in str(answer)
    assert reason in caplog.text


def test_a_file_that_cannot_be_opened_is_not_found(edge: LocalEdge, caplog: Log, monkeypatch: Patch) -> None:
    """A file without permission, or gone since it was looked for, is distinguished in the log only."""

    def no_open(*args: object) -> None:
        raise PermissionError("/the/path/on/disk")

    monkeypatch.setattr("builtins.open", no_open)  # root may open everything, so permissions alone prove nothing
    answer = ask(edge, signed("/index.html"))
    monkeypatch.undo()
    assert (answer.status, answer.body) == ("404 Not Found", b"Not found")
    assert "cannot be opened" in caplog.text


def test_the_directory_itself_may_be_a_symlink(root: Path) -> None:
    """Only links below it can lead out."""
    (root.parent / "alias").symlink_to(root)
    assert ask(edge_of(str(root.parent / "alias")), signed("/index.html")).body == b"index"


@pytest.mark.parametrize(
    ("target", "path_info", "query"),
    [
        ("/a%20b/%C3%A9+%2F?x=1&&y=%zz", "/a b/\xc3\xa9+/", "x=1&&y=%zz"),
        *(("/", "/", ""), ("/a/../b//c", "/a/../b//c", ""), ("/a?b?c", "/a", "b?c")),
    ],
)
@pytest.mark.parametrize("carrier", ["RAW_URI", "REQUEST_URI"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_application_sees_the_request_without_the_signature(
    app_edge: LocalEdge, wrapped: Wrapped, target: str, path_info: str, query: str, carrier: str, method: str
) -> None:
    """Path and query that reach the application are those of the verified target, minus CloudFront's parameters."""
    sent: dict[str, Any] = {carrier: signed(target)}
    answer = fetch(app_edge, "/decoy", mount="/decoy", query="decoy", method=method, **sent)
    assert answer == ("200 OK", [("Content-Type", "text/plain")], b"" if method == "HEAD" else b"wrapped\n")
    (environ,) = wrapped.calls
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("", path_info, query)
    assert (environ["REQUEST_METHOD"], environ[carrier]) == (method, target)
    assert "Signature" not in str(environ)
    assert {"RAW_URI", "REQUEST_URI"} & environ.keys() == {carrier}


def test_a_refused_request_never_reaches_the_application(app_edge: LocalEdge, wrapped: Wrapped) -> None:
    """Unsigned, wrongly signed and wrongly made requests stop at the edge."""
    for target, method in (("/x", "GET"), (signed("/x").replace("/x", "/y"), "GET"), (signed("/x"), "POST")):
        assert ask(app_edge, target, method).status == "403 Forbidden"
    assert wrapped.calls == []


SIGNED = signed("/reports/1.txt")
PATH, _, QUERY = SIGNED.partition("?")


@pytest.mark.parametrize(
    "environ",
    [
        *({"RAW_URI": SIGNED}, {"REQUEST_URI": SIGNED}, {"RAW_URI": "", "REQUEST_URI": SIGNED}),
        {"RAW_URI": SIGNED, "REQUEST_URI": "/decoy", "PATH_INFO": "/decoy"},
        {"REQUEST_URI": f"{BASE_URL.upper()}{SIGNED}", "PATH_INFO": "/decoy"},
        {"PATH_INFO": PATH, "QUERY_STRING": QUERY},
        {"SCRIPT_NAME": "/reports", "PATH_INFO": "/1.txt", "QUERY_STRING": QUERY},
        {"SCRIPT_NAME": PATH, "PATH_INFO": "", "QUERY_STRING": QUERY},
    ],
)
def test_the_target_is_read_as_it_was_sent(edge: LocalEdge, environ: dict[str, Any]) -> None:
    """RAW_URI, else REQUEST_URI, else the whole decoded path spelled again; decoys beside it change nothing."""
    assert fetch(edge, "/", mount="", **environ).body == b"0123456789"


def test_without_a_raw_target_the_path_is_spelled_as_signers_spell_it(edge: LocalEdge) -> None:
    """A decoded PATH_INFO becomes the one spelling that is signed, and the query stays as it was sent."""
    path, _, query = signed("/a%20b%2B%C3%A9.bin?x='~+").partition("?")
    assert fetch(edge, "/a b+é.bin", mount="", query=query).body == b"odd"
    assert fetch(edge, path, mount="", query=query).code == 403


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        *(
            ({"RAW_URI": target}, "MalformedTarget")
            for target in ("*", BASE_URL, f"{BASE_URL}?x", "/caf\xc3\xa9", "/a#b")
        ),
        ({"PATH_INFO": "http://other.example/x"}, "MalformedTarget"),
        ({"PATH_INFO": "/x", "QUERY_STRING": "a b"}, "MalformedTarget"),
        *(({"PATH_INFO": path}, "MissingKey") for path in ("/\xff\x00\n", "/\u20ac", "")),
    ],
)
def test_an_odd_target_is_refused(edge: LocalEdge, caplog: Log, environ: dict[str, Any], reason: str) -> None:
    """Whatever a server lets through, the answer is a refusal."""
    assert b"<Code>" in fetch(edge, "/", mount="", strict=False, **environ).body
    assert reason in caplog.text


@pytest.mark.parametrize("name", ["HTTP_RAW_URI", "HTTP_X_ORIGINAL_URL", "HTTP_X_FORWARDED_URI"])
def test_no_header_names_the_target(edge: LocalEdge, name: str) -> None:
    """A client cannot bring the signature of one path to the file of another."""
    assert ask(edge, "/index.html", **{name: SIGNED}).code == 403


def header(cookies: dict[str, str]) -> str:
    """Spell a Cookie header."""
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def test_signed_cookies_open_a_directory(edge: LocalEdge) -> None:
    """One set of cookies serves every file below its resource, and none beside it."""
    cookies = f"session=a=b; {header(as_cookies(below('/reports/*')))}; flag"
    assert ask(edge, "/reports/1.txt?any=1", HTTP_COOKIE=cookies).body == b"0123456789"
    assert ask(edge, "/index.html", HTTP_COOKIE=cookies).body == DENIED


def test_a_cookie_sent_twice_is_refused(edge: LocalEdge, caplog: Log) -> None:
    """Leftovers of a wider Path arrive as a second cookie of the same name, and nobody knows which counts."""
    cookies = header(as_cookies(below("/*")))
    assert ask(edge, "/index.html", HTTP_COOKIE=f"{cookies}; {cookies}").body == DENIED
    assert "DuplicateParameter" in caplog.text


def test_the_viewer_is_the_peer(edge: LocalEdge, caplog: Log) -> None:
    """A policy with an address looks at the connection, never at what a header claims."""
    target = with_items("/index.html", below("/*", ip_address="203.0.113.7"))
    assert ask(edge, target).body == b"index"
    claim = {"HTTP_X_FORWARDED_FOR": "203.0.113.7", "HTTP_FORWARDED": "for=203.0.113.7"}
    assert ask(edge, target, REMOTE_ADDR="198.51.100.1", **claim).body == DENIED
    assert "WrongViewer" in caplog.text


@pytest.mark.parametrize(
    ("changed", "code", "message", "reason"),
    [
        ({"Key-Pair-Id": "KOTHER"}, "InvalidKey", "Unknown Key", "UnknownKey, the key pair id is not in <KeyGroup K2J"),
        ({"Signature": "!"}, "MalformedSignature", "Could not unencode Signature", "MalformedSignature, "),
        ({"Policy": "AAAA"}, "MalformedPolicy", "Malformed Policy", "MalformedPolicy, "),
        (below("/*", end=NOW), "AccessDenied", "Access denied", f"Expired, access ended at {NOW}"),
        (None, "MissingKey", "Missing Key-Pair-Id query parameter or cookie value", "MissingKey, there is no"),
    ],
)
def test_a_refusal_says_what_cloudfront_says_and_logs_the_reason(
    edge: LocalEdge, caplog: Log, changed: Any, code: str, message: str, reason: str
) -> None:
    """Outside: CloudFront's bytes and headers, nothing more. In the log: the path and the true reason."""
    target = "/x" if changed is None else with_items("/x", below("/*") | changed)
    answer = ask(edge, target)
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    assert (answer.status, answer.body) == ("403 Forbidden", body.encode())
    assert answer.headers == [
        *(("Content-Type", "text/xml"), ("Content-Length", str(len(body)))),
        *(("Server", "CloudFront"), ("X-Cache", "Error from cloudfront")),
    ]
    assert len(body) == 146 or code != "MissingKey", "a capture of the real answer had 146 bytes"
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("cfgate_middleware.edge", logging.WARNING)
    assert record.getMessage().startswith(f"403 for '/x': {reason}")
    assert ask(edge, target, "HEAD") == (answer.status, answer.headers, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get", "PROPFIND", "CONNECT"])
def test_other_methods_get_cloudfronts_page(edge: LocalEdge, caplog: Log, method: str) -> None:
    """Everything but GET and HEAD is refused with a page before signatures are looked at."""
    answer = fetch(edge, "/", method=method, strict=False, RAW_URI=SIGNED)  # the validator warns about odd methods
    assert (answer.status, answer.values("Content-Type")) == ("403 Forbidden", ["text/html"])
    assert answer.values("Content-Length") == [str(len(answer.body))]
    assert b"<title>ERROR: The request could not be satisfied</title>" in answer.body
    assert caplog.messages == ["403 for '/reports/1.txt': only GET and HEAD are allowed"]


def test_the_log_holds_no_signature_no_query_and_no_new_line(edge: LocalEdge, caplog: Log) -> None:
    """Refusals of every kind and successes leave nothing in the log that could be replayed or forge a line."""
    own = below("/reports/*", start=NOW)
    cookies = header(as_cookies(own))
    for target in (SIGNED, SIGNED + "&x=private", SIGNED.replace("/1", "/2"), with_items("/reports/1.txt", own)):
        ask(edge, target)
        ask(edge, target, "HEAD")
        ask(edge, target.partition("?")[0], HTTP_COOKIE=cookies)
    ask(edge, "/x\nFORGED?Signature=y")
    ask(edge, with_items("/missing?private", below("/*")))
    ask(edge, with_items("/../private?private", below("/*")))
    assert len(caplog.records) > 5
    secrets = [own["Signature"], own["Policy"], "Signature=", "Policy=", "Expires=", "?private", "&x=", "\nFORGED"]
    assert not [secret for secret in secrets if secret in caplog.text or secret in str(caplog.records)]
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_the_clock_is_read_for_each_request(edge: LocalEdge) -> None:
    """A link ends when its time has come, without restarting anything."""
    assert ask(edge, SIGNED).status == "200 OK"
    edge.clock = lambda: END
    assert ask(edge, SIGNED).body == DENIED


def test_the_clock_is_the_systems(root: Path, caplog: Log) -> None:
    """Nothing needs to be set for real use, and constructing an edge logs nothing."""
    real = LocalEdge(root, KEY_GROUP, public_url=BASE_URL)
    assert caplog.records == []
    assert ask(real, canned(SIGNER, "/index.html", 4_000_000_000, BASE_URL)).body == b"index"
    assert ask(real, canned(SIGNER, "/index.html", 1_700_000_000, BASE_URL)).body == DENIED


@pytest.mark.parametrize(
    ("public_url", "text"),
    [
        *(("", "public_url=''"), (None, "public_url is missing"), ("ftp://h.example", "scheme 'ftp' is refused")),
        *(("https://h.example?x", "'?' is refused"), ("https://user@h.example", "'@' is refused")),
        *(("https://h.example/base", "expected no path"), ("https://bucket.s3.amazonaws.com", "an S3 or AWS host")),
    ],
)
def test_a_wrong_public_url_is_named(root: Path, public_url: str, text: str) -> None:
    """What could never match a signed URL is refused at construction."""
    with pytest.raises(ConfigError) as caught:
        edge_of(root, public_url)
    assert str(caught.value).startswith("public_url")
    assert text in str(caught.value)


@pytest.mark.parametrize("public_url", ["HTTPS://H.example:443/", "h.example"])
def test_a_public_url_is_normalised(root: Path, public_url: str) -> None:
    """Case, default port and a lone slash make no difference, as for the domain that is signed for."""
    target = canned(SIGNER, "/index.html", END, "https://h.example")
    assert ask(edge_of(root, public_url), target).body == b"index"


def test_all_wrong_arguments_are_named_at_once(root: Path) -> None:
    """One error lists every problem."""
    with pytest.raises(ConfigError) as caught:
        LocalEdge(root / "missing", {KEY_PAIR_ID: "pem"}, public_url="")  # type: ignore[arg-type]  # the mistake under test
    origin, public_url, key_group = caught.value.problems
    assert public_url.startswith("public_url=")
    for problem, name, wanted in ((origin, "origin", "an existing directory"), (key_group, "key_group", "a KeyGroup")):
        assert problem.startswith(name) and f"expected {wanted}" in problem


@pytest.mark.parametrize("origin", ["index.html", "missing", 7, None])
def test_an_origin_is_a_directory_or_an_application(root: Path, origin: object) -> None:
    """A file, a missing directory and other objects are refused."""
    given: Any = root / origin if isinstance(origin, str) else origin
    with pytest.raises(ConfigError, match=r"^origin.*directory or a WSGI application$"):
        edge_of(given)


@contextlib.contextmanager
def served(edge: LocalEdge) -> Iterator[int]:
    """Serve ``edge`` with waitress on a free loopback port."""
    sockets: dict[int, Any] = {}
    server = waitress.create_server(validator(edge), host="127.0.0.1", port=0, map=sockets, threads=2)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.effective_port
    finally:
        server.trigger.pull_trigger(lambda: wasyncore.close_all(sockets))  # ends run() from inside its loop
        thread.join(10)
        server.task_dispatcher.shutdown()
    assert not thread.is_alive()


def get(port: int, target: str, method: str = "GET", **headers: str) -> Answer:
    """Send one request with exactly this target over a real connection."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.putrequest(method, target)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        with connection.getresponse() as response:
            return Answer(f"{response.status} {response.reason}", response.getheaders(), response.read())


def test_a_real_server_serves_and_refuses(root: Path, app_edge: LocalEdge, wrapped: Wrapped) -> None:
    """Over waitress the raw target is what is verified: encoded slashes, ranges, cookies and absolute forms work."""
    file = signed("/reports/1.txt")
    with served(edge_of(root)) as port:
        for target in (file, signed("/reports%2f1.txt"), f"{BASE_URL}{file}"):
            assert get(port, target).body == b"0123456789"
        assert get(port, signed("/a%20b%2B%C3%A9.bin?q=it's")).body == b"odd"
        part = get(port, file, Range="bytes=2-4")
        assert (part.status, part.body) == ("206 Partial Content", b"234")
        head = get(port, file, "HEAD")
        assert (head.status, head.values("Content-Length"), head.body) == ("200 OK", ["10"], b"")
        again = get(port, file, If_None_Match=head.values("ETag")[0])
        assert again.status == "304 Not Modified"
        assert get(port, "/index.html", Cookie=header(as_cookies(below("/*")))).body == b"index"
        for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/reports/..%2f..%2fsecret.txt", "//index.html"):
            assert get(port, with_items(path, below("/*"))).body == DENIED
        refused = get(port, "/index.html")
        assert (refused.status, refused.values("Server")) == ("403 Forbidden", ["CloudFront"])
        for method, target in (("DELETE", file), ("GET", f"http://other.example{file}")):
            assert get(port, target, method).values("Content-Type") == ["text/html"]
    with served(app_edge) as port:
        assert get(port, signed("/a%2Fb?x=1")).body == b"wrapped\n"
        assert (wrapped.calls[0]["PATH_INFO"], wrapped.calls[0]["QUERY_STRING"]) == ("/a/b", "x=1")
