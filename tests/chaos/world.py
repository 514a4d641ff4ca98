"""One journal, lived through by a program that is killed and started again until it has ended; then judged."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import kit

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from report import Report

#: whom a kill hits: the program, one worker, both at once, everything at once, the process that forks the workers
TARGETS = ("parent", "worker", "both", "all", "zygote")


@dataclass
class World:
    folder: Path
    items: int
    chance: random.Random
    report: Report
    backend: str = "processes"
    options: dict[str, Any] = field(default_factory=dict)
    life: int = 0
    kills: int = 0
    #: workers killed in each life
    workers_killed: Counter[int] = field(default_factory=Counter)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def journal(self) -> Path:
        return self.folder / "runs.db"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def live(self, kills: int) -> int:
        """Kill up to `kills` times, then let the program end; judge; return how many kills there were."""
        while True:
            self.life += 1
            program = kit.start(
                "journaled",
                life=self.life,
                backend=self.backend,
                items=self.items,
                journal=str(self.journal),
                log=str(self.log),
                acks=self.path("acks"),
                waits=self.path("waits"),
                **self.options,
            )
            try:
                self._harass(program, kills)
                code, out, err = program.finish()
            finally:
                program.kill_all()
            self.report.add(lives=1)
            assert code in (0, 7, -signal.SIGKILL), f"life {self.life}: exit code {code}\n{out}\n{err[-4000:]}"
            assert code != 7 or "the process that starts workers ended" in err, err
            if code == 0:
                self._judge(json.loads(out.splitlines()[-1]))
                return self.kills

    def _harass(self, program: kit.Program, kills: int) -> None:
        chance = self.chance
        while self.kills < kills and not program.ended:
            if chance.random() < 0.15:
                time.sleep(chance.uniform(0, 0.25))  # perhaps before the first item
            else:
                before = kit.size(self.log)
                while kit.size(self.log) == before and not program.ended:
                    time.sleep(0.001)
                time.sleep(chance.expovariate(1 / 0.08))
            target = "parent" if self.backend == "threads" else chance.choice(TARGETS)
            if not self._kill(program, target):
                continue
            self.kills += 1
            self.workers_killed[self.life] += target == "worker"
            self.report.add(kills=1, **{f"of_{target}": 1})
            if target != "worker":
                return

    def _kill(self, program: kit.Program, target: str) -> bool:
        if program.ended:
            return False
        family = {"zygote": program.zygotes, "parent": list}.get(target, program.workers)()
        if target == "all":
            family = list(kit.descendants(program.mark))
        elif target in ("worker", "both"):
            family = family and [self.chance.choice(family)]
        if target in ("worker", "zygote") and not family:
            return False
        sent = [kit.send(pid, signal.SIGKILL) for pid in family]
        if target in ("parent", "both", "all"):
            sent.append(kit.send(program.pid, signal.SIGKILL))
        return any(sent)

    # ------------------------------------------------------------------------------------------------- judgement

    def _judge(self, answer: dict[str, Any]) -> None:
        acks = kit.acknowledged(self.folder / "acks")
        final = [ack for ack in acks if ack.life == self.life]
        assert sorted(ack.number for ack in final) == list(range(self.items)), "outcomes are missing, or there twice"
        assert [ack.position for ack in final] == list(range(self.items))
        kit.totals_add_up(answer["summary"], self.items)
        assert answer["done"] == answer["total"] == self.items, "progress and journal differ"
        recorded = kit.rows_of(self.journal)
        assert recorded.total() == self.items
        assert {status: n for status in kit.STATUSES if (n := answer["summary"][status])} == recorded
        if not self.options.get("trouble"):
            assert recorded == {"ok": self.items}
        executions = kit.Executions.read(self.log)
        under_way, ended = executions.check()
        if self.options.get("lanes"):
            executions.in_order()
        if not self.options.get("timeout"):
            # A worker's death costs the item that it was running; that of the program also what was not committed.
            for life, again in executions.again_within_life().items():
                assert again <= self.workers_killed[life], f"life {life}: {again} ran again, {self.workers_killed}"
        lost, early = self._lost(acks, final, executions)
        assert not lost, f"acknowledged and lost: {lost[:5]}"
        assert not early, f"ran again after their outcome was acknowledged: {early[:5]}"
        calls = sum(map(len, executions.of.values()))
        self.report.add(items=self.items, acknowledged=len(acks), lost=0, twice=0, overlaps=0)
        self.report.add(again_under_way=under_way, again_not_committed=ended, calls=calls)
        self.report.most(again_after_one_life=max(executions.again_by_life().values(), default=0))
        waits = [float(line) for line in (self.folder / "waits").read_text().split()]
        self.report.most(lock_waited_for_at_most_s=max(waits))
        assert max(waits) < 60

    def _lost(
        self, acks: list[kit.Ack], final: list[kit.Ack], executions: kit.Executions
    ) -> tuple[list[kit.Ack], list[int]]:
        statuses = {ack.number: ack for ack in final}
        lost, again = [], []
        for ack in acks:
            if ack.status == "cancelled":  # never recorded: the next session runs it
                continue
            if ack.life != self.life and (
                statuses[ack.number].status != ack.status or not statuses[ack.number].resumed
            ):
                lost.append(ack)
            if any(call.began > ack.at for call in executions.of.get(ack.number, ())):
                again.append(ack.number)
        return lost, again


def live_through(kills: int, *, per_world: int, folder: Path, **options: Any) -> list[World]:
    """Make worlds until there have been so many kills."""
    worlds: list[World] = []
    left = kills
    while left:
        place = folder / f"world-{len(worlds)}"
        place.mkdir()
        world = World(folder=place, **options)
        left -= world.live(min(left, per_world))
        worlds.append(world)
    return worlds
