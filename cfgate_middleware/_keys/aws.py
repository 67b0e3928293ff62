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
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from cfgate_middleware._core.problems import Secret
from cfgate_middleware._keys.pem import PROBE, LoadedKey, PublicKey, is_pem
from cfgate_middleware.errors import CFGateError, ConfigError, SigningError

# A viewer waits for KMS: two tries of at most three seconds each, and then a clear error.
_CONFIG = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2})

# https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html: what may be sent RAW, in bytes.
_MAX_MESSAGE = 4096
# KeySpec of KMS -> kind of key, its signing algorithm that CloudFront verifies, and whether signatures repeat.
_KEY_SPECS = {
    "ECC_NIST_P256": ("ECDSA", "ECDSA_SHA_256", False),
    "RSA_2048": ("RSA", "RSASSA_PKCS1_V1_5_SHA_256", True),
}

# At DEBUG botocore logs whole answers, which hold keys and signatures; those of other clients are left alone.
_thread = threading.local()
logging.getLogger("botocore.parsers").addFilter(lambda record: not getattr(_thread, "asks", False))


def open_kms_key(source: str) -> Secret[LoadedKey]:
    """Return a key in KMS, by its id, ARN or alias; its public half is fetched once and proves what it signs.

    Raises:
        ConfigError: if KMS does not answer, or the key is not one that CloudFront accepts.
    """
    client = _make_client(source, ConfigError)
    with _asking(source, "GetPublicKey", ConfigError):
        answer = dict(client.get_public_key(KeyId=source.partition(":")[2]))
    spec = answer.get("KeySpec") or answer.get("CustomerMasterKeySpec")  # the older name of the same
    usage = answer.get("KeyUsage")
    if spec not in _KEY_SPECS or usage != "SIGN_VERIFY":
        raise ConfigError(
            f"{source} has key spec {spec} and usage {usage}; expected {' or '.join(_KEY_SPECS)} and SIGN_VERIFY"
        )
    kind, algorithm, deterministic = _KEY_SPECS[spec]
    lines = textwrap.wrap(base64.b64encode(answer.get("PublicKey", b"")).decode("ascii"), 64)
    pem = Secret("\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""]))
    kms = _Kms(source, algorithm)
    if not PublicKey(pem).verifies(kms.ask(client, Secret(PROBE), ConfigError), Secret(PROBE), "SHA256"):
        raise ConfigError(f"{source}: its signatures do not verify with its public key")
    return Secret(LoadedKey(kind, "SHA256", deterministic, pem.value, kms.sign, blocks=True))


class _Kms:
    """Signs with a key in KMS."""

    def __init__(self, source: str, algorithm: str) -> None:
        self._source = source
        self._algorithm = algorithm
        self._clients: dict[int, Any] = {}  # by process, so that no fork shares one

    def sign(self, message: bytes) -> bytes:
        policy = Secret(message)
        del message  # a policy, which no error tracker may see
        length = len(policy.value)
        if length > _MAX_MESSAGE:
            raise SigningError(f"{self._source}: the policy is {length} bytes long; KMS signs at most {_MAX_MESSAGE}")
        client = self._clients.get(os.getpid())
        if client is None:
            client = _make_client(self._source, SigningError)
            self._clients = {os.getpid(): client}
        return self.ask(client, policy, SigningError).value

    def ask(self, client: Any, policy: Secret[bytes], failure: type[CFGateError]) -> Secret[bytes]:
        key, algorithm = self._source.partition(":")[2], self._algorithm
        with _asking(self._source, "Sign", failure):
            answer = Secret(client.sign(KeyId=key, Message=policy.value, MessageType="RAW", SigningAlgorithm=algorithm))
            return Secret(answer.value["Signature"])


def read_pem(source: str) -> Secret[str]:
    """Return the PEM that a secret of Secrets Manager or a parameter of Parameter Store holds, as it is or in JSON."""
    service, _, name = source.partition(":")
    client = _make_client(source, ConfigError)
    if service == "ssm":
        with _asking(source, "GetParameter", ConfigError):
            value = Secret(client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
    else:
        with _asking(source, "GetSecretValue", ConfigError):
            answer = Secret(dict(client.get_secret_value(SecretId=name)))
        value = Secret(answer.value.get("SecretString") or answer.value.get("SecretBinary"))
    text = Secret(value.value.decode("utf-8", "replace") if isinstance(value.value, bytes) else value.value)
    fields: Secret[list[object]] = Secret([text.value])
    if isinstance(text.value, str) and text.value.lstrip()[:1] in ("{", "["):
        try:
            members = Secret(json.loads(text.value))
        except ValueError:
            raise ConfigError(f"{source} begins like JSON but is not JSON") from None  # the cause holds all of it
        fields = Secret(list(members.value.values()) if isinstance(members.value, dict) else [])
    found = Secret([field for field in fields.value if isinstance(field, str) and is_pem(field)])
    count = len(found.value)
    if count != 1:
        raise ConfigError(f"{source} holds {count} PEM keys; expected a PEM, or a JSON object with one in a field")
    return Secret(found.value[0])


def _make_client(source: str, failure: type[CFGateError]) -> Any:
    """Return a client for the region in the name, if it is an ARN, or for the one boto3 is set up for."""
    service, *name = source.split(":")
    region = name[3] if name[0] == "arn" and len(name) > 5 else None
    with _asking(source, "client", failure):
        # A session of its own: boto3's default one is shared, and making clients with it is not thread-safe.
        return boto3.session.Session(region_name=region).client(service, config=_CONFIG)


@contextmanager
def _asking(source: str, operation: str, failure: type[CFGateError]) -> Iterator[None]:
    """Ask AWS; an error names source, operation and AWS's code, and nothing that was sent or kept."""
    _thread.asks = True
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "an unknown code")
        raise failure(f"{source}: {operation} failed with {code}") from error
    except Exception as error:  # a malformed answer included: what is asked for may be missing in it
        raise failure(f"{source}: {operation} failed with {type(error).__name__}") from error
    finally:
        _thread.asks = False
