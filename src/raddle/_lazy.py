"""A package that imports what is asked for, when it is first asked for (PEP 562)."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["exports"]


def exports(package: str, names: Mapping[str, Sequence[str]]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package that imports each name when it is first asked for.

    Args:
        package: its `__name__`
        names: by module below the package, what it exports from there

    >>> __getattr__, __dir__ = exports(__name__, {"work": ["digest"], "store.files": ["Files"]})
    """
    homes = {name: f"{package}.{module}" for module, those in names.items() for name in those}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)  # the next time nobody asks here
        return value

    return get, lambda: sorted({*vars(sys.modules[package]), *homes})
