"""Compose the wheel's METADATA: upstream's, with this project's name and the requirements of the binary."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from ..core._compat import requirements, specifiers, utils, version
from ..core.errors import SourceError
from ..core.paths import is_file, matching, read_text
from ..core.setting_values import distribution_name as project_name
from ..plan import BuildPlan
from .third_party import license_expression

METADATA_WRITER = "pyproject-metadata>=0.9.1"
"""PyPA's package. Older versions break a field's line at characters such as a form feed."""

# Upstream's "License" contains the whole licence text; "Dynamic" is not allowed in a wheel; a "Description" becomes the
# body. We write the other fields ourselves.
_REPLACED = (
    "metadata-version",
    "name",
    "version",
    "license",
    "license-expression",
    "license-file",
    "description",
    "dynamic",
    "requires-dist",
    "provides-extra",
    "provide-extra",
)

_NAMED = 'name = "my-build"   (under [project] in pyproject.toml)'


def released_pkg_info(tree: Path) -> str:
    """Return the PKG-INFO of a released archive; empty for a tag's tree, where setup.py must generate it.

    Raises SourceError if the file cannot be read.
    """
    path = tree / "PKG-INFO"
    try:
        return read_text(path) if is_file(path) else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SourceError(f"{tree.name}/PKG-INFO cannot be read: {reason}", "a source archive contains one") from None


def distribution_name(plan: BuildPlan, project: Mapping[str, object], upstream_name: str) -> str:
    """Return the wheel's name: the setting, else the project's, else upstream's.

    In this checkout, ``mamba-ssm-portable``, the wheel for another upstream ``NAME`` is called ``NAME-portable``.
    Raises SettingsError for an invalid name (PEP 508), because files, folders and headers get this name.
    """
    row = plan.upstream.value
    # A fork keeps its own name, which its users require.
    declared = "" if row.fork else str(project.get("name") or "")
    if declared.endswith("-portable") and not row.is_own:
        declared = f"{row.name}-portable"
    return plan.distribution or project_name("the project's name", declared or upstream_name, _NAMED) or ""


def compose_metadata(
    plan: BuildPlan, pkg_infos: Sequence[str], project: Mapping[str, object], license_files: tuple[str, ...]
) -> str:
    """Return METADATA as text. It depends only on the arguments, so that the metadata hook and the wheel agree to the byte.

    ``pkg_infos`` belong to the plan's parts, in the same order. Raises SourceError if one cannot be parsed.
    """
    upstream, *others = (_parsed(text, part) for text, part in zip(pkg_infos, plan.parts))
    name, version = str(upstream["Name"]), str(upstream["Version"])
    final = distribution_name(plan, project, name)
    if plan.local_version:
        version = f"{version.partition('+')[0]}+{plan.local_version}"
    dependencies = [text for item in (upstream, *others) for text in item.get_all("Requires-Dist") or []]
    extras = [text for item in (upstream, *others) for text in item.get_all("Provides-Extra") or []]
    fields = [
        ("Metadata-Version", "2.4"),
        ("Name", final),
        ("Version", version),
        *_kept_fields(plan, upstream),
        *(("License-File", file) for file in license_files),
        *_requirements(plan, list(dict.fromkeys(dependencies)), list(dict.fromkeys(extras))),
    ]
    renamed = utils.canonicalize_name(final) != utils.canonicalize_name(name)
    intro = _introduction(final, name, plan.companion, version) if renamed and not plan.upstream.value.fork else ""
    return rfc822(fields, f"{intro}{_description(upstream)}\n")


def rfc822(fields: Iterable[tuple[str, str]], body: str = "") -> str:
    """Return core metadata as text: the fields in this order, then the description.

    Line ends in a value are removed, so that no value can add a field. Fields that are not core metadata are omitted.
    """
    from pyproject_metadata import RFC822Message, constants

    message = RFC822Message()
    for key, value in fields:
        if key.lower() in constants.KNOWN_METADATA_FIELDS:
            message[key] = _one_line(value)
    message.set_payload(body)
    return message.as_string()


def _parsed(text: str, part: BuildPlan) -> Message:
    """Parse a PKG-INFO and check its name, version and requirements. Raises SourceError."""
    message = HeaderParser().parsestr(text)
    problem = next((f"has no {key}" for key in ("Name", "Version") if not message[key]), "")
    try:
        specifiers.SpecifierSet(message["Requires-Python"] or "")
        for requirement in message.get_all("Requires-Dist") or []:
            requirements.Requirement(requirement)
    except (specifiers.InvalidSpecifier, requirements.InvalidRequirement) as error:
        problem = f"cannot be understood: {str(error).splitlines()[0]}"
    if problem:
        raise SourceError(f"the PKG-INFO of {part.upstream.value.title} {problem}", "the wheel's metadata come from it")
    return message


def _kept_fields(plan: BuildPlan, upstream: Message) -> Iterator[tuple[str, str]]:
    """Yield upstream's fields that are kept, and the replacements of its licence and Python fields."""
    licence = license_expression(plan) or upstream["License-Expression"]
    for key, value in upstream.items():
        if key.lower() in _REPLACED or (key == "Classifier" and value.startswith("License ::") and licence):
            continue
        if key == "Requires-Python" and plan.abi.value.is_stable:
            continue
        yield key, str(value)
    if plan.abi.value.is_stable:
        pythons = [plan.abi.value.python_min, *(part.upstream.value.python_min for part in plan.parts)]
        least = specifiers.SpecifierSet(f">={max(filter(None, pythons), key=version.Version)}")
        yield "Requires-Python", str(least & specifiers.SpecifierSet(upstream["Requires-Python"] or ""))
    if licence:
        yield "License-Expression", licence
    elif upstream["License"] and "\n" not in upstream["License"].strip():
        # A project's own short statement from before SPDX expressions; a whole licence text is in its file instead.
        yield "License", upstream["License"].strip()


def _one_line(value: str) -> str:
    return re.sub(r"\s*[\r\n]+\s*", " ", value).strip()


def _description(message: Message) -> str:
    """Return the body, or the ``Description`` field of metadata before 2.1, whose lines are indented by eight columns."""
    body = str(message.get_payload()).strip()
    field = re.sub(r"(\r\n|\r|\n)(?: {8}| {7}\|)?", "\n", str(message["Description"] or "")).strip()
    return body or field


def _introduction(final: str, name: str, companion: BuildPlan | None, version: str) -> str:
    beside = f" with {companion.title}" if companion else ""
    return f"**{final}** is {name} {version.partition('+')[0]}{beside}, unchanged in what it computes, built to run everywhere its torch runs.\n\n"


def _requirements(plan: BuildPlan, dependencies: list[str], extras: list[str]) -> Iterator[tuple[str, str]]:
    """Yield upstream's requirements: torch pinned to the binary's minor version, and some made optional."""
    rows = [part.upstream.value for part in plan.parts]
    left_out = {row.name for row in rows} | {name for row in rows for name in row.project.unneeded}
    optional = {name: extra for row in rows for extra, names in row.project.extras for name in names}
    narrower = {
        requirements.Requirement(text).name: requirements.Requirement(text).specifier for text in plan.pins.value
    }
    kept = [plan.torch_requirement] if plan.torch_requirement else []
    moved: dict[str, list[str]] = {}
    for text in dependencies:
        item = requirements.Requirement(text)
        name = utils.canonicalize_name(item.name)
        if (name == "torch" and item.marker is None) or name in left_out:
            continue
        extra = optional.get(name) or optional.get(f"{name}{item.specifier}")
        if extra and item.marker is None:
            moved.setdefault(extra, []).append(f'{text}; extra == "{extra}"')
            # Only this extra needs the bound, but everybody needs the package.
            kept += [] if name in optional else [name]
        elif name in narrower:
            item.specifier &= narrower.pop(name)
            kept.append(str(item))
        else:
            kept.append(text)
    # Upstream does not require NumPy, but torch's binaries work with only one range of it.
    kept += [f"{name}{specifier}" for name, specifier in narrower.items() if name == "numpy"]
    yield from (("Requires-Dist", text) for text in kept)
    yield from (("Provides-Extra", extra) for extra in extras)
    for extra, texts in moved.items():
        if extra not in extras:
            yield "Provides-Extra", extra
        yield from (("Requires-Dist", text) for text in texts)


def dist_info_name(metadata: str) -> str:
    """Return the name of the .dist-info folder for a METADATA text."""
    message = HeaderParser().parsestr(metadata)
    name = utils.canonicalize_name(str(message["Name"])).replace("-", "_")
    return f"{name}-{str(message['Version']).replace('-', '_')}.dist-info"


def license_files(tree: Path, pkg_info: str) -> dict[str, Path]:
    """Return licence and notice files by name: those at the top of a tree, and those that its metadata name."""
    patterns = ("LICEN[CS]E*", "COPYING*", "NOTICE*", "AUTHORS*")
    found = {path.name: path for pattern in patterns for path in matching(tree, pattern) if is_file(path)}
    for name in HeaderParser().parsestr(pkg_info).get_all("License-File") or []:
        inside = PurePosixPath(str(name))
        if not inside.is_absolute() and ".." not in inside.parts and is_file(tree / inside):
            found[inside.as_posix()] = tree / inside
    return dict(sorted(found.items()))


def write_dist_info_files(parent: Path, text: str, licenses: Mapping[str, Path]) -> Path:
    """Write METADATA and the licences (by their names in it), everything that is known before a build."""
    info = parent / dist_info_name(text)
    info.mkdir(parents=True)
    (info / "METADATA").write_bytes(text.encode("utf-8"))
    for name, path in licenses.items():
        (info / "licenses" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, info / "licenses" / name)
    return info
