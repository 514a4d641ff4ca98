"""What `permits=` promises, judged from outside: the machine's own count is not looked at."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from raddle.testing.simulation import World

__all__ = ["PermitJudge"]

_SLACK = 1e-6


class PermitJudge:
    """Never more of a class under way than permits; in input order; and no wait while permit and worker are free."""

    def __init__(self, world: World) -> None:
        rules, scenario = world.rules, world.scenario
        self._world = world
        self._most = rules.permits or {}
        self._classes: dict[int, str | None] = {}
        #: worker and positions of each chunk that was ever given to one
        self._held: dict[int, tuple[int, Sequence[int]]] = {}
        #: positions whose outcome is final, though it may wait for the journal
        self._decided: set[int] = set()
        self._latest: dict[str, int] = {}
        self._seen: set[int] = set()
        self._in_order = not rules.prioritized and not rules.keyed and not scenario.interrupted
        # Where something else may hold items back, an item that waits says nothing.
        self._eager = bool(self._most) and not (
            rules.guarded or rules.rate or rules.limit or rules.trial or scenario.rejects or scenario.interrupted
        )

    def draw(self, rng: random.Random, positions: Sequence[int]) -> list[str | None] | None:
        """Give items their classes."""
        if not self._most:
            return None
        classes = [rng.choice([None, *self._most]) for _ in positions]
        self._classes.update(zip(positions, classes, strict=True))
        return classes

    def opened(self, chunk: int, worker: int, positions: Sequence[int]) -> None:
        """Take note that a worker has a chunk, as the machine sees it."""
        if not self._most or chunk in self._held:
            return
        self._held[chunk] = (worker, positions)
        check, name = self._world.check, self._classes[positions[0]]
        check({name} == {self._classes[position] for position in positions}, "items of a chunk are of one class")
        if name is None:
            return
        if self._in_order and positions[0] not in self._seen:
            check(positions[0] > self._latest.get(name, -1), "items of a class start in input order")
            self._latest[name] = positions[0]
        self._seen.update(positions)

    def begins(self, position: int) -> None:
        """Judge the start of an item."""
        name = self._classes.get(position)
        if name is not None:
            beside = sum(self._classes[other] == name for other in self._world.running)
            self._world.check(beside < self._most[name], "never more of a class under way than its permits")

    def decided(self, positions: Sequence[int]) -> None:
        """Take note that items have an outcome."""
        self._decided.update(positions)

    def step(self) -> None:
        """Judge that nothing waits which could start."""
        world = self._world
        if not self._eager or world.stopping or world.broken or world.finished is not None:
            return
        busy = {self._held[chunk][0] for chunk in world.open}
        busy.update(number for number, worker in enumerate(world.workers) if worker.kill_asked)
        if len(busy) == len(world.workers):
            return
        position = self._startable()
        where = f"item {position} of class {self._classes.get(position or 0)!r}"
        world.check(position is None, f"what has a permit and a worker starts ({where})")

    def _startable(self) -> int | None:
        world = self._world
        held = [self._held[chunk][1] for chunk in world.open]
        taken = {position for positions in held for position in positions}
        in_use = Counter(self._classes[positions[0]] for positions in held)
        keys = set()
        for position, name in self._classes.items():
            if position in self._decided or position in world.final or position in world.known:
                continue
            if world.rules.keyed and world.keys[position] in keys:
                continue
            keys.add(world.keys[position])
            late = world.not_before.get(position, 0.0) > world.now - _SLACK
            if position not in taken and not late and (name is None or in_use[name] < self._most[name]):
                return position
        return None
