"""URLs: paths that servers could read differently, the address of a distribution, locations, and reserved names."""

from __future__ import annotations

import logging
import posixpath
import re
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cfgate_middleware import CloudFrontRedirect, ConfigError, Distribution, Grant
from cfgate_middleware._core.urls import RESERVED, folds_into, parse_base_url
from tests.support import SIGNER
from tests.test_encoding import odd_paths

segments = st.text("abcABC019._~-", min_size=1, max_size=8).filter(lambda segment: segment not in (".", ".."))


# Folding


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        # a prefix is whole segments
        ("/private", True),
        ("/private/x", True),
        ("/privatefoo/x", False),
        ("/private../x", False),
        ("/private.bak", False),
        # dot segments
        ("/private/../x", False),
        ("/public/../private/x", True),
        ("/../private/x", True),
        ("/../../private", True),
        ("/public/../private/../x", False),
        ("/a/b/../../private/x", True),
        ("/private/..", False),
        # one decoding: an encoded prefix is not the prefix
        ("/private%2e/x", False),
        ("/public/%2e%2e/private/x", False),
        # dots and slashes in front and between
        ("/./private/x", True),
        ("//private/x", True),
        ("///private", True),
        ("/private//x", True),
        ("/private/./x", True),
        ("/.//./private/x", True),
        ("/public//../private/x", True),
        ("//public/../../private/x", True),
        # the empty segment is something for '..' to remove, or it is not
        ("/private//../x", True),
        ("/x//../../private/y", True),
        # a decoded slash is a slash
        ("/private/alice/../bob/x", True),
        # a semicolon is an ordinary character
        ("/private;x=1/a", False),
        ("/private/a;/../b", True),
        ("/public/..;/private/x", False),
        # a backslash is a separator, or it is not
        ("/private\\x", True),
        ("\\private\\x", True),
        ("/public\\..\\private\\x", True),
        ("/private/..\\..\\x", True),
        ("/private\\..\\x", False),
        ("/public/a\\b/../../private/x", True),
        # targets that are not a path
        ("private/x", True),
        ("http://evil.com/private/x", True),
        ("HTTP://evil.com/public/../private/x", True),
        ("http:\\\\evil.com\\private\\x", True),
        ("http://evil.com\\private\\x", True),
        ("http://evil.com/x", False),
        ("http://evil.com", False),
        ("x/http://evil.com/private/x", False),
        ("", False),
        ("*", False),
        # letter case matters
        ("/PRIVATE/x", False),
        ("/./PRIVATE/x", False),
    ],
)
def test_paths_that_some_reader_takes_for_private_ones(path: str, inside: bool) -> None:
    """A path counts as inside if any usual way of normalising it leads there, and only then."""
    assert folds_into(path, "/private") is inside
    assert folds_into(path, "")  # the prefix that is the whole site covers every path


def test_empty_segments_may_be_dropped_after_dot_segments_are_resolved() -> None:
    """Resolved first and squeezed later, a path can lead where neither step alone would."""
    assert folds_into("/a//b//../../private/x", "/a/private")


detours = st.lists(
    st.sampled_from(["/.", "/", "/x/..", "/x/./..", "/x/y/../..", "/x//.."]), min_size=1, max_size=4
).map("".join)


@given(st.lists(segments, max_size=4), st.lists(detours, min_size=6, max_size=6), st.booleans(), st.booleans())
def test_no_detour_hides_an_inside_path(
    names: list[str], around: list[str], backslashes: bool, absolute_form: bool
) -> None:
    """Dots, empty segments and there-and-back segments at any boundary leave an inside path recognised."""
    path = "".join(f"{detour}/{name}" for detour, name in zip(around, ["private", *names], strict=False))
    if backslashes:
        path = path.replace("/", "\\")
    assert folds_into(f"http://evil.com{path}" if absolute_form else path, "/private")


@given(odd_paths)
def test_folding_never_misses_what_posixpath_finds(path: str) -> None:
    """The standard library's normalisation is one of the readings."""
    assume(not path.startswith("http://h"))
    if f"{posixpath.normpath(f'/{path}').lstrip('/')}/".startswith("a/"):
        assert folds_into(path, "/a")


@given(st.lists(segments, min_size=1).map(lambda names: "/" + "/".join(names)))
def test_a_clean_path_folds_into_its_own_directories_only(path: str) -> None:
    """For a clean path nothing is guessed: it is inside exactly where its text says so."""
    assert folds_into(path, "/a") == f"{path}/".startswith("/a/")


# The address of a distribution


@pytest.mark.parametrize(
    ("domain", "base_url"),
    [
        ("https://d111111abcdef8.cloudfront.net", "https://d111111abcdef8.cloudfront.net"),
        ("d111111abcdef8.cloudfront.net", "https://d111111abcdef8.cloudfront.net"),
        ("HTTPS://CDN.Example.COM:443/", "https://cdn.example.com"),
        ("http://cdn.example.com:80", "http://cdn.example.com"),
        ("http://cdn.example.com:443", "http://cdn.example.com:443"),
        ("https://cdn.example.com:080", "https://cdn.example.com:80"),
        ("cdn.example.com:8443/base", "https://cdn.example.com:8443/base"),
        ("https://cdn.example.com/a/%C3%A9~b/", "https://cdn.example.com/a/%C3%A9~b"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("http://[2001:DB8::1]", "http://[2001:db8::1]"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("https://1-2.3d.example", "https://1-2.3d.example"),
        ("http://4f2a91c0ffee", "http://4f2a91c0ffee"),
    ],
)
def test_a_base_url_is_rebuilt_from_its_parts(domain: str, base_url: str) -> None:
    """Scheme and host in lower case, without default port and trailing slash; it is what signed URLs begin with."""
    distribution = Distribution(domain, signer=SIGNER)
    assert distribution.base_url == base_url
    assert distribution.sign("/a").startswith(f"{base_url}/a?Expires=")


HOST, NO_URL, PATH, SPACE = "expected a host name", "not a URL", "base path must be spelled", "whitespace"
EITHER = f"{HOST}|{NO_URL}"


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ("https://user:pw@cdn.example.com", "'@' is refused: user information"),
        ("https://cdn.example.com@evil.com", "'@' is refused"),
        ("https://cdn.example.com?x", r"'\?' is refused: a query"),
        ("https://cdn.example.com#x", "'#' is refused: a fragment"),
        ("https://*.example.com", r"'\*' is refused: a wildcard"),
        ("https://cdn.example.com/*", r"'\*' is refused: a wildcard"),
        ("https:\\\\evil.com", r"'\\\\' is refused: a backslash"),
        ("https://cdn.example.com/ ; comment", SPACE),
        ("https://cdn.example.com\n", SPACE),
        ("https://cdn.exa\tmple.com", SPACE),
        ("https://b\u00fccher.example", "xn--"),
        ("https://cdn\uff0eexample.com", "non-ASCII"),
        ("ftp://cdn.example.com", "scheme 'ftp' is refused: expected https"),
        ("cdn.example.com/x://y", "scheme '' is refused"),
        ("https://bucket.s3.amazonaws.com", "S3 or AWS host cannot check"),
        ("https://S3.AMAZONAWS.COM/bucket", "S3 or AWS host cannot check"),
        ("s3.cn-north-1.amazonaws.com.cn", "S3 or AWS host cannot check"),
        ("", "expected the distribution's address"),
        ("https://", HOST),
        ("//cdn.example.com", HOST),
        ("https:///path", HOST),
        ("https:/cdn.example.com", HOST),
        ("https://:8443", HOST),
        ("https://cdn.example.com:", HOST),
        ("https://cdn.example.com.", HOST),
        ("https://.example.com", HOST),
        ("https://cdn..example.com", HOST),
        ("https://-cdn.example.com", HOST),
        ("https://cdn_1.example.com", HOST),
        ("https://${CDN_HOST}", HOST),
        ("https://cdn%2eexample.com", HOST),
        ('https://cdn.example.com"', HOST),
        (f"https://{'a' * 64}.example", HOST),
        # urlsplit reads the address out of the brackets and forgets what is around it
        ("https://[::1]evil.com", EITHER),
        ("https://cdn.example.com[::1]", EITHER),
        ("https://[v1.abc]", EITHER),
        # a zone id is free text, and no browser takes one
        ("https://[::1%eth0]", EITHER),
        ('https://[::1%",x]', EITHER),
        ("https://[::1", NO_URL),
        ("https://[1.2.3.4]", EITHER),
        # browsers rewrite these addresses, so they would not send what was signed
        ("http://127.1", HOST),
        ("http://2130706433", HOST),
        ("http://0x7f000001", HOST),
        ("http://example.0x7f", HOST),
        ("http://127.0.0.01", HOST),
        ("http://[0:0::1]", HOST),
        ("https://cdn.example.com:0", "port 0"),
        ("https://cdn.example.com:65536", NO_URL),
        ("https://cdn.example.com:8x", NO_URL),
        ("javascript:alert(1)", NO_URL),
        ("https://cdn.example.com/a//b", PATH),
        ("https://cdn.example.com//", PATH),
        ("https://cdn.example.com/../a", PATH),
        ("https://cdn.example.com/a/%2e", PATH),
        ("https://cdn.example.com/%2f", PATH),
        ("https://cdn.example.com/%FF", PATH),
        ("https://cdn.example.com/a;b", PATH),
        ('https://cdn.example.com/"', PATH),
    ],
)
def test_a_base_url_that_could_mislead_is_refused(domain: str, message: str) -> None:
    """Anything but scheme, host, port and a spelled path is an error that says what is wrong."""
    with pytest.raises(ConfigError, match=f"^domain=.*(?:{message})"):
        Distribution(domain, signer=SIGNER)


@given(
    st.sampled_from(["", "https://", "http://", "HTTPS://"]),
    st.lists(segments, min_size=1, max_size=3).map(".".join) | st.sampled_from(["[::1]", "127.0.0.1", "A.example"]),
    st.sampled_from(["", ":443", ":80", ":08443", ":1"]),
    st.lists(segments, max_size=3).map(lambda names: "".join(f"/{name}" for name in names)),
    st.sampled_from(["", "/"]),
)
def test_parsing_a_base_url_twice_changes_nothing(scheme: str, host: str, port: str, path: str, end: str) -> None:
    """The rebuilt form is its own rebuilt form, and urlsplit finds every part where it was put."""
    try:
        base_url = parse_base_url(scheme + host + port + path + end)
    except ValueError:
        assume(False)
    assert parse_base_url(base_url) == base_url
    parts = urlsplit(base_url)
    wanted = (scheme.lower().removesuffix("://") or "https", host.lower().strip("[]"), path)
    assert (parts.scheme, parts.hostname, parts.path) == wanted


ascii_texts = st.text("".join(map(chr, range(128))), max_size=20)


@given(ascii_texts.map(lambda text: f"https://{text}") | st.text(max_size=20))
def test_an_accepted_base_url_has_no_character_that_could_rewrite_a_policy(text: str) -> None:
    """Whatever is configured, the result can be put into a policy as it is."""
    try:
        base_url = parse_base_url(text)
    except ValueError:
        return
    assert re.fullmatch(r"https?://[a-z0-9.\[\]:-]+(?:/[A-Za-z0-9._~%!&(),=:@/-]*)?", base_url)


@pytest.mark.parametrize(
    ("domain", "warned"),
    [
        ("http://localhost:8000", False),
        ("http://app.localhost", False),
        ("http://127.0.0.2", False),
        ("http://[::1]:8000", False),
        ("https://cdn.example.com", False),
        ("http://cdn.example.com", True),
        ("http://localhost.example.com", True),
        ("http://mylocalhost", True),
        ("http://10.0.0.1", True),
    ],
)
def test_clear_http_is_for_this_machine_only(domain: str, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Any host but loopback addresses and names below localhost brings one warning that names it."""
    Distribution(domain, signer=SIGNER)
    found = [(record.levelno, domain in record.getMessage()) for record in caplog.records]
    assert found == ([(logging.WARNING, True)] if warned else [])


# Locations


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("https://cdn.example.com/a/%C3%A9", "https://cdn.example.com/a/%C3%A9"),
        ("https://CDN.example.com:443/a", "https://cdn.example.com/a"),
        ("https://cdn.example.com/a?x=1&y=2", "https://cdn.example.com/a?x=1&y=2"),
        ("https://cdn.example.com/a?x=", "https://cdn.example.com/a?x="),
        ("http://[::1]:8000/a?u=https%3A%2F%2Fx", "http://[::1]:8000/a?u=https%3A%2F%2Fx"),
        ("d111111abcdef8.cloudfront.net", "https://d111111abcdef8.cloudfront.net/"),
        ("d111111abcdef8.cloudfront.net/a?x=1", "https://d111111abcdef8.cloudfront.net/a?x=1"),
    ],
)
def test_a_location_is_signed_as_it_is_written(location: str, url: str) -> None:
    """Scheme and host are normalised; path and query are kept."""
    signed = CloudFrontRedirect(location, authorize=lambda: True, signer=SIGNER).go()
    assert getattr(signed, "location", "").startswith(f"{url}{'&' if '?' in url else '?'}Expires=")


SPELLED, QUERY = "path must be spelled", "query must be name=value pairs"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("", "expected a whole viewer URL"),
        (None, "expected a whole viewer URL"),
        ("//evil.com/x", HOST),
        ("/just/a/path", HOST),
        ("https://user@cdn.example.com/x", "user information"),
        ("https://cdn.example.com\\@evil.com/x", "user information"),
        ("ftp://cdn.example.com/x", "scheme 'ftp'"),
        ("https://cdn.example.com#x", "a fragment"),
        ("https://cdn.example.com/a#x", SPELLED),
        ("https://cdn.example.com/a b", SPELLED),
        ("https://cdn.example.com/a*", SPELLED),
        ("https://cdn.example.com//a", SPELLED),
        ("https://cdn.example.com/%2a", SPELLED),
        ("https://cdn.example.com/../a", SPELLED),
        ('https://cdn.example.com/a"', SPELLED),
        ("https://cdn.example.com/a?x", QUERY),
        ("https://cdn.example.com/a?x=*", QUERY),
        ("https://cdn.example.com/a?x=%2a", QUERY),
        ("https://cdn.example.com/a?x=1&", QUERY),
        ("https://cdn.example.com/a?Expires=1", "Expires is reserved"),
    ],
)
def test_a_location_that_is_not_spelled_is_refused(location: str, message: str) -> None:
    """A location is an error unless its host, path and query are written as browsers send them."""
    with pytest.raises(ConfigError, match=f"^location=.*{message}"):
        CloudFrontRedirect(location, authorize=lambda: True, signer=SIGNER)


# Reserved names


@pytest.mark.parametrize("name", [spelling(name) for name in RESERVED for spelling in (str, str.upper, str.lower)])
def test_reserved_names_are_known_in_any_case(name: str) -> None:
    """CloudFront's own parameter names belong to nobody else, however they are written."""
    with pytest.raises(ConfigError, match=f"{name} is reserved"):
        Grant(query={name: "1"})


@pytest.mark.parametrize("name", ["Expire", "Expires ", "xPolicy", "Key_Pair_Id", "response-expires"])
def test_other_names_are_free(name: str) -> None:
    """Names that merely resemble a reserved one may be used."""
    assert Grant(query={name: "1"}).query == ((name, "1"),)
