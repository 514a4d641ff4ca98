"""Labels from any OpenAI-compatible endpoint: a pool of keys, retries by class, a cache, a cascade.

Everything is imported when it is first asked for: aiohttp comes with `OpenAI` at its first call only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raddle.plugin import exports

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

__getattr__, __dir__ = exports(
    __name__,
    {
        "batch_api": ["BatchAnswer", "from_batch_line", "split_lines", "to_batch_line"],
        "cached": ["Cached"],
        "cascade": ["Cascade"],
        "endpoint": ["Endpoint", "Key"],
        "openai": ["OpenAI"],
        "replies": ["Budget"],
    },
)
