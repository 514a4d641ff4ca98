"""How fast is `raddle media`? Remuxing 40 files, a pass over 1,000 files with nothing to do, and how soon it stops.

    python benchmarks/media.py [--files N] [--noop N] [--folder FOLDER]

Remux: 40 files of 5 s with three sounds and three subtitles (as in the research of this project) lose two of each, by
`raddle media run` with one worker and with two, by a shell loop that calls ffmpeg and renames, and by GNU parallel with
the same ffmpeg. The peers verify nothing, keep no original and sync nothing; the row with mkvmerge in a shell loop is
the same work by the same program. Every contestant gets a fresh copy of the files each round, not timed; results are
checked, not timed.

Nothing to do: hard copies of small files, a policy that they fulfil, by raddle (its start included, and without) and by
ffprobe in a shell loop, which is what a script would ask with. Bytes written come from /proc/PID/io.

Stop: from SIGINT and from SIGTERM while two encodes run, until the command is gone.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _common import Options, Report, number, parse, ratio, say, spread

if TYPE_CHECKING:
    import argparse

NOTHING = "version: 1\nsteps:\n  - keep_audio: {languages: [eng, jpn, ger]}\n    container: {to: mkv}\n"
TRACKS = "version: 1\nsteps:\n  - keep_audio: {languages: [eng]}\n    keep_subtitles: {languages: [eng]}\n"
DELETE = TRACKS.replace("steps", "safety: {originals: delete}\nsteps")
ENCODE = "version: 1\nsteps:\n  - video: {to: hevc, preset: slow, crf: 18}\n"
LANGUAGES = ("eng", "jpn", "ger")
MAPS = "-map 0:v -map 0:a:0 -map 0:s:0"
LOOP = f"""for file in "$0"/*.mkv; do
    ffmpeg -nostdin -v error -y -i "$file" {MAPS} -c copy -f matroska "$file.tmp" && mv "$file.tmp" "$file"
done"""
MERGE = """for file in "$0"/*.mkv; do
    mkvmerge -q -o "$file.tmp" -a 1 -s 4 "$file" && mv "$file.tmp" "$file"
done"""
ONE = f"ffmpeg -nostdin -v error -y -i {{}} {MAPS} -c copy -f matroska {{}}.tmp && mv {{}}.tmp {{}}"
PARALLEL = f"ls \"$0\"/*.mkv | parallel --will-cite -j N '{ONE}'"
PROBE = 'for file in "$0"/*.mkv; do ffprobe -v error -show_streams -of json "$file" >/dev/null; done'


#: what every run of raddle needs before its first file is done, and that file
START = "raddle, 1 worker, one file"


@dataclass
class Row:
    """One contestant."""

    name: str
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    written: list[int] = field(default_factory=list)

    @property
    def best(self) -> float | None:
        return min(self.wall, default=None)


def main() -> None:
    options = parse(__doc__, rounds=3, extra=arguments)
    report = Report("media", options)
    with tempfile.TemporaryDirectory(dir=options.extra.folder, prefix="raddle-bench-") as name:
        folder = Path(name)
        samples = make(folder, options)
        remux(report, options, folder, samples)
        noop(report, options, folder, samples)
        stop(report, options, folder)
    report.end()


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--files", type=int, default=0, help="to remux; default 40")
    parser.add_argument("--noop", type=int, default=0, help="with nothing to do; default 1,000")
    parser.add_argument("--folder", type=Path, default=None, help="for files; default: the system's temporary folder")


def make(folder: Path, options: Options) -> dict[str, Path]:
    """Make one file of each kind with ffmpeg itself; the rest are copies."""
    large, small, long = folder / "large.mkv", folder / "small.mkv", folder / "long.mkv"
    clip(large, seconds=options.pick(5, 1), size="640x360", bitrate="2M", tracks=LANGUAGES)
    clip(small, seconds=1, size="64x48", bitrate="100k", tracks=LANGUAGES[:1])
    clip(long, seconds=options.pick(40, 10), size="1280x720", bitrate="4M", tracks=())
    return {"large": large, "small": small}


def clip(target: Path, *, seconds: int, size: str, bitrate: str, tracks: tuple[str, ...]) -> None:
    text = target.with_suffix(".srt")
    text.write_text(
        "".join(f"{at + 1}\n00:00:{at:02},100 --> 00:00:{at:02},900\nline {at}\n\n" for at in range(seconds))
    )
    argv = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-t", str(seconds), "-i", f"testsrc2=size={size}"]
    argv += [
        word
        for at in range(len(tracks))
        for word in ("-f", "lavfi", "-t", str(seconds), "-i", f"sine=frequency={220 * (at + 1)}")
    ]
    argv += [word for _ in tracks for word in ("-i", str(text))]
    argv += [word for at in range(1 + 2 * len(tracks)) for word in ("-map", f"{at}:0")]
    argv += ["-c:v", "libx264", "-preset", "ultrafast", "-b:v", bitrate, "-c:a", "aac", "-c:s", "srt"]
    for at, language in enumerate(tracks):
        argv += [f"-metadata:s:a:{at}", f"language={language}", f"-metadata:s:s:{at}", f"language={language}"]
    subprocess.run([*argv, str(target)], check=True)


# ------------------------------------------------------------------------------------------------------------ measuring


def timed(row: Row, argv: list[str], folder: Path) -> str:
    """Run a program to its end; note its wall and CPU seconds (with all its children), and return what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment(folder)) as process:
        assert process.stdout
        text = process.stdout.read()
        # Gone, but not taken yet: what it wrote can still be asked for.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        row.wall.append(time.perf_counter() - began)
        row.written.append(written(process.pid))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    row.cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    if process.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with exit code {process.returncode}: {text[-500:]!r}")
    return text.decode()


def written(pid: int) -> int:
    """Return bytes that a process and those it waited for gave to a disk; 0 where the system does not say."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("write_bytes")), 0)


def environment(folder: Path) -> dict[str, str]:
    state = folder / "state"
    shutil.rmtree(state, ignore_errors=True)
    return {**os.environ, "XDG_STATE_HOME": str(state), "LC_ALL": "C.UTF-8"}


def raddle(policy: Path, place: Path, workers: int) -> list[str]:
    words = ["media", "run", "--json", "--progress", "none", "--workers", str(workers), str(policy), str(place)]
    return [sys.executable, "-m", "raddle", *words]


def copies(source: Path, place: Path, count: int) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for at in range(count):
        shutil.copyfile(source, place / f"{at:04}.mkv")
    os.sync()
    return place


def summary(text: str) -> dict[str, Any]:
    rows = [json.loads(line) for line in text.splitlines()]
    counts: dict[str, int] = {}
    for row in rows[:-1]:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    return counts


# ---------------------------------------------------------------------------------------------------------------- remux


def remux(report: Report, options: Options, folder: Path, samples: dict[str, Path]) -> None:
    count = options.extra.files or options.pick(40, 8)
    policy, bare = folder / "tracks.yaml", folder / "delete.yaml"
    policy.write_text(TRACKS)
    bare.write_text(DELETE)
    place = folder / "library"
    ways: dict[str, list[str]] = {
        START: raddle(policy, place, 1),
        "raddle, 1 worker": raddle(policy, place, 1),
        "raddle, 2 workers": raddle(policy, place, 2),
        "raddle, 2 workers, originals deleted": raddle(bare, place, 2),
    }
    if options.peers:
        ways["shell loop, ffmpeg"] = ["bash", "-c", LOOP, str(place)]
        if shutil.which("mkvmerge"):
            ways["shell loop, mkvmerge"] = ["bash", "-c", MERGE, str(place)]
        if shutil.which("parallel"):
            ways["GNU parallel -j 1, ffmpeg"] = ["bash", "-c", PARALLEL.replace("-j N", "-j 1"), str(place)]
            ways["GNU parallel -j 2, ffmpeg"] = ["bash", "-c", PARALLEL.replace("-j N", "-j 2"), str(place)]
    rows = {name: Row(name) for name in ways if options.only.lower() in f"remux {name}".lower()}
    if not rows:
        return
    for turn in range(options.rounds):
        for name, row in rows.items():
            say(f"round {turn + 1} of {options.rounds}: remux, {name}")
            files = 1 if name == START else count
            copies(samples["large"], place, files)
            text = timed(row, ways[name], folder)
            if name.startswith("raddle") and summary(text) != {"done": files}:
                raise SystemExit(f"{name}: {summary(text)} instead of {files} done")
            remuxed(place, files)
    two = rows.get("raddle, 2 workers")
    table = [
        [
            name,
            number(row.best),
            spread(row.wall),
            number(min(row.cpu)),
            number(each(row, count), "{:.0f}") if name != START else "",
            ratio(row.best, two.best if two else None) if name != START else "",
        ]
        for name, row in rows.items()
    ]
    report.table(
        ["who", "s", "min – max", "CPU s", "ms a file", "times raddle with 2"],
        table,
        title=f"{count} files remuxed",
        note="The best of the rounds, start-up included. Only raddle verifies, syncs and (but in its third row) keeps "
        "originals.",
    )
    one = rows.get("raddle, 1 worker")
    if one and one.best and two and two.best:
        report.goal("remux, one worker by two, start-up included", "as below", one.best / two.best, met=True)
    first = rows[START].best if START in rows else None
    if one and one.best and two and two.best and first and two.best > first:
        speedup = (one.best - first) / (two.best - first)
        report.goal("remux, one worker by two, without the start", "at least 1.8", speedup, met=speedup >= 1.8)


def each(row: Row, files: int) -> float | None:
    return row.best / files * 1e3 if row.best else None


def remuxed(place: Path, count: int) -> None:
    """Check that everybody did the work: one sound, one subtitle. A look at three files is enough."""
    paths = sorted(path for path in place.glob("*.mkv"))
    assert len(paths) == count, f"{len(paths)} files instead of {count}"
    for path in (paths[0], paths[count // 2], paths[-1]):
        argv = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0", str(path)]
        found = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
        assert sorted(found) == ["audio", "subtitle", "video"], f"{path}: {found}"


# -------------------------------------------------------------------------------------------------------- nothing to do


def noop(report: Report, options: Options, folder: Path, samples: dict[str, Path]) -> None:
    count = options.extra.noop or options.pick(1000, 50)
    policy = folder / "nothing.yaml"
    policy.write_text(NOTHING)
    place, empty = copies(samples["small"], folder / "still", count), copies(samples["small"], folder / "one", 1)
    few = copies(samples["small"], folder / "few", max(count // 10, 1))
    ways: dict[str, tuple[list[str], int]] = {
        "raddle, 1 worker": (raddle(policy, place, 1), count),
        "raddle, 2 workers": (raddle(policy, place, 2), count),
        "raddle, one file": (raddle(policy, empty, 1), 1),
    }
    if options.peers:
        ways["shell loop, ffprobe only"] = (["bash", "-c", PROBE, str(few)], len(list(few.iterdir())))
    rows = {name: Row(name) for name in ways if options.only.lower() in f"nothing to do {name}".lower()}
    if not rows:
        return
    for turn in range(options.rounds):
        for name, row in rows.items():
            say(f"round {turn + 1} of {options.rounds}: nothing to do, {name}")
            text = timed(row, ways[name][0], folder)
            if name.startswith("raddle") and summary(text) != {"unchanged": ways[name][1]}:
                raise SystemExit(f"{name}: {summary(text)} instead of {ways[name][1]} unchanged")
    start = rows["raddle, one file"].best if "raddle, one file" in rows else None
    table, each = [], {}
    for name, row in rows.items():
        files = ways[name][1]
        if row.best is None:
            continue
        ours = name.startswith("raddle") and files > 1 and start is not None
        each[name] = (row.best - start) / (files - 1) * 1e3 if ours and start else row.best / files * 1e3
        table.append(
            [
                name,
                files,
                number(row.best),
                spread(row.wall),
                number(min(row.cpu)),
                number(each[name], "{:.1f}"),
                number(min(row.cpu) / files * 1e3, "{:.1f}"),
                f"{max(row.written) / 1e3:,.0f}",
            ]
        )
    report.table(
        ["who", "files", "s", "min – max", "CPU s", "ms a file", "CPU ms a file", "kB written"],
        table,
        title="Nothing to do",
        note="ms a file of raddle: without its start, which the row of one file has. What raddle writes is its journal "
        "and totals in the state folder; the library gets no byte.",
    )
    for name in ("raddle, 1 worker", "raddle, 2 workers"):
        if name in each and "raddle, one file" in rows:
            report.goal(f"nothing to do, ms a file, {name}", "about 5", each[name], met=each[name] <= 6, form="{:.1f}")


# ----------------------------------------------------------------------------------------------------------------- stop


def stop(report: Report, options: Options, folder: Path) -> None:
    policy = folder / "encode.yaml"
    policy.write_text(ENCODE)
    ways = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}
    took: dict[str, list[float]] = {name: [] for name in ways if options.only.lower() in f"stop {name}".lower()}
    for turn in range(min(options.rounds, 3)):
        for name, seconds in took.items():
            say(f"round {turn + 1}: stop, {name}")
            place = copies(folder / "long.mkv", folder / "stop", 4)
            seconds.append(stopped(policy, place, ways[name], folder))
    if not took:
        return
    rows = [[name, number(sum(seconds) / len(seconds)), spread(seconds)] for name, seconds in took.items()]
    report.table(
        ["signal", "s until it is gone", "min – max"], rows, title="Stop, while two encodes run; all four in the report"
    )
    worst = max(max(seconds) for seconds in took.values())
    report.goal("stop, s at most", "under 5", worst, met=worst < 5)


def stopped(policy: Path, place: Path, one: signal.Signals, folder: Path) -> float:
    argv = raddle(policy, place, 2)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(folder)) as process:
        while len(list(place.glob(".*.tmp"))) < 2:  # looked at from outside
            time.sleep(0.02)
            assert process.poll() is None, "it ended before it was asked to"
        time.sleep(0.5)  # now both encode
        began = time.perf_counter()
        process.send_signal(one)
        assert process.stdout
        text = process.stdout.read().decode()
        code = process.wait()
        seconds = time.perf_counter() - began
    assert code == 128 + one, f"exit code {code}"
    assert sum(summary(text).values()) == 4, f"not every file is in the report: {text}"
    assert not list(place.glob(".*.tmp")), "something is left"
    return seconds


if __name__ == "__main__":
    main()
