"""The watch for leaks finds every kind of secret, shows none, and lets honest messages pass."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cfgate_middleware import Grant, Signer, signed_cookies, signed_url
from cfgate_middleware.errors import shown
from cfgate_middleware._core.urls import RESERVED
from tests.conftest import KEYS, NOW
from tests.leaks import PIECE, leaks_in

ROOT = Path(__file__).parent.parent
URL = "https://cdn.example.com/a"
SIGNATURE, POLICY = "a Signature parameter or cookie", "a Policy parameter or cookie"
ENCODED, LONG, DER = "an encoded policy", "base64 as long as a signature", "the bytes of an ECDSA signature"
PEM, KEY = "a PEM", "a piece of a key"


def body_of(path: Path) -> list[str]:
    """Return the lines of a PEM file that hold the key."""
    return [line for line in path.read_text().splitlines() if not line.startswith("-")]


def test_it_finds_signed_urls_and_cookies(signer: Signer) -> None:
    """URLs, cookies in any notation and bare values are found, for canned and custom policies."""
    for scope, policy in (("object", []), ("directory", [POLICY, ENCODED])):
        url = f"{URL}/b"
        signed = signed_url(url, signer, scope=scope, now=NOW)
        cookies = signed_cookies(url, signer, scope=scope, now=NOW)
        assert set(leaks_in(f"redirect to {signed}")) == {SIGNATURE, LONG, *policy}
        assert set(leaks_in("; ".join(map("=".join, cookies.items())))) == {SIGNATURE, LONG, *policy}
        assert set(leaks_in(repr(cookies))) == {LONG, *policy[1:]}
        assert leaks_in(f"it gave {cookies['CloudFront-Signature']}!") == [LONG]
        assert SIGNATURE in leaks_in(shown(f"{URL}?Signature={cookies['CloudFront-Signature']}"))
        assert leaks_in(shown(cookies["CloudFront-Signature"])) == [LONG]


@pytest.mark.parametrize("hashed", [NOW, NOW + 1, NOW + 2, NOW + 3])
def test_it_finds_the_bytes_of_an_ecdsa_signature(hashed: int, signers: dict[str, Signer]) -> None:
    """An ECDSA signature is found as the repr of bytes and as hex."""
    signature = signers["ECDSA"].sign(str(hashed).encode())
    assert leaks_in(f"returned {signature!r}") == [DER]
    assert leaks_in(f"returned {signature.hex()}") == [DER]


@pytest.mark.parametrize("path", sorted(KEYS.glob("*.pem")), ids=lambda path: path.stem)
def test_it_finds_every_key(path: Path) -> None:
    """A whole PEM is found, escaped or not, and any piece of any line of one."""
    text = path.read_text()
    for pem in (text, repr(text), repr(text.encode()), text.replace("\n", " ")):
        assert {PEM, KEY} <= set(leaks_in(f"private_key={pem}"))
    for line in body_of(path):
        for start in range(0, len(line) - PIECE + 1, 7):
            assert leaks_in(f"a key of '{line[start : start + PIECE]}...'") == [KEY]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("?Signature=x", [SIGNATURE]),
        ("%3FSignature%3Dx", [SIGNATURE]),
        ("CloudFront-Policy=x", [POLICY]),
        ("eyJTdGF0ZW1lbnQiOlt7", [ENCODED]),
        ("Ab9" * 30, [LONG]),
        ("-----BEGIN PUBLIC KEY-----\\nMFkwEwYH", [PEM]),
    ],
)
def test_it_finds_short_secrets(text: str, kinds: list[str]) -> None:
    """A name is enough to know a value by, however short it is."""
    assert leaks_in(text) == kinds


@pytest.mark.parametrize(
    "text",
    [
        f"reserved: CloudFront reads {', '.join(RESERVED)} as its own",
        "Signature is absent or not in CloudFront's base64 alphabet",
        "https://cdn.example.com/a?Expires=…&Signature=…&Key-Pair-Id=K2JCJMDEHXQW5F",
        "BadSignature, the signature is not K2JCJMDEHXQW5F's over this policy with SHA256",
        "expected text with a line '-----BEGIN PRIVATE KEY-----'",
        "private_key is a str of 1704 characters in which no private key could be read (PEM label: PRIVATE KEY)",
        f"/{'a' * 9000}",
        f"/{'%C3%A9' * 3000}",
        f"/srv/{'test_a_very_long_name_of_a_Test_0/' * 20}",
        repr(Grant(scope="/films/42/", ip_address="203.0.113.0/24", not_before=NOW)),
        "",
    ],
)
def test_it_lets_honest_texts_pass(text: str) -> None:
    """Names of parameters, labels and paths are no secrets."""
    assert leaks_in(text) == []


LEAKING = f"""
import logging
import threading
from cfgate_middleware import AuthorizerError, ConfigError, SigningError
from cfgate_middleware.gate import Decision
from cfgate_middleware.verify import BadSignature
import pytest

SECRET = "Signature=" + "s3cret"

def test_record():
    Decision("/a?" + SECRET, "GET", 303, "granted", "303 See Other", []).record()

def test_log():
    logging.getLogger("cfgate_middleware.edge").warning("it is %s", SECRET)

def test_traceback():
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("cfgate_middleware").exception("it failed")

@pytest.mark.parametrize("kind", [AuthorizerError, BadSignature, ConfigError, SigningError])
def test_expected(kind):
    with pytest.raises(kind):
        raise kind("it is " + SECRET)

def test_one_of_several_problems():
    ConfigError("harmless", SECRET)

def test_thread():
    thread = threading.Thread(target=ConfigError, args=(SECRET,))
    thread.start()
    thread.join()

@pytest.fixture(scope="module")
def resource():
    yield
    ConfigError(SECRET)

def test_key(resource):
    ConfigError(open({str(KEYS / "p256-sec1.pem")!r}).read())

def test_harmless():
    ConfigError("Signature is absent")
    Decision("/a", "GET", 303, "granted", "303 See Other", [("Location", SECRET)]).record()
"""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Path]:
    """A directory of tests under the same watch as these."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_configure as pytest_configure\n")
    (tmp_path / "test_leaking.py").write_text(LEAKING)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    yield tmp_path


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on a directory."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_leak_fails_the_session(session: Path) -> None:
    """Records, log lines and expected errors with a secret fail a session in which every test passes, and are named."""
    done = run(session)
    told = [line.partition("test_leaking.py::")[2] for line in done.stdout.splitlines() if " holds " in line]
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "11 passed" in done.stdout
    assert "secrets were told" in done.stdout
    assert "s3cret" not in done.stdout + done.stderr
    assert body_of(KEYS / "p256-sec1.pem")[0][:PIECE] not in done.stdout
    kinds = ("AuthorizerError", "BadSignature", "ConfigError", "SigningError")
    assert told == [
        f"test_record (call): a decision record holds {SIGNATURE}",
        f"test_log (call): a log line of cfgate_middleware.edge holds {SIGNATURE}",
        f"test_traceback (call): a log line of cfgate_middleware holds {SIGNATURE}",
        *(f"test_expected[{kind}] (call): the text of {kind} holds {SIGNATURE}" for kind in kinds),
        f"test_one_of_several_problems (call): the text of ConfigError holds {SIGNATURE}",
        f"test_thread (call): the text of ConfigError holds {SIGNATURE}",
        f"test_key (call): the text of ConfigError holds {PEM}",
        f"test_key (call): the text of ConfigError holds {KEY}",
        f"test_harmless (teardown): the text of ConfigError holds {SIGNATURE}",
    ]


def test_a_session_without_leaks_passes(session: Path) -> None:
    """Without a leak nothing is said, and the session ends as it would."""
    done = run(session, "-k", "harmless")
    assert (done.returncode, done.stderr) == (pytest.ExitCode.OK, "")
    assert "secrets" not in done.stdout


def test_this_session_is_watched(request: pytest.FixtureRequest) -> None:
    """The watch that is proven here listens to the tests around it too."""
    watch = request.config.pluginmanager.get_plugin("leak watch")
    assert watch in logging.getLogger("cfgate_middleware").handlers
