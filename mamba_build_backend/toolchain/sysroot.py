"""Headers and link stubs of an older glibc than this machine's."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ToolError
from ..core.facts import Origin, Sysroot, SysrootProvider
from ..core.paths import is_dir, is_file
from ..core.process import Echo, capture
from ..core.storage import prepared
from ..probe.sysroots import zig_folder
from ..tables import load_tables

# zig stores headers that several targets share only once; a target's headers are the union, the most specific last.
_HEADERS = {
    "x86_64": ("any-linux-any", "x86-linux-any", "generic-glibc", "x86-linux-gnu", "x86_64-linux-gnu"),
    "aarch64": ("any-linux-any", "aarch64-linux-any", "generic-glibc", "aarch64-linux-gnu"),
}
_LOADER = {"x86_64": "ld-linux-x86-64.so.2", "aarch64": "ld-linux-aarch64.so.1"}
_OBJECTS = ("Scrt1.o", "crti.o", "crtn.o", "libc_nonshared.a")
_STUBS = (
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libutil.so.1",
    "libresolv.so.2",
    "libld.so.2",
)

# libstdc++'s ext/atomicity.h uses __libc_single_threaded (GLIBC_2.32) if this header exists. zig has it for every
# target, because its headers are those of the newest glibc, with differences selected by __GLIBC_MINOR__.
_TOO_NEW = ("sys/single_threaded.h",)


@dataclass(frozen=True)
class Root:
    """A sysroot in use. ``defines`` select the glibc version in zig's headers."""

    path: Path
    includes: tuple[Path, ...]
    libraries: tuple[Path, ...]
    defines: tuple[str, ...]


def apply_sysroot(
    chosen: Sysroot, glibc: str, target: str, cache: Path, environ: Mapping[str, str], echo: Echo
) -> Root:
    """Prepare the chosen sysroot for compiling."""
    path, defines = Path(chosen.path), tuple[str, ...]()
    if chosen.provider is SysrootProvider.ZIG:
        path = prepared_zig(chosen, glibc, target, cache, environ, echo)
        defines = (f"-D__GLIBC_MINOR__={glibc.partition('.')[2]}",)
    # Debian's roots have folders named after the target; Red Hat's and conda's have lib64.
    libraries = [f"usr/lib/{target}", f"lib/{target}", "usr/lib64", "usr/lib", "lib64", "lib"]
    includes = [f"usr/include/{target}", "usr/include"]
    return Root(path, _folders(path, includes), _folders(path, libraries), defines)


def _folders(root: Path, parts: list[str]) -> tuple[Path, ...]:
    return tuple(root / part for part in parts if is_dir(root / part))


def prepared_zig(chosen: Sysroot, glibc: str, target: str, cache: Path, environ: Mapping[str, str], echo: Echo) -> Path:
    """Return the sysroot from zig's package, from the cache or newly made (about 7 s)."""
    if chosen.origin is Origin.CACHE:
        return Path(chosen.path)
    arch = target.partition("-")[0]

    def build(draft: Path) -> None:
        echo(f"making a sysroot of glibc {glibc} from {chosen.found_in}")
        _copy_headers(Path(chosen.path), arch, draft / "usr" / "include")
        _make_stubs(Path(chosen.path), arch, glibc, draft / "usr" / "lib", environ)

    return prepared(zig_folder(cache, glibc, arch), build)


def _copy_headers(zig: Path, arch: str, include: Path) -> None:
    for name in _HEADERS[arch]:
        source = zig / "lib" / "libc" / "include" / name
        if not is_dir(source):
            raise ToolError(
                f"{source} is missing",
                "the ziglang package is incomplete",
                f"python -m pip install --force-reinstall {load_tables().zig.requirement}",
            )
        shutil.copytree(source, include, dirs_exist_ok=True, copy_function=shutil.copyfile)
    for name in _TOO_NEW:
        (include / name).unlink(missing_ok=True)


def _make_stubs(zig: Path, arch: str, glibc: str, lib: Path, environ: Mapping[str, str]) -> None:
    """Let zig link a program for this glibc, and keep the stubs and start files that zig generates."""
    lib.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="mamba-build-zig-") as scratch:
        source = Path(scratch) / "main.c"
        source.write_text("int main(void) { return 0; }\n")
        env = {**environ, "ZIG_GLOBAL_CACHE_DIR": scratch, "ZIG_LOCAL_CACHE_DIR": scratch, "ZIG_VERBOSE_LINK": "1"}
        target = f"{arch}-linux-gnu.{glibc}"
        command: list[str | os.PathLike[str]] = [
            zig / "zig",
            "cc",
            "-v",
            "-target",
            target,
            "-o",
            Path(scratch) / "main",
            source,
        ]
        output = capture([*command, "-lm", "-lpthread", "-ldl", "-lrt"], env=env, timeout=300, merge=True)
        # The last link line names every file of the program.
        line = next((line for line in reversed(output.splitlines()) if "Scrt1.o" in line and "ld.lld" in line), "")
        # zig quotes nothing. Its own folders may contain spaces, the paths below them do not.
        parts = {Path(part).name: Path(part) for part in re.findall(rf"{re.escape(scratch)}\S+", line)}
        missing = [name for name in (*_OBJECTS, *_STUBS) if name not in parts or not is_file(parts[name])]
        if missing:
            raise ToolError(
                f"zig made no {', '.join(missing)} for glibc {glibc}", "use another sysroot", "-C sysroot=conda"
            )
        for name in (*_OBJECTS, *_STUBS):
            shutil.copyfile(parts[name], lib / (_LOADER[arch] if name == "libld.so.2" else name))
    shutil.copyfile(lib / "Scrt1.o", lib / "crt1.o")
    (lib / "libc.so").write_text(f"GROUP ( libc.so.6 libc_nonshared.a AS_NEEDED ( {_LOADER[arch]} ) )\n")
    for stub in _STUBS[1:-1]:
        (lib / (stub.partition(".so")[0] + ".so")).symlink_to(stub)
