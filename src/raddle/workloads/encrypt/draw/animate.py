"""The drawing of a sketch as a film: MP4, GIF or APNG. Frames are made, written and forgotten one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from raddle.errors import ConfigError
from raddle.workloads.encrypt.draw.curves import STATEMENT, contours, summary, title
from raddle.workloads.encrypt.draw.epicycles import CIRCLES, Pens, choose_pens, epicycle_states
from raddle.workloads.encrypt.draw.indexed import apng, gif
from raddle.workloads.encrypt.draw.mp4 import write_mp4
from raddle.workloads.encrypt.draw.output import whole_file
from raddle.workloads.encrypt.draw.paint import DARK, Painter, Theme, theme_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from raddle.workloads.encrypt.draw.paint import Picture
    from raddle.workloads.encrypt.sketch.values import Sketch

__all__ = ["FORMATS", "Animation", "animate", "film_size"]

Format = Literal["mp4", "gif", "apng"]

FORMATS: Final[tuple[Format, ...]] = ("mp4", "gif", "apng")
_BY_SUFFIX: Final[dict[str, Format]] = {".mp4": "mp4", ".gif": "gif", ".apng": "apng", ".png": "apng"}
_LONGEST: Final = 4096  # px
_SIDE: Final[dict[Format, int]] = {"mp4": 1080, "gif": 640, "apng": 800}
_GIF_FPS: Final = 50  # players take shorter frames for a tenth of a second


@dataclass(frozen=True, slots=True)
class Animation:
    """A film that was written."""

    path: Path
    width: int  # px
    height: int
    frames: int
    fps: int
    codec: str  # h264, mpeg4 (not played by browsers: install ffmpeg), gif or apng
    size: int  # bytes
    pens: str  # one or all
    circles_hidden: int  # circles too many to be shown, the smallest; they move the pens all the same


def film_size(sketch: Sketch, size: int | tuple[int, int]) -> tuple[int, int]:
    """Width and height in px, even: those given, or the picture's shape with its longer side so long."""
    if isinstance(size, tuple):
        width, height = size
    else:
        longer = max(sketch.width, sketch.height, 1)
        width, height = round(sketch.width * size / longer), round(sketch.height * size / longer)
    # encoders take colours for 2 x 2 px, and want at least 16
    width, height = (max(16, side + side % 2) for side in (width, height))
    if max(width, height) > _LONGEST:
        raise ConfigError(f"size={size}: at most {_LONGEST} px a side")
    return width, height


def animate(
    sketch: Sketch,
    path: str | PathLike[str],
    *,
    kind: Format | None = None,
    fps: int = 30,
    seconds: float = 10.0,
    hold: float = 1.5,
    size: int | tuple[int, int] | None = None,
    pens: Pens = "auto",
    circles: int = CIRCLES,
    theme: str | Theme = DARK,
    overwrite: bool = False,
    ffmpeg: str | None = None,
) -> Animation:
    """Write the drawing of a sketch as a film.

    Args:
        sketch: what is drawn
        path: of the film; it appears whole or not at all
        kind: 'mp4', 'gif' or 'apng'; default: by the name
        fps: frames a second; at most 50 for a GIF
        seconds: time of drawing
        hold: seconds that the finished drawing is shown
        size: px of the longer side, or width and height; default 1080 (MP4), 800 (APNG), 640 (GIF); made even
        pens: 'one' draws contour after contour, 'all' all at once; 'auto': one for up to 12 contours
        circles: most circles shown at once
        theme: 'dark', 'light' or colours
        overwrite: replace a file that exists
        ffmpeg: program for H.264; default: the one on the PATH; without it MP4 is MPEG-4 part 2, which `codec` tells

    Raises:
        ConfigError: an option is out of range, the file exists, or its name does not say the format
        MissingExtra: OpenCV or Pillow is not installed
    """
    path = Path(path)
    kind = kind or _BY_SUFFIX.get(path.suffix.lower())
    if kind not in FORMATS:
        raise ConfigError(f"path={str(path)!r}, kind={kind!r}: give a name that ends in .mp4, .gif or .apng, or a kind")
    most = _GIF_FPS if kind == "gif" else 120
    if not 1 <= fps <= most or not 0 < seconds <= 3600 or not 0 <= hold <= 3600:  # noqa: PLR2004 - an hour
        raise ConfigError(f"fps={fps}, seconds={seconds}, hold={hold}: fps from 1 to {most}, seconds up to 3600")
    look, (width, height) = theme_of(theme), film_size(sketch, size or _SIDE[kind])
    drawing, still = max(1, round(fps * seconds)), round(fps * hold)
    states = epicycle_states(sketch, drawing, pens=pens, circles=circles, hold=still)
    plan = choose_pens(sketch, pens)
    painter = Painter(width, height, look)
    pictures = (painter.paint(state, state.strokes or ()) for state in states)
    words = {"Title": title(sketch), "Comment": f"{STATEMENT} {summary(sketch)}"}
    with whole_file(path, overwrite=overwrite) as part:
        if kind == "mp4":
            codec = write_mp4(part, pictures, fps=fps, words=words, ffmpeg=ffmpeg)
        else:
            codec = kind
            _write_film(part, kind, pictures, theme=look, fps=fps, frames=drawing + still, words=words)
        written = part.stat().st_size
    return Animation(path, width, height, drawing + still, fps, codec, written, plan, _hidden(sketch, plan, circles))


def _write_film(
    part: Path, kind: Format, pictures: Iterator[Picture], *, theme: Theme, fps: int, frames: int, words: dict[str, str]
) -> None:
    with part.open("wb") as file:
        if kind == "gif":
            film = gif(file, theme=theme, fps=fps, words=words)
        else:
            film = apng(file, theme=theme, fps=fps, frames=frames, words=words)
        for picture in pictures:
            film.add(picture)
        film.close()


def _hidden(sketch: Sketch, pens: str, circles: int) -> int:
    """Circles that are never shown; with one pen, of the contour that has most."""
    turning = [len(part.k) - 1 for part in contours(sketch)] or [0]
    return max(0, (max(turning) if pens == "one" else sum(turning)) - circles)
