"""What the CLI does beyond planning: drive a PEP 517 frontend, and audit a wheel with this environment's torch."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import pipeline
from .boundary import EXIT_FILE
from .errors import BackendError, BuildFailedError, ToolError
from .probe.machine import probe_machine
from .probe.torch import probe_torches
from .process import say, stream
from .settings import Settings, as_environment
from .storage import hand_over, sha256

SCHEMA = 1


class _FrontendError(BuildFailedError):
    """The frontend has already printed what went wrong; keep the backend's own exit code."""

    def __init__(self, status: int) -> None:
        super().__init__("no wheel was built: see the lines above")
        self.exit_code = status


def build(
    project: Path, settings: dict[str, str], out: Path, environ: Mapping[str, str], *, isolated: bool
) -> dict[str, Any]:
    """Build a wheel with pip, or uv where there is no pip; return its name, size, hash and the time that it took."""
    job = pipeline.make_job(project, settings, environ)
    job.plan.check()
    if job.plan.torch.value is not None and "torch" not in settings:
        # uv's build environment does not know which environment it builds for: say it outright.
        settings = {**settings, "torch": job.plan.torch.value.site}
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mamba-wheel-") as folder:
        command = _command(project, folder, isolated=isolated, environ=environ)
        # Frontends exit with a code of their own; the backend leaves its one here.
        left = Path(folder) / "exit-code"
        env = {**environ, **as_environment(settings), EXIT_FILE: str(left)}
        # The hook below ends its own compilers first: it is given more time than it takes for that.
        status = stream(command, env=env, cwd=project, log=Path(folder) / "frontend.log", echo=_relay, patience=20.0)
        wheels = sorted(Path(folder).glob("*.whl"))
        if status != 0 or len(wheels) != 1:
            raise _FrontendError(int(left.read_text()) if left.is_file() else BuildFailedError.exit_code)
        final = hand_over(wheels[0], out)
    return {
        "schema": SCHEMA,
        "wheel": str(final),
        "size": final.stat().st_size,
        "sha256": sha256(final),
        "seconds": round(time.monotonic() - start, 1),
    }


def _relay(line: str) -> None:
    if line.strip():
        say(line)


def _command(project: Path, folder: str, *, isolated: bool, environ: Mapping[str, str]) -> list[str]:
    # Settings go by the environment: `pip wheel` has known --config-settings only since 23.1.
    if find_spec("pip") is not None:
        # -v, because pip is silent for the whole build otherwise.
        command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--wheel-dir", folder]
        return [*command, *([] if isolated else ["--no-build-isolation"]), str(project)]
    uv = shutil.which("uv", path=environ.get("PATH"))
    if uv:
        command = [uv, "build", "--wheel", "--python", sys.executable, "--out-dir", folder]
        return [*command, *([] if isolated else ["--no-build-isolation"]), str(project)]
    raise ToolError(
        f"neither pip nor uv is there for {sys.executable}",
        "one of them builds the wheel in isolation",
        (f"{sys.executable} -m ensurepip", "see your distribution's python3-pip or python3-venv package"),
    )


def audit(wheel: Path, site: Path | None, environ: Mapping[str, str]) -> Any:
    """Audit a wheel against the given torch, or this environment's."""
    try:
        from .audit import audit_wheel, provider_libraries
    except ImportError as error:
        raise ToolError(
            f"this Python has no {error.name}",
            "audit reads ELF files with it",
            f"{os.path.basename(sys.executable)} -m pip install pyelftools packaging",
        ) from None
    if site is not None and not (site / "torch").is_dir():
        raise BackendError(
            f"there is no torch in {site}",
            "--torch takes a site-packages folder",
            f"--torch $({os.path.basename(sys.executable)} -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))')",
        )
    if site is None:
        found = [item for item in probe_torches(Settings(), environ) if item.cuda and not item.problem]
        site = Path(found[0].site) if found else None
    libraries = provider_libraries(site, None, probe_machine().python_library) if site else []
    return audit_wheel(wheel, libraries=libraries)
