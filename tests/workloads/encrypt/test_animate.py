"""Epicycles that end where the inverse transform does, and films of them."""

from __future__ import annotations

import shutil
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from raddle.errors import ConfigError, RaddleError
from raddle.workloads.encrypt.draw.animate import animate, film_size
from raddle.workloads.encrypt.draw.curves import STATEMENT, contours, curve
from raddle.workloads.encrypt.draw.epicycles import chain, choose_pens, epicycle_state, epicycle_states
from raddle.workloads.encrypt.draw.paint import DARK, LIGHT, Painter
from raddle.workloads.encrypt.draw.still import svg
from raddle.workloads.encrypt.sketch.make import sketch_picture

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from drawn_shapes import circles, sketch_of, star

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from raddle.workloads.encrypt.draw.paint import Theme
    from raddle.workloads.encrypt.sketch.values import Sketch

MANY = sketch_of([star(), *circles(24)], keep=20, name="many")
FEW = sketch_of([star(), *circles(2)], keep=60, name="few")


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 80), st.integers(2, 80), st.integers(0, 2**32 - 1))
def test_the_pen_is_where_the_inverse_transform_is(n: int, keep: int, seed: int) -> None:
    dice = np.random.default_rng(seed)
    sketch = sketch_of([dice.uniform(0, 300, n) + 1j * dice.uniform(0, 200, n)], keep=keep)
    part = contours(sketch)[0]
    sums = chain(part, 2 * np.pi * np.arange(n) / n)
    assert np.abs(sums[:, -1] - curve(part)).max() < 1e-9
    assert np.allclose(sums[:, 0], part.c[0])  # the first circle does not move
    assert np.allclose(np.abs(np.diff(sums, axis=1)), np.abs(part.c[1:]))  # each centre is on the circle before


def test_circles_stand_in_order_of_their_size() -> None:
    state = epicycle_state(FEW, 1.0, circles=30)
    assert len(state.centres) == len(state.radii) == 30
    assert (np.diff(state.radii) <= 0).all()
    assert np.isclose(state.centres[0], FEW.c[0])
    with pytest.raises(ConfigError, match="contour=3"):
        epicycle_state(FEW, 0.0, contour=3)


@pytest.mark.parametrize("pens", ["one", "all"])
@pytest.mark.parametrize("sketch", [FEW, MANY, sketch_of([star()], keep=2)], ids=["few", "many", "one circle"])
@pytest.mark.parametrize("frames", [1, 7, 200])
def test_ink_is_continuous_and_complete(sketch: Sketch, pens: str, frames: int) -> None:
    """Each stroke begins where the last one of its contour ended, and all together go once round every curve."""
    states = list(epicycle_states(sketch, frames, pens=pens, circles=50, hold=2))
    assert len(states) == frames + 2
    drawn: list[list[complex]] = []
    for state in states[:frames]:
        assert len(state.radii) <= 50
        for i, stroke in enumerate(state.strokes):
            fits = [line for line in drawn if abs(line[-1] - stroke[0]) < 1e-6] if pens == "one" else drawn[i : i + 1]
            if fits and abs(fits[-1][-1] - stroke[0]) < 1e-6:
                fits[-1].extend(stroke.tolist()[1:])
            else:
                drawn.append(stroke.tolist())
    assert len(drawn) == len(sketch.points)
    for line, part in zip(drawn, contours(sketch), strict=True):
        assert abs(line[0] - line[-1]) < 1e-6  # closed
        points = curve(part)
        distances = np.abs(np.array(line)[:, None] - points[None, :]).min(axis=0)
        assert distances.max() < 1e-6
    assert all(not len(state.tips) and not state.strokes and state.done == 1 for state in states[frames:])


@pytest.mark.parametrize("pens", ["one", "all"])
def test_chains_hang_together(pens: str) -> None:
    for state in epicycle_states(MANY, 13, pens=pens, circles=40):
        for i in np.unique(state.pen):
            centres = state.centres[state.pen == i]
            radii = state.radii[state.pen == i]
            assert np.allclose(np.abs(np.diff(centres)), radii[:-1])


def test_the_largest_circles_of_all_are_shown() -> None:
    state = next(epicycle_states(MANY, 5, pens="all", circles=10))
    turning = np.concatenate([np.abs(part.c[1:]) for part in contours(MANY)])
    assert np.isclose(state.radii.min(), np.sort(turning)[-10])


def test_many_contours_are_drawn_all_at_once() -> None:
    assert choose_pens(FEW) == "one"
    assert choose_pens(MANY) == "all"
    with pytest.raises(ConfigError, match="pens='two'"):
        choose_pens(FEW, "two")  # type: ignore[arg-type]


def test_nothing_to_draw_is_drawn_too() -> None:
    for pens in ("one", "all"):
        states = list(epicycle_states(sketch_of([]), 3, pens=pens))
        assert [len(state.tips) for state in states] == [0, 0, 0]


@pytest.mark.parametrize("theme", [DARK, LIGHT])
def test_the_finished_ink_does_not_depend_on_the_number_of_frames(theme: Theme) -> None:
    def last(frames: int) -> NDArray[np.int_]:
        painter = Painter(320, 240, theme)
        for state in epicycle_states(FEW, frames, hold=1):
            picture = painter.paint(state, state.strokes)
        return picture.astype(int)

    assert np.abs(last(1) - last(97)).mean() < 1.0  # lines are broken at other points, which anti-aliasing shows
    assert tuple(last(1)[0, 0]) == theme.paper


@pytest.mark.parametrize("kind", ["gif", "apng"])
@pytest.mark.parametrize("sketch", [FEW, MANY], ids=["few", "many"])
def test_a_film_of_few_colours_shows_every_frame(tmp_path: Path, kind: str, sketch: Sketch) -> None:
    made = [animate(sketch, tmp_path / f"{i}.{kind}", fps=20, seconds=1, hold=0.25, size=200) for i in range(2)]
    assert made[0].path.read_bytes() == made[1].path.read_bytes()
    assert (made[0].width, made[0].height, made[0].frames, made[0].codec) == (200, 150, 25, kind)
    assert made[0].size == made[0].path.stat().st_size
    painter = Painter(200, 150, DARK)
    with Image.open(made[0].path) as film:
        assert film.n_frames == 25
        assert film.info["loop"] == 0
        for frame, state in zip(ImageSequence.Iterator(film), epicycle_states(sketch, 20, hold=5), strict=True):
            assert frame.info["duration"] == 50
            wanted = painter.paint(state, state.strokes).astype(int)
            shown = np.asarray(frame.convert("RGB")).astype(int)
            assert np.abs(wanted - shown).max() <= 56
            assert np.abs(wanted - shown).mean() < 1.0
    assert STATEMENT.encode() in made[0].path.read_bytes()


def test_a_gif_keeps_time_at_thirty_frames_a_second(tmp_path: Path) -> None:
    animate(FEW, tmp_path / "a.gif", fps=30, seconds=2, hold=0, size=64)
    with Image.open(tmp_path / "a.gif") as film:
        assert sum(frame.info["duration"] for frame in ImageSequence.Iterator(film)) == 2000


def frames_of(path: Path) -> list[np.ndarray]:
    reader = cv2.VideoCapture(str(path))
    found = []
    while (read := reader.read())[0]:
        found.append(read[1][:, :, ::-1].astype(int))
    reader.release()
    return found


def test_an_mp4_without_ffmpeg_says_so(tmp_path: Path) -> None:
    made = animate(FEW, tmp_path / "a.mp4", fps=20, seconds=1, hold=0, size=(321, 241), ffmpeg="")
    assert (made.codec, made.width, made.height) == ("mpeg4", 322, 242)
    frames = frames_of(made.path)
    assert len(frames) == 20
    painter = Painter(322, 242, DARK)
    for shown, state in zip(frames, epicycle_states(FEW, 20), strict=True):
        assert np.abs(painter.paint(state, state.strokes).astype(int) - shown).mean() < 8
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]


def test_an_mp4_with_ffmpeg_is_h264(tmp_path: Path) -> None:
    program = shutil.which("ffmpeg")
    if program is None:
        program = pytest.importorskip("imageio_ffmpeg", reason="no ffmpeg here").get_ffmpeg_exe()
    made = animate(FEW, tmp_path / "a.mp4", fps=20, seconds=1, hold=0, size=320, ffmpeg=program)
    assert made.codec == "h264"
    assert b"avc1" in made.path.read_bytes()
    assert STATEMENT.encode() in made.path.read_bytes()
    assert len(frames_of(made.path)) == 20
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]


def test_a_failing_ffmpeg_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RaddleError, match="ffmpeg failed"):
        animate(FEW, tmp_path / "a.mp4", fps=10, seconds=0.2, size=64, ffmpeg=shutil.which("false"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "hint"),
    [
        ("a.avi", {}, "ends in .mp4, .gif or .apng"),
        ("a.gif", {"fps": 60}, "fps from 1 to 50"),
        ("a.mp4", {"fps": 0}, "fps=0"),
        ("a.mp4", {"seconds": 0}, "seconds=0"),
        ("a.mp4", {"size": 10_000}, "at most 4096"),
        ("a.mp4", {"circles": -1}, "circles=-1"),
        ("a.mp4", {"pens": "two"}, "pens='two'"),
        ("a.mp4", {"theme": "pink"}, "'dark' or 'light'"),
        ("a.mp4", {"ffmpeg": "no-such-program"}, "no such program"),
        ("there.gif", {}, "overwrite=True"),
    ],
)
def test_wrong_options_leave_no_film(tmp_path: Path, name: str, options: dict, hint: str) -> None:
    (tmp_path / "there.gif").write_bytes(b"kept")
    with pytest.raises(ConfigError, match=hint):
        animate(FEW, tmp_path / name, **options)
    assert [entry.name for entry in tmp_path.iterdir()] == ["there.gif"]
    assert (tmp_path / "there.gif").read_bytes() == b"kept"


def test_hidden_circles_are_told(tmp_path: Path) -> None:
    assert animate(MANY, tmp_path / "a.gif", seconds=0.1, size=64, circles=100).circles_hidden == 25 * 19 - 100
    assert animate(FEW, tmp_path / "b.gif", seconds=0.1, size=64, circles=50).circles_hidden == 9
    assert animate(FEW, tmp_path / "c.gif", seconds=0.1, size=64, circles=200).circles_hidden == 0


@pytest.mark.parametrize(("size", "wanted"), [(640, (640, 480)), ((101, 33), (102, 34)), (8, (16, 16))])
def test_sizes_are_even(size: int | tuple[int, int], wanted: tuple[int, int]) -> None:
    assert film_size(FEW, size) == wanted


@pytest.mark.parametrize("kind", ["gif", "apng", "mp4"])
def test_a_long_film_needs_no_more_memory(tmp_path: Path, kind: str) -> None:
    """120 frames of 640 x 480 are 110 MB."""
    animate(FEW, tmp_path / f"warm.{kind}", seconds=0.1, size=640, ffmpeg="")
    tracemalloc.start()
    try:
        animate(FEW, tmp_path / f"long.{kind}", seconds=4, hold=0, size=640, ffmpeg="")
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()


def test_a_photograph_is_drawn_by_many_pens(data: Path, tmp_path: Path) -> None:
    sketch = sketch_picture(data / "images" / "good" / "astronaut.png")
    made = animate(sketch, tmp_path / "a.gif", fps=10, seconds=1, hold=0.1, size=256)
    assert (made.width, made.height, made.frames, made.pens) == (256, 256, 11, "all")
    assert made.circles_hidden > 1000
    assert len(svg(sketch)) < 12 * len(sketch.k)
    with Image.open(made.path) as film:
        film.seek(10)
        ink = np.asarray(film.convert("L")) > 120
    assert 0.03 < ink.mean() < 0.4
