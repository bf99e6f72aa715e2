"""Write what is made from code and tables anew: look at the diff before you commit it.

The reports of all recorded machines and the reasons in them, what changed machines are told, the lists of a vendored copy's files, the JSON Schema of ``doctor --json``, and in docs/ settings.md, troubleshooting.md and
compatibility.md.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import changed_machines  # noqa: E402
import matrix  # noqa: E402
import reasons  # noqa: E402
from doctor_schema import doctor_schema  # noqa: E402

from mamba_build_backend import plan, tables  # noqa: E402
from mamba_build_backend.compile import known_failures  # noqa: E402
from mamba_build_backend.core.projects import SELF, project_names  # noqa: E402
from mamba_build_backend.core.settings import as_environment, known_keys, settings_table  # noqa: E402
from mamba_build_backend.plan import doctor_json, report  # noqa: E402
from mamba_build_backend.probe import recording  # noqa: E402
from mamba_build_backend.vendoring import manifest  # noqa: E402
from mamba_build_backend.wheel.project_files import project_files  # noqa: E402

SETTINGS = """\
# Settings

One key, three places. The stronger one first:

1. `-C key=value` on the command line of pip (23.1 and later), build, uv or `python -m mamba_build_backend`;
2. `MAMBA_BUILD_KEY` in the environment, with `_` for `-`;
3. `[tool.mamba-build-backend]` in the project's pyproject.toml.

Where none of them speaks, a few variables of torch and CUDA are honoured. An unknown key is an error in all three places, with the
key that was probably meant. Booleans are `true` or `false`; `arch` is a list in pyproject.toml, and elsewhere a string with `;` or `,`
between (a shell wants quotes around a `;`). `doctor` takes the same settings and shows what comes of them:

<!-- run: here -->
```console
$ python -m mamba_build_backend doctor --facts tests/facts/h100-ubuntu24.04.json -C arch=all -C jobs=4
```

<!-- run: toml -->
```toml
[tool.mamba-build-backend]
arch = ["8.0", "9.0+PTX"]
memory = "16G"
```

This page is made from `mamba_build_backend/core/settings.py` by `python tests/update_reports.py`.
"""

LONGER = {
    "upstream": """\
The command line also takes the project as a word: `python -m mamba_build_backend build causal-conv1d`. With `self` the backend
builds the tree that it lies in: see [In another project](vendoring.md).""",
    "upstream-version": """\
The newest known good version is the newest that goes with the torch that is there: of mamba-ssm 2.3.2.post1 from torch 2.9 on,
else 2.3.0. An sdist builds the version whose source it carries. A version that is not in the table is an error that names its
neighbours.""",
    "source": """\
`index` and `git` are errors where the source cannot be had that way. An address is no path: clone or download it first. What is
fetched is kept in `cache-dir`.""",
    "allow-unverified": """\
A version that is named says by which rules the source is built: its patches, its requirements, its partner. Without one, a tree is
recognised by its content ([Forks](forks.md)). A tree that the command line names needs no further consent. The command line has
`--allow-unverified` for it.""",
    "with-causal-conv1d": """\
Both extensions lie in one wheel, and the requirement of causal-conv1d goes from its metadata. Do not install causal-conv1d beside
it.""",
    "torch": """\
`auto` looks in the order that [Researchers](researcher.md#which-torch-is-taken) tells. A path may also be the root of an environment.
A requirement takes a torch that is here if it fits, and else has it installed for the build. Without torch and without this setting, a wheel for
every torch (`abi=stable`) is built with none; one for a single torch installs the newest known one for the build.""",
    "cuda-home": """\
`auto` takes the first of these that fits: a toolkit on this machine; CUDA 13 from the package index; CUDA 12.9 or 11.8 from NVIDIA's archives.
A toolkit fits if the driver runs it, if it compiles for this machine's GPU (or the GPUs that `arch` names), and if its major version is not older
than that of torch's CUDA. Without a driver, as on a login node, `auto` assumes the oldest driver that torch's CUDA needs. With `abi=torch` the
toolkit must have torch's major version. A toolkit that a path names is still checked. `CUDA_HOME` in the environment is only the first candidate: if it does not fit, the others are looked at. The packages
`nvidia-cuda-nvcc` and its parts make a whole nvcc from CUDA 13 on; those of CUDA 11 and 12 do not.""",
    "cuda-mirror": """\
The default is `https://developer.download.nvidia.com/compute/cuda/redist`. NVIDIA's host in China is
`https://developer.download.nvidia.cn/compute/cuda/redist`. A mirror has the same folders as NVIDIA's host. Its address may contain a name and
a password, which the backend never prints. A local folder holds the archives side by side, or in NVIDIA's folders; the backend then uses no
network for them. The backend checks each archive's SHA-256 against `mamba_build_backend/tables/redist.toml` before it unpacks the archive.
NVIDIA's [CUDA EULA](https://docs.nvidia.com/cuda/eula/) is the licence; set `off` to download nothing. pip's `proxy`, `cert`, `trusted-host`
and `timeout` settings apply. This project could not reach NVIDIA's hosts: [Verification](verification.md#nvidias-archives) says what was
tested instead. See also [Without internet](cluster.md#without-internet).""",
    "offline": """\
The setting covers what the backend itself downloads: upstream's source and NVIDIA's archives. An earlier build may have left both in
`cache-dir`. pip and uv have options of their own for the packages that they install: `--no-index --find-links wheelhouse`, `--offline`.""",
    "host-compiler": """\
nvcc and torch both limit the versions of g++, and a portable link needs its `libstdc++.a`. `CXX` in the environment is only the
first candidate. The clang of this machine is not taken. Where no g++ fits, `auto` takes zig, if the wheel is for every torch (`abi=stable`): clang with a
C++ library of its own, from the package index (70 to 81 MB), on x86_64 and for CUDA 11.8 and from 12.4 on. zig compiles that library once, which takes a
minute or more; the result stays in `cache-dir`. `zig` asks for it although a g++ fits. With `abi=torch` it is an error: torch's C++ library is g++'s.""",
    "arch": """\
Capabilities are written as torch writes them, `9.0` or `9.0+PTX`, as nvcc does, `sm_90`, or by torch's names for generations, such as
`Hopper`. Machine code of 8.0 also runs on 8.6 and 8.9, that of 9.0 not on 10.0; PTX is for GPUs to come. `native` asks the
driver, and is an error without a GPU.""",
    "abi": """\
`stable` needs a toolkit with `libcudart_static.a`, of any CUDA, and a Python with the GIL; the wheel is tied to the
driver that this CUDA needs and to the GPUs that it was compiled for. [One wheel for every torch and every Python](stable-abi.md) says how, and who promises what.""",
    "glibc": """\
The audit refuses a wheel that needs more. A lower number does not help where torch itself needs a newer glibc: `doctor` prints
both. A sysroot must be as old as this.""",
    "sysroot": """\
`auto`: with conda's compilers their own sysroot; else this machine's glibc if it is old enough, else conda's sysroot, else zig's, from
the package index. `host` links against this machine as it is. A path is the root of a system: it has `usr/include/features.h`.""",
    "repair": """\
Such a wheel is called `linux_x86_64`, links against this machine's glibc (unless `sysroot` says otherwise), and is still audited for
unresolved symbols. Editable builds are always made so.""",
    "jobs": "See [Cores and memory](cluster.md#cores-and-memory).",
    "memory": """\
Each compiler is counted with 1.2 GB per architecture that it works on at once, all else with 0.7 GB. What is free is that of the machine and of every
control group that this process is in.""",
    "cache": "See [Again, from a compiler cache](speed.md#again-from-a-compiler-cache).",
    "compress": """\
`size`, `speed` and `balance` are nvcc's own words; `none` leaves the code as it is, `default` leaves the choice to nvcc. `size` needs
a driver that can unpack it, which every driver for CUDA 13 can: that is why it is only the default from 13 on.""",
    "gpu-code": """\
With `compact` PTX is sorted and shortened, and PTX for Turing is derived from that for 8.0. No Turing GPU has run such a wheel.
[Faster and smaller](speed.md#what-is-done-to-upstreams-kernels) says what is rewritten, and what it saves.""",
    "strip": "Set `false` to look at the binary with a debugger.",
    "lineinfo": "Upstream sets it always. The wheel is larger with it, and no faster.",
    "distribution-name": """\
Only the name changes: packages, modules and version stay as they are. Do not install `mamba-ssm` and `mamba-ssm-portable` side by
side: they own the same files.""",
    "build-tag": """\
A wheel keeps upstream's version. When the same version is packaged again, as after a fix of the backend, the new wheels get a higher number:
`mamba_ssm_portable-2.3.2.post1-2-cp39-abi3-….whl`. pip and uv take the higher one, and a wheel without a number counts as lower than any; of several indexes, uv looks at the first
that has the version. An environment that has the version already keeps what it has: `pip install --force-reinstall --no-deps`, or `uv pip install --reinstall-package`,
replaces it. Requirements cannot name a build number.""",
    "variant": """\
Off unless it is set, since the drafts may still change; see [PEP 817](https://peps.python.org/pep-0817/) and
[PEP 825](https://peps.python.org/pep-0825/).""",
    "local-version": """\
The label tells wheels for several torches apart in one folder or index. pip takes a version with a local label for newer than the
same without.""",
    "cache-dir": """\
Builds that run at the same time may share it. It can be deleted at any time; what is needed is then fetched again. Logs of failed
builds are in its folder `logs`.""",
    "build-dir": """\
A folder that is named stays, and a second build in it compiles only what changed. A temporary one is made where `TMPDIR` says. About
1 GB is needed.""",
    "metadata-only": """\
For those who fetch or lock an sdist on another machine than the one that builds: see [Without internet](cluster.md#without-internet).
Building a wheel is then an error in one sentence. A source whose setup.py has to be run for its metadata, such as one from git, is
one too.""",
    "keep-build-dir": "It is for a temporary folder: its sources, objects, wrappers, and the log.",
    "verbose": "Otherwise there is one line per file, and the whole output is in the log.",
}
"""What the page of settings says beyond the README's table."""


def settings_page() -> str:
    """The page, a heading and so an anchor for each setting."""
    out = [SETTINGS]
    rows = settings_table().splitlines()
    for key, row in zip(known_keys(), rows[2:]):
        rows[rows.index(row)] = row.replace(f"| `{key}` |", f"| [`{key}`](#{key}) |", 1)
    out += ["\n".join(rows), ""]
    for key, item in known_keys().items():
        default = item.shown_default
        (variable,) = as_environment({key: ""})
        alias = f"; where nothing is set, `{item.alias}`" if item.alias else ""
        doc = item.doc
        # nvcc is written so at the beginning of a sentence too.
        first = doc[0] if doc.startswith("nvcc") else doc[0].upper()
        out += [f"## {key}\n", f"{first}{doc[1:]}.\n"]
        if key in LONGER:
            out.append(f"{LONGER[key]}\n")
        out.append(f"Default: {default}. In the environment: `{variable}`{alias}.\n")
    return "\n".join(out).rstrip() + "\n"


PAGE = """\
# Troubleshooting

What users of mamba-ssm and causal-conv1d meet while they install, build or import them: the message, why it comes, and
what to type. `python -m mamba_build_backend explain < build.log` finds the entry for a log by itself, and
`python -m mamba_build_backend doctor` says what stands in the way before anything is built.

In the commands `./mamba-ssm-portable` stands for your clone of this project. `explain` prints them for the log's own module, torch and CUDA, for
where you are (pip, uv, conda, pixi, a container), and with the clone's real path.

This page is made from `mamba_build_backend/tables/failures.toml` and `failure_words.toml` by `python tests/update_reports.py`.
"""


def troubleshooting() -> str:
    """The page, for those who search for a message."""
    out = [PAGE]
    for item in known_failures.load_failures():
        log = (ROOT / "tests" / "logs" / f"{item.id}.txt").read_text(encoding="utf-8")
        found = known_failures.explain(log).explanations[0]
        out += [
            f"## {item.id.replace('-', ' ')}\n",
            f"<!-- run: text -->\n```text\n{found.line}\n```\n",
            f"{found.cause}\n",
        ]
        for fix in found.fixes:
            text = f"`{fix.text}`" if fix.is_command else fix.text
            out.append(f"- {text}" + (f": {fix.why}" if fix.why else ""))
        out.append(f"\nReported: {', '.join(address(name) for name in item.reported)}\n")
    return "\n".join(out)


COMPATIBILITY = """\
# What was compiled with what, and imported where

[One file, every torch](#one-file-every-torch) is what a wheel runs with. The other tables are of wheels with `abi=torch`: each row was built from this project's checkout, linked, audited and imported beside that torch; `patches` names what was
changed in upstream's source for it (`patches/series.toml` has the series). One compute capability each, since it is the
sources that are tried: 8.0 with CUDA 11 and 12, 9.0 with CUDA 13. `python tests/matrix.py list` prints what the matrix holds,
and in an environment as its heading says, this builds it again:

<!-- run: text -->
```console
$ python tests/matrix.py run NAME --python PYTHON
```

PYTHON has the torch; `--source FOLDER` takes upstream's tags from git mirrors. Rows marked CI are built by the end-to-end tests of
every change too. This page is made from `tests/matrix.toml` and `tests/matrix-results.json` by `python tests/update_reports.py`.
"""


TORCHES = """\
## One file, every torch

Two wheels with `abi=stable`, mamba-ssm 2.3.2.post1 and causal-conv1d 1.7.0: each row a new environment, without a GPU, with the index's build of that torch.
uv installed the wheels, and pip said what it would install. What is made of it: `python -m mamba_ssm_portable`, and the recorded calls of both
modules, most of them wrong, whose answers must be those of upstream's binding. Up to torch 2.9 the two files were those of nvcc 13.0 and zig, from 2.10 on those of nvcc 12.4 and g++; their
bindings are the same source.

<!-- run: text -->
```console
$ python tests/stable/torches.py mamba_ssm_portable-*.whl causal_conv1d_portable-*.whl
```

causal-conv1d's Python is for torch 2.4 and Python 3.10; where those are older its wheel was not installed.

| torch | Python | extensions | `import mamba_ssm` | Mamba-3 | brought beside torch | calls |
|---|---|---|---|---|---|---|"""
WITHOUT_GPU = "RuntimeError: 0 active drivers"


def torches() -> list[str]:
    """What came of tests/stable/torches.py."""
    rows = json.loads((ROOT / "tests" / "stable" / "torches.json").read_text(encoding="utf-8"))["rows"]
    return [TORCHES, *map(_torch, rows), ""]


def _torch(row: dict[str, Any]) -> str:
    extensions = [name for name in ("selective_scan_cuda", "causal_conv1d_cuda") if name in row["checks"]]
    fine = all(row["checks"][name] == "ok" for name in extensions)
    package, trouble = "imports", row["failed"].get("mamba_ssm", "")
    if trouble:
        asks = f"not without a GPU: Triton {row['triton']} asks for one where a kernel is declared"
        package = asks if WITHOUT_GPU in trouble else f"not with transformers {row['transformers']}"
    mamba3 = {"imports": "imports", "says": "says what it needs"}.get(row["mamba3"], "")
    calls = (
        row["calls"]
        .replace("not called: its fake tensors ask for a driver", "")
        .replace(" compared, 0 differ", " alike")
    )
    brought = ", ".join(f"{name} {row[name]}" if name in row else name for name in row["changed by uv"]) or "nothing"
    state = "import" if fine else "**fail**"
    return f"| {row['torch']} | {row['python']} | {state} | {package} | {mamba3} | {brought} | {calls} |"


FORKS = """\
## Forks

[Changed copies](forks.md) as they lie in their repositories, built with torch 2.11.0+cu130, nvcc 13.0 and g++ 12.2 for one architecture, without
a GPU, with nvcc's fast mode; audited and imported. What they compute on a GPU, compiled as usual, is in [Forks](forks.md#right-results).

<!-- run: text -->
```console
$ NVCC_APPEND_FLAGS=-Ofc=max python -m mamba_build_backend build FOLDER -C arch=9.0 -C cache=off --no-isolation -w dist
```

| fork | commit | folder | most like | patches for CUDA 13 | wheel |
|---|---|---|---|---|---|
@ROWS@

The same with nvcc 12.4, less optimised, so that it ends in minutes. Such a wheel is for torch 2.0 and newer; it was unpacked beside torch 2.1.2+cu121 (Python
3.10) and torch 2.4.1+cu121 (Python 3.11), the modules imported, audited with it, and those of a scan called with tensors of the CPU, which they refuse in their own words. The
copies of mamba-ssm itself in Vim, VideoMamba and SegMamba were not built with CUDA 12 yet; the modules of their wheels by nvcc 13.0 were imported and called beside both.

<!-- run: text -->
```console
$ NVCC_APPEND_FLAGS="-Xcicc -O1 -Xptxas -O1" python -m mamba_build_backend build FOLDER -C arch=9.0 -C cuda-home=/opt/cuda-12.4 --no-isolation -w dist
```

| fork | folder | wheel | torch 2.1.2, torch 2.4.1 |
|---|---|---|---|
@CUDA12@
"""


def forks() -> str:
    """What came of the forks that were built."""
    rows = json.loads((ROOT / "tests" / "forks.json").read_text(encoding="utf-8"))
    keys = ("fork", "commit", "folder", "like", "patches", "wheel")
    older = [row for row in rows if "cuda12" in row]
    return FORKS.replace("@ROWS@", _lines(rows, keys)).replace(
        "@CUDA12@", _lines(older, ("fork", "folder", "cuda12", "torch"))
    )


def _lines(rows: list[dict[str, Any]], keys: tuple[str, ...]) -> str:
    return "\n".join("| " + " | ".join(row[key] for key in keys) + " |" for row in rows)


def compatibility() -> str:
    """The page of the matrix."""
    seen = {(item["environment"], item["what"]): item for item in matrix.results()}
    out = [COMPATIBILITY, *torches(), forks()]
    for name, environment in matrix.environments().items():
        out.append(
            f"## {name}: torch {environment['torch']}, Python {environment['python']}, nvcc {environment['nvcc']}\n\n"
            f"{environment['where']}.\n\n"
            "| project | source | g++ | patches | wheel | needs | audit, import | at |\n|---|---|---|---|---|---|---|---|"
        )
        out += [_row(build, seen.get((name, build["what"]))) for build in environment["builds"]]
        out.append("")
    return "\n".join(out)


def _row(build: dict[str, Any], item: dict[str, Any] | None) -> str:
    project = f"{build['what'].replace('==', ' ')}{' (CI)' if build.get('ci') else ''}"
    source = "tag" if build.get("git") else "index"
    if item is None:
        return f"| {project} | {source} | | | not built yet | | | |"
    patches = ", ".join(path.partition("/")[2].partition("-")[0] for path in item["patches"]) or "none"
    tag = item["wheel"].removesuffix(".whl").rpartition("-")[2].partition(".")[0]
    floor = item["floor"]
    needs = "its own machine's glibc (`repair=false`)"
    if floor:
        needs = f"GLIBC {floor['glibc']}, GLIBCXX {floor['glibcxx']}, CXXABI {floor['cxxabi']}"
    flags = f", `{item['nvcc-append-flags']}`" if item.get("nvcc-append-flags") else ""
    wheel = f"{item['size'] / 1e6:.1f} MB, {tag}{flags}"
    return (
        f"| {project} | {source} | {item['gxx']} | {patches} | {wheel} | {needs} "
        f"| {item['audit']}, {item['import']} | {item['commit']} |"
    )


def address(name: str) -> str:
    """A Markdown link of ``owner/name#number``; an address stays as it is."""
    repository, _, number = name.partition("#")
    return f"[{name}](https://github.com/{repository}/issues/{number})" if number else f"<{name}>"


VENDORED = ROOT / "tests" / "vendored"


def tool_files() -> str:
    """The names of the files of the tool's distribution: the package, the patches in it, the licence."""
    names = [path.relative_to(ROOT).as_posix() for path in project_files(ROOT, os.environ).paths]
    held = [name for name in names if name.startswith("mamba_build_backend/")]
    held += [f"mamba_build_backend/{name}" for name in names if name.startswith("patches/")]
    return "".join(f"{name}\n" for name in sorted([*held, "mamba_build_backend/LICENSE"]))


"""The files of each copy that `vendor` makes, one a line."""


def main() -> None:
    """Write them all."""
    for upstream in (SELF, *project_names()):
        names = "".join(f"{name}\n" for name in manifest.content(upstream))
        (VENDORED / f"{upstream}.txt").write_text(names, encoding="utf-8")
    (ROOT / "tests" / "distributions" / "mamba-build-backend.txt").write_text(tool_files(), encoding="utf-8")
    for path in sorted((ROOT / "tests" / "facts").glob("*.json")):
        settings, facts = recording.load(path, {})
        made = plan.decide(settings, facts, tables.load_tables())
        path.with_suffix(".txt").write_text(report.plan_text(facts, made, verbose=True), encoding="utf-8")
    (ROOT / "tests" / "reasons.txt").write_text(reasons.of_all_machines(), encoding="utf-8")
    changed_machines.AGREED.write_text("".join(changed_machines.texts()), encoding="utf-8")
    (ROOT / "docs" / "settings.md").write_text(settings_page(), encoding="utf-8")
    (ROOT / "docs" / "troubleshooting.md").write_text(troubleshooting(), encoding="utf-8")
    (ROOT / "docs" / "compatibility.md").write_text(compatibility(), encoding="utf-8")
    doctor_json.SCHEMA_FILE.parent.mkdir(exist_ok=True)
    doctor_json.SCHEMA_FILE.write_text(json.dumps(doctor_schema(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
