"""The pages in a real browser: nothing goes wrong in its console, and it asks nobody else."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

import raddle
from raddle.journal.history import History

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOSTILE = "<img src=x onerror=\"alert('label')\">&amp;</script>"


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open pages; at the end nothing may have gone wrong in any of them."""
    contexts, wrong, hosts, forgiven = [], [], set(), []

    def open_page(url: str, *, width: int = 1280, scheme: str = "light") -> Any:
        context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: hosts.add(re.sub(r"^(\w+://[^/:?]*).*", r"\1", request.url)))
        page.goto(url)
        return page

    # The browser notes each answer that is an error, and may do so after the test has seen the page tell of it.
    open_page.expected = lambda: forgiven.append("Failed to load resource")  # type: ignore[attr-defined]
    yield open_page
    for context in contexts:
        context.close()
    assert not [text for text in wrong if not any(start in text for start in forgiven)]
    assert hosts <= {"http://127.0.0.1"}


def run_page(page: Any, path: Path, name: str) -> str:
    run = History(path).run(name)
    assert run is not None
    return f"{page.url}/runs/0/{run.uid}"


def has(page: Any, selector: str, text: str) -> None:
    """Wait until that is there, without a reload."""
    page.wait_for_function(
        "([where, text]) => [...document.querySelectorAll(where)].some((each) => each.textContent.includes(text))",
        arg=[selector, text],
    )


def test_runs_are_filtered_and_sorted(serve: Any, visit: Any, journal: Path) -> None:
    page = visit(f"{serve(journal).url}/")
    has(page, "#runs .name", HOSTILE)
    assert page.locator("#runs tbody tr").count() == 2
    page.get_by_label("Find").fill("GOOD")
    has(page, "#shown", "1 of 2 runs")
    assert page.locator("#runs .name").all_text_contents() == ["good"]
    page.get_by_label("Find").fill("")
    page.get_by_label("State").select_option("problems")
    has(page, "#shown", "1 of 2 runs")
    assert page.locator("#runs .name").all_text_contents() == [HOSTILE]
    page.get_by_label("State").select_option("")
    page.get_by_role("button", name="OK", exact=True).click()
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    assert page.locator("#runs .name").all_text_contents() == [HOSTILE, "good"]
    page.get_by_role("button", name="OK", exact=True).press("Enter")
    assert page.locator("#runs .name").all_text_contents() == ["good", HOSTILE]
    page.reload()
    has(page, "#runs .name", "good")
    assert page.locator("#runs .name").all_text_contents() == ["good", HOSTILE]


def test_what_needs_a_look_is_seen_in_the_list(serve: Any, visit: Any, journal: Path, gated: Any) -> None:
    program = gated.start("a", "bad", "slow", "b")
    missing = [gated.folder / "gone.db", gated.folder / "missing.db"]
    server = serve(journal, gated.journal, *missing)
    page = visit(f"{server.url}/")
    has(page, "#runs .done", "of 4 ·")  # counted beforehand, by the command line
    program.kill()
    program.wait()
    has(page, "#runs .badge", "interrupted")
    states = {
        run: page.locator("#runs tr", has=page.get_by_text(run, exact=True)).locator(".badge").first
        for run in ("good", "job")
    }
    assert {run: badge.get_attribute("data-state") for run, badge in states.items()} == {
        "good": "ended",
        "job": "interrupted",
    }
    hostile = page.locator("#runs tr", has=page.locator(".name", has_text="onerror")).locator(".badge").first
    assert (hostile.text_content(), hostile.get_attribute("data-state")) == ("ended", "not-ok")
    assert page.locator("#banner").inner_text().splitlines() == [
        f"journal={path} does not exist: check the path, or start a run with it first" for path in missing
    ]
    names = page.locator("#journal option").all_text_contents()
    assert names[-1] == "missing.db"
    assert all(name.endswith("/runs.db") for name in names[1:3])  # both are runs.db
    assert names[1] != names[2]


def test_hostile_text_stays_text(serve: Any, visit: Any, journal: Path) -> None:
    page = visit(run_page(serve(journal), journal, HOSTILE))
    has(page, "h1", HOSTILE)
    has(page, "#failures .message", HOSTILE)
    page.locator("#items .more").first.click()
    has(page, "tr.detail dt", "Item")  # its whole label, which the table cuts
    has(page, "tr.detail", "Position")
    page.wait_for_selector("#timeline .main-svg")
    for point in page.locator("#timeline .point").all()[:3]:
        point.hover(force=True)
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("document.scripts.length") == 2


def test_a_run_grows_and_ends_without_a_reload(serve: Any, visit: Any, tmp_path: Path) -> None:
    path, go = tmp_path / "runs.db", threading.Event()

    def work(item: int) -> int:
        assert item < 5 or go.wait(60)
        if item == 7:
            raise ValueError("seven")
        return item

    server = serve(path)
    page = visit(f"{server.url}/")
    has(page, "#banner", "does not exist")
    page.evaluate("window.same = true")
    with raddle.run(work, range(10), backend="threads", workers=1, journal=path, name="grows") as run:
        has(page, "#runs .done", "5 of 10")
        page.get_by_role("link", name="grows").click()
        has(page, "#figures", "of 10 · 50 %")
        page.evaluate("window.same = true")
        has(page, "#state", "running")
        go.set()
        assert len(list(run)) == 10
    has(page, "#state", "ended")
    has(page, "#items td", "item 9" if page.locator("#items .more").count() == 0 else "9")
    has(page, "#failures", "seven")
    page.wait_for_selector("#throughput .main-svg")
    assert page.locator("#items tbody tr").count() == 10
    assert page.evaluate("window.same") is True


def test_search_filter_and_pages(serve: Any, visit: Any, twenty_thousand: Path) -> None:
    page = visit(run_page(serve(twenty_thousand), twenty_thousand, "many"))
    has(page, "#items .more", "item-0019999")
    page.get_by_role("button", name="Next").click()
    has(page, "#page", "Page 2")
    has(page, "#items .more", "item-0019949")
    page.get_by_role("button", name="Previous").click()
    has(page, "#items .more", "item-0019999")
    page.get_by_label("Find").fill("0012345")
    has(page, "#items .more", "item-0012345")
    page.wait_for_function("() => document.querySelectorAll('#items tbody tr').length === 1")
    page.get_by_label("Find").fill("")
    page.locator("#failures").get_by_role("button", name="Show 200 items").click()
    has(page, "#only", "ValueError")
    has(page, "#items .more", "item-0019907")
    page.locator("#items .more").first.press("Enter")
    has(page, "tr.detail pre", "Traceback19907")


def test_next_pressed_at_once_leads_to_the_next_page(serve: Any, visit: Any, twenty_thousand: Path) -> None:
    page = visit(run_page(serve(twenty_thousand), twenty_thousand, "many"))
    has(page, "#items .more", "item-0019999")
    page.evaluate("document.getElementById('next').click(); document.getElementById('next').click()")
    has(page, "#items .more", "item-0019949")
    assert page.locator("#page").text_content() == "Page 2"


def test_what_was_typed_takes_no_later_page_away(serve: Any, visit: Any, twenty_thousand: Path) -> None:
    page = visit(run_page(serve(twenty_thousand), twenty_thousand, "many"))
    page.clock.install()
    has(page, "#items .more", "item-0019999")
    page.get_by_label("Find").fill("0012345")
    page.clock.run_for(300)
    has(page, "#items .more", "item-0012345")
    page.get_by_label("Find").fill("")
    page.locator("#failures").get_by_role("button", name="Show 200 items").click()
    has(page, "#items .more", "item-0019907")
    page.get_by_role("button", name="Next").click()
    has(page, "#page", "Page 2")
    page.clock.run_for(300)
    has(page, "#items .more", "item-0014907")
    assert page.locator("#page").text_content() == "Page 2"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_million_outcomes(serve: Any, visit: Any, million: Path) -> None:
    server = serve(million)
    url = run_page(server, million, "many")
    api = url.replace("/runs/", "/api/journals/").replace("/0/", "/0/runs/")
    worst = 0.0
    for order in ("recorded", "newest", "position", "slowest"):
        cursor = ""
        for _ in range(4):
            began = time.perf_counter()
            with urllib.request.urlopen(f"{api}/items?order={order}{cursor}") as answer:
                first = answer.read(1)
                worst = max(worst, time.perf_counter() - began)
                found = json.loads(first + answer.read())
            assert len(found["rows"]) == 100
            cursor = f"&cursor={quote(found['cursor'])}"
    print(f"first byte of a page of 100 among 1,000,000: at most {worst * 1000:.0f} ms")
    page = visit(url)
    has(page, "#items .more", "item-0999999")
    has(page, "#figures", "1,000,000")
    page.get_by_label("Find").fill("0987654")
    has(page, "#items .more", "item-0987654")
    page.get_by_label("Find").fill("")
    page.locator("#failures").get_by_role("button", name="Show 10,000 items").click()
    has(page, "#items .more", "item-0999907")
    page.get_by_role("button", name="Next").click()
    has(page, "#page", "Page 2")


def test_retry_failed(serve: Any, visit: Any, gated: Any) -> None:
    assert gated.start("a", "bad", "b").wait(60) == 1
    (gated.folder / "mended").touch()
    page = visit(run_page(serve(gated.journal, allow_actions=True), gated.journal, "job"))
    has(page, "#facts", "raddle map gated:gate")
    page.get_by_role("button", name="Retry failed").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry failed").click()
    has(page, "#told", "started raddle runs retry job")
    has(page, "[data-name=OK] dd", "3")
    has(page, "[data-name=Failed] dd", "0")
    has(page, "#state", "ended")


def test_cancel(serve: Any, visit: Any, gated: Any, wait_for: Any) -> None:
    program = gated.start("a", "slow")
    wait_for(gated.under_way, "not started")
    page = visit(run_page(serve(gated.journal, allow_actions=True), gated.journal, "job"))
    has(page, "#state", "running")
    page.get_by_role("button", name="Cancel run").click()
    page.get_by_role("dialog").get_by_role("button", name="Not now").click()
    page.get_by_role("button", name="Cancel run").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel run").click()
    has(page, "#told", f"asked process {program.pid} to stop")
    (gated.folder / "open").touch()
    has(page, "#state", "stopped")


def test_without_leave_there_is_nothing_to_press(serve: Any, visit: Any, journal: Path) -> None:
    page = visit(run_page(serve(journal), journal, "good"))
    has(page, "h1", "good")
    assert page.get_by_role("button", name=re.compile("Retry|Cancel")).count() == 0
    assert page.locator("meta[name=raddle-csrf]").count() == 0


def test_a_journal_that_goes_away_comes_back(serve: Any, visit: Any, journal: Path, tmp_path: Path) -> None:
    path, away = tmp_path / "runs.db", tmp_path / "away.db"
    path.write_bytes(journal.read_bytes())
    page = visit(run_page(serve(path), path, "good"))
    has(page, "h1", "good")
    has(page, "#items .more", "e")
    path.rename(away)
    has(page, "#banner", "does not exist")
    assert page.locator("h1").text_content() == "good"
    with raddle.run(str, [1], backend="serial", journal=path, name="another") as run:
        list(run)
    has(page, "#banner", "another file has been put in its place")
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    away.rename(path)
    page.wait_for_function("() => document.getElementById('banner').hidden")
    visit.expected()  # the browser notes each 404 and 503


def test_a_server_that_ends_is_told(serve: Any, visit: Any, journal: Path) -> None:
    server = serve(journal)
    page = visit(f"{server.url}/")
    has(page, "#link", "live")
    server.close()
    has(page, "#banner", "raddle ui does not answer")
    visit.expected()


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (390, "dark"),
        pytest.param(1280, "light", marks=pytest.mark.slow),
        pytest.param(390, "light", marks=pytest.mark.slow),
        pytest.param(1280, "dark", marks=pytest.mark.slow),
    ],
)
def test_it_fits_and_everything_has_a_name(serve: Any, visit: Any, journal: Path, width: int, scheme: str) -> None:
    server = serve(journal, allow_actions=False)
    for url in (f"{server.url}/", run_page(server, journal, HOSTILE)):
        page = visit(url, width=width, scheme=scheme)
        page.wait_for_selector("#runs tbody tr, #items tbody tr")
        if "/runs/" in url:
            page.wait_for_selector("#throughput .main-svg")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        named = (
            "(each) => each.hidden || each.labels?.length || each.textContent.trim() || each.getAttribute('aria-label')"
        )
        assert page.evaluate(f"[...document.querySelectorAll('button, a, input, select')].every({named})")
        charts = "[...document.querySelectorAll('.chart')].every((each) => each.getAttribute('aria-label').length > 10)"
        assert page.evaluate(charts)
        assert page.evaluate("document.querySelectorAll('h1').length") == 1
        assert (
            len(
                set(
                    page.evaluate(
                        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
                    )
                )
            )
            == 2
        )
