"""`raddle classify serve`: settings, a provider, the application, a server."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from raddle.errors import ConfigError, MissingExtra
from raddle.plugin.settings import load_toml, shaped, table_of
from raddle.workloads.classify.settings import in_flight, make_provider
from raddle.workloads.classify.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from pathlib import Path

    from raddle.workloads.classify.service.settings import ServiceSettings
    from raddle.workloads.classify.settings import Settings

__all__ = ["serve", "service_settings"]


def serve(settings: Settings, service: ServiceSettings) -> None:
    """Serve until a signal.

    Raises:
        ConfigError: what the provider needs cannot be used
        MissingExtra: a library is not installed
    """
    try:
        from raddle.workloads.classify.service.serve import serve as until_signal
    except ImportError as error:
        if isinstance(error, MissingExtra):
            raise
        raise MissingExtra(error.name or "a library", "classify") from error
    taxonomy = load_taxonomy(settings.taxonomy)
    keyed = any(os.environ.get(endpoint.key_env) for endpoint in settings.endpoints)
    service = replace(
        service,
        openai_configured=settings.provider != "offline" and keyed,
        categories=service.categories or taxonomy.names,
    )
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s: %(message)s")
    until_signal(service, make_provider(settings, taxonomy=taxonomy))


def service_settings(
    settings: Settings, config: Path | None, *, token_env: str | None, **given: Any
) -> ServiceSettings:
    """Return what the table `[classify.service]` of a file says, where options that were given (not None) beat it.

    Args:
        settings: of the provider; its deadline and number of items at once hold unless the table has others
        config: TOML file
        token_env: environment variable with the token
        given: fields of `ServiceSettings`

    Raises:
        ConfigError: a key or value is not known, or others can reach the address and there is no token
    """
    from raddle.workloads.classify.service.settings import ServiceSettings

    table: dict[str, Any] = {}
    if config is not None:
        where = str(config)
        table = table_of(table_of(load_toml(config), "classify", where=where), "service", where=where)
        if "token" in table:
            raise ConfigError(f"{config}: service.token is not for a file; a token comes by --token-env only")
        if isinstance(table.get("jobs"), str):
            table["jobs"] = config.parent / table["jobs"]
    table |= {name: value for name, value in given.items() if value is not None}
    if token_env is not None:
        token = os.environ.get(token_env)
        if not token:
            raise ConfigError(f"--token-env={token_env!r}: this environment variable is not set")
        table["token"] = token
    # secret: no values in messages, the token is one of them
    said = shaped(table, ServiceSettings, where=str(config or "options"), secret=True)
    ours: dict[str, Any] = {"timeout": settings.timeout, "workers": in_flight(settings)}
    return replace(said, **{name: value for name, value in ours.items() if name not in table})
