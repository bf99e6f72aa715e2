"""A wheel from a package index, installed by pip, an old pip and uv: their choice, and the message without one.

The wheels have real names, tags and metadata, and a module of one line; other tests compile real ones. The index is
the server that the rehearsal of a release uses.
"""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from support import ROOT, lacking, packed_wheel, python_of_version, run, served, shared_folder, uv_program

sys.path.insert(0, str(ROOT / "release"))
import local_index

from mamba_build_backend.core.files import sha256
from mamba_build_backend.core.locks import locked
from mamba_build_backend.wheel.project_files import project_files

NAME, VERSION = "mamba_ssm_portable", "2.3.2.post1"
TAGS = "cp39-abi3-manylinux_2_17_x86_64"
OTHER = "cp39-abi3-manylinux_2_17_s390x"
OLD_PIP = "21.3"


def wheel(folder: Path, build: str = "", tags: str = TAGS, version: str = VERSION, name: str = NAME) -> Path:
    """A wheel with this build tag, which contains ``NAME.BUILD``."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    fields = [
        "Metadata-Version: 2.4",
        f"Name: {name.replace('_', '-')}",
        f"Version: {version}",
        "Requires-Python: >=3.9",
    ]
    stated = ["Wheel-Version: 1.0", "Generator: mamba-build-backend 0.1.0", "Root-Is-Purelib: false"]
    stated += [*([f"Build: {build}"] if build else []), f"Tag: {tags}"]
    files = {
        f"{name}/__init__.py": f"BUILD = {build!r}\n".encode(),
        f"{info}/METADATA": "".join(f"{line}\n" for line in fields).encode(),
        f"{info}/WHEEL": "".join(f"{line}\n" for line in stated).encode(),
    }
    made = packed_wheel(folder, files, f"{name}-{version}-{tags}.whl")
    return made.rename(made.with_name(f"{name}-{version}-{f'{build}-' if build else ''}{tags}.whl"))


@pytest.fixture(scope="module")
def old_python(tmp_path_factory):
    """A Python 3.9 with pip 21.3, which knows no `-C`, no metadata files of an index, and no PEP 658."""
    folder = shared_folder(tmp_path_factory) / "old-pip"
    with locked(folder.with_suffix(".lock")):
        if not (folder / "complete").exists():
            env = dict(os.environ)
            run(python_of_version("3.9"), "-m", "venv", "--clear", folder, env=env, cwd=ROOT)
            run(
                uv_program(),
                "pip",
                "install",
                "-q",
                "--python",
                folder / "bin/python",
                f"pip=={OLD_PIP}",
                env=env,
                cwd=ROOT,
            )
            (folder / "complete").touch()
    return folder / "bin" / "python"


class Installer:
    """One that installs into a folder of its own; ``words`` come after ``install``."""

    def __init__(self, command, options, env, target):
        self.command, self.options, self.env, self.target = command, options, env, target

    def install(self, *words, check=True, index=None, extra=None):
        given = ["--index-url", index] if index else []
        given += ["--extra-index-url", extra] if extra else []
        return run(*self.command, "install", "--no-deps", *self.options, "--target", self.target, *given, *words,
                   env=self.env, cwd=self.target.parent, check=check)  # fmt: skip

    @property
    def build(self):
        text = (self.target / NAME / "__init__.py").read_text()
        return text.removeprefix("BUILD = '").removesuffix("'\n")

    @property
    def has_nothing(self):
        return not (self.target / NAME).exists()


@pytest.fixture(params=["pip", "old pip", "uv"])
def installer(request, env, tmp_path):
    """An environment without the indexes of this machine."""
    clean = {
        key: value for key, value in env.items() if not key.startswith(("PIP_", "UV_")) and "proxy" not in key.lower()
    }
    clean |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "UV_NO_CONFIG": "1"}
    target = tmp_path / "target"
    if request.param == "uv":
        return Installer([uv_program(), "pip"], ["--no-cache", "--python", sys.executable], clean, target)
    python = sys.executable if request.param == "pip" else request.getfixturevalue("old_python")
    return Installer([python, "-m", "pip"], ["--no-cache-dir"], clean, target)


@pytest.fixture
def index(tmp_path):
    """A folder that is served, and its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    with local_index.served(folder) as address:
        yield folder, address


def test_the_highest_build_of_a_version_is_taken(installer, index):
    """Numbers, not words: 10 is higher than 9, and none is the lowest."""
    folder, address = index
    for build in ("", "1", "9", "10", "2"):
        wheel(folder, build)
    installer.install("mamba-ssm-portable", index=address)
    assert installer.build == "10"


def test_a_newer_version_goes_before_a_higher_build(installer, index):
    folder, address = index
    wheel(folder, "7")
    wheel(folder, "", version="2.3.3")
    installer.install("mamba-ssm-portable", index=address)
    assert installer.build == ""
    installer.install("--upgrade", f"mamba-ssm-portable=={VERSION}", index=address)
    assert installer.build == "7"


def test_hash_admits_only_one_build(installer, index, tmp_path):
    """A mirror that lags has only an older build: with the hashes of the newer one nothing is installed."""
    folder, address = index
    old, new = wheel(folder, "1"), wheel(tmp_path / "newer", "2")
    wanted = tmp_path / "requirements.txt"
    wanted.write_text(f"mamba-ssm-portable=={VERSION} --hash=sha256:{sha256(new)}\n")
    done = installer.install("--require-hashes", "-r", wanted, index=address, check=False)
    assert done.returncode != 0
    assert installer.has_nothing
    shutil.copy(new, folder)
    installer.install("--require-hashes", "-r", wanted, index=address)
    assert installer.build == "2"
    wanted.write_text(f"mamba-ssm-portable=={VERSION} --hash=sha256:{sha256(old)} --hash=sha256:{sha256(new)}\n")


def test_hash_refuses_a_wheel_damaged_in_transfer(installer, index, tmp_path):
    folder, address = index
    made = wheel(folder, "1")
    wanted = tmp_path / "requirements.txt"
    wanted.write_text(f"mamba-ssm-portable=={VERSION} --hash=sha256:{sha256(made)}\n")
    data = bytearray(made.read_bytes())
    data[len(data) // 2] ^= 1
    made.write_bytes(data)
    done = installer.install("--require-hashes", "-r", wanted, index=address, check=False)
    assert done.returncode != 0
    assert re.search(r"hash|bad crc", (done.stdout + done.stderr).lower())  # uv unpacks while it downloads
    assert installer.has_nothing


def test_pip_takes_the_highest_build_of_two_indexes_and_uv_the_first_index(installer, index, tmp_path):
    folder, address = index
    wheel(folder, "1")
    wheel(tmp_path / "second", "2")
    with local_index.served(tmp_path / "second") as second:
        if "uv" not in str(installer.command[0]):
            installer.install("mamba-ssm-portable", index=address, extra=second)
            assert installer.build == "2"
            return
        # uv prefers an extra index. For one version it takes the file of the first index with any strategy.
        for strategy in ("first-index", "unsafe-best-match"):
            options = ["--index-strategy", strategy, "--reinstall"]
            installer.install(*options, "mamba-ssm-portable", index=second, extra=address)
            assert installer.build == "1"


def test_index_with_wheels_only_for_other_machines_is_reported(installer, index):
    folder, address = index
    wheel(folder, "1", OTHER)
    done = installer.install("mamba-ssm-portable", index=address, check=False)
    assert done.returncode != 0
    assert installer.has_nothing
    said = " ".join((done.stdout + done.stderr).lower().split())  # uv breaks lines where its own path is long
    assert re.search("no matching distribution|no wheels with a matching platform tag", said)


@pytest.fixture
def pages(env, tmp_path):
    """An index of files, as `index` writes it for any web server: its pages do not change with the wheels."""
    folder = tmp_path / "pages"

    def write(*builds):
        made = [wheel(folder / "wheels", build) for build in builds]
        command = [sys.executable, "-m", "mamba_build_backend", "index", folder, "-w", folder / "wheels"]
        run(*command, env=env, cwd=ROOT)
        return made

    folder.mkdir()
    with served(folder) as address:
        yield write, address


def test_highest_build_of_a_file_index_is_installed(installer, pages):
    write, address = pages
    write("", "2", "10")
    installer.install("mamba-ssm-portable", index=address)
    assert installer.build == "10"


@pytest.mark.parametrize("fault", ["damaged", "cut off", "gone"])
def test_pip_and_uv_refuse_a_wheel_that_differs_from_its_index_entry(fault, installer, pages):
    """A mirror that lags lists what it does not have yet; a download may end early, or bring other bytes."""
    write, address = pages
    _, made = write("1", "2")
    data = bytearray(made.read_bytes())
    data[len(data) // 2] ^= 1
    if fault == "gone":
        made.unlink()
    else:
        made.write_bytes(data if fault == "damaged" else data[: len(data) // 2])
    done = installer.install("mamba-ssm-portable", index=address, check=False)
    assert done.returncode != 0, "the older build is not taken in silence"
    assert installer.has_nothing


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The sdist of this project, made once for all processes."""
    folder = shared_folder(tmp_path_factory) / "own-sdist"
    with locked(folder.with_suffix(".lock")):
        if not folder.exists():
            part = folder.with_suffix(".part")
            command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "-o", part, ROOT]
            run(*command, f"-Cupstream-version={VERSION}", env=dict(os.environ), cwd=ROOT)
            part.rename(folder)
    (path,) = folder.iterdir()
    return path


def bare(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The variables of a machine that has no nvcc, and may download none."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "env", "uname", "ldd", "git"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    variables = {key: value for key, value in env.items() if key not in ("CUDA_HOME", "CUDA_PATH")}
    return {
        **variables,
        "PATH": str(programs),
        "MAMBA_BUILD_CUDA_MIRROR": "off",
        "MAMBA_BUILD_CUDA_HOME": str(tmp_path / "none"),
    }


@pytest.mark.parametrize("frontend", ["pip", "old pip", "uv"])
def test_sdist_names_the_missing_parts_if_no_wheel_fits(frontend, index, sdist, request, env, tmp_path):
    folder, address = index
    wheel(folder, "1", OTHER)
    shutil.copy(sdist, folder)
    variables = {**bare(env, tmp_path), "NO_PROXY": "127.0.0.1"}
    if frontend != "uv":
        extra = " ".join(filter(None, [env.get("PIP_EXTRA_INDEX_URL", ""), address]))
        python = sys.executable if frontend == "pip" else request.getfixturevalue("old_python")
        command = [python, "-m", "pip", "install", "--no-deps", "--no-cache-dir"]
        variables["PIP_EXTRA_INDEX_URL"] = extra
    else:
        command = [uv_program(), "pip", "install", "--no-deps", "--no-cache", "--python", sys.executable]
        variables["UV_INDEX"] = address
    command += ["--target", tmp_path / "target", "mamba-ssm-portable"]
    done = run(*command, env=variables, cwd=tmp_path, check=False)
    assert done.returncode != 0
    said = [line for line in (done.stdout + done.stderr).splitlines() if "mamba-build-backend: error: " in line]
    assert any(re.search(r"nvcc|CUDA|cuda-home", line) for line in said), done.stdout + done.stderr
    assert any("fix: " in line for line in said)
    assert 'File "' not in "".join(
        line for line in (done.stdout + done.stderr).splitlines(True) if "mamba_build_backend" in line
    )
    assert not (tmp_path / "target" / NAME).exists()


def test_pip_downloads_the_wheel_and_sdist_metadata_without_torch(index, sdist, env, tmp_path):
    folder, address = index
    wheel(folder, "3")
    variables = {**env, "PIP_EXTRA_INDEX_URL": " ".join(filter(None, [env.get("PIP_EXTRA_INDEX_URL", ""), address]))}
    download = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "-d", tmp_path / "got"]
    run(*download, "mamba-ssm-portable", env=variables, cwd=tmp_path)
    assert [path.name for path in (tmp_path / "got").iterdir()] == [f"{NAME}-{VERSION}-3-{TAGS}.whl"]
    shutil.copy(sdist, folder)
    run(*download, "--no-binary", "mamba-ssm-portable", "mamba-ssm-portable",
        env={**variables, "MAMBA_BUILD_METADATA_ONLY": "true"}, cwd=tmp_path)  # fmt: skip
    assert (tmp_path / "got" / sdist.name).read_bytes() == sdist.read_bytes()


def test_uv_locks_and_syncs_the_wheel_and_builds_nothing(index, env, tmp_path):
    folder, address = index
    for build in ("1", "2"):
        wheel(folder, build)
    app = tmp_path / "app"
    app.mkdir()
    (app / "pyproject.toml").write_text(
        '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = ["mamba-ssm-portable"]\n'
        f'[[tool.uv.index]]\nname = "local"\nurl = "{address}"\nexplicit = true\n'
        '[tool.uv.sources]\nmamba-ssm-portable = { index = "local" }\n'
    )
    variables = {**env, "NO_PROXY": "127.0.0.1", "UV_CACHE_DIR": str(tmp_path / "cache")}
    said = run(uv_program(), "lock", "-v", "--python", sys.executable, env=variables, cwd=app).stderr
    assert "Building" not in said
    lock = (app / "uv.lock").read_text()
    assert lock.count(f"{NAME}-{VERSION}-") == 2, "the lock holds every build, each with its hash"
    run(uv_program(), "sync", "--python", sys.executable, env=variables, cwd=app)
    (site,) = app.glob(".venv/lib/python*/site-packages")
    assert (site / NAME / "__init__.py").read_text() == "BUILD = '2'\n"
    # A lock holds: a higher build that comes later is not taken until the lock is made anew.
    wheel(folder, "3")
    run(uv_program(), "sync", "--python", sys.executable, "--reinstall", env=variables, cwd=app)
    assert (site / NAME / "__init__.py").read_text() == "BUILD = '2'\n"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A git repository that holds this tree."""
    folder = shared_folder(tmp_path_factory) / "repository"
    with locked(folder.with_suffix(".lock")):
        if not folder.exists():
            part = folder.with_suffix(".part")
            for path in project_files(ROOT, os.environ).paths:
                target = part / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
            env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
            run("git", "init", "-q", "-b", "main", env=env, cwd=part)
            run("git", "add", "-A", env=env, cwd=part)
            who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
            run("git", *who, "commit", "-q", "-m", "As it is", env=env, cwd=part)
            part.rename(folder)
    return folder


@pytest.mark.parametrize("frontend", ["pip", "uv"])
def test_the_tool_is_installed_from_a_git_address(frontend, repository, env, tmp_path):
    venv = tmp_path / "venv"
    run(uv_program(), "venv", "-q", "--seed", "--python", sys.executable, venv, env=env, cwd=tmp_path)
    python = venv / "bin" / "python"
    address = f"mamba-build-backend @ git+file://{repository}#subdirectory=distributions/mamba-build-backend"
    command = [python, "-m", "pip"] if frontend == "pip" else [uv_program(), "pip"]
    options = [] if frontend == "pip" else ["--python", python]
    run(*command, "install", "-q", *options, address, env=env, cwd=tmp_path)
    run(venv / "bin" / "mamba-build-backend", "patches", "--facts", ROOT / "tests/facts/debian12-torch2.11-cuda13.0.json",
        env=env, cwd=tmp_path)  # fmt: skip


def test_metadata_come_from_a_git_address(repository, env, tmp_path):
    variables = {**env, "MAMBA_BUILD_METADATA_ONLY": "true"}
    address = f"mamba-ssm-portable @ git+file://{repository}"
    done = run(sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed", "--target", tmp_path / "t",
               address, env=variables, cwd=tmp_path)  # fmt: skip
    assert f"Would install mamba-ssm-portable-{VERSION}" in done.stdout


def test_uv_installs_the_wheel_into_an_environment_without_pip(index, env, tmp_path):
    folder, address = index
    wheel(folder, "2")
    venv = tmp_path / "venv"
    run(uv_program(), "venv", "-q", "--python", sys.executable, venv, env=env, cwd=tmp_path)
    if (venv / "bin" / "pip").exists():
        lacking("an environment without pip")
    variables = {**env, "NO_PROXY": "127.0.0.1", "VIRTUAL_ENV": str(venv)}
    run(
        uv_program(),
        "pip",
        "install",
        "-q",
        "--no-cache",
        "--default-index",
        address,
        "mamba-ssm-portable",
        env=variables,
        cwd=tmp_path,
    )
    said = run(venv / "bin" / "python", "-c", f"import {NAME}; print({NAME}.BUILD)", env=env, cwd=tmp_path).stdout
    assert said == "2\n"


REQUIRING = [
    ("mamba-clip==0.1.3", "mamba-ssm", "2.3.2.post1"),
    ("mambavision==1.2.0", "mamba-ssm", "2.2.4"),
    ("flash-linear-attention==0.6.0", "causal-conv1d", "1.7.0"),
]
"""Packages of the index, what each requires of upstream's (the last one by an extra), and a version that it admits."""
_MET = """\
import sys
from importlib import metadata
from packaging.requirements import Requirement
package, name = sys.argv[1:]
wanted = [Requirement(text) for text in metadata.requires(package)]
(wanted,) = [item for item in wanted if item.name == name]
print(wanted, "/", metadata.version(name), "/", wanted.specifier.contains(metadata.version(name)))
"""


@pytest.mark.parametrize("frontend", ["pip", "uv"])
@pytest.mark.parametrize(("package", "name", "version"), REQUIRING)
def test_stand_in_satisfies_requirements_of_other_packages(frontend, package, name, version, index, env, tmp_path):
    folder, address = index
    portable = f"{name}-portable"
    wheel(folder, "1", version=version, name=portable.replace("-", "_"))
    command = [sys.executable, "-m", "mamba_build_backend", "stand-in", f"{name}=={version}", "-w", tmp_path / "dist"]
    stand_in = run(*command, env=env, cwd=ROOT).stdout.strip()
    venv = tmp_path / "venv"
    run(uv_program(), "venv", "-q", "--python", sys.executable, venv, env=env, cwd=tmp_path)
    python = venv / "bin" / "python"
    run(
        uv_program(),
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--python",
        python,
        package,
        "packaging",
        env=env,
        cwd=tmp_path,
    )
    if frontend == "uv":
        variables = {**env, "NO_PROXY": "127.0.0.1", "UV_DEFAULT_INDEX": address}
        run(uv_program(), "pip", "install", "-q", "--python", python, stand_in, name, env=variables, cwd=tmp_path)
    else:
        variables = {**env, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": address, "PIP_EXTRA_INDEX_URL": ""}
        run(
            sys.executable,
            "-m",
            "pip",
            "--python",
            python,
            "install",
            "-q",
            stand_in,
            name,
            env=variables,
            cwd=tmp_path,
        )
    said = run(python, "-c", _MET, package.partition("==")[0], name, env=env, cwd=tmp_path).stdout
    assert said.rstrip().endswith(f"/ {version}+portable / True"), said
    run(python, "-c", f"import {portable.replace('-', '_')}", env=env, cwd=tmp_path)
    checked = run(uv_program(), "pip", "check", "--python", python, env=env, cwd=tmp_path, check=False)
    assert name not in checked.stdout + checked.stderr


def test_stand_in_is_reproducible(env, tmp_path):
    made = []
    for place in ("one", "other"):
        command = [sys.executable, "-m", "mamba_build_backend", "stand-in", "causal-conv1d", "-w", tmp_path / place]
        made.append(Path(run(*command, env=env, cwd=ROOT).stdout.strip()))
    assert made[0].read_bytes() == made[1].read_bytes()
    assert made[0].name == made[1].name
