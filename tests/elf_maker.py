"""ELF files and wheels that no linker and no packer makes: any number and any list may be wrong."""

from __future__ import annotations

import io
import json
import struct
import zipfile

from hypothesis import strategies as st
from support import record_row

NAME = "sample_ext-1.0-py3-none-any.whl"
MOST = 1 << 20
"""Bytes of a wheel for which the audit's bounds are promised."""

NULL, PROGBITS, SYMTAB, STRTAB, RELA, HASH, DYNAMIC, NOTE, NOBITS, DYNSYM = 0, 1, 2, 3, 4, 5, 6, 7, 8, 11
GNU_HASH, VERDEF, VERNEED, VERSYM = 0x6FFFFFF6, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
KINDS = {
    ".dynstr": STRTAB, ".dynsym": DYNSYM, ".dynamic": DYNAMIC, ".gnu.version": VERSYM, ".gnu.version_r": VERNEED,
    ".gnu.version_d": VERDEF, ".gnu.hash": GNU_HASH, ".hash": HASH, ".nv_fatbin": PROGBITS, ".text": PROGBITS, ".note": NOTE,
    ".strtab": STRTAB, ".symtab": SYMTAB,
}  # fmt: skip

odd = st.one_of(
    st.sampled_from([0, 1, 2, 3, 8, 16, 24, 64, 255, 4095, 65535, 1 << 20, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 64) - 1]),
    st.integers(0, 4096),
)  # fmt: skip
"""What a file says of itself: sizes, counts, offsets."""


def elf(sections, changes=(), *, machine=62, kind=3, wide=True, little=True):
    """An ELF file.

    ``sections`` are (name, sh_type, flags, link, info, entsize, data), ``changes`` (row, field, value) of their table.
    """
    order, word = "<" if little else ">", "Q" if wide else "I"
    names = b"\0" + b"".join(name.encode() + b"\0" for name, *_ in sections) + b".shstrtab\0"
    head_size = 64 if wide else 52
    row = struct.Struct(f"{order}II{word * 4}II{word * 2}")
    body, rows = b"", [[0] * 10]
    for name, type_, flags, link, info, size, data in [*sections, (".shstrtab", STRTAB, 0, 0, 0, 0, names)]:
        at = names.index(f"\0{name}\0".encode()) + 1
        rows.append(
            [
                at,
                type_,
                flags,
                0,
                head_size + len(body),
                len(data),
                link,
                info & 0xFFFFFFFF,
                1,
                size if wide else size & 0xFFFFFFFF,
            ]
        )
        body += b"" if type_ == NOBITS else data
    for index, field, value in changes:
        limit = 32 if field in (0, 1, 6, 7) or not wide else 64
        rows[index % len(rows)][field % 10] = value & ((1 << limit) - 1)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if little else 2, 1]) + bytes(9)
    head = struct.pack(
        f"{order}HHI{word}{word}{word}IHHHHHH",
        *(kind, machine, 1, 0, 0, head_size + len(body), 0, head_size, 56, 0, row.size, len(rows), len(rows) - 1),
    )
    return ident + head + body + b"".join(row.pack(*item) for item in rows)


def words(layout, rows):
    """Rows of integers as bytes, each cut to what its field holds."""
    packer = struct.Struct(layout)
    sizes = {"B": 8, "H": 16, "I": 32, "Q": 64, "q": 63}
    masks = [(1 << sizes[letter]) - 1 for letter in layout.strip("<>")]
    return b"".join(packer.pack(*(value & mask for value, mask in zip(row, masks))) for row in rows)


def rows_of(draw, layout, most=12):
    """A few rows of odd numbers, repeated to many."""
    width = len(layout.strip("<>"))
    rows = draw(st.lists(st.tuples(*[odd] * width), max_size=most))
    return words(layout, rows) * draw(st.sampled_from([1, 1, 2, 50, 3000]))


@st.composite
def libraries(draw, most=MOST):
    """A shared library, or something like one."""
    wide, little = draw(st.sampled_from([True, True, True, False])), draw(st.sampled_from([True, True, True, False]))
    order = "<" if little else ">"
    contents = {
        ".dynstr": draw(st.sampled_from([b"\0_Z1a\0libc.so.6\0GLIBC_2.17\0PyInit_x\0", b"a" * 9000 + b"\0", b"\0" * 50, b"\xff" * 90, b""]))
        * draw(st.sampled_from([1, 1, 9, 400])),
        ".dynsym": rows_of(draw, order + ("IBBHQQ" if wide else "IIIBBH")),
        ".dynamic": rows_of(draw, order + ("QQ" if wide else "II")),
        ".gnu.version": rows_of(draw, order + "HH"),
        ".gnu.version_r": rows_of(draw, order + "HHIIIIHHII"),
        ".gnu.version_d": rows_of(draw, order + "HHHHIIIII"),
        ".gnu.hash": rows_of(draw, order + "IIII"),
        ".hash": rows_of(draw, order + "IIII"),
        ".nv_fatbin": words("<IHHQHHIQIIHHI", draw(st.lists(st.tuples(st.just(0xBA55ED50), *[odd] * 12), max_size=6)))
        * draw(st.sampled_from([1, 20, 4000])),
        ".text": draw(st.binary(max_size=60)),
        ".note": b"", ".strtab": b"\0", ".symtab": b"",
    }  # fmt: skip
    names = draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=14))
    sections = [
        (
            name,
            draw(st.sampled_from([KINDS[name]] * 8 + [NOBITS, STRTAB, DYNSYM])),
            draw(st.sampled_from([2, 2, 2, 6, 0, 0x802])),
            draw(st.integers(0, len(names) + 1)),
            draw(odd),
            draw(st.sampled_from([0, 0, 0, 24, 16, 1, 1 << 40])),
            contents[name],
        )
        for name in names
    ]
    changes = draw(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 9), odd), max_size=3))
    data = elf(sections, changes, machine=draw(st.sampled_from([62, 183, 8, 65535])), kind=draw(st.sampled_from([3, 3, 1, 2, 4])), wide=wide, little=little)  # fmt: skip
    cut = draw(st.sampled_from([None] * 9 + [20, 63, 64, 200]))
    return data[:cut][:most]


texts = st.one_of(st.text(max_size=40), st.sampled_from(["1.0", "sample_ext", "9" * 5000, "a\0b", "\x1b]52;c;eA==\x07", "é" * 300, "None"]))  # fmt: skip


@st.composite
def metadata(draw):
    lines = [f"Name: {draw(st.one_of(st.just('sample_ext'), texts))}", f"Version: {draw(st.one_of(st.just('1.0'), texts))}"]  # fmt: skip
    asked = draw(st.sampled_from(["torch>=2", "torch ; x", "torch" * 200, "numpy", "torch==" + "9" * 5000, "torch @ file:///x"]))  # fmt: skip
    lines += [f"Requires-Dist: {asked}"] * draw(st.sampled_from([0, 1, 1, 3_000_000 // (len(asked) + 16)]))
    return "\n".join(lines)


@st.composite
def wheel_tags(draw):
    part = ".".join(f"a{n}" for n in range(draw(st.sampled_from([1, 1, 3, 160, 1000]))))
    return f"Wheel-Version: 1.0\nTag: {draw(st.sampled_from(['py3-none-any', f'{part}-{part}-{part}', '-', part]))}\n"


values = st.recursive(
    st.one_of(st.none(), st.booleans(), odd, st.floats(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)
names = st.one_of(
    st.sampled_from(["a.so", "x//a.so", "x/./a.so", "x/a.so", "x", "x/", "é.so", "a\nb.so", "n" * 300, "n/" * 500 + "a.so", "~/a", "..", ".", "b.so.1.2"]),
    st.text(min_size=1, max_size=12),
)  # fmt: skip


@st.composite
def wheels(draw):
    """The bytes of a wheel with odd members, whose own files say odd things."""
    info = "sample_ext-1.0.dist-info"
    out = io.BytesIO()
    files = {
        f"{info}/METADATA": draw(metadata()).encode("utf-8", "replace"),
        f"{info}/WHEEL": draw(wheel_tags()).encode(),
    }
    for name in draw(st.lists(names, max_size=4)):
        files[name] = draw(st.one_of(st.binary(max_size=80), libraries()))
    for number in range(draw(st.sampled_from([0, 0, 0, 900]))):
        files[f"many/{number}{draw(st.sampled_from(['', '.so']))}"] = b""
    if draw(st.booleans()):
        record = (
            draw(values) if draw(st.booleans()) else {"schema": draw(odd), "floor": draw(values), "plan": draw(values)}
        )
        text = "[" * 100_000 if draw(st.integers(0, 9)) == 0 else json.dumps(record)
        files[f"{info}/mamba-build-record.json"] = text.encode("utf-8", "surrogatepass")
    rows = "".join(record_row(name, data) for name, data in files.items()) if draw(st.booleans()) else ""
    rows += "".join(f"other/{n},sha256=x,{draw(odd)}\n" for n in range(draw(st.sampled_from([0, 1, 3000]))))
    files[f"{info}/RECORD"] = rows.encode("utf-8", "replace")
    method = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]))
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            item = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            item.compress_type = method
            item.external_attr = draw(st.sampled_from([0, 0, 0, 0o100644 << 16, 0o120777 << 16, 0o10644 << 16]))
            archive.writestr(item, data)
    data = bytearray(out.getvalue())
    for at, value in draw(st.lists(st.tuples(st.integers(0, max(len(data) - 1, 0)), st.integers(0, 255)), max_size=2)):
        data[at] = value
    return bytes(data)[: draw(st.sampled_from([None] * 9 + [len(data) // 2]))]
