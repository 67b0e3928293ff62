"""Signing: the same bytes as other signers, for as long as promised, for nothing wider than granted."""

from __future__ import annotations

import functools
import json
import math
import subprocess
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from cfgate_middleware import ConfigError, Distribution, PathError, Signer, SigningError
from cfgate_middleware._core.encoding import from_base64, is_clean, is_encodable, spell_path
from cfgate_middleware._core.policy import canned_policy
from cfgate_middleware.verify import WrongResource, verify_url
from tests.conftest import KEY_PAIR_ID, KEYS, NOW
from tests.signed import items, with_items
from tests.support import BASE_URL, KEY_GROUP, SIGNER, Fake, PublicPem

MAX_URL, MAX_COOKIE = 8192, 4096
Query = tuple[tuple[str, str], ...]


class Spy(Fake):
    """A signer that tells what was said in the one policy that it signed."""

    def __init__(self, outcome: object = b"\xfb\xff\xfe", hash_algorithm: str = "SHA256") -> None:
        super().__init__("KFAKE", hash_algorithm, outcome)

    @property
    def statement(self) -> dict[str, Any]:
        """Its statement, read by an ordinary JSON parser."""
        (message,) = self.messages
        ((statement,),) = json.loads(message).values()
        return dict(statement)

    @property
    def resource(self) -> str:
        """Its Resource."""
        return str(self.statement["Resource"])


def at(now: float, signer: Any, base_url: str = BASE_URL, **options: Any) -> Distribution:
    """Return a distribution whose clock shows ``now``."""
    distribution = Distribution(base_url, signer=signer, **options)
    distribution.clock = lambda: now
    return distribution


def end_of(url: str) -> int:
    """Return when a canned URL ends."""
    return int(own_parameters(url)["Expires"])


def clean(url: str) -> str:
    """Return a signed URL without CloudFront's parameters, which are its last ones."""
    return min(url.partition(f"{separator}{name}=")[0] for separator in "?&" for name in ("Expires", "Policy"))


def own_parameters(url: str) -> dict[str, str]:
    """Return the parameters of a signed URL."""
    return dict(parse_qsl(urlsplit(url).query, strict_parsing=True, keep_blank_values=True))


def moment(epoch: int | None) -> datetime | None:
    """Return an aware datetime, which leaves botocore no time zone to guess."""
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC)


paths = (
    st.text(min_size=1)
    .map(lambda text: f"/{text}")
    .filter(lambda path: is_encodable(path) and is_clean(path) and path[-1] != "/")
)
names = st.text(st.characters(codec="utf-8"), min_size=1).map(lambda name: f"x{name}")
queries = st.lists(st.tuples(names, st.text(st.characters(codec="utf-8"))), max_size=3).map(tuple)
directories = st.sampled_from(["/a/", "/a b/é/", "/*/", "/a?b/#/"])
PLAIN_AND_WIDE: list[Any] = [{}, {"scope": "directory", "not_before": NOW - 5, "ip_address": "203.0.113.0/24"}]


KEY = load_pem_private_key((KEYS / "rsa-2048-pkcs1.pem").read_bytes(), password=None)
assert isinstance(KEY, RSAPrivateKey)
BOTOCORE = CloudFrontSigner(KEY_PAIR_ID, functools.partial(KEY.sign, padding=PKCS1v15(), algorithm=SHA1()))  # noqa: S303  # botocore's
RSA_SHA1 = at(NOW, Signer(KEY_PAIR_ID, KEYS / "rsa-2048-pkcs1.pem", "SHA1"))


@given(paths, queries, st.integers(1, 604800))
def test_a_canned_url_is_botocores_byte_for_byte(path: str, query: Query, expires: int) -> None:
    """Given the URL we spell, botocore signs and writes the very same one."""
    ours = RSA_SHA1.sign(path, query=query, expires=expires)
    assert ours == BOTOCORE.generate_presigned_url(clean(ours), date_less_than=moment(NOW + expires))


@given(
    *(directories, paths, queries, st.sampled_from(["object", "directory", "explicit", "/"])),
    *(st.none() | st.integers(1, NOW + 59), st.none() | st.ip_addresses(v=4).map(str)),
)
def test_a_custom_url_is_botocores_byte_for_byte(
    directory: str, name: str, query: Query, kind: str, start: int | None, address: str | None
) -> None:
    """Every combination of scope, start and address is the policy and the URL that botocore writes."""
    path, scope = directory[:-1] + name, directory if kind == "explicit" else kind
    ours = RSA_SHA1.sign(path, query=query, scope=scope, not_before=start, ip_address=address)
    parent = {"directory": path[: path.rindex("/") + 1], "explicit": directory, "/": "/"}.get(kind)
    resource = clean(ours) if parent is None else f"{BASE_URL}{spell_path(parent)}*"
    theirs: dict[str, Any] = {"date_less_than": moment(NOW + 60)}
    if kind != "object" or start is not None or address is not None:
        theirs = {"policy": BOTOCORE.build_policy(resource, moment(NOW + 60), moment(start), address)}
    assert ours == BOTOCORE.generate_presigned_url(clean(ours), **theirs)


@pytest.mark.parametrize("query", [{}, {"v": "1"}], ids=["no query", "query"])
@pytest.mark.parametrize("conditions", PLAIN_AND_WIDE, ids=["canned", "custom"])
def test_openssl_verifies_the_signature_in_the_url(
    signer: Signer, public_pem: PublicPem, tmp_path: Path, conditions: Any, query: dict[str, str]
) -> None:
    """The signature is one over the policy that CloudFront reads from the URL or rebuilds from it."""
    url = at(NOW, signer).sign("/réports/a*b.pdf", query=query, **conditions)
    own = own_parameters(url)
    if "Policy" in own:
        policy = from_base64(own["Policy"])
    else:
        condition = '{"DateLessThan":{"AWS:EpochTime":' + own["Expires"] + "}}"
        policy = ('{"Statement":[{"Resource":"' + clean(url) + '","Condition":' + condition + "}]}").encode("ascii")
    public, signature = tmp_path / "public.pem", tmp_path / "signature"
    public.write_text(public_pem(signer))
    signature.write_bytes(from_base64(own["Signature"]))
    algorithm = f"-{signer.hash_algorithm.lower()}"
    command: list[str | Path] = ["openssl", "dgst", algorithm, "-verify", public, "-signature", signature]
    done = subprocess.run(command, input=policy, capture_output=True, check=False)
    assert done.stdout.strip() == b"Verified OK", done.stderr
    assert (own["Key-Pair-Id"], own.get("Hash-Algorithm", "SHA1")) == (signer.key_pair_id, signer.hash_algorithm)


@pytest.mark.parametrize(
    ("query", "hash_algorithm", "url"),
    [
        ({}, "SHA256", "/a?Expires=1800000060&Signature=-~~-&Key-Pair-Id=KFAKE&Hash-Algorithm=SHA256"),
        ({}, "SHA1", "/a?Expires=1800000060&Signature=-~~-&Key-Pair-Id=KFAKE"),
        ({"v": "1 *", "w": ""}, "SHA1", "/a?v=1%20%2A&w=&Expires=1800000060&Signature=-~~-&Key-Pair-Id=KFAKE"),
    ],
)
def test_a_signed_url_is_written_in_aws_order(query: dict[str, str], hash_algorithm: str, url: str) -> None:
    """Own parameters come first, then CloudFront's, and the hash algorithm only where it is not SHA-1."""
    assert at(NOW, Spy(hash_algorithm=hash_algorithm)).sign("/a", query=query) == BASE_URL + url


def test_url_query_and_cookies_carry_the_same(signer: Signer) -> None:
    """Names and values of the cookies are the URL's parameters with a prefix, canned and custom."""
    if not signer.deterministic:
        pytest.skip("this OpenSSL signs differently each time")
    distribution = at(NOW, signer)
    for scope in ("object", "/"):
        url = distribution.sign("/a/1", scope=scope)
        own = {f"CloudFront-{name}": value for name, value in own_parameters(url).items()}
        assert distribution.cookies("/a/1", scope=scope) == own
    assert url == f"{BASE_URL}/a/1?{distribution.query('/')}"


@given(paths, queries, st.sampled_from(["", "/base", "/b%C3%A9"]))
def test_what_is_signed_is_what_is_sent(path: str, query: Query, base_path: str) -> None:
    """The Resource is the URL, byte for byte, and it decodes to the path and the parameters that were granted."""
    signer = Spy()
    signed = at(NOW, signer, BASE_URL + base_path).sign(path, query=query)
    assert signed.startswith(signer.resource + ("&" if query else "?") + "Expires=")
    parts = urlsplit(signer.resource)
    assert f"{parts.scheme}://{parts.netloc}" == BASE_URL
    assert unquote(parts.path, errors="strict") == unquote(base_path) + path
    assert tuple(parse_qsl(parts.query, keep_blank_values=True)) == query
    assert "*" not in signer.resource and parts.fragment == ""


@given(st.floats(0, 2**33), st.integers(1, 604800), st.none() | st.integers(1, 604800))
def test_a_grant_is_valid_as_promised_and_less_than_a_second_more(now: float, expires: int, own: int | None) -> None:
    """The end is the first whole second at or after the promised one; the grant's own duration wins."""
    signer = Spy()
    end = end_of(at(now, signer, expires=expires).sign("/a", expires=own))
    promised = own or expires
    error = Fraction(math.ulp(now + promised))  # of the clock's own arithmetic: under two microseconds
    assert promised - error <= end - Fraction(now) < promised + 1
    assert signer.statement["Condition"] == {"DateLessThan": {"AWS:EpochTime": end}}


durations = st.integers(1, 604800)
reuses = st.tuples(durations, durations).map(sorted)  # reuse_for and expires, which is not shorter


@given(st.integers(0, 2**33), reuses, st.none() | durations)
def test_a_reused_grant_is_valid_one_window_more_at_most(now: int, reuse: list[int], own: int | None) -> None:
    """The end is the next end of a window, which is no longer than the grant itself lasts."""
    reuse_for, expires = reuse
    end = end_of(at(now, Spy(), expires=expires, reuse_for=reuse_for).sign("/a", expires=own))
    promised = own or expires
    window = min(reuse_for, promised)
    assert promised <= end - now <= promised + window
    assert end % window == 0


@given(st.floats(0, 2**33), reuses)
def test_between_two_seconds_a_reused_grant_is_valid_as_long(now: float, reuse: list[int]) -> None:
    """Rounding up to the second and then to the window is rounding up to the window."""
    reuse_for, expires = reuse
    end = end_of(at(now, Spy(), expires=expires, reuse_for=reuse_for).sign("/a"))
    error = Fraction(math.ulp(now + expires))
    assert expires - error <= end - Fraction(now) <= expires + reuse_for
    assert end == math.ceil((now + expires) / reuse_for) * reuse_for


@given(st.integers(1, 2**13), reuses, st.data())
def test_within_one_window_all_grants_of_an_object_are_one(number: int, reuse: list[int], data: st.DataObject) -> None:
    """From the first to the last instant of a window the URL is the same, and it is signed once."""
    reuse_for, expires = reuse
    last = (number + expires // reuse_for + 1) * reuse_for - expires  # after it, the end of this window is too near
    ages = data.draw(st.lists(st.integers(0, reuse_for * 1000 - 1), max_size=5))
    signer = Spy()
    distribution = at(last, signer, expires=expires, reuse_for=reuse_for)
    times = iter([last, last - reuse_for + 0.001, *(last - age / 1000 for age in ages), last + 1])
    distribution.clock = lambda: next(times)
    urls = {distribution.sign("/a") for _ in range(len(ages) + 2)}
    assert len(urls) == len(signer.messages) == 1
    assert distribution.sign("/a") not in urls


@pytest.mark.parametrize(("own", "ends"), [(None, [120, 120]), (10, [20, 30]), (30, [60, 60]), (90, [120, 120])])
def test_a_short_grant_has_a_short_window(own: int | None, ends: list[int]) -> None:
    """A grant of ten seconds is not stretched to the minute that other grants are reused for."""
    assert NOW % 60 == 0
    made = [at(now, Spy(), expires=60, reuse_for=60) for now in (NOW + 1, NOW + 20)]
    assert [end_of(each.sign("/a", expires=own)) - NOW for each in made] == ends


@pytest.mark.parametrize(
    ("path", "conditions"),
    [
        *(("/reports/2.pdf", {}), ("/reports/1.pdf", {"not_before": 1}), ("/reports/1.pdf", {"scope": "directory"})),
        *(("/reports/1.pdf", {"ip_address": "203.0.113.7"}), ("/reports/1.pdf", {"query": {"v": "1"}})),
        *(("/reports/1.pdf", {"filename": "a.pdf"}), ("/reports/1.pdf", {"expires": 61})),
    ],
)
def test_what_is_reused_is_the_signature_of_the_very_same_policy(path: str, conditions: dict[str, Any]) -> None:
    """Whatever differs in a grant is signed on its own."""
    signer = Spy()
    distribution = at(NOW, signer, reuse_for=60)
    assert distribution.sign("/reports/1.pdf") != distribution.sign(path, **conditions)
    assert len(set(signer.messages)) == 2


@pytest.mark.parametrize(("start", "fits"), [(NOW + 59, True), (NOW + 60, False), (NOW + 61, False)])
def test_a_grant_that_ends_before_it_starts_is_not_signed(start: int, fits: bool) -> None:
    """A start at or after the end leaves no time of access."""
    signer = Spy()
    if fits:
        at(NOW, signer).sign("/a", not_before=start)
        assert signer.statement["Condition"]["DateGreaterThan"] == {"AWS:EpochTime": start}
    else:
        with pytest.raises(ConfigError, match=f"starts at {start} but ends at {NOW + 60}"):
            at(NOW, signer).sign("/a", not_before=start)
        assert signer.messages == []


# Directory names that mean something to policies, JSON, URLs, shells or globs; all of them clean.
HOSTILE = ("*", "**", "?", '"', '","Condition":{}}]}', "a%2f..%2fb", "%2A", "...", "#", "{a,b}", "é", "\u2028", "a;b")
hostile_paths = st.lists(st.sampled_from(HOSTILE), min_size=2, max_size=5).map(lambda parts: "/" + "/".join(parts))


@given(hostile_paths, st.data())
def test_no_name_widens_a_scope(path: str, data: st.DataObject) -> None:
    """Whatever a directory is called, the Resource has one wildcard, which we put at its end."""
    parents = [path[: cut + 1] for cut, char in enumerate(path) if char == "/"]
    scope = data.draw(st.sampled_from(["directory", *parents]))
    signer = Spy()
    url = at(NOW, signer).sign(path, scope=scope)
    inside = parents[-1] if scope == "directory" else scope
    assert signer.resource == f"{BASE_URL}{spell_path(inside)}*"
    assert (signer.resource.count("*"), signer.resource.count("?"), url.count("*")) == (1, 0, 0)
    assert url.startswith(signer.resource[:-1])


@given(hostile_paths)
def test_no_name_makes_an_object_a_wildcard(path: str) -> None:
    """A star or a question mark in a name is signed as its hex form, in canned and custom policies."""
    for start in (None, 1):
        signer = Spy()
        at(NOW, signer).sign(path, not_before=start)
        assert set(signer.resource) & set('*?"\\<>#') == set()


NASTY = st.text(st.sampled_from("*?\"%+/&=#<>{}[]:,.;'ab1é日\u2028 "), max_size=8)


@given(NASTY, NASTY, NASTY)
def test_a_canned_signature_replayed_as_a_wildcard_widens_nothing(name: str, value: str, other: str) -> None:
    """The bytes of a canned policy, sent as ``Policy=``, grant the one URL they were signed for and no other."""
    distribution = at(NOW, SIGNER)
    try:
        urls = [
            distribution.sign(f"/x{path}", query=query)
            for path in (name, other, name + other)
            for query in ({"q": value}, {"q": other}, {"q": value + other}, {"q": value, "r": other}, {})
        ]
    except PathError:
        return  # a path with dot or empty segments
    url = clean(urls[0])
    replayed = items(SIGNER, canned_policy(url, NOW + 60))
    assert replayed["Signature"] == own_parameters(urls[0])["Signature"] or not SIGNER.deterministic
    for chosen in map(clean, urls):
        target = with_items(chosen.removeprefix(BASE_URL), replayed)
        if chosen == url:
            assert verify_url(target, base_url=BASE_URL, key_group=KEY_GROUP, now=NOW)
        else:
            with pytest.raises(WrongResource):
                verify_url(target, base_url=BASE_URL, key_group=KEY_GROUP, now=NOW)


@pytest.mark.parametrize("path", ["/1.pdf", "/*", "/a*b"])
def test_the_directory_of_an_object_at_the_root_must_be_written_out(path: str) -> None:
    """A scope of everything is never an accident of where an object lies."""
    signer = Spy()
    distribution = at(NOW, signer, f"{BASE_URL}/base")
    with pytest.raises(ConfigError, match="root of the distribution; write scope='/'"):
        distribution.sign(path, scope="directory")
    assert signer.messages == []
    distribution.sign(path, scope="/")
    assert signer.resource == f"{BASE_URL}/base/*"


@pytest.mark.parametrize(
    ("path", "scope"),
    [("/b/1.pdf", "/a/"), ("/ab/1.pdf", "/a/"), ("/a", "/a/"), ("/A/1.pdf", "/a/"), ("/a/1", "/*/"), ("/a/b", "/a/b/")],
)
def test_an_object_outside_its_scope_is_not_signed(path: str, scope: str) -> None:
    """A scope contains the object by whole directory names, letter for letter."""
    signer = Spy()
    with pytest.raises(ConfigError, match="outside the scope"):
        at(NOW, signer).sign(path, scope=scope)
    assert signer.messages == []


@pytest.mark.parametrize("over", [0, 1])
def test_a_url_that_cloudfront_would_refuse_for_its_length_is_an_error(over: int) -> None:
    """8,192 bytes are the most, signed or, with cookies, clean; the error says the length and not the URL."""
    distribution = at(NOW, Spy())
    signed = "/" + "a" * (MAX_URL - len(distribution.sign("/a")) + 1 + over)
    longest = "/" + "a" * (MAX_URL - len(BASE_URL) - 1 + over)
    if not over:
        assert len(distribution.sign(signed)) == MAX_URL
        assert len(distribution.cookies(longest)["CloudFront-Signature"]) == 4
    for attempt in (lambda: distribution.sign(signed), lambda: distribution.cookies(longest)) if over else ():
        with pytest.raises(PathError, match=f"URL is {MAX_URL + 1} bytes long; .* {MAX_URL}$") as caught:
            attempt()
        assert BASE_URL not in str(caught.value)
    assert distribution.cookies(signed)


@pytest.mark.parametrize("over", [0, 1])
def test_a_cookie_that_browsers_would_drop_is_an_error(over: int) -> None:
    """4,096 bytes of name and value are the most that browsers must keep; URLs hold twice as much."""
    spare = MAX_COOKIE - len("CloudFront-Signature")
    assert spare % 4 == 0  # so a signature of full base64 groups can fill it
    distribution = at(NOW, Spy(b"a" * (spare // 4 * 3 + over)))
    if over:
        with pytest.raises(PathError, match=f"cookie is {MAX_COOKIE + 4} bytes long; .* {MAX_COOKIE}$"):
            distribution.cookies("/a")
    else:
        assert len(distribution.cookies("/a")["CloudFront-Signature"]) == spare
    distribution = at(NOW, Spy())
    with pytest.raises(PathError, match=r"cookie is 41\d\d bytes long"):
        distribution.cookies("/" + "a" * 3000 + "/b", scope="directory")
    assert distribution.sign("/" + "a" * 3000 + "/b", scope="directory")


FAILURES = [
    *((b"", "returned bytes of length 0"), ("signature", "returned a str of 9 characters"), (None, "returned None")),
    *((bytearray(b"secret"), "returned bytearray of length 6"), (True, "returned an object of type bool")),
    *((kind("secret"), f"failed with {kind.__name__}$") for kind in (RuntimeError, TimeoutError, KeyError)),
]


@pytest.mark.parametrize(("outcome", "what"), FAILURES)
@pytest.mark.parametrize("scope", ["object", "/"], ids=["canned", "custom"])
@pytest.mark.parametrize("reuse_for", [0, 60])
def test_a_signer_that_fails_is_an_error_each_time(reuse_for: int, scope: str, outcome: object, what: str) -> None:
    """The message names the key and the kind of failure, and shows no result; the next request asks again."""
    signer = Spy(outcome)
    distribution = at(NOW, signer, reuse_for=reuse_for)
    for _ in range(2):
        with pytest.raises(SigningError, match=f"^signer KFAKE {what}") as caught:
            distribution.sign("/a", scope=scope)
        assert caught.value.__cause__ is (outcome if isinstance(outcome, Exception) else None)
        assert "secret" not in str(caught.value)
    assert len(signer.messages) == 2
    signer.outcome = b"signature"
    assert "&Signature=c2lnbmF0dXJl&" in distribution.sign("/a", scope=scope)


@pytest.mark.parametrize("error", [SigningError("the key service is down"), KeyboardInterrupt()])
def test_a_signing_error_of_the_signer_itself_passes_through(error: BaseException) -> None:
    """A signer that speaks this package's language is not wrapped, nor is an interrupt a failure to sign."""
    with pytest.raises(type(error)) as caught:
        at(NOW, Spy(error)).sign("/a")
    assert caught.value is error
