"""The command line through its front door."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile

import pytest
from support import ROOT, lacking, packed_wheel

from mamba_build_backend.compile import run_setup_py
from mamba_build_backend.source import locate
from mamba_build_backend.tables import load_tables


def run(*arguments, env=None, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "mamba_build_backend", *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def bare(clean_env, tmp_path):
    """A machine without compiler or CUDA on PATH."""
    empty = tmp_path / "bin"
    empty.mkdir()
    return {**clean_env, "PATH": str(empty), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_doctor_without_a_compiler_says_what_to_type_and_exits_with_3(bare):
    done = run("doctor", env=bare)
    assert done.returncode == 3, done.stderr
    assert "problem: no C++ compiler fits (no g++ on PATH, in conda or in /opt/rh)" in done.stdout
    assert "type: apt-get install g++" in done.stdout


def test_doctor_speaks_json(bare):
    data = json.loads(run("doctor", "--json", env=bare).stdout)
    assert data["schema"] == 1
    assert data["ok"] is False
    assert "no-compiler" in [item["code"] for item in data["plan"]["problems"]]
    assert data["facts"]["machine"]["python_tag"].startswith("cp")


def test_build_without_a_compiler_stops_before_anything_is_fetched(bare, tmp_path):
    done = run("build", "-w", str(tmp_path / "dist"), env=bare)
    assert done.returncode == 3
    assert "mamba-build-backend: error: no C++ compiler fits" in done.stderr
    assert not (tmp_path / "dist").exists()


@pytest.mark.parametrize(
    ("arguments", "env", "told"),
    [
        (["-C", "arhc=9.0"], {}, "unknown setting 'arhc' in -C (config settings); did you mean 'arch'?"),
        (["-C", "arch"], {}, "-C 'arch' has no value"),
        (["-C", "arch=sm90x"], {}, "arch: 'sm90x' is not a compute capability"),
        (
            [],
            {"MAMBA_BUILD_GLIBCC": "2.17"},
            "unknown setting 'MAMBA_BUILD_GLIBCC' in the environment; did you mean 'MAMBA_BUILD_GLIBC'?",
        ),
        (["--project", "/nowhere"], {}, "/nowhere has no pyproject.toml"),
    ],
)
@pytest.mark.parametrize("command", ["doctor", "build"])
def test_a_wrong_setting_is_one_sentence_and_exit_code_2(bare, command, arguments, env, told):
    done = run(command, *arguments, env={**bare, **env})
    assert done.returncode == 2
    assert f"mamba-build-backend: error: {told}" in done.stderr
    assert "Traceback" not in done.stderr


def project(tmp_path, text):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "pyproject.toml").write_text(text)
    return str(tmp_path / "p")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tool.mamba-build-backend]\narhc = '9.0'\n", "did you mean 'arch'?"),
        ("[tool.mamba-build-backend\n", "is not valid TOML"),
    ],
)
def test_a_wrong_pyproject_is_one_sentence_and_exit_code_2(bare, tmp_path, text, told):
    done = run("doctor", "--project", project(tmp_path, text), env=bare)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("mamba_ssm-2.3.0-cp311-cp311-linux_x86_64.whl", b"PK\x03\x04 cut off", "is damaged or was cut off"),
        ("mamba_ssm-2.3.0-cp311-cp311-linux_x86_64.whl", b"", "is damaged or was cut off"),
        ("mamba_ssm-2.3.0-cp311-cp311-linux_x86_64.whl", None, "is not there"),
        ("mamba_ssm (1).whl", b"", "is not named like a wheel"),
    ],
)
def test_audit_of_something_that_is_no_wheel_exits_with_6(clean_env, tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = run("audit", str(tmp_path / name), env=clean_env)
    assert done.returncode == 6
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_audit_of_a_pure_wheel_is_fine(clean_env, tmp_path):
    wheel = packed_wheel(tmp_path, {"pure.py": b""}, "pure-1.0-py3-none-any.whl")
    done = run("audit", str(wheel), env=clean_env)
    assert done.returncode == 0
    assert "a pure Python wheel" in done.stdout


def test_help_names_every_command():
    said = run("--help").stdout
    for command in ("doctor", "build", "audit"):
        assert command in said


@pytest.fixture
def released(tmp_path):
    """A project that carries a released archive: what an sdist is, without the package index."""
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


def test_the_first_real_error_is_found_in_a_log(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "+ c++ -Werror -c a.cpp\n[1/2] c++ error.cpp\na.cpp:3:10: fatal error: a_header.h: No such file or directory\n"
        "compilation terminated.\nninja: build stopped: subcommand failed.\nRuntimeError: Error compiling objects for extension\n"
    )
    error = run_setup_py.failed("upstream's build failed with exit code 1", log)
    assert error.problems[0].found == (
        "upstream's build failed with exit code 1\n    a.cpp:3:10: fatal error: a_header.h: No such file or directory"
    )
    assert error.problems[0].fix[0].startswith(f"less {log}")
    assert run_setup_py.failed("it failed", tmp_path / "none").problems[0].found == "it failed"


def test_what_a_first_try_said_is_not_why_a_later_step_failed(tmp_path):
    log = tmp_path / "log"
    killed = "+ cd /w\n+ python setup.py\nnvcc error   : 'cicc' died due to signal 9 (Kill signal)\n"
    log.write_text(
        f"{killed}+ cd /w\n+ python setup.py\nfine\n+ cd /w\n+ auditwheel repair\nerror: too recent symbols\n"
    )
    problem = run_setup_py.failed("auditwheel ended with exit code 1", log).problems[0]
    assert problem.found == "auditwheel ended with exit code 1\n    error: too recent symbols"
    assert not run_setup_py._was_killed(log)
    log.write_text(killed)
    assert run_setup_py._was_killed(log)


def test_a_build_that_fails_for_a_known_reason_says_the_reason_and_what_to_type(tmp_path):
    log = tmp_path / "log"
    log.write_text("[1/2] nvcc …\nnvcc error   : 'cicc' died due to signal 9 (Kill signal)\nninja: build stopped\n")
    problem = run_setup_py.failed("upstream's build failed with exit code 1", log).problems[0]
    assert "died due to signal 9" in problem.found
    assert "memory" in problem.needed
    assert any("-C jobs=1" in way for way in problem.fix)
    assert not any("upstream's own build" in way or "in a checkout" in way for way in problem.fix)


def test_hooks_are_what_pep_517_and_660_name():
    import mamba_build_backend as backend

    assert sorted(backend.__all__) == sorted(
        [
            "build_editable", "build_sdist", "build_wheel",
            "get_requires_for_build_editable", "get_requires_for_build_sdist", "get_requires_for_build_wheel",
            "prepare_metadata_for_build_editable", "prepare_metadata_for_build_wheel",
        ]
    )  # fmt: skip
    assert all(callable(getattr(backend, name)) for name in backend.__all__)


def test_the_first_hooks_need_nothing_that_they_ask_for():
    """An isolated environment holds what pyproject.toml names, and not yet what the plan asks to be installed."""
    code = (
        "import sys\n"
        "for name in ('elftools', 'wheel', 'auditwheel', 'unearth', 'pyproject_metadata'): sys.modules[name] = None\n"
        "import mamba_build_backend as b\n"
        "b.get_requires_for_build_wheel(); b.get_requires_for_build_sdist()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in (0, 3), "3: this machine lacks what a build needs"


def test_importing_the_backend_loads_nothing_heavy():
    code = "import sys, mamba_build_backend; print([m for m in sys.modules if m.split('.')[0] in ('packaging', 'elftools', 'torch', 'setuptools', 'tomllib')])"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


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
    assert done.stdout.startswith("machine ")


def test_the_same_tree_gives_the_same_sdist(tmp_path):
    from mamba_build_backend import plan
    from mamba_build_backend.core import facts, settings
    from mamba_build_backend.wheel.sdist import write_sdist

    data = json.loads((ROOT / "tests/facts/debian12-torch2.11-cuda13.0.json").read_text())
    made = plan.decide(settings.Settings(), facts.from_json(data["facts"]), load_tables())
    tree, archive = tmp_path / "tree", tmp_path / "mamba_ssm-2.3.0.tar.gz"
    tree.mkdir()
    (tree / "a.py").write_text("")
    (tree / "venv").mkdir()
    (tree / "venv" / "pyvenv.cfg").write_text("")
    archive.write_bytes(b"archive")
    digests = set()
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        os.utime(tree / "a.py", (number, number))
        made_file = write_sdist(
            tree,
            {"name": "mamba-ssm-portable"},
            made,
            "Name: mamba_ssm\nVersion: 2.3.0\n\n",
            [(archive.name, archive)],
            tmp_path / str(number),
            {},
            print,
        )
        digests.add(locate.sha256(made_file))
    assert len(digests) == 1
    with tarfile.open(made_file) as tar:
        assert tar.getnames() == [
            f"mamba_ssm_portable-2.3.0/{name}" for name in ("a.py", "upstream/mamba_ssm-2.3.0.tar.gz", "PKG-INFO")
        ]


def test_a_build_without_isolation_and_without_tools_is_one_sentence(tmp_path, clean_env):
    if sys.version_info < (3, 11):
        lacking("a Python for which the newest torch has wheels: an older torch may want another CUDA than is here")
    """pip --no-build-isolation in an environment with pip alone: what is missing is named, whichever hook comes first."""
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


def test_an_environment_without_pip_is_told_all_that_it_lacks_at_once(tmp_path):
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
    """A version whose archive on the index holds no CUDA sources: the tag's tree goes into the sdist, known by its content."""
    import tarfile

    from support import zip_of

    from mamba_build_backend.source import archives

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
