"""The HTTP client for downloads: unearth's, with pip's configuration."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .pip_config import IndexConfig


@dataclass(frozen=True)
class Bounds:
    """Seconds for a whole session, and bytes of one response; the HTTP library's own timeout is only per read."""

    seconds: float
    size: int


class EndlessError(Exception):
    """A response exceeds the bounds."""


def open_session(
    config: IndexConfig, addresses: Sequence[str], *, local: bool = True, bounds: Bounds | None = None
) -> Any:
    """Return unearth's client, which also follows redirects as pip does; httpx sends no credentials to another host.

    ``addresses`` may contain credentials. Without ``local``, no redirect can lead to a file of this machine. Beyond
    ``bounds`` the client raises EndlessError; without bounds, the caller limits time and size.
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
    """Return a subclass of unearth's HTTP client with bounded responses."""
    http = import_module(client.__mro__[1].__module__.partition(".")[0])  # httpx, or unearth's replacement for it
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
