"""What is done to one file, in a worker: one fresh probe, one plan and one run of a tool for each step."""

# names are text of any bytes and pass as they are, to calls most of which Path does not have
# ruff: noqa: PTH116, PTH118, PTH119, PTH120
from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import raddle
from raddle.errors import ItemCancelled, RaddleError
from raddle.workloads.media.batch.results import Did, NotDone, Result, streams_text
from raddle.workloads.media.hdr import seen_closely
from raddle.workloads.media.plan import Plan, Refusal, Skip, make_plan, result_time
from raddle.workloads.media.probe import probe
from raddle.workloads.media.replace.claims import claim
from raddle.workloads.media.replace.errors import HardLinked
from raddle.workloads.media.replace.replacing import check_replaceable, replace_file
from raddle.workloads.media.replace.staging import stage
from raddle.workloads.media.replace.system import identity_of
from raddle.workloads.media.tools.commands import commands
from raddle.workloads.media.tools.running import run_commands
from raddle.workloads.media.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle.workloads.media.batch.control import Control
    from raddle.workloads.media.batch.jobs import Job
    from raddle.workloads.media.batch.preparing import Prepare, Prepared
    from raddle.workloads.media.batch.results import Status
    from raddle.workloads.media.policy import Policy
    from raddle.workloads.media.replace.ledger import DiskLedger, Reservation
    from raddle.workloads.media.replace.replacing import Replaced
    from raddle.workloads.media.replace.staging import Stage
    from raddle.workloads.media.settings import Settings
    from raddle.workloads.media.tools.programs import Programs
    from raddle.workloads.media.tools.running import ToolResult
    from raddle.workloads.media.values import MediaFile

__all__ = ["Work"]

#: a result may be a little larger than its source; it is held until it is there
_ROOM: Final = 1.05
_SPARE: Final = 1 << 20
#: how often a file may turn out to be another when it is claimed
_TRIES: Final = 5
#: part of the time that the program takes, as against checking its result
_PROGRAM: Final = 90.0


class _ToolFailed(RaddleError):
    def __init__(self, result: ToolResult) -> None:
        super().__init__(result.message)
        self.said = result.errors or result.warnings


class _NotVerified(RaddleError):
    pass


class _TooLarge(RaddleError):
    pass


@dataclass(slots=True)
class _State:
    """One file on its way through the steps."""

    result: Result
    media: MediaFile
    #: of the file as it was
    time: int | None
    size: int
    #: path of the original in the trash
    original: str | None = None
    replaced: bool = False
    steps: list[Did] = field(default_factory=list)
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Brings one file to what the policy says. Called by the engine, in a thread."""

    policy: Policy
    prepare: Prepare
    control: Control[Prepared]
    ledger: DiskLedger
    settings: Settings
    #: folder for locks
    claims: str
    threads: int
    #: nothing is done
    dry_run: bool = False
    #: told when a file waits for room on its disk
    on_wait: Callable[[str], None] = lambda reason: None  # noqa: ARG005 - what it is called with

    def permit(self, job: Job) -> str:
        """Look at a file before it starts, and say whether it is light work or will be encoded."""
        if self.control.closed:
            return "light"
        try:
            prepared = self.prepare(job)
        except Exception:  # noqa: BLE001 - a defect would end the whole run here; in the worker it costs this file alone
            return "light"
        self.control.put(job.number, prepared)
        return "encode" if prepared.encodes and not self.dry_run else "light"

    def __call__(self, job: Job) -> Result:
        """Do it.

        Raises:
            NotDone: the file failed, or was cancelled
        """
        begun = time.monotonic()
        with self.control.working():
            result = self._ended(job)
            result = replace(result, seconds=time.monotonic() - begun)
            self.control.keep(job.number, result)
        if result.status == "failed" and self.policy.on_error == "stop":
            self.control.close(f"{job!r} failed, and on_error says stop")
        if result.status in {"failed", "cancelled"}:
            raise NotDone(result)
        return result

    def _ended(self, job: Job) -> Result:
        if self.control.closed:
            return Result(path=job.path, status="cancelled", reason=f"not begun: {self.control.closed}")
        prepared = self.control.take(job.number) or self.prepare(job)
        for _ in range(_TRIES):
            if prepared.media is None or self.dry_run:
                return prepared.result
            device, inode, *_ = prepared.media.identity
            with claim(self.claims, device, inode) as mine:
                if not mine:
                    reason = "another worker or process is at this file"
                    return replace(prepared.result, status="skipped", reason=reason, steps=(), streams_after=())
                if self._is_still(prepared.media):
                    return self._worked(job, prepared)
            prepared = self.prepare(job)
        reason = "is being changed all the time; try again later"
        return replace(prepared.result, status="failed", reason=reason, steps=(), streams_after=())

    @staticmethod
    def _is_still(media: MediaFile) -> bool:
        try:
            return identity_of(os.stat(media.path)) == media.identity
        except OSError:
            return False

    def _worked(self, job: Job, prepared: Prepared) -> Result:
        media = prepared.media
        assert media is not None  # noqa: S101 - asked by the caller
        told = replace(prepared.result, status="done", steps=(), target="")
        state = _State(told, media, result_time(media, self.policy), media.size)
        status: Status = "done"
        said: tuple[str, ...] = ()
        reason, rejected = "", False
        try:
            self._steps(state)
        except ItemCancelled:
            status, reason = "cancelled", "ended, because the run was stopped"
        except (HardLinked, _TooLarge) as error:
            status, reason = "done" if state.replaced else "skipped", str(error)
            rejected = isinstance(error, _TooLarge)
        except _ToolFailed as error:
            status, reason, said = "failed", str(error), error.said
        except (RaddleError, OSError, subprocess.SubprocessError) as error:
            status, reason = "failed", str(error)
            if isinstance(error, _NotVerified):
                state.result = replace(state.result, verify_result=reason)
        settled = status == "done" or (rejected and not state.replaced)
        return self._told(job, state, status=status, reason=reason, said=said, settled=settled)

    def _told(
        self, job: Job, state: _State, *, status: Status, reason: str, said: tuple[str, ...], settled: bool
    ) -> Result:
        media = state.media
        name = os.path.basename(media.path)
        beside = os.path.join(os.path.dirname(job.path), name)
        renamed = name != os.path.basename(job.real)
        return replace(
            state.result,
            status=status,
            reason=reason,
            said=said,
            steps=tuple(state.steps),
            streams_after=streams_text(media),
            size_after=media.size,
            attempts=state.attempts,
            target=(media.path if job.is_link else beside) if renamed else "",
            settled=media.identity if settled else None,
        )

    def _steps(self, state: _State) -> None:
        count = len(self.policy.steps)
        for number, step in enumerate(self.policy.steps, 1):
            plan = make_plan(state.media, step, self.policy)
            if (closer := seen_closely(state.media, (plan,))) is not state.media:
                state.media = closer
                plan = make_plan(closer, step, self.policy)
            if isinstance(plan, Refusal):
                raise RaddleError(f"step {number}: {plan.reason}")
            if isinstance(plan, Skip):
                state.steps.append(Did(number=number, name=step.name, method="skipped", reason=plan.reason))
            elif plan.changes:
                where = f"step {number} of {count}, {plan.method}" if count > 1 else plan.method
                replaced = self._tried(state, plan, where)
                state.steps.append(Did(number=number, name=step.name, method=plan.method, changes=plan.changes))
                state.replaced = True
                state.original = state.original or replaced.original
                state.result = replace(
                    state.result, warnings=tuple(dict.fromkeys((*state.result.warnings, *replaced.notes)))
                )
                state.media = probe(replaced.path)

    def _tried(self, state: _State, plan: Plan, where: str) -> Replaced:
        programs = self.prepare.tools.programs
        state.attempts = max(state.attempts, 1)
        try:
            return self._step(state, plan, programs, where)
        except _ToolFailed:
            if not _may_fall_back(plan) or programs.software().encoders == programs.encoders:
                raise
        state.attempts = 2
        note = "the hardware encoder failed; encoded by the CPU"
        state.result = replace(state.result, warnings=(*state.result.warnings, note))
        return self._step(state, plan, programs.software(), where)

    def _step(self, state: _State, plan: Plan, programs: Programs, where: str) -> Replaced:
        source, safety = plan.source, self.policy.safety
        tell = raddle.attempt().report
        check_replaceable(source.path, plan.target, source.identity, hardlinks=safety.hardlinks)
        folder = os.path.dirname(os.path.realpath(source.path))
        room = int(source.size * _ROOM) + _SPARE

        def waiting(reason: str) -> None:
            tell(0.0, "waits for room")
            self.on_wait(f"{source.path}: waits for room: {reason}")

        with (
            self.ledger.reserve(folder, room, cancelled=self.control.ending, on_wait=waiting) as reserved,
            stage(source.path) as staged,
        ):
            self._written(plan, programs, staged, reserved, lambda part: tell(part * _PROGRAM, where))
            self._small_enough(state, staged)
            tell(_PROGRAM, "checking the result")
            problems = verify(plan, source, staged.path, safety.verify, ffmpeg=programs.ffmpeg)
            state.result = replace(state.result, verify_level=safety.verify, verify_result="ok")
            if problems:
                raise _NotVerified("; ".join(problems))
            return replace_file(
                staged,
                plan.target,
                source.identity,
                source=source.path,
                follows=state.original,
                originals=safety.originals,
                hardlinks=safety.hardlinks,
                times="now" if state.time is None else state.time,
            )

    def _written(
        self, plan: Plan, programs: Programs, staged: Stage, reserved: Reservation, tell: Callable[[float], None]
    ) -> None:
        def progressed(part: float) -> None:
            reserved.written(os.stat(staged.path).st_size)
            tell(part)

        tell(0.0)
        result = run_commands(
            commands(plan, programs, staged.path, threads=self.threads),
            staged=staged.path,
            stall=self.settings.stall_timeout or None,
            hard=self.settings.hard_timeout or None,
            on_progress=progressed,
        )
        if not result.ok:
            raise _ToolFailed(result)

    def _small_enough(self, state: _State, staged: Stage) -> None:
        limit = self.policy.safety.reject_larger_than
        if limit is None:
            return
        size = os.stat(staged.path).st_size
        share = 100 * size / max(1, state.size)
        if share > limit:
            raise _TooLarge(
                f"the result has {share:.1f} % of the original's size, allowed are {limit:g} % (reject_larger_than):"
                " the original stays; --resume does not try it again"
            )


def _may_fall_back(plan: Plan) -> bool:
    encodes = [output.codec for output in plan.outputs if output.codec is not None]
    return any(encode.option("hardware") and encode.option("hardware_fallback") != "false" for encode in encodes)
