"""Hostile bytes to a small JPEG."""

from __future__ import annotations

import contextlib
import io
from functools import cache
from typing import TYPE_CHECKING, Final

from raddle.errors import MissingExtra
from raddle.workloads.classify.errors import PictureError

try:
    from PIL import Image, UnidentifiedImageError
except ImportError as error:
    raise MissingExtra("pillow", "classify") from error

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_PIXELS", "decode"]

#: larger ones are refused by their header
MAX_PIXELS: Final = 50_000_000
#: no PostScript, no vector formats, nothing that starts a program
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_ORIENTATION: Final = 0x0112
#: by the value of EXIF's orientation
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BYTE: Final = 255


def decode(data: bytes, *, side: int = 512, max_pixels: int = MAX_PIXELS) -> bytes:
    """Return the picture as a JPEG of at most `side` x `side` pixels: upright, RGB, transparent parts white.

    Of an animation the first frame. It takes up to some hundred milliseconds: not for an event loop.

    Raises:
        PictureError: it is no picture, of a kind that is not read, larger than `max_pixels`, or it breaks off
    """
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            if image.width * image.height > max_pixels:
                raise PictureError(
                    f"the picture has {image.width:,} x {image.height:,} pixels, max_pixels={max_pixels:,}"
                )
            image.draft(None, (side, side))  # a JPEG is decoded at a half, a quarter or an eighth: a third of the time
            small = _upright(_small(image, side), image)
        out = io.BytesIO()
        small.save(out, "JPEG", quality=90)
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"the picture has far more pixels than max_pixels={max_pixels:,}") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"not a picture of a kind that is read ({', '.join(_formats())})") from error
    except Exception as error:  # decoders answer broken bytes with nearly any exception there is
        raise PictureError("the picture is broken or breaks off") from error
    return out.getvalue()


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(form for form in _FORMATS if form in Image.OPEN)  # Pillow may be built without some


def _small(image: Image.Image, side: int) -> Image.Image:
    whole: Image.Image = image
    if image.mode in {"RGB", "L", "CMYK", "YCbCr"} and "transparency" not in image.info:
        # shrunk as it is: in another mode 50 million pixels would be some hundred MB more
        whole.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
        return whole.convert("RGB")
    if image.mode.startswith(("I", "F")):
        whole = _bytes_of_grey(image)
    flat = image.mode in {"RGBA", "RGBa", "LA", "La", "PA"} or "transparency" in image.info
    whole = whole.convert("RGBA" if flat else "RGB")
    whole.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    if not flat:
        return whole
    white = Image.new("RGB", whole.size, "white")
    white.paste(whole, mask=whole.getchannel("A"))
    return white


def _bytes_of_grey(image: Image.Image) -> Image.Image:
    """16 bit and more to 8: Pillow alone would make all above 255 white."""
    grey = image.convert("F") if image.mode != "F" else image
    if image.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    else:
        found = grey.getextrema()
        low, high = float(found[0]), float(found[1])  # type: ignore[arg-type]
    scale = _BYTE / (high - low) if high > low else 0.0
    linear: Callable[[float], float] = lambda value: value * scale - low * scale  # noqa: E731 - Pillow wants this form
    return grey.point(linear).convert("L")


def _upright(small: Image.Image, image: Image.Image) -> Image.Image:
    turn = None
    with contextlib.suppress(Exception):  # a broken EXIF block does not spoil a good picture
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    return small if turn is None else small.transpose(turn)
