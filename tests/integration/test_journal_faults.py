"""What a disk, a careless hand or a crowd can do to a journal: nothing acknowledged is lost in silence."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from raddle._model import Summary
from raddle._ports import Lease, Record
from raddle.errors import JournalDamaged, JournalError
from raddle.journal import SqliteJournal
from raddle.testing.faulty_disk import FaultyDisk
from raddle.testing.journal_suite import Heard, entry, failed, header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow

VALUES = {number: "v" * (number % 7) * (400 if number % 11 == 0 else 1) + str(number) for number in range(600)}


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("RADDLE_SEED") or random.SystemRandom().randrange(1 << 30))
    print(f"RADDLE_SEED={seed}")
    return random.Random(seed)


def rows_of(journal: SqliteJournal) -> dict[int, object]:
    known = journal.known([b"%d" % number for number in VALUES])
    return {number: found.outcome.value for number, found in known.items() if found.outcome is not None}


def resumed(path: Path) -> dict[int, object]:
    journal = SqliteJournal(path)
    try:
        journal.begin(header(), resume=True, put=Heard().put)
        return rows_of(journal)
    finally:
        journal.close(None)


# ------------------------------------------------------------------------------------------- the disk says no


def work(path: Path, acknowledged: set[int], count: int = 12) -> None:
    """Two sessions of a run; whatever goes wrong is raised."""
    for session in range(2):
        journal, heard = SqliteJournal(path, group_rows=4, checkpoint_pages=4), Heard()
        try:
            journal.begin(header(), resume=True, put=heard.put)
            rows_of(journal)
            for ticket in range(1, count // 2 + 1):
                number = session * count + 2 * ticket
                ids = [b"%d" % number, b"%d" % (number + 1)]
                pairs = [entry(each, b"%d" % each, VALUES[each]) for each in (number, number + 1)]
                journal.append(Record(2 * ticket, lease=Lease(ticket, "w", ids, 1)))
                journal.append(Record(2 * ticket + 1, outcomes=pairs, ended=[ticket]))
                heard.wait(2 * ticket + 1)
                acknowledged.update((number, number + 1))
            journal.close(Summary(source_ended=True))
        finally:
            journal.close(None)


FAULTS = [
    (sqlite3.SQLITE_FULL, "ENOSPC"),
    (sqlite3.SQLITE_IOERR_WRITE, "EIO"),
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize(("code", "name"), FAULTS, ids=[name for _, name in FAULTS])
@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.chaos)], ids=["some points", "every point"])
def test_the_nth_operation_fails(tmp_path: Path, code: int, name: str, for_ever: bool, step: int) -> None:
    """Like SQLite's own I/O error tests: n = 1, 2, ... until a run meets no fault."""
    told, unheard = 0, 0
    for point in range(1, 100_000, step):
        path, acknowledged = tmp_path / f"{point}.db", set[int]()
        with FaultyDisk(fail_at=point, code=code, for_ever=for_ever) as disk:
            try:
                work(path, acknowledged)
                unheard += bool(disk.failed)  # such as a checkpoint that can be done later
            except JournalError as error:
                told += 1
                text = str(error)
                assert f"journal={path}" in text
                assert "disk" in text or "check the permissions" in text, text
        found = resumed(path)
        assert acknowledged <= found.keys(), f"{name} at operation {point}: acknowledged outcomes are lost"
        assert all(VALUES[number] == value for number, value in found.items())
        if not disk.failed:
            break
    print(f"{name} for_ever={for_ever}: {point} points, {told} runs were told, {unheard} did without, 0 lost")
    assert told


# -------------------------------------------------------------------------------------------------- damaged files


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the journal of an orderly run."""
    folder = tmp_path_factory.mktemp("whole")
    journal, heard = SqliteJournal(folder / "runs.db"), Heard()
    journal.begin(header(), resume=True, put=heard.put)
    pairs = [entry(number, b"%d" % number, value) for number, value in VALUES.items()]
    journal.append(Record(1, outcomes=pairs))
    heard.wait(1)
    journal.close(Summary(source_ended=True))
    return folder


KILLED = """
import os, sys
from raddle.journal import SqliteJournal
from raddle._ports import Record
from raddle.testing.journal_suite import Heard, entry, header
journal, heard = SqliteJournal(sys.argv[1]), Heard()
journal.begin(header(sys.argv[2]), resume=True, put=heard.put)
for ticket in range(600):
    value = "v" * (ticket % 7) * (400 if ticket % 11 == 0 else 1) + str(ticket)
    journal.append(Record(ticket, outcomes=[entry(ticket, b"%d" % ticket, value)]))
    if ticket % 50 == 49:
        heard.wait(ticket)
heard.wait(599)
os.kill(os.getpid(), 9)
"""


def killed(folder: Path, name: str = "run") -> Path:
    """A folder with the journal of a run that was killed: most is in the -wal file."""
    folder.mkdir(exist_ok=True)
    subprocess.run([sys.executable, "-c", KILLED, str(folder / "runs.db"), name], check=False, timeout=60)
    assert (folder / "runs.db-wal").stat().st_size > 100_000
    return folder


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return killed(tmp_path_factory.mktemp("dead"))


def spoil(path: Path, chance: random.Random) -> str:
    size = path.stat().st_size
    place = chance.randrange(size)
    how = chance.choice(["flip", "flip", "zero", "truncate"])
    if how == "truncate":
        os.truncate(path, place)
        return f"{path.name} truncated to {place}"
    with path.open("r+b") as file:
        file.seek(place)
        if how == "flip":
            byte = file.read(1)[0] ^ (1 << chance.randrange(8))
            file.seek(place)
            file.write(bytes([byte]))
        else:
            file.write(bytes(min(chance.choice([1, 16, 512, 4096]), size - place)))
    return f"{path.name}: {how} at {place}"


def outcome_of_damage(folder: Path, source: Path, damage: Callable[[Path], str]) -> tuple[bool, str]:
    """Spoil a copy and open it: whether that was refused, and what was done."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    what = damage(folder)
    try:
        found = resumed(folder / "runs.db")
    except JournalDamaged:
        return True, what
    except JournalError as error:
        if "newer raddle" not in str(error):
            raise
        return True, what
    assert found == VALUES, f"{what}: not noticed, and {len(VALUES) - len(found)} outcomes are missing or wrong"
    return False, what


@pytest.mark.timeout(900)
@pytest.mark.parametrize("times", [60, pytest.param(1000, marks=pytest.mark.chaos)])
@pytest.mark.parametrize("state", ["whole", "dead"])
def test_damage_is_noticed_or_harmless(
    tmp_path: Path, request: pytest.FixtureRequest, chance: random.Random, state: str, times: int
) -> None:
    source: Path = request.getfixturevalue(state)
    refused = 0
    for _ in range(times):
        name = "runs.db" if state == "whole" else chance.choice(["runs.db", "runs.db-wal"])
        said_no, _ = outcome_of_damage(tmp_path / "copy", source, lambda folder: spoil(folder / name, chance))  # noqa: B023
        refused += said_no
    print(f"{times} damages of a {state} journal: {refused} refused, {times - refused} harmless, 0 unnoticed")
    assert refused > times // 10


def test_the_log_is_gone(tmp_path: Path, dead: Path) -> None:
    def remove(folder: Path) -> str:
        (folder / "runs.db-wal").unlink()
        return "-wal removed"

    assert outcome_of_damage(tmp_path / "copy", dead, remove)[0]
    # The way out that the message names.
    (tmp_path / "copy" / "runs.db.lock").unlink()
    assert len(resumed(tmp_path / "copy" / "runs.db")) < len(VALUES)


def test_the_log_of_another_journal(tmp_path: Path, dead: Path) -> None:
    other = killed(tmp_path / "other", "other run")

    def swap(folder: Path) -> str:
        shutil.copy(other / "runs.db-wal", folder / "runs.db-wal")
        return "-wal swapped"

    assert outcome_of_damage(tmp_path / "copy", dead, swap)[0]


def test_an_older_copy_is_noticed(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    before = (folder / "runs.db").read_bytes()
    journal, heard = SqliteJournal(folder / "runs.db"), Heard()
    journal.begin(header(), resume=True, put=heard.put)
    journal.append(Record(1, outcomes=[entry(1000, b"1000")]))
    heard.wait(1)
    journal.close(Summary())
    (folder / "runs.db").write_bytes(before)
    with pytest.raises(JournalDamaged, match=r"601 were written, it has 600.*older copy.*remove runs\.db\.lock"):
        resumed(folder / "runs.db")


def test_a_journal_removed_on_purpose_is_begun_anew(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    (folder / "runs.db").unlink()
    assert resumed(folder / "runs.db") == {}
    assert resumed(folder / "runs.db") == {}


def test_an_emptied_journal_is_not(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    os.truncate(folder / "runs.db", 0)
    with pytest.raises(JournalDamaged, match="600 were written, it has none"):
        resumed(folder / "runs.db")


def test_after_a_failure_of_the_disk_all_is_there(tmp_path: Path) -> None:
    path, heard = tmp_path / "runs.db", Heard()
    with FaultyDisk(fail_at=200, for_ever=True):
        journal = SqliteJournal(path, group_rows=1)
        journal.begin(header(), resume=True, put=heard.put)
        for ticket in range(600):
            pairs = [(failed(3, b"3"), b"")] if ticket == 3 else [entry(ticket, b"%d" % ticket, VALUES[ticket])]
            journal.append(Record(ticket, outcomes=pairs))
        with pytest.raises(JournalError, match=r"the disk is full: free some space"):
            heard.wait(599)
        journal.close(Summary())
    assert set(heard.tickets) <= resumed(path).keys() != VALUES.keys()


# ------------------------------------------------------------------------------------------------- many at a time

CROWD = """
import os, signal, sys, time
from raddle.errors import JournalLocked
from raddle.journal import SqliteJournal
from raddle.testing.journal_suite import Heard, header

def contend(path, go, say):
    os.read(go, 1)  # at end of file: all at once
    try:
        journal = SqliteJournal(path)
    except JournalLocked as error:
        os.write(say, b"locked\\n" if "in use by" in str(error) else b"wrong\\n")
    else:
        journal.begin(header(), resume=True, put=Heard().put)
        os.write(say, b"owner %d\\n" % os.getpid())
    signal.pause()

path, slowest = sys.argv[1], 0.0
for number in range(int(sys.argv[2])):
    (wait, go), (hear, say) = os.pipe(), os.pipe()
    crowd = []
    for _ in range(20):
        if (pid := os.fork()) == 0:
            os.close(go)
            contend(path, wait, say)
        crowd.append(pid)
    os.close(go)
    os.close(say)
    with os.fdopen(hear) as lines:
        said = sorted(lines.readline().strip() for _ in crowd)
        assert said[:19] == ["locked"] * 19 and said[19].startswith("owner "), said
        owner = int(said[19].split()[1])
        os.kill(owner, 9)
        os.waitpid(owner, 0)
        began = time.monotonic()
        SqliteJournal(path).close(None)
        slowest = max(slowest, time.monotonic() - began)
        for pid in crowd:
            if pid != owner:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
    os.close(wait)
print(slowest)
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("rounds", [3, pytest.param(200, marks=pytest.mark.chaos)])
def test_one_owner_of_many(tmp_path: Path, rounds: int) -> None:
    """20 processes start at once; the owner is killed, and the next start works at once."""
    command = [sys.executable, "-c", CROWD, str(tmp_path / "runs.db"), str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=800)
    assert done.returncode == 0, done.stderr
    print(
        f"{rounds} rounds of 20: one owner each; after its kill the next start took {float(done.stdout):.3f} s at most"
    )
    assert float(done.stdout) < 1
