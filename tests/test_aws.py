"""Keys kept at AWS: against a server that speaks AWS's protocols, which is stopped and continued in between."""

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

import boto3
import pytest
from botocore.client import BaseClient
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from cfgate_middleware import ConfigError, Distribution, Grant, KeyRing, Signer, SigningError
from cfgate_middleware._keys.watched import WatchedRing
from cfgate_middleware.verify import KeyGroup
from tests.conftest import KEY_PAIR_ID, KEYS, NOW
from tests.support import BASE_URL, KEY_GROUP, Judge, Log, Patch, environ_for, fetch, gate
from tests.test_ring import load_ini, signed_by, used

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
TIMEOUT = 15
PEM = (KEYS / "p256-pkcs8.pem").read_text()
PUBLIC_PEM = (KEYS / "p256-public.pem").read_text()
RSA_PEM = (KEYS / "rsa-2048-pkcs1.pem").read_text()
RSA_GROUP = KeyGroup({KEY_PAIR_ID: (KEYS / "rsa-2048-public.pem").read_text()})
SECRETS = [line for pem in (PEM, RSA_PEM) for line in pem.splitlines() if "-----" not in line]
KMS_KEYS = {
    "ECDSA": ("ECC_NIST_P256", "SIGN_VERIFY"),
    "RSA": ("RSA_2048", "SIGN_VERIFY"),
    "RSA 4096": ("RSA_4096", "SIGN_VERIFY"),
    "P-384": ("ECC_NIST_P384", "SIGN_VERIFY"),
    "encryption": ("RSA_2048", "ENCRYPT_DECRYPT"),
}
EXPECTED_KMS = ("ECC_NIST_P256", "RSA_2048", "SIGN_VERIFY")


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


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """A moto server on a free port, which its log names; boto3 finds it through the environment."""
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


def set_up_boto3(patch: Patch, endpoint: str) -> None:
    """Lead boto3 to a server on this machine, and to nothing else there may be."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        patch.setenv(name, os.devnull)
    variables = {"ENDPOINT_URL": endpoint, "DEFAULT_REGION": "eu-west-1", "EC2_METADATA_DISABLED": "true"}
    variables |= {"ACCESS_KEY_ID": "AKIATHROWAWAY", "SECRET_ACCESS_KEY": "throwaway"}
    for name, value in variables.items():
        patch.setenv(f"AWS_{name}", value)
    patch.setenv("NO_PROXY", "127.0.0.1")


class KeptKey(NamedTuple):
    """A key in KMS, and its public half as CloudFront holds it."""

    key_id: str
    arn: str
    public_pem: str

    @property
    def group(self) -> KeyGroup:
        """The key group of a distribution that trusts it."""
        return KeyGroup({KEY_PAIR_ID: self.public_pem})


KeptKeys = dict[str, KeptKey]


@pytest.fixture(scope="module")
def kms_keys(aws: Aws) -> KeptKeys:
    """Keys of every kind, each with an alias."""
    client = boto3.client("kms")
    keys = {}
    for name, (spec, usage) in KMS_KEYS.items():
        made = client.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
        public = load_der_public_key(client.get_public_key(KeyId=made["KeyId"])["PublicKey"])
        public_pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
        keys[name] = KeptKey(made["KeyId"], made["Arn"], public_pem)
        client.create_alias(AliasName=f"alias/{name.replace(' ', '-')}", TargetKeyId=made["KeyId"])
    return keys


@contextmanager
def recorded(owner: Any, name: str) -> Iterator[list[tuple[tuple[Any, ...], dict[str, Any]]]]:
    """Collect the arguments of the calls of a method."""
    seen: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    method = getattr(owner, name)

    def recording(*arguments: Any, **options: Any) -> Any:
        seen.append((arguments, options))
        return method(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, recording)
        yield seen


def refusal(source: str, hash_algorithm: str | None = None) -> str:
    """Return the one problem for which a key is refused; no line of a key is in its traceback."""
    with pytest.raises(ConfigError) as caught:
        Signer(KEY_PAIR_ID, source, hash_algorithm)
    assert_no_secret("".join(traceback.format_exception(caught.value)))
    (problem,) = caught.value.problems
    assert problem.startswith("private_key")
    return problem


def assert_no_secret(text: str) -> None:
    """Check that no line of a key is in a text."""
    assert not any(secret in text for secret in SECRETS)


def with_key(source: str, **options: Any) -> Distribution:
    """Return a distribution whose key comes from this source."""
    made = Distribution(BASE_URL, key_pair_id=KEY_PAIR_ID, private_key=source, **options)
    made.clock = lambda: NOW
    return made


NAMES: dict[str, Callable[[str, KeptKey], str]] = {
    "id": lambda kind, key: key.key_id,
    "ARN": lambda kind, key: key.arn,
    "alias": lambda kind, key: f"alias/{kind}",
    "ARN of the alias": lambda kind, key: f"{key.arn.partition(':key/')[0]}:alias/{kind}",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("kind", ["ECDSA", "RSA"])
def test_cloudfront_takes_what_kms_signs(kms_keys: KeptKeys, kind: str, name: Any) -> None:
    """By id, ARN or alias, with canned and custom policies, for both kinds of key; its public half is PEM to upload."""
    key = kms_keys[kind]
    source = f"kms:{name(kind, key)}"
    made = with_key(source)
    for url in (made.sign("/reports/1.pdf"), made.sign("/films/1/index.m3u8", scope="directory")):
        assert signed_by(url, key.group) == KEY_PAIR_ID
        assert url.endswith(f"&Key-Pair-Id={KEY_PAIR_ID}&Hash-Algorithm=SHA256")
    assert Signer("K1", source).public_key_pem() == key.public_pem
    if "eu-west-1" in source:  # the region in a name is the one that is asked
        assert "GetPublicKey failed with NotFoundException" in refusal(source.replace("eu-west-1", "us-east-1"))


@pytest.mark.parametrize(("kind", "deterministic"), [("ECDSA", False), ("RSA", True)])
def test_kms_repeats_rsa_signatures_only(kms_keys: KeptKeys, kind: str, deterministic: bool) -> None:
    """The signer says so, and where URLs repeat within one process only, one call is enough for a window."""
    signer = Signer(KEY_PAIR_ID, f"kms:{kms_keys[kind].key_id}")
    assert (signer.kind, signer.deterministic) == (kind, deterministic)
    assert (signer.sign(b"x") == signer.sign(b"x")) is deterministic
    made = Distribution(BASE_URL, signer=signer, reuse_for=60)
    made.clock = lambda: NOW
    with recorded(BaseClient, "_make_api_call") as asked:
        assert len({made.sign("/x") for _ in range(5)}) == 1
    assert [arguments[1] for arguments, _ in asked] == ["Sign"]


def test_a_policy_longer_than_kms_takes_is_not_sent(kms_keys: KeptKeys) -> None:
    """4,096 bytes are signed, one more is an error that names the limit."""
    signer = Signer(KEY_PAIR_ID, f"kms:{kms_keys['ECDSA'].key_id}")
    with recorded(BaseClient, "_make_api_call") as asked:
        assert signer.sign(b"x" * 4096)
        with pytest.raises(SigningError, match=r"4097 bytes.*at most 4096"):
            signer.sign(b"x" * 4097)
    assert [arguments[1] for arguments, _ in asked] == ["Sign"]


@pytest.mark.parametrize(("verdict", "times"), [(True, 1), (Grant(scope="directory"), 1), (403, 0)])
def test_no_grant_is_signed_twice_for_one_answer(kms_keys: KeptKeys, verdict: Any, times: int) -> None:
    """Each signature costs money and time: one call per redirect, none for a refusal."""
    made = gate(Judge(verdict), signer=Signer(KEY_PAIR_ID, f"kms:{kms_keys['RSA'].key_id}"))
    with recorded(BaseClient, "_make_api_call") as asked:
        fetch(made, "/private/a/b")
    assert [arguments[1] for arguments, _ in asked] == ["Sign"] * times


@pytest.mark.parametrize("kind", ["RSA 4096", "P-384", "encryption"])
def test_a_key_that_cloudfront_does_not_take_is_refused(kms_keys: KeptKeys, kind: str) -> None:
    """Specification and usage are named, of the key and of what is expected; what KMS cannot do is refused too."""
    source = f"kms:{kms_keys[kind].key_id}"
    problem = refusal(source)
    assert all(part in problem for part in (source, *KMS_KEYS[kind], *EXPECTED_KMS))
    assert "SHA256 only; leave hash_algorithm out" in refusal(f"kms:{kms_keys['RSA'].key_id}", "SHA1")


MISSING = {
    "kms:alias/none": "GetPublicKey failed with NotFoundException",
    "kms:00000000-0000-0000-0000-000000000000": "GetPublicKey failed with NotFoundException",
    "secretsmanager:none": "GetSecretValue failed with ResourceNotFoundException",
    "ssm:/none": "GetParameter failed with ParameterNotFound",
}


@pytest.mark.parametrize(("source", "message"), MISSING.items())
def test_what_is_not_there_is_named(aws: Aws, source: str, message: str) -> None:
    """Source, operation and AWS's own code."""
    assert f"{source}: {message}" in refusal(source)


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
def test_a_wrong_setup_is_found_at_start(
    kms_keys: KeptKeys, monkeypatch: Patch, source: str, variables: dict[str, str | None], error: str
) -> None:
    """Whatever boto3 lacks is a problem of the configuration."""
    for name, value in variables.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    operation = MISSING.get(source, "GetPublicKey ").partition(" ")[0]
    assert f"{source}: {error.format(operation=operation)}" in refusal(source)


Answers = Mapping[str, tuple[int, Mapping[str, Any]]]


@contextmanager
def kms_that_says(monkeypatch: Patch, answers: Answers) -> Iterator[list[str]]:
    """Run a stand-in for what the server cannot be made to answer, and collect the operations it is asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            operation = self.headers["X-Amz-Target"].removeprefix("TrentService.")
            asked.append(operation)
            code, answer = answers[operation]
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
            yield asked
        finally:
            server.shutdown()
            thread.join()


def failure(code: str) -> tuple[int, dict[str, str]]:
    """Return an error as AWS answers it."""
    return 400, {"__type": code, "message": "words of AWS"}


PUBLIC = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY", "PublicKey": "".join(PUBLIC_PEM.splitlines()[1:-1])}


@pytest.mark.parametrize("code", ["AccessDeniedException", "DisabledException", "KMSInvalidStateException"])
@pytest.mark.parametrize("operation", ["GetPublicKey", "Sign"])
def test_a_key_that_may_not_be_used_is_refused_at_start(monkeypatch: Patch, operation: str, code: str) -> None:
    """A role may read the public half and yet not sign: the probe finds it before the first viewer does."""
    with kms_that_says(monkeypatch, {"GetPublicKey": (200, PUBLIC), operation: failure(code)}) as asked:
        assert f"kms:alias/cdn: {operation} failed with {code}" in refusal("kms:alias/cdn")
    assert asked.count(operation) == 1


def test_a_busy_kms_is_asked_twice(monkeypatch: Patch) -> None:
    """Throttling is tried once more, and no oftener: a viewer waits."""
    with kms_that_says(monkeypatch, {"GetPublicKey": failure("ThrottlingException")}) as asked:
        assert "GetPublicKey failed with ThrottlingException" in refusal("kms:alias/cdn")
    assert asked == ["GetPublicKey"] * 2


@pytest.mark.parametrize(
    ("answer", "telling"),
    [
        ({"KeyUsage": "ENCRYPT_DECRYPT"}, "ENCRYPT_DECRYPT"),
        *(({"KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": None}, "usage None"), ({"KeySpec": None}, "key spec None")),
    ],
)
def test_a_key_of_which_half_is_known_is_refused(monkeypatch: Patch, answer: dict[str, Any], telling: str) -> None:
    """Both facts are needed, and an imitation of KMS may leave one out."""
    stated = {name: value for name, value in {**PUBLIC, **answer}.items() if value is not None}
    with kms_that_says(monkeypatch, {"GetPublicKey": (200, stated)}):
        problem = refusal("kms:alias/cdn")
    assert all(part in problem for part in ("kms:alias/cdn", telling, *EXPECTED_KMS))


def test_signatures_that_do_not_verify_are_found_at_start(monkeypatch: Patch) -> None:
    """An alias that was moved in between, say, pairs one key's signatures with another's public half."""
    signature = {"Signature": "MAYCAQECAQE="}
    with kms_that_says(monkeypatch, {"GetPublicKey": (200, PUBLIC), "Sign": (200, signature)}):
        assert "do not verify" in refusal("kms:alias/cdn")


@pytest.mark.parametrize("answer", [{}, {"Parameter": {}}, {"Parameter": {"Value": 5}}])
def test_a_malformed_answer_is_a_wrong_source(monkeypatch: Patch, answer: dict[str, Any]) -> None:
    """An answer without a key in it is an error that names the source, as one that says no is."""
    with kms_that_says(monkeypatch, {"AmazonSSM.GetParameter": (200, answer)}):
        assert re.search("ssm:x(: GetParameter failed with| holds 0 PEM keys)", refusal("ssm:x"))


def test_each_process_has_a_client_of_its_own(kms_keys: KeptKeys, monkeypatch: Patch) -> None:
    """One for all requests of a process, another after a fork, and none of the parent's is kept."""
    with recorded(boto3.session.Session, "client") as made:
        signer = Signer("K1", f"kms:{kms_keys['ECDSA'].key_id}")
        for number, process in enumerate((os.getpid(), -1), start=2):
            monkeypatch.setattr(os, "getpid", lambda process=process: process)
            assert signer.sign(b"x") and signer.sign(b"x")
            assert len(made) == number


def test_a_forked_process_signs(kms_keys: KeptKeys) -> None:
    """As after preloading: parent and children sign at the same time, over connections of their own."""
    program = f"""
        import os
        from cfgate_middleware import Signer
        signer = Signer("K1", "kms:{kms_keys["RSA"].key_id}")
        show = lambda signature: os.write(1, signature.hex().encode() + b"\\n")  # in one piece
        children = []
        for _ in range(3):
            child = os.fork()
            if not child:
                assert len({{signer.sign(b"x") for _ in range(20)}}) == 1
                show(signer.sign(b"x"))
                os._exit(0)
            children.append(child)
        show(signer.sign(b"x"))
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
        from cfgate_middleware import ConfigError, Signer
        Signer("K1", {str(KEYS / "p256-pkcs8.pem")!r})
        print(sorted({{"boto3", "botocore"}} & sys.modules.keys()))
        try:
            Signer("K1", "ssm:/none")
        except ConfigError:
            print(sorted({{"boto3", "botocore"}} & sys.modules.keys()))
        """
    assert run(program).splitlines() == ["[]", "['boto3', 'botocore']"]


def test_without_boto3_the_extra_is_named() -> None:
    """All three stores say what to install, together with all other problems of a ring; other sources go on working."""
    program = f"""
        import importlib.abc, sys
        class Blocker(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name.partition(".")[0] in ("boto3", "botocore"):
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Blocker())
        from cfgate_middleware import ConfigError, Distribution, Signer
        Signer("K1", {str(KEYS / "p256-pkcs8.pem")!r})
        try:
            Distribution({BASE_URL!r}, keys=["K1 kms:alias/cdn", "K-1 secretsmanager:cdn", "K3 ssm:/cdn"])
        except ConfigError as error:
            print(*error.problems, sep="\\n")
        """
    problems = run(program).splitlines()
    assert ["cfgate-middleware[aws]" in problem for problem in problems] == [True, False, True, True]
    assert [problem[:12] for problem in problems] == [f"keys, line {number}" for number in (1, 2, 2, 3)]


def test_no_viewer_waits_long(kms_keys: KeptKeys) -> None:
    """Every client gives up after two tries of three seconds each."""
    with recorded(boto3.session.Session, "client") as made:
        Signer("K1", f"kms:{kms_keys['RSA'].key_id}").sign(b"x")
        for source in ("secretsmanager:none", "ssm:/none"):
            refusal(source)
    assert len(made) == 4
    for config in (options["config"] for _, options in made):
        assert config.connect_timeout + config.read_timeout <= 3
        assert config.retries["total_max_attempts"] == 2


def put_secret(name: str, text: str, field: str = "SecretString") -> str:
    """Keep a secret in Secrets Manager, and return its ARN."""
    value = text if field == "SecretString" else text.encode()
    return str(boto3.client("secretsmanager").create_secret(Name=name, **{field: value})["ARN"])


def put_parameter(name: str, text: str, kind: str = "SecureString") -> str:
    """Keep a parameter in Parameter Store, and return its ARN."""
    client = boto3.client("ssm")
    client.put_parameter(Name=name, Value=text, Type=kind)
    return str(client.get_parameter(Name=name)["Parameter"]["ARN"])


# Services that keep text: the prefix of a source, and how to put it there; binary as it is when uploaded from a file.
STORES: dict[str, tuple[str, Callable[[str, str], str]]] = {
    "secret": ("secretsmanager", put_secret),
    "binary": ("secretsmanager", lambda name, text: put_secret(name, text, "SecretBinary")),
    "SecureString": ("ssm", put_parameter),
    "String": ("ssm", lambda name, text: put_parameter(name, text, "String")),
}
names = (f"/cfgate/{number}" for number in range(10_000))

FORMS = {
    "PEM": PEM,
    "JSON": json.dumps({"private_key": PEM}),
    "RSA": RSA_PEM,
    "with space around": f"\n\n  {PEM}\n\n",
    "escaped": PEM.replace("\n", "\\n"),
    "with carriage returns": PEM.replace("\n", "\r\n"),
    "JSON with more": json.dumps({"id": "K1", "key": RSA_PEM, "n": 5, "none": None, "list": [PEM], "so": {"x": PEM}}),
    "indented JSON": "  \n" + json.dumps({"key": PEM}, indent=4),
    "escaped in JSON": json.dumps({"key": PEM.replace("\n", "\\n")}),
    "beside what is not text": json.dumps({"key": PEM, "other": "\ud800"}),
}


@pytest.mark.parametrize(
    ("store", "form"),
    [*((store, form) for store in STORES for form in ("PEM", "JSON")), *(("secret", form) for form in list(FORMS)[2:])],
)
def test_a_key_is_read_in_every_form_it_is_kept_in(aws: Aws, store: str, form: str) -> None:
    """As text, bytes or in a field of JSON, with newlines or escaped; by name or by ARN, whose region is asked."""
    prefix, put = STORES[store]
    name, text = next(names), FORMS[form]
    arn = put(name, text)
    for reference in (name, arn):
        group = RSA_GROUP if "RSA" in text else KEY_GROUP
        assert used(with_key(f"{prefix}:{reference}"), group=group) == KEY_PAIR_ID
    assert "NotFound" in refusal(f"{prefix}:{arn.replace('eu-west-1', 'us-east-1')}")


NO_KEY, NO_JSON = "{source} holds 0 PEM keys", "{source} begins like JSON"
UNUSABLE = {
    "two keys": (json.dumps({"old": PEM, "new": RSA_PEM}), "{source} holds 2 PEM keys"),
    "public half beside it": (json.dumps({"private": PEM, "public": PUBLIC_PEM}), "{source} holds 2 PEM keys"),
    "not PEM": (PEM.splitlines()[1], NO_KEY),
    "a path": ("/etc/keys/cloudfront.pem", NO_KEY),
    "JSON without PEM": (json.dumps({"key": PEM.splitlines()[1]}), NO_KEY),
    "empty JSON": ("{}", NO_KEY),
    "PEM deeper in JSON": (json.dumps({"keys": [PEM], "more": {"key": PEM}}), NO_KEY),
    "JSON list": (json.dumps([PEM]), NO_KEY),
    "broken JSON": (json.dumps({"key": PEM})[:-1], NO_JSON),
    "raw newlines in JSON": (f'{{"key": "{PEM}"}}', NO_JSON),
    "half a PEM": (PEM[:100], "100 characters (PEM label: PRIVATE KEY)"),
    "public key": (PUBLIC_PEM, "the PEM holds a PUBLIC KEY"),
}


@pytest.mark.parametrize("store", ["secret", "SecureString"])
@pytest.mark.parametrize(("text", "telling"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_secret_without_a_key_is_refused_unseen(aws: Aws, caplog: Log, store: str, text: str, telling: str) -> None:
    """The source is named; of what it holds, the number of keys at most. Our log has nothing of it either."""
    caplog.set_level(logging.DEBUG, "cfgate_middleware")
    prefix, put = STORES[store]
    name = next(names)
    put(name, text)
    assert telling.format(source=f"{prefix}:{name}") in refusal(f"{prefix}:{name}")
    assert_no_secret(caplog.text)


def test_what_aws_answers_is_kept_out_of_its_own_log(kms_keys: KeptKeys, caplog: Log) -> None:
    """At DEBUG botocore logs whole answers: not those that hold a key or a signature; those of other clients still."""
    secret, parameter, key_id = next(names), next(names), kms_keys["RSA"].key_id
    put_secret(secret, PEM)
    put_parameter(parameter, json.dumps({"key": RSA_PEM}))
    signer = Signer("K1", f"kms:{key_id}")
    signature = base64.b64encode(signer.sign(b"policy")).decode()
    caplog.set_level(logging.DEBUG)
    for source in (f"secretsmanager:{secret}", f"ssm:{parameter}"):
        Signer("K1", source)
    signer.sign(b"policy")
    assert "OperationModel(name=Sign)" in caplog.text
    assert_no_secret(caplog.text)
    assert signature not in caplog.text
    boto3.client("kms").sign(KeyId=key_id, Message=b"policy", SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256")
    assert signature in caplog.text


@pytest.mark.parametrize("in_ring_file", [False, True])
def test_references_are_taken_in_ini_and_ring_files(kms_keys: KeptKeys, tmp_path: Path, in_ring_file: bool) -> None:
    """One kind of reference, wherever keys are named; a new secret and a new KMS key rotate alike."""
    secret, parameter = next(names), next(names)
    put_secret(secret, PEM)
    put_parameter(parameter, json.dumps({"key": RSA_PEM}))
    ring = [f"KSECRET secretsmanager:{secret}", f"{KEY_PAIR_ID}1 ssm:{parameter}"]
    ring += [f"{KEY_PAIR_ID} kms:alias/ECDSA 2027-01-15T08:00:00Z"]
    (tmp_path / "ring").write_text("\n".join(ring))
    made = load_ini(tmp_path, "file:%(here)s/ring" if in_ring_file else "\n".join(["", *ring]))
    assert used(made, NOW, kms_keys["ECDSA"].group) == KEY_PAIR_ID
    rsa = KeyGroup({f"{KEY_PAIR_ID}1": (KEYS / "rsa-2048-public.pem").read_text()})
    assert used(made, NOW - 1, rsa) == f"{KEY_PAIR_ID}1"


def test_keys_that_were_loaded_go_on_signing_without_aws(aws: Aws) -> None:
    """Secrets are read at start: an outage of their store does not concern the gate."""
    made = []
    for prefix, put in STORES.values():
        name = next(names)
        put(name, PEM)
        made += [with_key(f"{prefix}:{name}"), Distribution(BASE_URL, keys=f"{KEY_PAIR_ID} {prefix}:{name}")]
    with aws.stopped():
        assert {used(one, group=KEY_GROUP) for one in made} == {KEY_PAIR_ID}


def test_a_kms_that_hangs_is_an_error_and_heals(aws: Aws, kms_keys: KeptKeys, caplog: Log) -> None:
    """The request fails, with one error line and no answer; when KMS is back, so are the redirects."""
    group = kms_keys["ECDSA"].group
    ring = KeyRing([Signer(KEY_PAIR_ID, "kms:alias/ECDSA")])
    made = gate(Judge(), signer=ring, reuse_for=60)
    before = fetch(made, "/private/before").location
    caplog.clear()

    def start_response(*started: object) -> Any:
        raise AssertionError("something was answered")

    failed = "kms:alias/ECDSA: Sign failed with ReadTimeoutError"
    with aws.stopped():
        with pytest.raises(SigningError, match=failed):
            made(environ_for("/private/x"), start_response)
        (record,) = caplog.records
        assert (record.levelname, failed in record.getMessage()) == ("ERROR", True)
        assert fetch(made, "/private/before").location == before  # remembered
    assert signed_by(before, group) == signed_by(fetch(made, "/private/x").location, group) == KEY_PAIR_ID
    assert len(caplog.records) == 1


def test_a_ring_that_needs_aws_waits_for_it(aws: Aws, tmp_path: Path, caplog: Log) -> None:
    """A rotation in the middle of an outage is one error and the old key; it is made good when the store is back."""
    name = next(names)
    put_parameter(name, PEM)
    (tmp_path / "ring").write_text(f"KOLD {KEYS / 'p256-pkcs8.pem'}\n")
    ring = WatchedRing(tmp_path / "ring", interval=0)
    (tmp_path / "ring").write_text(f"KNEW ssm:{name}\n")
    with aws.stopped():
        assert ring.current(NOW).key_pair_id == "KOLD"
    (record,) = caplog.records
    telling = ("keys, line 1", f"ssm:{name}: GetParameter failed with ReadTimeoutError", "stay in use")
    assert all(part in record.getMessage() for part in telling)
    assert ring.current(NOW).key_pair_id == "KNEW"
