"""Changed source trees: the most similar release, its facts that still hold, and trees that cannot be built."""

import json
import os
import tarfile
from dataclasses import replace

import forks
import pytest
from support import RECORDED, ROOT, typed

from mamba_build_backend import plan, probe
from mamba_build_backend.build_requires import requires_for_wheel
from mamba_build_backend.core import facts as facts_module
from mamba_build_backend.core.facts import SourceKind
from mamba_build_backend.core.settings import load_settings
from mamba_build_backend.core.tree_facts import Owner
from mamba_build_backend.plan import doctor_json, report
from mamba_build_backend.plan.stable_names import STABLE_HEADERS
from mamba_build_backend.probe import recording, tree
from mamba_build_backend.probe.setup_py import read_setup_py
from mamba_build_backend.source import locate, prepare
from mamba_build_backend.tables import load_tables
from mamba_build_backend.tables.likeness import placed
from mamba_build_backend.tables.released import digest

MACHINE = next(path for path in RECORDED if path.stem == "debian12-torch2.11-cuda13.0")
CUB = "mamba-ssm/0001-cub-3-before-2.1.patch"
LOG1P = "mamba-ssm/0003-triton-3-log1p-before-1.2.1.patch"
REVERSE = "csrc/selective_scan/reverse_scan.cuh"
STEP = "mamba_ssm/ops/triton/selective_state_update.py"


class World:
    """Two releases, and what becomes of copies of them on one machine."""

    def __init__(self, folder, tables):
        self.folder, self.tables = folder, tables

    def copy(self, changes=(), files=None, name="repo/mamba"):
        """A copy of the release with changes: content by path, None for what is gone."""
        new = {**(files if files is not None else forks.scan()), **dict(changes)}
        return forks.written(self.folder / name, {path: data for path, data in new.items() if data is not None})

    def plan(self, path, environ=(), table=(), torches=None, **options):
        """The plan with ``-C source=PATH``, or with what names it elsewhere."""
        given = {key.replace("_", "-"): value for key, value in options.items()}
        given = given if environ or table else {"source": str(path), **given}
        settings = load_settings(given, dict(environ), dict(table))
        _, found = recording.load(MACHINE, {})
        found = replace(found, torches=torches or found.torches)
        found = replace(found, source_kind=SourceKind.TREE, trees=tree.probe_trees(path, found.torches))
        self.facts = found
        return plan.decide(settings, found, self.tables)


@pytest.fixture
def world(tmp_path, monkeypatch):
    tables = forks.tables_of(tmp_path / "releases")
    for module in (tree, locate, prepare.patching):
        monkeypatch.setattr(module, "load_tables", lambda: tables, raising=False)
    return World(tmp_path, tables)


def edited(name, more=b"\n# ours\n", files=None):
    return {name: (files or forks.scan())[name] + more}


def patches(made):
    return [item.file for item in made.patches.value if not item.is_fix]


def test_a_release_is_the_release_and_verified(world):
    made = world.plan(world.copy())
    row = made.upstream.value
    assert (row.title, row.fork, made.problems) == ("mamba-ssm 1.1.4", None, ())
    source = locate.find(made, world.folder, world.folder / "cache", {}, print, world.folder)
    assert source.verified


def test_copy_with_changed_python_keeps_all_of_the_release(world):
    made = world.plan(
        world.copy({**edited("mamba_ssm/ops/selective_scan_interface.py"), "mamba_ssm/vim.py": b"x = 1\n"})
    )
    row = made.upstream.value
    assert row.described == "mamba-ssm 1.1.4, changed: 1 Python file, no CUDA file, 1 new file"
    assert made.problems == ()
    assert patches(made) == [CUB, LOG1P]
    assert made.abi.value.is_stable
    assert [item.name for item in made.regrouped] == [
        item.name for item in load_tables().versions_of("mamba-ssm")[0].project.kernel_groups
    ]
    assert set(row.project.one_pass) >= {"selective_scan_bwd_fp32_real.cu", "selective_scan_fwd_joined.cu"}
    # The file that calls the partner's binding was changed: which of them it calls is not known.
    assert not any(pin.startswith("causal-conv1d") for pin in made.pins.value)
    assert made.local_version == f"fork{row.fork.sha256[:8]}"
    assert row.described in " ".join(report.plan_text(world.facts, made).split())
    assert doctor_json.plan_json(world.facts, made)["plan"]["parts"][0]["fork"]["new"] == ("mamba_ssm/vim.py",)


def test_kernels_are_joined_only_for_unchanged_files(world):
    made = world.plan(world.copy(edited("csrc/selective_scan/selective_scan_fwd_fp16.cu", b"// ours\n")))
    names = [item.name for item in made.regrouped]
    assert names == ["selective_scan_bwd_complex_joined", "selective_scan_bwd_real_joined"]
    shared = made.upstream.value.project.one_pass
    assert "selective_scan_fwd_fp16.cu" not in shared
    assert "selective_scan_fwd_fp32.cu" in shared
    assert made.abi.value.is_stable, "the binding is the release's"


@pytest.mark.parametrize("header", [REVERSE, "csrc/selective_scan/selective_scan.h", "csrc/selective_scan/mine.cuh"])
def test_changed_header_counts_for_every_kernel(world, header):
    made = world.plan(world.copy({header: forks.scan().get(header, b"") + b"// ours\n"}))
    assert made.regrouped == ()
    assert made.upstream.value.project.one_pass == ()


def of_binding(more):
    return edited("csrc/selective_scan/selective_scan.cpp", more)


def test_changed_binding_within_the_stable_headers_is_for_every_torch(world):
    more = b"""\
#define CHECK_OURS(x) TORCH_CHECK(x.is_cuda(), "of::no::torch .item()")
std::vector<at::Tensor> g(const at::Tensor &t, c10::optional<at::Tensor> &o, int n) { // at::matmul
  std::vector<int64_t> sizes; CHECK_OURS(t); return {t.view({n, -1}).sum(1).to(at::ScalarType::Half)};
}
"""
    assert world.plan(world.copy(of_binding(more))).abi.value.is_stable


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (of_binding(b"auto f = at::matmul;\n"), "have: at::matmul"),
        (of_binding(b"int n = t.item<int>();\n"), "have: .item"),
        (of_binding(b"std::tuple<at::Tensor, at::Tensor> g();\n"), "have: std::tuple"),
        (of_binding(b"void g(std::vector<int64_t> sizes);\n"), "have: std::vector of other things than tensors"),
        (of_binding(b'void g() { m.def("g", [] {}); }\n'), "have: m.def of a lambda"),
        (of_binding(b"using namespace at;\n"), "have: using namespace at"),
        (of_binding(b"AT_DISPATCH_FLOATING_TYPES(1);\n"), "have: AT_DISPATCH_FLOATING_TYPES"),
        ({"csrc/selective_scan/more.cu": b"#include <ATen/native/Thing.h>\nint x;\n"}, "have: ATen/native/Thing.h"),
    ],
)
def test_wheel_is_for_one_torch_if_the_binding_may_need_more(world, change, because):
    made = world.plan(world.copy(change))
    assert not made.abi.value.is_stable
    assert because in made.abi.because
    asked = world.plan(world.copy(change), abi="stable")
    assert asked.abi.value.is_stable
    assert not asked.problems


def test_patch_finds_lines_that_moved(world):
    made = world.plan(world.copy({REVERSE: b"// (c) us\n" + forks.scan()[REVERSE]}))
    assert (patches(made), made.problems) == ([CUB, LOG1P], ())


def test_windows_line_ends_are_equal(world):
    changed = {name: data.replace(b"\n", b"\r\n") for name, data in forks.scan().items()}
    made = world.plan(world.copy(changed))
    assert made.upstream.value.described == "mamba-ssm 1.1.4, changed: no Python file, no CUDA file"
    assert (patches(made), made.problems) == ([CUB, LOG1P], ())


def test_unfitting_hunk_is_named_and_a_manual_fix_counts(world):
    lines = forks.scan()[REVERSE].split(b"\n")
    (at,) = [number for number, line in enumerate(lines) if b"LaneId" in line]
    around = [*lines[: at + 1], b"        // ours", *lines[at + 1 :]]
    made = world.plan(world.copy({REVERSE: b"\n".join(around)}))
    (problem,) = made.problems
    assert problem.code == "source-patch"
    assert f"hunk 1, line {at + 2} of {REVERSE}" in problem.found
    assert any(REVERSE in way for way in problem.fix)
    mended = (
        b"\n".join(around)
        .replace(b"cub::LaneId()", b"int(threadIdx.x % 32)")
        .replace(b"cub::CTA_SYNC", b"__syncthreads")
    )
    assert world.plan(world.copy({REVERSE: mended}, name="mended")).problems == ()


def test_a_fix_that_does_not_fit_is_a_note(world, monkeypatch):
    rows = [
        replace(item, kind=type(item.kind)("fix"), concern="all") if item.file == CUB else item
        for item in world.tables.patches
    ]
    world.tables = replace(world.tables, patches=tuple(rows))
    monkeypatch.setattr(tree, "load_tables", lambda: world.tables)
    changed = {REVERSE: forks.scan()[REVERSE].replace(b"        , warp_id(", b"        // ours\n        , warp_id(")}
    made = world.plan(world.copy(changed))
    assert made.problems == ()
    assert any(f"the fix {CUB} does not fit" in note for note in made.notes)


def renamed():
    """The package under another name, its kernels in another folder."""
    return {
        path.replace("mamba_ssm/", "vim_ssm/").replace("csrc/", "kernels/csrc/"): data.replace(b"mamba_ssm", b"vim_ssm").replace(b"csrc/", b"kernels/csrc/")
        for path, data in forks.scan().items()
    }  # fmt: skip


def test_patches_reach_a_package_of_another_name_in_other_folders(world):
    path = world.copy(files=renamed())
    made = world.plan(path)
    row = made.upstream.value
    assert (row.name, row.project.packages, made.problems) == ("vim-ssm", ("vim_ssm",), ())
    assert patches(made) == [CUB, LOG1P]
    into = world.folder / "copy"
    prepare.locate.archives.copy_tree(path, into)
    for item in made.patches.value:
        assert prepare.patching.apply_to_fork(item, into, row.fork, row.title)
    assert b"LaneId" not in (into / "kernels" / REVERSE).read_bytes()
    assert b"libdevice.log1p" in (into / STEP.replace("mamba_ssm", "vim_ssm")).read_bytes()


def test_two_copies_of_one_path_are_ambiguous():
    assert placed(["csrc/a.cu"], ["x/csrc/a.cu", "y/csrc/a.cu"]) == {}
    assert placed(["csrc/a.cu"], ["csrc/a.cu", "y/csrc/a.cu"]) == {"csrc/a.cu": "csrc/a.cu"}


@pytest.mark.parametrize(
    ("environ", "table", "consent"),
    [
        ({"MAMBA_BUILD_SOURCE": "{}"}, {}, False),
        ({}, {"source": "{}"}, False),
        ({"MAMBA_BUILD_SOURCE": "{}", "MAMBA_BUILD_ALLOW_UNVERIFIED": "true"}, {}, True),
        ({}, {"source": "{}", "allow-unverified": True}, True),
    ],
)
def test_fork_not_named_on_the_command_line_needs_consent(world, environ, table, consent):
    path = world.copy(edited(STEP))
    filled = [
        {key: path.as_posix() if value == "{}" else value for key, value in part.items()} for part in (environ, table)
    ]
    made = world.plan(path, *filled)
    assert bool(made.problems) != consent
    if not consent:
        assert "mamba-ssm 1.1.4, changed: 1 Python file" in made.problems[0].found
        assert "-C allow-unverified=true" in " ".join(made.problems[0].fix)


def test_fork_of_another_project_is_not_built(world):
    made = world.plan(world.copy(edited(STEP)), upstream="causal-conv1d")
    assert "setting upstream asks for causal-conv1d" in made.problems[0].needed


OTHER = {
    "setup.py": b'from setuptools import setup\nsetup(name="flash", version="2.0")\n',
    "csrc/static_switch.h": b"int other;\n",
    "csrc/flash.cu": b"int f;\n",
}


@pytest.mark.parametrize(
    ("changes", "files", "told"),
    [
        ({}, OTHER, "calls itself flash 2.0, is not similar to any release"),
        ({}, {**OTHER, "csrc/flash.cu": None}, "contains no CUDA sources"),
        ({path: None for path in forks.scan() if path.endswith(".cu")}, None, "missing, but setup.py compiles it"),
        ({"csrc/selective_scan/selective_scan_fwd_fp32.cu": None}, None, "selective_scan_fwd_fp32.cu: missing, but setup.py compiles it"),
        ({"csrc/selective_scan/selective_scan.h": None}, None, "selective_scan.h: missing, but csrc/selective_scan/"),
        ({"mamba_ssm/ops/selective_scan_interface.py": None}, None, "missing, but mamba_ssm/__init__.py imports it"),
        ({REVERSE: b"\0" * 200}, None, f"{REVERSE}: contains bytes that are not text"),
        ({REVERSE: forks.scan()[REVERSE].replace(b"threadIdx", b"thr\x01adIdx").replace(b"cub", b"c\x02b")}, None, "bytes that are not text"),
        ({REVERSE: b"version https://git-lfs.github.com/spec/v1\n"}, None, "a Git LFS pointer"),
        ({"csrc/selective_scan/selective_scan.h": b"<!DOCTYPE html>\n<html></html>\n"}, None, "a web page"),
        ({REVERSE: b""}, None, f"{REVERSE}: the file is empty"),
        ({REVERSE: b"<<<<<<< HEAD\nint a;\n=======\nint b;\n>>>>>>> x\n"}, None, "an unfinished merge"),
        ({"csrc/selective_scan/selective_scan.h": b"struct S { int n"}, None, "selective_scan.h: ends inside a block"),
        ({"csrc/selective_scan/selective_scan_fwd_fp32.cu": b"/* a kern"}, None, "ends inside a block"),
        ({"csrc/selective_scan/selective_scan_fwd_fp32.cu": b"/* ours */\n#include <cub/cub.cuh>\n"}, None, "contains no code"),
        ({STEP: b"def f(:\n"}, None, f"{STEP}: line 1 is not valid Python"),
        ({"setup.py": b"print 1\n"}, None, "setup.py: line 1 is not valid Python"),
    ],
)  # fmt: skip
def test_incomplete_copy_of_a_known_project_is_reported(world, changes, files, told):
    made = world.plan(world.copy(changes, files))
    assert len(made.problems) == 1
    assert told in made.problems[0].found
    assert made.problems[0].fix


@pytest.mark.parametrize("text", [b'#include "selective_scan.h"\n', b"void f() {}\n", b"#define A 1\nA\n"])
def test_source_without_a_semicolon_is_accepted(world, text):
    assert not world.plan(world.copy({"csrc/selective_scan/selective_scan_fwd_fp32.cu": text})).problems


def test_damaged_looking_source_is_built_on_request(world):
    path = world.copy({REVERSE: forks.scan()[REVERSE] + b"#define BEGIN {\n"})
    assert world.plan(path).problems[0].code == "source-damaged"
    made = world.plan(path, allow_unverified="true")
    assert made.problems == ()
    assert any(f"is damaged: {REVERSE}: ends inside a block" in note for note in made.notes)


def test_single_changed_file_is_named_as_possible_damage(world):
    made = world.plan(world.copy(edited(REVERSE, b"// x\n")))
    assert any(f"only {REVERSE} differs from mamba-ssm 1.1.4" in note for note in made.notes)


def test_version_before_the_oldest_known_is_reported(world):
    made = world.plan(world.copy({"mamba_ssm/__init__.py": b'__version__ = "1.0.0"\n'}))
    assert made.upstream.value.title == "mamba-ssm 1.0.0"
    assert any("older than the oldest known release, 1.0.1" in note for note in made.notes)


@pytest.mark.parametrize("version", [b"1.1.1-vim_x", b"not a version", b"", b"1" * 500])
def test_invalid_version_is_ignored(world, version):
    made = world.plan(world.copy({"mamba_ssm/__init__.py": b'__version__ = "' + version + b'"\n'}))
    assert (made.problems, made.upstream.value.fork.release) == ((), "1.1.4")


def test_partner_next_to_the_fork_goes_into_its_wheel(world):
    path = world.copy(edited(STEP))
    world.copy(edited("causal_conv1d/__init__.py", files=forks.conv()), forks.conv(), name="repo/causal-conv1d")
    made = world.plan(path)
    assert made.companion is not None
    assert made.companion.upstream.value.described == "causal-conv1d 1.1.1, changed: 1 Python file, no CUDA file"
    assert made.companion.source.value.path == str(world.folder / "repo" / "causal-conv1d")
    text = " ".join(report.plan_text(world.facts, made).split())
    assert "source causal-conv1d 1.1.1, changed: 1 Python file, no CUDA file" in text


def test_two_trees_of_one_command_get_a_wheel_each(world):
    paths = [
        world.copy(edited(STEP)),
        world.copy(edited("csrc/causal_conv1d.h", b"// x\n", forks.conv()), forks.conv(), "repo/causal-conv1d"),
    ]
    settings = [load_settings({"source": str(path)}, {}, {}) for path in paths]
    _, found = recording.load(MACHINE, {})
    each = [replace(found, source_kind=SourceKind.TREE, trees=tree.probe_trees(path)) for path in paths]
    scan, conv = plan.decide_together(settings, each, world.tables)
    assert (scan.companion, scan.problems, conv.problems) == (None, (), ())
    assert conv.upstream.value.name == "causal-conv1d"


def test_module_installed_under_another_name_is_reported(world, tmp_path):
    site = tmp_path / "site"
    (site / "mamba_ssm").mkdir(parents=True)
    info = site / "vision_mamba-0.3.dist-info"
    info.mkdir()
    (info / "RECORD").write_text("mamba_ssm/__init__.py,,\n")
    _, found = recording.load(MACHINE, {})
    torches = tuple(replace(item, site=str(site)) for item in found.torches)
    made = world.plan(world.copy(edited(STEP)), torches=torches)
    assert made.upstream.value.fork.owners == (Owner("mamba_ssm", "vision-mamba", "0.3"),)
    assert any(
        "vision-mamba 0.3 is installed and contains the module mamba_ssm" in note
        and "pip uninstall vision-mamba" in note
        for note in made.notes
    )


def test_what_an_old_setup_py_imports_is_a_build_requirement(world):
    old = b"import pkg_resources\nimport numpy as np\n" + forks.scan()["setup.py"]
    needs = requires_for_wheel(world.plan(world.copy({"setup.py": old})), None)
    assert "numpy" in needs
    assert any(item.startswith("setuptools>=64") and item.endswith(",<82") for item in needs)


def test_a_setup_py_is_read_and_not_run(tmp_path):
    text = """\
import os
import tarfile
raise SystemExit(os.remove(__file__))
names = dict(a="scan_cuda_a")
NAME = OTHER = "x"
setup(name="My_Scan", version="0.0.2", packages=[], ext_modules=[CUDAExtension(names.get("a"), ["a.cu", "b.cpp"])])
"""
    forks.written(tmp_path, {"setup.py": text.encode(), "scan/__init__.py": b""})
    said = read_setup_py(tmp_path)
    assert (said.name, said.version, said.packages, said.extensions) == ("My_Scan", "0.0.2", (), ())
    assert (said.sources, said.perhaps) == (("a.cu", "b.cpp"), ("scan_cuda_a",))
    forks.written(
        tmp_path,
        {"setup.py": b"from setuptools import setup\nsetup()\n", "setup.cfg": b"[metadata]\nname = a\nversion = 1\n"},
    )
    assert read_setup_py(tmp_path).name == "a"


@pytest.mark.parametrize(
    "text", [b"(" * 5000, b"\xff\xfe", b"\0", b"x = " + b"9" * 6000, b"a" * 100 + b"\n" + b"-" * 100_000 + b"1"]
)
def test_invalid_setup_py_is_an_error(tmp_path, text):
    (tmp_path / "setup.py").write_bytes(text)
    found = tree.probe_tree(tmp_path)
    assert isinstance(found.faults, tuple)
    assert json.loads(json.dumps(facts_module.to_json(found)))


def test_links_and_files_of_others_are_not_read(tmp_path):
    secret = tmp_path / "secret.py"
    secret.write_text("x = 1\n")
    folder = forks.written(tmp_path / "tree", forks.scan())
    (folder / "mamba_ssm" / "link.py").symlink_to(secret)
    os.mkfifo(folder / "csrc" / "pipe.cu")
    found = tree.probe_tree(folder)
    assert digest(b"x = 1\n") not in dict(found.files).values()


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("./nowhere", "does not exist"),
        ("./file.txt", "is neither a folder nor an archive"),
        ("./empty", "has no setup.py"),
        ("./above", "has no setup.py"),
        ("./" + "x" * 300, "a name has at most 255 bytes"),
    ],
)
@pytest.mark.parametrize("command", ["doctor", "build"])
def test_path_that_is_not_a_tree_is_reported(tmp_path, command, target, told):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("x")
    forks.written(tmp_path / "above", {"mamba/setup.py": b"\n"})
    done = typed(command, target, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert target != "./above" or f"python -m mamba_build_backend build {tmp_path}/above/mamba" in done.stderr


def test_tree_decides_its_own_version(tmp_path):
    folder = forks.written(tmp_path / "mamba", forks.scan())
    done = typed("doctor", folder, "-C", "upstream-version=2.3.0", cwd=tmp_path)
    assert done.returncode == 2
    assert "a source tree sets its own project and version" in done.stderr


def test_every_release_has_its_files_and_existing_stable_headers():
    tables = load_tables()
    for item in tables.released:
        for row in tables.versions_of(item.project):
            assert len(item.files_of(row.version)) > 8, row.title
    include = ROOT / "mamba_build_backend" / "stable" / "include"
    there = {path.relative_to(include).as_posix() for path in include.rglob("*.*") if "mamba_stable" not in path.parts}
    assert there - {"Python.h"} == set(STABLE_HEADERS)  # Python.h belongs to Python, not to torch


def test_two_forks_with_one_module_are_reported(world):
    paths = [world.copy(edited(STEP), name=f"{name}/mamba") for name in ("a", "b")]
    settings = [load_settings({"source": str(path)}, {}, {}) for path in paths]
    _, found = recording.load(MACHINE, {})
    each = [replace(found, source_kind=SourceKind.TREE, trees=tree.probe_trees(path)) for path in paths]
    (note,) = plan.overwriting(plan.decide_together(settings, each, world.tables))
    assert "both contain" in note
    assert "mamba_ssm, selective_scan_cuda" in note
    done = typed("build", paths[0], paths[0])
    assert (done.returncode, "is named twice" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "told", [b'packages=find_packages("src")', b'packages=["mamba_ssm"], package_dir={"": "src"}', b'packages=find_packages(where="./src/")']
)  # fmt: skip
def test_packages_may_lie_in_a_folder_of_their_own(world, told):
    files = {path.replace("mamba_ssm/", "src/mamba_ssm/"): data for path, data in forks.scan().items()}
    files["setup.py"] = files["setup.py"].replace(b'packages=find_packages(exclude=("tests", "csrc"))', told)
    made = world.plan(world.copy(files=files))
    row = made.upstream.value
    assert (row.title, row.project.packages, made.problems) == ("mamba-ssm 1.1.4", ("mamba_ssm",), ())
    assert patches(made) == [CUB, LOG1P]
    assert world.facts.trees[0].imports == ("causal_conv1d",)
    lost = world.plan(world.copy({"src/mamba_ssm/ops/selective_scan_interface.py": None}, files, "lost"))
    assert (
        "src/mamba_ssm/ops/selective_scan_interface.py: missing, but src/mamba_ssm/__init__.py imports it"
        in lost.problems[0].found
    )


def test_fix_for_copies_applies_to_copies_with_its_lines_only(world):
    name = "mamba-ssm/0037-gradient-of-z-both-ways.patch"
    interface = "mamba_ssm/ops/selective_scan_interface.py"
    both_ways = forks.made_for(name)[interface] + b"    return dz\n"
    made = world.plan(world.copy({interface: forks.scan()[interface] + both_ways}))
    assert name in [item.file for item in made.patches.value if item.is_fix]
    without = world.plan(world.copy({interface: forks.scan()[interface] + both_ways}), fixes="false")
    assert name not in [item.file for item in without.patches.value]
    assert name not in [item.file for item in world.plan(world.copy(edited(interface))).patches.value]


def archived(folder, into, top="mamba"):
    """The folder as an archive of one folder ``top``, or of only its files."""
    with tarfile.open(into, "w:gz") as tar:
        tar.add(folder, arcname=top)
    return into


def archive_plan(world, path, **options):
    settings = load_settings({"source": str(path), **options}, {}, {})
    _, found = recording.load(MACHINE, {})
    return plan.decide(settings, probe.with_source(found, settings), world.tables)


def test_archive_is_recognised_by_content_not_name(world, tmp_path):
    tree = world.copy(edited(STEP))
    made = archive_plan(world, archived(tree, tmp_path / "download.tar.gz"))
    assert not made.problems
    assert made.upstream.value.fork == replace(
        world.plan(tree).upstream.value.fork, path=str(tmp_path / "download.tar.gz"), owners=()
    )
    assert (
        archive_plan(world, archived(world.copy(name="same/mamba"), tmp_path / "b.tar.gz")).upstream.value.fork is None
    )


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda tree, at: at.write_bytes(b"no archive"), " is damaged: "),
        (lambda tree, at: at.write_bytes(archived(tree, at).read_bytes()[:300]), " is damaged: "),
        (lambda tree, at: archived(tree, at, "."), " does not contain exactly one top folder"),
        (lambda tree, at: archived(tree.parent, at), " has no setup.py at its top level, but mamba has one"),
        (lambda tree, at: archived(tree / "csrc", at), " has no setup.py at its top level"),
    ],
    ids=["none", "half", "no folder", "the repository", "a part"],
)
@pytest.mark.parametrize("options", [{}, {"allow-unverified": "true"}])
def test_archive_without_a_project_is_reported_early(world, tmp_path, make, told, options):
    path = tmp_path / "download.tar.gz"
    make(world.copy(edited(STEP)), path)
    problem = archive_plan(world, path, **options).problems[0]
    assert problem.found.startswith(f"source: {path}{told}")
    assert problem.fix


def test_copy_of_a_copy_is_recognised_by_its_kernel_names(world):
    """Like Spatial-Mamba, which began with VMamba's scan and changed every file."""
    files = {path: data + b"// ours\n" for path, data in forks.scan().items() if path.startswith("csrc/")}
    names = {REVERSE, "csrc/selective_scan/static_switch.h"}
    files = {path: data for path, data in files.items() if path in names}
    files |= {"setup.py": OTHER["setup.py"], "csrc/selective_scan/selective_scan_mine.cu": b"int s;\n"}
    made = world.plan(forks.written(world.folder / "theirs", files))
    assert made.upstream.value.fork.same == ()
    assert patches(made) == [CUB]
    other = {path: data for path, data in files.items() if not path.endswith("_mine.cu")}
    other |= {"csrc/selective_scan/flash.cu": b"int s;\n"}
    (problem,) = world.plan(forks.written(world.folder / "others", other)).problems
    assert "is not similar to any release" in problem.found
