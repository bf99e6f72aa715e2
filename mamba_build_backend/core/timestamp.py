"""The timestamp of all files in a build's results."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .errors import SettingsError

_EPOCH = 1_577_836_800  # 2020-01-01: zip files cannot go back before 1980, and a date in the future confuses make

_LATEST = 4_294_967_295  # in 2106: gzip has four bytes for it


def source_date_epoch(environ: Mapping[str, str]) -> int:
    """The timestamp of all files in the results: SOURCE_DATE_EPOCH, or a fixed date; in seconds since 1970.

    Raises SettingsError for a value that is not a number.
    """
    text = environ.get("SOURCE_DATE_EPOCH", "")
    if text and (not re.fullmatch(r"[0-9]{1,12}", text) or int(text) > _LATEST):
        raise SettingsError(
            f"SOURCE_DATE_EPOCH is {text[:40]!r}",
            f"a whole number of seconds since 1970 is needed, at most {_LATEST}, which gzip and zip can store",
            "unset SOURCE_DATE_EPOCH",
        )
    return int(text) if text else _EPOCH
