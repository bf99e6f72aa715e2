"""Archives in NVIDIA's layout, a table of their hashes, and servers with every kind of fault."""

from __future__ import annotations

import hashlib
import http.server
import io
import platform
import re
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mamba_build_backend.tables import Archive, Archives, RedistRelease
from mamba_build_backend.tables.redist import COMPONENTS

NVCC = """\
#!/bin/sh
case $1 in
  --version) echo "Cuda compilation tools, release 12.4, V12.4.131" ;;
  --list-gpu-code) echo sm_80 && echo sm_90 ;;
esac
"""
PARTS: Mapping[str, Mapping[str, str]] = {
    "cuda_nvcc": {
        "LICENSE": "EULA",
        "bin/nvcc": NVCC,
        "bin/nvcc.profile": "TOP = $(_HERE_)/..",
        "nvvm/bin/cicc": "#!/bin/sh",
        "include/crt/host_config.h": "",
    },
    "cuda_cudart": {
        "LICENSE": "EULA",
        "include/cuda_runtime.h": "",
        "include/cuda_fp16.h": "",
        "include/cuda_bf16.h": "",
        "lib/libcudart.so.12.4.127": "ELF",
        "lib/libcudart.so.12": "-> libcudart.so.12.4.127",
        "lib/libcudart.so": "-> libcudart.so.12",
        "lib/libcudart_static.a": "!<arch>",
    },
    "cuda_cccl": {"LICENSE": "EULA", "include/cub/cub.cuh": ""},
}
"""What the files of a small toolkit hold; a text that begins with an arrow is a link."""


def packed(top: str, files: Mapping[str, str]) -> bytes:
    """An archive of these files in one folder, as NVIDIA packs them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz", preset=0) as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(f"{top}/{name}")
            if text.startswith("-> "):
                info.type, info.linkname = tarfile.SYMTYPE, text[3:]
            info.size = 0 if info.issym() else len(text)
            info.mode = 0o755 if text.startswith("#!") else 0o644
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def archive(component: str, data: bytes, *, release: str = "12.4.1", arch: str = "linux-x86_64") -> Archive:
    """The row of an archive that holds this."""
    return Archive(release, component, arch, release, len(data), hashlib.sha256(data).hexdigest())


def small_release(parts: Mapping[str, Mapping[str, str]] = PARTS) -> tuple[RedistRelease, dict[str, bytes]]:
    """A release of small archives, and what each of them holds, by its path on NVIDIA's host."""
    rows, files = [], {}
    for component in COMPONENTS:
        top = archive(component, b"x").top
        data = packed(top, parts[component])
        rows.append(archive(component, data))
        files[rows[-1].path] = data
    return RedistRelease("12.4.1", tuple(rows)), files


def from_mirror(release: RedistRelease, mirror: str) -> Archives:
    return Archives(release, release.archives, mirror)


Answer = Callable[[http.server.BaseHTTPRequestHandler, bytes], None]


def whole(request: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
    """The file, or the requested part of it."""
    asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    start = int(asked[1]) if asked else 0
    request.send_response(206 if asked else 200)
    if asked:
        request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
    request.send_header("Content-Length", str(len(data) - start))
    request.end_headers()
    request.wfile.write(data[start:])


@contextmanager
def mirror(files: Mapping[str, bytes], answer: Answer = whole) -> Iterator[tuple[str, list[Any]]]:
    """The address of a mirror of these files on this machine, and the requests that it got."""
    asked: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, dict(self.headers)))
            data = files.get(re.sub(r"^.*?/redist/", "", self.path))
            if data is None:
                self.send_error(404)
            else:
                answer(self, data)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # so that closing it waits for them, and nothing is left open
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/redist", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def laid_out(files: Mapping[str, bytes], folder: Path, *, flat: bool) -> Path:
    """The same as files of a folder."""
    for path, data in files.items():
        place = folder / (Path(path).name if flat else path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


PROFILE = """\
TOP = $(_HERE_)/..
NVVMIR_LIBRARY_DIR = $(TOP)/$(_NVVM_BRANCH_)/libdevice
PATH += $(TOP)/$(_NVVM_BRANCH_)/bin:$(_HERE_):
INCLUDES += "-I$(TOP)/$(_TARGET_DIR_)/include" $(_SPACE_)
LIBRARIES =+ $(_SPACE_) "-L$(TOP)/$(_TARGET_DIR_)/lib$(_TARGET_SIZE_)"
"""
"""The words by which NVIDIA's own nvcc finds its parts."""
_CCCL = ("cub", "cuda", "nv", "thrust")
_OTHERS = ("cublas", "cudalibxt", "cufft", "curand", "cusolver", "cusparse", "npp", "nvjpeg", "nvml", "nvrtc")


def packed_toolkit(home: Path, release: str, folder: Path) -> tuple[RedistRelease, dict[str, bytes]]:
    """The toolkit of tests/debian.py as three NVIDIA archives: ``lib``, cicc in nvvm/bin, no mathematical libraries."""
    arch = {"x86_64": "linux-x86_64", "aarch64": "linux-sbsa"}[platform.machine()]
    headers = [path for path in sorted((home / "include").iterdir()) if not path.name.startswith(_OTHERS)]
    profile = folder / "nvcc.profile"
    profile.write_text(PROFILE)
    programs = [path for path in sorted((home / "bin").iterdir()) if path.name not in ("cicc", "nvcc.profile")]
    parts: dict[str, list[tuple[Path, str]]] = {
        "cuda_nvcc": [
            *((path, f"bin/{path.name}") for path in programs),
            (profile, "bin/nvcc.profile"),
            (home / "bin" / "cicc", "nvvm/bin/cicc"),
            (home / "nvvm" / "libdevice", "nvvm/libdevice"),
            *((path, f"include/{path.name}") for path in headers if path.name == "crt"),
        ],
        "cuda_cudart": [
            *((path, f"include/{path.name}") for path in headers if path.name not in ("crt", *_CCCL)),
            *((path, f"lib/{path.name}") for path in sorted((home / "lib64").iterdir())),
        ],
        "cuda_cccl": [(path, f"include/{path.name}") for path in headers if path.name in _CCCL],
    }
    rows, files = [], {}
    for component in COMPONENTS:
        row = archive(component, b"x", release=release, arch=arch)
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:xz", preset=0) as tar:
            for path, name in parts[component]:
                tar.add(path, f"{row.top}/{name}")
        row = archive(component, out.getvalue(), release=release, arch=arch)
        rows.append(row)
        files[row.path] = out.getvalue()
    return RedistRelease(release, tuple(rows)), files


def table_of(release: RedistRelease, address: str) -> str:
    """tables/redist.toml with only these archives."""
    text = f'[nvidia]\naddress = "{address}"\naddress-china = "{address}"\nlicence = "its licence"\n'
    text += 'licence-address = "https://example.org/licence"\nsource = "a test"\n'
    for item in release.archives:
        text += f'\n[[archive]]\nrelease = "{item.release}"\ncomponent = "{item.component}"\narch = "{item.arch}"\n'
        text += f'version = "{item.version}"\nbytes = {item.bytes}\nsha256 = "{item.sha256}"\nsource = "a test"\n'
    return text
