"""The HTTP client that fetches: unearth's, with what pip is configured with."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .pip_config import IndexConfig


@dataclass(frozen=True)
class Bounds:
    """Seconds for all that a session fetches, and bytes of one answer: a timeout of the HTTP library is one between two bytes."""

    seconds: float
    size: int


class EndlessError(Exception):
    """An answer goes on and on."""


def open_session(
    config: IndexConfig, addresses: Sequence[str], *, local: bool = True, bounds: Bounds | None = None
) -> Any:
    """As unearth makes one, but that it goes where a server sends it, as pip does; httpx sends no credentials to another host.

    ``addresses`` may hold credentials; without ``local``, no server can send it to a file of this machine. Beyond ``bounds``
    it raises EndlessError; without them, the caller looks at time and size.
    """
    from unearth.auth import MultiDomainBasicAuth
    from unearth.fetchers import PyPIClient

    options: dict[str, object] = {"trusted_hosts": config.trusted_hosts, "timeout": config.timeout}
    options["follow_redirects"] = True
    options["auth"] = MultiDomainBasicAuth(prompting=False, index_urls=list(addresses))
    if not local:
        options["mounts"] = {"file://": None}
    if config.cert:
        import ssl

        options["verify"] = ssl.create_default_context(cafile=config.cert)
    if config.proxy:
        options["proxy"] = config.proxy
    return (PyPIClient if bounds is None else _bounded(PyPIClient, bounds))(**options)


def _bounded(client: type[Any], bounds: Bounds) -> type[Any]:
    """Unearth's HTTP client, whose answers end."""
    http = import_module(client.__mro__[1].__module__.partition(".")[0])  # httpx, or what unearth has in its place
    end = time.monotonic() + bounds.seconds

    class Bounded(http.SyncByteStream):  # type: ignore[misc,name-defined]
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for block in self._stream:
                size += len(block)
                if size > bounds.size or time.monotonic() > end:
                    raise EndlessError
                yield block

        def close(self) -> None:
            self._stream.close()

    class Patient(client):  # type: ignore[misc]
        def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
            if time.monotonic() > end:
                raise EndlessError
            response = super().send(request, stream=True, **options)
            response.stream = Bounded(response.stream)
            if not stream:
                response.read()
            return response

    return Patient
