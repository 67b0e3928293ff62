"""Signing: the same bytes as other signers, for as long as promised, for nothing wider than granted."""

from __future__ import annotations

import json
import math
import subprocess
import traceback
from collections.abc import Callable
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

from cfgate_middleware.errors import SigningError
from cfgate_middleware import Signer
from cfgate_middleware.signers import BaseSigner
from cfgate_middleware.signing import Signed, Terms, TooLong, Unsignable, sign
from cfgate_middleware._core.verdicts import Grant
from cfgate_middleware._core.encoding import MAX_COOKIE, MAX_URL, from_base64, is_clean, is_encodable, spell_path
from tests.conftest import KEY_PAIR_ID, KEYS, NOW

BASE_URL = "https://d111111abcdef8.cloudfront.net"
Query = tuple[tuple[str, str], ...]


class FakeSigner(BaseSigner):
    """A signer that remembers what it signed, and signs with a fixed text or fails."""

    def __init__(self, outcome: object = b"\xfb\xff\xfe", hash_algorithm: str = "SHA256") -> None:
        super().__init__("KFAKE", hash_algorithm)
        self.messages: list[bytes] = []
        self._outcome = outcome

    def sign(self, message: bytes) -> Any:
        """Keep the message and return or raise what was asked for."""
        self.messages.append(message)
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


def signed(
    signer: BaseSigner,
    grant: Grant | None = None,
    path: str = "/reports/1.pdf",
    *,
    query: Query = (),
    expires: int = 60,
    reuse_for: int = 0,
    now: float = NOW,
    base_url: str = BASE_URL,
) -> Signed:
    """Sign a grant for an object, with the tests' own defaults."""
    terms = Terms(base_url, expires, reuse_for)
    return sign(signer, grant or Grant(), terms, path, spell_path(path), query, now)


def resource_of(signer: FakeSigner) -> str:
    """Return the Resource of the one policy that was signed, read by an ordinary JSON parser."""
    (message,) = signer.messages
    resource: str = json.loads(message)["Statement"][0]["Resource"]
    return resource


def own_parameters(url: str) -> dict[str, str]:
    """Return CloudFront's parameters of a signed URL as they stand there."""
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


# Other signers


def botocore_signer() -> CloudFrontSigner:
    """Return botocore's signer with the tests' RSA key, which signs with SHA-1 as botocore expects."""
    key = load_pem_private_key((KEYS / "rsa-2048-pkcs1.pem").read_bytes(), password=None)
    assert isinstance(key, RSAPrivateKey)
    return CloudFrontSigner(KEY_PAIR_ID, lambda message: key.sign(message, PKCS1v15(), SHA1()))  # noqa: S303  # botocore's


BOTOCORE = botocore_signer()
RSA_SHA1 = Signer(KEY_PAIR_ID, (KEYS / "rsa-2048-pkcs1.pem").read_text(), "SHA1")


@given(paths, queries, st.integers(1, 604800))
def test_a_canned_url_is_botocores_byte_for_byte(path: str, query: Query, expires: int) -> None:
    """Given the URL we spell, botocore signs and writes the very same one."""
    ours = signed(RSA_SHA1, path=path, query=query, expires=expires)
    assert ours.to_url() == BOTOCORE.generate_presigned_url(ours.url, date_less_than=moment(NOW + expires))


@given(
    directories,
    paths,
    queries,
    st.sampled_from(["object", "directory", "explicit", "/"]),
    st.none() | st.integers(1, NOW + 59),
    st.none() | st.ip_addresses(v=4).map(str),
)
def test_a_custom_url_is_botocores_byte_for_byte(
    directory: str, name: str, query: Query, kind: str, start: int | None, address: str | None
) -> None:
    """Every combination of scope, start and address is the policy and the URL that botocore writes."""
    scope = directory if kind == "explicit" else kind
    grant = Grant(scope=scope, not_before=start, ip_address=address)
    path = directory[:-1] + name
    ours = signed(RSA_SHA1, grant, path, query=query)
    resource = {
        "object": ours.url,
        "directory": f"{BASE_URL}{spell_path(path[: path.rindex('/')])}/*",
        "explicit": f"{BASE_URL}{spell_path(directory)}*",
        "/": f"{BASE_URL}/*",
    }[kind]
    if grant.is_canned:
        theirs = {"date_less_than": moment(NOW + 60)}
    else:
        policy = BOTOCORE.build_policy(resource, moment(NOW + 60), moment(start), address)
        theirs = {"policy": policy}
    assert ours.to_url() == BOTOCORE.generate_presigned_url(ours.url, **theirs)


@pytest.mark.parametrize("query", [(), (("v", "1"),)], ids=["no query", "query"])
@pytest.mark.parametrize(
    "grant",
    [Grant(), Grant(scope="directory", not_before=NOW - 5, ip_address="203.0.113.0/24")],
    ids=["canned", "custom"],
)
def test_openssl_verifies_the_signature_in_the_url(
    signer: Signer, public_pem: Callable[[Signer], str], tmp_path: Path, grant: Grant, query: Query
) -> None:
    """The signature stands over the policy that CloudFront reads from the URL or rebuilds from it."""
    url = signed(signer, grant, "/réports/a*b.pdf", query=query).to_url()
    own = own_parameters(url)
    if grant.is_canned:
        resource = url.partition("&Expires" if query else "?Expires")[0]
        condition = '{"DateLessThan":{"AWS:EpochTime":' + own["Expires"] + "}}"
        policy = ('{"Statement":[{"Resource":"' + resource + '","Condition":' + condition + "}]}").encode("ascii")
    else:
        policy = from_base64(own["Policy"])
    public, signature = tmp_path / "public.pem", tmp_path / "signature"
    public.write_text(public_pem(signer))
    signature.write_bytes(from_base64(own["Signature"]))
    algorithm = f"-{signer.hash_algorithm.lower()}"
    command = ["openssl", "dgst", algorithm, "-verify", str(public), "-signature", str(signature)]
    done = subprocess.run(command, input=policy, capture_output=True, check=False)
    assert done.stdout.strip() == b"Verified OK", done.stderr
    assert (own["Key-Pair-Id"], own.get("Hash-Algorithm", "SHA1")) == (signer.key_pair_id, signer.hash_algorithm)


# How it is written


@pytest.mark.parametrize(
    ("query", "hash_algorithm", "url"),
    [
        ((), "SHA256", "/a?Expires=1800000060&Signature=-~~-&Key-Pair-Id=KFAKE&Hash-Algorithm=SHA256"),
        ((), "SHA1", "/a?Expires=1800000060&Signature=-~~-&Key-Pair-Id=KFAKE"),
        ((("v", "1 *"), ("w", "")), "SHA1", "/a?v=1%20%2A&w=&Expires=1800000060&Signature=-~~-&Key-Pair-Id=KFAKE"),
    ],
)
def test_a_signed_url_is_written_in_aws_order(query: Query, hash_algorithm: str, url: str) -> None:
    """Own parameters come first, then CloudFront's, and the hash algorithm only where it is not SHA-1."""
    assert signed(FakeSigner(hash_algorithm=hash_algorithm), path="/a", query=query).to_url() == BASE_URL + url


@pytest.mark.parametrize("grant", [Grant(), Grant(scope="/")], ids=["canned", "custom"])
def test_cookies_carry_what_the_url_carries(signer: Signer, grant: Grant) -> None:
    """Names and values of the cookies are the URL's parameters with a prefix."""
    written = signed(signer, grant)
    own = own_parameters(written.to_url())
    assert written.to_cookies() == {f"CloudFront-{name}": value for name, value in own.items()}


@given(paths, queries, st.sampled_from(["", "/base", "/b%C3%A9"]))
def test_what_is_signed_is_what_is_sent(path: str, query: Query, base_path: str) -> None:
    """The Resource is the URL, byte for byte, and it decodes to the path and the parameters that were granted."""
    signer = FakeSigner()
    written = signed(signer, path=path, query=query, base_url=BASE_URL + base_path)
    assert written.to_url().startswith(written.url + ("&" if query else "?"))
    assert resource_of(signer) == written.url
    parts = urlsplit(written.url)
    assert f"{parts.scheme}://{parts.netloc}" == BASE_URL
    assert unquote(parts.path, errors="strict") == unquote(base_path) + path
    assert tuple(parse_qsl(parts.query, keep_blank_values=True)) == query
    assert "*" not in written.url and parts.fragment == ""


@pytest.mark.parametrize(
    ("forwarded", "chosen", "query"),
    [
        ((("v", "1"),), {}, "?v=1"),
        ((("v", "1"), ("w", "2")), {"w": "3"}, "?v=1&w=3"),
        ((("v", "1"), ("w", "2")), [("v", "3"), ("v", "4")], "?w=2&v=3&v=4"),
        ((("v", "1"),), {"V": "2"}, "?v=1&V=2"),
        ((), {"response-content-type": "text/plain; a=b&c"}, "?response-content-type=text%2Fplain%3B%20a%3Db%26c"),
        ((), {"a": ""}, "?a="),
        ((), {}, ""),
    ],
)
def test_chosen_parameters_replace_forwarded_ones_of_the_same_name(forwarded: Query, chosen: Any, query: str) -> None:
    """The server's word stands, and no name that it chose is also the viewer's."""
    assert signed(FakeSigner(), Grant(query=chosen), "/a", query=forwarded).url == f"{BASE_URL}/a{query}"


@pytest.mark.parametrize("scope", ["object", "directory"])
def test_a_grant_may_name_another_object(scope: str) -> None:
    """The grant's path is signed in place of the requested one, and its directory is the one in scope."""
    signer = FakeSigner()
    written = signed(signer, Grant(path="/other/é.pdf", scope=scope), "/reports/1.pdf")
    assert written.url == f"{BASE_URL}/other/%C3%A9.pdf"
    assert resource_of(signer) == {"object": written.url, "directory": f"{BASE_URL}/other/*"}[scope]


# How long


@given(st.floats(0, 2**33), st.integers(1, 604800), st.none() | st.integers(1, 604800))
def test_a_grant_is_valid_for_what_was_promised_and_less_than_a_second_more(
    now: float, expires: int, own: int | None
) -> None:
    """The end is the first whole second at or after the promised one; the grant's own duration wins."""
    signer = FakeSigner()
    written = signed(signer, Grant(expires=own), expires=expires, now=now)
    promised = own or expires
    error = Fraction(math.ulp(now + promised))  # of the clock's own arithmetic: under two microseconds
    assert promised - error <= written.end - Fraction(now) < promised + 1
    assert own_parameters(written.to_url())["Expires"] == str(written.end)
    assert json.loads(signer.messages[0])["Statement"][0]["Condition"] == {
        "DateLessThan": {"AWS:EpochTime": written.end}
    }


durations = st.integers(1, 604800)
reuses = st.tuples(durations, durations).map(sorted)  # reuse_for and expires, which is not shorter


@given(st.integers(0, 2**33), reuses, st.none() | durations)
def test_a_reused_grant_is_valid_for_what_was_promised_and_one_window_more_at_most(
    now: int, reuse: list[int], own: int | None
) -> None:
    """The end is the next end of a window, which is no longer than the grant itself lasts."""
    reuse_for, expires = reuse
    end = signed(FakeSigner(), Grant(expires=own), expires=expires, reuse_for=reuse_for, now=now).end
    promised = own or expires
    window = min(reuse_for, promised)
    assert promised <= end - now <= promised + window
    assert end % window == 0


@given(st.floats(0, 2**33), reuses)
def test_between_two_seconds_a_reused_grant_is_valid_as_long(now: float, reuse: list[int]) -> None:
    """Rounding up to the second and then to the window is rounding up to the window."""
    reuse_for, expires = reuse
    end = signed(FakeSigner(), expires=expires, reuse_for=reuse_for, now=now).end
    error = Fraction(math.ulp(now + expires))
    assert expires - error <= end - Fraction(now) <= expires + reuse_for
    assert end == math.ceil((now + expires) / reuse_for) * reuse_for


@given(st.integers(1, 2**13), reuses, st.data())
def test_within_one_window_all_grants_of_an_object_are_one(number: int, reuse: list[int], data: st.DataObject) -> None:
    """From the first to the last moment of a window the URL is the same, and it is signed once."""
    reuse_for, expires = reuse
    last = (number + expires) * reuse_for - expires  # after it, the end of this window is too near
    ages = data.draw(st.lists(st.integers(0, reuse_for * 1000 - 1), max_size=5))
    moments = [last, last - reuse_for + 0.001, *(last - age / 1000 for age in ages)]
    signer = FakeSigner()
    urls = {signed(signer, expires=expires, reuse_for=reuse_for, now=now).to_url() for now in moments}
    assert len(urls) == len(signer.messages) == 1
    assert signed(signer, expires=expires, reuse_for=reuse_for, now=last + 1).to_url() not in urls


@pytest.mark.parametrize(("own", "ends"), [(None, (120, 120)), (10, (20, 30)), (30, (60, 60)), (90, (120, 120))])
def test_a_short_grant_has_a_short_window(own: int | None, ends: tuple[int, int]) -> None:
    """A grant of ten seconds is not stretched to the minute that other grants are reused for."""
    grant = Grant(expires=own)
    moments = (NOW + 1, NOW + 20)
    found = [signed(FakeSigner(), grant, expires=60, reuse_for=60, now=now).end - NOW for now in moments]
    assert NOW % 60 == 0
    assert tuple(found) == ends


@pytest.mark.parametrize("grant", [Grant(), Grant(scope="/", not_before=5, ip_address="203.0.113.7")])
@pytest.mark.parametrize(("reuse_for", "signatures"), [(0, 3), (60, 1)])
def test_a_signature_is_reused_only_if_it_was_asked_for(grant: Grant, reuse_for: int, signatures: int) -> None:
    """Equal policies, canned or custom, are signed once with ``reuse_for`` and each time without."""
    signer = FakeSigner()
    urls = [signed(signer, grant, reuse_for=reuse_for).to_url() for _ in range(3)]
    assert len(set(urls)) == 1
    assert len(signer.messages) == signatures


@pytest.mark.parametrize(
    ("grant", "path"),
    [
        (Grant(), "/reports/2.pdf"),
        (Grant(not_before=1), "/reports/1.pdf"),
        (Grant(scope="directory"), "/reports/1.pdf"),
        (Grant(ip_address="203.0.113.7"), "/reports/1.pdf"),
        (Grant(query={"v": "1"}), "/reports/1.pdf"),
        (Grant(filename="a.pdf"), "/reports/1.pdf"),
        (Grant(expires=61), "/reports/1.pdf"),
    ],
)
def test_what_is_reused_is_the_signature_of_the_very_same_policy(grant: Grant, path: str) -> None:
    """Whatever differs in a grant is signed anew."""
    signer = FakeSigner()
    first = signed(signer, reuse_for=60)
    other = signed(signer, grant, path, reuse_for=60)
    assert first.to_url() != other.to_url()
    assert len(set(signer.messages)) == 2


def test_a_scope_that_is_reused_opens_each_of_its_objects() -> None:
    """One signature over a directory stands in the URLs of all its files."""
    signer = FakeSigner()
    urls = [signed(signer, Grant(scope="/a/"), path, reuse_for=60).to_url() for path in ("/a/1", "/a/2")]
    assert len(signer.messages) == 1
    assert urls[1] == urls[0].replace("/a/1", "/a/2")


@pytest.mark.parametrize(("start", "fits"), [(NOW + 59, True), (NOW + 60, False), (NOW + 61, False)])
def test_a_grant_that_ends_before_it_starts_is_not_signed(start: int, fits: bool) -> None:
    """A start at or after the end leaves no moment of access."""
    signer = FakeSigner()
    if fits:
        signed(signer, Grant(not_before=start))
        condition = json.loads(signer.messages[0])["Statement"][0]["Condition"]
        assert condition["DateGreaterThan"] == {"AWS:EpochTime": start}
    else:
        with pytest.raises(Unsignable) as caught:
            signed(signer, Grant(not_before=start))
        assert str(caught.value) == f"the grant starts at {start} but ends at {NOW + 60} (epoch seconds)"
        assert signer.messages == []


# How wide

# Directory names that mean something to policies, JSON, URLs, shells or globs; all of them clean.
HOSTILE = ("*", "**", "?", '"', '","Condition":{}}]}', "a%2f..%2fb", "%2A", "...", "#", "{a,b}", "é", "\u2028", "a;b")
hostile_paths = st.lists(st.sampled_from(HOSTILE), min_size=2, max_size=5).map(lambda parts: "/" + "/".join(parts))


@given(hostile_paths, st.data())
def test_no_name_widens_a_scope(path: str, data: st.DataObject) -> None:
    """Whatever a directory is called, the Resource has one wildcard, which we put at its end."""
    parents = [path[: cut + 1] for cut, char in enumerate(path) if char == "/"]
    scope = data.draw(st.sampled_from(["directory", *parents]))
    signer = FakeSigner()
    written = signed(signer, Grant(scope=scope), path)
    resource = resource_of(signer)
    inside = parents[-1] if scope == "directory" else scope
    assert resource == f"{BASE_URL}{spell_path(inside)}*"
    assert (resource.count("*"), resource.count("?")) == (1, 0)
    assert written.url.startswith(resource[:-1])
    assert written.to_url().count("*") == 0


@given(hostile_paths)
def test_no_name_makes_an_object_a_wildcard(path: str) -> None:
    """A star or a question mark in a name is signed as its hex form, in canned and custom policies."""
    for grant in (Grant(), Grant(not_before=1)):
        signer = FakeSigner()
        signed(signer, grant, path)
        assert set(resource_of(signer)) & set('*?"\\<>#') == set()


@pytest.mark.parametrize("path", ["/1.pdf", "/*", "/a*b"])
def test_the_directory_of_an_object_at_the_root_must_be_written_out(path: str) -> None:
    """A scope of everything is never an accident of where an object lies."""
    signer = FakeSigner()
    with pytest.raises(Unsignable) as caught:
        signed(signer, Grant(scope="directory"), path)
    assert str(caught.value) == ("the object lies at the root of the distribution; write scope='/' to grant all of it")
    assert signer.messages == []
    signed(signer, Grant(scope="/"), path, base_url=f"{BASE_URL}/base")
    assert resource_of(signer) == f"{BASE_URL}/base/*"


@pytest.mark.parametrize(
    ("path", "scope"),
    [("/b/1.pdf", "/a/"), ("/ab/1.pdf", "/a/"), ("/a", "/a/"), ("/A/1.pdf", "/a/"), ("/a/1", "/*/"), ("/a/b", "/a/b/")],
)
def test_an_object_outside_its_scope_is_not_signed(path: str, scope: str) -> None:
    """A scope contains the object by whole directory names, letter for letter."""
    signer = FakeSigner()
    with pytest.raises(Unsignable, match="^the object lies outside the scope of its grant$"):
        signed(signer, Grant(scope=scope), path)
    assert signer.messages == []


# When it fails


@pytest.mark.parametrize(("length", "fits"), [(MAX_URL, True), (MAX_URL + 1, False)])
def test_a_url_that_cloudfront_would_refuse_for_its_length_is_an_error(length: int, fits: bool) -> None:
    """8,192 bytes are the most; the error tells the length and not the URL."""
    fill = length - len(signed(FakeSigner(), path="/").to_url())
    written = signed(FakeSigner(), path="/" + "a" * fill)
    if fits:
        assert len(written.to_url()) == length
    else:
        with pytest.raises(TooLong, match=f"^the signed URL is {length} bytes long; CloudFront takes {MAX_URL}$"):
            written.to_url()
    assert len(written.to_cookies()["CloudFront-Signature"]) == 4


@pytest.mark.parametrize(("length", "fits"), [(MAX_URL, True), (MAX_URL + 1, False)])
def test_cookies_are_for_urls_that_cloudfront_takes(length: int, fits: bool) -> None:
    """A clean URL over 8,192 bytes is refused by CloudFront, whatever cookies come with it."""
    written = signed(FakeSigner(), path="/" + "a" * (length - len(BASE_URL) - 1))
    assert len(written.url) == length
    if fits:
        assert "CloudFront-Expires" in written.to_cookies()
    else:
        with pytest.raises(TooLong, match=f"^the URL is {length} bytes long; CloudFront takes {MAX_URL}$"):
            written.to_cookies()


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
def test_a_cookie_that_browsers_would_drop_is_an_error(more: int, fits: bool) -> None:
    """4,096 bytes of name and value are the most that browsers must keep; the error tells the length alone."""
    spare = MAX_COOKIE - len("CloudFront-Signature")
    assert spare % 4 == 0  # so a signature of full base64 groups can fill it
    written = signed(FakeSigner(b"a" * (spare // 4 * 3 + more)))
    if fits:
        assert len(written.to_cookies()["CloudFront-Signature"]) == spare
    else:
        with pytest.raises(TooLong) as caught:
            written.to_cookies()
        assert str(caught.value) == f"a signed cookie is {MAX_COOKIE + 4} bytes long; browsers keep {MAX_COOKIE}"


def test_a_policy_too_long_for_a_cookie_may_fit_a_url() -> None:
    """URLs hold twice as much as cookies."""
    written = signed(FakeSigner(), Grant(scope="directory"), "/" + "a" * 3000 + "/b")
    assert len(written.to_url()) <= MAX_URL
    with pytest.raises(TooLong, match=r"^a signed cookie is 41\d\d bytes long; browsers keep 4096$"):
        written.to_cookies()


@pytest.mark.parametrize(
    ("outcome", "what"),
    [
        (b"", "bytes of length 0"),
        ("signature", "a str of 9 characters"),
        (None, "None"),
        (bytearray(b"signature"), "bytearray of length 9"),
        (True, "an object of type bool"),
    ],
)
@pytest.mark.parametrize("grant", [Grant(), Grant(scope="/")], ids=["canned", "custom"])
def test_a_signer_that_returns_no_signature_fails(grant: Grant, outcome: object, what: str) -> None:
    """An empty or wrong signature is an error, never a URL."""
    with pytest.raises(SigningError) as caught:
        signed(FakeSigner(outcome), grant)
    assert str(caught.value) == f"signer KFAKE returned {what} instead of a signature"


@pytest.mark.parametrize("error", [RuntimeError("secret"), TimeoutError("secret"), KeyError("secret")])
def test_a_signer_that_raises_fails_with_its_error_as_the_cause(error: Exception) -> None:
    """The message names the key and the kind of failure; what the signer said is kept as the cause alone."""
    with pytest.raises(SigningError) as caught:
        signed(FakeSigner(error))
    assert str(caught.value) == f"signer KFAKE failed with {type(error).__name__}"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("outcome", [b"", RuntimeError(), SigningError("the key service is down")])
def test_a_failure_to_sign_is_not_remembered(outcome: Any) -> None:
    """With ``reuse_for`` too, the next request asks the signer again."""
    signer = FakeSigner(outcome)
    for _ in range(2):
        with pytest.raises(SigningError):
            signed(signer, reuse_for=60)
    assert len(signer.messages) == 2
    signer._outcome = b"signature"
    assert signed(signer, reuse_for=60).signature == "c2lnbmF0dXJl"


def test_a_signing_error_of_the_signer_itself_passes_through() -> None:
    """A signer that speaks this package's language is not wrapped."""
    error = SigningError("the key service is down")
    with pytest.raises(SigningError) as caught:
        signed(FakeSigner(error))
    assert caught.value is error


def test_an_interrupt_is_no_failure_of_the_signer() -> None:
    """Stopping the process is not turned into an error of ours."""
    with pytest.raises(KeyboardInterrupt):
        signed(FakeSigner(KeyboardInterrupt()))


def test_no_failure_tells_the_url_or_the_policy() -> None:
    """Whole tracebacks of every failure are free of what was about to be signed."""
    attempts: list[Callable[[], object]] = [
        lambda: signed(FakeSigner(RuntimeError())),
        lambda: signed(FakeSigner(None)),
        lambda: signed(FakeSigner(), path="/" + "a" * MAX_URL).to_url(),
        lambda: signed(FakeSigner(), path="/" + "a" * MAX_URL).to_cookies(),
        lambda: signed(FakeSigner(), Grant(scope="/"), "/" + "a" * MAX_URL).to_url(),
        lambda: signed(FakeSigner(), Grant(scope="/b/")),
    ]
    for attempt in attempts:
        with pytest.raises((SigningError, Unsignable)) as caught:
            attempt()
        text = "".join(traceback.format_exception(caught.value))
        assert BASE_URL not in text
        assert "EpochTime" not in text


@pytest.mark.parametrize("grant", [Grant(), Grant(scope="/")], ids=["canned", "custom"])
def test_the_repr_of_a_signed_grant_tells_no_signature(grant: Grant) -> None:
    """Debuggers and error trackers show reprs of local variables; this one could be replayed."""
    written = signed(FakeSigner(), grant)
    assert repr(written) == f"<Signed {written.statement} by KFAKE until {written.end}>"
