"""Frames of the animation: where all circles stand at a moment, and the ink their pens laid since the last one.

A contour is drawn by a chain of circles. The first stands at c_0; circle j turns k_j times a round, has the radius
|c_j|, and carries the centre of the next; the pen is at the end. With all moments t_j as rows and all coefficients as
columns, the cumulative sum of exp(i k t_j) c_k along the columns gives every centre of every frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from raddle.errors import ConfigError
from raddle.workloads.encrypt.draw.curves import Contour, contours, curve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from raddle.workloads.encrypt.sketch.values import Sketch

    Complexes = NDArray[np.complex128]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["CIRCLES", "EpicycleState", "Pens", "chain", "choose_pens", "epicycle_state", "epicycle_states"]

#: how a picture of many contours is drawn: one pen that goes from one to the next, or a pen for each at once
Pens = Literal["auto", "one", "all"]

#: circles shown at once, the largest; the rest move the pen unseen
CIRCLES: Final = 200

_FEW: Final = 12  # contours that one pen may draw one after another without hopping about
_SMOOTH: Final = 128  # points at least on a curve, so that short contours are round


@dataclass(frozen=True, slots=True, eq=False)
class EpicycleState:
    """One frame: circles and pens, in px of the picture, x + i y with y downwards.

    `strokes` is the ink laid since the frame before, each a line through its points. None means that nobody
    worked it out: a line from each pen's last place to where it is now.
    """

    width: int  # of the picture; the view is fitted to it
    height: int
    centres: Complexes  # per circle shown
    radii: Floats  # per circle shown
    pen: Ints  # per circle shown: whose chain it is in, an index into tips; ascending
    tips: Complexes  # per pen: where it is
    strokes: tuple[Complexes, ...] | None = None
    done: float = 0.0  # share of the drawing that is done


def chain(contour: Contour, times: Floats) -> Complexes:
    """Sums of the first 1, 2, .. M terms of z(t): an array of len(times) rows and M columns.

    Column j is the centre of the circle of coefficient j + 1; the last column is the pen.
    """
    turned: Complexes = np.exp(1j * np.outer(times, contour.k)) * contour.c
    return np.cumsum(turned, axis=1, out=turned)


def epicycle_state(sketch: Sketch, time: float, *, contour: int = 0, circles: int = CIRCLES) -> EpicycleState:
    """The circles of one contour at a time in [0, 2 pi), without ink.

    Raises:
        ConfigError: there is no such contour
    """
    parts = contours(sketch)
    if not 0 <= contour < len(parts):
        raise ConfigError(f"contour={contour}: the sketch has {len(parts)}; count from 0")
    sums = chain(parts[contour], np.array([time]))[0]
    return _single(
        parts[contour],
        sums,
        size=(sketch.width, sketch.height),
        circles=circles,
        strokes=None,
        done=time / (2 * np.pi),
    )


def choose_pens(sketch: Sketch, pens: Pens = "auto") -> Literal["one", "all"]:
    """One pen up to a dozen contours; more of them are drawn all at once, because one pen would only hop about."""
    if pens == "auto":
        return "one" if len(contours(sketch)) <= _FEW else "all"
    if pens not in {"one", "all"}:
        raise ConfigError(f"pens={pens!r}: must be 'auto', 'one' or 'all'")
    return pens


def epicycle_states(
    sketch: Sketch, frames: int, *, pens: Pens = "auto", circles: int = CIRCLES, hold: int = 0
) -> Iterator[EpicycleState]:
    """The frames that draw a sketch from nothing to whole, and `hold` more of it alone.

    With one pen, each contour gets time by its length, the longest first, and stays as ink when it is done. With a pen
    for each, all take the whole time.

    Raises:
        ConfigError: an option is out of range
    """
    if frames < 1 or hold < 0 or circles < 0:
        raise ConfigError(f"frames={frames}, hold={hold}, circles={circles}: frames from 1, the others from 0")
    make = _one_pen if choose_pens(sketch, pens) == "one" else _all_pens
    return _frames(sketch, make(sketch, contours(sketch), frames, circles), hold)


def _frames(sketch: Sketch, drawing: Iterator[EpicycleState], hold: int) -> Iterator[EpicycleState]:
    yield from drawing
    for _ in range(hold):
        yield _bare(sketch, 1.0)


def _bare(sketch: Sketch, done: float) -> EpicycleState:
    none: Complexes = np.zeros(0, np.complex128)
    return EpicycleState(sketch.width, sketch.height, none, np.zeros(0), np.zeros(0, np.int64), none, (), done)


def _single(
    part: Contour,
    sums: Complexes,
    *,
    size: tuple[int, int],
    circles: int,
    strokes: tuple[Complexes, ...] | None,
    done: float,
) -> EpicycleState:
    shown = min(circles, len(sums) - 1)
    return EpicycleState(
        *size,
        sums[:shown],
        np.abs(part.c[1 : shown + 1]),
        np.zeros(shown, np.int64),
        sums[-1:],
        strokes,
        done,
    )


def _fine(part: Contour) -> Complexes:
    return curve(part, finer=-(-_SMOOTH // part.samples))


def _piece(line: Complexes, start: float, stop: float, first: complex, last: complex) -> Complexes:
    """The closed line from `first`, at share `start` of it, to `last`, at share `stop`, and its points between."""
    size = len(line)
    a, b = int(np.floor(start * size)) + 1, int(np.ceil(stop * size))
    return np.concatenate(([first], line[a:b], [last]))


def _one_pen(sketch: Sketch, parts: list[Contour], frames: int, circles: int) -> Iterator[EpicycleState]:
    ends = np.cumsum([part.samples for part in parts])
    total = float(ends[-1]) if parts else 0.0
    size = (sketch.width, sketch.height)
    lines: dict[int, Complexes] = {}  # of the contour under the pen only: the rest would be memory for nothing
    at, share, place = 0, 0.0, complex(parts[0].c.sum()) if parts else 0j
    for frame in range(1, frames + 1):
        goal = total * frame / frames
        strokes: list[Complexes] = []
        while at < len(parts) - 1 and goal > ends[at]:
            line = lines.pop(at, None)
            line = _fine(parts[at]) if line is None else line
            strokes.append(_piece(line, share, 1.0, place, complex(line[0])))
            at, share, place = at + 1, 0.0, complex(parts[at + 1].c.sum())
        if not parts:
            yield _bare(sketch, frame / frames)
            continue
        part = parts[at]
        line = lines.setdefault(at, _fine(part)) if at not in lines else lines[at]
        now = min(1.0, 1.0 - (float(ends[at]) - goal) / part.samples)
        sums = chain(part, np.array([2 * np.pi * now]))[0]
        strokes.append(_piece(line, share, now, place, complex(sums[-1])))
        share, place = now, complex(sums[-1])
        yield _single(part, sums, size=size, circles=circles, strokes=tuple(strokes), done=frame / frames)


def _all_pens(sketch: Sketch, parts: list[Contour], frames: int, circles: int) -> Iterator[EpicycleState]:
    if not parts:
        yield from (_bare(sketch, frame / frames) for frame in range(1, frames + 1))
        return
    k = np.concatenate([part.k for part in parts])
    c = np.concatenate([part.c for part in parts])
    starts = np.cumsum([0] + [len(part.k) for part in parts])[:-1]
    pen = np.repeat(np.arange(len(parts)), [len(part.k) for part in parts])
    carried = np.ones(len(k), bool)  # coefficients that are circles: all but the first of each contour
    carried[starts] = False
    index = np.flatnonzero(carried)
    # |c| falls within a contour, so the largest of all are the first few of each: chains without holes
    shown = np.sort(index[np.argsort(-np.abs(c[index]), kind="stable")[:circles]])
    radii, owner = np.abs(c[shown]), pen[shown]
    lines = [_fine(part) for part in parts]
    before = np.add.reduceat(c, starts)
    for frame in range(1, frames + 1):
        turned = np.exp(1j * k * (2 * np.pi * frame / frames)) * c
        tips = np.add.reduceat(turned, starts)
        sums = np.cumsum(turned) - turned  # before each coefficient, over all contours
        centres = (sums - sums[starts][pen])[shown]
        strokes = tuple(
            _piece(line, (frame - 1) / frames, frame / frames, a, b)
            for line, a, b in zip(lines, before.tolist(), tips.tolist(), strict=True)
        )
        before = tips
        yield EpicycleState(sketch.width, sketch.height, centres, radii, owner, tips, strokes, frame / frames)
