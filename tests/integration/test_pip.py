"""pip, as its users type it: options, constraints, wheelhouses, drop-ins; each for real, on a project of two files."""

import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

from support import environment_with_torch, lacking, only_wheel, pip_wheel, record_of, run, uv_program

CONSTRAINT = "PIP_BUILD_CONSTRAINT"
"""Since pip 25.3; before it PIP_CONSTRAINT held for build tools too."""


def test_a_constraint_file_holds_for_the_build_tools_too(tiny, env, tmp_path):
    chosen = f"{version('setuptools').split('.')[0]}.0.0"
    (tmp_path / "constraints.txt").write_text(f"setuptools=={chosen}\n")
    said = pip_wheel(tiny, tmp_path / "dist", {**env, CONSTRAINT: str(tmp_path / "constraints.txt")})
    assert f"setuptools-{chosen}" in said.stdout + said.stderr
    only_wheel(tmp_path / "dist")


def test_unsatisfiable_constraint_is_an_error_of_pip(tiny, env, tmp_path):
    (tmp_path / "constraints.txt").write_text("setuptools==1.0\n")
    constrained = {**env, CONSTRAINT: str(tmp_path / "constraints.txt")}
    done = pip_wheel(tiny, tmp_path / "dist", constrained, check=False)
    assert done.returncode != 0
    assert "setuptools" in done.stdout + done.stderr
    assert not list(tmp_path.glob("dist/*.whl"))


def test_settings_are_given_one_by_one_and_a_list_is_one_setting(tiny, env, tmp_path):
    options = ["-C", "arch=8.0", "--config-settings=arch=9.0", "-C", "repair=false"]
    pip_wheel(tiny, tmp_path / "dist", env, *options)
    record = record_of(only_wheel(tmp_path / "dist"))
    assert [code for item in record["gpu_code"]["passes"] for code in item["codes"]] == ["80", "90"]


def test_pip_reports_an_unreachable_index_at_once(tiny, env, tmp_path):
    down = {**env, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
    done = pip_wheel(tiny, tmp_path / "dist", down, check=False)
    assert done.returncode != 0
    assert "No matching distribution found" in done.stdout + done.stderr
    assert not list(tmp_path.glob("dist/*.whl"))


def test_requires_fills_an_offline_wheelhouse_that_builds_without_an_index(tiny, env, tmp_path):
    """`requires`, `pip download`, then the build with --no-index, as docs/cluster.md says."""
    house = tmp_path / "wheelhouse"
    listed = run(sys.executable, "-m", "mamba_build_backend", "requires", env=env, cwd=tiny).stdout
    assert "ziglang==0.13.0.post1" in listed.splitlines()
    (tmp_path / "build-requirements.txt").write_text(listed)
    pip = [sys.executable, "-m", "pip"]
    run(*pip, "download", "-q", "-d", house, "-r", tmp_path / "build-requirements.txt", env=env, cwd=tmp_path)
    run(*pip, "wheel", "--no-deps", "-w", tmp_path / "dist", "--no-index", "--find-links", house, tiny,
        env={**env, "PIP_CONFIG_FILE": os.devnull, "MAMBA_BUILD_CACHE_DIR": str(tmp_path / "empty")}, cwd=tmp_path)  # fmt: skip
    only_wheel(tmp_path / "dist")


def test_pip_download_of_the_sdist_with_metadata_only_needs_neither_torch_nor_compiler(env, tmp_path):
    """A login node prepares a wheelhouse for a node without network."""
    if subprocess.run([sys.executable, "-c", "import unearth"], check=False).returncode:
        lacking("unearth")
    from support import ROOT

    code = "import mamba_build_backend as b; print(b.build_sdist('.'))"
    path = {**env, "PYTHONPATH": str(ROOT)}
    project = tmp_path / "project"
    run("cp", "-r", ROOT / "mamba_build_backend", ROOT / "patches", ROOT / "pyproject.toml", ROOT / "README.md",
        "-t", project.mkdir() or project, env=env, cwd=tmp_path)  # fmt: skip
    name = run(sys.executable, "-c", code, env=path, cwd=project).stdout.strip().splitlines()[-1]
    run(sys.executable, "-m", "venv", tmp_path / "bare", env=env, cwd=tmp_path)
    bare = {**env, "PATH": "/nowhere"}
    command = [tmp_path / "bare/bin/python", "-m", "pip", "download", "-v", "--no-deps", "-d", tmp_path / "got"]
    hinted = run(*command, project / name, env=bare, cwd=tmp_path, check=False)
    assert re.search(
        r"fix:  export MAMBA_BUILD_METADATA_ONLY=true\n +# to download or lock an sdist", hinted.stdout + hinted.stderr
    )
    done = run(*command, project / name, env={**bare, "MAMBA_BUILD_METADATA_ONLY": "true"}, cwd=tmp_path)
    said = done.stdout + done.stderr
    assert (tmp_path / "got" / name).is_file()
    assert "Successfully installed" in said
    assert "torch" not in "".join(line for line in said.splitlines() if "Successfully installed" in line)


def test_drop_in_satisfies_requirements_of_its_name(tiny, env, tmp_path, torch_site):
    options = ["-C", "distribution-name=Upstream_Name", "-C", "local-version=auto"]
    pip_wheel(tiny, tmp_path / "dist", env, *options)
    wheel = only_wheel(tmp_path / "dist")
    torch = version("torch")
    minor = ".".join(torch.split(".")[:2])
    label = f"cu{torch.split('+cu')[-1][:2] if '+cu' in torch else '13'}torch{minor}cxx11abiTRUE"
    assert wheel.name.startswith(f"upstream_name-1.2.3+{label}-cp3")
    assert "manylinux" in wheel.name
    python = environment_with_torch(tmp_path / "venv", torch_site)
    asked = tmp_path / "asks"
    asked.mkdir()
    (asked / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "asks"\nversion = "1"\ndependencies = ["upstream-name>=1.2"]\n[tool.setuptools]\npackages = []\n'
    )
    offline = ["--no-index", "--find-links", wheel.parent, "--no-build-isolation"]
    run(python, "-m", "pip", "install", "-q", *offline, asked, env=env, cwd=tmp_path)
    run(python, "-m", "pip", "check", env=env, cwd=tmp_path, check=False)
    shown = run(python, "-m", "pip", "show", "upstream-name", env=env, cwd=tmp_path).stdout
    assert f"Version: 1.2.3+{label}".lower() in shown.lower()
    # uv reads the same file.
    target = ["--python", python, "--reinstall", "--no-deps"]
    run(uv_program(), "pip", "install", *target, wheel, env=env, cwd=tmp_path)


def test_only_the_command_line_adds_a_variant_label(tiny, env, tmp_path):
    """pip refuses the file name of a variant."""
    pip_wheel(tiny, tmp_path / "by-pip", env, "-C", "variant=auto", "-C", "repair=false")
    assert only_wheel(tmp_path / "by-pip").name.endswith("-linux_x86_64.whl")
    options = ["-C", "variant=lab_1", "-C", "repair=false", "--no-isolation"]
    command = [sys.executable, "-m", "mamba_build_backend", "build", "-w", tmp_path / "by-us", *options]
    wheel = Path(run(*command, env=env, cwd=tiny).stdout.strip())
    assert wheel.name.endswith("-linux_x86_64-lab_1.whl")
    assert wheel == only_wheel(tmp_path / "by-us")


def test_an_sdist_of_a_project_keeps_what_its_setup_requires(tiny, env, tmp_path, torch_site):
    """A project may leave its name and version to setup.py, which runs if pyproject.toml lacks them."""
    text = (tiny / "pyproject.toml").read_text()
    head, _, tail = text.partition("[project]")
    (tiny / "pyproject.toml").write_text(head + "[tool." + tail.partition("[tool.")[2])
    setup = (tiny / "setup.py").read_text()
    (tiny / "setup.py").write_text(
        setup.replace(
            "setup(\n", 'setup(\n    name="of-setup", version="4.5", install_requires=["torch", "einops>=0.1"],\n'
        )
    )
    command = [sys.executable, "-m", "build", f"-Ctorch={torch_site}", "-Crepair=false", "-o", tmp_path / "dist", tiny]
    run(*command, env=env, cwd=tmp_path)
    assert (tmp_path / "dist" / "of_setup-4.5.tar.gz").is_file()
    wheel = only_wheel(tmp_path / "dist")
    assert wheel.name.startswith("of_setup-4.5-")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        assert b"Requires-Dist: einops>=0.1" in archive.read(name)
