"""docs/img/doctor-light.svg and doctor-dark.svg: what doctor prints for a recorded machine, drawn by rich in the colours of a terminal."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME, TerminalTheme
from rich.text import Text

from mamba_build_backend import plan, tables
from mamba_build_backend.cli import terminal
from mamba_build_backend.core.commands import Here
from mamba_build_backend.plan import report
from mamba_build_backend.probe import recording

ROOT = Path(__file__).resolve().parent.parent
MACHINE = ROOT / "tests" / "facts" / "rtx5090-torch-2.4.json"
COMMAND = "$ python -m mamba_build_backend doctor"
COLUMNS = 74
"""Narrow, for phones; a command is never broken, and may be longer."""
_DARK_ON_LIGHT = [
    (31, 37, 51),
    (179, 38, 30),
    (26, 115, 50),
    (148, 95, 0),
    (40, 60, 170),
    (140, 30, 130),
    (0, 110, 120),
    (90, 96, 110),
]
THEMES = {
    "light": TerminalTheme((246, 248, 250), (31, 37, 51), _DARK_ON_LIGHT, _DARK_ON_LIGHT),
    "dark": SVG_EXPORT_THEME,
}

# rich's own frame, without its fonts, which a browser would fetch, and with a text for those who cannot see it.
FORMAT = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="doctor-title doctor-desc">
  <title id="doctor-title">doctor, on a machine whose torch has no code for its GPU</title>
  <desc id="doctor-desc">@TEXT@</desc>
  <style>
    .{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: {char_height}px; }}
    .{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, "DejaVu Sans", Arial, sans-serif; }}
    {styles}
  </style>
  <defs>
    <clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
    {lines}
  </defs>
  {chrome}
  <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
  </g>
</svg>
"""


def lines() -> list[tuple[str, str]]:
    """The command and its output, each line with what it is."""
    settings, facts = recording.load(MACHINE, {})
    made = plan.decide(settings, facts, tables.load_tables())
    return [("", COMMAND), *report.shown_lines(facts, made, Here(shell=facts.shell), width=COLUMNS)]


def picture(theme: str) -> str:
    """The SVG in one of THEMES."""
    wide = max(len(line) for _, line in lines())
    console = Console(record=True, width=wide, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    for kind, line in lines():
        console.print(Text(line, style=terminal._STYLES.get(kind, "")), soft_wrap=True)
    console.print()  # the frame cuts what hangs below the last line
    told = html.escape("\n".join(line for _, line in lines()), quote=False).replace("{", "{{").replace("}", "}}")
    made = console.export_svg(
        title="doctor", theme=THEMES[theme], code_format=FORMAT.replace("@TEXT@", told), unique_id="doctor"
    )
    made = made.replace(
        'stroke="rgba(255,255,255,0.35)"', 'stroke="#9aa4b8"'
    )  # the frame's, which light pages would hide
    return "\n".join(line.rstrip() for line in made.splitlines()) + "\n"


def words(svg: str) -> list[str]:
    """The lines that a picture shows, without the blanks at their ends; the frame's title is not one."""
    rows: dict[float, str] = {}
    matrix = svg.partition('-matrix">')[2]
    for y, text in re.findall(r'<text [^>]*\by="([\d.]+)"[^>]*>([^<]*)</text>', matrix):
        rows[float(y)] = rows.get(float(y), "") + html.unescape(text).replace("\xa0", " ")
    return [row.rstrip() for _, row in sorted(rows.items())]


def pictures() -> dict[str, str]:
    """The files of docs/img that this module makes, by their names."""
    return {f"doctor-{theme}.svg": picture(theme) for theme in THEMES}
