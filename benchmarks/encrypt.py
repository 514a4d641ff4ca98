"""How fast is `raddle encrypt`? MB a second sealed, small files a second, pictures sketched a second, MB a worker.

    python benchmarks/encrypt.py [--mb N] [--files N] [--pictures FOLDER] [--folder FOLDER]

Sealing: one file of random bytes is sealed to one recipient, file to file, by `seal_file`, by the command
`raddle encrypt seal` (its start-up included), by the `age` program if it is installed, and by the bare cipher, which
reads, encrypts and writes 64 KiB at a time and knows no format. `age` does not wait for the disk, so neither do we in
the row that is compared with it; "durable" is what raddle does unless told otherwise.

Small files: many of 4 KiB, one after another by `seal_file`, in one command, and one `age` process for each.

Sketches: pictures of a folder (RADDLE_DATA, as in the tests; else made up), each brought to fit 1920 x 1080 px, traced
and sealed, by the seed's API with threads and processes. The peer is written here, by us, after what the original does
to a picture: a letterboxed canvas of 1920 x 1080, Canny, contours as lists of Python numbers, of which the longest is
kept, an object for each of its coefficients, and 100,000 rounds of PBKDF2 for every picture. It does less than raddle
(one contour of hundreds); it is there for the cost of that way. The original itself did 9.8 pictures a second on
another set of 31 pictures (research of this project), which is the figure that the goal of 50 answers to.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _common import (
    Calls,
    Entry,
    Options,
    Report,
    by_group,
    chosen,
    measure,
    number,
    parse,
    peak_mb,
    ratio,
    serve,
    spread,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]
MB, CHUNK = 1_000_000, 64 * 1024
WORK = (1920, 1080)
KEY = "correct horse battery staple"


def main() -> None:
    options = parse(__doc__, rounds=5, extra=arguments)
    report = Report("encrypt", options)
    with tempfile.TemporaryDirectory(dir=options.extra.folder, prefix="raddle-bench-") as name:
        folder = Path(name)
        recipient = make_key(folder)
        entries = [
            *sealing(options, folder, recipient),
            *small(options, folder, recipient),
            *sketches(options, folder),
        ]
        entries = chosen(entries, options)
        measure(entries, options)
    grouped = dict(by_group(entries))
    tell_sealing(report, grouped.get("seal", []))
    tell_small(report, grouped.get("small files", []))
    tell_sketches(report, grouped.get("sketch", []))
    report.end(entries)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mb", type=int, default=0, help="of the file that is sealed; default 256")
    parser.add_argument("--files", type=int, default=0, help="small ones; default 1,000")
    parser.add_argument("--pictures", type=Path, default=None, help="folder of pictures to sketch")
    parser.add_argument("--folder", type=Path, default=None, help="for files; default: the system's temporary folder")


def make_key(folder: Path) -> str:
    from raddle.workloads.encrypt import keygen

    return str(keygen(folder / "key.txt"))


# --------------------------------------------------------------------------------------------------------------- seal


def sealing(options: Options, folder: Path, recipient: str) -> list[Entry]:
    source = folder / "large"
    size = MB * (options.extra.mb or options.pick(256, 16))
    with source.open("wb") as file:
        for _ in range(size // MB):
            file.write(os.urandom(MB))
    (folder / "tiny").write_bytes(b"x")
    to = {"recipient": recipient}
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "raddle, seal_file, not durable": ("seal_ours", {**to, "durable": False}),
        "raddle, seal_file": ("seal_ours", {**to, "durable": True}),
        "raddle, open_file": ("open_ours", {**to, "key": str(folder / "key.txt")}),
        "raddle encrypt seal": ("seal_command", to),
        "raddle encrypt seal, of one byte": ("seal_command", {**to, "source": str(folder / "tiny")}),
        "bare ChaCha20-Poly1305, file to file": ("bare_file", {}),
        "bare ChaCha20-Poly1305, in memory": ("bare_memory", {}),
        **({"age": ("seal_age", to)} if shutil.which("age") else {}),
    }
    return [
        Entry("seal", name, call, {"source": str(source), **more}, needs="cryptography")
        for name, (call, more) in ways.items()
    ]


def timed(source: str, act: Callable[[Path], object]) -> dict[str, Any]:
    """Do it once to a fresh target in the folder of the source, which is in the page cache; MB a second."""
    target = Path(source).with_name(f"target-{os.getpid()}")
    began = time.perf_counter()
    try:
        act(target)
        seconds = time.perf_counter() - began
    finally:
        shutil.rmtree(target, ignore_errors=True) if target.is_dir() else target.unlink(missing_ok=True)
    return {"mb_s": Path(source).stat().st_size / MB / seconds, "seconds": seconds, "peak_mb": peak_mb()}


def seal_ours(source: str, recipient: str, *, durable: bool) -> dict[str, Any]:
    from raddle.workloads.encrypt import Lock, seal_file
    from raddle.workloads.encrypt.age import parse_recipient

    lock = Lock([parse_recipient(recipient)])
    return timed(source, lambda target: seal_file(source, target, lock, durable=durable))


def open_ours(source: str, recipient: str, key: str) -> dict[str, Any]:
    from raddle.workloads.encrypt import Keys, Lock, open_file, read_identities, seal_file
    from raddle.workloads.encrypt.age import parse_recipient

    sealed = f"{source}-{os.getpid()}.age"
    seal_file(source, sealed, Lock([parse_recipient(recipient)]), durable=False)
    keys = Keys(read_identities(key))
    try:
        return timed(source, lambda target: open_file(sealed, target, keys))
    finally:
        Path(sealed).unlink()


def seal_command(source: str, recipient: str) -> dict[str, Any]:
    argv = [*raddle(), "seal", source, "-r", recipient, "--progress", "none", "--workers", "1", "-o"]
    return timed(source, lambda target: quiet([*argv, str(target)]))


def seal_age(source: str, recipient: str) -> dict[str, Any]:
    return timed(source, lambda target: quiet(["age", "-r", recipient, "-o", str(target), source]))


def bare_file(source: str) -> dict[str, Any]:
    def act(target: Path) -> None:
        room, out, cipher = bytearray(CHUNK), bytearray(CHUNK + 16), bare_cipher()
        view = memoryview(room)
        with open(source, "rb", buffering=0) as reader, target.open("wb", buffering=0) as writer:  # noqa: PTH123
            count = 0
            while got := reader.readinto(room):
                cipher.encrypt_into(count.to_bytes(12), view[:got], None, memoryview(out)[: got + 16])
                writer.write(memoryview(out)[: got + 16])
                count += 1

    return timed(source, act)


def bare_memory(source: str) -> dict[str, Any]:
    room, out, cipher = os.urandom(CHUNK), bytearray(CHUNK + 16), bare_cipher()

    def act(_: Path) -> None:
        for count in range(Path(source).stat().st_size // CHUNK):
            cipher.encrypt_into(count.to_bytes(12), room, None, out)

    return timed(source, act)


def bare_cipher() -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    return ChaCha20Poly1305(os.urandom(32))


def tell_sealing(report: Report, entries: list[Entry]) -> None:
    by = {entry.name: entry for entry in entries}
    age = by["age"].median("mb_s") if "age" in by else None
    file_to_file = by.get("bare ChaCha20-Poly1305, file to file")
    bare = file_to_file.median("mb_s") if file_to_file else None
    rows = [
        [
            entry.name,
            number(entry.median("seconds")),
            number(entry.median("mb_s"), "{:,.0f}") or entry.trouble,
            spread(entry.values("mb_s"), "{:,.0f}"),
            ratio(entry.median("mb_s"), age),
            ratio(entry.median("mb_s"), bare),
            number(entry.median("peak_mb"), "{:.0f}") if "_file" in entry.name else "",
        ]
        for entry in entries
    ]
    if rows:
        report.table(
            ["who", "s", "MB/s", "from – to", "times age", "times bare, file to file", "peak MB"],
            rows,
            title="Sealing one large file",
            note="Median of the rounds. Functions are measured in a program that runs, `age` and `raddle encrypt seal` "
            "with their start, which for raddle the file of one byte shows.",
        )
    for name in ("raddle, seal_file, not durable", "raddle encrypt seal"):
        ours = by[name].median("mb_s") if name in by else None
        if ours and age:
            report.goal(f"{name} by age, file to file", "at least 1.5", ours / age, met=ours / age >= 1.5)


# -------------------------------------------------------------------------------------------------------- small files


def small(options: Options, folder: Path, recipient: str) -> list[Entry]:
    files = folder / "small"
    files.mkdir()
    count = options.extra.files or options.pick(1000, 100)
    for at in range(count):
        (files / f"{at:06}").write_bytes(os.urandom(4096))
    common = {"folder": str(files), "recipient": recipient}
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "raddle, seal_file, not durable": ("small_ours", {"durable": False}),
        "raddle, seal_file": ("small_ours", {"durable": True}),
        "raddle encrypt seal, 1 worker": ("small_command", {"workers": 1}),
        "raddle encrypt seal, 2 workers": ("small_command", {"workers": 2}),
        **({"age, a process for each": ("small_age", {"most": count // 10})} if shutil.which("age") else {}),
    }
    return [
        Entry("small files", name, call, {**common, **more}, needs="cryptography", rounds=3)
        for name, (call, more) in ways.items()
    ]


def many(folder: str, act: Callable[[list[str], Path], object], most: int = 0) -> dict[str, Any]:
    names = sorted(os.listdir(folder))  # noqa: PTH208
    names = names[:most] if most else names
    out = Path(f"{folder}-out-{os.getpid()}")
    began = time.perf_counter()
    act(names, out)
    seconds = time.perf_counter() - began
    made = len(list(out.iterdir()))
    shutil.rmtree(out)
    assert made == len(names), f"{made} of {len(names)} files"
    return {"files_s": made / seconds}


def small_ours(folder: str, recipient: str, *, durable: bool) -> dict[str, Any]:
    from raddle.workloads.encrypt import Lock, seal_file
    from raddle.workloads.encrypt.age import parse_recipient

    lock = Lock([parse_recipient(recipient)])

    def act(names: list[str], out: Path) -> None:
        out.mkdir()
        for name in names:
            seal_file(f"{folder}/{name}", out / f"{name}.age", lock, durable=durable)

    return many(folder, act)


def small_command(folder: str, recipient: str, workers: int) -> dict[str, Any]:
    argv = [*raddle(), "seal", "--recursive", f"{folder}/.", "-r", recipient, "--progress", "none"]
    return many(folder, lambda _, out: quiet([*argv, "--workers", str(workers), "-o", str(out)]))


def small_age(folder: str, recipient: str, most: int) -> dict[str, Any]:
    def act(names: list[str], out: Path) -> None:
        out.mkdir()
        for name in names:
            quiet(["age", "-r", recipient, "-o", f"{out}/{name}.age", f"{folder}/{name}"])

    return many(folder, act, max(1, most))


def tell_small(report: Report, entries: list[Entry]) -> None:
    rows = [
        [
            entry.name,
            number(entry.median("files_s"), "{:,.0f}") or entry.trouble,
            spread(entry.values("files_s"), "{:,.0f}"),
        ]
        for entry in entries
    ]
    if rows:
        report.table(
            ["who", "files/s", "from – to"],
            rows,
            title="Sealing files of 4 KiB",
            note="Durable but where it says so: two waits for the disk a file. The command starts Python first.",
        )


# ------------------------------------------------------------------------------------------------------------- sketch


def sketches(options: Options, folder: Path) -> list[Entry]:
    found = pictures(options, folder)
    times = options.pick(4, 1)
    ways = {
        "raddle, 1 thread": ("sketch_ours", {"workers": 1, "backend": "threads"}),
        "raddle, 2 threads": ("sketch_ours", {"workers": 2, "backend": "threads"}),
        "raddle, 1 process": ("sketch_ours", {"workers": 1, "backend": "processes"}),
        "raddle, 2 processes": ("sketch_ours", {"workers": 2, "backend": "processes"}),
        **(
            {
                "the original's way, by hand": ("sketch_by_hand", {"workers": 1}),
                "the original's way, by hand, 2 threads": ("sketch_by_hand", {"workers": 2}),
            }
            if options.peers
            else {}
        ),
    }
    return [
        Entry("sketch", name, call, {"paths": found, "times": times, **more}, needs="cv2")
        for name, (call, more) in ways.items()
    ]


def pictures(options: Options, folder: Path) -> list[str]:
    shared = Path(os.environ.get("RADDLE_DATA") or ROOT / "../shared/data") / "images" / "good"
    given = options.extra.pictures or shared
    if given.is_dir():
        return sorted(str(path.resolve()) for path in given.iterdir() if path.is_file())
    import cv2
    import numpy as np

    dice = np.random.default_rng(0)
    made = []
    for at in range(10):
        grey = cv2.resize(dice.integers(0, 256, (27, 48), np.uint8), WORK, interpolation=cv2.INTER_CUBIC)
        made.append(str(folder / f"made-{at}.png"))
        cv2.imwrite(made[-1], grey)
    return made


def sketch_ours(paths: list[str], times: int, workers: int, backend: Any) -> dict[str, Any]:
    from raddle.workloads.encrypt import (
        ConcurrentEncryptionOrchestrator,
        EncryptionConfig,
        EncryptionTask,
        PreprocessConfig,
        SketchSealer,
    )

    sealer = SketchSealer()
    began = time.perf_counter()
    sealer.lock_for(KEY)
    scrypt = time.perf_counter() - began
    preprocess = PreprocessConfig(target_size=WORK)
    tasks = [EncryptionTask(Path(path), KEY, preprocess, EncryptionConfig()) for path in paths * times]
    with ConcurrentEncryptionOrchestrator(sealer, workers, backend=backend) as orchestrator:
        base = now_mb()
        orchestrator.encrypt_batch(tasks[: len(paths)])  # imports, caches of the disk
        began, cpu = time.perf_counter(), time.process_time()
        results = orchestrator.encrypt_batch(tasks)
        seconds = time.perf_counter() - began
        cpu = time.process_time() - cpu
    bad = [result.error for result in results if not result.success]
    assert not bad, bad
    return {
        "pictures_s": len(tasks) / seconds,
        "scrypt_s": scrypt,
        "cpu_ms": cpu / len(tasks) * 1e3 if backend == "threads" else None,
        # scrypt's 256 MiB were given back before, but count for the peak; so what is there now is asked instead
        "worker_mb": (watched_mb(paths, workers) - base) / workers if backend == "threads" else None,
    }


def watched_mb(paths: list[str], workers: int) -> float:
    """Most memory in use while the threads sketch all pictures once more, looked at every two milliseconds."""
    from threading import Event, Thread

    from raddle.workloads.encrypt import PreprocessConfig, sketch_picture

    most, over = [0.0], Event()

    def look() -> None:
        while not over.wait(0.002):
            most[0] = max(most[0], now_mb())

    thread = Thread(target=look)
    thread.start()
    preprocess = PreprocessConfig(target_size=WORK)
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(lambda path: sketch_picture(path, preprocess), paths * workers):
            pass
    over.set()
    thread.join()
    return most[0]


def now_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def sketch_by_hand(paths: list[str], times: int, workers: int) -> dict[str, Any]:
    """Be the peer; see above. Ours is not copied from the original, it only takes its steps."""
    import cv2

    cv2.setNumThreads(1)
    for path in paths:
        one_by_hand(path)
    began, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one_by_hand, paths * times))
    count = len(paths) * times
    return {
        "pictures_s": count / (time.perf_counter() - began),
        "cpu_ms": (time.process_time() - cpu) / count * 1e3,
    }


class Wave:
    def __init__(self, frequency: int, value: complex) -> None:
        self.frequency, self.value = frequency, value
        self.amplitude, self.phase = abs(value), statistics.math.atan2(value.imag, value.real)  # type: ignore[attr-defined]


def one_by_hand(path: str) -> int:
    import hashlib
    import hmac
    import json

    import cv2
    import numpy as np
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    picture = cv2.imread(path)
    assert picture is not None, path
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    factor = min(WORK[0] / grey.shape[1], WORK[1] / grey.shape[0])
    size = (round(grey.shape[1] * factor), round(grey.shape[0] * factor))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    canvas = np.zeros(WORK[::-1], np.uint8)
    top, left = (WORK[1] - size[1]) // 2, (WORK[0] - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = small
    shade = (canvas.astype(np.float32) / 255 * 255).astype(np.uint8)
    median = float(np.median(shade))
    edges = cv2.Canny(shade, int(0.66 * median), int(1.33 * median))
    found, _ = cv2.findContours(edges, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    contours = []
    for contour in found:
        points = [(float(point[0][0]), float(point[0][1])) for point in contour]
        if len(points) >= 10:
            contours.append(points)
    longest = max(contours, key=len, default=[(0.0, 0.0)])
    spectrum = np.fft.fft(np.array([complex(x, y) for x, y in longest]))
    waves = [Wave(k, complex(value)) for k, value in enumerate(spectrum)]
    data = json.dumps([[wave.frequency, wave.amplitude, wave.phase] for wave in waves]).encode()
    key = hashlib.pbkdf2_hmac("sha256", KEY.encode(), os.urandom(32), 100_000)
    sealed = AESGCM(key).encrypt(os.urandom(12), data, None)
    return len(sealed + hmac.digest(key, sealed, "sha256"))


def tell_sketches(report: Report, entries: list[Entry]) -> None:
    by = {entry.name: entry for entry in entries}
    hand = by.get("the original's way, by hand")
    theirs = hand.median("pictures_s") if hand else None
    rows = [
        [
            entry.name,
            number(entry.median("pictures_s"), "{:.1f}") or entry.trouble,
            spread(entry.values("pictures_s"), "{:.1f}"),
            ratio(entry.median("pictures_s"), theirs),
            number(entry.median("cpu_ms"), "{:.1f}"),
            number(entry.median("worker_mb"), "{:.0f}"),
        ]
        for entry in entries
    ]
    if not rows:
        return
    one, two = (by.get(f"raddle, {name}") for name in ("1 thread", "2 threads"))
    scrypt = one.median("scrypt_s") if one else None
    report.table(
        ["who", "pictures/s", "from – to", "times the original's way", "CPU ms a picture", "MB a worker"],
        rows,
        title="Sketching pictures at 1080p and sealing the sketches",
        note=f"On top, once for each passphrase: {number(scrypt)} s of scrypt. MB a worker: above the idle program. "
        "Processes: a pool starts and imports OpenCV within the time.",
    )
    if one and two and (single := one.median("pictures_s")) and (double := two.median("pictures_s")):
        report.goal("pictures/s with 1 worker", "at least 50", single, met=single >= 50, form="{:.1f}")
        if theirs:
            times = single / theirs
            report.goal("1 worker by the original's way (50 by 9.8)", "at least 5.1", times, met=times >= 5.1)
        report.goal("2 threads by 1", "at least 1.6", double / single, met=double / single >= 1.6)


# ----------------------------------------------------------------------------------------------------------- programs


def raddle() -> list[str]:
    return [sys.executable, "-m", "raddle", "encrypt"]


def quiet(argv: list[str]) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


CALLS: Calls = {
    call.__name__: call
    for call in (
        seal_ours,
        open_ours,
        seal_command,
        seal_age,
        bare_file,
        bare_memory,
        small_ours,
        small_command,
        small_age,
        sketch_ours,
        sketch_by_hand,
    )
}

if __name__ == "__main__":
    serve(CALLS)
    main()
