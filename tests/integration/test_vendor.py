"""A copy of the backend in another project: put there, kept, compared and run."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from support import ROOT, packed_wheel

from mamba_build_backend import __all__ as hooks
from mamba_build_backend import __version__
from mamba_build_backend.cli import main as cli
from mamba_build_backend.core import error_boundary
from mamba_build_backend.core._compat import tomllib
from mamba_build_backend.core.files import sha256
from mamba_build_backend.tables import load_tables
from mamba_build_backend.vendoring import manifest, pyproject_edit, vendor

COMMENTED = """\
# Mine.
[build-system]
requires = [
    "setuptools>=61.0.0",  # theirs
    "wheel",
    "torch",
    # for its headers
    "numpy>=1.20",  # not too old
    "packaging",
    "ninja",
]
build-backend = "setuptools.build_meta"  # the plain one

[tool.mamba-build-backend]
arch = "9.0"  # our GPUs

[tool.black]
line-length = 88  # wide
[project]
name = "x"  # short
version = "1"
[tool.isort]
profile = "black"
"""
OURS = list(pyproject_edit.REQUIRES)


@pytest.fixture
def typed(capsys):
    """Type a command: its exit code, what it prints and what it complains of."""

    def run(*arguments):
        try:
            with error_boundary.user_errors():
                status = cli.main([str(argument) for argument in arguments])
        except SystemExit as stopped:
            status = stopped.code
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out, said.err

    return run


@pytest.fixture
def project(tmp_path):
    return make(tmp_path / "p")


def make(folder, text=COMMENTED, setup=True):
    folder.mkdir(parents=True)
    if text is not None:
        (folder / "pyproject.toml").write_text(text)
    if setup:
        (folder / "setup.py").write_text("from setuptools import setup\nsetup()\n")
    return folder


def in_project(project, env, *arguments):
    """The vendored copy, as a user of the project runs it."""
    command = [sys.executable, "-m", "mamba_build_backend", *map(str, arguments)]
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)


def snapshot(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def rerecord(copy, version=__version__):
    """Rewrite the record as a backend with the present files would have written it."""
    record = json.loads((copy / "VENDORED.json").read_text())
    for name in record["files"]:
        record["files"][name] = sha256(copy / name)
    record.update(version=version, sha256=manifest._digest(record["files"]))
    (copy / "VENDORED.json").write_text(json.dumps(record))


def state_its_version(copy, version):
    stated = copy / "_version.py"
    stated.write_text(stated.read_text().replace(f'__version__ = "{__version__}"', f'__version__ = "{version}"'))


def test_vendor_keeps_comments_and_setup_requirements(typed, project):
    status, said, _ = typed("vendor", project)
    assert status == 0
    assert (project / "pyproject.toml").read_text() == COMMENTED.replace(
        COMMENTED[COMMENTED.index("requires") : COMMENTED.index("[tool.black]")],
        """\
requires = [
    # for its headers
    "numpy>=1.20",  # not too old
    "packaging>=23.2",
    "platformdirs>=3",
    "tomli>=2; python_version < '3.11'",
]
build-backend = "mamba_build_backend"  # the plain one
backend-path = ["."]

[tool.mamba-build-backend]
arch = "9.0"  # our GPUs
upstream = "self"

""",
    )
    assert "no longer in requires: setuptools>=61.0.0, wheel, torch, packaging, ninja;" in said
    assert 'build-backend = "mamba_build_backend"   (was "setuptools.build_meta")' in said
    for what in ("git add mamba_build_backend pyproject.toml", "mamba_build_backend doctor", "pip install ."):
        assert what in said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n# nothing yet\n",
        "[project]\nname = 'x'",
        "[tool.a]\nx = 1\n[project]\nname = 'x'\n[tool.b]\ny = 2\n",
        'build-system.requires = ["torch"]\ntool.a = 1\n',
        '[tool]\nmamba-build-backend = { arch = "9.0" } # inline\n',
        '[build-system]\nrequires = ["setuptools", "torch"] # one line\n',
        "[build-system]\nrequires = [\n  'torch', # a\n  'numpy' # b\n]\n[build-system.more]\nx = 1\n",
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_style_of_pyproject_is_edited(typed, tmp_path, text, newline):
    project = make(tmp_path / "p", "")
    (project / "pyproject.toml").write_bytes(text.replace("\n", newline).encode())
    before = tomllib.loads(text)
    assert typed("vendor", project)[0] == 0
    after = (project / "pyproject.toml").read_bytes().decode()
    data = tomllib.loads(after)
    system, tool = data.pop("build-system"), data.pop("tool")
    assert set(OURS) <= set(system["requires"]) <= {*OURS, "numpy"}
    assert (system["build-backend"], system["backend-path"]) == ("mamba_build_backend", ["."])
    assert tool.pop("mamba-build-backend")["upstream"] == "self"
    assert {key: value for key, value in before.get("tool", {}).items() if key != "mamba-build-backend"} == tool
    assert data == {key: value for key, value in before.items() if key not in ("build-system", "tool")}
    assert after.endswith("\n")
    if text:
        assert after.count("\n") == after.count(newline)
    kept = [line for line in text.split("\n") if "'torch'" not in line]
    assert all("#" + line.partition("#")[2] in after for line in kept if "#" in line)


def test_pyproject_that_cannot_be_edited_safely_stays_and_the_lines_are_printed(typed, tmp_path):
    project = make(tmp_path / "p", "tool = { a = 1 }\n")
    before = snapshot(project)
    status, _, error = typed("vendor", project)
    assert status == 2
    assert "the file was not changed" in error
    assert 'upstream = "self"' in error
    assert snapshot(project) == before


def test_project_with_only_setup_py_gets_a_pyproject(typed, tmp_path):
    project = make(tmp_path / "p", None)
    status, said, _ = typed("vendor", project, "--upstream", "self")
    assert status == 0
    assert tomllib.loads((project / "pyproject.toml").read_text()) == {
        "build-system": {"requires": OURS, "build-backend": "mamba_build_backend", "backend-path": ["."]},
        "tool": {"mamba-build-backend": {"upstream": "self"}},
    }
    assert "git add mamba_build_backend pyproject.toml" in said
    assert "such as numpy, add it to requires" in said


def test_vendored_project_has_the_requirements_of_this_one():
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
    assert own == {"requires": OURS, "build-backend": "mamba_build_backend", "backend-path": ["."]}


@pytest.mark.parametrize("upstream", ["self", "causal-conv1d", "mamba-ssm"])
def test_a_second_run_changes_nothing(typed, project, upstream):
    assert typed("vendor", project, "--upstream", upstream)[0] == 0
    before = snapshot(project)
    status, said, _ = typed("vendor", project)
    assert status == 0
    assert said.startswith("up to date: ")
    assert f"upstream = {upstream}" in said, "what the project says"
    assert snapshot(project) == before
    assert json.loads(typed("vendor", project, "--json")[1])["written"] == []


def test_upstream_choices_come_from_the_tables():
    for name in ("self", *(project.name for project in load_tables().projects)):
        assert cli.make_parser().parse_args(["vendor", ".", "--upstream", name]).upstream == name


def test_copy_is_recognised_only_by_its_content(typed, tmp_path):
    for name in ("a", "b"):
        typed("vendor", make(tmp_path / name))
    one, other = (tmp_path / name / "mamba_build_backend/VENDORED.json" for name in ("a", "b"))
    assert one.read_bytes() == other.read_bytes()
    record = json.loads(one.read_text())
    assert set(record) == {"schema", "version", "upstream", "files", "sha256"}
    assert (record["schema"], record["version"], record["upstream"]) == (1, __version__, "self")
    names = {path.relative_to(one.parent).as_posix() for path in one.parent.rglob("*") if path.is_file()}
    assert names == {*record["files"], "VENDORED.json"}
    assert {"__init__.py", "pipeline.py", "cli/main.py", "tables/torch.toml", "LICENSE"} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert sorted(path.name for path in tmp_path.joinpath("a").iterdir()) == [
        "mamba_build_backend",
        "pyproject.toml",
        "setup.py",
    ]


def test_an_edited_copy_is_refused_with_its_files_and_replaced_by_force(typed, project):
    typed("vendor", project)
    copy = project / "mamba_build_backend"
    (copy / "cli/main.py").write_text("edited")
    (copy / "symbols/elf.py").unlink()
    (copy / "tables/more.toml").write_text("")
    before = snapshot(project)
    status, _, error = typed("vendor", project)
    assert status == 2
    assert "cli/main.py (changed), symbols/elf.py (missing), tables/more.toml (added)" in error
    assert f"vendor {project} --force" in error
    assert snapshot(project) == before
    status, said, _ = typed("vendor", "--check", project)
    assert status == 1
    assert "cli/main.py (changed), symbols/elf.py (missing), tables/more.toml (added)" in said
    assert json.loads(typed("vendor", "--check", project, "--json")[1])["edited"] == [
        "cli/main.py",
        "symbols/elf.py",
        "tables/more.toml",
    ]
    assert typed("vendor", project, "--force")[0] == 0
    assert typed("vendor", "--check", project)[0] == 0


def test_bytecode_is_not_an_edit(typed, project):
    typed("vendor", project)
    copy = project / "mamba_build_backend"
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__/cli.cpython-39.pyc").write_bytes(b"x")
    (copy / "old.pyc").write_bytes(b"x")
    assert typed("vendor", "--check", project)[0] == 0
    assert typed("vendor", project)[0] == 0


@pytest.mark.parametrize("record", [None, "{", "[]", '{"schema": 2, "files": {}}'])
def test_only_force_replaces_a_copy_without_a_record(typed, project, record):
    typed("vendor", project)
    path = project / "mamba_build_backend/VENDORED.json"
    path.unlink()
    if record is not None:
        path.write_text(record)
    status, _, error = typed("vendor", project)
    assert status == 2
    assert "exists without VENDORED.json, so it may contain local changes" in error
    status, said, _ = typed("vendor", "--check", project, "--json")
    assert (status, json.loads(said)["state"]) == (1, "unrecorded")
    assert typed("vendor", project, "--force")[0] == 0
    assert typed("vendor", "--check", project)[0] == 0


def test_edited_record_is_reported(typed, project):
    typed("vendor", project)
    path = project / "mamba_build_backend/VENDORED.json"
    (path.parent / "cli/main.py").write_text("edited")
    record = json.loads(path.read_text())
    record["files"]["cli/main.py"] = sha256(path.parent / "cli/main.py")
    path.write_text(json.dumps(record))
    assert json.loads(typed("vendor", "--check", project, "--json")[1])["edited"] == ["VENDORED.json"]


def test_an_older_copy_is_stale_and_brought_up_to_date(typed, project):
    typed("vendor", project)
    copy = project / "mamba_build_backend"
    state_its_version(copy, "0.0.9")
    rerecord(copy, "0.0.9")
    status, said, _ = typed("vendor", "--check", project)
    assert status == 1
    assert said.startswith(f"stale: {copy} is 0.0.9, this backend is {__version__}\n")
    assert f"fix:  python -m mamba_build_backend vendor {project}\n" in said
    data = json.loads(typed("vendor", "--check", project, "--json")[1])
    assert data == {
        "schema": 1, "ok": False, "state": "stale", "version": "0.0.9", "ours": __version__, "edited": [], "others": []
    }  # fmt: skip
    status, said, _ = typed("vendor", project)
    assert status == 0
    assert f"wrote {copy}: {__version__}" in said
    assert typed("vendor", "--check", project)[0] == 0


def test_a_record_of_another_version_is_stale(typed, project):
    typed("vendor", project)
    path = project / "mamba_build_backend/VENDORED.json"
    path.write_text(path.read_text().replace(f'"{__version__}"', '"0.0.9"'))
    status, said, _ = typed("vendor", "--check", project, "--json")
    assert (status, json.loads(said)["state"], json.loads(said)["version"]) == (1, "stale", "0.0.9")


def test_same_version_with_other_content_is_stale(typed, project):
    typed("vendor", project)
    copy = project / "mamba_build_backend"
    (copy / "cli/main.py").write_text("# of another day\n")
    rerecord(copy)
    status, said, _ = typed("vendor", "--check", project)
    assert status == 1
    assert f"stale: {copy} is {__version__}: same version as this backend, but the contents differ" in said


def test_project_without_a_copy_is_reported(typed, project):
    status, said, _ = typed("vendor", "--check", project)
    assert status == 1
    assert said.startswith(f"absent: {project} has no mamba_build_backend")
    data = json.loads(typed("vendor", "--check", project, "--json")[1])
    assert (data["state"], data["version"]) == ("absent", None)


def test_a_version_is_read_and_not_imported(typed, project):
    (project / "mamba_build_backend").mkdir()
    (project / "mamba_build_backend/__init__.py").write_text(
        '__version__: str = "0.0.8"\nraise SystemExit("imported")\n'
    )
    status, said, _ = typed("vendor", "--check", project, "--json")
    assert (status, json.loads(said)["version"]) == (1, "0.0.8")


def test_two_backend_versions_in_one_tree_are_reported(typed, project):
    typed("vendor", project)
    inner = make(project / "csrc/inner")
    typed("vendor", inner)
    assert typed("vendor", "--check", project)[0] == 0, "the same version"
    state_its_version(inner / "mamba_build_backend", "0.0.9")
    status, said, _ = typed("vendor", "--check", project)
    assert status == 1
    assert (
        f"this tree has copies of different versions: {project}/mamba_build_backend is {__version__}, "
        f"{inner}/mamba_build_backend is 0.0.9"
    ) in said
    assert f"fix:  python -m mamba_build_backend vendor {inner}\n" in said
    data = json.loads(typed("vendor", "--check", project, "--json")[1])
    assert (data["ok"], data["state"]) == (False, "current")
    assert data["others"] == [{"folder": f"{inner}/mamba_build_backend", "version": "0.0.9"}]


def test_environments_and_build_folders_are_not_searched(typed, project):
    typed("vendor", project)
    for folder in (".git", "node_modules", "build/lib", "dist", "env/lib", "1/2/3/4/5/6/7"):
        (project / folder / "mamba_build_backend").mkdir(parents=True)
        (project / folder / "mamba_build_backend/__init__.py").write_text("__version__ = '0'")
    (project / "env/pyvenv.cfg").write_text("")
    assert typed("vendor", "--check", project)[0] == 0


@pytest.mark.parametrize("options", [[], ["--check"]])
def test_folder_that_is_not_a_project_is_refused(typed, tmp_path, options):
    status, _, error = typed("vendor", tmp_path, *options)
    assert status == 2
    assert f"{tmp_path} has neither pyproject.toml nor setup.py; the folder of a project is needed." in error
    assert "fix:  python -m mamba_build_backend vendor " in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"[project\n", "is not valid TOML"),
        (b"# \xff\n", "is not valid TOML"),
        (b"build-system = 1\n", "[build-system] in "),
        (b"tool = 1\n", "[tool] in "),
        (b"[tool]\nmamba-build-backend = 1\n", "[tool.mamba-build-backend] in "),
        (b"[build-system]\nrequires = 'torch'\n", "requires in "),
        (b"[tool.mamba-build-backend]\nupstream = 'mamba'\n", "upstream = 'mamba' in "),
    ],
)
def test_a_pyproject_that_cannot_be_read_is_one_sentence(typed, project, text, told):
    (project / "pyproject.toml").write_bytes(text)
    before = snapshot(project)
    status, _, error = typed("vendor", project)
    assert status == 2
    assert told in error
    assert snapshot(project) == before


def test_missing_tomlkit_is_reported_with_a_fix_and_the_lines(typed, project, monkeypatch):
    monkeypatch.setitem(sys.modules, "tomlkit", None)
    before = snapshot(project)
    status, _, error = typed("vendor", project)
    assert status == 8
    assert "this Python has no tomlkit" in error
    assert "fix:  python -m pip install tomlkit" in error
    assert 'build-backend = "mamba_build_backend"' in error
    assert snapshot(project) == before


def test_tomlkit_is_needed_only_for_an_edit(typed, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tomlkit", None)
    project = make(tmp_path / "p", None)
    assert typed("vendor", project)[0] == 0
    assert typed("vendor", project)[0] == 0


def test_the_patches_of_mamba_ssm_are_carried_and_found_by_the_copy(typed, project, clean_env):
    status, said, _ = typed("vendor", project, "--upstream", "mamba-ssm")
    rows = load_tables().patches  # also those of its partner
    assert status == 0
    assert f"with {len(rows)} patches" in said
    facts = ROOT / "tests/facts/cuda13-mamba-2.2.4.json"
    done = in_project(project, clean_env, "patches", "--facts", facts)
    assert done.returncode == 0, done.stderr
    assert "applied      mamba-ssm/0002-cub-3-before-2.2.6.patch" in done.stdout
    carried = project / "mamba_build_backend/patches"
    assert all((carried / row.file).read_bytes() == (ROOT / "patches" / row.file).read_bytes() for row in rows)
    assert done.stdout == in_project(ROOT, clean_env, "patches", "--facts", facts).stdout


def test_copy_ignores_the_patches_of_its_project(typed, project, clean_env):
    (project / "patches").mkdir()
    (project / "patches/series.toml").write_text("[[patch]]\nfile = 'mine'\n")
    assert typed("vendor", project, "--upstream", "self")[0] == 0
    carried = project / "mamba_build_backend/patches"
    assert [path.name for path in carried.rglob("*")] == ["series.toml"]
    assert tomllib.loads((carried / "series.toml").read_text()) == {}
    machine = ROOT / "tests/facts/causal-conv1d-torch-2.1.json"
    done = in_project(project, clean_env, "patches", "--facts", machine, "-C", "upstream=self")
    assert done.returncode == 0, done.stderr
    assert "patch" not in done.stdout.split("\n", 1)[1].replace("no patch", "")


def test_a_backend_without_a_series_has_no_patches(tmp_path, clean_env):
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "mamba_build_backend", tmp_path / "mamba_build_backend", ignore=ignored)
    facts = ROOT / "tests/facts/cuda13-mamba-2.2.4.json"
    done = in_project(tmp_path, clean_env, "patches", "--json", "--facts", facts)
    assert json.loads(done.stdout)["applied"] == [], done.stderr
    (tmp_path / "q").mkdir()
    (tmp_path / "q/setup.py").touch()
    done = in_project(tmp_path, clean_env, "vendor", "q", "--upstream", "mamba-ssm")
    assert done.returncode == 2
    assert "contains no patches for mamba-ssm" in done.stderr


@pytest.mark.parametrize("upstream", ["self", "mamba-ssm", "causal-conv1d"])
def test_a_copy_holds_exactly_these_files(upstream):
    listed = (ROOT / "tests" / "vendored" / f"{upstream}.txt").read_text().splitlines()
    assert list(manifest.content(upstream)) == listed, (
        "python tests/update_reports.py writes them anew: does a build need it?"
    )


@pytest.mark.parametrize("upstream", ["self", "mamba-ssm", "causal-conv1d"])
def test_copy_carries_only_rooms_that_builds_need(upstream):
    names = set(manifest.content(upstream))
    folders = {name.partition("/")[0] for name in names if "/" in name}
    assert not {"matrix", "vendoring", "schemas"} & folders
    assert not {"cli/matrix_commands.py", "cli/vendor_command.py"} & names
    assert any(name.startswith("payload/licenses/") for name in names)
    assert any(name.startswith("payload/portable/") for name in names) == (upstream != "self")


def test_a_file_of_another_project_stays_behind():
    for name in ("projects/mamba-ssm/versions.toml", "projects/mamba-ssm/check.py"):
        assert manifest.is_needed(name, frozenset({"mamba-ssm", "causal-conv1d"}))
        assert not manifest.is_needed(name, frozenset({"causal-conv1d"}))
        assert not manifest.is_needed(name, frozenset())
    assert manifest.is_needed("projects/__init__.py", frozenset())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["vendor", "--check", "."], "`vendor` is not in "),
        (["matrix"], "`matrix` is not in "),
        (["index", "dist"], "`index` is not in "),
        (["doctor", "--schema"], "the JSON Schema of `doctor --json` is not in "),
    ],
)
def test_command_missing_in_a_copy_is_one_sentence(typed, project, clean_env, words, told):
    typed("vendor", project)
    done = in_project(project, clean_env, *words)
    assert done.returncode == 2
    assert f"error: {told}{project}/mamba_build_backend, which is a copy of the backend" in done.stderr
    assert (
        f"fix:  cd /a/checkout/of/mamba-ssm-portable && python -m mamba_build_backend {' '.join(words)}" in done.stderr
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("upstream", ["self", "mamba-ssm", "causal-conv1d"])
def test_every_command_that_a_copy_has_works_in_it(typed, project, clean_env, upstream):
    typed("vendor", project, "--upstream", upstream)
    assert in_project(project, clean_env, "--version").stdout == f"{__version__}\n"
    said = in_project(project, clean_env, "--help").stdout
    commands = re.findall(r"^    ([a-z]+)  ", said, re.MULTILINE)
    assert commands == ["doctor", "patches", "build", "requires", "audit", "explain"]
    wheel = packed_wheel(project.parent, {"pure.py": b""}, "pure-1.0-py3-none-any.whl")
    (project / "build.log").write_text("No module named 'torch'")
    machine = ROOT / "tests/facts/debian12-torch2.11-cuda13.0.json"
    chosen = ["-C", f"upstream={upstream}"]
    for words in (
        ["doctor", "-v", "--facts", machine, *chosen],
        ["doctor", "--json", "--facts", machine, *chosen],
        ["requires", "--facts", machine, *chosen],
        ["patches", "--facts", machine, *chosen],
        ["audit", wheel],
        ["explain", "build.log"],
    ):
        done = in_project(project, clean_env, *words)
        assert done.returncode == 0, (words, done.stderr)
        assert done.stdout


def test_copy_of_the_old_layout_is_replaced(typed, project):
    """The old layout: all modules in one folder, and the version in __init__.py."""
    copy = project / "mamba_build_backend"
    copy.mkdir()
    texts = {
        "__init__.py": '__version__ = "0.0.8"\n',
        "cli.py": "",
        "elf.py": "",
        "matrix/load.py": "",
        "vendor.py": "",
    }
    for name, text in texts.items():
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text(text)
    files = {name: sha256(copy / name) for name in sorted(texts)}
    record = {"schema": 1, "version": "0.0.8", "upstream": "self", "files": files, "sha256": manifest._digest(files)}
    (copy / "VENDORED.json").write_text(json.dumps(record))
    assert typed("vendor", "--check", project)[1].startswith(f"stale: {copy} is 0.0.8, this backend is {__version__}\n")
    status, said, _ = typed("vendor", project)
    assert (status, said.startswith(f"wrote {copy}: {__version__}")) == (0, True)
    assert not [name for name in texts if name != "__init__.py" and (copy / name).exists()]
    assert typed("vendor", "--check", project)[0] == 0


def test_backend_refuses_to_vendor_onto_itself(typed):
    status, _, error = typed("vendor", ROOT)
    assert status == 2
    assert f"{ROOT}/mamba_build_backend is the running backend itself" in error
    assert "fix:  python -m mamba_build_backend vendor /path/of/another/project" in error


def test_wrapper_in_the_tree_is_kept_and_forwards_all_hooks(typed, tmp_path, clean_env):
    text = '[build-system]\nrequires = []\nbuild-backend = "mine"\nbackend-path = ["_build"]  # ours\n'
    project = make(tmp_path / "p", text)
    (project / "_build").mkdir()
    (project / "_build/mine.py").write_text("from mamba_build_backend import *\n")
    status, said, _ = typed("vendor", project)
    assert status == 0
    assert 'note: build-backend = "mine" is kept' in said
    system = tomllib.loads((project / "pyproject.toml").read_text())["build-system"]
    assert system == {"requires": OURS, "build-backend": "mine", "backend-path": ["_build", "."]}
    path = os.pathsep.join(str(project / folder) for folder in system["backend-path"])
    code = f"import mine; print(all(callable(getattr(mine, name)) for name in {hooks!r}), mine.build_wheel.__module__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**clean_env, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.stdout == "True mamba_build_backend\n", done.stderr
    assert len(hooks) == 8


def test_pinned_torch_is_reported_with_its_setting(typed, tmp_path):
    project = make(tmp_path / "p", '[build-system]\nrequires = ["torch==2.4.*", "torchaudio"]\n')
    _, said, _ = typed("vendor", project)
    assert 'torch = "torch==2.4.*" under [tool.mamba-build-backend]' in said
    assert "torchaudio" in tomllib.loads((project / "pyproject.toml").read_text())["build-system"]["requires"]


@pytest.mark.parametrize("command", ["doctor", "build"])
def test_command_refuses_a_project_with_another_backend_version(typed, project, command):
    typed("vendor", project)
    state_its_version(project / "mamba_build_backend", "0.0.9")
    status, _, error = typed(command, "--project", project)
    assert status == 2
    assert "two backends of different versions: " in error
    assert f"{ROOT}/mamba_build_backend runs and is {__version__}, {project}/mamba_build_backend is 0.0.9" in error
    assert f"fix:  cd {project} && python -m mamba_build_backend …" in error
    assert f"or:   python -m mamba_build_backend vendor {project}\n" in error


def test_hooks_refuse_another_backend_in_the_project(typed, project, clean_env):
    typed("vendor", project)
    state_its_version(project / "mamba_build_backend", "0.0.9")
    code = f"import sys; sys.path[:] = [{str(ROOT)!r}, *sys.path[1:]]; import mamba_build_backend as b; b.get_requires_for_build_sdist()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=clean_env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "two backends of different versions: " in done.stderr


@pytest.mark.parametrize("stage", ["write", "move the old one", "move the new one"])
def test_an_interrupted_run_leaves_the_old_copy_whole(typed, project, monkeypatch, stage):
    typed("vendor", project)
    copy = project / "mamba_build_backend"
    state_its_version(copy, "0.0.9")
    rerecord(copy, "0.0.9")
    before = snapshot(project)
    rename, moved = vendor.Path.rename, []

    def interrupted(path, target):
        # The old copy goes aside first, and then the new one comes.
        moved.append(path.name)
        if stage == "move the old one" or (stage == "move the new one" and path.name == "new"):
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(vendor.Path, "rename", interrupted)
    if stage == "write":
        monkeypatch.setattr(vendor.Path, "write_bytes", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert typed("vendor", project)[0] == 130
    assert snapshot(project) == before
    assert moved == {"write": [], "move the old one": [copy.name], "move the new one": [copy.name, "new", "old"]}[stage]
    assert sorted(path.name for path in project.iterdir()) == [copy.name, "pyproject.toml", "setup.py"]


def test_a_folder_that_cannot_be_written_is_one_sentence(typed, tiny_disk):
    project = make(tiny_disk / "p")
    status, _, error = typed("vendor", project)
    assert status == 7
    assert f"{project} cannot be written: it is full" in error
    assert sorted(path.name for path in project.iterdir()) == ["pyproject.toml", "setup.py"]


def test_copy_without_the_patches_of_its_upstream_reports_them(typed, project, clean_env):
    typed("vendor", project, "--upstream", "self")
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace('upstream = "self"', 'upstream = "mamba-ssm"'))
    done = in_project(project, clean_env, "doctor")
    assert done.returncode == 2
    assert "was made for self; that copy contains nothing for mamba-ssm" in done.stderr
    assert "--upstream mamba-ssm" in done.stderr
    machine = ("--facts", ROOT / "tests/facts/cuda13-mamba-2.2.4.json")
    planned = in_project(project, clean_env, "doctor", *machine, "-C", "upstream=mamba-ssm")
    assert (planned.returncode, planned.stderr) == (2, done.stderr)
    # By default, a copy without projects builds the project that holds it.
    assert "this project for torch" in in_project(project, clean_env, "doctor", *machine).stdout
    assert "Traceback" not in done.stderr
