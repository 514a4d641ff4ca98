"""What a worker does for one task of the seed's API, and how it gets what it needs; no key but by a loan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import raddle
from raddle.errors import ConfigError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from raddle.workloads.encrypt.sealed_sketch import SketchLock, SketchSealer
    from raddle.workloads.encrypt.seed_values import EncryptionTask

    Tasks = Sequence[tuple[str, EncryptionTask]]

__all__ = ["EncryptsImages", "Work", "default", "plan"]

#: at once, each of 256 MiB
_MOST_SCRYPTS: Final = 4


class EncryptsImages(Protocol):
    """What `orchestrator=` may be. It may call `raddle.attempt().report(percent)` to say how far it is."""

    def encrypt_image(self, image_path: Any, key: Any, preprocess_config: Any, encryption_config: Any, /) -> Any:
        """Encrypt one picture; called from many threads at once, or in worker processes."""


@dataclass(frozen=True, slots=True)
class Work:
    """A task without its key: it may be pickled, logged and shown."""

    position: int
    task_id: str
    image_path: Path
    preprocess_config: Any
    encryption_config: Any
    #: None: somebody else encrypts
    lock: SketchLock | None = None
    #: what is wrong with the key
    trouble: ConfigError | None = None


@dataclass(frozen=True, slots=True)
class _Held:
    """Keys of this process, with the face of a `Loan`."""

    keys: Sequence[Any]

    def __repr__(self) -> str:
        return "_Held(hidden)"

    def take(self) -> Sequence[Any]:
        return self.keys


def default() -> EncryptsImages:
    """Return what encrypts if the caller brings nothing.

    Raises:
        MissingExtra: a library that sketching or sealing takes is not installed
    """
    from raddle.workloads.encrypt.sealed_sketch import SketchSealer

    return SketchSealer()


def plan(
    tasks: Tasks,
    orchestrator: EncryptsImages,
    *,
    workers: int,
    processes: bool,
    tell: Callable[[str, float], None],
    inside: threading.local,
    stack: ExitStack,
) -> tuple[Callable[[Work], Any], Iterator[Work]]:
    """Return what workers call, and with what.

    Args:
        tasks: with their ids
        orchestrator: what encrypts; our own one gets its scrypt done beforehand
        workers: how many
        processes: they are processes
        tell: of progress, in threads
        inside: `.yes` is set in threads
        stack: ends what is lent when the run is over
    """
    here: dict[str, Any] = {} if processes else {"tell": tell, "inside": inside}
    sealer = _as_sealer(orchestrator)
    keys = [task.key for _, task in tasks]
    if sealer is not None:
        _warm_up(sealer, keys, workers, stack)
        return partial(_work, **here), _with_locks(tasks, sealer)
    held: Any = _Held(keys)
    if processes:
        from raddle.workloads.encrypt.lending import lend

        held = stack.enter_context(lend(keys))
    return partial(_work, orchestrator=orchestrator, keys=held, **here), _without_keys(tasks)


def _work(
    work: Work,
    *,
    orchestrator: EncryptsImages | None = None,
    keys: Any = None,
    tell: Callable[[str, float], None] | None = None,
    inside: threading.local | None = None,
) -> Any:
    """Encrypt one picture. In a process, progress takes the way of the library: at most ten times a second."""
    if inside is not None:
        inside.yes = True  # the thread is one of this run, and ends with it
    report = raddle.attempt().report if tell is None else partial(tell, work.task_id)
    report(0.0)
    if work.trouble is not None:
        raise work.trouble
    if work.lock is not None:
        from raddle.workloads.encrypt.sealed_sketch import sealed_sketch

        return sealed_sketch(work.image_path, work.lock, work.preprocess_config, work.encryption_config, report=report)
    if orchestrator is None:
        raise ConfigError(f"task_id={work.task_id!r}: nobody to encrypt it")
    key = keys.take()[work.position]
    return orchestrator.encrypt_image(work.image_path, key, work.preprocess_config, work.encryption_config)


def _as_sealer(orchestrator: EncryptsImages) -> SketchSealer | None:
    """Tell our own from others without importing what only our own needs."""
    if not type(orchestrator).__module__.endswith(".encrypt.sealed_sketch"):
        return None
    from raddle.workloads.encrypt.sealed_sketch import SketchSealer

    return orchestrator if type(orchestrator) is SketchSealer else None


def _warm_up(sealer: SketchSealer, keys: Sequence[Any], workers: int, stack: ExitStack) -> None:
    """Begin with the scrypt of all passphrases, in parallel; nobody waits here, and nobody reads the outcomes.

    The items are numbers: an item may be shown.
    """
    distinct = list(dict.fromkeys(key for key in keys if key and isinstance(key, str | bytes)))
    distinct = [key for key in distinct if not sealer.is_ready(key)]

    def make(number: int) -> None:
        sealer.lock_for(distinct[number])

    if len(distinct) > 1:
        count = min(workers, len(distinct), _MOST_SCRYPTS)
        stack.enter_context(raddle.run(make, range(len(distinct)), backend="threads", workers=count))


def _with_locks(tasks: Tasks, sealer: SketchSealer) -> Iterator[Work]:
    """Give out tasks as their locks are there; read by a thread of the run, while workers are busy with others."""
    for position, (task_id, task) in enumerate(tasks):
        lock, trouble = None, None
        try:
            lock = sealer.lock_for(task.key)
        except ConfigError as error:
            trouble = error
        yield Work(position, task_id, task.image_path, task.preprocess_config, task.encryption_config, lock, trouble)


def _without_keys(tasks: Tasks) -> Iterator[Work]:
    for position, (task_id, task) in enumerate(tasks):
        yield Work(position, task_id, task.image_path, task.preprocess_config, task.encryption_config)
