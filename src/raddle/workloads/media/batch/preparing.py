"""What is to be done to a file, found out by a look at it; nothing is written."""

# names are text of any bytes and pass as they are, to calls most of which Path does not have
# ruff: noqa: PTH116, PTH118, PTH119, PTH120
from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from raddle.errors import RaddleError
from raddle.workloads.media.batch.results import Did, Result, streams_text
from raddle.workloads.media.hdr import seen_closely
from raddle.workloads.media.plan import Plan, Refusal, Skip, predict, preview
from raddle.workloads.media.probe import probe
from raddle.workloads.media.replace.errors import HardLinked
from raddle.workloads.media.replace.replacing import check_replaceable
from raddle.workloads.media.replace.system import identity_of
from raddle.workloads.media.tools.commands import commands
from raddle.workloads.media.tools.programs import find_programs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raddle.workloads.media.batch.jobs import Job
    from raddle.workloads.media.batch.results import Status
    from raddle.workloads.media.policy import Policy
    from raddle.workloads.media.replace.system import Identity
    from raddle.workloads.media.settings import Settings
    from raddle.workloads.media.tools.programs import Programs
    from raddle.workloads.media.values import MediaFile

__all__ = ["Prepare", "Prepared", "Tools", "did"]

#: stands for the result's path where commands are only tried
_NOWHERE: Final = "/raddle"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a look at a file gave."""

    #: how it ends, or would end if it were done; then nothing is to be done
    result: Result
    #: the file, if something is to be done to it
    media: MediaFile | None = None
    encodes: bool = False


class Tools:
    """The programs, looked for when a file first needs one: a pass that changes nothing starts none."""

    def __init__(self, settings: Settings, policy: Policy) -> None:
        self._settings = settings
        self._hardware = any(step.video is not None and step.video.hardware != "none" for step in policy.steps)
        self._lock = threading.Lock()

    @property
    def programs(self) -> Programs:
        """Return them.

        Raises:
            ConfigError, MissingExtra: as `find_programs`
        """
        with self._lock:
            return self._found

    @cached_property
    def _found(self) -> Programs:
        own = self._settings
        return find_programs(
            ffmpeg=own.ffmpeg,
            mkvmerge=own.mkvmerge,
            mkvpropedit=own.mkvpropedit,
            mkvtoolnix=own.mkvtoolnix,
            hardware=self._hardware,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """Looks at files, by one policy."""

    policy: Policy
    tools: Tools
    #: why a file is refused before anybody looks at it, by its number
    refused: Mapping[int, str] = field(default_factory=dict)
    #: files on which an earlier run of the same policy had no more to do
    settled: frozenset[Identity] = frozenset()

    def __call__(self, job: Job) -> Prepared:
        """Probe and plan. What is wrong with the file is told by the result, never raised."""
        if job.problem:
            return Prepared(Result(path=job.path, status="failed", reason=job.problem))
        if job.same_as:
            reason = f"is the same file as {job.same_as}, which is worked on"
            return Prepared(Result(path=job.path, status="skipped", reason=reason))
        if job.number in self.refused:
            return Prepared(Result(path=job.path, status="failed", reason=self.refused[job.number]))
        try:
            if self.settled and (found := self._resumed(job)) is not None:
                return Prepared(found)
            return self._planned(job, probe(job.real))
        except (RaddleError, OSError) as error:
            return Prepared(Result(path=job.path, status="failed", reason=str(error)))

    def _resumed(self, job: Job) -> Result | None:
        identity = identity_of(os.stat(job.real))
        if identity not in self.settled:
            return None
        reason = "is as an earlier run with this policy left it"
        size = identity[2]
        return Result(path=job.path, status="unchanged", reason=reason, resumed=True, size_before=size, size_after=size)

    def _planned(self, job: Job, media: MediaFile) -> Prepared:
        results = preview(media, self.policy)
        if (closer := seen_closely(media, results)) is not media:
            media = closer
            results = preview(media, self.policy)
        plans = [plan for plan in results if isinstance(plan, Plan)]
        told = Result(
            path=job.path,
            status="planned",
            size_before=media.size,
            streams_before=streams_text(media),
            warnings=tuple(dict.fromkeys(warning for plan in plans for warning in plan.warnings)),
        )
        last = results[-1]
        if isinstance(last, Refusal):
            where = f"step {len(results)}: " if len(self.policy.steps) > 1 else ""
            return Prepared(replace(told, status="failed", reason=f"{where}{last.reason}"))
        told = replace(told, steps=did(self.policy, results))
        doing = [plan for plan in plans if plan.changes]
        if doing:
            return self._possible(job, doing, told)
        told = replace(told, size_after=media.size, streams_after=streams_text(media), settled=media.identity)
        if plans:
            return Prepared(replace(told, status="unchanged", reason="is as the policy says"))
        return Prepared(replace(told, status="skipped", reason=_skips(results)))

    def _possible(self, job: Job, doing: Sequence[Plan], told: Result) -> Prepared:
        """Check what can be known before any work: names, links, encoders."""
        first, target = doing[0].source, doing[-1].target
        if target != first.path and job.is_link:
            reason = f"path={job.path!r} is a symbolic link, and its name would change: give the file itself"
            return Prepared(_ended(told, "failed", reason))
        try:
            check_replaceable(first.path, target, first.identity, hardlinks=self.policy.safety.hardlinks)
        except HardLinked as error:
            return Prepared(_ended(told, "skipped", str(error)))
        notes = [c.note for plan in doing for c in commands(plan, self.tools.programs, _NOWHERE) if c.note]
        told = replace(told, streams_after=streams_text(predict(doing[-1])))
        told = _with(told, job, target if target != first.path else "", notes)
        return Prepared(told, first, any(plan.method == "encode" for plan in doing))


def _with(told: Result, job: Job, target: str, notes: Sequence[str]) -> Result:
    place = os.path.join(os.path.dirname(job.path), os.path.basename(target)) if target else ""
    return replace(told, target=place, warnings=tuple(dict.fromkeys((*told.warnings, *notes))))


def _ended(told: Result, status: Status, reason: str) -> Result:
    return replace(told, status=status, reason=reason, steps=())


def did(policy: Policy, results: Sequence[Plan | Skip | Refusal]) -> tuple[Did, ...]:
    """Return what the steps do, without those that do nothing."""
    found = []
    for number, (step, result) in enumerate(zip(policy.steps, results, strict=False), 1):
        if isinstance(result, Skip):
            found.append(Did(number=number, name=step.name, method="skipped", reason=result.reason))
        elif isinstance(result, Plan) and result.changes:
            found.append(Did(number=number, name=step.name, method=result.method, changes=result.changes))
    return tuple(found)


def _skips(results: Sequence[Plan | Skip | Refusal]) -> str:
    return "; ".join(dict.fromkeys(result.reason for result in results if isinstance(result, Skip)))
