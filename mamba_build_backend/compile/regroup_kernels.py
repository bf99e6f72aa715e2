"""Files of kernels that are alike, dealt out in another way than upstream's: the C++ of it. Pure."""

from __future__ import annotations

from typing import Any

from ..tables import Alike


def group(alike: Alike) -> dict[str, Any]:
    """What ``_child.put_together`` makes of these files.

    Upstream has a file for each type; all of them instantiate one template for the same few sizes of blocks. Here a file has all the
    types, and those sizes which no other file has. A size of which the table does not know stays in the first one.
    """
    whole = "".join(f'#include "{name}"\n' for name in alike.files)
    others = [_instances(alike, part) for part in alike.parts]
    elsewhere = "".join(f"extern {line}\n" for lines in others for line in lines)
    begin = f'#include "{alike.header}"\n'
    made = {f"{alike.name}.cu": begin + elsewhere + whole}
    for number, lines in enumerate(others, 1):
        made[f"{alike.name}_{number}.cu"] = begin + "".join(f"{line}\n" for line in lines)
    return {
        "files": alike.files,
        "header": alike.header,
        "expected": [
            f"{alike.template}({alike.parameters})",
            *(f"{alike.template}<{first}, " for part in alike.parts for first in part),
        ],
        "made": made,
        "plain": {f"{alike.name}.cu": whole},
    }


def _instances(alike: Alike, part: tuple[str, ...]) -> list[str]:
    return [
        f"template void {alike.template}<{first}, {types}>({alike.parameters});"
        for first in part
        for types in alike.types
    ]
