"""From a picture to Fourier coefficients and back, honest about what is lost.

The values are here at once; what needs numpy, OpenCV or Pillow is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raddle.plugin import exports
from raddle.workloads.encrypt.sketch.values import (
    NOTICE,
    EncryptionConfig,
    PictureError,
    PreprocessConfig,
    Sketch,
    SketchDamaged,
)

if TYPE_CHECKING:
    from raddle.workloads.encrypt.sketch.container import from_bytes, to_bytes
    from raddle.workloads.encrypt.sketch.fourier import points_of, tips
    from raddle.workloads.encrypt.sketch.make import sketch_grey, sketch_picture
    from raddle.workloads.encrypt.sketch.pictures import size_of

__all__ = [
    "NOTICE",
    "EncryptionConfig",
    "PictureError",
    "PreprocessConfig",
    "Sketch",
    "SketchDamaged",
    "from_bytes",
    "points_of",
    "size_of",
    "sketch_grey",
    "sketch_picture",
    "tips",
    "to_bytes",
]

__getattr__, __dir__ = exports(
    __name__,
    {
        "container": ["from_bytes", "to_bytes"],
        "fourier": ["points_of", "tips"],
        "make": ["sketch_grey", "sketch_picture"],
        "pictures": ["size_of"],
    },
)
