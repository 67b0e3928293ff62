"""A distribution signs URLs, cookies and queries as CloudFront reads them, for gates, views and code without either."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cfgate_middleware import CloudFrontGate, CloudFrontRedirect, Distribution, Signer, signed_cookies, signed_url
from cfgate_middleware.errors import ConfigError, PathError, SigningError
from cfgate_middleware.verify import Verified, verify_cookies
from tests.conftest import KEY_PAIR_ID, KEYS, NOW
from tests.support import BASE_URL, KEY_GROUP, SIGNER, Fake, Judge, by, fetch, verified

RSA = Signer(KEY_PAIR_ID, KEYS / "rsa-2048-pkcs8.pem", "SHA1")
LOCATION = f"{BASE_URL}/reports/1.pdf"
PATH, SPELLED = "/a b/é*.pdf", "/a%20b/%C3%A9%2A.pdf"
END = NOW + 60
VIEWER = "203.0.113.7"
EPOCH_END = 9223372036


def distribution(domain: str = BASE_URL, **options: Any) -> Distribution:
    """Return a distribution whose clock stands still."""
    made = Distribution(domain, **({"signer": SIGNER} | options))
    made.clock = lambda: NOW
    return made


def proven_by(cookies: dict[str, str], target: str, now: float = NOW) -> Verified:
    """Return what CloudFront takes from the cookies, for a viewer at the policy's address."""
    return verify_cookies(target, cookies, base_url=BASE_URL, key_group=KEY_GROUP, now=now, viewer_address=VIEWER)


@pytest.mark.parametrize(
    ("conditions", "resource", "end", "start", "address"),
    [
        ({}, "{object}", END, None, None),
        ({"expires": timedelta(minutes=5), "scope": "object"}, "{object}", NOW + 300, None, None),
        ({"not_before": NOW - 10}, "{object}", END, NOW - 10, None),
        ({"not_before": datetime.fromtimestamp(NOW - 10, UTC)}, "{object}", END, NOW - 10, None),
        ({"ip_address": VIEWER, "expires": 5}, "{object}", NOW + 5, None, f"{VIEWER}/32"),
        ({"scope": "directory"}, f"{BASE_URL}/a%20b/*", END, None, None),
        ({"scope": "/a b/", "ip_address": "203.0.113.0/24"}, f"{BASE_URL}/a%20b/*", END, None, "203.0.113.0/24"),
        ({"scope": "/"}, f"{BASE_URL}/*", END, None, None),
    ],
)
def test_conditions_are_signed_whichever_way(
    conditions: Any, resource: str, end: int, start: Any, address: Any
) -> None:
    """URL, cookies and redirect prove the same resource, end, start and address, and so do the functions for a URL."""
    url, made = BASE_URL + SPELLED, distribution()
    signed = [made.sign(PATH, **conditions), fetch(made.redirect(PATH, **conditions), "/").location]
    cookies = [made.cookies(PATH, **conditions), signed_cookies(url, SIGNER, now=NOW, **conditions)]
    signed.append(signed_url(url, SIGNER, now=NOW, **conditions))
    assert all(text.startswith(f"{url}?") for text in signed)
    proofs = [verified(text, viewer_address=VIEWER) for text in signed] + [proven_by(each, SPELLED) for each in cookies]
    expected = (resource.format(object=url), end, start, address)
    for policy in (proof.policy for proof in proofs):
        assert (policy.resource, policy.end, policy.start, policy.ip_address) == expected


@pytest.mark.parametrize(
    ("scope", "inside", "resource"),
    [("/films/42/", "/films/42/hd/1.ts", "/films/42/*"), ("/a b/", "/a%20b/1", "/a%20b/*"), ("/", "/1", "/*")],
)
def test_a_query_opens_everything_below_its_scope(scope: str, inside: str, resource: str) -> None:
    """The query is put on any URL below the scope, with all conditions of a policy."""
    query = distribution().query(scope, not_before=NOW - 1, expires=5, ip_address=VIEWER)
    policy = verified(f"{BASE_URL}{inside}?{query}", viewer_address=VIEWER).policy
    assert (policy.end, policy.start, policy.ip_address) == (NOW + 5, NOW - 1, f"{VIEWER}/32")
    assert policy.resource == BASE_URL + resource


def test_query_and_file_name_are_put_into_the_url() -> None:
    """Parameters of the server's choice are signed with the object."""
    url = distribution().sign("/1.pdf", query=[("v", "a b")], filename="a.pdf")
    assert url.startswith(f"{BASE_URL}/1.pdf?v=a%20b&response-content-disposition=attachment%3B%20filename%3D")
    assert verified(url).policy.resource == url.partition("&Expires=")[0]


NO_OBJECT = ("", "/", "a", "/a/", "/a//b", "/a/../b", "/..", "/a\\b", "/a\n", "/\ud800", None, b"/a", f"/{'x' * 8192}")
NO_SCOPE = ("", "films/", "/films", "//", "/a//", "/a/../", "/a\\/", "directory", "object", None, b"/")
FOUR = ("sign", "cookies", "redirect", "query")


@pytest.mark.parametrize(
    ("method", "path"),
    [*((method, path) for method in FOUR[:3] for path in NO_OBJECT), *(("query", scope) for scope in NO_SCOPE)],
)
def test_a_path_that_cannot_be_an_object_or_a_scope_is_a_path_error(method: str, path: Any) -> None:
    """A view can answer it with 404, whatever its other arguments are."""
    with pytest.raises(PathError, match="scope=" if method == "query" else "."):
        getattr(distribution(), method)(path)


@pytest.mark.parametrize(
    ("conditions", "telling"),
    [
        *(({"expires": 0}, "expires=0"), ({"expires": NOW}, "a duration"), ({"scope": "a"}, "scope='a'")),
        *(({"scope": "/c/"}, "outside the scope"), ({"not_before": datetime(2027, 1, 1)}, "naive datetime")),
        *(({"not_before": END}, f"starts at {END} but ends at {END}"), ({"ip_address": "::1"}, "IPv6")),
    ],
)
def test_conditions_that_cannot_be_signed_are_config_errors(conditions: Any, telling: str) -> None:
    """Whichever way it is signed, the error says why not."""
    for method in FOUR[: 3 if "scope" in conditions else 4]:
        with pytest.raises(ConfigError, match=telling):
            getattr(distribution(), method)("/b/" if method == "query" else "/b/1", **conditions)
    for function in (signed_url, signed_cookies):
        with pytest.raises(ConfigError, match=telling):
            function(f"{BASE_URL}/b/1", SIGNER, now=NOW, **conditions)


@pytest.mark.parametrize(
    ("method", "name"),
    [(method, name) for method in FOUR for name in ("path", "headers", "answer", "now")]
    + [("cookies", "query"), ("cookies", "filename"), ("query", "scope"), ("query", "filename")],
)
def test_only_conditions_are_taken(method: str, name: str) -> None:
    """A keyword that is no condition of this method is a TypeError, as for any function."""
    with pytest.raises(TypeError, match=f"'{name}'"):
        getattr(distribution(), method)("/a/" if method == "query" else "/a", **{name: "/"})


def test_a_signer_that_fails_signs_nothing() -> None:
    """Every method raises the SigningError."""
    broken = distribution(signer=Fake(outcome=OSError("hardware")))
    for method in FOUR:
        with pytest.raises(SigningError, match="K1 failed with OSError"):
            getattr(broken, method)("/a/" if method == "query" else "/a")


@pytest.mark.parametrize(
    "name", ["domain", "key_pair_id", "private_key", "priv_key_string", "keys", "signer", "hash_algorithm"]
)
def test_a_gate_with_a_distribution_has_no_domain_and_no_keys(name: str) -> None:
    """Whichever was right, the error names both."""
    with pytest.raises(ConfigError, match=f"distribution and {name} are both given"):
        of(distribution(), **{name: "SHA256"})


def of(made: Distribution, **options: Any) -> CloudFrontGate:
    """Return a gate of this distribution."""
    return CloudFrontGate(None, Judge(), prefix="/private", distribution=made, **options)


def test_gates_share_a_distribution_and_its_clock() -> None:
    """A gate signs with the domain, keys, duration and clock of its distribution, which can be set from either."""
    made = distribution(f"{BASE_URL}/base", expires=5)
    first, second = of(made), of(made)
    assert first.distribution is made and first.sign("/1") == made.sign("/1") == fetch(second, "/private/1").location
    first.clock = lambda: NOW + 100
    assert second.clock() == made.clock() == NOW + 100
    policy = verified(fetch(second, "/private/1").location).policy
    assert (policy.resource, policy.end) == (f"{BASE_URL}/base/1", NOW + 105)


def test_a_gate_may_have_durations_of_its_own() -> None:
    """``expires`` and ``reuse_for`` beside a distribution hold for this gate alone, and must fit together."""
    made = distribution(expires=50, reuse_for=20)
    ends = [
        [end_of(fetch(of(made, **options), "/private/1").location) - NOW]
        for options in ({}, {"expires": 500}, {"reuse_for": 0}, {"expires": 500, "reuse_for": 500})
    ]
    assert ends == [[-(-(NOW + 50) // 20) * 20 - NOW], [-(-(NOW + 500) // 20) * 20 - NOW], [50], [500 + -NOW % 500]]
    assert end_of(made.sign("/1")) == -(-(NOW + 50) // 20) * 20
    for options in ({"reuse_for": 51}, {"expires": 19}):
        with pytest.raises(ConfigError, match="reuse_for=.*at most expires"):
            of(made, **options)


def test_a_gate_takes_nothing_else_for_a_distribution() -> None:
    """An address is the option ``domain``."""
    with pytest.raises(ConfigError, match="distribution is a str of .*; expected a Distribution"):
        of(BASE_URL)  # type: ignore[arg-type]  # the mistake under test


def test_a_distribution_shows_its_address_and_key_ids() -> None:
    """Its repr names nothing secret."""
    assert repr(distribution("CDN.example.com/base/")).startswith(f"<Distribution {BASE_URL}/base ")
    assert KEY_PAIR_ID in repr(distribution())
    assert distribution("CDN.example.com/base/").base_url == f"{BASE_URL}/base"


def test_all_problems_are_reported_together() -> None:
    """Domain, keys and durations are all checked."""
    with pytest.raises(ConfigError) as caught:
        Distribution("", key_pair_id="K1", expires=0, reuse_for=-1)
    starts = [problem.partition(":")[0] for problem in caught.value.problems]
    assert starts == ["domain=''", "expires=0", "reuse_for=-1", "private_key missing"]


def test_a_redirect_is_kept_by_no_cache() -> None:
    """It is the 303 of a gate without options."""
    answer = fetch(distribution().redirect("/1", filename="a.pdf"), "/")
    assert (answer.code, answer.body, answer.values("Cache-Control")) == (303, b"", ["private, no-store"])
    assert answer.values("Referrer-Policy") == ["no-referrer"]


def end_of(url: str) -> int:
    """Return when a signed URL of an object ends."""
    return int(parse_qs(urlsplit(url).query)["Expires"][0])


def _redirect(url: Any) -> Any:
    made = CloudFrontRedirect(url, authorize=lambda: True, signer=SIGNER)
    made.clock = lambda: NOW
    return fetch(made.go(), "/").location


DOORS: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (lambda url: signed_url(url, SIGNER, now=NOW), PathError, "url"),
    *((lambda url: signed_cookies(url, SIGNER, now=NOW), PathError, "url"), (_redirect, ConfigError, "location")),
]


@pytest.mark.parametrize(
    ("url", "resource"),
    [
        ("d111111abcdef8.cloudfront.net", "https://d111111abcdef8.cloudfront.net/"),
        ("http://dc1097jtk.cloudfront.net", "http://dc1097jtk.cloudfront.net/"),
        ("HTTPS://CDN.example.com:443/A", f"{BASE_URL}/A"),
        ("d111111abcdef8.cloudfront.net/a?x=1", "https://d111111abcdef8.cloudfront.net/a?x=1"),
        *((url, url) for url in ("http://127.0.0.1:8001/a", "http://[::1]:8000/a?u=https://x", f"{BASE_URL}/d/")),
        (f"{BASE_URL}/n%C3%A9%2A.pdf?v=1&w=%2A%20&x=",) * 2,
    ],
)
def test_a_spelled_url_is_signed_as_it_is(url: str, resource: str) -> None:
    """A URL is signed byte for byte, whichever way; a ``location`` may have any spelling of a host, and no path."""
    base_url = resource[: resource.index("/", 8)]
    for sign, _, _ in DOORS if url == resource else DOORS[2:]:
        signed = sign(url)
        if isinstance(signed, dict):
            assert signed["CloudFront-Expires"] == str(END)
            target = resource.removeprefix(base_url)
            assert verify_cookies(target, signed, base_url=base_url, key_group=KEY_GROUP, now=NOW).policy.end == END
        else:
            assert signed.startswith(f"{resource}{'&' if '?' in resource else '?'}Expires={END}&")
            assert verified(signed).policy.resource == resource


REFUSED_ANYWHERE: dict[str, tuple[Any, ...]] = {
    "a whole viewer URL": ("", None, b"https://cdn.example.com/a"),
    "Expires is reserved": (f"{BASE_URL}/a?Expires=1", signed_url(LOCATION, SIGNER, now=NOW)),  # not shown
    "'@' is refused": ("https://me@cdn.example.com/a",),
    "S3 or AWS host": ("https://bucket.s3.amazonaws.com/a",),
}
REFUSED_LOCATIONS: dict[str, tuple[Any, ...]] = {
    "the path must be": tuple(
        f"{BASE_URL}{path}"
        for path in ("/a b", "/é", "/*", "/%2a", "/%61", "/%FF", "//a", "/a//b", "/a/../b", "/a#b", '/a"')
    ),
    "the query must be": tuple(f"{BASE_URL}/a?{query}" for query in ("v=a b", "v=a+b", "v=*", "v=%2a", "v", "v=1&")),
    "policy is reserved": (f"{BASE_URL}/a?%70olicy=1",),
    "needs a name": (f"{BASE_URL}/a?=1",),
    "a host name": ("/reports/1.pdf", "//cdn.example.com/a"),
    "scheme 'ftp'": ("ftp://cdn.example.com/a",),
    "a backslash": ("https://cdn.example.com\\@evil.com/x",),
    "a fragment": (f"{BASE_URL}#x",),
}


@pytest.mark.parametrize(("url", "telling"), by(REFUSED_ANYWHERE | REFUSED_LOCATIONS))
def test_any_other_url_is_refused(url: Any, telling: str) -> None:
    """What could be read in another way is an error without its query; a ``location`` has our own spelling, too."""
    for sign, error, name in DOORS if telling in REFUSED_ANYWHERE else DOORS[2:]:
        with pytest.raises(error, match=f"^{name}=.*{telling}") as caught:
            sign(url)
        assert "Signature" not in str(caught.value).partition("CloudFront reads")[0]


WRITERS = pytest.mark.parametrize("write", [signed_url, signed_cookies])


@WRITERS
@pytest.mark.parametrize(
    ("signer", "now", "telling"),
    [
        *((None, NOW, "signer is missing: expected a Signer"), (Signer, NOW, "signer is .*type.*: expected a Signer")),
        *((SIGNER, bad, f"now={bad!r}.*epoch seconds") for bad in (-1, "noon", NOW * 1000, math.inf, math.nan)),
    ],
)
def test_signer_and_time_are_checked(write: Callable[..., object], signer: Any, now: Any, telling: str) -> None:
    """A missing signer, milliseconds, and a time that is not a number are errors that name it."""
    with pytest.raises(ConfigError, match=telling):
        write(LOCATION, signer, now=now)


@WRITERS
@pytest.mark.parametrize("now", [0, 0.5, NOW, EPOCH_END - 60])
def test_any_time_may_be_now(write: Callable[..., object], now: float) -> None:
    """The beginning of the epoch is a time, and not the same as none at all."""
    assert str(math.ceil(now) + 60) in str(write(LOCATION, SIGNER, now=now))


@pytest.mark.parametrize(
    "sign",
    [
        *(lambda: signed_url(LOCATION, SIGNER), lambda: Distribution(BASE_URL, signer=SIGNER).sign("/1")),
        lambda: fetch(CloudFrontRedirect(LOCATION, authorize=lambda: True, signer=SIGNER).go(), "/").location,
    ],
)
def test_the_clock_is_the_real_one(sign: Callable[[], str]) -> None:
    """Unless told otherwise, a signature is valid from now on."""
    before = time.time()
    assert before + 60 <= end_of(sign()) <= time.time() + 61
