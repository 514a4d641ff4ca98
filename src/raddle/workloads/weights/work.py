"""The work on one user: what `raddle.run` runs, in whatever worker."""

from __future__ import annotations

import hashlib
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

from raddle.workloads.weights.files import write_whole
from raddle.workloads.weights.filter import RULES, filter_user
from raddle.workloads.weights.pages import page_mark, user_page
from raddle.workloads.weights.values import PageJob, UserJob, UserResult

if TYPE_CHECKING:
    from raddle.workloads.weights.values import Readings

__all__ = ["draw", "is_drawn", "make_job", "process_user"]


def process_user(job: UserJob) -> UserResult:
    """Filter one user's readings and write the page."""
    result = filter_user(job.readings)
    if job.page is not None:
        draw(job, result)
    return result


def draw(job: UserJob, result: UserResult) -> None:
    """Write a user's page; it is never seen half-written."""
    if job.page is not None:
        content = user_page(job.readings, result, job.page, mark=page_mark(job.id, job.page))
        # no fsync: a page lost to a power cut is noticed by its mark and drawn again
        write_whole(Path(job.page.folder, job.page.name), content, sync=False)


def is_drawn(job: UserJob) -> bool:
    """Tell whether the page on disk is the one that this job would draw."""
    if job.page is None:
        return True
    try:
        with Path(job.page.folder, job.page.name).open("rb") as file:
            return page_mark(job.id, job.page).encode() in file.read(400)
    except OSError:
        return False


def make_job(readings: Readings, page: PageJob | None) -> UserJob:
    """Return the item of a user; its id changes with the readings and with the rules."""
    digest = hashlib.blake2b(
        f"{RULES} {readings.days} {readings.unused} {readings.source_names!r}".encode(), digest_size=16
    )
    digest.update(array("q", readings.lines).tobytes())
    digest.update(array("d", readings.times).tobytes())  # microseconds since 1970 stay exact in a double
    digest.update(array("d", readings.weights_kg).tobytes())
    digest.update(array("q", readings.sources).tobytes())
    return UserJob(f"{readings.user}:{digest.hexdigest()}", readings, page)
