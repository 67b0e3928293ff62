"""The function on your own machine: this is IN PLACE OF API GATEWAY AND CLOUDFRONT, for trying it out.

It calls the function as an HTTP API does that has a JWT authorizer and a stage ``prod``.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from waitress import serve
from webob import Request, Response

from cfgate_middleware import Signer
from cfgate_middleware.edge import LocalEdge
from cfgate_middleware.verify import KeyGroup

FILES = Path(__file__).parent / "private"
AUDIENCE = "https://files.example.com"


def to_event(request: Request, claims: dict[str, Any]) -> dict[str, Any]:
    """Return what an HTTP API makes of a request (payload format 2.0)."""
    path = f"/prod{request.path_info}"  # decoded
    http = {"method": request.method, "path": path, "protocol": "HTTP/1.1", "sourceIp": request.remote_addr}
    context = {"http": http, "stage": "prod", "domainName": "a1b2c3.execute-api.eu-west-1.amazonaws.com"}
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": request.query_string,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {**context, "authorizer": {"jwt": {"claims": claims, "scopes": None}}},
        "isBase64Encoded": False,
    }


def main() -> None:
    """Serve the function on one port of this machine and the private files on another, until Ctrl-C."""
    logging.basicConfig(level=logging.INFO)
    token_key = ec.generate_private_key(ec.SECP256R1())  # of your log-in server
    public_pem = token_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with (
        socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "8080")))) as api_socket,
        socket.create_server(("127.0.0.1", int(os.environ.get("EDGE_PORT", "8081")))) as edge_socket,
    ):
        api_port, edge_port = (str(listening.getsockname()[1]) for listening in (api_socket, edge_socket))
        edge_url = f"http://127.0.0.1:{edge_port}"
        # The configuration of the function.
        os.environ |= {"TOKEN_PUBLIC_KEY": public_pem, "TOKEN_AUDIENCE": AUDIENCE}
        os.environ |= {"CFGATE_DOMAIN": edge_url, "CFGATE_KEY_PAIR_ID": "K2JCJMDEHXQW5F"}
        from lambda_gate import handler

        signer = Signer("K2JCJMDEHXQW5F", "env:CFGATE_PRIVATE_KEY")
        edge = LocalEdge(FILES, KeyGroup({signer.key_pair_id: signer.public_key_pem()}), public_url=edge_url)

        def api_gateway(request: Request) -> Response:
            try:
                token = (request.headers.get("Authorization") or "").removeprefix("Bearer ")
                claims = jwt.decode(token, token_key.public_key(), algorithms=["ES256"], audience=AUDIENCE)
            except jwt.PyJWTError:
                return Response(json={"message": "Unauthorized"}, status=401)
            answer = handler(to_event(request, claims), None)
            response = Response(answer["body"], status=answer["statusCode"])
            response.headers.update(answer["headers"])
            response.headerlist.extend(("Set-Cookie", cookie) for cookie in answer["cookies"])
            return response

        def both(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            application = edge if environ["SERVER_PORT"] == edge_port else api_gateway(Request(environ))
            return application(environ, start_response)

        claims = {"sub": "ann", "aud": AUDIENCE, "exp": int(time.time()) + 3600}
        print(f"TOKEN={jwt.encode(claims, token_key, algorithm='ES256')}")
        print(f"The function is at http://127.0.0.1:{api_port}/private/; Ctrl-C ends it.", flush=True)
        serve(both, sockets=[api_socket, edge_socket])


if __name__ == "__main__":
    main()
