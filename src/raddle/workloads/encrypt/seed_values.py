"""What goes into the seed's API and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import raddle
    from raddle.workloads.encrypt.seed_work import Work
    from raddle.workloads.encrypt.sketch import EncryptionConfig, PreprocessConfig

__all__ = ["EncryptionResult", "EncryptionTask", "failed", "result_of"]


@dataclass(frozen=True, slots=True)
class EncryptionTask:
    """One picture to encrypt.

    Args:
        image_path: of the picture
        key: passphrase; not shown in the repr
        preprocess_config: how to read and prepare the picture
        encryption_config: how much of it to keep
        task_id: its name among all tasks of one orchestrator; None: "task_1", "task_2" and so on
    """

    image_path: Path
    key: Any = field(repr=False)
    preprocess_config: PreprocessConfig
    encryption_config: EncryptionConfig
    task_id: str | None = None


@dataclass(frozen=True, slots=True)
class EncryptionResult:
    """How a task ended."""

    task_id: str
    image_path: Path
    #: what `encrypt_image` returned, by default a `SealedSketch`; None if it failed
    payload: Any = field(default=None, repr=False)
    #: type and message; None if it succeeded
    error: str | None = None
    success: bool = True
    #: "ok", "failed", "timed_out", "crashed" or "cancelled"
    status: str = "ok"
    #: the same with traceback, and the exception itself where it could travel
    info: raddle.ErrorInfo | None = field(default=None, repr=False, compare=False)
    attempts: int = field(default=1, compare=False)
    #: of the last attempt
    seconds: float = field(default=0.0, compare=False)


def result_of(outcome: raddle.Outcome) -> EncryptionResult:
    work: Work = outcome.item
    if outcome.ok:
        return EncryptionResult(
            work.task_id, work.image_path, outcome.value, attempts=outcome.attempts, seconds=outcome.seconds
        )
    return failed(
        work.task_id,
        work.image_path,
        str(outcome.status),
        outcome.error,
        attempts=outcome.attempts,
        seconds=outcome.seconds,
    )


def failed(
    task_id: str, path: Path, status: str, info: raddle.ErrorInfo | None, *, attempts: int = 0, seconds: float = 0.0
) -> EncryptionResult:
    error = status
    if info is not None:
        kind = info.type.rpartition(".")[2]
        error = f"{kind}: {info.message}" if info.message else kind
    return EncryptionResult(
        task_id, path, error=error, success=False, status=status, info=info, attempts=attempts, seconds=seconds
    )
