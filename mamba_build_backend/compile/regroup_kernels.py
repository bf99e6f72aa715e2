"""Generate the .cu files that regroup upstream's kernel instantiations by block size. No I/O.

The half of it that runs beside upstream's setup.py is ``_setup_py_child.regroup``; ``protocol.KernelGroup`` is the contract.
"""

from __future__ import annotations

from ..tables import Alike
from ..toolchain.shims.protocol import KernelGroup, SourceFile


def group(alike: Alike) -> KernelGroup:
    """Describe the files of a table's row, and generate what takes their place.

    Upstream has a file for each type; all of them instantiate one template for the same few block sizes. A generated file has all
    types and the block sizes that the table gives it. Block sizes that are not in the table are instantiated in the first file.
    """
    includes = "".join(f'#include "{name}"\n' for name in alike.files)
    others = [_instances(alike, part) for part in alike.parts]
    elsewhere = "".join(f"extern {line}\n" for lines in others for line in lines)
    begin = f'#include "{alike.header}"\n'
    first = SourceFile(f"{alike.name}.cu", begin + elsewhere + includes)
    return KernelGroup(
        files=alike.files,
        header=alike.header,
        expected=(
            f"{alike.template}({alike.parameters})",
            *(f"{alike.template}<{size}, " for part in alike.parts for size in part),
        ),
        regrouped=(
            first,
            *(
                SourceFile(f"{alike.name}_{number}.cu", begin + "".join(f"{line}\n" for line in lines))
                for number, lines in enumerate(others, 1)
            ),
        ),
        joined=(SourceFile(f"{alike.name}.cu", includes),),
    )


def _instances(alike: Alike, part: tuple[str, ...]) -> list[str]:
    return [
        f"template void {alike.template}<{size}, {types}>({alike.parameters});"
        for size in part
        for types in alike.types
    ]
