"""One canvas, many threads: order, gaps, duplicates, callbacks, trouble, and nothing left running.

No test sleeps. Where a thread must be known to wait, the test asks until it does; a hang is ended by the timeout.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raddle.errors import ConfigError
from raddle.workloads.encrypt.draw.epicycles import EpicycleState, epicycle_states
from raddle.workloads.encrypt.live.feed import Cursor, Feed
from raddle.workloads.encrypt.live.order import FrameOrder
from raddle.workloads.encrypt.live.renderer import ThreadSafeRenderer
from raddle.workloads.encrypt.live.turns import Turns

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from drawn_shapes import circles, sketch_of, star

if TYPE_CHECKING:
    from collections.abc import Callable

SKETCH = sketch_of([star(), *circles(2)], keep=30)


def small(**options: Any) -> ThreadSafeRenderer:
    return ThreadSafeRenderer("image", **{"width": 160, "height": 120, "gap_wait": math.inf, **options})


def simple(x: float, **parts: Any) -> EpicycleState:
    whole = {
        "width": 160,
        "height": 120,
        "centres": np.array([80 + 60j]),
        "radii": np.array([20.0]),
        "pen": np.array([0]),
        "tips": np.array([complex(x, 60)]),
        **parts,
    }
    return EpicycleState(**whole)


class Watch:
    """Keeps what it is told, and does something about it."""

    def __init__(self, then: Callable[[int], object] | None = None) -> None:
        self.numbers: list[int] = []
        self.then = then

    def on_frame_rendered(self, state: EpicycleState, frame_number: int) -> None:
        self.numbers.append(frame_number)
        if self.then is not None:
            self.then(frame_number)


def until(true: Callable[[], bool]) -> None:
    while not true():
        os.sched_yield()


def in_threads(*calls: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


# ------------------------------------------------------------------------------------------------------------- order


@given(st.lists(st.tuples(st.sampled_from("ptg"), st.integers(0, 12)), max_size=60), st.integers(1, 5))
def test_numbers_ascend_and_none_is_drawn_twice(steps: list[tuple[str, int]], capacity: int) -> None:
    order: FrameOrder[int] = FrameOrder(capacity)
    drawn, taken = [], set()
    for what, number in steps:
        if what == "p" and not order.refusal(number) and order.has_room(number):
            order.waiting[number] = number
            taken.add(number)
        elif what == "g":
            order.pass_gaps()
        while what == "t" and (found := order.take()) is not None:
            drawn.append(found[0])
            assert found[0] == found[1]
        assert len(order.waiting) <= capacity + 1
        assert min(order.waiting, default=order.turn) >= order.turn
    assert drawn == sorted(set(drawn))
    order.pass_gaps()
    while (found := order.take()) is not None:
        drawn.append(found[0])
    assert drawn == sorted(taken)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 6), st.integers(1, 5))
def test_any_split_over_threads_is_drawn_in_order(data: st.DataObject, producers: int, capacity: int) -> None:
    """Each thread hands in its own numbers in ascending order, so the one that is next is never behind a full queue."""
    owner = data.draw(st.lists(st.integers(0, producers - 1), min_size=1, max_size=40))
    drawn: list[int] = []
    turns: Turns[int] = Turns(lambda number, *_: drawn.append(number), capacity=capacity, drop=False, gap_wait=math.inf)
    mine = [[n for n, who in enumerate(owner) if who == producer] for producer in range(producers)]
    join(in_threads(*(lambda numbers=numbers: [turns.put(n, n) for n in numbers] for numbers in mine)))
    assert drawn == list(range(len(owner)))  # without flush: nothing was left behind


def frames_by(producers: int, count: int, **options: Any) -> list[tuple[int, str]]:
    states = list(epicycle_states(SKETCH, count))
    seen: list[tuple[int, str]] = []
    with small(**options) as renderer:
        watch = Watch(lambda n: seen.append((n, hashlib.sha256(renderer.picture.tobytes()).hexdigest())))
        renderer.attach_observer(watch)
        join(
            in_threads(
                *(
                    lambda first=first: [renderer.render_frame(states[n], n) for n in range(first, count, producers)]
                    for first in range(producers)
                )
            )
        )
        assert renderer.counts.drawn == count
        assert renderer.trace_points == [tip for state in states for tip in state.tips.tolist()]
    return seen


def test_frames_of_eight_producers_are_those_of_one() -> None:
    one = frames_by(1, 800)
    assert [number for number, _ in one] == list(range(800))
    assert len({digest for _, digest in one}) > 790
    assert frames_by(8, 800) == one
    assert frames_by(8, 800, capacity=2) == one


def test_the_seed_as_printed() -> None:
    renderer = small()
    state = simple(10)

    def render_in_thread(state: EpicycleState, frame_num: int) -> None:
        renderer.render_frame(state, frame_num)

    threads = [threading.Thread(target=render_in_thread, args=(state, i)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert renderer.counts.drawn == 10
    renderer.render_frame("no state", frame_number=0)


# -------------------------------------------------------------------------------------------- gaps, duplicates, room


def test_a_gap_is_waited_for_until_flush() -> None:
    with small() as renderer:
        renderer.attach_observer(watch := Watch())
        for number in (1, 3, 0, 7):
            renderer.render_frame(simple(number), number)
        assert watch.numbers == [0, 1]
        assert renderer.flush()
        assert watch.numbers == [0, 1, 3, 7]
        assert renderer.counts.passed == 4
        renderer.render_frame(simple(2), 2)
        renderer.render_frame(simple(8), 8)
        assert (renderer.counts.late, watch.numbers[-1]) == (1, 8)


def test_no_gap_is_waited_for_if_so_asked() -> None:
    with small(gap_wait=0) as renderer:
        for number in (0, 10, 20):
            renderer.render_frame(simple(number), number)
        assert renderer.counts.drawn == 3


def test_a_gap_is_passed_when_its_time_is_over() -> None:
    now, drawn = [0.0], []
    turns: Turns[int] = Turns(lambda n, *_: drawn.append(n), capacity=9, drop=False, gap_wait=2.0, clock=lambda: now[0])
    turns.put(5, 5)
    now[0] = 1.9
    turns.put(7, 7)
    assert drawn == []
    now[0] = 2.0
    turns.put(9, 9)
    assert drawn == [5, 7, 9]
    assert turns.passed == 7


def test_a_full_queue_with_a_gap_goes_on_by_itself() -> None:
    with small(capacity=2, gap_wait=0.01) as renderer:
        for number in range(1, 30):
            renderer.render_frame(simple(number), number)
        renderer.flush()
        assert renderer.counts.drawn == 29


def test_the_first_of_a_number_counts() -> None:
    with small() as renderer:
        renderer.render_frame(simple(5), 1)
        renderer.render_frame(simple(6), 1)
        renderer.render_frame(simple(4), 0)
        renderer.render_frame(simple(7), 0)
        assert [point.real for point in renderer.trace_points] == [4, 5]
        assert (renderer.counts.twice, renderer.counts.late) == (1, 1)


@pytest.mark.parametrize("end", ["missing frame", "close", "flush"])
def test_producers_wait_while_the_queue_is_full(end: str) -> None:
    renderer = small(capacity=1)
    renderer.render_frame(simple(1), 1)
    threads = in_threads(*(lambda n=n: renderer.render_frame(simple(n), n) for n in (2, 3)))
    until(lambda: renderer._turns._blocked == 2)
    assert renderer.counts.drawn == 0
    if end == "missing frame":
        renderer.render_frame(simple(0), 0)
    elif end == "flush":
        renderer.flush()
        join(threads)
        renderer.flush()
    else:
        renderer.close()
    join(threads)
    assert [point.real for point in renderer.trace_points] == [*([0] if end == "missing frame" else []), 1, 2, 3]
    renderer.close()


def test_the_newest_are_kept_if_so_asked_and_no_ink_is_lost() -> None:
    states = list(epicycle_states(SKETCH, 60, hold=1))
    with small() as plain:
        for number, state in enumerate(states):
            plain.render_frame(state, number)
    held, go_on = threading.Event(), threading.Event()

    def hold(number: int) -> None:
        if number == 0:
            held.set()
            go_on.wait()

    with small(capacity=4, full="drop") as renderer:
        renderer.attach_observer(watch := Watch(hold))
        thread = in_threads(lambda: renderer.render_frame(states[0], 0))
        held.wait()
        for number in range(1, 61):
            renderer.render_frame(states[number], number)  # never waits
        go_on.set()
        join(thread)
        renderer.flush()
        assert watch.numbers == [0, 57, 58, 59, 60]
        assert renderer.counts.dropped == 56
        assert np.array_equal(renderer.picture, plain.picture)


# --------------------------------------------------------------------------------------------------------- observers


def test_an_observer_may_wait_for_a_thread_that_reads_the_trace() -> None:
    """Under a lock this hangs, as the seed's renderer did."""
    lengths: list[int] = []

    def read_elsewhere(_: int) -> None:
        join(in_threads(lambda: lengths.append(len(renderer.trace_points))))

    with small() as renderer:
        renderer.attach_observer(Watch(read_elsewhere))
        for number in range(5):
            renderer.render_frame(simple(number), number)
    assert lengths == [1, 2, 3, 4, 5]


def test_an_observer_that_raises_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail(number: int) -> None:
        raise RuntimeError("no")

    with small() as renderer:
        renderer.attach_observer(Watch(fail))
        renderer.attach_observer(later := Watch())
        renderer.attach_observer(later)
        for number in range(3):
            renderer.render_frame(simple(number), number)
        assert later.numbers == [0, 1, 2]
        assert renderer.counts.observer_errors == 3
        assert renderer.counts.drawn == 3
    assert sum("observer Watch raised" in record.message for record in caplog.records) == 3


def test_detaching_inside_a_call_skips_nobody() -> None:
    with small() as renderer:
        first = Watch(lambda _: renderer.detach_observer(first))
        renderer.attach_observer(first)
        renderer.attach_observer(second := Watch())
        for number in range(2):
            renderer.render_frame(simple(number), number)
        renderer.detach_observer(Watch())
    assert (first.numbers, second.numbers) == ([0], [0, 1])


def test_an_observer_may_hand_in_frames_beyond_the_room() -> None:
    with small(capacity=1) as renderer:
        more = Watch(lambda n: [renderer.render_frame(simple(k), k) for k in range(1, 6)] if n == 0 else None)
        renderer.attach_observer(more)
        renderer.render_frame(simple(0), 0)
        assert more.numbers == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.flush(),
        lambda r: r.close(),
        lambda r: r.clear_trace(),
        lambda r: (r.zoom_in(), r.pan(3, 4)),
        lambda r: r.detach_observer(object()),
        lambda r: r.counts,
    ],
    ids=["flush", "close", "clear_trace", "view", "detach", "counts"],
)
def test_an_observer_may_call_anything(call: Callable[[ThreadSafeRenderer], object]) -> None:
    with small() as renderer:
        renderer.attach_observer(watch := Watch(lambda _: call(renderer)))
        renderer.render_frame(simple(1), 0)
        assert watch.numbers == [0]


def test_ctrl_c_in_an_observer_comes_out_and_the_rest_goes_on() -> None:
    def interrupt(number: int) -> None:
        if number == 0:
            raise KeyboardInterrupt

    with small() as renderer:
        renderer.attach_observer(watch := Watch(interrupt))
        renderer.render_frame(simple(1), 1)
        with pytest.raises(KeyboardInterrupt):
            renderer.render_frame(simple(0), 0)
        assert watch.numbers == [0]
    assert watch.numbers == [0, 1]


# ----------------------------------------------------------------------------------------------------------- trouble


@pytest.mark.parametrize(
    "state",
    [
        None,
        "text",
        simple(math.nan),
        simple(math.inf),
        simple(1, radii=np.array([1.0, 2.0])),
        simple(1, radii=np.array([-1.0])),
        simple(1, radii=None),
        simple(1, pen=np.array([1])),
        simple(1, pen=np.array([-1])),
        simple(1, pen=np.array([0.5])),
        simple(1, tips=np.array([["x"]])),
        simple(1, width=0),
        simple(1, width="wide"),
        simple(1, strokes=3),
        simple(1, strokes=(np.array([math.nan]),)),
    ],
)
def test_an_invalid_state_is_logged_and_survived(state: Any, caplog: pytest.LogCaptureFixture) -> None:
    with small() as renderer:
        renderer.render_frame(state, 0)
        renderer.render_frame(simple(1), 1)  # the bad frame took its number: nothing waits for it
        assert renderer.counts.drawn == 1
        assert renderer.counts.invalid == 1
    assert "frame 0 is not drawn" in caplog.text


@pytest.mark.parametrize("number", [-1, 1.5, "1", None, True])
def test_an_invalid_number_is_logged_and_survived(number: Any, caplog: pytest.LogCaptureFixture) -> None:
    with small() as renderer:
        renderer.render_frame(simple(1), number)
        assert renderer.counts.invalid == 1
    assert "frame_number=" in caplog.text


def test_a_frame_after_close_is_late() -> None:
    renderer = small()
    renderer.render_frame(simple(1), 0)
    renderer.close()
    renderer.close()
    renderer.render_frame(simple(1), 1)
    assert (renderer.counts.drawn, renderer.counts.late) == (1, 1)
    assert renderer.picture is not None


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"backend": "pyqtgraph"}, "'matplotlib', 'image', 'page'"),
        ({"capacity": 0}, "capacity=0"),
        ({"gap_wait": -1}, "gap_wait=-1"),
        ({"gap_wait": math.nan}, "gap_wait=nan"),
        ({"full": "wait"}, "'block' or 'drop'"),
        ({"max_trace": 0}, "max_trace=0"),
        ({"width": 1}, "width=1"),
        ({"theme": "pink"}, "'dark' or 'light'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        ThreadSafeRenderer(**{"backend": "image", **options})


# ---------------------------------------------------------------------------------------------------- trace and view


def test_the_trace_is_a_copy_and_bounded() -> None:
    with small(max_trace=5) as renderer:
        for number in range(9):
            renderer.render_frame(simple(number), number)
        points = renderer.trace_points
        assert points == [complex(x, 60) for x in range(4, 9)]
        points.clear()
        assert len(renderer.trace_points) == 5


def test_clearing_begins_again() -> None:
    with small() as renderer:
        renderer.render_frame(simple(1), 0)
        first = renderer.picture
        renderer.render_frame(simple(150), 1)
        renderer.render_frame(simple(3), 5)  # waits, and is forgotten
        renderer.clear_trace()
        assert renderer.trace_points == []
        renderer.render_frame(simple(1), 0)
        assert np.array_equal(renderer.picture, first)
        assert len(renderer.trace_points) == 1


def test_a_tip_without_strokes_draws_from_where_it_was() -> None:
    with small() as renderer:
        renderer.render_frame(simple(30, centres=np.zeros(0), radii=np.zeros(0), pen=np.zeros(0, int)), 0)
        renderer.render_frame(simple(130, centres=np.zeros(0), radii=np.zeros(0), pen=np.zeros(0, int)), 1)
        lit = (renderer.picture.sum(axis=2) > 300).any(axis=0)
        assert lit[40:120].all()


def test_the_view_changes_what_is_seen_and_back() -> None:
    states = list(epicycle_states(SKETCH, 30))
    with small(width=320, height=240) as renderer:
        for number, state in enumerate(states):
            renderer.render_frame(state, number)
        before = renderer.picture
        renderer.zoom_in(2)
        near = renderer.picture
        assert renderer.view.scale == 2
        assert renderer.counts.drawn == 30  # a change of view is no frame
        assert not np.array_equal(before, near)
        renderer.pan(10, 0)
        assert np.abs(renderer.picture[:, :-18].astype(int) - near[:, 18:]).mean() < 3
        renderer.set_view_center(160, 120)
        assert np.array_equal(renderer.picture, near)
        renderer.zoom_out(2)
        assert np.abs(renderer.picture.astype(int) - before).mean() < 0.5
        renderer.reset_view()
        with pytest.raises(ConfigError, match="scale=0"):
            renderer.set_view_scale(0)
        with pytest.raises(ConfigError, match="finite"):
            renderer.pan(math.nan, 0)


def test_a_picture_once_given_is_never_changed() -> None:
    with small() as renderer:
        renderer.render_frame(simple(10), 0)
        first = renderer.picture
        copy = first.copy()
        renderer.render_frame(simple(90), 1)
        assert np.array_equal(first, copy)
        with pytest.raises(ValueError, match="read-only"):
            first[0, 0] = 1


def test_animate_draws_a_sketch() -> None:
    with small() as renderer:
        assert renderer.animate(SKETCH, fps=20, seconds=2, speed=2, realtime=False) == 20
        assert renderer.counts.drawn == 20
        assert renderer.animate(iter([simple(1)]), realtime=False) == 1
        assert len(renderer.trace_points) == 1
        with pytest.raises(ConfigError, match="speed=0"):
            renderer.animate(SKETCH, speed=0)


def test_animate_ends_when_the_renderer_is_closed() -> None:
    renderer = small()
    renderer.attach_observer(Watch(lambda n: renderer.close() if n == 3 else None))
    assert renderer.animate(SKETCH, fps=30, seconds=60, realtime=False) == 4


# ---------------------------------------------------------------------------------------------------------- backends


@pytest.mark.parametrize("backend", ["image", "matplotlib", "page"])
def test_no_thread_is_left(backend: str) -> None:
    if backend == "matplotlib":
        pytest.importorskip("matplotlib")
    before = set(threading.enumerate())
    with ThreadSafeRenderer(backend, width=160, height=120) as renderer:
        join(in_threads(*(lambda n=n: renderer.render_frame(simple(n), n) for n in range(20))))
        assert renderer.backend == backend
        assert renderer.counts.drawn == 20
    assert set(threading.enumerate()) == before


def test_matplotlib_is_the_default_and_draws_the_same_each_time() -> None:
    pytest.importorskip("matplotlib")
    pictures = []
    for _ in range(2):
        with ThreadSafeRenderer(width=320, height=240) as renderer:
            assert renderer.backend == "matplotlib"
            for number, state in enumerate(epicycle_states(SKETCH, 20, hold=1)):
                renderer.render_frame(state, number)
            pictures.append(renderer.picture)
            renderer.zoom_in()
            assert not np.array_equal(renderer.picture, pictures[-1])
    assert np.array_equal(*pictures)
    with small(width=320, height=240) as other:
        for number, state in enumerate(epicycle_states(SKETCH, 20, hold=1)):
            other.render_frame(state, number)
    assert pictures[0].shape == other.picture.shape
    assert np.abs(pictures[0].astype(int) - other.picture).mean() < 6  # the same drawing by another hand


def test_a_missing_matplotlib_is_told() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from raddle.workloads.encrypt.live.renderer import ThreadSafeRenderer\n"
        "from raddle.errors import MissingExtra\n"
        "try: ThreadSafeRenderer()\n"
        "except MissingExtra as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "matplotlib is not installed: pip install 'raddle[" in done.stdout


def test_a_window_needs_a_display() -> None:
    with small() as renderer, pytest.raises(ConfigError, match="shows nothing"):
        renderer.show()
    pytest.importorskip("matplotlib")
    code = (
        "import os; os.environ['MPLBACKEND'] = 'agg'\n"
        "from raddle.workloads.encrypt.live.renderer import ThreadSafeRenderer\n"
        "from raddle.errors import ConfigError\n"
        "try: ThreadSafeRenderer().show()\n"
        "except ConfigError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "no window here" in done.stdout


def ask(url: str, *, path: str | None = None, host: str | None = None) -> http.client.HTTPResponse:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=120)
    connection.request("GET", path or parts.path, headers={"Host": host or parts.netloc})
    return connection.getresponse()


def test_the_page_is_for_those_who_know_its_address() -> None:
    with ThreadSafeRenderer("page") as renderer:
        url = renderer.url
        assert url.startswith("http://127.0.0.1:")
        assert len(urlsplit(url).path) > 30
        answer = ask(url)
        assert answer.status == 200
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert b"EventSource" in answer.read()
        for path in ("/", "/wrong/", "/wrong/events", urlsplit(url).path + "other"):
            assert ask(url, path=path).status == 404
        for host in ("evil.example", "evil.example:80", "127.0.0.1"):
            assert ask(url, host=host).status == 404
        assert ask(url, host=f"localhost:{urlsplit(url).port}").status == 200
        assert renderer.picture is None
    with pytest.raises(ConfigError, match="no url"), small() as other:
        _ = other.url


def test_the_page_is_told_of_everything_from_the_start() -> None:
    states = list(epicycle_states(SKETCH, 12))
    renderer = ThreadSafeRenderer("page")
    for number, state in enumerate(states[:6]):
        renderer.render_frame(state, number)
    answer = ask(renderer.url, path=urlsplit(renderer.url).path + "events")
    first = json.loads(answer.readline().removeprefix(b"data: "))
    assert first["size"] == [320, 240]
    assert len(first["circles"]) == len(first["pen"]) == len(states[5].radii)
    assert np.allclose(first["tips"], [states[5].tips[0].real, states[5].tips[0].imag], atol=0.006)
    assert len(first["ink"]) == sum(len(state.strokes) for state in states[:6])
    for number, state in enumerate(states[6:], 6):
        renderer.render_frame(state, number)
    closer = in_threads(renderer.close)
    rest = answer.read().decode()
    join(closer)
    events = [json.loads(line.removeprefix("data: ")) for line in rest.splitlines() if line.startswith("data: {")]
    assert events[-2]["done"] == 1
    assert sum(len(event.get("ink", [])) for event in events) == sum(len(state.strokes) for state in states[6:])
    assert rest.endswith("event: end\ndata: {}\n\n")


@given(st.lists(st.sampled_from(["show", "wipe", "read"]), max_size=80), st.integers(2, 6))
def test_a_slow_reader_misses_no_ink(steps: list[str], most: int) -> None:
    feed, cursor = Feed(most=10 * most), Cursor()
    laid, known, count = [], [], 0

    def read() -> None:
        message = feed.next(cursor, 0)
        if message and message.get("wipe"):
            known.clear()
        known.extend((message or {}).get("ink", []))

    for step in steps:
        if step == "show":
            count += 1
            feed.show({"n": count}, [[count]])
            laid.append([count])
        elif step == "wipe":
            feed.wipe()
            laid.clear()
        else:
            read()
    read()
    assert known[-len(laid) :] == laid if len(laid) <= 5 * most else known[-1] == laid[-1]
    assert feed.next(cursor, 0) == {}
    feed.close()
    assert feed.next(cursor, 0) is None


def test_thirty_frames_a_second_at_full_hd_with_a_hundred_circles() -> None:
    dice = np.random.default_rng(1)
    centres = dice.uniform(200, 1700, 100) + 1j * dice.uniform(100, 900, 100)
    pen = np.zeros(100, np.int64)
    states = [
        EpicycleState(1920, 1080, centres + n, dice.uniform(5, 400, 100), pen, centres[-1:] + n, (centres[:20],))
        for n in range(30)
    ]
    with ThreadSafeRenderer("image", width=1920, height=1080) as renderer:
        renderer.render_frame(states[0], 0)
        start = time.process_time()
        for number, state in enumerate(states[1:], 1):
            renderer.render_frame(state, number)
        assert time.process_time() - start < 29 / 30
    logging.getLogger(__name__).info("%.0f frames a second", 29 / (time.process_time() - start))
