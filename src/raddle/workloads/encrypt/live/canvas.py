"""What a renderer draws on. A canvas belongs to one thread at a time, which the renderer sees to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol

from raddle.errors import ConfigError
from raddle.workloads.encrypt.draw.paint import Painter, theme_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle.workloads.encrypt.draw.epicycles import EpicycleState
    from raddle.workloads.encrypt.draw.paint import Complexes, Picture, Theme, View

__all__ = ["BACKENDS", "Backend", "Canvas", "ImageCanvas", "open_canvas"]

Backend = Literal["matplotlib", "image", "page"]

BACKENDS: Final[tuple[Backend, ...]] = ("matplotlib", "image", "page")


class Canvas(Protocol):
    """Something that shows frames."""

    def draw(self, state: EpicycleState, strokes: Sequence[Complexes], view: View) -> None:
        """Lay strokes in the view, and show the circles of a state over all ink."""

    def wipe(self) -> None:
        """Take all ink away; after a change of view all that remains is given again."""

    def close(self) -> None:
        """Give up what is held: servers, windows."""

    @property
    def picture(self) -> Picture | None:
        """The last frame, height x width x RGB, never changed again; None before the first. Of any thread."""


class ImageCanvas:
    """Frames as arrays in memory, drawn by OpenCV."""

    def __init__(self, width: int, height: int, theme: Theme) -> None:
        self._painter = Painter(width, height, theme)
        self._last: Picture | None = None

    def draw(self, state: EpicycleState, strokes: Sequence[Complexes], view: View) -> None:
        self._last = self._painter.paint(state, strokes, view)

    def wipe(self) -> None:
        self._painter.wipe()

    def close(self) -> None:
        """Nothing is held but memory; the last picture stays."""

    @property
    def picture(self) -> Picture | None:
        return self._last


def open_canvas(backend: str, *, width: int, height: int, theme: str | Theme) -> Canvas:
    """A canvas of a kind.

    Raises:
        ConfigError: no such kind, or no such size
        MissingExtra: its library is not installed
    """
    if not (16 <= width <= 16_384 and 16 <= height <= 16_384):  # noqa: PLR2004 - bounds of sense
        raise ConfigError(f"width={width}, height={height}: must be from 16 to 16384 px")
    look = theme_of(theme)
    if backend == "image":
        return ImageCanvas(width, height, look)
    if backend == "matplotlib":
        from raddle.workloads.encrypt.live.agg import AggCanvas

        return AggCanvas(width, height, look)
    if backend == "page":
        from raddle.workloads.encrypt.live.server import PageCanvas

        return PageCanvas(look)
    raise ConfigError(f"backend={backend!r}: must be one of {', '.join(map(repr, BACKENDS))}")
