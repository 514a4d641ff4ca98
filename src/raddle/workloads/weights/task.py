"""What the steps of one run share, and what they add up to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raddle.workloads.weights.passes import Drawn
from raddle.workloads.weights.rules.compiled import is_ready

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from raddle.workloads.weights.ingest.intake import Intake
    from raddle.workloads.weights.options import RunOptions
    from raddle.workloads.weights.pools import Pools
    from raddle.workloads.weights.retro.options import RetroOptions
    from raddle.workloads.weights.rules import Rules
    from raddle.workloads.weights.work import ChunkDone

__all__ = ["Gathered", "Left", "Task", "failure"]

#: rows from which on it is worth loading the compiled kernel, and compiling it first
_LOAD_ROWS, _COMPILE_ROWS = 20_000, 400_000


@dataclass(frozen=True, slots=True)
class Task:
    """What the steps of one run share."""

    options: RunOptions
    rules: Rules
    #: None: no retrospective pass
    retro: RetroOptions | None
    intake: Intake
    pools: Pools
    work: Path
    #: files that the state knew before, by digest
    known: Mapping[str, int]

    @property
    def key(self) -> tuple[str, str]:
        """Return what workers load the rules by."""
        return self.options.read.rules, self.options.profile

    @property
    def fast(self) -> bool:
        """Tell whether the compiled kernel is used; it gives the same bits."""
        from raddle.workloads.weights.rules import compat_kernel, v2_kernel

        kernel = compat_kernel if self.rules.name == "compat" else v2_kernel
        return self.intake.rows_used >= (_LOAD_ROWS if is_ready(kernel) else _COMPILE_ROWS)


@dataclass(frozen=True, slots=True)
class Left:
    """What a filtered chunk left behind."""

    id: str
    users: tuple[str, ...]
    part: str
    #: where the retrospective pass leaves its word; "" without one
    revised: str


@dataclass(slots=True)
class Gathered:
    """What the passes add up to, chunk by chunk."""

    left: list[Left] = field(default_factory=list)
    done: list[ChunkDone] = field(default_factory=list)
    #: what the retrospective pass told; that of the filter without one
    reports: list[ChunkDone] = field(default_factory=list)
    #: user_id, status, error
    failed: list[dict[str, str]] = field(default_factory=list)
    #: line, user, number of the file: rows of users that could not be filtered
    failed_rows: list[tuple[int, str, int]] = field(default_factory=list)
    #: results.parquet is there already
    written: bool = False
    drawn: Drawn = field(default_factory=Drawn)
    seconds: dict[str, float] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)


def failure(user: str, status: str, error: str) -> dict[str, str]:
    """Return how summary.json tells of a user that failed."""
    return {"user_id": user, "status": status, "error": error}
