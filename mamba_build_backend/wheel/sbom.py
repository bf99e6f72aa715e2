"""Write the wheel's SBOM in CycloneDX, in the folder of PEP 770: ``.dist-info/sboms``.

auditwheel writes such a file for libraries that it copies into a wheel; our wheels never contain such libraries. We use
version 1.6, because auditwheel's 1.4 cannot describe build tools (``formulation``). As in auditwheel's file, the
components are one flat list, because scanners ignore nested ones. The list includes torch and the CUDA runtime. In
CycloneDX the scope ``excluded`` means that a program does *not* need a component at run time, so they are ``required``
like all others, and a property marks components outside the wheel (``isExternal`` of 1.7 would).

The text depends only on the plan and the sources: no time, no path, no random number.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from .._version import __version__
from ..core._compat import utils
from ..core.facts import SysrootProvider
from ..core.paths import read_text
from ..plan import BuildPlan
from ..tables import ProjectVersion, ThirdParty, load_tables
from .third_party import materials

FILE_NAME = "mamba-build-backend.cdx.json"
SPEC = "1.6"

Component = dict[str, Any]


def sbom(
    plan: BuildPlan, origins: Sequence[Mapping[str, Any]], metadata: str, headers: Mapping[str, str]
) -> dict[str, Any]:
    """Return the document for a wheel with these ``metadata``.

    ``origins`` has the origin of each part's source (:func:`~mamba_build_backend.source.prepare.origins`), ``headers``
    the versions of some materials (:func:`header_versions`).
    """
    head = HeaderParser().parsestr(metadata)
    name, version = str(head["Name"]), str(head["Version"])
    wheel = _component("wheel", name, version, str(head["License-Expression"] or ""), purl=_pypi(name, version))
    rows = [part.upstream.value for part in plan.parts]
    versions = {**headers, **_versions(plan), "mamba-build-backend": __version__}
    inside = [_upstream(plan_, origin) for plan_, origin in zip(plan.parts, origins) if not plan_.upstream.value.is_own]
    inside += [_compiled_in(item, versions.get(item.name, "")) for item in materials(plan)]
    parts = [
        *(_placed(item, inside=True) for item in inside),
        *(_placed(item, inside=False) for item in _runtime(plan)),
    ]
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "tools": {
                "components": [{"type": "application", "name": "mamba-build-backend", "version": __version__}],
            },
            "component": wheel,
        },
        "components": parts,
        "dependencies": [
            {"ref": wheel["bom-ref"], "dependsOn": [item["bom-ref"] for item in parts]},
            *({"ref": item["bom-ref"]} for item in parts),
        ],
        "formulation": [{"bom-ref": "build", "components": _toolchain(plan)}],
    }
    if rows[0].is_own:
        # We do not know which other parts the project's sources include.
        document["compositions"] = [{"aggregate": "incomplete", "assemblies": [wheel["bom-ref"]]}]
    # Derive the number from the content: a random one would make builds irreproducible.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return {**document, "serialNumber": f"urn:uuid:{serial}"}


def text(document: Mapping[str, Any]) -> str:
    """Return the text of the document."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def header_versions(cuda_home: Path, torch_site: Path | None) -> dict[str, str]:
    """Return the versions of CUB and pybind11 from their headers; omits missing ones.

    pybind11 comes with torch; ``torch_site`` is None without torch.
    """
    found = {}
    for include in ("include/cccl", "include"):
        number = _defined(cuda_home / include / "cub" / "version.cuh", "CUB_VERSION")
        if number.isdigit() and "cccl" not in found:
            whole = int(number)
            found["cccl"] = f"{whole // 100000}.{whole // 100 % 1000}.{whole % 100}"
    if torch_site is None:
        return found
    common = torch_site / "torch" / "include" / "pybind11" / "detail" / "common.h"
    numbers = [_defined(common, f"PYBIND11_VERSION_{part}") for part in ("MAJOR", "MINOR", "PATCH")]
    if all(numbers):
        found["pybind11"] = ".".join(numbers)
    return found


def _defined(header: Path, macro: str) -> str:
    try:
        content = read_text(header, errors="replace")
    except OSError:
        return ""
    match = re.search(rf"^#\s*define\s+{macro}\s+([\w.]+)", content, re.MULTILINE)
    return match[1] if match else ""


def _versions(plan: BuildPlan) -> dict[str, str]:
    torch, compiler = plan.torch.value, plan.compiler.value
    return {
        "torch": torch.version if torch else plan.target.version,
        "cuda-toolkit": plan.cuda,
        "cuda-runtime": plan.cuda,
        "libstdc++": compiler.version if compiler else "",
        "libc++": f"zig {compiler.version}" if compiler else "",
    }


def _component(
    ref: str, name: str, version: str, license_: str, what: str = "", purl: str = "", kind: str = "library"
) -> Component:
    made: Component = {"type": kind, "bom-ref": ref, "name": name}
    optional = {"version": version, "description": what, "purl": purl}
    made.update({key: value for key, value in optional.items() if value})
    if license_:
        made["licenses"] = [{"expression": license_}]
    return made


def _placed(component: Component, *, inside: bool) -> Component:
    place = {"name": "mamba-build-backend:in-wheel", "value": "true" if inside else "false"}
    return {**component, "scope": "required", "properties": [place]}


def _upstream(plan: BuildPlan, origin: Mapping[str, Any]) -> Component:
    """Return the component for the compiled source; if it is not a release, the release is its ancestor."""
    row = plan.upstream.value
    released = _released(_ancestor(row), str(origin["sha256"]))
    hashes: Mapping[str, str] = origin["patches_sha256"]
    if origin["verified"] and not hashes:
        return released
    # Scanners should look up a patched source as the release; a fork may be anything.
    purl = released["purl"] if origin["verified"] else ""
    made = _component(
        released["bom-ref"], row.name, row.version, row.project.license, "upstream's source, changed", purl
    )
    pedigree: dict[str, Any] = {"ancestors": [{**released, "bom-ref": f"{released['bom-ref']}/as-released"}]}
    if not origin["verified"]:
        pedigree["notes"] = f"Not as released: the content of the source has the SHA-256 {origin['sha256']}."
    if hashes:
        why = {item.file: item.why for item in plan.patches.value}
        pedigree["patches"] = [
            {
                "type": "unofficial",
                "diff": {"url": f"patches/{file}"},
                "resolves": [{"type": "defect", "description": why[file]}],
            }
            for file in hashes
        ]
        # CycloneDX's patch type has no hash.
        made["externalReferences"] = [
            {"type": "other", "comment": "applied patch", "url": f"patches/{file}", "hashes": [_sha256(digest)]}
            for file, digest in hashes.items()
        ]
    return {**made, "pedigree": pedigree}


def _ancestor(row: ProjectVersion) -> ProjectVersion:
    """Return the release that a fork is most like; the row itself if it is not a fork."""
    if row.fork is None:
        return row
    known = load_tables().versions_of(row.fork.project)
    return next(item for item in known if item.version == row.fork.release)


def _released(row: ProjectVersion, digest: str) -> Component:
    ref = f"upstream/{row.name}"
    if digest == row.git_commit or not row.index_sha256:
        path = urlsplit(row.project.repository).path.strip("/").lower()
        purl = f"pkg:github/{path}@{row.git_commit}"
        return _component(
            ref, row.name, row.version, row.project.license, f"upstream's source, tag {row.git_tag}", purl
        )
    purl = f"{_pypi(row.name, row.version)}?file_name={quote(row.archive_name, safe='')}"
    made = _component(ref, row.name, row.version, row.project.license, "upstream's source archive", purl)
    return {**made, "hashes": [_sha256(row.index_sha256)]}


def _compiled_in(item: ThirdParty, version: str) -> Component:
    inside = {"torch": "torch/include", "pybind11": "torch/include/pybind11"}.get(item.name)
    # A scanner finds the same entry as for torch itself; the path marks these as torch's headers.
    purl = f"{_pypi('torch', version)}#{inside}" if item.name == "torch" else ""
    return _component(f"compiled-in/{item.name}", item.name, version, item.license, f"compiled in: {item.what}", purl)


def _runtime(plan: BuildPlan) -> list[Component]:
    """Return the components that the wheel needs but does not contain."""
    version = _versions(plan)["torch"]
    asked = f"not in the wheel, which requires {plan.torch_requirement or 'torch'}"
    torch = _component("runtime/torch", "torch", version, "BSD-3-Clause", asked, _pypi("torch", version))
    if plan.abi.value.is_stable:
        return [torch]
    what = "not in the wheel: the libcudart that torch installs"
    return [torch, _component("runtime/cuda", "cuda-runtime", plan.target.cuda, "LicenseRef-NVIDIA-Proprietary", what)]


def _toolchain(plan: BuildPlan) -> list[Component]:
    toolkit, compiler, sysroot = plan.toolkit.value, plan.compiler.value, plan.sysroot.value
    found = []
    if toolkit:
        found.append(_component("toolchain/nvcc", "nvcc", toolkit.version, "", kind="application"))
    if compiler:
        target = f"for {compiler.target}" if compiler.target else ""
        name = compiler.title.partition(" ")[0]
        found.append(_component(f"toolchain/{name}", name, compiler.version, "", target, kind="application"))
    if plan.portable and sysroot:
        # zig's sysroot supports any glibc, and is made for the promised one.
        glibc = plan.floor.glibc if sysroot.provider is SysrootProvider.ZIG else sysroot.glibc
        what = f"headers, link stubs and start files, from {sysroot.provider}"
        found.append(_component("toolchain/glibc", "glibc", glibc, "", what))
    return found


def _pypi(name: str, version: str) -> str:
    return f"pkg:pypi/{utils.canonicalize_name(name)}@{quote(version, safe='')}"


def _sha256(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}
