"""Keys that AWS keeps: signing with KMS, and PEM from Secrets Manager and Parameter Store.

Imported only when such a source is used (extra ``[aws]``). Clients are made per process, because connections do not
survive a fork; region and credentials come from the environment as boto3 finds them.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from cfgate_middleware.errors import CFGateError, ConfigError, SigningError
from cfgate_middleware.keys import PublicKey
from cfgate_middleware.signers import DEFAULT_HASH_ALGORITHM, PROBE, BaseSigner, check_key_pair_id

# A viewer waits for KMS: two tries of at most three seconds each, and then a clear error.
_CONFIG = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2})

# https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html: what may be sent RAW, in bytes.
_MAX_MESSAGE = 4096
# KeySpec of KMS -> its signing algorithm that CloudFront verifies, and whether it repeats.
_KEY_SPECS = {
    "ECC_NIST_P256": ("ECDSA_SHA_256", False),
    "RSA_2048": ("RSASSA_PKCS1_V1_5_SHA_256", True),
}


class _Ours(threading.local):
    """Whether this thread is in a call of ours."""

    running = False


# At DEBUG botocore logs whole answers, which hold keys and signatures; those of other clients are none of our business.
_ours = _Ours()
logging.getLogger("botocore.parsers").addFilter(lambda record: not _ours.running)


class KmsSigner(BaseSigner):
    """A key pair whose private half never leaves KMS; its public half is fetched once and proves the signatures.

    Args:
        key: id, ARN or alias of a KMS key with key spec ``ECC_NIST_P256`` or ``RSA_2048`` and usage ``SIGN_VERIFY``.
        key_pair_id: the id under which CloudFront knows the public key.
        hash_algorithm: ``"SHA256"``; KMS does not sign with SHA-1.

    Raises:
        ConfigError: if KMS does not answer, or the key is not one that CloudFront accepts.
    """

    __slots__ = ("_algorithm", "_clients", "_key", "_public_key_pem", "_source")

    def __init__(self, key: str, key_pair_id: str, hash_algorithm: str | None = None) -> None:
        self._key = key
        self._source = f"kms:{key}"
        self._clients: dict[int, Any] = {}
        if hash_algorithm not in (None, DEFAULT_HASH_ALGORITHM):
            raise ConfigError(f"{self._source} signs with SHA256 only; leave hash_algorithm out")
        client = self._client(ConfigError)
        answer = _call(self._source, "GetPublicKey", lambda: dict(client.get_public_key(KeyId=key)), ConfigError)
        key_spec = answer.get("KeySpec") or answer.get("CustomerMasterKeySpec")  # the older name of the same
        usage = answer.get("KeyUsage")
        if key_spec not in _KEY_SPECS or usage != "SIGN_VERIFY":
            raise ConfigError(
                f"{self._source} has key spec {key_spec} and usage {usage}; expected "
                f"{' or '.join(_KEY_SPECS)} and SIGN_VERIFY"
            )
        lines = textwrap.wrap(base64.b64encode(answer.get("PublicKey", b"")).decode("ascii"), 64)
        self._public_key_pem = "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])
        self._algorithm, deterministic = _KEY_SPECS[key_spec]
        super().__init__(check_key_pair_id(key_pair_id), DEFAULT_HASH_ALGORITHM, deterministic)
        try:
            proof = self.sign(PROBE)
        except SigningError as error:
            raise ConfigError(str(error)) from error
        if not PublicKey(self._public_key_pem).verifies(proof, PROBE, DEFAULT_HASH_ALGORITHM):
            raise ConfigError(f"{self._source}: its signatures do not verify with its public key")
        self._clients = {}  # no connection is kept, so none is shared with the processes that a server forks

    def sign(self, message: bytes) -> bytes:
        if len(message) > _MAX_MESSAGE:
            raise SigningError(
                f"{self._source}: the policy is {len(message)} bytes long; KMS signs at most {_MAX_MESSAGE}"
            )
        client = self._client()

        def call() -> Any:
            return client.sign(KeyId=self._key, Message=message, MessageType="RAW", SigningAlgorithm=self._algorithm)[
                "Signature"
            ]

        signature: bytes = _call(self._source, "Sign", call, SigningError)
        return signature

    def public_key_pem(self) -> str:
        """Return the public half as the SPKI PEM that is uploaded to CloudFront."""
        return self._public_key_pem

    def _client(self, failure: type[CFGateError] = SigningError) -> Any:
        process = os.getpid()
        client = self._clients.get(process)
        if client is None:
            client = _make_client("kms", self._source, self._key, failure)
            self._clients = {process: client}
        return client


def read_secret(name: str) -> str:
    """Return the PEM in a secret of Secrets Manager, as text, as bytes, or in one field of a JSON object."""
    source = f"secretsmanager:{name}"
    client = _make_client("secretsmanager", source, name, ConfigError)
    answer = _call(source, "GetSecretValue", lambda: dict(client.get_secret_value(SecretId=name)), ConfigError)
    return _pem(source, answer.get("SecretString") or answer.get("SecretBinary"))


def read_parameter(name: str) -> str:
    """Return the PEM in a parameter of Parameter Store, decrypted if it is a SecureString."""
    source = f"ssm:{name}"
    client = _make_client("ssm", source, name, ConfigError)

    def call() -> Any:
        return client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]

    return _pem(source, _call(source, "GetParameter", call, ConfigError))


def _make_client(service: str, source: str, name: str, failure: type[CFGateError]) -> Any:
    """Return a client for the region in the name, if it is an ARN, or for the one boto3 is set up for."""
    parts = name.split(":")
    region = parts[3] if parts[0] == "arn" and len(parts) > 5 else None

    def make() -> Any:
        # A session of its own: boto3's default one is shared, and making clients with it is not thread-safe.
        return boto3.session.Session(region_name=region).client(service, config=_CONFIG)

    return _call(source, "client", make, failure)


def _call(source: str, operation: str, call: Callable[[], Any], failure: type[CFGateError]) -> Any:
    """Call AWS; what fails names source, operation and AWS's code, and nothing that was sent or kept."""
    _ours.running = True
    try:
        return call()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "an unknown code")
        raise failure(f"{source}: {operation} failed with {code}") from error
    except Exception as error:  # a malformed answer included: what is asked for may be missing in it
        raise failure(f"{source}: {operation} failed with {type(error).__name__}") from error
    finally:
        _ours.running = False


def _pem(source: str, value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""
    fields: list[object] = [text]
    if text.lstrip()[:1] in ("{", "["):
        try:
            members = json.loads(text)
        except ValueError:
            raise ConfigError(f"{source} begins like JSON but is none") from None  # the cause holds all of it
        fields = list(members.values()) if isinstance(members, dict) else []
    found = [field for field in fields if isinstance(field, str) and "-----BEGIN" in field]
    if len(found) != 1:
        raise ConfigError(f"{source} holds {len(found)} PEM keys; expected a PEM, or a JSON object with one in a field")
    return found[0]
