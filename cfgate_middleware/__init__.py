"""WSGI middleware that authorizes every request for a private file and redirects to a CloudFront signed URL."""

from __future__ import annotations

from cfgate_middleware.errors import AuthorizerError, CFGateError, ConfigError, SigningError
from cfgate_middleware.keys import Signer
from cfgate_middleware.middleware import CloudFrontGate
from cfgate_middleware.redirect import CloudFrontRedirect, signed_cookies, signed_url
from cfgate_middleware.signers import KeyRing
from cfgate_middleware.verdicts import PASS, Authorizer, Grant, Verdict

__version__ = "1.0.0"
__all__ = [
    "PASS",
    "Authorizer",
    "AuthorizerError",
    "CFGateError",
    "CloudFrontGate",
    "CloudFrontRedirect",
    "ConfigError",
    "Grant",
    "KeyRing",
    "Signer",
    "SigningError",
    "Verdict",
    "signed_cookies",
    "signed_url",
]
