"""A sketch as one picture: SVG text or PNG bytes. The same sketch and options give the same bytes."""

from __future__ import annotations

from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np

from raddle.errors import ConfigError, MissingExtra
from raddle.workloads.encrypt.draw.curves import STATEMENT, contours, curve, summary, title
from raddle.workloads.encrypt.draw.paint import LIGHT, Theme, blend, opencv, polylines, theme_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from raddle.workloads.encrypt.sketch.values import Sketch

__all__ = ["png", "svg"]

_FINE: Final = 10  # steps per px in an SVG
_SHADES: Final = 64
_MOST: Final = 100_000_000  # px


def svg(sketch: Sketch, *, theme: str | Theme = LIGHT, line_width: float = 1.0, tolerance: float = 0.25) -> str:
    """A drawing that scales, of the size of the picture.

    Args:
        sketch: what to draw
        theme: 'light', 'dark' or colours
        line_width: px of the picture
        tolerance: px by which a line may miss points of the curve (Douglas and Peucker); 0 keeps every point
    """
    if not (line_width > 0 and tolerance >= 0):
        raise ConfigError(f"line_width={line_width}, tolerance={tolerance}: must be over 0, and not under 0")
    look = theme_of(theme)
    paths = "".join(_path(curve(part), tolerance) for part in contours(sketch))
    width, height = sketch.width, sketch.height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">\n'
        f"<title>{escape(title(sketch))}</title>\n"
        f"<desc>{escape(STATEMENT)} {escape(summary(sketch))}</desc>\n"
        f'<rect width="{width}" height="{height}" fill="{_hex(look.paper)}"/>\n'
        # pixel centres lie at halves
        f'<path transform="translate(.5 .5) scale({1 / _FINE:g})" fill="none" stroke="{_hex(look.ink)}" '
        f'stroke-width="{line_width * _FINE:g}" stroke-linejoin="round" d="{paths}"/>\n'
        "</svg>\n"
    )


def _path(line: NDArray[np.complex128], tolerance: float) -> str:
    """A closed path with relative whole-number steps."""
    points = np.stack((line.real, line.imag), axis=1).astype(np.float32)
    if tolerance and len(points) > 3:  # noqa: PLR2004 - a triangle stays
        # opencv() is only asked for where it saves something
        points = opencv().approxPolyDP(points.reshape(-1, 1, 2), tolerance, closed=True).reshape(-1, 2)
    steps = np.rint(points * _FINE).astype(np.int64)
    first, moves = steps[0], np.diff(steps, axis=0)
    moves = moves[np.any(moves != 0, axis=1)]
    body = "".join(f"{_number(x)}{_number(y)}" for x, y in moves.tolist()).lstrip(" ")
    return f"M{first[0]}{_number(int(first[1]))}l{body}z" if body else f"M{first[0]}{_number(int(first[1]))}h0"


def _number(value: int) -> str:
    return f"{value}" if value < 0 else f" {value}"


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def png(sketch: Sketch, *, scale: float = 1.0, theme: str | Theme = LIGHT, line_width: float = 1.0) -> bytes:
    """An anti-aliased drawing, `scale` times the size of the picture, in 64 shades from paper to ink.

    Raises:
        ConfigError: an option is out of range, or the drawing would have over 100 million px
        MissingExtra: OpenCV or Pillow is not installed
    """
    if not (0 < scale < _MOST and line_width > 0):
        raise ConfigError(f"scale={scale}, line_width={line_width}: must be over 0")
    width, height = max(1, round(sketch.width * scale)), max(1, round(sketch.height * scale))
    if width * height > _MOST:
        raise ConfigError(f"scale={scale}: {width} x {height} px; a drawing may have {_MOST:,}: give a smaller scale")
    try:
        from PIL import Image
        from PIL.PngImagePlugin import PngInfo
    except ImportError as error:
        raise MissingExtra("Pillow", "encrypt") from error
    look = theme_of(theme)
    layer: NDArray[np.uint8] = np.zeros((height, width), np.uint8)
    # centre of pixel n is n + 1/2 before and after
    lines = [(curve(part) + (0.5 + 0.5j)) * scale - (0.5 + 0.5j) for part in contours(sketch)]
    polylines(layer, lines, 255, width=max(1, round(line_width * scale)), closed=True)
    picture = Image.fromarray(layer >> 2)
    picture.putpalette([part for i in range(_SHADES) for part in blend(look.paper, look.ink, i / (_SHADES - 1))])
    words = PngInfo()
    words.add_itxt("Title", title(sketch))
    words.add_itxt("Description", f"{STATEMENT} {summary(sketch)}")
    out = BytesIO()
    picture.save(out, "PNG", optimize=True, pnginfo=words)
    return out.getvalue()
