"""Options that several commands of `raddle classify` have, each said once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from raddle.errors import ConfigError
from raddle.plugin.command_line import option

if TYPE_CHECKING:
    from raddle.workloads.classify.batch.inputs import Catalogue
    from raddle.workloads.classify.settings import Settings

__all__ = ["CatalogueFlags", "Config", "Input", "Progress", "SettingsFlags", "TaxonomyFile"]


class ProviderName(StrEnum):
    OFFLINE = "offline"
    OPENAI = "openai"
    CASCADE = "cascade"


class ModeName(StrEnum):
    TEXT = "text"
    IMAGE = "image"


class Progress(StrEnum):
    AUTO = "auto"
    LIVE = "live"
    LINE = "line"
    JSONL = "jsonl"
    NONE = "none"


Input = Annotated[
    Path, typer.Argument(metavar="INPUT", show_default=False, help="CSV, JSON Lines, or a folder of pictures.")
]
TaxonomyFile = Annotated[
    Path | None, option("--taxonomy", metavar="FILE", text="Categories and styles as TOML; see `taxonomy`.")
]
Config = Annotated[
    Path | None, option("--config", metavar="FILE", text="TOML with a [classify] table; options beat it.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueFlags:
    """How INPUT is read."""

    mode: Annotated[
        ModeName | None, option("--mode", text="Classify by text or by picture. Default: text; of a folder, image.")
    ] = None
    id_column: Annotated[str | None, option("--id-column", text="Default: id, else the row's place from 0.")] = None
    name_column: Annotated[
        str | None, option("--name-column", text="Default: product name, name, title and the like.")
    ] = None
    image_column: Annotated[
        str | None, option("--image-column", text="Addresses or files. Default: image url, image, icon and the like.")
    ] = None
    encoding: Annotated[str, typer.Option(help="Of a CSV file; with a byte order mark UTF-16 is found out.")] = "utf-8"
    limit: Annotated[int, typer.Option(min=0, help="Take only so many rows; 0: all.")] = 0

    def of(self, source: Path) -> Catalogue:
        """Return the catalogue, to be read so."""
        from raddle.workloads.classify.batch.inputs import Catalogue
        from raddle.workloads.classify.batch.rows import Columns

        columns = Columns(id=self.id_column, name=self.name_column, image=self.image_column)
        mode: Literal["text", "image"] | None = self.mode.value if self.mode else None
        return Catalogue(path=source, mode=mode, columns=columns, limit=self.limit, encoding=self.encoding)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsFlags:
    """Who labels, and how; what is not given stands in the file of --config."""

    provider: Annotated[
        ProviderName | None,
        option(
            "--provider", text="offline (default), openai, or cascade: offline first, the endpoint where it is unsure."
        ),
    ] = None
    taxonomy: TaxonomyFile = None
    endpoint: Annotated[
        str | None, option("--endpoint", metavar="URL", text="OpenAI-compatible service, such as https://host/v1.")
    ] = None
    model: Annotated[str | None, option("--model", text="As the endpoint calls it.")] = None
    key_env: Annotated[
        str | None,
        option("--key-env", metavar="NAME", text="Variable with the endpoint's key. Default: OPENAI_API_KEY."),
    ] = None
    margin: Annotated[
        float | None,
        option(
            "--margin",
            text="Of the cascade: below it the endpoint is asked. Default: what the models were measured with.",
        ),
    ] = None
    timeout: Annotated[
        float | None, option("--timeout", text="Seconds for one item, waiting and retries included. Default: 60.")
    ] = None
    workers: Annotated[
        int | None, option("--workers", min=0, text="Offline: threads. Else items at once. Default: 0, by itself.")
    ] = None
    cache: Annotated[Path | None, option("--cache", metavar="FILE", text="SQLite file that remembers answers.")] = None
    no_cache: Annotated[bool, option("--no-cache", text="No such file, whatever the configuration says.")] = False
    text_fallback: Annotated[
        bool | None, option("--text-fallback/--no-text-fallback", text="By text if the picture cannot be had.")
    ] = None
    config: Config = None

    def settings(self) -> Settings:
        """Return the settings of the file, beaten by these.

        Raises:
            ConfigError: one is not known, or they do not fit each other
        """
        from raddle.workloads.classify.settings import load_settings

        return load_settings(
            self.config,
            no_cache=self.no_cache,
            provider=self.provider,
            taxonomy=self.taxonomy,
            endpoints=self._endpoints(),
            margin=self.margin,
            timeout=self.timeout,
            workers=self.workers,
            cache=self.cache,
            text_fallback=self.text_fallback,
        )

    def _endpoints(self) -> tuple[dict[str, Any], ...] | None:
        if self.endpoint is None:
            if self.model or self.key_env:
                raise ConfigError(
                    "--model and --key-env belong to --endpoint; other endpoints stand in the --config file"
                )
            return None
        if self.model is None:
            raise ConfigError("--endpoint needs --model: the name by which it knows the model")
        if self.provider in {None, ProviderName.OFFLINE} and self.config is None:
            raise ConfigError("--endpoint is for --provider openai or cascade; the default is offline")
        return ({"url": self.endpoint, "model": self.model} | ({"key_env": self.key_env} if self.key_env else {}),)
