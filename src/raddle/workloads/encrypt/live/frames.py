"""What is handed to a renderer, who is told of it, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from raddle.workloads.encrypt.draw.epicycles import EpicycleState

__all__ = ["FrameObserver", "RenderCounts", "fault"]


class FrameObserver(Protocol):
    """Is told of every frame, after it was drawn, in order, by the thread that drew it."""

    def on_frame_rendered(self, state: EpicycleState, frame_number: int) -> None:
        """The frame is on the canvas; the next is not drawn before this returns."""


@dataclass(slots=True)
class RenderCounts:
    """What became of the frames, and of the numbers that nobody handed in."""

    drawn: int = 0
    invalid: int = 0  # no state, or no number
    failed: int = 0  # the canvas raised
    late: int = 0  # handed in when their turn had passed, after clear_trace() or after close()
    twice: int = 0  # their number was waiting already
    dropped: int = 0  # given up because the queue was full
    passed: int = 0  # numbers that were missing
    observer_errors: int = 0


def fault(state: object) -> str:
    """Why something is not a frame that can be drawn; empty if it is one. Nothing is raised, whatever it is."""
    if not isinstance(state, EpicycleState):
        return f"state of type {type(state).__name__}: must be an EpicycleState"
    try:
        return _fault(state)
    except (TypeError, ValueError, AttributeError) as error:  # parts of any type
        return f"a part of the state is of a wrong type: {error}"


def _fault(state: EpicycleState) -> str:
    places = (state.centres, state.tips, *(state.strokes or ()))
    arrays = (*places, state.radii, state.pen)
    if not all(isinstance(part, np.ndarray) and part.ndim == 1 and part.dtype.kind in "fciu" for part in arrays):
        return "all parts of a state must be arrays of numbers, of one dimension"
    if not len(state.centres) == len(state.radii) == len(state.pen):
        return f"{len(state.centres)} centres, {len(state.radii)} radii, {len(state.pen)} pens: must be as many of each"
    if not (np.isfinite(np.concatenate(places)).all() and np.isfinite(state.radii).all()):
        return "all numbers of a state must be finite"
    if state.radii.dtype.kind == "c" or (state.radii < 0).any():
        return "radii must be real and not under 0"
    pen, pens = state.pen, len(state.tips)
    if len(pen) and not (pen.dtype.kind in "iu" and pen[0] >= 0 and pen[-1] < pens and (np.diff(pen) >= 0).all()):
        return "pen must hold indices into tips, ascending"
    return "" if state.width > 0 and state.height > 0 else f"width={state.width}, height={state.height}: must be over 0"
