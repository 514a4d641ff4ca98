"""A catalogue labelled: one category, with style, tags, confidence and reason, for each product, by text or picture.

Everything is imported when it is first asked for: the command line loads no model, a worker no web framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raddle.plugin import exports

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

__getattr__, __dir__ = exports(
    __name__,
    {
        "_workload": ["workload"],
        "errors": [
            "FatalAnswer",
            "InvalidAnswer",
            "LateError",
            "NoPicture",
            "PictureError",
            "TransientError",
            "UpstreamError",
        ],
        "pictures": ["Fetcher"],
        "seed": ["CategoryClassificationRequest", "classify_furniture_category"],
        "service.app": ["make_app"],
        "service.settings": ["ServiceSettings"],
        "settings": ["Settings", "load_settings", "make_provider"],
        "values": ["Label", "Mode", "Picture", "Product", "Provider", "Usage"],
    },
)
