"""Where keys come from: every source, every mistake, and that no message gives a key away."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cfgate_middleware.errors import ConfigError
from cfgate_middleware import Signer
from cfgate_middleware.keysource import choose_keys, load_signer
from cfgate_middleware.signers import AdaptedSigner, as_signer
from tests.conftest import KEY_PAIR_ID, KEYS, NOW

KEY_FILE = KEYS / "p256-pkcs8.pem"
PEM = KEY_FILE.read_text()
LINES = PEM.split("\n")[1:-2]
BODY = "".join(LINES)  # a key whose first and last line got lost
VARIABLE = "CFGATE_TEST_KEY"
PLACEHOLDER = "with a shell placeholder that nothing filled in; write env:NAME to read the environment variable NAME"
NO_PEM = "that is no PEM; expected text with a line '-----BEGIN PRIVATE KEY-----'"
NO_KEY = (
    "in which no private key could be read (PEM label: PRIVATE KEY); "
    "expected a complete, unencrypted PKCS#8, PKCS#1 or SEC1 PEM"
)
NO_TYPE = "CloudFront takes RSA 2048 or ECDSA P-256 keys, given as PEM or as a cryptography private key"
SHAPE = (
    "expected a Signer, a KeyRing, or an object with key_pair_id, hash_algorithm ('SHA256' or 'SHA1') and sign(message)"
)


def choose(**given: Any) -> Any:
    """Choose a signer from these key options, the others at the defaults of the gate."""
    options: dict[str, Any] = {
        "signer": None,
        "key_pair_id": None,
        "private_key": None,
        "priv_key_string": None,
        "hash_algorithm": "SHA256",
        "keys": None,
    }
    assert given.keys() <= options.keys()
    return choose_keys({**options, **given})(NOW)


def refusal(**given: Any) -> ConfigError:
    """Return the error these key options draw; no line of the key stands anywhere in its traceback."""
    with pytest.raises(ConfigError) as caught:
        choose(**given)
    text = "".join(traceback.format_exception(caught.value))
    assert not any(line in text for line in LINES)
    return caught.value


def remote(**changes: Any) -> SimpleNamespace:
    """Return an object of a signer's shape."""
    own = {"key_pair_id": "KREMOTE", "hash_algorithm": "SHA1", "sign": lambda message: b"signature"}
    return SimpleNamespace(**{**own, **changes})


def unreadable(reason: str) -> str:
    """Return what is said of a path that leads to no readable file."""
    expected = "expected the path of a PEM file, PEM text, or a reference (env:, kms:, secretsmanager:, ssm:)"
    return f"taken for a path that could not be read ({reason}); {expected}"


# Sources

SOURCES: dict[str, Callable[[], Any]] = {
    "path": lambda: str(KEY_FILE),
    "Path": lambda: KEY_FILE,
    "relative path": lambda: os.path.relpath(KEY_FILE),
    "PEM text": lambda: PEM,
    "PEM text with escaped newlines": lambda: PEM.replace("\n", "\\n"),
    "PEM bytes": lambda: PEM.encode(),
    "key object": lambda: load_pem_private_key(PEM.encode(), password=None),
    "environment variable": lambda: f"env:{VARIABLE}",
}


@pytest.mark.parametrize("option", ["private_key", "priv_key_string"])
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_key_is_read_from_every_source_under_both_names(
    monkeypatch: pytest.MonkeyPatch, source: Callable[[], Any], option: str
) -> None:
    """Paths, text, bytes, objects and variables give the same signer, by the new option name and the old one."""
    monkeypatch.setenv(VARIABLE, PEM)
    signer = choose(key_pair_id=KEY_PAIR_ID, **{option: source()})
    assert isinstance(signer, Signer)
    assert (signer.key_pair_id, signer.kind, signer.hash_algorithm) == (KEY_PAIR_ID, "ECDSA", "SHA256")
    assert signer.public_key_pem() == (KEYS / "p256-public.pem").read_text()


def test_a_variable_may_hold_a_pem_with_escaped_newlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment files seldom hold a real newline."""
    monkeypatch.setenv(VARIABLE, PEM.replace("\n", "\\n"))
    assert choose(key_pair_id=KEY_PAIR_ID, private_key=f"env:{VARIABLE}").kind == "ECDSA"


@pytest.mark.parametrize(("hash_algorithm", "used"), [(None, "SHA256"), ("SHA256", "SHA256"), ("SHA1", "SHA1")])
def test_the_hash_algorithm_is_passed_on(hash_algorithm: str | None, used: str) -> None:
    """RSA keys sign with the algorithm that was asked for."""
    source = KEYS / "rsa-2048-pkcs8.pem"
    assert choose(key_pair_id="K1", private_key=source, hash_algorithm=hash_algorithm).hash_algorithm == used


# Wrong sources


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("/no/such/key.pem", f"a str of 16 characters, {unreadable('No such file or directory')}"),
        (Path("/no/such"), f"an object of type PosixPath, {unreadable('No such file or directory')}"),
        (f" env:{VARIABLE}", f"a str of 20 characters, {unreadable('No such file or directory')}"),
        ("/", f"a str of 1 characters, {unreadable('Is a directory')}"),
        ("", f"a str of 0 characters, {unreadable('Is a directory')}"),
        ("x" * 5000, f"a str of 5000 characters, {unreadable('File name too long')}"),
        ("key\0.pem", f"a str of 8 characters, {unreadable('not a path')}"),
        ("\ud800", f"a str of 1 characters, {unreadable('not a path')}"),
        (BODY, f"a str of {len(BODY)} characters, {unreadable('No such file or directory')}"),
        ("${CLOUDFRONT_KEY}", f"a str of 17 characters {PLACEHOLDER}"),
        ("/etc/keys/$(hostname).pem", f"a str of 25 characters {PLACEHOLDER}"),
        (b"/etc/keys/key.pem", f"bytes of length 17 {NO_PEM}"),
        (b"", f"bytes of length 0 {NO_PEM}"),
        (KEYS / "README.rst", f"bytes of length {(KEYS / 'README.rst').stat().st_size} {NO_PEM}"),
        (PEM[:100], f"a str of 100 characters {NO_KEY}"),
        (5, f"of type int; {NO_TYPE}"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("option", ["private_key", "priv_key_string"])
def test_a_source_that_holds_no_key_is_told_by_kind_and_length(option: str, source: object, message: str) -> None:
    """A wrong source is never shown, in case it is a key or a secret in the wrong shape."""
    assert str(refusal(key_pair_id=KEY_PAIR_ID, **{option: source})) == f"private_key is {message}"


@pytest.mark.parametrize("store", ["env", "kms", "secretsmanager", "ssm"])
def test_a_reference_needs_a_name(store: str) -> None:
    """A store without a name in it is no source."""
    error = refusal(key_pair_id=KEY_PAIR_ID, private_key=f"{store}:")
    assert str(error) == f"private_key starts with {store}: but nothing follows; expected {store}:NAME"


@pytest.mark.parametrize("name", ["A-B", "1A", "A B", "A=B", "A\n", "é", "/etc/keys/key.pem", BODY])
def test_env_needs_the_name_of_a_variable(name: str) -> None:
    """What follows env: is not shown either."""
    error = refusal(key_pair_id=KEY_PAIR_ID, private_key=f"env:{name}")
    assert str(error) == "private_key starts with env: but no variable name follows; expected env:NAME"


@pytest.mark.parametrize("held", [None, ""])
def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch, held: str | None) -> None:
    """An empty variable counts as one that is not set."""
    monkeypatch.delenv(VARIABLE, raising=False)
    if held is not None:
        monkeypatch.setenv(VARIABLE, held)
    error = refusal(key_pair_id=KEY_PAIR_ID, private_key=f"env:{VARIABLE}")
    assert str(error) == f"private_key: the environment variable {VARIABLE} is not set"


@pytest.mark.parametrize("held", [str(KEY_FILE), BODY, "hunter2", f"env:{VARIABLE}"])
def test_a_variable_holds_the_key_and_not_a_path(monkeypatch: pytest.MonkeyPatch, held: str) -> None:
    """A variable is read once and leads nowhere else; what it holds is told by its length."""
    monkeypatch.setenv(VARIABLE, held)
    error = refusal(key_pair_id=KEY_PAIR_ID, private_key=f"env:{VARIABLE}")
    assert str(error) == (
        f"private_key: the environment variable {VARIABLE} holds a str of {len(held)} characters that is no PEM; "
        "it must hold the key itself, not a path"
    )


def test_a_wrong_id_and_a_wrong_source_are_told_at_once() -> None:
    """Both halves of the pair are looked at before either is refused."""
    assert refusal(key_pair_id="AKIAEXAMPLE", private_key="/no/such/key.pem").problems == (
        "key_pair_id starts with AKIA: that is an IAM access key id; expected the id CloudFront shows beside the "
        "public key, such as K2JCJMDEHXQW5F",
        f"private_key is a str of 16 characters, {unreadable('No such file or directory')}",
    )


def test_a_key_in_the_place_of_its_id_is_not_shown() -> None:
    """The two options are easily swapped."""
    assert str(refusal(key_pair_id=PEM, private_key=KEY_PAIR_ID)).count(KEY_PAIR_ID) == 1  # the example of an id


# One way of giving keys


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "key_pair_id and private_key missing: expected key_pair_id and private_key, or keys, or signer"),
        ({"key_pair_id": "K1"}, "private_key missing: expected key_pair_id and private_key, or keys, or signer"),
        ({"private_key": PEM}, "key_pair_id missing: expected key_pair_id and private_key, or keys, or signer"),
        ({"priv_key_string": PEM}, "key_pair_id missing: expected key_pair_id and private_key, or keys, or signer"),
        (
            {"key_pair_id": "K1", "private_key": PEM, "priv_key_string": PEM},
            "private_key and priv_key_string are both given; keys are given in one way: leave one out",
        ),
        (
            {"signer": remote(), "private_key": ""},
            "signer and private_key are both given; keys are given in one way: leave one out",
        ),
        (
            {"signer": remote(), "key_pair_id": "K1"},
            "signer and key_pair_id are both given; signer has its own: leave key_pair_id out",
        ),
    ],
)
def test_keys_are_given_in_exactly_one_way(given: dict[str, Any], message: str) -> None:
    """What is missing or contradictory is named, and nothing wins silently."""
    assert str(refusal(**given)) == message


# Signers of other makes


@pytest.mark.parametrize("hash_algorithm", [None, "SHA256", "SHA1"])
def test_an_object_of_a_signers_shape_signs(hash_algorithm: str | None) -> None:
    """A signer brings its own hash algorithm; naming the same one, or leaving the default, is no contradiction."""
    for adapted in (choose(signer=remote(), hash_algorithm=hash_algorithm), as_signer(remote())):
        assert isinstance(adapted, AdaptedSigner)
        assert (adapted.key_pair_id, adapted.hash_algorithm) == ("KREMOTE", "SHA1")
        assert adapted.sign(b"message") == b"signature"


def test_what_a_signer_says_of_itself_is_read_once() -> None:
    """A remote signer that changes its id or algorithm later does not put them beside another key's signature."""
    signer = remote()
    adapted = as_signer(signer)
    signer.key_pair_id, signer.hash_algorithm = "K-2", None
    assert (adapted.key_pair_id, adapted.hash_algorithm) == ("KREMOTE", "SHA1")
    assert adapted.parameters == "&Key-Pair-Id=KREMOTE"


def test_a_loaded_signer_is_taken_as_it_is(signer: Signer) -> None:
    """Every kind of our own signers has the shape, and keeps what it remembers when several gates share it."""
    assert choose(signer=signer) is signer
    assert as_signer(signer) is signer
    adapted = as_signer(remote())
    assert as_signer(adapted) is adapted


@pytest.mark.parametrize(
    ("signer", "what"),
    [
        (PEM, f"a str of {len(PEM)} characters"),
        (object(), "an object of type object"),
        (Signer, "an object of type ABCMeta"),
        (SimpleNamespace, "an object of type type"),
        (False, "an object of type bool"),
        (remote(sign=None), "an object of type SimpleNamespace"),
        (remote(sign=b"signature"), "an object of type SimpleNamespace"),
        (remote(hash_algorithm=None), "an object of type SimpleNamespace"),
        (remote(hash_algorithm="sha256"), "an object of type SimpleNamespace"),
        (remote(hash_algorithm=["SHA256"]), "an object of type SimpleNamespace"),
    ],
)
def test_an_object_of_another_shape_is_refused(signer: object, what: str) -> None:
    """A signer is refused at construction, not at the first request."""
    assert str(refusal(signer=signer)) == f"signer is {what}; {SHAPE}"


@pytest.mark.parametrize(("key_pair_id", "what"), [(None, "None"), ("K-1", "a str of 3 characters"), ("", "a str")])
def test_a_signer_needs_a_key_pair_id(key_pair_id: object, what: str) -> None:
    """The id stands in every URL, so it is held to the same alphabet wherever it comes from."""
    assert str(refusal(signer=remote(key_pair_id=key_pair_id))).startswith(f"key_pair_id is {what}")


@pytest.mark.parametrize(
    ("hash_algorithm", "shown"), [("SHA1", "'SHA1'"), ("", "''"), (PEM, f"a str of {len(PEM)} characters")]
)
def test_another_hash_algorithm_than_the_signers_is_refused(hash_algorithm: str, shown: str) -> None:
    """Which of the two would win is not left to a guess, and a key pasted here is not shown."""
    assert str(refusal(signer=remote(hash_algorithm="SHA256"), hash_algorithm=hash_algorithm)) == (
        f"signer signs with SHA256, but hash_algorithm={shown} is given; leave hash_algorithm out"
    )


# Randomised signatures


@pytest.mark.parametrize("openssl_can", [True, False])
def test_randomised_signatures_are_told_once_at_info(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, openssl_can: bool
) -> None:
    """Where OpenSSL has no RFC 6979, loading says so in one line, which names the id alone."""
    look = "_use_rfc_6979_where_openssl_can"
    monkeypatch.setattr(Signer, look, lambda signer: setattr(signer, "deterministic", openssl_can))
    with caplog.at_level(logging.DEBUG):
        signer = load_signer(KEY_PAIR_ID, PEM)
    assert signer.deterministic is openssl_can
    line = f"key {KEY_PAIR_ID}: this OpenSSL has no RFC 6979, so equal ECDSA policies get unequal signatures"
    assert caplog.record_tuples == ([] if openssl_can else [("cfgate_middleware", logging.INFO, line)])
