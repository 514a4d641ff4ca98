"""`raddle map`, its inputs and outputs."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from raddle import ConfigError, ErrorInfo, Outcome, Status, Summary
from raddle.cli import _exit, main
from raddle.cli._function import resolve
from raddle.cli._inputs import open_items
from raddle.cli._outputs import LineWriter, as_dict, dump

if TYPE_CHECKING:
    from collections.abc import Iterator

FUNCTIONS = """
import time
from pathlib import Path

def up(text):
    return text.upper()

def odd(item):
    if item["n"] % 2 == 0:
        raise ValueError(f"n={item['n']} is even")
    return item["n"]

def slow(text):
    Path(f"at {text}").touch()
    time.sleep(float(text))
    return text

class Box:
    @staticmethod
    def put(text):
        return [text]

number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with functions.py; the module path is put back afterwards."""
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def raddle(*arguments: str, cwd: Path, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "raddle", *arguments]
    environment = {**os.environ, **environ}
    return subprocess.run(
        command, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=120, check=False, env=environment
    )


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# ---------------------------------------------------------------------------------------------------- the command


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_outcomes_go_to_stdout_and_nothing_else(folder: Path, backend: str) -> None:
    done = raddle("map", "functions:up", "-", "--backend", backend, cwd=folder, stdin="a\nb\nc\n")
    assert done.returncode == _exit.OK, done.stderr
    outcomes = lines(done.stdout)
    assert [(each["position"], each["item"], each["value"]) for each in outcomes] == [
        (0, "a", "A"),
        (1, "b", "B"),
        (2, "c", "C"),
    ]
    assert list(outcomes[0]) == ["position", "item", "status", "value", "error", "attempts", "seconds", "worker"]
    assert "3 done" in done.stderr


def test_bad_lines_and_failed_items_do_not_end_the_run(folder: Path) -> None:
    (folder / "in.jsonl").write_text('{"n": 1}\n{"n": \n{"n": 2}\n{"m": 3}\n\n{"n": 5}\n')
    done = raddle("map", "functions.py:odd", "in.jsonl", "--key", "n", "--backend", "threads", cwd=folder)
    assert done.returncode == _exit.NOT_ALL_OK
    assert [each["status"] for each in lines(done.stdout)] == ["ok", "failed", "ok"]
    error = lines(done.stdout)[1]["error"]
    assert (error["type"], error["message"]) == ("ValueError", "n=2 is even")
    assert "in functions.py" in error["traceback"] or "functions.py" in error["traceback"]
    assert "in.jsonl:2: not JSON" in done.stderr
    assert "in.jsonl:4: has no field 'n'" in done.stderr
    assert "2 lines of in.jsonl could not be used" in done.stderr


def test_bad_lines_alone_make_exit_code_1(folder: Path) -> None:
    (folder / "in.jsonl").write_text('"a"\nb\n')
    done = raddle("map", "functions:up", "in.jsonl", "--backend", "serial", "--progress", "none", cwd=folder)
    assert done.returncode == _exit.NOT_ALL_OK
    assert done.stderr.splitlines()[0].startswith("in.jsonl:2: not JSON")


def test_on_error_fail_is_exit_code_3(folder: Path) -> None:
    (folder / "in.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(50)))
    done = raddle("map", "functions:odd", "in.jsonl", "--on-error", "fail", "--backend", "serial", cwd=folder)
    assert done.returncode == _exit.STOPPED
    assert lines(done.stdout)[0]["status"] == "failed"


def test_timeout_and_no_values(folder: Path) -> None:
    done = raddle(
        "map", "functions:slow", "-", "--timeout", "0.3", "--workers", "2", "--no-values", "--backend", "processes",
        cwd=folder, stdin="0.01\n60\n0.02\n",
    )  # fmt: skip
    assert done.returncode == _exit.NOT_ALL_OK
    assert [each["status"] for each in lines(done.stdout)] == ["ok", "timed_out", "ok"]
    assert "value" not in lines(done.stdout)[0]


def test_resume_runs_only_what_is_missing(folder: Path) -> None:
    arguments = ("map", "functions:up", "-", "--journal", "j.db", "--name", "job", "--backend", "threads")
    assert raddle(*arguments, cwd=folder, stdin="a\nb\n").returncode == _exit.OK
    done = raddle(*arguments, "--resume", cwd=folder, stdin="a\nb\nc\n")
    assert done.returncode == _exit.OK, done.stderr
    assert [(each["value"], each.get("resumed", False)) for each in lines(done.stdout)] == [
        ("A", True),
        ("B", True),
        ("C", False),
    ]


def test_retry_failed_runs_again_what_was_not_ok(folder: Path) -> None:
    (folder / "in.jsonl").write_text('{"n": 1}\n{"n": 2}\n')
    arguments = ("map", "functions:odd", "in.jsonl", "--journal", "j.db", "--backend", "threads")
    assert raddle(*arguments, cwd=folder).returncode == _exit.NOT_ALL_OK
    done = raddle(*arguments, "--retry-failed", cwd=folder)
    assert [(each["status"], each.get("resumed", False)) for each in lines(done.stdout)] == [
        ("ok", True),
        ("failed", False),
    ]


def test_a_line_that_is_written_does_not_wait_for_the_next(folder: Path) -> None:
    command = [sys.executable, "-m", "raddle", "map", "functions:slow", "-", "--backend", "threads", "--workers", "1"]
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"0.01\n0.01\n0.01\n60\n")
        process.stdin.flush()
        assert [json.loads(process.stdout.readline())["value"] for _ in range(3)] == ["0.01"] * 3
        process.kill()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["functions:down", "-"], "FUNCTION=functions:down: functions has no 'down'"),
        (["functions:u", "-"], "did you mean 'up'?"),
        (["nowhere:up", "-"], "no module 'nowhere' in"),
        (["functions:number", "-"], "is a int, not a function"),
        (["functions", "-"], "must be MODULE:FUNC"),
        (["functions:up", "missing.txt"], "INPUT=missing.txt: cannot be read: No such file"),
        (["functions:up", "*.nothing"], "no file matches"),
        (["functions:up", "-", "--workers=-1"], "--workers=-1: must be 0 (all granted CPUs) or more"),
        (["functions:up", "-", "--backend", "thread"], "did you mean 'threads'?"),
        (["functions:up", "-", "--input", "xml"], "--input=xml: must be one of auto, jsonl, csv, lines, glob"),
        (["functions:up", "-", "--key", "n"], "needs items with fields"),
        (["functions:up", "-", "--resume"], "needs journal="),
    ],
)
def test_usage_errors_are_one_line_and_exit_code_2(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["map", *arguments]) == _exit.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("raddle: ")
    assert len(shown.err.splitlines()) == 1
    assert message in shown.err


def test_traceback_flag_shows_where_the_users_module_broke(folder: Path) -> None:
    (folder / "broken.py").write_text("raise RuntimeError('at import')")
    done = raddle("map", "broken:f", "-", cwd=folder)
    assert "module 'broken' raised RuntimeError when imported: at import" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in raddle("--traceback", "map", "broken:f", "-", cwd=folder).stderr


def test_environment_and_file_are_heard(folder: Path) -> None:
    (folder / "raddle.toml").write_text('backend = "serial"\nprogress = "jsonl"\n')
    done = raddle("map", "functions:up", "-", cwd=folder, stdin="a\n", RADDLE_ON_ERROR="fail")
    assert lines(done.stderr)[0]["backend"] == "serial"
    done = raddle("map", "functions:up", "-", cwd=folder, RADDLE_WORKER="3")
    assert "did you mean RADDLE_WORKERS?" in done.stderr


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_closed_stdout_ends_quietly(folder: Path, backend: str) -> None:
    (folder / "many.txt").write_text("".join(f"{n}\n" for n in range(100_000)))
    command = [
        sys.executable,
        "-m",
        "raddle",
        "map",
        "functions:up",
        "many.txt",
        "--backend",
        backend,
        "--progress",
        "none",
    ]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == _exit.CLOSED
        assert process.stderr.read() == b""


@pytest.mark.parametrize(("number", "backend"), [(signal.SIGINT, "threads"), (signal.SIGTERM, "processes")])
def test_first_signal_drains_though_stdin_stays_open(folder: Path, number: signal.Signals, backend: str) -> None:
    command = [sys.executable, "-m", "raddle", "map", "functions:slow", "-", "--backend", backend, "--workers", "1"]
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"0.01\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["status"] == "ok"
        process.stdin.write(b"0.5\n")
        process.stdin.flush()
        process.send_signal(number)
        assert process.wait(60) == 128 + number
        assert all(each["status"] in {"ok", "cancelled"} for each in lines(process.stdout.read().decode()))
        assert f"{number.name}: starting nothing more; what runs has 5 s to end".encode() in process.stderr.read()


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_second_signal_kills(folder: Path, backend: str) -> None:
    (folder / "long.txt").write_text("0.01\n" + "600\n" * 3)
    command = [
        sys.executable,
        "-m",
        "raddle",
        "map",
        "functions:slow",
        "long.txt",
        "--backend",
        backend,
        "--grace",
        "600",
    ]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        while not (folder / "at 600").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said = b""
        while b"Once more" not in said:
            said += process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 128 + signal.SIGINT
        assert b"killing what still runs" in process.stderr.read()


@pytest.mark.parametrize(
    "command",
    [
        "",
        "map",
        "exec",
        "runs",
        "runs list",
        "runs show",
        "runs failures",
        "runs export",
        "runs retry",
        "doctor",
        "demo",
    ],
)
def test_every_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert "Example" in capsys.readouterr().out


def test_top_level(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in ("map", "exec", "runs", "doctor", "demo"))
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("raddle ")
    assert main(["rums"]) == _exit.USAGE
    assert "Did you mean 'runs'?" in capsys.readouterr().err


def test_help_imports_no_workload_and_nothing_heavy(folder: Path) -> None:
    program = (
        "import sys\nfrom raddle.cli import main\nmain(['--help'])\n"
        "heavy = {'rich.live', 'polars', 'plotly', 'orjson', 'numpy', 'cloudpickle', 'sqlite3'}\n"
        "heavy |= {f'raddle.workloads.{name}.cli' for name in ('classify', 'encrypt', 'media', 'weights')}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stderr.strip() == "[]"


def test_demo_says_what_to_install(folder: Path) -> None:
    program = (
        "import sys\nsys.modules['polars'] = sys.modules['plotly'] = sys.modules['orjson'] = None\n"
        "from raddle.cli import main\nsys.exit(main(['demo', '--users', '2']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120, cwd=folder
    )
    assert done.returncode == _exit.USAGE
    assert "pip install 'raddle[weights]'" in done.stderr
    assert "Traceback" not in done.stderr


# --------------------------------------------------------------------------------------------------------- inputs


def read(path: object, **options: Any) -> tuple[list[Any], list[str]]:
    said: list[str] = []
    items = open_items(
        str(path), report=lambda name, number, text: said.append(f"{Path(name).name}:{number}: {text}"), **options
    )
    return list(items), said


@pytest.mark.parametrize(
    ("name", "content", "expected", "complaints"),
    [
        ("a.txt", b"x\r\ny\n\nz", ["x", "y", "", "z"], []),
        ("a.txt", b"\xef\xbb\xbfx\n\xff.jpg\n", ["x", os.fsdecode(b"\xff.jpg")], []),
        ("a.txt", b"", [], []),
        ("a.ndjson", b'\xef\xbb\xbf{"a": 1}\n\n[2]\n', [{"a": 1}, [2]], []),
        ("a.jsonl", b'"\xff"\n1\n', [1], ["a.jsonl:1: not JSON"]),
        ("a.jsonl", b"[" * 100_000 + b"\n1\n", [1], ["a.jsonl:1: not JSON"]),
        ("a.csv", b'a,b\n1,"x\ny"\n\n3,z\n', [{"a": "1", "b": "x\ny"}, {"a": "3", "b": "z"}], []),
        ("a.csv", b'a,b\n"1\n",2\n3\n', [{"a": "1\n", "b": "2"}], ["a.csv:4: has 1 fields, the header has 2"]),
        ("a.csv", b"\xef\xbb\xbfa\n\xff\n1\n", [{"a": "1"}], ["a.csv:2: not UTF-8"]),
        ("a.tsv", b"a\tb\n1\t2\n", [{"a": "1", "b": "2"}], []),
        ("a.csv", b"", [], []),
    ],
)  # fmt: skip
def test_formats(tmp_path: Path, name: str, content: bytes, expected: list[Any], complaints: list[str]) -> None:
    for path, data in ((tmp_path / name, content), (tmp_path / f"{name}.gz", gzip.compress(content))):
        path.write_bytes(data)
        items, said = read(path)
        assert items == expected
        assert [text.replace(".gz", "")[: len(want)] for text, want in zip(said, complaints, strict=True)] == complaints


def test_a_file_that_breaks_off_keeps_what_came_before(tmp_path: Path) -> None:
    whole = gzip.compress("".join(f"{n}\n" for n in range(100_000)).encode())
    (tmp_path / "a.txt.gz").write_bytes(whole[: len(whole) // 2])
    items, said = read(tmp_path / "a.txt.gz")
    assert items[:3] == ["0", "1", "2"]
    assert said[0].startswith(f"a.txt.gz:{len(items) + 1}: the input breaks off here")


def test_reading_is_lazy(tmp_path: Path) -> None:
    class Endless(io.RawIOBase):
        read_so_far = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            self.read_so_far += len(buffer)
            buffer[:] = b"x\n" * (len(buffer) // 2)
            return len(buffer)

    raw = Endless()
    items = iter(open_items("-", report=lambda *_: None, stdin=io.BufferedReader(raw)))
    assert [next(items) for _ in range(3)] == ["x", "x", "x"]
    assert raw.read_so_far < 100_000


def test_folder_and_pattern(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/1.jpg", "a/3.jpg", ".git/x", "top.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [os.path.relpath(path, tmp_path) for path in read(tmp_path)[0]] == [
        "top.txt",
        "a/3.jpg",
        "b/1.jpg",
        "b/2.jpg",
    ]
    assert [os.path.relpath(path, tmp_path) for path in read(tmp_path / "**" / "*.jpg")[0]] == [
        "a/3.jpg",
        "b/1.jpg",
        "b/2.jpg",
    ]


@pytest.mark.parametrize(
    ("name", "content", "total"),
    [("a.txt", b"1\n2\n3", 3), ("a.csv", b"a\n1\n2\n", 2), ("a.csv", b'a\n"1\n2"\n', None), ("a.txt", b"", 0)],
)
def test_total_is_counted_where_it_can_be(tmp_path: Path, name: str, content: bytes, total: int | None) -> None:
    (tmp_path / name).write_bytes(content)
    items = open_items(str(tmp_path / name), report=lambda *_: None)
    assert items.total == total
    count = len(list(items))
    assert count == (1 if total is None else total)


def test_header_with_one_name_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,a\n1,2\n")
    with pytest.raises(ConfigError, match="names 'a' more than once"):
        read(tmp_path / "a.csv")


# -------------------------------------------------------------------------------------------- functions and outputs


def test_resolve(folder: Path) -> None:
    assert resolve("functions:up")("a") == "A"
    assert resolve("functions:Box.put")("a") == ["a"]
    assert resolve(str(folder / "functions.py:up")).__module__ == "functions"
    (folder / "json.py").write_text("def f(x): return x")
    with pytest.raises(ConfigError, match="another module is named 'json'"):
        resolve("json.py:f")
    (folder / "needs.py").write_text("import not_there_at_all")
    with pytest.raises(ConfigError, match="needs 'not_there_at_all', which is not installed"):
        resolve("needs:f")


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "key", "expected"),
    [
        ((1, 2), "value", [1, 2]),
        ("ü", "value", "ü"),
        (float("nan"), "value_repr", "nan"),
        ({1, 2}, "value_repr", "{1, 2}"),
        (Hostile(), "value_repr", "<unprintable Hostile: RuntimeError>"),
        (b"x", "value_repr", "b'x'"),
        ("\udcff", "value", "\udcff"),
    ],
)
def test_values_of_any_kind_become_one_line(value: object, key: str, expected: object) -> None:
    record = as_dict(Outcome(3, "item", Status.OK, value, None, 2, 0.0, 0.1234567, "thread-1"))
    line = dump(record)
    assert line.count(b"\n") == 1
    assert json.loads(line)[key] == expected
    assert json.loads(line)["seconds"] == 0.123457


def test_error_is_written_whole() -> None:
    error = ErrorInfo("ValueError", "bad", "Traceback ...", ("ValueError",), ValueError("bad"))
    record = as_dict(Outcome(3, {1}, Status.FAILED, None, error, 2, 0.0, 0.1, "thread-1"), values=False)
    assert json.loads(dump(record)) == {
        "position": 3,
        "item_repr": "{1}",
        "status": "failed",
        "error": {"type": "ValueError", "message": "bad", "traceback": "Traceback ..."},
        "attempts": 2,
        "seconds": 0.1,
        "worker": "thread-1",
    }


def test_writer_notes_a_closed_pipe() -> None:
    class Closed(io.BytesIO):
        def flush(self) -> None:
            raise BrokenPipeError

    writer = LineWriter(Closed())
    writer.write({"a": 1})
    assert writer.closed
    writer.write({"a": 2})
    writer.close()


ALL_OK = Summary(admitted=2, ok=2, source_ended=True)
SOME = Summary(admitted=2, ok=1, failed=1, source_ended=True)


@pytest.mark.parametrize(
    ("summary", "options", "expected"),
    [
        (ALL_OK, {}, 0),
        (ALL_OK, {"unreadable": 1}, 1),
        (ALL_OK, {"on_error": "fail"}, 0),
        (SOME, {}, 1),
        (SOME, {"on_error": "fail"}, 3),
        (Summary(admitted=2, ok=2, source_ended=False), {}, 1),
        (SOME, {"signal_number": 2, "closed": True}, 130),
        (SOME, {"signal_number": 15, "on_error": "fail"}, 143),
        (SOME, {"closed": True}, 141),
    ],
)
def test_exit_codes(summary: Summary, options: dict[str, Any], expected: int) -> None:
    assert _exit.code_for(summary, **options) == expected
