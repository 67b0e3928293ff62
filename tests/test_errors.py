"""The error tree and what errors may show."""

from __future__ import annotations

import pickle

import pytest

from cfgate_middleware import AuthorizerError, CFGateError, ConfigError, PathError, SigningError
from cfgate_middleware._core.problems import Problems, Secret, kind_of, shown

PASTED_KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvgIBADANBgkq\n-----END PRIVATE KEY-----\n"


class Mute:
    """An object whose repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize("error", [ConfigError, PathError, AuthorizerError, SigningError])
def test_every_error_has_one_root(error: type[Exception]) -> None:
    """One except clause catches all that the package raises on purpose; what is about values is a ValueError too."""
    assert issubclass(error, CFGateError)
    assert issubclass(error, ValueError) is (error in (ConfigError, PathError))


@pytest.mark.parametrize(
    ("problems", "message"),
    [
        (("prefix is missing",), "prefix is missing"),
        (("prefix is missing", "domain is missing"), "2 problems:\n- prefix is missing\n- domain is missing"),
    ],
)
def test_problems_are_counted_and_listed(problems: tuple[str, ...], message: str) -> None:
    """A single problem is shown as it is, several one per line, and a worker can hand the error to its parent."""
    error = ConfigError(*problems)
    for each in (error, pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own bytes
        assert (str(each), each.problems) == (message, problems)


def fail(problem: object) -> int:
    """Complain of a value."""
    raise ConfigError("one", "two") if problem == "both" else ValueError("expected more")


@pytest.mark.parametrize(
    ("value", "secret", "expected"),
    [
        *(("x", False, ("name='x': expected more",)), ("x", True, ("name is a str of 1 characters: expected more",))),
        *((Secret("x"), False, ("name: expected more",)), (None, False, ("name is missing: expected more",))),
        ("both", False, ("name: one", "name: two")),
    ],
)
def test_a_problem_shows_what_may_be_shown(value: object, secret: bool, expected: tuple[str, ...]) -> None:
    """The caller of a converter names the option; a secret is not shown."""
    problems = Problems()
    assert problems.check("name", fail, value, secret=secret) is None
    with pytest.raises(ConfigError) as caught:
        problems.raise_any()
    assert caught.value.problems == expected


def test_problems_of_several_checks_are_raised_together() -> None:
    """Each failed check adds its problems; the checks after it still run, and those that pass add nothing."""
    problems = Problems()
    assert problems.check("a", int, "5") == 5
    assert problems.attempt(int, "6") == 6
    problems.raise_any()
    problems.attempt(fail, "both")
    problems.add("three")
    with pytest.raises(ConfigError) as caught:
        problems.raise_any()
    assert caught.value.problems == ("one", "two", "three")


def test_problems_collects_no_bugs() -> None:
    """A bug inside a check is not taken for a wrong configuration."""
    problems = Problems()
    with pytest.raises(ZeroDivisionError):
        problems.check("name", lambda value: value // 0, 1)
    assert not problems


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((None, "None"), ("/private", "'/private'"), ("a\r\nb\x1b[2J", r"'a\r\nb\x1b[2J'"), (Secret("x"), "<secret>")),
        *(("x" * 118, f"'{'x' * 118}'"), ("x" * 119, f"'{'x' * 116}..."), ([1, "x" * 200], f"[1, '{'x' * 112}...")),
        (PASTED_KEY, f"a str of {len(PASTED_KEY)} characters"),
        (PASTED_KEY.encode(), f"bytes of length {len(PASTED_KEY)}"),
        (bytearray(PASTED_KEY.encode()), f"bytearray of length {len(PASTED_KEY)}"),
        ("x" * 500 + PASTED_KEY, f"a str of {500 + len(PASTED_KEY)} characters"),
        (PASTED_KEY.replace("\n", "\\n"), f"a str of {len(PASTED_KEY) + 3} characters"),
        *(({"key": PASTED_KEY}, "an object of type dict"), (Mute(), "an object of type Mute")),
        (10**5000, "an object of type int"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_shown_is_a_short_repr_and_never_a_key(value: object, text: str) -> None:
    """A value is shown as its repr, cut to 120 characters; a key, or what has no repr, by its kind alone."""
    assert shown(value) == text
    assert len(text) <= 120


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *(("secret", "a str of 6 characters"), (b"secret", "bytes of length 6"), (None, "None")),
        *((bytearray(b"secret"), "bytearray of length 6"), (["secret"], "an object of type list")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_kind_of_says_kind_and_length_only(value: object, text: str) -> None:
    """Nothing of a secret but its type and length is said."""
    assert kind_of(value) == text
