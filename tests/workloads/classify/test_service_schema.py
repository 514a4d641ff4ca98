"""No request that the OpenAPI document describes, nor one that it does not, is answered with a 500."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

schemathesis = pytest.importorskip("schemathesis")

from hypothesis import HealthCheck, given, settings  # noqa: E402 - after what may be missing
from hypothesis.errors import Unsatisfiable  # noqa: E402

from raddle.workloads.classify.service.serve import make_server  # noqa: E402
from raddle.workloads.classify.service.settings import ServiceSettings  # noqa: E402
from raddle.workloads.classify.values import Label, Product  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import APIOperation
    from schemathesis.core.transport import Response


class Quick:
    async def label(self, product: Product) -> Label:
        return Label(category="SOFA", confidence=1.0, reasoning=product.text, provider="fake")

    async def aclose(self) -> None:
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("schema")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = make_server(ServiceSettings(jobs=folder, max_items=50, max_body=100_000, ping=0.05), Quick())
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("examples", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_every_answer_is_one_of_those_described(address: str, examples: int) -> None:
    api = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations = [operation.ok() for operation in api.get_all_operations()]
    assert len(operations) >= 12
    for operation in operations:
        _ask(operation, schemathesis.GenerationMode.POSITIVE, examples)
        with contextlib.suppress(Unsatisfiable):  # what takes nothing cannot be given anything wrong
            _ask(operation, schemathesis.GenerationMode.NEGATIVE, examples)


def _ask(operation: APIOperation, mode: schemathesis.GenerationMode, examples: int) -> None:
    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        answer = case.call()
        case.validate_response(answer, checks=[schemathesis.checks.not_a_server_error, _status_is_described])

    ask()


def _status_is_described(ctx: object, response: Response, case: schemathesis.Case) -> None:
    described = {str(status) for status in case.operation.definition.raw["responses"]}
    assert str(response.status_code) in described | {"405"}, (response.status_code, response.text)
