"""Keys in rotation: the ring in an option, in an ini file, and in a file that changes under a running gate."""

from __future__ import annotations

import itertools
import logging
import os
import textwrap
import threading
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from paste.deploy import loadapp

from cfgate_middleware import CloudFrontGate, ConfigError, Grant, KeyRing, Signer, SigningError
from cfgate_middleware import DecisionRecord as Record
from cfgate_middleware._keys.watched import WatchedRing, choose_keys, load_signer
from cfgate_middleware._core.policy import MAX_EPOCH
from cfgate_middleware.verify import KeyGroup, UnknownKey, verify_url
from tests.conftest import KEYS, NOW
from tests.support import BASE_URL, Answer, Judge, environ_for, fetch, gate

VARIABLE = "CFGATE_TEST_RING_KEY"
LINE = (
    "expected lines 'KEY_PAIR_ID SOURCE [ISO-8601 moment]', such as "
    "'K2JCJMDEHXQW5F /etc/keys/new.pem 2026-12-01T00:00:00Z'"
)
NO_ID = "expected the letters and digits CloudFront shows beside the public key, such as K2JCJMDEHXQW5F"
REFERENCES = "expected the path of a PEM file, PEM text, or a reference (env:, kms:, secretsmanager:, ssm:)"
NAIVE = "a naive datetime could mean any zone; expected an aware one or epoch seconds"
TWICE = "stands twice in the ring; a new key gets a new id at CloudFront"
EMPTY = "keys: the key ring is empty; expected at least one key"
OWN_HASH = (
    "a ring signs with the hash algorithms of its keys, but hash_algorithm='SHA1' is given; leave hash_algorithm out"
)


class Pair(NamedTuple):
    """A key pair as CloudFront and the application know it."""

    key_pair_id: str
    pem: str
    public_pem: str


def make_pair(key_pair_id: str) -> Pair:
    """Return a new ECDSA key under this id."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return Pair(key_pair_id, private.decode("ascii"), public.decode("ascii"))


OLD, NEW = make_pair("KOLD"), make_pair("KNEW")
SECRETS = [line for pair in (OLD, NEW) for line in pair.pem.splitlines() if "-----" not in line]
BODY = "".join(OLD.pem.splitlines()[1:-1])  # a key whose first and last line got lost
GROUP = KeyGroup({pair.key_pair_id: pair.public_pem for pair in (OLD, NEW)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with one file for either key."""
    for pair in (OLD, NEW):
        (tmp_path / f"{pair.key_pair_id}.pem").write_text(pair.pem)
    return tmp_path


def everybody(environ: object) -> bool:
    """The authorizer of the ini files."""
    return True


def load_ini(folder: Path, **options: str) -> CloudFrontGate:
    """Load a gate from a real ini file; further lines of a value are indented, as ini files want them."""
    lines = {"authorize": "tests.test_ring:everybody", "prefix": "/private", "domain": BASE_URL, **options}
    text = "".join(f"{name} = {textwrap.indent(value, '    ').strip(' ')}\n" for name, value in lines.items())
    file = folder / "site.ini"
    file.write_text(f"[app:main]\npaste.app_factory = cfgate_middleware.pastedeploy:app_factory\n{text}")
    made: CloudFrontGate = loadapp(f"config:{file}")
    made.clock = lambda: NOW
    return made


def ring_file(folder: Path, lines: Iterable[str]) -> Path:
    """Put a ring into place as one should: whole, by a rename."""
    file, draft = folder / "ring", folder / "ring.new"
    draft.write_text("".join(f"{line}\n" for line in lines))
    draft.replace(file)
    return file


# Every way in which lines reach a gate.
WAYS: dict[str, Callable[[Path, list[str]], CloudFrontGate]] = {
    "text": lambda folder, lines: gate(Judge(), signer=None, keys="\n".join(lines)),
    "lines": lambda folder, lines: gate(Judge(), signer=None, keys=lines),
    "file": lambda folder, lines: gate(Judge(), signer=None, keys=f"file:{ring_file(folder, lines)}"),
    "ini": lambda folder, lines: load_ini(folder, keys="\n".join(["", *lines])),
    "ini file": lambda folder, lines: load_ini(folder, keys=f"file:%(here)s/{ring_file(folder, lines).name}"),
}


def refusal(make: Callable[..., object], *arguments: Any, **options: Any) -> tuple[str, ...]:
    """Return the problems for which a call is refused; no line of a key stands anywhere in the traceback."""
    with pytest.raises(ConfigError) as caught:
        make(*arguments, **options)
    text = "".join(traceback.format_exception(caught.value))
    assert not any(secret in text for secret in (*SECRETS, BODY))
    return caught.value.problems


def signed_by(answer: Answer, group: KeyGroup = GROUP) -> str:
    """Return the id of the key by which CloudFront takes a redirect."""
    assert answer.code == 303
    target = answer.location.removeprefix(BASE_URL)
    return verify_url(target, base_url=BASE_URL, key_group=group, now=NOW).key_pair_id


# The option


@pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)
def test_the_newest_active_key_of_the_option_signs(folder: Path, make: Callable[..., CloudFrontGate]) -> None:
    """A ring may stand in the option or in a file, in Python or ini, with comments and empty lines between."""
    lines = [
        "# oldest first",
        f"KOLD {folder / 'KOLD.pem'}",
        "",
        f"KNEW   {folder / 'KNEW.pem'}\t2027-01-15T07:59:59Z",
        f"KLATER {KEYS / 'rsa-2048-pkcs8.pem'} 2027-01-15T09:00:01+01:00",
    ]
    made = make(folder, lines)
    used = []
    for now in (NOW - 2, NOW - 1, NOW, NOW + 1):
        made.clock = itertools.repeat(now).__next__
        used.append(parse_qs(urlsplit(fetch(made, "/private/x").location).query)["Key-Pair-Id"][0])
    assert used == ["KOLD", "KNEW", "KNEW", "KLATER"]


@pytest.mark.parametrize(
    "source",
    [
        lambda folder: folder / "KNEW.pem",
        lambda folder: str(folder / "KNEW.pem"),
        lambda folder: NEW.pem,
        lambda folder: NEW.pem.encode(),
        lambda folder: load_pem_private_key(NEW.pem.encode(), password=None),
        lambda folder: f"env:{VARIABLE}",
    ],
    ids=["Path", "path", "PEM", "bytes", "key object", "variable"],
)
@pytest.mark.parametrize(
    "moment", [(), (None,), (NOW,), ("2027-01-15T08:00:00Z",), (datetime.fromtimestamp(NOW, UTC),)], ids=repr
)
def test_in_python_an_entry_may_be_a_tuple(
    folder: Path, monkeypatch: pytest.MonkeyPatch, source: Callable[[Path], Any], moment: tuple[Any, ...]
) -> None:
    """A source is what private_key takes, and a moment may be an object too."""
    monkeypatch.setenv(VARIABLE, NEW.pem.replace("\n", "\\n"))
    entries = [("KOLD", OLD.pem), ("KNEW", source(folder), *moment)]
    assert signed_by(fetch(gate(Judge(), signer=None, keys=entries), "/private/x")) == "KNEW"


@pytest.mark.parametrize("option", ["signer", "keys"])
def test_a_ring_that_is_made_already_is_used(option: str) -> None:
    """A KeyRing is as good under either name."""
    ring = KeyRing([Signer("KOLD", OLD.pem), (Signer("KNEW", NEW.pem), NOW + 1)])
    options: dict[str, Any] = {"signer": None, option: ring}
    made = gate(Judge(), **options)
    assert signed_by(fetch(made, "/private/x")) == "KOLD"
    made.clock = lambda: NOW + 1
    assert signed_by(fetch(made, "/private/x")) == "KNEW"


def test_a_path_with_spaces_is_one_source(folder: Path) -> None:
    """A source ends where the line does, or before a moment."""
    spaced = folder / "my keys, 2026" / "the new one.pem"
    spaced.parent.mkdir()
    spaced.write_text(NEW.pem)
    lines = f"KNEW {spaced}\nKLATER {spaced} 2090-01-01T00:00:00Z"
    assert signed_by(fetch(gate(Judge(), signer=None, keys=lines), "/private/x")) == "KNEW"


def test_relative_paths_start_at_the_folder_of_the_ring_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring file moves together with its keys; in the option itself a path starts at the working directory."""
    lines = ["KOLD KOLD.pem", "KNEW ./KNEW.pem"]
    with monkeypatch.context() as context:
        context.chdir(KEYS)
        assert signed_by(fetch(WAYS["file"](folder, lines), "/private/x")) == "KNEW"
        assert len(refusal(WAYS["text"], folder, lines)) == 2
    monkeypatch.chdir(folder)
    assert signed_by(fetch(WAYS["text"](folder, lines), "/private/x")) == "KNEW"


def test_the_hash_algorithm_is_that_of_all_keys_loaded(folder: Path) -> None:
    """In a ring as in a single key, SHA-1 is used on request."""
    rsa = KEYS / "rsa-2048-pkcs8.pem"
    for make in (WAYS["text"], WAYS["file"]):
        assert "Hash-Algorithm=SHA256" in fetch(make(folder, [f"K1 {rsa}"]), "/private/x").location
    for keys in (f"K1 {rsa}", f"file:{ring_file(folder, [f'K1 {rsa}'])}"):
        answer = fetch(gate(Judge(), signer=None, keys=keys, hash_algorithm="SHA1"), "/private/x")
        assert "Hash-Algorithm" not in answer.location


# What a ring is refused for


def unreadable(reason: str, what: str) -> str:
    """Return what is said of a path that leads to no readable file."""
    return f"private_key is {what}, taken for a path that could not be read ({reason}); {REFERENCES}"


def about(path: object) -> str:
    """Return how a path of the option is told, whose value is never shown."""
    return f"a str of {len(str(path))} characters"


GOOD = f"KGOOD {KEYS / 'rsa-2048-pkcs8.pem'}"
REFUSALS: dict[str, tuple[list[str], list[str]]] = {
    "duplicate id": (
        [f"KOLD env:{VARIABLE}", GOOD, f"KOLD {KEYS / 'p256-sec1.pem'}"],
        [f"keys: key pair id KOLD {TWICE}"],
    ),
    "empty": ([], [EMPTY]),
    "comments only": (["# none yet"], [EMPTY]),
    "nothing active": (
        [f"{GOOD} 2100-01-01T00:00:00Z"],
        ["keys: no key of the ring is active before 4102444800 (epoch seconds)"],
    ),
    "no source": (["KOLD"], [f"keys, line 1: {LINE}"]),
    "no moment in words": (
        [f"KOLD env:{VARIABLE} tomorrow"],
        ["keys, line 1: private_key starts with env: but no variable name follows; expected env:NAME"],
    ),
    "bad moment": (
        [f"KOLD env:{VARIABLE} 2026-13-01T00:00:00Z"],
        ["keys, line 1: a str of 20 characters is no ISO-8601 moment such as 2026-12-01T00:00:00Z"],
    ),
    "naive moment": ([f"KOLD env:{VARIABLE} 2026-12-01T00:00:00"], [f"keys: key 1: {NAIVE}"]),
    "date": ([GOOD, f"KOLD env:{VARIABLE} 2026-12-01"], [f"keys: key 2: {NAIVE}"]),
    "public key": (
        [f"KOLD {KEYS / 'p256-public.pem'}"],
        ["keys, line 1: private_key: the PEM holds a PUBLIC KEY; expected the private key of the pair"],
    ),
    "encrypted key": (
        [f"KOLD {KEYS / 'p256-encrypted.pem'}"],
        ["keys, line 1: private_key: the PEM is encrypted; decrypt it first (openssl pkey -in KEY -out PLAIN)"],
    ),
    "Ed25519": (
        [f"KOLD {KEYS / 'ed25519.pem'}"],
        [
            "keys, line 1: private_key is of type Ed25519; CloudFront takes RSA 2048 or ECDSA P-256 keys, given as PEM "
            "or as a cryptography private key"
        ],
    ),
    "P-384": (
        [f"KOLD {KEYS / 'p384.pem'}"],
        ["keys, line 1: private_key: an ECDSA key on curve secp384r1; CloudFront takes P-256 (prime256v1) only"],
    ),
    "RSA 1024": (
        [f"KOLD {KEYS / 'rsa-1024.pem'}"],
        ["keys, line 1: private_key: an RSA key of 1024 bits; CloudFront takes RSA 2048 or ECDSA P-256"],
    ),
    "no variable": (
        ["KOLD env:CFGATE_NOT_SET"],
        ["keys, line 1: private_key: the environment variable CFGATE_NOT_SET is not set"],
    ),
    "variable without PEM": (
        ["KOLD env:CFGATE_TEST_BODY"],
        [
            f"keys, line 1: private_key: the environment variable CFGATE_TEST_BODY holds {about(BODY)} that is no PEM; "
            "it must hold the key itself, not a path"
        ],
    ),
    "no name": (
        ["KOLD ssm:"],
        ["keys, line 1: private_key starts with ssm: but nothing follows; expected ssm:NAME"],
    ),
    "IAM key": (
        [f"AKIAEXAMPLE env:{VARIABLE}"],
        [
            "keys, line 1: key_pair_id starts with AKIA: that is an IAM access key id; expected the id CloudFront "
            "shows beside the public key, such as K2JCJMDEHXQW5F"
        ],
    ),
    "key for an id": ([f"{BODY} env:{VARIABLE}"], [f"keys, line 1: key_pair_id is {about(BODY)}; {NO_ID}"]),
    "key for a line": ([GOOD, BODY], [f"keys, line 2: {LINE}"]),
    "several": (
        ["K-1 env:CFGATE_NOT_SET", GOOD, "KONLY", f"KOLD {KEYS / 'rsa-1024.pem'} 2026-12-01"],
        [
            f"keys, line 1: key_pair_id is a str of 3 characters; {NO_ID}",
            "keys, line 1: private_key: the environment variable CFGATE_NOT_SET is not set",
            f"keys, line 3: {LINE}",
            "keys, line 4: private_key: an RSA key of 1024 bits; CloudFront takes RSA 2048 or ECDSA P-256",
        ],
    ),
}


@pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(("lines", "problems"), REFUSALS.values(), ids=REFUSALS)
def test_a_wrong_ring_is_refused_before_anything_is_served(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[..., object],
    lines: list[str],
    problems: list[str],
) -> None:
    """Every wrong line is told by its number, all at once, and in the same words wherever the ring stands."""
    monkeypatch.setenv(VARIABLE, OLD.pem)
    monkeypatch.setenv("CFGATE_TEST_BODY", BODY)
    monkeypatch.delenv("CFGATE_NOT_SET", raising=False)
    assert refusal(make, folder, lines) == tuple(problems)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/no/such/key.pem", "No such file or directory"),
        ("/", "Is a directory"),
        ("/" + 300 * "x", "File name too long"),
    ],
)
@pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)
def test_a_key_that_cannot_be_read_is_told_without_its_path(
    folder: Path, make: Callable[..., object], path: str, reason: str
) -> None:
    """A path may be a key in the wrong shape: its line says enough."""
    (problem,) = refusal(make, folder, [GOOD, f"KOLD {path}"])
    start, _, end = problem.partition(", taken for a path")
    assert start in (
        f"keys, line 2: private_key is {about(path)}",
        "keys, line 2: private_key is an object of type PosixPath",
    )
    assert end == f" that could not be read ({reason}); {REFERENCES}"


@pytest.mark.parametrize("make", [WAYS["text"], WAYS["file"], WAYS["ini"]], ids=["text", "file", "ini"])
def test_a_pem_in_the_place_of_a_ring_is_not_shown(folder: Path, make: Callable[..., object]) -> None:
    """The options are easily confused."""
    problems = refusal(make, folder, OLD.pem.splitlines())
    assert len(problems) >= len(OLD.pem.splitlines())
    assert all(problem.startswith("keys, line ") for problem in problems)


@pytest.mark.parametrize("place", range(3))
def test_a_key_in_any_place_of_a_tuple_is_not_shown(place: int) -> None:
    """Neither as id nor as path nor as moment."""
    entry = ["KOLD", OLD.pem, "2026-12-01T00:00:00Z"]
    entry[place] = BODY
    (problem,) = refusal(gate, Judge(), signer=None, keys=[tuple(entry)])
    assert problem.startswith("keys, line 1: ")
    assert about(BODY) in problem


@pytest.mark.parametrize(
    "entry", [(), ("KOLD",), ("KOLD", "a", "b", "c"), None, 5, b"KOLD a", ["KOLD", "a"], {"KOLD": "a"}], ids=repr
)
def test_an_entry_of_another_kind_is_refused(entry: object) -> None:
    """An entry is a line, or a tuple of the same two or three parts."""
    assert refusal(gate, Judge(), signer=None, keys=[entry]) == (f"keys, line 1: {LINE}",)


@pytest.mark.parametrize(
    ("moment", "message"),
    [
        (datetime(2026, 12, 1), NAIVE),
        (-1, f"expected an aware datetime or epoch seconds from 0 to {MAX_EPOCH}"),
        (timedelta(1), f"expected an aware datetime or epoch seconds from 0 to {MAX_EPOCH}"),
    ],
)
def test_a_moment_object_must_be_one_moment(moment: object, message: str) -> None:
    """What could mean several moments, or none, is refused."""
    assert refusal(gate, Judge(), signer=None, keys=[("KOLD", OLD.pem, moment)]) == (f"keys: key 1: {message}",)


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (b"KOLD a.pem", "bytes of length 10"),
        (5, "an object of type int"),
        (Path("/etc/keys/ring"), "an object of type PosixPath"),
        (Signer("KOLD", OLD.pem), "an object of type Signer"),
    ],
)
def test_keys_of_another_kind_are_refused(keys: object, what: str) -> None:
    """What was meant is told, and the value is not."""
    assert refusal(gate, Judge(), signer=None, keys=keys) == (
        f"keys is {what}; expected a KeyRing, or lines 'KEY_PAIR_ID SOURCE [ISO-8601 moment]', or file:PATH",
    )


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (("signer",), "signer and keys are both given; keys are given in one way: leave one out"),
        (("private_key",), "keys and private_key are both given; keys are given in one way: leave one out"),
        (
            ("key_pair_id", "priv_key_string"),
            "keys and priv_key_string are both given; keys are given in one way: leave one out",
        ),
        (
            ("signer", "key_pair_id", "private_key"),
            "signer and keys and private_key are both given; keys are given in one way: leave one out",
        ),
        (("key_pair_id",), "keys and key_pair_id are both given; keys has its own: leave key_pair_id out"),
    ],
)
def test_keys_are_given_in_one_way(folder: Path, others: tuple[str, ...], message: str) -> None:
    """No way wins silently over another, neither in Python nor in ini."""
    ring = f"KNEW {folder / 'KNEW.pem'}"
    values = {"signer": Signer("KOLD", OLD.pem), "key_pair_id": "KOLD", "private_key": OLD.pem, "priv_key_string": ""}
    options = {name: values[name] for name in others}
    assert refusal(gate, Judge(), **{"signer": None, "keys": ring, **options}) == (message,)
    if "signer" not in options:
        assert refusal(load_ini, folder, keys=ring, **{name: str(value) for name, value in options.items()}) == (
            message,
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "key_pair_id and private_key missing: expected key_pair_id and private_key, or keys, or signer"),
        ({"key_pair_id": "K1"}, "private_key missing: expected key_pair_id and private_key, or keys, or signer"),
        (
            {"signer": Signer("KOLD", OLD.pem), "key_pair_id": "KOLD"},
            "signer and key_pair_id are both given; signer has its own: leave key_pair_id out",
        ),
        (
            {"signer": Signer("KOLD", OLD.pem), "hash_algorithm": "SHA1"},
            "signer signs with SHA256, but hash_algorithm='SHA1' is given; leave hash_algorithm out",
        ),
        ({"signer": KeyRing([Signer("KOLD", OLD.pem)]), "hash_algorithm": "SHA1"}, OWN_HASH),
        ({"keys": KeyRing([Signer("KOLD", OLD.pem)]), "hash_algorithm": "SHA1"}, OWN_HASH),
        (
            {"signer": KeyRing([(Signer("KOLD", OLD.pem), 2**31 - 1)])},
            "signer: no key of the ring is active before 2147483647 (epoch seconds)",
        ),
        (
            {"key_pair_id": "K1", "private_key": "${KEY}"},
            "private_key is a str of 6 characters with a shell placeholder that nothing filled in; "
            "write env:NAME to read the environment variable NAME",
        ),
        (
            {"key_pair_id": "K1", "private_key": "key\0.pem"},
            unreadable("not a path", "a str of 8 characters"),
        ),
    ],
)
def test_keys_that_cannot_be_meant_are_refused(options: dict[str, Any], message: str) -> None:
    """What is missing, contradictory or not yet active is told when the gate is made."""
    assert refusal(gate, Judge(), **{"signer": None, **options}) == (message,)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("{folder}/none", "the ring file {folder}/none could not be read (No such file or directory)"),
        ("{folder}", "the ring file {folder} could not be read (Is a directory)"),
        ("{folder}/KOLD.pem/ring", "the ring file {folder}/KOLD.pem/ring could not be read (Not a directory)"),
        ("", "the ring file . could not be read (Is a directory)"),
        ("{folder}/a\0b", "the ring file {folder}/a\0b could not be read (not a path)"),
    ],
    ids=["none", "directory", "below a file", "nothing", "NUL"],
)
def test_a_ring_file_that_cannot_be_read_is_named(folder: Path, path: str, told: str) -> None:
    """The path of a ring is no secret, and helps to find the mistake."""
    keys = f"file:{path.format(folder=folder)}"
    assert refusal(gate, Judge(), signer=None, keys=keys) == (f"keys: {told.format(folder=folder)}",)


@pytest.mark.parametrize("way", ["text", "ini"])
def test_a_ring_file_of_other_text_is_refused(folder: Path, way: str) -> None:
    """A ring is UTF-8."""
    (folder / "ring").write_bytes(b"K\xff")
    keys = f"file:{folder / 'ring'}"
    made = refusal(gate, Judge(), signer=None, keys=keys) if way == "text" else refusal(load_ini, folder, keys=keys)
    assert made == ("keys: the ring file is no UTF-8 text",)


@pytest.mark.parametrize("openssl_can", [True, False])
def test_a_key_without_rfc_6979_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, openssl_can: bool
) -> None:
    """The line names the id alone, so that it can be told which key of the ring it is."""
    look = "_use_rfc_6979_where_openssl_can"
    monkeypatch.setattr(Signer, look, lambda signer: setattr(signer, "deterministic", openssl_can))
    with caplog.at_level(logging.INFO):
        gate(Judge(), signer=None, keys=[("KOLD", OLD.pem)])
    line = "key KOLD: this OpenSSL has no RFC 6979, so equal ECDSA policies get unequal signatures"
    assert [record.getMessage() for record in caplog.records] == ([] if openssl_can else [line])


# The watched file


class Clock:
    """Monotonic seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Watch:
    """A watched ring, its file, and the looks it takes at it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
        self.folder, self.file, self.clock = folder, file, Clock()
        self.looks = 0
        real_stat = os.stat

        def stat(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
            self.looks += os.fspath(path) == str(file)
            return real_stat(path, *arguments, **options)

        monkeypatch.setattr(os, "stat", stat)
        self.ring = WatchedRing(file, clock=self.clock)

    def used(self, *, after: float = 0, now: float = NOW) -> str:
        """Return the id of the key that signs after some seconds."""
        self.clock.seconds += after
        return self.ring.current(now).key_pair_id

    def write(self, *lines: str) -> None:
        """Put another ring in place."""
        ring_file(self.folder, lines)


@pytest.fixture
def watch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """A ring of the old key, watched every 30 seconds."""
    return Watch(folder, monkeypatch, ring_file(folder, ["KOLD KOLD.pem"]))


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the error lines logged so far, and forget them; none holds a key."""
    assert not any(secret in caplog.text for secret in SECRETS)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    caplog.clear()
    return told


def test_a_ring_file_is_looked_at_once_in_30_seconds(watch: Watch) -> None:
    """However many requests come, the file costs one stat in each half minute, and none where no request comes."""
    watch.looks, looks = 0, []
    for _ in range(1200):  # five minutes
        watch.used()
        watch.used(after=0.25)
        looks.append(watch.looks)
    assert looks == [step // 120 for step in range(1, 1201)]
    watch.used(after=86400)
    assert watch.looks == 11


def test_a_changed_file_replaces_the_whole_ring(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    """The next look finds it; the log names the ids that are in the ring now."""
    caplog.set_level(logging.INFO)
    watch.write("KOLD KOLD.pem", "KNEW KNEW.pem")
    assert (watch.used(), watch.used(after=29.9)) == ("KOLD", "KOLD")
    assert watch.used(after=0.1) == "KNEW"
    assert caplog.messages == [f"ring file {watch.file}: loaded <KeyRing KOLD KNEW>"]
    before = watch.ring._ring
    assert watch.used(after=30) == "KNEW"
    assert watch.ring._ring is before  # what its signers remember is kept
    assert len(caplog.messages) == 1


def test_a_file_rewritten_in_place_is_noticed(watch: Watch) -> None:
    """Not everybody renames."""
    watch.file.write_text("KNEW KNEW.pem\n")
    assert watch.used(after=30) == "KNEW"


def test_a_swapped_symlink_is_followed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes mounts a secret behind two symbolic links and swaps the inner one for all its files at once."""
    for version, pair in (("..2026_01", OLD), ("..2026_02", NEW)):
        (folder / version).mkdir()
        (folder / version / "ring").write_text(f"{pair.key_pair_id} key.pem\n")
        (folder / version / "key.pem").write_text(pair.pem)
    (folder / "..data").symlink_to("..2026_01")
    for name in ("ring", "key.pem"):
        (folder / name).symlink_to(f"..data/{name}")
    watch = Watch(folder, monkeypatch, folder / "ring")
    assert watch.used(after=30) == "KOLD"
    (folder / "..data_tmp").symlink_to("..2026_02")
    (folder / "..data_tmp").replace(folder / "..data")
    assert watch.used(after=30) == "KNEW"
    assert signed_by(fetch(gate(Judge(), signer=watch.ring), "/private/x")) == "KNEW"


@pytest.mark.parametrize("at_start", [True, False])
def test_a_ring_swapped_while_it_is_read_is_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, at_start: bool
) -> None:
    """No id is ever paired with the key that another version of the ring keeps in a file of the same name."""
    key = folder / "key.pem"
    key.write_text(OLD.pem)
    file = ring_file(folder, ["KOLD key.pem"])
    clock = Clock()
    ring = WatchedRing(file, clock=clock)
    read_bytes = Path.read_bytes
    versions = iter([NEW])

    def swapped_before(path: Path) -> bytes:
        for pair in versions:
            key.write_text(pair.pem)
            ring_file(folder, [f"{pair.key_pair_id} key.pem"])
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", swapped_before)
    if at_start:
        ring = WatchedRing(file, clock=clock)
    else:
        ring_file(folder, ["# a comment", "KOLD key.pem"])
        clock.seconds += 30
    signer = ring.current(NOW)
    assert isinstance(signer, Signer)
    assert (signer.key_pair_id, signer.public_key_pem()) == ("KNEW", NEW.public_pem)


def half_written(watch: Watch) -> None:
    """Leave a line that broke off."""
    watch.file.write_text("KOLD KOLD.pem\nKNEW")


def gone(watch: Watch) -> None:
    """Take the file away."""
    watch.file.unlink()


def a_directory(watch: Watch) -> None:
    """Put something else in its place."""
    watch.file.unlink()
    watch.file.mkdir()


def no_text(watch: Watch) -> None:
    """Write what is no text."""
    watch.file.write_bytes(b"\xff\xfe")


def lines(*text: str) -> Callable[[Watch], None]:
    """Write a ring of these lines."""
    return lambda watch: watch.write(*text)


MISHAPS: dict[str, tuple[Callable[[Watch], None], str]] = {
    "half-written": (half_written, f"keys, line 2: {LINE}"),
    "gone": (gone, "No such file or directory"),
    "a directory": (a_directory, "Is a directory"),
    "no text": (no_text, "keys: the ring file is no UTF-8 text"),
    "emptied": (lines(), EMPTY),
    "all commented out": (lines("# KOLD KOLD.pem"), EMPTY),
    "public key": (
        lines(f"KNEW {KEYS / 'p256-public.pem'}"),
        "keys, line 1: private_key: the PEM holds a PUBLIC KEY; expected the private key of the pair",
    ),
    "wrong key": (
        lines(f"KNEW {KEYS / 'rsa-1024.pem'}"),
        "keys, line 1: private_key: an RSA key of 1024 bits; CloudFront takes RSA 2048 or ECDSA P-256",
    ),
    "key not there yet": (
        lines("KOLD KOLD.pem", "KNEW soon.pem"),
        f"keys, line 2: {unreadable('No such file or directory', 'an object of type PosixPath')}",
    ),
    "twice": (lines("KOLD KOLD.pem", "KOLD KNEW.pem"), f"keys: key pair id KOLD {TWICE}"),
    "nothing active": (
        lines("KNEW KNEW.pem 2027-01-15T08:00:01Z"),
        f"keys: no key of the ring is active before {NOW + 1} (epoch seconds)",
    ),
}


@pytest.mark.parametrize(("mishap", "reason"), MISHAPS.values(), ids=MISHAPS)
def test_a_ring_that_cannot_be_used_leaves_the_one_of_before(
    watch: Watch, caplog: pytest.LogCaptureFixture, mishap: Callable[[Watch], None], reason: str
) -> None:
    """Nothing stops signing; the log has one error for each change, and tells when all is well again."""
    caplog.set_level(logging.INFO)
    mishap(watch)
    assert [watch.used(after=30) for _ in range(5)] == ["KOLD"] * 5
    assert errors(caplog) == [f"ring file {watch.file}: {reason}; the keys of before stay in use"]
    if watch.file.is_dir():
        watch.file.rmdir()
    watch.write("K-1 KOLD.pem")
    assert [watch.used(after=30) for _ in range(2)] == ["KOLD"] * 2
    assert len(errors(caplog)) == 1
    watch.write("KNEW KNEW.pem")
    assert watch.used(after=30) == "KNEW"
    assert caplog.messages == [f"ring file {watch.file}: loaded <KeyRing KNEW>"]


def test_a_ring_heals_when_its_key_arrives(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    """The ring may name a key file before it is there: nobody has to touch the ring again."""
    caplog.set_level(logging.INFO)
    watch.write("KOLD KOLD.pem", "KNEW soon.pem")
    assert watch.used(after=30) == "KOLD"
    (watch.folder / "soon.pem").write_text(NEW.pem)
    assert watch.used(after=30) == "KNEW"
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


@pytest.mark.parametrize("broken", [None, "K-1 KOLD.pem"])
def test_a_ring_that_comes_back_as_it_was_is_told_of_too(
    watch: Watch, caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    """The same file may go and come again and again: every change for the worse is one error, for the better a line."""
    caplog.set_level(logging.INFO)
    good, bad = watch.folder / "good", watch.folder / "bad"
    watch.file.rename(good)
    watch.file.symlink_to(good)
    assert watch.used(after=30) == "KOLD"
    if broken is not None:
        bad.write_text(broken)
    for target in (bad, good, bad, good):
        watch.file.unlink()
        watch.file.symlink_to(target)
        assert [watch.used(after=30) for _ in range(2)] == ["KOLD"] * 2
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"] * 2
    assert caplog.messages[-1] == f"ring file {watch.file}: is again the one in use, <KeyRing KOLD>"


def test_a_moment_is_reached_without_a_change_of_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock alone turns the ring, on the second and without a look."""
    file = ring_file(folder, ["KOLD KOLD.pem", "KNEW KNEW.pem 2027-01-15T08:00:00Z"])
    watch = Watch(folder, monkeypatch, file)
    watch.looks = 0
    assert [watch.used(now=NOW + seconds) for seconds in (-1, -0.001, 0, 1)] == ["KOLD", "KOLD", "KNEW", "KNEW"]
    assert watch.looks == 0


def test_a_ring_is_not_accepted_before_its_first_moment_and_then_is(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    """A ring whose only key becomes active later is taken up by itself when it does."""
    watch.write("KNEW KNEW.pem 2027-01-15T08:00:00Z")
    assert watch.used(after=30, now=NOW - 1) == "KOLD"
    assert len(errors(caplog)) == 1
    assert watch.used(after=30) == "KNEW"


def test_two_requests_at_the_same_moment_look_once(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that was overtaken between asking the clock and looking does not look again."""
    watch.looks = 0
    real_getpid = os.getpid

    def overtaken() -> int:
        monkeypatch.setattr(os, "getpid", real_getpid)
        watch.used()  # another thread, that is faster
        return real_getpid()

    monkeypatch.setattr(os, "getpid", overtaken)
    assert watch.used(after=30) == "KOLD"
    assert os.getpid is real_getpid
    assert watch.looks == 1


def test_a_request_does_not_wait_for_one_that_is_looking(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one request loads the ring, others sign with the one of before."""
    watch.write("KNEW KNEW.pem")
    meanwhile: list[str] = []
    read_text = Path.read_text

    def slow(path: Path, *arguments: Any) -> str:
        meanwhile.append(watch.used(after=30))
        return read_text(path, *arguments)

    monkeypatch.setattr(Path, "read_text", slow)
    assert watch.used(after=30) == "KNEW"
    assert meanwhile == ["KOLD"]


def test_a_process_forked_during_a_look_looks_by_itself(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a thread of the parent held at the fork is held for ever in the child, which must not wait for it."""
    watch.write("KNEW KNEW.pem")
    read_text = Path.read_text
    in_child: list[str] = []

    def fork(path: Path, *arguments: Any) -> str:
        if not in_child:
            in_child.append("forked")
            with monkeypatch.context() as child:
                child.setattr(os, "getpid", lambda: -1)
                in_child.append(watch.used(after=30))
        return read_text(path, *arguments)

    monkeypatch.setattr(Path, "read_text", fork)
    watch.used(after=30)
    assert in_child == ["forked", "KNEW"]


def test_concurrent_readers_never_see_a_mix(folder: Path) -> None:
    """While the file goes through versions, every thread gets whole ones, id and key together, and never goes back."""
    versions = [make_pair(f"K{number}") for number in range(20)]
    for pair in versions:
        (folder / f"{pair.key_pair_id}.pem").write_text(pair.pem)
    ring = WatchedRing(ring_file(folder, ["K0 K0.pem"]), interval=0)
    seen: list[list[int]] = [[] for _ in range(4)]
    done = threading.Event()
    wrong: list[str] = []

    def read(numbers: list[int]) -> None:
        while not done.is_set():
            signer = ring.current(NOW)
            number = int(signer.key_pair_id[1:])
            if not isinstance(signer, Signer) or signer.public_key_pem() != versions[number].public_pem:
                wrong.append(signer.key_pair_id)
            numbers.append(number)

    readers = [threading.Thread(target=read, args=(numbers,)) for numbers in seen]
    for reader in readers:
        reader.start()
    try:
        for before, pair in zip(versions, versions[1:], strict=False):
            ring_file(folder, [f"{name} {name}.pem" for name in (before.key_pair_id, pair.key_pair_id)])
            done.wait(0.01)
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert not wrong
    assert all(numbers == sorted(numbers) for numbers in seen)
    assert ring.current(NOW).key_pair_id == "K19"


# Rings behind a gate


class Turning:
    """A ring that gives another key each time it is asked."""

    def __init__(self) -> None:
        self._signers = [Signer(pair.key_pair_id, pair.pem) for pair in (OLD, NEW)]
        self.asked = 0

    def current(self, now: float) -> Signer:
        self.asked += 1
        return self._signers[self.asked % 2]


@pytest.mark.parametrize("answer", ["redirect", "cookies", "json"])
def test_a_decision_asks_for_the_key_once(answer: str) -> None:
    """Signature, id and record are of one key, even if the ring turns in the middle of a request."""
    ring, records = Turning(), list[Record]()
    made = gate(Judge(), signer=ring, answer=answer, on_decision=records.append)
    for number in range(1, 7):
        asked = ring.asked
        got = fetch(made, "/private/x", HTTP_ACCEPT="application/json")
        assert ring.asked == asked + 1
        text = str([got.headers, got.body])
        told = records[-1].key_pair_id
        assert text.count("Key-Pair-Id=KOLD") + text.count("Key-Pair-Id=KNEW") == 1
        assert f"Key-Pair-Id={told}" in text
        assert len(records) == number
    assert {record.key_pair_id for record in records} == {"KOLD", "KNEW"}


def test_the_record_names_the_key_that_signed(folder: Path) -> None:
    """Through any number of rotations the URL verifies by the id that the record tells."""
    records: list[Record] = []
    ring = WatchedRing(ring_file(folder, ["KOLD KOLD.pem"]), interval=0)
    made = gate(Judge(), signer=ring, on_decision=records.append)
    for newest in (OLD, NEW) * 5:
        ring_file(folder, [f"{newest.key_pair_id} {newest.key_pair_id}.pem"])
        assert signed_by(fetch(made, "/private/x")) == newest.key_pair_id == records[-1].key_pair_id


def test_a_url_of_before_a_rotation_stays_valid(folder: Path) -> None:
    """As long as the old public key is in the key group; afterwards CloudFront does not know it any more."""
    made = gate(Judge(Grant(expires=3600)), signer=WatchedRing(ring_file(folder, ["KOLD KOLD.pem"]), interval=0))
    before = fetch(made, "/private/x")
    ring_file(folder, ["KOLD KOLD.pem", "KNEW KNEW.pem"])
    after = fetch(made, "/private/x")
    assert (signed_by(before), signed_by(after)) == ("KOLD", "KNEW")
    only_new = KeyGroup({"KNEW": NEW.public_pem})
    assert signed_by(after, only_new) == "KNEW"
    with pytest.raises(UnknownKey):
        signed_by(before, only_new)


def test_a_reused_signature_is_of_the_key_that_signs_now(folder: Path) -> None:
    """What is remembered belongs to one key, so a rotation takes effect at once in spite of reuse_for."""
    made = gate(Judge(), signer=WatchedRing(ring_file(folder, ["KOLD KOLD.pem"]), interval=0), reuse_for=60)
    assert fetch(made, "/private/x").location == fetch(made, "/private/x").location
    ring_file(folder, ["KNEW KNEW.pem"])
    assert signed_by(fetch(made, "/private/x")) == "KNEW"


class Broken:
    """A signer that fails, after the probe or at once."""

    key_pair_id = "KBROKEN"
    hash_algorithm = "SHA256"

    def sign(self, message: bytes) -> bytes:
        raise TimeoutError("secret")


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (Broken(), "signer KBROKEN failed with TimeoutError"),
        (
            KeyRing([(Signer("KOLD", OLD.pem), 1)]),  # active when the gate was made, not when the clock went wrong
            "no key of the ring is active before 1 (epoch seconds)",
        ),
    ],
)
def test_a_failure_to_sign_is_one_error_line_and_no_answer(
    caplog: pytest.LogCaptureFixture, keys: Any, reason: str
) -> None:
    """The server gets an exception and nothing else; the log tells what was asked for and why it failed."""
    caplog.set_level(logging.INFO)
    records: list[Record] = []
    made = gate(Judge(), signer=keys, on_decision=records.append)
    made.clock = lambda: 0

    def start_response(*started: object) -> Any:
        raise AssertionError("something was answered")

    with pytest.raises(SigningError) as caught:
        made(environ_for("/private/a b", query="x=secret"), start_response)
    assert str(caught.value) == reason
    assert records == []
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", f"GET /private/a%20b -> not signed: {reason}")
    ]
    assert "secret" not in caplog.text


def test_a_signer_is_loaded_outside_a_gate_too(folder: Path) -> None:
    """Views and scripts load keys from the same sources."""
    assert load_signer("KOLD", folder / "KOLD.pem").key_pair_id == "KOLD"
    given = dict.fromkeys(("signer", "priv_key_string", "hash_algorithm"))
    key_at = choose_keys({**given, "key_pair_id": "KNEW", "private_key": NEW.pem})
    assert key_at(NOW).key_pair_id == "KNEW"


def test_no_failure_to_reload_reaches_a_viewer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong with a new ring, a defect included, the old one signs on and the log tells it once."""
    seconds = [0.0]
    ring = WatchedRing(ring_file(folder, ["KOLD KOLD.pem"]), clock=lambda: seconds[0])
    ring_file(folder, ["KOLD KOLD.pem", "KNEW KNEW.pem"])

    def broken(*arguments: object) -> None:
        raise KeyError("Parameter")

    monkeypatch.setattr("cfgate_middleware.keysource.load_signer", broken)
    for look in (30.0, 60.0):
        seconds[0] = look
        assert ring.current(NOW).key_pair_id == "KOLD"
    (error,) = (record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    assert error == f"ring file {folder / 'ring'}: KeyError; the keys of before stay in use"


def test_a_byte_order_mark_is_no_part_of_an_id(folder: Path) -> None:
    """Editors that begin a file with one are forgiven."""
    (folder / "ring").write_bytes(b"\xef\xbb\xbfKOLD KOLD.pem\n")
    assert WatchedRing(folder / "ring").current(NOW).key_pair_id == "KOLD"


@pytest.mark.parametrize("source", [print, lambda key_pair_id, hash_algorithm: None])
def test_a_callable_is_no_key(source: object) -> None:
    """Nothing that is given as a key is called."""
    with pytest.raises(ConfigError, match="private_key is of type"):
        load_signer("KOLD", source)
