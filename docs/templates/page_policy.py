"""A hook of MkDocs: a Content-Security-Policy for the page "Explain a log", so that the browser lets nothing out of it.

The page may load from and connect to its own site only. GitHub Pages cannot send our headers, so the policy is a `meta`
element; the page's worker inherits it (docs/explain/page.js). The theme's inline scripts are allowed by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import PurePosixPath
from typing import Any

PAGE = "explain.md"
_INLINE = re.compile(r"<script(?![^>]*(?:\ssrc=|application/json))[^>]*>(.*?)</script>", re.DOTALL)


def policy(html: str) -> str:
    """The policy for a page with these inline scripts."""
    digests = [hashlib.sha256(script.encode()).digest() for script in _INLINE.findall(html)]
    inline = " ".join(sorted({f"'sha256-{base64.b64encode(digest).decode('ascii')}'" for digest in digests}))
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'wasm-unsafe-eval' {inline}",
            "worker-src 'self' blob:",
            "connect-src 'self'",
            "style-src 'self' 'unsafe-inline'",  # the theme and Pygments style elements in place
            "img-src 'self' data:",
            "font-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Add the policy in front of everything that it is for."""
    del config
    if PurePosixPath(page.file.src_uri).name != PAGE:
        return output
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy(output)}">'
    return re.sub(r"<head>", lambda found: f"{found[0]}\n{meta}", output, count=1)
