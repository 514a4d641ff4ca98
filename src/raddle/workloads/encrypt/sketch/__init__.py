"""From a picture to Fourier coefficients and back, honest about what is lost.

The values are here at once; what needs numpy, OpenCV or Pillow is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

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

_HOMES: Final = {
    "from_bytes": "container",
    "points_of": "fourier",
    "size_of": "pictures",
    "sketch_grey": "make",
    "sketch_picture": "make",
    "tips": "fourier",
    "to_bytes": "container",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
