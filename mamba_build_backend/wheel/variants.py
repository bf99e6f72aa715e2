"""Wheel variants, following the drafts PEP 825 (format) and PEP 817 (providers). Off by default.

The file follows version 0.1.1 of PEP 825's schema, plus PEP 817's ``providers``: uv 0.13 (preview feature
``wheel-variants``) and variantlib 0.2 need ``providers`` and skip a variant without it. pip rejects the file name of a
variant.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

SCHEMA_URL = "https://variants-schema.wheelnext.dev/peps/825/v0.1.1.json"
FILE_NAME = "variant.json"

_PROVIDER = {
    "plugin-api": "nvidia_variant_provider.plugin:NvidiaVariantPlugin",
    "requires": ["nvidia-variant-provider"],
}


def variant_json(label: str, cuda: str) -> str:
    """Return the content of ``variant.json``: the oldest CUDA version that the driver must support.

    Programs of a CUDA major version run with every driver of that major version. The wheel's torch is a requirement,
    not a property: uv has no provider for ``abi_dependency``, and would not install the wheel.
    """
    properties = {"nvidia": {"cuda_version_lower_bound": [f"{cuda.partition('.')[0]}.0"]}}
    data = {
        "$schema": SCHEMA_URL,
        "default-priorities": {"namespace": list(properties)},
        "providers": {"nvidia": _PROVIDER},
        "variants": {label: properties},
    }
    return json.dumps(data, indent=1) + "\n"


def merged(texts: Sequence[bytes]) -> str:
    """Return the union of all ``variant.json`` of a version, for an index. Raises ValueError."""
    whole: dict[str, Any] = {}
    for text in texts:
        try:
            data = json.loads(text)
        except RecursionError:
            raise ValueError(f"{FILE_NAME} is nested too deeply") from None
        variants = {**whole.get("variants", {}), **data["variants"]}
        if any(variants[label] != known for label, known in whole.get("variants", {}).items()):
            raise ValueError("a variant label has two different definitions")
        whole = {**data, "variants": variants}
    return json.dumps(whole, indent=1, sort_keys=True) + "\n"


def variant_name(wheel: str, label: str) -> str:
    """Return the file name of a wheel with its label.

    >>> variant_name("a-1-cp311-cp311-linux_x86_64.whl", "cu13")
    'a-1-cp311-cp311-linux_x86_64-cu13.whl'
    """
    return f"{wheel[: -len('.whl')]}-{label}.whl" if label else wheel


def plain_name(wheel: str) -> str:
    """Return the file name without a label, for tools that do not know variants.

    >>> plain_name("a-1-cp311-cp311-linux_x86_64-cu13.whl")
    'a-1-cp311-cp311-linux_x86_64.whl'
    """
    parts = PurePath(wheel).name[: -len(".whl")].split("-")
    # name-version(-build)-python-abi-platform(-label); a build tag starts with a digit, a Python tag never does.
    most = 6 if len(parts) > 5 and parts[2][:1].isdigit() else 5
    return "-".join(parts[:most]) + ".whl" if wheel.endswith(".whl") else wheel
