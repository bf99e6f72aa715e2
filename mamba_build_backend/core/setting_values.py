"""Parsers of setting values, one for each kind; each names the key in its error."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any

from .errors import SettingsError
from .outside_text import without_secrets
from .paths import why_no_path

VARIANT_LABEL = r"[0-9a-z_.]+"
"""The characters of a label (PEP 825)."""

Value = Any
"""A value from any place of settings: a string, a list of strings, or a TOML scalar."""


def as_text(key: str, raw: Value) -> str:
    """A value as ``-C`` would give it; list items are joined with ``;``. Raises SettingsError for anything else."""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, float):
        # TOML has already turned 2.20 into 2.2 and 1.10 into 1.1.
        raise SettingsError(
            f"{key}: {raw} is a number with a decimal point",
            "a string is needed, which keeps trailing zeros",
            f'{key} = "{raw}"',
        )
    if isinstance(raw, (str, int)):
        return str(raw).strip()
    if isinstance(raw, list) and all(isinstance(item, str) for item in raw):
        return ";".join(item.strip() for item in raw)
    raise SettingsError(f"{key}: a value of type {type(raw).__name__}", "a string is needed", f"-C {key}=VALUE")


def is_address(text: str) -> bool:
    """Whether it is a web address and not a path."""
    return re.match(r"https?://", text, re.IGNORECASE) is not None


def mirror(key: str, raw: Value) -> str | None:
    """An address without a trailing slash, a folder, or ``off``; None for nothing or ``auto``. Raises SettingsError."""
    text = as_text(key, raw)
    if text.lower() in ("", "auto", "off"):
        return "off" if text.lower() == "off" else None
    host = re.match(r"https?://(?:[^/@]*@)?[A-Za-z0-9.\[]", text, re.IGNORECASE)
    if "://" in text and not host:
        raise SettingsError(
            f"{key}: {without_secrets(text)!r} is not an http or https address",
            "an address, a folder, or off is needed",
            (f"-C {key}=https://host/path", f"-C {key}=/path/to/a/folder"),
        )
    return text.rstrip("/") or text


def flag(key: str, raw: Value) -> bool:
    """A yes or no. Raises SettingsError."""
    text = as_text(key, raw).lower()
    if text in ("true", "1", "yes", "on"):
        return True
    if text in ("false", "0", "no", "off"):
        return False
    raise SettingsError(f"{key}: {text!r} is neither true nor false", "one of the two is needed", f"-C {key}=true")


def path_or_word(key: str, raw: Value) -> str:
    """A path, or one of the words that may replace it. Raises SettingsError for text that cannot be a path."""
    text = as_text(key, raw)
    if why := why_no_path(text):
        shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        raise SettingsError(f"{key}: {shown!r} is not a path: {why}", "a valid path is needed", f"-C {key}=/a/path")
    return text


def optional_path(key: str, raw: Value) -> str | None:
    """A path, or None for an empty text. Raises SettingsError."""
    return path_or_word(key, raw) or None


def optional(key: str, raw: Value) -> str | None:
    """A text, or None for an empty one."""
    return as_text(key, raw) or None


_LONGEST = 80
"""Characters of a value that goes into a file name: the 255 of a name must also hold the version, the tags and more."""


def distribution_name(key: str, raw: Value, way: str = "") -> str | None:
    """A distribution's name (PEP 508), or None. Raises SettingsError, with the fix ``way`` if ``key`` is no setting."""
    text = as_text(key, raw)
    if text and (not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", text) or len(text) > _LONGEST):
        raise SettingsError(
            f"{key}: {text[:_LONGEST]!r} is not a distribution's name",
            f"a name has letters, digits, dots, - and _, at most {_LONGEST} characters",
            way or f"-C {key}=my-build",
        )
    return text or None


def local_version(key: str, raw: Value) -> str | None:
    """A local version label as PEP 440 normalises it, or None. Raises SettingsError."""
    text = as_text(key, raw).lstrip("+")
    if text and (not re.fullmatch(r"[A-Za-z0-9]+([-_.][A-Za-z0-9]+)*", text) or len(text) > _LONGEST):
        raise SettingsError(
            f"{key}: {text!r} is not a local version label",
            "a label has letters and digits, separated by dots",
            f"-C {key}=auto",
        )
    # All separators mean the same (PEP 440), and a file name may contain only the dot.
    return re.sub(r"[-_]", ".", text) or None


def build_tag(key: str, raw: Value) -> int | None:
    """The build number of a wheel, from 1, or None for none. Raises SettingsError.

    The file format also allows letters after the digits. A plain number sorts the same for people and installers.
    """
    text = as_text(key, raw)
    if text in ("", "none"):
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        raise SettingsError(
            f"{key}: {text[:_LONGEST]!r} is not a build number",
            "a whole number from 1 to 999999 is needed",
            f"-C {key}=2",
        )
    return int(text)


def variant(key: str, raw: Value) -> str | None:
    """A variant label, or None. Raises SettingsError."""
    text = as_text(key, raw)
    if text in ("", "none"):
        return None
    if not re.fullmatch(VARIANT_LABEL, text) or text == "null":
        raise SettingsError(
            f"{key}: {text!r} is not a variant label",
            "a label has a-z, 0-9, _ and dots; null is reserved",
            f"-C {key}=auto",
        )
    return text


def count(key: str, raw: Value) -> int | None:
    """A number of processes, at least 1, or None for ``auto``. Raises SettingsError."""
    text = as_text(key, raw)
    if text == "auto":
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) < 1:
        raise SettingsError(
            f"{key}: {text!r} is not a number of processes", "a whole number from 1, or auto, is needed", f"-C {key}=4"
        )
    return int(text)


def memory(key: str, raw: Value) -> int | None:
    """Bytes, from text such as ``8G``, or None for ``auto``. Raises SettingsError."""
    text = as_text(key, raw)
    if text == "auto":
        return None
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([kmgt]?)(?:i?b)?", text.lower())
    size = int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " ")) if match else 0
    if size < 256 * 1024**2:
        raise SettingsError(
            f"{key}: {text!r} is not a usable amount of memory",
            "at least 256M, or auto, is needed",
            f"-C {key}=8G",
        )
    return size


def glibc(key: str, raw: Value) -> str:
    """A glibc version. Raises SettingsError."""
    text = as_text(key, raw)
    if not re.fullmatch(r"2\.[0-9]{1,2}", text):
        raise SettingsError(
            f"{key}: {text!r} is not a glibc version", "a version such as 2.17 is needed", f"-C {key}=2.17"
        )
    return text


def choice(*allowed: str) -> Callable[[str, Value], str]:
    """A parser for one of a few words."""

    def parse(key: str, raw: Value) -> str:
        text = as_text(key, raw).lower()
        if text not in allowed:
            hint = difflib.get_close_matches(text, allowed, 1)
            raise SettingsError(
                f"{key}: {text!r} is not a valid value",
                f"the values are {', '.join(allowed)}",
                f"-C {key}={hint[0] if hint else allowed[0]}",
            )
        return text

    return parse


_GENERATIONS = {
    "pascal": "6.0;6.1+PTX",
    "volta": "7.0+PTX",
    "turing": "7.5+PTX",
    "ampere": "8.0;8.6+PTX",
    "ada": "8.9+PTX",
    "hopper": "9.0+PTX",
    "blackwell": "10.0;10.3;12.0;12.1+PTX",
}
"""Names that torch accepts in TORCH_CUDA_ARCH_LIST (torch/utils/cpp_extension.py of 2.11)."""


def parse_archs(key: str, raw: Value) -> str:
    """Normalise an architecture list to ``all``, ``native`` or ``8.0;9.0+PTX``.

    Accepts torch's notation, separated by ``;``, ``,`` or spaces, torch's generation names, and nvcc's ``sm_90``.
    Raises SettingsError.
    """
    text = as_text(key, raw)
    if text.lower() in ("all", "native"):
        return text.lower()
    out: list[str] = []
    items = [_GENERATIONS.get(item.lower(), item) for item in re.split(r"[;,\s]+", text)]
    for item in ";".join(items).split(";"):
        if not item:
            continue
        match = re.fullmatch(r"(?:sm_|compute_)?(\d{1,2})\.?(\d)([af]?)(\+ptx)?", item.lower())
        if not match:
            raise SettingsError(
                f"{key}: {item!r} is not a compute capability",
                "write it as 9.0, as 9.0+PTX, or use all or native",
                f"-C {key}=9.0",
            )
        arch = f"{int(match[1])}.{match[2]}{match[3]}{'+PTX' if match[4] else ''}"
        if arch not in out:
            out.append(arch)
    if not out:
        raise SettingsError(f"{key}: the list is empty", "at least one compute capability is needed", f"-C {key}=all")
    return ";".join(out)
