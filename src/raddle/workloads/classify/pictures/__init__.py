"""Pictures from addresses, files and uploads, brought to a small JPEG without trusting any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raddle.plugin import exports

if TYPE_CHECKING:
    from raddle.workloads.classify.pictures.decoding import decode
    from raddle.workloads.classify.pictures.fetch import Fetcher
    from raddle.workloads.classify.pictures.loading import Loader, read

__all__ = ["Fetcher", "Loader", "decode", "read"]

__getattr__, __dir__ = exports(
    __name__,
    {
        "decoding": ["decode"],
        "fetch": ["Fetcher"],
        "loading": ["Loader", "read"],
    },
)
