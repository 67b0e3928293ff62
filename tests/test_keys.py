"""Keys: which are taken, how they sign, and that no error or repr gives one away."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from cfgate_middleware import keys
from cfgate_middleware.errors import ConfigError
from cfgate_middleware.keys import PublicKey, Signer
from cfgate_middleware.signers import check_key_pair_id
from tests.conftest import KEY_PAIR_ID, KEYS, SIGNERS

Pem = Callable[[str], str]

MESSAGE = b'{"Statement":[{"Resource":"https://h/x","Condition":{"DateLessThan":{"AWS:EpochTime":1}}}]}'
ACCEPTED = {"rsa-2048-pkcs1": "RSA", "rsa-2048-pkcs8": "RSA", "p256-pkcs8": "ECDSA", "p256-sec1": "ECDSA"}
REFUSED = {
    "rsa-1024": "private_key: an RSA key of 1024 bits; CloudFront takes RSA 2048 or ECDSA P-256",
    "rsa-4096": (
        "private_key: an RSA key of 4096 bits; CloudFront takes RSA 2048 (4096 only with a legacy APKA… key pair id) "
        "or ECDSA P-256"
    ),
    "p384": "private_key: an ECDSA key on curve secp384r1; CloudFront takes P-256 (prime256v1) only",
    "ed25519": (
        "private_key is of type Ed25519; CloudFront takes RSA 2048 or ECDSA P-256 keys, "
        "given as PEM or as a cryptography private key"
    ),
    "p256-encrypted": "private_key: the PEM is encrypted; decrypt it first (openssl pkey -in KEY -out PLAIN)",
    "p256-public": "private_key: the PEM holds a PUBLIC KEY; expected the private key of the pair",
    "rsa-2048-public": "private_key: the PEM holds a PUBLIC KEY; expected the private key of the pair",
}
PUBLIC_OF = {"RSA": "rsa-2048-public", "ECDSA": "p256-public"}


def openssl(*arguments: str | Path, data: bytes = b"") -> bytes:
    """Run the openssl command and return what it prints."""
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


def secrets_of(pem: str) -> set[str]:
    """Return every run of 16 characters of a PEM's body."""
    body = "".join(line for line in pem.split() if not line.startswith("-"))
    return {body[start : start + 16] for start in range(max(1, len(body) - 15))}


def refusal(make: Callable[[], object]) -> ConfigError:
    """Return the error that a wrong key draws."""
    with pytest.raises(ConfigError) as caught:
        make()
    return caught.value


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A self-signed certificate for one of the keys."""
    config = tmp_path_factory.mktemp("certificate") / "openssl.cnf"
    config.write_text("[req]\ndistinguished_name = name\n[name]\n")
    arguments = ("req", "-x509", "-new", "-config", config, "-key", KEYS / "p256-pkcs8.pem", "-subj", "/CN=throwaway")
    return openssl(*arguments).decode()


# What is accepted


def test_every_key_file_is_tried() -> None:
    """No throwaway key lies in tests/keys without a test that takes or refuses it."""
    assert {file.stem for file in KEYS.glob("*.pem")} == ACCEPTED.keys() | REFUSED.keys()


@pytest.mark.parametrize(("name", "kind"), ACCEPTED.items())
def test_pkcs1_pkcs8_and_sec1_are_taken(pem: Pem, name: str, kind: str) -> None:
    """RSA 2048 and P-256 load from each of their usual forms and carry their public half."""
    signer = Signer(KEY_PAIR_ID, pem(name))
    assert (signer.key_pair_id, signer.kind, signer.hash_algorithm) == (KEY_PAIR_ID, kind, "SHA256")
    assert signer.public_key_pem() == pem(PUBLIC_OF[kind])


FORMS: dict[str, Callable[[str], Any]] = {
    "bytes": str.encode,
    "newlines as in an environment file": lambda text: text.replace("\n", "\\n"),
    "escaped and quoted": lambda text: '"' + text.replace("\n", "\\n") + '"',
    "escaped bytes": lambda text: text.replace("\n", "\\n").encode(),
    "escaped Windows newlines": lambda text: text.replace("\n", "\\r\\n"),
    "Windows newlines": lambda text: text.replace("\n", "\r\n"),
    "no newline at the end": str.rstrip,
    "space around": lambda text: f"\n\n  {text}  \n",
    "a byte order mark": lambda text: f"\ufeff{text}",
    "a key object": lambda text: load_pem_private_key(text.encode(), password=None),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("name", ACCEPTED)
def test_a_key_is_the_same_however_it_is_given(pem: Pem, name: str, form: Callable[[str], Any]) -> None:
    """Text, bytes, repaired newlines and key objects all load the same key."""
    assert Signer(KEY_PAIR_ID, form(pem(name))).public_key_pem() == pem(PUBLIC_OF[ACCEPTED[name]])


def test_a_key_beside_its_certificate_is_found(pem: Pem, certificate: str) -> None:
    """A file that holds a certificate and then the key is taken as the key."""
    assert Signer(KEY_PAIR_ID, certificate + pem("p256-pkcs8")).public_key_pem() == pem("p256-public")


def test_a_legacy_id_may_have_4096_bits(pem: Pem) -> None:
    """Account-level key pairs, whose ids begin with APKA, could be that large."""
    assert Signer("APKAEXAMPLE", pem("rsa-4096")).kind == "RSA"


@pytest.mark.parametrize(
    ("name", "given", "used"),
    [
        ("rsa-2048-pkcs8", None, "SHA256"),
        ("rsa-2048-pkcs8", "SHA256", "SHA256"),
        ("rsa-2048-pkcs8", "SHA1", "SHA1"),
        ("p256-pkcs8", None, "SHA256"),
        ("p256-pkcs8", "SHA256", "SHA256"),
    ],
)
def test_hash_algorithms(pem: Pem, name: str, given: str | None, used: str) -> None:
    """SHA-256 unless SHA-1 is asked for, which RSA keys alone can have."""
    assert Signer(KEY_PAIR_ID, pem(name), given).hash_algorithm == used


def test_a_signer_shows_its_id_and_kind_only(signers: dict[str, Signer]) -> None:
    """The repr is safe to log."""
    assert {name: repr(signer) for name, signer in signers.items()} == {
        "RSA-SHA1": f"<Signer {KEY_PAIR_ID} RSA SHA1>",
        "RSA-SHA256": f"<Signer {KEY_PAIR_ID} RSA SHA256>",
        "ECDSA": f"<Signer {KEY_PAIR_ID} ECDSA SHA256>",
    }


# What is refused


@pytest.mark.parametrize(("name", "message"), REFUSED.items())
def test_other_keys_are_refused_by_name(pem: Pem, name: str, message: str) -> None:
    """Each wrong key draws an error that says what it is and what to use."""
    assert str(refusal(lambda: Signer(KEY_PAIR_ID, pem(name)))) == message


@pytest.mark.parametrize("name", ["rsa-1024", "p384", "ed25519"])
def test_a_legacy_id_excuses_no_other_key(pem: Pem, name: str) -> None:
    """Only the length of RSA 4096 depends on the id."""
    assert str(refusal(lambda: Signer("APKAEXAMPLE", pem(name)))) == REFUSED[name]


def test_other_curves_of_the_same_length_are_refused() -> None:
    """The curve is checked by name, not by its size."""
    message = str(refusal(lambda: Signer(KEY_PAIR_ID, ec.generate_private_key(ec.SECP256K1()))))
    assert message == "private_key: an ECDSA key on curve secp256k1; CloudFront takes P-256 (prime256v1) only"


def test_a_certificate_is_refused(certificate: str) -> None:
    """A certificate is no key of either half."""
    message = "private_key: the PEM holds a CERTIFICATE; expected the private key of the pair"
    assert str(refusal(lambda: Signer(KEY_PAIR_ID, certificate))) == message
    assert "in which no PEM public key could be read" in str(refusal(lambda: PublicKey(certificate)))


def test_a_public_key_object_is_no_private_key(pem: Pem) -> None:
    """The wrong half of a pair is named as that."""
    public: Any = load_pem_public_key(pem("p256-public").encode())
    message = "private_key is a public key; expected the private key of the pair"
    assert str(refusal(lambda: Signer(KEY_PAIR_ID, public))) == message


def test_a_private_key_object_is_no_public_key(pem: Pem) -> None:
    """The wrong half of a pair is named as that in the other direction too."""
    private: Any = load_pem_private_key(pem("p256-pkcs8").encode(), password=None)
    message = "public_key is a private key; expected the public key of the pair"
    assert str(refusal(lambda: PublicKey(private))) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "private_key is a str of 0 characters that is no PEM; expected text with a line"),
        (b"", "private_key is bytes of length 0 that is no PEM"),
        ("/etc/keys/cloudfront.pem", "private_key is a str of 24 characters that is no PEM"),
        ("${PRIVATE_KEY}", "private_key is a str of 14 characters that is no PEM"),
        ("\ud800", "private_key is a str of 1 characters that is no PEM"),
        ("-----BEGIN PRIVATE KEY-----", "(PEM label: PRIVATE KEY); expected a complete, unencrypted PKCS#8"),
        ("-----BEGIN", "is a str of 10 characters in which no private key could be read (PEM label: unknown)"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----", "(PEM label: OPENSSH PRIVATE"),
        (None, "private_key is of type NoneType; CloudFront takes RSA 2048 or ECDSA P-256 keys"),
        (bytearray(b"-----BEGIN"), "private_key is of type bytearray"),
        (Path("key.pem"), "Path; CloudFront takes"),
        (object(), "private_key is of type object"),
        (type("PrivateKey", (), {})(), "private_key is of type object"),
    ],
    ids=repr,
)
def test_what_is_no_key_is_refused(value: Any, message: str) -> None:
    """A path, an unexpanded variable, half a PEM or an object of another type is told apart by kind and length."""
    assert message in str(refusal(lambda: Signer(KEY_PAIR_ID, value)))


@pytest.mark.parametrize("value", ["", "sha256", "SHA-256", "SHA512", "MD5", b"SHA256", 0, False, [], 256])
def test_other_hash_algorithms_are_refused(pem: Pem, value: Any) -> None:
    """Only the two names that CloudFront knows are taken; an empty one is no default."""
    message = f"hash_algorithm={value!r}: expected 'SHA256' or 'SHA1'"
    assert str(refusal(lambda: Signer(KEY_PAIR_ID, pem("p256-pkcs8"), value))) == message


def test_ecdsa_signs_with_sha256_only(pem: Pem) -> None:
    """SHA-1 for an ECDSA key is an error that says what to do."""
    assert str(refusal(lambda: Signer(KEY_PAIR_ID, pem("p256-sec1"), "SHA1"))) == (
        "hash_algorithm='SHA1': an ECDSA key signs with SHA256 only; leave hash_algorithm out or use an RSA key"
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "key_pair_id is a str of 0 characters; expected the letters and digits CloudFront shows"),
        ("K 1", "key_pair_id is a str of 3 characters"),
        ("K1\n", "key_pair_id is a str of 3 characters"),
        ("K1&Expires=9", "key_pair_id is a str of 12 characters"),
        ("${KEY_ID}", "key_pair_id is a str of 9 characters"),
        ("К1", "key_pair_id is a str of 2 characters"),
        ("K\u0661", "key_pair_id is a str of 2 characters"),
        (b"K1", "key_pair_id is bytes of length 2"),
        (None, "key_pair_id is None; expected"),
        (1, "key_pair_id is an object of type int"),
        ("AKIAEXAMPLE", "key_pair_id starts with AKIA: that is an IAM access key id"),
    ],
)
def test_what_is_no_key_pair_id_is_refused(pem: Pem, value: Any, message: str) -> None:
    """An id is ASCII letters and digits, is never an access key's, and is not shown when it is wrong."""
    for make in (lambda: check_key_pair_id(value), lambda: Signer(value, pem("p256-pkcs8"))):
        assert str(refusal(make)).startswith(message)


@pytest.mark.parametrize("value", ["K2JCJMDEHXQW5F", "APKAEXAMPLE", "k1", "0"])
def test_key_pair_ids_are_returned_as_they_are(value: str) -> None:
    """Letters and digits of any case can be an id."""
    assert check_key_pair_id(value) == value


def test_a_damaged_key_object_is_found_out(pem: Pem) -> None:
    """A key whose signatures do not verify is refused before it signs anything."""
    good = load_pem_private_key(pem("rsa-2048-pkcs1").encode(), password=None)
    assert isinstance(good, rsa.RSAPrivateKey)
    n = good.private_numbers()
    numbers = rsa.RSAPrivateNumbers(n.p, n.q, n.d + 2, n.dmp1 + 2, n.dmq1, n.iqmp, n.public_numbers)
    damaged = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    message = "private_key: its signatures do not verify; the key is damaged"
    assert str(refusal(lambda: Signer(KEY_PAIR_ID, damaged))) == message


# Signatures


def test_signatures_are_deterministic(signer: Signer) -> None:
    """Equal messages give equal signatures from one signer."""
    assert not signer.deterministic or signer.sign(MESSAGE) == signer.sign(MESSAGE)


@pytest.mark.parametrize("name", SIGNERS)
def test_signatures_are_equal_in_every_process(signers: dict[str, Signer], name: str) -> None:
    """Two workers with the same key sign the same bytes, so they give out the same URL."""
    if not signers[name].deterministic:
        pytest.skip("this OpenSSL has no RFC 6979")
    file, hash_algorithm = SIGNERS[name]
    code = textwrap.dedent(
        """
        import sys
        from cfgate_middleware import Signer
        signer = Signer("K1", open(sys.argv[1], encoding="ascii").read(), sys.argv[2])
        sys.stdout.buffer.write(signer.sign(sys.stdin.buffer.read()))
        """
    )
    command = [sys.executable, "-c", code, str(KEYS / file), hash_algorithm]
    process = subprocess.run(command, input=MESSAGE, capture_output=True, check=True, cwd=KEYS.parent.parent)
    assert process.stdout == signers[name].sign(MESSAGE)


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


def test_openssl_verifies_every_signature(signer: Signer, public_pem: Callable[[Signer], str], tmp_path: Path) -> None:
    """The openssl command accepts each kind of signature with the public key that CloudFront would hold."""
    public, signature = tmp_path / "public.pem", tmp_path / "signature"
    public.write_text(public_pem(signer))
    signature.write_bytes(signer.sign(MESSAGE))
    digest = f"-{signer.hash_algorithm.lower()}"
    printed = openssl("dgst", digest, "-verify", public, "-signature", signature, data=MESSAGE)
    assert printed == b"Verified OK\n"


@pytest.mark.parametrize("name", ["RSA-SHA1", "RSA-SHA256"])
def test_rsa_signatures_equal_openssls(signers: dict[str, Signer], name: str) -> None:
    """RSA with PKCS#1 v1.5 has one signature for a message, and the openssl command makes it too."""
    file, hash_algorithm = SIGNERS[name]
    assert signers[name].sign(MESSAGE) == openssl(
        "dgst", f"-{hash_algorithm.lower()}", "-sign", KEYS / file, data=MESSAGE
    )


@given(st.binary(max_size=300))
def test_every_message_verifies(signers: dict[str, Signer], pem: Pem, message: bytes) -> None:
    """Any bytes can be signed, and the public half agrees."""
    signer = signers["ECDSA"]
    assert PublicKey(pem("p256-public")).verifies(signer.sign(message), message, "SHA256")


def test_without_rfc_6979_ecdsa_is_randomised(pem: Pem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OpenSSL cannot sign deterministically, the signer says so and its signatures still verify."""

    def ecdsa(algorithm: SHA256, deterministic_signing: bool = False) -> ec.ECDSA:
        if deterministic_signing:
            raise UnsupportedAlgorithm("ECDSA with deterministic signature (RFC 6979) is not supported")
        return ec.ECDSA(algorithm)

    monkeypatch.setattr(keys, "ec", SimpleNamespace(ECDSA=ecdsa))
    signer = Signer(KEY_PAIR_ID, pem("p256-pkcs8"))
    assert not signer.deterministic
    first, second = signer.sign(MESSAGE), signer.sign(MESSAGE)
    assert first != second
    public = PublicKey(pem("p256-public"))
    assert public.verifies(first, MESSAGE, "SHA256")
    assert public.verifies(second, MESSAGE, "SHA256")


def test_a_forbidden_hash_is_explained(pem: Pem, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that refuses SHA-1 signatures gets an error that says why and what to use."""

    class Forbidden(SHA1):
        name = "forbidden"  # OpenSSL knows no such hash, so it refuses as it refuses a forbidden one

    monkeypatch.setitem(keys._HASHES, "SHA1", Forbidden)
    error = refusal(lambda: Signer(KEY_PAIR_ID, pem("rsa-2048-pkcs8"), "SHA1"))
    assert isinstance(error.__cause__, UnsupportedAlgorithm)
    assert str(error) == (
        "hash_algorithm='SHA1': this machine's OpenSSL refuses to sign with it "
        "(hardened and FIPS builds forbid SHA-1); use hash_algorithm='SHA256'"
    )
    assert Signer(KEY_PAIR_ID, pem("rsa-2048-pkcs8")).hash_algorithm == "SHA256"


# Public keys


def test_a_public_key_knows_its_own_signatures(signer: Signer, public_pem: Callable[[Signer], str]) -> None:
    """Text, bytes and key objects verify what the private half signed."""
    text = public_pem(signer)
    loaded: Any = load_pem_public_key(text.encode())
    forms: tuple[Any, ...] = (text, text.encode(), text.replace("\n", "\\n"), loaded)
    for form in forms:
        assert PublicKey(form).verifies(signer.sign(MESSAGE), MESSAGE, signer.hash_algorithm)


def test_a_public_key_refuses_all_else(signer: Signer, signers: dict[str, Signer], pem: Pem) -> None:
    """Another message, another hash, another key, damage, emptiness and noise do not verify."""
    public = PublicKey(signer.public_key_pem())
    signature = signer.sign(MESSAGE)
    other = "SHA1" if signer.hash_algorithm == "SHA256" else "SHA256"
    foreign = signers["ECDSA" if signer.kind == "RSA" else "RSA-SHA256"]
    assert not public.verifies(signature, MESSAGE + b" ", signer.hash_algorithm)
    assert not public.verifies(signature, MESSAGE, other)
    assert not public.verifies(foreign.sign(MESSAGE), MESSAGE, signer.hash_algorithm)
    for wrong in (b"", b"\0", signature[:-1], signature + b"\0", signature[::-1], b"\xff" * 10_000):
        assert not public.verifies(wrong, MESSAGE, signer.hash_algorithm)


def test_ecdsa_with_sha1_is_verified(pem: Pem) -> None:
    """CloudFront takes this combination, which other signers make, so we verify it though we never sign it."""
    signature = openssl("dgst", "-sha1", "-sign", KEYS / "p256-pkcs8.pem", data=MESSAGE)
    public = PublicKey(pem("p256-public"))
    assert public.verifies(signature, MESSAGE, "SHA1")
    assert not public.verifies(signature, MESSAGE, "SHA256")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rsa-1024", "public key: an RSA key of 1024 bits; CloudFront takes RSA 2048 or ECDSA P-256"),
        ("p384", "public key: an ECDSA key on curve secp384r1; CloudFront takes P-256 (prime256v1) only"),
        ("ed25519", "public_key is of type Ed25519; CloudFront takes RSA 2048 or ECDSA P-256 keys"),
    ],
)
def test_public_halves_of_refused_keys_are_refused(name: str, message: str) -> None:
    """A public key has to be of a kind that CloudFront takes."""
    public = openssl("pkey", "-in", KEYS / f"{name}.pem", "-pubout")
    assert str(refusal(lambda: PublicKey(public))).startswith(message)


def test_a_public_key_may_have_4096_bits() -> None:
    """A verifier does not know whether the id beside the key is a legacy one, so it takes both lengths."""
    PublicKey(openssl("pkey", "-in", KEYS / "rsa-4096.pem", "-pubout"))


@pytest.mark.parametrize("name", [*ACCEPTED, "ed25519", "p256-encrypted"])
def test_a_private_pem_is_no_public_key(pem: Pem, name: str) -> None:
    """A private key in the place of the public one is refused, unlike by tools that would extract it."""
    message = f"public key: a str of {len(pem(name))} characters in which no PEM public key could be read"
    assert str(refusal(lambda: PublicKey(pem(name)))) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "public key: a str of 0 characters in which no PEM public key could be read"),
        (b"x", "public key: bytes of length 1 in which no PEM public key could be read"),
        ("-----BEGIN PUBLIC KEY-----", "public key: a str of 26 characters in which no PEM public key could be read"),
        (None, "public_key is of type NoneType; CloudFront takes RSA 2048 or ECDSA P-256 keys, given as PEM or as a"),
        (1, "public_key is of type int; CloudFront takes"),
    ],
)
def test_what_is_no_public_key_is_refused(value: Any, message: str) -> None:
    """Anything else is told apart by kind and length."""
    assert str(refusal(lambda: PublicKey(value))).startswith(message)


# Secrets stay inside


def half(text: str) -> str:
    """Cut a PEM in the middle."""
    return text[: len(text) // 2]


def flip(text: str) -> str:
    """Damage a PEM: one letter of its body is another letter."""
    at = len(text) // 2
    return text[:at] + ("B" if text[at] == "A" else "A") + text[at + 1 :]


def body(text: str) -> str:
    """Take the armour off a PEM."""
    return "".join(line for line in text.splitlines() if not line.startswith("-----"))


MISTAKES: dict[str, Callable[[str], object]] = {
    "a refused key": lambda text: Signer(KEY_PAIR_ID, text),
    "a refused key in bytes": lambda text: Signer(KEY_PAIR_ID, text.encode()),
    "a refused key with a wrong hash": lambda text: Signer(KEY_PAIR_ID, text, "MD5"),
    "a key cut short": lambda text: Signer(KEY_PAIR_ID, half(text)),
    "a damaged key": lambda text: Signer(KEY_PAIR_ID, flip(text)),
    "a key without armour": lambda text: Signer(KEY_PAIR_ID, body(text)),
    "a key as bytearray": lambda text: Signer(KEY_PAIR_ID, bytearray(text.encode())),  # type: ignore[arg-type]  # the mistake
    "a key in a list": lambda text: Signer(KEY_PAIR_ID, [text]),  # type: ignore[arg-type]  # the mistake
    "a key as key pair id": lambda text: Signer(text, KEY_PAIR_ID),
    "a key without armour as key pair id": lambda text: Signer(f"{body(text)}=", KEY_PAIR_ID),
    "a key as hash algorithm": lambda text: Signer(KEY_PAIR_ID, KEY_PAIR_ID, text),
    "a key as hash algorithm, escaped": lambda text: Signer(KEY_PAIR_ID, "SHA256", text.replace("\n", "\\n")),
    "a key as public key": lambda text: PublicKey(text),
    "a key as public key, cut short": lambda text: PublicKey(half(text)),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
@pytest.mark.parametrize("name", [*ACCEPTED, *REFUSED])
def test_no_error_shows_a_part_of_a_key(pem: Pem, name: str, mistake: Callable[[str], object]) -> None:
    """Whatever is done wrong with a key, no 16 characters of it reach a message, a repr or the chain of causes."""
    text = pem(name)
    try:
        made = mistake(text)
    except ConfigError as error:
        told = "".join(traceback.format_exception(error)) + repr(error) + "".join(error.problems)
    else:
        told = repr(made)
    assert not {secret for secret in secrets_of(text) if secret in told}
