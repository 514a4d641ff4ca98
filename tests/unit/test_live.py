"""The live view."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from raddle import ErrorInfo, Summary
from raddle._events import ItemsEnded, RunEnded, RunStarted, RunStopping, WorkerReplaced
from raddle._model import Outcome, Status
from raddle.progress import Report, Snapshot
from raddle.progress.line import Line
from raddle.progress.live import Live, live, panel
from raddle.testing import FakeClock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(snapshot: Snapshot) -> str:
    stream = io.StringIO()
    Console(file=stream, width=100).print(panel(snapshot))
    return stream.getvalue()


def test_a_pipe_gets_the_line() -> None:
    assert isinstance(live(io.StringIO(), FakeClock()), Line)


def test_panel_shows_figures_and_problems() -> None:
    text = drawn(
        Snapshot(
            name="job",
            backend="threads",
            workers=4,
            total=1000,
            ok=400,
            failed=2,
            workers_lost=1,
            running=3,
            rate=31.4,
            eta=19,
            stopping="SIGINT",
            limit=2,
            limit_reason="HTTP 429",
            reports=tuple(Report(n, f"'{n}.mp4'", 41.9, "[b]encoding\x1b") for n in range(5)),
            problems=("item 3 failed: ValueError: [red]x[/red]\n\x1b[2Jy",),
        )
    )
    assert "40 %  402/1,000 31/s 19 s left" in text
    assert "400 ok · 2 failed · 1 workers lost · 3 of 4 workers busy (threads)" in text
    assert "stopping: SIGINT" in text
    assert "limit 2: HTTP 429" in text
    assert "item 0 '0.mp4': 41 %  [b]encoding" in text
    assert "item 2" in text
    assert "item 3 '" not in text  # the three that spoke first
    assert "[red]x[/red]  [2Jy" in text
    assert "\x1b" not in text


def test_panel_without_total_and_at_the_end() -> None:
    assert "12" in drawn(Snapshot(ok=12))
    assert "took 3.0 s" in drawn(Snapshot(ok=12, total=12, ended=True, elapsed=3.0))
    assert "100 %" in drawn(Snapshot(total=0, ended=True))


def test_it_paints_rarely_and_leaves_the_last_state() -> None:
    stream, clock = Terminal(), FakeClock()
    console = Console(file=stream, force_terminal=True, width=100)
    view = Live(console, clock)
    view(RunStarted("job", "threads", 2, 1000))
    sizes = set()
    for number in range(1000):
        clock.advance(0.001)
        status = Status.FAILED if number == 500 else Status.OK
        error = ErrorInfo("ValueError", "unlucky") if number == 500 else None
        view(ItemsEnded([Outcome(number, "x", status, None, error, 1, 0.0, 0.0, "thread-0")]))
        sizes.add(len(stream.getvalue()))
    assert 5 <= len(sizes) <= 8  # 1 s at one painting in 0.15 s
    view(WorkerReplaced("thread-1", "abandoned"))
    view(RunStopping("enough"))
    view(RunEnded(Summary(admitted=1000, ok=999, failed=1, source_ended=True)))
    end = stream.getvalue()
    assert "item 500 failed: ValueError: unlucky" in end
    assert "took 1.0 s" in end
    assert end.count("\x1b[?25l") == end.count("\x1b[?25h") == 1  # the cursor is shown again


def test_it_paints_by_time_while_nothing_ends() -> None:
    stream, clock = Terminal(), FakeClock()
    view = Live(Console(file=stream, force_terminal=True, width=100), clock)
    view(RunStarted("job", "threads", 2, 10))
    sizes = set()
    for _ in range(20):
        clock.advance(0.1)
        view.tick()
        sizes.add(len(stream.getvalue()))
    assert 3 <= len(sizes) <= 5  # 2 s at one painting in 0.5 s
    view(RunEnded(Summary(admitted=10, ok=10, source_ended=True)))
    before = stream.getvalue()
    clock.advance(10.0)
    view.tick()
    assert stream.getvalue() == before


@pytest.mark.parametrize("width", [24, 40, 60, 70, 80, 120])
@pytest.mark.parametrize("name", ["job", "a-rather-long-name-of-a-run-2026-11-23", "名前名前名前"])
def test_figures_are_whole_on_a_terminal_of_any_width(width: int, name: str) -> None:
    stream = io.StringIO()
    snapshot = Snapshot(name=name, workers=2, total=200_000, ok=81_469, rate=3140.4, eta=754, running=2)
    Console(file=stream, width=width).print(panel(snapshot))
    lines = stream.getvalue().splitlines()
    assert all(cell_len(line) <= width for line in lines)
    assert "40 % 81,469/200,000 3,140/s 12:34 min left" in " ".join(stream.getvalue().split())
    assert sum("━" in line for line in lines) == 1
    assert len(lines) <= (8 if width < 40 else 6)
