"""The page at /ui: one file with nothing from elsewhere, and a policy that lets nothing else run in it."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

__all__ = ["page", "page_headers"]


@cache
def page() -> str:
    """Return the page."""
    return files(__package__).joinpath("page.html").read_text("utf-8")


@cache
def page_headers() -> dict[str, str]:
    """Return what the browser must keep to; script and style are known by their hashes."""
    script, style = (_hashes(tag) for tag in ("script", "style"))
    policy = (
        f"default-src 'none'; script-src {script}; style-src {style}; img-src blob: data:; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


def _hashes(tag: str) -> str:
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", page(), re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in found)
