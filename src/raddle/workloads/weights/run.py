"""The whole way of a file:

    file ─▶ reader ─▶ Table ─▶ a UserJob per user ─▶ raddle.run(process_user) ─▶ outcomes, in order of users
              │                                            │                       │
              └▶ rejects.csv                               └▶ users/*.html         ├▶ results.parquet, state.sqlite
                                                                                   └▶ index.html

summary.json is written last: where it is, everything else is.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import raddle
from raddle import errors
from raddle.workloads.weights.files import asset, page_name, plotly_js, remove_leftovers, replaced, write_whole
from raddle.workloads.weights.index import failed_row, index_page, user_row
from raddle.workloads.weights.pages import failed_page
from raddle.workloads.weights.reader import Table, read_table
from raddle.workloads.weights.results import Results, write_summary
from raddle.workloads.weights.values import PageJob, UserJob
from raddle.workloads.weights.work import draw, is_drawn, make_job, process_user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raddle.workloads.weights.options import RunOptions

__all__ = ["run_file"]


class _Jobs:
    """The items of the run, made one by one; sized, so that progress knows the end."""

    def __init__(self, table: Table, folder: Path | None) -> None:
        self.table = table
        self.users = table.users
        self.folder = folder

    def __len__(self) -> int:
        return len(self.users)

    def __iter__(self) -> Iterator[UserJob]:
        for at, user in enumerate(self.users):
            yield make_job(self.table.readings(user), self.page(at))

    def page(self, at: int) -> PageJob | None:
        """Return where the page of a user goes."""
        if self.folder is None:
            return None

        def name(place: int) -> str:
            return page_name(self.users[place]) if 0 <= place < len(self.users) else ""

        return PageJob(str(self.folder), name(at), name(at - 1), name(at + 1))


@dataclass(slots=True)
class _Gathered:
    """What the outcomes add up to."""

    results: Results
    rows: list[list[Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    redrawn: int = 0


def run_file(path: Path, options: RunOptions) -> dict[str, Any]:
    """Process a file and return what summary.json holds; `users_failed` is empty if all went well.

    Raises:
        ConfigError: file, columns or options that cannot work
        MissingExtra: a library of the extra `weights` is not installed
        JournalError: the journal cannot be used
    """
    began = time.monotonic()
    library = _needed(pages=options.pages)
    folder = _prepare(options)
    table = _read(path, options)
    if folder is not None and library is not None:
        _write_assets(options.out, library)
    read_in = time.monotonic() - began
    gathered, engine = _process(_Jobs(table, folder), options)
    gathered.results.write_parquet(options.out / "results.parquet")
    gathered.results.write_state(options.out / "state.sqlite")
    if folder is not None:
        remove_leftovers(folder)
        page = index_page(
            gathered.rows, title=path.name, days=table.days, rows_read=table.rows_read, rejected=table.rows_rejected
        )
        write_whole(options.out / "index.html", page)
    summary = {
        "input": str(path),
        "output": str(options.out),
        "rows_read": table.rows_read,
        "rows_used": table.rows_used,
        "rows_rejected": dict(sorted(table.rows_rejected.items())),
        "users": len(table.users),
        "users_failed": gathered.failed,
        "users_without_used_rows": table.users_without_rows,
        "readings": gathered.results.stages(),
        "pages_redrawn": gathered.redrawn,
        "seconds": round(time.monotonic() - began, 3),
        "seconds_reading": round(read_in, 3),
        "options": {
            **options.read.as_json(),
            "backend": options.backend,
            "workers": options.workers,
            "pages": options.pages,
            "timeout": options.timeout,
            "name": options.name,
            "journal": None if options.journal is None else str(options.journal),
            "resume": options.resume,
        },
        "engine": engine,
    }
    write_summary(options.out / "summary.json", summary)
    return summary


def _read(path: Path, options: RunOptions) -> Table:
    with (
        replaced(options.out / "rejects.csv") as spare,
        spare.open("w", encoding="utf-8", errors="backslashreplace", newline="") as rejects,
    ):
        return read_table(path, options.read, rejects=rejects)


def _process(jobs: _Jobs, options: RunOptions) -> tuple[_Gathered, dict[str, Any]]:
    gathered = _Gathered(Results(days=jobs.table.days))
    with raddle.run(
        process_user,
        jobs,
        backend=options.backend,
        workers=options.workers,
        timeout=options.timeout,
        id=attrgetter("id"),
        journal=options.journal,
        name=options.name,
        resume=options.resume,
        progress=options.progress,
    ) as run:
        for outcome in run:
            _gather(outcome, gathered)
    return gathered, asdict(run.summary)


def _gather(outcome: raddle.Outcome, gathered: _Gathered) -> None:
    job: UserJob = outcome.item
    name = job.page.name if job.page is not None else page_name(job.readings.user)
    if outcome.ok:
        gathered.results.add(job.readings, outcome.value)
        gathered.rows.append(user_row(job.readings, outcome.value, name))
        if outcome.resumed and not is_drawn(job):
            with _noted(job, gathered):
                draw(job, outcome.value)
                gathered.redrawn += 1
        return
    error = str(outcome.error) if outcome.error else ""
    gathered.failed.append({"user_id": job.readings.user, "status": outcome.status.value, "error": error})
    gathered.rows.append(failed_row(job.readings, name))
    if job.page is not None:
        trace = outcome.error.traceback if outcome.error else ""
        content = failed_page(job.readings.user, job.page, status=outcome.status.value, error=trace or error)
        with _noted(job, gathered):
            write_whole(Path(job.page.folder, job.page.name), content, sync=False)


@contextmanager
def _noted(job: UserJob, gathered: _Gathered) -> Iterator[None]:
    """Count a page that cannot be written as this user's failure: the others go on."""
    try:
        yield
    except OSError as error:
        text = f"{type(error).__name__}: {error}"
        if gathered.failed and gathered.failed[-1]["user_id"] == job.readings.user:
            gathered.failed[-1]["error"] += f"; nor could a page say so: {text}"
        else:
            gathered.failed.append({"user_id": job.readings.user, "status": "no page", "error": text})


def _needed(*, pages: bool) -> Path | None:
    """Look for the libraries without importing them; return plotly.min.js."""
    for name in ("polars", "orjson"):
        if find_spec(name) is None:
            raise errors.MissingExtra(name, "weights")
    if not pages:
        return None
    library = plotly_js()
    if library is None:
        raise errors.MissingExtra("plotly", "weights")
    return library


def _prepare(options: RunOptions) -> Path | None:
    """Make the output folder; take away the summary of an earlier run, which would call the output complete."""
    folder = options.out / "users"
    try:
        (folder if options.pages else options.out).mkdir(parents=True, exist_ok=True)
        (options.out / "summary.json").unlink(missing_ok=True)
        remove_leftovers(options.out)
        remove_leftovers(folder)
    except OSError as error:
        raise errors.ConfigError(f"output={options.out}: cannot write there: {error.strerror or error}") from error
    return folder if options.pages else None


def _write_assets(out: Path, library: Path) -> None:
    """Write what all pages share, once, before any worker needs it."""
    write_whole(out / "plotly.min.js", library.read_bytes())
    for name in ("page.css", "page.js", "index.js"):
        write_whole(out / name, asset(name).encode())
