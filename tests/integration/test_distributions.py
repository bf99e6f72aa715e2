"""The files of a release: the distribution of the tool, the sdists, their contents, and their use from an index."""

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from support import ROOT, activated, lacking, only_wheel, pip_wheel, record_of, run, shared_folder, uv_program

sys.path.insert(0, str(ROOT / "release"))
import local_index

from mamba_build_backend import __version__
from mamba_build_backend.core.locks import locked
from mamba_build_backend.vendoring import manifest

TOOL = ROOT / "distributions" / "mamba-build-backend"
LISTED = (ROOT / "tests" / "distributions" / "mamba-build-backend.txt").read_text(encoding="utf-8").splitlines()
INFO = f"mamba_build_backend-{__version__}.dist-info"

METADATA = f"""\
Metadata-Version: 2.4
Name: mamba-build-backend
Version: {__version__}
Summary: Build backend and tool for portable wheels of CUDA extensions for torch: mamba-ssm, causal-conv1d and your own
Keywords: build-backend,cuda,mamba,manylinux,torch
Requires-Python: >=3.9
Description-Content-Type: text/markdown
License-Expression: Apache-2.0
Classifier: Development Status :: 4 - Beta
Classifier: Environment :: GPU :: NVIDIA CUDA
Classifier: Intended Audience :: Developers
Classifier: Intended Audience :: Science/Research
Classifier: Operating System :: POSIX :: Linux
Classifier: Programming Language :: Python :: 3 :: Only
Classifier: Topic :: Software Development :: Build Tools
Classifier: Typing :: Typed
License-File: LICENSE
Requires-Dist: packaging>=23.2
Requires-Dist: platformdirs>=3
Requires-Dist: tomli>=2; python_version < '3.11'
Requires-Dist: snakemake>=9 ; extra == "matrix" and ( python_version >= '3.11')
Requires-Dist: tomlkit>=0.12 ; extra == "vendor"
Provides-Extra: matrix
Provides-Extra: vendor
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of the tool's two files, made once for all processes."""
    folder = shared_folder(tmp_path_factory) / "tool"
    with locked(folder.with_suffix(".lock")):
        if not folder.exists():
            build(TOOL, folder.with_suffix(".part"))
            folder.with_suffix(".part").rename(folder)
    return folder


def build(project: Path, out: Path, *options: str) -> None:
    """Both files, the wheel from the sdist, with the time of a release's files."""
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1577836800"}
    run(sys.executable, "-m", "build", "--no-isolation", *options, "-o", out, project, env=env, cwd=out.parent)


@pytest.fixture(scope="module")
def wheel(made):
    return only_wheel(made)


@pytest.fixture(scope="module")
def sdist(made):
    (path,) = made.glob("*.tar.gz")
    return path


@pytest.fixture
def installed(wheel, env, tmp_path):
    """A Python with the tool installed, in an environment without pip."""
    venv = tmp_path / "installed"
    run(uv_program(), "venv", "-q", "--python", sys.executable, venv, env=env, cwd=tmp_path)
    python = venv / "bin" / "python"
    run(uv_program(), "pip", "install", "-q", "--python", python, wheel, env=env, cwd=tmp_path)
    return python


@pytest.fixture
def tool(installed, env, tmp_path):
    """Run ``mamba-build-backend WORDS`` in a folder without a project."""
    (tmp_path / "elsewhere").mkdir()

    def call(*words, check=True, cwd=tmp_path / "elsewhere", **variables):
        return run(
            installed.parent / "mamba-build-backend",
            *words,
            env={**env, "PATH": f"{installed.parent}:/usr/bin:/bin", **variables},
            cwd=cwd,
            check=check,
        )

    return call


def names_of(archive: Path) -> list[str]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as file:
            return sorted(file.namelist())
    with tarfile.open(archive) as file:
        return sorted(member.name.partition("/")[2] for member in file.getmembers() if member.isfile())


def text_of(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as file:
        return file.read(name).decode()


def test_tool_distribution_has_exactly_these_files(wheel, sdist):
    told = "python tests/update_reports.py writes the list anew: does the tool need it?"
    info = [f"{INFO}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")]
    assert names_of(wheel) == sorted([*LISTED, *info]), told
    assert names_of(sdist) == sorted([*LISTED, "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"]), told


def test_tool_distribution_has_this_metadata(wheel):
    fields, _, description = text_of(wheel, f"{INFO}/METADATA").partition("\n\n")
    assert (
        fields.splitlines() == METADATA.splitlines()
    )  # flit_core is pinned below 4, which writes another version of the format
    assert description.strip() == (TOOL / "README.md").read_text(encoding="utf-8").strip()
    assert wheel.name == f"mamba_build_backend-{__version__}-py3-none-any.whl"
    assert text_of(wheel, f"{INFO}/entry_points.txt").split() == [
        "[console_scripts]",
        "mamba-build-backend=mamba_build_backend.__main__:run",
    ]


def test_project_addresses_are_in_one_file(tmp_path, monkeypatch):
    """They are empty while nothing is published. What is set there gets into the tool's metadata and the site."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import from_checkout as made; "
        "print(made.urls('https://example.org/r', 'https://example.org/s'), end=''); print([made.urls('', '')])"
    )
    said = run(sys.executable, "-c", program, TOOL, env=dict(os.environ), cwd=tmp_path).stdout
    assert said.splitlines() == [
        "",
        "[project.urls]",
        'Documentation = "https://example.org/s"',
        'Source = "https://example.org/r"',
        'Changelog = "https://example.org/r/blob/main/CHANGELOG.md"',
        'Issues = "https://example.org/r/issues"',
        "['']",
    ]
    env = {
        **os.environ,
        "MAMBA_REPOSITORY": "https://example.org/r",
        "MAMBA_SITE": "https://example.org/s/",
        "NO_MKDOCS_2_WARNING": "1",
    }
    run(
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        tmp_path / "site",
        env=env,
        cwd=ROOT,
    )
    page = (tmp_path / "site" / "index.html").read_text()
    assert 'href="https://example.org/r"' in page
    assert 'rel="canonical" href="https://example.org/s/' in page


def test_twine_finds_nothing_wrong_with_them(wheel, sdist, env, tmp_path):
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist, env=env, cwd=tmp_path)


def test_the_sdist_builds_alone_and_gives_the_bytes_of_the_checkout(wheel, tmp_path):
    """``made`` built the wheel from the sdist; this test builds it from the checkout, in another folder, later."""
    build(TOOL, tmp_path / "direct", "--wheel")
    assert only_wheel(tmp_path / "direct").read_bytes() == wheel.read_bytes()


def test_building_the_tool_leaves_the_checkout_unchanged(made, env):
    said = run("git", "status", "--porcelain", "distributions", env=env, cwd=ROOT).stdout
    assert "mamba_build_backend" not in said


def test_sdist_of_causal_conv1d_equals_a_vendored_project(env, tmp_path):
    options = ["--sdist", "-C=upstream-version=1.7.0"]
    build(ROOT / "distributions" / "causal-conv1d-portable", tmp_path / "out", *options)
    (path,) = (tmp_path / "out").iterdir()
    assert path.name == "causal_conv1d_portable-1.7.0.tar.gz"
    copy = [f"mamba_build_backend/{name}" for name in (*manifest.content("causal-conv1d"), "VENDORED.json")]
    own = ["LICENSE", "PKG-INFO", "README.md", "pyproject.toml", "upstream/causal_conv1d-1.7.0.tar.gz"]
    assert names_of(path) == sorted([*copy, *own])
    run(sys.executable, "-m", "twine", "check", "--strict", path, env=env, cwd=tmp_path)
    # The sdist gives its metadata without torch, a compiler or the network.
    with tarfile.open(path) as file:
        file.extractall(tmp_path, filter="data")
    folder = tmp_path / "causal_conv1d_portable-1.7.0"
    run(sys.executable, "-m", "mamba_build_backend", "vendor", folder, "--check", env=env, cwd=ROOT)
    program = "import sys, mamba_build_backend as b; print(b.prepare_metadata_for_build_wheel(sys.argv[1]))"
    variables = {**env, "MAMBA_BUILD_METADATA_ONLY": "true", "MAMBA_BUILD_OFFLINE": "true"}
    told = run(sys.executable, "-c", program, tmp_path / "info", env=variables, cwd=folder).stdout
    message = email.message_from_string((tmp_path / "info" / told.strip() / "METADATA").read_text())
    assert (message["Name"], message["Version"]) == ("causal-conv1d-portable", "1.7.0")


def test_installed_tool_plans_outside_a_project_with_commands_that_work_there(tool):
    facts = ROOT / "tests" / "facts" / "debian12-torch2.11-cuda13.0.json"
    said = tool("doctor", "--facts", facts).stdout
    assert "The build can start:  python -m pip install $(mamba-build-backend build)" in said
    said = tool("doctor", "--facts", facts, "-C", "arch=9.0").stdout
    assert "pip install $(mamba-build-backend build -C arch=9.0)" in said
    said = tool("explain", "version 'GLIBC_2.32' not found (required by selective_scan_cuda.so)").stdout
    assert "$(mamba-build-backend build -C distribution-name=mamba-ssm)" in said
    assert "mamba-build-backend audit" in said
    assert "python -m mamba_build_backend" not in said
    assert tool("--version").stdout.strip() == __version__
    assert tool("--help").stdout.startswith("usage: mamba-build-backend ")
    assert json.loads(tool("doctor", "--schema").stdout)["$schema"]
    done = tool("matrix", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "fix:  mamba-build-backend matrix FILE" in done.stderr


def test_api_of_the_installed_tool_plans_outside_a_project(installed, env, tmp_path):
    program = "from mamba_build_backend.api import doctor; seen = doctor(); print(seen.plan.title); print(seen.text)"
    said = run(installed, "-c", program, env=env, cwd=tmp_path).stdout
    assert said.startswith("mamba-ssm ")
    assert "$(python -m mamba_build_backend build)" in said or "problem" in said


def test_settings_of_a_fix_apply_to_the_build_that_pip_installs(tool):
    said = tool("explain", "fatal error: error writing to /tmp/ccX1.s: No space left on device").stdout
    commands = re.findall(r"(?:fix:|or:) +(.*)", said)
    assert any(
        re.search(r"\$\(mamba-build-backend build -C build-dir=\S+ -C cache-dir=\S+\)$", item) for item in commands
    ), said


def test_the_installed_tool_vendors_the_same_copy_as_the_checkout(tool, env, tmp_path):
    for name in ("by-tool", "by-checkout"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "setup.py").touch()
    tool("vendor", tmp_path / "by-tool", "--upstream", "causal-conv1d")
    run(sys.executable, "-m", "mamba_build_backend", "vendor", tmp_path / "by-checkout", "--upstream", "causal-conv1d",
        env=env, cwd=ROOT)  # fmt: skip
    files = {
        name: {
            path.relative_to(tmp_path / name).as_posix(): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }
        for name in ("by-tool", "by-checkout")
    }
    assert files["by-tool"] == files["by-checkout"]
    assert "mamba_build_backend/LICENSE" in files["by-tool"]


def test_installed_tool_reports_a_project_without_packages(tool, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    system = '[build-system]\nrequires = ["mamba-build-backend"]\nbuild-backend = "mamba_build_backend"\n'
    (folder / "pyproject.toml").write_text(f'{system}[project]\nname = "mine"\nversion = "1"\n')
    done = tool("doctor", cwd=folder, check=False)
    assert done.returncode == 2
    assert "mine has no setup.py, and its pyproject.toml does not say which project it packages" in done.stderr
    assert 'fix:  upstream = "mamba-ssm"\n' in done.stderr
    assert "# under [tool.mamba-build-backend] in pyproject.toml" in done.stderr
    (folder / "setup.py").write_text("from setuptools import setup\nsetup()\n")
    said = tool("doctor", "-v", cwd=folder, check=False).stdout
    assert said.startswith("this project, "), said
    assert tool("doctor", "-C", "upstream=mamba-ssm", cwd=folder, check=False).stdout.startswith("mamba-ssm ")
    (folder / "pyproject.toml").write_text(system + "[tool.mamba-build-backend\n")
    done = tool("doctor", cwd=folder, check=False)
    assert "is not valid TOML" in done.stderr
    assert "GLIBC_2.32" in tool("explain", "version 'GLIBC_2.32' not found", cwd=folder, check=False).stdout


def test_advice_names_uvx_and_pipx(wheel, env, tmp_path):
    facts = ROOT / "tests" / "facts" / "debian12-torch2.11-cuda13.0.json"
    uvx = [uv_program(), "tool", "run", "--python", sys.executable, "--from", wheel]
    said = run(*uvx, "mamba-build-backend", "doctor", "--facts", facts, env=env, cwd=tmp_path).stdout
    assert "$(uvx mamba-build-backend build)" in said
    pipx = shutil.which("pipx")
    if pipx is None:
        pipx_run = [uv_program(), "tool", "run", "--python", sys.executable, "pipx", "run", "--spec", wheel]
    else:
        pipx_run = [pipx, "run", "--spec", wheel]
    said = run(*pipx_run, "mamba-build-backend", "doctor", "--facts", facts, env=env, cwd=tmp_path).stdout
    assert "$(pipx run mamba-build-backend build)" in said


def plain_project(folder: Path) -> Path:
    """The tiny CUDA project without a copy of the backend: its two lines name the tool."""
    shutil.copytree(ROOT / "tests" / "packages" / "tiny_cuda", folder)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["mamba-build-backend"]\nbuild-backend = "mamba_build_backend"\n\n'
        '[project]\nname = "tiny-cuda"\nversion = "1.2.3"\ndependencies = ["torch"]\n\n'
        '[tool.mamba-build-backend]\narch = "9.0"\n'
    )
    return folder


@pytest.mark.parametrize("frontend", ["pip", "uv"])
def test_another_project_is_built_by_the_tool_from_an_index(frontend, made, env, tmp_path, torch_site, gxx):
    project = plain_project(tmp_path / "tiny")
    with local_index.served(made) as address:
        variables = {**env, "PIP_EXTRA_INDEX_URL": " ".join([env.get("PIP_EXTRA_INDEX_URL", ""), address]).strip()}
        variables |= {"UV_INDEX": address, "NO_PROXY": "127.0.0.1"}
        if frontend == "pip":
            command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path / "dist", project]
        else:
            variables = activated(variables, Path(sys.executable))
            command = [uv_program(), "build", "--wheel", "-o", tmp_path / "dist", project]
        run(*command, env=variables, cwd=tmp_path)
    record = record_of(only_wheel(tmp_path / "dist"))
    assert record["backend"] == __version__
    assert record["upstream"]["origin"] == "self"
    assert record["torch"]["version"].startswith("2.11.0")
    assert not (project / "mamba_build_backend").exists()


def test_installed_tool_builds_in_a_temporary_folder(installed, tool, tmp_path):
    """Up to the hook that would compile: uv asks only for metadata, because the environment has no pip."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    variables = {"TMPDIR": str(temporary), "PATH": f"{installed.parent}:{Path(uv_program()).parent}:/usr/bin:/bin"}
    done = tool("build", "causal-conv1d==1.7.0", "-C", "metadata-only=true", check=False, **variables)
    assert done.returncode == 2, done.stderr
    assert "metadata-only is set (by the environment), but a wheel was requested" in done.stderr
    assert "mamba-project-" in done.stderr or "Building wheel" in done.stderr
    assert "Traceback" not in "".join(line for line in done.stderr.splitlines() if "mamba_build_backend" in line)
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "elsewhere" / "dist").exists()
    without = {**variables, "PATH": f"{installed.parent}:/usr/bin:/bin"}
    done = tool("build", "causal-conv1d==1.7.0", check=False, **without)
    assert done.returncode == 8
    assert "has neither pip nor uv" in done.stderr


@pytest.mark.parametrize("repair", ["true", "false"])
def test_build_tag_is_in_the_file_name_and_in_the_wheel(repair, tiny, env, tmp_path):
    pip_wheel(tiny, tmp_path / "dist", env, "-C", "build-tag=12", "-C", f"repair={repair}", isolated=False)
    built = only_wheel(tmp_path / "dist")
    assert built.name.startswith(
        "tiny_cuda-1.2.3-12-cp311-cp311-" if sys.version_info[:2] == (3, 11) else "tiny_cuda-1.2.3-12-"
    )
    stated = text_of(built, "tiny_cuda-1.2.3.dist-info/WHEEL").splitlines()
    assert stated.count("Build: 12") == 1
    assert "Generator: mamba-build-backend " in "\n".join(stated)
    assert record_of(built)["backend"] == __version__
    run(sys.executable, "-m", "mamba_build_backend", "audit", built, env=env, cwd=ROOT)


def test_python_without_packaging_and_pip_prints_a_fix(wheel, env, tmp_path):
    venv = tmp_path / "bare"
    run(uv_program(), "venv", "-q", "--python", sys.executable, venv, env=env, cwd=tmp_path)
    python = venv / "bin" / "python"
    run(uv_program(), "pip", "install", "-q", "--no-deps", "--python", python, wheel, env=env, cwd=tmp_path)
    done = subprocess.run(
        [venv / "bin" / "mamba-build-backend", "doctor"],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 8
    assert "uv pip install --python" in done.stderr
    assert "Traceback" not in done.stderr


def test_distributions_require_only_packages_that_pip_carries(wheel):
    asked = re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra ==)", text_of(wheel, f"{INFO}/METADATA"), re.MULTILINE)
    vendored = Path(__import__("pip").__file__).parent / "_vendor"
    if not vendored.is_dir():
        lacking("pip's own copies of what it needs")
    assert set(asked) == {"packaging", "platformdirs", "tomli"}
    assert all((vendored / name).is_dir() for name in asked)
