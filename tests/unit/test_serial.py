from __future__ import annotations

import contextvars
import gc
import weakref
from typing import Any

import pytest

from raddle import errors
from raddle._attempt import attempt
from raddle._events import ChunkEnded, RunFailed
from raddle._model import Chunk
from raddle.backends.serial import SerialBackend

tint = contextvars.ContextVar("tint", default="none")


def chunk(items: list[Any], number: int = 0) -> Chunk:
    return Chunk(number, items, range(len(items)), attempt=1)


def interrupted(item: int) -> int:
    if item == 3:
        raise KeyboardInterrupt
    return item * 2


def test_capabilities_promise_no_timeout() -> None:
    can = SerialBackend(abs).capabilities
    assert (can.name, can.worker_name, can.workers, can.depth) == ("serial", "serial", 1, 1)
    assert (can.enforces_timeout, can.max_chunk) == (False, 8192)


@pytest.mark.parametrize("timeout", [0.5, 30])
def test_timeout_is_refused_with_a_remedy(timeout: float) -> None:
    with pytest.raises(errors.ConfigError, match=f"timeout={timeout} .*use backend='threads' or backend='processes'"):
        SerialBackend(abs, timeout=timeout)


def test_ctrl_c_passes_and_what_had_finished_is_answered() -> None:
    backend = SerialBackend(interrupted)
    with pytest.raises(KeyboardInterrupt):
        backend.start(0, chunk([1, 2, 3, 4]))
    (end,) = backend.inbox.take(0)
    assert isinstance(end, ChunkEnded)
    assert (end.values, end.errors, len(end.clock)) == ([2, 4], {}, 3)


def test_ctrl_c_in_the_initializer_passes() -> None:
    def initializer() -> None:
        raise KeyboardInterrupt

    backend = SerialBackend(abs, initializer=initializer)
    with pytest.raises(KeyboardInterrupt):
        backend.start(0, chunk([1]))


def test_failed_initializer_runs_nothing_ever() -> None:
    calls: list[int] = []

    def initializer() -> None:
        raise SystemExit(2)

    backend = SerialBackend(calls.append, initializer=initializer)
    backend.start(0, chunk([1]))
    backend.start(0, chunk([1], 1))
    failure, *ends = backend.inbox.take(0)
    assert isinstance(failure, RunFailed)
    assert "SystemExit: 2" in str(failure.error)
    assert isinstance(failure.error.__cause__, SystemExit)
    assert [end.values for end in ends if isinstance(end, ChunkEnded)] == [[], []]
    assert calls == []


def test_a_run_within_a_run_leaves_the_outer_attempt_in_place() -> None:
    inner = SerialBackend(lambda _: attempt().idempotency_key)

    def func(item: str) -> tuple[str, Any, str]:
        before = attempt().idempotency_key
        inner.start(0, chunk([item], ord(item)))
        (end,) = inner.inbox.take(0)
        assert isinstance(end, ChunkEnded)
        return before, end.values[0], attempt().idempotency_key

    outer = SerialBackend(func)
    outer.start(0, Chunk(0, ["a", "b"], [5, 6], attempt=1))
    (end,) = outer.inbox.take(0)
    assert isinstance(end, ChunkEnded)
    assert end.values == [("/5", "/0", "/5"), ("/6", "/0", "/6")]
    with pytest.raises(LookupError, match="there is no attempt"):
        attempt()


def test_context_is_that_of_the_making_and_does_not_leak() -> None:
    def func(item: str) -> str:
        seen = tint.get()
        tint.set(item)
        return seen

    token = tint.set("madder")
    backend = SerialBackend(func)
    tint.reset(token)
    backend.start(0, chunk(["woad"]))
    (end,) = backend.inbox.take(0)
    assert isinstance(end, ChunkEnded)
    assert end.values == ["madder"]
    assert tint.get() == "none"


def test_a_kept_error_does_not_keep_the_values_of_its_chunk() -> None:
    class Value:
        pass

    def func(item: int) -> Value:
        if item:
            raise ValueError(item)
        return Value()

    backend = SerialBackend(func)
    backend.start(0, chunk([0, 7]))
    (end,) = backend.inbox.take(0)
    assert isinstance(end, ChunkEnded)
    error, value = end.errors[1], weakref.ref(end.values[0])
    gc.disable()
    try:
        del end
        assert value() is None
    finally:
        gc.enable()
    assert isinstance(error.exception, ValueError)
