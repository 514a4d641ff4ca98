"""What is asked of a sketch, what a sketch is, and what can go wrong. No library is imported here, only named.

One definition holds everywhere: a contour of N points z_n = x + i y (px, y downwards) has the coefficients
c_k = (1/N) sum z_n exp(-2 pi i k n / N), k signed in [-N/2, N/2), and is drawn by z(t) = sum c_k exp(i k t), t from
0 to 2 pi. c_0 is its centre, |c_k| the radius of circle k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from raddle import errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Complexes = NDArray[np.complex64]
    Grey = NDArray[np.uint8]

__all__ = [
    "MOST_PIXELS",
    "NOTICE",
    "REACH",
    "EncryptionConfig",
    "PictureError",
    "PreprocessConfig",
    "Sketch",
    "SketchDamaged",
]

#: stands in every sketch file
NOTICE: Final = "A drawing of outlines, openly lossy: the photo cannot be recovered from it."
#: px; how near the drawing must pass for an edge pixel to count as drawn
REACH: Final = 1.5
#: of any picture or drawing; Pillow itself refuses more, unless its global setting is changed for the whole process
MOST_PIXELS: Final = 178_000_000


class PictureError(errors.RaddleError):
    """A file is not a picture that can be read within the limits; the message says why and what to do."""


class SketchDamaged(errors.RaddleError):
    """The bytes are not a sketch, or they do not hold together."""


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """Outlines of a picture as Fourier coefficients.

    Every contour in it has its k = 0 and at least one more. Contours are in order of falling length.

    `rmse` and `max_error` are distances between each traced point and the same point of the drawing, over all points
    of ALL contours found, so that leaving contours out cannot improve them. The points of a contour that is not drawn
    count with their distance from its centre, as if it had shrunk to a dot: all its energy but |c_0|^2 is lost, and
    rmse^2 = sum N_i |c_ik|^2 over all coefficients dropped / sum N_i holds exactly (Parseval). What that dot would hide
    shows in `recall`, which counts all edge pixels, those of outlines too short to be traced included.
    """

    width: int  # px of the picture that was traced
    height: int
    points: Ints  # per contour: N, the number of its points
    contour: Ints  # per coefficient: index into points, ascending
    k: Ints  # per coefficient: signed frequency, in [-N/2, N/2)
    c: Complexes  # per coefficient; within a contour k = 0 first, then |c| descending
    rmse: float  # px
    max_error: float  # px
    recall: float  # share of edge pixels within 1.5 px of the drawing; 0 if there are no edges
    name: str = ""  # of the source, for titles
    found: int = 0  # contours found; points holds those that are drawn
    notes: tuple[str, ...] = ()  # what was done to the picture that its owner should know


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessConfig:
    """How a picture is read and prepared.

    Args:
        target_size: width and height in px to bring the picture to before tracing; None: its own
        maintain_aspect_ratio: fit into target_size (nothing is padded: borders would be traced); False: stretch to it
        denoise: smooth by non-local means first; costs about a second for each megapixel
        denoise_strength: 0 to 1
        smoothing: sigma in px, 0 to 10, of the Gaussian before edges are looked for (Canny's own first step, which
            OpenCV leaves to its callers); 0: none, as in the original: noise gives many more and shorter outlines
        thresholds: low and high one of the Canny edge detector, in sums of grey steps (0 to 2040); None: 0.66 and 1.33
            times the median grey of the picture, taken as at least 32, so that dark pictures do not turn into noise
        max_pixels: pictures with more pixels are refused, judged by their header before anything is decoded
        max_trace_pixels: larger pictures are reduced to this many (4K) before tracing, unless target_size is
            given. Tracing takes about 20 bytes a pixel of a photograph, up to 80 of pure noise
        allow_truncated: sketch what there is of a file that breaks off
    """

    target_size: tuple[int, int] | None = None
    maintain_aspect_ratio: bool = True
    denoise: bool = False
    denoise_strength: float = 0.5
    smoothing: float = 0.85
    thresholds: tuple[float, float] | None = None
    max_pixels: int = 64_000_000
    max_trace_pixels: int = 8_300_000
    allow_truncated: bool = False

    def __post_init__(self) -> None:
        if self.target_size is not None:
            _pair("target_size", self.target_size, kind=(int,), least=1, most=32_000, remedy="width and height in px")
            if self.target_size[0] * self.target_size[1] > MOST_PIXELS:
                raise errors.ConfigError(f"target_size={self.target_size}: at most {MOST_PIXELS} px in all")
        if self.thresholds is not None:
            _pair("thresholds", self.thresholds, kind=(int, float), least=0, most=2040, remedy="low and high")
            if self.thresholds[0] > self.thresholds[1]:
                raise errors.ConfigError(f"thresholds={self.thresholds}: the low one comes first")
        _number("denoise_strength", self.denoise_strength, kind=(int, float), least=0, most=1)
        _number("smoothing", self.smoothing, kind=(int, float), least=0, most=10)
        _number("max_pixels", self.max_pixels, kind=(int,), least=1, most=MOST_PIXELS)
        _number("max_trace_pixels", self.max_trace_pixels, kind=(int,), least=64, most=MOST_PIXELS)
        for name in ("maintain_aspect_ratio", "denoise", "allow_truncated"):
            if not isinstance(getattr(self, name), bool):
                raise errors.ConfigError(f"{name}={getattr(self, name)!r}: must be True or False")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionConfig:
    """How much of the outlines is kept.

    Args:
        num_coefficients: budget over all contours together, 8 to 12 bytes each; None: all
        min_contour_points: shorter contours are not traced
    """

    num_coefficients: int | None = 8000
    min_contour_points: int = 10

    def __post_init__(self) -> None:
        if self.num_coefficients is not None:
            _number("num_coefficients", self.num_coefficients, kind=(int,), least=2, most=100_000_000)
        _number("min_contour_points", self.min_contour_points, kind=(int,), least=3, most=1_000_000)


def _number(name: str, value: Any, *, kind: tuple[type, ...], least: float, most: float) -> None:
    fits = isinstance(value, kind) and not isinstance(value, bool)
    if not fits or not least <= value <= most:
        what = "a whole number" if kind == (int,) else "a number"
        raise errors.ConfigError(f"{name}={value!r}: must be {what} from {least} to {most}")


def _pair(name: str, value: Any, *, kind: tuple[type, ...], least: float, most: float, remedy: str) -> None:
    if not isinstance(value, tuple) or len(value) != 2:  # noqa: PLR2004 - a pair
        raise errors.ConfigError(f"{name}={value!r}: must be two numbers, {remedy}")
    for part in value:
        _number(name, part, kind=kind, least=least, most=most)
