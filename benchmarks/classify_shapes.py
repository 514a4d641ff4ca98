"""Draws furniture out of boxes and turned bodies: pictures to train on that nobody made, took or labelled.

The head that ships with raddle (offline/head.npz) was trained on these drawings only: see classify_quality.py.
"""

# ruff: noqa: C901, PLR0912, PLR0917 - drawing is a list of places and sizes
from __future__ import annotations

import colorsys
import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SIDE: Final = 448
Color = tuple[float, float, float]
Vector = tuple[float, float, float]


class Scene:
    """Faces in space, x to the right, y to the back, z up, and how they are seen."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.faces: list[tuple[NDArray[Any], Color]] = []

    def uniform(self, low: float, high: float) -> float:
        return float(self.random.uniform(low, high))

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def color(self) -> Color:
        """Wood, white, black, grey, or cloth of any hue."""
        kind = self.random.integers(5)
        if kind <= 1:
            return colorsys.hsv_to_rgb(self.uniform(0.04, 0.11), self.uniform(0.25, 0.75), self.uniform(0.25, 0.85))
        if kind == 2:
            grey = self.uniform(0.05, 0.95)
            return (grey, grey, grey)
        if kind == 3:
            return colorsys.hsv_to_rgb(self.uniform(0.05, 0.15), self.uniform(0.02, 0.2), self.uniform(0.75, 1))
        return colorsys.hsv_to_rgb(self.uniform(0, 1), self.uniform(0.2, 0.9), self.uniform(0.25, 0.9))

    def box(self, low: Vector, high: Vector, color: Color) -> None:
        (a, b, c), (d, e, f) = low, high
        corners = np.array([[x, y, z] for x in (a, d) for y in (b, e) for z in (c, f)])
        cells = max(1, min(6, round(max(d - a, e - b, f - c) / 0.35)))
        for quad in ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)):
            self._grid(corners[list(quad)], cells, color)

    def _grid(self, quad: NDArray[Any], cells: int, color: Color) -> None:
        """Cut a face up, so that sorting by distance draws it right."""
        p, q, r, s = quad
        steps = np.linspace(0, 1, cells + 1)
        at = lambda u, v: (1 - u) * (1 - v) * p + u * (1 - v) * q + u * v * r + (1 - u) * v * s  # noqa: E731
        for u0, u1 in pairwise(steps):
            for v0, v1 in pairwise(steps):
                self.faces.append((np.array([at(u0, v0), at(u1, v0), at(u1, v1), at(u0, v1)]), color))

    def turned(self, x: float, y: float, outline: list[tuple[float, float]], color: Color, *, sides: int = 20) -> None:
        """A body of revolution: (radius, height) from the bottom up, closed at both ends."""
        angles = np.linspace(0, 2 * math.pi, sides + 1)
        rings = [
            np.stack([x + r * np.cos(angles), y + r * np.sin(angles), np.full(sides + 1, z)], 1) for r, z in outline
        ]
        for low, high in pairwise(rings):
            for i in range(sides):
                self.faces.append((np.array([low[i], low[i + 1], high[i + 1], high[i]]), color))
        self.faces += [(rings[0][:-1], color), (rings[-1][:-1], color)]

    def post(self, x: float, y: float, low: float, high: float, radius: float, color: Color) -> None:
        if self.chance(0.5):
            self.box((x - radius, y - radius, low), (x + radius, y + radius, high), color)
        else:
            self.turned(x, y, [(radius * self.uniform(0.6, 1), low), (radius, high)], color, sides=8)

    def legs(self, width: float, depth: float, height: float, color: Color, *, thick: float = 0.03) -> None:
        for x in (-1, 1):
            for y in (-1, 1):
                self.post(x * (width / 2 - thick), y * (depth / 2 - thick), 0, height, thick, color)

    def draw(self) -> Image.Image:
        """Look at it from the front, a little from above and from the side, on a plain ground."""
        turn, tilt = math.radians(self.uniform(-45, 45)), math.radians(self.uniform(8, 35))
        points = np.concatenate([face for face, _ in self.faces])
        middle = (points.min(0) + points.max(0)) / 2
        size = float(np.linalg.norm(points.max(0) - points.min(0)))
        spin = np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]])
        lean = np.array([[1, 0, 0], [0, math.cos(tilt), -math.sin(tilt)], [0, math.sin(tilt), math.cos(tilt)]])
        light = np.array([self.uniform(-0.6, 0.6), -0.8, self.uniform(0.6, 1.4)])
        light /= np.linalg.norm(light)
        far = size * self.uniform(1.6, 4)
        flat = []
        for face, color in self.faces:
            seen = (face - middle) @ spin.T @ lean.T
            normal = np.cross(face[1] - face[0], face[2] - face[1]) @ spin.T
            length = float(np.linalg.norm(normal)) or 1.0
            if normal @ lean.T @ np.array([0, 1, 0]) > 0:
                normal = -normal
            bright = 0.45 + 0.6 * max(0.0, float(normal @ light) / length)
            scale = far / (far + seen[:, 1])
            flat.append((float(seen[:, 1].mean()), seen[:, [0, 2]] * scale[:, None], color, bright))
        every = np.concatenate([points for _, points, _, _ in flat])
        low, span = every.min(0), float((every.max(0) - every.min(0)).max())
        ground = 255 if self.chance(0.8) else int(self.uniform(215, 255))
        picture = Image.new("RGB", (SIDE, SIDE), (ground, ground, ground))
        pen = ImageDraw.Draw(picture)
        shift = (SIDE - 40 - (every.max(0) - low) / span * (SIDE - 40)) / 2 + 20
        for _, points, color, bright in sorted(flat, key=lambda one: -one[0]):
            at = (points - low) / span * (SIDE - 40) + shift
            fill = tuple(int(min(1, one * bright) * 255) for one in color)
            pen.polygon([(float(x), SIDE - float(y)) for x, y in at], fill=fill, outline=fill)
        return picture.resize((SIDE // 2, SIDE // 2), Image.Resampling.LANCZOS)


def chair(s: Scene) -> None:
    w, d, h, back = s.uniform(0.4, 0.6), s.uniform(0.4, 0.55), s.uniform(0.38, 0.5), s.uniform(0.35, 0.75)
    wood, cloth = s.color(), s.color()
    soft = s.chance(0.4)
    thick = s.uniform(0.08, 0.2) if soft else s.uniform(0.02, 0.06)
    if s.chance(0.25):
        s.post(0, 0, 0.08, h, 0.03, wood)
        for angle in np.linspace(0, 2 * math.pi, 6)[:-1]:
            s.box(
                (0.28 * math.cos(angle) - 0.03, 0.28 * math.sin(angle) - 0.03, 0),
                (0.28 * math.cos(angle) + 0.03, 0.28 * math.sin(angle) + 0.03, 0.08),
                wood,
            )
    else:
        s.legs(w, d, h, wood, thick=s.uniform(0.012, 0.035))
    s.box((-w / 2, -d / 2, h), (w / 2, d / 2, h + thick), cloth)
    if s.chance(0.4):
        count = int(s.random.integers(2, 7))
        for x in np.linspace(-w / 2 + 0.02, w / 2 - 0.02, count):
            s.box((x - 0.015, d / 2 - 0.04, h), (x + 0.015, d / 2, h + back), wood)
        s.box((-w / 2, d / 2 - 0.05, h + back - 0.1), (w / 2, d / 2, h + back), wood)
    else:
        s.box((-w / 2, d / 2 - thick, h), (w / 2, d / 2, h + back), cloth)
    if s.chance(0.4):
        for x in (-w / 2, w / 2):
            arm = s.uniform(0.02, 0.12)
            s.box((x - arm, -d / 2, h if soft else h + 0.17), (x + arm, d / 2, h + 0.22), cloth if soft else wood)


def sofa(s: Scene) -> None:
    w, d, h, color = s.uniform(1.3, 2.5), s.uniform(0.75, 1), s.uniform(0.35, 0.45), s.color()
    arm, back = s.uniform(0.08, 0.28), s.uniform(0.3, 0.5)
    s.box((-w / 2, -d / 2, s.uniform(0.03, 0.15)), (w / 2, d / 2, h - 0.12), color)
    s.legs(w, d, 0.12, s.color())
    s.box((-w / 2, d / 2 - 0.22, h - 0.12), (w / 2, d / 2, h + back), color)
    for x in (-1, 1):
        s.box(
            (min(x * w / 2, x * (w / 2 - arm)), -d / 2, 0.1),
            (max(x * w / 2, x * (w / 2 - arm)), d / 2, h + s.uniform(0.1, 0.25)),
            color,
        )
    count = int(s.random.integers(1, 4))
    part = (w - 2 * arm) / count
    for i in range(count):
        left = -w / 2 + arm + i * part
        s.box((left + 0.01, -d / 2, h - 0.11), (left + part - 0.01, d / 2 - 0.22, h + 0.03), color)
        s.box((left + 0.01, d / 2 - 0.35, h + 0.03), (left + part - 0.01, d / 2 - 0.2, h + back - 0.04), color)
    if s.chance(0.3):
        s.box((w / 2 - 0.8, -d / 2 - s.uniform(0.5, 0.9), 0.08), (w / 2, -d / 2, h), color)


def bed(s: Scene) -> None:
    w, d, h = s.uniform(0.9, 1.9), s.uniform(1.9, 2.1), s.uniform(0.25, 0.45)
    wood, cover, sheet = s.color(), s.color(), (0.95, 0.94, 0.92)
    for level in (0.0, 1.2) if s.chance(0.15) else (0.0,):
        s.box((-w / 2, -d / 2, level + h - 0.18), (w / 2, d / 2, level + h), wood)
        s.box(
            (-w / 2 + 0.03, -d / 2 + 0.03, level + h),
            (w / 2 - 0.03, d / 2 - 0.03, level + h + s.uniform(0.12, 0.22)),
            sheet,
        )
        if s.chance(0.75):
            s.box(
                (-w / 2 + 0.01, -d / 2, level + h), (w / 2 - 0.01, d / 2 - s.uniform(0.4, 0.8), level + h + 0.24), cover
            )
        for x in (-w / 4, w / 4) if w > 1.2 else (0.0,):
            s.box((x - 0.28, d / 2 - 0.45, level + h + 0.18), (x + 0.28, d / 2 - 0.08, level + h + 0.3), sheet)
        s.legs(w, d, level + h, wood, thick=0.04)
    s.box((-w / 2, d / 2, 0), (w / 2, d / 2 + 0.06, s.uniform(0.7, 1.2)), wood)
    if s.chance(0.4):
        s.box((-w / 2, -d / 2 - 0.06, 0), (w / 2, -d / 2, s.uniform(0.4, 0.75)), wood)
    if s.chance(0.2):
        for y in np.linspace(-d / 2, d / 2, 12):
            for x in (-w / 2, w / 2):
                s.box((x - 0.015, y - 0.015, h), (x + 0.015, y + 0.015, h + 0.5), wood)


def table(s: Scene) -> None:
    w, d, h, wood = s.uniform(0.6, 2.2), s.uniform(0.5, 1.1), s.uniform(0.35, 0.78), s.color()
    leg = wood if s.chance(0.6) else s.color()
    top = s.uniform(0.015, 0.06)
    if s.chance(0.35):
        radius = d * 0.6
        s.turned(0, 0, [(radius, h), (radius, h + top)], wood, sides=28)
        if s.chance(0.5):
            s.turned(0, 0, [(s.uniform(0.15, 0.35), 0), (0.06, 0.06), (0.05, h)], leg)
        else:
            s.legs(radius * 1.3, radius * 1.3, h, leg)
        return
    s.box((-w / 2, -d / 2, h), (w / 2, d / 2, h + top), wood)
    s.legs(w * s.uniform(0.8, 1), d, h, leg, thick=s.uniform(0.015, 0.05))
    if s.chance(0.4):
        s.box((-w / 2 + 0.05, -d / 2 + 0.05, h - 0.1), (w / 2 - 0.05, d / 2 - 0.05, h), leg)
    if s.chance(0.2):
        s.box((-w / 2 + 0.05, -d / 2 + 0.05, 0.12), (w / 2 - 0.05, d / 2 - 0.05, 0.15), wood)


def stool(s: Scene) -> None:
    r, h, seat, leg = s.uniform(0.15, 0.22), s.uniform(0.4, 0.8), s.color(), s.color()
    thick = s.uniform(0.025, 0.1)
    if s.chance(0.6):
        s.turned(0, 0, [(r, h), (r * 1.03, h + thick / 2), (r, h + thick)], seat)
    else:
        s.box((-r, -r, h), (r, r, h + thick), seat)
    if s.chance(0.35):
        s.turned(0, 0, [(r, 0), (r, 0.03), (0.03, 0.05), (0.03, h)], leg)
    else:
        s.legs(r * 1.7, r * 1.7, h, leg, thick=0.018)
        if s.chance(0.7):
            for x in (-r * 0.8, r * 0.8):
                s.box((x - 0.012, -r * 0.8, h * 0.35), (x + 0.012, r * 0.8, h * 0.35 + 0.025), leg)
                s.box((-r * 0.8, x - 0.012, h * 0.35), (r * 0.8, x + 0.012, h * 0.35 + 0.025), leg)


def _front(s: Scene, w: float, d: float, low: float, high: float, color: Color) -> None:
    """A case with doors, drawers or open shelves."""
    columns, rows = max(1, round(w / s.uniform(0.4, 0.7))), max(1, round((high - low) / s.uniform(0.22, 0.9)))
    dark: Color = (color[0] * 0.55, color[1] * 0.55, color[2] * 0.55)
    open_, knob = s.chance(0.3), s.color()
    s.box((-w / 2, -d / 2, low), (w / 2, d / 2, high), color)
    for i in range(columns):
        for j in range(rows):
            x0, x1 = -w / 2 + i * w / columns + 0.02, -w / 2 + (i + 1) * w / columns - 0.02
            z0, z1 = low + j * (high - low) / rows + 0.02, low + (j + 1) * (high - low) / rows - 0.02
            s.box(
                (x0, -d / 2 - 0.012, z0),
                (x1, -d / 2 - 0.01, z1),
                dark if open_ else tuple(min(1, c * 1.08) for c in color),
            )
            if open_:
                for x in np.arange(x0 + 0.03, x1 - 0.05, s.uniform(0.03, 0.06)) if s.chance(0.4) else ():
                    s.box(
                        (x, -d / 2 - 0.014, z0),
                        (x + 0.025, -d / 2 - 0.013, z0 + (z1 - z0) * s.uniform(0.5, 0.9)),
                        s.color(),
                    )
            else:
                x, z = (x0 + x1) / 2, z1 - 0.06
                s.box((x - 0.03, -d / 2 - 0.03, z), (x + 0.03, -d / 2 - 0.014, z + 0.02), knob)


def storage(s: Scene) -> None:
    w, d, h = s.uniform(0.5, 1.8), s.uniform(0.3, 0.6), s.uniform(0.75, 2.2)
    _front(s, w, d, s.uniform(0, 0.12), h, s.color())


def nightstand(s: Scene) -> None:
    color = s.color()
    w, leg = s.uniform(0.38, 0.55), s.uniform(0.02, 0.25)
    _front(s, w, s.uniform(0.35, 0.45), leg, s.uniform(0.5, 0.65), color)
    s.legs(w, 0.35, leg, color, thick=0.02)


def tv_stand(s: Scene) -> None:
    w, h = s.uniform(1.1, 2.2), s.uniform(0.35, 0.6)
    _front(s, w, s.uniform(0.35, 0.5), s.uniform(0.02, 0.12), h, s.color())
    if s.chance(0.3):
        s.box((-w / 3, 0, h + 0.05), (w / 3, 0.05, h + 0.05 + w * 0.36), (0.05, 0.05, 0.06))


def desk(s: Scene) -> None:
    w, d, h, wood = s.uniform(1, 1.8), s.uniform(0.5, 0.8), s.uniform(0.7, 0.78), s.color()
    s.box((-w / 2, -d / 2, h), (w / 2, d / 2, h + 0.04), wood)
    for x in (-1, 1) if s.chance(0.5) else (1,):
        for j in range(3):
            left = min(x * w / 2, x * (w / 2 - 0.4))
            s.box((left, -d / 2 + 0.02, 0.05 + j * 0.21), (left + 0.4, d / 2, 0.24 + j * 0.21), wood)
            s.box(
                (left + 0.15, -d / 2, 0.15 + j * 0.21), (left + 0.25, -d / 2 + 0.02, 0.17 + j * 0.21), (0.2, 0.2, 0.2)
            )
    s.legs(w, d, h, wood)
    if s.chance(0.4):
        s.box((-w / 2, d / 2 - 0.03, 0.3), (w / 2, d / 2, h), wood)


def bench(s: Scene) -> None:
    w, d, h, wood = s.uniform(1, 1.9), s.uniform(0.35, 0.5), s.uniform(0.4, 0.48), s.color()
    leg = s.color()
    for y in np.linspace(-d / 2, d / 2, int(s.random.integers(2, 7)))[:-1]:
        s.box((-w / 2, y, h), (w / 2, y + d / 7, h + 0.04), wood)
    if s.chance(0.3):
        s.box((-w / 2, -d / 2, h), (w / 2, d / 2, h + s.uniform(0.04, 0.15)), wood)
    if s.chance(0.5):
        s.legs(w, d, h, leg, thick=0.04)
    else:
        for x in (-w / 2 + 0.15, w / 2 - 0.15):
            s.box((x - 0.05, -d / 2, 0), (x + 0.05, d / 2, h), leg)
    if s.chance(0.5):
        for z in np.linspace(h + 0.12, h + 0.4, 3):
            s.box((-w / 2, d / 2, z), (w / 2, d / 2 + 0.03, z + 0.07), wood)
        for x in (-w / 2 + 0.1, w / 2 - 0.1):
            s.box((x - 0.03, d / 2, 0), (x + 0.03, d / 2 + 0.04, h + 0.45), leg)


def ottoman(s: Scene) -> None:
    r, h, color = s.uniform(0.25, 0.5), s.uniform(0.3, 0.45), s.color()
    if s.chance(0.5):
        s.turned(0, 0, [(r * 0.85, 0), (r, h * 0.3), (r, h * 0.75), (r * 0.85, h)], color)
    else:
        s.box((-r, -r * 0.8, 0.08), (r, r * 0.8, h), color)
        s.legs(2 * r, 1.6 * r, 0.08, s.color())


def lighting(s: Scene) -> None:
    shade, metal, glow = s.color(), s.color(), (1.0, 0.97, 0.85)
    if s.chance(0.5):
        shade = glow
    kind = s.random.integers(4)
    r, tall = s.uniform(0.12, 0.25), s.uniform(0.15, 0.3)
    if kind <= 1:
        h = s.uniform(0.25, 0.5) if kind == 0 else s.uniform(1.1, 1.6)
        body = s.uniform(0.015, 0.1) if kind == 0 else 0.015
        s.turned(0, 0, [(r * 0.7, 0), (r * 0.7, 0.02), (0.02, 0.04), (body, h * 0.5), (0.015, h)], metal)
        s.turned(0, 0, [(r, h), (r * s.uniform(0.4, 1), h + tall)], shade)
    elif kind == 2:
        s.turned(
            0,
            0,
            [(r, 0), (r * 0.9, tall * 0.4), (0.04, tall), (0.008, tall + 0.02), (0.008, tall + s.uniform(0.3, 0.9))],
            shade,
        )
        s.turned(0, 0, [(0.07, -0.03), (0.07, 0.03)], glow)
    else:
        for angle in np.linspace(0, 2 * math.pi, int(s.random.integers(3, 8)))[:-1]:
            x, y = 0.35 * math.cos(angle), 0.35 * math.sin(angle)
            s.turned(x, y, [(0.05, 0.2), (0.08, 0.32)], glow, sides=10)
            for t in np.linspace(0, 1, 8):
                s.box((x * t - 0.012, y * t - 0.012, 0.1), (x * t + 0.012, y * t + 0.012, 0.13), metal)
        s.turned(0, 0, [(0.03, 0), (0.02, s.uniform(0.6, 1))], metal, sides=8)


def decor(s: Scene) -> None:
    kind = s.random.integers(4)
    if kind <= 1:
        r, h = s.uniform(0.1, 0.2), s.uniform(0.15, 0.35)
        s.turned(0, 0, [(r * 0.7, 0), (r, h)], s.color())
        for _ in range(int(s.random.integers(20, 70))):
            a, lift, long = s.uniform(0, 2 * math.pi), s.uniform(0.05, 0.9), s.uniform(0.15, 0.45)
            out = np.array([math.cos(a), math.sin(a), 0.0])
            side = np.array([-math.sin(a), math.cos(a), 0.0]) * s.uniform(0.02, 0.07)
            root = np.array([0, 0, h + s.uniform(0, 0.5)])
            tip = root + out * long + np.array([0, 0, lift * long])
            mid = (root + tip) / 2 + np.array([0, 0, 0.06])
            green = colorsys.hsv_to_rgb(s.uniform(0.22, 0.4), s.uniform(0.4, 0.9), s.uniform(0.25, 0.7))
            s.faces.append((np.array([root, mid + side, tip, mid - side]), green))
    elif kind == 2:
        s.box((-0.4, 0, 0), (0.4, 0.04, 1), s.color())
        s.box((-0.36, -0.01, 0.04), (0.36, 0, 0.96), (0.8, 0.87, 0.9))
    else:
        w, d = s.uniform(0.8, 1.6), s.uniform(0.5, 1)
        s.box((-w, -d, 0), (w, d, 0.01), s.color())
        s.box((-w * 0.8, -d * 0.8, 0.011), (w * 0.8, d * 0.8, 0.02), s.color())


def vase(s: Scene) -> None:
    h = s.uniform(0.25, 0.6)
    heights = np.linspace(0, h, 9)
    knots = [s.uniform(0.05, 0.12), s.uniform(0.1, 0.2), s.uniform(0.03, 0.09), s.uniform(0.04, 0.12)]
    radii = np.interp(np.linspace(0, 3, 9), range(4), knots)
    s.turned(0, 0, [(float(r), float(z)) for r, z in zip(radii, heights, strict=True)], s.color(), sides=28)


def painting(s: Scene) -> None:
    w, h, rim = s.uniform(0.4, 1.2), s.uniform(0.4, 1), s.uniform(0.01, 0.08)
    s.box((-w / 2 - rim, 0, -rim), (w / 2 + rim, 0.03, h + rim), s.color())
    s.box((-w / 2, -0.01, 0), (w / 2, 0, h), s.color())
    for _ in range(int(s.random.integers(3, 14))):
        x, z, a, b = (
            s.uniform(-0.45, 0.3) * w,
            s.uniform(0, 0.8) * h,
            s.uniform(0.05, 0.4) * w,
            s.uniform(0.05, 0.3) * h,
        )
        s.box((x, -0.012, z), (min(x + a, w / 2), -0.011, min(z + b, h)), s.color())


def other(s: Scene) -> None:
    """Doors, appliances, vehicles, bottles, trees, people and heaps of anything."""
    kind, color = s.random.integers(7), s.color()
    if kind == 0:
        s.box((-0.45, 0, 0), (0.45, 0.06, 2), color)
        for z in (0.15, 1.1):
            s.box((-0.3, -0.02, z), (0.3, 0, z + 0.7), s.color())
        s.turned(0.38, -0.04, [(0.03, 0.95), (0.03, 1.0)], (0.7, 0.6, 0.3), sides=8)
    elif kind == 1:
        s.box((-0.3, -0.3, 0), (0.3, 0.3, s.uniform(0.5, 0.9)), (0.93, 0.93, 0.94) if s.chance(0.7) else color)
        s.box((-0.22, -0.31, 0.1), (0.22, -0.3, 0.45), (0.15, 0.15, 0.17))
        for x in np.linspace(-0.2, 0.2, 4):
            s.box((x, -0.33, 0.5), (x + 0.03, -0.31, 0.53), (0.2, 0.2, 0.2))
    elif kind == 2:
        s.box((-2, -0.8, 0.3), (2, 0.8, 0.8), color)
        s.box((-1, -0.75, 0.8), (1.1, 0.75, 1.35), (0.3, 0.4, 0.45))
        for x in (-1.3, 1.3):
            s.box((x - 0.3, -0.85, 0), (x + 0.3, -0.7, 0.6), (0.08, 0.08, 0.08))
    elif kind == 3:
        r = s.uniform(0.03, 0.06)
        s.turned(0, 0, [(r, 0), (r, 0.2), (r * 0.3, 0.26), (r * 0.3, 0.32)], color)
    elif kind == 4:
        s.turned(0, 0, [(0.1, 0), (0.07, 1.2)], (0.4, 0.27, 0.15), sides=8)
        for _ in range(160):
            p = np.array([s.uniform(-0.9, 0.9), s.uniform(-0.9, 0.9), s.uniform(0.9, 2.6)])
            green = colorsys.hsv_to_rgb(s.uniform(0.22, 0.4), 0.7, s.uniform(0.2, 0.6))
            s.faces.append((p + s.random.uniform(-0.2, 0.2, (4, 3)), green))
    elif kind == 5:
        skin = (0.85, 0.65, 0.5)
        s.turned(0, 0, [(0.02, 1.5), (0.1, 1.6), (0.08, 1.75)], skin)
        s.turned(0, 0, [(0.15, 0.8), (0.2, 1.4), (0.05, 1.5)], color)
        for x in (-0.09, 0.09):
            s.turned(x, 0, [(0.05, 0), (0.08, 0.85)], s.color(), sides=10)
            s.turned(x * 2.8, 0, [(0.03, 0.75), (0.05, 1.4)], skin, sides=8)
    else:
        for _ in range(int(s.random.integers(1, 6))):
            low = s.random.uniform(-0.5, 0.3, 3)
            s.box(tuple(low), tuple(low + s.random.uniform(0.05, 0.7, 3)), s.color())


SHAPES: Final[dict[str, Callable[[Scene], None]]] = {
    "SOFA": sofa,
    "CHAIR": chair,
    "BED": bed,
    "TABLE": table,
    "NIGHTSTAND": nightstand,
    "STOOL": stool,
    "STORAGE": storage,
    "DESK": desk,
    "BENCH": bench,
    "OTTOMAN": ottoman,
    "LIGHTING": lighting,
    "DECOR": decor,
    "VASE": vase,
    "TV_STAND": tv_stand,
    "PAINTINGS": painting,
    "OTHER": other,
}


def drawings(count: int, *, seed: int) -> list[tuple[str, Image.Image]]:
    """Return `count` drawings of each category."""
    random = np.random.default_rng(seed)
    made = []
    for name, shape in SHAPES.items():
        for _ in range(count):
            scene = Scene(random)
            shape(scene)
            made.append((name, scene.draw()))
    return made
