"""Seed 003 as printed, and what its original got wrong. Nothing here sleeps: who waits, waits for an event."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import pickle
import re
import threading
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import raddle
from raddle.errors import ConfigError
from raddle.workloads.encrypt import (
    ConcurrentEncryptionOrchestrator,
    EncryptionConfig,
    EncryptionResult,
    EncryptionTask,
    PreprocessConfig,
)

pytest.importorskip("cryptography")
np = pytest.importorskip("numpy")
cv2 = pytest.importorskip("cv2")
pytest.importorskip("PIL")

from raddle.workloads.encrypt.age import Keys, Secret, WrongKey  # noqa: E402 - only if these are there
from raddle.workloads.encrypt.batch_key import keys_beside  # noqa: E402
from raddle.workloads.encrypt.sealed_sketch import SealedSketch, SketchSealer  # noqa: E402
from raddle.workloads.encrypt.sealing import open_file  # noqa: E402
from raddle.workloads.encrypt.sketch import from_bytes, sketch_picture, to_bytes  # noqa: E402

PATIENCE = 60.0
KEY = "correct horse battery staple"


# ---------------------------------------------------------------------------------------------- encryptors, pictures


def task(name: str | Path = "a.png", key: Any = KEY, task_id: str | None = None) -> EncryptionTask:
    return EncryptionTask(Path(name), key, PreprocessConfig(), EncryptionConfig(), task_id)


class Encryptor:
    """Any object with `encrypt_image`: does what the name of the picture says."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.waiting = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.at_once = self.most_at_once = 0
        self.keys: list[Any] = []

    def encrypt_image(self, image_path: Path, key: Any, preprocess_config: Any, encryption_config: Any) -> bytes:
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.keys.append(key)
        try:
            return self.do(image_path.stem)
        finally:
            with self.lock:
                self.at_once -= 1

    def do(self, what: str) -> bytes:
        if what.startswith("wait"):
            self.waiting.release()
            assert self.go.wait(PATIENCE)
        elif what == "cancelled":
            self.waiting.release()
            while not raddle.attempt().cancelled:
                self.go.wait(0.01)
        elif what == "bad":
            raise LookupError("no such picture")
        elif what == "exit":
            raise SystemExit(3)
        elif what == "steps":
            raddle.attempt().report(40)
        return f"payload of {what}".encode()


def in_process() -> Any:
    """Return an encryptor that is sent by value: a worker process need not find this module."""
    expected = hashlib.sha256(KEY.encode()).digest()  # the key itself shall not be found in what is sent

    class InProcess:
        def encrypt_image(self, image_path: Any, key: Any, preprocess_config: Any, encryption_config: Any) -> Any:
            import hashlib
            import os
            import signal

            if image_path.stem == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            return os.getpid(), hashlib.sha256(key.encode()).digest() == expected, image_path.name

    return InProcess()


class Log:
    """A progress callback that remembers, and lets others wait for what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float]] = []
        self.told = threading.Condition()

    def __call__(self, task_id: str, value: float) -> None:
        with self.told:
            self.calls.append((task_id, value))
            self.told.notify_all()

    def of(self, task_id: str) -> list[float]:
        with self.told:
            return [value for told, value in self.calls if told == task_id]

    def wait_for(self, call: tuple[str, float]) -> None:
        with self.told:
            assert self.told.wait_for(lambda: call in self.calls, PATIENCE)


def made(encryptor: Any = None, workers: int = 2, callback: Any = None, **options: Any) -> Any:
    return ConcurrentEncryptionOrchestrator(encryptor or Encryptor(), workers, callback, **options)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    found = []
    for number in range(6):
        grey = np.full((120, 160), 120, np.uint8)
        cv2.circle(grey, (40 + 12 * number, 60), 20 + number, 250, -1)
        cv2.rectangle(grey, (5, 5), (60 + number, 30), 10, -1)
        found.append(folder / f"image{number + 1}.png")
        cv2.imwrite(str(found[-1]), grey)
    return found


def cheap() -> SketchSealer:
    return SketchSealer(work_factor=10)


# --------------------------------------------------------------------------------------------------- the seed's code

BLOCKS = {
    "batch": """
from fourier_encryption.concurrency import (
    ConcurrentEncryptionOrchestrator,
    EncryptionTask,
)

# Create concurrent orchestrator
concurrent_orch = ConcurrentEncryptionOrchestrator(
    orchestrator=base_orchestrator,
    max_workers=4,  # Use 4 worker threads
    progress_callback=lambda task_id, progress: print(f"{task_id}: {progress}%"),
)

# Prepare tasks
tasks = [
    EncryptionTask(
        image_path=Path("image1.png"),
        key="password1",
        preprocess_config=PreprocessConfig(),
        encryption_config=EncryptionConfig(),
        task_id="task_1",
    ),
    # ... more tasks
]

# Execute batch (blocks until all complete)
results = concurrent_orch.encrypt_batch(tasks, wait=True)

# Check results
for result in results:
    if result.success:
        print(f"{result.task_id}: Success")
    else:
        print(f"{result.task_id}: Failed - {result.error}")
""",
    "renderer": """
from fourier_encryption.concurrency import ThreadSafeRenderer

# Create thread-safe renderer
renderer = ThreadSafeRenderer(backend="matplotlib")

# Use from multiple threads safely
def render_in_thread(state, frame_num):
    renderer.render_frame(state, frame_num)

# Multiple threads can call render_frame concurrently
threads = [
    threading.Thread(target=render_in_thread, args=(state, i))
    for i in range(10)
]

for thread in threads:
    thread.start()

for thread in threads:
    thread.join()
""",
    "sizes": """
import os

# CPU-bound (default)
max_workers = None  # Uses os.cpu_count()

# I/O-bound
max_workers = os.cpu_count() * 2

# Memory-constrained
max_workers = 2
""",
    "smaller": """
# Process in smaller batches
batch_size = 10
for i in range(0, len(all_tasks), batch_size):
    batch = all_tasks[i:i+batch_size]
    results = concurrent_orch.encrypt_batch(batch, wait=True)
""",
    "retry": """
results = concurrent_orch.encrypt_batch(tasks, wait=True)

successful = [r for r in results if r.success]
failed = [r for r in results if not r.success]

print(f"Successful: {len(successful)}")
print(f"Failed: {len(failed)}")

# Retry failed tasks
retry_tasks = [
    EncryptionTask(
        image_path=r.image_path,
        key="new_password",
        preprocess_config=PreprocessConfig(),
        encryption_config=EncryptionConfig(),
    )
    for r in failed
]
""",
    "invalid": """
# Even if rendering fails, the thread continues
renderer.render_frame(invalid_state, frame_number=0)
# Error is logged, but no exception is raised
""",
}


def run_block(name: str, folder: Path, **names: Any) -> tuple[dict[str, Any], str]:
    """Run a block of the seed with nothing changed but where it imports from; return its names and what it printed."""
    code = BLOCKS[name].replace("from fourier_encryption.concurrency import", "from raddle.workloads.encrypt import")
    space = {
        "Path": Path,
        "PreprocessConfig": PreprocessConfig,
        "EncryptionConfig": EncryptionConfig,
        "EncryptionTask": EncryptionTask,
        "threading": threading,
        **names,
    }
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        exec(compile(code, f"seed 003, {name}", "exec"), space)
    return space, printed.getvalue()


def test_the_blocks_are_those_of_the_seed(data: Path) -> None:
    seeds = sorted((data.parent / "seeds").glob("003*"))
    if not seeds:
        pytest.skip("the seed itself is not here")
    shown = re.findall(r"^```python\n(.*?)^```", seeds[0].read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert shown == [block.removeprefix("\n") for block in BLOCKS.values()]


@pytest.mark.parametrize("base", ["our own", "somebody's", "none given"])
def test_usage_as_printed(base: str, pictures: list[Path]) -> None:
    # the default spends the second of scrypt that it promises
    given = {"our own": cheap(), "somebody's": Encryptor(), "none given": None}[base]
    space, printed = run_block("batch", pictures[0].parent, base_orchestrator=given)
    lines = printed.splitlines()
    assert (lines[0], lines[-2], lines[-1]) == ("task_1: 0.0%", "task_1: 100.0%", "task_1: Success")
    assert [result.task_id for result in space["results"]] == ["task_1"]
    payload = space["results"][0].payload
    assert isinstance(payload, bytes) if base == "somebody's" else payload.open("password1").recall > 0.9


def test_a_missing_picture_as_printed(tmp_path: Path) -> None:
    _, printed = run_block("batch", tmp_path, base_orchestrator=cheap())
    assert "task_1: -1.0%" in printed
    assert "task_1: Failed - FileNotFoundError: [Errno 2] No such file or directory: 'image1.png'" in printed


def test_sizes_and_smaller_batches_as_printed(tmp_path: Path) -> None:
    sizes, _ = run_block("sizes", tmp_path)
    orchestrator = made(workers=sizes["max_workers"])
    space, _ = run_block(
        "smaller", tmp_path, concurrent_orch=orchestrator, all_tasks=[task(f"{n}.png") for n in range(25)]
    )
    assert [result.task_id for result in sorted(space["results"], key=lambda r: r.task_id)] == [
        f"task_{n}" for n in range(21, 26)
    ]
    assert len(orchestrator.get_all_results()) == 25, "results of earlier batches stay until they are cleared"
    orchestrator.clear_results()
    assert orchestrator.get_all_results() == {}


def test_retry_as_printed(tmp_path: Path) -> None:
    encryptor = Encryptor()
    orchestrator = made(encryptor)
    names = {"concurrent_orch": orchestrator, "tasks": [task("a.png"), task("bad.png"), task("b.png")]}
    space, printed = run_block("retry", tmp_path, **names)
    assert printed.splitlines() == ["Successful: 2", "Failed: 1"]
    again = orchestrator.encrypt_batch(space["retry_tasks"])
    assert [(r.image_path, r.task_id, encryptor.keys[-1]) for r in again] == [
        (Path("bad.png"), "task_4", "new_password")
    ]


def test_rendering_as_printed(tmp_path: Path, pictures: list[Path], caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("matplotlib")
    from raddle.workloads.encrypt.draw.epicycles import epicycle_state

    state = epicycle_state(sketch_picture(pictures[0]), 1.0)
    space, _ = run_block("renderer", tmp_path, state=state)
    assert space["renderer"].counts.drawn == 10
    run_block("invalid", tmp_path, renderer=space["renderer"], invalid_state="no state")
    assert [record.levelname for record in caplog.records] == ["ERROR"]


# ------------------------------------------------------------------------------- what the original got wrong: progress


def test_there_are_real_steps_between_start_and_end(pictures: list[Path]) -> None:
    log = Log()
    with made(cheap(), callback=log) as orchestrator:
        orchestrator.encrypt_batch([task(path) for path in pictures])
    for number in range(1, len(pictures) + 1):
        steps = log.of(f"task_{number}")
        assert (steps[0], steps[-1], len(steps)) == (0.0, 100.0, 8)
        assert steps == sorted(steps)


def test_somebody_elses_steps_are_told(tmp_path: Path) -> None:
    log = Log()
    made(callback=log).encrypt_batch([task("steps.png")])
    assert log.of("task_1") == [0.0, 40.0, 100.0]


@pytest.mark.parametrize(("name", "told"), [("a.png", [0.0, 100.0]), ("bad.png", [0.0, -1.0])])
def test_the_end_is_told_when_the_result_is_there(name: str, told: list[float]) -> None:
    seen: list[tuple[float, Any]] = []
    orchestrator = made(callback=lambda i, value: seen.append((value, orchestrator.get_result(i))))
    results = orchestrator.encrypt_batch([task(name)])
    assert [value for value, _ in seen] == told
    assert seen[-1][1] is results[0]


@pytest.mark.parametrize("error", [RuntimeError("cb"), SystemExit(1), KeyboardInterrupt()])
@pytest.mark.parametrize(("name", "success"), [("a.png", True), ("bad.png", False)])
def test_a_callback_that_raises_harms_nothing(
    error: BaseException, name: str, success: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def callback(task_id: str, value: float) -> None:
        raise error

    results = made(callback=callback).encrypt_batch([task(name), task("b.png")], ordered=True)
    assert [result.success for result in results] == [success, True]
    assert results[0].error is None if success else results[0].error == "LookupError: no such picture"
    assert "progress_callback raised for task_id='task_1'" in caplog.text
    assert caplog.text.count("Traceback") == 1, "the same trouble is told in full once"


def test_the_callback_runs_outside_of_locks() -> None:
    """The original's would hang: a callback waits for a thread that uses every method there is."""
    used: list[Any] = []

    def use() -> None:
        used.append(orchestrator.get_all_results())
        used.append(orchestrator.get_result("task_1"))
        used.append(orchestrator.encrypt_batch([task("later.png")], wait=False))
        orchestrator.clear_results()

    def callback(task_id: str, value: float) -> None:
        if (task_id, value) == ("task_1", 0.0):
            thread = threading.Thread(target=use)
            thread.start()
            thread.join(PATIENCE)
            assert not thread.is_alive()

    with made(callback=callback) as orchestrator:
        orchestrator.encrypt_batch([task("a.png")])
    assert len(used) == 3


def test_a_callback_may_try_again_but_not_wait_for_itself() -> None:
    refused: list[str] = []

    def callback(task_id: str, value: float) -> None:
        if (task_id, value) != ("first", -1.0):
            return
        for call in (lambda: orchestrator.encrypt_batch([task()]), orchestrator.close):
            with pytest.raises(ConfigError, match="would wait for itself") as caught:
                call()
            refused.append(str(caught.value))
        orchestrator.encrypt_batch([task("a.png", task_id="second")], wait=False)

    with made(callback=callback) as orchestrator:
        assert [result.success for result in orchestrator.encrypt_batch([task("bad.png", task_id="first")])] == [False]
    assert orchestrator.get_result("second").success
    assert len(refused) == 2


def test_nothing_is_told_of_an_abandoned_attempt() -> None:
    log, encryptor = Log(), Encryptor()

    class Late(Encryptor):
        def do(self, what: str) -> bytes:
            tell = raddle.attempt().report
            encryptor.go.wait(PATIENCE)
            tell(70)
            encryptor.waiting.release()
            return b""

    results = made(Late(), callback=log, timeout=0.2).encrypt_batch([task("a.png")])
    assert (results[0].status, results[0].success) == ("timed_out", False)
    encryptor.go.set()
    assert encryptor.waiting.acquire(timeout=PATIENCE)
    assert log.of("task_1") == [0.0, -1.0]


# ------------------------------------------------------------------------------------------------- order and waiting


@pytest.mark.parametrize(("ordered", "expected"), [(False, ["b", "a"]), (True, ["a", "b"])])
def test_results_come_as_completed_or_in_order(ordered: bool, expected: list[str]) -> None:
    encryptor = Encryptor()

    def callback(task_id: str, value: float) -> None:
        if (task_id, value) == ("b", 100.0):
            encryptor.go.set()

    tasks = [task("wait.png", task_id="a"), task("b.png", task_id="b")]
    results = made(encryptor, callback=callback).encrypt_batch(tasks, ordered=ordered)
    assert [result.task_id for result in results] == expected


def test_no_tasks_no_results() -> None:
    assert made().encrypt_batch([]) == []
    assert made(cheap()).encrypt_batch([], wait=False) == []


def test_without_waiting_it_returns_at_once_and_results_come_later() -> None:
    log, encryptor = Log(), Encryptor()
    with made(encryptor, workers=1, callback=log) as orchestrator:
        assert orchestrator.encrypt_batch([task("b.png"), task("wait.png"), task("c.png")], wait=False) == []
        log.wait_for(("task_1", 100.0))
        assert orchestrator.get_result("task_1").payload == b"payload of b"
        assert orchestrator.get_result("task_2") is None
        encryptor.go.set()
    assert [orchestrator.get_result(f"task_{n}").success for n in (1, 2, 3)] == [True] * 3
    assert orchestrator.get_result("task_9") is None


def test_batches_take_turns_and_keep_to_their_workers() -> None:
    encryptor, log = Encryptor(), Log()
    with made(encryptor, workers=2, callback=log) as orchestrator:
        for batch in "xyz":
            orchestrator.encrypt_batch([task(f"{n}.png", task_id=f"{batch}{n}") for n in range(5)], wait=False)
        results = orchestrator.encrypt_batch([task("last.png", task_id="last")])
    ended = [task_id for task_id, value in log.calls if value == 100.0]
    assert [task_id[0] for task_id in ended] == [*"xxxxxyyyyyzzzzz", "l"]
    assert [result.task_id for result in results] == ["last"]
    assert encryptor.most_at_once <= 2


def test_many_threads_may_hand_in_batches() -> None:
    orchestrator = made()
    got: list[EncryptionResult] = []
    threads = [
        threading.Thread(target=lambda: got.extend(orchestrator.encrypt_batch([task() for _ in range(10)])))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(result.task_id for result in got) == sorted(f"task_{n}" for n in range(1, 81))
    assert len(orchestrator.get_all_results()) == 80


def test_what_is_cancelled_has_a_result_too() -> None:
    encryptor, log = Encryptor(), Log()
    with made(encryptor, workers=1, callback=log) as orchestrator:
        orchestrator.encrypt_batch([task("wait.png"), *[task("b.png") for _ in range(50)]], wait=False)
        orchestrator.encrypt_batch([task("c.png", task_id="later")], wait=False)
        assert encryptor.waiting.acquire(timeout=PATIENCE)
        orchestrator.cancel()
        encryptor.go.set()
    results = orchestrator.get_all_results()
    assert len(results) == 52
    assert results["task_1"].success
    assert (results["task_51"].status, results["later"].status) == ("cancelled", "cancelled")
    assert log.of("later") == [-1.0]


def test_an_exception_in_the_block_starts_nothing_more() -> None:
    encryptor = Encryptor()
    orchestrator = made(encryptor, workers=1)

    def block() -> None:
        with orchestrator:
            orchestrator.encrypt_batch([task("cancelled.png"), *[task("b.png") for _ in range(50)]], wait=False)
            assert encryptor.waiting.acquire(timeout=PATIENCE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert orchestrator.get_result("task_51").status == "cancelled"


def test_closed_is_closed() -> None:
    with made() as orchestrator:
        pass
    with pytest.raises(ConfigError, match="is closed: make another one"):
        orchestrator.encrypt_batch([task()])


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("name", "error"), [("bad.png", "LookupError: no such picture"), ("exit.png", "SystemExit: 3")]
)
def test_one_failure_is_its_own(name: str, error: str) -> None:
    """SystemExit in a worker escaped the original's encrypt_batch, and all other results were lost."""
    tasks = [task("a.png"), task(name), task("b.png")]
    results = made().encrypt_batch(tasks, ordered=True)
    assert [result.success for result in results] == [True, False, True]
    bad = results[1]
    assert (bad.error, bad.payload, bad.status, bad.image_path) == (error, None, "failed", Path(name))
    assert bad.info is not None
    assert "encrypt_image" in bad.info.traceback
    assert type(bad.info.exception).__name__ == error.partition(":")[0]


def test_a_timeout_frees_the_worker() -> None:
    encryptor = Encryptor()
    try:
        tasks = [task("wait.png"), task("a.png"), task("b.png")]
        results = made(encryptor, workers=1, timeout=1).encrypt_batch(tasks, ordered=True)
    finally:
        encryptor.go.set()
    assert [result.status for result in results] == ["timed_out", "ok", "ok"]


def test_failed_tasks_are_tried_again_if_so_asked() -> None:
    class Twice(Encryptor):
        def do(self, what: str) -> bytes:
            if raddle.attempt().number == 1:
                raise OSError("not yet")
            return b"now"

    results = made(Twice(), retry=1).encrypt_batch([task("a.png")])
    assert (results[0].payload, results[0].attempts) == (b"now", 2)


def test_a_run_that_ends_early_still_gives_every_task_a_result() -> None:
    """Too many abandoned threads end a run; nothing is missing from the results."""
    encryptor = Encryptor()
    try:
        results = made(encryptor, workers=70, timeout=0.3).encrypt_batch([task("wait.png") for _ in range(200)])
    finally:
        encryptor.go.set()
    assert len(results) == 200
    assert not any(result.success for result in results)
    # what was started, what the run had taken, and what it had not
    statuses = {result.status for result in results}
    assert "timed_out" in statuses
    assert statuses & {"cancelled", "failed"}
    assert all("abandoned" in result.error for result in results), "each says why"


# --------------------------------------------------------------------------------------------------------------- ids


@pytest.mark.parametrize(
    ("before", "tasks", "hint"),
    [
        ([], ["a", "b", "a"], "task_id='a': given to two tasks of the batch"),
        (["a"], ["b", "a"], "task_id='a': has a result already; give another id, or clear_results()"),
        ([None], ["task_1"], "task_id='task_1': has a result already"),
    ],
)
def test_an_id_names_one_task(before: list[str | None], tasks: list[str], hint: str) -> None:
    log = Log()
    orchestrator = made(callback=log)
    orchestrator.encrypt_batch([task(task_id=name) for name in before])
    told, results = len(log.calls), orchestrator.get_all_results()
    with pytest.raises(ConfigError, match=re.escape(hint)):
        orchestrator.encrypt_batch([task(task_id=name) for name in tasks])
    assert (len(log.calls), orchestrator.get_all_results()) == (told, results), "nothing has started"
    orchestrator.clear_results()
    orchestrator.encrypt_batch([task(task_id=name) for name in dict.fromkeys(tasks)])


def test_an_id_under_way_is_refused() -> None:
    encryptor = Encryptor()
    with made(encryptor) as orchestrator:
        orchestrator.encrypt_batch([task("wait.png", task_id="a")], wait=False)
        with pytest.raises(ConfigError, match="task_id='a': a task of this id is under way"):
            orchestrator.encrypt_batch([task(task_id="a")], wait=False)
        encryptor.go.set()


def test_generated_ids_keep_clear_of_given_ones() -> None:
    tasks = [task("a.png"), task("b.png", task_id="task_1"), task("c.png"), task("d.png", task_id="task_3")]
    results = made().encrypt_batch(tasks, ordered=True)
    assert [result.task_id for result in results] == ["task_2", "task_1", "task_4", "task_3"]


def test_a_failed_task_may_be_tried_again_under_its_id() -> None:
    orchestrator = made()
    orchestrator.encrypt_batch([task("bad.png", task_id="a")])
    orchestrator.encrypt_batch([task("a.png", task_id="a")])
    assert orchestrator.get_result("a").success


def test_tasks_are_not_changed_and_may_be_used_again() -> None:
    tasks = [task("a.png"), task("b.png")]
    orchestrator = made()
    first = orchestrator.encrypt_batch(tasks, ordered=True)
    second = orchestrator.encrypt_batch(iter(tasks), ordered=True)
    assert [r.task_id for r in [*first, *second]] == ["task_1", "task_2", "task_3", "task_4"]
    assert tasks == [task("a.png"), task("b.png")]


def test_results_are_given_as_a_copy() -> None:
    orchestrator = made()
    orchestrator.encrypt_batch([task()])
    orchestrator.get_all_results().clear()
    assert list(orchestrator.get_all_results()) == ["task_1"]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"max_workers": 0}, "max_workers=0: must be a whole number from 1, or None"),
        ({"max_workers": 1.5}, "max_workers=1.5"),
        ({"backend": "asyncio"}, "backend='asyncio': must be 'threads' or 'processes'"),
        ({"timeout": 0}, "timeout=0: must be seconds over 0, or None"),
        ({"retry": -1}, "retry=-1: must be a whole number from 0"),
    ],
)
def test_wrong_options_are_refused_at_once(options: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(hint)):
        ConcurrentEncryptionOrchestrator(Encryptor(), **options)


def test_by_default_there_are_as_many_workers_as_cpus() -> None:
    encryptor = Encryptor()
    count = len(os.sched_getaffinity(0))
    with ConcurrentEncryptionOrchestrator(encryptor) as orchestrator:
        orchestrator.encrypt_batch([task("wait.png") for _ in range(3 * count)], wait=False)
        for _ in range(count):
            assert encryptor.waiting.acquire(timeout=PATIENCE)
        encryptor.go.set()
    assert encryptor.most_at_once == count


# ------------------------------------------------------------------------------------------------------------ secrets


def test_the_key_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    results = made(callback=lambda *_: 1 / 0).encrypt_batch([task("bad.png"), task("a.png")])
    shown = f"{task()!r} {task()} {results!r} {[r.info for r in results]!r} {caplog.text}"
    assert KEY not in shown
    assert "LookupError" in shown


def test_no_key_is_pickled_on_its_way_to_a_process() -> None:
    from raddle.workloads.encrypt.seed_work import Work, plan

    for encryptor in (cheap(), in_process()):
        with contextlib.ExitStack() as stack:
            func, works = plan(
                [("a", task())],
                encryptor,
                workers=1,
                processes=True,
                tell=lambda *_: None,
                inside=threading.local(),
                stack=stack,
            )
            found = list(works)
            assert all(isinstance(work, Work) for work in found)
            assert KEY.encode() not in cloudpickle.dumps((func, found))


def test_processes_with_somebody_elses_encryptor() -> None:
    log = Log()
    tasks = [task("a.png"), task("die.png"), task("b.png")]
    results = made(in_process(), callback=log, backend="processes").encrypt_batch(tasks, ordered=True)
    assert [result.status for result in results] == ["ok", "crashed", "ok"]
    assert [results[0].payload[1:], results[2].payload[1:]] == [(True, "a.png"), (True, "b.png")]
    assert results[0].payload[0] != os.getpid()
    assert [log.of(f"task_{n}")[-1] for n in (1, 2, 3)] == [100.0, -1.0, 100.0]
    assert log.of("task_1")[0] == 0.0


# --------------------------------------------------------------------------------------------------- the default: ours


@pytest.fixture(scope="module")
def sealed(pictures: list[Path]) -> list[EncryptionResult]:
    with made(cheap(), workers=2) as orchestrator:
        return orchestrator.encrypt_batch(
            [task(path, f"passphrase {number % 2}") for number, path in enumerate(pictures)], ordered=True
        )


def test_each_payload_opens_by_itself(sealed: list[EncryptionResult], pictures: list[Path]) -> None:
    for number, (result, path) in enumerate(zip(sealed, pictures, strict=True)):
        payload = pickle.loads(pickle.dumps(result.payload))
        assert to_bytes(payload.open(f"passphrase {number % 2}")) == to_bytes(sketch_picture(path))
        with pytest.raises(WrongKey):
            payload.open(Secret(b"another"))


def test_one_scrypt_for_each_passphrase(sealed: list[EncryptionResult]) -> None:
    """The original derived one key for each picture. The file keys are new each time all the same."""
    assert len({result.payload.identity for result in sealed}) == 2
    assert len({result.payload.sealed[:150] for result in sealed}) == len(sealed)
    assert all(result.payload.identity.startswith(b"-----BEGIN AGE ENCRYPTED FILE-----") for result in sealed)


def test_eight_workers_or_processes_give_what_one_gives(pictures: list[Path]) -> None:
    expected = [to_bytes(sketch_picture(path)) for path in pictures]
    for workers, backend in ((8, "threads"), (2, "processes")):
        with made(cheap(), workers=workers, backend=backend) as orchestrator:
            results = orchestrator.encrypt_batch([task(path) for path in pictures], ordered=True)
        assert [to_bytes(result.payload.open(KEY)) for result in results] == expected


@pytest.mark.parametrize(("key", "hint"), [("", "is empty: give a passphrase"), (7, "is of type int")])
def test_a_key_that_is_none_fails_alone(key: Any, hint: str, pictures: list[Path]) -> None:
    results = made(cheap()).encrypt_batch([task(pictures[0], key), task(pictures[1])], ordered=True)
    assert [result.success for result in results] == [False, True]
    assert hint in (results[0].error or "")


def test_no_passphrase_is_refused_for_its_characters(pictures: list[Path]) -> None:
    """The original refused `&` and `$` as an injection, and asked for its own mixture of characters."""
    for key in ("& ; | ` $ --", "ä\u0301 日本", "short"):
        (result,) = made(cheap()).encrypt_batch([task(pictures[0], key)])
        assert result.payload.open(key).recall > 0.9


def test_saved_files_are_those_of_the_command(sealed: list[EncryptionResult], tmp_path: Path) -> None:
    saved = [result.payload.save(tmp_path) for result in sealed[::2]]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"image{n}.png.sketch.age" for n in (1, 3, 5)),
        "raddle-identity.age",
    ]
    keys: Keys = keys_beside(tmp_path, Secret(b"passphrase 0"))
    open_file(saved[0], tmp_path / "opened.sketch", keys)
    assert from_bytes((tmp_path / "opened.sketch").read_bytes()).name == "image1.png"
    with pytest.raises(ConfigError, match="belongs to files of another batch or passphrase: save to another folder"):
        sealed[1].payload.save(tmp_path)
    with pytest.raises(FileExistsError, match="never overwritten"):
        sealed[0].payload.save(tmp_path)


def test_nothing_of_a_payload_is_shown(sealed: list[EncryptionResult]) -> None:
    payload = sealed[0].payload
    assert isinstance(payload, SealedSketch)
    assert repr(payload) == "SealedSketch(name='image1.png')"


def test_a_work_factor_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="work_factor=25 must be 10 to 20"):
        SketchSealer(work_factor=25)


def test_broken_pictures_have_one_outcome_each(data: Path) -> None:
    broken = sorted((data / "images" / "broken").iterdir())
    if not broken:
        pytest.skip("no broken pictures here")
    good = data / "images" / "good" / "camera.png"
    with made(cheap(), timeout=10) as orchestrator:
        results = orchestrator.encrypt_batch([task(path) for path in [*broken, good]], ordered=True)
    assert [result.image_path for result in results] == [*broken, good]
    assert results[-1].success
    assert all(result.success or result.error.startswith("PictureError: ") for result in results if result.error)
    assert sum(not result.success for result in results) >= len(broken) - 1


def test_a_picture_is_read_where_it_is_named(tmp_path: Path, pictures: list[Path]) -> None:
    """Suffixes are not believed: the original refused its own picture for `.webp`."""
    path = tmp_path / "picture.txt"
    path.write_bytes(pictures[0].read_bytes())
    assert made(cheap()).encrypt_batch([task(path)])[0].success
