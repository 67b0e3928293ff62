"""Fixtures: throwaway keys as PEM text, as signers of every kind, a fixed time, and a watch for leaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from cfgate_middleware import Signer
from tests.leaks import LeakWatch

# How long one example takes says nothing on a machine that is busy with others.
hypothesis.settings.register_profile("cfgate", deadline=None)
hypothesis.settings.load_profile("cfgate")

KEYS = Path(__file__).parent / "keys"
NOW = 1_800_000_000
KEY_PAIR_ID = "K2JCJMDEHXQW5F"
SIGNERS = {
    "RSA-SHA1": ("rsa-2048-pkcs1.pem", "SHA1"),
    "RSA-SHA256": ("rsa-2048-pkcs8.pem", "SHA256"),
    "ECDSA": ("p256-pkcs8.pem", "SHA256"),
}


def pytest_configure(config: pytest.Config) -> None:
    """Search what the package shows during the session for secrets."""
    config.pluginmanager.register(LeakWatch(), "leak watch")


@pytest.fixture(scope="session")
def pem() -> Callable[[str], str]:
    """Read one of the throwaway keys in ``tests/keys``."""
    return lambda name: (KEYS / f"{name}.pem").read_text()


@pytest.fixture(scope="session")
def signers(pem: Callable[[str], str]) -> dict[str, Signer]:
    """One signer of every kind, by name."""
    return {
        name: Signer(KEY_PAIR_ID, pem(file.removesuffix(".pem")), hash_algorithm)
        for name, (file, hash_algorithm) in SIGNERS.items()
    }


@pytest.fixture(params=SIGNERS)
def signer(request: pytest.FixtureRequest, signers: dict[str, Signer]) -> Signer:
    """Every kind of signer in turn."""
    return signers[request.param]


@pytest.fixture(scope="session")
def public_pem(pem: Callable[[str], str]) -> Callable[[Signer], str]:
    """Return the public key that CloudFront would hold for one of the signers."""
    return lambda signer: pem("rsa-2048-public" if signer.kind == "RSA" else "p256-public")
