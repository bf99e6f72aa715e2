"""The command line through its front door."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile

import pytest
from support import ROOT, packed_wheel, typed

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
    tied = {"MAMBA_BUILD_ABI": "torch"}  # else zig compiles
    return {**clean_env, **tied, "PATH": str(empty), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_doctor_without_a_compiler_prints_a_fix_and_exits_with_3(bare):
    done = run("doctor", env=bare)
    assert done.returncode == 3, done.stderr
    assert "error: no g++ was found" in done.stdout
    assert re.search(r"fix:  .*apt-get install (?:-y )?g\+\+", done.stdout)


def test_doctor_prints_json(bare):
    data = json.loads(run("doctor", "--json", env=bare).stdout)
    assert data["schema"] == 2
    assert data["ok"] is False
    assert "no-compiler" in [item["code"] for item in data["problems"]]
    assert data["facts"]["machine"]["python_tag"].startswith("cp")


def test_build_without_a_compiler_stops_before_any_download(bare, tmp_path):
    done = run("build", "-w", str(tmp_path / "dist"), env=bare)
    assert done.returncode == 3
    assert "mamba-build-backend: error: no g++ was found" in done.stderr
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
    done = typed(command, *arguments, env={**bare, **env})
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
    done = typed("doctor", "--project", project(tmp_path, text), env=bare)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("mamba_ssm-2.3.0-cp311-cp311-linux_x86_64.whl", b"PK\x03\x04 cut off", "is damaged or was cut off"),
        ("mamba_ssm-2.3.0-cp311-cp311-linux_x86_64.whl", b"", "is damaged or was cut off"),
        ("mamba_ssm-2.3.0-cp311-cp311-linux_x86_64.whl", None, "does not exist"),
        ("mamba_ssm (1).whl", b"", "is not a valid wheel name"),
    ],
)
def test_audit_of_a_file_that_is_not_a_wheel_exits_with_6(clean_env, tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = typed("audit", str(tmp_path / name), env=clean_env)
    assert done.returncode == 6
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_audit_accepts_a_pure_wheel(clean_env, tmp_path):
    wheel = packed_wheel(tmp_path, {"pure.py": b""}, "pure-1.0-py3-none-any.whl")
    done = run("audit", str(wheel), env=clean_env)
    assert done.returncode == 0
    assert "a pure Python wheel" in done.stdout


def test_help_names_every_command():
    said = run("--help").stdout
    for command in ("doctor", "build", "audit"):
        assert command in said


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


def test_error_of_a_failed_try_does_not_explain_a_later_step(tmp_path):
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


def test_known_build_failure_prints_cause_and_fix(tmp_path):
    log = tmp_path / "log"
    log.write_text("[1/2] nvcc …\nnvcc error   : 'cicc' died due to signal 9 (Kill signal)\nninja: build stopped\n")
    problem = run_setup_py.failed("upstream's build failed with exit code 1", log).problems[0]
    assert "died due to signal 9" in problem.found
    assert "memory" in problem.needed
    assert any("-C jobs=1" in way for way in problem.fix)
    assert not any("upstream's own build" in way or "in a checkout" in way for way in problem.fix)


def test_hooks_are_those_of_pep_517_and_660():
    import mamba_build_backend as backend

    assert sorted(backend.__all__) == sorted(
        [
            "build_editable", "build_sdist", "build_wheel",
            "get_requires_for_build_editable", "get_requires_for_build_sdist", "get_requires_for_build_wheel",
            "prepare_metadata_for_build_editable", "prepare_metadata_for_build_wheel",
        ]
    )  # fmt: skip
    assert all(callable(getattr(backend, name)) for name in backend.__all__)


def test_first_hooks_need_none_of_their_requirements():
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


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("mamba-ssm==9", "no known version of mamba-ssm matches ==9"),
        ("torch", "torch is not a known project; the known ones are mamba-ssm and causal-conv1d"),
        ("../x", "'../x' is not a project, or a project and a version"),
    ],
)
def test_stand_in_for_an_unknown_project_is_refused(target, told, tmp_path):
    done = typed("stand-in", target, "-w", tmp_path / "dist")
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert "fix:  python -m mamba_build_backend stand-in mamba-ssm" in done.stderr
    assert not (tmp_path / "dist").exists()


def test_a_stand_in_requires_the_portable_distribution_of_its_version(tmp_path):
    done = typed("stand-in", "mamba-ssm>=2.2,<2.2.5", "causal-conv1d-portable==1.7.0", "-w", tmp_path)
    first, second = done.stdout.split()
    assert os.path.basename(first) == "mamba_ssm-2.2.4+portable-py3-none-any.whl"
    with zipfile.ZipFile(first) as wheel:
        text = wheel.read("mamba_ssm-2.2.4+portable.dist-info/METADATA").decode()
    assert "Requires-Dist: mamba-ssm-portable==2.2.4\n" in text
    assert 'Requires-Dist: causal-conv1d-portable; extra == "causal-conv1d"\n' in text
    with zipfile.ZipFile(second) as wheel:
        assert "Provides-Extra" not in wheel.read("causal_conv1d-1.7.0+portable.dist-info/METADATA").decode()
