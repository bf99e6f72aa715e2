"""The checks of ``python -m`` with this package's name. Each returns a row: check, state, finding."""

from __future__ import annotations

import importlib
import itertools
import os
import platform
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from . import _built_for, build_info


@dataclass(frozen=True)
class Row:
    """``state`` is ``ok``, ``failed`` or ``unchecked``."""

    check: str
    state: str
    found: str


def all_rows(*, full: bool = False) -> list[Row]:
    """Run every check; a failed check does not stop those that can still run.

    ``full``: compare the kernels more thoroughly.
    """
    rows = [_tried("wheel", _wheel), *_other_owners(), _tried("glibc", _glibc)]
    torch_row = _tried("torch", _torch)
    rows += [torch_row, _tried("driver", _driver)]
    if torch_row.state == "failed":
        return rows
    rows += [_extension(name) for name in _built_for.EXTENSIONS]
    rows += [_package(name) for name in _built_for.PACKAGES]
    if any(row.state == "failed" for row in rows):
        return rows
    try:
        return [*rows, *_gpu(full)]
    except Exception as error:
        return [*rows, Row("GPU", "failed", _said(error))]


def _tried(check: str, look: Callable[[], Row]) -> Row:
    try:
        return look()
    except Exception as error:  # a damaged torch, driver or record may raise anything
        return Row(check, "failed", _said(error))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no further message').splitlines()[0]}"


def _wheel() -> Row:
    try:
        record = build_info()
    except LookupError as error:
        return Row("wheel", "failed", str(error))
    try:
        return Row("wheel", "ok", _described(record))
    except (LookupError, TypeError, AttributeError):
        again = f"python -m pip install --force-reinstall --no-deps {_built_for.DISTRIBUTION}"
        return Row("wheel", "failed", f"the build record is damaged, or belongs to another wheel\n{again}")


def _described(record: dict[str, Any]) -> str:
    codes = " ".join(code for item in record["gpu_code"]["passes"] for code in item["codes"])
    found = f"{_built_for.DISTRIBUTION} {_built_for.VERSION}, GPU code for {codes}"
    sources = [record["upstream"], *record["companions"]]
    fixes = [patch["file"] for item in sources for patch in item["patches"] if patch.get("kind") == "fix"]
    if fixes:
        found += f"\nfixes of upstream's results: {', '.join(map(_subject, fixes))}"
    forks = [item["name"] for item in sources if not item["verified"]]
    if forks:
        found += f"\nbuilt from a changed source of {' and '.join(forks)}, not from a release of upstream"
    return found


def _subject(file: str) -> str:
    """Return a fix's subject from its file name, such as ``project/0004-gradients-of-padding-to-1.5.4.patch``."""
    name = os.path.basename(file).removesuffix(".patch").partition("-")[2]
    return re.sub(r"-(to|before)-[0-9][0-9a-z.]*$", "", name).replace("-", " ")


def _other_owners() -> Iterator[Row]:
    """Yield a row for another distribution with the same packages: the last installation overwrote the other's files."""
    for package in _built_for.PACKAGES:
        upstream = package.replace("_", "-")
        for name in (upstream, f"{upstream}-portable"):
            if name == _built_for.DISTRIBUTION:
                continue
            try:
                found = metadata.version(name)
            except Exception:  # noqa: S112 - not installed, or with damaged metadata
                continue
            if found.endswith("+portable"):  # our stand-in for upstream's package, a wheel without files
                continue
            both = f"{name} {_built_for.DISTRIBUTION}"
            yield Row(
                "installed twice",
                "failed",
                f"{name} {found} also owns {package}/, and the two overwrite each other\n"
                f"python -m pip uninstall {both}, then install the one that you want",
            )


def _glibc() -> Row:
    needed = _measured().get("glibc", "")
    present = ""
    try:
        present = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")[2]
    except (AttributeError, ValueError, OSError):
        present = platform.libc_ver()[1]
    if not needed or not present:
        return Row("glibc", "ok", f"{present or 'unknown'} here")
    fits = _numbers(present) >= _numbers(needed)
    return Row("glibc", "ok" if fits else "failed", f"{present} here, the wheel needs {needed}")


def _measured() -> dict[str, str]:
    try:
        floor = build_info()["floor"]["measured"]
    except (LookupError, TypeError):
        return {}
    return {name: str(value) for name, value in floor.items()} if isinstance(floor, dict) else {}


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _torch() -> Row:
    try:
        from . import _guard
    except ImportError as error:
        return Row("torch", "failed", str(error))
    assert _guard.misfit() is None
    import torch

    if _built_for.ABI == "stable":
        found = (
            f"{torch.__version__}, the wheel is for {_built_for.TORCH} and newer, with its own CUDA {_built_for.CUDA}"
        )
    else:
        found = f"{torch.__version__}, built for {_built_for.TORCH} with CUDA {_built_for.CUDA}"
    return Row("torch", "ok", found)


def _driver() -> Row:
    """Ask the driver for its version without initialising it, so that the process can still fork."""
    import ctypes

    needed = f"the wheel needs a driver for CUDA {_built_for.DRIVER}"
    version = ctypes.c_int()
    try:
        status = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        status = 1
    if status != 0:
        return Row("driver", "unchecked", f"no driver found; {needed}")
    found = f"{version.value // 1000}.{version.value % 1000 // 10}"
    fits = _numbers(found) >= _numbers(_built_for.DRIVER)
    return Row("driver", "ok" if fits else "failed", f"supports CUDA {found}; {needed}")


def _extension(name: str) -> Row:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        return Row(name, "failed", str(error))
    except Exception as error:
        return Row(name, "failed", _said(error))
    return Row(name, "ok", os.path.basename(str(module.__file__)))


def _package(name: str) -> Row:
    try:
        module = importlib.import_module(name)
    except Exception as error:  # a package may raise anything on import; show it to the user
        return Row(name, "failed", f"{type(error).__name__}: {error}")
    return Row(name, "ok", f"{getattr(module, '__version__', '')} imports")


def _gpu(full: bool) -> Iterator[Row]:
    import torch

    if not torch.cuda.is_available():
        yield Row("GPU", "unchecked", "no GPU that torch can use")
        yield Row("kernels", "unchecked", "they run only on a GPU")
        return
    major, minor = torch.cuda.get_device_capability()
    yield Row("GPU", "ok", f"{torch.cuda.get_device_name()}, compute capability {major}.{minor}")
    if not _built_for.CHECKS:
        yield Row("kernels", "unchecked", "this project has no reference results to compare with")
    for name in _built_for.CHECKS:
        yield _kernels(importlib.import_module(f"{__package__}.{name}"), full)


def _kernels(check: Any, full: bool = False) -> Row:
    """Compare a project's kernels with a reference; docs/add-a-project.md describes the module ``check``."""
    worst = []
    more = getattr(check, "more_results", None) if full else None
    try:
        for name, ours, reference, allowed in itertools.chain(check.results(), more() if more else ()):
            scale = reference.float().abs().max().item() or 1.0
            error = (ours.float() - reference.float()).abs().max().item() / scale
            worst.append(error / allowed)
            if not error <= allowed:
                found = f"{name} is off by {error:.1e} of its largest value; the tolerance is {allowed:.0e}"
                return Row("kernels", "failed", f"{check.TITLE}: {found}")
    except Exception as error:
        return Row("kernels", "failed", f"{check.TITLE}: {_said(error)}")
    found = f"{check.TITLE}, {check.COVERS_MORE if more else check.COVERS}: match the reference (largest error {max(worst):.0%} of the tolerance)"
    return Row("kernels", "ok", found)
