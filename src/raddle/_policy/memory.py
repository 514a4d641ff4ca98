"""When memory is short: how many items may run at once, and which one has to go."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle._events import Memory
    from raddle._model import Running

__all__ = ["KILL", "PAUSE", "RESUME", "STALLED", "MemoryGuard"]

#: parts of the limit; the first three are those of Dask's workers
PAUSE, RESUME, KILL = 0.80, 0.70, 0.95
#: part of the time in which everything waits for memory (PSI "full avg10"), above which memory is short too
STALLED = 0.10
#: seconds that it must last
_STALL_LASTS = 1.0
#: seconds after a kill in which the same stall may still show: the average looks back that far
_STALL_FADES = 10.0
#: seconds between two looks, and when memory is nearly short: at 1 GiB/s an item takes 20 MiB from one to the next
_LOOK, _LOOK_CLOSELY = 0.1, 0.02
#: what an item is taken to need until something is known, in bytes; halved by each look at which nothing grows
_ASSUMED = 256 << 20
_FORGET_BELOW = 1 << 20
#: growth of all that is in use from one look to the next, as a part of the limit, that counts as none
_QUIET = 0.01
_REMEMBERED = 64
#: part of the limit below which all that our own workers have, and will have, is not what makes memory short
_SLIGHT = 0.02
_QUANTILE = 0.95


@dataclass(slots=True)
class _Watch:
    """The item that a worker is running, as the looks saw it."""

    chunk: int
    offset: int
    started: float
    #: most that the worker had meanwhile, in bytes
    high: int


class MemoryGuard:
    """Lets fewer items run when memory is short, and names one to kill when that is not enough.

        open ──used ≥ .80──▶ paused ──used < .70──▶ open
          └──────┬──────────────┘
                 └─used ≥ .95, or stalled > .10 for 1 s─▶ victim ─killed()─▶ waits ─lost()─▶ alone ─ended()─▶ open
                                                                                               └─ killed again: final

    **open**: one more may start while

        used + Σ max(0, peak - has) of the running + (peak - has) of the new one  <  .80 limit

    where `peak` is the .95 quantile of the most that a worker had during each of the last 64 items, those under way
    included, and `has` is what a worker has now: memory that a worker keeps from one item is used again by the next.
    It is memory of workers, not growth: where an item began cannot be told from ten looks a second. A quantile of the
    last ones, and not a moving average: the average of ten small items and a big one fits neither.
    Until an item has ended, `peak` is at least 256 MiB, halved with each look that sees no growth: many small items
    are not held back where there is room for them, and a few big ones do not start all at once where there is not.

    **paused**: nothing starts while anything runs. **alone**: an item that was killed waits, or runs, and nothing runs
    beside it. In all states one item may start when nothing runs: if even one does not fit, it runs alone, and no run
    waits for ever.

    **victim**: the youngest process item, which loses the least work; never the oldest of several, so that something
    always gets done. One at a time: the next look that counts is one after the loss. The last one is killed only if
    that takes memory below .80: else others have it, and a kill would only spoil the item. A stall alone never takes
    the last one: it is slow, but it goes on. A stall counts from .70 of the limit on: below that something else is
    slow. An item that was killed is run again alone; killed again, it has its outcome (`again`). So it is killed twice
    at most, and only the second time says that it is too big for this machine. What a killed item had is not learned:
    one that does not fit says nothing of the others, and one that does is learned when it ends.

    Where others have the memory and all our workers together no more than .02 of it, nothing is held back below .95,
    and nobody killed: it would help nobody, and a busy desktop is at .85 all day.

    **Threads** are counted and paused, but not killed: they cannot be. What one item needs there is not known, so they
    are not held back before that.

    Between two looks an item may take what is left, and the kernel kills it. Its worker then goes by SIGKILL that
    nobody here sent; if memory was short at the last look, that counts as a kill for memory (`lost`).

    For the machine: `saw` at the start and again after `look_in` seconds, then `victim` and `most`. A worker that is
    busy with short items may be handed the next ones unless `held_back`; only an idle one makes one more.
    """

    def __init__(self) -> None:
        #: how many more items may start after the last look; None: any number
        self.room: int | None = 1
        #: how many workers may be busy at once until the next look, at least 1; None: any number
        self.most: int | None = 1
        #: slot to kill now; None: none. Say `killed` when it is done.
        self.victim: int | None = None
        #: highest part of the limit that was seen in use
        self.peak = 0.0
        #: memory is short; nothing starts while anything runs
        self.paused = False
        #: seconds until the next look is wanted
        self.look_in = _LOOK
        #: the state of things, with its figures
        self.reason = "memory has not been looked at"
        self._watches: dict[int, _Watch] = {}
        self._peaks: deque[int] = deque(maxlen=_REMEMBERED)
        self._assumed = _ASSUMED
        self._used_before: int | None = None
        self._stalled_since: float | None = None
        self._stall_counts_from = float("-inf")
        self._now = 0.0
        #: slot that is being killed, and why
        self._dying: int | None = None
        self._why = ""
        #: positions of items that were killed once and have no outcome yet
        self._tried: set[int] = set()

    # ------------------------------------------------------------------------------------------------- the face

    def saw(self, now: float, memory: Memory, running: Sequence[Running]) -> None:
        """Take in a look: what memory is like, and what the workers are running."""
        self._now = now
        used = memory.used / memory.limit
        self.peak = max(self.peak, used)
        self.paused = used >= (RESUME if self.paused else PAUSE)
        self.look_in = _LOOK_CLOSELY if used >= RESUME and running else _LOOK
        self._learn(memory, running)
        slight = self.paused and used < KILL and self._is_slight(memory)
        if slight:
            self.paused = False
        self._let(memory, running, slight=slight)
        self.victim = self._choose(memory, running)

    @property
    def alone(self) -> bool:
        """Whether an item waits or runs that was killed once: nothing runs beside it, and it should start first."""
        return bool(self._tried)

    @property
    def held_back(self) -> bool:
        """Whether workers that are busy should not be handed more either."""
        return self.paused or self.alone

    def killed(self, slot: int) -> None:
        """Say that `victim` is being killed."""
        self._dying, self.victim = slot, None
        self._why = self.reason
        if self._stalled_since is not None:
            self._stalled_since = None
            self._stall_counts_from = self._now + _STALL_FADES

    def lost(self, slot: int, reason: str = "") -> str | None:
        """Say that the worker in a slot is gone; return why, if it was killed for memory, by us or by the kernel.

        Args:
            slot: its number
            reason: how it ended, such as "killed by SIGKILL", if nobody here wanted that; else ""
        """
        self._watches.pop(slot, None)
        if self.victim == slot:
            self.victim = None
        if self._dying == slot:
            self._dying = None
            return self._why
        return f"{reason}, as the kernel does; {self.reason}" if self.paused and "SIGKILL" in reason else None

    def again(self, position: int) -> bool:
        """Whether an item that was under way when it was killed for memory may run again, which it must do alone.

        False: it was its second time, and that is its outcome.
        """
        if position in self._tried:
            self._tried.remove(position)
            return False
        self._tried.add(position)
        self.room, self.most = 0, 1
        return True

    def ended(self, position: int) -> None:
        """Say that an item has its outcome. Needed only while `alone`."""
        self._tried.discard(position)

    # ------------------------------------------------------------------------------------------------ what it learns

    def _learn(self, memory: Memory, running: Sequence[Running]) -> None:
        seen = set()
        for item in running:
            has = memory.workers.get(item.worker)
            if has is None:  # a thread
                continue
            seen.add(item.worker)
            watch = self._watches.get(item.worker)
            if watch and (watch.chunk, watch.offset, watch.started) == (item.chunk, item.offset, item.started):
                watch.high = max(watch.high, has)
                continue
            self._note(watch)
            self._watches[item.worker] = _Watch(item.chunk, item.offset, item.started, has)
        for slot in [slot for slot in self._watches if slot not in seen]:
            self._note(self._watches.pop(slot))
        before, self._used_before = self._used_before, memory.used
        if before is not None and running and memory.used - before < _QUIET * memory.limit:
            self._assumed = self._assumed // 2 if self._assumed > _FORGET_BELOW else 0

    def _note(self, watch: _Watch | None) -> None:
        """Remember what an item needed that has ended."""
        if watch is not None:
            self._assumed = 0
            self._peaks.append(watch.high)

    def _expected(self) -> int:
        """Return the bytes that a worker is expected to need at most."""
        known = sorted([*self._peaks, *(watch.high for watch in self._watches.values())])
        return max(self._assumed, known[ceil(_QUANTILE * len(known)) - 1] if known else 0)

    # ------------------------------------------------------------------------------------------------ what it decides

    def _is_slight(self, memory: Memory) -> bool:
        """Whether our workers, processes all of them, have and will have next to nothing."""
        mine = sum(max(has, self._expected()) for has in memory.workers.values())
        return 0 < mine <= _SLIGHT * memory.limit

    def _let(self, memory: Memory, running: Sequence[Running], *, slight: bool) -> None:
        shown = f"{memory.used / memory.limit:.0%} of {_size(memory.limit)} in use"
        if self.paused or self._tried:
            self.room, self.most = int(not running), 1
            self.reason = f"memory: {shown}, " + ("one item runs alone" if self._tried else "nothing more starts")
            return
        peak = self._expected()
        if not peak or slight or (running and not any(item.pid for item in running)):
            self.room = self.most = None
            self.reason = f"memory: {shown}"
            return
        busy = {item.worker for item in running if item.pid}
        has = memory.workers
        left = int(PAUSE * memory.limit) - memory.used - sum(max(0, peak - has.get(slot, 0)) for slot in busy)
        room = 0
        # Idle workers have something already; the ones with the least first, for any of them may be the next.
        for slot in sorted(has.keys() - busy, key=has.__getitem__):
            left -= max(0, peak - has[slot])
            if left < 0:
                break
            room += 1
        else:
            room += max(0, left) // peak
        self.room = room = max(room, int(not running))
        self.most = max(1, len(running) + room)
        self.reason = f"memory: {shown}, {_size(peak)} expected per item, room for {room} more"

    def _choose(self, memory: Memory, running: Sequence[Running]) -> int | None:
        short = memory.used >= KILL * memory.limit
        stalled = self._is_stalled(memory)
        if self._dying is not None or not (short or stalled):
            return None
        processes = sorted((item for item in running if item.pid), key=lambda item: item.started)
        if not processes:
            return None
        youngest = processes[-1].worker
        has = memory.workers.get(youngest, 0)
        if self._is_slight(memory) and not stalled:
            return None
        if len(processes) == 1 and not (short and memory.used - has < PAUSE * memory.limit):
            return None
        shown = f"{memory.used / memory.limit:.0%} of {_size(memory.limit)} were in use"
        stall = "" if short else f" and all work stood still for {memory.stalled:.0%} of the time"
        self.reason = f"memory was short: {shown}{stall}; the worker had {_size(has)}"
        return youngest

    def _is_stalled(self, memory: Memory) -> bool:
        counts = memory.stalled > STALLED and memory.used >= RESUME * memory.limit
        if not counts or self._now < self._stall_counts_from:
            self._stalled_since = None
            return False
        if self._stalled_since is None:
            self._stalled_since = self._now
        return self._now - self._stalled_since >= _STALL_LASTS


def _size(value: float) -> str:
    return f"{value / (1 << 30):.1f} GiB" if value >= 1 << 30 else f"{value / (1 << 20):.0f} MiB"
