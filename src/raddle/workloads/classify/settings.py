"""What classifies, and how: from a TOML file and from options; put together here for the batch and for the service."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path  # noqa: TC003 - `shaped` reads it
from typing import TYPE_CHECKING, Any, Final, Literal

from raddle.errors import ConfigError, MissingExtra
from raddle.plugin import granted_cpus
from raddle.plugin.settings import load_toml, shaped, table_of

if TYPE_CHECKING:
    from raddle.workloads.classify.pictures import Fetcher
    from raddle.workloads.classify.taxonomy import Taxonomy
    from raddle.workloads.classify.values import Provider

__all__ = [
    "EndpointSettings",
    "PictureSettings",
    "Settings",
    "in_flight",
    "load_settings",
    "make_fetcher",
    "make_provider",
]

#: about what one call takes of the tokens per minute
_CALL_TOKENS: Final = 1500
#: seconds by which the provider gives up before the run
_BEFORE: Final = 0.25
#: items that wait while a thread of the offline models takes some of them together
_PER_THREAD: Final = 32
#: one more item for so many that the endpoints take
_AT_THE_DOOR: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """One OpenAI-compatible service, or one key of it."""

    url: str
    model: str
    #: environment variable that holds the key; unset: no key is sent
    key_env: str = "OPENAI_API_KEY"
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_in_flight: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSettings:
    """How pictures are had."""

    #: networks that are open though private, such as "10.1.0.0/16"
    allow_networks: tuple[str, ...] = ()
    ports: tuple[int, ...] = (80, 443)
    max_bytes: int = 10_000_000
    max_pixels: int = 50_000_000
    #: seconds for one download
    timeout: float = 15.0
    #: seconds until a connection stands
    connect_timeout: float = 5.0
    redirects: int = 3
    per_host: int = 8
    #: pixels of the longer side, as models see it
    side: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `raddle classify` goes by; every field may stand in the `[classify]` table of a TOML file."""

    provider: Literal["offline", "openai", "cascade"] = "offline"
    #: TOML file; None: raddle's own
    taxonomy: Path | None = None
    #: offline margin below which the cascade asks the endpoint; None: what the offline models were measured with
    margin: float | None = None
    #: seconds for one item, waiting for the endpoint and its retries included
    timeout: float | None = 60.0
    #: offline: threads, 0: one for each CPU; else items at once, 0: what the endpoints take
    workers: int = 0
    #: by text if the picture cannot be had
    text_fallback: bool = False
    #: SQLite file that remembers answers; None: only identical items under way share one
    cache: Path | None = None
    endpoints: tuple[EndpointSettings, ...] = ()
    pictures: PictureSettings = field(default_factory=PictureSettings)

    def __post_init__(self) -> None:
        """Check what no type says.

        Raises:
            ConfigError: a value or a combination cannot work
        """
        if self.provider != "offline" and not self.endpoints:
            raise ConfigError(
                f"provider={self.provider!r} needs an endpoint: --endpoint URL --model NAME, or [[classify.endpoints]]"
            )
        if self.margin is not None and not 0 <= self.margin <= 1:
            raise ConfigError(f"margin={self.margin}: must be from 0 to 1")
        if self.timeout is not None and self.timeout <= 0:
            raise ConfigError(f"timeout={self.timeout}: must be more than 0 s")
        if self.workers < 0:
            raise ConfigError(f"workers={self.workers}: must be 0 (by provider) or more")


def load_settings(path: Path | None = None, *, no_cache: bool = False, **given: Any) -> Settings:
    """Return the settings of a file, where options that were given (not None) beat it.

    Args:
        path: TOML with a table `[classify]`
        no_cache: leave out its cache
        given: fields of `Settings`

    Paths in the file are relative to its folder. Other tables of the file are not looked at.

    Raises:
        ConfigError: it cannot be read, or a key or value in it is not known
    """
    table: dict[str, Any] = {}
    if path is not None:
        table = table_of(load_toml(path), "classify", where=str(path))
        table.pop("service", None)  # the service's own
        for name in ("taxonomy", "cache"):
            if isinstance(table.get(name), str):
                table[name] = path.parent / table[name]
    table |= {name: value for name, value in given.items() if value is not None}
    if no_cache:
        table.pop("cache", None)
    # secret: a key may have been written where its variable's name belongs
    return shaped(table, Settings, where=str(path) if path else "options", secret=True)


def make_provider(settings: Settings, *, taxonomy: Taxonomy | None = None) -> Provider:
    """Return what labels products: the provider named, with cache, pictures and fall-back around it.

    It belongs to the event loop it is first used in; `aclose` lets everything go.

    Raises:
        ConfigError: the taxonomy or an endpoint cannot be used
        MissingExtra: a library is not installed
    """
    try:
        from raddle.workloads.classify.pictures import Loader
        from raddle.workloads.classify.pictures.pictured import Pictured
        from raddle.workloads.classify.taxonomy import load_taxonomy
    except ImportError as error:
        raise _missing(error) from error
    had = settings.pictures
    loader = Loader(make_fetcher(had), side=had.side, max_bytes=had.max_bytes, max_pixels=had.max_pixels)
    inner = _labelling(settings, taxonomy or load_taxonomy(settings.taxonomy))
    return Pictured(inner, loader, text_fallback=settings.text_fallback)


def make_fetcher(had: PictureSettings) -> Fetcher:
    """Return what downloads pictures.

    Raises:
        ConfigError: a network cannot be read
        MissingExtra: aiohttp is not installed
    """
    try:
        from raddle.workloads.classify.pictures import Fetcher
    except ImportError as error:
        raise _missing(error) from error
    return Fetcher(
        allow_networks=had.allow_networks,
        ports=had.ports,
        max_bytes=had.max_bytes,
        timeout=had.timeout,
        connect_timeout=had.connect_timeout,
        redirects=had.redirects,
        per_host=had.per_host,
    )


def in_flight(settings: Settings) -> int:
    """Return how many items to have under way, so that none waits long for its turn at an endpoint."""
    if settings.provider == "offline":
        return _PER_THREAD * (settings.workers or granted_cpus())
    if settings.workers:
        return settings.workers
    turns: int = sum(map(_turns(settings.timeout or 60.0), settings.endpoints))
    return turns + turns // _AT_THE_DOOR  # a place that gets free is taken at once, not when the run has seen it


def _turns(timeout: float) -> Any:
    def turns(endpoint: EndpointSettings) -> int:
        rates = (endpoint.requests_per_minute, (endpoint.tokens_per_minute or 0) / _CALL_TOKENS)
        # what waits at the endpoint's rate is served in a quarter of the time that an item has
        most = [max(4, int(rate / 60 * timeout / 4)) for rate in rates if rate]
        return min([endpoint.max_in_flight, *most])

    return turns


def _labelling(settings: Settings, taxonomy: Taxonomy) -> Provider:
    if settings.provider == "openai":
        return _upstream(settings, taxonomy)
    from raddle.workloads.classify.offline import MARGIN, PICTURE_MARGIN, Offline

    alone = settings.provider == "offline"
    offline: Provider = Offline(taxonomy, workers=settings.workers if alone else 0)
    if settings.provider == "cascade":
        from raddle.workloads.classify.upstream import Cascade

        text, picture = (MARGIN, PICTURE_MARGIN) if settings.margin is None else (settings.margin, settings.margin)
        return Cascade(offline, _upstream(settings, taxonomy), margin=text, picture_margin=picture)
    if settings.cache is None:
        return offline
    from raddle.workloads.classify.upstream import Cached

    return Cached(offline, settings.cache, key_parts=("offline", version("raddle"), taxonomy.version))


def _upstream(settings: Settings, taxonomy: Taxonomy) -> Provider:
    from raddle.workloads.classify.upstream import Cached, Endpoint, Key, OpenAI

    endpoints = []
    for each in settings.endpoints:
        secret = os.environ.get(each.key_env)
        try:
            key = Key(secret) if secret else None
        except ConfigError as error:
            raise ConfigError(f"key_env={each.key_env!r}: {error}") from None
        endpoints.append(
            Endpoint(
                url=each.url,
                model=each.model,
                key=key,
                requests_per_minute=each.requests_per_minute,
                tokens_per_minute=each.tokens_per_minute,
                max_in_flight=each.max_in_flight,
            )
        )
    # a little less than the run's own deadline, which knows not what was waited for; without one an hour is for ever
    timeout = 3600.0 if settings.timeout is None else settings.timeout - min(_BEFORE, settings.timeout / 10)
    inner = OpenAI(endpoints, taxonomy, timeout=timeout)
    return Cached(inner, settings.cache, key_parts=inner.key_parts)


def _missing(error: ImportError) -> ImportError:
    return error if isinstance(error, MissingExtra) else MissingExtra(error.name or "a library", "classify")
