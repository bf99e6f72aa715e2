"""Files of kernels that are alike, dealt out in another way than upstream's: the C++ of it. Pure."""

from __future__ import annotations

import re
from typing import Any

from .plan import BuildPlan, Together


def group(together: Together) -> dict[str, Any]:
    """What ``_child.put_together`` makes of these files.

    Upstream has a file for each type; all of them instantiate one template for the same few sizes of blocks. Here a file has all the
    types, and those sizes which no other file has. A size of which the table does not know stays in the first one.
    """
    alike = together.alike
    whole = "".join(f'#include "{name}"\n' for name in alike.files)
    others = [_instances(together, part) for part in together.parts]
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
            *(f"{alike.template}<{first}, " for part in together.parts for first in part),
        ],
        "made": made,
        "plain": {f"{alike.name}.cu": whole},
    }


def _instances(together: Together, part: tuple[str, ...]) -> list[str]:
    alike = together.alike
    return [
        f"template void {alike.template}<{first}, {types}>({alike.parameters});"
        for first in part
        for types in alike.types
    ]


def once(plan: BuildPlan) -> dict[str, Any] | None:
    """What of these files only the oldest front end compiles, as ``_nvcc_steps.compile_once`` reads it; None where there is one."""
    merged = [item for item in plan.one_pass.front_ends if len(item.codes) > 1]
    types = [re.escape(types) for item in plan.together for types in item.alike.once]
    if not types or len(merged) != 1:
        return None
    first, *later = (item.compute for item in plan.front_ends.value if set(item.codes) & set(merged[0].codes))
    if first != merged[0].compute:
        return None  # nvcc runs them in this order
    return {
        "files": [f"{item.alike.name}*.cu" for item in plan.together],
        "first": f"compute_{first}",
        "later": [f"compute_{compute}" for compute in later],
        "lines": rf"^template void \w+<(?:[\d, ]+, )?(?:{'|'.join(types)})>\(.*\);",
    }
