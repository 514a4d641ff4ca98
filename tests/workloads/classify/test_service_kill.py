"""kill -9 in the middle: the job goes on by itself, and a client that reconnects misses nothing, gets nothing twice."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ITEMS = 600

SERVER = """
import asyncio, socket, sys
from pathlib import Path
from raddle.workloads.classify.service.serve import make_server
from raddle.workloads.classify.service.settings import ServiceSettings
from raddle.workloads.classify.values import Label

class Slow:
    async def label(self, product):
        await asyncio.sleep(0.01)
        return Label(category="SOFA", confidence=1.0, reasoning=product.name)
    async def aclose(self): ...

with socket.create_server(("127.0.0.1", 0)) as listening:
    server = make_server(ServiceSettings(jobs=Path(sys.argv[1]), workers=8), Slow())
    print(listening.getsockname()[1], flush=True)
    asyncio.run(server.serve(sockets=[listening]))
"""


class Server:
    """One life of the server."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", SERVER, str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @contextmanager
    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> Iterator[http.client.HTTPResponse]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)) as connection:
            connection.request(method, path, body, headers)
            with connection.getresponse() as answer:
                yield answer


def blocks(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """Yield whole events only: half of one is what a dead server leaves."""
    event: dict[str, Any] = {}
    try:
        for raw in answer:
            name, _, value = raw.decode().rstrip("\n").partition(": ")
            if name:
                event[name] = value
            elif raw == b"\n":
                yield event
                event = {}
    except (OSError, http.client.HTTPException):
        return


def lives_through(folder: Path, kills: list[int]) -> None:
    server = Server(folder)
    try:
        body = json.dumps([{"name": f"n{number}"} for number in range(ITEMS)]).encode()
        with server.ask("POST", "/jobs", body, **{"Content-Type": "application/json"}) as answer:
            assert answer.status == 202
            place = json.load(answer)["id"]
        got: list[dict[str, Any]] = []
        for end in [*kills, None]:
            last = got[-1]["id"] if got else "0"
            with server.ask("GET", f"/jobs/{place}/events", **{"Last-Event-ID": last}) as answer:
                for event in blocks(answer):
                    if event.get("event") == "done":
                        assert json.loads(event["data"])["done"] == ITEMS
                    if event.get("event") == "item":
                        got.append(event)
                    if end is not None and len(got) == end:
                        break
            if end is not None:
                server.kill()
                server = Server(folder)  # nobody asks it to go on
        assert [int(event["id"]) for event in got] == list(range(1, ITEMS + 1))
        assert sorted(json.loads(event["data"])["position"] for event in got) == list(range(ITEMS))
        with server.ask("GET", f"/jobs/{place}/results") as answer:
            results = answer.read().splitlines()
        assert [json.loads(line)["reasoning"] for line in results] == [f"n{number}" for number in range(ITEMS)]
    finally:
        server.kill()


def test_killed_in_the_middle_and_started_again(tmp_path: Path) -> None:
    lives_through(tmp_path / "jobs", [200])


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(10))
def test_killed_again_and_again(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    lives_through(tmp_path / "jobs", sorted(chance.sample(range(1, ITEMS), 4)))
