"""The command line and the hooks in other environments: with only pip, without pip, from an sdist."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from support import ROOT, lacking

from mamba_build_backend.source import locate
from mamba_build_backend.tables import load_tables


@pytest.fixture
def bare(clean_env, tmp_path):
    """A machine without compiler or CUDA on PATH."""
    empty = tmp_path / "bin"
    empty.mkdir()
    return {**clean_env, "PATH": str(empty), "XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def released(tmp_path):
    """A project that carries a released archive, like an sdist, without PyPI."""
    row = next(row for row in load_tables().versions if row.index_sha256)
    tree = tmp_path / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", "build", "dist", "tests", ".*"))
    return tree, row


def test_an_sdist_with_a_wrong_archive_is_refused_by_the_hook(released, bare):
    tree, row = released
    (tree / locate.EMBEDDED).mkdir()
    (tree / locate.EMBEDDED / row.index_file).write_bytes(b"wrong")
    code = "import mamba_build_backend as b; b.build_sdist('out')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tree, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert f"{row.index_file} is damaged" in done.stderr
    assert not (tree / "out").exists()


def test_doctor_needs_nothing_but_pip(tmp_path):
    """In a fresh virtual environment pip's own copies of packaging and the like serve."""
    import venv

    venv.create(tmp_path / "v", with_pip=True)
    python = tmp_path / "v" / "bin" / "python"
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [python, "-m", "mamba_build_backend", "doctor"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.startswith("mamba-ssm ")


def test_missing_tools_without_isolation_are_one_sentence(tmp_path, clean_env):
    if sys.version_info < (3, 11):
        lacking("a Python for which the newest torch has wheels: an older torch may want another CUDA than is here")
    """pip --no-build-isolation in an environment with only pip: every hook names the missing packages."""
    import venv

    venv.create(tmp_path / "v", with_pip=True, system_site_packages=False)
    env = {
        **clean_env,
        "MAMBA_BUILD_SYSROOT": "host",
        "MAMBA_BUILD_CACHE_DIR": str(tmp_path / "cache"),
        "PIP_NO_INDEX": "1",
    }
    for hook in ("prepare_metadata_for_build_wheel", "build_wheel", "build_editable", "build_sdist"):
        code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import mamba_build_backend as b; b.{hook}('out')"
        done = subprocess.run(
            [tmp_path / "v/bin/python", "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stderr.startswith("mamba-build-backend: error: "), hook
        assert done.returncode == 3
        assert "unearth" in done.stderr or "setuptools" in done.stderr
        assert "pyproject-metadata" in done.stderr


def test_environment_without_pip_gets_the_whole_list_of_missing_packages(tmp_path):
    """As uv makes them."""
    import venv

    venv.create(tmp_path / "v", with_pip=False, system_site_packages=False)
    python = tmp_path / "v" / "bin" / "python"
    done = subprocess.run(
        [str(python), "-m", "mamba_build_backend", "doctor"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 8
    missing = "packaging platformdirs" if sys.version_info >= (3, 11) else "packaging platformdirs tomli"
    assert f"uv pip install --python {python} {missing}" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_sdist_of_a_version_from_git_carries_its_source_and_builds_from_it(bare, tmp_path):
    """PyPI's archive of this version has no CUDA sources: the sdist carries the tag's tree, verified by content."""
    import tarfile

    from support import zip_of

    from mamba_build_backend.core import archives

    tree = tmp_path / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", "build", "dist", "tests", ".*"))
    given = zip_of(tmp_path / "mamba-2.2.4.zip", {"setup.py": b"", "csrc/a.cu": b"", "mamba_ssm/__init__.py": b""})
    content = archives.tree_sha256(archives.unpack(given, tmp_path / "look"))
    table = tree / "mamba_build_backend/projects/mamba-ssm/versions.toml"
    before, version, after = table.read_text().partition('version = "2.2.4"')
    table.write_text(before + version + re.sub(r'tree-sha256 = \["\w+"', f'tree-sha256 = ["{content}"', after, count=1))
    code = "import mamba_build_backend as b; print(b.build_sdist('out', {settings}))"
    for number, more in enumerate([{"source": str(given), "upstream-version": "2.2.4"}, {}]):
        command = [sys.executable, "-c", code.format(settings=more)]
        done = subprocess.run(command, cwd=tree, env=bare, capture_output=True, text=True, check=False)
        assert done.stdout.strip() == "mamba_ssm_portable-2.2.4.tar.gz", done.stderr
        with tarfile.open(tree / "out" / done.stdout.strip()) as tar:
            assert "mamba_ssm_portable-2.2.4/upstream/mamba_ssm-2.2.4.tar.gz" in tar.getnames()
            tar.extractall(tmp_path / str(number), filter="data")
        # The second time round: from the sdist's own tree, which knows its version and its source.
        tree = tmp_path / str(number) / "mamba_ssm_portable-2.2.4"
