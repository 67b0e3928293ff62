"""The gate as a Lambda function: set its handler to ``lambda_gate.handler``."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote
from wsgiref.types import WSGIEnvironment

import jwt
from apig_wsgi import make_lambda_handler

from cfgate_middleware import CloudFrontGate, Grant
from cfgate_middleware.authorizers import bearer


def authorize(environ: WSGIEnvironment) -> Any:
    """Let users read the folder that is named after them."""
    claims = claims_from_api_gateway(environ["apig_wsgi.request_context"])
    if claims is None:
        verdict = check_token(environ)
        if verdict is not True:
            return verdict  # 401 with a challenge
        token = environ["HTTP_AUTHORIZATION"].split()[1]
        claims = jwt.decode(token, options={"verify_signature": False})  # check_token has done that
    user, path = claims.get("sub"), environ["cfgate.path"]
    if not user or not path.startswith(f"/{user}/"):
        return 403
    if path.endswith("/index.html"):
        return Grant(scope="directory", answer="cookies", expires=3600)  # a page and all that it shows
    return True


def claims_from_api_gateway(context: dict[str, Any]) -> dict[str, Any] | None:
    """Return the claims of a token that API Gateway's own authorizer has checked."""
    authorizer = context.get("authorizer") or {}
    claims: dict[str, Any] | None = authorizer.get("jwt", authorizer).get("claims")  # HTTP API, or REST API
    return claims


# For a load balancer and a function URL, which check no token. jwks_url="https://…" instead of a key takes a key set.
check_token = bearer(key="env:TOKEN_PUBLIC_KEY", audience=os.environ["TOKEN_AUDIENCE"])

gate = CloudFrontGate(
    None,
    authorize,
    prefix="/private",
    domain=os.environ["CFGATE_DOMAIN"],
    key_pair_id=os.environ["CFGATE_KEY_PAIR_ID"],
    private_key="env:CFGATE_PRIVATE_KEY",  # or "ssm:/cfgate/private-key", or "kms:alias/cfgate"
)
adapter = make_lambda_handler(gate)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer a request of API Gateway (REST, or HTTP with payload format 2.0), a load balancer or a function URL."""
    return adapter(with_path_as_sent(event), context)


def with_path_as_sent(event: dict[str, Any]) -> dict[str, Any]:
    """Return an HTTP API's event with the path as all others have it: percent-encoded, and without the stage.

    The adapter decodes every path. An HTTP API has done so already: ``50%25.pdf`` arrives as ``50%.pdf``.
    """
    context = event["requestContext"]
    if event.get("version") != "2.0" or ".lambda-url." in context["domainName"]:
        return event
    path: str = event["rawPath"]
    stage = f"/{context['stage']}"
    if path.startswith(f"{stage}/"):  # a segment of its own: the stage "prod" is no part of "/products"
        path = path.removeprefix(stage)
    return {**event, "rawPath": quote(path)}
