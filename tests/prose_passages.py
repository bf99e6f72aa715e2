"""The prose of a file, in its lines: docstrings, comments and messages of Python, Markdown, sentences of TOML.

``passages`` gives as many lines as the file has, so that a finding has the file's line number. ``¶`` ends a passage. It
leaves out code, addresses and quoted output: code in a sentence becomes ``Xxx``.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
END = "¶"

_LOOKED_AT = (
    "*.md", "docs/**/*.md", "benchmarks/*.md", "manylinux/*.md", "distributions/*/*.md",
    "mamba_build_backend/**/*.py", "release/**/*.py", "benchmarks/*.py", "tests/**/*.py",
    "mamba_build_backend/tables/*.toml", "mamba_build_backend/projects/*/*.toml", "patches/series.toml",
    "tests/reasons.txt", "tests/changed_machines.txt", "tests/facts/*.txt",
)  # fmt: skip
_LEFT_OUT = ("tests/packages/", "docs/zh/")
_CODE = re.compile(r"``.+?``|`[^`]{1,200}`", re.DOTALL)
_ADDRESS = re.compile(r"\bhttps?://\S+|<!--.*?-->|\]\([^)\s]*\)|<[a-z/!][^>]*>")
_QUOTED = re.compile(r"\"[^\"\n]{1,200}\"|“[^”\n]{1,200}”")
_GAP = re.compile(r"\{[^{}]*\}")
_NOT_FOR_READERS = re.compile(r"#\s*(?:!|noqa|type:|fmt:|ruff:|mypy:|pragma|-{5})")
_SENTENCE_LIKE = re.compile(r"^[^\\|<>=$^]*$")
_PARTS_OF_STRINGS = {
    getattr(tokenize, name)
    for name in ("STRING", "FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END")
    if hasattr(tokenize, name)
}
_TOML = re.compile(r"(?P<key>^[\w.-]+\s*=|[{,]\s*[\w-]+\s*=)|(?P<string>\"\"\".*?\"\"\"|'''.*?'''|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*')|(?P<comment>#[^\n]*)", re.DOTALL | re.MULTILINE)  # fmt: skip
_TOML_WORDS = (
    "cause",
    "why",
    "do",
    "source",
    "reported",
    "until",
    "note",
    "says",
    "what",
    "reason",
    "missing",
    "title",
    "needs",
)


def files() -> Iterator[tuple[Path, str]]:
    """Each file with the project's own prose, and its kind: markdown, python, backend (with messages), toml, report."""
    for path in sorted(path for pattern in _LOOKED_AT for path in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        kind = _kind(name)
        if kind and not name.startswith(_LEFT_OUT):
            yield path, kind


def _kind(name: str) -> str | None:
    suffix = name.rpartition(".")[2]
    if suffix == "py":
        # The stable headers' Python speaks as torch does.
        return "backend" if name.startswith("mamba_build_backend/") and "/stable/" not in name else "python"
    return {"md": "markdown", "toml": "toml", "txt": "report"}.get(suffix)


def passages(text: str, kind: str) -> list[str]:
    """The prose of a file, a line for each line of it."""
    lines = [""] * (text.count("\n") + 1)
    if kind == "markdown":
        _of_markdown(text, lines)
    elif kind in ("python", "backend"):
        _of_python(text, lines, messages=kind == "backend")
    elif kind == "toml":
        _of_toml(text, lines)
    else:
        _of_report(text, lines)
    return lines


def plain(text: str) -> str:
    """A text without code, addresses and what is quoted."""
    text = _CODE.sub(_hidden, text)
    text = _ADDRESS.sub(_hidden, text)
    text = _QUOTED.sub(_hidden, text)
    return text.replace("**", "").replace("*", "").replace("](", " ").replace("[", "").replace("]", "")


def _hidden(match: re.Match[str]) -> str:
    # A lone name, such as a setting, is a noun of its sentence; the lines of what is left out stay.
    return ("" if match[0].startswith(("](", "<")) else "Xxx") + "\n" * match[0].count("\n")


def _put(lines: list[str], first: int, text: str) -> None:
    """Add a passage that begins in line ``first``, counted from 0, and its end."""
    new = plain(text).split("\n")
    for number, line in enumerate(new):
        if first + number < len(lines):
            lines[first + number] += (" " if lines[first + number] else "") + line
    last = min(first + len(new), len(lines)) - 1
    lines[last] += f" {END}"


def _of_markdown(text: str, lines: list[str]) -> None:
    row = 0
    for token in _markdown().parse(text):
        first = token.map[0] if token.map else row
        if token.type == "heading_open":
            lines[first] += "#"
        elif token.type == "tr_open":
            row = first
        elif token.type == "inline":
            _put(lines, first, token.content)


def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def _of_python(text: str, lines: list[str], *, messages: bool) -> None:
    docstrings = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            docstrings.add(node.value.lineno)
            _put_docstring(
                lines, node.value.lineno - 1, text.splitlines()[node.value.lineno - 1 : node.value.end_lineno]
            )
    comments: list[tuple[int, str]] = []
    strings: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        line = token.start[0] - 1
        if token.type == tokenize.COMMENT:
            if _NOT_FOR_READERS.match(token.string):
                continue
            alone = not token.line[: token.start[1]].strip()
            if comments and not (alone and comments[-1][0] == line - 1):
                _put(lines, comments[0][0], "\n".join(words for _, words in comments))
                comments = []
            comments.append((line, re.sub(r"\s*# (?:noqa|type:|fmt:).*", "", token.string.lstrip("#"))))
        elif token.type in _PARTS_OF_STRINGS:
            if messages and token.start[0] not in docstrings:
                strings.append((line, token.string))
        elif token.type not in (tokenize.NL, tokenize.NEWLINE) or token.type == tokenize.NEWLINE:
            _put_message(lines, strings)
            strings = []
    if comments:
        _put(lines, comments[0][0], "\n".join(words for _, words in comments))


def _put_docstring(lines: list[str], first: int, source: list[str]) -> None:
    body = "\n".join(source).strip()
    body = re.sub(r"^[rRbBuU]*(\"\"\"|'''|\"|')", "", body)
    body = re.sub(r"(\"\"\"|'''|\"|')$", "", body)
    # Blocks of code are indented more than the text.
    indent = min((len(line) - len(line.lstrip()) for line in source[1:] if line.strip()), default=0)
    kept = []
    for number, line in enumerate(body.split("\n")):
        code = number > 0 and len(line) - len(line.lstrip()) >= indent + 4
        kept.append("" if code or line.lstrip().startswith((">>>", "$ ")) else line)
    start = 0
    for number, line in enumerate([*kept, ""]):
        if not line.strip():
            if start < number:
                _put(lines, first + start, "\n".join(kept[start:number]))
            start = number + 1


def _put_message(lines: list[str], strings: list[tuple[int, str]]) -> None:
    """Literals that are one string: kept where they read like a sentence."""
    if not strings:
        return
    bodies = []
    for line, string in strings:
        body = re.sub(r"^[rRbBfFuU]*(\"\"\"|'''|\"|')", "", string)
        body = re.sub(r"(\"\"\"|'''|\"|')$", "", body).replace("\\n", " ").replace('\\"', "'").replace("\n", " ")
        bodies.append((line, _GAP.sub("Xxx", body)))
    whole = "".join(body for _, body in bodies)
    if len(re.findall(r"\b[a-z]{2,}\b", whole)) < 4 or whole.count(" ") < 4 or not _SENTENCE_LIKE.match(whole):
        return
    first = bodies[0][0]
    by_line = [""] * (bodies[-1][0] - first + 1)
    for line, body in bodies:
        by_line[line - first] += body
    _put(lines, first, "\n".join(by_line))


def _of_toml(text: str, lines: list[str]) -> None:
    key = ""
    comments: list[tuple[int, str]] = []

    def flush() -> None:
        if comments:
            _put(lines, comments[0][0], "\n".join(words for _, words in comments))
            comments.clear()

    line = position = 0
    for match in _TOML.finditer(text):
        line += text.count("\n", position, match.start())
        position = match.start()
        if match["comment"]:
            alone = not text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip()
            if not (alone and comments and comments[-1][0] == line - 1) or _NOT_FOR_READERS.match(match[0]):
                flush()
            comments.append((line, match[0].lstrip("#").rstrip("-")))
        elif match["key"]:
            key = match["key"].strip("{, =")
        elif key.rpartition("-")[2] in _TOML_WORDS:
            _put(lines, line, re.sub(r"^[\"']+|[\"']+$", "", _GAP.sub("Xxx", match[0])))
    flush()


def _of_report(text: str, lines: list[str]) -> None:
    for number, line in enumerate(text.split("\n")):
        if re.match(r"\s*(?:fix|or|and|then):\s", line) or line.startswith("=="):
            lines[number] = END
        else:
            lines[number] = plain(line) if line.strip() else END
