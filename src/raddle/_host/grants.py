"""CPUs and memory, after affinity and every cgroup above this process.

All of it reads text files below `root`, so that a test gives a made-up tree. A limit counts wherever it stands among
the ancestors: a nested group is often unlimited itself while its parent is not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raddle._host.tree import ROOT, Group, field, groups, positive, read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Grant", "cpus", "group_limit", "memory", "memory_total", "processes"]

#: cgroup v1 writes "no limit" as the largest page-aligned int64; no machine has an exbibyte
_UNLIMITED = 1 << 60


@dataclass(frozen=True, slots=True)
class Grant:
    """What may be used: the least of the sources that name a figure."""

    value: int
    #: where each figure came from, in the order asked; None: it sets no limit
    sources: tuple[tuple[str, float | None], ...]


def cpus(*, root: Path = ROOT, environ: Mapping[str, str] | None = None) -> Grant:
    """Return how many CPUs this process may use at once, at least 1.

    A quota of 2.5 CPUs counts as 2: a third worker would be throttled most of its time.
    """
    environ = os.environ if environ is None else environ
    sources: list[tuple[str, float | None]] = [("affinity", _affinity(root))]
    sources.extend(
        (f"cgroup v{2 if group.unified else 1} quota {group.name}", _quota(group)) for group in groups(root, "cpu")
    )
    sources.append(("PYTHON_CPU_COUNT", positive(environ.get("PYTHON_CPU_COUNT"))))
    return Grant(max(1, int(_least(sources, 1))), tuple(sources))


def memory(*, root: Path = ROOT) -> Grant:
    """Return how many bytes of memory this process may use; 0 if nothing tells."""
    sources: list[tuple[str, float | None]] = [("MemTotal", memory_total(root))]
    for group in groups(root, "memory"):
        sources.extend(_limits(group))
    return Grant(int(_least(sources, 0)), tuple(sources))


def processes(*, root: Path = ROOT) -> Grant:
    """Return how many processes and threads there may be at once; 0 if nothing limits them.

    The limit of a user counts all that the user runs anywhere on the machine, but for root, whom it does not bind.
    """
    sources: list[tuple[str, float | None]] = [("RLIMIT_NPROC", _user_processes(root))]
    sources.extend(
        (f"cgroup pids.max {group.name}", positive(read(group.path / "pids.max"))) for group in groups(root, "pids")
    )
    return Grant(int(_least(sources, 0)), tuple(sources))


def group_limit(group: Group) -> int | None:
    """Return how many bytes one cgroup allows; None: any."""
    return min((int(value) for _, value in _limits(group) if value is not None), default=None)


def _limits(group: Group) -> list[tuple[str, float | None]]:
    if not group.unified:
        return [(f"cgroup v1 limit {group.name}", _v1_limit(group))]
    # Above memory.high the kernel slows all down until it is below again: as good as a limit.
    return [
        (f"cgroup v2 {file} {group.name}", _bytes(read(group.path / file))) for file in ("memory.max", "memory.high")
    ]


def _least(sources: list[tuple[str, float | None]], default: float) -> float:
    return min((value for _, value in sources if value is not None), default=default)


# ------------------------------------------------------------------------------------------------------ figures


def _affinity(root: Path) -> int | None:
    allowed = field(read(root / "proc/self/status"), "Cpus_allowed_list:")
    if allowed:
        return _count(allowed)
    if root != ROOT:
        return None
    # Not Linux, or a sandbox that leaves the line out.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _count(cpu_list: str) -> int | None:
    """Return how many CPUs a list such as "0-3,8" names."""
    total = 0
    for part in cpu_list.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            return None
        total += int(last or first) - int(first) + 1
    return total if total > 0 else None


def _quota(group: Group) -> float | None:
    if group.unified:
        words = (read(group.path / "cpu.max") or "").split()
        quota, period = positive(words[0] if words else None), positive(words[1] if len(words) > 1 else "100000")
    else:
        quota = positive(read(group.path / "cpu.cfs_quota_us"))
        period = positive(read(group.path / "cpu.cfs_period_us"))
    return None if quota is None or period is None else quota / period


def _user_processes(root: Path) -> int | None:
    for line in (read(root / "proc/self/limits") or "").splitlines():
        if line.startswith("Max processes"):
            return positive(line.split()[2])
    return None


def _v1_limit(group: Group) -> int | None:
    own = _bytes(read(group.path / "memory.limit_in_bytes"))
    # The kernel's least of all ancestors: it knows those that a container cannot see.
    least = _bytes(field(read(group.path / "memory.stat"), "hierarchical_memory_limit"))
    return min((value for value in (own, least) if value is not None), default=None)


def memory_total(root: Path) -> int | None:
    """Return the bytes of memory that the machine has."""
    kibibytes = positive(field(read(root / "proc/meminfo"), "MemTotal:"))
    if kibibytes is not None:
        return kibibytes * 1024
    if root != ROOT or not hasattr(os, "sysconf"):
        return None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _bytes(text: str | None) -> int | None:
    value = positive(text)
    return None if value is None or value >= _UNLIMITED else value
