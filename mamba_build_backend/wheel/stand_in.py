"""Write a wheel without files under upstream's name, which requires the portable distribution of the same version.

It satisfies packages that require upstream by name, so that nothing is compiled. Its version has the local label
``portable``: requirements for upstream's version accept it, and no other package has that label.
"""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from time import gmtime

from .._version import __version__
from ..core.files import write_whole
from ..core.storage import disk_errors
from ..core.timestamp import source_date_epoch
from ..tables import ProjectVersion

LABEL = "portable"


def write_stand_in(row: ProjectVersion, folder: Path, environ: Mapping[str, str]) -> Path:
    """Write the wheel into ``folder`` and return its path; reproducible. Raises StorageError."""
    stem = f"{row.name.replace('-', '_')}-{row.version}+{LABEL}"
    wheel = (
        f"Wheel-Version: 1.0\nGenerator: mamba-build-backend {__version__}\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    files = {f"{stem}.dist-info/METADATA": _metadata(row).encode(), f"{stem}.dist-info/WHEEL": wheel.encode()}
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{stem}.dist-info/RECORD"] = f"{record}{stem}.dist-info/RECORD,,\n".encode()
    stamp = gmtime(source_date_epoch(environ))[:6]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, stamp)
            info.external_attr = 0o100644 << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    path = folder / f"{stem}-py3-none-any.whl"
    with disk_errors(folder, "-w another/folder"):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, packed.getvalue())
    return path


def _metadata(row: ProjectVersion) -> str:
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {row.name}",
        f"Version: {row.version}+{LABEL}",
        f"Summary: Stands in for {row.name}, whose files {row.name}-portable has",
        "Requires-Python: >=3.9",
        f"Requires-Dist: {row.name}-portable=={row.version}",
    ]
    if row.project.partner:
        partner = row.project.partner.name
        lines += [f"Provides-Extra: {partner}", f'Requires-Dist: {partner}-portable; extra == "{partner}"']
    return "\n".join(lines) + "\n"


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode("ascii")
