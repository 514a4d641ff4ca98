"""A page over a journal, served in a thread; journals made by real runs, or by the thousand in SQL."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import raddle
from raddle.errors import JournalError
from raddle.journal.history import History, RunRow
from raddle.web.serve import listen, make_server, url_of
from raddle.web.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOSTILE = "<img src=x onerror=\"alert('label')\">&amp;</script>"


class Page:
    """A server and where it is."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._listening = listen(settings)
        self.url = url_of(settings, self._listening).rstrip("/")
        self.server = make_server(settings)
        self.hub = self.server.config.app.state.hub  # type: ignore[union-attr]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        asyncio.run(self.server.serve(sockets=[self._listening]))

    def close(self) -> None:
        self.server.should_exit = True
        self._thread.join(60)
        self._listening.close()
        assert not self._thread.is_alive()


@pytest.fixture
def serve() -> Iterator[Callable[..., Page]]:
    """Serve journals; `poll` is short, so that tests need not wait."""
    pages: list[Page] = []

    def start(*journals: Path, **options: Any) -> Page:
        pages.append(Page(Settings(journals=journals, port=0, **({"poll": 0.02} | options))))
        return pages[-1]

    yield start
    for page in pages:
        page.close()


def fails(item: str) -> str:
    if "bad" in item:
        raise ValueError(f"{item} {HOSTILE}")
    return item


@pytest.fixture(scope="session")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs: `good` (5 ok) and one with a hostile name (8 ok, 4 failed, tried twice)."""
    path = tmp_path_factory.mktemp("web") / "runs.db"
    for name, items in (
        ("good", list("abcde")),
        (HOSTILE, [f"{n} {'bad' if n % 3 == 0 else HOSTILE}" for n in range(12)]),
    ):
        with raddle.run(
            fails,
            items,
            backend="threads",
            workers=2,
            journal=path,
            name=name,
            retry=raddle.Retry(attempts=2, wait_initial=0.01),
        ) as run:
            assert len(list(run)) == len(items)
    return path


def many(path: Path, count: int) -> Path:
    """Make a journal of one run with so many outcomes, one in 100 failed."""
    with raddle.run(str, ["first"], backend="serial", journal=path, name="many") as run:
        list(run)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("PRAGMA synchronous=OFF")
        conn.execute("BEGIN")
        began = time.time() - 1000
        conn.execute("DELETE FROM outcome")
        conn.execute(
            """
            WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
            INSERT INTO outcome (run_id, session_id, item_id, position, label, status, attempts, started, seconds,
                worker, error_type, error_message, traceback, value_size)
            SELECT 1, 1, CAST(i AS BLOB), i, printf('item-%07d', i), iif(i % 100 = 7, 'failed', 'ok'), 1,
                ? + i * 1000.0 / ?, 0.001 + (i % 97) / 1000.0, 'w-' || (i % 4), iif(i % 100 = 7, 'ValueError', NULL),
                iif(i % 100 = 7, 'odd ' || i, NULL), iif(i % 100 = 7, 'Traceback' || i, NULL), 0
            FROM n
            """,
            (count, began, count),
        )
        conn.execute("UPDATE run SET total = ?, created = ?, ended = ?", (count, began, began + 1000))
        conn.execute("COMMIT")
    return path


@pytest.fixture(scope="session")
def twenty_thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return many(tmp_path_factory.mktemp("some") / "some.db", 20_000)


@pytest.fixture(scope="session")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return many(tmp_path_factory.mktemp("many") / "many.db", 1_000_000)


MODULE = """
import time
from pathlib import Path

def gate(item):
    if item == "bad" and not Path("mended").exists():
        raise ValueError("not mended")
    while item == "slow" and not Path("open").exists():
        time.sleep(0.01)
    return item
"""


class Gated:
    """A folder with a module, and runs of it in processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "runs.db"
        self.programs: list[subprocess.Popen[bytes]] = []
        (folder / "gated.py").write_text(MODULE)

    def start(self, *items: str) -> subprocess.Popen[bytes]:
        """Start `raddle map` over items."""
        (self.folder / "items.txt").write_text("\n".join(items) + "\n")
        words = ["map", "gated:gate", "items.txt", "--journal", "runs.db", "--name", "job", "--backend", "threads"]
        command = [sys.executable, "-m", "raddle", *words, "--workers", "2", "--progress", "none", "--retry", "0"]
        quiet = subprocess.DEVNULL
        self.programs.append(subprocess.Popen(command, cwd=self.folder, stdout=quiet, stderr=quiet))
        return self.programs[-1]

    def run(self) -> RunRow:
        run = History(self.journal).run("job")
        assert run is not None
        return run

    def state(self) -> str:
        try:
            run = History(self.journal).run("job")
        except JournalError:
            return ""
        return run.state if run else ""

    def under_way(self) -> bool:
        return self.state() == "running" and bool(History(self.journal).under_way(1))


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[Gated]:
    made = Gated(tmp_path)
    yield made
    for program in made.programs:
        program.kill()
        program.wait()


def _wait_for(found: Callable[[], Any], what: str) -> Any:
    until = time.monotonic() + 60
    while not (result := found()):
        assert time.monotonic() < until, what
        time.sleep(0.02)
    return result


@pytest.fixture
def wait_for() -> Callable[[Callable[[], Any], str], Any]:
    """Wait for what another process or thread does."""
    return _wait_for


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser without a window. While Playwright is there, a loop runs in this thread: none of asyncio may start."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
