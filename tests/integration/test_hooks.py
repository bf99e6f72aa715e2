"""What the hooks of one install hand to each other: facts, and metadata that the wheel has to keep."""

import re
import subprocess
import sys

import pytest
from support import only_wheel, pip_wheel, run, uv_program

FRESH = "looked at this machine"
TAKEN = "using the facts of an earlier hook; looked again at: "


def looks(done):
    """What each hook of a verbose build said of where its facts come from, in their order."""
    return re.findall(rf"mamba-build-backend: ({FRESH}|{TAKEN}.*)$", done.stdout + done.stderr, re.MULTILINE)


def left(cache):
    return [path.name for folder in cache.glob("hooks-*") for path in folder.iterdir()]


@pytest.fixture
def own_cache(env, tmp_path, cache):
    """A cache for only this test, with the sysroot of the session."""
    folder = tmp_path / "cache"
    folder.mkdir()
    (cache / "sysroots").mkdir(exist_ok=True)
    (folder / "sysroots").symlink_to(cache / "sysroots")
    return {**env, "MAMBA_BUILD_CACHE_DIR": str(folder)}


def test_pip_install_probes_the_machine_once(tiny, own_cache, tmp_path):
    done = pip_wheel(tiny, tmp_path / "dist", own_cache, "-C", "verbose=true")
    first, *later = looks(done)
    assert first == FRESH
    assert len(later) == 2, "metadata and wheel"
    # After the first hook required ziglang for its glibc, the probe repeats compilers and sysroots, but not torch and
    # nvcc.
    assert {word for line in later for word in line.removeprefix(TAKEN).split(", ")} <= {
        "compilers",
        "sysroots",
        "nothing",
    }
    assert later[-1] == f"{TAKEN}nothing"
    only_wheel(tmp_path / "dist")
    assert left(tmp_path / "cache") == []


def test_later_hook_probes_the_requested_nvcc_and_torch_again(tiny, own_cache, tmp_path):
    """By the hooks themselves, called by one process, as a frontend does."""
    site = tmp_path / "overlay"
    site.mkdir()
    (tiny / "frontend.py").write_text(
        "import os, subprocess, sys\n"
        "def hook(text):\n"
        "    code = f'import mamba_build_backend as b; print(b.{text})'\n"
        "    return subprocess.run([sys.executable, '-c', code], check=False).returncode\n"
        "hook('get_requires_for_build_wheel()')\n"
        f"os.mkdir({str(site / 'ziglang-0.0.dist-info')!r})\n"
        "status = hook('prepare_metadata_for_build_wheel(\"meta\")')\n"
        "os.environ['MAMBA_BUILD_ARCH'] = '8.0'\n"
        "hook('prepare_metadata_for_build_wheel(\"meta2\")')\n"
        "sys.exit(status)\n"
    )
    variables = {"PYTHONPATH": str(site), "MAMBA_BUILD_VERBOSE": "true"}
    done = run(sys.executable, "frontend.py", env={**own_cache, **variables}, cwd=tiny)
    assert looks(done) == [FRESH, f"{TAKEN}compilers, sysroots", FRESH], "a variable that changed is another build"


def test_uv_probes_the_machine_once(tiny, own_cache, tmp_path, torch_site):
    options = ["-C", "verbose=true", "-C", "repair=false", "-C", f"torch={torch_site}", "--python", sys.executable]
    done = run(
        uv_program(), "build", "-v", "--wheel", *options, "-o", tmp_path / "dist", tiny, env=own_cache, cwd=tmp_path
    )
    assert looks(done)[0] == FRESH
    assert FRESH not in looks(done)[1:]
    only_wheel(tmp_path / "dist")


CHANGING = """\
import os
from pathlib import Path

_runs = Path(os.environ["RUNS"])
_runs.write_text(_runs.read_text() + "x" if _runs.exists() else "x")
"""


def test_wheel_with_metadata_other_than_announced_is_refused(tiny, own_cache, tmp_path):
    """A setup.py that says something else each time it runs."""
    text = (tiny / "pyproject.toml").read_text()
    (tiny / "pyproject.toml").write_text(re.sub(r"description = .*", 'dynamic = ["description"]', text))
    setup = (tiny / "setup.py").read_text()
    (tiny / "setup.py").write_text(CHANGING + setup.replace("setup(\n", "setup(\n    description=_runs.read_text(),\n"))
    done = pip_wheel(tiny, tmp_path / "dist", {**own_cache, "RUNS": str(tmp_path / "runs")}, check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "error: METADATA of the wheel would say 'Summary: xx', but the metadata hook wrote 'Summary: x'" in said
    assert "compiling this project" not in said
    assert not list(tmp_path.glob("dist/*.whl"))


def hook(project, env, text):
    code = f"import mamba_build_backend as b; print(b.{text})"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_other_metadata_is_an_error_that_names_the_line(tiny, own_cache, kind):
    (tiny / "LICENSE").write_text("mine\n")
    name = hook(tiny, own_cache, f"prepare_metadata_for_build_{kind}('meta')").stdout.strip()
    info = tiny / "meta" / name
    build = f"build_{kind}('dist', None, 'meta/{name}')"
    (info / "licenses" / "LICENSE").write_text("another\n")
    done = hook(tiny, own_cache, build)
    assert done.returncode == 5
    assert "error: the licence file LICENSE differs from the one that the metadata hook wrote" in done.stderr
    (info / "licenses" / "LICENSE").unlink()
    assert "error: the licence file LICENSE is new since the metadata hook ran" in hook(tiny, own_cache, build).stderr
    metadata = (info / "METADATA").read_text()
    (info / "METADATA").write_text(metadata.replace("Version: 1.2.3", "Version: 1.2.4"))
    done = hook(tiny, own_cache, build)
    assert done.returncode == 5
    assert "would say 'Version: 1.2.3', but the metadata hook wrote 'Version: 1.2.4'" in done.stderr
    (info / "METADATA").unlink()
    assert "METADATA that the metadata hook wrote cannot be read" in hook(tiny, own_cache, build).stderr
    assert not (tiny / "dist").exists()


def test_metadata_only_is_refused_for_a_project_with_metadata_in_setup_py(tiny, own_cache):
    for name in ("get_requires_for_build_wheel()", "build_wheel('dist')"):
        done = hook(tiny, {**own_cache, "MAMBA_BUILD_METADATA_ONLY": "true"}, name)
        assert done.returncode == 3
        assert "contains no metadata; its setup.py must run to make them" in done.stderr
        assert "add -C metadata-only=false to the command" in done.stderr
