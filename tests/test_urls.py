"""URLs: paths that servers could read differently, the address of a distribution, and reserved names."""

from __future__ import annotations

import logging
import posixpath
import re
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cfgate_middleware import ConfigError, Distribution, Grant
from cfgate_middleware._core.urls import RESERVED, folds_into, parse_base_url
from tests.support import SIGNER, by
from tests.test_encoding import odd_paths

segments = st.text("abcABC019._~-", min_size=1, max_size=8).filter(lambda segment: segment not in (".", ".."))


@pytest.mark.parametrize(
    ("path", "inside"),
    by(
        {
            True: (
                *("/private", "/private/x", "/private/alice/../bob/x"),
                # dot segments
                *("/public/../private/x", "/../private/x", "/../../private", "/a/b/../../private/x"),
                # dots and slashes in front and between
                *("/./private/x", "//private/x", "///private", "/private//x", "/private/./x", "/.//./private/x"),
                *("/public//../private/x", "//public/../../private/x"),
                # the empty segment is something for '..' to remove, or it is not
                *("/private//../x", "/x//../../private/y"),
                # a semicolon is an ordinary character
                "/private/a;/../b",
                # a backslash is a separator, or it is not
                *("/private\\x", "\\private\\x", "/public\\..\\private\\x", "/private/..\\..\\x"),
                "/public/a\\b/../../private/x",
                # targets that are not a path
                *("private/x", "http://evil.com/private/x", "HTTP://evil.com/public/../private/x"),
                *("http:\\\\evil.com\\private\\x", "http://evil.com\\private\\x"),
            ),
            False: (
                # a prefix is whole segments
                *("/privatefoo/x", "/private../x", "/private.bak"),
                # dot segments and backslashes lead out
                *("/private/../x", "/public/../private/../x", "/private/..", "/private\\..\\x"),
                # letter case matters; a semicolon does not end it
                *("/private%2e/x", "/PRIVATE/x", "/./PRIVATE/x"),
                *("/private;x=1/a", "/public/..;/private/x"),
                # targets that are not a path
                *("http://evil.com/x", "http://evil.com", "x/http://evil.com/private/x", "", "*"),
            ),
        }
    ),
)
def test_paths_that_some_reader_takes_for_private_ones(path: str, inside: bool) -> None:
    """A path counts as inside if any usual way of normalising it leads there, and only then."""
    assert folds_into(path, "/private") is inside
    assert folds_into(path, "")  # the prefix that is the whole site covers every path
    assert folds_into("/a//b//../../private/x", "/a/private")  # resolved first and squeezed later


detours = st.lists(
    st.sampled_from(["/.", "/", "/x/..", "/x/./..", "/x/y/../..", "/x//.."]), min_size=1, max_size=4
).map("".join)


@given(st.lists(segments, max_size=4), st.lists(detours, min_size=6, max_size=6), st.booleans(), st.booleans())
def test_no_detour_hides_an_inside_path(names: list[str], around: list[str], backslash: bool, absolute: bool) -> None:
    """Dots, empty segments and there-and-back segments at any boundary leave an inside path recognised."""
    path = "".join(f"{detour}/{name}" for detour, name in zip(around, ["private", *names], strict=False))
    if backslash:
        path = path.replace("/", "\\")
    assert folds_into(f"http://evil.com{path}" if absolute else path, "/private")


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


@pytest.mark.parametrize(
    ("domain", "base_url"),
    [
        ("d111111abcdef8.cloudfront.net", "https://d111111abcdef8.cloudfront.net"),
        ("HTTPS://CDN.Example.COM:443/", "https://cdn.example.com"),
        ("http://cdn.example.com:80", "http://cdn.example.com"),
        ("https://cdn.example.com:080", "https://cdn.example.com:80"),
        ("cdn.example.com:8443/base", "https://cdn.example.com:8443/base"),
        ("https://cdn.example.com/a/%C3%A9~b/", "https://cdn.example.com/a/%C3%A9~b"),
        *(("http://[::1]:8000/", "http://[::1]:8000"), ("http://[2001:DB8::1]", "http://[2001:db8::1]")),
        *((f"https://{host}",) * 2 for host in ("d1.cloudfront.net", "xn--bcher-kva.example", "1-2.3d.example")),
        *(
            (f"http://{host}",) * 2
            for host in ("localhost:8000", "127.0.0.1:8000", "4f2a91c0ffee", "cdn.example.com:443")
        ),
    ],
)
def test_a_base_url_is_rebuilt_from_its_parts(domain: str, base_url: str) -> None:
    """Scheme and host in lower case, without default port and trailing slash; it is what signed URLs begin with."""
    distribution = Distribution(domain, signer=SIGNER)
    assert distribution.base_url == base_url
    assert distribution.sign("/a").startswith(f"{base_url}/a?Expires=")


HOST, NO_URL, SPACE, S3 = "expected a host name", "not a URL", "whitespace", "S3 or AWS host cannot check"
# Of each error: addresses that get it.
MISLEADING: dict[str, tuple[str, ...]] = {
    "'@' is refused: user information": ("https://user:pw@cdn.example.com", "https://cdn.example.com@evil.com"),
    r"'\?' is refused: a query": ("https://cdn.example.com?x",),
    "'#' is refused: a fragment": ("https://cdn.example.com#x",),
    r"'\*' is refused: a wildcard": ("https://*.example.com", "https://cdn.example.com/*"),
    r"'\\\\' is refused: a backslash": ("https:\\\\evil.com",),
    SPACE: ("https://cdn.example.com/ ; comment", "https://cdn.example.com\n", "https://cdn.exa\tmple.com"),
    "xn--": ("https://b\u00fccher.example",),
    "non-ASCII": ("https://cdn\uff0eexample.com",),
    "scheme 'ftp' is refused: expected https": ("ftp://cdn.example.com",),
    "scheme '' is refused": ("cdn.example.com/x://y",),
    S3: ("https://bucket.s3.amazonaws.com", "https://S3.AMAZONAWS.COM/bucket", "s3.cn-north-1.amazonaws.com.cn"),
    "expected the distribution's address": ("",),
    HOST: (
        *("https://", "//cdn.example.com", "https:///path", "https:/cdn.example.com", "https://:8443"),
        *("https://cdn.example.com:", "https://cdn.example.com.", "https://.example.com", "https://cdn..example.com"),
        *("https://-cdn.example.com", "https://cdn_1.example.com", "https://${CDN_HOST}", "https://cdn%2eexample.com"),
        *('https://cdn.example.com"', f"https://{'a' * 64}.example"),
        # browsers rewrite these addresses, so they would not send what was signed
        *("http://127.1", "http://2130706433", "http://0x7f000001", "http://example.0x7f", "http://127.0.0.01"),
        "http://[0:0::1]",
    ),
    f"{HOST}|{NO_URL}": (
        # urlsplit reads the address out of the brackets and forgets what is around it
        *("https://[::1]evil.com", "https://cdn.example.com[::1]", "https://[v1.abc]", "https://[1.2.3.4]"),
        # a zone id is free text, and no browser takes one
        *("https://[::1%eth0]", 'https://[::1%",x]'),
    ),
    NO_URL: (*("https://[::1", "https://cdn.example.com:65536", "https://cdn.example.com:8x", "javascript:alert(1)"),),
    "port 0": ("https://cdn.example.com:0",),
    "base path must be spelled": tuple(
        f"https://cdn.example.com/{path}" for path in ("a//b", "/", "../a", "a/%2e", "%2f", "%FF", "a;b", '"')
    ),
}


@pytest.mark.parametrize(("domain", "message"), by(MISLEADING))
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
    by(
        {
            False: (
                *("http://localhost:8000", "http://app.localhost", "http://127.0.0.2", "http://[::1]:8000"),
                "https://a.b",
            ),
            True: ("http://cdn.example.com", "http://localhost.example.com", "http://mylocalhost", "http://10.0.0.1"),
        }
    ),
)
def test_clear_http_is_for_this_machine_only(domain: str, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Any host but loopback addresses and names below localhost brings one warning that names it."""
    Distribution(domain, signer=SIGNER)
    expected = (logging.WARNING, f"domain {domain}: signed URLs will cross the network in clear")
    found = [(record.levelno, record.getMessage()[: len(expected[1])]) for record in caplog.records]
    assert found == [expected] * warned


@pytest.mark.parametrize("name", [spelling(name) for name in RESERVED for spelling in (str, str.upper, str.lower)])
def test_reserved_names_are_known_in_any_case(name: str) -> None:
    """CloudFront's own parameter names belong to nobody else, however they are written."""
    with pytest.raises(ConfigError, match=f"{name} is reserved"):
        Grant(query={name: "1"})


@pytest.mark.parametrize("name", ["Expire", "Expires ", "xPolicy", "Key_Pair_Id", "response-expires"])
def test_other_names_are_free(name: str) -> None:
    """Names that merely resemble a reserved one may be used."""
    assert Grant(query={name: "1"}).query == ((name, "1"),)
