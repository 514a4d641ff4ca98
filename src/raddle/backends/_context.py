"""Context variables on their way to a fresh interpreter; a fork inherits them."""

from __future__ import annotations

import contextlib
import importlib
import pickle
import sys
from contextvars import ContextVar, copy_context

from raddle.backends._wire import LOAD_ERRORS, PROTOCOL, _importable

__all__ = ["Variable", "restore", "snapshot"]

#: module, name there, pickled value
Variable = tuple[str, str, bytes]


def snapshot() -> list[Variable]:
    """Return the variables that have a value here, where they can be found by name and their value can be pickled."""
    values = dict(copy_context().items())
    found: dict[ContextVar[object], Variable] = {}
    if not values:
        return []
    for name, module in list(sys.modules.items()):
        if name == "__main__":
            continue  # another one over there
        for attribute, var in list(getattr(module, "__dict__", {}).items()):
            if type(var) is ContextVar and var in values and var not in found:
                with contextlib.suppress(Exception):  # somebody's __reduce__: this one cannot travel
                    if _importable(name):
                        found[var] = (name, attribute, pickle.dumps(values[var], PROTOCOL))
    return list(found.values())


def restore(variables: list[Variable]) -> None:
    """Give the variables their values, in the current context; what cannot be found is left out."""
    for module, name, packed in variables:
        with contextlib.suppress(*LOAD_ERRORS):
            var = getattr(importlib.import_module(module), name)
            if isinstance(var, ContextVar):
                var.set(pickle.loads(packed))  # noqa: S301 - from our parent
