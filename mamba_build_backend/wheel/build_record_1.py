"""Schema 1 of the build record, in wheels of backend 0.1.0: a dump of the plan of that time. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..symbols.floors import EffectiveFloor
from ..tables import Floor, is_version
from . import build_record as now


def read(data: Mapping[str, Any]) -> now.BuildRecord:
    """Convert the record to the current schema.

    Raises KeyError, TypeError, ValueError or AttributeError if fields are missing that the audit needs. Other fields
    may be missing, as in records of early builds, and are then empty.
    """
    plan = data["plan"]
    target, torch, abi = _part(plan, "target"), _chosen(plan, "torch"), _chosen(plan, "abi")
    toolkit, compiler, sysroot = _chosen(plan, "toolkit"), _chosen(plan, "compiler"), _chosen(plan, "sysroot")
    floor = data["floor"]
    upstream, *companions = _sources(data, plan)
    measured = {field: torch[field] for field in ("glibc", "glibcxx", "cxxabi") if is_version(torch.get(field) or "")}
    return now.BuildRecord(
        backend=_text(data, "backend"),
        python=_text(data, "python"),
        abi=_text(abi, "name") or "torch",
        repaired=bool(plan.get("repair", True)),
        portable=bool(plan.get("portable", True)),
        stripped=bool(plan.get("strip", True)),
        upstream=upstream,
        companions=tuple(companions),
        torch=now.TorchRecord(
            version=_text(torch, "version") or _text(target, "version"),
            cuda=_text(torch, "cuda") or _text(target, "cuda"),
            cxx11_abi=torch.get("cxx11_abi", target.get("cxx11_abi")),
            cxx_standard=int(target.get("cxx_standard") or 17),
            requirement=f"torch>={abi['torch_min']}" if abi.get("torch_min") else _text(target, "requirement"),
            origin="",
            **measured,
        ),
        toolkit=now.ToolkitRecord(_text(toolkit, "version"), _text(toolkit, "layout")),
        compiler=now.CompilerRecord(_text(compiler, "kind"), _text(compiler, "version"), _text(compiler, "target")),
        sysroot=now.SysrootRecord(_text(sysroot, "provider"), _text(sysroot, "glibc")),
        gpu_code=_gpu_code(plan),
        flags=now.FlagsRecord(*(tuple(_part(data, "flags").get(name) or ()) for name in ("nvcc", "cxx"))),
        variables=(),
        cleaned=tuple(plan.get("environment") or ()),
        floor=now.FloorRecord(
            Floor(**floor["promised"]),
            Floor(**(floor.get("measured") or {})),
            now.loaded(EffectiveFloor, floor["effective"], "floor.effective") if floor.get("effective") else None,
        ),
        pins=tuple(_part(plan, "pins").get("value") or ()),
        partner=str(_part(plan, "partner").get("value") or ""),
    )


def _sources(data: Mapping[str, Any], plan: Mapping[str, Any]) -> list[now.SourceRecord]:
    """Return the main project and its companions; the plan of a companion is inside the main plan."""
    plans = [plan, *([plan["companion"]] if plan.get("companion") else [])]
    found = [data.get("upstream"), *(data.get("companions") or ())]
    sources = []
    for index, part in enumerate(plans):
        row = part["upstream"]["value"]
        row, origin = {**row, **row.get("project", {})}, (found[index] if index < len(found) else None) or {}
        hashes = origin.get("patches_sha256") or {}
        kind = str(_part(part, "source").get("value") or "")
        sources.append(
            now.SourceRecord(
                name=_text(row, "name"),
                version=_text(row, "version"),
                origin="path" if "/" in kind else kind,
                sha256=_text(origin, "sha256"),
                verified=bool(origin.get("verified", True)),
                patches=tuple(
                    now.PatchRecord(str(file), str(hashes.get(file, ""))) for file in origin.get("patches") or ()
                ),
                packages=tuple(str(name) for name in row.get("packages") or ()),
                extensions=tuple(str(name) for name in row["extensions"]),
            )
        )
    return sources


def _gpu_code(plan: Mapping[str, Any]) -> now.GpuCodeRecord:
    merged = _part(plan, "one_pass")
    return now.GpuCodeRecord(
        written_by="compact",  # all backends of this schema rewrote PTX
        passes=_passes(plan["front_ends"]["value"]),
        shared_files=tuple(merged.get("files") or ()),
        shared_passes=_passes(merged.get("front_ends") or ()),
        derived=tuple(merged.get("lowered") or ()),
        regrouped=tuple(_text(item, "name") for item in plan.get("together") or ()),
    )


def _passes(items: Any) -> tuple[now.PassRecord, ...]:
    return tuple(now.PassRecord(str(item["compute"]), tuple(str(code) for code in item["codes"])) for item in items)


def _chosen(plan: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the value of a choice; empty if there is none."""
    value: Mapping[str, Any] = _part(plan, name).get("value") or {}
    return value


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value: Mapping[str, Any] = data.get(name) or {}
    return value


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return "" if value is None else str(value)
