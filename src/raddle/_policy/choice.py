"""Where `backend="auto"` runs the items, decided from what the first ones did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from raddle._events import Measured

__all__ = ["NOTHING", "Choice", "add", "choose"]

#: seconds after which a thread that wants the interpreter lock may have it (`sys.getswitchinterval()`)
_SWITCH = 0.005
#: CPU seconds of an item on threads beyond its own (measured by benchmarks/overhead.py: a no-op takes 0.5 to 0.7 µs)
_THREAD_ITEM = 0.5e-6
#: the same on processes in all, and in the one parent
_PROCESS_ITEM, _PARENT_ITEM = 1.8e-6, 0.6e-6
#: of a measured item, what is the worker's own loop
_LOOP = 0.6e-6
#: what threads must be better by: they cannot be killed, and a crash takes all
_MARGIN = 1.05
#: below this part of the time on a CPU, too little is seen of the lock to say that it is given up meanwhile
_BUSY = 0.5
#: above this part, the rest was rather taken by other programs than spent on waiting
_FULL = 0.75
#: threads that waiting items start with, at least
_START = 16
#: evidence that is enough: as many seconds; or as many items, and more of them if they are shorter than that
_ENOUGH_WALL, _ENOUGH_ITEMS, _SHORT, _ENOUGH_SHORT = 0.05, 8, 50e-6, 1000
#: seconds after which the lock is taken as held, if nobody has tried it
_UNPROBED_WALL = 0.2

NOTHING: Final = Measured(0, 0.0, 0.0, 0.0, 0, 0.0)


@dataclass(frozen=True, slots=True)
class Choice:
    """Where the items run from now on. `start == most`: that many, for good; else growing from one to the other."""

    backend: Literal["threads", "processes"]
    #: workers to begin with
    start: int
    most: int
    #: the figures it was decided by
    reason: str


def add(one: Measured, other: Measured) -> Measured:
    """Put two pieces of evidence together."""
    probes = one.probes + other.probes
    lag = (one.lag * one.probes + other.lag * other.probes) / probes if probes else 0.0
    return Measured(
        one.items + other.items,
        one.wall + other.wall,
        one.cpu + other.cpu,
        lag,
        probes,
        one.transfer + other.transfer,
    )


def choose(seen: Measured, *, cpus: int, most: int, processes: int | None = None) -> Choice | None:
    """Return the backend that will end more items a second; None while too little has been seen.

    Of an item are known: `t` its time, `c` the CPU time in it, `x` the time to pickle and unpickle it and its result,
    and `g`, the time for which it keeps the interpreter lock from others. With P CPUs, rates per second are at most

        processes  min( N / (t + x),  P / (c + x + 1.8 µs),  1 / (x + 0.6 µs) )
        threads    min( T / t,        P / (c + 0.5 µs),      1 / (g + 0.5 µs) )

    for N processes (P t / c of them, if there are so many, for items that wait leave their CPU to others) and T
    threads. The last term is what cannot be shared: the parent pickles by itself (as long as the worker does), and the
    lock has one holder. Threads are chosen if their rate is more than 5 % better, for processes can be killed. This
    says, for

    - waiting (c far below t): threads, by T / t, unless the CPU part would fill the lock. They start with half of what
      would fill the CPUs, at least 16, and grow up to `most` for as long as that helps.
    - CPU work that holds the lock (g = c = t): processes, P of them.
    - half waiting, half CPU work with the lock: processes, unless P is 1.
    - CPU work that releases it (g near 0): threads only if x is more than 5 % of t, else processes.
    - tiny items (below about 1 µs): threads, as the way to a process takes longer than the work.

    `g` comes from `lag`: a thread that wants a lock which is held for good waits for the switch interval, 5 ms; so
    g = t * lag / 5 ms, and at most c. An item that is on a CPU for less than half of its time is taken to hold the lock
    there (g = c): its bursts end before a probe has waited long.

    Args:
        seen: all evidence, added up
        cpus: granted to this process
        most: threads, at most
        processes: worker processes, at most; default: `cpus`
    """
    if not _is_enough(seen):
        return None
    item, cpu, transfer = _part(seen.wall, seen), _part(seen.cpu, seen), seen.transfer / seen.items
    held = _held(seen)
    if cpu > _FULL * item:
        cpu = max(cpu, item)
    count = max(1, min(processes or cpus, int(cpus * item / max(cpu, 1e-9) + 0.25)))
    by_threads = min(most / item, cpus / (cpu + _THREAD_ITEM), 1 / (held + _THREAD_ITEM))
    by_processes = min(
        count / (item + transfer), cpus / (cpu + transfer + _PROCESS_ITEM), 1 / (transfer + _PARENT_ITEM)
    )
    took = seen.wall / seen.items
    figures = (
        f"{seen.items} items took {_seconds(took)} each, {min(seen.cpu / seen.wall, 9.99):.0%} of it on a CPU, "
        f"{held / took:.0%} holding the interpreter lock, {transfer / took:.1%} more for the way to a process; "
        f"estimated {_rate(by_threads)} on threads, {_rate(by_processes)} on {count} processes"
    )
    if by_threads <= _MARGIN * by_processes:
        return Choice("processes", count, count, f"processes: {figures}")
    if cpu / item < _BUSY:
        # Half of what would fill the CPUs: the climb from there to as many as help is short.
        start = max(1, min(most, max(_START, int(cpus * item / max(cpu, 1e-9) / 2))))
        return Choice("threads", start, max(start, most), f"threads, for the items wait: {figures}")
    # Beyond that, threads would only stand in line for the lock and take turns at it.
    workers = max(1, min(most, cpus, int(item / max(held, 1e-9 * item))))
    return Choice("threads", workers, workers, f"threads: {figures}")


def _is_enough(seen: Measured) -> bool:
    if seen.items < 1 or seen.wall <= 0:
        return False
    if seen.wall < _ENOUGH_WALL:
        short = seen.wall / seen.items < _SHORT
        return seen.items >= (_ENOUGH_SHORT if short else _ENOUGH_ITEMS) and (short or _is_probed(seen))
    return _is_probed(seen) or seen.wall >= _UNPROBED_WALL


def _is_probed(seen: Measured) -> bool:
    """Whether it is known what needs to be known of the lock: nothing, where items mostly wait."""
    return seen.probes > 0 or seen.cpu < _BUSY * seen.wall


def _part(total: float, seen: Measured) -> float:
    """Return what one item has of a total, without the worker's own loop."""
    return max(total / seen.items - _LOOP, 1e-9)


def _held(seen: Measured) -> float:
    """Return the seconds for which an item keeps the interpreter lock from others."""
    item, cpu = _part(seen.wall, seen), _part(seen.cpu, seen)
    if cpu < _BUSY * item or not seen.probes:
        return min(cpu, item)
    return min(cpu, item, item * seen.lag / _SWITCH)


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"


def _rate(value: float) -> str:
    return f"{value:,.0f}/s" if value >= 100 else f"{value:.3g}/s"  # noqa: PLR2004 - digits for people
