"""A catalogue labelled: one category, with style, tags, confidence and reason, for each product, by text or picture.

Everything is imported when it is first asked for: the command line loads no model, a worker no web framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from raddle.workloads.classify._workload import workload
    from raddle.workloads.classify.errors import (
        FatalAnswer,
        InvalidAnswer,
        LateError,
        NoPicture,
        PictureError,
        TransientError,
        UpstreamError,
    )
    from raddle.workloads.classify.pictures import Fetcher
    from raddle.workloads.classify.seed import CategoryClassificationRequest, classify_furniture_category
    from raddle.workloads.classify.service.app import make_app
    from raddle.workloads.classify.service.settings import ServiceSettings
    from raddle.workloads.classify.settings import Settings, load_settings, make_provider
    from raddle.workloads.classify.values import Label, Mode, Picture, Product, Provider, Usage

__all__ = [
    "CategoryClassificationRequest",
    "FatalAnswer",
    "Fetcher",
    "InvalidAnswer",
    "Label",
    "LateError",
    "Mode",
    "NoPicture",
    "Picture",
    "PictureError",
    "Product",
    "Provider",
    "ServiceSettings",
    "Settings",
    "TransientError",
    "UpstreamError",
    "Usage",
    "classify_furniture_category",
    "load_settings",
    "make_app",
    "make_provider",
    "workload",
]

_HOMES: Final = {
    "CategoryClassificationRequest": "seed",
    "FatalAnswer": "errors",
    "Fetcher": "pictures",
    "InvalidAnswer": "errors",
    "Label": "values",
    "LateError": "errors",
    "Mode": "values",
    "NoPicture": "errors",
    "Picture": "values",
    "PictureError": "errors",
    "Product": "values",
    "Provider": "values",
    "ServiceSettings": "service.settings",
    "Settings": "settings",
    "TransientError": "errors",
    "UpstreamError": "errors",
    "Usage": "values",
    "classify_furniture_category": "seed",
    "load_settings": "settings",
    "make_app": "service.app",
    "make_provider": "settings",
    "workload": "_workload",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
