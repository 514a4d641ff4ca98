"""News, actions, the command: with a server on a socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

import raddle
from raddle.cli import main
from raddle.journal.history import History, RunRow
from raddle.web.actions import holds_lock, why_no_retry
from raddle.web.guard import csrf_token
from raddle.web.views import Speed, command_of, total_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def events(url: str) -> Iterator[dict[str, Any]]:
    """Yield what a stream says."""
    with urllib.request.urlopen(url, timeout=120) as answer:
        for line in answer:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


def ask(page: Any, path: str, *, post: bool = False) -> tuple[int, Any]:
    headers = {"x-raddle-csrf": csrf_token(page.settings)} if post else {}
    request = urllib.request.Request(page.url + path, method="POST" if post else "GET", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


# ---------------------------------------------------------------------------------------------------------- news


def test_a_stream_tells_of_a_run_from_its_first_item_to_its_end(serve: Any, tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    go = threading.Event()

    def work(item: int) -> int:
        assert item < 3 or go.wait(60)
        return item

    page = serve(path)
    stream = events(f"{page.url}/api/events")
    assert "does not exist" in next(stream)["problem"]
    with raddle.run(work, range(6), backend="threads", workers=1, journal=path, name="live") as run:
        next(state for state in stream if state["problem"] is None and state["runs"] and state["runs"][0]["done"] >= 3)
        go.set()
        assert len(list(run)) == 6
    last = next(state for state in stream if state["runs"][0]["state"] == "ended")
    assert last["runs"][0]["done"] == 6
    stream.close()


def test_nobody_looks_while_nobody_watches(serve: Any, journal: Path, wait_for: Any) -> None:
    page = serve(journal)
    assert page.hub.taken == 0
    stream = events(f"{page.url}/api/events")
    next(stream)
    wait_for(lambda: page.hub.taken > 3, "no looks")
    stream.close()
    wait_for(lambda: not page.hub.watched, "still watched")
    wait_for(lambda: not page.hub.looking, "still looking")


def test_one_poller_serves_all_and_too_many_are_refused(serve: Any, journal: Path) -> None:
    page = serve(journal, clients=3, ping=0.05)
    streams = [events(f"{page.url}/api/events") for _ in range(3)]
    assert [next(stream)["runs"][0]["name"] for stream in streams] == ["good"] * 3
    assert page.hub.looking == 1
    status, told = ask(page, "/api/events")
    assert (status, told["detail"]) == (503, "3 pages are open already: close one")
    for stream in streams:
        stream.close()


def test_a_stream_of_one_run_tells_of_that_run_only(serve: Any, journal: Path) -> None:
    run = History(journal).run("good")
    assert run is not None
    stream = events(f"{serve(journal).url}/api/events?journal=0&run={run.uid}")
    assert [told["name"] for told in next(stream)["runs"]] == ["good"]
    stream.close()


def test_a_server_ends_although_pages_are_open(serve: Any, journal: Path) -> None:
    page = serve(journal)
    stream = events(f"{page.url}/api/events")
    next(stream)
    page.close()
    assert list(stream) == []


# ------------------------------------------------------------------------------------------------------- actions


def test_cancel_stops_the_run_of_another_process(serve: Any, gated: Any, wait_for: Any) -> None:
    program = gated.start("a", "slow")
    wait_for(gated.under_way, "not started")
    page = serve(gated.folder / "runs.db", allow_actions=True)
    base = f"/api/journals/0/runs/{gated.run().uid}"
    assert ask(page, base)[1]["why_no_cancel"] is None
    assert "is running" in ask(page, base)[1]["why_no_retry"]
    assert ask(page, f"{base}/retry", post=True)[0] == 409
    assert ask(page, f"{base}/cancel", post=True) == (202, {"detail": f"asked process {program.pid} to stop"})
    (gated.folder / "open").touch()
    assert program.wait(60) == 128 + signal.SIGINT
    assert gated.state() == "stopped"
    assert ask(page, f"{base}/cancel", post=True)[0] == 409


def test_retry_runs_what_failed_again(serve: Any, gated: Any, wait_for: Any) -> None:
    assert gated.start("a", "bad", "b").wait(60) == 1
    (gated.folder / "mended").touch()
    page = serve(gated.folder / "runs.db", allow_actions=True)
    base = f"/api/journals/0/runs/{gated.run().uid}"
    facts = ask(page, base)[1]
    assert (facts["why_no_retry"], facts["retry"], facts["folder"]) == (None, None, str(gated.folder))
    assert ask(page, f"{base}/retry", post=True)[0] == 202
    told = wait_for(lambda: (found := ask(page, base)[1]["retry"]) and found["code"] is not None and found, "no end")
    assert (told["code"], gated.state(), gated.run().sessions) == (0, "ended", 2)
    assert {status.value: count for status, count in History(gated.folder / "runs.db").counts(1).items()} == {"ok": 3}
    assert "nothing to retry" in ask(page, base)[1]["why_no_retry"]
    assert ask(page, f"{base}/retry", post=True)[0] == 409


def test_a_process_that_does_not_hold_the_lock_is_left_alone(gated: Any, wait_for: Any) -> None:
    program = gated.start("slow")
    wait_for(lambda: gated.state() == "running", "not started")
    journal = gated.folder / "runs.db"
    assert holds_lock(journal, program.pid)
    assert not holds_lock(journal, os.getpid())
    assert not holds_lock(gated.folder / "other.db", program.pid)
    program.kill()
    program.wait()
    assert not holds_lock(journal, program.pid)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "not started by a command"),
        ("[1]", "not started by a command"),
        ('{"argv": [], "cwd": "/"}', "not started by a command"),
        ('{"argv": [1], "cwd": "/"}', "not started by a command"),
        ('{"argv": ["weights"], "cwd": "/"}', "raddle weights is not started from here"),
        ('{"argv": ["media", "run", "exec"], "cwd": "/"}', "start its command again with --resume"),
        ('{"argv": ["map"], "cwd": "/", "stdin": true}', "standard input"),
        ('{"argv": ["map"], "cwd": "/not/there"}', "not there any more"),
        ('{"argv": ["map"], "cwd": "/"}', None),
    ],
)
def test_what_can_be_retried(command: str, said: str | None) -> None:
    run = row(command=command)
    reason = why_no_retry(run, run, all_ok=False)
    assert reason is None if said is None else reason and said in reason
    run = row(command='{"argv": ["map"], "cwd": "/"}')
    assert "later run" in (why_no_retry(run, row(uid="b" * 32), all_ok=False) or "")


def row(**more: Any) -> RunRow:
    facts: dict[str, Any] = {
        "id": 1, "uid": "a" * 32, "name": "n", "function": "m:f", "version": "", "python": "3.11", "total": None,
        "backend": "threads", "workers": 1, "created": 1.0, "ended": 2.0, "state": "ended", "command": "",
        "summary": None, "sessions": 1, "pid": 1, "host": socket.gethostname(),
    }  # fmt: skip
    return RunRow(**facts | more)


@pytest.mark.parametrize(
    ("argv", "output"),
    [
        (["map", "f", "-o", "x.jsonl"], "/w/x.jsonl"),
        (["map", "f", "--output=/abs/x"], "/abs/x"),
        (["exec", "--", "cp", "-o", "x"], None),
        (["map", "-o"], None),
        (["map"], None),
    ],
)
def test_where_a_command_wrote(argv: list[str], output: str | None) -> None:
    command = command_of(row(command=json.dumps({"argv": argv, "cwd": "/w"})))
    assert command is not None
    assert command.output == output


@pytest.mark.parametrize(
    ("facts", "total"),
    [
        ({"total": 5}, 5),
        ({"command": '{"argv": ["map"], "cwd": "/", "total": 700}'}, 700),
        ({"command": '{"argv": ["map"], "cwd": "/", "total": "700"}'}, None),
        ({"command": '{"argv": ["map"], "cwd": "/", "total": -1}'}, None),
        (
            {
                "command": '{"argv": ["map"], "cwd": "/", "total": 7}',
                "summary": {"source_ended": True, "admitted": 6},
            },
            6,
        ),
        ({}, None),
    ],
)
def test_the_number_of_items_is_told_as_soon_as_anybody_knows_it(facts: dict[str, Any], total: int | None) -> None:
    assert total_of(row(**facts)) == total


def test_speed_is_of_the_last_half_minute_and_starts_over_with_a_retry() -> None:
    speed, key = Speed(), ("a", 1)
    assert speed.add(key, 0.0, 0) is None
    assert speed.add(key, 10.0, 100) == 10.0
    rates = [speed.add(key, 10.0 + step, 100 + step) for step in range(1, 60)]
    assert rates[-1] == pytest.approx(1.0)
    assert speed.add(key, 100.0, 5) is None


# --------------------------------------------------------------------------------------------------- the command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "--host=0.0.0.0: others can reach it"),
        (["--token-env", "NOT_SET_ANYWHERE"], "--token-env=NOT_SET_ANYWHERE: this environment variable is not set"),
        (["--port", "-1"], "--port=-1: must be"),
        (["--host", "192.0.2.1", "--token-env", "PATH"], "--host=192.0.2.1"),
    ],
)
def test_what_the_command_refuses(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ui", "runs.db", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_command_serves_until_a_signal(journal: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "raddle", "ui", "--port", "0", "--journal", str(journal), "--allow-actions"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        url = program.stdout.readline().split()[1]
        base, _, token = url.partition("?token=")
        request = urllib.request.Request(f"{base}api/journals", headers={"authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert json.load(answer)["journals"][0]["path"] == str(journal)
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=120)
    assert (program.returncode in {0, 130}, errors) == (True, "")
