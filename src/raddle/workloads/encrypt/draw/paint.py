"""Frames as pictures: an ink layer that only grows, and the circles over it, by OpenCV with anti-aliasing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from raddle.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from numpy.typing import NDArray

    from raddle.workloads.encrypt.draw.epicycles import EpicycleState

    Complexes = NDArray[np.complex128]
    Picture = NDArray[np.uint8]

__all__ = [
    "DARK",
    "FITTED",
    "LIGHT",
    "THEMES",
    "Painter",
    "Theme",
    "View",
    "Visible",
    "blend",
    "opencv",
    "polylines",
    "theme_of",
    "visible",
]

Colour = tuple[int, int, int]

_FEW: Final = 12  # pens up to which their lines are bold
_SHIFT: Final = 4  # OpenCV takes coordinates as integers: 1/16 px
_DOT: Final = 0.6  # px, radius under which a circle is no circle
_FAR: Final = 30_000.0  # px; what lies further out overflows them, and is out of sight


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a drawing, red, green and blue from 0 to 255."""

    name: str
    paper: Colour
    ink: Colour
    circle: Colour
    arm: Colour
    pen: Colour

    @property
    def dark(self) -> bool:
        """Whether the ink is lighter than the paper."""
        return sum(self.ink) > sum(self.paper)


DARK: Final = Theme("dark", (14, 17, 22), (240, 232, 216), (74, 112, 168), (122, 162, 214), (255, 138, 76))
LIGHT: Final = Theme("light", (252, 251, 248), (28, 34, 44), (128, 166, 214), (70, 112, 176), (212, 74, 22))
THEMES: Final = {"dark": DARK, "light": LIGHT}


def theme_of(theme: str | Theme) -> Theme:
    """The theme itself, or that of a name."""
    if isinstance(theme, Theme):
        return theme
    if theme not in THEMES:
        raise ConfigError(f"theme={theme!r}: must be 'dark' or 'light'")
    return THEMES[theme]


@dataclass(frozen=True, slots=True)
class View:
    """What part of the plane is seen: `scale` 1 shows the whole picture, 2 half of it; `centre` None its middle."""

    scale: float = 1.0
    centre: tuple[float, float] | None = None  # px of the picture
    shift: tuple[float, float] = (0.0, 0.0)  # px of the picture, from the centre to what is seen in the middle

    def fit(self, state: EpicycleState, size: tuple[int, int], *, margin: float = 0.04) -> tuple[float, complex]:
        """Factor and offset that bring px of the picture to px of a canvas of `size` (width, height)."""
        room = 1 - 2 * margin
        factor = self.scale * room * min(size[0] / max(state.width, 1), size[1] / max(state.height, 1))
        x, y = self.centre or (state.width / 2, state.height / 2)
        x, y = x + self.shift[0], y + self.shift[1]
        return factor, complex(size[0] / 2 - factor * x, size[1] / 2 - factor * y)


#: the whole picture
FITTED: Final = View()


def opencv() -> ModuleType:
    """The module cv2.

    Raises:
        MissingExtra: it is not installed
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra("OpenCV", "encrypt") from error
    return cv2


def blend(a: Colour, b: Colour, share: float) -> Colour:
    """A colour between two."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def polylines(picture: Picture, lines: Sequence[Complexes], colour: Any, *, width: int, closed: bool = False) -> None:
    """Draw lines, given as x + i y in px with pixel centres at whole numbers, anti-aliased."""
    lines = [line for line in lines if len(line)]
    if not lines:
        return
    cv2 = opencv()
    # all at once: hundreds of short lines would cost more in calls than in drawing
    points = np.concatenate(lines).astype(np.complex128, copy=False).view(np.float64).reshape(-1, 1, 2)
    fixed = np.rint(np.clip(points, -_FAR, _FAR) * (1 << _SHIFT)).astype(np.int32)
    ends = np.cumsum([len(line) for line in lines])[:-1]
    cv2.polylines(picture, np.split(fixed, ends), closed, colour, width, cv2.LINE_AA, _SHIFT)


@dataclass(slots=True)
class Painter:
    """Draws frames in their order. One thread at a time; the pictures it returns are never changed again.

    The ink layer holds all strokes so far, as seen in one view: who changes the view wipes, and gives all ink anew.
    """

    width: int
    height: int
    theme: Theme = DARK
    _ink: Picture | None = field(default=None, init=False)

    def wipe(self) -> None:
        """Take all ink away."""
        self._ink = None

    def paint(self, state: EpicycleState, strokes: Sequence[Complexes], view: View = FITTED) -> Picture:
        """Lay strokes, and show the circles of a state over all ink: height x width x RGB, read-only."""
        size = (self.width, self.height)
        shown = visible(state, view.fit(state, size), size)
        if self._ink is None:
            self._ink = self._empty()
        polylines(self._ink, _place(strokes, shown.placed), self.theme.ink, width=self._line(len(state.tips)))
        over = self._empty()
        self._circles(over, shown)
        cv2 = opencv()
        # the lighter of the two on dark paper, the darker on light paper: neither hides the other
        (cv2.max if self.theme.dark else cv2.min)(self._ink, over, over)
        self._pens(over, shown)
        over.flags.writeable = False
        return over

    def _line(self, pens: int) -> int:
        """Outlines of a photograph lie close together, and run along both sides of an edge: they are drawn finer."""
        return max(1, round(min(self.width, self.height) / (1280 if pens > _FEW else 640)))

    def _empty(self) -> Picture:
        picture: Picture = np.empty((self.height, self.width, 3), np.uint8)
        if len(set(self.theme.paper)) == 1:
            picture[:] = self.theme.paper[0]
        else:
            opencv().rectangle(picture, (0, 0), (self.width, self.height), self.theme.paper, -1)
        return picture

    def _circles(self, picture: Picture, shown: Visible) -> None:
        cv2 = opencv()
        unit = 1 << _SHIFT
        # a pen among many has its circles in quiet colours
        quiet = 0.75 if shown.many else 1.0
        circles = zip(shown.centres.tolist(), shown.radii.tolist(), shown.strength.tolist(), strict=True)
        for centre, radius, strength in circles:
            colour = blend(self.theme.paper, self.theme.circle, quiet * (0.4 + 0.6 * strength))
            at = (round(centre.real * unit), round(centre.imag * unit))
            cv2.circle(picture, at, round(radius * unit), colour, 1, cv2.LINE_AA, _SHIFT)
        polylines(picture, shown.arms, blend(self.theme.paper, self.theme.arm, quiet), width=1)

    def _pens(self, picture: Picture, shown: Visible) -> None:
        cv2 = opencv()
        unit = 1 << _SHIFT
        radius = round(unit * max(1.5, min(self.width, self.height) / (400 if shown.many else 240)))
        for tip in shown.tips.tolist():
            at = (round(tip.real * unit), round(tip.imag * unit))
            cv2.circle(picture, at, radius, self.theme.pen, -1, cv2.LINE_AA, _SHIFT)


@dataclass(frozen=True, slots=True, eq=False)
class Visible:
    """What is seen of a state, in px of the canvas."""

    placed: tuple[float, complex]  # px of the picture to px of the canvas
    centres: Complexes
    radii: NDArray[np.float64]
    strength: NDArray[np.float64]  # of each circle: 1 for the largest, towards 0 for small ones
    arms: list[Complexes]  # through the centres of each chain to its pen
    tips: Complexes  # of many pens those whose circles are shown
    many: bool


def visible(state: EpicycleState, placed: tuple[float, complex], size: tuple[int, int]) -> Visible:
    """What of a state can be seen: no circles that are dots, outside, or so large that their line is straight."""
    factor, offset = placed
    centres, radii, tips = state.centres * factor + offset, state.radii * factor, state.tips * factor + offset
    x, y = centres.real, centres.imag
    inside = (x + radii > 0) & (x - radii < size[0]) & (y + radii > 0) & (y - radii < size[1])
    seen = inside & (radii > _DOT) & (radii < _FAR) & (np.abs(x) < _FAR) & (np.abs(y) < _FAR)
    largest = float(radii.max(initial=_DOT))
    many = len(tips) > 1
    pens = tips[np.unique(state.pen)] if many else tips
    near = (np.abs(pens.real) < _FAR) & (np.abs(pens.imag) < _FAR)
    strength = np.sqrt(radii[seen] / largest)
    return Visible(placed, centres[seen], radii[seen], strength, _arms(centres, state.pen, tips), pens[near], many)


def _place(lines: Sequence[Complexes], placed: tuple[float, complex]) -> list[Complexes]:
    if not lines:
        return []
    return np.split(np.concatenate(lines) * placed[0] + placed[1], np.cumsum([len(line) for line in lines])[:-1])


def _arms(centres: Complexes, pen: NDArray[np.int64], tips: Complexes) -> list[Complexes]:
    """The line through the centres of each chain to its pen."""
    bounds = np.searchsorted(pen, np.arange(len(tips) + 1))
    return [
        np.append(centres[a:b], tip)
        for a, b, tip in zip(bounds[:-1].tolist(), bounds[1:].tolist(), tips, strict=True)
        if b > a
    ]
