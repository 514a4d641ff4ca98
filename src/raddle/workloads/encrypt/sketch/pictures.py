"""Any picture file -> grey, by rule, within limits.

The rules: what a file is, its content says, not its suffix. Its size is judged by the header, before anything is
decoded. The orientation that EXIF states is applied. Transparent parts lie on white. Colours become grey by ITU-R 601.
Of 16 bits the upper 8 count; integers and floats of other ranges are stretched from their least to their greatest.
Of several frames or pages the first counts, and a note says so.
"""

from __future__ import annotations

import io
import threading
import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, TypeVar

from raddle import errors
from raddle.workloads.encrypt.sketch.values import PictureError, PreprocessConfig

try:
    import numpy as np
    from PIL import ExifTags, Image, UnidentifiedImageError
except ImportError as missing:
    raise errors.MissingExtra("pillow", "encrypt") from missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike
    from typing import Any

    from numpy.typing import NDArray

    from raddle.workloads.encrypt.sketch.values import Grey

__all__ = ["FORMATS", "Picture", "read_picture", "size_of"]

T = TypeVar("T")

#: Pillow's decoders that are asked. None starts another program (EPS does), is written in Python pixel by pixel (QOI),
#: or holds pictures within pictures whose size no header tells (ICO, ICNS)
FORMATS: Final = (
    *("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "SGI", "TGA", "TIFF", "WEBP"),
)
#: rows composited on white at once, to hold no second copy of a large picture
_ROWS: Final = 256
#: characters of a decoder's message that are passed on
_LONGEST: Final = 200
#: what each EXIF orientation asks for
_TURNS: Final[dict[int, Callable[[NDArray[Any]], NDArray[Any]]]] = {
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: np.rot90,
}
# what Pillow warns of is judged here; changing the filters is not safe beside other threads of ours
_filters = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What was read, upright."""

    grey: Grey  # height x width
    name: str
    format: str  # Pillow's name of it
    notes: tuple[str, ...]  # for the owner: only one frame was read, some of it was missing


def read_picture(source: str | PathLike[str] | bytes, config: PreprocessConfig | None = None) -> Picture:
    """Read the path of a picture, or its bytes.

    Raises:
        PictureError: it is no picture, it is damaged, or it is larger than config.max_pixels
        OSError: the file cannot be opened
    """
    return _with_file(source, lambda file, name: _read(file, name, config or PreprocessConfig()))


def size_of(source: str | PathLike[str] | bytes, config: PreprocessConfig | None = None) -> tuple[int, int]:
    """Width and height in px by the header alone, to plan memory: decoding takes up to 5 bytes a pixel.

    Raises:
        PictureError: it is no picture, or larger than config.max_pixels
        OSError: the file cannot be opened
    """
    return _with_file(source, lambda file, name: _size(file, name, config or PreprocessConfig()))


def _with_file(source: str | PathLike[str] | bytes, use: Callable[[IO[bytes], str], T]) -> T:
    name = "" if isinstance(source, bytes) else Path(source).name
    with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
        try:
            return use(file, name)
        except PictureError:
            raise
        except MemoryError:
            raise PictureError(f"{name or 'picture'}: not enough memory to decode it; lower max_pixels") from None
        except Exception as error:
            # hostile bytes in a dozen decoders: besides OSError and SyntaxError they raise ValueError, struct.error,
            # KeyError, IndexError, TypeError, OverflowError and more
            raise PictureError(f"{name or 'picture'}: {_reason(error)}") from error


def _size(file: IO[bytes], name: str, config: PreprocessConfig) -> tuple[int, int]:
    with _opened(file) as image:
        _judge(image, name, config)
        return image.size


def _read(file: IO[bytes], name: str, config: PreprocessConfig) -> Picture:
    with _opened(file) as image:
        _judge(image, name, config)
        if image.format == "JPEG" and image.mode == "RGB":
            image.draft("L", image.size)  # decodes the luminance only
        notes = _load(image, truncated=config.allow_truncated)
        grey = _grey(image)
        turn = _TURNS.get(_quiet(lambda: _orientation(image), otherwise=1))
        if turn is not None:
            grey = turn(grey)
        if _quiet(lambda: getattr(image, "is_animated", False), otherwise=False):
            notes.append("several frames or pages: the first was taken")
        return Picture(np.ascontiguousarray(grey), name, str(image.format), tuple(notes))


def _opened(file: IO[bytes]) -> Image.Image:
    with _silence():
        return Image.open(file, formats=FORMATS)


@contextmanager
def _silence() -> Iterator[None]:
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _quiet(ask: Callable[[], T], *, otherwise: T) -> T:
    """Ask for what a picture can do without: metadata, further frames."""
    with _silence():
        try:
            return ask()
        except Exception:  # noqa: BLE001 - the pixels are there; whatever a broken rest raises changes nothing
            return otherwise


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _judge(image: Image.Image, name: str, config: PreprocessConfig) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise PictureError(f"{name or 'picture'}: {width} x {height} px, there is nothing to see")
    if width * height > config.max_pixels:
        raise PictureError(
            f"{name or 'picture'}: {width} x {height} px are more than max_pixels={config.max_pixels}; raise it if the"
            " picture is what it claims to be"
        )


def _load(image: Image.Image, *, truncated: bool) -> list[str]:
    try:
        with _silence() if image.format == "TIFF" else nullcontext():  # it reads tags as it goes
            image.load()
    except (OSError, SyntaxError, EOFError):
        # Pillow's own switch for this is global; what it has decoded so far stands in the picture all the same
        if not truncated or getattr(image, "_im", None) is None:
            raise
        image.tile = []  # type: ignore[attr-defined]
        return ["the file breaks off: what is missing was left as it was decoded"]
    return []


def _grey(image: Image.Image) -> Grey:
    if image.mode.startswith("I;16"):
        return np.right_shift(np.asarray(image, np.uint16), 8, dtype=np.uint16).astype(np.uint8)
    if image.mode in {"I", "F"}:
        return _stretched(np.asarray(image, np.float32))
    if image.has_transparency_data:
        return _on_white(image)
    if image.mode == "LAB":
        image = image.getchannel("L")
    if image.mode not in {"1", "L", "P", "RGB"}:
        image = image.convert("RGB")
    return np.asarray(image.convert("L"))


def _stretched(values: NDArray[np.float32]) -> Grey:
    known = values[np.isfinite(values)]
    least, greatest = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    if least == greatest:
        return np.zeros(values.shape, np.uint8)
    with np.errstate(over="ignore"):
        shares = (values - np.float32(least)) / np.float32(greatest - least)
    levels: Grey = (np.nan_to_num(shares, nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1) * 255).astype(np.uint8)
    return levels


def _on_white(image: Image.Image) -> Grey:
    width, height = image.size
    grey = np.empty((height, width), np.uint8)
    for top in range(0, height, _ROWS):
        rows = image.crop((0, top, width, min(top + _ROWS, height))).convert("RGBA")
        alpha = np.asarray(rows.getchannel("A"), np.uint16)
        seen = np.asarray(rows.convert("RGB").convert("L"), np.uint16)
        grey[top : top + _ROWS] = (seen * alpha + 255 * (255 - alpha) + 127) // 255
    return grey


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not a picture that can be read; known are {', '.join(FORMATS)}, whatever the suffix"
    if isinstance(error, Image.DecompressionBombError):
        return "far too many pixels (a decompression bomb); it is not read"
    text = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
    if "truncated" in text:
        return f"{text}; the file breaks off: allow_truncated (--allow-truncated) sketches what there is of it"
    return f"damaged ({text}); open it in a viewer and save it again"
