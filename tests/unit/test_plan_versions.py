"""The planned project and version, with other tables where the current tables leave no doubt."""

from dataclasses import replace

import pytest
from changed_machines import BARE, CU11, CU12, CU13, FACTS

from mamba_build_backend import plan, tables
from mamba_build_backend.core.facts import Package
from mamba_build_backend.core.settings import load_settings
from mamba_build_backend.plan.assemble import overwriting
from mamba_build_backend.plan.stable_names import STABLE_HEADERS
from mamba_build_backend.plan.types import EmbeddedArchive
from mamba_build_backend.probe import recording


def planned(machine=CU13, known=None, **settings):
    chosen, found = recording.load(
        FACTS / f"{machine}.json", {key.replace("_", "-"): value for key, value in settings.items()}
    )
    return plan.decide(chosen, found, known or tables.load_tables())


def with_rows(change):
    """The tables with each row of the projects changed."""
    known = tables.load_tables()
    return replace(known, versions=tuple(change(row) for row in known.versions))


def unported(name, but=()):
    """The tables, where no version of a project is ported to the stable ABI, ``but`` some."""
    return with_rows(
        lambda row: replace(row, project=replace(row.project, stable="")) if row.name == name and row.version not in but else row
    )  # fmt: skip


def with_partner(headers):
    """The plan of two trees that were changed together, where the second one includes these headers of torch too."""
    chosen, found = recording.load(FACTS / "fork.json", {})
    first, second = found.trees
    second = replace(second, headers=(*second.headers, *headers))
    return plan.decide(chosen, replace(found, trees=(first, second)), tables.load_tables())


def test_partner_that_needs_more_of_torch_ties_both_to_one_torch():
    assert [part.abi.value.name for part in with_partner(()).parts] == ["stable", "stable"]
    made = with_partner(["ATen/native/Resize.h"])
    assert [part.upstream.value.title for part in made.parts] == ["mamba-ssm 1.1.1", "causal-conv1d 1.1.1"]
    assert [part.abi.value.name for part in made.parts] == ["torch", "torch"]
    assert made.problems == ()
    assert [part.toolkit for part in made.parts] == [made.toolkit] * 2


def test_unported_partner_is_reported():
    (problem,) = planned("companion", unported("causal-conv1d")).problems
    assert (problem.code, problem.needed) == ("abi-upstream", "no causal-conv1d is ported")


def test_all_obstacles_to_a_stable_wheel_are_reported():
    chosen, found = recording.load(FACTS / "free-threaded.json", {})
    old = replace(found.torches[0], version="1.13.1+cu117")
    made = plan.decide(chosen, replace(found, torches=(old,)), tables.load_tables())
    assert made.abi.because == (
        "torch 1.13.1+cu117 is too old for a stable wheel; this Python is free-threaded (cp313t)"
    )
    asked = load_settings({"abi": "stable"}, {}, {})
    for installer, ways in (("pip", 3), ("conda", 2)):
        there = replace(found, torches=(replace(old, installer=installer),))
        (problem,) = [
            item for item in plan.decide(asked, there, tables.load_tables()).problems if item.code == "abi-torch"
        ]
        assert len(problem.fix) == ways
        assert any("pip install" in way for way in problem.fix) == (installer == "pip")


def test_message_about_a_companion_is_printed_once():
    made = planned("companion")
    assert (made.companion.notes, made.companion.warnings, made.companion.problems) == ((), (), ())


def test_unported_version_names_the_ported_versions():
    known = unported("mamba-ssm", but=("2.2.4", "2.3.0"))
    (problem,) = planned(known=known, upstream_version="1.2.2", abi="stable").problems
    assert (problem.code, problem.needed) == ("abi-upstream", "the first ported release is mamba-ssm 2.2.4")
    assert problem.fix == (
        "-C upstream-version=2.3.0",
        "-C abi=torch   (a wheel for the installed torch and Python)",
    )


@pytest.mark.parametrize(("torch_min", "python_min"), [("9.0", ""), ("", "3.99"), ("9.0", "3.99")])
def test_no_fitting_version_plans_the_oldest_with_its_needs(torch_min, python_min):
    known = with_rows(lambda row: replace(row, torch_min=torch_min, python_min=python_min, needs_why="its code is so"))
    made = planned(known=known)
    good = made.upstream.value.project.good
    assert (made.upstream.value.version, made.upstream.because) == (good[-1], "the oldest version known to work")
    needs = [
        f"needs {kind} {least}: its code is so"
        for kind, least in (("torch", torch_min), ("Python", python_min))
        if least
    ]
    assert [(item.what, item.why) for item in made.upstream.rejected] == [
        (f"mamba-ssm {version}", "; ".join(needs)) for version in good[:-1]
    ]
    told = [item for item in made.problems if item.code == "upstream-needs"]
    assert [item.needed for item in told] == ["it " + text.replace(": its", " or newer: its") for text in needs]
    # No version would do: what is left is another torch or Python.
    assert [item.fix for item in told] == [(f"use {text[6:].partition(':')[0]} or newer",) for text in needs]


def test_newest_version_for_the_python_is_named():
    (problem,) = planned(CU11, upstream="causal-conv1d", upstream_version="1.6.1").problems
    assert problem.code == "upstream-needs"
    assert problem.fix == (
        "-C upstream-version=1.5.0.post8   (the newest version that works with what is installed)",
        "use torch 2.4 or newer",
    )
    known = with_rows(lambda row: replace(row, python_min="3.99" if row.version == "2.3.0" else ""))
    (problem,) = planned(known=known, upstream_version="2.3.0").problems
    assert problem.fix[0].startswith("-C upstream-version=2.3.2.post1 ")


@pytest.mark.parametrize(
    ("settings", "pins", "because"),
    [
        ({"upstream": "self"}, (), "upstream's own requirements"),
        ({"upstream": "causal-conv1d"}, (), "known to work with causal-conv1d 1.6.2.post1 under any torch"),
    ],
)
def test_pins_are_known_versions(settings, pins, because):
    made = planned(**settings)
    assert made.pins.value == pins
    if settings["upstream"] == "self":
        assert (made.pins.because, made.partner.value, made.partner.because) == (
            because,
            "",
            "this project has no partner project",
        )


@pytest.mark.parametrize(
    ("machine", "settings", "standard", "new_abi", "setuptools"),
    [
        (CU13, {}, 17, True, True),
        (CU13, {"abi": "torch"}, 17, True, True),
        (CU11, {}, 17, False, True),
        (BARE, {"abi": "torch", "torch": "torch==2.6.*"}, 17, False, True),
        (BARE, {"abi": "torch", "torch": "torch==2.8.*"}, 17, True, True),
        (BARE, {"abi": "torch", "torch": "torch==2.1.*"}, 17, False, True),
    ],
)
def test_target_follows_its_torch(machine, settings, standard, new_abi, setuptools):
    made = planned(machine, **settings)
    row = next(
        row
        for row in tables.load_tables().torch
        if made.target.version.startswith(f"{row.version}.") or made.target.version == row.version
    )
    assert (made.target.cxx_standard, made.target.cxx11_abi) == (standard, new_abi)
    assert made.target.setuptools == row.setuptools


def test_reason_against_each_partner_is_kept():
    made = planned(CU11, upstream="mamba-ssm", upstream_version="2.3.2.post1")
    assert (made.partner.value, made.partner.because) == ("", "causal-conv1d >=1.5.1 needs torch 2.4")
    assert made.partner.rejected[0].what == "causal-conv1d 1.6.2.post1", "the newest of its time first"
    assert all(item.why.startswith("needs torch 2.4: ") for item in made.partner.rejected)
    assert planned().partner.rejected == ()


def test_another_partner_version_is_used_if_the_usual_one_does_not_fit_python():
    known = with_rows(
        lambda row: (
            replace(row, python_min="3.99", needs_why="of match") if row.title == "causal-conv1d 1.6.2.post1" else row
        )
    )
    made = planned(known=known)
    assert made.partner.value not in ("", "1.6.2.post1")
    assert made.partner.because == "mamba-ssm 2.3.2.post1 calls the binding of >=1.5.1"
    assert [(item.what, item.why) for item in made.partner.rejected] == [
        ("causal-conv1d 1.6.2.post1", "needs Python 3.99: of match")
    ]
    none = with_rows(lambda row: replace(row, python_min="3.99") if row.name == "causal-conv1d" else row)
    made = planned(known=none)
    assert (made.partner.value, made.partner.because) == ("", "causal-conv1d >=1.5.1 needs Python 3.99")
    (note,) = [note for note in made.notes if "no causal-conv1d works with" in note]
    assert "has a matching one" not in note, "no version has"
    old = with_rows(
        lambda row: (
            replace(row, python_min="3.99") if row.name == "causal-conv1d" and row.version != "1.5.0.post8" else row
        )
    )
    (note,) = [note for note in planned(known=old).notes if "no causal-conv1d works with" in note]
    assert note.endswith("; -C upstream-version=2.2.4 has a matching one")


def test_sysroot_names_its_origin():
    zig = planned("zig-installed").sysroot.value
    assert (zig.provider, zig.found_in, zig.glibc, zig.origin) == (
        "zig",
        planned("zig-installed").compiler.value.found_in,
        "2.17",
        "index",
    )
    host = planned("sysroot-host").sysroot.value
    assert (host.provider, host.path, host.found_in, host.glibc, host.origin) == (
        "host",
        "/",
        "this machine",
        "2.36",
        "system",
    )
    assert planned("musl").sysroot.because == "this machine has no glibc"


@pytest.mark.parametrize(
    ("abi", "glibc", "libgcc"), [("stable", "2.17", "4.8.0"), ("torch", "2.17", "4.8.0"), ("stable", "2.28", "7.0.0")]
)
def test_the_floor_has_the_symbol_versions_of_libgcc_too(abi, glibc, libgcc):
    floor = planned(abi=abi, glibc=glibc).floor
    assert (floor.glibc, floor.gcc) == (glibc, libgcc)


def together(machine, *wanted):
    _, found = recording.load(FACTS / f"{machine}.json", {})
    chosen = [
        load_settings({"upstream": name, **({"upstream-version": version} if version else {})}, {}, {})
        for name, version in wanted
    ]
    return plan.assemble.decide_together(chosen, found, tables.load_tables())


def test_unfitting_pair_is_reported_with_a_fitting_one():
    first, second = together(CU13, ("mamba-ssm", ""), ("causal-conv1d", "1.2.0"))
    assert not first.problems
    (problem,) = second.problems
    assert (problem.code, problem.found) == (
        "companion",
        "mamba-ssm 2.3.2.post1 and causal-conv1d 1.2.0 do not work together",
    )
    assert problem.needed == "mamba-ssm 2.3.2.post1 calls the binding of causal-conv1d >=1.5.1"
    assert problem.fix == (
        "python -m mamba_build_backend build mamba-ssm==2.3.2.post1 causal-conv1d   (the matching version)",
    )
    _, second = together(CU11, ("mamba-ssm", "2.3.2.post1"), ("causal-conv1d", "1.2.0"))
    assert problem.code in [item.code for item in second.problems]
    assert second.problems[-1].fix[0].startswith("python -m mamba_build_backend build mamba-ssm==2.2.4 causal-conv1d ")


def test_second_version_fits_the_first_or_is_the_newest():
    assert [item.upstream.value.version for item in together(CU13, ("mamba-ssm", "2.2.4"), ("causal-conv1d", ""))] == [
        "2.2.4",
        "1.5.0.post8",
    ]
    assert [item.upstream.value.version for item in together(CU13, ("causal-conv1d", "1.2.0"), ("mamba-ssm", ""))] == [
        "1.2.0",
        "2.3.2.post1",
    ]


def test_wheels_with_the_same_modules_are_reported():
    one, other = together(CU12, ("mamba-ssm", "2.2.4"), ("mamba-ssm", ""))
    (told,) = overwriting([one, other])
    assert told == (
        "mamba-ssm 2.2.4 and mamba-ssm 2.3.2.post1 both contain mamba_ssm, selective_scan_cuda. The one installed last overwrites the "
        "other's files, and pip does not warn. Use a separate environment for each"
    )
    assert not list(overwriting(together(CU12, ("mamba-ssm", ""), ("causal-conv1d", ""))))


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ({"environ": {"MAMBA_BUILD_SOURCE": "/home/u/repo/mamba"}}, "the environment"),
        ({"table": {"source": "/home/u/repo/mamba"}}, "pyproject.toml"),
    ],
)
def test_changed_tree_not_named_on_the_command_line_needs_consent(place, named):
    _, found = recording.load(FACTS / "fork.json", {})
    chosen = load_settings({}, place.get("environ", {}), place.get("table", {}))
    (problem,) = plan.decide(chosen, found, tables.load_tables()).problems
    assert problem.code == "source"
    assert problem.found.startswith(
        "source: /home/u/repo/mamba differs from every release; the most similar is mamba-ssm 1.1.1, changed: "
    )
    assert named in problem.needed
    assert problem.needed.endswith(" names it, and a source that is not upstream's needs your consent")
    assert problem.fix[0].startswith("python -m mamba_build_backend build /home/u/repo/mamba ")


def forked(**changes):
    """The row of a changed tree, and the release that it is most like."""
    chosen, found = recording.load(FACTS / "fork.json", {})
    there = replace(found.trees[0], **changes)
    made = plan.decide(chosen, replace(found, trees=(there, *found.trees[1:])), tables.load_tables())
    base = next(row for row in tables.load_tables().versions_of("mamba-ssm") if row.version == "1.1.1")
    return made.upstream.value, base, there


def test_changed_tree_keeps_the_rules_of_its_release():
    row, base, there = forked()
    assert (row.index_file, row.index_sha256, row.git_tag, row.git_commit, row.tree_sha256) == ("", "", "", "", ())
    assert (row.fork.is_whole, row.fork.sha256, row.fork.path) == (True, there.sha256, there.path)
    assert row.project.license == base.project.license != ""
    assert (row.project.packages, row.project.extensions) == (("mamba_ssm",), ("selective_scan_cuda",))
    assert row.project.compiled == sum(path.endswith((".cu", ".cpp")) for path, _ in there.files) > 5
    assert (row.transformers, row.partner) == (base.transformers, base.partner)


def test_renamed_tree_has_its_own_author_and_a_tree_without_packages_no_needs():
    row, _, _ = forked(name="vision-mamba")
    assert (row.name, row.project.license, row.fork.is_whole) == ("vision-mamba", "", False)
    row, base, _ = forked(packages=(), imports=())
    assert (row.transformers, row.partner, row.partner_fits) == ("", "", "")
    assert base.transformers
    assert base.partner


def test_binding_of_a_test_does_not_tie_the_wheel_to_one_torch():
    row, base, there = forked(headers=STABLE_HEADERS)
    assert row.stable == base.stable != ""
    row, _, _ = forked(files=(*there.files, ("tests/check.cpp", "0123456789")))
    assert row.stable


def beside(*packages, machine=CU13, **settings):
    """The plan if these packages are installed next to torch."""
    chosen, found = recording.load(
        FACTS / f"{machine}.json", {key.replace("_", "-"): value for key, value in settings.items()}
    )
    there = replace(found.torches[0], packages=tuple(Package(*package.split("==")) for package in packages))
    return plan.decide(chosen, replace(found, torches=(there, *found.torches[1:])), tables.load_tables())


def test_only_an_unfitting_partner_is_reported():
    assert not [note for note in beside("causal-conv1d==1.6.0", "triton==1.0").notes if "the binding of" in note]
    assert [note for note in beside("causal-conv1d==1.4.0").notes if "needs the binding of >=1.5.1" in note]


def test_owner_of_the_same_files_is_reported_once():
    (note,) = [note for note in beside("mamba-ssm==2.2.2", distribution_name="other").notes if "the same files" in note]
    assert note == (
        "mamba-ssm 2.2.2 is installed, and other contains the same files. Remove it before you install this wheel"
        "\npython -m pip uninstall -y mamba-ssm"
    )
    assert not [note for note in beside("mamba-ssm==2.2.2", machine="fork").notes if "the same files" in note], (
        "a fork's owners are found by module"
    )


def test_fork_has_the_requested_label_or_its_own():
    assert planned("fork", local_version="lab1").local_version == "lab1"
    made = planned("fork")
    assert made.local_version == f"fork{made.upstream.value.fork.sha256[:8]}"


def test_sdist_builds_its_own_source_by_default():
    made = planned("sdist")
    assert made.source.value == EmbeddedArchive(made.upstream.value.archive_name)
    made = planned("sdist", upstream_version="2.2.4")
    assert (made.upstream.value.version, made.source.value.commit) == ("2.2.4", made.upstream.value.git_commit)


def test_nvcc_newer_than_the_tables_compiles_for_each_new_generation():
    chosen, found = recording.load(FACTS / "newer-than-the-tables.json", {})
    (kit,) = found.toolkits
    known = ("75", "80", "86", "90", "100", "103", "110", "120", "121", "130", "133", "140")
    made = plan.decide(chosen, replace(found, toolkits=(replace(kit, archs=known),)), tables.load_tables())
    codes = made.gpu_code.value.codes
    assert [code for code in codes if code.isdigit() and int(code) > 120] == ["130", "140"]
    assert codes[-1] == "PTX"
    assert len(set(codes)) == len(codes)
