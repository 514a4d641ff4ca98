"""Parts with invented results, for tests of what stays; as a script, a program that stores them until it is killed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from raddle.workloads.weights.parts import Part
from raddle.workloads.weights.store.state import State
from raddle.workloads.weights.values import DAY, FIELDS, Chunk, Filtered, Replay, Revised, Revision

SOURCES = ("patient-device", "care-team-upload", "ünïted / 'quoted'", "Waage")
SIZE = 12  # of the state vector


def rows_of(user: str, file: int, *, count: int, seed: int = 0) -> dict[str, Any]:
    """Return the raw rows of one user in one file; of the file alone, so that chunks may be cut anywhere."""
    rng = np.random.default_rng([seed, file, *user.encode()])
    return {
        "line": np.sort(rng.choice(np.arange(2, 2000), count, replace=False)).astype(np.int64),
        "file": np.full(count, file, dtype=np.int64),
        "time": rng.integers(10**15, 16 * 10**14, count),
        "value": rng.normal(80, 5, count),
        "unit": rng.integers(0, 7, count).astype(np.uint8),
        "source": rng.integers(0, len(SOURCES), count),
    }


def part_of(
    people: dict[str, list[dict[str, Any]]],
    *,
    fresh: int = 1,
    days: bool = False,
    by_time: bool = True,
    names: tuple[str, ...] = SOURCES,
) -> Part:
    """Return a part of these users; rows of files below `fresh` were known before.

    What is said of a row depends on the row and on how many its user has, so that later files change earlier results.
    """
    columns: dict[str, list[Any]] = {}
    starts = [0]
    for rows in people.values():
        joined = {name: np.concatenate([each[name] for each in rows]) for name in rows[0]}
        keys = ("line", "file", "time") if by_time else ("line", "file")
        order = np.lexsort([joined[name] for name in keys])
        for name, column in joined.items():
            columns.setdefault(name, []).append(column[order])
        starts.append(starts[-1] + len(order))
    arrays = {name: np.concatenate(each) for name, each in columns.items()}
    arrays["source"] = np.array([names.index(name) for name in SOURCES], dtype=np.int64)[arrays["source"]]
    users = tuple(people)
    height = np.array([1.5 + len(user) / 100 for user in users])
    unused = np.array([len(user) % 3 for user in users], dtype=np.int64)
    chunk = Chunk(
        users=users,
        starts=np.array(starts),
        **arrays,
        source_names=names,
        height_m=height,
        unused=unused,
        days=days,
    )
    return Part(chunk, invented(chunk), chunk.file >= fresh)


def invented(chunk: Chunk) -> Filtered:
    count = np.diff(chunk.starts)
    owner = np.repeat(np.arange(len(count)), count)
    noise = (chunk.line * 7919 + chunk.time // 1000 + 31 * count[owner]) % 1000
    stage = np.where(noise < 800, 1, np.where(noise < 900, 2, 5)).astype(np.uint8)
    reset = np.where(noise % 50 == 0, 2, 0).astype(np.uint8)
    stage[chunk.starts[:-1]], reset[chunk.starts[:-1]] = 0, 1
    out = np.outer(np.arange(1, len(FIELDS) + 1), noise / 1000 + 60)
    out[6:, stage == 0] = np.nan
    states = np.full((len(count), SIZE), np.nan)
    for at, end in enumerate(chunk.starts[1:].tolist()):
        states[at] = np.arange(SIZE) + out[0, end - 1]
        states[at, 5], states[at, 6] = chunk.time[end - 1], count[at]
    return Filtered(chunk.value * 1.0, stage, reset, out, states)


def revised_of(part: Part, row: int, *, kg: float = 70.0, verdict: str = "applied") -> Revised:
    """Return what a retrospective pass says that takes one row out."""
    chunk, live = part.chunk, part.filtered
    final = replace(live, stage=live.stage.copy(), out=live.out.copy(), states=live.states.copy())
    final.stage[row], final.out[0, row] = 6, kg
    user = int(np.searchsorted(chunk.starts, row, side="right") - 1)
    final.states[user, 0] = kg
    time = int(chunk.time[row])
    window = Replay(user, time - DAY, time + DAY, 9, (row,), (("iqr", "temporal"),), 80.0, 79.5, verdict)
    change = Revision(
        row,
        int(live.stage[row]),
        6,
        float(live.out[0, row]),
        kg,
        float(live.out[1, row]),
        float(live.out[1, row]),
        0,
    )
    return Revised(final, (window,), (change,))


def people(count: int, file: int = 1, *, rows: int = 20) -> dict[str, list[dict[str, Any]]]:
    names = sorted(f"user {number:05d}/'é" for number in range(count))
    return {name: [rows_of(name, file, count=rows + number % 5)] for number, name in enumerate(names)}


def parts(count: int, size: int, *, rows: int = 20, days: bool = False) -> list[Part]:
    """Return the parts of so many users, `size` users each."""
    all_of_them = list(people(count, rows=rows).items())
    return [part_of(dict(all_of_them[at : at + size]), days=days) for at in range(0, count, size)]


def opened(path: Path, **options: Any) -> State:
    given = {"rules": "v2", "profile": "balanced", "digest": "abc", "days": False}
    return State(path, **(given | options))


def main(path: str, users: str, batch: str) -> None:
    every = parts(int(users), 7)
    with opened(Path(path), batch_size=int(batch), keep_readings=True, lock_seconds=10) as state:
        state.begin_file(1, "one.csv", "digest of one")
        for number, part in enumerate(every):
            state.put(part, revised_of(part, 3) if number % 2 else None)
            print(number, flush=True)
        state.finish_files()
        print("finished", flush=True)
        state.finish()
    print("whole", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
