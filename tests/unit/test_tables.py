"""Tables: every row has its source, and what contradicts itself is refused on load."""

import re
import shutil
from pathlib import Path

import pytest

from mamba_build_backend import tables
from mamba_build_backend.core import facts
from mamba_build_backend.core._compat import specifiers, tomllib, version
from mamba_build_backend.core.projects import PROJECTS, read_projects
from mamba_build_backend.plan.torch_builds import Build, install_torch
from mamba_build_backend.probe.torch import NEIGHBOURS
from mamba_build_backend.tables.projects import load_projects

FOLDER = Path(tables.__file__).parent
LOADED = tables.load_tables()


def rows(name):
    data = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    return [row for value in data.values() if isinstance(value, list) for row in value]


@pytest.mark.parametrize("name", ["cuda", "torch", "distributions", "failures"])
def test_every_row_names_its_source(name):
    assert rows(name)
    for row in rows(name):
        sources = [value for key, value in row.items() if key.endswith("source") or key == "reported"]
        assert sources
        for source in sources:
            assert source not in ("", [], "x", "?")


def test_tables_cover_the_promised_versions():
    assert (LOADED.cuda[0].version, LOADED.cuda[-1].version) == ("11.6", "13.5")
    assert (LOADED.torch[0].version, LOADED.torch[-1].version) == ("1.13", "2.15")
    known = {(row.name, row.version) for row in LOADED.versions}
    assert {
        ("mamba-ssm", "1.0.1"),
        ("mamba-ssm", "2.3.2.post1"),
        ("causal-conv1d", "1.0.2"),
        ("causal-conv1d", "1.7.0"),
    } <= known
    assert len(known) >= 60


@pytest.mark.parametrize("row", LOADED.cuda, ids=lambda row: row.version)
def test_the_sass_of_a_release_covers_every_gpu_of_a_desk_or_a_server(row):
    codes = {code for item in row.front_ends for code in item.codes if code != "PTX"}
    oldest = min(int(code) for code in codes)
    for arch in row.archs:
        if arch in row.jetson or int(arch) < oldest:
            continue
        assert any(code[:-1] == arch[:-1] and int(code[-1]) <= int(arch[-1]) for code in codes), arch
    assert "PTX" in row.front_ends[-1].codes
    assert oldest in (60, 75)


@pytest.mark.parametrize("row", LOADED.cuda, ids=lambda row: row.version)
def test_install_commands_name_exactly_their_release(row):
    assert row.version in row.conda or (not row.conda and version.Version(row.version) >= version.Version("13.4"))
    assert row.apt == "cuda-toolkit-" + row.version.replace(".", "-")


@pytest.mark.parametrize("row", LOADED.torch, ids=lambda row: row.version)
def test_torch_rows_name_known_cuda_versions(row):
    assert set(row.builds) <= {cuda.version for cuda in LOADED.cuda}
    assert all(re.fullmatch(r"3\.\d+", python) for python in row.python)


def test_torch_requirement_names_its_cuda_if_pypi_has_another():
    machine = facts.Machine("Linux", "x86_64", "glibc", "2.35", 4, 1, "3.11.2", "cp311", "/venv")
    (row,) = [row for row in LOADED.torch if row.version == "2.11"]
    for cuda, told in (
        ("13.0", "python -m pip install --force-reinstall 'torch==2.11.0'"),
        ("12.8", "uv pip install --reinstall 'torch==2.11.0' --torch-backend=cu128"),
    ):
        assert install_torch("2.11.0", Build(row, cuda), None, facts.Facts(machine)) == told


@pytest.mark.parametrize("row", [row for row in LOADED.versions if row.partner], ids=lambda row: row.version)
def test_mamba_has_a_known_fitting_causal_conv1d(row):
    known = {item.version for item in LOADED.versions if item.name == "causal-conv1d"}
    assert row.partner in known
    assert specifiers.SpecifierSet(row.partner_fits).contains(row.partner, prereleases=True)


def test_version_comes_from_pypi_or_from_its_tag():
    for row in LOADED.versions:
        whole = version.Version("2.2.5" if row.name == "mamba-ssm" else "1.5.2")
        assert bool(row.index_sha256) or row.git_commit
        if row.index_sha256:
            assert version.Version(row.version) >= whole
            assert row.index_file == f"{row.name.replace('-', '_')}-{row.version}.tar.gz"


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("cuda", "gcc-max = ", "gcc-maximum = ", "has no 'gcc-max'"),
        ("cuda", "driver-source = ", "driver-sauce = ", "has no 'driver-source'"),
        ("cuda", 'version = "11.7"', 'version = "11.5"', "out of order"),
        ("cuda", '["70", ["70"]]', '["70", ["71"]]', "contradicts itself"),
        ("torch", 'builds = ["11.6", "11.7"]', 'builds = ["11.6"]', "is not among its builds"),
        ("torch", "numpy-source = ", "numpy-sauce = ", "has no 'numpy-source'"),
        ("torch", 'numpy = "<2"', 'numpy = "before 2"', "Invalid specifier"),
        ("torch", 'torch = "<2.5"', 'torch = "before 2.5"', "Invalid specifier"),
        ("distributions", "install = ", "instal = ", "has no 'install'"),
    ],
)
def test_a_table_with_a_mistake_is_refused(tmp_path, monkeypatch, name, old, new, told):
    for path in FOLDER.glob("*.toml"):
        (tmp_path / path.name).write_text(path.read_text())
    text = (FOLDER / f"{name}.toml").read_text()
    assert old in text
    (tmp_path / f"{name}.toml").write_text(text.replace(old, new, 1))
    monkeypatch.setattr(tables, "HERE", tmp_path)
    with pytest.raises(ValueError, match=re.escape(told)):
        tables.load_tables.__wrapped__()


MAMBA = "mamba-ssm"


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("versions", 'git-commit = "', 'git-commit = "12', "not a commit"),
        ("versions", 'index-sha256 = "', 'index-sha256 = "12', "not a sha256"),
        ("versions", "git-tag = ", "git-tags = ", "unknown field 'git-tags'"),
        ("versions", "cuda-min = ", 'torch-min = "2.4"\ncuda-min = ', "has no 'needs-why'"),
        ("versions", "partner-fits = ", "partner-fits-source = ", "needs 'partner-fits'"),
        ("versions", 'partner = "1.0.2"', 'partner = "0.1"', "causal-conv1d 0.1 has no row"),
        ("versions", 'version = "1.1.0"', 'version = "3.1.0"', "out of order"),
        ("versions", "\nsource = ", "\nsauce = ", "has no 'source', unknown field 'sauce'"),
        ("project", 'good = ["2.3.2.post1"', 'good = ["9.9"', "9.9 has no row"),
        ("project", "packages = ", "modules = ", "unknown field 'modules'"),
        ("project", "license-source = ", "licence-source = ", "has no 'license-source'"),
        ("project", "environment-source = ", "sauce-source = ", "has no 'environment-source'"),
        ("project", 'license = "Apache-2.0"', 'license = ""', "has no 'license'"),
        ("project", 'header = "', 'heading = "', "has no 'header', unknown field 'heading'"),
        ("project", "compiled = 11", 'compiled = "11"', "is not of type int"),
        ("project", 'stable = ">=', 'stable = "from ', "Invalid specifier"),
    ],
)
def test_a_project_with_a_mistake_is_refused(tmp_path, name, old, new, complaint):
    read_projects.cache_clear()  # pytest may give two cases one folder, one after the other
    shutil.copytree(PROJECTS, tmp_path / "projects")
    path = tmp_path / "projects" / MAMBA / f"{name}.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=re.escape(complaint)):
        load_projects(tmp_path / "projects")


def test_text_table_loads_as_pairs_without_sources():
    (mamba, causal) = LOADED.projects
    assert mamba.environment[0] == ("MAMBA_FORCE_BUILD", "TRUE")
    assert dict(mamba.extras)["mamba3"][0] == "tilelang"
    assert (mamba.partner.name, causal.partner) == ("causal-conv1d", None)
    assert {row.project for row in LOADED.versions} == {mamba, causal}


def test_bundled_materials_name_their_licence_and_source():
    for project in LOADED.projects:
        assert [item.name for item in project.third_party] == ["cccl"]
    data = {name: tomllib.loads((PROJECTS / name / "project.toml").read_text()) for name in read_projects()}
    assert all(item["source"] for project in data.values() for item in project["third-party"])


def test_each_bad_neighbour_of_torch_is_probed():
    assert {row.package for row in LOADED.bad_neighbours} <= set(NEIGHBOURS)
