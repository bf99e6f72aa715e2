"""docs/troubleshooting.md: each known failure under the message that a reader searches for, and an index by what the reader sees."""

from __future__ import annotations

import functools
import html
import re
from dataclasses import dataclass
from pathlib import Path

from mamba_build_backend.compile import failure_table, known_failures, log_text

LOGS = Path(__file__).resolve().parent / "logs"

HEAD = """\
# Error messages

Each entry has the message, its cause and the commands that fix it. In the commands `./mamba-ssm-portable` stands for your clone of this
project. `explain` finds the entry for a log, and prints its commands for the log's own module, torch and CUDA, for where you are (pip, uv,
conda, pixi, a container), and with the clone's real path:

<!-- run: text -->
```bash
python -m mamba_build_backend explain < build.log
```

`doctor` says what is missing before anything is built:

<!-- run: text -->
```bash
python -m mamba_build_backend doctor
```

The same in Chinese: [常见报错](zh/troubleshooting.md).

## Find the message

Open the group of what you see. The search of this site finds words of a message, such as `bare_metal_version` or `GLIBC_2.32`.
"""

FOOT = """\
This page is made from `mamba_build_backend/tables/failures.toml` and `failure_words.toml` by `python tests/update_reports.py`.
"""

GROUPS = {
    "glibc": "glibc and libstdc++: a version is not found",
    "import": "Import errors: a module, library or symbol is missing",
    "compiler": "The compiler or linker stops",
    "nvcc": "nvcc and the CUDA toolkit",
    "gpu": "GPU and driver",
    "pip": "pip refuses, or its build environment lacks a module",
    "network": "Downloads",
    "memory": "Memory and disk",
    "python": "Names and arguments of mamba-ssm, transformers and forks",
    "run": "Errors while a model runs",
    "system": "Windows, macOS and AMD GPUs",
}
"""The heading of each group of the table."""


@dataclass(frozen=True)
class Entry:
    """A failure, as its sample in tests/logs shows it."""

    failure: failure_table.Failure
    found: known_failures.Explanation
    log: str
    message: str
    """The whole line of the sample."""
    core: str
    """The part of the message that the pattern is about; empty where the row has none."""

    @property
    def heading(self) -> str:
        """The message, never cut: of a very long line the part that tells."""
        return self.failure.title or (self.message if len(self.message) <= 300 else self.core)


@functools.cache
def entries() -> list[Entry]:
    """All rows of the table, in its order."""
    out = []
    for failure in failure_table.load_failures():
        log = log_text.cleaned((LOGS / f"{failure.id}.txt").read_text(encoding="utf-8"))
        found = known_failures.explain(log).explanations[0]
        start = found.line.removesuffix("…") if len(found.line) == 300 else found.line
        message = next(line.strip() for line in log.splitlines() if line.strip().startswith(start))
        match = failure.pattern.search(log)
        out.append(Entry(failure, found, log, message, " ".join(match[0].split()) if match else ""))
    return out


@dataclass(frozen=True)
class Language:
    """The words of the page between the messages and the commands, which are the same in each language."""

    head: str
    foot: str
    groups: dict[str, str]
    labels: dict[str, str]
    """For ``fix``, ``or``, ``do`` and ``reported``: the word and its colon."""
    link: str
    """The title of the link to an entry, for screen readers."""

    def heading(self, entry: Entry) -> str:
        return entry.heading

    def cause(self, entry: Entry) -> str:
        return entry.found.cause

    def notes(self, entry: Entry) -> list[str]:
        """The purpose of each fix, or the instruction itself if the fix is not a command."""
        return [
            fix.why if fix.is_command else fix.text + (f": {fix.why}" if fix.why else "") for fix in entry.found.fixes
        ]


ENGLISH = Language(
    head=HEAD,
    foot=FOOT,
    groups=GROUPS,
    labels={"fix": "fix:", "or": "or:", "do": "do:", "reported": "Reported: "},
    link="Link to this message",
)


def page(language: Language = ENGLISH) -> str:
    """The page as Markdown."""
    found = entries()
    groups = {name: [entry for entry in found if entry.failure.group == name] for name in failure_table.GROUPS}
    out = [language.head, *(_index(language, name, items) for name, items in groups.items())]
    for name, items in groups.items():
        out += [f"## {language.groups[name]}\n", *(_section(language, entry) for entry in items)]
    return "\n".join([*out, language.foot])


def _index(language: Language, group: str, items: list[Entry]) -> str:
    lines = [
        f'<li><a href="#{item.failure.id}"><code>{html.escape(_FOLDERS.sub("…", language.heading(item)), quote=False)}</code></a></li>'
        for item in items
    ]
    return "\n".join(
        [
            f"<details data-search-exclude><summary>{language.groups[group]} ({len(items)})</summary>",
            "<ul>",
            *lines,
            "</ul>",
            "</details>\n",
        ]
    )


def _section(language: Language, entry: Entry) -> str:
    """An entry. Its heading is HTML, since a message may hold anything, and the anchor is the id of its row."""
    name = entry.failure.id
    heading = f"<code>{html.escape(language.heading(entry), quote=False)}</code>"
    out = [
        f'<h3 class="message" id="{name}">{heading} <a class="headerlink" href="#{name}" title="{language.link}">&para;</a></h3>\n'
    ]
    if entry.message not in entry.heading:
        out.append(f'<pre class="message"><code>{html.escape(entry.message, quote=False)}</code></pre>\n')
    out.append(f"{_markdown(language.cause(entry))}\n")
    for number, (fix, note) in enumerate(zip(entry.found.fixes, language.notes(entry))):
        label = language.labels["do" if not fix.is_command else "or" if number else "fix"]
        out.append(f"**{label}** {_markdown(note)}".rstrip() + "\n")
        if fix.is_command:
            out.append(f"<!-- run: told -->\n```bash\n{fix.text}\n```\n")
    out.append(language.labels["reported"] + ", ".join(map(address, entry.found.reported)) + "\n")
    return "\n".join(out)


_MARKUP = re.compile(r"(?<!\w)_|_(?!\w)|[*\[]")
_FOLDERS = re.compile(r"(?:\b[A-Z]:)?(?:[\\/][^\s:\\/'\"()<>]+){2,}(?=[\\/])")


def _markdown(text: str) -> str:
    """A sentence of the tables, whose names may hold what is markup in Markdown: `__cxx11`, `<id>`, `*`."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(
        part if part.startswith("`") else _MARKUP.sub(r"\\\g<0>", part).replace("<", "&lt;") for part in parts
    )


def address(name: str) -> str:
    """A Markdown link of ``owner/name#number``; an address stays as it is."""
    repository, _, number = name.partition("#")
    return f"[{name}](https://github.com/{repository}/issues/{number})" if number else f"<{name}>"
