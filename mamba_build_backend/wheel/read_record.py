"""Read the build record of a wheel, of this schema or an older one. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..core.errors import AuditError
from ..symbols.floors import FAMILIES
from ..tables import is_version
from . import build_record_1
from .build_record import RECORD_NAME, RECORD_SCHEMA, BuildRecord, loaded


def read_record(data: Mapping[str, Any]) -> BuildRecord:
    """Return the record of a wheel, of this schema or an older one. Raises AuditError if it is damaged or newer."""
    schema = data.get("schema", 1)
    if isinstance(schema, int) and schema > RECORD_SCHEMA:
        raise AuditError(
            f"{RECORD_NAME} has schema {schema}; this version reads schemas up to {RECORD_SCHEMA}",
            "the audit reads the wheel's promises from it",
            "audit the wheel with the version that built it, or a newer one",
        )
    try:
        record = loaded(BuildRecord, data, "record") if schema == RECORD_SCHEMA else build_record_1.read(data)
        wrong = next((text for text in _versions(record) if text and not is_version(text)), None)
        if wrong is not None:
            raise ValueError(f"{wrong!r} is not a version")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        found = f"{RECORD_NAME} is not a record of this backend ({type(error).__name__}: {error})"
        raise AuditError(found, "the audit reads the wheel's promises from it", "build the wheel again") from None
    return record


def _versions(record: BuildRecord) -> Iterator[str]:
    """Yield the versions that the audit compares."""
    for floor in (record.floor.promised, record.floor.measured, record.torch):
        yield from (getattr(floor, field, "") for field, _ in FAMILIES)
