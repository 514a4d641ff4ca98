"""The libraries of the extra `weights`: looked for without importing them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from raddle import errors, plugin
from raddle.workloads.weights.files import plotly_js

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["needed"]


def needed(*, pages: bool, find: Callable[[str], object | None] = find_spec) -> Path | None:
    """Look for the libraries; return where plotly.min.js is if pages are wanted.

    Raises:
        MissingExtra: one is not installed
    """
    plugin.needed("weights", "polars", "numpy", "numba", "orjson", find=find)
    if not pages:
        return None
    library = plotly_js()
    if library is None:
        raise errors.MissingExtra("plotly", "weights")
    return library
