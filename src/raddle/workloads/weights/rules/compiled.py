"""One source, two speeds: a module of plain scalar functions, and the same functions compiled by numba.

A kernel module holds functions over floats and arrays that call each other and nothing else. Run as they are, they are
the reference; `compiled` returns them as machine code without the interpreter lock, cached on disk by numba. IEEE
arithmetic is kept (no fastmath, no contraction), so both give the same bits; tests hold them to it.
"""

from __future__ import annotations

from functools import cache
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

__all__ = ["compiled"]


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
