"""The programs that are killed: python programs.py NAME OPTIONS-AS-JSON. The last line they print is their answer.

They know nothing of the tests. What they do they write into files outside, one `write` a line, so that a kill at any
moment leaves whole lines.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import raddle

if TYPE_CHECKING:
    from collections.abc import Iterator

Options = dict[str, Any]
LIFE = os.environ.get("RADDLE_CHAOS_LIFE", "0")


def say(**answer: Any) -> None:
    print(json.dumps(answer), flush=True)


def append(path: str) -> int:
    return os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)


def begin(func: Any, items: Any, options: Options, **more: Any) -> raddle.Run:
    """Start a run; a journal that dying workers of the life before still hold is waited for, and how long is said."""
    began = time.monotonic()
    while True:
        try:
            run = raddle.run(func, items, backend=options.get("backend", "processes"), workers=2, resume=True, **more)
        except raddle.JournalLocked:
            if time.monotonic() - began > 10:
                raise
            time.sleep(0.002)
        else:
            waited = time.monotonic() - began
            if options.get("waits"):
                os.write(append(options["waits"]), f"{waited:.4f}\n".encode())
            return run


# --------------------------------------------------------------------------------- journaled: what runs, and how often

_FILES: dict[tuple[int, str], int] = {}
_BUSY: dict[int, object] = {}


def opened(path: str) -> int:
    """Return this process's own descriptor of a file; it stays open, or the locks on it would go."""
    key = (os.getpid(), path)
    if key not in _FILES:
        _FILES[key] = os.open(path, os.O_APPEND | os.O_CREAT | os.O_RDWR, 0o644)
    return _FILES[key]


def lane_of(number: int, options: Options) -> int:
    lanes = options.get("lanes", 0)
    return number % lanes if lanes else number


def noted(options: Options, number: int) -> int:
    """Run one item and note its beginning and its end; say so if another call of the item (or its key) is under way.

    A lock on the item's byte of a file shows that: the kernel drops it when the process dies, and not before.
    """
    attempt = raddle.attempt()
    log, locks, lane = opened(options["log"]), opened(options["log"] + ".locks"), lane_of(number, options)
    head = f"{number} {LIFE} {attempt.number} {os.getpid()}"
    token = object()
    free = _BUSY.setdefault(lane, token) is token  # locks do not tell the threads of one process apart
    try:
        fcntl.lockf(locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, lane)
    except OSError:
        free = False
    if not free:
        os.write(log, f"O {head} {time.monotonic():.6f}\n".encode())
    os.write(log, f"S {head} {time.monotonic():.6f} {attempt.idempotency_key} {lane}\n".encode())
    try:
        value = deed(options, number, attempt)
    finally:
        os.write(log, f"E {head} {time.monotonic():.6f}\n".encode())
        if free:
            fcntl.lockf(locks, fcntl.LOCK_UN, 1, lane)
            del _BUSY[lane]
    return value


def deed(options: Options, number: int, attempt: raddle.Attempt) -> int:
    pause = (number * 2654435761 % 1000) / 1000 * options.get("slowest", 0.005)
    if number % 4 == 0:
        end = time.monotonic() + pause
        while time.monotonic() < end:
            pass
    else:
        time.sleep(pause)
    if options.get("trouble"):
        trouble(number, attempt)
    if options.get("out"):
        write_whole(options, number, attempt.idempotency_key)
    return number * number


def trouble(number: int, attempt: raddle.Attempt) -> None:
    """Fail, hang or die: some at their first try only, some always."""
    if number % 37 == 7 or (number % 31 == 5 and attempt.number == 1):
        raise ValueError(f"item {number}")
    if number % 101 == 50 and attempt.number == 1:
        time.sleep(3600)
    if number % 67 == 3 and attempt.number == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def write_whole(options: Options, number: int, key: str) -> None:
    """Have effects outside that are there once, whatever is killed: a file by rename, a row by its idempotency key."""
    import sqlite3

    final = Path(options["out"], f"{number}.txt")
    part = final.with_suffix(f".part-{os.getpid()}")
    with part.open("w") as file:
        file.write(f"{number} {key} {'x' * 5000} end\n")
        file.flush()
        os.fsync(file.fileno())
    part.rename(final)
    db = sqlite3.connect(options["out"] + ".db", timeout=30)
    try:
        with db:
            db.execute("INSERT INTO effect VALUES (?, ?) ON CONFLICT DO NOTHING", (key, number))
    finally:
        db.close()


def journaled(options: Options) -> int:
    """Run items with a journal, and note every outcome that is given out."""
    acks = append(options["acks"])
    more: Options = {}
    if options.get("lanes"):
        more["key"] = partial(_lane, options["lanes"])
    if options.get("timeout"):
        more["timeout"] = options["timeout"]
    retry = raddle.Retry(attempts=options.get("attempts", 60), wait_max=0.002, on=(raddle.WorkerCrashed, Exception))
    run = begin(
        partial(noted, {k: v for k, v in options.items() if k != "waits"}),
        range(options["items"]),
        options,
        journal=options["journal"],
        name="chaos",
        retry=retry,
        **more,
    )
    try:
        with run:
            for outcome in run:
                if outcome.ok:
                    assert outcome.value == outcome.item**2, outcome
                words = LIFE, outcome.position, outcome.item, outcome.status, int(outcome.resumed), time.monotonic()
                os.write(acks, (" ".join(map(str, words)) + "\n").encode())
    except raddle.BackendError as error:
        print(error, file=sys.stderr)
        return 7
    snapshot = run.snapshot()
    say(summary=asdict(run.summary), done=snapshot.done, total=snapshot.total)
    return 0


def _lane(lanes: int, number: int) -> int:
    return number % lanes


# ------------------------------------------------------------------------------------------------------------ poison


def poisoned(options: Options, number: int) -> int:
    os.write(opened(options["log"]), f"{number} {LIFE}\n".encode())
    if number in options["poison"]:
        time.sleep(options["after"])
        os.kill(int(os.environ["RADDLE_CHAOS_DRIVER"]) if options["parent"] else os.getpid(), signal.SIGKILL)
        time.sleep(60)
    time.sleep(options["pause"])
    return number


def poison(options: Options) -> int:
    """Meet items that kill their worker or this very program."""
    os.environ["RADDLE_CHAOS_DRIVER"] = str(os.getpid())
    retry = raddle.Retry(attempts=3, wait_max=0.01)
    func = partial(poisoned, {k: v for k, v in options.items() if k != "waits"})
    with begin(func, range(options["items"]), options, journal=options["journal"], name="poison", retry=retry) as run:
        ends = [(outcome.item, str(outcome.status), outcome.attempts, str(outcome.error)) for outcome in run]
    say(summary=asdict(run.summary), ends=[end for end in ends if end[1] != "ok"])
    return 0


def hungry(number: int) -> int:
    if number % 20 == 7:
        hoard = []
        while True:
            hoard.append(bytearray(32 << 20))
    if number % 20 == 13:
        hoard = [bytearray(64 << 20)]
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out
    return number


def bound_memory() -> None:
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)


def hunger(options: Options) -> int:
    """Meet items that allocate until they cannot."""
    with raddle.run(hungry, range(options["items"]), backend="processes", workers=2, initializer=bound_memory) as run:
        ends = [(outcome.item, str(outcome.status), str(outcome.error)) for outcome in run]
    say(summary=asdict(run.summary), ends=[end for end in ends if end[1] != "ok"])
    return 0


# ---------------------------------------------------------------------------------------------------------- timeouts


def hang(kind: str) -> None:  # noqa: C901 - a list
    """Go on for ever, in one of the ways that programs do."""
    match kind:
        case "sleep":
            time.sleep(3600)
        case "busy":
            while True:
                pass
        case "gil":
            ctypes.PyDLL(None).sleep(3600)  # PyDLL keeps the interpreter's lock
        case "swallow":
            while True:
                try:
                    time.sleep(3600)
                except BaseException:  # noqa: BLE001 - that is the point of it
                    continue
        case "sigterm":
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            time.sleep(3600)
        case "grandchildren":
            subprocess.run(["sh", "-c", "(sleep 3600 & sleep 3600) & sleep 3600"], check=False)
        case "shell":
            subprocess.run(["sh", "-c", "sleep 3600; true"], capture_output=True, check=False)


KINDS = ("sleep", "busy", "gil", "swallow", "sigterm", "grandchildren", "shell")


def overrunning(every: int, kinds: tuple[str, ...], number: int) -> int:
    if number % every == every // 2:
        hang(kinds[number // every % len(kinds)])
    time.sleep(0.0002)
    return number


def overruns(options: Options) -> int:
    """Run items of which every n-th goes on for ever."""
    kinds = KINDS if options["backend"] == "processes" else ("sleep", "swallow")
    func = partial(overrunning, options["every"], kinds)
    timeout = options["timeout"]
    began = time.monotonic()
    with raddle.run(
        func, range(options["items"]), backend=options["backend"], workers=options["workers"], timeout=timeout
    ) as run:
        late = []
        for outcome in run:
            if outcome.status is raddle.Status.TIMED_OUT:
                late.append((outcome.item, outcome.seconds - timeout))
            else:
                assert outcome.ok, outcome
    say(summary=asdict(run.summary), late=late, seconds=time.monotonic() - began)
    return 0


# ------------------------------------------------------------------------------------------------------------ memory


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def small(item: bytes) -> int:
    return len(item)


def stuck_first(seconds: float, item: bytes) -> int:
    if item.startswith(b"0 "):
        time.sleep(seconds)
    return len(item)


def lazy(options: Options) -> int:
    """Run over a source that is far larger than memory should get."""
    pulled = 0

    def source() -> Iterator[bytes]:
        nonlocal pulled
        for number in range(options["items"]):
            pulled += 1
            yield b"%d %s" % (number, b"x" * 200)

    func = partial(stuck_first, options["stuck"]) if options.get("stuck") else small
    seen, between, highest, base = 0, 0, 0, resident()
    more: Options = {"window": options["window"]} if options.get("window") else {}
    with raddle.run(func, source(), backend=options["backend"], workers=2, **more) as run:
        for outcome in run:
            between = max(between, pulled - seen)
            seen += 1
            if seen % 4096 == 1:
                highest = max(highest, resident())
            assert outcome.ok
    highest = max(highest, resident())
    say(summary=asdict(run.summary), pulled=pulled, between=between, growth=highest - base)
    return 0


# ----------------------------------------------------------------------------------------------------------- orphans


def lasting(options: Options, number: int) -> int:
    os.write(opened(options["log"]), b"S\n")
    kind = options["kind"]
    if kind == "children":
        subprocess.Popen(["sleep", "3600"])
        kind = "sleep"
    hang(kind)
    return number


def orphans(options: Options) -> int:
    """Be killed while workers are in the middle of something."""
    if options["start"] == "fresh":
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()  # so that nothing can be forked
    with raddle.run(partial(lasting, options), range(2), backend="processes", workers=2) as run:
        list(run)
    return 0


# ------------------------------------------------------------------------------------------------------------- clock


def timed(number: int) -> int:
    if number % 25 == 3:
        time.sleep(3600)
    if number % 10 == 1 and raddle.attempt().number == 1:
        raise ValueError(number)
    return number


def clock(options: Options) -> int:
    """Live with a time of day that jumps by a year, back and forth."""
    if options.get("inject"):
        real, jumps = time.time, iter(range(1 << 60))
        time.time = lambda: real() + (-1) ** next(jumps) * 365 * 86400.0
    began = time.monotonic()
    retry = raddle.Retry(attempts=2, on=ValueError, wait_max=0.01)
    more: Options = {"timeout": 0.3, "retry": retry, "journal": options["journal"], "name": "clock"}
    with begin(timed, range(options["items"]), options, **more) as run:
        ends = [(outcome.position, str(outcome.status), outcome.seconds) for outcome in run]
    with begin(timed, range(options["items"]), options, **more) as second:
        again = [(outcome.position, str(outcome.status)) for outcome in second]
    say(
        summary=asdict(run.summary),
        resumed=second.summary.resumed,
        same=again == [end[:2] for end in ends],
        ends=ends,
        seconds=time.monotonic() - began,
    )
    return 0


# -------------------------------------------------------------------------------------------------------- exhaustion


def exhausting(number: int) -> int:
    import resource

    if number % 40 == 7:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        while True:
            _HOARD.append(os.open(os.devnull, os.O_RDONLY))
    if number % 40 == 17:
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))  # each thread reserves 8 MB of it
        while True:
            threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    if number % 40 == 27:
        for _ in range(20):
            if os.fork() == 0:
                time.sleep(3600)
        os.kill(os.getpid(), signal.SIGKILL)
    if number % 40 == 37:
        bomb(4)
    return number


_HOARD: list[int] = []


def bomb(depth: int) -> None:
    """Double `depth` times, and let all of them go on for ever."""
    for _ in range(depth):
        os.fork()
    time.sleep(3600)


def exhaust(options: Options) -> int:
    with raddle.run(exhausting, range(options["items"]), backend="processes", workers=2, timeout=2) as run:
        ends = [(outcome.item, str(outcome.status), str(outcome.error)) for outcome in run]
    say(summary=asdict(run.summary), ends=[end for end in ends if end[1] != "ok"])
    return 0


# ---------------------------------------------------------------------------------------------------------- refusals


def refused(options: Options) -> int:
    """Ask for what cannot work; note whether anything was touched before the refusal."""
    touched = []

    def source() -> Iterator[int]:
        touched.append("source")
        yield 1

    def work(number: int) -> int:
        touched.append("function")
        Path(options["log"]).write_text("ran")
        return number

    try:
        with raddle.run(work, source(), **options["arguments"]) as run:
            list(run)
    except raddle.RaddleError as error:
        say(kind=type(error).__name__, text=str(error), touched=touched)
        return 0
    say(kind="", text="", touched=touched)
    return 0


# ------------------------------------------------------------------------------------------------------------- edits


def edited(options: Options, item: str) -> str:
    os.write(opened(options["log"]), f"{LIVES[0]} {item}\n".encode())
    time.sleep(options["pause"])
    return item * 2


LIVES = [""]


def session(options: Options, items: list[str], life: str) -> int:
    """Run one session in a forked child, so that a thousand of them cost no imports."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        LIVES[0] = life
        func = partial(edited, options)
        with begin(func, items, options, journal=options["journal"], name="edit") as run:
            rows = [(o.position, o.item, str(o.status), o.value, o.resumed) for o in run]
        Path(options["journal"] + life).write_text(json.dumps([rows, asdict(run.summary)]))
        code = 0
    finally:
        os._exit(code)


def edits(options: Options) -> int:
    """Kill a session at a random moment, edit its input at random, resume; many times over."""
    import random
    import shutil
    from collections import Counter

    from raddle._policy.identity import item_id

    total: Counter[str] = Counter()
    for case in range(options.get("first", 0), options["cases"]):
        chance = random.Random(f"{options['seed']}-{case}")
        folder = Path(options["folder"], str(case))
        folder.mkdir()
        mine = {
            "backend": chance.choice(["serial", "threads", "processes"]),
            "journal": str(folder / "runs.db"),
            "log": str(folder / "log"),
            "pause": 0.0005,
        }
        words = [f"w{number}" for number in range(chance.choice([3, 40]))]
        items = [chance.choice(words) for _ in range(chance.randint(1, 60))]
        pid = session(mine, items, "first")
        while not Path(mine["log"]).exists():
            time.sleep(0.0005)
        time.sleep(chance.uniform(0, 0.04))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for _ in range(chance.randint(1, 6)):
            edit(items, words, chance)
        # Dying workers may not write into the log any more once the second session has its lock.
        pid = session(mine, items, "second")
        assert os.waitpid(pid, 0)[1] == 0, f"case {case}: the second session failed"
        rows, summary = json.loads(Path(mine["journal"] + "second").read_text())
        assert [(row[0], row[1]) for row in rows] == list(enumerate(items)), f"case {case}"
        wrong = [row for row in rows if row[2] != "ok" or row[3] != row[1] * 2]
        assert not wrong, f"case {case}: {wrong[:5]} {summary}"
        ran = Counter(line.split()[1] for line in Path(mine["log"]).read_text().splitlines() if line[0] == "s")
        resumed = Counter(row[1] for row in rows if row[4])
        wanted = Counter(items)
        assert ran + resumed == wanted, f"case {case}: {ran} {resumed} {wanted}"
        first = first_rows(mine["journal"])
        for word in wanted:
            had = first.get(item_id(word), 0)
            assert resumed[word] == min(had, wanted[word]), f"case {case}: {word}"
        assert summary["resumed"] == resumed.total()
        total.update(cases=1, items=len(items), resumed=resumed.total(), ran=ran.total(), wrong=0)
        total[mine["backend"]] += 1
        shutil.rmtree(folder)
    say(**total)
    return 0


def first_rows(journal: str) -> dict[bytes, int]:
    """Return how many outcomes of each item the first session had recorded."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        first = "(SELECT min(id) FROM session)"
        query = f"SELECT item_id, count(*) FROM outcome WHERE session_id = {first} GROUP BY item_id"
        return dict(db.execute(query).fetchall())


def edit(items: list[str], words: list[str], chance: Any) -> None:
    place = chance.randint(0, len(items))
    match chance.choice(["insert", "delete", "reorder", "duplicate", "new"]):
        case "insert":
            items.insert(place, chance.choice(words))
        case "new":
            items.insert(place, f"n{chance.random()}")
        case "delete":
            del items[place : place + chance.randint(1, 5)]
        case "reorder":
            chance.shuffle(items)
        case "duplicate":
            items.extend(items[place : place + chance.randint(1, 5)])


def shortly(options: Options, item: str) -> str:
    os.write(opened(options["log"]), b".")
    time.sleep(0.0002)
    return item


def equal(options: Options) -> int:
    """Run items that are all the same."""
    func = partial(shortly, {k: v for k, v in options.items() if k != "waits"})
    with begin(func, ["same"] * options["items"], options, journal=options["journal"], name="equal") as run:
        list(run)
    say(summary=asdict(run.summary))
    return 0


# ----------------------------------------------------------------------------------------------------------- signals


def slowly(line: str) -> str:
    os.write(opened("ran"), b".")
    time.sleep(0.004)
    if line == "hang":
        time.sleep(3600)
    return line


PROGRAMS = {name: value for name, value in globals().items() if callable(value)}

if __name__ == "__main__":
    sys.exit(PROGRAMS[sys.argv[1]](json.loads(sys.argv[2])))
