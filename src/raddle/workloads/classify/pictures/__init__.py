"""Pictures from addresses, files and uploads, brought to a small JPEG without trusting any of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from raddle.workloads.classify.pictures.decoding import decode
    from raddle.workloads.classify.pictures.fetch import Fetcher
    from raddle.workloads.classify.pictures.loading import Loader, read

__all__ = ["Fetcher", "Loader", "decode", "read"]

_HOMES: Final = {"Fetcher": "fetch", "Loader": "loading", "decode": "decoding", "read": "loading"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
