"""One book of what all workers are about to write, for each file system: none counts on bytes that another will use.

It is for the workers of one process, which are threads.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from raddle.errors import ConfigError, ItemCancelled
from raddle.workloads.media.replace.errors import DiskFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["DiskLedger", "Reservation", "Space", "verdict"]

_LOOK: Final = 1.0


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of a file system; `free` is what this user may use."""

    free: int
    total: int


def verdict(space: Space, *, pending: int, min_free: int, size: int) -> Literal["fits", "wait", "never"]:
    """Say whether `size` more bytes may be begun.

    Args:
        space: of the file system now
        pending: bytes that are reserved and not written yet
        min_free: bytes that stay free
        size: bytes to write
    """
    if size > space.total - min_free:
        return "never"
    return "fits" if size <= space.free - pending - min_free else "wait"


class Reservation:
    """Room for one result."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._written = 0

    @property
    def pending(self) -> int:
        """Return the bytes that are still to come."""
        return max(self._size - self._written, 0)

    def written(self, size: int) -> None:
        """Tell how large the result is by now: those bytes are missing from the free ones already."""
        self._written = size


@dataclass(slots=True)
class _Disk:
    held: list[Reservation] = field(default_factory=list)
    #: those that wait, first come, first served: else a large file could wait for ever
    queue: list[Reservation] = field(default_factory=list)


def _space(path: str) -> Space:
    found = os.statvfs(path)
    return Space(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def _device(path: str) -> int:
    return os.stat(path).st_dev  # noqa: PTH116 - text in, a number out


class DiskLedger:
    """Reservations of all workers, by file system.

    Args:
        min_free: bytes that stay free
        min_free_percent: the same as a part of each file system; the larger of both counts
        space: what is free where a path is
        device: which file system that is
        look: seconds between looks at the disk while somebody waits: others free room too
    """

    def __init__(
        self,
        *,
        min_free: int = 0,
        min_free_percent: float = 0.0,
        space: Callable[[str], Space] = _space,
        device: Callable[[str], int] = _device,
        look: float = _LOOK,
    ) -> None:
        if min_free < 0 or not 0 <= min_free_percent < 100:  # noqa: PLR2004 - percent
            raise ConfigError(f"min_free={min_free}, min_free_percent={min_free_percent}: give 0 or more, below 100 %")
        self._min_free, self._percent = min_free, min_free_percent
        self._space, self._device, self._look = space, device, look
        self._changed = threading.Condition()
        self._disks: dict[int, _Disk] = {}

    @contextlib.contextmanager
    def reserve(
        self,
        folder: str,
        size: int,
        *,
        cancelled: Callable[[], bool] = lambda: False,
        on_wait: Callable[[str], None] | None = None,
        patience: float | None = None,
    ) -> Iterator[Reservation]:
        """Wait until `size` bytes fit, and hold them for this block.

        Args:
            folder: where they go
            size: bytes
            cancelled: asked while waiting; if it says True the wait ends. `recheck` makes it be asked at once
            on_wait: called once with the reason, if there is a wait
            patience: seconds to wait at most; None: until it fits

        Raises:
            DiskFull: they would not fit on an empty disk, or patience is over
            ItemCancelled: `cancelled` said so
        """
        disk, mine = self._enter(folder, size)
        try:
            self._wait(folder, disk, mine, cancelled, on_wait, patience)
            yield mine
        finally:
            with self._changed:
                for row in (disk.queue, disk.held):
                    if mine in row:
                        row.remove(mine)
                self._changed.notify_all()

    def recheck(self) -> None:
        """Let all that wait look again at once: something was freed, or cancelled."""
        with self._changed:
            self._changed.notify_all()

    def waiting(self) -> int:
        """Return how many wait for room."""
        with self._changed:
            return sum(len(disk.queue) for disk in self._disks.values())

    def _enter(self, folder: str, size: int) -> tuple[_Disk, Reservation]:
        if size < 0:
            raise ConfigError(f"size={size}: give bytes from 0 on")
        with self._changed:
            disk = self._disks.setdefault(self._device(folder), _Disk())
            mine = Reservation(size)
            disk.queue.append(mine)
            return disk, mine

    def _wait(  # noqa: PLR0917 - of reserve
        self,
        folder: str,
        disk: _Disk,
        mine: Reservation,
        cancelled: Callable[[], bool],
        on_wait: Callable[[str], None] | None,
        patience: float | None,
    ) -> None:
        end = None if patience is None else time.monotonic() + patience
        told = False
        while True:
            with self._changed:
                state, reason = self._judge(folder, disk, mine)
                if state == "fits":
                    disk.queue.remove(mine)
                    disk.held.append(mine)
                    self._changed.notify_all()  # the next in the queue may fit too
                    return
                if state == "never":
                    raise DiskFull(reason)
                if told or on_wait is None:
                    if cancelled():
                        raise ItemCancelled(f"{reason}: no longer wanted")
                    left = self._look if end is None else min(self._look, end - time.monotonic())
                    if left <= 0:
                        raise DiskFull(f"{reason}; waited {patience:g} s: make room")
                    self._changed.wait(left)
                    continue
            told = True
            on_wait(reason)  # the caller's code, without our lock

    def _judge(self, folder: str, disk: _Disk, mine: Reservation) -> tuple[Literal["fits", "wait", "never"], str]:
        space = self._space(folder)
        least = max(self._min_free, int(space.total * self._percent / 100))
        pending = sum(other.pending for other in disk.held)
        found = verdict(space, pending=pending, min_free=least, size=mine.pending)
        if found == "never":
            return found, (
                f"folder={folder!r}: {mine.pending} bytes and {least} that stay free are more than its disk has "
                f"({space.total}): lower min_free, or move the file"
            )
        if found == "fits" and disk.queue[0] is not mine:
            return "wait", f"folder={folder!r}: others wait for room before this one"
        return found, (
            f"folder={folder!r}: {mine.pending} bytes to write, {space.free} free, of which {pending} are reserved and "
            f"{least} stay free"
        )
