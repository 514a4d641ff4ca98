"""`raddle classify serve`: settings, a provider, the application, a server."""

from __future__ import annotations

import logging
import os
import tomllib
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from raddle.errors import ConfigError, MissingExtra
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
    from pydantic import TypeAdapter, ValidationError

    from raddle.workloads.classify.service.settings import ServiceSettings

    table: dict[str, Any] = {"timeout": settings.timeout, "workers": in_flight(settings)}
    if config is not None:
        with config.open("rb") as file:
            said = tomllib.load(file).get("classify", {}).get("service", {})
        known = {field.name for field in fields(ServiceSettings)} - {"token"}
        if wrong := sorted(set(said) - known):
            raise ConfigError(f"{config}: service.{wrong[0]} is not known; a token comes by --token-env only")
        if isinstance(said.get("jobs"), str):
            said["jobs"] = config.parent / said["jobs"]
        table |= said
    table |= {name: value for name, value in given.items() if value is not None}
    if token_env is not None:
        token = os.environ.get(token_env)
        if not token:
            raise ConfigError(f"--token-env={token_env!r}: this environment variable is not set")
        table["token"] = token
    try:
        return TypeAdapter(ServiceSettings).validate_python(table)
    except ValidationError as error:
        # no values: the token is one of them
        told = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False)
        )
        raise ConfigError(f"{config or 'options'}: {told}") from None
