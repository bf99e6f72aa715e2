"""The HTTP client that fetches: unearth's, with what pip is configured with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .pip_config import IndexConfig


def open_session(config: IndexConfig, addresses: Sequence[str], *, local: bool = True) -> Any:
    """As unearth makes one, but that it goes where a server sends it, as pip does; httpx sends no credentials to another host.

    ``addresses`` may hold credentials; without ``local``, no server can send it to a file of this machine.
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
    return PyPIClient(**options)
