"""A canvas with the ink that is on it. It belongs to the owner of the canvas; only `canvas.picture` is for all."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from raddle.workloads.encrypt.draw.paint import FITTED, View

if TYPE_CHECKING:
    from raddle.workloads.encrypt.draw.epicycles import EpicycleState
    from raddle.workloads.encrypt.draw.paint import Complexes
    from raddle.workloads.encrypt.live.canvas import Canvas

__all__ = ["Stage"]


@dataclass(slots=True)
class Stage:
    """Remembers the newest `most` points of ink, to lay it anew when the view changes."""

    canvas: Canvas
    most: int | None
    _ink: deque[Complexes] = field(default_factory=deque, init=False)
    _points: int = field(default=0, init=False)
    _tips: Complexes | None = field(default=None, init=False)
    _last: EpicycleState | None = field(default=None, init=False)
    _view: View = field(default=FITTED, init=False)

    def show(self, state: EpicycleState, shed: list[EpicycleState], view: View) -> None:
        """Draw a frame, and the ink of frames before it that were given up."""
        strokes = [stroke for lost in (*shed, state) for stroke in self._strokes(lost)]
        self._remember(strokes)
        self._last = state
        self._put(state, strokes, view)

    def look(self, view: View) -> None:
        """Draw the last frame again, if the view is another."""
        if self._last is not None and view != self._view:
            self._put(self._last, [], view)

    def forget(self) -> None:
        """Take all ink away."""
        self._ink.clear()
        self._points, self._tips, self._last = 0, None, None
        self.canvas.wipe()

    def _put(self, state: EpicycleState, strokes: list[Complexes], view: View) -> None:
        if view != self._view:
            self.canvas.wipe()
            self._view, strokes = view, list(self._ink)
        self.canvas.draw(state, strokes, view)

    def _strokes(self, state: EpicycleState) -> tuple[Complexes, ...]:
        before, self._tips = self._tips, state.tips
        if state.strokes is not None:
            return state.strokes
        if before is None or len(before) != len(state.tips):
            return ()
        return tuple(np.stack((before, state.tips), axis=1))

    def _remember(self, strokes: list[Complexes]) -> None:
        self._ink.extend(strokes)
        self._points += sum(map(len, strokes))
        while self.most is not None and self._points > self.most and len(self._ink) > 1:
            self._points -= len(self._ink.popleft())
