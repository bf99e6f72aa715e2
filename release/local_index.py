"""A temporary package index on this machine: ``with served(FOLDER) as address``, or run this file with a folder as its argument.

Starts pypiserver on a free port of 127.0.0.1. It serves the wheels and sdists of one folder and no other index.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 30.0
"""Seconds within which the server must answer."""


@contextmanager
def served(folder: Path, python: str = sys.executable) -> Iterator[str]:
    """Serve ``folder`` as an index and yield its address. Raises RuntimeError if the server does not start.

    ``python`` is a Python with pypiserver.
    """
    port = _free_port()
    options = ["run", "--port", str(port), "--interface", "127.0.0.1", "--disable-fallback", "--server", "wsgiref"]
    # New files appear at once: without the optional watcher, the server lists the folder for each request.
    command = [python, "-m", "pypiserver", *options, "--backend", "simple-dir", "--hash-algo", "sha256", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        address = f"http://127.0.0.1:{port}/simple/"
        _wait(address, server)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        if server.stderr is not None:
            server.stderr.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(address: str, server: subprocess.Popen[str]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if server.poll() is not None:
            said = server.stderr.read() if server.stderr else ""
            raise RuntimeError(f"pypiserver ended with exit code {server.returncode}: {said.strip()[-500:]}")
        try:
            opener.open(address, timeout=2).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"pypiserver did not answer within {PATIENCE:.0f} s")


def main() -> int:
    """Serve a folder until Ctrl-C."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        print(f"usage: python {sys.argv[0]} FOLDER", file=sys.stderr)
        return 2
    with served(Path(sys.argv[1])) as address:
        print(address, flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main())
