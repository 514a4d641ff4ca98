"""Options from file, environment and flags."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import raddle
from raddle import ConfigError, Retry
from raddle._config import RunConfig, load, validate


def refused(text: str) -> Any:
    return pytest.raises(ConfigError, match=re.escape(text))


def write(folder: Path, text: str, name: str = "raddle.toml") -> Path:
    (folder / name).write_text(text)
    return folder


def test_defaults(tmp_path: Path) -> None:
    assert load(environ={}, folder=tmp_path) == RunConfig()


def test_flag_beats_environment_beats_file(tmp_path: Path) -> None:
    write(tmp_path, 'workers = 1\ntimeout = 1.5\ngrace = 1\njournal = "a.db"')
    environ = {"RADDLE_WORKERS": "2", "RADDLE_TIMEOUT": "2.5", "PATH": "/bin"}
    config = load({"workers": 3, "timeout": None}, environ=environ, folder=tmp_path)
    assert (config.workers, config.timeout, config.grace, config.journal) == (3, 2.5, 1, "a.db")


def test_pyproject_is_read_when_there_is_no_raddle_toml(tmp_path: Path) -> None:
    write(tmp_path, "[tool.raddle]\nworkers = 5\n[tool.other]\nx = 1", "pyproject.toml")
    assert load(environ={}, folder=tmp_path).workers == 5
    write(tmp_path, "workers = 6")
    assert load(environ={}, folder=tmp_path).workers == 6


def test_tables_of_workloads_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "workers = 5\n[weights]\ncolumns = 'user=id'")
    assert load(environ={}, folder=tmp_path).workers == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("worker = 3", "worker=3: there is no such option; did you mean 'workers'?"),
        ("on-error = 'skip'", "did you mean 'on_error'?"),
        ("zzz = 3", "zzz=3: there is no such option; there are backend, workers"),
        ("workers = -1", "workers=-1: must be 0 (all granted CPUs) or more"),
        ("workers = true", "workers=True: must be 0 (all granted CPUs) or more"),
        ("backend = 'process'", "did you mean 'processes'?"),
        ("workers = ", "not valid TOML"),
        ("resume = true", "resume=True: needs journal="),
    ],
)
def test_bad_file(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, text)
    with refused(message) as caught:
        load(environ={}, folder=tmp_path)
    if "resume" not in text:
        assert str(tmp_path / "raddle.toml") in str(caught.value)


def test_bad_table_in_pyproject(tmp_path: Path) -> None:
    write(tmp_path, "[tool]\nraddle = 3", "pyproject.toml")
    with refused("must be a table"):
        load(environ={}, folder=tmp_path)


@pytest.mark.parametrize(
    ("variable", "text", "name", "expected"),
    [
        ("RADDLE_WORKERS", "3", "workers", 3),
        ("RADDLE_TIMEOUT", "none", "timeout", None),
        ("RADDLE_TIMEOUT", " 1e1 ", "timeout", 10.0),
        ("RADDLE_ORDERED", "no", "ordered", False),
        ("RADDLE_RETRY", "0", "retry", 0),
        ("RADDLE_ON_ERROR", "fail", "on_error", "fail"),
        ("RADDLE_PROGRESS", "jsonl", "progress", "jsonl"),
    ],
)
def test_environment(tmp_path: Path, variable: str, text: str, name: str, expected: Any) -> None:
    assert getattr(load(environ={variable: text}, folder=tmp_path), name) == expected


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("RADDLE_WORKERS", "many", "RADDLE_WORKERS=many: must be 0 (all granted CPUs) or more"),
        ("RADDLE_TIMEOUT", "0", "RADDLE_TIMEOUT=0: must be seconds for one attempt, more than 0"),
        ("RADDLE_TIMEOUT", "nan", "more than 0"),
        ("RADDLE_ORDERED", "perhaps", "must be true or false"),
        ("RADDLE_ON_EROR", "skip", "RADDLE_ON_EROR=skip: there is no such option; did you mean RADDLE_ON_ERROR?"),
    ],
)
def test_bad_environment(tmp_path: Path, variable: str, text: str, message: str) -> None:
    with refused(message):
        load(environ={variable: text}, folder=tmp_path)


def test_other_variables_of_the_prefix_are_left_alone(tmp_path: Path) -> None:
    assert load(environ={"RADDLE_DATA": "/x", "RADDLE_CHAOS": "1"}, folder=tmp_path) == RunConfig()


def test_bad_flag_is_named_as_it_was_typed(tmp_path: Path) -> None:
    with refused("--on-error=stop: must be one of skip, fail"):
        load({"on_error": "stop"}, environ={}, folder=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "workers=-1: must be 0 (all granted CPUs) or more"),
        ({"workers": 2.0}, "workers=2.0: must be 0"),
        ({"timeout": 0}, "timeout=0: must be seconds for one attempt, more than 0"),
        ({"timeout": float("inf")}, "timeout=inf"),
        ({"retry": -1}, "retry=-1: must be further tries after the first, 0 or more"),
        ({"on_error": "raise"}, "on_error='raise': must be one of skip, fail"),
        ({"ordered": 1}, "ordered=1: must be true or false"),
        ({"window": 0}, "window=0: must be the most items"),
        ({"journal": ""}, "journal='': must be the path"),
        ({"name": " "}, "name=' ': must be a name"),
        ({"name": "a\nb"}, "must be a name"),
        ({"grace": -0.1}, "grace=-0.1: must be seconds, 0 or more"),
        ({"progress": "bar"}, "progress='bar': must be one of"),
        ({"progress": ["line", 3]}, "must be one of auto"),
        ({"backend": "thread"}, "did you mean 'threads'?"),
        ({"wrokers": 1}, "did you mean 'workers'?"),
        ({"resume": True, "journal": None}, "resume=True: needs journal="),
    ],
)
def test_validate_refuses(options: dict[str, Any], message: str) -> None:
    with refused(message):
        validate(**options)


def classify(item: Any) -> str | None:
    return str(item)


@pytest.mark.parametrize(
    ("permits", "permit", "message"),
    [
        (None, classify, "needs permits=, how many of each class run at once: permits={'encode': 2}"),
        ({"a": 1}, None, "permits={'a': 1}, permit=None: permit= must be a function, item -> class or None"),
        ({"a": 1}, "a", "permit='a': permit= must be a function"),
        ({}, classify, "permits={}: must name each class"),
        ({}, None, "permits={}: must name each class"),
        (["a"], classify, "permits=['a']: must name each class"),
        (2, classify, "permits=2: must name each class and how many of it run at once: permits={'encode': 2}"),
        ({"a": 0}, classify, "permits={'a': 0}: 'a' must be a whole number, 1 or more"),
        ({"a": 2, "b": -1}, classify, "'b' must be a whole number, 1 or more"),
        ({"a": True}, classify, "permits={'a': True}: 'a' must be a whole number"),
        ({"a": 1.5}, classify, "permits={'a': 1.5}: 'a' must be a whole number"),
        ({"a": "2"}, classify, "permits={'a': '2'}: 'a' must be a whole number"),
        ({1: 2}, classify, "permits={1: 2}: class 1 must be a str"),
        ({None: 2}, classify, "class None must be a str"),
    ],
)
def test_permits_that_cannot_work_are_refused_before_anything_starts(permits: Any, permit: Any, message: str) -> None:
    with refused(message):
        raddle.run(str, [1], permits=permits, permit=permit)


def test_validate_takes_what_python_callers_give() -> None:
    validate(
        retry=Retry(attempts=2),
        journal=Path("x.db"),
        progress=[print, "line", None],
        backend=object(),
        timeout=1,
        window=None,
    )
