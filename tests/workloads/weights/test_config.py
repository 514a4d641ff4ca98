"""The seeds' tables: read strictly, and each key changes something."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from raddle import errors
from raddle.workloads.weights.config import Config, load_config
from raddle.workloads.weights.pools import pool_sizes

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = """
[visualization.threading]
enabled = true
max_workers = 4  # Default, will be capped by CPU count
batch_size = 10  # Progress reporting batch
timeout_seconds = 30  # Per-visualization timeout

[threading]
enabled = true
user_pool_size = 8  # 0 for auto-detect
viz_pool_size = 16
retro_pool_size = 4
db_read_connections = 10
db_write_batch_size = 100

[threading.memory]
max_concurrent_viz = 20
viz_memory_limit_mb = 100
"""


def written(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load_config(path)


def test_what_the_seeds_show_is_read_as_it_stands(tmp_path: Path) -> None:
    config = written(tmp_path, SEEDS)
    threading, drawing = config.threading, config.visualization.threading
    assert (threading.enabled, threading.user_pool_size, threading.viz_pool_size) == (True, 8, 16)
    assert (threading.retro_pool_size, threading.db_read_connections, threading.db_write_batch_size) == (4, 10, 100)
    assert (threading.memory.max_concurrent_viz, threading.memory.viz_memory_limit_mb) == (20, 100)
    assert (drawing.enabled, drawing.max_workers, drawing.batch_size, drawing.timeout_seconds) == (True, 4, 10, 30.0)


def test_without_a_file_all_is_as_told_in_the_reference() -> None:
    assert load_config(None) == Config()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[threading]\nuser_pol_size = 3", "threading.user_pol_size=3: there is no 'user_pol_size'"),
        ("[threading]\nuser_pol_size = 3", "did you mean 'user_pool_size'?"),
        ("[threading.memory]\nmax_viz = 3", "did you mean 'max_concurrent_viz'?"),
        ("[visualisation]\nenabled = true", "did you mean 'visualization'?"),
        ("[threading]\nenabled = 1", "threading.enabled=1: must be true or false"),
        ("[threading]\nviz_pool_size = 2.5", "must be a whole number"),
        ("[threading]\nviz_pool_size = -1", "threading.viz_pool_size=-1: must be at least 0"),
        ("[visualization.threading]\ntimeout_seconds = 0", "must be more than 0"),
        ("[visualization.threading]\ntimeout_seconds = nan", "must be a finite number"),
        ("threading = 3", "must be a table, [threading]"),
        ("[threading", "is not TOML"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_the_remedy(text: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        written(tmp_path, text)
    assert hint in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml")


GB = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "figures", "expected"),
    [
        # asked, cpus, pages, available -> users, pages, retro
        ("", (0, 8, 100, 64 * GB), (8, 8, 1)),
        ("", (3, 8, 100, 64 * GB), (3, 3, 1)),
        ("", (0, 8, 2, 64 * GB), (8, 2, 1)),  # no more workers than pages
        ("", (0, 8, 0, 64 * GB), (8, 1, 1)),  # nobody to draw: not an error
        ("", (0, 8, 100, None), (8, 8, 1)),  # the system does not say what is free
        ("", (0, 8, 100, GB), (8, 5, 1)),  # half of the memory that is free, 100 MB a worker
        ("", (0, 8, 100, GB // 100), (8, 1, 1)),  # never none
        ("[threading.memory]\nviz_memory_limit_mb = 250", (0, 8, 100, GB), (8, 2, 1)),
        ("[threading.memory]\nmax_concurrent_viz = 3", (0, 8, 100, 64 * GB), (8, 3, 1)),
        ("[threading]\nuser_pool_size = 5", (0, 8, 100, 64 * GB), (5, 8, 1)),
        ("[threading]\nviz_pool_size = 2", (0, 8, 100, 64 * GB), (8, 2, 1)),
        ("[threading]\nviz_pool_size = 16", (0, 8, 100, 64 * GB), (8, 8, 1)),  # capped by the CPUs
        ("[threading]\nretro_pool_size = 4", (0, 8, 100, 64 * GB), (8, 8, 4)),
        ("[visualization.threading]\nmax_workers = 4", (0, 8, 100, 64 * GB), (8, 4, 1)),
        ("[visualization.threading]\nmax_workers = 4\n[threading]\nviz_pool_size = 3", (0, 8, 100, 64 * GB), (8, 3, 1)),
        ("[threading]\nenabled = false", (0, 8, 100, 64 * GB), (1, 1, 1)),
        ("[visualization.threading]\nenabled = false", (0, 8, 100, 64 * GB), (8, 1, 1)),
    ],
)
def test_sizes_of_the_pools(text: str, figures: Any, expected: Any, tmp_path: Path) -> None:
    asked, cpus, pages, available = figures
    pools = pool_sizes(written(tmp_path, text), asked=asked, cpus=cpus, pages=pages, available_bytes=available)
    assert (pools.users, pools.pages, pools.retro) == expected


def test_what_is_switched_off_runs_in_the_caller(tmp_path: Path) -> None:
    figures: dict[str, Any] = {"asked": 0, "cpus": 8, "pages": 100, "available_bytes": None}
    off = pool_sizes(written(tmp_path, "[threading]\nenabled = false"), **figures)
    assert (off.users_serial, off.pages_serial) == (True, True)
    no_viz = pool_sizes(written(tmp_path, "[visualization.threading]\nenabled = false"), **figures)
    assert (no_viz.users_serial, no_viz.pages_serial) == (False, True)


def test_a_config_is_a_value() -> None:
    assert replace(Config(), retro={"enabled": True}) != Config()
