"""A mutation run: each small change of the code that decides must make a test fail.

    python -m pip install mutmut
    python tests/mutate.py                          all of mamba_build_backend/plan
    python tests/mutate.py mamba_build_backend/plan/gpus.py --jobs 8
    python tests/mutate.py --every 20               a sample

mutmut makes the changes (an operator, a constant, an argument, a condition of one function). mutmut itself starts
pytest for each, which takes longer than the tests: here pytest collects once, and a fork of that process gets each
change and runs the tests of the changed function until one fails. The script prints survivors as diffs; the exit status
is 1 if the score is below ``--least``.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import gc
import importlib
import json
import os
import signal
import sys
import tempfile
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

ROOT = Path(__file__).resolve().parent.parent
PLAN = ROOT / "mamba_build_backend" / "plan"
TESTS = (
    "test_plan.py",
    "test_report.py",
    "test_properties.py",
    "test_plan_nvcc.py",
    "test_plan_changed.py",
    "test_plan_handed_on.py",
    "test_plan_versions.py",
    "test_api.py",
    "test_build_record.py",
    "test_forks.py",
    "test_matrix_command.py",
    "test_metadata.py",
    "test_patching.py",
    "test_requires.py",
    "test_recorded.py",
    "test_sources.py",
    "test_targets.py",
    "test_told_commands.py",
    "test_zig.py",
)
"""Those that plan in their own process; what only starts other processes cannot see a change."""
LONGEST = 120  # seconds of processor time: a change that makes an endless loop is killed by then
FAULT = 2  # the exit status of a fork that failed outside of a test


@dataclass(eq=False)
class Mutant:
    file: Path
    function: str
    """Its qualified name in its module."""
    made: Callable[[], str]
    """Writes the whole module, changed. It takes longer than many a test: the forks do it."""

    @functools.cached_property
    def source(self) -> str:
        return self.made()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=sorted(PLAN.glob("*.py")), metavar="FILE")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many changes are tried at once")
    parser.add_argument("--tests", nargs="*", default=TESTS, help="files of tests/unit (default: %(default)s)")
    parser.add_argument(
        "--least", type=float, default=0, help="the score, in per cent, below which the exit status is 1"
    )
    parser.add_argument("--again", type=Path, metavar="LOG", help="try only what survived in a run that printed this")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every so many of the changes: a sample")
    options = parser.parse_args()
    files = [path.resolve() for path in options.files]
    os.chdir(ROOT)
    run = Run(files, options.jobs, options.every, options.again.read_text(encoding="utf-8") if options.again else "")
    arguments = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        *(f"{ROOT}/tests/unit/{name}" for name in options.tests),
    ]
    pytest.main(arguments, plugins=[run])
    return run.report(options.least)


class Run:
    """Takes the place of pytest's loop over the tests."""

    def __init__(self, files: list[Path], jobs: int, every: int, again: str) -> None:
        self.files, self.jobs, self.every, self.again = files, jobs, every, again
        self.results: list[tuple[Mutant, str]] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        start = time.monotonic()
        caches()
        covering = covered(session.items, self.files)
        print(f"{len(session.items)} tests run {len(covering)} functions of {len(self.files)} files", flush=True)
        waiting, running = list(mutants(self.files))[:: self.every][::-1], {}
        if self.again:
            waiting = [
                mutant
                for mutant in waiting
                if f"{mutant.file.name}: {mutant.function}\n{shown(mutant)}\n" in self.again
            ]
        total = len(waiting)
        while waiting or running:
            while waiting and len(running) < self.jobs:
                mutant = waiting.pop()
                items = covering.get((str(mutant.file), mutant.function), [])
                if not items:
                    self.results.append((mutant, "not run by a test"))
                    continue
                running[fork(functools.partial(survives, mutant, items))] = mutant
            if running:
                pid, status = os.wait()
                mutant = running.pop(pid)
                outcome = {0: "survived", FAULT: "could not be tried"}.get(os.waitstatus_to_exitcode(status), "killed")
                self.results.append((mutant, outcome))
                if len(self.results) % 100 == 0:
                    alive = sum(outcome != "killed" for _, outcome in self.results)
                    print(
                        f"{len(self.results)} of {total}: {alive} alive, {time.monotonic() - start:.0f} s", flush=True
                    )
        return True

    def report(self, least: float) -> int:
        for mutant, outcome in sorted(self.results, key=lambda item: (str(item[0].file), item[0].function)):
            if outcome != "killed":
                print(f"\n{outcome}: {mutant.file.name}: {mutant.function}\n{shown(mutant)}")
        print()
        killed, tried = Counter[str](), Counter[str]()
        for mutant, outcome in self.results:
            for name in (mutant.file.name, "all"):
                tried[name] += 1
                killed[name] += outcome == "killed"
        for name in sorted(tried):
            print(f"{name:22} {killed[name]:5} of {tried[name]:5} killed, {100 * killed[name] / tried[name]:5.1f} %")
        return 0 if tried and 100 * killed["all"] / tried["all"] >= least else 1


def shown(mutant: Mutant) -> str:
    """The change, as a diff."""
    before = mutant.file.read_text(encoding="utf-8").splitlines()
    lines = list(difflib.unified_diff(before, mutant.source.splitlines(), n=0, lineterm=""))[2:]
    return "\n".join(f"    {line}" for line in lines)


def mutants(files: list[Path]) -> Iterator[Mutant]:
    """Each change that mutmut makes in a function of these files."""
    from mutmut.mutation.file_mutation import create_mutations

    for file in files:
        module, mutations, *_ = create_mutations(str(file), file.read_text(encoding="utf-8"))
        methods = {
            id(item): f"{node.name.value}.{item.name.value}"
            for node in module.body
            if type(node).__name__ == "ClassDef"
            for item in node.body.body
            if type(item).__name__ == "FunctionDef"
        }
        for mutation in mutations:
            function = mutation.contained_by_top_level_function
            if type(function).__name__ == "FunctionDef":  # newer mutmuts change a module's constants, too
                made = functools.partial(replaced, module, mutation.original_node, mutation.mutated_node)
                yield Mutant(file, methods.get(id(function), function.name.value), made)


def replaced(module: Any, old: Any, new: Any) -> str:
    return str(module.deep_replace(old, new).code)


def fork(work: Any) -> int:
    """Run ``work`` in a copy of this process, silently; its exit status is the truth of what it returns, 0 for true."""
    pid = os.fork()
    if pid:
        return pid
    status = FAULT
    try:
        signal.setitimer(signal.ITIMER_PROF, LONGEST)
        for number in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        status = 0 if work() else 1
    finally:
        os._exit(status)


def survives(mutant: Mutant, items: list[pytest.Item]) -> bool:
    """Whether every test passes with the change in place."""
    change(mutant)
    forget()
    return all(passes(item, after) for item, after in zip(items, [*items[1:], None]))


def passes(item: pytest.Item, after: pytest.Item | None) -> bool:
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=after))


def change(mutant: Mutant) -> None:
    """Give the function its changed code; whoever imported it has the same function object."""
    module = importlib.import_module(module_name(mutant.file))
    changed = dict(module.__dict__)
    exec(compile(mutant.source, str(mutant.file), "exec"), changed)
    old, new = (named(space, mutant.function) for space in (module.__dict__, changed))
    old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__


def named(space: dict[str, Any], qualified: str) -> types.FunctionType:
    """The function of this qualified name."""
    head, *rest = qualified.split(".")
    found = space[head]
    for name in rest:
        found = vars(found)[name]
    return undecorated(found)


def undecorated(found: Any) -> Any:
    """Code in a property, a class method or a cache."""
    for attribute in ("fget", "__func__", "__wrapped__"):
        found = getattr(found, attribute, found)
    return found


@functools.cache
def caches() -> tuple[Any, ...]:
    """What the tests and the planner remember, but for the tables, which are read from files."""
    ours = ("mamba_build_backend", "support", "tests", "unit", "test_")
    found = (item for item in gc.get_objects() if isinstance(item, functools._lru_cache_wrapper))
    return tuple(item for item in found if item.__module__.startswith(ours) and item.__name__ != "load_tables")


def forget() -> None:
    for item in caches():
        item.cache_clear()


def covered(items: list[pytest.Item], files: list[Path]) -> dict[tuple[str, str], list[pytest.Item]]:
    """For each function, the tests that run it, the quickest first. Found out in a copy of this process."""
    with tempfile.NamedTemporaryFile("r+") as file:
        os.waitpid(fork(functools.partial(trace, items, {str(path) for path in files}, file.name)), 0)
        seen = json.load(file)
    out: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for number, seconds, functions in seen:
        for where, name in functions:
            out.setdefault((where, name), []).append((seconds, number))
    return {function: [items[number] for _, number in sorted(tests)] for function, tests in out.items()}


def trace(items: list[pytest.Item], files: set[str], out: str) -> bool:
    signal.setitimer(signal.ITIMER_PROF, 0)
    called: set[tuple[str, str]] = set()
    for file in files:
        for function in functions_of(Path(file)):
            report_calls(function, (file, function.__qualname__), called)
    import support

    machines = {}
    forget()
    for path in support.RECORDED:
        called.clear()
        support.planned_for(path)
        machines[path] = frozenset(called)
    rows = []
    for number, (item, after) in enumerate(zip(items, [*items[1:], None])):
        called.clear()
        # The plans of recorded machines are cached above, for the tests that have a machine as their parameter.
        machine = getattr(getattr(item, "callspec", None), "params", {}).get("path")
        if machine is None:
            support.planned_for.cache_clear()
        start = time.monotonic()
        passed = passes(item, after)
        called |= machines.get(machine, frozenset())
        if passed and called:
            rows.append((number, time.monotonic() - start, sorted(called)))
    Path(out).write_text(json.dumps(rows), encoding="utf-8")
    return True


def report_calls(function: types.FunctionType, name: tuple[str, str], called: set[tuple[str, str]]) -> None:
    """Let the function note each call. A profiler would see it too, and take ten times as long."""
    original = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    original.__kwdefaults__ = function.__kwdefaults__

    def noting(*arguments: Any, **named: Any) -> Any:
        called.add(name)
        return original(*arguments, **named)

    key = f"_mutate_{name[1].replace('.', '_')}"
    function.__globals__[key] = noting
    space: dict[str, Any] = {}
    exec(f"def passed_on(*arguments, **named): return {key}(*arguments, **named)", space)
    with suppress(ValueError):  # it has a closure, such as __class__: mutants of it count as not run
        function.__code__ = space["passed_on"].__code__


def functions_of(file: Path) -> Iterator[types.FunctionType]:
    """The functions and methods that a module of the backend defines."""
    module = importlib.import_module(module_name(file))
    for found in list(vars(module).values()):
        if getattr(found, "__module__", "") == module.__name__:
            for item in vars(found).values() if isinstance(found, type) else [found]:
                function = undecorated(item)
                if isinstance(function, types.FunctionType) and function.__code__.co_filename == str(file):
                    yield function


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


if __name__ == "__main__":
    sys.exit(main())
