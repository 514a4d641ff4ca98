"""`raddle doctor`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from raddle.cli import main
from raddle.cli.doctor import _text, has_wal_reset_bug, report

if TYPE_CHECKING:
    from pytest import CaptureFixture  # noqa: PT013 - a type


@pytest.mark.parametrize(
    ("release", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((4, 0, 0), False),
    ],
)
def test_wal_reset_bug_by_version(release: tuple[int, ...], affected: bool) -> None:
    assert has_wal_reset_bug(release) is affected


def steady(found: dict[str, Any]) -> dict[str, Any]:
    """What does not change from one moment to the next."""
    return {name: value for name, value in found.items() if name != "memory_now"}


def test_json_is_what_the_text_says(capsys: CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert steady(found) == steady(report())
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert f"CPUs      {found['cpus']['value']}" in text
    assert "affinity" in text
    assert "MemTotal" in text
    assert found["sqlite"]["version"] in text
    assert ("exactly one writing connection" in text) == found["sqlite"]["wal_reset_bug"]
    for part in found["parts"]:
        assert part["name"] in text
        assert part["version"] or part["install"] in text
    for program in found["programs"]:
        assert (program["path"] or "not found") in text


def test_memory_now_is_within_its_limit() -> None:
    now = report()["memory_now"]
    if now is None:
        pytest.skip("nothing to read here")
    assert now["used"] > 0
    assert 0 < now["limit"] <= report()["memory"]["value"]
    assert 0 <= now["stalled"] <= 1


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (0.5, "in use now: 512 MiB of 1.0 GiB (50%); work stood still for it in 12% of the last 10 s"),
        (0.5, "hold back at 80%, go on below 70%, and kill at 95%\n"),
        (0.85, "and kill at 95%; now it would start one item at a time\n"),
        (0.96, "; now it would start one item at a time, and kill the youngest\n"),
        (None, "not guarded"),
    ],
)
def test_text_says_what_a_run_would_do_now(part: float | None, expected: str) -> None:
    found = report()
    size = 1 << 30
    found["memory_now"] = None if part is None else {"used": int(part * size), "limit": size, "stalled": 0.12}
    assert expected in _text(found)


@pytest.mark.parametrize(
    ("start", "expected"),
    [("fork", "forked (safe here"), ("fresh", "several threads"), (None, 'backend="threads"')],
)
def test_text_says_how_workers_start(start: str | None, expected: str) -> None:
    found = report()
    found["workers"]["start"] = start
    assert expected in _text(found)


@pytest.mark.parametrize(
    ("free_threading", "gil", "expected"),
    [(False, True, "not a free-threaded build"), (True, True, "though the build is"), (True, False, "lock: off")],
)
def test_text_says_what_the_interpreter_lock_does(free_threading: bool, gil: bool, expected: str) -> None:
    found = report()
    found["python"] |= {"free_threading": free_threading, "gil": gil}
    assert expected in _text(found)


def test_limits_that_are_none_are_said_so() -> None:
    found = report()
    found["limits"] = {"files": {"soft": 1024, "hard": None}, "processes": {"value": 0, "sources": []}}
    text = _text(found)
    assert "files     1024 open at once (may be raised to no limit" in text
    assert "processes no limit, threads included" in text
    found["limits"]["files"] = None
    assert "open at once" not in _text(found)
