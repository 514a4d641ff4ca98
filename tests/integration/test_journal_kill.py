"""kill -9 at random moments: nothing acknowledged is lost, nothing is there twice, and the next run can go on.

What a killed process has handed to the kernel survives it; for a power cut see test_power_cut.py.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from raddle._model import Summary
from raddle.journal import SqliteJournal
from raddle.journal.history import History
from raddle.testing.journal_suite import Heard, header

if TYPE_CHECKING:
    from pathlib import Path

    from raddle._ports import Known

# Works like an engine: asks what is known, leases a chunk, waits for the lease, says what it starts, records, and says
# what was acknowledged. A line each, written at once, so that the pipe holds what was said before the kill.
WRITER = """
import os, queue, random, sys
from raddle._events import RunFailed
from raddle._ports import Lease, Record
from raddle.journal import SqliteJournal
from raddle.testing.journal_suite import entry, failed, header

path, first, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
chance, heard = random.Random(seed), queue.SimpleQueue()

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

journal = SqliteJournal(path, group_rows=chance.choice([1, 10, 1000]))
journal.begin(header(), resume=True, put=heard.put)
say("begun")
position, ticket, waiting = first, 0, {}
while True:
    count = chance.choice([1, 1, 3, 20])
    chunk = list(range(position, position + count))
    position += count
    ids = [b"%d" % number for number in chunk]
    ticket += 1
    journal.append(Record(ticket, lease=Lease(ticket, "w", ids, 1)))
    waiting[ticket] = ("started", chunk)
    ended, ticket = ticket, ticket + 1
    good = [entry(number, item_id, "v" * chance.choice([1, 300])) for number, item_id in zip(chunk, ids)]
    if count == 3:
        good[1] = (failed(chunk[1], ids[1]), b"")
    journal.append(Record(ticket, outcomes=good, ended=[ended]))
    waiting[ticket] = ("acknowledged", chunk)
    while len(waiting) > 6:
        event = heard.get()
        if isinstance(event, RunFailed):
            raise event.error
        for done in [number for number in waiting if number <= event.ticket]:
            word, numbers = waiting.pop(done)
            say(word, numbers[0], numbers[-1])
"""


@dataclass
class Told:
    """What the writers said before they were killed."""

    acknowledged: set[int] = field(default_factory=set)
    started: set[int] = field(default_factory=set)
    begun: int = 0
    high: int = 0

    def hear(self, text: str) -> None:
        for line in text.splitlines(keepends=True):
            words = line.split()
            if not line.endswith("\n") or len(words) == 0:
                continue  # the kill fell into the line
            if words[0] == "begun":
                self.begun += 1
                continue
            numbers = range(int(words[1]), int(words[2]) + 1)
            (self.acknowledged if words[0] == "acknowledged" else self.started).update(numbers)
            self.high = max(self.high, numbers[-1] + 1)


def live_and_die(path: Path, told: Told, chance: random.Random) -> None:
    command = [sys.executable, "-c", WRITER, str(path), str(told.high), str(chance.randrange(1 << 30))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
        assert writer.stdout
        assert writer.stderr
        heard = b""
        # From the very start now and then, otherwise from the moment that it writes.
        if chance.random() < 0.8:
            heard = writer.stdout.readline()
        try:
            writer.wait(chance.uniform(0, 0.15))
        except subprocess.TimeoutExpired:
            writer.kill()
        told.hear((heard + writer.stdout.read()).decode())
        errors = writer.stderr.read().decode()
    assert not errors, errors


def check(path: Path, told: Told) -> None:
    conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    doubles = conn.execute("SELECT item_id FROM outcome GROUP BY run_id, item_id HAVING count(*) > 1").fetchall()
    recorded = {row[0] for row in conn.execute("SELECT position FROM outcome")}
    conn.close()
    assert not doubles
    assert told.acknowledged <= recorded, "an acknowledged outcome is lost"
    # Higher than anything heard of: what was committed and died before it was said.
    told.high = max([told.high, *(number + 1 for number in recorded)])
    journal = SqliteJournal(path)  # free at once, although its owner was killed
    journal.begin(header(), resume=True, put=Heard().put)
    ids = [b"%d" % number for number in range(told.high)]
    known: dict[int, Known] = dict(journal.known(ids))
    journal.close(Summary(stopped="checked"))
    assert {number for number, found in known.items() if found.outcome is not None} == recorded
    lost_on_the_way = told.started - recorded
    assert all(known[number].interruptions > 0 for number in lost_on_the_way), "its lease was committed"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rounds", [15, pytest.param(100, marks=pytest.mark.chaos)], ids=["15 kills", "100 kills"])
def test_kill_at_random_moments(tmp_path: Path, rounds: int) -> None:
    seed = int(os.environ.get("RADDLE_SEED") or random.SystemRandom().randrange(1 << 30))
    print(f"RADDLE_SEED={seed}")
    chance, told, path = random.Random(seed), Told(), tmp_path / "runs.db"
    for _ in range(rounds):
        live_and_die(path, told, chance)
        if told.begun:
            check(path, told)
    assert told.acknowledged <= {row.position for row in History(path).outcomes(1)}
    print(
        f"{rounds} kills, {told.begun} after the session had begun, {len(told.acknowledged)} rows acknowledged, 0 lost"
    )
    assert told.begun > rounds // 2
    assert told.acknowledged
