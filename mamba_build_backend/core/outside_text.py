"""Make text from outside safe to show: without secrets, and without control characters for the terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TextIO

from .invocation import as_typed

SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|_KEY$|^KEY_|APIKEY|AUTH|_PAT$|_PWD$|^PGPASS", re.IGNORECASE
)
"""Variables whose whole value is secret, unless it is a path, such as an agent's socket."""
_USERINFO = re.compile(
    r"((?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,31}:/{1,2})([^\s/@'\"]{1,512}|[^\s/@:'\"]{0,128}:[^\s@'\"]{1,512})@",
    re.IGNORECASE,
)
"""``user:password`` of an address. An address that was turned into a path has lost a slash; a password may contain
slashes.

The lengths are bounded, so that the time does not grow quadratically with the length of a word.
"""
_BARE = re.compile(r"[^\s/@:]+:([^\s/@][^\s@]*)@")
"""The same at the start of a value that is an address without a scheme, or with a mistyped one."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that move the cursor, set a title, fill the clipboard or change the writing direction; not tab and
newline. Also the surrogates of a file name that is not UTF-8, which cannot be printed."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def is_secret(name: str, value: str) -> bool:
    """Whether an environment variable contains a secret, by its name."""
    return bool(SECRET_NAME.search(name)) and not value.startswith("/")


def secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Values that must not be shown, the longest first: values of secret variables, and passwords in addresses."""
    found = {value for name, value in environ.items() if is_secret(name, value)}
    for value in environ.values():
        for word in value.split():
            found |= {match[2].partition(":")[2] or match[2] for match in _USERINFO.finditer(word)}
            if bare := _BARE.match(word):
                found.add(bare[1])
    return tuple(sorted((value for value in found if len(value) >= _SHORTEST), key=len, reverse=True))


_SHORTEST = 6
"""Letters. A shorter value may be a common word."""


_PLAIN_WORD = re.compile(r"[A-Za-z]{1,12}")
"""A secret that may be an everyday word, such as ``python``: it is hidden only in the position of a value."""
_ASSIGNED = re.compile(
    r"((?<![A-Za-z0-9_])\w{0,40}?(?:TOKEN|SECRET|PASSW|CREDENTIAL|APIKEY|API_KEY|SIGNATURE)\w{0,40}=)[^\s\"',;&]{1,4096}",
    re.IGNORECASE,
)
"""``-DHF_TOKEN=…``, ``?token=…``: a secret's name next to its value."""


def without_secrets(text: str, known: tuple[str, ...] = ()) -> str:
    """The text with ``***`` for these secrets, for values that are named as secrets, and for passwords in addresses."""
    for secret in known:
        if _PLAIN_WORD.fullmatch(secret):
            text = re.sub(rf"(?<=[=:@])(['\"]?){secret}(?![A-Za-z0-9_])", r"\1***", text)
        else:
            text = text.replace(secret, "***")
    return _USERINFO.sub(r"\1***@", _ASSIGNED.sub(r"\1***", text))


def visible(text: str, *, colours: bool = False) -> str:
    """The text with control characters escaped as in JSON; colour sequences stay if ``colours`` is true."""
    if not colours:
        return _CONTROLS.sub(_escaped, text)
    parts, at = [], 0
    for match in _COLOUR.finditer(text):
        parts += [_CONTROLS.sub(_escaped, text[at : match.start()]), match[0]]
        at = match.end()
    return "".join((*parts, _CONTROLS.sub(_escaped, text[at:])))


class Visible:
    """A stream that escapes control characters and hides secrets in everything written; our own colours stay."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        self._stream, self._secrets = stream, secrets(environ)

    def write(self, text: str) -> int:
        """Write the text in its safe form."""
        return self._stream.write(as_typed(visible(without_secrets(text, self._secrets), colours=True)))

    def __getattr__(self, name: str) -> Any:
        """Everything else is the wrapped stream's."""
        return getattr(self._stream, name)


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
