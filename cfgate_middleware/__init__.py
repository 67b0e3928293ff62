"""WSGI middleware that authorizes every request for a private file and redirects to a CloudFront signed URL."""

from __future__ import annotations

from cfgate_middleware._core.answers import DecisionRecord
from cfgate_middleware._core.grant import Grant
from cfgate_middleware._core.verdicts import ASK, PASS, Authorizer, Verdict
from cfgate_middleware._keys.ring import KeyRing
from cfgate_middleware._keys.signer import Signer
from cfgate_middleware.authorizers import allow, ask_app
from cfgate_middleware.distribution import Distribution, signed_cookies, signed_url
from cfgate_middleware.errors import AuthorizerError, CFGateError, ConfigError, PathError, SigningError
from cfgate_middleware.middleware import CloudFrontGate
from cfgate_middleware.views import CloudFrontRedirect

__version__ = "1.0.0"
__all__ = [
    "ASK",
    "PASS",
    "Authorizer",
    "AuthorizerError",
    "CFGateError",
    "CloudFrontGate",
    "CloudFrontRedirect",
    "ConfigError",
    "DecisionRecord",
    "Distribution",
    "Grant",
    "KeyRing",
    "PathError",
    "Signer",
    "SigningError",
    "Verdict",
    "allow",
    "ask_app",
    "signed_cookies",
    "signed_url",
]
