"""Which files a run is about, and which of them would meet under one name."""

# names are text of any bytes and pass as they are, to calls most of which Path does not have
# ruff: noqa: PTH100, PTH112, PTH114, PTH118, PTH119, PTH120, PTH122
from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from raddle.errors import RaddleError
from raddle.workloads.media.batch.results import printable
from raddle.workloads.media.discover import discover
from raddle.workloads.media.plan import Plan, collisions, preview
from raddle.workloads.media.plan.containers import SUFFIXES
from raddle.workloads.media.probe import probe
from raddle.workloads.media.replace.restoring import expire
from raddle.workloads.media.replace.sweeping import sweep

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from raddle.workloads.media.policy import Policy

__all__ = ["Job", "colliding", "jobs_for", "tidy"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Job:
    """One file of a run."""

    number: int
    #: as it is told: as given, or as the folder lists it
    path: str
    #: where it really is, if it was reached through links
    real: str
    #: why there is nothing to work on
    problem: str = ""
    #: an earlier one that is the same file
    same_as: str = ""

    @property
    def is_link(self) -> bool:
        """Whether the name itself is a symbolic link, not only the way to it."""
        return os.path.islink(self.path)

    def __repr__(self) -> str:
        """Return what views of progress show."""
        return printable(os.path.basename(self.path))


def tidy(paths: Iterable[str], policy: Policy, *, recursive: bool, now: datetime | None = None) -> list[str]:
    """Remove what killed runs left where `paths` are, end the replacements they began, and empty old trash.

    Returns:
        what was found, in words
    """
    removed = settled = 0
    for folder, deep in _folders(paths, recursive=recursive).items():
        with contextlib.suppress(OSError):  # discovery says why it cannot be read
            swept = sweep(folder, recursive=deep)
            removed += len(swept.removed)
            settled += len(swept.settled)
            expire(folder, policy.safety.trash_days, now or datetime.now(UTC), recursive=deep)
    told = []
    if removed:
        told.append(f"{removed} temporary file{'s' * (removed != 1)} of a run that was killed removed")
    if settled:
        told.append(f"{settled} replacement{'s' * (settled != 1)} that a killed run began settled")
    return told


def _folders(paths: Iterable[str], *, recursive: bool) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for path in paths:
        if os.path.isdir(path):
            found[os.path.realpath(path)] = recursive
        else:
            found.setdefault(os.path.dirname(os.path.realpath(path)), False)
    return found


def jobs_for(paths: Sequence[str], *, recursive: bool) -> list[Job]:
    """Return all files that are meant, and what is none of them with the reason."""
    return [
        Job(
            number=number,
            path=found.path,
            real=found.leads_to or found.path,
            problem=found.problem,
            same_as=found.same_as,
        )
        for number, found in enumerate(discover(paths, recursive=recursive))
    ]


def colliding(jobs: Iterable[Job], policy: Policy) -> dict[int, str]:
    """Return why a file is refused, by its number: its result would take another's name, or another wants it too.

    Only where names say that it could be are files looked into, so that this costs nothing as a rule.
    """
    targets = {step.container.to for step in policy.steps if step.container is not None}
    usable = [job for job in jobs if not job.problem and not job.same_as]
    if not targets or not usable:
        return {}
    places = {job.number: _place(job.real) for job in usable}
    taken = set(places.values())
    wanted: dict[str, list[Job]] = defaultdict(list)
    for job in usable:
        for name in _could_become(places[job.number], targets):
            wanted[name].append(job)
    suspects = {
        job.number: job for name, those in wanted.items() for job in those
        if len(those) > 1 or name in taken or os.path.lexists(name)
    }  # fmt: skip
    existing = {name for name in wanted if name not in taken and os.path.lexists(name)}
    plans: list[Plan] = []
    numbers: dict[str, int] = {}
    for number, job in suspects.items():
        plan = _last_plan(job, policy, places[number])
        if plan is not None:
            plans.append(plan)
            numbers[places[number]] = number
    refused = collisions(plans, taken - set(numbers) | existing)
    return {numbers[refusal.source.path]: refusal.reason for refusal in refused}


def _could_become(place: str, containers: Iterable[str]) -> set[str]:
    stem, suffix = os.path.splitext(place)
    return {stem + SUFFIXES[name][0] for name in containers if suffix.lower() not in SUFFIXES[name]}


def _place(path: str) -> str:
    """Return a path that is the same text for the same place: folders without links, the name as it is."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)


def _last_plan(job: Job, policy: Policy, place: str) -> Plan | None:
    """Return from where to where the file goes by all steps; None: it cannot be planned, which is told later."""
    try:
        media = replace(probe(job.real), path=place)
    except (RaddleError, OSError):
        return None
    plans = [plan for plan in preview(media, policy) if isinstance(plan, Plan)]
    return replace(plans[-1], source=media) if plans else None
