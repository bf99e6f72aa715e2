"""Write what is made from code and tables anew: look at the diff before you commit it.

The reports of all recorded machines and the reasons in them, what changed machines are told, the lists of a vendored copy's files, the JSON Schema of ``doctor --json``, in docs/ settings.md, troubleshooting.md,
zh/troubleshooting.md, compatibility.md and the charts and the picture of doctor in docs/img, and the table of benchmarks/results.json in benchmarks/README.md.
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
import charts  # noqa: E402
import doctor_picture  # noqa: E402
import matrix  # noqa: E402
import reasons  # noqa: E402
import troubleshooting_page  # noqa: E402
import troubleshooting_zh  # noqa: E402
from doctor_schema import doctor_schema  # noqa: E402

from mamba_build_backend import plan, tables  # noqa: E402
from mamba_build_backend.core.projects import SELF, project_names  # noqa: E402
from mamba_build_backend.core.settings import as_environment, known_keys, settings_table  # noqa: E402
from mamba_build_backend.plan import doctor_json, report  # noqa: E402
from mamba_build_backend.probe import recording  # noqa: E402
from mamba_build_backend.vendoring import manifest  # noqa: E402
from mamba_build_backend.wheel.project_files import project_files  # noqa: E402

SETTINGS = """\
# Settings

Each setting has one key, which you can set in three places. The first of these that sets it wins:

1. `-C key=value` on the command line of pip (23.1 and later), build, uv or `python -m mamba_build_backend`;
2. `MAMBA_BUILD_KEY` in the environment, with `_` for `-`;
3. `[tool.mamba-build-backend]` in the project's pyproject.toml.

`doctor` takes the same settings, and shows the plan that results from them:

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

- If none of the three places sets a key, the backend reads a few variables of torch and CUDA.
- An unknown key is an error in all three places. The message names the most similar key.
- Booleans are `true` or `false`.
- `arch` is a list in pyproject.toml. Elsewhere it is a string with `;` or `,` between the items; a shell needs quotes
  around a `;`.

`python tests/update_reports.py` makes this page from `mamba_build_backend/core/settings.py`.
"""

LONGER = {
    "upstream": """\
The command line also takes the project as a word: `python -m mamba_build_backend build causal-conv1d`. With `self` the
backend builds the source tree that holds it: see [Use it in your own extension](vendoring.md).""",
    "upstream-version": """\
The default is the newest version that works with the installed torch; for mamba-ssm this is 2.3.2.post1 with every
torch. An sdist builds the version whose source it carries. A version that is not in the table is an error that names
its neighbours.""",
    "source": """\
`index` and `git` are errors if the source cannot be downloaded that way. A URL is not a path: clone or download it
first. The backend keeps downloaded sources in `cache-dir`.""",
    "allow-unverified": """\
`upstream-version` says by which rules the source is built: its patches, its requirements, its partner. Without it, the
backend recognises a tree by its content ([Forks](forks.md)). A tree that you name on the command line needs no further
consent. The command line has `--allow-unverified` for this setting.""",
    "with-causal-conv1d": """\
One wheel then holds both extensions, and its metadata no longer require causal-conv1d. Do not install causal-conv1d
next to it: both own the same files.""",
    "torch": """\
[pip and uv](researcher.md#which-torch-is-taken) lists where `auto` looks, in order. A path may also be the root of an
environment. A requirement takes an installed torch that satisfies it; otherwise the frontend installs one for the
build. Without torch and without this setting, a wheel for every torch (`abi=stable`) is built without torch. A wheel
for a single torch then installs the newest known one for the build.""",
    "cuda-home": """\
`auto` takes the first of these that fits:

1. a toolkit on this machine;
2. CUDA 13 from PyPI;
3. CUDA 12.9 or 11.8 from NVIDIA's archives.

A toolkit fits if the driver runs it, if it compiles for this machine's GPU (or the GPUs that `arch` names), and if its
major version is not older than the major version of torch's CUDA. Without a driver, as on a login node, `auto` assumes
the oldest driver that torch's CUDA needs. With `abi=torch` the toolkit must have the major version of torch's CUDA.

The backend also checks a toolkit that a path names. `CUDA_HOME` in the environment is only the first candidate: if it
does not fit, the backend tries the others. The packages `nvidia-cuda-nvcc` and its parts make a complete nvcc from CUDA
13 on; those of CUDA 11 and 12 do not.""",
    "cuda-mirror": """\
The default is `https://developer.download.nvidia.com/compute/cuda/redist`. NVIDIA's host in China is
`https://developer.download.nvidia.cn/compute/cuda/redist`. A mirror has the same folders as NVIDIA's host. Its address
may contain a name and a password, which the backend never prints. A local folder holds the archives side by side, or in
NVIDIA's folders; the backend then uses no network for them. The backend checks each archive's SHA-256 against
`mamba_build_backend/tables/redist.toml` before it unpacks the archive.

NVIDIA's [CUDA EULA](https://docs.nvidia.com/cuda/eula/) is the licence; set `off` to download nothing. pip's `proxy`,
`cert`, `trusted-host` and `timeout` settings apply. This project could not reach NVIDIA's hosts:
[Test results](verification.md#nvidias-archives) says what was tested instead. See also
[Without internet](cluster.md#without-internet).""",
    "offline": """\
The setting covers what the backend itself downloads: upstream's source and NVIDIA's archives. An earlier build may have
left both in `cache-dir`. pip and uv have options of their own for the packages that they install:
`--no-index --find-links wheelhouse`, `--offline`.""",
    "host-compiler": """\
nvcc and torch both limit the versions of g++, and a portable link needs its `libstdc++.a`. `CXX` in the environment is
only the first candidate. The backend does not use this machine's clang.

If no g++ fits and the wheel is for every torch (`abi=stable`), `auto` takes zig: clang with its own C++ library, from
PyPI (70 to 81 MB), on x86_64, for CUDA 11.8 and from 12.4 on. zig compiles that library once, which takes a minute or
more; the result stays in `cache-dir`. `zig` takes it although a g++ fits. With `abi=torch`, `zig` is an error, because
torch's C++ library is that of g++.""",
    "arch": """\
Write capabilities as torch does (`9.0`, `9.0+PTX`), as nvcc does (`sm_90`), or use torch's names for generations, such
as `Hopper`. Machine code of 8.0 also runs on 8.6 and 8.9; that of 9.0 does not run on 10.0. PTX is for future GPUs.
`native` asks the driver, and is an error without a GPU.""",
    "abi": """\
`stable` needs a toolkit with `libcudart_static.a`, of any CUDA, and a Python with the GIL. The wheel is tied to the
driver that this CUDA needs and to the GPUs that it was compiled for.
[One wheel for torch 2.0 and newer](stable-abi.md) explains how it works, with its
[compatibility guarantees](stable-abi.md#compatibility-guarantees).""",
    "glibc": """\
The audit refuses a wheel that needs more. A lower number does not help if torch itself needs a newer glibc: `doctor`
prints both. The sysroot must not be newer than this.""",
    "sysroot": """\
`auto` takes the first of these that applies:

1. the sysroot of conda's compilers, if the build uses these compilers;
2. this machine's glibc, if it is old enough;
3. conda's sysroot;
4. zig's sysroot, from PyPI.

`host` links against this machine as it is. A path is the root of a system: it has `usr/include/features.h`.""",
    "repair": """\
Such a wheel has the platform tag `linux_x86_64` and links against this machine's glibc (unless `sysroot` says
otherwise). The backend still audits it for unresolved symbols. Editable builds are always made this way.""",
    "jobs": "See [Cores and memory](cluster.md#cores-and-memory).",
    "memory": """\
The backend counts 1.2 GB for each compiler and each architecture that it works on at once, and 0.7 GB for everything
else. The free memory of the machine counts, limited by every control group that this process is in.""",
    "cache": "See [Again, from a compiler cache](speed.md#again-from-a-compiler-cache).",
    "compress": """\
`size`, `speed` and `balance` are nvcc's own names. `none` does not compress, `default` leaves the choice to nvcc.
`size` needs a driver that can decompress it. Every driver for CUDA 13 can, so `size` is the default only from CUDA 13
on.""",
    "gpu-code": """\
With `compact`, the backend sorts and shortens PTX, and derives PTX for Turing from that for 8.0. No Turing GPU has run
such a wheel. [Faster builds and smaller wheels](speed.md#rewritten-ptx-gpu-codecompact) says what is rewritten, and
what it saves.""",
    "strip": "Set `false` to inspect the binary with a debugger.",
    "lineinfo": "Upstream always sets it. It makes the wheel larger, and no faster.",
    "distribution-name": """\
Only the name changes: packages, modules and version stay as they are. Do not install `mamba-ssm` and
`mamba-ssm-portable` next to each other: they own the same files.""",
    "build-tag": """\
A wheel keeps upstream's version. If you package the same version again, for example after a fix of the backend, give
the new wheels a higher number: `mamba_ssm_portable-2.3.2.post1-2-cp39-abi3-….whl`.

- pip and uv take the wheel with the higher number. A wheel without a number counts as lower than any. uv reads only
  the first index that has the version.
- An environment that already has the version keeps its wheel. To replace it, run
  `pip install --force-reinstall --no-deps` or `uv pip install --reinstall-package`.
- Requirements cannot name a build number.""",
    "variant": """\
Off by default, because the drafts may still change; see [PEP 817](https://peps.python.org/pep-0817/) and
[PEP 825](https://peps.python.org/pep-0825/).""",
    "local-version": """\
The label distinguishes wheels for several torches in one folder or index. For pip, a version with a local label is
newer than the same version without one.""",
    "cache-dir": """\
Builds that run at the same time can share this folder. You can delete it at any time; the next build downloads again
what it needs. The subfolder `logs` holds the logs of failed builds.""",
    "build-dir": """\
The build keeps a folder that you name, and a second build in it compiles only what changed. Otherwise the build makes a
temporary folder under `TMPDIR`. It needs about 1 GB.""",
    "metadata-only": """\
Use it to download or lock an sdist on another machine than the one that builds: see
[Without internet](cluster.md#without-internet). Building a wheel is then an error, and so is a source whose setup.py
must run to produce its metadata, such as one from git.""",
    "keep-build-dir": "It keeps the sources, objects, wrappers and log of a temporary folder.",
    "verbose": "Otherwise the build prints one line per file, and the log has the whole output.",
}
"""What the page of settings says beyond its table."""


def settings_page() -> str:
    """The page, a heading and so an anchor for each setting."""
    out = [SETTINGS]
    # Two columns, for phones; the default stands in the section of the key.
    out += ["| key | meaning |", "|---|---|"]
    for key, row in zip(known_keys(), settings_table().splitlines()[2:]):
        out.append(f"| [`{key}`](#{key}) | {row.split(' | ', 2)[2]}")
    out.append("")
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


SUPPORTED = """\
# Supported versions

Look for your torch. This command prints its version, and the CUDA that it was built with:

<!-- run: text -->
```bash
python -c 'import torch; print(torch.__version__, torch.version.cuda)'
```

![Which torch was tried with which CUDA build; the table below says the same](img/support-cuda.svg)
![Which torch was tried with which Python; the table below says the same](img/support-python.svg)

- **Run on a GPU**: upstream's own tests ran against the built wheels.
- **Compiled and imported**: wheels were built, audited, and imported next to that torch on a machine without a GPU.
- **Planned**: `doctor` plans the build from tables whose rows name their sources. Nobody has built it here.

A build with `abi=stable`, the default, needs torch 2.0 or newer and Python 3.9 or newer. Its wheel runs with any CUDA build of torch.
Is your torch older than 1.13 or newer than @NEWEST@? `doctor` says what it does about that:

<!-- run: text -->
```bash
python -m mamba_build_backend doctor
```

@TABLE@
The charts and tables of this page are made by `python tests/update_reports.py` from `tests/matrix-results.json`, `tests/stable/torches.json`,
`tests/forks.json` and `mamba_build_backend/tables/torch.toml`.

"""

COMPATIBILITY = """\
## Builds with abi=torch

Each row of the tables below was built from a clone of this project, linked, audited, and imported next to that torch, with `abi=torch`.
`patches` names the changes to upstream's source (`patches/series.toml` has the series). Each wheel is for one compute capability, because
these runs test the sources: 8.0 with CUDA 11 and 12, 9.0 with CUDA 13. The end-to-end tests of every change also build the rows marked CI.

`python tests/matrix.py list` prints the matrix. In an environment like the one in its heading, this command builds a row again. PYTHON has the
torch; `--source FOLDER` takes upstream's tags from git mirrors:

<!-- run: text -->
```console
$ python tests/matrix.py run NAME --python PYTHON
```

"""


TORCHES = """\
## One file, every torch

The same two wheels with `abi=stable` (mamba-ssm 2.3.2.post1 and causal-conv1d 1.7.0) were installed next to each torch below. Each row is a
new environment without a GPU, with PyPI's build of that torch. uv installed the wheels, and pip printed what it would install. Then
`python -m mamba_ssm_portable` ran, and the recorded calls of both modules: most of these calls are wrong, and each answer must equal the answer of
upstream's binding. Last, 88 real tensors were compared, as a binding with the stable headers reads them in each way that this torch has, with what
Python says of them. The two files are the same in all these rows: nvcc 13.0, in its fastest mode, and zig built them for one GPU (9.0). Rows that
say *not compared* are of an earlier run, of an earlier build of the same two wheels. An earlier run of the rows from torch 2.10 on, with wheels of
nvcc 12.4 and g++, had the same result.

<!-- run: text -->
```console
$ python tests/stable/torches.py mamba_ssm_portable-*.whl causal_conv1d_portable-*.whl
```

causal-conv1d's Python code needs torch 2.4 and Python 3.10. For an older torch or Python, its wheel was not installed.

| torch | Python | extensions | `import mamba_ssm` | Mamba-3 | installed as well | calls | tensors |
|---|---|---|---|---|---|---|---|"""
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
    return f"| {row['torch']} | {row['python']} | {state} | {package} | {mamba3} | {brought} | {calls} | {row.get('views', 'not compared')} |"


FORKS = """\
## Forks

[Changed copies](forks.md) of mamba-ssm, from their repositories, were built with torch 2.11.0+cu130, nvcc 13.0 (in its fastest mode) and
g++ 12.2 for one architecture, without a GPU. Their wheels were audited and imported. [Forks](forks.md#right-results) has their numerical
results on a GPU, compiled as usual.

<!-- run: text -->
```console
$ NVCC_APPEND_FLAGS=-Ofc=max python -m mamba_build_backend build FOLDER -C arch=9.0 -C cache=off --no-isolation -w dist
```

| fork | commit | folder | most like | patches for CUDA 13 | wheel |
|---|---|---|---|---|---|
@ROWS@

The next table has the same builds with nvcc 12.4, with less optimisation to save time. Such a wheel is for torch 2.0 and newer. Each was
unpacked next to torch 2.1.2+cu121 (Python 3.10) and torch 2.4.1+cu121 (Python 3.11), audited with it, and imported. The scans' modules were called with
CPU tensors, which they refuse in their own words. The wheels of Vim and VideoMamba have a draft of `mamba_stable/aoti.h`, which misread types with
torch 2.4.1, so their calls count with torch 2.1.2 only.

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
    supported = SUPPORTED.replace("@NEWEST@", charts.torches()[0].version).replace("@TABLE@", charts.support_table())
    out = [supported + "\n".join(torches()), forks(), COMPATIBILITY]
    for name, environment in matrix.environments().items():
        out.append(
            f"### {name}: torch {environment['torch']}, Python {environment['python']}, nvcc {environment['nvcc']}\n\n"
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


BENCHMARKS = ROOT / "benchmarks" / "README.md"
_MARKS = ("<!-- made from results.json by tests/update_reports.py -->\n", "<!-- end -->\n")


def benchmarks(page: str) -> str:
    """The page with the table of benchmarks/results.json between its marks."""
    before, _, rest = page.partition(_MARKS[0])
    return f"{before}{_MARKS[0]}\n{charts.benchmark_table()}\n{_MARKS[1]}{rest.partition(_MARKS[1])[2]}"


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
    (ROOT / "docs" / "troubleshooting.md").write_text(troubleshooting_page.page(), encoding="utf-8")
    (ROOT / "docs" / "zh" / "troubleshooting.md").write_text(troubleshooting_zh.page(), encoding="utf-8")
    (ROOT / "docs" / "compatibility.md").write_text(compatibility(), encoding="utf-8")
    for name, text in {**charts.pictures(), **doctor_picture.pictures()}.items():
        (ROOT / "docs" / "img" / name).write_text(text, encoding="utf-8")
    BENCHMARKS.write_text(benchmarks(BENCHMARKS.read_text(encoding="utf-8")), encoding="utf-8")
    doctor_json.SCHEMA_FILE.parent.mkdir(exist_ok=True)
    doctor_json.SCHEMA_FILE.write_text(json.dumps(doctor_schema(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
