"""A policy over a library of video files: each file as the policy says, in parallel, and never a lost stream.

Everything is imported when it is first asked for: `raddle --help` loads neither PyAV nor YAML.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from raddle.workloads.media._workload import workload

__all__ = ["workload"]

_HOMES: Final = {"workload": "_workload"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
