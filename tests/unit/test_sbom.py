"""The SBOM and the licences of a wheel: what it is made of, and nothing of where and when it was made."""

import getpass
import json
import re
import socket
import zipfile
from dataclasses import replace
from email.parser import HeaderParser
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from support import ROOT, ready

from mamba_build_backend import __version__, plan, tables
from mamba_build_backend.core import facts
from mamba_build_backend.core.files import sha256
from mamba_build_backend.core.work import BuildContext
from mamba_build_backend.probe import recording
from mamba_build_backend.source import locate, prepare
from mamba_build_backend.wheel import licenses, metadata, repair, sbom, third_party, write_record

DIGEST = {row.title: row.index_sha256 or row.git_commit for row in tables.load_tables().versions}
HEADERS = {"cccl": "3.0.1", "pybind11": "3.0.1"}


def made(machine="debian12-torch2.11-cuda13.0", move=("", ""), **config):
    """The plan for a recorded machine; ``move`` renames folders of it."""
    chosen, found = recording.load(ROOT / "tests" / "facts" / f"{machine}.json", config)
    text = json.dumps(facts.to_json(found))
    return plan.decide(
        chosen, facts.from_json(json.loads(text.replace(*move) if move[0] else text)), tables.load_tables()
    )


def own(**config):
    return made(**{"upstream": "self", **config})


def parts_of(plan_, folder, digest=None, verified=True):
    """The parts of a plan, each a tree with upstream's kind of licence files."""
    out = []
    for item in plan_.parts:
        row = item.upstream.value
        tree = folder / row.name
        tree.mkdir(parents=True)
        for name in ("AUTHORS", "LICENSE", "setup.py"):
            (tree / name).write_text(f"{name} of {row.name}\n")
        known = digest or ("self" if row.is_own else DIGEST[row.title])
        shop = BuildContext(folder, folder / "log", {}, lambda _line: None)
        out.append(prepare.Part(item, shop, tree, locate.Source(tree, known, verified), item.patches.value))
    return out


def pkg_info(plan_):
    row = plan_.upstream.value
    name = "tiny" if row.is_own else row.name
    return f"Metadata-Version: 2.4\nName: {name}\nVersion: {row.version or '1.0'}\nLicense-File: LICENSE\n\n"


def content(plan_, folder, infos=None, **source):
    """The files added to the wheel of a plan whose sources are in a folder."""
    made_ = parts_of(plan_, folder, **source)
    infos = infos or [pkg_info(part.plan) for part in made_]
    licences = licenses.licences(made_, infos)
    text = metadata.compose_metadata(plan_, infos, {}, tuple(licences))
    origins = prepare.origins(made_)
    told = write_record.record_of(ready(plan_), origins, "3.11.7")
    return repair.Content(text, licences, told, sbom.sbom(plan_, origins, text, HEADERS))


def staged(plan_, folder, **given):
    """The folder of the wheel, and its .dist-info."""
    stage = folder / "stage"
    raw = stage / "raw-1.dist-info"
    raw.mkdir(parents=True)
    (raw / "WHEEL").write_text("Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\n")
    repair.stage_wheel(ready(plan_), stage, content(plan_, folder / "sources", **given))
    (info,) = stage.glob("*.dist-info")
    return info


def written(info):
    return (info / "sboms" / "mamba-build-backend.cdx.json").read_bytes()


def component(document, ref):
    (found,) = [item for item in document["components"] if item["bom-ref"] == ref]
    return found


def refs(document):
    return {item["bom-ref"] for item in document["components"]}


def all_refs(value):
    """Every bom-ref of a document, however deep."""
    if isinstance(value, dict):
        yield from (item for key, item in value.items() if key == "bom-ref")
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from all_refs(item)


PLANS = {
    "plain": lambda: made(abi="torch"),
    "companion": lambda: made(**{"with-causal-conv1d": "true"}),
    "patched": lambda: made("cuda13-mamba-2.2.4"),
    "drop-in": lambda: made(**{"distribution-name": "mamba-ssm", "local-version": "auto"}),
    "stable": lambda: made(abi="stable"),
    "own": own,
    "own-stable": lambda: own(abi="stable"),
    "editable": lambda: made(repair="false"),
}


@pytest.mark.parametrize("name", PLANS)
def test_sbom_is_whole_and_its_references_resolve(name, tmp_path):
    document = json.loads(written(staged(PLANS[name](), tmp_path)))
    assert document["bomFormat"] == "CycloneDX"
    assert document["specVersion"] == "1.6"
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", document["serialNumber"])
    known = list(all_refs(document))
    assert len(known) == len(set(known))
    for item in document["dependencies"]:
        assert {item["ref"], *item.get("dependsOn", ())} <= set(known)
    assert set(document["dependencies"][0]["dependsOn"]) == refs(document)
    for item in document["components"]:
        assert item["type"] == "library"
        assert item["name"]
        assert item["version"]
        assert item["licenses"][0]["expression"]
        for digest in item.get("hashes", []):
            assert re.fullmatch(r"[0-9a-f]{64}", digest["content"])
    assert [item["name"] for item in document["formulation"][0]["components"]][:2] == ["nvcc", "g++"]


@pytest.mark.parametrize("name", PLANS)
def test_sbom_is_valid_by_the_schema_of_cyclonedx(name, tmp_path):
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    text = written(staged(PLANS[name](), tmp_path)).decode()
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"required"', '"needed"')) is not None


def test_sbom_names_wheel_source_and_compiled_parts(tmp_path):
    document = json.loads(written(staged(made(abi="torch"), tmp_path)))
    wheel = document["metadata"]["component"]
    assert wheel["purl"] == "pkg:pypi/mamba-ssm@2.3.2.post1"
    assert wheel["licenses"] == [{"expression": "Apache-2.0 AND BSD-3-Clause"}]
    (source,) = component(document, "upstream/mamba-ssm")["pedigree"]["ancestors"]
    assert source["purl"] == "pkg:pypi/mamba-ssm@2.3.2.post1?file_name=mamba_ssm-2.3.2.post1.tar.gz"
    assert source["hashes"] == [{"alg": "SHA-256", "content": DIGEST["mamba-ssm 2.3.2.post1"]}]
    assert source["licenses"] == [{"expression": "Apache-2.0"}]
    found = {item["bom-ref"]: item["version"] for item in document["components"]}
    assert found == {
        "upstream/mamba-ssm": "2.3.2.post1",
        "compiled-in/mamba-build-backend": __version__,
        "compiled-in/cccl": "3.0.1",
        "compiled-in/torch": "2.11.0+cu130",
        "compiled-in/pybind11": "3.0.1",
        "compiled-in/cuda-toolkit": "13.0",
        "compiled-in/libstdc++": "12.2.0",
        "runtime/torch": "2.11.0+cu130",
        "runtime/cuda": "13.0",
    }
    assert component(document, "compiled-in/libstdc++")["licenses"] == [
        {"expression": "GPL-3.0-or-later WITH GCC-exception-3.1"}
    ]
    outside = [item["bom-ref"] for item in document["components"] if item["properties"][0]["value"] == "false"]
    assert outside == ["runtime/torch", "runtime/cuda"]
    assert component(document, "runtime/torch")["purl"] == "pkg:pypi/torch@2.11.0%2Bcu130"


def test_sbom_has_the_toolchain_in_its_formulation(tmp_path):
    zig = plan.Choice(facts.Sysroot(facts.SysrootProvider.ZIG, "/home/u/zig", "the cache"), "test")
    (formula,) = json.loads(written(staged(replace(made(), sysroot=zig), tmp_path)))["formulation"]
    assert [(item["type"], item["name"], item["version"]) for item in formula["components"]] == [
        ("application", "nvcc", "13.0"),
        ("application", "g++", "12.2.0"),
        ("library", "glibc", "2.17"),
    ]
    assert formula["components"][2]["description"].endswith("from zig")
    tool = json.loads(written(staged(made("conda-sysroot"), tmp_path / "conda")))["formulation"][0]["components"][2]
    assert tool["version"] == made("conda-sysroot").sysroot.value.glibc


def test_a_patched_source_has_the_released_one_as_ancestor_and_each_patch_with_its_hash(tmp_path):
    document = json.loads(written(staged(made("cuda13-mamba-2.2.4"), tmp_path)))
    source = component(document, "upstream/mamba-ssm")
    assert "hashes" not in source, "they are those of what was released"
    (ancestor,) = source["pedigree"]["ancestors"]
    assert ancestor["purl"].startswith("pkg:github/state-spaces/mamba@")
    assert source["purl"] == ancestor["purl"]
    patch, fix, *_ = source["pedigree"]["patches"]
    file = "mamba-ssm/0002-cub-3-before-2.2.6.patch"
    assert patch["diff"]["url"] == f"patches/{file}"
    assert patch["resolves"][0]["description"].startswith("CUDA 13's CUB 3")
    assert fix["resolves"][0]["description"].startswith("the backward scan of complex numbers")
    reference, *_ = source["externalReferences"]
    assert reference["url"] == patch["diff"]["url"]
    assert reference["hashes"] == [{"alg": "SHA-256", "content": sha256(ROOT / "patches" / file)}]


def test_sbom_does_not_call_a_fork_a_release(tmp_path):
    document = json.loads(written(staged(made(), tmp_path, digest="f" * 64, verified=False)))
    source = component(document, "upstream/mamba-ssm")
    assert "purl" not in source
    assert "hashes" not in source
    assert "f" * 64 in source["pedigree"]["notes"]
    assert source["pedigree"]["ancestors"][0]["hashes"]


def test_a_companion_is_a_second_source(tmp_path):
    document = json.loads(written(staged(made(**{"with-causal-conv1d": "true"}), tmp_path)))
    assert component(document, "upstream/causal-conv1d")["licenses"] == [{"expression": "BSD-3-Clause"}]
    assert component(document, "upstream/causal-conv1d")["pedigree"]["ancestors"][0]["hashes"]


def test_sbom_of_a_stable_wheel_has_our_headers(tmp_path):
    document = json.loads(written(staged(made(abi="stable"), tmp_path)))
    assert "headers in place of torch's" in component(document, "compiled-in/mamba-build-backend")["description"]
    assert "compiled-in/pybind11" not in refs(document)
    assert "torch>=2.0" in component(document, "runtime/torch")["description"]
    runtime = component(document, "compiled-in/cuda-runtime")
    assert (runtime["version"], runtime["properties"][0]["value"]) == ("13.0", "true")
    assert not {"compiled-in/torch", "runtime/cuda"} & refs(document)


def test_sbom_of_an_own_project_holds_only_known_facts(tmp_path):
    document = json.loads(written(staged(own(), tmp_path)))
    assert document["metadata"]["component"]["purl"] == "pkg:pypi/tiny@1.0"
    assert refs(document) == {
        "compiled-in/torch",
        "compiled-in/cuda-toolkit",
        "compiled-in/libstdc++",
        "runtime/torch",
        "runtime/cuda",
    }
    assert document["compositions"] == [{"aggregate": "incomplete", "assemblies": ["wheel"]}]
    with_headers = json.loads(written(staged(own(abi="stable"), tmp_path / "stable")))
    assert refs(with_headers) - refs(document) == {"compiled-in/mamba-build-backend", "compiled-in/cuda-runtime"}


def test_sbom_is_reproducible_and_holds_no_path(tmp_path, monkeypatch):
    here = written(staged(made(), tmp_path / "one"))
    monkeypatch.setenv("HOME", "/srv/someone")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    moved = made(move=("/home/u", "/srv/someone/else"))
    assert "/srv/someone/else" in json.dumps(facts.to_json(moved))
    assert written(staged(moved, tmp_path / "two")) == here
    text = here.decode()
    for word in ("/home", "/srv", "/usr", str(tmp_path), str(Path.home()), socket.gethostname(), "timestamp"):
        assert word not in text
    assert not re.search(rf"\b{re.escape(getpass.getuser())}\b", text)


def test_editable_wheel_has_an_sbom(tmp_path):
    item = made(repair="false")
    machine = recording.load(ROOT / "tests" / "facts" / "debian12-torch2.11-cuda13.0.json", {})[1].machine
    shop = BuildContext(tmp_path, tmp_path / "log", {}, lambda _line: None)
    wheel = repair.editable_wheel([tmp_path], content(item, tmp_path / "sources"), machine, shop)
    with zipfile.ZipFile(wheel) as archive:
        document = json.loads(archive.read("mamba_ssm-2.3.2.post1.dist-info/sboms/mamba-build-backend.cdx.json"))
    gcc = component(document, "compiled-in/libstdc++")
    assert "libstdc++.a" not in gcc["description"], "it is linked with this machine's own library"


def test_versions_are_read_from_the_headers_of_every_layout(tmp_path):
    for include, number in (("include", "101500"), ("include/cccl", "300102")):
        header = tmp_path / include / "cub" / "version.cuh"
        header.parent.mkdir(parents=True)
        header.write_text(f"// CUB_VERSION\n#define CUB_VERSION {number} // a single value\n")
        newest = "3.1.2" if "cccl" in include else "1.15.0"
        assert sbom.header_versions(tmp_path, tmp_path) == {"cccl": newest}
    common = tmp_path / "torch/include/pybind11/detail/common.h"
    common.parent.mkdir(parents=True)
    numbers = (("MAJOR", "2"), ("MINOR", "13"), ("PATCH", "6"))
    common.write_text("".join(f"#define PYBIND11_VERSION_{name} {number}\n" for name, number in numbers))
    assert sbom.header_versions(tmp_path / "none", tmp_path) == {"pybind11": "2.13.6"}


@pytest.mark.parametrize(
    ("config", "expression", "notices"),
    [
        ({"abi": "torch"}, "Apache-2.0 AND BSD-3-Clause", {"cccl", "mamba-build-backend", "pybind11", "torch"}),
        ({}, "Apache-2.0 AND BSD-3-Clause", {"cccl", "mamba-build-backend"}),
        (
            {"upstream": "causal-conv1d", "abi": "torch"},
            "BSD-3-Clause AND Apache-2.0",
            {"cccl", "mamba-build-backend", "pybind11", "torch"},
        ),
    ],
)
def test_notices_travel_and_the_metadata_name_every_one(config, expression, notices, tmp_path):
    info = staged(made(**config), tmp_path)
    head = HeaderParser().parsestr((info / "METADATA").read_text())
    assert head["License-Expression"] == expression
    names = head.get_all("License-File")
    assert {name.partition("/")[0] for name in names if "/" in name} == notices
    assert {
        path.relative_to(info / "licenses").as_posix() for path in (info / "licenses").rglob("*") if path.is_file()
    } == set(names)
    assert (info / "licenses/cccl/LICENSE").read_text().startswith("CUB's source code")


def test_a_wheel_with_its_companion_holds_the_licences_of_both(tmp_path):
    info = staged(made(**{"with-causal-conv1d": "true"}), tmp_path)
    assert (info / "licenses/LICENSE").read_text() == "LICENSE of mamba-ssm\n"
    assert (info / "licenses/causal-conv1d/LICENSE").read_text() == "LICENSE of causal-conv1d\n"
    assert (info / "licenses/causal-conv1d/AUTHORS").is_file()


def test_each_material_has_its_licence_notice():
    assert (third_party.NOTICES / "mamba-build-backend.txt").read_bytes() == (ROOT / "LICENSE").read_bytes()
    for name in ("plain", "companion", "stable"):
        for path in third_party.notices(PLANS[name]()).values():
            assert "Redistribution" in path.read_text()


def test_own_project_names_its_licences(tmp_path):
    (made_,) = parts_of(own(abi="stable"), tmp_path)
    (made_.tree / "vendor").mkdir()
    (made_.tree / "vendor" / "MIT.txt").write_text("MIT\n")
    (tmp_path / "secret").write_text("no licence\n")
    says = pkg_info(made_.plan).replace(
        "License-File: LICENSE\n",
        "License: MIT\nClassifier: License :: OSI Approved :: MIT License\n"
        "License-File: vendor/MIT.txt\nLicense-File: ../secret\nLicense-File: gone\n",
    )
    found = licenses.licences([made_], [says])
    assert list(found) == ["AUTHORS", "LICENSE", "vendor/MIT.txt"]
    lines = metadata.compose_metadata(made_.plan, [says], {}, tuple(found)).splitlines()
    assert "License: MIT" in lines
    assert "Classifier: License :: OSI Approved :: MIT License" in lines
    spdx = says.replace("License: MIT\n", "License-Expression: MIT\n")
    lines = metadata.compose_metadata(made_.plan, [spdx], {}, tuple(found)).splitlines()
    assert [line for line in lines if line.startswith(("License:", "License-Expression", "Classifier"))] == [
        "License-Expression: MIT"
    ]
