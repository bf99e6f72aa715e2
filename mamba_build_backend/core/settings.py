"""Settings: one frozen model that gives parsing, validation, help and the README's table.

A setting has one kebab-case key and three places, in this order of strength: ``-C key=value`` (config_settings),
``MAMBA_BUILD_KEY`` in the environment, ``[tool.mamba-build-backend]`` in pyproject.toml. Where none of them speaks, a
few variables of torch and CUDA are honoured (``alias`` below).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import partial
from typing import Any

from .errors import SettingsError
from .projects import default_project, partners

TABLE = "mamba-build-backend"
ENV_PREFIX = "MAMBA_BUILD_"
PATHS = ("source", "cuda-home", "host-compiler", "sysroot", "cache-dir", "build-dir", "torch")
"""Settings whose value may be a path: hooks run in the project's folder, so whoever knows another one says it in full."""

VARIANT_LABEL = r"[0-9a-z_.]+"
"""What a label is made of (PEP 825)."""

_COMPILER_CACHES = ("ccache", "sccache")
NVCC, COMPACT = GPU_CODE = ("nvcc", "compact")
"""Values of ``gpu-code``."""

Value = Any
"""What a settings source may hold: a string, a list of strings, or a TOML scalar."""


def as_text(key: str, raw: Value) -> str:
    """A value as ``-C`` would give it; a list is its items with ``;`` between. Raises SettingsError for anything else."""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, (str, int, float)):
        return str(raw).strip()
    if isinstance(raw, list) and all(isinstance(item, str) for item in raw):
        return ";".join(item.strip() for item in raw)
    raise SettingsError(f"{key}: a value of type {type(raw).__name__}", "a string is needed", f"-C {key}=VALUE")


def _flag(key: str, raw: Value) -> bool:
    text = as_text(key, raw).lower()
    if text in ("true", "1", "yes", "on"):
        return True
    if text in ("false", "0", "no", "off"):
        return False
    raise SettingsError(f"{key}: {text!r} is neither true nor false", "one of the two is needed", f"-C {key}=true")


def _optional(key: str, raw: Value) -> str | None:
    return as_text(key, raw) or None


def _local_version(key: str, raw: Value) -> str | None:
    text = as_text(key, raw).lstrip("+")
    if text and not re.fullmatch(r"[A-Za-z0-9]+([-_.][A-Za-z0-9]+)*", text):
        raise SettingsError(
            f"{key}: {text!r} is not a local version label",
            "it is made of letters and digits, with dots between",
            f"-C {key}=auto",
        )
    # Blanks of all kinds mean the same (PEP 440), and a file name takes the dot alone.
    return re.sub(r"[-_]", ".", text) or None


def _variant(key: str, raw: Value) -> str | None:
    text = as_text(key, raw)
    if text in ("", "none"):
        return None
    if not re.fullmatch(VARIANT_LABEL, text) or text == "null":
        raise SettingsError(
            f"{key}: {text!r} is not a variant label",
            "it is made of a-z, 0-9, _ and dots; null is reserved",
            f"-C {key}=auto",
        )
    return text


def _count(key: str, raw: Value) -> int | None:
    text = as_text(key, raw)
    if text == "auto":
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) < 1:
        raise SettingsError(
            f"{key}: {text!r} is not a number of processes", "a whole number from 1, or auto, is needed", f"-C {key}=4"
        )
    return int(text)


def _memory(key: str, raw: Value) -> int | None:
    text = as_text(key, raw)
    if text == "auto":
        return None
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([kmgt]?)(?:i?b)?", text.lower())
    size = int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " ")) if match else 0
    if size < 256 * 1024**2:
        raise SettingsError(
            f"{key}: {text!r} is not an amount of memory to compile in",
            "at least 256M, or auto, is needed",
            f"-C {key}=8G",
        )
    return size


def _glibc(key: str, raw: Value) -> str:
    text = as_text(key, raw)
    if not re.fullmatch(r"2\.\d{1,2}", text):
        raise SettingsError(
            f"{key}: {text!r} is not a glibc version", "a version such as 2.17 is needed", f"-C {key}=2.17"
        )
    return text


def _choice(*allowed: str) -> Callable[[str, Value], str]:
    def parse(key: str, raw: Value) -> str:
        text = as_text(key, raw).lower()
        if text not in allowed:
            hint = difflib.get_close_matches(text, allowed, 1)
            raise SettingsError(
                f"{key}: {text!r} is not one of its values",
                f"it takes {', '.join(allowed)}",
                f"-C {key}={hint[0] if hint else allowed[0]}",
            )
        return text

    return parse


_GENERATIONS = {
    "pascal": "6.0;6.1+PTX",
    "volta": "7.0+PTX",
    "turing": "7.5+PTX",
    "ampere": "8.0;8.6+PTX",
    "ada": "8.9+PTX",
    "hopper": "9.0+PTX",
    "blackwell": "10.0;10.3;12.0;12.1+PTX",
}
"""Names that torch takes in TORCH_CUDA_ARCH_LIST (torch/utils/cpp_extension.py of 2.11)."""


def parse_archs(key: str, raw: Value) -> str:
    """Normalise an architecture list to ``all``, ``native`` or ``8.0;9.0+PTX``.

    Accepts torch's notation, with ``;``, ``,`` or blanks between and its names of generations, and nvcc's ``sm_90``.
    Raises SettingsError.
    """
    text = as_text(key, raw)
    if text.lower() in ("all", "native"):
        return text.lower()
    out: list[str] = []
    items = [_GENERATIONS.get(item.lower(), item) for item in re.split(r"[;,\s]+", text)]
    for item in ";".join(items).split(";"):
        if not item:
            continue
        match = re.fullmatch(r"(?:sm_|compute_)?(\d{1,2})\.?(\d)([af]?)(\+ptx)?", item.lower())
        if not match:
            raise SettingsError(
                f"{key}: {item!r} is not a compute capability",
                "write it as 9.0, as 9.0+PTX, or use all or native",
                f"-C {key}=9.0",
            )
        arch = f"{int(match[1])}.{match[2]}{match[3]}{'+PTX' if match[4] else ''}"
        if arch not in out:
            out.append(arch)
    if not out:
        raise SettingsError(f"{key}: an empty list", "at least one compute capability is needed", f"-C {key}=all")
    return ";".join(out)


@dataclass(frozen=True)
class Key:
    """A setting as users write it, and as the tables of settings show it."""

    name: str
    attribute: str
    """The field of :class:`Settings` that holds its value; ``companions`` holds those of all ``with-NAME``."""
    default: Value
    parse: Callable[[str, Value], Value]
    doc: str
    alias: str = ""
    """A variable of torch or CUDA that is honoured where nothing else is said."""
    shown: str = ""
    """The default in words, where its value says too little."""
    companion: str = ""
    """The project that ``with-NAME`` is about."""

    def value(self, settings: Settings) -> Value:
        """What the settings say of it."""
        held = getattr(settings, self.attribute)
        return self.companion in held if self.companion else held

    @property
    def shown_default(self) -> str:
        """The default, as Markdown."""
        return self.shown or f"`{str(self.default).lower() if isinstance(self.default, bool) else self.default}`"


def _setting(
    default: Value, parse: Callable[[str, Value], Value], doc: str, *, alias: str = "", shown: str = ""
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
    """A variable of torch's, CUDA's or the compilers', such as ``CUDA_HOME``: weaker than any setting."""
    PROJECT = "project"
    ENVIRONMENT = "environment"
    OPTION = "option"


@dataclass(frozen=True)
class SettingOrigin:
    """The same, and in words."""

    place: Place
    words: str


_UNSET = SettingOrigin(Place.DEFAULT, "default")


@dataclass(frozen=True)
class Settings:
    """What the user asked for. Every field is one setting; ``origins`` says where a value that was set came from."""

    upstream: str = _setting(
        default_project,
        as_text,
        "which project to build: a folder of `mamba_build_backend/projects/`, or `self` for the project that vendors the backend",
    )
    upstream_version: str | None = _setting(None, _optional, "any version in that table", shown="newest known good")
    source: str = _setting(
        "auto",
        as_text,
        "`auto` (the package index, or upstream's git tag where the index's archive holds no CUDA sources), `index`, `git`, or the path of an archive, a tree, a git mirror, or a folder with archives and mirrors of several projects; verified by content in any case",
    )
    allow_unverified: bool = _setting(
        False, _flag, "take a source that is not as upstream released it, such as a fork; the wheel's record says so"
    )
    companions: tuple[str, ...] = ()
    """The projects whose ``with-NAME`` is on: a key for each that some project's ``[partner]`` names."""
    torch: str = _setting(
        "auto", as_text, "`auto`, a requirement (`torch==2.11.*`), or the path of a site-packages that holds torch"
    )
    cuda_home: str = _setting(
        "auto",
        as_text,
        "`auto`, a toolkit's folder, or `pypi` for nvcc from the package index (CUDA 13)",
        alias="CUDA_HOME",
    )
    host_compiler: str = _setting("auto", as_text, "`auto`, or the path or name of a g++; still checked", alias="CXX")
    arch: str = _setting(
        "all",
        parse_archs,
        "`all` (the smallest set of SASS that covers every GPU of the toolkit and platform, plus PTX), `native`, or a list such as `8.0;9.0+PTX`",
        alias="TORCH_CUDA_ARCH_LIST",
    )
    abi: str = _setting(
        "torch",
        _choice("torch", "stable"),
        "`torch`: for this torch minor and this Python alone; `stable`: one wheel for torch 2.10 and newer and Python 3.10 and newer",
    )
    glibc: str = _setting("2.17", _glibc, "the highest glibc symbol version that the wheel may need")
    sysroot: str = _setting("auto", as_text, "`auto`, `conda`, `zig`, `host`, or a path")
    repair: bool = _setting(True, _flag, "`false` leaves a plain linux wheel, for this machine only")
    jobs: int | None = _setting(None, _count, "parallel compiles", alias="MAX_JOBS", shown="auto")
    memory: int | None = _setting(
        None, _memory, "the memory that they may use together, such as `8G`", shown="auto: 75 % of what is free"
    )
    cache: str = _setting(
        "auto",
        _choice("auto", *_COMPILER_CACHES, "off"),
        "a compiler cache in front of the compilers: `ccache` or `sccache`, which must be on PATH; `auto` takes ccache where it works, else sccache if there is one architecture; `off` none",
    )
    compress: str = _setting(
        "size",
        _choice("size", "speed", "balance", "none", "default"),
        "nvcc's fatbin compression, where nvcc has the choice: from CUDA 13 on, and in 12.8 and 12.9 only if it is set",
    )
    gpu_code: str = _setting(
        "nvcc",
        _choice(*GPU_CODE),
        "`nvcc`: NVIDIA's tools write all GPU code in the wheel; `compact`: the backend rewrites their PTX, which makes the wheel smaller and saves Turing's front end",
    )
    strip: bool = _setting(True, _flag, "drop symbols that nobody links against")
    lineinfo: bool = _setting(False, _flag, "keep source lines in the kernels, for profilers")
    distribution_name: str | None = _setting(
        None, _optional, "the wheel's name; upstream's own makes it a drop-in", shown="the project's"
    )
    local_version: str | None = _setting(
        None,
        _local_version,
        "a local version label, such as `lab1`; `auto` names it as upstream does: `+cu13torch2.11cxx11abiTRUE`",
        shown="none",
    )
    variant: str | None = _setting(
        None,
        _variant,
        "a draft (PEP 817, PEP 825): `variant.json` in the wheel, and its label in the name of a wheel that `python -m mamba_build_backend build` makes; `auto` gives `-cu13`; uv reads it with `--preview-features wheel-variants`, pip refuses the name",
        shown="none",
    )
    cache_dir: str | None = _setting(
        None, _optional, "sysroots and sources that were fetched", shown="the user's cache folder"
    )
    build_dir: str | None = _setting(None, _optional, "where the work happens", shown="a temporary folder")
    keep_build_dir: bool = _setting(False, _flag, "keep that folder, to look at it")
    metadata_only: bool = _setting(
        False,
        _flag,
        "give metadata and no wheel, for `pip download`, `pip lock` and `uv lock`: it needs neither torch nor a compiler",
    )
    verbose: bool = _setting(False, _flag, "print the compilers' whole output")

    origins: tuple[tuple[str, SettingOrigin], ...] = ()

    def origin(self, key: str) -> str:
        """Where the value of ``key`` came from, for a person: ``default``, or for instance ``-C (config settings)``."""
        return dict(self.origins).get(key, _UNSET).words

    def place(self, key: str) -> Place:
        """Where the value of ``key`` came from, for decisions."""
        return dict(self.origins).get(key, _UNSET).place

    def is_set(self, key: str) -> bool:
        """Whether somebody chose the value of ``key``, were it the default's."""
        return self.place(key) is not Place.DEFAULT


def known_keys() -> dict[str, Key]:
    """All settings by key, in the order in which they are documented."""
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
        companion_key(project), "companions", default=False, parse=_flag, doc=doc, shown=shown, companion=project
    )


def load_settings(
    config_settings: Mapping[str, Value] | None, environ: Mapping[str, str], table: Mapping[str, Value] | None
) -> Settings:
    """Merge the three places. Raises SettingsError for an unknown key or a value that cannot be read, naming the place."""
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
    values: dict[str, Value], origins: dict[str, SettingOrigin], key: Key, raw: Value, place: SettingOrigin
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
    """Settings by key as the variables that carry them to a process below."""
    return {ENV_PREFIX + key.upper().replace("-", "_"): value for key, value in settings.items()}


def settings_table() -> str:
    """The README's table of settings, as Markdown."""
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for key in known_keys().values():
        alias = f"; where unset, `{key.alias}` is honoured" if key.alias else ""
        rows.append(f"| `{key.name}` | {key.shown_default} | {key.doc}{alias} |")
    return "\n".join(rows) + "\n"
