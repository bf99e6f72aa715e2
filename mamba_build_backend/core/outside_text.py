"""Text from outside, made fit to be shown: no secret in it, and no character that a terminal would obey."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TextIO

from .invocation import as_typed

SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|_KEY$|^KEY_|APIKEY|AUTH|_PAT$|_PWD$|^PGPASS", re.IGNORECASE
)
"""Variables whose whole value is secret, unless it is a path, such as that of an agent's socket."""
_USERINFO = re.compile(
    r"((?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,31}:/{1,2})([^\s/@'\"]{1,512}|[^\s/@:'\"]{0,128}:[^\s@'\"]{1,512})@",
    re.IGNORECASE,
)
"""``user:password`` of an address; a path that was made of one has lost a slash, and a password may have some.

The lengths have bounds, so that the time does not grow with the square of a long word's.
"""
_BARE = re.compile(r"[^\s/@:]+:([^\s/@][^\s@]*)@")
"""The same at the start of a value that is an address without a scheme, or a mistyped one."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves the cursor, sets a title, fills the clipboard or turns the direction of writing; not tab and newline. Of a file name that
is no UTF-8 the surrogates, which cannot be written."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def is_secret(name: str, value: str) -> bool:
    """Whether a variable of the environment holds a secret, by its name."""
    return bool(SECRET_NAME.search(name)) and not value.startswith("/")


def secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Values that must not be shown: of variables that are called secret, and passwords in addresses; the longest first."""
    found = {value for name, value in environ.items() if is_secret(name, value)}
    for value in environ.values():
        for word in value.split():
            found |= {match[2].partition(":")[2] or match[2] for match in _USERINFO.finditer(word)}
            if bare := _BARE.match(word):
                found.add(bare[1])
    return tuple(sorted((value for value in found if len(value) >= _SHORTEST), key=len, reverse=True))


_SHORTEST = 6
"""Letters. A shorter value may be a word that stands anywhere."""


_PLAIN_WORD = re.compile(r"[A-Za-z]{1,12}")
"""A secret that may be a word of every day: it is one only where a value stands, since ``python`` is part of what we say."""
_ASSIGNED = re.compile(
    r"((?<![A-Za-z0-9_])\w{0,40}?(?:TOKEN|SECRET|PASSW|CREDENTIAL|APIKEY|API_KEY|SIGNATURE)\w{0,40}=)[^\s\"',;&]{1,4096}",
    re.IGNORECASE,
)
"""``-DHF_TOKEN=…``, ``?token=…``: what is called a secret beside its value."""


def without_secrets(text: str, known: tuple[str, ...] = ()) -> str:
    """The text with ``***`` for these secrets, for what is called one beside its value, and for the passwords of addresses in it."""
    for secret in known:
        if _PLAIN_WORD.fullmatch(secret):
            text = re.sub(rf"(?<=[=:@])(['\"]?){secret}(?![A-Za-z0-9_])", r"\1***", text)
        else:
            text = text.replace(secret, "***")
    return _USERINFO.sub(r"\1***@", _ASSIGNED.sub(r"\1***", text))


def visible(text: str, *, colours: bool = False) -> str:
    """The text with each character that a terminal would obey as JSON escapes it; ``colours`` stay if that is true."""
    if not colours:
        return _CONTROLS.sub(_escaped, text)
    parts, at = [], 0
    for match in _COLOUR.finditer(text):
        parts += [_CONTROLS.sub(_escaped, text[at : match.start()]), match[0]]
        at = match.end()
    return "".join((*parts, _CONTROLS.sub(_escaped, text[at:])))


class Visible:
    """A stream that shows such characters in whatever is written, but for colours, which are ours, and no secret."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        self._stream, self._secrets = stream, secrets(environ)

    def write(self, text: str) -> int:
        """Write the text as it may be seen."""
        return self._stream.write(as_typed(visible(without_secrets(text, self._secrets), colours=True)))

    def __getattr__(self, name: str) -> Any:
        """All else is the stream's own."""
        return getattr(self._stream, name)


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
