"""Jobs: every kind of input, events that can be taken up again, fairness, and a server that comes back."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import socket
from collections import Counter
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from raddle.errors import ConfigError
from raddle.testing import FakeClock
from raddle.workloads.classify.errors import PictureError
from raddle.workloads.classify.service.inputs import BadInput, TooMany, items_of, rows_of
from raddle.workloads.classify.service.jobs import Jobs
from raddle.workloads.classify.service.queries import Item
from raddle.workloads.classify.service.serve import make_server
from raddle.workloads.classify.service.settings import ServiceSettings
from raddle.workloads.classify.values import Label, Product

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from raddle.workloads.classify.service.job import Job


class Gated:
    """A provider that lets so many items through."""

    def __init__(self, let: int = 1_000_000) -> None:
        self.permits = asyncio.Semaphore(let)
        self.asked: list[str] = []
        self.labelled: Counter[str] = Counter()

    async def label(self, product: Product) -> Label:
        self.asked.append(product.id)
        await self.permits.acquire()
        self.labelled[product.id] += 1
        if product.name == "broken":
            raise PictureError("the picture is broken")
        reasoning = f"{len(product.picture.data)} bytes" if product.picture and product.picture.data else product.text
        return Label(category="SOFA", confidence=0.75, margin=0.5, reasoning=reasoning, provider="fake")

    async def aclose(self) -> None:
        pass

    def let(self, count: int) -> None:
        for _ in range(count):
            self.permits.release()


@contextlib.asynccontextmanager
async def serving(folder: Path, provider: Gated, **options: Any) -> AsyncIterator[aiohttp.ClientSession]:
    server = make_server(ServiceSettings(jobs=folder / "jobs", **options), provider)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{listening.getsockname()[1]}") as session:
                yield session
        finally:
            server.should_exit = True
            await task


@contextlib.asynccontextmanager
async def opened(folder: Path, provider: Gated, **options: Any) -> AsyncIterator[Jobs]:
    jobs = Jobs(ServiceSettings(jobs=folder / "jobs", **options), provider)
    await jobs.open()
    try:
        yield jobs
    finally:
        await jobs.close()


def numbered(count: int, prefix: str = "") -> list[Item]:
    return [Item(position, f"{prefix}{position}", json.dumps({"name": "thing"}), None) for position in range(count)]


async def events(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[int | None, str, Any]]:
    number, kind, data = None, "", ""
    async for raw in answer.content:
        name, _, value = raw.decode().rstrip("\n").partition(": ")
        match name:
            case "id":
                number = int(value)
            case "event":
                kind = value
            case "data":
                data = value
            case "" if kind:
                yield number, kind, json.loads(data)
                number, kind = None, ""


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)


async def all_of(jobs: Jobs, job: Job, after: int = 0) -> list[int]:
    return [one.position async for page in jobs.follow(job.row.id, after) for one in page]


# -------------------------------------------------------------------------------------------------------------- inputs

ROWS = [{"id": "a", "name": "Sofa"}, {"id": "b", "name": "Lampe \u00e0 pied"}]
LINES = "\n".join(map(json.dumps, ROWS))
TABLE = "id,name\na,Sofa\nb,Lampe \u00e0 pied\n"


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("json", json.dumps(ROWS).encode()),
        ("json", json.dumps({"data": ROWS}).encode()),
        ("lines", LINES.encode()),
        ("lines", f"\n{LINES}\r\n\n".encode()),
        ("csv", TABLE.encode()),
        ("csv", b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").encode()),
        ("csv", TABLE.replace(",", ";").encode("utf-16")),
        ("csv", TABLE.replace(",", "\t").encode() + b"\n\t\n"),
        ("csv", b"\nsep=;\n" + TABLE.replace(",", ";").encode()),
        ("tsv", TABLE.replace("name", '"name"').replace(",", "\t").encode()),
    ],
)
def test_every_form_gives_the_same_rows(form: str, body: bytes) -> None:
    rows = rows_of(body, form, most=2)
    assert rows == ROWS
    assert [item.id for item in items_of(rows)] == ["a", "b"]


def test_commas_inside_of_a_quoted_name_are_no_delimiters() -> None:
    assert rows_of(b'"a, b, c";name\n1;Sofa\n', "csv", most=9) == [{"a, b, c": "1", "name": "Sofa"}]
    assert rows_of(b"a, b, c\tname\n1\tSofa\n", "tsv", most=9) == [{"a, b, c": "1", "name": "Sofa"}]


@pytest.mark.parametrize(
    ("form", "body", "hint"),
    [
        ("json", b"{", "not JSON"),
        ("json", b"[1]", "item 0: an object"),
        ("json", b'"x"', "a JSON list of objects"),
        ("json", b"[]", "at least one"),
        ("json", b"\xff", "byte 0: not UTF-8"),
        ("json", b"[" * 200_000, "nested too deeply"),
        ("json", b"[" + b"1" * 5000 + b"]", "not JSON"),
        ("lines", b'{"a": 1}\n{"a": }\n', "line 2: not JSON"),
        ("lines", b'{"a": 1}\n[]\n', "line 2: an object"),
        ("lines", b"\n", "at least one"),
        ("csv", b"", "no column names"),
        ("csv", b"name\n", "at least one"),
        ("csv", b'name\nsofa\n"lamp\nbed\n', "line 3: a quotation mark is not closed"),
        ("csv", b"name\n\xe9\n", "byte 5: not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(form: str, body: bytes, hint: str) -> None:
    with pytest.raises(BadInput, match=hint):
        rows_of(body, form, most=10)


def test_too_many_rows_are_too_many() -> None:
    with pytest.raises(TooMany, match="2"):
        rows_of(b'{"a":1}\n' * 3, "lines", most=2)


@pytest.mark.parametrize(
    ("rows", "column", "ids"),
    [
        ([{"id": 7}, {"ID": "x"}], None, ["7", "x"]),
        ([{"id": 7}, {"id": 7}], None, ["0", "1"]),
        ([{"id": 7}, {}], None, ["0", "1"]),
        ([{"sku": "s", "id": 1}], "SKU", ["s"]),
        ([{"id": "\ud800"}], None, ["?"]),
    ],
)
def test_ids_come_from_the_rows_where_they_fit(rows: list[dict[str, Any]], column: str | None, ids: list[str]) -> None:
    assert [item.id for item in items_of(rows, id_column=column)] == ids


@pytest.mark.parametrize(
    ("rows", "hint"), [([{"sku": 1}, {"sku": 1}], "items 0 and 1"), ([{"a": 1}], "'sku' is empty")]
)
def test_an_id_column_that_was_named_has_to_fit(rows: list[dict[str, Any]], hint: str) -> None:
    with pytest.raises(BadInput, match=hint):
        items_of(rows, id_column="sku")


def test_jobs_take_all_forms_and_tell_of_each_item(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, Gated()) as session:
            for media, body in (
                ("application/json; charset=utf-8", json.dumps(ROWS)),
                ("application/x-ndjson", LINES),
                ("text/csv", TABLE),
            ):
                headers = {"Content-Type": media}
                async with session.post("/jobs", data=body.encode(), headers=headers) as answer:
                    assert answer.status == 202
                    place = answer.headers["Location"]
                async with session.get(f"{place}/events") as answer:
                    got = [event async for event in events(answer)]
                assert [number for number, kind, _ in got if kind == "item"] == [1, 2]
                assert {said["name"] for _, kind, said in got if kind == "item"} == {row["name"] for row in ROWS}
                number, kind, done = got[-1]
                assert (number, kind, done["state"], done["ok"]) == (None, "done", "done", 2)
            form = aiohttp.FormData()
            form.add_field("files", TABLE.encode(), filename="catalogue.csv", content_type="text/csv")
            async with session.post("/jobs?id_column=name", data=form) as answer:
                assert (await answer.json())["total"] == 2
            async with session.get("/jobs") as answer:
                assert len((await answer.json())["jobs"]) == 4

    asyncio.run(run())


def test_pictures_are_uploaded_as_they_are(tmp_path: Path) -> None:
    provider = Gated()

    async def run() -> None:
        async with serving(tmp_path, provider) as session:
            form = aiohttp.FormData()
            for name, size in (("sofa.png", 2_000_000), ("sofa.png", 20), ("bed.jpg", 30)):
                form.add_field("files", io.BytesIO(b"x" * size), filename=name, content_type="image/png")
            async with session.post("/jobs", data=form) as answer:
                job = await answer.json()
                assert (job["mode"], job["total"]) == ("image", 3)
            async with session.get(f"/jobs/{job['id']}/events") as answer:
                got = [said async for _, kind, said in events(answer) if kind == "item"]
        told = {one["id"]: one["reasoning"] for one in got}
        assert told == {"sofa.png": "2000000 bytes", "sofa.png (1)": "20 bytes", "bed.jpg": "30 bytes"}

    asyncio.run(run())


REFUSED: list[tuple[str, bytes, int]] = [
    ("text/html", b"<p>", 415),
    ("", b"{}", 415),
    ("application/json", b"{", 400),
    ("application/json", b'{"data": 1}', 400),
    ("text/csv", b"name\n\xe9", 400),
    ("multipart/form-data", b"x", 400),
    ("multipart/form-data; boundary=b", b"--b--\r\n", 400),
    ("application/json", b'[{"a": ' + b"[" * 40 + b"]" * 40 + b"}]", 400),
    ("application/json", b"[" + b",".join([b"{}"] * 6) + b"]", 413),
]


def test_what_is_no_job_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, Gated(), max_items=5) as session:
            for kind, body, status in REFUSED:
                async with session.post("/jobs", data=body, headers={"Content-Type": kind}) as answer:
                    assert answer.status == status, (kind, body, await answer.text())
                    assert (await answer.json())["detail"]
            for path in ("/jobs/none", "/jobs/none/events", "/jobs/none/results", "/jobs/%00%ff"):
                async with session.get(path) as answer:
                    assert answer.status == 404

    asyncio.run(run())


# -------------------------------------------------------------------------------------------------------------- events


def test_events_are_taken_up_where_they_were_left(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, Gated(), max_items=1000) as session:
            async with session.post("/jobs", json=[{"name": f"n{number}"} for number in range(700)]) as answer:
                place = answer.headers["Location"]
            whole: list[Any] = []
            for after in range(0, 700, 175):  # over and over: some read, then the connection is gone
                headers = {"Last-Event-ID": str(after)} if after else {}
                async with session.get(f"{place}/events", headers=headers) as answer:
                    reading = events(answer)
                    taken = 0
                    while taken < 175:
                        number, kind, said = await anext(reading)
                        if kind == "item":
                            taken += 1
                            whole.append((number, said["position"]))
            assert [number for number, _ in whole] == list(range(1, 701))
            assert sorted(position for _, position in whole) == list(range(700))
            async with session.get(f"{place}/events?from=699") as answer:
                assert [kind async for _, kind, _ in events(answer)][-3:] == ["item", "progress", "done"]
            for wrong in ("x", "-1", "9" * 30, "\u0661"):
                async with session.get(f"{place}/events", headers={"Last-Event-ID": wrong}) as answer:
                    assert answer.status == 400

    asyncio.run(run())


def test_a_stream_says_that_it_is_alive(tmp_path: Path) -> None:
    async def run() -> None:
        provider = Gated(0)
        async with serving(tmp_path, provider, ping=0.01) as session:
            async with session.post("/jobs", json=[{"name": "a"}]) as answer:
                place = answer.headers["Location"]
            async with session.get(f"{place}/events") as answer:
                async for line in answer.content:
                    if line == b": ping\n":
                        break

    asyncio.run(run())


def test_failures_are_events_of_their_own_and_results_come_in_input_order(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, Gated(), workers=2) as session:
            names = ["a", "broken", "c,\u00e9", "=1"]
            async with session.post("/jobs", json=[{"name": name} for name in names]) as answer:
                place = answer.headers["Location"]
            async with session.get(f"{place}/events") as answer:
                got = [(kind, said) async for _, kind, said in events(answer)]
            (failure,) = (said for kind, said in got if kind == "error")
            assert (failure["status"], failure["category"], failure["error"]) == (
                "failed",
                None,
                "the picture is broken",
            )
            assert got[-1][1]["failed"] == 1
            async with session.get(f"{place}/results") as answer:
                lines = [json.loads(line) for line in (await answer.text()).splitlines()]
            assert [line["name"] for line in lines] == names
            async with session.get(f"{place}/results?format=csv") as answer:
                assert answer.content_type == "text/csv"
                table = list(csv.DictReader(io.StringIO(await answer.text())))
            assert [row["name"] for row in table] == names
            assert [row["category"] for row in table] == ["SOFA", "", "SOFA", "SOFA"]

    asyncio.run(run())


def test_cancelling_ends_what_is_in_flight_and_the_streams(tmp_path: Path) -> None:
    async def run() -> None:
        provider = Gated(3)
        async with serving(tmp_path, provider, workers=4) as session:
            async with session.post("/jobs", json=[{"name": f"n{number}"} for number in range(50)]) as answer:
                place = answer.headers["Location"]
            async with session.get(f"{place}/events") as answer:
                reading = events(answer)
                while (await anext(reading))[0] != 3:
                    pass
                async with session.delete(place) as cancelled:
                    said = await cancelled.json()
                assert (said["state"], said["done"], said["total"]) == ("cancelled", 3, 50)
                assert [kind async for _, kind, _ in reading][-1] == "done"
            async with session.delete(place) as again:
                assert (await again.json())["state"] == "cancelled"
            async with session.get(f"{place}/results") as answer:
                assert len((await answer.text()).splitlines()) == 3
        assert len(provider.asked) == 7

    asyncio.run(run())


# ------------------------------------------------------------------------------------------------------------ fairness


def test_jobs_take_turns(tmp_path: Path) -> None:
    async def run() -> None:
        provider = Gated(0)
        async with opened(tmp_path, provider, workers=2) as jobs:
            big = await jobs.submit(numbered(300, "big "), mode="text", columns={})
            await until(lambda: len(provider.asked) == 2)
            small = await jobs.submit(numbered(20, "small "), mode="text", columns={})
            provider.let(1000)
            assert len(await all_of(jobs, small)) == 20
            before = provider.asked[: max(place for place, one in enumerate(provider.asked) if one.startswith("small"))]
            assert sum(one.startswith("big") for one in before) < 40
            assert sorted(await all_of(jobs, big)) == list(range(300))
        assert set(provider.labelled.values()) == {1}

    asyncio.run(run())


def test_a_reader_that_never_reads_holds_up_nobody_and_holds_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        provider = Gated()
        async with opened(tmp_path, provider, max_items=10_000) as jobs:
            job = await jobs.submit(numbered(3000), mode="text", columns={})
            asleep = jobs.follow(job.row.id, 0)
            first = await anext(asleep)
            assert len(await all_of(jobs, job)) == 3000
            assert len(job.tail) <= 256
            rest = [one.seq async for page in asleep for one in page]
            assert [one.seq for one in first] + rest == list(range(1, 3001))

    asyncio.run(run())


def test_an_item_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path, Gated(0), timeout=0.05) as jobs:
            job = await jobs.submit(numbered(3), mode="text", columns={})
            pages = [one async for page in jobs.follow(job.row.id, 0) for one in page]
            assert [one.status for one in pages] == ["timed_out"] * 3
            assert job.failed == 3

    asyncio.run(run())


def test_the_end_is_foretold(tmp_path: Path) -> None:
    from raddle.workloads.classify.service.job import Job, describe
    from raddle.workloads.classify.service.queries import JobRow

    clock = FakeClock(100.0)
    job = Job(JobRow("j", 0.0, None, "running", "text", "{}", 0, 100, 20, 0), {}, done=20, done_before=20)
    assert describe(job.row, job, clock.now())["state"] == "queued"
    job.started = clock.now()
    clock.advance(10.0)
    assert describe(job.row, job, clock.now())["eta_seconds"] is None
    job.done = 40
    assert describe(job.row, job, clock.now())["eta_seconds"] == 30.0


# --------------------------------------------------------------------------------------------------------- coming back


def test_a_server_that_comes_back_goes_on(tmp_path: Path) -> None:
    async def run() -> None:
        first, second = Gated(100), Gated()
        async with opened(tmp_path, first, workers=8) as jobs:
            kept = await jobs.submit(numbered(500, "kept "), mode="text", columns={})
            lost = await jobs.submit(numbered(500, "lost "), mode="text", columns={}, attached=True)
            await until(lambda: kept.done + lost.done == 100)
            seen = [
                one
                async for page in jobs.follow(kept.row.id, 0)
                for one in page
                if one.seq <= 30 or jobs.stop_streams()
            ]
            with pytest.raises(ConfigError, match="another server"):
                await Jobs(jobs.settings, second).open()
        async with opened(tmp_path, second, workers=8) as jobs:
            after = seen[-1].seq
            rest = [one async for page in jobs.follow(kept.row.id, after) for one in page]
            assert [one.seq for one in [*seen, *rest]] == list(range(1, 501))
            assert sorted(one.position for one in [*seen, *rest]) == list(range(500))
            row = await jobs.row(lost.row.id)
            assert row is not None
            assert row.state == "cancelled"
        assert not any(name.startswith("lost") for name in second.labelled)
        both = first.labelled + second.labelled
        assert [name for name, count in both.items() if name.startswith("kept") and count > 1] == []

    asyncio.run(run())


def test_finished_jobs_are_forgotten_in_the_end(tmp_path: Path) -> None:
    async def run() -> None:
        clock = FakeClock()
        settings = ServiceSettings(jobs=tmp_path, keep_days=1.0)
        for found in (True, True, False):
            jobs = Jobs(settings, Gated(), wall=clock.wall)
            await jobs.open()
            if clock.now() == 0:
                job = await jobs.submit(numbered(1), mode="text", columns={})
                assert await all_of(jobs, job) == [0]
            assert (await jobs.row(job.row.id) is not None) is found
            if clock.now() > 0 and found:
                clock.advance(0.6 * 86_400)  # it is forgotten while the server runs, too
                await jobs.submit(numbered(1), mode="text", columns={})
                assert await jobs.row(job.row.id) is None
            await jobs.close()
            clock.advance(0.6 * 86_400)

    asyncio.run(run())
