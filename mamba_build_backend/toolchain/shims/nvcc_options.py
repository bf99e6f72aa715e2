"""The one parser of nvcc's options, for setup.py's arguments and for the shim's.

Standard library only, for Python 3.9; ``protocol.py`` says how programs outside the backend import this module.

nvcc accepts the value of an option as ``--option value``, ``--option=value`` and, for a few short options, joined
(``-t4``). A parser must know every option that takes a value; otherwise it mistakes ``-std=c++14`` in ``-Xcompiler
-std=c++14`` for an option of nvcc.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

_VALUED = """
archive-options -Xarchive
archiver-binary -arbin
brief-diagnostics -brief-diag
compiler-bindir -ccbin
compiler-options -Xcompiler
compress-mode -compress-mode
cudadevrt -cudadevrt
cudafe-options -Xcudafe
cudart -cudart
default-stream -default-stream
define-macro -D
dependency-drive-prefix -ddp
dependency-output -MF
dependency-target-name -MT
device-entity-has-hidden-visibility -device-entity-has-hidden-visibility
device-stack-protector -device-stack-protector
diag-error -diag-error
diag-suppress -diag-suppress
diag-warn -diag-warn
dopt -dopt
drive-prefix -dp
entries -e
fatbin-options -Xfatbin
fdevice-time-trace -fdevice-time-trace
fmad -fmad
frandom-seed -frandom-seed
ftemplate-backtrace-limit -ftemplate-backtrace-limit
ftemplate-depth -ftemplate-depth
ftz -ftz
generate-code -gencode
gpu-architecture -arch
gpu-code -code
host-linker-script -hls
include-path -I
input-drive-prefix -idp
jump-table-density -jtd
keep-dir -keep-dir
libdevice-directory -ldir
library -l
library-path -L
linker-options -Xlinker
machine -m
maxrregcount -maxrregcount
nvlink-options -Xnvlink
nvvm-options -Xcicc
Ofast-compile -Ofc
optimization-info -opt-info
optimize -O
options-file -optf
output-directory -odir
output-file -o
pre-include -include
prec-div -prec-div
prec-sqrt -prec-sqrt
ptxas-options -Xptxas
relocatable-device-code -rdc
run-args -run-args
sanitize -sanitize
split-compile -split-compile
split-compile-extended -split-compile-extended
static-global-template-stub -static-global-template-stub
std -std
system-include -isystem
target-directory -target-dir
threads -t
time -time
undefine-macro -U
Werror -Werror
x -x
"""
"""Options with a value: long name and short spelling (nvcc 13.0 --help; also -Xcudafe and -Xcicc, which it does not list).

The table includes those of 11.8 and 12.4; tests/integration/test_front_ends.py compares it with the installed nvcc.
"""
_FLAGS = "generate-line-info -lineinfo"
"""Options without a value that the plan sets."""


def _spellings(table: str) -> dict[str, str]:
    rows = [line.split() for line in table.strip().splitlines()]
    return {spelling: name for name, short in rows for spelling in (f"--{name}", short)}


VALUED = _spellings(_VALUED)
"""Spelling to long name, for each option that takes a value."""
_PLAIN = _spellings(_FLAGS)
_JOINED = re.compile(r"(-t)(\d+)")

ARCHITECTURES = frozenset({"generate-code", "gpu-architecture", "gpu-code"})
"""Options that select architectures."""
REPLACED = ARCHITECTURES | {
    "compiler-bindir",
    "compress-mode",
    "generate-line-info",
    "split-compile",
    "split-compile-extended",
    "std",
    "threads",
}
"""Options that the plan sets in place of upstream."""


@dataclass(frozen=True)
class Option:
    """One option with its value, or any other word of a command line."""

    words: tuple[str, ...]
    name: str = ""
    """The long name without dashes; empty for a word that is not in the tables."""
    value: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether the option has its value; the last word of a command line may lack it."""
        return self.words[0] not in VALUED or len(self.words) > 1


def parse(words: Sequence[str]) -> list[Option]:
    """Split a command line into options; :func:`join` returns the same words.

    >>> [option.name for option in parse(["-O3", "-arch", "sm_80", "--threads=4", "-Xcompiler", "-std=c++14"])]
    ['', 'gpu-architecture', 'threads', 'compiler-options']
    """
    options: list[Option] = []
    rest = iter(words)
    for word in rest:
        spelling, equals, value = word.partition("=")
        joined = _JOINED.fullmatch(word)
        if word in _PLAIN:
            options.append(Option((word,), _PLAIN[word]))
        elif joined:
            options.append(Option((word,), VALUED[joined[1]], joined[2]))
        elif spelling not in VALUED:
            options.append(Option((word,)))
        elif equals:
            options.append(Option((word,), VALUED[spelling], value))
        else:
            following = tuple(islice(rest, 1))
            options.append(Option((word, *following), VALUED[word], *following))
    return options


def join(options: Iterable[Option]) -> list[str]:
    """Return the words of a command line."""
    return [word for option in options for word in option.words]


def without(words: Sequence[str], names: Collection[str]) -> list[str]:
    """Remove the options with these long names, in any spelling, from a command line.

    >>> without(["-O3", "-gencode", "arch=compute_80,code=sm_80", "-t4"], ARCHITECTURES | {"threads"})
    ['-O3']
    """
    return join(option for option in parse(words) if option.name not in names)


def replace_upstreams(words: Sequence[str], planned: Sequence[str]) -> list[str]:
    """Remove upstream's values of the options that the plan sets, and append the plan's.

    Also removes a last option without its value: nvcc would use the plan's first word as the value.

    >>> replace_upstreams(["-O3", "-gencode", "arch=compute_53,code=sm_53", "-std=c++17"], ["-std=c++20"])
    ['-O3', '-std=c++20']
    """
    kept = (option for option in parse(words) if option.is_complete and not _is_planned(option))
    return [*join(kept), *planned]


def _is_planned(option: Option) -> bool:
    return (
        option.name in REPLACED
        or (option.name == "fatbin-options" and "compress" in option.value)
        # Upstream asks ptxas for statistics on each kernel, which add megabytes to the log.
        or (option.name == "ptxas-options" and option.value == "-v")
        or option.words == ("-compress-all",)
    )
