"""A picture file -> its Sketch, in one call."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from raddle.workloads.encrypt.sketch import fourier, outlines
from raddle.workloads.encrypt.sketch.pictures import read_picture
from raddle.workloads.encrypt.sketch.reach import reached
from raddle.workloads.encrypt.sketch.values import EncryptionConfig, PreprocessConfig, Sketch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    from raddle.workloads.encrypt.sketch.values import Grey

__all__ = ["sketch_grey", "sketch_picture"]


def sketch_picture(
    picture: str | PathLike[str] | bytes,
    preprocess: PreprocessConfig | None = None,
    encryption: EncryptionConfig | None = None,
    *,
    name: str | None = None,
    report: Callable[[float], None] | None = None,
) -> Sketch:
    """Read a picture, trace its outlines, keep what the budget allows.

    Args:
        picture: path of a file, or its bytes
        preprocess: how to read and prepare it
        encryption: how much to keep
        name: for titles; None: the name of the file
        report: told the percentage of the work that is done, 0 to 100, as each stage ends. What it raises goes through

    Raises:
        PictureError: it cannot be read within the limits
        OSError: the file cannot be opened
    """
    preprocess = preprocess or PreprocessConfig()
    report = report or _nobody
    report(0.0)
    read = read_picture(picture, preprocess)
    report(30.0)
    return sketch_grey(
        read.grey,
        preprocess,
        encryption,
        name=read.name if name is None else name,
        notes=read.notes,
        report=report,
    )


def sketch_grey(
    grey: Grey,
    preprocess: PreprocessConfig | None = None,
    encryption: EncryptionConfig | None = None,
    *,
    name: str = "",
    notes: Sequence[str] = (),
    report: Callable[[float], None] | None = None,
) -> Sketch:
    """Sketch what is already in memory: grey, one byte a pixel, rows from the top."""
    preprocess = preprocess or PreprocessConfig()
    encryption = encryption or EncryptionConfig()
    report = report or _nobody
    grey, resized = outlines.prepared(grey, preprocess)
    report(40.0)
    edges = outlines.edges_of(grey, preprocess.thresholds)
    report(55.0)
    traced = outlines.outlines_of(edges, least=encryption.min_contour_points)
    report(70.0)
    c = fourier.forward(traced.z, traced.points)
    report(80.0)
    sketch = _drawn(edges, traced, c, encryption.num_coefficients)
    empty = "" if len(sketch.c) else "no outline found: the drawing is empty"
    report(100.0)
    return replace(sketch, name=name, notes=tuple(filter(None, (*notes, resized, empty))))


def _drawn(edges: Grey, traced: outlines.Outlines, c: fourier.Waves, budget: int | None) -> Sketch:
    """Choose what the budget allows, rounded as it is stored, and measure what that draws. `c` is used up."""
    points, stored = traced.points, c.astype(np.complex64)
    place, owner = fourier.chosen(stored, points, budget)
    begins = np.diff(owner, prepend=-1) > 0
    which, contour = owner[begins], np.cumsum(begins) - 1

    centres = fourier.starts(points)
    middles = c[centres]
    c[:] = 0
    c[centres] = middles  # a contour that is not drawn: a dot at its centre
    c[place] = stored[place]
    z, drawing = traced.z, fourier.backward(c, points)
    rmse, worst = fourier.errors_of(z, drawing)
    if len(which) < len(points):
        visible = np.repeat(np.isin(np.arange(len(points)), which), points)
        z, drawing = z[visible], drawing[visible]
    height, width = edges.shape
    return Sketch(
        width=width,
        height=height,
        points=points[which],
        contour=contour,
        k=fourier.signed(place, points, owner),
        c=stored[place],
        rmse=rmse,
        max_error=worst,
        recall=reached(edges, z, drawing),
        found=len(points),
    )


def _nobody(_: float) -> None:
    """Nobody asked."""
