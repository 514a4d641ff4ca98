"""One source, two speeds: a module of plain scalar functions, and the same functions compiled by numba.

A kernel module holds functions over floats and arrays that call each other and nothing else. Run as they are, they are
the reference; `compiled` returns them as machine code without the interpreter lock, cached on disk by numba. IEEE
arithmetic is kept (no fastmath, no contraction), so both give the same bits; tests hold them to it.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

__all__ = ["compiled", "is_ready"]


@cache
def compiled(module: ModuleType) -> Any:
    """Return the functions that a module defines, compiled; the first call of each compiles or loads from the cache."""
    import numba

    space: dict[str, Any] = dict(vars(module))
    own = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, FunctionType) and value.__module__ == module.__name__
    }
    for name, function in own.items():
        twin = FunctionType(function.__code__, space, name, function.__defaults__, function.__closure__)
        twin.__module__, twin.__qualname__ = module.__name__, function.__qualname__
        space[name] = numba.njit(nogil=True, cache=True, forceinline=True)(twin)
    return SimpleNamespace(**{name: space[name] for name in own})


def is_ready(module: ModuleType) -> bool:
    """Tell whether numba has compiled a module before, so that its functions are there in a moment.

    It looks where numba keeps its cache (`NUMBA_CACHE_DIR`, or beside the source) and takes an old entry for a new one:
    a guess that costs time at worst.
    """
    source = Path(str(module.__file__))
    folder = os.environ.get("NUMBA_CACHE_DIR")
    places = Path(folder).rglob("*.nbi") if folder else source.parent.joinpath("__pycache__").glob("*.nbi")
    return any(place.name.startswith(f"{source.stem}.") for place in places)
