"""Real programs: whatever ends the call ends all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from raddle._events import ChunkEnded, WorkerLost
from raddle._model import Chunk
from raddle._process import run_process
from raddle.backends.processes import ProcessBackend
from raddle.backends.threads import ThreadBackend
from raddle.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 60.0
SOURCE = Path(__file__).resolve().parents[2] / "src"
#: writes its pid and that of a child in the background, then waits for ever
FAMILY = 'sleep 300 & echo $$ $! > "$1.new"; mv "$1.new" "$1"; sleep 300'


def family(path: str, **options: Any) -> Any:
    return run_process(["sh", "-c", FAMILY, "sh", path], **options)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.005)


def pids_of(path: Path) -> list[int]:
    wait_until(path.exists)
    return [int(pid) for pid in path.read_text().split()]


def chunk(items: list[Any], number: int = 0) -> Chunk:
    return Chunk(number, items, range(len(items)), 1)


@pytest.fixture(autouse=True)
def _leaves_nothing() -> Iterator[None]:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    files = len(list(Path("/proc/self/fd").iterdir()))
    yield
    wait_until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= files)
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


# ------------------------------------------------------------------------------------------------- as subprocess.run


@pytest.mark.parametrize("options", [{}, {"text": True}, {"encoding": "latin-1"}, {"errors": "replace"}])
@pytest.mark.parametrize("code", [0, 3, -9])
def test_it_answers_as_subprocess_run_does(options: dict[str, Any], code: int) -> None:
    end = "kill -9 $$" if code < 0 else f"exit {code}"
    argv = ["sh", "-c", f"cat; printf 'no\\r\\n' >&2; {end}"]
    given: Any = "zw\u00f6lf\r\nund\r"
    if options:
        options = {"encoding": "utf-8"} | options
    else:
        given = given.encode()
    mine = run_process(argv, input=given, **options)
    other = subprocess.run(argv, input=given, capture_output=True, check=False, **options)
    assert vars(mine) == vars(other)
    assert mine.returncode == code


def test_megabytes_go_both_ways_at_once() -> None:
    data = os.urandom(3 << 20)
    argv = [
        sys.executable,
        "-c",
        "import sys; d = sys.stdin.buffer.read(); sys.stderr.buffer.write(d); sys.stdout.buffer.write(d)",
    ]
    done = run_process(argv, input=data)
    assert (done.returncode, done.stdout == data, done.stderr == data) == (0, True, True)


def test_a_program_that_does_not_read_its_input_is_no_error() -> None:
    assert run_process(["true"], input=bytes(1 << 20)).returncode == 0


def test_it_reads_nothing_by_default_and_starts_where_it_is_told(tmp_path: Path) -> None:
    done = run_process(["sh", "-c", "cat; pwd; echo $X"], cwd=tmp_path, env={"X": "y"}, text=True)
    assert done.stdout == f"{tmp_path}\ny\n"


def test_output_may_go_where_ours_goes(capfd: pytest.CaptureFixture[str]) -> None:
    done = run_process(["echo", "hello"], capture_output=False)
    assert (done.stdout, done.stderr) == (None, None)
    assert capfd.readouterr().out == "hello\n"


def test_check_raises_what_subprocess_raises() -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_process(["sh", "-c", "echo out; echo err >&2; exit 7"], check=True, text=True)
    assert (caught.value.returncode, caught.value.stdout, caught.value.stderr) == (7, "out\n", "err\n")


def test_what_is_not_there_cannot_be_started() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        run_process(["no-such-program"])


@pytest.mark.parametrize(
    ("argv", "options", "hint"),
    [
        ("ls -l", {}, r"argv='ls -l': give a list"),
        ([], {}, r"argv=\[\]: give a list"),
        (["true"], {"timeout": 0}, r"timeout=0: give seconds above 0"),
        (["true"], {"stall_timeout": -1}, r"stall_timeout=-1: give seconds above 0"),
        (["true"], {"grace": -1}, r"grace=-1: give seconds from 0 on"),
        (["true"], {"stall_timeout": 1, "capture_output": False}, r"stall_timeout=1 needs capture_output=True"),
        (["true"], {"on_output": 1}, r"on_output=1: give a function that takes bytes"),
        (["true"], {"on_output": print, "capture_output": False}, r"on_output=<.*> needs capture_output=True"),
        (["true"], {"input": "x"}, r"input=str needs text=True"),
    ],
)
def test_nonsense_is_refused_with_the_remedy(argv: Any, options: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        run_process(argv, **options)


# -------------------------------------------------------------------------------------------------------- how it ends


def test_a_timeout_ends_the_whole_family_and_keeps_what_was_written(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        run_process(["sh", "-c", "echo first; " + FAMILY, "sh", str(tmp_path / "pids")], timeout=1.5, text=True)
    assert time.monotonic() - began < PATIENCE
    assert (caught.value.timeout, caught.value.stdout) == (1.5, "first\n")
    wait_until(lambda: not any(map(alive, pids_of(tmp_path / "pids"))))


def test_sigterm_comes_first_and_may_be_used_to_clean_up() -> None:
    argv = ["sh", "-c", "trap 'echo cleaned; exit' TERM; sleep 300 & wait"]
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        run_process(argv, timeout=1.5, text=True)
    assert caught.value.stdout == "cleaned\n"


def test_who_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        run_process(["sh", "-c", "trap '' TERM; " + FAMILY, "sh", str(tmp_path / "pids")], timeout=1.5, grace=0.3)
    assert 1.8 <= time.monotonic() - began < PATIENCE
    wait_until(lambda: not any(map(alive, pids_of(tmp_path / "pids"))))


def test_silence_ends_it_and_sound_does_not() -> None:
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        run_process(["sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.25; done; sleep 300"], stall_timeout=1)
    assert caught.value.stdout == b"1\n2\n3\n4\n5\n"
    assert "stall_timeout=1" in caught.value.__notes__[0]


def test_output_is_heard_as_it_comes() -> None:
    """The program goes on only after each word was heard."""
    heard = bytearray()
    reading, writing = os.pipe()

    def hear(part: bytes) -> None:
        heard.extend(part)
        if part.endswith(b"\n"):
            os.write(writing, b"on\n")

    script = f"echo unheard >&2; for n in 1 2 3; do echo $n; read _ < /proc/{os.getpid()}/fd/{reading}; done; printf x"
    try:
        done = run_process(["sh", "-c", script], on_output=hear, timeout=PATIENCE)
    finally:
        os.close(reading)
        os.close(writing)
    assert bytes(heard) == done.stdout == b"1\n2\n3\nx"
    assert done.stderr == b"unheard\n"


def test_what_on_output_raises_ends_the_program(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def refuse(part: bytes) -> None:
        raise ValueError(part.decode())

    with pytest.raises(ValueError, match="enough"):
        run_process(
            ["sh", "-c", 'sleep 300 & echo $$ $! > "$1"; echo enough; sleep 300', "sh", str(pids)], on_output=refuse
        )
    wait_until(lambda: not any(map(alive, pids_of(pids))))  # killed, and perhaps not quite gone


def test_output_is_bytes_though_it_is_returned_as_text() -> None:
    parts: list[bytes] = []
    done = run_process(["printf", "a\\r\\nb"], text=True, on_output=parts.append)
    assert b"".join(parts) == b"a\r\nb"
    assert done.stdout == "a\nb"


def test_what_outlives_the_program_neither_holds_us_up_nor_lives_on() -> None:
    began = time.monotonic()
    done = run_process(["sh", "-c", "sleep 300 & echo $!"], text=True)
    assert time.monotonic() - began < PATIENCE
    wait_until(lambda: not alive(int(done.stdout)))  # killed, and perhaps not quite gone


def test_last_words_behind_a_pipe_arrive() -> None:
    assert run_process(["sh", "-c", "(sleep 0.02; echo last) & echo first"], text=True).stdout == "first\nlast\n"


SCRIPT = """
import sys; sys.path.insert(0, {source!r})
import threading
from raddle._process import run_process
def work():
    run_process(["sh", "-c", {family!r}, "sh", sys.argv[1]])
if sys.argv[2] == "thread":
    threading.Thread(target=work, daemon=True).start()
    threading.Event().wait()
work()
"""


@pytest.mark.parametrize("where", ["main", "thread"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_with_this_process(tmp_path: Path, where: str, how: signal.Signals) -> None:
    script = SCRIPT.format(source=str(SOURCE), family=FAMILY)
    argv = [sys.executable, "-c", script, str(tmp_path / "pids"), where]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as program:
        pids = pids_of(tmp_path / "pids")
        assert all(map(alive, pids))
        program.send_signal(how)
        wait_until(lambda: not any(map(alive, pids)))
        _, err = program.communicate(timeout=120)
    assert ("KeyboardInterrupt" in err) == (how is signal.SIGINT)


# ------------------------------------------------------------------------------------------------- inside of attempts


@pytest.mark.parametrize("how", ["kill", "close"])
def test_a_killed_worker_takes_it_along(tmp_path: Path, how: str) -> None:
    backend = ProcessBackend(family, workers=1)
    try:
        backend.start(0, chunk([str(tmp_path / "pids")]))
        pids = pids_of(tmp_path / "pids")
        if how == "kill":
            backend.stop(0, "kill")
            (lost,) = backend.inbox.take(PATIENCE)
            assert isinstance(lost, WorkerLost)
        else:
            backend.close()
        wait_until(lambda: not any(map(alive, pids)))
    finally:
        backend.close()


def test_a_stopped_run_lets_it_go_on_and_a_thread_given_up_ends_it(tmp_path: Path) -> None:
    backend = ThreadBackend(family, workers=1)
    try:
        backend.start(0, chunk([str(tmp_path / "pids")]))
        pids = pids_of(tmp_path / "pids")
        backend.stop(0, "close")
        assert backend.inbox.take(0.3) == []
        assert all(map(alive, pids))
        backend.stop(0, "kill")
        (lost,) = backend.inbox.take(PATIENCE)
        assert isinstance(lost, WorkerLost)
        wait_until(lambda: not any(map(alive, pids)))
    finally:
        backend.close()


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_its_timeout_is_no_more_than_the_attempt_has_left(tmp_path: Path, kind: str) -> None:
    backend: Any = (ThreadBackend if kind == "threads" else ProcessBackend)(family, workers=1, timeout=1.5)
    try:
        backend.start(0, chunk([str(tmp_path / "pids")]))  # nobody calls `stop`: that is the engine's part
        (ended,) = backend.inbox.take(PATIENCE)
        assert isinstance(ended, ChunkEnded)
        assert ended.errors[0].type == "subprocess.TimeoutExpired"
        wait_until(lambda: not any(map(alive, pids_of(tmp_path / "pids"))))
    finally:
        backend.close()


def test_its_own_timeout_leaves_the_worker_alone() -> None:
    def func(item: int) -> int:
        if item == 1:
            run_process(["sh", "-c", "sleep 300 & sleep 300"], timeout=0.2)
        return os.getpid()

    backend = ProcessBackend(func, workers=1)
    try:
        backend.start(0, chunk([0, 1, 2]))
        (ended,) = backend.inbox.take(PATIENCE)
        assert isinstance(ended, ChunkEnded)
        assert ended.values[0] == ended.values[2]
        assert ended.errors[1].type == "subprocess.TimeoutExpired"
    finally:
        backend.close()


def test_many_at_once_in_threads() -> None:
    ended: list[int] = []

    def work() -> None:
        for _ in range(5):
            done = run_process(["sh", "-c", "sleep 300 & echo $!"], text=True)
            ended.append(int(done.stdout))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(ended) == 40
    wait_until(lambda: not any(map(alive, ended)))
