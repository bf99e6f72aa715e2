"""Settings: one frozen model for parsing, validation, help and the table of docs/settings.md.

A setting has one kebab-case key and three places, the strongest first: ``-C key=value`` (config_settings),
``MAMBA_BUILD_KEY`` in the environment, ``[tool.mamba-build-backend]`` in pyproject.toml. If none of them sets it, a few
variables of torch and CUDA are used (``alias`` below).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import partial
from typing import Any

from . import setting_values as read
from .errors import SettingsError
from .projects import default_project, partners
from .setting_values import Value

TABLE = "mamba-build-backend"
ENV_PREFIX = "MAMBA_BUILD_"
PATHS = ("source", "cuda-home", "cuda-mirror", "host-compiler", "sysroot", "cache-dir", "build-dir", "torch")
"""Settings whose value may be a path. Hooks run in the project's folder, so callers in another folder pass absolute
paths."""


ZIG = "zig"
"""The value of ``host-compiler`` for zig from PyPI."""
INDEX_NVCC, ARCHIVED_NVCC = "pypi", "redist"
"""Values of ``cuda-home`` besides ``auto`` and a folder: the provider of nvcc."""
MIRROR_OFF = "off"
"""The value of ``cuda-mirror`` that forbids downloads from NVIDIA."""
_COMPILER_CACHES = ("ccache", "sccache")
NVCC, COMPACT = GPU_CODE = ("nvcc", "compact")
"""Values of ``gpu-code``."""


@dataclass(frozen=True)
class Key:
    """A setting as users write it and as the tables of settings show it."""

    name: str
    attribute: str
    """The field of :class:`Settings` with its value; ``companions`` has the values of all ``with-NAME`` settings."""
    default: Value
    parse: Callable[[str, Value], Value]
    doc: str
    alias: str = ""
    """A variable of torch or CUDA that is used if nothing else sets the value."""
    shown: str = ""
    """The default in words, if the value alone is not clear."""
    companion: str = ""
    """The project of ``with-NAME``."""

    def value(self, settings: Settings) -> Value:
        """The value of this setting in ``settings``."""
        held = getattr(settings, self.attribute)
        return self.companion in held if self.companion else held

    @property
    def shown_default(self) -> str:
        """The default, as Markdown."""
        return self.shown or f"`{str(self.default).lower() if isinstance(self.default, bool) else self.default}`"


def _setting(
    default: Value,
    parse: Callable[[str, Value], Value],
    doc: str,
    *,
    alias: str = "",
    shown: str = "",
) -> Any:
    metadata = {"parse": parse, "doc": doc, "alias": alias, "shown": shown}
    return (
        field(default_factory=default, metadata=metadata)
        if callable(default)
        else field(default=default, metadata=metadata)
    )


class Place(str, Enum):
    """Where the value of a setting came from."""

    DEFAULT = "default"
    ALIAS = "alias"
    """A variable of torch, CUDA or the compilers, such as ``CUDA_HOME``: weaker than any setting."""
    PROJECT = "project"
    ENVIRONMENT = "environment"
    OPTION = "option"


@dataclass(frozen=True)
class SettingOrigin:
    """The place of a value, also in words."""

    place: Place
    words: str


_UNSET = SettingOrigin(Place.DEFAULT, "default")


@dataclass(frozen=True)
class Settings:
    """What the user asked for. Every field is one setting; ``origins`` says where each set value came from."""

    upstream: str = _setting(
        default_project,
        read.as_text,
        "the project to build: a folder of `mamba_build_backend/projects/`, or `self` for the project that vendors the backend",
    )
    upstream_version: str | None = _setting(
        None, read.optional, "the version to build, from that project's table", shown="newest known good"
    )
    source: str = _setting(
        "auto",
        read.path_or_word,
        "`auto` (PyPI, or upstream's git tag where PyPI's archive contains no CUDA sources), `index`, `git`, or the path of an archive, a tree, a git mirror, or a folder with archives and mirrors of several projects; always verified by content",
    )
    allow_unverified: bool = _setting(
        False,
        read.flag,
        "accept a source that differs from upstream's releases, such as a fork; the wheel's record says so",
    )
    fixes: bool = _setting(
        True,
        read.flag,
        "fix what upstream's kernels compute wrongly; `false`: upstream's own results, bit for bit",
    )
    companions: tuple[str, ...] = ()
    """The projects whose ``with-NAME`` is on: every project's ``[partner]`` has such a key."""
    torch: str = _setting(
        "auto",
        read.path_or_word,
        "`auto`, a requirement (`torch==2.11.*`), or the path of a site-packages that contains torch",
    )
    cuda_home: str = _setting(
        "auto",
        read.path_or_word,
        "`auto`, a toolkit's folder, `pypi` for nvcc from PyPI (CUDA 13), or `redist` for nvcc from NVIDIA's archives (CUDA 11.8 and 12)",
        alias="CUDA_HOME",
    )
    cuda_mirror: str | None = _setting(
        None,
        read.mirror,
        "where the build downloads NVIDIA's CUDA archives: the address of a mirror, a local folder that contains them, or `off`",
        shown="NVIDIA's own host",
    )
    host_compiler: str = _setting(
        "auto",
        read.path_or_word,
        "`auto` (a g++ on this machine, otherwise zig), `zig`, or the path or name of a g++, which is checked, too",
        alias="CXX",
    )
    arch: str = _setting(
        "all",
        read.parse_archs,
        "`all` (the smallest set of SASS that covers every GPU of the toolkit and platform, plus PTX), `native`, or a list such as `8.0;9.0+PTX`",
        alias="TORCH_CUDA_ARCH_LIST",
    )
    machine: str = _setting(
        "auto",
        read.choice("auto", "x86_64", "aarch64"),
        "the processor that the wheel is for: `auto` (this machine's), `x86_64` or `aarch64`; zig cross-compiles for a processor other than this machine's",
    )
    abi: str = _setting(
        "auto",
        read.choice("auto", "stable", "torch"),
        "`stable`: one wheel for torch 2.0 and newer with any CUDA, and Python 3.9 and newer; `torch`: only for this torch minor version and this Python; `auto`: `stable` wherever possible, and `torch` for a project's own source",
    )
    glibc: str = _setting("2.17", read.glibc, "the highest glibc symbol version that the wheel may need")
    sysroot: str = _setting("auto", read.path_or_word, "`auto`, `conda`, `zig`, `host`, or a path")
    repair: bool = _setting(True, read.flag, "`false` makes a plain linux wheel, for this machine only")
    jobs: int | None = _setting(None, read.count, "parallel compiles", alias="MAX_JOBS", shown="auto")
    memory: int | None = _setting(
        None,
        read.memory,
        "the memory that all compilers may use together, such as `8G`",
        shown="auto: 75 % of the free memory",
    )
    cache: str = _setting(
        "auto",
        read.choice("auto", *_COMPILER_CACHES, "off"),
        "the compiler cache: `ccache` or `sccache`, which must be on PATH; `auto` uses ccache if it works, otherwise sccache if there is only one architecture; `off` uses none",
    )
    compress: str = _setting(
        "size",
        read.choice("size", "speed", "balance", "none", "default"),
        "nvcc's fatbin compression, where nvcc has the option: from CUDA 13 on, and in 12.8 and 12.9 only if this is set",
    )
    gpu_code: str = _setting(
        "nvcc",
        read.choice(*GPU_CODE),
        "`nvcc`: NVIDIA's tools write all GPU code in the wheel; `compact`: the backend rewrites their PTX, which makes the wheel smaller and saves nvcc's front-end pass for Turing",
    )
    strip: bool = _setting(True, read.flag, "remove symbols that nothing links against")
    lineinfo: bool = _setting(False, read.flag, "keep source lines in the kernels, for profilers")
    distribution_name: str | None = _setting(
        None,
        read.distribution_name,
        "the wheel's name; with upstream's own name the wheel replaces upstream's",
        shown="the project's",
    )
    local_version: str | None = _setting(
        None,
        read.local_version,
        "a local version label, such as `lab1`; `auto` names it as upstream does: `+cu13torch2.11cxx11abiTRUE`",
        shown="none",
    )
    build_tag: int | None = _setting(
        None,
        read.build_tag,
        "the build number in the wheel's file name: of two wheels of one version, installers prefer the higher number",
        shown="none",
    )
    variant: str | None = _setting(
        None,
        read.variant,
        "a draft (PEP 817, PEP 825): `variant.json` in the wheel, and its label in the name of a wheel that `python -m mamba_build_backend build` makes; `auto` gives `-cu13`; uv reads it with `--preview-features wheel-variants`, pip refuses the name",
        shown="none",
    )
    cache_dir: str | None = _setting(
        None, read.optional_path, "the folder for downloaded sources and sysroots", shown="the user's cache folder"
    )
    offline: bool = _setting(
        False,
        read.flag,
        "download neither sources nor CUDA archives, and name every missing file before the build starts",
    )
    build_dir: str | None = _setting(
        None, read.optional_path, "the folder in which the build works", shown="a temporary folder"
    )
    keep_build_dir: bool = _setting(False, read.flag, "keep the build folder after the build")
    metadata_only: bool = _setting(
        False,
        read.flag,
        "produce only metadata and no wheel, for `pip download`, `pip lock` and `uv lock`; needs neither torch nor a compiler",
    )
    verbose: bool = _setting(False, read.flag, "print the full output of the compilers")

    origins: tuple[tuple[str, SettingOrigin], ...] = ()

    def origin(self, key: str) -> str:
        """Where the value of ``key`` came from, in words: ``default``, or for instance ``-C (config settings)``."""
        return dict(self.origins).get(key, _UNSET).words

    def place(self, key: str) -> Place:
        """Where the value of ``key`` came from, for decisions."""
        return dict(self.origins).get(key, _UNSET).place

    def is_set(self, key: str) -> bool:
        """Whether the user set ``key``, even to its default value."""
        return self.place(key) is not Place.DEFAULT


def known_keys() -> dict[str, Key]:
    """All settings by key, in documentation order."""
    keys: list[Key] = []
    for item in fields(Settings):
        if item.name == "companions":
            keys += [_companion_key(name, str(table["default"])) for name, table in partners().items()]
        elif item.name != "origins":
            keys.append(Key(item.name.replace("_", "-"), item.name, getattr(Settings(), item.name), **item.metadata))
    return {key.name: key for key in keys}


def companion_key(project: str) -> str:
    """The key of the setting that puts a project into another one's wheel."""
    return f"with-{project}"


def _companion_key(project: str, shown: str) -> Key:
    doc = f"put the matched {project} into the same wheel"
    return Key(
        companion_key(project), "companions", default=False, parse=read.flag, doc=doc, shown=shown, companion=project
    )


def load_settings(
    config_settings: Mapping[str, Value] | None,
    environ: Mapping[str, str],
    table: Mapping[str, Value] | None,
) -> Settings:
    """Merge the three places. Raises SettingsError, which names the place, for an unknown key or an invalid value."""
    keys = known_keys()
    places: list[tuple[SettingOrigin, dict[str, Value]]] = []
    project = {str(k): v for k, v in (table or {}).items()}
    places.append((SettingOrigin(Place.PROJECT, f"[tool.{TABLE}] in pyproject.toml"), project))
    env_names = {name: key for key in keys for name in as_environment({key: ""})}
    from_env: dict[str, Value] = {}
    for name, value in environ.items():
        if name.startswith(ENV_PREFIX):
            if name not in env_names:
                raise _unknown(name, list(env_names), "the environment", lambda hint: f"export {hint}=…")
            from_env[env_names[name]] = value
    places.append((SettingOrigin(Place.ENVIRONMENT, "the environment"), from_env))
    options = {str(k): v for k, v in (config_settings or {}).items()}
    places.append((SettingOrigin(Place.OPTION, "-C (config settings)"), options))

    values: dict[str, Value] = {}
    origins: dict[str, SettingOrigin] = {}
    for item in keys.values():
        if item.alias and environ.get(item.alias):
            _take(values, origins, item, environ[item.alias], SettingOrigin(Place.ALIAS, item.alias))
    for place, given in places:
        for key, raw in given.items():
            if key not in keys:
                raise _unknown(key, list(keys), place.words, partial(_spell, place.place))
            _take(values, origins, keys[key], raw, place)
    return Settings(**values, origins=tuple(sorted(origins.items())))


def _take(
    values: dict[str, Value],
    origins: dict[str, SettingOrigin],
    key: Key,
    raw: Value,
    place: SettingOrigin,
) -> None:
    try:
        value = key.parse(key.name, raw)
    except SettingsError as error:
        problem = error.problems[0]
        raise SettingsError(f"{problem.found} (from {place.words})", problem.needed, problem.fix) from None
    if key.companion:
        others = tuple(name for name in values.get(key.attribute, ()) if name != key.companion)
        value = (*others, key.companion) if value else others
    values[key.attribute] = value
    origins[key.name] = place


def _spell(place: Place, hint: str) -> str:
    return f"{hint} = …   under [tool.{TABLE}]" if place is Place.PROJECT else f"-C {hint}=…"


def _unknown(key: str, keys: list[str], place: str, spell: Callable[[str], str]) -> SettingsError:
    close = difflib.get_close_matches(key, keys, 1, 0.5) or difflib.get_close_matches(
        key.replace("_", "-"), keys, 1, 0.5
    )
    if close:
        return SettingsError(f"unknown setting {key!r} in {place}", f"did you mean {close[0]!r}?", spell(close[0]))
    return SettingsError(f"unknown setting {key!r} in {place}", f"the settings are {', '.join(keys)}")


def as_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings by key, as the variables that pass them to a child process."""
    return {ENV_PREFIX + key.upper().replace("-", "_"): value for key, value in settings.items()}


def settings_table() -> str:
    """The table of settings as Markdown, for docs/settings.md."""
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for key in known_keys().values():
        alias = f"; if unset, `{key.alias}` is used" if key.alias else ""
        rows.append(f"| `{key.name}` | {key.shown_default} | {key.doc}{alias} |")
    return "\n".join(rows) + "\n"
