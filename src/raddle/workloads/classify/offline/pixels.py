"""From the bytes of a picture to what the picture model sees."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Final

from raddle.errors import MissingExtra
from raddle.workloads.classify.errors import PictureError
from raddle.workloads.classify.offline.efficientnet import SIDE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["pixels"]

#: more than that is refused before it is decoded
_MOST_PIXELS: Final = 50_000_000
#: how far a pixel may be from the corner's grey and still be background: what JPEG does to plain white
_NOISE: Final = 12
#: share of the picture left free around the thing
_MARGIN: Final = 0.08


def pixels(data: bytes) -> NDArray[np.float32]:
    """Return a (3, 224, 224) array: transparency on white, plain margins cut off, made square by adding some.

    Raises:
        PictureError: it is broken, too large, or no picture
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingExtra("pillow", "classify") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit and odd metadata: ours is checked below
            with Image.open(io.BytesIO(data)) as picture:
                if picture.width * picture.height > _MOST_PIXELS:
                    size = f"{picture.width}x{picture.height}"
                    raise PictureError(f"size={size}: more than {_MOST_PIXELS} pixels; make it smaller")
                picture.draft("RGB", (2 * SIDE, 2 * SIDE))
                return _array(_square(_opaque(picture)))
    except UnidentifiedImageError as error:
        raise PictureError("the data is no picture that Pillow reads") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"more than {_MOST_PIXELS} pixels; make it smaller") from error
    # Pillow's decoders raise all of these on damaged files.
    except (OSError, SyntaxError, ValueError, TypeError, IndexError, EOFError) as error:
        raise PictureError(f"the picture is broken: {error}") from error


def _opaque(picture: Image.Image) -> Image.Image:
    from PIL import Image

    if picture.mode not in {"RGBA", "LA", "PA"} and "transparency" not in picture.info:
        return picture.convert("RGB")
    full = picture.convert("RGBA")
    white = Image.new("RGBA", full.size, "white")
    return Image.alpha_composite(white, full).convert("RGB")


def _square(picture: Image.Image) -> Image.Image:
    from PIL import Image, ImageChops

    corner = picture.getpixel((0, 0))
    apart = ImageChops.difference(picture, Image.new("RGB", picture.size, corner)).convert("L")
    thing = apart.point([255 * (value > _NOISE) for value in range(256)]).getbbox()
    cut = picture.crop(thing) if thing else picture
    side = round(max(cut.size) * (1 + 2 * _MARGIN))
    square = Image.new("RGB", (side, side), corner)
    square.paste(cut, ((side - cut.width) // 2, (side - cut.height) // 2))
    return square.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _array(picture: Image.Image) -> NDArray[np.float32]:
    import numpy as np

    values: NDArray[np.float32] = np.asarray(picture, np.float32)
    return np.ascontiguousarray(((values - 127) / 128).transpose(2, 0, 1), np.float32)
