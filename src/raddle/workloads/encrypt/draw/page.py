"""Pages for a browser, each in one piece: a player of a sketch, and the page of the live renderer.

Nothing is fetched from anywhere: script, style and data are in the page, and its content security policy says so.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Final

import numpy as np

from raddle.errors import ConfigError
from raddle.workloads.encrypt.draw.curves import STATEMENT, contours, summary, title
from raddle.workloads.encrypt.draw.epicycles import CIRCLES, Pens, choose_pens

if TYPE_CHECKING:
    from raddle.workloads.encrypt.sketch.values import Sketch

__all__ = ["LIVE_POLICY", "html_page", "live_page"]


@cache
def _asset(name: str) -> str:
    return resources.files("raddle.workloads.encrypt.draw").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _policy(script: str, *, connect: str) -> str:
    allowed = f"script-src 'sha256-{_digest(script)}'; style-src 'sha256-{_digest(_asset('page.css'))}'"
    return f"default-src 'none'; {allowed}; connect-src {connect}; base-uri 'none'; form-action 'none'"


def _script(name: str) -> str:
    return _asset("curve.js") + _asset(name).replace('"use strict";\n', "", 1)


#: content security policy of the live page, which is sent as a header
LIVE_POLICY: Final = _policy(_script("live.js"), connect="'self'")

_PAGE: Final = """<!doctype html>
<html lang="en"{theme}>
<head>
<meta charset="utf-8">
{policy}<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="description" content="{statement}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1><p>{about}</p></header>
<main><canvas role="img" aria-label="{title}"></canvas></main>
<div class="bar">{bar}</div>
<footer><p>{statement}</p></footer>
{data}<script>{script}</script>
</body>
</html>
"""

_PLAYER_BAR: Final = (
    '<button id="play" type="button">Pause</button>'
    '<input id="scrub" type="range" min="0" max="10000" value="0" aria-label="Position">'
    '<output id="time">0 %</output>'
    '<select id="speed" aria-label="Speed"><option value="0.25">¼ ×</option><option value="0.5">½ ×</option>'
    '<option value="1" selected>1 ×</option><option value="2">2 ×</option><option value="4">4 ×</option></select>'
    '<button id="circles" type="button" aria-pressed="true">Circles</button>'
    '<button id="pens" type="button" title="One contour after another, or all at once">All pens</button>'
    '<button id="theme" type="button" title="Dark or light">Theme</button>'
)

_LIVE_BAR: Final = (
    '<span id="state" role="status">waiting for frames</span><output id="time"></output>'
    '<button id="circles" type="button" aria-pressed="true">Circles</button>'
    '<button id="theme" type="button" title="Dark or light">Theme</button>'
)


def html_page(
    sketch: Sketch, *, seconds: float = 12.0, pens: Pens = "auto", circles: int = CIRCLES, theme: str | None = None
) -> str:
    """A page that draws the sketch: play, pause, scrub, speed, circles on and off, one pen or all, dark and light.

    Args:
        sketch: what is drawn
        seconds: time of drawing at speed 1
        pens: see `epicycle_states`; the page can change it
        circles: most circles shown at once
        theme: 'dark' or 'light'; None: as the browser likes it

    Raises:
        ConfigError: an option is out of range
    """
    if not 0 < seconds <= 3600 or circles < 0:  # noqa: PLR2004 - an hour
        raise ConfigError(f"seconds={seconds}, circles={circles}: seconds up to 3600, circles from 0")
    script = _script("player.js")
    parts = contours(sketch)
    k = np.concatenate([part.k for part in parts] or [np.zeros(0, np.int64)])
    c = np.concatenate([part.c for part in parts] or [np.zeros(0, np.complex128)])
    data = {
        "size": [sketch.width, sketch.height],
        "seconds": seconds,
        "pens": choose_pens(sketch, pens),
        "circles": circles,
        "points": [part.samples for part in parts],
        "count": [len(part.k) for part in parts],
        "k": base64.b64encode(k.astype("<i4").tobytes()).decode(),
        "c": base64.b64encode(c.astype("<c8").tobytes()).decode(),
    }
    return _PAGE.format(
        theme=_theme(theme),
        policy=f'<meta http-equiv="Content-Security-Policy" content="{_policy(script, connect=_NOWHERE)}">\n',
        title=escape(title(sketch)),
        statement=escape(STATEMENT),
        style=_asset("page.css"),
        about=escape(summary(sketch)),
        bar=_PLAYER_BAR,
        # numbers and base64 only: nothing in it can end the element
        data=f'<script id="data" type="application/json">{json.dumps(data, separators=(",", ":"))}</script>\n',
        script=script,
    )


_NOWHERE: Final = "'none'"


def live_page(*, theme: str | None = None) -> str:
    """The page that shows what the live renderer draws; it asks for `events` beside it."""
    return _PAGE.format(
        theme=_theme(theme),
        policy="",
        title="Live drawing",
        statement=escape(STATEMENT),
        style=_asset("page.css"),
        about="as it is drawn",
        bar=_LIVE_BAR,
        data="",
        script=_script("live.js"),
    )


def _theme(theme: str | None) -> str:
    if theme not in {None, "dark", "light"}:
        raise ConfigError(f"theme={theme!r}: must be 'dark' or 'light'")
    return f' data-theme="{theme}"' if theme else ""
