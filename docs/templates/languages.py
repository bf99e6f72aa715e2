"""A hook of MkDocs: the language of each page, and the switch to the same page in the other language.

Pages of ``docs/zh`` are in Chinese, all others in English. ``docs/zh/NAME.md`` is ``docs/NAME.md`` in Chinese.
"""

from __future__ import annotations

import copy
import logging
from typing import Any

import jieba

CHINESE = "zh/"
LANGUAGES = {"en": "English", "zh-Hans": "中文"}
START = "start.md"
"""The page that a switch leads to where the other language lacks the page."""

jieba.setLogLevel(logging.WARNING)  # jieba, which splits Chinese words for the search, reports on stderr that it loads


def on_template_context(context: dict[str, Any], template_name: str, config: Any) -> dict[str, Any]:
    """Give the page of missing pages, which is no page of the documentation, the switch too."""
    del template_name, config
    context["languages"] = _links({file.src_uri: file.url for file in context["pages"]}, START)
    return context


def on_page_context(context: dict[str, Any], page: Any, config: Any, nav: Any) -> dict[str, Any]:
    """Set the theme's language, the switch, and for a Chinese page a navigation that begins with the Chinese pages."""
    here = page.file.src_uri
    chinese = here.startswith(CHINESE)
    config.theme["language"] = "zh-Hans" if chinese else "en"
    context["languages"] = _links({file.src_uri: file.url for file in context["pages"]}, here.removeprefix(CHINESE))
    if chinese:
        context["nav"] = copy.copy(nav)
        context["nav"].items = sorted(nav.items, key=lambda item: not _is_chinese(item))
    return context


def _links(there: dict[str, str], name: str) -> list[dict[str, str]]:
    """The page of this name in each language; where there is none, that language's first page."""
    return [
        {"name": LANGUAGES[code], "link": there.get(folder + name) or there[folder + START], "code": code}
        for code, folder in (("en", ""), ("zh-Hans", CHINESE))
    ]


def _is_chinese(item: Any) -> bool:
    """Whether an item of the navigation is the section of the Chinese pages."""
    return bool(item.children) and all(
        child.is_page and child.file.src_uri.startswith(CHINESE) for child in item.children
    )
