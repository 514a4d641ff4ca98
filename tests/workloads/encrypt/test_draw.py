"""Still drawings and the page: true to the curves, the same bytes every time, nothing foreign in them."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from raddle.errors import ConfigError
from raddle.workloads.encrypt.draw.curves import STATEMENT, contours, curve, title
from raddle.workloads.encrypt.draw.output import whole_file
from raddle.workloads.encrypt.draw.page import html_page, live_page
from raddle.workloads.encrypt.draw.paint import LIGHT
from raddle.workloads.encrypt.draw.still import png, svg

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from drawn_shapes import circles, sketch_of, star

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle.workloads.encrypt.sketch.values import Sketch

HOSTILE = "</script><script>alert(1)</script>&\"'\x00\ud800\u202e\n"


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 60), st.integers(1, 60), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_a_curve_is_the_sum_of_its_circles(n: int, keep: int, finer: int, seed: int) -> None:
    dice = np.random.default_rng(seed)
    sketch = sketch_of([dice.uniform(0, 300, n) + 1j * dice.uniform(0, 200, n)], keep=keep)
    part = contours(sketch)[0]
    times = 2 * np.pi * np.arange(n * finer) / (n * finer)
    direct = sum(c * np.exp(1j * k * times) for k, c in zip(part.k.tolist(), part.c.tolist(), strict=True))
    assert np.abs(curve(part, finer=finer) - direct).max() < 1e-9


def test_all_coefficients_give_the_points_back() -> None:
    line = star()
    assert np.abs(curve(contours(sketch_of([line]))[0]) - line).max() < 1e-4  # c is single precision


def numbers_of(path: str) -> list[list[complex]]:
    """The points of each line of a path, in px of the picture."""
    lines = []
    for part in path.split("M")[1:]:
        found = [int(number) for number in re.findall(r"-?\d+", part.replace("h0", ""))]
        steps = np.array(found, np.float64).reshape(-1, 2) @ np.array([1, 1j])
        lines.append((np.cumsum(steps) / 10).tolist())
    return lines


@pytest.mark.parametrize("tolerance", [0.0, 0.25, 1.0])
def test_an_svg_stays_within_its_tolerance(tolerance: float) -> None:
    sketch = sketch_of([star(), *circles(3)], keep=40, name="star.png")
    root = ET.fromstring(svg(sketch, tolerance=tolerance))
    space = "{http://www.w3.org/2000/svg}"
    assert root.get("viewBox") == "0 0 320 240"
    assert root.findtext(f"{space}title") == "Sketch of star.png"
    assert STATEMENT in (root.findtext(f"{space}desc") or "")
    element = root.find(f"{space}path")
    assert element is not None
    lines = numbers_of(element.get("d", ""))
    assert len(lines) == 4
    for line, part in zip(lines, contours(sketch), strict=True):
        corners = np.array([*line, line[0]])
        a, b = corners[:-1, None], corners[1:, None]
        points = curve(part)[None, :]
        along = np.clip((((points - a) * (b - a).conj()).real) / np.maximum(np.abs(b - a) ** 2, 1e-12), 0, 1)
        missed = np.abs(a + along * (b - a) - points).min(axis=0)
        assert missed.max() <= tolerance + 0.08  # and the rounding to tenths of a px


def test_drawings_are_the_same_bytes_each_time() -> None:
    first, second = (sketch_of([star(), *circles(5)], name="a") for _ in range(2))
    assert svg(first) == svg(second)
    assert png(first, scale=1.5) == png(second, scale=1.5)
    assert html_page(first) == html_page(second)


def test_a_png_shows_the_lines_and_says_what_it_is() -> None:
    sketch = sketch_of([star()], name="star.png")
    with Image.open(io.BytesIO(png(sketch, scale=2, theme="light"))) as picture:
        assert picture.size == (640, 480)
        assert picture.text["Title"] == "Sketch of star.png"  # type: ignore[attr-defined]
        assert STATEMENT in picture.text["Description"]  # type: ignore[attr-defined]
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert tuple(pixels[0, 0]) == LIGHT.paper
    on = np.rint((curve(contours(sketch)[0]) + (0.5 + 0.5j)) * 2 - (0.5 + 0.5j))
    assert (pixels[on.imag.astype(int), on.real.astype(int)].sum(axis=1) < 300).all()
    assert 0.005 < (pixels.sum(axis=2) < 400).mean() < 0.03


def test_an_empty_sketch_is_drawn_as_an_empty_picture() -> None:
    nothing = sketch_of([], name="empty")
    assert "<path" in svg(nothing)
    with Image.open(io.BytesIO(png(nothing))) as picture:
        assert picture.convert("RGB").getcolors() == [(320 * 240, LIGHT.paper)]
    assert "empty" in html_page(nothing)


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda s: png(s, scale=0), "scale=0"),
        (lambda s: png(s, scale=float("nan")), "scale=nan"),
        (lambda s: png(s, scale=1000), "smaller scale"),
        (lambda s: png(s, theme="pink"), "'dark' or 'light'"),
        (lambda s: svg(s, line_width=0), "line_width=0"),
        (lambda s: svg(s, tolerance=-1), "tolerance=-1"),
        (lambda s: html_page(s, seconds=0), "seconds=0"),
        (lambda s: html_page(s, theme="pink"), "'dark' or 'light'"),
        (lambda s: html_page(s, pens="two"), "'auto', 'one' or 'all'"),
    ],
)
def test_wrong_options_are_refused(call: Callable[[Sketch], object], hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        call(sketch_of([star()]))


def test_a_hostile_name_stays_text() -> None:
    sketch = sketch_of([star()], name=HOSTILE)
    assert title(sketch).startswith("Sketch of </script>")
    ET.fromstring(svg(sketch))
    page = html_page(sketch)
    page.encode()
    assert page.count("<script") == 2
    assert "alert(1)</script>" not in page
    with Image.open(io.BytesIO(png(sketch))) as picture:
        picture.load()


@pytest.mark.parametrize("page", [html_page(sketch_of([star()])), live_page()])
def test_a_page_fetches_nothing(page: str) -> None:
    assert not re.findall(r"https?:|//[a-z]|src=|href=|@import|url\(", re.sub(r"//[^\n]*\n", "\n", page))


def test_a_page_holds_the_coefficients_and_allows_its_own_script_only() -> None:
    sketch = sketch_of([star(), *circles(20)], keep=9)
    page = html_page(sketch)
    data = json.loads(re.search(r'type="application/json">(.*?)</script>', page)[1])  # type: ignore[index]
    assert np.array_equal(np.frombuffer(base64.b64decode(data["k"]), "<i4"), sketch.k)
    assert np.array_equal(np.frombuffer(base64.b64decode(data["c"]), "<c8"), sketch.c)
    assert data["points"] == sketch.points.tolist()
    assert data["count"] == [9] * 21
    assert data["pens"] == "all"
    assert "script-src 'sha256-" in page
    assert "unsafe" not in page
    assert STATEMENT in page


def write(path: Path, content: bytes, *, then: Callable[[], object] = lambda: None) -> None:
    with whole_file(path) as part:
        part.write_bytes(content)
        then()


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    with pytest.raises(ZeroDivisionError):
        write(path, b"half", then=lambda: 1 / 0)
    assert list(tmp_path.iterdir()) == []
    with whole_file(path) as part:
        part.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    with pytest.raises(ConfigError, match="overwrite=True"), whole_file(path):
        pass
    with whole_file(path, overwrite=True) as part:
        part.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.bin"]


def test_a_file_of_another_program_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    with pytest.raises(ConfigError, match="meantime"):
        write(path, b"ours", then=lambda: path.write_bytes(b"theirs"))
    assert path.read_bytes() == b"theirs"
    assert len(list(tmp_path.iterdir())) == 1
