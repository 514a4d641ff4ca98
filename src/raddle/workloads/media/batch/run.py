"""One run of a policy over files: `raddle.run` on threads, since the work is done by programs."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import raddle
from raddle.plugin import granted_cpus
from raddle.workloads.media.batch.control import Control
from raddle.workloads.media.batch.jobs import colliding, jobs_for, tidy
from raddle.workloads.media.batch.permits import permits_for
from raddle.workloads.media.batch.preparing import Prepare, Prepared, Tools
from raddle.workloads.media.batch.results import NotDone, Result
from raddle.workloads.media.batch.watching import Watch
from raddle.workloads.media.batch.work import Work
from raddle.workloads.media.policy import policy_digest
from raddle.workloads.media.replace.ledger import DiskLedger
from raddle.workloads.media.state import State, claims_folder, settled_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import TextIO

    from raddle.workloads.media.batch.jobs import Job
    from raddle.workloads.media.batch.permits import Permits
    from raddle.workloads.media.batch.stopping import Signals
    from raddle.workloads.media.policy import Policy
    from raddle.workloads.media.settings import Settings
    from raddle.workloads.media.telling import Told

__all__ = ["RunOptions", "run_policy"]

#: seconds that programs get to end in, and workers to clean up, after a signal
_PATIENCE: Final = 4.5


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What a run is about."""

    policy: Policy
    #: where it was read from, for people
    policy_path: Path
    paths: Sequence[str]
    recursive: bool = False
    dry_run: bool = False
    resume: bool = False
    #: file that remembers the run, for `raddle ui` and `raddle runs`; what is resumed is in the state
    journal: Path | None = None
    #: of the run in the journal
    name: str = "media"


def run_policy(options: RunOptions, settings: Settings, *, tell: Told, signals: Signals, stderr: TextIO) -> None:
    """Bring all files to what the policy says; tell every outcome as it comes, one for each file.

    Raises:
        ConfigError: the state folder cannot be used
        Interrupted: a signal came before anything was begun, or a second one
    """
    policy, folder = options.policy, settings.folder
    jobs, found = _files(options)
    permits = permits_for(granted_cpus(), workers=settings.workers, encodes=settings.encodes, policy=policy)
    digest = policy_digest(policy)
    control: Control[Prepared] = Control()
    with ExitStack() as stack:
        prepare = Prepare(
            policy=policy,
            tools=Tools(settings, policy),
            refused=colliding(jobs, policy),
            settled=settled_files(folder, digest) if options.resume else frozenset(),
        )
        state = None
        if not options.dry_run:
            state = stack.enter_context(State(folder, policy=str(options.policy_path), digest=digest))
        view = settings.progress if settings.progress != "auto" else "line"
        watch = Watch(stderr, "none" if view == "live" else view, len(jobs), lambda: control.active)
        stack.enter_context(watch)
        for line in (*found, *permits.warnings):
            watch.say(f"raddle media: {line}")
        work = Work(
            policy=policy,
            prepare=prepare,
            control=control,
            ledger=_ledger(policy),
            settings=settings,
            claims=claims_folder(folder),
            threads=permits.threads,
            dry_run=options.dry_run,
            on_wait=lambda reason: watch.say(f"raddle media: {reason}"),
        )

        def take(result: Result) -> None:
            _remember(state, result, watch)
            watch.add(result)
            if tell.speaks:
                watch.beside(lambda: tell(result))
            else:
                tell(result)

        remember = {"journal": options.journal, "name": options.name}
        _run(work, jobs, permits, remember, take=take, watch=watch, signals=signals, live=view == "live")
        if state is not None:
            state.exit_code = 128 + signals.number if signals.number else tell.exit_code


def _files(options: RunOptions) -> tuple[list[Job], list[str]]:
    """Return the files, after what killed runs left among them was put in order; and what that was."""
    paths, deep = options.paths, options.recursive
    if options.dry_run:
        return jobs_for(paths, recursive=deep), []
    found = tidy(paths, options.policy, recursive=deep)
    jobs = jobs_for(paths, recursive=deep)
    elsewhere = [job.real for job in jobs if job.real != job.path and not job.problem]
    if elsewhere and (more := tidy(elsewhere, options.policy, recursive=False)):
        return jobs_for(paths, recursive=deep), found + more
    return jobs, found


def _run(
    work: Work,
    jobs: Sequence[Job],
    permits: Permits,
    remember: dict[str, Any],
    *,
    take: Callable[[Result], None],
    watch: Watch,
    signals: Signals,
    live: bool,
) -> None:
    control = work.control
    unsure: list[Job] = []
    with raddle.run(
        work,
        jobs,
        backend="threads",
        ordered=False,
        **remember,
        progress="live" if live else None,
        workers=permits.workers,
        permits=permits.by_name(),
        permit=work.permit,
    ) as run:
        watch.follow(run)

        def stop() -> None:
            control.end("the run was stopped")
            run.kill("interrupted")  # threads are given up, so that what they run is ended; they still clean up

        signals.stop_by(stop)
        try:
            for outcome in run:
                result = _result(outcome, control)
                if result is None:
                    unsure.append(outcome.item)
                else:
                    take(result)
        except BaseException:
            stop()
            raise
    if unsure:
        work.ledger.recheck()
        control.wait_idle(_PATIENCE)
        for job in unsure:
            take(control.kept(job.number) or Result(path=job.path, status="cancelled", reason=_GIVEN_UP))


_GIVEN_UP: Final = "the run was stopped, and it did not end in time; the next run removes what it left"


def _result(outcome: raddle.Outcome, control: Control[Prepared]) -> Result | None:
    """Return how a file ended; None: it was under way when the run was stopped, and may yet have an end of its own."""
    job: Job = outcome.item
    kept = control.kept(job.number)
    if kept is not None:
        return kept
    if outcome.status is raddle.Status.CANCELLED:
        if outcome.attempts:
            return None
        return Result(path=job.path, status="cancelled", reason=f"not begun: {control.closed or 'the run was stopped'}")
    error = outcome.error
    if error is not None and isinstance(error.exception, NotDone):
        return error.exception.result
    if outcome.ok:
        value: Result = outcome.value
        return value
    return Result(path=job.path, status="failed", reason=str(error), seconds=outcome.seconds)


def _ledger(policy: Policy) -> DiskLedger:
    free = policy.safety.min_free
    return DiskLedger(min_free=free.size or 0, min_free_percent=free.percent or 0.0)


def _remember(state: State | None, result: Result, watch: Watch) -> None:
    if state is None or state.broken:
        return
    try:
        state.add(result)
    except sqlite3.Error as error:
        state.broken = True  # the files matter more than the totals
        watch.say(f"raddle media: the state cannot be written any more ({error}): totals and --resume will not know")
