"""Changed copies of real releases in doctor and vendor, and the answers that their setup.py gets."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile

import pytest
from support import ROOT, lacking, released_tree, run, typed

from mamba_build_backend.core.errors import BackendError
from mamba_build_backend.toolchain.shims import protocol

CHILD = ROOT / "mamba_build_backend" / "compile" / "_setup_py_child.py"
SCAN, CONV = "mamba-ssm==2.2.5", "causal-conv1d==1.6.0"


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """A mamba-ssm and a causal-conv1d as released."""
    try:
        return {title: released_tree(title, tmp_path_factory.mktemp("release")) for title in (SCAN, CONV)}
    except BackendError as error:
        return lacking(f"the package index ({error.problems[0].found})")


@pytest.fixture
def copy(releases, tmp_path):
    def made(title=SCAN, name="mamba"):
        return shutil.copytree(releases[title], tmp_path / "repo" / name)

    return made


def doctor(*arguments, check=True):
    done = typed("doctor", "--json", "-C", "arch=9.0", *arguments)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert not check or report["ok"], report["problems"]
    return report


def edit(path, more=b"\n# ours\n"):
    path.write_bytes(path.read_bytes() + more)


def plan_of(report):
    """The decisions of a plan, without the reasons."""
    return {key: value for key, value in report["plan"].items() if key != "parts"}, [
        {key: value for key, value in part.items() if key != "because"} for part in report["plan"]["parts"]
    ]


def test_release_is_recognised_and_a_copy_by_its_differences(copy):
    tree = copy()
    (part,) = doctor(tree)["plan"]["parts"]
    assert (part["name"], part["version"], part["fork"]) == ("mamba-ssm", "2.2.5", None)
    shutil.rmtree(tree / "tests", ignore_errors=True)
    edit(tree / "mamba_ssm/modules/mamba_simple.py")
    (tree / "mamba_ssm/modules/both_ways.py").write_text("x = 1\n")
    report = doctor(tree)
    (part,) = report["plan"]["parts"]
    assert (part["version"], part["fork"]["release"]) == ("2.2.5", "2.2.5")
    assert part["fork"]["changed"] == ["mamba_ssm/modules/mamba_simple.py"]
    assert part["fork"]["new"] == ["mamba_ssm/modules/both_ways.py"]
    assert part["patches"] == doctor("-C", "upstream-version=2.2.5")["plan"]["parts"][0]["patches"]
    assert report["plan"]["target"]["abi"] == "stable"


def test_path_and_source_setting_give_the_same_plan(copy):
    tree = copy()
    edit(tree / "csrc/selective_scan/selective_scan_fwd_fp16.cu", b"// ours\n")
    assert plan_of(doctor(tree)) == plan_of(doctor("-C", f"source={tree}"))


@pytest.mark.parametrize("as_target", [False, True], ids=["by -C source=", "as a target"])
@pytest.mark.parametrize("kind", ["gztar", "zip"])
def test_an_archive_of_any_name_has_the_plan_of_its_folder(copy, tmp_path, kind, as_target):
    tree = copy(CONV, "conv")
    edit(tree / "causal_conv1d/__init__.py")
    archive = shutil.make_archive(str(tmp_path / "download"), kind, tree.parent, "conv")
    parts = [
        doctor(tree)["plan"]["parts"],
        doctor(*([archive] if as_target else ["-C", f"source={archive}"]))["plan"]["parts"],
    ]
    for (part,) in parts:
        del part["because"], part["path"]
        part["fork"].pop("path", None)
    assert parts[0] == parts[1]
    assert parts[1][0]["fork"]["changed"] == ["causal_conv1d/__init__.py"]


def test_renamed_package_gets_the_patches_of_its_release(copy):
    tree = copy()
    (tree / "mamba_ssm").rename(tree / "vision_mamba")
    for path in [*tree.rglob("*.py")]:
        path.write_text(re.sub(r"\bmamba_ssm\b", "vision_mamba", path.read_text()))
    (part,) = doctor(tree)["plan"]["parts"]
    assert part["name"] == "vision-mamba"
    released = doctor("-C", "upstream-version=2.2.5")["plan"]["parts"][0]["patches"]
    # Python that names its own package is another file now, and gets what fits.
    compiled = {name for name in released if re.search("cub|rows|offsets|groups-that|constant-b", name)}
    assert compiled <= set(part["patches"])


def test_a_vendored_fork_has_the_plan_of_the_path(copy, tmp_path):
    tree = copy()
    shutil.rmtree(tree / "tests", ignore_errors=True)
    edit(tree / "mamba_ssm/modules/mamba_simple.py")
    copy(CONV, "causal-conv1d")
    before = plan_of(doctor(tree))
    assert typed("vendor", tree).returncode == 0
    text = (tree / "pyproject.toml").read_text()
    assert 'source = "."' in text
    again = typed("vendor", tree)
    assert again.returncode == 0
    assert "builds upstream's released source" not in again.stdout
    after = plan_of(doctor("--project", tree))
    pyproject = {"sha256", "path"}
    for plan, parts in (before, after):
        plan["local_version"] = ""  # a hash of the content, and pyproject.toml belongs to the content
        for part in parts:
            part["fork"] = {key: value for key, value in part["fork"].items() if key not in pyproject}
    assert after == before


def test_incomplete_and_damaged_copies_stop_before_the_compile(copy):
    tree = copy()
    shutil.rmtree(tree / "csrc")
    assert "missing, but setup.py compiles it" in doctor(tree, check=False)["problems"][0]["found"]
    tree = copy(CONV, "conv")
    path = tree / "csrc/causal_conv1d_fwd.cu"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    (problem,) = doctor(tree, check=False)["problems"]
    assert problem["code"] == "source-damaged"
    assert "causal_conv1d_fwd.cu" in problem["found"]


SETUP_PY = """\
import pathlib
import torch
from setuptools import setup
print("capability", torch.cuda.get_device_capability(torch.device("cuda")), torch.cuda.is_available())
assert open("README.md").read() == pathlib.Path("LICENSE").read_text() == ""
for lost in ("csrc/a.cu", "version.py"):
    try:
        open(lost)
    except FileNotFoundError:
        print("no", lost)
setup(name="old", version="1", packages=[])
"""


def test_an_old_setup_py_sees_a_gpu_and_empty_texts(tmp_path, torch_site, clean_env):
    """VMamba's asks for the GPU's capability to name the project; copies of it often lack README and LICENSE."""
    (tmp_path / "setup.py").write_text(SETUP_PY)
    step = protocol.SetupPy(
        str(tmp_path / "setup.py"), ("--name",), (), (str(torch_site),), (), (), None, None, (), "9.0"
    )
    protocol.write(protocol.BuildStep(step, None), str(tmp_path / "step.json"))
    env = {**clean_env, "CUDA_VISIBLE_DEVICES": ""}
    done = run(sys.executable, CHILD, tmp_path / "step.json", env=env, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0] == "capability (9, 0) True"
    assert [line for line in lines if line.startswith("no ")] == ["no csrc/a.cu", "no version.py"]
    assert lines[-1] == "old"
    assert "setup.py reads README.md, which does not exist: reading it as empty" in done.stderr


def test_gpu_and_readme_are_pretended_only_for_a_fork(tmp_path, torch_site, clean_env):
    (tmp_path / "setup.py").write_text(SETUP_PY)
    step = protocol.SetupPy(str(tmp_path / "setup.py"), ("--name",), (), (str(torch_site),), (), (), None, None, ())
    protocol.write(protocol.BuildStep(step, None), str(tmp_path / "step.json"))
    env = {**clean_env, "CUDA_VISIBLE_DEVICES": ""}
    done = run(sys.executable, CHILD, tmp_path / "step.json", env=env, cwd=tmp_path, check=False)
    assert done.returncode != 0


def test_hook_builds_the_fork_that_its_command_line_names(copy, clean_env):
    """``pip wheel . -C source=TREE``: config settings are consent; a variable is not."""
    tree = copy(CONV, "conv")
    edit(tree / "causal_conv1d/__init__.py")
    code = "import mamba_build_backend as b, sys; print(b.get_requires_for_build_wheel({} if len(sys.argv) == 1 else {'source': sys.argv[1]}))"
    env = {**clean_env, "MAMBA_BUILD_ARCH": "9.0"}
    assert "wheel" in run(sys.executable, "-c", code, tree, env=env, cwd=ROOT).stdout
    named = {**env, "MAMBA_BUILD_SOURCE": str(tree)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=named, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    assert "needs your consent" in done.stderr
    assert os.fspath(tree) in done.stderr


def test_sdist_holds_only_the_fork_that_vendors_the_backend(copy, clean_env, tmp_path):
    tree = copy(CONV, "conv")
    edit(tree / "causal_conv1d/__init__.py")
    code = "import mamba_build_backend as b, sys; print(b.build_sdist(sys.argv[1], {'source': sys.argv[2]} if sys.argv[2:] else {}))"
    done = run(sys.executable, "-c", code, tmp_path, tree, env=clean_env, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert f"vendor {tree}" in done.stderr
    assert typed("vendor", tree).returncode == 0
    name = run(sys.executable, "-c", code, tmp_path, env=clean_env, cwd=tree).stdout.splitlines()[-1]
    assert name == "causal_conv1d-1.6.0.tar.gz"
    with tarfile.open(tmp_path / name) as tar:
        names = {item.partition("/")[2] for item in tar.getnames()}
    assert {"setup.py", "csrc/causal_conv1d_fwd.cu", "mamba_build_backend/__init__.py"} <= names
    assert not [item for item in names if item.startswith("upstream/")]
