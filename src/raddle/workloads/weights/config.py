"""The configuration file of `raddle weights`: the tables of the seeds, with the seeds' names.

A size of 0 means that nothing is asked for: as many workers as the CPUs granted, no bound, no timeout.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raddle.plugin.settings import load_toml, number, shaped

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Config", "ThreadingMemory", "ThreadingTable", "VisualizationTable", "VisualizationThreading", "load_config"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadingMemory:
    """`[threading.memory]`."""

    #: most pages under way at a time, whatever the pool's size
    max_concurrent_viz: int = number(0, default=0)
    #: what a page's worker may need; the pool has as many as fit into half of the memory that is free
    viz_memory_limit_mb: int = number(1, default=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadingTable:
    """`[threading]`."""

    #: false: everything one after another, in one thread
    enabled: bool = True
    user_pool_size: int = number(0, default=0)
    viz_pool_size: int = number(0, default=0)
    retro_pool_size: int = number(1, default=1)
    #: connections that read the state at a time
    db_read_connections: int = number(1, default=4)
    #: users a commit
    db_write_batch_size: int = number(1, default=1000)
    memory: ThreadingMemory = field(default_factory=ThreadingMemory)


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualizationThreading:
    """`[visualization.threading]`."""

    #: false: one page after another; nothing can end a page that hangs then
    enabled: bool = True
    max_workers: int = number(0, default=0)
    #: a line of progress after so many pages; 0: some twenty lines in all
    batch_size: int = number(0, default=0)
    #: for one page
    timeout_seconds: float = number(above=0, default=30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualizationTable:
    """`[visualization]`."""

    #: false: no pages, as --no-pages
    enabled: bool = True
    threading: VisualizationThreading = field(default_factory=VisualizationThreading)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The file as a whole. `retro` is checked by the pass that it is for."""

    threading: ThreadingTable = field(default_factory=ThreadingTable)
    visualization: VisualizationTable = field(default_factory=VisualizationTable)
    retro: dict[str, Any] = field(default_factory=dict)


def load_config(path: Path | None) -> Config:
    """Read the file; None: the defaults.

    Raises:
        ConfigError: missing, not TOML, or a key that does not exist or cannot be so
    """
    if path is None:
        return Config()
    table = load_toml(path)
    retro = table.pop("retro", {})
    read = shaped({"retro": {}, **table}, _Tables)
    return Config(threading=read.threading, visualization=read.visualization, retro=retro)


@dataclass(frozen=True, slots=True, kw_only=True)
class _NoTable:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    threading: ThreadingTable = field(default_factory=ThreadingTable)
    visualization: VisualizationTable = field(default_factory=VisualizationTable)
    retro: _NoTable = field(default_factory=_NoTable)  # named, so that a wrong name can be told from it
