"""G13: what cannot work is refused before the source is read and before anything runs, with the remedy."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import kit
import pytest

if TYPE_CHECKING:
    from pathlib import Path


def foreign_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE theirs (x)")


def other_application(path: Path) -> None:
    foreign_database(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA application_id = 1234")


def text_file(path: Path) -> None:
    path.write_text("not a database, but somebody's notes\n" * 100)


def torn(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)


def linked(path: Path) -> None:
    path.write_bytes(b"")
    path.with_name("other").hardlink_to(path)


@pytest.mark.parametrize(
    ("make", "where", "hint"),
    [
        (None, "missing/runs.db", "make it first"),
        (lambda path: path.mkdir(), "runs.db", "is a folder"),
        (text_file, "runs.db", "damaged or not a journal"),
        (torn, "runs.db", "journal="),
        (foreign_database, "runs.db", "journal="),
        (other_application, "runs.db", "journal="),
        (os.mkfifo, "runs.db", "not a regular file"),
        (linked, "runs.db", "hard links"),
    ],
    ids=["no-folder", "folder", "text", "torn", "foreign", "other-application", "fifo", "hard-link"],
)
def test_a_bad_journal_is_refused_before_the_first_item(make: Any, where: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / where
    if make is not None:
        make(path)
    before = path.read_bytes() if path.is_file() else b""
    log = tmp_path / "ran"
    answer = kit.run("refused", log=str(log), arguments={"journal": str(path), "backend": "processes"})
    assert answer["kind"] in ("JournalError", "JournalDamaged", "ConfigError"), answer
    assert re.search(hint, answer["text"]), answer["text"]
    assert answer["touched"] == []
    assert not log.exists()
    assert (path.read_bytes() if path.is_file() else b"") == before, "what was there was touched"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    answer = kit.run("refused", log=str(tmp_path / "ran"), arguments={"journal": str(folder / "runs.db")})
    assert "not writable" in answer["text"]
    assert answer["touched"] == []


def test_a_file_system_that_takes_no_files_is_refused(tmp_path: Path) -> None:
    answer = kit.run("refused", log=str(tmp_path / "ran"), arguments={"journal": "/proc/self/runs.db"})
    assert answer["kind"] == "JournalError", answer
    assert answer["touched"] == []


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"backend": "serial", "timeout": 1}, "threads.*processes"),
        ({"backend": "threds"}, "threads"),
        ({"workers": -1}, "workers=-1"),
        ({"timeout": 0}, "timeout=0"),
        ({"retry": -1}, "retry=-1"),
        ({"on_error": "explode"}, "skip.*fail"),
        ({"window": 0}, "window=0"),
        ({"resume": True}, "journal"),
        ({"progress": "shout"}, "progress="),
        ({"grace": -1}, "grace=-1"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_options_that_cannot_work_are_refused_before_the_first_item(
    arguments: dict[str, Any], hint: str, tmp_path: Path
) -> None:
    import raddle

    touched = []

    def source() -> Any:
        touched.append("source")
        yield 1

    with pytest.raises(raddle.ConfigError, match=hint):
        raddle.run(touched.append, source(), **arguments)
    assert touched == []
