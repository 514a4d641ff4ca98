"""Options that several commands of `raddle classify` have, each said once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "Cache",
    "Config",
    "Encoding",
    "EndpointUrl",
    "IdColumn",
    "ImageColumn",
    "Input",
    "KeyEnv",
    "Limit",
    "Margin",
    "ModeOption",
    "Model",
    "NameColumn",
    "NoCache",
    "OnError",
    "Progress",
    "ProviderName",
    "ProviderOption",
    "TaxonomyFile",
    "TextFallback",
    "Timeout",
    "Workers",
    "option",
]


class ProviderName(StrEnum):
    OFFLINE = "offline"
    OPENAI = "openai"
    CASCADE = "cascade"


class ModeName(StrEnum):
    TEXT = "text"
    IMAGE = "image"


class OnError(StrEnum):
    SKIP = "skip"
    FAIL = "fail"


class Progress(StrEnum):
    AUTO = "auto"
    LIVE = "live"
    LINE = "line"
    JSONL = "jsonl"
    NONE = "none"


def option(*names: str, text: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, show_default=False, **more)


Input = Annotated[
    Path, typer.Argument(metavar="INPUT", show_default=False, help="CSV, JSON Lines, or a folder of pictures.")
]
ModeOption = Annotated[
    ModeName | None, option("--mode", text="Classify by text or by picture. Default: text; of a folder, image.")
]
IdColumn = Annotated[str | None, option("--id-column", text="Default: id, else the row's place from 0.")]
NameColumn = Annotated[str | None, option("--name-column", text="Default: product name, name, title and the like.")]
ImageColumn = Annotated[
    str | None, option("--image-column", text="Addresses or files. Default: image url, image, icon and the like.")
]
Encoding = Annotated[str, typer.Option(help="Of a CSV file; with a byte order mark UTF-16 is found out.")]
Limit = Annotated[int, typer.Option(min=0, help="Take only so many rows; 0: all.")]
ProviderOption = Annotated[
    ProviderName | None,
    option("--provider", text="offline (default), openai, or cascade: offline first, the endpoint where it is unsure."),
]
EndpointUrl = Annotated[
    str | None, option("--endpoint", metavar="URL", text="OpenAI-compatible service, such as https://host/v1.")
]
Model = Annotated[str | None, option("--model", text="As the endpoint calls it.")]
KeyEnv = Annotated[
    str | None, option("--key-env", metavar="NAME", text="Variable with the endpoint's key. Default: OPENAI_API_KEY.")
]
TaxonomyFile = Annotated[
    Path | None, option("--taxonomy", metavar="FILE", text="Categories and styles as TOML; see `taxonomy`.")
]
Margin = Annotated[
    float | None,
    option(
        "--margin", text="Of the cascade: below it the endpoint is asked. Default: what the models were measured with."
    ),
]
Timeout = Annotated[
    float | None, option("--timeout", text="Seconds for one item, waiting and retries included. Default: 60.")
]
Workers = Annotated[
    int | None, option("--workers", min=0, text="Offline: threads. Else items at once. Default: 0, by itself.")
]
Cache = Annotated[Path | None, option("--cache", metavar="FILE", text="SQLite file that remembers answers.")]
NoCache = Annotated[bool, option("--no-cache", text="No such file, whatever the configuration says.")]
TextFallback = Annotated[
    bool | None,
    option("--text-fallback/--no-text-fallback", text="By text if the picture cannot be had."),
]
Config = Annotated[
    Path | None, option("--config", metavar="FILE", text="TOML with a [classify] table; options beat it.")
]
