"""The whole way of some files:

    files ─▶ ingest ─▶ chunks of users ─▶ filter ─▶ parts ─▶ state.sqlite, results.parquet, results.json
                │                          ▲ │      ├──────▶ look back (beside, at lower priority) ─▶ revisions
                └▶ rejects.csv       state ┘ │      └──────▶ users/*.html, index.html, population.html
                     ▲ ──────────────────────┘ duplicates

What is under way stands in OUT/.work, which a resumed run uses and a finished one removes. summary.json is written
last: where it is, everything else is.
"""

from __future__ import annotations

import csv
import shutil
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raddle import errors
from raddle.plugin import granted_cpus
from raddle.workloads.weights.beside import Beside
from raddle.workloads.weights.files import remove_leftovers, replaced
from raddle.workloads.weights.folder import owned, prepare, work_folder
from raddle.workloads.weights.ingest import kernels
from raddle.workloads.weights.ingest.intake import ingest
from raddle.workloads.weights.needs import needed
from raddle.workloads.weights.parts import read_duplicates, read_part, read_revised
from raddle.workloads.weights.passes import filter_chunks, look_back_at
from raddle.workloads.weights.pools import pool_sizes
from raddle.workloads.weights.publish import draw_all
from raddle.workloads.weights.retro.options import RetroOptions, retro_options
from raddle.workloads.weights.rules import load_rules
from raddle.workloads.weights.rules.compiled import is_ready
from raddle.workloads.weights.store.export import write_json
from raddle.workloads.weights.store.results import write_results
from raddle.workloads.weights.store.revisions import write_revisions
from raddle.workloads.weights.store.state import State
from raddle.workloads.weights.summary import available_bytes, summarise, write_summary
from raddle.workloads.weights.task import Gathered, Left, Task, failure
from raddle.workloads.weights.work import FilterJob, PageJob, RetroJob, chunk_digest, look_back, take_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO

    from raddle.workloads.weights.ingest.intake import Intake
    from raddle.workloads.weights.options import RunOptions
    from raddle.workloads.weights.parts import Part
    from raddle.workloads.weights.pools import Pools
    from raddle.workloads.weights.rules import Rules
    from raddle.workloads.weights.values import Chunk, Revised
    from raddle.workloads.weights.work import ChunkDone

    Looking = Beside[RetroJob, dict[str, ChunkDone]]
    Writing = Beside[Part, None]

__all__ = ["Gathered", "run_files"]

#: bytes from which on it is worth loading the compiled reader, and compiling it first
_LOAD_BYTES, _COMPILE_BYTES = 1_000_000, 32_000_000
#: parts that wait to be written as results
_MOST_WAITING = 4


def run_files(
    files: Sequence[Path | str], options: RunOptions, *, draw: Callable[[PageJob], None] | None = None
) -> dict[str, Any]:
    """Process files and return what summary.json holds; `users_failed` is empty if all went well.

    If a state that goes on has had all of the files before, nothing is written, and the summary says
    `nothing_new: true`.

    Args:
        files: paths; "-" is standard input
        options: of the run
        draw: takes the place of `work.draw_page`

    Raises:
        ConfigError: file, columns or options that cannot work
        MissingExtra: a library of the extra `weights` is not installed
        JournalError: the journal cannot be used
    """
    if options.resume and options.journal is None:
        raise errors.ConfigError("resume=True: needs a journal, which knows what is done: give --journal FILE")
    if not options.config.visualization.enabled:
        options = replace(options, pages=False)
    library = needed(pages=options.pages)
    rules = load_rules(options.read.rules, options.profile)
    retro = retro_options(options.config.retro)  # also without the pass: a wrong key is an error at once
    with owned(options.out):
        wanted = retro if options.retro else None
        try:
            return _run(files, options, rules=rules, retro=wanted, library=library, draw=draw)
        except _NothingNew as nothing:
            shutil.rmtree(work_folder(options.out), ignore_errors=True)
            return {"nothing_new": True, "files": [file.name for file in nothing.intake.files], "users_failed": []}


def _run(
    files: Sequence[Path | str],
    options: RunOptions,
    *,
    rules: Rules,
    retro: RetroOptions | None,
    library: Path | None,
    draw: Callable[[PageJob], None] | None,
) -> dict[str, Any]:
    began = time.monotonic()
    work = prepare(options)
    with _opened_state(options, rules, work) as state:
        with (
            replaced(options.out / "rejects.csv") as spare,
            spare.open("w", encoding="utf-8", errors="backslashreplace", newline="") as rejects,
        ):
            known = state.known_files
            intake = ingest(
                files,
                options.read,
                rejects=rejects,
                scratch=work,
                known=known,
                fast=_is_big(files),
                threads=_pools(options, 0).users,
            )
            if known and all(file.skipped for file in intake.files):
                raise _NothingNew(intake)
            (options.out / "summary.json").unlink(missing_ok=True)  # it would call the output complete
            task = Task(options, rules, retro, intake, _pools(options, len(intake.users)), work, known)
            gathered = Gathered(seconds={"reading": time.monotonic() - began})
            _filter(task, state, gathered)
            _list_more(rejects, gathered, intake)
        if library is not None:
            draw_all(task, gathered, library, draw)
        _write_results(task, gathered, state.path)
        good = not gathered.failed_rows
        if options.state is None:
            state.finish(options.out / "state.sqlite", known=good)
        gathered.seconds["all"] = time.monotonic() - began
        summary = summarise(options, rules, intake, task.pools, gathered)
        if options.json_results:
            write_json(options.out / "results.json", options.out / "results.parquet", summary)
        write_summary(options.out / "summary.json", summary)
        if options.state is not None and good:
            # after all that a run leaves, since files that the state knows are not taken again
            state.finish()
    shutil.rmtree(work, ignore_errors=True)
    return summary


class _NothingNew(Exception):
    """The state has had all of the files. An exception, so that nothing half-made takes its place."""

    def __init__(self, intake: Intake) -> None:
        super().__init__()
        self.intake = intake


def _pools(options: RunOptions, users: int) -> Pools:
    return pool_sizes(
        options.config,
        asked=options.workers,
        cpus=granted_cpus(),
        pages=users,
        available_bytes=available_bytes(),
    )


def _opened_state(options: RunOptions, rules: Rules, work: Path) -> State:
    """Open the state: the one that goes on from file to file, or a new one under way in the work folder."""
    threading = options.config.threading
    fresh = work / "state.sqlite"
    for name in ("", "-wal", "-shm"):  # of a run that was killed; its parts are what a resumed run saves time by
        fresh.with_name(fresh.name + name).unlink(missing_ok=True)
    return State(
        options.state or fresh,
        rules=rules.name,
        profile=rules.profile,
        digest=rules.digest,
        days=options.read.time_unit == "days",
        batch_size=threading.db_write_batch_size,
        read_connections=threading.db_read_connections,
        keep_readings=options.store_readings,
    )


def _is_big(files: Sequence[Path | str]) -> bool:
    """Tell whether the compiled reader is worth loading; both read the same. What cannot be measured may be big."""
    paths = [Path(file) for file in files]
    least = _LOAD_BYTES if is_ready(kernels) else _COMPILE_BYTES
    return not all(path.is_file() for path in paths) or sum(path.stat().st_size for path in paths) > least


# ------------------------------------------------------------------------------------------------ filter, look back


def _filter(task: Task, state: State, gathered: Gathered) -> None:
    """Filter all chunks; put them into the state in order, and to what goes on beside; put what hindsight changed."""
    began = time.monotonic()
    for file in task.intake.files:
        if not file.skipped:
            state.begin_file(file.number, file.name, file.digest)
    looking, writing = _beside(task)
    try:
        _filter_and_put(task, state, gathered, looking, writing)
        gathered.seconds["filtering"] = time.monotonic() - began
        gathered.reports = _looked_back(task, gathered, looking)
        if writing is not None:
            writing.finish()
            gathered.written = True
    except BaseException:
        for work in (looking, writing):
            if work is not None:
                work.cancel()
        remove_leftovers(task.options.out)  # what polars had begun
        raise
    for left, report in zip(gathered.left, gathered.reports, strict=True):
        if left.revised and (report.replays or task.known):  # also to withdraw what was revised before
            state.put(read_part(Path(left.part)), read_revised(Path(left.revised)))
    state.flush()
    gathered.seconds["filtering and storing"] = time.monotonic() - began


def _beside(task: Task) -> tuple[Looking | None, Writing | None]:
    """Start what goes on beside the filtering, if there is more than one worker: hindsight, or else the results."""
    if task.retro is not None:
        return (None if task.pools.users_serial else Beside(partial(look_back_at, pools=task.pools))), None
    if task.pools.users == 1:
        return None, None
    target, days = task.options.out / "results.parquet", task.intake.days

    def write(parts: Iterator[Part]) -> None:
        write_results(target, ((part, None) for part in parts), days=days)

    return None, Beside(write, most=_MOST_WAITING)


def _filter_and_put(
    task: Task, state: State, gathered: Gathered, looking: Looking | None, writing: Writing | None
) -> None:
    chunks = filter_chunks(_jobs(task), len(task.intake), task.options, task.pools, gathered.engine)
    for job, done, error in chunks:
        if done is None:
            gathered.failed += [failure(user, "failed", error) for user in job.chunk.users]
            gathered.failed_rows += _rows(job.chunk)
            continue
        left = Left(job.id, job.chunk.users, job.part, _revised_path(job) if task.retro else "")
        gathered.left.append(left)
        gathered.done.append(done)
        part = take_part(left.part)
        state.put(part)
        if looking is not None:
            looking.put(_retro_job(task, left))
        if writing is not None:
            writing.put(part)


def _rows(chunk: Chunk) -> Iterator[tuple[int, str, int]]:
    for at, user in enumerate(chunk.users):
        own = slice(int(chunk.starts[at]), int(chunk.starts[at + 1]))
        for line, file in zip(chunk.line[own].tolist(), chunk.file[own].tolist(), strict=True):
            yield line, user, file


def _looked_back(task: Task, gathered: Gathered, looking: Looking | None) -> list[ChunkDone]:
    if not task.retro:
        return gathered.done
    began = time.monotonic()
    if looking is None:
        told = [look_back(_retro_job(task, left)) for left in gathered.left]
    else:
        found = looking.finish()
        told = [found[left.id] for left in gathered.left]
    gathered.seconds["waiting for the retrospective pass"] = time.monotonic() - began
    return told


def _jobs(task: Task) -> Iterator[FilterJob]:
    before = repr(sorted(task.known.items()))
    for chunk in task.intake.chunks():
        digest = chunk_digest(chunk, task.rules.digest, before)
        yield FilterJob(
            id=digest,
            chunk=chunk,
            part=str(task.work / f"{digest}.part"),
            rules=task.key,
            fast=task.fast,
            state=str(task.options.state) if task.known else None,
            readers=task.options.config.threading.db_read_connections,
            report=task.options.pages and not task.retro,
            sync=task.options.journal is not None,
        )


def _retro_job(task: Task, left: Left) -> RetroJob:
    return RetroJob(
        id=left.id,
        part=left.part,
        revised=left.revised,
        rules=task.key,
        fast=task.fast,
        options=task.retro or RetroOptions(),
        report=task.options.pages,
        sync=False,  # it is not in the journal: a resumed run looks back again
    )


def _revised_path(job: FilterJob) -> str:
    return job.part.removesuffix(".part") + ".revised"


# -------------------------------------------------------------------------------------------------------- what stays


def _list_more(rejects: IO[str], gathered: Gathered, intake: Intake) -> None:
    """Add to rejects.csv what was found after reading: rows that repeat another, rows of users that failed."""
    writer = csv.writer(rejects, lineterminator="\n")
    names = {file.number: file.name for file in intake.files}
    for left, done in zip(gathered.left, gathered.done, strict=True):
        if not done.duplicates:
            continue
        for row in read_duplicates(Path(left.part)):
            place = f"line {row.same_line}" + (f" of file {row.same_file}" if row.same_file != row.file else "")
            writer.writerow(
                [row.line, "exact_duplicate", row.user, f"says the same as {place}", names.get(row.file, "")]
            )


def _write_results(task: Task, gathered: Gathered, state: Path) -> None:
    began = time.monotonic()

    def parts() -> Iterator[tuple[Part, Revised | None]]:
        for left in gathered.left:
            yield read_part(Path(left.part)), read_revised(Path(left.revised)) if left.revised else None

    out = task.options.out
    if not gathered.written:
        write_results(out / "results.parquet", parts(), days=task.intake.days)
    write_revisions(out / "revisions.csv", state)
    gathered.seconds["results"] = time.monotonic() - began
