"""Labels from any OpenAI-compatible endpoint: a pool of keys, retries by class, a cache, a cascade.

Everything is imported when it is first asked for: aiohttp comes with `OpenAI` at its first call only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from raddle.workloads.classify.upstream.batch_api import BatchAnswer, from_batch_line, split_lines, to_batch_line
    from raddle.workloads.classify.upstream.cached import Cached
    from raddle.workloads.classify.upstream.cascade import Cascade
    from raddle.workloads.classify.upstream.endpoint import Endpoint, Key
    from raddle.workloads.classify.upstream.openai import OpenAI
    from raddle.workloads.classify.upstream.replies import Budget

__all__ = [
    "BatchAnswer",
    "Budget",
    "Cached",
    "Cascade",
    "Endpoint",
    "Key",
    "OpenAI",
    "from_batch_line",
    "split_lines",
    "to_batch_line",
]

_HOMES: Final = {
    "BatchAnswer": "batch_api",
    "Budget": "replies",
    "Cached": "cached",
    "Cascade": "cascade",
    "Endpoint": "endpoint",
    "Key": "endpoint",
    "OpenAI": "openai",
    "from_batch_line": "batch_api",
    "split_lines": "batch_api",
    "to_batch_line": "batch_api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
