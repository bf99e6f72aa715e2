"""Drive a PEP 517 frontend, and audit a wheel with this environment's torch."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..audit.types import Report
from ..compile.progress import PULSE
from ..core._compat import utils
from ..core.error_boundary import EXIT_FILE, PREFIX
from ..core.errors import BackendError, BuildFailedError, PlanError, SettingsError, ToolError
from ..core.files import hand_over, sha256
from ..core.paths import find_program, is_dir, is_file, matching, read_text
from ..core.process import say, stream
from ..core.projects import default_project, partners
from ..core.settings import Settings, as_environment, companion_key
from ..job import make_jobs
from ..plan import BuildPlan, overwriting
from ..probe.machine import probe_machine
from ..probe.torch import probe_torches, read_torch
from ..wheel import variants
from .at_hand import buildable
from .options import is_path, tree_settings
from .progress_bar import Relay

SCHEMA = 2


class _FrontendError(BuildFailedError):
    """The frontend has already printed the error; keep the backend's own exit code."""

    def __init__(self, status: int) -> None:
        super().__init__("no wheel was built: see the lines above")
        self.exit_code = status


def with_targets(settings: Mapping[str, str], targets: Sequence[str]) -> list[dict[str, str]]:
    """The settings for each target (``NAME==1.6.1``); a partner comes after its user. Raises SettingsError."""
    out: list[dict[str, str]] = []
    for text in targets:
        if is_path(text):
            named = {**settings, **tree_settings(text, settings)}
            if named in out:
                raise SettingsError(f"{text!r} is named twice", "each tree is built once", "name each folder only once")
            out.append(named)
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:==([^=<>!~;,\s]+))?", text)
        if match is None:
            raise SettingsError(
                f"{text!r} is not a project, or a project and a version",
                "a build is for exactly one version",
                f"python -m mamba_build_backend build {default_project()}==VERSION",
            )
        name = utils.canonicalize_name(match[1]).removesuffix("-portable")
        given = {"upstream": name, **({"upstream-version": match[2]} if match[2] else {})}
        alone = ["upstream-version"] if len(targets) > 1 else []
        twice = [key for key in (*given, *alone) if key in settings]
        if twice or any(item.get("upstream") == name for item in out):
            what = f"-C {twice[0]}" if twice else name
            raise SettingsError(
                f"{text!r} conflicts with {what}",
                "give a project and its version only once",
                f"python -m mamba_build_backend build {text}",
            )
        out.append({**settings, **given})
    return sorted(out, key=lambda item: item.get("upstream") in partners()) or [dict(settings)]


def build(
    project: Path, wanted: Sequence[dict[str, str]], out: Path, environ: Mapping[str, str], *, isolated: bool
) -> dict[str, Any]:
    """Build a wheel for each of the settings, with pip, or with uv if there is no pip.

    All wheels are planned from the same facts before the first compiler starts. Returns names, sizes, hashes and times.
    A finished wheel stays in place, even if the next build fails.
    """
    jobs = make_jobs(project, wanted, environ)
    raise_together(job.plan for job in jobs)
    for note in overwriting([job.plan for job in jobs]):
        say(f"{PREFIX}note: {note}")
    built = []
    with buildable(project) as folder:
        for number, (job, settings) in enumerate(zip(jobs, wanted), 1):
            if len(jobs) > 1:
                say(f"{PREFIX}wheel {number} of {len(jobs)}: {job.plan.title}")
            # Pass the decisions explicitly: the hook of the second wheel must not choose another partner, and uv's
            # build environment does not know which environment it builds for.
            decided = _decided(job.plan, alone=len(jobs) == 1)
            if job.plan.torch.value is not None:
                decided["torch"] = job.plan.torch.value.site
            variant = job.plan.variant
            built.append(_build_one(folder, {**decided, **settings}, out, environ, isolated=isolated, variant=variant))
    return {"schema": SCHEMA, "wheels": built}


def _decided(plan: BuildPlan, *, alone: bool) -> dict[str, str]:
    """The decisions that a wheel's hook gets explicitly."""
    row = plan.upstream.value
    if row.fork is None:
        return {} if alone else {"upstream-version": row.version}
    # This command line named the fork, and the hook does not see this command line.
    partner = (
        {companion_key(row.project.partner.name): str(plan.companion is not None).lower()}
        if row.project.partner
        else {}
    )
    return {"allow-unverified": "true", **partner}


def raise_together(plans: Iterable[BuildPlan]) -> None:
    """Raise PlanError with the problems of all plans, each once."""
    problems = tuple(dict.fromkeys(problem for plan in plans for problem in plan.problems))
    if problems:
        raise PlanError(problems)


def _build_one(
    project: Path, settings: dict[str, str], out: Path, environ: Mapping[str, str], *, isolated: bool, variant: str
) -> dict[str, Any]:
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mamba-wheel-") as folder:
        command = _command(project, folder, isolated=isolated, environ=environ)
        # Frontends exit with their own code; the backend writes its code here.
        left = Path(folder) / "exit-code"
        env = {**environ, **as_environment(settings), EXIT_FILE: str(left)}
        # On an interrupt the hook first stops its own compilers: give it more time than that takes.
        with Relay() as relay:
            env.update({PULSE: "1"} if relay.draws else {})
            log = Path(folder) / "frontend.log"
            status = stream(command, env=env, cwd=project, log=log, echo=relay, patience=20.0)
        wheels = matching(Path(folder), "*.whl")
        if status != 0 or len(wheels) != 1:
            raise _FrontendError(int(read_text(left)) if is_file(left) else BuildFailedError.exit_code)
        # A hook's wheel has no variant label, because pip rejects such a name.
        final = hand_over(wheels[0], out, variants.variant_name(wheels[0].name, variant))
    return {
        "wheel": str(final),
        "size": final.stat().st_size,
        "sha256": sha256(final),
        "seconds": round(time.monotonic() - start, 1),
    }


def _command(project: Path, folder: str, *, isolated: bool, environ: Mapping[str, str]) -> list[str]:
    # Pass settings as variables: `pip wheel` supports --config-settings only since 23.1.
    if find_spec("pip") is not None:
        # Without -v, pip prints nothing during the whole build.
        command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--wheel-dir", folder]
        return [*command, *([] if isolated else ["--no-build-isolation"]), str(project)]
    uv = find_program("uv", environ)
    if uv:
        command = [uv, "build", "--wheel", "--python", sys.executable, "--out-dir", folder]
        return [*command, *([] if isolated else ["--no-build-isolation"]), str(project)]
    raise ToolError(
        f"{sys.executable} has neither pip nor uv",
        "an isolated build needs one of them",
        (f"{sys.executable} -m ensurepip", "see your distribution's python3-pip or python3-venv package"),
    )


def audit(wheel: Path, sites: Sequence[Path], environ: Mapping[str, str], *, require: str = "") -> Report:
    """Audit a wheel against the given torches, or this environment's; ``require`` is the text of ``--require``."""
    from ..audit.check import audit_wheel, parse_required, provider

    required = parse_required(require) if require else None
    for site in sites:
        if not is_dir(site / "torch"):
            raise BackendError(
                f"there is no torch in {site}",
                "--torch takes a site-packages folder",
                f"--torch $({os.path.basename(sys.executable)} -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))')",
            )
    torches = [read_torch(site.absolute(), "option --torch") for site in sites]
    if not sites:
        torches = [item for item in probe_torches(Settings(), environ) if item.cuda and not item.problem][:1]
    python = probe_machine().python_library
    providers = [provider(Path(item.site), item.version, None, python) for item in torches]
    return audit_wheel(wheel, required=required, torches=providers)
