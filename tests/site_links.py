"""Every link of a built site: the file or the anchor that it leads to must be there. Pages on other hosts are not asked."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_ADDRESSES = {"href", "src", "poster", "data"}


@dataclass
class Page(HTMLParser):
    """What a page holds: the names that a link may lead to, and its own links."""

    anchors: set[str] = field(default_factory=set)
    repeated: set[str] = field(default_factory=set)
    links: list[tuple[str, str]] = field(default_factory=list)
    """Each with its tag."""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key == "id" or (key == "name" and tag == "a"):
                if value in self.anchors:
                    self.repeated.add(value or "")
                self.anchors.add(value or "")
            elif key in _ADDRESSES and value is not None:
                self.links.append((tag, value))
            elif key == "srcset" and value:
                self.links += [(tag, part.split()[0]) for part in value.split(",")]


def read(site: Path) -> dict[str, Page]:
    """All pages, by their paths in the site."""
    pages = {}
    for path in sorted(site.rglob("*.html")):
        page = Page()
        page.feed(path.read_text(encoding="utf-8"))
        pages[path.relative_to(site).as_posix()] = page
    return pages


def broken(site: Path) -> list[str]:
    """Each link that leads nowhere, as ``page: link``; each asset from another host; each anchor that is there twice."""
    pages = read(site)
    out = []
    for name, page in pages.items():
        out += [f"{name}: id {anchor} is there twice" for anchor in sorted(page.repeated)]
        for tag, link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if tag not in ("a", "form") and parts.scheme in ("", "http", "https"):
                    out.append(f"{name}: <{tag}> from another host: {link}")
                continue
            folder = "" if parts.path.startswith("/") else posixpath.dirname(name)
            target = posixpath.normpath(posixpath.join(folder, unquote(parts.path).lstrip("/"))) if parts.path else name
            missing = parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors
            if missing or not (site / target).is_file():
                out.append(f"{name}: {link}")
    return out
