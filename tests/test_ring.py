"""Keys in rotation: rings in Python, in an option, in an ini file, and in a file that changes while it is used."""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
import os
import textwrap
import threading
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec
from paste.deploy import loadapp

from cfgate_middleware import ConfigError, DecisionRecord, Distribution, KeyRing, Signer, SigningError
from cfgate_middleware._core.answers import KINDS
from cfgate_middleware._keys import sources, watched
from cfgate_middleware._keys.watched import WatchedRing
from cfgate_middleware.verify import KeyGroup, verify_url
from tests.conftest import KEYS, NOW
from tests.support import BASE_URL, Fake, Judge, Log, Patch, fetch, gate

VARIABLE = "CFGATE_TEST_RING_KEY"
RSA = KEYS / "rsa-2048-pkcs8.pem"


class Pair(NamedTuple):
    """A key pair as CloudFront and the application know it."""

    key_pair_id: str
    pem: str
    public_pem: str


def make_pair(key_pair_id: str) -> Pair:
    """Return the ECDSA key of this id, which is the same in every run."""
    key = ec.derive_private_key(int.from_bytes(hashlib.sha256(key_pair_id.encode()).digest()), ec.SECP256R1())
    private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    public = key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    return Pair(key_pair_id, private.decode("ascii"), public.decode("ascii"))


OLD, NEW = make_pair("KOLD"), make_pair("KNEW")
SECRETS = [line for pair in (OLD, NEW) for line in pair.pem.splitlines() if "-----" not in line]
BODY = "".join(OLD.pem.splitlines()[1:-1])  # a key whose first and last line got lost; it has a + and a /
ABOUT_BODY = f"a str of {len(BODY)} characters"
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


def ring_of(keys: Any, **options: Any) -> Distribution:
    """Return a distribution with these keys at a fixed time."""
    made = Distribution(BASE_URL, keys=keys, **options)
    made.clock = lambda: NOW
    return made


def load_ini(folder: Path, keys: str) -> Any:
    """Load a gate from a real ini file; further lines of a value are indented, as ini files want them."""
    lines = textwrap.indent(keys, "    ").strip(" ")
    (folder / "site.ini").write_text(
        "[app:main]\npaste.app_factory = cfgate_middleware.pastedeploy:app_factory\nprefix = /private\n"
        f"authorize = tests.test_ring:everybody\ndomain = {BASE_URL}\nkeys = {lines}\n"
    )
    return loadapp(f"config:{folder / 'site.ini'}")


def ring_file(folder: Path, lines: Iterable[str]) -> Path:
    """Put a ring into place as one should: whole, by a rename."""
    file, draft = folder / "ring", folder / "ring.new"
    draft.write_text("".join(f"{line}\n" for line in lines))
    draft.replace(file)
    return file


# Every way in which lines reach a distribution.
WAYS: dict[str, Callable[[Path, list[str]], Any]] = {
    "text": lambda folder, lines: ring_of("\n".join(lines)),
    "lines": lambda folder, lines: ring_of(lines),
    "file": lambda folder, lines: ring_of(f"file:{ring_file(folder, lines)}"),
    "ini": lambda folder, lines: load_ini(folder, "\n".join(["", *lines])),
    "ini file": lambda folder, lines: load_ini(folder, f"file:%(here)s/{ring_file(folder, lines).name}"),
}
every_way = pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)


def refusal(make: Callable[..., object], *arguments: Any, **options: Any) -> tuple[str, ...]:
    """Return the problems for which a call is refused; no line of a key is in its traceback."""
    with pytest.raises(ConfigError) as caught:
        make(*arguments, **options)
    text = "".join(traceback.format_exception(caught.value))
    assert not any(secret in text for secret in (*SECRETS, BODY))
    return caught.value.problems


def signed_by(url: str, group: KeyGroup = GROUP) -> str:
    """Return the id of the key by which CloudFront takes a URL."""
    return verify_url(url.removeprefix(BASE_URL), base_url=BASE_URL, key_group=group, now=0).key_pair_id


def used(made: Any, now: float = NOW, group: KeyGroup = GROUP) -> str:
    """Return the id of the key that signs at a time."""
    made.clock = lambda: now
    return signed_by(made.sign("/x"), group)


def tells(problems: Iterable[str], telling: list[tuple[str, ...]]) -> bool:
    """Return whether each problem begins with the first and holds the others of its telling parts."""
    found = list(problems)
    return len(found) == len(telling) and all(
        problem.startswith(first) and all(part in problem for part in parts)
        for problem, (first, *parts) in zip(found, telling, strict=True)
    )


def later(seconds: float) -> datetime:
    """Return a time after the tests' own, in a zone far from here."""
    return datetime.fromtimestamp(NOW + seconds, timezone(timedelta(hours=-9, minutes=-30)))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        *(([Fake("KA"), Fake("KB")], {NOW: "KB"}), (iter([Fake("KA"), (Fake("KB"), NOW)]), {NOW - 1: "KA", NOW: "KB"})),
        *(
            ([Fake("KA"), (Fake("KB"), active_from)], {NOW: "KA", NOW + 99.999: "KA", NOW + 100: "KB"})
            for active_from in (later(100), NOW + 100, NOW + 99.5, later(99.5))
        ),
        (
            [(Fake("KA"), NOW + 200), (Fake("KB"), NOW + 100), (Fake("KC"), NOW + 300)],
            {NOW + 100: "KB", NOW + 200: "KB", NOW + 299: "KB", NOW + 300: "KC", NOW + 1e6: "KC"},
        ),
    ],
)
def test_the_last_active_key_of_a_ring_signs(keys: Any, expected: dict[float, str]) -> None:
    """The order of the ring counts, not that of the activation times, and the clock alone turns it."""
    ring = KeyRing(keys)
    assert {now: ring.current(now).key_pair_id for now in expected} == expected


def test_a_ring_shows_its_ids_and_when_its_first_key_is_active() -> None:
    """Nothing else of a key is in the repr; before the first activation time the ring does not sign."""
    ring = KeyRing([(Fake("KOLD"), NOW + 200), (Fake("KNEW"), later(100))])
    assert repr(ring) == "<KeyRing KOLD KNEW>"
    with pytest.raises(SigningError, match=f"active before {NOW + 100}"):
        ring.current(NOW + 99)


TIME = ("aware datetime", "epoch seconds")
YEAR_1 = datetime(1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("keys", "telling"),
    [
        ([], [("the key ring is empty",)]),
        (
            [Fake("KB"), Fake("KA"), (Fake("KB"), NOW), Fake("KA"), Fake("KC")],
            [("key pair id KA occurs twice",), ("key pair id KB occurs twice",)],
        ),
        ([Fake("KA"), None, (Fake("K-1"), NOW)], [("key 2", "Signer"), ("key 3", "key_pair_id", "3 characters")]),
        *((keys, [("key 1", "expected a Signer")]) for keys in ([[Fake("K1"), NOW]], [KeyRing([Fake("K1")])])),
        ([(Fake("K1"), NOW, NOW)], [("key 1", "activation time")]),
        *(
            ([(Fake("K1"), active_from)], [("key 1", *TIME)])
            for active_from in (None, True, "2026-12-01T00:00:00Z", -1, math.nan, math.inf, timedelta(1), YEAR_1)
        ),
        ([(Fake("K1"), datetime(2026, 12, 1))], [("key 1", "naive")]),
        (Fake("K1"), [("the key ring is an object of type Fake", "iterable of signers")]),
        *(("K1", [("the key ring is a str of 2 characters",)]), (None, [("the key ring is None",)])),
    ],
)
def test_a_ring_of_something_else_is_refused(keys: Any, telling: list[tuple[str, ...]]) -> None:
    """Every wrong member is named by its place, all at once."""
    assert tells(refusal(KeyRing, keys), telling)


@every_way
def test_the_newest_active_key_of_the_option_signs(folder: Path, make: Callable[..., Any]) -> None:
    """A ring may be in the option or a file, in Python or ini; comments, empty lines, spaces and dates may be in it."""
    spaced = folder / "my keys, 2026"
    spaced.mkdir()
    for pair in (OLD, NEW):
        (spaced / f"the {pair.key_pair_id}-2026-01-01").write_text(pair.pem)
    lines = [
        "# oldest first",
        f"KOLD {spaced / 'the KOLD-2026-01-01'}",
        "",
        f"KNEW   {spaced / 'the KNEW-2026-01-01'}\t2027-01-15T07:59:59Z",
        f"KLATER {RSA} 2027-01-15T09:00:01+01:00",
    ]
    made = make(folder, lines)
    rsa = (KEYS / "rsa-2048-public.pem").read_text()
    group = KeyGroup({"KOLD": OLD.public_pem, "KNEW": NEW.public_pem, "KLATER": rsa})
    assert [used(made, NOW + step, group) for step in (-2, -1, 0, 1)] == ["KOLD", "KNEW", "KNEW", "KLATER"]


@pytest.mark.parametrize(
    "source",
    [Path("KNEW.pem"), NEW.pem, s.load_pem_private_key(NEW.pem.encode(), password=None), f"env:{VARIABLE}"],
    ids=["Path", "PEM", "key object", "variable"],
)
@pytest.mark.parametrize(
    "active_from", [(), (None,), (NOW,), ("2027-01-15T08:00:00Z",), (datetime.fromtimestamp(NOW, UTC),)], ids=repr
)
def test_in_python_an_entry_may_be_a_tuple(folder: Path, monkeypatch: Patch, source: Any, active_from: Any) -> None:
    """A source is what private_key takes, and an activation time may be an object too."""
    monkeypatch.setenv(VARIABLE, NEW.pem)
    monkeypatch.chdir(folder)
    assert used(ring_of([("KOLD", OLD.pem), ("KNEW", source, *active_from)])) == "KNEW"


@pytest.mark.parametrize("option", ["signer", "keys"])
def test_a_ring_object_is_used_under_either_name(folder: Path, option: str) -> None:
    """A KeyRing, a watched ring, and for ``signer`` anything that returns a key for a time."""
    signer = Signer("KOLD", OLD.pem)
    for ring in (KeyRing([signer]), WatchedRing(ring_file(folder, ["KOLD KOLD.pem"]))):
        given: Any = {option: ring}
        assert used(Distribution(BASE_URL, **given)) == "KOLD"
        assert tells(refusal(Distribution, BASE_URL, hash_algorithm="SHA1", **given), [("a ring", "'SHA1'")])
        later_only: Any = {option: KeyRing([(signer, 2**31 - 1)])}
        assert tells(refusal(Distribution, BASE_URL, **later_only), [("", "no key of the ring", f"before {2**31 - 1}")])
    foreign: Any = SimpleNamespace(current=KeyRing([signer]).current)
    assert used(Distribution(BASE_URL, signer=foreign)) == "KOLD"


def test_relative_paths_start_at_the_folder_of_the_ring_file(folder: Path, monkeypatch: Patch) -> None:
    """A ring file moves together with its keys; in the option itself a path starts at the working directory."""
    lines = ["KOLD KOLD.pem", "KNEW ./KNEW.pem"]
    monkeypatch.chdir(KEYS)
    assert used(WAYS["file"](folder, lines)) == "KNEW"
    assert len(refusal(WAYS["text"], folder, lines)) == 2
    monkeypatch.chdir(folder)
    assert used(WAYS["text"](folder, lines)) == "KNEW"


def test_the_hash_algorithm_is_that_of_all_keys_loaded(folder: Path) -> None:
    """In a ring as in a single key, SHA-1 is used on request."""
    for keys in (f"K1 {RSA}", f"file:{ring_file(folder, [f'K1 {RSA}'])}"):
        assert ring_of(keys).sign("/x").endswith("&Hash-Algorithm=SHA256")
        assert "Hash-Algorithm" not in ring_of(keys, hash_algorithm="SHA1").sign("/x")


GOOD = f"KGOOD {RSA}"
LINE = "KEY_PAIR_ID SOURCE [ISO-8601"
NO_PATH = "could not be read"
ONE, TWO = "keys, line 1: private_key:", "keys, line 2: private_key:"
HELD = f"KOLD env:{VARIABLE}"
REFUSALS: dict[str, tuple[list[str], list[tuple[str, ...]]]] = {
    "duplicate id": ([HELD, GOOD, f"KOLD {KEYS / 'p256-sec1.pem'}"], [("keys:", "key pair id KOLD occurs twice")]),
    **{name: (lines, [("keys", "the key ring is empty")]) for name, lines in (("empty", []), ("none", ["# none yet"]))},
    "nothing active": ([f"{GOOD} 2100-01-01T00:00:00Z"], [("keys:", "active before 4102444800")]),
    "no source": (["KOLD"], [("keys, line 1:", LINE)]),
    "no time but words": ([f"{HELD} tomorrow"], [("keys, line 1:", "no variable name follows env:")]),
    "bad time": ([f"{HELD} 2026-13-01T00:00:00Z"], [("keys, line 1:", "20 characters", "ISO 8601")]),
    "naive time": ([f"{HELD} 2026-12-01T00:00:00"], [("keys: key 1", "naive")]),
    "date": ([GOOD, f"{HELD} 2026-12-01"], [("keys: key 2", "naive")]),
    "wrong key": ([f"KOLD {KEYS / 'rsa-1024.pem'}"], [(ONE, "1024 bits")]),
    "public key": ([f"KOLD {KEYS / 'p256-public.pem'}"], [(ONE, "PUBLIC KEY")]),
    "no variable": (["KOLD env:CFGATE_NOT_SET"], [(ONE, "CFGATE_NOT_SET is not set")]),
    "variable without PEM": (["KOLD env:CFGATE_TEST_BODY"], [(ONE, "CFGATE_TEST_BODY", ABOUT_BODY)]),
    "no name": (["KOLD ssm:"], [(ONE, "ssm:NAME")]),
    "IAM key": ([f"AKIAEXAMPLE env:{VARIABLE}"], [("keys, line 1: key_pair_id", "AKIA")]),
    "key for an id": ([f"{BODY} env:{VARIABLE}"], [("keys, line 1: key_pair_id", ABOUT_BODY)]),
    "key for a line": ([GOOD, BODY], [("keys, line 2:", LINE)]),
    "PEM for a ring": (OLD.pem.splitlines(), []),
    "no such file": (
        [GOOD, "KOLD /no/such/key.pem"],
        [(TWO, "'/no/such/key.pem', looked for in /", NO_PATH, "No such file")],
    ),
    "a directory": ([GOOD, "KOLD /"], [(TWO, NO_PATH, "Is a directory")]),
    "a long name": ([GOOD, "KOLD /" + 300 * "x"], [(TWO, NO_PATH, "too long")]),
    "several": (
        ["K-1 env:CFGATE_NOT_SET", GOOD, "KONLY", f"KOLD {KEYS / 'rsa-1024.pem'} 2026-12-01"],
        [
            *(("keys, line 1: key_pair_id", "3 characters"), (ONE, "not set"), ("keys, line 3:", LINE)),
            ("keys, line 4: private_key:", "1024 bits"),
        ],
    ),
}


@every_way
@pytest.mark.parametrize(("lines", "telling"), REFUSALS.values(), ids=REFUSALS)
def test_a_wrong_ring_is_refused_before_anything_is_served(
    folder: Path, monkeypatch: Patch, make: Callable[..., object], lines: list[str], telling: list[tuple[str, ...]]
) -> None:
    """Every wrong line is named by its number, all at once, wherever the ring is, and without a key in it."""
    monkeypatch.setenv(VARIABLE, OLD.pem)
    monkeypatch.setenv("CFGATE_TEST_BODY", BODY)
    monkeypatch.delenv("CFGATE_NOT_SET", raising=False)
    problems = refusal(make, folder, lines)
    assert tells(problems, telling or [("keys, line ",)] * len(problems))
    assert 300 * "x" not in str(problems)


ENTRY, KEYS_KIND = ("keys, line 1:", LINE), ("keys:", "KeyRing", LINE, "file:PATH")
DATE = "2026-12-01T00:00:00Z"
NOT_ENTRIES: list[Any] = [(), ("KOLD",), ("KOLD", "a", "b", "c"), None, 5, b"KOLD a", ["KOLD", "a"], {"KOLD": "a"}]


@pytest.mark.parametrize(
    ("keys", "telling"),
    [
        *(([entry], ENTRY) for entry in NOT_ENTRIES),
        *(
            ([entry], ("keys, line 1: ", ABOUT_BODY))
            for entry in ((BODY, OLD.pem, DATE), ("KOLD", BODY, DATE), ("KOLD", OLD.pem, BODY))
        ),
        ([("KOLD", OLD.pem, datetime(2026, 12, 1))], ("keys: key 1", "naive")),
        ([("KOLD", OLD.pem, -1)], ("keys: key 1", *TIME)),
        *((keys, KEYS_KIND) for keys in (b"KOLD a.pem", 5, Path("/etc/keys/ring"), Signer("KOLD", OLD.pem))),
    ],
)
def test_keys_of_another_kind_are_refused(keys: object, telling: tuple[str, ...]) -> None:
    """An entry is a line, or a tuple of the same two or three parts; a key in any place of it is not shown."""
    assert tells(refusal(ring_of, keys), [telling])


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        *(("{folder}/none", "No such file"), ("{folder}", "Is a directory"), ("", "Is a directory")),
        *(("{folder}/KOLD.pem/ring", "Not a directory"), ("{folder}/a\0b", "null"), ("{folder}/latin1", "UTF-8")),
    ],
)
def test_a_ring_file_that_cannot_be_read_is_named(folder: Path, path: str, reason: str) -> None:
    """The path of a ring is not secret, and helps to find the mistake; what is in it is not shown."""
    (folder / "latin1").write_bytes(b"KOLD \xff" + BODY.encode())
    name = path.format(folder=folder)
    named = () if reason == "UTF-8" else (name or " . ",)
    assert tells(refusal(ring_of, f"file:{name}"), [("keys: the ring file ", reason, *named)])


class Watch:
    """A watched ring, its file, the seconds that pass for it, and how often its file is checked."""

    def __init__(self, folder: Path, monkeypatch: Patch, file: Path) -> None:
        self.folder, self.file, self.seconds, self.checks = folder, file, 1000.0, 0
        real_stat = os.stat

        def stat(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
            self.checks += os.fspath(path) == str(file)
            return real_stat(path, *arguments, **options)

        monkeypatch.setattr(os, "stat", stat)
        self.ring = WatchedRing(file, clock=lambda: self.seconds)
        self.distribution = Distribution(BASE_URL, keys=self.ring)
        self.checks = 0

    def used(self, *, after: float = 0, now: float = NOW) -> str:
        """Return the id of the key that signs after some seconds; CloudFront takes what it signed."""
        self.seconds += after
        return used(self.distribution, now)

    def write(self, *lines: str) -> None:
        """Put another ring in place."""
        ring_file(self.folder, lines)


@pytest.fixture
def watch(folder: Path, monkeypatch: Patch) -> Watch:
    """A ring of the old key, watched every 30 seconds."""
    return Watch(folder, monkeypatch, ring_file(folder, ["KOLD KOLD.pem"]))


def logged(caplog: Log, level: int = logging.INFO) -> list[str]:
    """Return the lines of a level logged so far, and forget all; none holds a key."""
    assert not any(secret in caplog.text for secret in SECRETS)
    lines = [record.getMessage() for record in caplog.records if record.levelno == level]
    caplog.clear()
    return lines


def test_a_ring_file_is_checked_once_in_30_seconds(watch: Watch) -> None:
    """However many requests come, the file costs one stat in each half minute, and none where no request comes."""
    checks = []
    for _ in range(1200):  # five minutes
        watch.ring.current(NOW)
        watch.seconds += 0.25
        watch.ring.current(NOW)
        checks.append(watch.checks)
    assert checks == [step // 120 for step in range(1, 1201)]
    watch.used(after=86400)
    assert watch.checks == 11


def test_a_changed_file_replaces_the_whole_ring(watch: Watch, caplog: Log) -> None:
    """The next check finds it, also if it was rewritten in place; the log names the ids that are in the ring now."""
    caplog.set_level(logging.INFO)
    watch.write("KOLD KOLD.pem", "KNEW KNEW.pem")
    assert (watch.used(), watch.used(after=29.9)) == ("KOLD", "KOLD")
    assert watch.used(after=0.1) == "KNEW"
    before = watch.ring.current(NOW)
    assert watch.used(after=30) == "KNEW"
    assert watch.ring.current(NOW) is before  # what its signers remember is kept
    watch.file.write_bytes(b"\xef\xbb\xbfKOLD KOLD.pem\n")  # a byte order mark is not part of an id
    assert watch.used(after=30) == "KOLD"
    for line, ids in zip(logged(caplog), ("KOLD KNEW", "KOLD"), strict=True):
        assert str(watch.file) in line
        assert f"loaded <KeyRing {ids}>" in line


def test_a_swapped_symlink_is_followed(folder: Path, monkeypatch: Patch) -> None:
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


@pytest.mark.parametrize("at_start", [True, False])
def test_a_ring_swapped_while_it_is_read_is_read_again(folder: Path, monkeypatch: Patch, at_start: bool) -> None:
    """No id is ever paired with the key that another version of the ring keeps in a file of the same name."""
    (folder / "key.pem").write_text(OLD.pem)
    watch = Watch(folder, monkeypatch, ring_file(folder, ["KOLD key.pem"]))
    read_file, versions = sources.read_file, iter([NEW])

    def swapped_before(path: Path) -> bytes:
        for pair in versions:
            (folder / "key.pem").write_text(pair.pem)
            ring_file(folder, [f"{pair.key_pair_id} key.pem"])
        return read_file(path)

    monkeypatch.setattr(sources, "read_file", swapped_before)
    if at_start:
        watch = Watch(folder, monkeypatch, watch.file)
    else:
        ring_file(folder, ["# a comment", "KOLD key.pem"])
    assert watch.used(after=30) == "KNEW"


MISHAPS: dict[str, tuple[Callable[[Watch], object], list[str]]] = {
    "half-edited": (lambda watch: watch.file.write_text("KOLD KOLD.pem\nKNEW\n"), ["keys, line 2", LINE]),
    "gone": (lambda watch: watch.file.unlink(), ["No such file"]),
    "not text": (lambda watch: watch.file.write_bytes(b"\xff\xfe"), ["UTF-8"]),
    "emptied": (lambda watch: watch.write(), ["the key ring is empty"]),
    "wrong key": (lambda watch: watch.write(f"KNEW {KEYS / 'rsa-1024.pem'}"), ["keys, line 1", "1024 bits"]),
    "key not there yet": (lambda watch: watch.write("KOLD KOLD.pem", "KNEW soon.pem"), ["keys, line 2", NO_PATH]),
    "not active": (lambda watch: watch.write("KNEW KNEW.pem 2027-01-15T08:00:01Z"), [f"active before {NOW + 1}"]),
}


@pytest.mark.parametrize(("mishap", "telling"), MISHAPS.values(), ids=MISHAPS)
def test_an_unusable_ring_leaves_the_current_one(watch: Watch, caplog: Log, mishap: Any, telling: list[str]) -> None:
    """Nothing stops signing; the log has one error for each change, and says when all is well again."""
    caplog.set_level(logging.INFO)
    mishap(watch)
    assert [watch.used(after=30) for _ in range(5)] == ["KOLD"] * 5
    (error,) = logged(caplog, logging.ERROR)
    assert all(part in error for part in (*telling, str(watch.file), "stay in use"))
    watch.write("K-1 KOLD.pem")
    assert [watch.used(after=30) for _ in range(2)] == ["KOLD"] * 2
    assert len(logged(caplog, logging.ERROR)) == 1
    watch.write("KNEW KNEW.pem")
    assert watch.used(after=30) == "KNEW"
    (record,) = caplog.records
    assert (record.levelname, "loaded <KeyRing KNEW>" in record.getMessage()) == ("INFO", True)


def test_a_defect_while_loading_reaches_no_viewer(watch: Watch, monkeypatch: Patch, caplog: Log) -> None:
    """Whatever goes wrong with a new ring, the current one signs on and the log has one error."""
    watch.write("KOLD KOLD.pem", "KNEW KNEW.pem")

    def broken(*arguments: object) -> None:
        raise KeyError("Parameter")

    monkeypatch.setattr(watched, "read_file", broken)
    assert [watch.used(after=30) for _ in range(2)] == ["KOLD"] * 2
    (error,) = logged(caplog, logging.ERROR)
    assert "KeyError" in error


def test_a_ring_heals_when_its_key_arrives(watch: Watch, caplog: Log) -> None:
    """The ring may name a key file before it is there: nobody has to touch the ring again."""
    caplog.set_level(logging.INFO)
    watch.write("KOLD KOLD.pem", "KNEW soon.pem")
    assert watch.used(after=30) == "KOLD"
    (watch.folder / "soon.pem").write_text(NEW.pem)
    assert watch.used(after=30) == "KNEW"
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


@pytest.mark.parametrize("broken", [None, "K-1 KOLD.pem\n"])
def test_a_ring_that_comes_back_as_it_was_is_logged_too(watch: Watch, caplog: Log, broken: str | None) -> None:
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
    assert "in use, <KeyRing KOLD>" in caplog.messages[-1]


def test_an_activation_time_is_reached_without_a_change_of_the_file(watch: Watch, caplog: Log) -> None:
    """The clock alone turns a ring, on the second and without a check, and makes one acceptable that was not yet."""
    watch.write("KOLD KOLD.pem", "KNEW KNEW.pem 2027-01-15T08:00:00Z")
    assert watch.used(after=30, now=NOW - 2) == "KOLD"
    watch.checks = 0
    used_at = [watch.used(now=NOW + seconds) for seconds in (-1, -0.001, 0, 1)]
    assert (used_at, watch.checks) == (["KOLD", "KOLD", "KNEW", "KNEW"], 0)
    watch.write("KOLD KOLD.pem 2027-01-15T08:00:10Z")
    assert watch.used(after=30, now=NOW + 9) == "KNEW"
    assert len(logged(caplog, logging.ERROR)) == 1
    assert watch.used(after=30, now=NOW + 10) == "KOLD"


def test_two_requests_at_the_same_time_check_once(watch: Watch, monkeypatch: Patch) -> None:
    """A request that was overtaken between asking the clock and checking does not check again."""
    real_getpid = os.getpid

    def overtaken() -> int:
        monkeypatch.setattr(os, "getpid", real_getpid)
        watch.used()  # another thread, that is faster
        return real_getpid()

    monkeypatch.setattr(os, "getpid", overtaken)
    assert watch.used(after=30) == "KOLD"
    assert os.getpid is real_getpid
    assert watch.checks == 1


@pytest.mark.parametrize(("in_child", "expected"), [(False, "KOLD"), (True, "KNEW")])
def test_no_request_waits_for_one_that_checks(watch: Watch, monkeypatch: Patch, in_child: bool, expected: str) -> None:
    """While one request loads the ring, others sign with the current one; a forked process loads it for itself."""
    # In a process that was forked meanwhile, the lock is held for ever.
    watch.write("KNEW KNEW.pem")
    meanwhile: list[str] = []
    read_file = sources.read_file

    def slow(path: Path) -> bytes:
        if not meanwhile:
            meanwhile.append("began")
            with monkeypatch.context() as child:
                if in_child:
                    child.setattr(os, "getpid", lambda: -1)
                meanwhile.append(watch.used(after=30))
        return read_file(path)

    monkeypatch.setattr(watched, "read_file", slow)
    assert watch.used(after=30) == "KNEW"
    assert meanwhile == ["began", expected]


@pytest.mark.slow
def test_concurrent_readers_never_see_a_mix(folder: Path) -> None:
    """While the file goes through versions, every thread gets whole ones, id and key together, and never goes back."""
    versions = [make_pair(f"K{number}") for number in range(20)]
    for pair in versions:
        (folder / f"{pair.key_pair_id}.pem").write_text(pair.pem)
    group = KeyGroup({pair.key_pair_id: pair.public_pem for pair in versions})
    made = ring_of(WatchedRing(ring_file(folder, ["K0 K0.pem"]), interval=0))
    seen: list[list[int]] = [[] for _ in range(4)]
    done = threading.Event()
    wrong: list[Exception] = []

    def read(numbers: list[int]) -> None:
        while not done.is_set():
            try:
                numbers.append(int(signed_by(made.sign("/x"), group)[1:]))
            except Exception as error:
                wrong.append(error)
                return

    readers = [threading.Thread(target=read, args=(numbers,)) for numbers in seen]
    for reader in readers:
        reader.start()
    try:
        for before, pair in itertools.pairwise(versions):
            ring_file(folder, [f"{name} {name}.pem" for name in (before.key_pair_id, pair.key_pair_id)])
            assert any(signed_by(made.sign("/x"), group) == pair.key_pair_id for _ in range(100_000))
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert not wrong
    assert all(numbers == sorted(numbers) for numbers in seen)


@pytest.mark.parametrize("answer", KINDS)
def test_a_decision_asks_for_the_key_once(answer: str) -> None:
    """Signature, id and record are of one key, even if the ring turns in the middle of a request."""
    signers = [KeyRing([Signer(pair.key_pair_id, pair.pem)]).current(NOW) for pair in (OLD, NEW)]
    turns = itertools.count()
    ring = SimpleNamespace(current=lambda now: signers[next(turns) % 2])
    records: list[DecisionRecord] = []
    made = gate(Judge(), signer=ring, answer=answer, on_decision=records.append)
    for _ in range(6):
        turn = next(turns)
        got = fetch(made, "/private/x", HTTP_ACCEPT="application/json")
        assert next(turns) == turn + 2
        text = str([got.headers, got.body])
        assert text.count("Key-Pair-Id=KOLD") + text.count("Key-Pair-Id=KNEW") == 1
        assert f"Key-Pair-Id={records[-1].key_pair_id}" in text
    assert len(records) == 6


@pytest.mark.parametrize("reuse_for", [0, 60])
def test_the_record_names_the_key_that_signed(folder: Path, reuse_for: int) -> None:
    """Through any number of rotations, with ``reuse_for`` too, the URL verifies by the id that the record names."""
    records: list[DecisionRecord] = []
    ring = WatchedRing(ring_file(folder, ["KOLD KOLD.pem"]), interval=0)
    made = gate(Judge(), signer=ring, on_decision=records.append, reuse_for=reuse_for)
    for newest in (OLD, NEW) * 5:
        ring_file(folder, [f"{newest.key_pair_id} {newest.key_pair_id}.pem"])
        assert signed_by(fetch(made, "/private/x").location) == newest.key_pair_id == records[-1].key_pair_id
