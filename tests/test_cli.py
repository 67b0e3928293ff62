"""The command ``cfgate``: its output, its errors, and that it signs byte for byte as AWS's own tools do."""

from __future__ import annotations

import io
import json
import os
import re
import runpy
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import requests
from botocore.signers import CloudFrontSigner
from botocore.validate import ParamValidator
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from cfgate_middleware import Signer, __version__, signed_cookies, signed_url
from cfgate_middleware._cli.main import COMMANDS, main
from cfgate_middleware.verify import KeyGroup, verify_cookies
from tests.conftest import KEY_PAIR_ID, KEYS, NOW
from tests.running import free_ports, running

DOMAIN = "https://d111111abcdef8.cloudfront.net"
URL = f"{DOMAIN}/reports/1%20a.pdf?version=2"
RSA, EC, PUBLIC = KEYS / "rsa-2048-pkcs1.pem", KEYS / "p256-pkcs8.pem", KEYS / "p256-public.pem"
KEY_GROUP = KeyGroup({KEY_PAIR_ID: PUBLIC})
WITH_EC = ("--key-pair-id", KEY_PAIR_ID, "--private-key", str(EC))
END = ("--date-less-than", str(NOW))
AWS = os.environ.get("CFGATE_AWS") or shutil.which("aws")
Capture = pytest.CaptureFixture[str]


def printed(capsys: Capture, *arguments: str) -> str:
    """Return what a command prints that succeeds without a word on stderr."""
    assert main(arguments) == 0
    output, errors = capsys.readouterr()
    assert not errors
    return output


def test_each_command_has_help_with_an_example(capsys: Capture) -> None:
    """The help of all lists each command, whose own help ends in an example that its parser takes."""
    for command in COMMANDS:
        with pytest.raises(SystemExit, match="^0$"):
            main(["--help"])
        assert re.search(rf"^    {command.name} +\w", capsys.readouterr().out, re.MULTILINE)
        with pytest.raises(SystemExit, match="^0$"):
            main([command.name, "--help"])
        text = capsys.readouterr().out
        assert text.startswith(f"usage: cfgate {command.name} ")
        assert f"\nexample:\n  cfgate {command.name} " in text


def test_the_module_runs_as_the_command(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """``python -m cfgate_middleware`` calls itself cfgate, and ends with main's status."""
    command = [sys.executable, "-m", "cfgate_middleware", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"cfgate {__version__}\n"
    monkeypatch.setattr(sys, "argv", ["anything", "sign", "x"])
    with pytest.raises(SystemExit, match="^2$"):
        runpy.run_module("cfgate_middleware", run_name="__main__")
    assert capsys.readouterr().err.startswith("cfgate sign: the following arguments are required")


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_keygen_makes_a_pair_for_cloudfront(kind: str, tmp_path: Path, capsys: Capture) -> None:
    """Only the owner reads the private half, openssl agrees that the public one belongs to it, and none is replaced."""
    folder = tmp_path / "new folder"
    output = printed(capsys, "keygen", "--type", kind, "--out", str(folder))
    private, public = folder / "cloudfront.pem", folder / "cloudfront-public.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    command = ["openssl", "pkey", "-in", str(private), "-pubout"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == public.read_text()
    assert Signer("K1", private).kind == kind.upper()
    assert not set(private.read_text().splitlines()[1:-1]) & set(output.split())

    before = private.read_bytes(), public.read_bytes()
    for removed in (None, private):  # either half is enough to stop it
        if removed:
            removed.unlink()
        assert main(["keygen", "--out", str(folder)]) == 2
        assert "exists and is not overwritten" in capsys.readouterr().err
    assert public.read_bytes() == before[1] and not private.exists()


def test_keygen_prints_commands_that_aws_takes(tmp_path: Path, capsys: Capture) -> None:
    """The public key's configuration is one that botocore's model accepts, and each pair has a name of its own."""
    names = set()
    for number in range(2):
        output = printed(capsys, "keygen", "--out", str(tmp_path / str(number)))
        (text,) = re.findall(r"--public-key-config ('.*?')\)$", output, re.MULTILINE | re.DOTALL)
        config = json.loads(shlex.split(text)[0])
        assert config["EncodedKey"] == (tmp_path / str(number) / "cloudfront-public.pem").read_text()
        model = botocore.session.get_session().get_service_model("cloudfront").operation_model("CreatePublicKey")
        assert not ParamValidator().validate({"PublicKeyConfig": config}, model.input_shape).has_errors()
        names.add(config["Name"])
    assert len(names) == 2


def by_botocore(url: str, algorithm: hashes.HashAlgorithm, **conditions: Any) -> str:
    """Return a URL signed by botocore, with an RSA key; it knows no marker."""
    key: Any = load_pem_private_key(RSA.read_bytes(), None)
    signer = CloudFrontSigner(KEY_PAIR_ID, lambda message: key.sign(message, PKCS1v15(), algorithm))
    times = {name: datetime.fromtimestamp(at, UTC) for name, at in conditions.items() if name.startswith("date")}
    if set(conditions) == {"date_less_than"} and "*" not in url:
        return str(signer.generate_presigned_url(url, **times))
    return str(signer.generate_presigned_url(url, policy=signer.build_policy(url, **{**conditions, **times})))


HASH = hashes.SHA1()  # noqa: S303 (what CloudFront assumes without a marker)
CONDITIONS: list[dict[str, Any]] = [
    {"date_less_than": NOW},
    {"date_less_than": NOW, "date_greater_than": NOW - 3600},
    {"date_less_than": NOW, "ip_address": "203.0.113.0/24"},
    {"date_less_than": NOW, "date_greater_than": NOW - 3600, "ip_address": "203.0.113.7"},
]


@pytest.mark.parametrize("conditions", CONDITIONS)
@pytest.mark.parametrize("url", [URL, f"{DOMAIN}/a.pdf"])
def test_sign_equals_botocore(url: str, conditions: dict[str, Any], capsys: Capture) -> None:
    """With SHA-1 byte for byte, with SHA-256 but for the marker that botocore leaves to the caller."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in conditions.items()]
    options += ["--key-pair-id", KEY_PAIR_ID, "--private-key", f"file://{RSA}"]
    assert (
        printed(capsys, "sign", url, "--hash-algorithm", "SHA1", *options)
        == f"{by_botocore(url, HASH, **conditions)}\n"
    )
    expected = f"{by_botocore(url, hashes.SHA256(), **conditions)}&Hash-Algorithm=SHA256\n"
    assert printed(capsys, "sign", "--url", url, "--hash-algorithm", "SHA256", *options) == expected
    assert printed(capsys, "sign", url, *options) == expected


@pytest.mark.parametrize("conditions", CONDITIONS)
@pytest.mark.parametrize("resource", [URL, f"{DOMAIN}/films/4%202/*", f"{DOMAIN}/*"])
def test_cookies_equal_botocore(resource: str, conditions: dict[str, Any], capsys: Capture) -> None:
    """Each cookie has the value of the parameter in botocore's URL."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in conditions.items()]
    options += ["--key-pair-id", KEY_PAIR_ID, "--private-key", str(RSA), "--hash-algorithm", "SHA1"]
    rows, _ = printed(capsys, "cookies", resource, *options).split("\n\n")
    own = by_botocore(resource, HASH, **conditions).removeprefix(resource)[1:]
    assert [row.split() for row in rows.splitlines()] == [
        f"CloudFront-{parameter}".split("=", 1) for parameter in own.split("&")
    ]


@pytest.mark.slow
@pytest.mark.skipif(
    not AWS, reason="needs PyPI's awscli: set CFGATE_AWS to its command aws, in an environment of its own"
)
@pytest.mark.parametrize("conditions", CONDITIONS)
def test_sign_equals_awscli(conditions: dict[str, Any], capsys: Capture) -> None:
    """The same arguments give the same bytes."""
    arguments = ["sign", "--url", URL, "--key-pair-id", KEY_PAIR_ID, "--private-key", f"file://{RSA}"]
    for name, value in conditions.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(AWS), "cloudfront", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert printed(capsys, *arguments, "--hash-algorithm", "SHA1").rstrip("\n") == done.stdout.rstrip("\n")


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("1800000000", 1_800_000_000),
        ("2027-01-15", 1_799_971_200),
        ("2027-01-15T08:00:00", 1_800_000_000),
        ("2027-01-15T08:00:00Z", 1_800_000_000),
        ("2027-01-15T09:00:00+01:00", 1_800_000_000),
        ("9223372036", 9_223_372_036),
        ("20270115", 20_270_115),  # epoch seconds, as for aws; long ago
    ],
)
def test_times_are_read_as_aws_reads_them(text: str, end: int, capsys: Capture) -> None:
    """ISO 8601, in UTC without an offset, or epoch seconds; a time in the past is signed, with a note."""
    assert main(["sign", URL, *WITH_EC, "--date-less-than", text]) == 0
    output, errors = capsys.readouterr()
    assert f"Expires={end}&" in output
    assert errors in ("", "cfgate sign: note: --date-less-than is in the past\n")


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ([], 3600),
        (["--expires-in", "90"], 90),
        (["--expires-in", "15m"], 900),
        (["--expires-in", "1h30m"], 5400),
        (["--expires-in", "30d"], 2_592_000),
    ],
)
def test_access_lasts_as_long_as_asked(
    options: list[str], seconds: int, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From now on, rounded up; for an hour by default."""
    monkeypatch.setattr("time.time", lambda: NOW - 0.5)
    assert f"Expires={NOW + seconds}&" in printed(capsys, "sign", URL, *WITH_EC, *options)


@pytest.mark.parametrize(
    ("resource", "target", "curled"),
    [
        (URL, "/reports/1%20a.pdf?version=2", URL),
        (f"{DOMAIN}/films/4%202/*", "/films/4%202/a/b.ts", f"{DOMAIN}/films/4%202/FILE"),
        (f"{DOMAIN}/*", "/a", f"{DOMAIN}/FILE"),
    ],
)
def test_cookies_open_what_they_name(resource: str, target: str, curled: str, capsys: Capture) -> None:
    """The values are aligned below each other, and the curl line sends them."""
    output = printed(capsys, "cookies", resource, *WITH_EC, *END)
    rows, curl = output.split("\n\n")
    cookies = dict(row.split() for row in rows.splitlines())
    assert len({row.rindex(" ") for row in rows.splitlines()}) == 1
    verify_cookies(target, cookies, base_url=DOMAIN, key_group=KEY_GROUP, now=NOW - 1)
    assert shlex.split(curl) == ["curl", "-b", "; ".join(f"{name}={value}" for name, value in cookies.items()), curled]
    assert printed(capsys, "cookies", "--resource", resource, *WITH_EC, *END) == output


SECRET = EC.read_text()
SIGN = ("sign", URL, *WITH_EC)
BY = ("sign", URL, "--key-pair-id")
TRUST = ("--public-key", f"K1={PUBLIC}")
EDGE = ("edge", str(KEYS), *TRUST)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "cfgate: the following arguments are required: COMMAND (see cfgate --help)"),
        (["zork"], "cfgate: argument COMMAND: expected one of keygen, sign, cookies, edge"),
        ([SECRET], "cfgate: argument COMMAND: expected one of"),
        (["keygen", "--type", "dsa"], "cfgate keygen: argument --type: expected one of ecdsa, rsa (see cfgate keygen"),
        (["keygen", "--size=4096"], "cfgate keygen: unknown option --size (see cfgate keygen --help)"),
        (["keygen", SECRET, "x"], "cfgate keygen: 2 arguments too many (see cfgate keygen --help)"),
        (["keygen", "--out", "/proc/none"], "cfgate keygen: /proc/none: No such file or directory"),
        (["sign", *WITH_EC], "cfgate sign: expected one URL, given as URL or --url URL (see cfgate sign --help)"),
        ([*SIGN, "--url", URL], "cfgate sign: expected one URL"),
        (["sign", URL], "cfgate sign: the following arguments are required: --key-pair-id, --private-key"),
        ([*BY, SECRET, "--private-key", str(EC)], "cfgate sign: --key-pair-id is a str of"),
        (
            [*BY, "K1", "--private-key", "private_key.pem"],
            "cfgate sign: --private-key: 'private_key.pem', looked for in",
        ),
        ([*BY, "K1", "--private-key", str(PUBLIC)], "cfgate sign: --private-key: the PEM holds a PUBLIC KEY"),
        ([*BY, "AKIAX", "--private-key", "no.pem"], "cfgate sign: --key-pair-id is a str of 5 characters: AKIA"),
        ([*SIGN, "--hash-algorithm", "SHA1"], "cfgate sign: --private-key: an ECDSA key signs with SHA256 only"),
        ([*SIGN, "--hash-algorithm", "MD5"], "cfgate sign: argument --hash-algorithm: expected one of SHA256, SHA1"),
        ([*SIGN, "--expires-in", "soon"], "cfgate sign: argument --expires-in: expected a duration such as 90s"),
        ([*SIGN, "--expires-in", "0"], "cfgate sign: argument --expires-in: expected a duration such as 90s"),
        ([*SIGN, "--expires-in", "9999999999d"], "cfgate sign: argument --expires-in: expected a duration such"),
        ([*SIGN, "--date-less-than", "soon"], "cfgate sign: argument --date-less-than: expected a time such as"),
        ([*SIGN, "--date-less-than", "1800000000000"], "cfgate sign: argument --date-less-than: these are millis"),
        ([*SIGN, *END, "--expires-in", "1h"], "cfgate sign: argument --expires-in: not allowed with"),
        ([*SIGN, *END, "--date-greater-than", str(NOW)], "cfgate sign: the grant starts at"),
        ([*SIGN, "--ip-address", "::1"], "cfgate sign: argument --ip-address: expected an IPv4 address or CIDR"),
        (["sign", f"{DOMAIN}/a b", *WITH_EC], f"cfgate sign: url='{DOMAIN}/a b': ' ' is refused"),
        (["sign", f"{DOMAIN}/a?Signature=abc", *WITH_EC], f"cfgate sign: url='{DOMAIN}/a': Signature is reserved"),
        (["sign", "reports/1.pdf", *WITH_EC], "cfgate sign: url='reports/1.pdf': expected a whole URL"),
        (["cookies", f"{DOMAIN}/a*", *WITH_EC], "cfgate cookies: a * can only be the last character of RESOURCE"),
        (["cookies", f"{DOMAIN}/*/a/*", *WITH_EC], "cfgate cookies: a * can only be the last character of RESOURCE"),
        (["edge", "/none", *TRUST], "cfgate edge: '/none': expected an existing directory, or MODULE:APP"),
        (["edge", "none:app", *TRUST], "cfgate edge: 'none:app' could not be imported: ModuleNotFoundError: No module"),
        (["edge", "tests.conftest:NOW", *TRUST], "cfgate edge: 'tests.conftest:NOW' is not a WSGI application"),
        (["edge", str(KEYS), "--public-key", SECRET], "cfgate edge: argument --public-key: expected ID=FILE"),
        (["edge", str(KEYS), "--public-key", f"K1={EC}"], "cfgate edge: key group, K1: the PEM holds PRIVATE KEY"),
        ([*EDGE, *TRUST], "cfgate edge: --public-key: an id is given twice"),
        ([*EDGE, "--port", "x"], "cfgate edge: argument --port: expected a port from 0 to 65535"),
        ([*EDGE, "--port", "0", "--public-url", "x y", "--allow-origin", "y"], "cfgate edge: --public-url='x y': "),
    ],
)
def test_an_error_is_one_line(arguments: list[str], text: str, capsys: Capture) -> None:
    """It goes to stderr, with exit status 2, and repeats neither a key nor a signature."""
    assert main(arguments) == 2
    output, errors = capsys.readouterr()
    assert not output
    assert errors.startswith(text)
    assert errors.count("\n") == 1 and errors.endswith("\n")
    assert "BEGIN" not in errors and "abc" not in errors.replace("d111111abcdef8", "")
    assert not any(line in errors for line in SECRET.splitlines() if line)


def test_a_port_in_use_is_named(capsys: Capture) -> None:
    """The error says which option chooses another."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        assert main([*EDGE, "--port", port]) == 2
    expected = f"cfgate edge: cannot listen on port {port} (Address already in use); choose another with --port\n"
    assert capsys.readouterr().err == expected


def quoted(directory: Path) -> Iterator[str]:
    """Write files whose names other signers spell otherwise than we do, and return their URLs' paths."""
    for name, spelled in (("a b.txt", "a%20b.txt"), ("c+d.txt", "c+d.txt"), ("e(f).txt", "%65%28f%29.txt")):
        (directory / name).write_text(name)
        yield f"/{spelled}"


SERVERS = {"waitress": "", "wsgiref": "sys.modules['waitress'] = None; "}


@pytest.mark.parametrize("server", SERVERS)
def test_edge_serves_what_any_signer_signed(server: str, tmp_path: Path) -> None:
    """botocore's URLs work whatever their spelling; refusals are CloudFront's, and their reason is in the log."""
    files = tmp_path / "files"
    files.mkdir()
    paths = list(quoted(files))
    program = f"import sys; {SERVERS[server]}from cfgate_middleware._cli.main import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["edge", str(files), "--port", "0", "--public-key", f"{KEY_PAIR_ID}={KEYS / 'rsa-2048-public.pem'}"]
    log = tmp_path / "log"
    with running("-c", program, *arguments, "--allow-origin", "*", log=log) as run:
        assert f"({server})" in run.printed
        for path in paths:
            prepared = requests.Request("GET", run.url).prepare()
            prepared.url = by_botocore(run.url + path, HASH, date_less_than=4_000_000_000)  # as it is
            answer = requests.Session().send(prepared, timeout=20)
            assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, "*"), log.read_text()
        refused = requests.get(f"{run.url}/a%20b.txt", timeout=20)
        assert (refused.status_code, "<Code>MissingKey</Code>" in refused.text) == (403, True)
    assert "403 for '/a%20b.txt': MissingKey, there is no key pair id" in log.read_text()


@pytest.fixture
def signals() -> Iterator[None]:
    """Put back what the command does with signals."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_edge_serves_an_application_until_a_signal(
    end: signal.Signals, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is imported from the working directory; the command that the edge prints signs for it; it ends with 0."""
    (tmp_path / "pages.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [environ['PATH_INFO'].encode()]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "waitress", None)  # which, when it is interrupted, leaves sockets to the process
    with free_ports(1) as (port,):
        url = f"http://127.0.0.1:{port}"
    command = f"cfgate sign {url}/PATH --key-pair-id {KEY_PAIR_ID} --private-key FILE"
    assert main(shlex.split(command.replace("PATH", "a/b").replace("FILE", str(EC)))[1:]) == 0
    signed = capsys.readouterr().out.strip()
    texts = []

    def visit() -> None:
        try:
            with requests.Session() as session:
                session.mount("http://", HTTPAdapter(max_retries=Retry(20, backoff_factor=0.05)))
                texts.append(session.get(signed, timeout=20).text)
        finally:
            signal.pthread_kill(threading.main_thread().ident or 0, end)

    with ThreadPoolExecutor(1) as visitor:
        visited = visitor.submit(visit)
        assert main(["edge", "pages:app", "--port", port, "--public-key", f"{KEY_PAIR_ID}={PUBLIC}"]) == 0
        visited.result()
    assert texts == ["/a/b"]
    assert f"Serving pages:app at {url}/ (wsgiref)" in (output := capsys.readouterr().out)
    assert command in output


GIVEN = signed_url(URL, Signer(KEY_PAIR_ID, EC), now=NOW)
WITH_KEY = ("--public-key", f"{KEY_PAIR_ID}={PUBLIC}", "--now", str(NOW))


@pytest.mark.parametrize(
    ("url", "options", "status", "telling"),
    [
        (GIVEN, WITH_KEY, 0, "Would be served."),
        (GIVEN, (*WITH_KEY, "--now", str(NOW + 9999)), 1, "[expired]"),
        (f"{GIVEN}&utm_source=1", WITH_KEY, 1, "[query-changed]"),
        (GIVEN.replace(DOMAIN, "https://files.example.com"), (*WITH_KEY, "--host", DOMAIN[8:]), 1, "[host]"),
        (GIVEN, (), 3, "--public-key"),
        (URL, WITH_KEY, 1, "[unsigned]"),
        ("no URL", (), 3, "Not decided"),
    ],
)
def test_explain_says_why(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, url: str, options: tuple[str, ...], status: int, telling: str
) -> None:
    """The verdict is the exit status, the first cause has its code; standard input and JSON say the same."""
    assert main(["explain", url, *options]) == status
    text, errors = capsys.readouterr()
    assert (telling in text, errors) == (True, "")
    assert GIVEN.split("Signature=")[1][:30] not in text
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(url.encode())))
    assert main(["explain", "-", *options, "--json"]) == status
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == {0: "served", 1: "refused", 3: "undecided"}[status]
    assert [finding["code"] for finding in document["findings"]] == re.findall(r"\[([a-z0-9-]+)\]$", text, re.MULTILINE)


def test_explain_reads_what_was_answered_and_sent(tmp_path: Path, capsys: Capture) -> None:
    """The output of curl and a file with cookies are read from where they are."""
    answer = tmp_path / "answer"
    answer.write_text("HTTP/1.1 403\nServer: CloudFront\n\n<Error><Code>MissingKey</Code></Error>")
    assert main(["explain", URL, *WITH_KEY, "--response", str(answer)]) == 1
    assert "[not-signed-at-all]" in capsys.readouterr().out
    cookies = tmp_path / "cookies"
    pairs = signed_cookies(URL, Signer(KEY_PAIR_ID, EC), now=NOW).items()
    cookies.write_text("; ".join(f"{name}={value}" for name, value in pairs))
    for given in (cookies.read_text(), str(cookies)):
        assert main(["explain", URL, *WITH_KEY, "--cookies", given]) == 0
    assert main(["explain", URL, "--cookies", str(tmp_path / "gone")]) == 2
