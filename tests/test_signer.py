"""Signers: which keys are accepted and where they are read from, how they sign, foreign signers, and the memo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import traceback
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from cfgate_middleware import ConfigError, Distribution, KeyRing, Signer, signed_url
from cfgate_middleware._core import signer as core_signer
from cfgate_middleware._core.encoding import to_base64
from cfgate_middleware._keys import pem as pem_module
from cfgate_middleware.verify import BadSignature, KeyGroup, MalformedSignature, verify_url
from tests.conftest import KEY_PAIR_ID, KEYS, NOW, SIGNERS
from tests.signed import items, with_items
from tests.support import BASE_URL, Fake, Log, Patch, Pem, PublicPem

POLICY = b'{"Statement":[{"Resource":"%s/x","Condition":{"DateLessThan":{"AWS:EpochTime":1800000060}}}]}' % (
    BASE_URL.encode()
)
ACCEPTED = {"rsa-2048-pkcs1": "RSA", "rsa-2048-pkcs8": "RSA", "p256-pkcs8": "ECDSA", "p256-sec1": "ECDSA"}
PUBLIC_OF = {"RSA": "rsa-2048-public", "ECDSA": "p256-public"}
REFUSED = {
    "rsa-1024": "RSA key of 1024 bits",
    "rsa-4096": "4096 only with a legacy APKA",
    "p384": "curve secp384r1",
    "ed25519": "type Ed25519",
    "p256-encrypted": "the PEM is encrypted; decrypt it first (openssl pkey",
    "p256-public": "a PUBLIC KEY; expected the private key",
    "rsa-2048-public": "a PUBLIC KEY; expected the private key",
}
PEM = (KEYS / "p256-pkcs8.pem").read_text()
RSA = KEYS / "rsa-2048-pkcs8.pem"
BODY = "".join(PEM.splitlines()[1:-1])  # a key whose first and last line got lost
VARIABLE = "CFGATE_TEST_KEY"


def openssl(*arguments: str | Path, data: bytes = b"") -> bytes:
    """Run the openssl command and return what it prints."""
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


def body(text: str) -> str:
    """Take the armour off a PEM."""
    return "".join(line for line in text.splitlines() if not line.startswith("-----"))


def secrets_of(pem: str) -> set[str]:
    """Return every run of 16 characters of a PEM's body."""
    return {body(pem)[start : start + 16] for start in range(max(1, len(body(pem)) - 15))}


def refusal(make: Callable[..., object], *arguments: Any, **options: Any) -> tuple[str, ...]:
    """Return the problems for which a call is refused; its traceback shows no part of a key."""
    with pytest.raises(ConfigError) as caught:
        make(*arguments, **options)
    text = "".join(traceback.format_exception(caught.value))
    assert not any(piece in text for piece in secrets_of(PEM))
    return caught.value.problems


def takes(public: Any, signature: bytes, hash_algorithm: str, policy: bytes = POLICY) -> bool:
    """Return whether CloudFront takes a signature over a policy, if it holds this public key."""
    signer: Any = SimpleNamespace(key_pair_id=KEY_PAIR_ID, hash_algorithm=hash_algorithm, sign=lambda _: signature)
    try:
        group = KeyGroup({KEY_PAIR_ID: public})
        verify_url(with_items("/x", items(signer, policy)), base_url=BASE_URL, key_group=group, now=NOW)
    except (BadSignature, MalformedSignature):
        return False
    return True


def test_every_key_file_is_tried() -> None:
    """Each throwaway key in tests/keys has a test that accepts or refuses it."""
    assert {file.stem for file in KEYS.glob("*.pem")} == ACCEPTED.keys() | REFUSED.keys()


SOURCES: dict[str, Callable[[Path], Any]] = {
    **{"path": str, "Path": lambda file: file, "relative path": os.path.relpath},
    **{"text": Path.read_text, "bytes": Path.read_bytes},
    "key object": lambda file: load_pem_private_key(file.read_bytes(), password=None),
    "variable": lambda file: f"env:{VARIABLE}",
    "escaped and quoted": lambda file: json.dumps(file.read_text()),
    "no newline at the end": lambda file: file.read_text().rstrip(),
    "space around": lambda file: f"\n\n  {file.read_text()}  \n",
    "a byte order mark": lambda file: f"\ufeff{file.read_text()}",
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("name", ACCEPTED)
def test_a_key_is_the_same_from_every_source(pem: Pem, monkeypatch: Patch, name: str, source: Any) -> None:
    """RSA 2048 and P-256 load as PKCS#1, PKCS#8 and SEC1 from paths, text, bytes, objects and variables."""
    file = KEYS / f"{name}.pem"
    monkeypatch.setenv(VARIABLE, file.read_text())
    signer = Signer(KEY_PAIR_ID, source(file))
    assert (signer.key_pair_id, signer.kind, signer.hash_algorithm) == (KEY_PAIR_ID, ACCEPTED[name], "SHA256")
    assert signer.public_key_pem() == pem(PUBLIC_OF[ACCEPTED[name]])


@pytest.mark.parametrize("option", ["private_key", "priv_key_string"])
@pytest.mark.parametrize(("hash_algorithm", "shown"), [(None, True), ("SHA256", True), ("SHA1", False)])
def test_the_key_options_make_a_signer(pem: Pem, option: str, hash_algorithm: Any, shown: bool) -> None:
    """Both names of the option take what a Signer takes, and the hash algorithm goes with them."""
    options: dict[str, Any] = {"key_pair_id": KEY_PAIR_ID, option: RSA, "hash_algorithm": hash_algorithm}
    url = Distribution(BASE_URL, **options).sign("/x")
    group = KeyGroup({KEY_PAIR_ID: pem("rsa-2048-public")})
    target = url.removeprefix(BASE_URL)
    assert verify_url(target, base_url=BASE_URL, key_group=group, now=0).key_pair_id == KEY_PAIR_ID
    assert url.endswith(f"&Key-Pair-Id={KEY_PAIR_ID}&Hash-Algorithm=SHA256") is shown


def test_a_key_beside_its_certificate_is_found(pem: Pem, tmp_path: Path) -> None:
    """A file that holds a certificate and then the key is taken as the key; a certificate alone is neither half."""
    (tmp_path / "openssl.cnf").write_text("[req]\ndistinguished_name = name\n[name]\n")
    config = ("-config", tmp_path / "openssl.cnf", "-subj", "/CN=throwaway")
    certificate = openssl("req", "-x509", "-new", *config, "-key", KEYS / "p256-pkcs8.pem").decode()
    assert Signer(KEY_PAIR_ID, certificate + PEM).public_key_pem() == pem("p256-public")
    assert "a CERTIFICATE; expected the private key" in str(refusal(Signer, KEY_PAIR_ID, certificate))
    assert "no public key" in str(refusal(KeyGroup, {KEY_PAIR_ID: certificate}))


def test_a_legacy_id_may_have_4096_bits() -> None:
    """Account-level key pairs (APKA…) could be that large; a verifier, which knows no ids, takes both lengths."""
    signer = Signer("APKAEXAMPLE", KEYS / "rsa-4096.pem")
    assert takes(signer.public_key_pem(), signer.sign(POLICY), "SHA256")


@pytest.mark.parametrize("key_pair_id", ["K2JCJMDEHXQW5F", "APKAEXAMPLE", "k1", "0"])
@pytest.mark.parametrize("name", SIGNERS)
def test_a_signer_shows_its_id_and_kind_only(key_pair_id: str, name: str) -> None:
    """The repr is safe to log; letters and digits of any case can be an id, and the hash is SHA-256 or as asked."""
    file, hash_algorithm = SIGNERS[name]
    shown = repr(Signer(key_pair_id, KEYS / file, hash_algorithm))
    assert shown == f"<Signer {key_pair_id} {name.partition('-')[0]} {hash_algorithm}>"


NO_PEM = "not PEM"
FROM, NO_PATH = f", looked for in {Path.cwd()}, was ", "taken for a path that could not be read"
PLACEHOLDER = "shell placeholder"
NO_NAME = ["no variable name follows env:", "env:NAME"]
OPENSSH = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----"
WRONG_SOURCES: list[tuple[Any, list[str]]] = [
    (
        "/no/such/key.pem",
        ["'/no/such/key.pem'", FROM, NO_PATH, "No such file", "env:", "kms:", "secretsmanager:", "ssm:"],
    ),
    *((Path("/no/such"), ["'/no/such'", FROM, NO_PATH]), (f" env:{VARIABLE}", [f"' env:{VARIABLE}'", FROM, NO_PATH])),
    *(("/", ["'/'", FROM, NO_PATH, "Is a directory"]), ("", ["''", FROM, NO_PATH, "Is a directory"])),
    *(("x" * 5000, ["5000 characters", NO_PATH, "name too long"]), ("\ud800", [r"'\ud800'", FROM, NO_PATH, "encode"])),
    *(("key\0.pem", [r"'key\x00.pem'", FROM, "null"]), (BODY, [f"{len(BODY)} characters", NO_PATH])),
    ("${CLOUDFRONT_KEY}", ["17 characters", PLACEHOLDER, "env:NAME"]),
    ("/etc/keys/$(hostname).pem", ["25 characters", PLACEHOLDER, "env:NAME"]),
    (b"/etc/keys/key.pem", ["bytes of length 17", NO_PEM]),
    (b"", ["bytes of length 0", NO_PEM, "-----BEGIN PRIVATE KEY-----"]),
    (KEYS / "README.rst", [f"bytes of length {(KEYS / 'README.rst').stat().st_size}", NO_PEM]),
    (PEM[:100], ["100 characters", "PEM label: PRIVATE KEY", "-----END PRIVATE KEY-----"]),
    *(("-----BEGIN", ["10 characters", "PEM label: unknown"]), (OPENSSH, ["OpenSSH's form", "(ssh-keygen -p -m PEM"])),
    *((None, ["NoneType", "RSA 2048 or ECDSA P-256"]), (5, ["type int", "RSA 2048 or ECDSA P-256"])),
    *((bytearray(b"-----BEGIN"), ["type bytearray"]), (object(), ["type object"])),
    *((type("PrivateKey", (), {})(), ["type object"]), (print, ["type builtin_function_or_method"])),
    (lambda key_pair_id, hash_algorithm: None, ["type function"]),
    (load_pem_public_key((KEYS / "p256-public.pem").read_bytes()), ["a public key", "expected the private key"]),
    (ec.generate_private_key(ec.SECP256K1()), ["curve secp256k1", "P-256"]),
    *((f"{it}:", [f"nothing follows {it}:", f"{it}:NAME"]) for it in ("env", "kms", "secretsmanager", "ssm")),
    *((f"env:{name}", NO_NAME) for name in ("A-B", "1A", "A B", "A=B", "A\n", "é", "/etc/keys/key.pem", BODY)),
]


@pytest.mark.parametrize(("source", "telling"), WRONG_SOURCES, ids=lambda value: ascii(value)[:40])
def test_a_source_that_is_not_a_key_is_named_by_kind_or_path(source: Any, telling: list[str]) -> None:
    """A wrong source is shown if it can only be a path, and not if it may be a key in the wrong shape."""
    (problem,) = refusal(Signer, KEY_PAIR_ID, source)
    assert problem.startswith("private_key")
    assert all(part in problem for part in telling)
    assert not isinstance(source, str) or len(source) < 16 or (source in problem) == (FROM in telling)


@pytest.mark.parametrize(
    ("held", "telling"),
    [
        *((None, "not set"), ("", "not set"), ("hunter2", "7 characters"), (f"env:{VARIABLE}", "not a path")),
        *((held, f"{len(held)} characters") for held in (str(RSA), BODY)),
    ],
)
def test_a_variable_holds_the_key_itself(monkeypatch: Patch, held: str | None, telling: str) -> None:
    """A variable is read once and refers to nothing else; it is named, and what it holds is not shown."""
    monkeypatch.delenv(VARIABLE, raising=False)
    if held is not None:
        monkeypatch.setenv(VARIABLE, held)
    (problem,) = refusal(Signer, KEY_PAIR_ID, f"env:{VARIABLE}")
    assert problem.startswith(f"private_key: the environment variable {VARIABLE} ")
    assert telling in problem and "hunter2" not in problem


@pytest.mark.parametrize(
    ("name", "key_pair_id", "telling"),
    [
        *((name, KEY_PAIR_ID, telling) for name, telling in REFUSED.items()),
        *((name, "APKAEXAMPLE", REFUSED[name]) for name in ("rsa-1024", "p384", "ed25519")),
    ],
)
def test_other_keys_are_refused_by_name(pem: Pem, name: str, key_pair_id: str, telling: str) -> None:
    """The error says what the key is and what to use; a legacy id excuses only the length of RSA 4096."""
    (problem,) = refusal(Signer, key_pair_id, pem(name))
    assert problem.startswith("private_key")
    assert telling in problem
    assert "PEM" in telling or "expected" in telling or "CloudFront takes" in problem


def test_a_damaged_key_object_is_found_out(pem: Pem) -> None:
    """A key whose signatures do not verify is refused before it signs anything."""
    good = load_pem_private_key(pem("rsa-2048-pkcs1").encode(), password=None)
    assert isinstance(good, rsa.RSAPrivateKey)
    n = good.private_numbers()
    numbers = rsa.RSAPrivateNumbers(n.p, n.q, n.d + 2, n.dmp1 + 2, n.dmq1, n.iqmp, n.public_numbers)
    (problem,) = refusal(Signer, KEY_PAIR_ID, numbers.private_key(unsafe_skip_rsa_key_validation=True))
    assert "damaged" in problem


OTHER_HASHES: list[Any] = ["", "sha256", "SHA-256", "SHA512", "MD5", b"SHA256", 0, False, [], 256]


@pytest.mark.parametrize(
    ("value", "telling"),
    [
        ("SHA1", ["SHA256 only", "leave hash_algorithm out"]),
        *((value, [f"hash_algorithm={value!r}", "'SHA256' or 'SHA1'"]) for value in OTHER_HASHES),
    ],
)
def test_other_hash_algorithms_are_refused(value: Any, telling: list[str]) -> None:
    """Only the two names that CloudFront knows are accepted, for ECDSA one of them; an empty one is not the default."""
    (problem,) = refusal(Signer, KEY_PAIR_ID, PEM, value)
    assert all(part in problem for part in telling)


def test_a_forbidden_hash_is_explained(monkeypatch: Patch) -> None:
    """A machine that refuses SHA-1 signatures gets an error that says why and what to use."""

    class Forbidden(SHA1):
        name = "forbidden"  # OpenSSL knows no such hash, so it refuses as it refuses a forbidden one

    monkeypatch.setitem(pem_module._HASHES, "SHA1", Forbidden)
    (problem,) = refusal(Signer, KEY_PAIR_ID, RSA, "SHA1")
    assert "OpenSSL refuses" in problem
    assert "use hash_algorithm='SHA256'" in problem
    assert Signer(KEY_PAIR_ID, RSA).hash_algorithm == "SHA256"


@pytest.mark.parametrize(
    ("value", "telling"),
    [
        *(("", "0 characters"), ("K1&Expires=9", "12 characters"), ("${KEY_ID}", "9 characters")),
        *((value, "3 characters") for value in ("K 1", "K-1", "K\n1")),
        *((value, "2 characters") for value in ("К1", "K\u0661")),
        *((b"K1", "bytes of length 2"), (None, "missing"), (1, "type int")),
        ("AKIAEXAMPLE", "AKIA begins an IAM access key id"),
    ],
)
def test_what_is_not_a_key_pair_id_is_refused(value: Any, telling: str) -> None:
    """An id is ASCII letters and digits and not an access key's, whoever signs; a wrong one is not shown."""
    makers: list[Callable[[], object]] = [
        *(lambda: Signer(value, PEM), lambda: Distribution(BASE_URL, signer=Fake(key_pair_id=value))),
        lambda: KeyGroup({value: (KEYS / "p256-public.pem").read_bytes()}),
    ]
    for make in makers[: 2 if value is None else 3]:
        (problem,) = refusal(make)
        assert telling in problem.replace("is None", "is missing")
        assert "K2JCJMDEHXQW5F" in problem
        assert "Expires" not in problem


def test_a_wrong_id_and_a_wrong_source_are_reported_together() -> None:
    """Both halves of the pair are looked at before either is refused."""
    first, second = refusal(Signer, "AKIAEXAMPLE", "/no/such/key.pem", "SHA1")
    assert (first.partition(" ")[0], second.partition(":")[0]) == ("key_pair_id", "private_key")


@pytest.mark.parametrize(
    ("options", "telling"),
    [
        *(("", ["key_pair_id and private_key missing", "keys, or signer"]), ("key_pair_id", ["private_key missing"])),
        *((name, ["key_pair_id missing"]) for name in ("private_key", "priv_key_string")),
        ("key_pair_id private_key priv_key_string", ["private_key and priv_key_string are both given"]),
        *((f"{one} private_key", [f"{one} and private_key are both given"]) for one in ("signer", "keys")),
        ("signer keys", ["signer and keys are both given"]),
        ("keys key_pair_id priv_key_string", ["keys and priv_key_string are both given"]),
        ("signer keys key_pair_id private_key", ["signer and keys and private_key are both given"]),
        *((f"{one} key_pair_id", [f"{one} has its own: leave key_pair_id out"]) for one in ("signer", "keys")),
    ],
)
def test_keys_are_given_in_exactly_one_way(options: str, telling: list[str]) -> None:
    """What is missing or contradictory is named, and no way wins silently over another."""
    values = {"signer": Fake(), "keys": f"K1 {RSA}", "key_pair_id": "K1", "private_key": PEM, "priv_key_string": ""}
    (problem,) = refusal(Distribution, BASE_URL, **{name: values[name] for name in options.split()})
    assert all(part in problem for part in telling)


@pytest.mark.parametrize("option", ["signer", "keys"])
@pytest.mark.parametrize("hash_algorithm", ["SHA1", ""])
def test_another_hash_algorithm_than_the_signers_is_refused(option: str, hash_algorithm: str) -> None:
    """Which of the two would win is not left to a guess."""
    makers: list[Any] = [KeyRing([Fake()]), *([Fake()] if option == "signer" else [])]
    for keys in makers:
        (problem,) = refusal(Distribution, BASE_URL, **{option: keys, "hash_algorithm": hash_algorithm})
        assert f"hash_algorithm={hash_algorithm!r} is given; leave hash_algorithm out" in problem


def test_ecdsa_gives_the_signature_of_rfc_6979() -> None:
    """The known answer of RFC 6979 appendix A.2.5 (P-256, SHA-256, "sample") comes out."""
    private = ec.derive_private_key(0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721, ec.SECP256R1())
    signer = Signer(KEY_PAIR_ID, private)
    if not signer.deterministic:
        pytest.skip("this OpenSSL has no RFC 6979")
    assert decode_dss_signature(signer.sign(b"sample")) == (
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
        0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
    )


@pytest.mark.parametrize("name", ["RSA-SHA1", "RSA-SHA256"])
def test_rsa_signatures_equal_openssls(signers: dict[str, Signer], name: str) -> None:
    """RSA with PKCS#1 v1.5 has one signature for a message, and the openssl command makes it too."""
    file, hash_algorithm = SIGNERS[name]
    theirs = openssl("dgst", f"-{hash_algorithm.lower()}", "-sign", KEYS / file, data=POLICY)
    assert signers[name].sign(POLICY) == theirs


@given(st.binary(max_size=300))
def test_every_message_verifies(signers: dict[str, Signer], pem: Pem, message: bytes) -> None:
    """Any bytes can be signed, twice with the same signature, and the public half agrees."""
    signer = signers["ECDSA"]
    signature = signer.sign(message)
    assert not signer.deterministic or signature == signer.sign(message)
    public = load_pem_public_key(pem("p256-public").encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature, message, ec.ECDSA(SHA256()))


@pytest.mark.parametrize("openssl_can", [True, False])
def test_without_rfc_6979_ecdsa_is_randomised(pem: Pem, openssl_can: bool) -> None:
    """Where OpenSSL cannot sign deterministically, one INFO line names the id, and the signatures still verify."""
    program = f"""
        import json, logging, sys
        from cryptography.hazmat.backends.openssl import backend
        if not {openssl_can}:
            type(backend).ecdsa_deterministic_supported = lambda backend: False
        lines = []
        handler = logging.Handler(logging.INFO)
        handler.emit = lambda record: lines.append([record.levelname, record.getMessage()])
        logging.basicConfig(level=logging.INFO, handlers=[handler])
        from cfgate_middleware import Signer
        signer = Signer("K1", {str(KEYS / "p256-pkcs8.pem")!r})
        print(json.dumps([signer.deterministic, lines, *(signer.sign({POLICY!r}).hex() for _ in range(2))]))
        """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=KEYS.parent.parent)
    assert done.returncode == 0, done.stderr
    deterministic, lines, first, second = json.loads(done.stdout)
    assert (deterministic, first == second) == (openssl_can, openssl_can)
    assert all(takes(pem("p256-public"), bytes.fromhex(signature), "SHA256") for signature in (first, second))
    levels = [level for level, line in lines if "key K1:" in line and "RFC 6979" in line]
    assert levels == ["INFO"] * len(lines) == ["INFO"] * (not openssl_can)


def test_a_public_key_verifies_what_its_half_signed(signer: Signer, public_pem: PublicPem) -> None:
    """In every form: text, bytes, escaped newlines and key objects."""
    text = public_pem(signer)
    for form in (text, text.encode(), text.replace("\n", "\\n"), load_pem_public_key(text.encode())):
        assert takes(form, signer.sign(POLICY), signer.hash_algorithm)


def test_a_public_key_refuses_all_else(signer: Signer, signers: dict[str, Signer]) -> None:
    """Another message, another hash, another key, damage, emptiness and noise do not verify."""
    public, signature, used = signer.public_key_pem(), signer.sign(POLICY), signer.hash_algorithm
    foreign = signers["ECDSA" if signer.kind == "RSA" else "RSA-SHA256"]
    assert not takes(public, signature, used, POLICY.replace(b"060", b"061"))
    assert not takes(public, signature, "SHA1" if used == "SHA256" else "SHA256")
    assert not takes(public, foreign.sign(POLICY), used)
    for wrong in (b"", b"\0", signature[:-1], signature + b"\0", signature[::-1], b"\xff" * 10_000):
        assert not takes(public, wrong, used)


def test_ecdsa_with_sha1_is_verified(pem: Pem) -> None:
    """CloudFront takes this combination, which other signers make, so we verify it though we never sign it."""
    signature = openssl("dgst", "-sha1", "-sign", KEYS / "p256-pkcs8.pem", data=POLICY)
    assert takes(pem("p256-public"), signature, "SHA1")
    assert not takes(pem("p256-public"), signature, "SHA256")


@pytest.mark.parametrize(
    ("value", "telling"),
    [
        *(((KEYS / f"{name}.pem").read_text(), "no public key") for name in (*ACCEPTED, "ed25519", "p256-encrypted")),
        (load_pem_private_key(PEM.encode(), password=None), "a private key; expected the public key"),
        *((b"x", "bytes of length 1"), ("-----BEGIN PUBLIC KEY-----", "26 characters"), (None, "NoneType")),
        *((1, "type int"), *((KEYS / f"{name}.pem", REFUSED[name]) for name in ("rsa-1024", "p384", "ed25519"))),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_what_is_not_a_public_key_of_cloudfronts_is_refused(value: Any, telling: str) -> None:
    """Private keys too, unlike by tools that would extract the public half, and public halves of refused keys."""
    if isinstance(value, Path):
        value = openssl("pkey", "-in", value, "-pubout")
    (problem,) = refusal(KeyGroup, {KEY_PAIR_ID: value})
    assert KEY_PAIR_ID in problem
    assert telling in problem


def half(text: str, letter: str = "") -> str:
    """Cut a PEM in the middle, or put another letter of its alphabet there."""
    at = len(text) // 2
    return text[:at] + (letter.replace(text[at], "")[:1] + text[at + 1 :] if letter else "")


MISTAKES: dict[str, Callable[[str], object]] = {
    "a refused key": lambda text: Signer(KEY_PAIR_ID, text),
    "a refused key in bytes": lambda text: Signer(KEY_PAIR_ID, text.encode()),
    "a refused key with a wrong hash": lambda text: Signer(KEY_PAIR_ID, text, "MD5"),
    "a key cut short": lambda text: Signer(KEY_PAIR_ID, half(text)),
    "a damaged key": lambda text: Signer(KEY_PAIR_ID, half(text, "AB")),
    "a key without armour": lambda text: Signer(KEY_PAIR_ID, body(text)),
    "a key as a variable's name": lambda text: Signer(KEY_PAIR_ID, f"env:{body(text)}"),
    "a key as bytearray": lambda text: Signer(KEY_PAIR_ID, bytearray(text.encode())),
    "a key in a list": lambda text: Signer(KEY_PAIR_ID, [text]),
    "a key as key pair id": lambda text: Signer(text, KEY_PAIR_ID),
    "a key without armour as key pair id": lambda text: Signer(f"{body(text)}=", KEY_PAIR_ID),
    "a key as hash algorithm": lambda text: Signer(KEY_PAIR_ID, KEY_PAIR_ID, text),
    "a key as hash algorithm, escaped": lambda text: Signer(KEY_PAIR_ID, "SHA256", text.replace("\n", "\\n")),
    "a key as public key": lambda text: KeyGroup({KEY_PAIR_ID: text}),
    "a key as public key, cut short": lambda text: KeyGroup({KEY_PAIR_ID: half(text)}),
    "a key as hash algorithm of a signer": lambda text: Distribution(BASE_URL, signer=Fake(), hash_algorithm=text),
    "a key as signer": lambda text: Distribution(BASE_URL, signer=text),  # type: ignore[arg-type]  # the mistake
    "a key as ring": lambda text: KeyRing(text),  # type: ignore[arg-type]  # the mistake
    "a key as member of a ring": lambda text: KeyRing([text]),  # type: ignore[list-item]  # the mistake
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
@pytest.mark.parametrize("name", [*ACCEPTED, *REFUSED])
def test_no_error_shows_a_part_of_a_key(pem: Pem, name: str, mistake: Callable[[str], object]) -> None:
    """Whatever is done wrong with a key, no 16 characters of it reach a message, a repr or the chain of causes."""
    text = pem(name)
    try:
        shown = repr(mistake(text))
    except ConfigError as error:
        shown = "".join(traceback.format_exception(error)) + repr(error) + "".join(error.problems)
    assert not {secret for secret in secrets_of(text) if secret in shown}


@pytest.mark.parametrize("given_hash", [None, "SHA256", "SHA1"])
@pytest.mark.parametrize(
    ("hash_algorithm", "suffix"),
    [("SHA1", "&Key-Pair-Id=KREMOTE"), ("SHA256", "&Key-Pair-Id=KREMOTE&Hash-Algorithm=SHA256")],
)
def test_any_object_with_the_protocol_signs(hash_algorithm: str, suffix: str, given_hash: Any) -> None:
    """It has its own id and hash algorithm, read once; naming the same or the default is not a contradiction."""
    remote = Fake("KREMOTE", hash_algorithm)
    if given_hash == "SHA1" != hash_algorithm:
        given_hash = None  # a contradiction, see above
    distribution = Distribution(BASE_URL, signer=remote, hash_algorithm=given_hash)
    urls = [distribution.sign("/x"), signed_url(f"{BASE_URL}/x", remote)]
    remote.key_pair_id, remote.hash_algorithm = "KAFTER", "SHA512"
    for url in (*urls, distribution.sign("/x")):
        assert url.endswith(f"&Signature={to_base64(b'signature')}{suffix}")


@pytest.mark.parametrize(("attributes", "warned"), [({}, False), ({"deterministic": False}, True)])
def test_a_signer_may_say_that_its_signatures_differ(caplog: Log, attributes: dict[str, bool], warned: bool) -> None:
    """Then ``reuse_for`` holds within one process only, and a warning says so and names the key."""
    signer: Any = SimpleNamespace(key_pair_id="KREMOTE", hash_algorithm="SHA1", sign=bytes, **attributes)
    Distribution(BASE_URL, signer=signer)
    assert not caplog.messages
    Distribution(BASE_URL, signer=signer, reuse_for=60)
    assert [("KREMOTE" in line, "within one process" in line) for line in caplog.messages] == [(True, True)] * warned


@pytest.mark.parametrize(
    "value",
    [
        *(PEM, object(), Signer, KeyRing, SimpleNamespace, False, Fake),
        *(SimpleNamespace(key_pair_id="K1", hash_algorithm="SHA1", sign=sign) for sign in (None, b"signature")),
        *(Fake(hash_algorithm=name) for name in (None, "sha256", ["SHA256"])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_object_of_another_shape_is_refused(value: Any) -> None:
    """It is refused at construction, not at the first request, and named by its kind, because it may be a key."""
    (problem,) = refusal(Distribution, BASE_URL, signer=value)
    kind = f"a str of {len(PEM)} characters" if value is PEM else f"an object of type {type(value).__name__}"
    assert problem.startswith(f"signer is {kind}")
    assert all(part in problem for part in ("key_pair_id", "hash_algorithm ('SHA256' or 'SHA1')", "sign(message)"))


def reusing(*keys: Any) -> Distribution:
    """Return a distribution that reuses signatures, at a fixed time."""
    made = Distribution(BASE_URL, signer=KeyRing(keys), reuse_for=60)
    made.clock = lambda: NOW
    return made


def fill(monkeypatch: Patch, entries: int) -> None:
    """Let half of a memo hold that many of the entries that ``/0000`` and its like make."""
    remote = Fake()
    url = reusing(remote).sign("/0000")
    size = len(next(iter(remote.signed))) + len(url[url.index("&Signature=") :]) + 200
    monkeypatch.setattr(core_signer, "MEMO_BYTES", 2 * entries * size + size)


def test_the_exact_policy_is_signed_once_with_reuse_and_each_time_without() -> None:
    """The signature is the same text, and belongs to the exact bytes that were signed."""
    remote = Fake(outcome=bytes)
    with_reuse, without = reusing(remote), Distribution(BASE_URL, signer=remote)
    without.clock = with_reuse.clock
    paths = ("/a", "/b", "/a ", "/A")
    first = [with_reuse.sign(path) for path in paths]
    assert [with_reuse.sign(path) for path in paths] == first
    assert list(remote.signed.values()) == [1] * 4
    for url, policy in zip(first, remote.signed, strict=True):
        assert f"&Signature={to_base64(policy)}&" in url
    assert [without.sign("/a") for _ in range(3)] == [first[0]] * 3
    assert list(remote.signed.values()) == [4, 1, 1, 1]


def test_keys_and_rings_share_no_signature() -> None:
    """The same policy is signed by each key of a ring, and by a key of the same id in another ring."""
    ring = reusing(Fake("K1", outcome=b"1"), (Fake("K2", outcome=b"2"), NOW))
    other = reusing(Fake("K1", outcome=b"3"))
    for _ in range(2):
        ring.clock = lambda: NOW - 1
        before = ring.sign("/a")
        ring.clock = lambda: NOW
        urls = (before, ring.sign("/a"), other.sign("/a"))
        assert [url.partition("&Signature=")[2].partition("&")[0] for url in urls] == ["MQ__", "Mg__", "Mw__"]
        assert len({url.partition("&")[0] for url in urls}) == 1


@pytest.mark.parametrize(("others", "times"), [(3, 1), (4, 1), (7, 1), (8, 2)])
@pytest.mark.parametrize("other", [False, True])
def test_a_signature_is_kept_for_1_to_2_generations(monkeypatch: Patch, others: int, times: int, other: bool) -> None:
    """It is forgotten when half to all of the budget went to others, whichever key of the ring signed those."""
    fill(monkeypatch, 4)
    remote = Fake("K1")
    distribution = reusing(remote, (Fake("K2"), NOW))
    clocks = [lambda: NOW - 1, lambda: NOW - 1 + other, lambda: NOW - 1]
    for clock, paths in zip(clocks, (["/9999"], [f"/{number:04}" for number in range(others)], ["/9999"]), strict=True):
        distribution.clock = clock
        for path in paths:
            distribution.sign(path)
    assert max(remote.signed.values()) == times


def test_a_policy_in_demand_outlives_the_generations(monkeypatch: Patch) -> None:
    """What is asked for again and again is never signed again, and what is not is forgotten."""
    fill(monkeypatch, 4)
    remote = Fake()
    distribution = reusing(remote)
    for number in range(100):
        distribution.sign("/hot")
        distribution.sign(f"/{number:04}")
    distribution.sign("/0000")
    assert [policy.partition(b'","')[0][-5:] for policy, times in remote.signed.items() if times > 1] == [b"/0000"]


@pytest.mark.parametrize(("length", "times"), [(2048, 1), (2049, 2)])
def test_a_long_policy_is_not_remembered(length: int, times: int) -> None:
    """A policy of more than 2 KB is rare, would drive others out, and is signed each time."""
    remote = Fake()
    distribution = reusing(remote)
    distribution.sign("/a")
    path = "/a" + "a" * (length - len(next(iter(remote.signed))))
    for _ in range(2):
        distribution.sign(path)
    assert {len(policy): count for policy, count in remote.signed.items()}[length] == times


@pytest.mark.parametrize("length", [4, 200, 1900])
def test_a_memo_keeps_to_its_bytes(monkeypatch: Patch, length: int) -> None:
    """However many policies there are, the memory in use is about the budget at most."""
    assert core_signer.MEMO_BYTES == 16 * 2**20
    monkeypatch.setattr(core_signer, "MEMO_BYTES", 2**20)
    signer: Any = SimpleNamespace(key_pair_id=KEY_PAIR_ID, hash_algorithm="SHA256", sign=lambda _: b"s" * 256)
    distribution = reusing(signer)
    tracemalloc.start()
    try:
        for number in range(3 * 2**20 // (length + 600)):
            distribution.sign(f"/{number:0{length}}")
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 2**18 < used < 1.25 * 2**20


def test_threads_that_race_get_right_signatures(monkeypatch: Patch) -> None:
    """Whoever loses a race signs once more; nobody gets the signature of another policy."""
    fill(monkeypatch, 4)
    distribution, plain = reusing(Fake(outcome=bytes)), Distribution(BASE_URL, signer=Fake(outcome=bytes))
    plain.clock = distribution.clock
    paths = [f"/{number % 13:04}" for number in range(2000)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(distribution.sign, paths)) == list(map(plain.sign, paths))
