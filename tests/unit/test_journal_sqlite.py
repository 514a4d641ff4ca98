"""What is particular to the journal in a file: where it may lie, what it refuses, how it breaks, what people read."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sqlite3
import struct
import subprocess
import sys
import threading
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from raddle._events import Recorded
from raddle._model import Status, Summary
from raddle._ports import Lease, Record
from raddle.errors import ConfigError, JournalDamaged, JournalError, JournalLocked
from raddle.journal import SqliteJournal, _explain, _lock, _rows, _sql
from raddle.journal.history import History
from raddle.testing.journal_suite import Heard, entry, failed, header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raddle._events import Event


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def fill(path: Path, count: int = 50, *, value: object = "v", **options: Any) -> None:
    """Leave a journal with a run of so many items, in an orderly way."""
    journal, heard = SqliteJournal(path, **options), Heard()
    journal.begin(header(), resume=True, put=heard.put)
    journal.append(Record(1, outcomes=[entry(number, b"%d" % number, value) for number in range(count)]))
    heard.wait(1)
    journal.close(Summary(admitted=count, ok=count, source_ended=True))


def begin_error(path: Path) -> JournalError:
    journal = SqliteJournal(path)
    try:
        with pytest.raises(JournalError) as caught:
            journal.begin(header(), resume=True, put=Heard().put)
    finally:
        journal.close(None)
    return caught.value


# ------------------------------------------------------------------------------------------------ where it may lie


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"folder .*missing does not exist: make it first"):
        SqliteJournal(tmp_path / "missing" / "runs.db")


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"is a folder: give the path of a file"):
        SqliteJournal(tmp_path)


def test_a_pipe(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(JournalError, match="not a regular file"):
        SqliteJournal(path)


def test_hard_links_are_refused(path: Path) -> None:
    fill(path)
    path.with_name("twin.db").hardlink_to(path)
    with pytest.raises(JournalError, match=r"hard links.*remove the others"):
        SqliteJournal(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(JournalError, match="not writable: use another path"):
        SqliteJournal(tmp_path / "runs.db")


MOUNTINFO = r"""
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 21 0:20 / /proc rw,nosuid - proc proc rw
30 21 0:40 / /home rw shared:2 master:3 - nfs4 server:/home rw,vers=4.2
31 30 0:41 / /home/local rw - ext4 /dev/vdb rw
32 21 0:42 / /mnt/with\040space rw - fuse.sshfs me@host: rw
33 21 0:43 / /over rw - ext4 /dev/vdc rw
34 33 0:44 / /over rw - 9p share rw
not a line of it
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/homer", "ext4"),
        ("/home", "nfs4"),
        ("/home/me/deep", "nfs4"),
        ("/home/local/x", "ext4"),
        ("/mnt/with space/x", "fuse.sshfs"),
        ("/over/x", "9p"),
    ],
)
def test_the_file_system_of_a_folder(folder: str, kind: str) -> None:
    assert _lock.filesystem_type(Path(folder), MOUNTINFO) == kind


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_network_file_systems_are_refused(kind: str, path: Path) -> None:
    with pytest.raises(JournalError, match=rf"network file system \({kind}\).*use a path on a local disk"):
        _lock.check_place(path, mountinfo=f"1 0 0:1 / / rw - {kind} somewhere rw")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_rows": 0}, r"group_rows=0 .*give 1 or more"),
        ({"checkpoint_pages": 0}, r"checkpoint_pages=0 .*give 1 or more"),
        ({"resume_window": 0}, r"resume_window=0 .*give 1 or more"),
        ({"group_seconds": -1}, r"group_seconds=-1 .*give 0 or more"),
        ({"synchronous": "full"}, r"synchronous='full' .*give one of EXTRA, FULL"),
    ],
)
def test_options_out_of_range(path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SqliteJournal(path, **options)


def test_a_name_that_is_not_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff ?#%00.db"))
    fill(path)
    assert len(list(History(path).outcomes(1))) == 50


def test_the_constructor_starts_and_opens_nothing(path: Path) -> None:
    before = threading.active_count()
    journal = SqliteJournal(path)
    assert threading.active_count() == before
    assert not path.exists()
    assert os.fstat(journal.lock_fd).st_ino == path.with_name("runs.db.lock").stat().st_ino
    journal.close(None)


# ------------------------------------------------------------------------------------------------------- the lock


OWNER = """
import sys
from raddle.journal import SqliteJournal
journal = SqliteJournal(sys.argv[1])
if "fork" in sys.argv:
    import os, time
    child = os.fork()
    if child == 0:
        sys.stdin.close(); time.sleep(600)
    print(child)
print("ready", flush=True)
sys.stdin.read()
"""


def own(path: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OWNER, str(path), *options]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def read_line(owner: subprocess.Popen[str]) -> str:
    assert owner.stdout
    return owner.stdout.readline().strip()


def test_one_owner_at_a_time_and_none_after_kill(path: Path) -> None:
    with own(path) as owner:
        assert read_line(owner) == "ready"
        with pytest.raises(JournalLocked, match=rf"in use by pid {owner.pid} since \d{{4}}-\d\d-\d\dT.*: wait, or use"):
            SqliteJournal(path)
        owner.kill()
        owner.wait()
        SqliteJournal(path).close(None)


def test_a_forked_worker_keeps_the_journal_locked(path: Path) -> None:
    with own(path, "fork") as owner:
        orphan = int(read_line(owner))
        assert read_line(owner) == "ready"
        owner.kill()
        owner.wait()
        try:
            with pytest.raises(JournalLocked, match=rf"a worker that pid {owner.pid} \(gone.*left behind: wait until"):
                SqliteJournal(path)
        finally:
            os.kill(orphan, 9)
        for _ in range(500):
            try:
                SqliteJournal(path).close(None)
                break
            except JournalLocked:
                threading.Event().wait(0.01)  # the orphan is not our child: nothing tells when it is gone
        else:
            pytest.fail("still locked")


def test_this_process_is_named_as_such(path: Path) -> None:
    journal = SqliteJournal(path)
    link = path.with_name("link.db")
    link.symlink_to(path)
    for name in (path, link):
        with pytest.raises(JournalLocked, match=r"this process.*close that run first"):
            SqliteJournal(name)
    journal.close(None)
    assert path.with_name("runs.db.lock").exists(), "removing it would let two processes hold the lock"
    SqliteJournal(path).close(None)


def test_a_forked_child_does_not_touch_it(path: Path) -> None:
    program = """
import os, sys
from raddle.errors import JournalError
from raddle.journal import SqliteJournal
from raddle.testing.journal_suite import Heard, entry, header
from raddle._ports import Record
journal, heard = SqliteJournal(sys.argv[1]), Heard()
journal.begin(header(), resume=True, put=heard.put)
child = os.fork()
if child == 0:
    try:
        journal.append(Record(1))
    except JournalError as error:
        print(error, flush=True)
    journal.close(None)
    os._exit(0)
os.waitpid(child, 0)
journal.append(Record(2, outcomes=[entry(0, b"a")]))
heard.wait(2)
try:
    SqliteJournal(sys.argv[1])
except JournalError as error:
    print(error, flush=True)
journal.close(None)
"""
    # DeprecationWarning on 3.12 and later: forking beside a thread is what the test is about.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert re.search(r"belongs to pid \d+: a forked process must not use it\n.*in use by pid", done.stdout), done
    assert len(list(History(path).outcomes(1))) == 1


def test_use_out_of_order(path: Path) -> None:
    journal = SqliteJournal(path)
    with pytest.raises(JournalError, match=r"call begin\(\) first"):
        journal.append(Record(1))
    assert journal.known([b"a"]) == {}
    journal.begin(header(), resume=True, put=Heard().put)
    with pytest.raises(JournalError, match="make a new SqliteJournal for each run"):
        journal.begin(header(), resume=True, put=Heard().put)
    journal.close(None)
    with pytest.raises(JournalError, match="is closed: make a new SqliteJournal"):
        journal.begin(header(), resume=True, put=Heard().put)
    with pytest.raises(JournalError, match=r"call begin\(\) first"):
        journal.append(Record(1))
    assert not [thread for thread in threading.enumerate() if thread.name == "raddle-journal"]


# ------------------------------------------------------------------------------------------------ what is refused


def test_another_programs_database(path: Path) -> None:
    with sqlite3.connect(path) as conn:
        conn.execute("CREATE TABLE cookies (x)")
    conn.close()
    before = path.read_bytes()
    error = begin_error(path)
    assert isinstance(error, JournalDamaged)
    assert re.search(r"another program \(application_id=0x0, tables: cookies\): give .* path of its own", str(error))
    assert path.read_bytes() == before
    with pytest.raises(JournalDamaged, match="another program"):
        History(path).runs()


def test_a_text_file(path: Path) -> None:
    path.write_text("dear diary, " * 1000)
    error = begin_error(path)
    assert isinstance(error, JournalDamaged)
    assert re.search(r"not a journal \(file is not a database\): keep a copy.*with another journal", str(error))
    assert path.read_text().startswith("dear diary")


@pytest.mark.parametrize("size", [1, 10, 100, 1000, 4096, 5000, 8192])
def test_a_truncated_file(path: Path, size: int) -> None:
    fill(path, 500)
    os.truncate(path, size)
    for file in path.parent.glob("runs.db-*"):
        file.unlink()
    error = begin_error(path)
    assert isinstance(error, JournalDamaged), error
    assert "recover" in str(error)
    assert path.stat().st_size == size, "never started over silently"


def test_an_emptied_file_beside_its_log(path: Path) -> None:
    fill(path)
    os.truncate(path, 0)
    path.with_name("runs.db-wal").write_bytes(b"x" * 5000)
    error = begin_error(path)
    assert isinstance(error, JournalDamaged)
    assert "the file is empty, but runs.db-wal is not" in str(error)


def test_damage_within_a_page(path: Path) -> None:
    fill(path, 2000)
    data = bytearray(path.read_bytes())
    for page in range(8, len(data) // 4096):
        data[page * 4096 : page * 4096 + 12] = b"\xee" * 12
    path.write_bytes(data)
    assert isinstance(begin_error(path), JournalDamaged)


def test_a_newer_version(path: Path) -> None:
    fill(path)
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA user_version = 99")
    conn.close()
    message = r"newer raddle \(version 99, this one knows 3\): upgrade raddle"
    assert re.search(message, str(begin_error(path)))
    with pytest.raises(JournalError, match=message):
        History(path).runs()


def test_an_empty_file_is_a_new_journal(path: Path) -> None:
    path.touch()
    with pytest.raises(JournalError, match="holds no run yet"):
        History(path).runs()
    fill(path)
    assert len(History(path).runs()) == 1


def test_refusal_leaves_the_journal_free(path: Path) -> None:
    path.write_text("dear diary, " * 1000)
    begin_error(path)
    path.unlink()
    fill(path)


# ------------------------------------------------------------------------------------------------------ its inside


def test_schema_sql_is_what_the_migrations_add_up_to() -> None:
    def schema(*scripts: str) -> list[tuple[str, str, str]]:
        conn = sqlite3.connect(":memory:")
        for script in scripts:
            conn.executescript(script)
        rows = conn.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
        conn.close()
        # ALTER TABLE adds columns to the text in its own way.
        return [(kind, name, re.sub(r"\s*([,()])\s*|\s+", r" \1 ", sql or "")) for kind, name, sql in rows]

    told = files("raddle.journal").joinpath("schema.sql").read_text()
    assert schema(told) == schema(*_sql._migrations())


def test_every_query_is_used_and_prepared(path: Path) -> None:
    fill(path)
    source = "".join(file.read_text() for file in Path(_sql.__file__).parent.glob("*.py"))
    conn = sqlite3.connect(path)
    for name in _sql._queries():
        assert f'"{name}"' in source, f"{name} is not used"
        text = _sql.query(name, 3)
        assert "{" not in text
        conn.execute(f"EXPLAIN {text}", [None] * text.count("?"))
    conn.close()


def test_the_file_is_set_up_as_promised(path: Path) -> None:
    journal, heard = SqliteJournal(path), Heard()
    journal.begin(header(), resume=True, put=heard.put)
    conn = sqlite3.connect(path)
    found = {name: conn.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")}
    found["journal_mode"] = conn.execute("PRAGMA journal_mode").fetchone()[0]
    strict = conn.execute("SELECT min(strict) FROM pragma_table_list WHERE schema = 'main' AND type = 'table' "
                          "AND name NOT LIKE 'sqlite%'").fetchone()[0]  # fmt: skip
    conn.close()
    journal.close(None)
    assert found == {"application_id": struct.unpack(">I", b"radl")[0], "user_version": 3, "journal_mode": "wal"}
    assert strict == 1


def test_the_connection_is_set_up_as_promised(path: Path) -> None:
    conn = _sql.connect_writer(path, synchronous="FULL")
    names = ["synchronous", "foreign_keys", "cell_size_check", "trusted_schema", "busy_timeout", "journal_size_limit"]
    found = {name: conn.execute(f"PRAGMA {name}").fetchone()[0] for name in names}
    conn.close()
    assert found == dict(zip(names, [2, 1, 1, 0, 10_000, 64 << 20], strict=True))


OLD_ROWS = (
    """
INSERT INTO run VALUES (1, 'uid1', 'run', 'module:func', '1', '3.11', 4, 'threads', 2, 1e9, NULL, 'running', NULL);
INSERT INTO run VALUES (2, 'uid2', 'other', 'module:func', '1', '3.11', 4, 'threads', 2, 1e9, 2e9, 'ended', '{}');
INSERT INTO session VALUES (1, 1, 1e9, NULL, 1, 'h'), (2, 2, 1e9, NULL, 1, 'h'), (3, 1, 1e9, NULL, 1, 'h'),
    (4, 1, 1e9, NULL, 1, 'h');
INSERT INTO outcome (id, run_id, session_id, item_id, occurrence, position, label, status, attempts, started, seconds,
    worker, value_size, value, error_type) VALUES
    (1, 1, 1, 'a', 0, 0, '0', 'ok', 1, 1e9, 0.5, 'w', 5, X'80044B012E', NULL),
    (2, 1, 1, 'b', 0, 1, '1', 'failed', 3, 1e9, 0.5, 'w', 0, NULL, 'ValueError'),
    (5, 2, 2, 'a', 0, 0, '0', 'ok', 1, 1e9, 0.5, 'w', 5, X'80044B072E', NULL),
    (6, 1, 3, 'a', 1, 2, '2', 'ok', 1, 1e9, 0.5, 'w', 5, X'80044B022E', NULL);
INSERT INTO attempt (run_id, session_id, item_id, attempt, status, worker) VALUES (1, 1, 'c', 1, 'interrupted', 'w');
INSERT INTO lease VALUES (4, 0, 'w', 1, 1e9, X'010000000100000063');
""".replace("'a', ", "X'61', ")
    .replace("'b', ", "X'62', ")
    .replace("'c', ", "X'63', ")
)


def test_an_older_journal_is_brought_up_to_date(path: Path) -> None:
    conn = sqlite3.connect(path)
    conn.executescript(f"PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON; {_sql._migrations()[0]} {OLD_ROWS}")
    conn.execute(f"PRAGMA application_id={_sql.APPLICATION_ID}")
    conn.execute("PRAGMA user_version=1")
    conn.close()
    with pytest.raises(JournalError, match=r"written by an older raddle: the next run with it brings it up to date"):
        History(path).runs()
    journal = SqliteJournal(path)
    assert journal.begin(header(), resume=True, put=Heard().put) == "uid1"
    known = journal.known([b"c", b"b", b"a", b"a", b"a"])
    journal.close(None)
    assert known[0].interruptions == 2
    outcomes = [known[offset].outcome for offset in (1, 2, 3)]
    assert [(each.status.value, each.value) for each in outcomes if each] == [("failed", None), ("ok", 1), ("ok", 2)]
    assert 4 not in known
    history = History(path)
    assert [(run.name, run.command, history.counts(run.id)) for run in history.runs()] == [
        ("run", "", {Status.OK: 2, Status.FAILED: 1}),
        ("other", "", {Status.OK: 1}),
    ]
    assert [row.load() for row in history.outcomes(1)] == [1, None, 2]
    conn = sqlite3.connect(path)
    firsts = [row[0] for row in conn.execute("SELECT first_outcome FROM session ORDER BY id")]
    conn.close()
    assert firsts == [1, 3, 4, 5, 5]


def test_readers_cannot_write(path: Path) -> None:
    fill(path)
    conn = _sql.connect_reader(path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        conn.execute("DELETE FROM outcome")
    conn.close()


def test_committed_before_it_is_said(path: Path) -> None:
    """Kills find this out only by luck: look, at the moment that it is said, with the eyes of another connection."""
    journal, heard, seen = SqliteJournal(path, group_rows=7), Heard(), []

    def put(event: Event) -> None:
        assert isinstance(event, Recorded)
        conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        seen.append((event.ticket, conn.execute("SELECT max(position) FROM outcome").fetchone()[0]))
        conn.close()
        heard.put(event)

    journal.begin(header(), resume=True, put=put)
    for ticket in range(50):
        journal.append(Record(ticket, outcomes=[entry(ticket, b"%d" % ticket)]))
    heard.wait(49)
    journal.close(None)
    assert all(recorded >= ticket for ticket, recorded in seen)


def test_the_log_is_folded_in_at_the_end(path: Path) -> None:
    fill(path, 1000)
    wal = path.with_name("runs.db-wal")
    assert not wal.exists() or wal.stat().st_size == 0


def test_records_that_pile_up_are_committed_together(path: Path) -> None:
    journal, heard = SqliteJournal(path, group_rows=100), Heard()
    journal.begin(header(), resume=True, put=heard.put)
    for ticket in range(2000):
        journal.append(Record(ticket, outcomes=[entry(ticket, b"%d" % ticket)]))
    heard.wait(1999)
    journal.close(None)
    assert len(heard.tickets) < 1000


def test_a_guilty_record_does_not_take_others_with_it(path: Path) -> None:
    journal, heard = SqliteJournal(path), Heard()
    journal.begin(header(), resume=True, put=heard.put)
    for ticket in range(100):
        outcome, stored = entry(ticket, b"%d" % ticket)
        guilty = ticket == 50
        journal.append(Record(ticket, outcomes=[(outcome._replace(id=None) if guilty else outcome, stored)]))
    with pytest.raises(JournalError, match=r"NOT NULL constraint failed: outcome\.item_id"):
        heard.wait(99)
    journal.close(None)
    assert [row.position for row in History(path).outcomes(1)] == list(range(50))


def test_a_big_value_gets_a_file_of_its_own(path: Path) -> None:
    for _ in range(2):
        fill(path, 3, value="x" * 5000, inline_bytes=4000)
    folder = path.with_name("runs.db.values")
    (file,) = folder.iterdir()
    assert file.stat().st_size > 5000
    rows = list(History(path).outcomes(1))
    assert {row.load() for row in rows} == {"x" * 5000}
    file.write_bytes(b"y" + file.read_bytes()[1:])
    with pytest.raises(JournalError, match="damaged: its size or digest is wrong"):
        rows[0].load()
    file.unlink()
    with pytest.raises(JournalError, match="cannot be read"):
        rows[0].load()
    journal = SqliteJournal(path, inline_bytes=4000)
    journal.begin(header(), resume=True, put=Heard().put)
    assert journal.known([b"0", b"1"]) == {}, "run again"
    journal.close(None)


def test_a_reader_in_a_transaction_does_not_stop_the_writer(path: Path) -> None:
    fill(path)
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM outcome").fetchone() == (50,)
    journal, heard = SqliteJournal(path), Heard()
    journal.begin(header(), resume=True, put=heard.put)
    journal.append(Record(1, outcomes=[entry(99, b"new")]))
    heard.wait(1)
    journal.close(Summary())
    assert reader.execute("SELECT count(*) FROM outcome").fetchone() == (50,)
    reader.close()
    assert History(path).counts(1) == {Status.OK: 51}


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full: free some space"),
        (ValueError("x"), "what was recorded before is safe"),
    ],
)
def test_errors_say_what_to_do(error: Exception, hint: str) -> None:
    assert hint in str(_explain.explain(Path("runs.db"), error))


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (sqlite3.SQLITE_FULL, "the disk is full: free some space"),
        (4874, "the disk is full: free some space"),
        (sqlite3.SQLITE_IOERR_WRITE, "the disk failed or is full"),
        (sqlite3.SQLITE_READONLY, "check the permissions"),
        (sqlite3.SQLITE_BUSY, "end that program"),
        (sqlite3.SQLITE_CORRUPT, "recover"),
        (sqlite3.SQLITE_TOOBIG, "return a file name instead"),
    ],
)
def test_errors_of_sqlite_say_what_to_do(code: int, hint: str) -> None:
    error = sqlite3.OperationalError("text of SQLite")
    error.sqlite_errorcode = code
    text = str(_explain.explain(Path("runs.db"), error))
    assert hint in text
    assert "text of SQLite" in text


# ------------------------------------------------------------------------------------------------------- disk full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_disk_full(small_disk: Path) -> None:
    path = small_disk / "runs.db"
    journal, heard = SqliteJournal(path, group_rows=1), Heard()
    journal.begin(header(), resume=True, put=heard.put)
    for ticket in range(2000):
        journal.append(Record(ticket, outcomes=[entry(ticket, b"%d" % ticket, "v" * 4000)]))
    with pytest.raises(JournalError, match=r"the disk is full: free some space.*resume=True"):
        heard.wait(1999)
    journal.append(Record(3000, outcomes=[entry(3000, b"3000")]))
    journal.close(Summary())
    recorded = heard.tickets[-1] + 1
    assert recorded > 10
    assert recorded not in heard.tickets
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    journal = SqliteJournal(path)
    journal.begin(header(), resume=True, put=heard.put)
    known = journal.known([b"%d" % number for number in range(recorded)])
    journal.close(Summary())
    assert list(known) == list(range(recorded)), "no acknowledged outcome is lost"


def test_a_disk_that_is_full_from_the_start(small_disk: Path) -> None:
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
    assert "the disk is full: free some space" in str(begin_error(small_disk / "runs.db"))


def limited(path: Path) -> int:
    """Record until the file system says no; print how many were acknowledged."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    journal, heard = SqliteJournal(path, group_rows=1), Heard()
    journal.begin(header(), resume=True, put=heard.put)
    for ticket in range(2000):
        journal.append(Record(ticket, outcomes=[entry(ticket, b"%d" % ticket, "v" * 4000)]))
    with pytest.raises(JournalError, match=r"disk (is full|failed or is full).*resume=True"):
        heard.wait(1999)
    journal.close(Summary())
    return heard.tickets[-1] + 1


def test_file_size_limit(path: Path) -> None:
    """RLIMIT_FSIZE stands in for a full disk where nothing can be mounted."""
    program = (
        "import sys, importlib.util as u; from pathlib import Path; s = u.spec_from_file_location('t', sys.argv[1])"
    )
    program += "; m = u.module_from_spec(s); s.loader.exec_module(m); print(m.limited(Path(sys.argv[2])))"
    command = [sys.executable, "-c", program, __file__, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    acknowledged = int(done.stdout)
    assert acknowledged > 10
    journal = SqliteJournal(path)
    journal.begin(header(), resume=True, put=Heard().put)
    assert len(journal.known([b"%d" % number for number in range(acknowledged)])) == acknowledged
    journal.close(None)


# --------------------------------------------------------------------------------------------------------- history


def test_history_of_nothing(path: Path) -> None:
    with pytest.raises(JournalError, match=r"does not exist: check the path, or start a run with it first"):
        History(path).runs()
    assert not path.exists()


def test_history(path: Path) -> None:
    journal, heard = SqliteJournal(path), Heard()
    uid = journal.begin(header("first", total=6, version=""), resume=False, put=heard.put)
    history = History(path)
    bad = [failed(3, b"d"), failed(4, b"e"), failed(5, b"f", Status.TIMED_OUT, text="late")]
    journal.append(Record(1, lease=Lease(0, "w", [b"x"], 1), retried=[failed(0, b"a")]))
    journal.append(Record(2, outcomes=[entry(number, b"%d" % number, [number]) for number in range(3)]))
    journal.append(Record(3, outcomes=[(outcome, b"") for outcome in bad], ended=[0]))
    heard.wait(3)
    (run,) = history.runs()
    assert (run.uid, run.name, run.state, run.total, run.pid) == (uid, "first", "running", 6, os.getpid())
    assert history.counts(run.id) == {Status.OK: 3, Status.FAILED: 2, Status.TIMED_OUT: 1}
    assert history.earlier_attempts(run.id) == {"failed": 1}
    journal.close(Summary(name="first", admitted=6, ok=3, failed=2, timed_out=1, source_ended=True))

    rows = list(history.outcomes(run.id))
    assert [row.position for row in rows] == list(range(6))
    assert [row.load() for row in rows] == [[0], [1], [2], None, None, None]
    assert rows[3].label == "'item 3'"
    assert rows[3].key == "'key'"
    assert (rows[3].error_type, rows[3].error_message) == ("ValueError", "broken")
    assert abs(rows[0].started - run.created) < 60
    assert [row.position for row in history.outcomes(run.id, status="failed")] == [3, 4]
    assert [row.position for row in history.outcomes(run.id, status=Status.OK, limit=2)] == [0, 1]
    assert [row.position for row in history.outcomes(run.id, after=rows[3].id, limit=1)] == [4]
    assert list(history.outcomes(99)) == []
    groups = [(group.status, group.count, group.example_message) for group in history.failures(run.id)]
    assert groups == [(Status.FAILED, 2, "broken"), (Status.TIMED_OUT, 1, "late")]
    ended = history.run(uid)
    assert ended is not None
    assert ended.state == "ended"
    assert ended.summary is not None
    assert ended.summary["failed"] == 2


def test_history_finds_runs(path: Path) -> None:
    uids = []
    for name in ("a", "b", "a", "1"):
        journal = SqliteJournal(path)
        uids.append(journal.begin(header(name), resume=False, put=Heard().put))
        journal.close(Summary(stopped="asked"))
    history = History(path)
    assert [run.uid for run in history.runs()] == uids
    found = [history.run(wanted) for wanted in ("a", uids[0], 2, "2", "1", "c", "9" * 30)]
    assert [run and run.uid for run in found] == [uids[2], uids[0], uids[1], uids[1], uids[3], None, None]
    assert {run.state for run in history.runs()} == {"stopped"}


def test_history_keeps_what_was_run_again(path: Path) -> None:
    command = '{"argv": ["map", "f"], "cwd": "/"}'
    for retry in (False, True):
        journal, heard = SqliteJournal(path), Heard()
        journal.begin(header(command="" if retry else command), resume=True, put=heard.put, retry_failed=retry)
        assert journal.known([b"a", b"b"]).keys() <= {1}
        ending = entry(0, b"a", "mended") if retry else (failed(0, b"a", attempts=2), b"")
        journal.append(Record(1, outcomes=[ending, *([] if retry else [entry(1, b"b")])]))
        heard.wait(1)
        journal.close(Summary(source_ended=True))
    history = History(path)
    (run,) = history.runs()
    assert run.command == command
    assert history.counts(1) == {Status.OK: 2}
    assert history.earlier_attempts(1) == {"failed": 1}
    assert [(row.position, row.load()) for row in history.outcomes(1)] == [(1, None), (0, "mended")]


def test_history_tells_runs_apart_whose_rows_are_mixed(path: Path) -> None:
    for session, name in enumerate(["a", "b", "a", "b", "a"]):
        journal, heard = SqliteJournal(path), Heard()
        journal.begin(header(name), resume=True, put=heard.put)
        journal.append(Record(1, outcomes=[entry(10 + session, b"%d" % session), (failed(session, b"f"), b"")]))
        heard.wait(1)
        journal.close(Summary())
    history = History(path)
    assert [history.counts(run.id) for run in history.runs()] == [
        {Status.OK: 3, Status.FAILED: 3},
        {Status.OK: 2, Status.FAILED: 2},
    ]
    assert [row.position for row in history.outcomes(2)] == [11, 1, 13, 3]
    assert [row.position for row in history.outcomes(1, status="failed", after=2)] == [2, 4]


def test_a_value_changed_by_the_disk_is_not_given_out(path: Path) -> None:
    fill(path, 3, value="x" * 100)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"x" * 100, b"x" * 99 + b"y", 1))
    with pytest.raises(JournalDamaged, match=r"row \d+ of outcome is not what was written.*recover"):
        [row.load() for row in History(path).outcomes(1)]
    journal = SqliteJournal(path)
    journal.begin(header(), resume=True, put=Heard().put)
    with pytest.raises(JournalDamaged, match=r"row \d+ of outcome is not what was written.*recover"):
        journal.known([b"0", b"1", b"2"])
    journal.close(None)


def test_history_pages_through_many(path: Path) -> None:
    fill(path, 2500)
    history = History(path)
    assert [row.position for row in history.outcomes(1)] == list(range(2500))
    assert len(list(history.outcomes(1, limit=2100))) == 2100
    rows = history.outcomes(1)
    next(rows)
    fill(path, 2500)  # nothing is held open between pages: the journal can be used, and its log be folded in


def test_history_where_nothing_can_be_written(small_disk: Path) -> None:
    path = small_disk / "runs.db"
    fill(path, 10)
    for left in small_disk.glob("runs.db-*"):
        left.unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert History(path).counts(1) == {Status.OK: 10}
    with pytest.raises(JournalError, match=r"not writable"):
        SqliteJournal(path)


def test_a_run_that_was_killed_shows_as_interrupted(path: Path) -> None:
    program = OWNER.replace("if ", "from raddle.testing.journal_suite import Heard, header\n"
                            "journal.begin(header(), resume=True, put=Heard().put)\nif ", 1)  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdin=-1, stdout=-1, text=True) as owner:
        assert read_line(owner) == "ready"
        assert History(path).runs()[0].state == "running"
        owner.kill()
        owner.wait()
    assert History(path).runs()[0].state == "interrupted"


# ------------------------------------------------------------------------------------------------------------ rows


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        ("\udc80", r"'\udc80'"),
        (10**5000, "<int of 16610 bits>"),
        (1.5, "1.5"),
        (True, "True"),
        (b"\0", r"b'\x00'"),
        ([1] * 100, "[1, 1, 1, 1, 1, 1, 1, 1, ...]"),
    ],
    ids=["text", "surrogate", "huge", "float", "bool", "bytes", "list"],  # pytest itself fails on the huge one
)
def test_labels(value: object, text: str) -> None:
    assert _rows.short(value) == text


@pytest.mark.parametrize("value", ["x" * 1000, b"x" * 1000, ["x" * 1000] * 10, "é\udc80" * 1000, {"k" * 300: 1}])
def test_labels_are_short(value: object) -> None:
    assert len(_rows.short(value)) <= 200


@pytest.mark.parametrize("ids", [[], [b""], [b"", b"a", b"", b"bc" * 1000], [b"\0" * 16] * 3])
def test_packed_ids(ids: list[bytes]) -> None:
    assert _rows.unpack(_rows.pack(ids)) == ids
