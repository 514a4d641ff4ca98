"""The canvas of matplotlib: a Figure on Agg, without pyplot and without a display; artists are made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from raddle.errors import MissingExtra
from raddle.workloads.encrypt.draw.paint import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle.workloads.encrypt.draw.epicycles import EpicycleState
    from raddle.workloads.encrypt.draw.paint import Colour, Complexes, Picture, Theme, View

__all__ = ["AggCanvas"]

_DPI: Final = 100
_ROUND: Final = np.exp(2j * np.pi * np.arange(97) / 96)  # a circle


class AggCanvas:
    """Frames as arrays in memory, drawn by matplotlib.

    What is laid stays in a copy of the raster: a frame costs its circles and its new strokes, not all ink so far.
    """

    def __init__(self, width: int, height: int, theme: Theme) -> None:
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.collections import LineCollection
            from matplotlib.figure import Figure
        except ImportError as error:
            raise MissingExtra("matplotlib", "encrypt") from error
        self._size, self._circle = (width, height), _share(theme.circle)
        figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=_share(theme.paper))
        self._raster = cast("Any", FigureCanvasAgg(figure))  # its methods have no types
        # axes in px of the canvas: the view is applied to what is drawn, so axes and artists never change
        self._axes = figure.add_axes((0, 0, 1, 1), frameon=False, xticks=[], yticks=[])
        self._axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        line = 72 / _DPI * max(1.0, min(width, height) / 640)  # points
        self._ink = LineCollection([], colors=[_share(theme.ink)], linewidths=line, capstyle="round")
        self._circles = LineCollection([], colors=[_share(theme.circle)], linewidths=0.72)
        self._arms = LineCollection([], colors=[_share(theme.arm)], linewidths=0.9)
        (self._pens,) = self._axes.plot([], [], "o", color=_share(theme.pen), markersize=4 * line, markeredgewidth=0)
        for artist in (self._ink, self._circles, self._arms):
            self._axes.add_collection(artist, autolim=False)
            artist.set_animated(True)
        self._pens.set_animated(True)
        self._raster.draw()
        self._blank = self._raster.copy_from_bbox(figure.bbox)
        self._laid = self._blank
        self._last: Picture | None = None

    def draw(self, state: EpicycleState, strokes: Sequence[Complexes], view: View) -> None:
        shown = visible(state, view.fit(state, self._size), self._size)
        factor, offset = shown.placed
        self._raster.restore_region(self._laid)
        if strokes:
            self._ink.set_segments([_pairs(line * factor + offset) for line in strokes])
            self._axes.draw_artist(self._ink)
            self._laid = self._raster.copy_from_bbox(self._axes.figure.bbox)
        rings = shown.centres[:, None] + shown.radii[:, None] * _ROUND
        self._circles.set_segments([_pairs(ring) for ring in rings])
        self._circles.set_color([(*self._circle, 0.35 + 0.65 * strength) for strength in shown.strength.tolist()])
        self._arms.set_segments([_pairs(arm) for arm in shown.arms])
        self._pens.set_data(shown.tips.real, shown.tips.imag)
        self._axes.draw_artist(self._circles)
        self._axes.draw_artist(self._arms)
        self._axes.draw_artist(self._pens)
        picture: Picture = np.asarray(self._raster.buffer_rgba())[..., :3].copy()
        picture.flags.writeable = False
        self._last = picture

    def wipe(self) -> None:
        self._laid = self._blank

    def close(self) -> None:
        """Nothing is held but memory; the last picture stays."""

    @property
    def picture(self) -> Picture | None:
        return self._last


def _share(colour: Colour) -> tuple[float, float, float]:
    red, green, blue = colour
    return red / 255, green / 255, blue / 255


def _pairs(line: Complexes) -> Any:
    return np.ascontiguousarray(line, np.complex128).view(np.float64).reshape(-1, 2)
