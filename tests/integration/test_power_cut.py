"""Power cuts at random moments: with FULL nothing acknowledged is lost and nothing is broken.

Simulated is the disk alone (`raddle.testing.faulty_disk`): the journal, SQLite and its use of the file system are the
real ones. Of what was written since the last sync of its file, half is lost and a tenth torn, in any order.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from raddle._model import Summary
from raddle._ports import Lease, Record
from raddle.errors import JournalDamaged
from raddle.journal import SqliteJournal
from raddle.testing.faulty_disk import FaultyDisk
from raddle.testing.journal_suite import Heard, entry, failed, header

if TYPE_CHECKING:
    from pathlib import Path

    from raddle._events import Event

pytestmark = pytest.mark.slow


@dataclass
class Counts:
    cuts: int = 0
    acknowledged: int = 0
    losing: int = 0
    lost: int = 0
    corrupt: int = 0


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("RADDLE_SEED") or random.SystemRandom().randrange(1 << 30))
    print(f"RADDLE_SEED={seed}")
    return random.Random(seed)


def live(place: Path, chance: random.Random, synchronous: str) -> FaultyDisk:
    """Work through two sessions of a run on a disk that remembers; mark what was acknowledged when."""
    place.mkdir()
    path, position = place / "runs.db", 0
    with FaultyDisk() as disk:
        for _ in range(2):
            rows = chance.choice([1, 10, 1000])
            journal = SqliteJournal(path, group_rows=rows, checkpoint_pages=40, synchronous=synchronous)
            heard, waiting = Heard(), dict[int, range]()

            def put(event: Event, waiting: dict[int, range] = waiting, heard: Heard = heard) -> None:
                ticket = getattr(event, "ticket", -1)
                done = [number for number in list(waiting) if number <= ticket]
                # The lock file does not pass through SQLite; at the worst it is on the disk at once.
                disk.mark(([waiting.pop(number) for number in done], path.with_name("runs.db.lock").read_bytes()))
                heard.put(event)

            journal.begin(header(), resume=True, put=put)
            for ticket in range(1, 41):
                chunk = range(position, position + chance.choice([1, 1, 5, 40]))
                position = chunk.stop
                ids = [b"%d" % number for number in chunk]
                outcomes = [entry(number, b"%d" % number, "v" * chance.choice([1, 50, 6000])) for number in chunk]
                if len(chunk) == 5:
                    outcomes[2] = (failed(chunk[2], ids[2]), b"")
                waiting[2 * ticket] = chunk
                journal.append(Record(2 * ticket - 1, lease=Lease(ticket, "w", ids, 1)))
                journal.append(Record(2 * ticket, outcomes=outcomes, ended=[ticket]))
                if chance.random() < 0.7:
                    heard.wait(2 * ticket)
            journal.close(Summary(source_ended=True) if chance.random() < 0.5 else None)
    return disk


def check(place: Path, marks: list[tuple[list[range], bytes]], counts: Counts) -> None:
    acknowledged = sorted({number for chunks, _ in marks for chunk in chunks for number in chunk})
    if marks:
        (place / "runs.db.lock").write_bytes(marks[-1][1])
    counts.cuts += 1
    counts.acknowledged += len(acknowledged)
    journal = SqliteJournal(place / "runs.db")
    try:
        journal.begin(header(), resume=True, put=Heard().put)  # looks through all pages
        known = journal.known([b"%d" % number for number in acknowledged])
    except JournalDamaged as error:
        print(error)
        counts.corrupt += 1
        return
    finally:
        journal.close(None)
    found = sum(entry.outcome is not None for entry in known.values())
    counts.lost += len(acknowledged) - found
    counts.losing += found < len(acknowledged)


def cut_often(place: Path, chance: random.Random, workloads: int, cuts: int, synchronous: str = "FULL") -> Counts:
    counts = Counts()
    for workload in range(workloads):
        disk = live(place / f"{workload}", chance, synchronous)
        for number in range(cuts):
            folder = place / f"{workload}-{number}"
            folder.mkdir()
            check(folder, disk.cut(chance.randrange(len(disk.operations) + 1), folder, chance), counts)
    print(f"synchronous={synchronous}: {counts}")
    return counts


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("workloads", "cuts"), [(2, 20), pytest.param(25, 40, marks=pytest.mark.chaos)], ids=["40 cuts", "1000 cuts"]
)
def test_nothing_acknowledged_is_lost(tmp_path: Path, chance: random.Random, workloads: int, cuts: int) -> None:
    counts = cut_often(tmp_path, chance, workloads, cuts)
    assert counts.cuts == workloads * cuts
    assert counts.acknowledged > counts.cuts
    assert (counts.lost, counts.corrupt) == (0, 0)


def test_less_than_full_loses(tmp_path: Path, chance: random.Random) -> None:
    """So the test above would notice."""
    counts = cut_often(tmp_path, chance, 2, 15, "NORMAL")
    assert counts.lost > 0
    assert counts.corrupt == 0
