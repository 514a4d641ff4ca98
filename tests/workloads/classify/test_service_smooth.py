"""What keeps the event loop free for `/health`; how free it is, benchmarks/classify_health.py measures."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddle.workloads.classify.service.jobs import Jobs
from raddle.workloads.classify.service.json_text import loads
from raddle.workloads.classify.service.settings import ServiceSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30)


@given(VALUES, st.sampled_from([None, 0, 1, 4]))
def test_json_is_read_as_it_was_written(value: Any, indent: int | None) -> None:
    assert loads(json.dumps(value, indent=indent)) == value
    assert loads(f" \r\n\t{json.dumps(value, ensure_ascii=False)}\n") == value


PIECES = st.sampled_from(
    [*'[]{},: \n"', '"a"', '"data"', "1", "-", "1e5", "null", "tru", "NaN", "é", "\\u0041", "\ufeff"]
)


def read_by(reader: Callable[[str], Any], text: str) -> Any:
    """Return the value, or that it is none; releases of Python differ in how they say it."""
    try:
        return reader(text)
    except json.JSONDecodeError:
        return "refused"


@given(st.lists(PIECES, max_size=12).map("".join))
def test_what_is_no_json_is_refused_and_nothing_else(text: str) -> None:
    meant = read_by(lambda text: json.loads(text, parse_constant=lambda _: None), text)
    assert read_by(loads, text) == meant


@pytest.mark.parametrize("form", ["[{}]", '{{"data": [{}], "toggle": 1}}'])
def test_a_body_is_read_item_by_item(form: str) -> None:
    """One call for all of it would keep the event loop waiting until its end."""
    text = form.format(", ".join(['{"name": "x", "tags": ["a", "b"]}'] * 500))
    calls = 0

    def count(frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code is json.JSONDecoder.raw_decode.__code__

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        loads(text)
    finally:
        sys.setprofile(before)
    assert 500 <= calls <= 503


def test_bodies_are_read_one_after_another(tmp_path: Path) -> None:
    met: list[int] = []
    both = threading.Barrier(2)

    def read(number: int) -> int:
        try:
            met.append(both.wait(0.05))
        except threading.BrokenBarrierError:  # nobody else was at it
            both.reset()
        return number

    async def main() -> None:
        jobs = Jobs(ServiceSettings(jobs=tmp_path), None)  # type: ignore[arg-type] # which labels nothing here
        assert await asyncio.gather(*(jobs.aside(read, number) for number in range(4))) == [0, 1, 2, 3]

    asyncio.run(main())
    assert met == []


SERVER = """
import gc, logging, sys
from pathlib import Path
from raddle.workloads.classify.service.serve import serve
from raddle.workloads.classify.service.settings import ServiceSettings

class Idle:
    async def aclose(self):
        print(gc.get_freeze_count(), sys.getswitchinterval(), flush=True)

logging.basicConfig(level=logging.INFO)
serve(ServiceSettings(jobs=Path(sys.argv[1]), port=0), Idle())
"""


def test_a_server_of_its_own_keeps_the_collector_off_what_modules_are_made_of(tmp_path: Path) -> None:
    words = [sys.executable, "-c", SERVER, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        while "http://" not in (line := child.stderr.readline()):
            assert line
        child.send_signal(signal.SIGTERM)
        out, _ = child.communicate()
    frozen, interval = out.split()
    assert int(frozen) > 50_000
    assert float(interval) == pytest.approx(0.001)
