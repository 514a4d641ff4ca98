"""Every backend keeps the promises of the port."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from raddle.backends.processes import ProcessBackend
from raddle.backends.serial import SerialBackend
from raddle.backends.threads import ThreadBackend
from raddle.testing import BackendSuite, FakeClock, SimulatedBackend, Step
from raddle.testing.items import DIE, HANG, NAP, NAP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle._ports import Backend


# First in the file: forking is safest while no test has started a thread yet.
class TestForkedProcesses(BackendSuite):
    survives_death = True

    @pytest.fixture(autouse=True)
    def _alone(self) -> None:
        if len(list(Path("/proc/self/task").iterdir())) > 1:
            pytest.skip("threads are about: test_processes.py::test_forking_in_a_clean_process runs this")

    def make(self, func: Callable[[Any], Any], **options: Any) -> Backend:
        return ProcessBackend(func, start="fork", **options)


class TestFreshProcesses(BackendSuite):
    survives_death = True

    def make(self, func: Callable[[Any], Any], **options: Any) -> Backend:
        return ProcessBackend(func, start="fresh", **options)


class TestSerial(BackendSuite):
    contains_interrupt = False
    runs_beside = False

    def make(self, func: Callable[[Any], Any], **options: Any) -> Backend:
        del options["workers"]
        return SerialBackend(func, **options)


class TestThreads(BackendSuite):
    def make(self, func: Callable[[Any], Any], **options: Any) -> Backend:
        return ThreadBackend(func, **options)


class TestSimulated(BackendSuite):
    knows_attempt = False
    initializes = False
    contains_exit = False
    contains_interrupt = False
    shared_inbox = False
    survives_death = True

    def make(self, func: Callable[[Any], Any], **options: Any) -> Backend:
        def plan(item: Any, attempt: int) -> Step:
            if item == HANG:
                return Step(fate="hang")
            if item == DIE:
                return Step(fate="crash")
            try:
                return Step(NAP_SECONDS if item == NAP else 0.0, value=item * 2 if item == NAP else func(item))
            except ValueError as error:
                return Step(error=error)

        return SimulatedBackend(plan, clock=FakeClock(100.0), **options)


def test_every_promise_has_a_backend_that_keeps_it() -> None:
    """A test that all bindings skip would promise nothing."""
    promises = {name for name, _ in inspect.getmembers(BackendSuite, inspect.isfunction) if name.startswith("test_")}
    assert len(promises) >= 20
    flags = {name for name, value in vars(BackendSuite).items() if isinstance(value, bool)}
    for flag in flags:
        assert any(getattr(suite, flag) for suite in (TestThreads, TestSimulated)), flag
