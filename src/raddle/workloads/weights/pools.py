"""How many workers each pass gets: decided from the configuration and figures, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raddle.workloads.weights.config import Config

__all__ = ["Pools", "pool_sizes"]

_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Pools:
    """Workers of each pass, at least 1; 1 with `serial` means in the caller's thread."""

    users: int
    pages: int
    retro: int
    users_serial: bool
    pages_serial: bool


def pool_sizes(config: Config, *, asked: int, cpus: int, pages: int, available_bytes: int | None) -> Pools:
    """Return the sizes of the pools.

    Args:
        config: the seeds' tables
        asked: workers asked for on the command line, 0: none in particular; it beats the sizes of the file
        cpus: CPUs granted to this process
        pages: how many pages there are to draw
        available_bytes: memory that is free now; None: not known
    """
    threading, drawing = config.threading, config.visualization.threading
    users = asked or threading.user_pool_size or cpus
    wanted = [asked] if asked else [size for size in (threading.viz_pool_size, drawing.max_workers) if size]
    # drawing is all CPU: more workers than CPUs only take memory
    most = [*(wanted or [cpus]), cpus, max(1, pages)]
    if threading.memory.max_concurrent_viz:
        most.append(threading.memory.max_concurrent_viz)
    if available_bytes is not None:
        most.append(available_bytes // 2 // (threading.memory.viz_memory_limit_mb * _MEGABYTE))
    return Pools(
        users=users if threading.enabled else 1,
        pages=max(1, min(most)) if threading.enabled and drawing.enabled else 1,
        retro=threading.retro_pool_size if threading.enabled else 1,
        users_serial=not threading.enabled,
        pages_serial=not (threading.enabled and drawing.enabled),
    )
