"""What signs: the shape of a signer, its memo, and which key of a ring is used when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from cfgate_middleware import signers
from cfgate_middleware.errors import ConfigError, SigningError
from cfgate_middleware.keys import Signer
from cfgate_middleware.signers import AdaptedSigner, BaseSigner, KeyRing, adapted, as_keys
from tests.conftest import KEYS, NOW

SHAPE = "expected a Signer, a KeyRing, or an object with key_pair_id, hash_algorithm ('SHA256' or 'SHA1') and "
NO_ID = "expected the letters and digits CloudFront shows beside the public key, such as K2JCJMDEHXQW5F"
NO_MOMENT = "expected an aware datetime or epoch seconds from 0 to"
PEM = (KEYS / "p256-pkcs8.pem").read_text()


class Remote:
    """A signer of somebody else's making, which counts how often it signs."""

    def __init__(self, key_pair_id: str = "K1", hash_algorithm: str = "SHA256", result: Any = b"signature") -> None:
        self.key_pair_id = key_pair_id
        self.hash_algorithm = hash_algorithm
        self.result = result
        self.signed: list[bytes] = []

    def sign(self, message: bytes) -> bytes:
        self.signed.append(message)
        if isinstance(self.result, Exception):
            raise self.result
        result: bytes = self.result
        return result


def shaped(**changes: Any) -> SimpleNamespace:
    """Return an object of a signer's shape, but for ``changes``."""
    return SimpleNamespace(**{"key_pair_id": "K1", "hash_algorithm": "SHA1", "sign": bytes, **changes})


def refusal(make: Callable[..., object], *arguments: Any) -> tuple[str, ...]:
    """Return the problems for which a call is refused."""
    with pytest.raises(ConfigError) as caught:
        make(*arguments)
    return caught.value.problems


# Signing and remembering


@pytest.mark.parametrize(
    ("hash_algorithm", "parameters"),
    [("SHA256", "&Key-Pair-Id=K1&Hash-Algorithm=SHA256"), ("SHA1", "&Key-Pair-Id=K1")],
)
def test_a_signer_knows_what_ends_its_urls(hash_algorithm: str, parameters: str) -> None:
    """The marker stands where the algorithm is not the one CloudFront assumes."""
    assert adapted(Remote("K1", hash_algorithm)).parameters == parameters


@pytest.mark.parametrize("reuse", [False, True])
def test_a_signature_is_spelled_in_cloudfronts_base64(reuse: bool) -> None:
    """What stands in a URL has none of the three characters that mean something there."""
    assert adapted(Remote(result=b"\xfb\xff\xbf\x00")).signature(b"policy", reuse) == "-~-~AA__"


@pytest.mark.parametrize(("reuse", "times"), [(False, 3), (True, 1)])
def test_a_signature_is_remembered_on_request_only(reuse: bool, times: int) -> None:
    """Equal policies are signed once with reuse, and each time without."""
    remote = Remote()
    signer = adapted(remote)
    assert {signer.signature(b"policy", reuse) for _ in range(3)} == {"c2lnbmF0dXJl"}
    assert remote.signed == [b"policy"] * times


def test_the_memo_knows_exact_policies_and_its_own_key_only() -> None:
    """One byte more, or another key, is another signature."""
    one, other = Remote(result=b"one"), Remote(result=b"other")
    first, second = adapted(one), adapted(other)
    assert first.signature(b"policy", True) != second.signature(b"policy", True)
    first.signature(b"policy ", True)
    assert (one.signed, other.signed) == ([b"policy", b"policy "], [b"policy"])


def test_the_memo_is_bounded_and_keeps_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two generations: what nobody asks for goes, what somebody does stays."""
    monkeypatch.setattr(signers, "MEMO_ENTRIES", 2)
    remote = Remote()
    signer = adapted(remote)
    for number in range(20):
        signer.signature(b"wanted", True)
        signer.signature(b"%d" % number, True)
    assert remote.signed.count(b"wanted") == 1
    signer.signature(b"0", True)
    assert remote.signed.count(b"0") == 2
    assert len(signer._young) + len(signer._old) <= 4


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "signer K1 returned None instead of a signature"),
        (b"", "signer K1 returned bytes of length 0 instead of a signature"),
        ("c2lnbmF0dXJl", "signer K1 returned a str of 12 characters instead of a signature"),
        (bytearray(b"sig"), "signer K1 returned bytearray of length 3 instead of a signature"),
        (TimeoutError("secret"), "signer K1 failed with TimeoutError"),
        (SigningError("the vault is shut"), "the vault is shut"),
    ],
)
def test_a_signer_that_fails_is_told_by_its_id(result: object, message: str, reuse: bool) -> None:
    """A failure is one kind of error, never an unsigned URL, is not remembered, and shows nothing of the result."""
    remote = Remote(result=result)
    signer = adapted(remote)
    with pytest.raises(SigningError) as caught:
        signer.signature(b"policy", reuse)
    assert str(caught.value) == message
    remote.result = b"signature"
    assert signer.signature(b"policy", reuse) == "c2lnbmF0dXJl"


def test_the_cause_of_a_failure_is_kept() -> None:
    """Whoever debugs a remote signer finds its own exception in the chain."""
    cause = TimeoutError("the vault took too long")
    with pytest.raises(SigningError) as caught:
        adapted(Remote(result=cause)).signature(b"policy", False)
    assert caught.value.__cause__ is cause


# Objects of a signer's shape


def test_our_own_signers_are_used_as_they_are(signer: Signer) -> None:
    """Nothing is put around a signer that has all it takes."""
    assert adapted(signer) is signer


def test_an_adapted_signer_keeps_the_id_it_had() -> None:
    """An object that changes its id later cannot pair the new id with a signature of before."""
    remote = Remote("KBEFORE", "SHA1")
    signer = adapted(remote)
    remote.key_pair_id, remote.hash_algorithm = "KAFTER", "SHA256"
    assert isinstance(signer, AdaptedSigner)
    assert (signer.key_pair_id, signer.hash_algorithm, signer.parameters) == ("KBEFORE", "SHA1", "&Key-Pair-Id=KBEFORE")
    assert signer.sign(b"message") == b"signature"
    assert remote.signed == [b"message"]


@pytest.mark.parametrize(("attributes", "deterministic"), [({}, True), ({"deterministic": False}, False)])
def test_a_signer_may_say_that_it_does_not_repeat_itself(attributes: dict[str, bool], deterministic: bool) -> None:
    """Without a word, equal policies are taken to give equal signatures."""
    assert adapted(shaped(**attributes)).deterministic is deterministic


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (PEM, f"a str of {len(PEM)} characters"),
        (None, "None"),
        (object(), "an object of type object"),
        (Signer, "an object of type ABCMeta"),
        (shaped(sign=None), "an object of type SimpleNamespace"),
        (shaped(hash_algorithm="sha256"), "an object of type SimpleNamespace"),
        (shaped(hash_algorithm=["SHA256"]), "an object of type SimpleNamespace"),
    ],
)
def test_an_object_of_another_shape_is_no_signer(value: object, what: str) -> None:
    """It is told by kind, for it may be a key."""
    assert refusal(adapted, value) == (f"signer is {what}; {SHAPE}sign(message)",)
    assert refusal(as_keys, value) == (f"signer is {what}; {SHAPE}sign(message)",)


@pytest.mark.parametrize(
    ("key_pair_id", "message"),
    [
        (None, f"key_pair_id is None; {NO_ID}"),
        (5, f"key_pair_id is an object of type int; {NO_ID}"),
        ("", f"key_pair_id is a str of 0 characters; {NO_ID}"),
        ("K-1", f"key_pair_id is a str of 3 characters; {NO_ID}"),
        ("K1\n", f"key_pair_id is a str of 3 characters; {NO_ID}"),
        ("K٣", f"key_pair_id is a str of 2 characters; {NO_ID}"),
        (PEM, f"key_pair_id is a str of {len(PEM)} characters; {NO_ID}"),
        (
            "AKIAEXAMPLE",
            "key_pair_id starts with AKIA: that is an IAM access key id; expected the id CloudFront shows beside the "
            "public key, such as K2JCJMDEHXQW5F",
        ),
    ],
)
def test_a_signer_needs_an_id_of_cloudfronts(key_pair_id: object, message: str) -> None:
    """The id stands in every URL; what stands in its place is not shown."""
    assert refusal(adapted, shaped(key_pair_id=key_pair_id)) == (message,)


# Rings


def later(seconds: float) -> datetime:
    """Return a moment after the tests' own, told in a zone far from here."""
    return datetime.fromtimestamp(NOW + seconds, timezone(timedelta(hours=-9, minutes=-30)))


def test_the_last_key_of_a_ring_signs() -> None:
    """Without moments, all keys are active and the newest is used."""
    assert KeyRing([Remote("KOLD"), Remote("KNEW")]).current(NOW).key_pair_id == "KNEW"


@pytest.mark.parametrize("moment", [later(100), NOW + 100, NOW + 99.5, later(99.5)], ids=repr)
@pytest.mark.parametrize(("now", "used"), [(NOW, "KOLD"), (NOW + 99.999, "KOLD"), (NOW + 100, "KNEW")])
def test_a_key_signs_from_its_moment_on(moment: Any, now: float, used: str) -> None:
    """A moment is an aware datetime or epoch seconds, and none but the clock is needed to reach it."""
    ring = KeyRing([Remote("KOLD"), (Remote("KNEW"), moment)])
    assert ring.current(now).key_pair_id == used


def test_the_order_of_the_ring_counts_and_not_that_of_the_moments() -> None:
    """Of all active keys the last in the ring signs, even if it was active first."""
    ring = KeyRing([(Remote("KA"), NOW + 200), (Remote("KB"), NOW + 100), (Remote("KC"), NOW + 300)])
    used = [ring.current(NOW + seconds).key_pair_id for seconds in (100, 200, 299, 300, 1e6)]
    assert used == ["KB", "KB", "KB", "KC", "KC"]


def test_a_ring_without_an_active_key_does_not_sign() -> None:
    """The error tells from when on there will be one."""
    ring = KeyRing([(Remote("KA"), NOW + 200), (Remote("KB"), later(100))])
    with pytest.raises(SigningError) as caught:
        ring.current(NOW + 99)
    assert str(caught.value) == f"no key of the ring is active before {NOW + 100} (epoch seconds)"


def test_a_ring_adapts_its_keys_once(signer: Signer) -> None:
    """The same object signs each time, so what it remembers is not lost."""
    keys: list[Any] = [signer, (Remote("KNEW"), NOW)]
    ring = KeyRing(iter(keys))
    assert ring.current(NOW - 1) is signer
    assert ring.current(NOW) is ring.current(NOW + 1)


def test_a_ring_shows_its_ids_oldest_first() -> None:
    """Nothing else of a key is in the repr."""
    assert repr(KeyRing([Remote("KOLD"), (Remote("KNEW"), NOW)])) == "<KeyRing KOLD KNEW>"


@pytest.mark.parametrize(
    ("keys", "problems"),
    [
        ([], ["the key ring is empty; expected at least one key"]),
        (
            [Remote("KB"), Remote("KA"), (Remote("KB"), NOW), Remote("KA"), Remote("KC")],
            [
                f"key pair id {name} stands twice in the ring; a new key gets a new id at CloudFront"
                for name in ("KA", "KB")
            ],
        ),
        (
            [Remote("KA"), None, (shaped(key_pair_id="K-1"), NOW)],
            [
                f"key 2: signer is None; {SHAPE}sign(message)",
                f"key 3: key_pair_id is a str of 3 characters; {NO_ID}",
            ],
        ),
        ([[Remote(), NOW]], [f"key 1: signer is an object of type list; {SHAPE}sign(message)"]),
        ([(Remote(), NOW, NOW)], [f"key 1: signer is an object of type tuple; {SHAPE}sign(message)"]),
        ([KeyRing([Remote()])], [f"key 1: signer is an object of type KeyRing; {SHAPE}sign(message)"]),
        *(
            ([(Remote(), moment)], [f"key 1: {NO_MOMENT}"])
            for moment in (None, True, "2026-12-01T00:00:00Z", -1, float("nan"), float("inf"), timedelta(1))
        ),
        (
            [(Remote(), datetime(2026, 12, 1))],
            ["key 1: a naive datetime could mean any zone; expected an aware one or epoch seconds"],
        ),
        ([(Remote(), datetime(1, 1, 1, tzinfo=UTC))], [f"key 1: {NO_MOMENT}"]),
        (Remote(), ["the key ring is an object of type Remote; expected an iterable of signers"]),
        ("K1", [f"key {number}: signer is a str of 1 characters; {SHAPE}sign(message)" for number in (1, 2)]),
        (None, ["the key ring is None; expected an iterable of signers"]),
    ],
)
def test_a_ring_of_something_else_is_refused(keys: Any, problems: list[str]) -> None:
    """Every wrong member is told by its place, all at once."""
    told = refusal(KeyRing, keys)
    assert len(told) == len(problems)
    assert all(map(str.startswith, told, problems))


# The key of a moment


def test_one_key_is_the_key_of_every_moment(signer: Signer) -> None:
    """A single signer is a ring that never turns."""
    key_at = as_keys(signer)
    assert key_at(0) is key_at(NOW) is signer


def test_a_signer_of_other_make_is_adapted_once() -> None:
    """What it remembers lasts from one decision to the next."""
    key_at = as_keys(Remote("K1"))
    assert isinstance(key_at(NOW), BaseSigner)
    assert key_at(0) is key_at(NOW)


def test_a_ring_tells_its_own_key() -> None:
    """The moment of the decision is handed on."""
    key_at = as_keys(KeyRing([Remote("KOLD"), (Remote("KNEW"), NOW)]))
    assert [key_at(moment).key_pair_id for moment in (NOW - 1, NOW)] == ["KOLD", "KNEW"]


def test_the_class_of_a_ring_is_no_ring() -> None:
    """An instance was meant."""
    assert refusal(as_keys, KeyRing) == (f"signer is an object of type type; {SHAPE}sign(message)",)
