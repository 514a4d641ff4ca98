"""Settings from a file and from options, and what is put together from them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from raddle.errors import ConfigError
from raddle.workloads.classify.serving import service_settings
from raddle.workloads.classify.settings import (
    EndpointSettings,
    PictureSettings,
    Settings,
    in_flight,
    load_settings,
    make_provider,
)

FILE = """
[classify]
provider = "cascade"
taxonomy = "mine.toml"
cache = "answers.db"
margin = 0.3

[[classify.endpoints]]
url = "http://127.0.0.1:1/v1"
model = "small"
key_env = "FIRST_KEY"
requests_per_minute = 500

[[classify.endpoints]]
url = "http://127.0.0.1:2/v1"
model = "small"
max_in_flight = 8

[classify.pictures]
allow_networks = ["10.1.0.0/16"]
ports = [80, 443, 8080]

[classify.service]
port = 9000
text_batch_size = 3

[other]
what = "ever"
"""


def written(folder: Path, text: str = FILE) -> Path:
    path = folder / "classify.toml"
    path.write_text(text)
    return path


def test_a_file(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path))
    assert settings == Settings(
        provider="cascade",
        taxonomy=tmp_path / "mine.toml",
        cache=tmp_path / "answers.db",
        margin=0.3,
        endpoints=(
            EndpointSettings(
                url="http://127.0.0.1:1/v1", model="small", key_env="FIRST_KEY", requests_per_minute=500.0
            ),
            EndpointSettings(url="http://127.0.0.1:2/v1", model="small", max_in_flight=8),
        ),
        pictures=PictureSettings(allow_networks=("10.1.0.0/16",), ports=(80, 443, 8080)),
    )


def test_an_option_beats_the_file(tmp_path: Path) -> None:
    settings = load_settings(
        written(tmp_path), provider="offline", taxonomy=Path("other.toml"), margin=None, no_cache=True
    )
    assert (settings.provider, settings.taxonomy, settings.margin, settings.cache) == (
        *("offline", Path("other.toml"), 0.3, None),
    )


def test_without_anything() -> None:
    assert load_settings() == Settings()
    assert Settings().provider == "offline"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[classify]\nprovidr = 'offline'", r"providr: there is no .*did you mean 'provider'"),
        ("[classify]\nprovider = 'magic'", "provider: must be one of offline, openai, cascade"),
        ("[classify]\nmargin = 2", "margin=2.* from 0 to 1"),
        ("[classify]\ntimeout = 0", "timeout=0"),
        ("[classify]\nworkers = -1", "workers=-1"),
        ("[classify]\nworkers = 'many'", "workers: "),
        ("[classify]\nprovider = 'openai'", "needs an endpoint: --endpoint URL"),
        ("[[classify.endpoints]]\nurl = 'http://h/v1'", r"endpoints\[0\]\.model is missing"),
        ("[[classify.endpoints]]\nurl = 'http://h/v1'\nmodel='m'\nkey = 'sk-1'", r"endpoints\[0\]\.key: there is no"),
        ("[classify.pictures]\nport = 80", "pictures.port: .*did you mean 'ports'"),
        ("[classify", "classify.toml is not TOML"),
        ("classify = 3", r"classify.toml: classify=3: must be a table, \[classify\]"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint) as caught:
        load_settings(written(tmp_path, text))
    assert "sk-1" not in str(caught.value)


def test_what_is_wrong_is_said_in_our_words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^options: margin=3.0: must be"):
        load_settings(margin=3)
    monkeypatch.setenv("SHOP_KEY", "two\nlines")
    endpoint = {"url": "http://127.0.0.1:1/v1", "model": "m", "key_env": "SHOP_KEY"}
    with pytest.raises(ConfigError, match="key_env='SHOP_KEY': key: is empty"):
        make_provider(load_settings(provider="openai", endpoints=(endpoint,)))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_settings(tmp_path / "gone.toml")


@pytest.mark.parametrize(
    ("endpoint", "timeout", "most"),
    [
        ({}, 60.0, 64),
        ({"max_in_flight": 8}, 60.0, 8),
        ({"requests_per_minute": 60.0}, 60.0, 15),
        ({"requests_per_minute": 6.0}, 60.0, 4),
        ({"tokens_per_minute": 150_000.0}, 60.0, 25),
        ({"requests_per_minute": 60.0, "tokens_per_minute": 1e9}, None, 15),
    ],
)
def test_as_many_at_once_as_get_their_turn_in_time(endpoint: dict[str, Any], timeout: float | None, most: int) -> None:
    each = EndpointSettings(url="http://h/v1", model="m", **endpoint)
    assert in_flight(Settings(provider="openai", endpoints=(each,), timeout=timeout)) == most + most // 4
    assert in_flight(Settings(provider="openai", endpoints=(each, each), timeout=timeout)) == 2 * most + 2 * most // 4
    assert in_flight(Settings(provider="openai", endpoints=(each,), workers=3)) == 3


@pytest.mark.parametrize("provider", ["offline", "openai", "cascade"])
@pytest.mark.parametrize("cached", [True, False])
def test_every_provider_is_made_and_closed(tmp_path: Path, provider: Any, cached: bool) -> None:
    each = EndpointSettings(url="http://127.0.0.1:1/v1", model="m", key_env="RADDLE_NO_SUCH_KEY")
    settings = Settings(provider=provider, endpoints=(each,), cache=tmp_path / "c.db" if cached else None)

    async def main() -> None:
        await make_provider(settings).aclose()

    asyncio.run(main())


def test_an_endpoint_that_cannot_be() -> None:
    each = EndpointSettings(url="shop.example", model="m")
    with pytest.raises(ConfigError, match=r"url='shop\.example'"):
        make_provider(Settings(provider="openai", endpoints=(each,)))


def test_the_service(tmp_path: Path) -> None:
    path = written(tmp_path)
    settings = load_settings(path)
    service = service_settings(settings, path, token_env=None, host=None, port=8123)
    assert (service.host, service.port, service.text_batch_size) == ("127.0.0.1", 8123, 3)
    assert service.timeout == settings.timeout


@pytest.mark.parametrize(
    ("text", "options", "hint"),
    [
        ("[classify.service]\ntoken = 'x'", {}, "service.token is not for a file; a token comes by --token-env"),
        ("[classify.service]\nbanana = 1", {}, "there is no 'banana' among"),
        ("[classify]\nservice = 3", {}, r"service=3: must be a table, \[service\]"),
        ("[classify.service]\nport = 'x'", {}, "port: "),
        ("", {"host": "0.0.0.0"}, "give a token"),
        ("", {"token_env": "RADDLE_NO_SUCH_TOKEN"}, "is not set"),
    ],
)
def test_services_that_cannot_be(tmp_path: Path, text: str, options: dict[str, Any], hint: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=hint):
        service_settings(load_settings(path), path, **{"token_env": None} | options)
