"""The wheel's METADATA: upstream's, under this project's name, with requirements that say what the binary is tied to."""

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
"""PyPA's. Older ones end a line of a field at characters such as a form feed."""

# "License" holds the whole licence text in upstream's; "Dynamic" has no place in a wheel; a "Description" becomes the body.
# The rest is written anew.
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
    """The PKG-INFO that a released archive carries; empty for a tag's tree, whose setup.py has to be run for it.

    Raises SourceError for one that cannot be read.
    """
    path = tree / "PKG-INFO"
    try:
        return read_text(path) if is_file(path) else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SourceError(f"{tree.name}/PKG-INFO cannot be read: {reason}", "a source archive carries one") from None


def distribution_name(plan: BuildPlan, project: Mapping[str, object], upstream_name: str) -> str:
    """The wheel's name: the setting, else the project's, else upstream's.

    ``mamba-ssm-portable`` is the name of a project for one upstream; of another ``NAME`` it makes ``NAME-portable``.
    Raises SettingsError for one that is none (PEP 508): it becomes a file's, a folder's and a header's.
    """
    row = plan.upstream.value
    # A fork keeps the name that its users ask for.
    declared = "" if row.fork else str(project.get("name") or "")
    if declared.endswith("-portable") and not row.is_own:
        declared = f"{row.name}-portable"
    return plan.distribution or project_name("the project's name", declared or upstream_name, _NAMED) or ""


def compose_metadata(
    plan: BuildPlan, pkg_infos: Sequence[str], project: Mapping[str, object], license_files: tuple[str, ...]
) -> str:
    """METADATA as text; a function of its arguments alone, so that the metadata hook and the wheel agree to the byte.

    ``pkg_infos`` are those of the plan's parts, in their order. Raises SourceError for one that cannot be understood.
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
    """Core metadata as text: the fields in this order, then the description.

    A value takes one line, whatever line ends it holds: no value can add a field. Fields that the core metadata do not
    have are left out.
    """
    from pyproject_metadata import RFC822Message, constants

    message = RFC822Message()
    for key, value in fields:
        if key.lower() in constants.KNOWN_METADATA_FIELDS:
            message[key] = _one_line(value)
    message.set_payload(body)
    return message.as_string()


def _parsed(text: str, part: BuildPlan) -> Message:
    """A PKG-INFO whose name, version and requirements can be relied on. Raises SourceError."""
    message = HeaderParser().parsestr(text)
    problem = next((f"has no {key}" for key in ("Name", "Version") if not message[key]), "")
    try:
        specifiers.SpecifierSet(message["Requires-Python"] or "")
        for requirement in message.get_all("Requires-Dist") or []:
            requirements.Requirement(requirement)
    except (specifiers.InvalidSpecifier, requirements.InvalidRequirement) as error:
        problem = f"cannot be understood: {str(error).splitlines()[0]}"
    if problem:
        raise SourceError(
            f"the PKG-INFO of {part.upstream.value.title} {problem}", "the wheel's metadata are made from it"
        )
    return message


def _kept_fields(plan: BuildPlan, upstream: Message) -> Iterator[tuple[str, str]]:
    """Upstream's own fields that stay, and what takes the place of its licence and of its Python."""
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
        # A project's own statement from before SPDX expressions; a whole licence text is in its file.
        yield "License", upstream["License"].strip()


def _one_line(value: str) -> str:
    return re.sub(r"\s*[\r\n]+\s*", " ", value).strip()


def _description(message: Message) -> str:
    """The body, or the ``Description`` field of metadata before 2.1, whose further lines are indented by eight columns."""
    body = str(message.get_payload()).strip()
    field = re.sub(r"(\r\n|\r|\n)(?: {8}| {7}\|)?", "\n", str(message["Description"] or "")).strip()
    return body or field


def _introduction(final: str, name: str, companion: BuildPlan | None, version: str) -> str:
    beside = f" with {companion.title}" if companion else ""
    return f"**{final}** is {name} {version.partition('+')[0]}{beside}, unchanged in what it computes, built to run everywhere its torch runs.\n\n"


def _requirements(plan: BuildPlan, dependencies: list[str], extras: list[str]) -> Iterator[tuple[str, str]]:
    """Upstream's requirements: torch pinned to the minor version that the binary is tied to, and some made optional."""
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
            # A bound that one part needs alone: everybody needs the package.
            kept += [] if name in optional else [name]
        elif name in narrower:
            item.specifier &= narrower.pop(name)
            kept.append(str(item))
        else:
            kept.append(text)
    # Upstream does not name NumPy, and torch's binaries still work with one range of it alone.
    kept += [f"{name}{specifier}" for name, specifier in narrower.items() if name == "numpy"]
    yield from (("Requires-Dist", text) for text in kept)
    yield from (("Provides-Extra", extra) for extra in extras)
    for extra, texts in moved.items():
        if extra not in extras:
            yield "Provides-Extra", extra
        yield from (("Requires-Dist", text) for text in texts)


def dist_info_name(metadata: str) -> str:
    """The name of the .dist-info folder that belongs to a METADATA text."""
    message = HeaderParser().parsestr(metadata)
    name = utils.canonicalize_name(str(message["Name"])).replace("-", "_")
    return f"{name}-{str(message['Version']).replace('-', '_')}.dist-info"


def license_files(tree: Path, pkg_info: str) -> dict[str, Path]:
    """Licence and notice files by name: those at the top of a tree, and those that its metadata name, wherever they lie."""
    patterns = ("LICEN[CS]E*", "COPYING*", "NOTICE*", "AUTHORS*")
    found = {path.name: path for pattern in patterns for path in matching(tree, pattern) if is_file(path)}
    for name in HeaderParser().parsestr(pkg_info).get_all("License-File") or []:
        inside = PurePosixPath(str(name))
        if not inside.is_absolute() and ".." not in inside.parts and is_file(tree / inside):
            found[inside.as_posix()] = tree / inside
    return dict(sorted(found.items()))


def write_dist_info_files(parent: Path, text: str, licenses: Mapping[str, Path]) -> Path:
    """Write METADATA and the licences (by their names there), which is all that is known before a build."""
    info = parent / dist_info_name(text)
    info.mkdir(parents=True)
    (info / "METADATA").write_bytes(text.encode("utf-8"))
    for name, path in licenses.items():
        (info / "licenses" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, info / "licenses" / name)
    return info
