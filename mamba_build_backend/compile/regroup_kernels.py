"""Generate the .cu files that regroup upstream's kernel instantiations by block size. No I/O.

``_setup_py_child.regroup`` puts them in place next to upstream's setup.py; ``protocol.Regrouping`` is the data between
the two.
"""

from __future__ import annotations

from ..tables import KernelGroup
from ..toolchain.shims.protocol import Regrouping, SourceFile


def regrouping(group: KernelGroup) -> Regrouping:
    """Generate the files that replace a group's files.

    Upstream has one file per type, and each instantiates one template for the same few block sizes. A generated file
    has all types, and the block sizes that the table lists for it. Block sizes not listed in the table are instantiated
    in the first file.
    """
    includes = "".join(f'#include "{name}"\n' for name in group.files)
    others = [_instances(group, part) for part in group.parts]
    elsewhere = "".join(f"extern {line}\n" for lines in others for line in lines)
    begin = f'#include "{group.header}"\n'
    first = SourceFile(f"{group.name}.cu", begin + elsewhere + includes)
    further = (
        SourceFile(f"{group.name}_{number}.cu", begin + "".join(f"{line}\n" for line in lines))
        for number, lines in enumerate(others, 1)
    )
    return Regrouping(
        files=group.files,
        header=group.header,
        expected=(
            f"{group.template}({group.parameters})",
            *(f"{group.template}<{size}, " for part in group.parts for size in part),
        ),
        regrouped=(first, *further),
        joined=(SourceFile(f"{group.name}.cu", includes),),
    )


def _instances(group: KernelGroup, part: tuple[str, ...]) -> list[str]:
    return [
        f"template void {group.template}<{size}, {types}>({group.parameters});"
        for size in part
        for types in group.types
    ]
