"""A sketch says truly how far it is from the picture: definitions, choice, figures of error, photographs."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raddle import errors

if TYPE_CHECKING:
    from pathlib import Path

np = pytest.importorskip("numpy")
cv2 = pytest.importorskip("cv2")
pytest.importorskip("PIL")

from raddle.workloads.encrypt.sketch import fourier, outlines, reach  # noqa: E402 - only if these are there
from raddle.workloads.encrypt.sketch.container import to_bytes  # noqa: E402
from raddle.workloads.encrypt.sketch.make import sketch_grey, sketch_picture  # noqa: E402
from raddle.workloads.encrypt.sketch.pictures import read_picture  # noqa: E402
from raddle.workloads.encrypt.sketch.values import EncryptionConfig, PictureError, PreprocessConfig  # noqa: E402

PHOTOGRAPHS = ("astronaut.png", "camera.png", "chelsea.png", "china.jpg", "coffee.png", "rocket.jpg")


def shapes(seed: int = 0, *, width: int = 160, height: int = 120) -> Any:
    """Some discs and boxes of several greys."""
    dice = np.random.default_rng(seed)
    grey = np.full((height, width), 130, np.uint8)
    for _ in range(12):
        x, y, size, shade = (
            int(dice.integers(low, high)) for low, high in ((0, width), (0, height), (3, 40), (0, 256))
        )
        if shade % 2:
            cv2.circle(grey, (x, y), size, shade, -1)
        else:
            cv2.rectangle(grey, (x, y), (x + size, y + size // 2), shade, -1)
    return grey


def traced(grey: Any, preprocess: PreprocessConfig | None = None, least: int = 10) -> tuple[Any, Any]:
    preprocess = preprocess or PreprocessConfig()
    edges = outlines.edges_of(outlines.prepared(grey, preprocess)[0], preprocess.thresholds)
    return edges, outlines.outlines_of(edges, least=least)


def contours_of(found: outlines.Outlines) -> list[Any]:
    return np.split(found.z, np.cumsum(found.points)[:-1])


def drawn_by_sums(sketch: Any, i: int) -> Any:
    """The definition, term by term: an oracle that shares nothing with the transforms."""
    mine = sketch.contour == i
    n = np.arange(sketch.points[i])
    turns = 2 * np.pi * np.outer(n, sketch.k[mine]) / sketch.points[i]
    return (np.exp(1j * turns) * sketch.c[mine].astype(np.complex128)).sum(axis=1)


# ------------------------------------------------------------------------------------------------------ what is asked


@pytest.mark.parametrize(
    ("kind", "options", "hint"),
    [
        (PreprocessConfig, {"target_size": (0, 5)}, "target_size=0: must be a whole number from 1"),
        (PreprocessConfig, {"target_size": 1080}, "target_size=1080: must be two numbers, width and height in px"),
        (PreprocessConfig, {"target_size": (32_000, 32_000)}, "at most 178000000 px"),
        (PreprocessConfig, {"denoise_strength": 1.5}, "denoise_strength=1.5: must be a number from 0 to 1"),
        (PreprocessConfig, {"denoise_strength": float("nan")}, "denoise_strength=nan"),
        (PreprocessConfig, {"denoise": 1}, "denoise=1: must be True or False"),
        (PreprocessConfig, {"smoothing": -1}, "smoothing=-1: must be a number from 0 to 10"),
        (PreprocessConfig, {"thresholds": (100, 50)}, "the low one comes first"),
        (PreprocessConfig, {"thresholds": ("a", 50)}, "thresholds='a'"),
        (PreprocessConfig, {"max_pixels": 10**10}, "max_pixels=10000000000: must be a whole number from 1"),
        (PreprocessConfig, {"max_trace_pixels": 0}, "max_trace_pixels=0"),
        (EncryptionConfig, {"num_coefficients": 1}, "num_coefficients=1: must be a whole number from 2"),
        (EncryptionConfig, {"num_coefficients": True}, "num_coefficients=True"),
        (EncryptionConfig, {"min_contour_points": 2}, "min_contour_points=2: must be a whole number from 3"),
    ],
)
def test_options_are_checked_and_the_message_helps(kind: Any, options: dict[str, Any], hint: str) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        kind(**options)
    assert hint in str(caught.value)


def test_values_are_light() -> None:
    """Settings can be made, and sent to workers, where neither numpy nor OpenCV nor Pillow is loaded."""
    program = (
        "import sys, raddle.workloads.encrypt.sketch as s; s.PreprocessConfig(); s.EncryptionConfig();"
        "print(sorted({'numpy', 'cv2', 'PIL'} & set(sys.modules)), s.to_bytes.__name__)"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[] to_bytes"


# ----------------------------------------------------------------------------------------------------------- outlines


@pytest.mark.parametrize("shade", [0, 1, 130, 255])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3), (60, 40)])
def test_a_flat_picture_has_no_outline_and_that_is_said(shade: int, size: tuple[int, int]) -> None:
    sketch = sketch_grey(np.full(size[::-1], shade, np.uint8))
    assert (len(sketch.c), len(sketch.points), sketch.found, sketch.rmse, sketch.recall) == (0, 0, 0, 0.0, 0.0)
    assert sketch.notes == ("no outline found: the drawing is empty",)
    assert fourier.points_of(sketch) == []
    assert fourier.tips(sketch, np.zeros(3)).shape == (0, 3)


def test_the_border_of_a_picture_is_no_edge() -> None:
    """The original padded with black and traced its own padding."""
    edges, _ = traced(np.full((90, 90), 255, np.uint8), PreprocessConfig(target_size=(200, 100)))
    assert edges.shape == (100, 100)
    assert not edges.any()


def test_a_disc() -> None:
    grey = np.full((100, 140), 220, np.uint8)
    cv2.circle(grey, (60, 45), 30, 40, -1)
    sketch = sketch_grey(grey, encryption=EncryptionConfig(num_coefficients=None))
    centre, first = sketch.c[0], sketch.c[1]
    assert abs(centre - (60 + 45j)) < 1.5
    assert abs(abs(first) - 30) < 2
    assert abs(sketch.k[1]) == 1
    assert (sketch.width, sketch.height) == (140, 100)
    assert sketch.recall == 1.0


@pytest.mark.parametrize("median", [0, 5, 32, 100, 180, 255])
def test_thresholds_follow_the_median(median: int) -> None:
    grey = np.full((60, 60), median, np.uint8)
    grey[:10, :10] = np.random.default_rng(1).integers(0, 256, (10, 10))
    level = max(32, median)
    expected = cv2.Canny(grey, int(0.66 * level), int(1.33 * level))
    assert np.array_equal(outlines.edges_of(grey, None), expected)


def test_the_median_of_a_large_picture_is_taken_from_some_rows() -> None:
    grey = np.tile(np.arange(256, dtype=np.uint8), (9000, 1))
    assert outlines._median(grey) in {127, 128}


@pytest.mark.parametrize(
    ("options", "size", "noted"),
    [
        ({}, (160, 120), False),
        ({"target_size": (80, 80)}, (80, 60), False),
        ({"target_size": (320, 500)}, (320, 240), False),
        ({"target_size": (80, 80), "maintain_aspect_ratio": False}, (80, 80), False),
        ({"max_trace_pixels": 4800}, (80, 60), True),
        ({"target_size": (160, 120), "max_trace_pixels": 4800}, (160, 120), False),
    ],
)
def test_size(options: dict[str, Any], size: tuple[int, int], noted: bool) -> None:
    sketch = sketch_grey(shapes(), PreprocessConfig(**options))
    assert (sketch.width, sketch.height) == size
    assert bool(sketch.notes) is noted
    if noted:
        assert sketch.notes[0] == "160 x 120 px, reduced to 80 x 60 for tracing (max_trace_pixels)"


def test_denoise_does_something() -> None:
    noisy = (shapes() + np.random.default_rng(3).normal(0, 12, (120, 160))).clip(0, 255).astype(np.uint8)
    plain = sketch_grey(noisy).found
    assert sketch_grey(noisy, PreprocessConfig(denoise=True)).found < plain
    assert sketch_grey(noisy, PreprocessConfig(smoothing=0)).found > plain


@pytest.mark.parametrize("seed", range(8))
def test_every_traced_pixel_is_still_there_in_order(seed: int) -> None:
    """Lengths are made to transform fast by points between, never by leaving any out."""
    edges, found = traced(shapes(seed))
    raw = [contour[:, 0, :] for contour in cv2.findContours(edges, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]]
    raw = sorted((pixels for pixels in raw if len(pixels) >= 10), key=lambda pixels: -len(pixels))
    assert len(raw) == len(found.points) > 0
    assert list(found.points) == sorted(found.points, reverse=True)
    for pixels, z in zip(raw, contours_of(found), strict=True):
        rest = len(z)
        for factor in (2, 3, 5, 7):
            while rest % factor == 0:
                rest //= factor
        assert rest == 1
        own = pixels[:, 0] + 1j * pixels[:, 1]
        assert np.abs(np.diff(np.append(z, z[0]))).max() <= 1.4143
        at = 0
        for point in z:  # the pixels in order; between them, the middle of two
            if at < len(own) and point == own[at]:
                at += 1
            else:
                assert point == (own[at - 1] + own[at % len(own)]) / 2
        assert at == len(own)


# ---------------------------------------------------------------------------------------------------------- transforms


@given(st.lists(st.integers(3, 40), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_coefficients_by_the_definition(lengths: list[int], seed: int) -> None:
    points = np.array(sorted(lengths, reverse=True))
    dice = np.random.default_rng(seed)
    z = dice.uniform(0, 500, points.sum()) + 1j * dice.uniform(0, 500, points.sum())
    c = fourier.forward(z, points)
    place = np.arange(len(z))
    owner = np.repeat(np.arange(len(points)), points)
    k = fourier.signed(place, points, owner)
    for i, first in enumerate(fourier.starts(points)):
        n = points[i]
        own = z[first : first + n]
        assert sorted(k[owner == i]) == list(range(-(n // 2), n - n // 2))
        for j in range(n):
            expected = (own * np.exp(-2j * np.pi * k[first + j] * np.arange(n) / n)).mean()
            assert abs(c[first + j] - expected) < 1e-9
    assert np.abs(fourier.backward(c, points) - z).max() < 1e-9


@given(st.integers(2, 40), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_choice_is_the_best_by_rank_and_pays_for_centres(budget: int, seed: int, ties: bool) -> None:
    dice = np.random.default_rng(seed)
    points = np.array([9, 7, 7, 4, 3])
    c = (dice.normal(size=30) + 1j * dice.normal(size=30)).astype(np.complex64)
    if ties:
        c = np.round(c)
    place, owner = fourier.chosen(c, points, budget)
    owners = np.repeat(np.arange(5), points)
    centres = set(fourier.starts(points).tolist())
    gain = fourier.power(c) * points[owners]

    kept: list[int] = []  # one after the other, as the rule is told
    for candidate in sorted(set(range(30)) - centres, key=lambda j: (-gain[j], j)):
        cost = 1 + (owners[candidate] not in owners[kept])
        spent = len(kept) + len(set(owners[kept]))
        if spent + cost > budget:
            break
        kept.append(candidate)
    expected = set(kept) | {j for j in centres if owners[j] in owners[kept]}
    assert set(place.tolist()) == expected
    assert len(place) <= budget
    assert np.array_equal(owner, owners[place])
    for i in set(owner.tolist()):
        mine = place[owner == i]
        assert mine[0] in centres
        assert (np.diff(fourier.power(c[mine[1:]])) <= 0).all()


@pytest.mark.parametrize("budget", [None, 10**6])
def test_all_of_it_is_exact(budget: int | None) -> None:
    _, found = traced(shapes(2))
    sketch = sketch_grey(shapes(2), encryption=EncryptionConfig(num_coefficients=budget))
    assert len(sketch.c) == len(found.z)
    worst = max(np.abs(a - b).max() for a, b in zip(fourier.points_of(sketch), contours_of(found), strict=True))
    assert worst < 1e-4
    assert sketch.rmse <= sketch.max_error < 1e-4
    assert sketch.recall > 0.95  # the rest belongs to outlines of fewer than 10 points


@pytest.mark.parametrize("budget", [2, 3, 7, 40, 200, 500])
@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_stated_is_what_is_measured(seed: int, budget: int) -> None:
    check_figures(shapes(seed), EncryptionConfig(num_coefficients=budget))


def check_figures(grey: Any, encryption: EncryptionConfig, *, sums: int = 50) -> Any:
    """Measure the drawing against the outlines, apart from the code under test; Parseval; epicycles."""
    sketch = sketch_grey(grey, encryption=encryption)
    edges, found = traced(grey, least=encryption.min_contour_points)
    contours = contours_of(found)
    drawing = fourier.points_of(sketch)
    assert sketch.found == len(contours)
    assert len(sketch.c) <= (encryption.num_coefficients or len(found.z))

    # which outlines are drawn: lengths and centres tell
    squares, left = [], 0
    remaining = list(range(len(contours)))
    for i, line in enumerate(drawing):
        at = next(
            j for j in remaining if len(contours[j]) == len(line) and abs(contours[j].mean() - line.mean()) < 1e-3
        )
        remaining.remove(at)
        squares.append(np.abs(contours[at] - line) ** 2)
        if left < sums:
            left += 1
            assert np.abs(drawn_by_sums(sketch, i) - line).max() < 1e-6
    squares += [np.abs(contours[j] - contours[j].mean()) ** 2 for j in remaining]
    flat = np.concatenate(squares)
    assert sketch.rmse == pytest.approx(np.sqrt(flat.mean()), rel=1e-3, abs=1e-4)
    assert sketch.max_error == pytest.approx(np.sqrt(flat.max()), rel=1e-3, abs=1e-4)

    # Parseval: all the energy about the centres, less that of what is kept
    spread = sum(float((np.abs(z - z.mean()) ** 2).sum()) for z in contours)
    kept = float((sketch.points[sketch.contour] * np.abs(sketch.c.astype(complex)) ** 2)[sketch.k != 0].sum())
    assert np.sqrt(max(0.0, spread - kept) / len(flat)) == pytest.approx(sketch.rmse, rel=1e-2, abs=2e-2)

    times = 2 * np.pi * np.arange(3) / 3
    for i in range(len(drawing)):
        if len(drawing[i]) % 3 == 0:
            expected = drawing[i][:: len(drawing[i]) // 3]
            assert np.abs(fourier.tips(sketch, times)[i] - expected).max() < 1e-9
            break
    assert sketch.recall == pytest.approx(recall_by_search(edges, drawing), abs=1e-12)
    return sketch


def recall_by_search(edges: Any, drawing: list[Any]) -> float:
    """Every edge pixel against every point of the drawing in its rows."""
    total = int(np.count_nonzero(edges))
    if not total or not drawing:
        return 0.0
    points = np.concatenate(drawing)
    points = points[np.argsort(points.imag)]
    hits = 0
    for y in range(edges.shape[0]):
        first, after = np.searchsorted(points.imag, [y - 2, y + 2])
        gaps = np.flatnonzero(edges[y])[:, None] + 1j * y - points[None, first:after]
        hits += int(((gaps.real**2 + gaps.imag**2) <= reach.REACH**2).any(axis=1).sum())
    return hits / total


@pytest.mark.parametrize("seed", range(6))
def test_reach_by_search(seed: int) -> None:
    """Drawings that stray, some of them out of the picture."""
    edges, found = traced(shapes(seed, width=90, height=70))
    dice = np.random.default_rng(seed)
    for spread in (0.0, 0.5, 2.0, 30.0):
        shift = dice.normal(0, spread, len(found.z)) + 1j * dice.normal(0, spread, len(found.z))
        drawn = found.z + shift
        assert reach.reached(edges, found.z, drawn) == pytest.approx(recall_by_search(edges, [drawn]), abs=1e-12)


def test_tips_meet_the_inverse_transform_everywhere() -> None:
    sketch = sketch_grey(shapes(4), encryption=EncryptionConfig(num_coefficients=300))
    for i, line in enumerate(fourier.points_of(sketch)):
        times = 2 * np.pi * np.arange(len(line)) / len(line)
        assert np.abs(fourier.tips(sketch, times)[i] - line).max() < 1e-9


def test_more_budget_is_never_worse() -> None:
    figures = [
        sketch_grey(shapes(5), encryption=EncryptionConfig(num_coefficients=n)).rmse for n in (2, 5, 20, 80, 320, 2000)
    ]
    assert figures == sorted(figures, reverse=True)


# --------------------------------------------------------------------------------------------------------- whole calls


def test_progress_is_real_and_ends_at_100(tmp_path: Path) -> None:
    path = tmp_path / "shapes.png"
    cv2.imwrite(str(path), shapes())
    seen: list[float] = []
    sketch = sketch_picture(path, report=seen.append)
    assert (seen[0], seen[-1]) == (0.0, 100.0)
    assert seen == sorted(set(seen))
    assert len(seen) >= 6
    assert sketch.name == "shapes.png"
    assert sketch_picture(path.read_bytes(), name="from memory").name == "from memory"


def test_no_100_is_told_of_a_picture_that_fails() -> None:
    seen: list[float] = []
    with pytest.raises(PictureError):
        sketch_picture(b"none", report=seen.append)
    assert seen == [0.0]


def test_what_a_callback_raises_goes_through(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), shapes())

    def stop(percentage: float) -> None:
        if percentage > 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sketch_picture(tmp_path / "a.png", report=stop)


def test_same_picture_same_bytes() -> None:
    assert to_bytes(sketch_grey(shapes(6))) == to_bytes(sketch_grey(shapes(6).copy()))


@pytest.mark.parametrize("budget", [500, 8000])
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs(data: Path, name: str, budget: int) -> None:
    """8,000 coefficients: at most 0.6 px, and at least 94 % of the edge pixels, measured apart."""
    path = data / "images/good" / name
    if not path.exists():
        pytest.skip(f"{name} is not among the data")
    sketch = check_figures(read_picture(path).grey, EncryptionConfig(num_coefficients=budget), sums=3)
    if budget == 8000:
        assert sketch.rmse <= 0.6
        assert sketch.recall >= 0.94
    again = sketch_picture(path, encryption=EncryptionConfig(num_coefficients=budget))
    assert to_bytes(again) == to_bytes(dataclasses.replace(sketch, name=name))
