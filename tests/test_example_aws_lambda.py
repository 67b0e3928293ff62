"""The Lambda example: its handler with events of the four services that can call it, and its program over HTTP."""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

import jwt
import pytest
import requests

from cfgate_middleware.verify import KeyGroup, verify_cookies, verify_url
from tests.running import EXAMPLES, TIMEOUT, Running, public_half, running, throwaway_key, visitor

LAMBDA = EXAMPLES / "aws_lambda"
FILES = LAMBDA / "private"
REPORT = (FILES / "ann" / "report.txt").read_bytes()
DOMAIN = "https://d111111abcdef8.cloudfront.net"
AUDIENCE = "https://files.example.com"
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


class Function(NamedTuple):
    """The imported handler, with what its configuration holds."""

    handler: Callable[[dict[str, Any], Any], dict[str, Any]]
    keys: KeyGroup
    token_key: str

    def token(self, sub: str, **claims: Any) -> str:
        """Return a token for a user."""
        claims = {"sub": sub, "aud": AUDIENCE, "exp": int(time.time()) + 60} | claims
        return jwt.encode(claims, self.token_key, algorithm="ES256")

    def origin_target(self, url: str) -> str:
        """Check a signed URL as CloudFront would, and return the target that reaches the origin."""
        target = url.removeprefix(DOMAIN)
        return verify_url(target, base_url=DOMAIN, key_group=self.keys, now=time.time()).origin_target


@pytest.fixture(scope="module")
def function() -> Iterator[Function]:
    """Import the function as Lambda does, with its configuration in the environment."""
    private_key, token_key = throwaway_key(), throwaway_key()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CFGATE_DOMAIN", DOMAIN)
        patch.setenv("CFGATE_KEY_PAIR_ID", "K2JCJMDEHXQW5F")
        patch.setenv("CFGATE_PRIVATE_KEY", private_key)
        patch.setenv("TOKEN_PUBLIC_KEY", public_half(token_key))
        patch.setenv("TOKEN_AUDIENCE", AUDIENCE)
        spec = importlib.util.spec_from_file_location("lambda_gate", LAMBDA / "lambda_gate.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield Function(module.handler, KeyGroup({"K2JCJMDEHXQW5F": public_half(private_key)}), token_key)


def rest_api(path: str, headers: dict[str, str], claims: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return an event of a REST API: the path as it was sent, without the stage, which stands in the context.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
    """
    headers = {"Host": "a1b2c3.execute-api.eu-west-1.amazonaws.com", "X-Forwarded-Proto": "https", **headers}
    event: dict[str, Any] = {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": "GET",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path[1:]},
        "stageVariables": None,
        "requestContext": {
            "resourceId": "2gxmpl",
            "resourcePath": "/{proxy+}",
            "httpMethod": "GET",
            "extendedRequestId": "JJbxmplHYosFVYQ=",
            "requestTime": "10/Mar/2026:00:03:59 +0000",
            "path": f"/prod{path}",
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": "prod",
            "domainPrefix": "a1b2c3",
            "requestTimeEpoch": 1773100639344,
            "requestId": "77375676-xmpl-4b79-853a-f982474efe18",
            "identity": {"sourceIp": "203.0.113.7", "userAgent": AGENT, "user": None, "caller": None},
            "domainName": "a1b2c3.execute-api.eu-west-1.amazonaws.com",
            "apiId": "a1b2c3",
        },
        "body": None,
        "isBase64Encoded": False,
    }
    if claims is not None:  # a Cognito authorizer, whose claims are all strings
        event["requestContext"]["authorizer"] = {"claims": {name: str(value) for name, value in claims.items()}}
    return event


def http_api(
    path: str, headers: dict[str, str], claims: dict[str, Any] | None = None, stage: str = "prod"
) -> dict[str, Any]:
    """Return an event of an HTTP API with payload format 2.0: the path decoded, and behind the name of the stage.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    raw_path = unquote(path) if stage == "$default" else f"/{stage}{unquote(path)}"
    event = function_url(path, headers)
    event.update(routeKey="ANY /{proxy+}", rawPath=raw_path, pathParameters={"proxy": unquote(path)[1:]})
    event["requestContext"].update(
        accountId="123456789012",
        apiId="a1b2c3",
        domainName="a1b2c3.execute-api.eu-west-1.amazonaws.com",
        domainPrefix="a1b2c3",
        routeKey="ANY /{proxy+}",
        stage=stage,
    )
    event["requestContext"]["http"]["path"] = raw_path
    if claims is not None:
        event["requestContext"]["authorizer"] = {
            "jwt": {"claims": {name: str(value) for name, value in claims.items()}, "scopes": None}
        }
    return event


def load_balancer(path: str, headers: dict[str, str], claims: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return an event of an Application Load Balancer whose target group has multi-value headers switched on.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
    """
    headers = {"host": "lb-1234.eu-west-1.elb.amazonaws.com", "x-forwarded-for": "203.0.113.7", **headers}
    arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/gate/6d0ecf831eec9f09"
    return {
        "requestContext": {"elb": {"targetGroupArn": arn}},
        "httpMethod": "GET",
        "path": path,
        "multiValueQueryStringParameters": {},
        "multiValueHeaders": {name.lower(): [value] for name, value in headers.items()},
        "body": "",
        "isBase64Encoded": False,
    }


def function_url(path: str, headers: dict[str, str], claims: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return an event of a function URL: payload format 2.0 with the path as it was sent, and no stage.

    https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
    """
    domain = "abcdefg.lambda-url.eu-west-1.on.aws"
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "cookies": ["theme=dark"],
        "headers": {"host": domain, "x-forwarded-proto": "https", **{k.lower(): v for k, v in headers.items()}},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abcdefg",
            "domainName": domain,
            "domainPrefix": "abcdefg",
            "http": {
                "method": "GET",
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": AGENT,
            },
            "requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2026:19:03:58 +0000",
            "timeEpoch": 1773342238390,
        },
        "isBase64Encoded": False,
    }


ToEvent = Callable[..., dict[str, Any]]
SERVICES: list[ToEvent] = [rest_api, http_api, load_balancer, function_url]
every_service = pytest.mark.parametrize("to_event", SERVICES, ids=lambda service: service.__name__)


def ask(function: Function, to_event: ToEvent, path: str, user: str | None = "ann") -> dict[str, Any]:
    """Send a request of a user, whose token API Gateway has checked or the function has to."""
    if user is None:
        return function.handler(to_event(path, {"Accept": "*/*"}), None)
    if to_event in (rest_api, http_api):
        return function.handler(to_event(path, {"Accept": "*/*"}, {"sub": user, "aud": AUDIENCE}), None)
    return function.handler(to_event(path, {"Authorization": f"Bearer {function.token(user)}"}), None)


def values(answer: dict[str, Any], name: str) -> list[str]:
    """Return the values that a service would send of a header field."""
    if name == "Set-Cookie" and "cookies" in answer:
        cookies: list[str] = answer["cookies"]
        return cookies
    fields = answer.get("multiValueHeaders") or {key: [value] for key, value in answer["headers"].items()}
    return [value for key, each in fields.items() if key.lower() == name.lower() for value in each]


@every_service
@pytest.mark.parametrize("name", ["report.txt", "50%25%20r%C3%A9sum%C3%A9%20%E2%82%AC%2520.txt", "a%2541%2Bb.txt"])
def test_every_service_leads_to_the_file_that_was_asked_for(function: Function, to_event: ToEvent, name: str) -> None:
    """Decoded or not, with a stage or without: the address that is signed is that of the name that was sent."""
    answer = ask(function, to_event, f"/private/ann/{name}")
    assert answer["statusCode"] == 303
    assert not answer["isBase64Encoded"] or not answer["body"]
    (location,) = values(answer, "Location")
    assert function.origin_target(location) == f"/ann/{name}"


@every_service
def test_a_folder_of_another_user_is_refused(function: Function, to_event: ToEvent) -> None:
    """The claims say who asks, wherever they stand in the event."""
    answer = ask(function, to_event, "/private/bob/report.txt")
    assert answer["statusCode"] == 403
    assert not values(answer, "Location")
    assert ask(function, to_event, "/private/annabel/report.txt")["statusCode"] == 403


@every_service
def test_without_claims_and_token_there_is_a_challenge(function: Function, to_event: ToEvent) -> None:
    """Nobody is let in where a service checked nothing and no token came along."""
    answer = ask(function, to_event, "/private/ann/report.txt", user=None)
    assert (answer["statusCode"], values(answer, "WWW-Authenticate")) == (401, ["Bearer"])


@pytest.mark.parametrize("claims", [{}, {"sub": ""}])
def test_a_token_that_names_nobody_opens_nothing(function: Function, claims: dict[str, Any]) -> None:
    """Such as the token of a program, where it has no subject."""
    for folder in ("None", "ann"):
        event = http_api(f"/private/{folder}/report.txt", {}, claims)
        assert function.handler(event, None)["statusCode"] == 403


@every_service
def test_several_cookies_arrive(function: Function, to_event: ToEvent) -> None:
    """Each service gets every Set-Cookie field in the form that it can send, and together they open the folder."""
    answer = ask(function, to_event, "/private/ann/album/index.html")
    assert answer["statusCode"] == 303
    assert values(answer, "Location") == [f"{DOMAIN}/ann/album/index.html"]
    cookies = dict(field.split(";")[0].split("=", 1) for field in values(answer, "Set-Cookie"))
    sent = {name: value for name, value in cookies.items() if value}
    now = time.time()
    verify_cookies("/ann/album/notes.txt", sent, base_url=DOMAIN, key_group=function.keys, now=now)


def test_a_load_balancer_without_multi_value_headers_loses_cookies(function: Function) -> None:
    """Only one Set-Cookie field can go back then, which is why README says what to switch on."""
    event = load_balancer("/private/ann/album/index.html", {"Authorization": f"Bearer {function.token('ann')}"})
    event["headers"] = {name: value[0] for name, value in event.pop("multiValueHeaders").items()}
    answer = function.handler(event, None)
    assert answer["statusCode"] == 303
    assert "multiValueHeaders" not in answer
    assert len(values(answer, "Set-Cookie")) == 1


@pytest.mark.parametrize("stage", ["$default", "prod", "private", "priv"])
def test_a_stage_is_cut_off_where_it_is_a_segment(function: Function, stage: str) -> None:
    """Whatever the stage of an HTTP API is called, the path behind it is what counts."""
    answer = function.handler(http_api("/private/ann/report.txt", {}, {"sub": "ann"}, stage), None)
    assert function.origin_target(*values(answer, "Location")) == "/ann/report.txt"


def test_a_path_without_the_stage_stays_as_it_is(function: Function) -> None:
    """A custom domain may hand over a path that merely begins with the same letters."""
    event = http_api("/private/ann/report.txt", {}, {"sub": "ann"}, "priv")
    event["rawPath"] = "/private/ann/report.txt"
    assert function.handler(event, None)["statusCode"] == 303


@pytest.mark.parametrize("to_event", [load_balancer, function_url])
def test_a_token_that_nobody_checked_is_checked_here(function: Function, to_event: ToEvent) -> None:
    """Expired, for another audience or signed by somebody else: the answer is 401."""
    stranger = function._replace(token_key=throwaway_key())
    for token in (function.token("ann", exp=1), function.token("ann", aud="https://else"), stranger.token("ann")):
        answer = function.handler(to_event("/private/ann/report.txt", {"Authorization": f"Bearer {token}"}), None)
        assert (answer["statusCode"], values(answer, "Location")) == (401, [])


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run the program of the README for all tests."""
    with running(
        str(LAMBDA / "local_api.py"),
        log=tmp_path_factory.mktemp("lambda") / "log",
        PORT="0",
        EDGE_PORT="0",
        CFGATE_PRIVATE_KEY=throwaway_key(),
    ) as api:
        yield api


@pytest.fixture
def user(api: Running) -> Iterator[requests.Session]:
    """Ann, with the token that the program prints."""
    (token,) = re.findall(r"TOKEN=(\S+)", api.printed)
    with visitor() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        yield session


@pytest.mark.slow
def test_the_loop_over_http(api: Running, user: requests.Session) -> None:
    """With the printed token a file arrives byte for byte, a part of it as a part, and another user's not at all."""
    answer = api.get(user, "/private/ann/report.txt")
    assert [each.status_code for each in answer.history] == [303]
    assert (answer.status_code, answer.content) == (200, REPORT)
    part = api.get(user, "/private/ann/report.txt", Range="bytes=2-7")
    assert (part.status_code, part.content) == (206, REPORT[2:8])
    assert api.get(user, "/private/bob/report.txt").status_code == 403


@pytest.mark.slow
def test_cookies_over_http(api: Running, user: requests.Session) -> None:
    """One request opens the folder of a page, and none beside it."""
    page = api.get(user, "/private/ann/album/index.html")
    assert (page.status_code, page.content) == (200, (FILES / "ann" / "album" / "index.html").read_bytes())
    notes = user.get(page.url.replace("index.html", "notes.txt"), timeout=TIMEOUT)
    assert (notes.status_code, notes.content) == (200, (FILES / "ann" / "album" / "notes.txt").read_bytes())
    assert user.get(page.url.replace("album/index.html", "report.txt"), timeout=TIMEOUT).status_code == 403


@pytest.mark.slow
def test_without_the_token_api_gateway_refuses(api: Running, user: requests.Session) -> None:
    """Whoever throws the token away is refused before the function is called."""
    assert api.get(user, "/private/ann/report.txt").status_code == 200
    del user.headers["Authorization"]
    assert api.get(user, "/private/ann/report.txt").json() == {"message": "Unauthorized"}
