"""Labels are asked for once: the file, several processes on it, what is damaged, and calls that are shared."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import raddle
from raddle.errors import ConfigError
from raddle.testing import FakeClock
from raddle.workloads.classify.errors import TransientError
from raddle.workloads.classify.upstream import Cached
from raddle.workloads.classify.upstream.store import Store
from raddle.workloads.classify.values import Label, Picture, Product, Usage

if TYPE_CHECKING:
    from pathlib import Path

LABEL = Label(
    category="SOFA",
    confidence=0.9,
    margin=0.5,
    primary_style="Modern",
    style_tags=("a", "ü\ud800"),
    reasoning="weil",
    provider="openai:m",
    usage=Usage(1, 2, 3),
)
KEPT = replace(LABEL, cached=True, usage=Usage())


class Slow:
    """A provider that answers when told to."""

    def __init__(self) -> None:
        self.asked: list[Product] = []
        self.let = asyncio.Event()
        self.answer: Label | Exception = LABEL
        self.cancelled = 0
        self.attempts: list[bool] = []

    async def label(self, product: Product) -> Label:
        self.asked.append(product)
        try:
            raddle.attempt()
            self.attempts.append(True)
        except LookupError:
            self.attempts.append(False)
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def aclose(self) -> None:
        pass


def product(text: str = "Name: a sofa", number: int = 0, **options: Any) -> Product:
    return Product(id=str(number), text=text, **options)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


# ------------------------------------------------------------------------------------------------------------ the file


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "labels.db")
    assert store.exchange(["k"], {}) == {}
    store.exchange([], {"k": LABEL})
    assert store.exchange(["k", "other"], {}) == {"k": KEPT}
    store.close()
    again = Store(tmp_path / "deep" / "labels.db")
    assert again.exchange(["k"], {}) == {"k": KEPT}
    again.close()


@given(st.lists(st.text(), max_size=5), st.floats(0, 1), st.text())
@settings(deadline=None, max_examples=30)
def test_any_label_comes_back(
    tmp_path_factory: pytest.TempPathFactory, tags: Any, confidence: Any, reasoning: Any
) -> None:
    store = Store(tmp_path_factory.mktemp("store") / "labels.db")
    label = Label(category="BED", confidence=confidence, style_tags=tuple(tags), reasoning=reasoning, provider="p")
    store.exchange([], {"k": label})
    assert store.exchange(["k"], {}) == {"k": replace(label, cached=True)}
    store.close()


def test_the_longest_unused_go_first_and_the_file_stays_small(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "labels.db"
    store = Store(path, most=200_000, wall=clock.wall)
    label = replace(LABEL, reasoning="x" * 500)
    store.exchange([], {"precious": label})
    for number in range(1000):
        clock.advance(4000)
        found = store.exchange(["precious"], {f"{number}": label})
        assert "precious" in found, number
    known = store.exchange([f"{number}" for number in range(1000)], {})
    assert 100 < len(known) < 400
    assert set(known) == {f"{number}" for number in range(1000 - len(known), 1000)}
    store.close()
    assert path.stat().st_size < 400_000


@pytest.mark.parametrize("damage", ["text", "head", "middle", "cut"])
def test_a_damaged_file_is_put_aside_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Any
) -> None:
    path = tmp_path / "labels.db"
    store = Store(path)
    store.exchange([], {f"{number}": replace(LABEL, reasoning="y" * 300) for number in range(500)})
    store.close()
    data = bytearray(path.read_bytes())
    if damage == "text":
        data = bytearray(b"id,name\n1,sofa\n" * 1000)
    elif damage == "head":
        data[:50] = bytes(50)
    elif damage == "middle":
        data[4096:] = b"\xa5" * (len(data) - 4096)
    else:
        del data[len(data) // 2 + 100 :]
    path.write_bytes(data)
    again = Store(path)
    with caplog.at_level(logging.WARNING):
        for number in range(500):
            again.exchange([f"{number}"], {})
        again.exchange([], {"new": LABEL})
        assert again.exchange(["new"], {}) == {"new": KEPT}
    again.close()
    assert "is damaged" in caplog.text
    assert len(list(tmp_path.glob("labels.db.damaged-*"))) >= 1


def test_a_broken_row_is_no_label_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    store = Store(path)
    store.exchange([], {"a": LABEL, "b": LABEL, "c": LABEL})
    with sqlite3.connect(path) as link:
        link.execute("UPDATE labels SET value = '{' WHERE key = 'a'")
        link.execute("UPDATE labels SET value = ? WHERE key = 'b'", (json.dumps({"category": 3}),))
    link.close()
    assert set(store.exchange(["a", "b", "c"], {})) == {"c"}
    store.close()


def test_the_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.db"
    with sqlite3.connect(path) as link:
        link.execute("CREATE TABLE mine (x)")
    link.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="name another file"):
        Store(path).exchange(["k"], {})
    assert path.read_bytes() == before


def test_a_store_that_cannot_be_used_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "labels.db"
    path.mkdir()
    store = Store(path)
    with caplog.at_level(logging.WARNING):
        assert store.exchange(["k"], {"k": LABEL}) == {}
        assert store.exchange(["k"], {"k": LABEL}) == {}
    assert caplog.text.count("cannot be used") == 1


WRITER = """
import sys
from pathlib import Path
from raddle.workloads.classify.upstream.store import Store
from raddle.workloads.classify.values import Label
store = Store(Path(sys.argv[1]))
for number in range(200):
    store.exchange([f"{sys.argv[2]}-{number - 1}"], {f"{sys.argv[2]}-{number}": Label(category="BED", confidence=1)})
store.close()
"""


def test_several_processes_share_it(tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    children = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "abc"]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    store = Store(path)
    keys = [f"{name}-{number}" for name in "abc" for number in range(200)]
    assert len(store.exchange(keys, {})) == 600
    store.close()
    assert not list(tmp_path.glob("*.damaged*"))


# ----------------------------------------------------------------------------------------------------- shared calls


def run(work: Any, store: Any = None, **options: Any) -> Any:
    """Run `work(cached, provider)` and close."""

    async def main() -> Any:
        provider = Slow()
        cached = Cached(provider, store, key_parts=("openai", "m", "1"), **options)
        try:
            return await work(cached, provider)
        finally:
            await cached.aclose()

    return asyncio.run(main())


@pytest.mark.parametrize("kept", [True, False])
def test_identical_items_under_way_are_one_call(tmp_path: Path, kept: Any) -> None:
    async def work(cached: Any, provider: Any) -> Any:
        tasks = [asyncio.create_task(cached.label(product(number=number))) for number in range(20)]
        await turns()
        provider.let.set()
        labels = await asyncio.gather(*tasks)
        assert len(provider.asked) == 1
        assert [label.cached for label in labels] == [False] + [True] * 19
        assert sum(label.usage.calls for label in labels) == 1
        assert (cached.misses, cached.shared) == (1, 19)

    run(work, tmp_path / "labels.db" if kept else None)


def test_what_was_asked_before_comes_from_the_file(tmp_path: Path) -> None:
    async def work(cached: Any, provider: Any) -> Any:
        provider.let.set()
        labels = [await cached.label(product(number=number)) for number in range(3)]
        return [label.cached for label in labels], len(provider.asked)

    path = tmp_path / "labels.db"
    assert run(work, path) == ([False, True, True], 1)
    assert run(work, path) == ([True, True, True], 0)


@pytest.mark.parametrize("answer", [TransientError("no"), replace(LABEL, flags=("outside_taxonomy",))])
def test_what_is_no_good_answer_is_not_kept(tmp_path: Path, answer: Any) -> None:
    async def work(cached: Any, provider: Any) -> Any:
        provider.let.set()
        provider.answer = answer
        for _ in range(2):
            await asyncio.gather(cached.label(product()), return_exceptions=True)
        return len(provider.asked)

    assert run(work, tmp_path / "labels.db") == 2


def test_a_cancelled_leader_does_not_harm_its_followers() -> None:
    async def work(cached: Any, provider: Any) -> Any:
        leader = asyncio.create_task(cached.label(product()))
        await turns()
        follower = asyncio.create_task(cached.label(product()))
        await turns()
        leader.cancel()
        await turns()
        assert leader.cancelled()
        provider.let.set()
        assert (await follower).category == "SOFA"
        assert len(provider.asked) == 1

    run(work)


def test_when_nobody_waits_the_call_ends_and_the_next_begins_anew() -> None:
    async def work(cached: Any, provider: Any) -> Any:
        tasks = [asyncio.create_task(cached.label(product())) for _ in range(3)]
        await turns()
        for task in tasks:
            task.cancel()
        late = asyncio.create_task(cached.label(product()))
        await turns()
        assert provider.cancelled == len(provider.asked) - 1
        provider.let.set()
        assert (await late).category == "SOFA"

    run(work)


def test_an_error_reaches_all_who_wait() -> None:
    async def work(cached: Any, provider: Any) -> Any:
        tasks = [asyncio.create_task(cached.label(product())) for _ in range(3)]
        await turns()
        provider.answer = TransientError("no")
        provider.let.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [TransientError] * 3

    run(work)


def test_the_deadline_of_the_first_is_not_that_of_the_others() -> None:
    async def work(cached: Any, provider: Any) -> Any:
        provider.let.set()
        async with raddle.arun(cached.label, [product()], timeout=10) as outcomes:
            assert [outcome.ok async for outcome in outcomes] == [True]
        assert provider.attempts == [False]

    run(work)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (product("a  b"), product("a b", 1), True),
        (product("a"), product("b"), False),
        (product("a"), replace(product("a"), mode="image"), False),
        (product("a"), replace(product("a"), fields={"x": 1}), True),
        (
            product("a", mode="image", picture=Picture(data=b"1")),
            product("a", mode="image", picture=Picture(data=b"2")),
            False,
        ),
        (
            product("a", mode="image", picture=Picture(data=b"1")),
            product("a", mode="image", picture=Picture(data=b"1")),
            True,
        ),
    ],
)
def test_what_makes_two_products_the_same(one: Any, other: Any, same: Any) -> None:
    async def work(cached: Any, provider: Any) -> Any:
        provider.let.set()
        tasks = [asyncio.create_task(cached.label(which)) for which in (one, other)]
        await asyncio.gather(*tasks)
        return len(provider.asked) == 1

    assert run(work) is same


def test_a_picture_is_loaded_once_and_known_by_its_bytes() -> None:
    async def load(picture: Picture) -> bytes:
        return b"the same bytes"

    async def work(cached: Any, provider: Any) -> Any:
        provider.let.set()
        pictures = [Picture(url="http://somewhere/a"), Picture(url="http://somewhere/b")]
        await asyncio.gather(*(cached.label(product(mode="image", picture=picture)) for picture in pictures))
        assert [asked.picture for asked in provider.asked] == [Picture(data=b"the same bytes")]

    run(work, load=load)


def test_the_store_is_asked_for_many_at_once_and_off_the_loop(tmp_path: Path) -> None:
    async def work(cached: Any, provider: Any) -> Any:
        provider.let.set()
        await asyncio.gather(*(cached.label(product(f"thing {number}")) for number in range(2000)))
        return len(provider.asked)

    assert run(work, tmp_path / "labels.db") == 2000
    assert run(work, tmp_path / "labels.db") == 0


def test_the_wrong_file_is_told_to_whoever_asks(tmp_path: Path) -> None:
    path = tmp_path / "mine.db"
    with sqlite3.connect(path) as link:
        link.execute("CREATE TABLE mine (x)")
    link.close()

    async def work(cached: Any, provider: Any) -> Any:
        with pytest.raises(ConfigError, match="something else"):
            await cached.label(product())

    run(work, path)
