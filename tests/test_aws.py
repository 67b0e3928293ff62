"""Keys kept at AWS: against a server that speaks AWS's protocols, which is stopped and let go on in between."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from paste.deploy import loadapp

from cfgate_middleware import CloudFrontGate, ConfigError, Grant, KeyRing, SigningError
from cfgate_middleware.aws import KmsSigner, read_parameter, read_secret
from cfgate_middleware._keys.watched import WatchedRing, load_signer
from cfgate_middleware.verify import KeyGroup, verify_url
from tests.conftest import KEY_PAIR_ID, KEYS, NOW
from tests.support import BASE_URL, KEY_GROUP, Answer, Judge, environ_for, fetch, gate

ROOT = Path(__file__).parent.parent
TIMEOUT = 15
PEM = (KEYS / "p256-pkcs8.pem").read_text()
RSA_PEM = (KEYS / "rsa-2048-pkcs1.pem").read_text()
SECRETS = [line for pem in (PEM, RSA_PEM) for line in pem.splitlines() if "-----" not in line]
KMS_KEYS = {
    "ECDSA": ("ECC_NIST_P256", "SIGN_VERIFY"),
    "RSA": ("RSA_2048", "SIGN_VERIFY"),
    "RSA 4096": ("RSA_4096", "SIGN_VERIFY"),
    "P-384": ("ECC_NIST_P384", "SIGN_VERIFY"),
    "encryption": ("RSA_2048", "ENCRYPT_DECRYPT"),
}
ONE_PEM = "expected a PEM, or a JSON object with one in a field"
NEEDS_BOTO3 = "keys kept at AWS need boto3: pip install 'cfgate-middleware[aws]'"


# AWS


class Aws(NamedTuple):
    """A running server that answers as AWS does, and what it keeps."""

    process: subprocess.Popen[bytes]
    url: str

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it take connections and never answer, as a service does that hangs."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    @contextmanager
    def checking_access(self) -> Iterator[None]:
        """Let it check credentials, of which it knows none."""
        before = self._post("/moto-api/reset-auth", b"0")["PREVIOUS_INITIAL_NO_AUTH_ACTION_COUNT"]
        try:
            yield
        finally:
            self._post("/moto-api/reset-auth", str(before).encode())

    def _post(self, path: str, data: bytes) -> dict[str, str]:
        with urlopen(Request(self.url + path, data, {"Content-Type": "text/plain"}), timeout=TIMEOUT) as answer:
            told: dict[str, str] = json.loads(answer.read())
            return told


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """A moto server on a free port, which it tells in its log; boto3 finds it through the environment."""
    log = tmp_path_factory.mktemp("moto") / "log"
    command = "from moto.server import main; main(['-H', '127.0.0.1', '-p', '0'])"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", command], stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + TIMEOUT
        while not (address := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        with pytest.MonkeyPatch.context() as patch:
            set_up_boto3(patch, address[0])
            yield Aws(process, address[0])
    finally:
        process.kill()
        process.wait()


def set_up_boto3(patch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Lead boto3 to a server on this machine, and to nothing else there may be."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    variables = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIATHROWAWAY",
        "AWS_SECRET_ACCESS_KEY": "throwaway",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in variables.items():
        patch.setenv(name, value)


class KmsKey(NamedTuple):
    """A key in KMS, and its public half as CloudFront holds it."""

    key_id: str
    arn: str
    public_pem: str

    @property
    def group(self) -> KeyGroup:
        """The key group of a distribution that trusts it."""
        return KeyGroup({KEY_PAIR_ID: self.public_pem})


@pytest.fixture(scope="module")
def kms_keys(aws: Aws) -> dict[str, KmsKey]:
    """Keys of every kind, each with an alias."""
    client = boto3.client("kms")
    keys = {}
    for name, (spec, usage) in KMS_KEYS.items():
        made = client.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
        public = load_der_public_key(client.get_public_key(KeyId=made["KeyId"])["PublicKey"])
        public_pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
        keys[name] = KmsKey(made["KeyId"], made["Arn"], public_pem)
        client.create_alias(AliasName=f"alias/{name.replace(' ', '-')}", TargetKeyId=made["KeyId"])
    return keys


@contextmanager
def calls(signer: KmsSigner) -> Iterator[list[str]]:
    """Collect the names of what is really sent to KMS."""
    sent: list[str] = []
    events = signer._client().meta.events
    events.register("before-send.kms", lambda event_name, **_: sent.append(event_name), unique_id="calls")
    yield sent
    events.unregister("before-send.kms", unique_id="calls")


def refusal(make: Callable[..., object], *arguments: Any) -> str:
    """Return the one problem for which a call is refused; no line of a key stands anywhere in the traceback."""
    with pytest.raises(ConfigError) as caught:
        make(*arguments)
    assert_no_secret("".join(traceback.format_exception(caught.value)))
    (problem,) = caught.value.problems
    return problem


def assert_no_secret(text: str) -> None:
    """Check that no line of a key stands in a text."""
    assert not any(secret in text for secret in SECRETS)


def signed_by(answer: Answer, group: KeyGroup = KEY_GROUP) -> str:
    """Return the id of the key by which CloudFront takes a redirect."""
    assert answer.code == 303
    target = answer.location.removeprefix(BASE_URL)
    return verify_url(target, base_url=BASE_URL, key_group=group, now=NOW).key_pair_id


def with_key(source: str, **options: Any) -> CloudFrontGate:
    """Return a gate whose key comes from this source."""
    return gate(Judge(), signer=None, key_pair_id=KEY_PAIR_ID, private_key=source, **options)


# Signing with KMS

NAMES: dict[str, Callable[[str, KmsKey], str]] = {
    "id": lambda kind, key: key.key_id,
    "ARN": lambda kind, key: key.arn,
    "alias": lambda kind, key: f"alias/{kind}",
    "ARN of the alias": lambda kind, key: f"{key.arn.partition(':key/')[0]}:alias/{kind}",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("kind", ["ECDSA", "RSA"])
def test_cloudfront_takes_what_kms_signs(
    kms_keys: dict[str, KmsKey], kind: str, name: Callable[[str, KmsKey], str]
) -> None:
    """By id, ARN or alias, with canned and custom policies, for both kinds of key."""
    key = kms_keys[kind]
    made = with_key(f"kms:{name(kind, key)}")
    answer = fetch(made, "/private/reports/1.pdf")
    assert signed_by(answer, key.group) == KEY_PAIR_ID
    assert answer.location.endswith(f"&Key-Pair-Id={KEY_PAIR_ID}&Hash-Algorithm=SHA256")
    assert verify_url(
        made.sign("/films/1/index.m3u8", scope="directory").removeprefix(BASE_URL),
        base_url=BASE_URL,
        key_group=key.group,
        now=NOW,
    ).policy.resource.endswith("/films/1/*")


def test_a_region_in_the_name_is_the_one_that_is_asked(kms_keys: dict[str, KmsKey]) -> None:
    """An ARN of another region is looked up there."""
    elsewhere = kms_keys["ECDSA"].arn.replace("eu-west-1", "us-east-1")
    assert refusal(KmsSigner, elsewhere, "K1") == f"kms:{elsewhere}: GetPublicKey failed with NotFoundException"


@pytest.mark.parametrize("kind", ["ECDSA", "RSA"])
def test_the_public_half_is_told_as_cloudfront_wants_it(kms_keys: dict[str, KmsKey], kind: str) -> None:
    """The PEM that is uploaded to CloudFront, to the byte as other tools write it."""
    assert KmsSigner(kms_keys[kind].key_id, "K1").public_key_pem() == kms_keys[kind].public_pem


def test_signatures_are_used_as_kms_returns_them(kms_keys: dict[str, KmsKey]) -> None:
    """KMS gives ASN.1 DER for ECDSA and the plain 256 bytes for RSA, which is what CloudFront reads."""
    assert all(number > 0 for number in decode_dss_signature(KmsSigner(kms_keys["ECDSA"].key_id, "K1").sign(b"x")))
    assert len(KmsSigner(kms_keys["RSA"].key_id, "K1").sign(b"x")) == 256


@pytest.mark.parametrize(("kind", "deterministic"), [("ECDSA", False), ("RSA", True)])
def test_kms_repeats_rsa_signatures_only(
    kms_keys: dict[str, KmsKey], caplog: pytest.LogCaptureFixture, kind: str, deterministic: bool
) -> None:
    """The gate warns where URLs repeat within one process only, and there one call is enough for a window."""
    signer = KmsSigner(kms_keys[kind].key_id, KEY_PAIR_ID)
    assert signer.deterministic is deterministic
    assert (signer.sign(b"x") == signer.sign(b"x")) is deterministic
    made = gate(Judge(), signer=signer, reuse_for=60)
    warning = f"reuse_for: key {KEY_PAIR_ID} signs differently each time, so URLs repeat within one process only"
    assert caplog.messages == ([] if deterministic else [warning])
    with calls(signer) as sent:
        assert len({fetch(made, "/private/x").location for _ in range(5)}) == 1
    assert sent == ["before-send.kms.Sign"]


def test_a_policy_longer_than_kms_takes_is_not_sent(kms_keys: dict[str, KmsKey]) -> None:
    """4,096 bytes are signed, one more is an error that tells the limit."""
    signer = KmsSigner(kms_keys["ECDSA"].key_id, "K1")
    with calls(signer) as sent:
        assert signer.sign(b"x" * 4096)
        assert sent == ["before-send.kms.Sign"]
        with pytest.raises(SigningError) as caught:
            signer.signature(b"x" * 4097, False)
        assert str(caught.value) == (
            f"kms:{kms_keys['ECDSA'].key_id}: the policy is 4097 bytes long; KMS signs at most 4096"
        )
        assert len(sent) == 1


# Keys that KMS does not sign with


@pytest.mark.parametrize("kind", ["RSA 4096", "P-384", "encryption"])
def test_a_key_that_cloudfront_does_not_take_is_refused(kms_keys: dict[str, KmsKey], kind: str) -> None:
    """Specification and usage are told, of the key and of what is expected."""
    spec, usage = KMS_KEYS[kind]
    source = f"kms:{kms_keys[kind].key_id}"
    assert refusal(load_signer, "K1", source) == (
        f"{source} has key spec {spec} and usage {usage}; expected ECC_NIST_P256 or RSA_2048 and SIGN_VERIFY"
    )


@pytest.mark.parametrize("hash_algorithm", ["SHA1", "MD5"])
def test_kms_signs_with_sha_256_only(kms_keys: dict[str, KmsKey], hash_algorithm: str) -> None:
    """What KMS cannot do is told before it is asked."""
    source = f"kms:{kms_keys['RSA'].key_id}"
    assert refusal(load_signer, "K1", source, hash_algorithm) == (
        f"{source} signs with SHA256 only; leave hash_algorithm out"
    )


def test_the_id_is_checked_here_too(kms_keys: dict[str, KmsKey]) -> None:
    """A signer made by hand is held to the same ids."""
    assert refusal(KmsSigner, kms_keys["RSA"].key_id, "K-1").startswith("key_pair_id is a str of 3 characters; ")


MISSING = {
    "kms:alias/none": "GetPublicKey failed with NotFoundException",
    "kms:00000000-0000-0000-0000-000000000000": "GetPublicKey failed with NotFoundException",
    "secretsmanager:none": "GetSecretValue failed with ResourceNotFoundException",
    "ssm:/none": "GetParameter failed with ParameterNotFound",
}


@pytest.mark.parametrize(("source", "message"), MISSING.items())
def test_what_is_not_there_is_named(aws: Aws, source: str, message: str) -> None:
    """Source, operation and AWS's own code."""
    assert refusal(with_key, source) == f"{source}: {message}"


@pytest.mark.parametrize("source", MISSING)
def test_who_may_not_ask_is_told_so(aws: Aws, source: str) -> None:
    """The answer to credentials that are not known; this server tells no code but the status."""
    operation = MISSING[source].partition(" ")[0]
    with aws.checking_access():
        assert refusal(with_key, source) == f"{source}: {operation} failed with 403"


@pytest.mark.parametrize("source", ["kms:alias/ECDSA", "secretsmanager:none", "ssm:/none"])
@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({"AWS_DEFAULT_REGION": None}, "client failed with NoRegionError"),
        ({"AWS_PROFILE": "none"}, "client failed with ProfileNotFound"),
        ({"AWS_ENDPOINT_URL": "no url"}, "client failed with ValueError"),
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "{operation} failed with NoCredentialsError"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "{operation} failed with EndpointConnectionError"),
    ],
)
def test_a_wrong_setup_is_told_at_start(
    kms_keys: dict[str, KmsKey],
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    variables: dict[str, str | None],
    error: str,
) -> None:
    """Whatever boto3 lacks is a problem of the configuration, told with all others."""
    for name, value in variables.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    operation = MISSING.get(source, "GetPublicKey ").partition(" ")[0]
    started = time.monotonic()
    assert refusal(with_key, source) == f"{source}: {error.format(operation=operation)}"
    assert time.monotonic() - started < 10


# A KMS that answers as it is told


class Told:
    """The answers of a stand-in for KMS, by operation; and how often each was asked."""

    def __init__(self, answers: Mapping[str, tuple[int, Mapping[str, Any]]]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []


@contextmanager
def kms_that_says(monkeypatch: pytest.MonkeyPatch, told: Told) -> Iterator[None]:
    """Run a stand-in for what the server cannot be made to say."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            operation = self.headers["X-Amz-Target"].removeprefix("TrentService.")
            told.asked.append(operation)
            code, answer = told.answers[operation]
            body = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        set_up_boto3(monkeypatch, f"http://127.0.0.1:{server.server_port}")
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def failure(code: str) -> tuple[int, dict[str, str]]:
    """Return how AWS tells an error."""
    return 400, {"__type": code, "message": "words of AWS"}


PUBLIC = {
    "KeySpec": "ECC_NIST_P256",
    "KeyUsage": "SIGN_VERIFY",
    "PublicKey": "".join((KEYS / "p256-public.pem").read_text().splitlines()[1:-1]),
}


@pytest.mark.parametrize("code", ["AccessDeniedException", "DisabledException", "KMSInvalidStateException"])
@pytest.mark.parametrize("operation", ["GetPublicKey", "Sign"])
def test_a_key_that_may_not_be_used_is_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, operation: str, code: str
) -> None:
    """A role may read the public half and yet not sign: the probe finds it before the first viewer does."""
    told = Told({"GetPublicKey": (200, PUBLIC), operation: failure(code)})
    with kms_that_says(monkeypatch, told):
        assert refusal(load_signer, "K1", "kms:alias/cdn") == f"kms:alias/cdn: {operation} failed with {code}"
    assert told.asked.count(operation) == 1


def test_a_busy_kms_is_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Throttling is tried once more, and no oftener: a viewer waits."""
    told = Told({"GetPublicKey": failure("ThrottlingException")})
    with kms_that_says(monkeypatch, told):
        message = "kms:alias/cdn: GetPublicKey failed with ThrottlingException"
        assert refusal(load_signer, "K1", "kms:alias/cdn") == message
    assert told.asked == ["GetPublicKey"] * 2


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"KeyUsage": "ENCRYPT_DECRYPT"}, "key spec ECC_NIST_P256 and usage ENCRYPT_DECRYPT"),
        ({"KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": None}, "key spec SYMMETRIC_DEFAULT and usage None"),
        ({"KeySpec": None}, "key spec None and usage SIGN_VERIFY"),
    ],
)
def test_a_key_that_is_told_of_by_halves_is_refused(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], told: str
) -> None:
    """Both facts are needed, and an imitation of KMS may leave one out."""
    stated = {name: value for name, value in {**PUBLIC, **answer}.items() if value is not None}
    with kms_that_says(monkeypatch, Told({"GetPublicKey": (200, stated)})):
        assert refusal(load_signer, "K1", "kms:alias/cdn") == (
            f"kms:alias/cdn has {told}; expected ECC_NIST_P256 or RSA_2048 and SIGN_VERIFY"
        )


def test_signatures_that_do_not_verify_are_found_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """An alias that was moved in between, say, pairs one key's signatures with another's public half."""
    signature = {"Signature": "MAYCAQECAQE="}
    with kms_that_says(monkeypatch, Told({"GetPublicKey": (200, PUBLIC), "Sign": (200, signature)})):
        assert refusal(load_signer, "K1", "kms:alias/cdn") == (
            "kms:alias/cdn: its signatures do not verify with its public key"
        )


# Processes


def test_each_process_has_a_client_of_its_own(kms_keys: dict[str, KmsKey], monkeypatch: pytest.MonkeyPatch) -> None:
    """One for all threads of a process, another after a fork, and none of the parent's is kept."""
    signer = KmsSigner(kms_keys["ECDSA"].key_id, "K1")
    client = signer._client()
    assert signer._client() is client
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert signer._client() is not client
    assert signer._client() is signer._client()
    assert signer.sign(b"x")


def test_a_forked_process_signs(kms_keys: dict[str, KmsKey]) -> None:
    """As after preloading: parent and children sign at the same time, over connections of their own."""
    program = f"""
        import os
        from cfgate_middleware.keysource import load_signer

        signer = load_signer("K1", "kms:{kms_keys["RSA"].key_id}")
        tell = lambda signature: os.write(1, signature.hex().encode() + b"\\n")  # in one piece
        children = []
        for _ in range(3):
            child = os.fork()
            if not child:
                assert len({{signer.sign(b"x") for _ in range(20)}}) == 1
                tell(signer.sign(b"x"))
                os._exit(0)
            children.append(child)
        tell(signer.sign(b"x"))
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
        """
    out = run(program).splitlines()
    assert len(out) == 4
    assert len(set(out)) == 1


def run(program: str) -> str:
    """Run a program in a process of its own and return what it prints."""
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nothing_of_aws_is_imported_without_need() -> None:
    """Whoever keeps no key there neither needs boto3 nor waits for its import."""
    program = f"""
        import sys
        import cfgate_middleware
        from cfgate_middleware.keysource import load_signer

        load_signer("K1", {str(KEYS / "p256-pkcs8.pem")!r})
        of_aws = ("boto3", "botocore", "cfgate_middleware.aws")
        print([name for name in of_aws if name in sys.modules])
        try:
            load_signer("K1", "ssm:/none")
        except cfgate_middleware.ConfigError:
            print([name for name in of_aws if name in sys.modules])
        """
    assert run(program).splitlines() == ["[]", "['boto3', 'botocore', 'cfgate_middleware.aws']"]


def test_without_boto3_the_extra_is_named() -> None:
    """All three stores say what to install; other sources go on working."""
    program = f"""
        import importlib.abc, sys

        class Blocker(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name.partition(".")[0] in ("boto3", "botocore"):
                    raise ModuleNotFoundError(name)

        sys.meta_path.insert(0, Blocker())
        from cfgate_middleware import ConfigError
        from cfgate_middleware.keysource import load_signer

        load_signer("K1", {str(KEYS / "p256-pkcs8.pem")!r})
        for source in ("kms:alias/cdn", "secretsmanager:cdn", "ssm:/cdn"):
            try:
                load_signer("K1", source)
            except ConfigError as error:
                print(error)
        """
    assert run(program).splitlines() == [NEEDS_BOTO3] * 3


def test_an_aws_module_that_cannot_be_imported_is_a_problem_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told together with all other problems of a ring."""
    monkeypatch.setitem(sys.modules, "cfgate_middleware.aws", None)
    with pytest.raises(ConfigError) as caught:
        gate(Judge(), signer=None, keys="K1 ssm:/cdn\nK-1 secretsmanager:cdn")
    assert caught.value.problems[0] == f"keys, line 1: {NEEDS_BOTO3}"
    assert caught.value.problems[2] == f"keys, line 2: {NEEDS_BOTO3}"


# Secrets


class Store(NamedTuple):
    """A service that keeps text."""

    prefix: str
    put: Callable[[str, str], str]  # name and text -> ARN
    read: Callable[[str], object]


def put_secret(name: str, text: str) -> str:
    """Keep a secret in Secrets Manager."""
    arn: str = boto3.client("secretsmanager").create_secret(Name=name, SecretString=text)["ARN"]
    return arn


def put_parameter(name: str, text: str, kind: str = "SecureString") -> str:
    """Keep a parameter in Parameter Store."""
    client = boto3.client("ssm")
    client.put_parameter(Name=name, Value=text, Type=kind)
    arn: str = client.get_parameter(Name=name)["Parameter"]["ARN"]
    return arn


STORES = {
    "Secrets Manager": Store("secretsmanager", put_secret, read_secret),
    "SecureString": Store("ssm", put_parameter, read_parameter),
    "String": Store("ssm", lambda name, text: put_parameter(name, text, "String"), read_parameter),
}
names = (f"/cfgate/{number}" for number in range(10_000))

FORMS = {
    "PEM": PEM,
    "RSA": RSA_PEM,
    "with space around": f"\n\n  {PEM}\n\n",
    "escaped": PEM.replace("\n", "\\n"),
    "with carriage returns": PEM.replace("\n", "\r\n"),
    "JSON": json.dumps({"private_key": PEM}),
    "JSON with more": json.dumps({"id": "K1", "key": RSA_PEM, "n": 5, "none": None, "list": [PEM], "so": {"x": PEM}}),
    "indented JSON": "  \n" + json.dumps({"key": PEM}, indent=4),
    "escaped in JSON": json.dumps({"key": PEM.replace("\n", "\\n")}),
    "beside what is no text": json.dumps({"key": PEM, "other": "\ud800"}),
}


@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_a_key_is_read_in_every_form_it_is_kept_in(aws: Aws, store: Store, text: str) -> None:
    """Consoles, tools and templates keep PEM as text or in a field of JSON, with newlines or escaped."""
    name = next(names)
    store.put(name, text)
    made = with_key(f"{store.prefix}:{name}")
    group = KeyGroup({KEY_PAIR_ID: (KEYS / "rsa-2048-public.pem").read_text()}) if "RSA" in text else KEY_GROUP
    assert signed_by(fetch(made, "/private/x"), group) == KEY_PAIR_ID


@pytest.mark.parametrize("text", [PEM, FORMS["JSON"]], ids=["PEM", "JSON"])
def test_a_secret_may_be_binary(aws: Aws, text: str) -> None:
    """Uploaded from a file, a secret comes back as bytes."""
    name = next(names)
    boto3.client("secretsmanager").create_secret(Name=name, SecretBinary=text.encode())
    assert signed_by(fetch(with_key(f"secretsmanager:{name}"), "/private/x")) == KEY_PAIR_ID


@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_an_arn_is_a_name_too(aws: Aws, store: Store) -> None:
    """Its region is the one that is asked."""
    arn = store.put(next(names), PEM)
    assert load_signer("K1", f"{store.prefix}:{arn}").key_pair_id == "K1"
    elsewhere = f"{store.prefix}:{arn.replace('eu-west-1', 'us-east-1')}"
    assert "NotFound" in refusal(load_signer, "K1", elsewhere)


HALF = PEM[:100]
UNUSABLE = {
    "two keys": (json.dumps({"old": PEM, "new": RSA_PEM}), f"{{source}} holds 2 PEM keys; {ONE_PEM}"),
    "public half beside it": (
        json.dumps({"private": PEM, "public": (KEYS / "p256-public.pem").read_text()}),
        f"{{source}} holds 2 PEM keys; {ONE_PEM}",
    ),
    "no PEM": (PEM.splitlines()[1], f"{{source}} holds 0 PEM keys; {ONE_PEM}"),
    "a path": ("/etc/keys/cloudfront.pem", f"{{source}} holds 0 PEM keys; {ONE_PEM}"),
    "JSON without PEM": (json.dumps({"key": PEM.splitlines()[1]}), f"{{source}} holds 0 PEM keys; {ONE_PEM}"),
    "empty JSON": ("{}", f"{{source}} holds 0 PEM keys; {ONE_PEM}"),
    "PEM deeper in JSON": (
        json.dumps({"keys": [PEM], "more": {"key": PEM}}),
        f"{{source}} holds 0 PEM keys; {ONE_PEM}",
    ),
    "JSON list": (json.dumps([PEM]), f"{{source}} holds 0 PEM keys; {ONE_PEM}"),
    "broken JSON": (json.dumps({"key": PEM})[:-1], "{source} begins like JSON but is none"),
    "raw newlines in JSON": (f'{{"key": "{PEM}"}}', "{source} begins like JSON but is none"),
    "half a PEM": (
        HALF,
        f"private_key is a str of {len(HALF)} characters in which no private key could be read (PEM label: PRIVATE "
        "KEY); expected a complete, unencrypted PKCS#8, PKCS#1 or SEC1 PEM",
    ),
    "public key": (
        (KEYS / "p256-public.pem").read_text(),
        "private_key: the PEM holds a PUBLIC KEY; expected the private key of the pair",
    ),
}


@pytest.mark.parametrize("store", [STORES["Secrets Manager"], STORES["SecureString"]], ids=["secret", "parameter"])
@pytest.mark.parametrize(("text", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_secret_without_a_key_is_told_without_what_it_holds(
    aws: Aws, caplog: pytest.LogCaptureFixture, store: Store, text: str, message: str
) -> None:
    """The source is named; of what it holds, the number of keys at most. Our log has nothing of it either."""
    caplog.set_level(logging.DEBUG, "cfgate_middleware")
    source = f"{store.prefix}:{next(names)}"
    store.put(source.partition(":")[2], text)
    assert refusal(with_key, source) == message.format(source=source)
    assert_no_secret(caplog.text)


def test_what_aws_answers_is_kept_out_of_its_own_log(
    kms_keys: dict[str, KmsKey], caplog: pytest.LogCaptureFixture
) -> None:
    """At DEBUG botocore logs whole answers: not those that hold a key or a signature; those of other clients still."""
    secret, parameter = next(names), next(names)
    put_secret(secret, PEM)
    put_parameter(parameter, json.dumps({"key": RSA_PEM}))
    signer = KmsSigner(kms_keys["RSA"].key_id, "K1")
    signature = base64.b64encode(signer.sign(b"policy")).decode()
    caplog.set_level(logging.DEBUG)
    load_signer("K1", f"secretsmanager:{secret}")
    load_signer("K1", f"ssm:{parameter}")
    signer.sign(b"policy")
    assert "OperationModel(name=Sign)" in caplog.text
    assert_no_secret(caplog.text)
    assert signature not in caplog.text
    boto3.client("kms").sign(KeyId=signer._key, Message=b"policy", SigningAlgorithm=signer._algorithm)
    assert signature in caplog.text


# In files


def everybody(environ: object) -> bool:
    """The authorizer of the ini files."""
    return True


@pytest.mark.parametrize("in_ring_file", [False, True])
def test_references_stand_in_ini_and_ring_files(
    kms_keys: dict[str, KmsKey], tmp_path: Path, in_ring_file: bool
) -> None:
    """One kind of reference, wherever keys are named; a new secret and a new KMS key rotate alike."""
    secret, parameter = next(names), next(names)
    put_secret(secret, PEM)
    put_parameter(parameter, json.dumps({"key": RSA_PEM}))
    ring = [
        f"KSECRET secretsmanager:{secret}",
        f"KPARAMETER ssm:{parameter}",
        f"{KEY_PAIR_ID} kms:alias/ECDSA 2027-01-15T08:00:00Z",
    ]
    (tmp_path / "ring").write_text("\n".join(ring))
    keys = "file:%(here)s/ring" if in_ring_file else "".join(f"\n    {line}" for line in ring)
    made = load_ini(tmp_path, f"keys = {keys}")
    assert signed_by(fetch(made, "/private/x"), kms_keys["ECDSA"].group) == KEY_PAIR_ID
    made.clock = lambda: NOW - 1
    rsa = KeyGroup({"KPARAMETER": (KEYS / "rsa-2048-public.pem").read_text()})
    assert signed_by(fetch(made, "/private/x"), rsa) == "KPARAMETER"


@pytest.mark.parametrize("name", ["private_key", "priv_key_string"])
def test_a_reference_stands_in_ini_for_a_key(kms_keys: dict[str, KmsKey], tmp_path: Path, name: str) -> None:
    """Under both names of the option."""
    made = load_ini(tmp_path, f"key_pair_id = {KEY_PAIR_ID}\n{name} = kms:{kms_keys['RSA'].arn}")
    assert signed_by(fetch(made, "/private/x"), kms_keys["RSA"].group) == KEY_PAIR_ID


def load_ini(folder: Path, keys: str) -> CloudFrontGate:
    """Load a gate with these key options from a real ini file."""
    (folder / "site.ini").write_text(
        "[app:main]\npaste.app_factory = cfgate_middleware.pastedeploy:app_factory\n"
        f"authorize = tests.test_aws:everybody\nprefix = /private\ndomain = {BASE_URL}\n{keys}\n"
    )
    made: CloudFrontGate = loadapp(f"config:{folder / 'site.ini'}")
    made.clock = lambda: NOW
    return made


# When AWS does not answer


def test_keys_that_were_loaded_go_on_signing_without_aws(aws: Aws) -> None:
    """Secrets are read at start: an outage of their store is none of the gate's."""
    gates = []
    for store in STORES.values():
        name = next(names)
        store.put(name, PEM)
        gates.append(with_key(f"{store.prefix}:{name}"))
        gates.append(gate(Judge(), signer=None, keys=f"{KEY_PAIR_ID} {store.prefix}:{name}"))
    with aws.stopped():
        started = time.monotonic()
        for made in gates:
            assert {signed_by(fetch(made, f"/private/{number}")) for number in range(50)} == {KEY_PAIR_ID}
        assert time.monotonic() - started < 5


def test_a_kms_that_hangs_is_an_error_in_time_and_heals(
    aws: Aws, kms_keys: dict[str, KmsKey], caplog: pytest.LogCaptureFixture
) -> None:
    """The request fails in time, with one error line and no answer; when KMS is back, so are the redirects."""
    made = with_key("kms:alias/ECDSA", reuse_for=60)
    ring = gate(Judge(), signer=KeyRing([load_signer(KEY_PAIR_ID, "kms:alias/ECDSA")]))
    assert signed_by(fetch(made, "/private/before"), kms_keys["ECDSA"].group) == KEY_PAIR_ID
    caplog.clear()
    with aws.stopped():
        for failing in (made, ring):
            message = assert_fails_in_time(failing)
            assert message == "kms:alias/ECDSA: Sign failed with ReadTimeoutError"
            assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
                ("ERROR", f"GET /private/x -> not signed: {message}")
            ]
            caplog.clear()
        assert signed_by(fetch(made, "/private/before"), kms_keys["ECDSA"].group) == KEY_PAIR_ID  # remembered
    for recovered in (made, ring):
        assert signed_by(fetch(recovered, "/private/x"), kms_keys["ECDSA"].group) == KEY_PAIR_ID
    assert not caplog.records


def assert_fails_in_time(made: CloudFrontGate) -> str:
    """Check that a request gets an exception instead of an answer, and that soon; return what it says."""

    def start_response(*started: object) -> Any:
        raise AssertionError("something was answered")

    started = time.monotonic()
    with pytest.raises(SigningError) as caught:
        made(environ_for("/private/x"), start_response)
    assert time.monotonic() - started < 10
    return str(caught.value)


def test_a_ring_that_needs_aws_waits_for_it(aws: Aws, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A rotation in the middle of an outage is one error and the old key; it is made good when the store is back."""
    name = next(names)
    put_parameter(name, PEM)
    (tmp_path / "ring").write_text(f"KOLD {KEYS / 'p256-pkcs8.pem'}\n")
    ring = WatchedRing(tmp_path / "ring", interval=0)
    (tmp_path / "ring").write_text(f"KNEW ssm:{name}\n")
    with aws.stopped():
        started = time.monotonic()
        assert ring.current(NOW).key_pair_id == "KOLD"
        assert time.monotonic() - started < 10
    (record,) = caplog.records
    assert record.getMessage() == (
        f"ring file {tmp_path / 'ring'}: keys, line 1: ssm:{name}: GetParameter failed with ReadTimeoutError; "
        "the keys of before stay in use"
    )
    assert ring.current(NOW).key_pair_id == "KNEW"


def test_no_grant_is_signed_twice_for_one_answer(kms_keys: dict[str, KmsKey]) -> None:
    """Each signature costs money and time: one call a redirect, none for a refusal."""
    signer = KmsSigner(kms_keys["RSA"].key_id, KEY_PAIR_ID)
    verdicts: dict[Any, int] = {True: 1, Grant(scope="directory"): 1, 403: 0}
    for verdict, expected in verdicts.items():
        with calls(signer) as sent:
            fetch(gate(Judge(verdict), signer=signer), "/private/a/b")
        assert len(sent) == expected


# Answers that are none


@pytest.mark.parametrize("answer", [{}, {"Parameter": {}}, {"Parameter": {"Value": 5}}])
def test_a_malformed_answer_is_a_wrong_source(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> None:
    """An answer without a key in it is told by source, as one that says no is."""
    with (
        kms_that_says(monkeypatch, Told({"AmazonSSM.GetParameter": (200, answer)})),
        pytest.raises(ConfigError, match=r"^ssm:x(: GetParameter failed with| holds 0 PEM keys)"),
    ):
        load_signer("K1", "ssm:x")
