"""G19, G20: values that break naive code are recorded right, or are the failure of their own item and of no other."""

from __future__ import annotations

import socket
import sys
import threading
import time
import unicodedata
import weakref
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kit
import pytest

import raddle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BACKENDS = ["serial", "threads", "processes"]

# ------------------------------------------------------------------------------------------------- nasty objects


class ReduceRaises:
    def __reduce__(self) -> Any:
        raise ValueError("reduce")


class ReduceExits:
    def __reduce__(self) -> Any:
        raise SystemExit(3)


class ReduceInterrupts:
    def __reduce__(self) -> Any:
        raise KeyboardInterrupt


class ReduceLoops:
    def __reduce__(self) -> Any:
        while True:
            time.sleep(0.01)


def explode() -> Any:
    raise LookupError("load")


class LoadRaises:
    def __reduce__(self) -> Any:
        return explode, ()


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("repr")

    __str__ = __repr__


class Incomparable:
    def __eq__(self, other: object) -> bool:
        raise ValueError("eq")

    def __hash__(self) -> int:
        raise ValueError("hash")

    def __bool__(self) -> bool:
        raise ValueError("bool")

    def __len__(self) -> int:
        raise ValueError("len")


class AttributeLoops:
    def __getattr__(self, name: str) -> Any:
        return getattr(self, name + "_")


class StateLocked:
    def __getstate__(self) -> Any:
        return {"lock": threading.Lock()}


class OddText(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError("str")

    __repr__ = __str__


class TwoArguments(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one}{two}")


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("mute")


def deep() -> Any:
    nest: list[Any] = []
    for _ in range(50_000):
        nest = [nest]
    return nest


def itself() -> Any:
    ring: list[Any] = []
    ring.append(ring)
    return ring


def in_a_circle() -> Any:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    return one


def local() -> Any:
    class Local:
        pass

    return Local()


_OPENED: list[Any] = []


def opened(thing: Any) -> Any:
    _OPENED.append(thing)
    return thing


@pytest.fixture(autouse=True)
def _close_all() -> Iterator[None]:
    yield
    while _OPENED:
        _OPENED.pop().close()


NASTY: dict[str, Callable[[], Any]] = {
    "lambda": lambda: lambda item: item,
    "lock": threading.Lock,
    "generator": lambda: (number for number in range(3)),
    "socket": lambda: opened(socket.socket()),
    "file": lambda: opened(Path("/dev/null").open()),  # noqa: SIM115 - closed by the fixture
    "module": lambda: sys,
    "frame": sys._getframe,
    "thread": lambda: threading.Thread(target=print),
    "weak reference": lambda: weakref.ref(Unprintable),
    "deep": deep,
    "itself": itself,
    "reduce raises": ReduceRaises,
    "reduce exits": ReduceExits,
    "reduce interrupts": ReduceInterrupts,
    "load raises": LoadRaises,
    "unprintable": Unprintable,
    "incomparable": Incomparable,
    "attributes without end": AttributeLoops,
    "state with a lock": StateLocked,
    "local class": local,
    "huge int": lambda: 10**5000,
    "surrogate": lambda: "\ud800 \x00",
    "odd text": lambda: OddText("x"),
    "view": lambda: memoryview(b"x"),
    "not a number": lambda: float("nan"),
    "type": lambda: type("Made", (), {}),
}
EXCEPTIONS: dict[str, Callable[[], BaseException]] = {
    "two arguments": lambda: TwoArguments(1, 2),
    "mute": Mute,
    "circle": in_a_circle,
    "exit": lambda: SystemExit(5),
    "generator exit": GeneratorExit,
    "group": lambda: ExceptionGroup("group", [ValueError("one"), Mute()]),
    "base group": lambda: BaseExceptionGroup("group", [SystemExit(1), ValueError("one")]),
    "stop": lambda: StopIteration(3),
    "recursion": lambda: RecursionError("deep"),
}
#: what cannot travel, by nature, and must be said so where it would have to
STAYS = {
    "lock", "generator", "socket", "frame", "thread", "weak reference", "deep", "reduce raises", "reduce exits",
    "reduce interrupts", "load raises", "state with a lock",
}  # fmt: skip


def good(number: int) -> int:
    return number + 1


def as_result(item: Any) -> Any:
    return NASTY[item]() if isinstance(item, str) else good(item)


def as_exception(item: Any) -> Any:
    if not isinstance(item, str):
        return good(item)
    if item in EXCEPTIONS:
        error = EXCEPTIONS[item]()
        raise error
    raise TwoArguments.__mro__[1](NASTY[item]())


def as_item(item: Any) -> Any:
    return good(item) if type(item) is int and item < 1000 else None


def mixed(nasty: list[Any]) -> list[Any]:
    """Nasty ones among good ones: a number, a nasty one, a number ..."""
    return [thing for number, one in enumerate(nasty) for thing in (number, one)]


def names_for(backend: str) -> list[str]:
    """In the caller's own thread a KeyboardInterrupt is the caller's, wherever it comes from."""
    return [name for name in NASTY if not (backend == "serial" and name == "reduce interrupts")]


def run(func: Any, items: list[Any], backend: Any, **options: Any) -> list[raddle.Outcome]:
    try:
        with raddle.run(func, items, backend=backend, workers=2, **options) as run:
            outcomes = list(run)
    except (KeyboardInterrupt, SystemExit) as error:  # pytest would take it for its own
        pytest.fail(f"an item ended the whole run: {error!r}")
    kit.totals_add_up(asdict(run.summary), len(items))
    assert run.summary.cancelled == 0
    assert [outcome.position for outcome in outcomes] == list(range(len(items)))
    for number, outcome in enumerate(outcomes[::2]):
        assert outcome.ok, f"harmed: {outcome}"
        assert outcome.value == number + 1
        assert outcome.attempts == 1
    return outcomes[1::2]


# ----------------------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("journal", [False, True], ids=["", "journal"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_nasty_results(backend: Any, journal: bool, tmp_path: Path) -> None:
    options = {"journal": tmp_path / "runs.db"} if journal else {}
    names = names_for(backend)
    ends = run(as_result, mixed(names), backend, **options)
    for name, outcome in zip(names, ends, strict=True):
        travels = backend == "processes" or journal
        assert outcome.status in ("ok", "failed"), (name, outcome.status)
        assert travels or outcome.ok, (name, outcome.error)
        assert not (backend == "processes" and name in STAYS) or outcome.status == "failed", name


@pytest.mark.parametrize("journal", [False, True], ids=["", "journal"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_nasty_exceptions(backend: Any, journal: bool, tmp_path: Path) -> None:
    names = [*names_for(backend), *EXCEPTIONS]
    options = {"journal": tmp_path / "runs.db"} if journal else {}
    ends = run(as_exception, mixed(names), backend, **options)
    for name, outcome in zip(names, ends, strict=True):
        assert outcome.status == "failed", (name, outcome)
        assert outcome.error is not None
        assert str(outcome.error)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nasty_items(backend: Any) -> None:
    ends = run(as_item, mixed([make() for make in NASTY.values()]), backend)
    for name, outcome in zip(NASTY, ends, strict=True):
        assert outcome.ok or (backend == "processes" and outcome.status == "failed"), (name, outcome.error)
        assert not (backend == "processes" and name in STAYS) or outcome.status == "failed", name


@pytest.mark.parametrize("backend", BACKENDS)
def test_nasty_items_with_a_journal_and_an_id(backend: Any, tmp_path: Path) -> None:
    places: dict[int, int] = {}

    def place(item: Any) -> int:
        return places.setdefault(id(item), len(places))

    items = mixed([make() for make in NASTY.values()])
    run(as_item, items, backend, journal=tmp_path / "runs.db", id=place)


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_a_result_whose_pickling_never_ends_is_timed_out(backend: Any, tmp_path: Path) -> None:
    options = {"journal": tmp_path / "runs.db", "timeout": 0.5}
    ends = run(lambda item: ReduceLoops() if isinstance(item, str) else item + 1, mixed(["loop"]), backend, **options)
    assert [outcome.status for outcome in ends] == ["timed_out"]


# ---------------------------------------------------------------------------------------- keys and ids of any kind

VALUES: dict[str, Any] = {
    "2**63": 2**63,
    "-2**63-1": -(2**63) - 1,
    "10**5000": 10**5000,
    "negative": -1,
    "zero": 0,
    "empty": "",
    "no bytes": b"",
    "nul": "a\0b",
    "bytes with nul": b"a\0b",
    "surrogate": "caf\udce9",
    "composed": unicodedata.normalize("NFC", "é"),
    "decomposed": unicodedata.normalize("NFD", "é"),
    "a megabyte": "x" * 1_000_000,
    "looks like an int": "1",
    "int": 1,
    "bytes of it": b"1",
    "newline": "a\nb",
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("role", ["item", "id", "key"])
def test_values_of_any_kind_are_told_apart(role: str, backend: Any, tmp_path: Path) -> None:
    """As the item itself, as its id and as its key: recorded once each, and known again in the next session."""
    more = [True, None, 1.0, float("nan"), float("inf"), -0.0, 0.0, ("t", 1), [1], {"a": 1}, frozenset({1})]
    values = [*VALUES.values(), *(more if role == "item" else [])]
    items = values if role == "item" else list(range(len(values)))
    options: dict[str, Any] = {"journal": tmp_path / "runs.db", "name": "values", "resume": True}
    if role != "item":
        options[role] = lambda item: values[item]
    for session in range(2):
        with raddle.run(repr_of, items, backend=backend, workers=2, **options) as run:
            outcomes = list(run)
        assert [outcome.status for outcome in outcomes] == ["ok"] * len(items)
        assert [outcome.value for outcome in outcomes] == [repr_of(item) for item in items]
        assert run.summary.resumed == session * len(items)
        kit.totals_add_up(asdict(run.summary), len(items))
    assert kit.rows_of(tmp_path / "runs.db") == Counter(ok=len(items))


def repr_of(item: Any) -> str:
    return f"{type(item).__name__} {hash(item) if isinstance(item, int) else repr(item)[:100]}"
