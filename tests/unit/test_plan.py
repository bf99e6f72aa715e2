"""The plan, on machines that were written down: tests/facts/*.json holds facts, settings and what must come of them."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from support import RECORDED, ROOT, planned_for

from mamba_build_backend import plan, tables
from mamba_build_backend.core import facts, settings
from mamba_build_backend.core.errors import parts_of
from mamba_build_backend.plan import doctor_json, report, types
from mamba_build_backend.plan.report import source_text
from mamba_build_backend.probe import recording


def planned(path):
    return (json.loads(path.read_text())["expect"], *planned_for(path))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_machine_gets_its_plan(path):
    expect, _, made = planned(path)
    assert [item.code for item in made.problems] == expect["problems"]
    simple = {
        "toolkit": made.toolkit.value and made.toolkit.value.home,
        "compiler": made.compiler.value and made.compiler.value.path,
        "sysroot": made.sysroot.value and made.sysroot.value.provider,
        "torch": made.torch.value and made.torch.value.version,
        "torch_requirement": made.target.requirement,
        "requirements": list(made.requirements),
        "to_fetch": [item.name for item in made.archives.missing] if made.archives else [],
        "floor": [made.floor.glibc, made.floor.glibcxx, made.floor.cxxabi],
        "portable": made.portable,
        "jobs": made.jobs.value,
        "cxx_standard": made.target.cxx_standard,
        "effective": made.effective_floor.value,
        "pins": list(made.pins.value),
        "patches": [item.file for item in made.patches.value],
        "partner": made.partner.value,
        "environment": dict(made.environment),
        "upstream": made.upstream.value.version,
        "source": source_text(made.source.value),
        "companion": made.companion and made.companion.upstream.value.title,
        "companion_source": made.companion and source_text(made.companion.source.value),
        "codes": list(made.gpu_code.value.codes),
    }
    loose = {"problems", "says", "notes", "rejected"}
    assert set(expect) <= set(simple) | loose, "an expectation that nothing checks"
    for key, value in expect.items():
        if key in simple:
            assert simple[key] == value, key
    told = "\n".join(line for item in made.problems for line in (f"{item.found}; {item.needed}", *item.fix))
    for sentence in expect.get("says", []):
        assert sentence in told
    for sentence in expect.get("notes", []):
        assert any(sentence in note for note in made.notes)
    reasons = [
        item.why for choice in (made.torch, made.toolkit, made.compiler, made.sysroot) for item in choice.rejected
    ]
    for sentence in expect.get("rejected", []):
        assert any(sentence in why for why in reasons), reasons


TYPED = re.compile(
    r"(apt|apt-get|conda|curl|dnf|export|git|module|pacman|pixi|python|sudo|uv|yum|zypper) "
    r"|-C [a-z0-9-]+="
    r"|install NVIDIA's driver \d"  # each system has its own way to it
    r"|use (a |such a )?\w"  # another machine, image, Python or torch: no command makes one
)
"""How a fix begins: with a program, a setting, or what to use instead."""


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_every_fix_begins_with_its_command(path):
    for problem in planned(path)[2].problems:
        assert problem.fix, problem.code
        for line in problem.fix:
            assert TYPED.match(line), line


def test_reports_do_not_depend_on_the_order_of_hashes():
    """Two processes with other seeds print the same for all machines: sets and dictionaries of strings have no say."""
    program = (
        "import sys; sys.path[:0] = ['.', 'tests']\nfrom support import RECORDED, planned_for\n"
        "from mamba_build_backend.plan import report\n"
        "for path in RECORDED[::4]: print(report.plan_text(*planned_for(path), verbose=True))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(texts) == 1


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_facts_survive_json(path):
    recorded = facts.from_json(json.loads(path.read_text())["facts"])
    written = json.loads(json.dumps(facts.to_json(recorded)))
    assert written["schema"] == facts.SCHEMA, "a machine of schema 1 is read, and written in today's"
    assert facts.from_json(written) == recorded


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"machine": {}}, "machine"),
        ({"machine": 3}, "an object is needed"),
        ({"surprise": 1}, "unknown field 'surprise'"),
    ],
)
def test_invalid_facts_are_refused(data, complaint):
    with pytest.raises(ValueError, match=complaint):
        facts.from_json(data)


def test_all_covers_every_gpu_of_cuda_13_with_the_fewest_front_ends():
    _, _, made = planned(next(path for path in RECORDED if path.stem == "debian12-torch2.11-cuda13.0"))
    assert made.nvcc_flags[:6] == (
        "-gencode=arch=compute_75,code=sm_75",
        "-gencode=arch=compute_80,code=sm_80",
        "-gencode=arch=compute_80,code=sm_90",
        "-gencode=arch=compute_80,code=sm_100",
        "-gencode=arch=compute_80,code=sm_120",
        "-gencode=arch=compute_80,code=compute_80",
    )


@pytest.mark.parametrize(
    ("settings", "said", "unsaid"),
    [
        ({}, "mamba-ssm 2.2.2 is installed, and mamba-ssm-portable contains the same files", "causal-conv1d-portable contains"),
        ({"distribution-name": "mamba-ssm"}, "", "contains the same files"),
        ({"distribution-name": "other"}, "and other contains the same files. Remove it", "takes its place"),
        ({"with-causal-conv1d": "true"}, "causal-conv1d 1.4.0 is installed, and mamba-ssm-portable contains the same files", "name=causal"),
        ({"upstream": "causal-conv1d"}, "causal-conv1d 1.4.0 is installed, and causal-conv1d-portable contains", "mamba-ssm 2.2.2 is"),
        ({"upstream": "self"}, "", "contains the same files"),
    ],
)  # fmt: skip
def test_owner_of_the_same_files_is_reported(settings, said, unsaid):
    chosen, found = recording.load(ROOT / "tests" / "facts" / "upstream-beside.json", settings)
    told = "\n".join(plan.decide(chosen, found, tables.load_tables()).notes)
    assert said in told
    assert unsaid not in told


def test_a_stand_in_owns_no_files():
    chosen, found = recording.load(ROOT / "tests" / "facts" / "upstream-beside.json", {})
    torch = found.torches[0]
    packages = tuple(replace(item, version=f"{item.version}+portable") for item in torch.packages)
    told = "\n".join(
        plan.decide(chosen, replace(found, torches=(replace(torch, packages=packages),)), tables.load_tables()).notes
    )
    assert "contains the same files" not in told


def needing(glibcxx, glibc="2.17"):
    """The promise of a wheel for a torch of the new C++ ABI that needs this much of libstdc++ itself."""
    chosen, found = recording.load(RECORDED_TORCH, {"glibc": glibc, "abi": "torch"})
    torch = replace(found.torches[0], glibcxx=glibcxx)
    return plan.decide(chosen, replace(found, torches=(torch,)), tables.load_tables()).floor


RECORDED_TORCH = ROOT / "tests" / "facts" / "debian12-torch2.11-cuda13.0.json"


def test_libstdcxx_limit_comes_from_the_policy_or_torch():
    assert needing("3.4.22").glibcxx == "3.4.22"
    assert needing("3.4.21").glibcxx == "3.4.21"
    assert needing("3.4.11").glibcxx == "3.4.19"  # what every system of glibc 2.17 has
    assert needing("3.4.30").glibcxx == "3.4.22"
    assert needing("3.4.11", glibc="2.28").glibcxx == "3.4.24"
    assert needing("").glibcxx == "3.4.22"


def on(machine, *, driver=None, ported=True, facts_too=None, **config):
    """The plan of a recorded machine with another driver, with projects that are not ported, or with other facts."""
    chosen, found = recording.load(ROOT / "tests" / "facts" / f"{machine}.json", {})
    given = {key.replace("_", "-"): value for key, value in config.items()}
    chosen = settings.load_settings({**given}, {}, {}) if given else chosen
    found = replace(found, **(facts_too or {}), **({} if driver is None else {"driver": driver}))
    known = tables.load_tables()
    if not ported:
        known = replace(
            known, versions=tuple(replace(row, project=replace(row.project, stable="")) for row in known.versions)
        )
    return plan.decide(chosen, found, known)


@pytest.mark.parametrize(
    ("machine", "change", "abi", "because"),
    [
        ("debian12-torch2.11-cuda13.0", {}, "stable", "the default"),
        ("debian12-torch2.11-cuda13.0", {"abi": "torch"}, "torch", "setting abi"),
        ("debian12-torch2.11-cuda13.0", {"abi": "stable"}, "stable", "setting abi"),
        ("debian12-torch2.11-cuda13.0", {"upstream": "self"}, "torch", "a project's own source"),
        ("debian12-torch2.11-cuda13.0", {"ported": False}, "torch", "the binding of mamba-ssm 2.3.2.post1 is not ported to the stable ABI"),
        ("free-threaded", {"abi": "auto"}, "torch", "this Python is free-threaded"),
    ],
)  # fmt: skip
def test_wheel_is_stable_by_default(machine, change, abi, because):
    made = on(machine, **change)
    assert (made.abi.value.name, made.abi.because.count(because)) == (abi, 1)
    assert not [item for item in made.problems if item.code.startswith("abi")]


def test_unported_project_refuses_the_stable_abi():
    (problem,) = on("debian12-torch2.11-cuda13.0", ported=False, abi="stable").problems
    assert (problem.code, problem.needed) == ("abi-upstream", "no mamba-ssm is ported")
    assert problem.fix == ("-C abi=torch   (a wheel for the installed torch and Python)",)


def test_a_toolkit_without_the_static_runtime_still_makes_a_wheel():
    _, found = recording.load(RECORDED_TORCH, {})
    (kit,) = found.toolkits
    without = {"toolkits": (replace(kit, missing=(*kit.missing, "libcudart_static")),)}
    # nvcc from PyPI brings the runtime: the plan then requires it.
    assert on(RECORDED_TORCH.stem, facts_too=without).abi.value.name == "stable"
    made = on(RECORDED_TORCH.stem, facts_too=without, cuda_home=kit.home)
    found = replace(kit, missing=without["toolkits"][0].missing, origin=facts.Origin.SETTING)
    made = on(RECORDED_TORCH.stem, facts_too={"toolkits": (found,)}, cuda_home=kit.home)
    assert (made.abi.value.name, made.abi.because) == ("torch", "no toolkit on this machine has libcudart_static")
    assert not made.problems


V100, H100, B300 = (
    facts.Gpu(name, capability) for name, capability in (("V100", "7.0"), ("H100", "9.0"), ("B300", "10.3"))
)
NONE, CU13, CU12, CU11 = "no-torch", "cuda13-no-toolkit", "torch-cu128-nvcc-11.7", "nvcc-10.1-alone"
"""Machines without an nvcc that fits: without torch, and with one for CUDA 13.0, 12.8 and 11.8."""


@pytest.mark.parametrize(
    ("machine", "driver", "gpu", "cuda", "by"),
    [
        # The driver sets the major version for any torch; its newest release knows the most GPUs and g++ versions.
        (CU13, "580.82", H100, "13.0", "index"),
        (CU12, "580.82", H100, "13.0", "index"),
        (CU11, "580.82", None, "13.0", "index"),
        (CU12, "550.54", H100, "12.9", "archives"),
        (CU11, "535.104", None, "12.9", "archives"),
        (CU12, "470.57", None, "11.8", "archives"),
        (CU12, "440.33", None, "11.8", "archives"),
        # Where no driver was seen, torch's CUDA says it.
        (CU13, "", None, "13.0", "index"),
        (CU12, "", None, "12.9", "archives"),
        (CU11, "", None, "11.8", "archives"),
        # A GPU that CUDA 13 no longer knows, or that an older CUDA does not know yet.
        (CU12, "580.82", V100, "12.9", "archives"),
        (CU12, "570.124", B300, "12.9", "archives"),
        (CU12, "580.82", B300, "13.0", "index"),
        # Nothing is here but the driver.
        (NONE, "535.104", H100, "12.9", "archives"),
        (NONE, "580.82", H100, "13.2", "index"),
    ],
)
def test_driver_gpu_and_torch_choose_the_download(machine, driver, gpu, cuda, by):
    bare = {"toolkits": (), "gpus": (gpu,) if gpu else ()}
    made = on(machine, driver=driver, abi="auto", facts_too=bare)
    assert (made.cuda, "archives" if made.archives else "index") == (cuda, by)
    assert bool(made.installs_tool(types.Tool.NVCC)) == (by == "index")
    if machine == CU12 and driver > "525":
        assert not made.problems


@pytest.mark.parametrize(
    ("arch", "driver", "cuda"),
    [("7.0", "580.82", "12.9"), ("9.0", "580.82", "13.0"), ("7.0;9.0", "", "12.9"), ("6.1", "470.57", "12.9"), ("all", "470.57", "12.9")],
)  # fmt: skip
def test_for_other_machines_the_named_gpus_and_torch_choose(arch, driver, cuda):
    """A downloaded nvcc compiles for all named GPUs; this machine's driver does not make it older than torch."""
    made = on(CU12, driver=driver, abi="auto", arch=arch, facts_too={"toolkits": ()})
    assert (made.cuda, [item.code for item in made.problems]) == (cuda, [])


@pytest.mark.parametrize(
    ("torch", "cuda"), [("cu118", "11.8"), ("cu121", "12.1"), ("cu124", "12.4"), ("cu128", "12.8")]
)
def test_a_wheel_for_one_torch_keeps_its_cuda_whatever_the_driver_runs(torch, cuda):
    _, found = recording.load(ROOT / "tests" / "facts" / f"{CU12}.json", {})
    (here,) = found.torches
    number = f"{torch[2:4]}.{torch[4:]}"
    here = replace(here, version=f"2.6.0+{torch}", cuda=number)
    made = on(CU12, driver="580.82", abi="torch", facts_too={"toolkits": (), "torches": (here,)})
    assert (made.cuda, made.archives.release.cuda) == (cuda, cuda)


def kit(version, **fields):
    return facts.Toolkit(f"/usr/local/cuda-{version}", "PATH", version=version, origin=facts.Origin.PATH, **fields)


@pytest.mark.parametrize(
    ("machine", "here", "driver", "gpu", "mirror", "taken"),
    [
        # An installed nvcc that fits wins, even over a newer download.
        (CU12, ["12.1"], "580.82", None, "auto", "12.1"),
        (CU12, ["13.0"], "580.82", None, "auto", "13.0"),
        (CU12, ["12.4", "13.0"], "550.54", H100, "auto", "12.4"),
        (CU13, ["12.4"], "550.54", H100, "auto", "12.4"),
        # Others are skipped: too old for the project, torch or the GPU; too new for the driver, or for an unseen
        # driver.
        (CU12, ["10.1"], "", None, "auto", ""),
        (CU12, ["11.7"], "", None, "auto", ""),
        (CU12, ["12.1"], "570.124", B300, "auto", ""),
        (CU12, ["13.0"], "550.54", H100, "auto", ""),
        (CU12, ["13.0"], "", None, "auto", ""),
        # It serves all the same where nothing may be fetched; not that which is too old for the project.
        (CU12, ["11.7"], "", None, "off", "11.7"),
        (CU12, ["13.0"], "", None, "off", "13.0"),
        (CU12, ["10.1"], "", None, "off", None),
    ],
)
def test_fitting_nvcc_of_the_machine_comes_first(machine, here, driver, gpu, mirror, taken):
    too = {"toolkits": tuple(kit(item) for item in here), "gpus": (gpu,) if gpu else ()}
    made = on(machine, driver=driver, abi="auto", cuda_mirror=mirror, facts_too=too)
    home = f"/usr/local/cuda-{taken}" if taken else taken
    assert (made.toolkit.value.home if made.toolkit.value else None) == home
    assert any(note.startswith("not used: CUDA") for note in made.notes) == (taken == "")
    assert ("no-toolkit" in [item.code for item in made.problems]) == (taken is None)


def test_toolkit_for_an_unseen_driver_is_reported():
    made = on(CU12, driver="", abi="auto", cuda_mirror="off", facts_too={"toolkits": (kit("13.0"),)})
    assert any("the wheel will need a driver for CUDA 13" in note for note in made.notes)
    made = on(CU12, driver="550.54", abi="auto", cuda_mirror="off", facts_too={"toolkits": (kit("13.0"),)})
    assert [item.code for item in made.problems] == ["driver"]


def names(release):
    return tuple(
        item.name
        for found in tables.load_tables().redist("x86_64")
        if found.release == release
        for item in found.archives
    )


def test_offline_names_missing_files_and_their_folder():
    first, *rest = names("12.9.1")
    made = on(CU12, offline="true", facts_too={"toolkits": (), "fetched": (first,)})
    source, nvcc = made.problems
    assert (source.code, nvcc.code) == ("source-offline", "no-toolkit")
    assert "mamba_ssm-2.3.2.post1.tar.gz is not in the cache" in source.found
    assert all(name in nvcc.found for name in rest)
    assert first not in nvcc.found
    host = tables.load_tables().nvidia.address
    assert nvcc.fix[0].startswith("curl -fL --create-dirs --output-dir cuda-archives --remote-name-all ")
    assert nvcc.fix[0].count(host) == 2
    assert "then -C cuda-mirror=/path/to/cuda-archives" in nvcc.fix[0]
    whole = {"toolkits": (), "fetched": (first, *rest, "mamba_ssm-2.3.2.post1.tar.gz")}
    made = on(CU12, offline="true", facts_too=whole)
    assert (made.problems, made.archives.missing, made.toolkit.value.version) == ((), (), "12.9")


def test_offline_names_the_packages_that_pip_must_find():
    made = on(CU12, offline="true", facts_too={"compilers": ()})
    (note,) = [text for text in made.notes if text.startswith("offline is set, so pip")]
    assert all(requirement in note for requirement in made.requirements)
    assert note.splitlines()[-1] == "python -m mamba_build_backend requires"
    assert not [text for text in on(CU12, facts_too={"compilers": ()}).notes if "pip must find" in text]


@pytest.mark.parametrize(
    ("distribution", "command"),
    [
        ("debian 12", "apt-get install python3.11-dev"),
        ("rocky 9.4", "dnf install python3-devel   (python3.11-devel if this is not the system's Python)"),
        ("opensuse-leap 15.6", "zypper install python311-devel"),
        ("arch", "pacman -S python"),
        ("something 1", "apt-get install python3.11-dev"),
    ],
)
def test_only_a_wheel_for_one_torch_needs_the_python_header(distribution, command):
    machine = recording.load(ROOT / "tests" / "facts" / f"{CU12}.json", {})[1].machine
    without = replace(machine, python_header=False, distribution=distribution)
    made = on(CU12, abi="torch", facts_too={"machine": without})
    (problem,) = [item for item in made.problems if item.code == "python-header"]
    assert problem.fix[0] == command
    assert not [item for item in on(CU12, facts_too={"machine": without}).problems if item.code == "python-header"]
    for seen in (True, None):
        there = replace(without, python_header=seen)
        assert on(CU12, abi="torch", facts_too={"machine": there}).problems == on(CU12, abi="torch").problems


def test_offline_needs_the_commit_of_a_git_source():
    made = on(CU12, offline="true", source="git")
    assert made.problems[0].found.startswith("offline is set, and tag v2.3.2.post1 of https://")
    assert made.problems[0].fix[0].startswith("git clone --mirror ")
    kept = {"fetched": (made.upstream.value.commit_name,)}
    assert not [
        item for item in on(CU12, offline="true", source="git", facts_too=kept).problems if "source" in item.code
    ]


def test_mirror_folder_is_the_only_source_of_archives():
    """The folder's newest complete release wins; the message names the folder and the missing files."""
    some = {"toolkits": (), "fetched": names("12.4.1")}
    made = on(CU12, cuda_mirror="/media/usb", facts_too=some)
    assert (made.problems, made.archives.release.release, made.archives.mirror) == ((), "12.4.1", "/media/usb")
    (problem,) = on(CU12, cuda_mirror="/media/usb", facts_too={"toolkits": ()}).problems
    assert "cuda-mirror is /media/usb, and these NVIDIA archives of CUDA 12.9.1 are missing: " in problem.found
    assert "--output-dir /media/usb " in problem.fix[0]


def test_fallback_for_a_missing_archive_is_reported():
    made = on(CU12, offline="true", facts_too={"toolkits": (kit("11.7"),)})
    assert made.toolkit.value.version == "11.7"
    assert any(names("12.9.1")[0] in note and "the build uses CUDA 11.7" in note for note in made.notes)


def test_archives_of_nvidia_can_be_required_or_switched_off():
    asked = on(CU12, driver="580.82", cuda_home="redist", facts_too={"toolkits": (kit("12.8"),)})
    assert (asked.cuda, asked.toolkit.forced, asked.toolkit.because) == ("12.9", True, "setting cuda-home")
    (problem,) = on(CU12, driver="550.54", cuda_mirror="off", facts_too={"toolkits": ()}).problems
    assert problem.code == "no-toolkit"
    assert problem.fix[0].startswith("-C cuda-mirror=https://developer.download.nvidia.com/compute/cuda/redist ")
    (problem,) = on(CU12, cuda_home="redist", cuda_mirror="off", facts_too={"toolkits": ()}).problems
    assert "setting cuda-home: NVIDIA's archives" in problem.found


def test_advice_without_downloads_fits_the_driver():
    """Torch is for CUDA 13, and this machine's driver for CUDA 12."""
    made = on(NONE, driver="535.104", cuda_mirror="off", facts_too={"toolkits": ()})
    (problem,) = made.problems
    assert problem.fix[0].endswith("(nvcc 12.9 from NVIDIA's archives)")
    assert "conda install -c nvidia/label/cuda-12.9.1 cuda-toolkit" in [parts_of(way)[0] for way in problem.fix]
    assert not [way for way in problem.fix if "torch" in way or "pypi" in way]
    assert len({way.partition("   ")[0] for way in problem.fix}) == len(problem.fix)


@pytest.mark.parametrize("change", [{"arch": "riscv64"}, {"libc": "musl"}, {"system": "Darwin"}])
def test_archives_are_offered_only_if_nvidia_has_them(change):
    _, found = recording.load(ROOT / "tests" / "facts" / f"{CU12}.json", {})
    made = on(CU12, facts_too={"toolkits": (), "machine": replace(found.machine, **change)})
    assert made.archives is None


def test_the_password_of_a_mirror_is_not_in_a_report():
    made = on(CU12, cuda_mirror="https://bob:hunter22@mirror.lab/cuda", facts_too={"toolkits": ()})
    _, found = recording.load(ROOT / "tests" / "facts" / f"{CU12}.json", {})
    text = report.plan_text(found, made, verbose=True)
    assert "from https://***@mirror.lab/cuda" in text
    assert "hunter22" not in text + json.dumps(doctor_json.plan_json(found, made))


@pytest.mark.parametrize(
    ("arch", "capability", "runs"),
    [
        ("9.0", "9.0", True),
        ("8.0", "8.6", True),
        ("8.6", "8.0", False),
        ("8.0", "9.0", False),
        ("8.0+PTX", "9.0", True),
        ("9.0+PTX", "9.0", True),
        ("9.0+PTX", "8.0", False),
        ("8.0;9.0+PTX", "8.6", True),
        ("9.0a", "9.0", True),
        ("9.0a", "10.0", False),
        ("10.0f", "10.0", True),
        ("7.5;10.0", "8.0", False),
    ],
)
def test_gpu_without_a_named_architecture_is_reported(arch, capability, runs):
    gpu = facts.Gpu("a GPU", capability)
    made = on("debian12-torch2.11-cuda13.0", driver="590.44", facts_too={"gpus": (gpu,)}, arch=arch)
    said = [note for note in made.notes if "does not run on this machine's GPU, a GPU" in note]
    assert bool(said) != runs, made.notes
    assert not made.problems


def test_no_free_memory_gives_one_compiler():
    _, machine, _ = planned(next(path for path in RECORDED if path.stem == "debian12-torch2.11-cuda13.0"))
    machine = replace(machine, machine=replace(machine.machine, cores=16, memory_available=1))
    made = plan.decide(settings.load_settings({}, {}, {}), machine, tables.load_tables())
    assert (made.jobs.value, made.nvcc.threads) == (1, 1)


@pytest.mark.parametrize(
    ("cores", "given", "arch", "jobs", "threads", "split", "noted"),
    [
        (2, {}, "all", 2, 1, 1, False),
        (16, {}, "all", 16, 5, 1, False),
        (8, {}, "all", 8, 2, 1, False),
        (16, {}, "9.0", 16, 1, 4, False),
        # 30 GB hold 26 compilers: rather many files at once than a file's architectures.
        (16, {"memory": "30G"}, "all", 8, 3, 1, False),
        # One architecture has 11 files: with 14 compilers at once each may have four threads, and is bigger.
        (16, {"memory": "30G"}, "9.0", 14, 1, 4, False),
        (16, {"memory": "20G"}, "9.0", 16, 1, 1, False),
        # More cores than files: what matters then is how much of a file is done at once.
        (64, {}, "all", 24, 5, 1, False),
        (64, {}, "9.0", 64, 1, 4, False),
        (64, {"memory": "100G"}, "9.0", 48, 1, 4, False),
        (64, {"memory": "20G"}, "9.0", 17, 1, 1, False),
        (64, {"upstream": "causal-conv1d", "memory": "30G"}, "all", 5, 5, 1, False),
        # The number of files of a project is unknown.
        (64, {"upstream": "self", "memory": "100G"}, "all", 44, 2, 1, False),
        (16, {"memory": "2G"}, "all", 1, 1, 1, False),
        (16, {"jobs": "2"}, "all", 2, 1, 1, False),
        # A requested number never outweighs the memory.
        (2, {"jobs": "16", "memory": "8G"}, "9.0", 6, 1, 1, True),
        (2, {"jobs": "16", "memory": "64G"}, "9.0", 16, 1, 4, False),
    ],
)
def test_cores_and_memory_limit_the_compilers(cores, given, arch, jobs, threads, split, noted):
    _, machine, _ = planned(next(path for path in RECORDED if path.stem == "debian12-torch2.11-cuda13.0"))
    machine = replace(machine, machine=replace(machine.machine, cores=cores, memory_available=200_000_000_000))
    made = plan.decide(settings.load_settings({"arch": arch, **given}, {}, {}), machine, tables.load_tables())
    assert (made.jobs.value, made.nvcc.threads) == (jobs, threads)
    assert ("--split-compile" in made.nvcc_flags) == (split > 1)
    compact = settings.load_settings({"arch": arch, **given, "gpu-code": "compact"}, {}, {})
    spared = plan.decide(compact, machine, tables.load_tables())
    assert (spared.jobs, spared.nvcc, spared.nvcc_flags) == (made.jobs, made.nvcc, made.nvcc_flags)
    splits = made.jobs.value * threads >= 8
    assert spared.nvcc.front_end_threads == (2 if threads > 1 and splits else 1)
    if split > 1:
        assert made.nvcc_flags[made.nvcc_flags.index("--split-compile") + 1] == str(split)
    assert any("asks for 16 parallel compilers, but only 6 will run" in note for note in made.notes) == noted


@pytest.mark.parametrize(
    ("given", "dealt"),
    [
        ({"arch": "9.0"}, True),
        ({"arch": "all"}, True),
        # Where they may be edited, one is compiled again; without the best compression nothing is won.
        ({"arch": "9.0", "repair": "false"}, False),
        ({"arch": "9.0", "compress": "default"}, False),
    ],
)
def test_alike_files_are_regrouped_for_a_small_wheel(given, dealt):
    _, machine, _ = planned(RECORDED_TORCH)
    made = plan.decide(settings.load_settings(given, {}, {}), machine, tables.load_tables())
    assert not made.problems
    assert len(made.regrouped) == (3 if dealt else 0)


def test_cache_setting_switches_the_cache_off():
    chosen, found = recording.load(ROOT / "tests/facts/ccache-on-path.json", {"cache": "off"})
    made = plan.decide(chosen, found, tables.load_tables())
    assert (made.compiler_cache.value, made.compiler_cache.forced, made.compiler_cache.rejected) == (None, True, ())
    assert made.compiler_cache.because == "setting cache"
    assert "cache" not in " ".join(made.notes)


@pytest.mark.parametrize(("compress", "told"), [("size", True), ("none", True), ("default", False), ("", False)])
def test_compression_that_nvcc_lacks_is_reported(compress, told):
    _, machine, _ = planned(next(path for path in RECORDED if path.stem == "cuda12-minor-mismatch"))
    made = plan.decide(
        settings.load_settings({"compress": compress} if compress else {}, {}, {}), machine, tables.load_tables()
    )
    assert not any(option.startswith("--compress-mode") for option in made.nvcc_flags)
    assert any(f"has no option for compress={compress}" in note for note in made.notes) == told
