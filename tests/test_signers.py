"""What signs: the shape of a signer, its memo, and which key of a ring is used when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from cfgate_middleware import signers
from cfgate_middleware.errors import ConfigError, SigningError
from cfgate_middleware import Signer
from cfgate_middleware.signers import AdaptedSigner, BaseSigner, KeyRing, as_keys, as_signer
from cfgate_middleware._core.encoding import to_base64
from tests.conftest import KEY_PAIR_ID, KEYS, NOW

SHAPE = "expected a Signer, a KeyRing, or an object with key_pair_id, hash_algorithm ('SHA256' or 'SHA1') and "
NO_ID = "expected the letters and digits CloudFront shows beside the public key, such as K2JCJMDEHXQW5F"
NO_MOMENT = "expected an aware datetime or epoch seconds from 0 to"
MESSAGE = b"message"
Pem = Callable[[str], str]
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


class Counting(BaseSigner):
    """A signer that counts how often it signs each message, and fails for some."""

    def __init__(self) -> None:
        super().__init__("KCOUNT", "SHA256")
        self.signed: Counter[bytes] = Counter()
        self.failing: set[bytes] = set()

    def sign(self, message: bytes) -> bytes:
        """Sign with the message itself."""
        self.signed[message] += 1
        if message in self.failing:
            raise OSError("busy")
        return message

    def remembered(self) -> int:
        """Return how many signatures are kept."""
        return len(self._young) + len(self._old)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """A signer with a memo as small as it can be and still be watched."""
    monkeypatch.setattr(signers, "MEMO_ENTRIES", 4)
    return Counting()


def test_a_base_signer_cannot_sign() -> None:
    """What every signer can do is not enough to be one."""
    with pytest.raises(TypeError, match="abstract"):
        BaseSigner("K1", "SHA256")  # type: ignore[abstract]  # the mistake under test


@pytest.mark.parametrize(
    ("hash_algorithm", "parameters"),
    [("SHA1", "&Key-Pair-Id=KREMOTE"), ("SHA256", "&Key-Pair-Id=KREMOTE&Hash-Algorithm=SHA256")],
)
def test_the_end_of_a_url_is_written_once(hash_algorithm: str, parameters: str) -> None:
    """Id and hash algorithm stand on the signer as they stand in every URL; SHA-1 is what CloudFront assumes."""
    signer = AdaptedSigner(SimpleNamespace(key_pair_id="KREMOTE", hash_algorithm=hash_algorithm, sign=bytes))
    assert signer.parameters == parameters


@pytest.mark.parametrize("reuse", [True, False])
def test_a_signature_is_spelled_for_cloudfront(signer: Signer, reuse: bool) -> None:
    """What is signed, fresh or remembered, is the message in CloudFront's base64."""
    for _ in range(2):
        assert signer.signature(MESSAGE, reuse) == to_base64(signer.sign(MESSAGE))


def test_without_reuse_nothing_is_remembered_or_recalled(counting: Counting) -> None:
    """Each message is signed each time, even where a signature of it is at hand."""
    counting.signature(b"a", True)
    for _ in range(3):
        counting.signature(b"a", False)
        counting.signature(b"b", False)
    assert counting.signed == {b"a": 4, b"b": 3}
    assert counting.remembered() == 1


def test_with_reuse_a_message_is_signed_once(counting: Counting) -> None:
    """The signature is the same text, and belongs to the exact bytes that were signed."""
    assert {counting.signature(message, True) for message in [b"a", b"b", b"a ", b"A"] * 3} == {
        to_base64(message) for message in (b"a", b"b", b"a ", b"A")
    }
    assert set(counting.signed.values()) == {1}


def test_the_memo_is_bounded(counting: Counting) -> None:
    """However many messages there are, at most two generations of them are kept."""
    for number in range(1000):
        counting.signature(b"%d" % number, True)
        assert counting.remembered() <= 2 * signers.MEMO_ENTRIES
    assert counting.remembered() > signers.MEMO_ENTRIES
    assert set(counting.signed.values()) == {1}


def test_a_message_in_demand_outlives_the_generations(counting: Counting) -> None:
    """What is asked for again and again is never signed again, and what is not is forgotten."""
    for number in range(100):
        counting.signature(b"hot", True)
        counting.signature(b"%d" % number, True)
    assert counting.signed[b"hot"] == 1
    counting.signature(b"0", True)
    assert counting.signed[b"0"] == 2


@pytest.mark.parametrize(("others", "times"), [(3, 1), (4, 1), (7, 1), (8, 2)])
def test_a_signature_is_kept_for_one_to_two_generations(counting: Counting, others: int, times: int) -> None:
    """A message is signed again only after at least a whole generation of others."""
    counting.signature(b"a", True)
    for number in range(others):
        counting.signature(b"%d" % number, True)
    counting.signature(b"a", True)
    assert counting.signed[b"a"] == times


def test_a_failure_is_not_remembered(counting: Counting) -> None:
    """A signer that was busy is asked again; the error names it and the kind of failure."""
    counting.failing.add(b"a")
    for _ in range(2):
        with pytest.raises(SigningError, match="^signer KCOUNT failed with OSError$"):
            counting.signature(b"a", True)
    assert (counting.signed[b"a"], counting.remembered()) == (2, 0)
    counting.failing.clear()
    assert counting.signature(b"a", True) == counting.signature(b"a", True) == "YQ__"
    assert counting.signed[b"a"] == 3


def test_each_signer_has_a_memo_of_its_own() -> None:
    """Two keys never share a signature, whatever ids they go by."""
    first, second = Counting(), Counting()
    first.signature(b"a", True)
    second.signature(b"a", True)
    assert (first.signed[b"a"], second.signed[b"a"]) == (1, 1)


def test_threads_that_race_get_right_signatures(counting: Counting) -> None:
    """Whoever loses a race signs once more; nobody gets the signature of another message."""
    messages = [b"%d" % (number % 13) for number in range(2000)]
    with ThreadPoolExecutor(8) as pool:
        spelled = list(pool.map(lambda message: counting.signature(message, True), messages))
    assert spelled == list(map(to_base64, messages))


def test_the_repr_of_a_signer_tells_nothing_that_it_remembers(pem: Pem) -> None:
    """Neither our own signers nor adapted ones show their signatures."""
    remote = SimpleNamespace(key_pair_id="KREMOTE", hash_algorithm="SHA1", sign=lambda message: b"signature")
    for signer in (Signer(KEY_PAIR_ID, pem("p256-pkcs8")), AdaptedSigner(remote)):
        assert signer.signature(MESSAGE, True) not in repr(signer)


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
    signer = as_signer(remote)
    with pytest.raises(SigningError) as caught:
        signer.signature(b"policy", reuse)
    assert str(caught.value) == message
    remote.result = b"signature"
    assert signer.signature(b"policy", reuse) == "c2lnbmF0dXJl"


def test_the_cause_of_a_failure_is_kept() -> None:
    """Whoever debugs a remote signer finds its own exception in the chain."""
    cause = TimeoutError("the vault took too long")
    with pytest.raises(SigningError) as caught:
        as_signer(Remote(result=cause)).signature(b"policy", False)
    assert caught.value.__cause__ is cause


# Objects of a signer's shape


def test_our_own_signers_are_used_as_they_are(signer: Signer) -> None:
    """Nothing is put around a signer that has all it takes."""
    assert as_signer(signer) is signer


def test_an_adapted_signer_keeps_the_id_it_had() -> None:
    """An object that changes its id later cannot pair the new id with a signature of before."""
    remote = Remote("KBEFORE", "SHA1")
    signer = as_signer(remote)
    remote.key_pair_id, remote.hash_algorithm = "KAFTER", "SHA256"
    assert isinstance(signer, AdaptedSigner)
    assert (signer.key_pair_id, signer.hash_algorithm, signer.parameters) == ("KBEFORE", "SHA1", "&Key-Pair-Id=KBEFORE")
    assert signer.sign(b"message") == b"signature"
    assert remote.signed == [b"message"]


@pytest.mark.parametrize(("attributes", "deterministic"), [({}, True), ({"deterministic": False}, False)])
def test_a_signer_may_say_that_it_does_not_repeat_itself(attributes: dict[str, bool], deterministic: bool) -> None:
    """Without a word, equal policies are taken to give equal signatures."""
    assert as_signer(shaped(**attributes)).deterministic is deterministic


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
    assert refusal(as_signer, value) == (f"signer is {what}; {SHAPE}sign(message)",)
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
    assert refusal(as_signer, shaped(key_pair_id=key_pair_id)) == (message,)


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
