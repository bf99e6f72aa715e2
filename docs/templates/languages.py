"""A hook of MkDocs: the language of each page, and the switch to the same page in the other language.

Pages of ``docs/zh`` are in Chinese, all others in English. ``docs/zh/NAME.md`` is ``docs/NAME.md`` in Chinese.
"""

from __future__ import annotations

import logging
from typing import Any

import jieba

CHINESE = "zh/"
LANGUAGES = {"en": "English", "zh-Hans": "中文"}
START = "start.md"
"""The page that a switch leads to where the other language lacks the page."""

jieba.setLogLevel(logging.WARNING)  # jieba, which splits Chinese words for the search, reports on stderr that it loads


def on_page_context(context: dict[str, Any], page: Any, config: Any, nav: Any) -> dict[str, Any]:
    """Set the theme's language, and the links of the language switch, for the page that is rendered next."""
    del nav
    there = {file.src_uri: file.url for file in context["pages"]}
    here = page.file.src_uri
    name = here.removeprefix(CHINESE)
    config.theme["language"] = "zh-Hans" if here.startswith(CHINESE) else "en"
    context["languages"] = [
        {"name": LANGUAGES[code], "link": there.get(folder + name) or there[folder + START], "code": code}
        for code, folder in (("en", ""), ("zh-Hans", CHINESE))
    ]
    return context
