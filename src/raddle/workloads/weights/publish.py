"""Everything that is looked at: pages, index, population report."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import reduce
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from raddle.workloads.weights.files import page_name, write_whole
from raddle.workloads.weights.folder import remove_stale_pages
from raddle.workloads.weights.pages.index import failed_row, index_assets, index_page
from raddle.workloads.weights.pages.page import failed_page, page_mark, shared_assets
from raddle.workloads.weights.pages.population import merge_counts, population_page
from raddle.workloads.weights.passes import draw_pages
from raddle.workloads.weights.summary import rows_rejected
from raddle.workloads.weights.task import Gathered, Task, failure
from raddle.workloads.weights.values import Neighbours
from raddle.workloads.weights.work import PageJob, draw_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["draw_all"]


def draw_all(task: Task, gathered: Gathered, library: Path, draw: Callable[[PageJob], None] | None) -> None:
    began = time.monotonic()
    out = task.options.out
    _write_assets(out, library)
    jobs = list(_page_jobs(task, gathered))
    drawn = draw_pages(jobs, task.options, task.pools, draw=draw or draw_page)
    for job, status, error, trace in drawn.failed:
        gathered.failed.append(failure(job.user, status, error))
        with suppress(OSError):  # the failure is told in the summary in any case
            page = failed_page(job.user, job.links, status=status, error=trace or error)
            write_whole(Path(job.path), page, sync=False)
    remove_stale_pages(out / "users", (Path(job.path).name for job in jobs))
    gathered.drawn = drawn
    gathered.seconds["pages"] = time.monotonic() - began
    _write_overviews(task, gathered)


def _page_jobs(task: Task, gathered: Gathered) -> Iterator[PageJob]:
    users = [(left, at, user) for left in gathered.left for at, user in enumerate(left.users)]
    names = ["", *(page_name(user) for _, _, user in users), ""]
    for place, (left, at, user) in enumerate(users, 1):
        links = Neighbours(names[place - 1], names[place + 1])
        yield PageJob(
            part=left.part,
            revised=left.revised,
            at=at,
            user=user,
            path=str(task.options.out / "users" / names[place]),
            links=links,
            mark=page_mark(f"{left.id} {at} {task.retro!r}", names[place], links),
            rules=task.key,
        )


def _write_overviews(task: Task, gathered: Gathered) -> None:
    """Write index.html and population.html."""
    intake, out = task.intake, task.options.out
    name = Path(intake.files[0].name).name if len(intake.files) == 1 else f"{len(intake.files)} files"
    title = "standard input" if name == "-" else name
    rejected = rows_rejected(intake, gathered)
    failed = {failure["user_id"]: failure for failure in gathered.failed}
    rows = [row for report in gathered.reports for row in report.index or ()]
    rows = [
        failed_row(row[0], page_name(row[0]), readings=row[2], unused=row[4]) if row[0] in failed else row
        for row in rows
    ]
    listed = {row[0] for row in rows}
    rows += [failed_row(user, page_name(user)) for user in failed if user not in listed]
    rows.sort(key=itemgetter(0))
    counted = [report.counts for report in gathered.reports if report.counts]
    counts = reduce(merge_counts, counted) if counted else None
    write_whole(
        out / "index.html",
        index_page(rows, title=title, days=intake.days, rows_read=intake.rows_read, rejected=rejected),
    )
    write_whole(
        out / "population.html",
        population_page(counts, title=title, days=intake.days, rows_read=intake.rows_read, rejected=rejected),
    )


def _write_assets(out: Path, library: Path) -> None:
    """Write what all pages share, once, before any worker needs it."""
    write_whole(out / "plotly.min.js", library.read_bytes())
    for name, content in {**shared_assets(), **index_assets()}.items():
        write_whole(out / name, content)
