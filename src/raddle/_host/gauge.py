"""How much memory is in use, ten times a second for next to nothing: files are opened once and read in place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from raddle._events import Memory
from raddle._host.grants import group_limit, memory_total
from raddle._host.tree import ROOT, Group, groups
from raddle._policy.memory import PAUSE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Gauge", "gauge"]

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_BUFFER = 16_384
#: descendants of one worker that are looked at, at most: a fork bomb must not make each look slower
_MOST = 512


def gauge(limit: int | None = None, *, root: Path = ROOT) -> Gauge | None:
    """Return a gauge of this machine; None where there is nothing to read, as on anything but Linux.

    Args:
        limit: the caller's own, in bytes, for this process and its workers together
        root: below which the files are
    """
    made = Gauge(limit, root=root)
    if made.blind:
        made.close()
        return None
    return made


class Gauge:
    """Reads memory in use, pressure, and what each worker has.

    Every limit that binds has its own figure of what is in use: a cgroup has its usage less the file cache that it
    would give up first; the machine has MemTotal - MemAvailable; a limit of the caller's own has the memory of this
    process and of its workers. `sample` gives the pair that is nearest its limit.

    Memory of a process is what is resident and not backed by a file (`statm`: resident - shared): what killing it would
    give back. Of a worker, what its parent has too does not count: a fork shares it.

    RLIMIT_AS and RLIMIT_DATA bind each process for itself and make `malloc` fail there, which ends that item with a
    MemoryError; they are no limit of the whole and are not counted.

    A process that a worker has started and then left on its own (double fork) is seen by the cgroup and the machine
    only.
    """

    def __init__(self, limit: int | None = None, *, root: Path = ROOT) -> None:
        self._proc = f"{root}/proc".replace("//", "/")
        self._limit = limit
        self._pools: list[_Pool] = []
        machine = _open(f"{self._proc}/meminfo")
        total = memory_total(root)
        if machine is not None and total:
            self._pools.append(_Machine(machine, total))
        own: list[Group] = list(groups(root, "memory"))
        for group in own:
            pool = _cgroup(group)
            if pool is not None:
                self._pools.append(pool)
        self._pressure = _pressure(own, self._proc)
        #: slot -> (pid, bytes it shares with its parent); of idle workers too, until they are gone
        self._known: dict[int, tuple[int, int]] = {}

    @property
    def blind(self) -> bool:
        """Whether nothing can be read."""
        return not self._pools

    def sample(self, pids: Mapping[int, int]) -> Memory:
        """Look.

        Args:
            pids: of the worker process in each slot that has one; 0 is passed over. A worker that was given once is
                looked at until it is gone, for an idle one may hold much.
        """
        workers = self._workers(pids)
        pairs: list[tuple[int, int]] = []
        for pool in tuple(self._pools):
            used = pool.used()
            if used is None:
                # Its files are gone, such as when the cgroup was removed under us.
                pool.close()
                self._pools.remove(pool)
            else:
                pairs.append((used, pool.limit))
        if self._limit is not None:
            pairs.append((self._own("self") + sum(workers.values()), self._limit))
        used, limit = min(pairs, key=_distance) if pairs else (0, 1 << 62)
        return Memory(used, limit, self._stalled(), workers)

    def close(self) -> None:
        """Give the files back."""
        for pool in self._pools:
            pool.close()
        self._pools.clear()
        if self._pressure is not None:
            os.close(self._pressure)
            self._pressure = None

    # ------------------------------------------------------------------------------------------------- processes

    def _workers(self, pids: Mapping[int, int]) -> dict[int, int]:
        for slot, pid in pids.items():
            known = self._known.get(slot)
            if pid and (known is None or known[0] != pid):
                # Right after a fork a worker has all that its parent has; a program of its own has less.
                self._known[slot] = (pid, min(self._own(self._parent(pid)), self._own(str(pid))))
        found: dict[int, int] = {}
        for slot, (pid, shared) in tuple(self._known.items()):
            own = self._anonymous(pid)
            if own is None:
                del self._known[slot]
            else:
                found[slot] = max(0, own - shared) + self._descendants(pid)
        return found

    def _descendants(self, top: int) -> int:
        total, count = 0, 0
        waiting = self._children(top)
        while waiting and count < _MOST:
            pid = waiting.pop()
            count += 1
            total += self._anonymous(pid) or 0
            waiting += self._children(pid)
        return total

    def _children(self, pid: int | str) -> list[str]:
        """Return the children of every thread; none where the kernel does not tell (CONFIG_PROC_CHILDREN)."""
        try:
            tasks = os.listdir(f"{self._proc}/{pid}/task")  # noqa: PTH208 - names only, and ten times a second
        except OSError:
            return []
        found: list[str] = []
        for task in tasks:
            found += (_slurp(f"{self._proc}/{pid}/task/{task}/children") or b"").decode("ascii").split()
        return found

    def _parent(self, pid: int) -> str:
        # The second field, the name, may hold blanks and brackets; after its last bracket come state and parent.
        words = (_slurp(f"{self._proc}/{pid}/stat") or b"").rpartition(b")")[2].split()
        return words[1].decode("ascii") if len(words) > 1 else ""

    def _own(self, pid: str) -> int:
        return (self._anonymous(pid) or 0) if pid else 0

    def _anonymous(self, pid: int | str) -> int | None:
        words = (_slurp(f"{self._proc}/{pid}/statm") or b"").split()
        if len(words) < 3:  # noqa: PLR2004 - size, resident, shared: proc(5)
            return None
        return max(0, int(words[1]) - int(words[2])) * _PAGE

    # -------------------------------------------------------------------------------------------------- pressure

    def _stalled(self) -> float:
        if self._pressure is None:
            return 0.0
        text = _read(self._pressure)
        if text is None:
            return 0.0
        found = text.partition(b"full avg10=")[2].partition(b" ")[0]
        try:
            return float(found) / 100
        except ValueError:
            return 0.0  # a kernel without the line


def _distance(pair: tuple[int, int]) -> tuple[int, float]:
    """Order by how near to its limit a figure is.

    Beyond the mark where starting stops, the part in use says how bad it is. Below it what counts is how many bytes are
    left up to there: a small cgroup at 50 % may have less room than a big machine at 60 %.
    """
    used, limit = pair
    left = PAUSE * limit - used
    return (0, -used / limit) if left <= 0 else (1, left)


# ------------------------------------------------------------------------------------------------------- figures


class _Pool(Protocol):
    limit: int

    def used(self) -> int | None: ...
    def close(self) -> None: ...


class _Machine:
    def __init__(self, fd: int, limit: int) -> None:
        self._fd = fd
        self.limit = limit

    def used(self) -> int | None:
        available = _after(_read(self._fd), b"MemAvailable:")
        return None if available is None else max(0, self.limit - available * 1024)

    def close(self) -> None:
        os.close(self._fd)


class _Cgroup:
    def __init__(self, usage: int, stat: int, cache: bytes, limit: int) -> None:
        self._usage = usage
        self._stat = stat
        self._cache = cache
        self.limit = limit

    def used(self) -> int | None:
        usage = _after(_read(self._usage), b"")
        cache = _after(b"\n" + (_read(self._stat) or b""), self._cache)
        return None if usage is None else max(0, usage - (cache or 0))

    def close(self) -> None:
        os.close(self._usage)
        os.close(self._stat)


def _cgroup(group: Group) -> _Pool | None:
    """Return what a cgroup has in use; None if it has no limit, or does not tell."""
    limit = group_limit(group)
    if limit is None:
        return None
    usage = _open(f"{group.path}/{'memory.current' if group.unified else 'memory.usage_in_bytes'}")
    if usage is None:
        return None
    stat = _open(f"{group.path}/memory.stat")
    if stat is None:
        os.close(usage)
        return None
    return _Cgroup(usage, stat, b"\ninactive_file " if group.unified else b"\ntotal_inactive_file ", limit)


def _pressure(own: list[Group], proc: str) -> int | None:
    """Open the pressure of the own cgroup, else of the whole machine."""
    nearest = next((group for group in own if group.unified), None)
    candidates = [f"{nearest.path}/memory.pressure"] if nearest is not None else []
    for path in (*candidates, f"{proc}/pressure/memory"):
        fd = _open(path)
        if fd is not None:
            if _read(fd):
                return fd
            os.close(fd)  # there, but switched off in this kernel
    return None


def _after(text: bytes | None, name: bytes) -> int | None:
    """Return the whole number that follows `name`."""
    if text is None:
        return None
    words = text.partition(name)[2].split(None, 1) if name else text.split(None, 1)
    return int(words[0]) if words and words[0].isdigit() else None


def _open(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return None


def _read(fd: int) -> bytes | None:
    try:
        return os.pread(fd, _BUFFER, 0)
    except OSError:
        return None


def _slurp(path: str) -> bytes | None:
    fd = _open(path)
    if fd is None:
        return None
    try:
        return _read(fd)
    finally:
        os.close(fd)
