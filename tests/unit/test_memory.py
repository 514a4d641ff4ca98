"""The memory guard: rules one by one, random histories, and whole simulated runs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raddle._events import Memory
from raddle._model import Running
from raddle._policy.memory import KILL, PAUSE, RESUME, MemoryGuard

MIB = 1 << 20
LIMIT = 1000 * MIB


def running(*slots: int, chunk: int = 1, offset: int = 0, pid: int = 100) -> list[Running]:
    """Items under way; the one in the lowest slot is the oldest."""
    return [Running(slot, chunk, offset, float(slot), pid and pid + slot) for slot in slots]


def memory(used: float, stalled: float = 0.0, **workers: int) -> Memory:
    """Memory in MiB of 1000; "w1=20": the worker in slot 1 has 20 MiB."""
    sizes = {int(name[1:]): size * MIB for name, size in workers.items()}
    return Memory(int(used * MIB), LIMIT, stalled, sizes)


def guard_that_knows(peak: int) -> MemoryGuard:
    """A guard that has seen one item end, which had `peak` MiB."""
    guard = MemoryGuard()
    guard.saw(0.0, memory(peak, w0=peak), running(0))
    guard.saw(0.1, memory(0), [])
    return guard


# ---------------------------------------------------------------------------------------------------- how many start


def test_before_the_first_look_one_may_start() -> None:
    guard = MemoryGuard()
    assert (guard.room, guard.most, guard.victim) == (1, 1, None)


@pytest.mark.parametrize(("used", "room"), [(10, 3), (300, 1), (600, 1), (799, 1)])
def test_unknown_items_start_as_if_each_needed_256_mib(used: int, room: int) -> None:
    guard = MemoryGuard()
    guard.saw(0.0, memory(used), [])
    assert guard.room == guard.most == room


def test_a_big_machine_holds_nothing_back_at_the_start() -> None:
    guard = MemoryGuard()
    guard.saw(0.0, Memory(2 << 30, 64 << 30), [])
    assert guard.room is not None
    assert guard.room > 190


def test_without_growth_the_assumption_fades_within_a_second() -> None:
    guard = MemoryGuard()
    looks = 0
    while guard.room is None or guard.room < 100:
        guard.saw(looks / 10, memory(20, w0=5), running(0))
        looks += 1
    assert looks <= 10


def test_with_growth_it_does_not() -> None:
    guard = MemoryGuard()
    for look in range(10):
        guard.saw(look / 10, memory(20 + 15 * look, w0=5 + 15 * look), running(0))
    # .80 of 1000 are left; 155 in use, and 116 more of the one under way
    assert guard.room == (800 - 155 - (256 - 140)) // 256


@pytest.mark.parametrize(
    ("peak", "used", "workers", "busy", "room"),
    [
        (100, 0, {}, (), 8),
        (100, 0, {}, (0,), 7),  # the one under way will have its 100
        (100, 100, {"w0": 100}, (0,), 7),
        (100, 60, {"w0": 60}, (0,), 7),
        (100, 700, {"w0": 100}, (0,), 1),
        (100, 701, {"w0": 100}, (0,), 0),
        (100, 690, {"w0": 80}, (0,), 0),
        (100, 780, {"w0": 100, "w1": 90}, (0,), 1),  # what an idle worker kept is used again
        (100, 780, {"w0": 100, "w1": 70}, (0,), 0),
        (100, 790, {}, (), 1),  # does not fit, but nothing else runs
    ],
)
def test_one_more_starts_only_if_what_is_expected_fits(
    peak: int, used: int, workers: dict[str, int], busy: tuple[int, ...], room: int
) -> None:
    guard = guard_that_knows(peak)
    guard.saw(0.2, memory(used, **workers), running(*busy))
    assert guard.room == room, guard.reason
    assert guard.most == len(busy) + room or (guard.most, room) == (1, 0)


def test_it_learns_the_high_quantile_of_the_last_items() -> None:
    guard = MemoryGuard()
    sizes = [500, *[10] * 30]
    for number, size in enumerate(sizes):
        guard.saw(number / 10, memory(size, w0=size), running(0, chunk=number))
        if number == 10:
            assert guard.room == 0, "one of ten was big: the next may be too"
    assert guard.room is not None
    assert guard.room > 70, "one of thirty was big: that is rare"


def test_a_retry_of_the_same_place_is_another_item() -> None:
    guard = MemoryGuard()
    guard.saw(0.0, memory(400, w0=400), [Running(0, 1, 0, 0.0, 9)])
    guard.saw(0.1, memory(10, w0=10), [Running(0, 1, 0, 0.05, 9)])
    assert list(guard._peaks) == [400 * MIB]


def test_threads_are_held_back_only_by_a_pause() -> None:
    guard = guard_that_knows(300)
    guard.saw(0.2, memory(700, w0=300), running(1, 2, 3, pid=0))
    assert (guard.room, guard.most) == (None, None)
    guard.saw(0.3, memory(810), running(1, 2, 3, pid=0))
    assert (guard.room, guard.most) == (0, 1)
    guard.saw(0.4, memory(990, stalled=0.9), running(1, 2, 3, pid=0))
    guard.saw(2.4, memory(990, stalled=0.9), running(1, 2, 3, pid=0))
    assert guard.victim is None


def test_small_items_are_not_held_back() -> None:
    guard = guard_that_knows(2)
    guard.saw(0.2, memory(100, w0=2, w1=2), running(0, 1))
    assert guard.most is not None
    assert guard.most > 300
    assert not guard.held_back


# --------------------------------------------------------------------------------------------------------- the pause


def test_what_others_have_holds_nobody_back_who_has_next_to_nothing() -> None:
    guard = guard_that_knows(5)
    guard.saw(0.2, memory(900, w0=5, w1=5), running(0, 1))
    assert (guard.paused, guard.held_back, guard.most, guard.victim) == (False, False, None, None)
    guard.saw(0.3, memory(970, w0=5, w1=5), running(0, 1))
    assert guard.paused
    assert guard.victim is None
    guard.saw(0.4, memory(900, w0=5, w1=30), running(0, 1))
    assert guard.held_back


def test_pause_and_resume_have_a_gap_between_them() -> None:
    guard = guard_that_knows(100)
    states = []
    for look, used in enumerate([790, 800, 750, 700, 699, 799, 850, 600]):
        guard.saw(look / 10, memory(used, w0=100, w1=100), running(0, 1))
        states.append(guard.paused)
        assert guard.held_back == guard.paused
        if guard.paused:
            assert (guard.room, guard.most) == (0, 1)
            assert "nothing more starts" in guard.reason
    assert states == [False, True, True, True, False, False, True, False]
    assert guard.peak == 0.85


def test_paused_with_nothing_running_one_may_start() -> None:
    guard = MemoryGuard()
    guard.saw(0.0, memory(900), [])
    assert (guard.room, guard.most) == (1, 1)


# ---------------------------------------------------------------------------------------------------------- the kill


def test_the_youngest_goes_one_at_a_time() -> None:
    guard = guard_that_knows(300)
    now = memory(950, w0=300, w1=300, w2=300)
    guard.saw(1.0, now, running(0, 1, 2))
    assert guard.victim == 2
    assert guard.reason == "memory was short: 95% of 1000 MiB were in use; the worker had 300 MiB"
    guard.killed(2)
    assert guard.victim is None
    guard.saw(1.1, now, running(0, 1, 2))
    assert guard.victim is None, "the first one is not gone yet"
    assert guard.lost(1) is None, "this one died by itself"
    assert guard.lost(2) == "memory was short: 95% of 1000 MiB were in use; the worker had 300 MiB"
    assert guard.lost(2) is None
    guard.saw(1.2, now, running(0, 1))
    assert guard.victim == 1
    guard.killed(1)
    guard.lost(1)
    guard.saw(1.3, memory(950, w0=100), running(0))
    assert guard.victim is None, "never the last one if that does not help"


@pytest.mark.parametrize(("has", "victim"), [(140, None), (160, 0)])
def test_the_last_one_goes_only_if_that_helps(has: int, victim: int | None) -> None:
    guard = MemoryGuard()
    guard.saw(0.0, memory(955, w0=has), running(0))
    assert guard.victim == victim


def test_a_worker_that_goes_by_itself_is_no_victim_any_more() -> None:
    guard = MemoryGuard()
    guard.saw(0.0, memory(960, w0=200, w1=200), running(0, 1))
    assert guard.victim == 1
    assert guard.lost(1) is None
    assert guard.victim is None


@pytest.mark.parametrize(
    ("used", "reason", "told"),
    [
        (850, "killed by SIGKILL", True),
        (850, "killed by SIGSEGV", False),
        (850, "exit code 3", False),
        (850, "", False),
        (500, "killed by SIGKILL", False),
    ],
)
def test_the_kernel_kills_for_memory_too(used: int, reason: str, told: bool) -> None:
    guard = guard_that_knows(100)
    guard.saw(1.0, memory(used, w0=100, w1=400), running(0, 1))
    why = guard.lost(1, reason)
    if told:
        assert why == "killed by SIGKILL, as the kernel does; memory: 85% of 1000 MiB in use, nothing more starts"
    else:
        assert why is None


def test_it_looks_closely_when_memory_is_nearly_short() -> None:
    guard = guard_that_knows(100)
    waits = []
    for look, (used, slots) in enumerate([(100, (0,)), (700, (0,)), (900, (0,)), (900, ()), (699, (0,))]):
        guard.saw(look, memory(used, w0=100), running(*slots))
        waits.append(guard.look_in)
    assert waits == [0.1, 0.02, 0.02, 0.1, 0.1]


def test_a_killed_item_runs_alone_and_only_once_more() -> None:
    guard = guard_that_knows(10)
    guard.saw(1.0, memory(960, w0=100, w1=800), running(0, 1))
    guard.killed(1)
    guard.lost(1)
    assert guard.again(7)
    assert guard.alone
    assert guard.held_back
    assert guard.most == 1
    guard.saw(1.1, memory(110, w0=100), running(0))
    assert (guard.room, guard.most) == (0, 1)
    assert "one item runs alone" in guard.reason
    guard.saw(1.2, memory(10), [])
    assert (guard.room, guard.most) == (1, 1)
    guard.saw(1.3, memory(960, w1=950), running(1, chunk=2))
    assert guard.victim == 1
    guard.killed(1)
    guard.lost(1)
    assert not guard.again(7)
    assert not guard.alone
    guard.saw(1.4, memory(10), [])
    assert guard.most is not None
    assert guard.most > 5, "what did not fit at all says nothing of the others"


def test_an_item_that_ended_alone_lets_the_others_go_on() -> None:
    guard = MemoryGuard()
    assert guard.again(3)
    assert guard.again(4)
    guard.ended(3)
    assert guard.alone
    guard.ended(4)
    guard.ended(99)
    assert not guard.alone


def test_stalling_for_a_second_is_short_of_memory_too() -> None:
    guard = guard_that_knows(100)
    two = running(0, 1)
    for now, stalled, victim in [(1.0, 0.2, None), (1.5, 0.0, None), (2.0, 0.2, None), (2.9, 0.2, None), (3.0, 0.2, 1)]:
        guard.saw(now, memory(750, stalled, w0=100, w1=100), two)
        assert guard.victim == victim
    assert "all work stood still for 20% of the time" in guard.reason
    guard.killed(1)
    guard.lost(1)
    for tenth in range(31, 130):
        guard.saw(tenth / 10, memory(750, 0.15, w0=100, w2=100), running(0, 2))
        assert guard.victim is None, "the figure is an average over 10 s: it still shows the stall of before"
    for tenth in range(130, 142):
        guard.saw(tenth / 10, memory(750, 0.15, w0=100, w2=100), running(0, 2))
    assert guard.victim == 2


def test_a_stall_with_memory_to_spare_has_other_causes() -> None:
    guard = MemoryGuard()
    for second in range(20):
        guard.saw(second, memory(690, 0.9, w0=100, w1=100), running(0, 1))
        assert guard.victim is None


def test_a_stall_never_takes_the_last_one() -> None:
    guard = MemoryGuard()
    for second in range(20):
        guard.saw(second, memory(940, 0.9, w0=900), running(0))
        assert guard.victim is None


# --------------------------------------------------------------------------------------------------- random histories


looks = st.lists(
    st.tuples(
        st.floats(0, 1.3),  # part in use
        st.floats(0, 1),  # stalled
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()), max_size=6),
        st.booleans(),  # whether the loss is heard
    ),
    max_size=60,
)


@given(looks)
def test_random_histories(history: list[tuple[float, float, list[tuple[int, int, bool]], bool]]) -> None:
    guard = MemoryGuard()
    dying: int | None = None
    paused = False
    for number, (part, stalled, items, heard) in enumerate(history):
        under_way = {
            slot: Running(slot, chunk, 0, float(10 * chunk + slot), 1 + slot if process else 0)
            for slot, chunk, process in items
        }
        sizes = {slot: int(part * LIMIT / 6) for slot in under_way}
        if dying is not None and heard:
            assert guard.lost(dying) is not None
            guard.again(number)
            dying = None
        guard.saw(number * 0.3, Memory(int(part * LIMIT), LIMIT, stalled, sizes), list(under_way.values()))
        used = int(part * LIMIT) / LIMIT
        # hysteresis
        paused = used >= (RESUME if paused else PAUSE)
        assert guard.paused == paused
        # no deadlock
        assert guard.most is None or guard.most >= 1
        assert guard.room is None or guard.room >= (not under_way)
        if paused and under_way:
            assert guard.room == 0
        # at most one kill under way, of a process, never the oldest of several, never without need
        if guard.victim is not None:
            assert dying is None
            processes = sorted((r for r in under_way.values() if r.pid), key=lambda r: r.started)
            assert guard.victim == processes[-1].worker
            assert used >= KILL or (stalled > 0.1 and used >= RESUME and len(processes) > 1)
            dying = guard.victim
            guard.killed(dying)


# ----------------------------------------------------------------------------------------------------- simulated runs


@dataclass
class Sim:
    """A run on made-up workers, with the part that the machine will play: ten looks a second, many steps between them.

    An item is (seconds to grow, peak in MiB, seconds at the peak); memory of the rest of the program is `base`.
    """

    items: list[tuple[float, int, float]]
    workers: int
    limit: int
    base: int = 30
    guarded: bool = True
    step: float = 0.02
    now: float = 0.0
    guard: MemoryGuard = field(default_factory=MemoryGuard)
    outcomes: dict[int, str] = field(default_factory=dict)
    kills: dict[int, int] = field(default_factory=dict)
    highest: int = 0
    most_at_once: int = 0

    def run(self) -> None:
        waiting = deque(range(len(self.items)))
        busy: dict[int, tuple[int, float, int]] = {}
        chunk, look_at, was_alone = 0, 0.0, False
        while waiting or busy:
            for slot, (item, began, _) in list(busy.items()):
                if self.now >= began + self.items[item][0] + self.items[item][2]:
                    del busy[slot]
                    self.outcomes[item] = "ok"
                    self.guard.ended(item)
            sizes = {slot: self.size(item, began) for slot, (item, began, _) in busy.items()}
            used = self.base + sum(sizes.values())
            self.highest = max(self.highest, used)
            if self.now >= look_at:
                look_at = self.now + 0.1
                under_way = [Running(s, number, 0, began, 1 + s) for s, (_, began, number) in busy.items()]
                self.guard.saw(
                    self.now,
                    Memory(used * MIB, self.limit * MIB, 0.0, {s: size * MIB for s, size in sizes.items()}),
                    under_way,
                )
                victim = self.guard.victim if self.guarded else None
                if victim is not None:
                    item = busy.pop(victim)[0]
                    self.guard.killed(victim)
                    assert self.guard.lost(victim)
                    self.kills[item] = self.kills.get(item, 0) + 1
                    if self.guard.again(item):
                        waiting.appendleft(item)
                    else:
                        self.outcomes[item] = "out of memory"
                was_alone = self.guard.alone
            most = self.guard.most if self.guarded else None
            while waiting and len(busy) < min(self.workers, self.workers if most is None else most):
                item, chunk = waiting.popleft(), chunk + 1
                slot = next(s for s in range(self.workers) if s not in busy)
                busy[slot] = (item, self.now, chunk)
                if was_alone and self.kills.get(item):
                    assert len(busy) == 1, "beside it runs nothing"
            self.most_at_once = max(self.most_at_once, len(busy))
            self.now += self.step
            assert self.now < 10_000, "it does not end"

    def size(self, item: int, began: float) -> int:
        grow, peak, _ = self.items[item]
        return int(peak * min(1.0, (self.now - began) / max(grow, 1e-9)))


def test_items_of_200_mib_in_600_never_run_all_four_at_once() -> None:
    sim = Sim([(0.05, 200, 0.5)] * 20, workers=4, limit=600)
    sim.run()
    assert set(sim.outcomes.values()) == {"ok"}
    assert sim.kills == {}
    assert sim.most_at_once == 2
    assert sim.highest <= 0.8 * 600


def test_without_the_guard_they_would() -> None:
    sim = Sim([(0.05, 200, 0.5)] * 20, workers=4, limit=600, guarded=False)
    sim.run()
    assert sim.highest > 600


def test_slow_growers_are_killed_once_or_paused_and_all_end_ok() -> None:
    sim = Sim([(5.0, 500, 1.0)] * 12, workers=4, limit=1024)
    sim.run()
    assert set(sim.outcomes.values()) == {"ok"}
    assert max(sim.kills.values()) == 1
    assert len(sim.kills) <= 3, "it learned"
    assert sim.highest < 1024


def test_one_that_fits_nowhere_is_killed_twice_and_the_others_end_ok() -> None:
    items = [(0.1, 20, 0.2)] * 30
    items[5] = (4.0, 2000, 1.0)
    sim = Sim(items, workers=4, limit=500)
    sim.run()
    assert sim.outcomes.pop(5) == "out of memory"
    assert set(sim.outcomes.values()) == {"ok"}
    assert sim.kills == {5: 2}
    assert sim.highest < 560, "ten looks a second see it in time"


@pytest.mark.parametrize("workers", [2, 8, 32])
def test_small_items_take_as_long_as_without_the_guard(workers: int) -> None:
    times = []
    for guarded in (True, False):
        sim = Sim([(0.01, 3, 0.05)] * 1000, workers=workers, limit=8192, guarded=guarded)
        sim.run()
        times.append(sim.now)
    assert times[0] <= 1.02 * times[1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(200, 2000))
def test_every_run_ends_with_one_outcome_for_each_item(seed: int, workers: int, limit: int) -> None:
    dice = Random(seed)
    items = [
        (dice.choice([0.0, 0.1, 1.0, 4.0]), dice.choice([1, 20, 100, 300, 900, 3000]), dice.uniform(0, 1))
        for _ in range(dice.randint(1, 25))
    ]
    sim = Sim(items, workers=workers, limit=limit)
    sim.run()
    assert len(sim.outcomes) == len(items)
    assert max(sim.kills.values(), default=0) <= 2
    for item, outcome in sim.outcomes.items():
        assert outcome == "ok" or sim.kills[item] == 2
        assert outcome == "ok" or sim.base + items[item][1] >= KILL * limit
