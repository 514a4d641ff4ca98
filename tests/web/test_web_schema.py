"""No request that the OpenAPI document describes, nor one that it does not, is answered with a 500."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from raddle.journal.history import History
from raddle.web.guard import csrf_token

if TYPE_CHECKING:
    from pathlib import Path

    from schemathesis import APIOperation
    from schemathesis.core.transport import Response


@pytest.mark.parametrize("examples", [2, pytest.param(25, marks=pytest.mark.slow)])
def test_every_answer_is_one_of_those_described(serve: Any, journal: Path, tmp_path: Path, examples: int) -> None:
    shutil.copy(journal, tmp_path / "runs.db")
    page = serve(tmp_path / "runs.db", allow_actions=True, ping=0.02)
    run = History(journal).run("good")
    assert run is not None
    api = schemathesis.openapi.from_url(f"{page.url}/openapi.json")
    operations = [operation.ok() for operation in api.get_all_operations()]
    assert len(operations) >= 12
    headers = {"x-raddle-csrf": csrf_token(page.settings)}
    for operation in operations:
        if operation.path == "/api/events":
            continue  # has no end; see test_web_live
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            with contextlib.suppress(Unsatisfiable):  # what takes nothing cannot be given anything wrong
                _ask(operation, mode, examples, headers, run.uid)


def _ask(
    operation: APIOperation, mode: schemathesis.GenerationMode, examples: int, headers: dict[str, str], uid: str
) -> None:
    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        if mode is schemathesis.GenerationMode.POSITIVE and "uid" in case.path_parameters:
            case.path_parameters |= {"uid": uid, "journal": 0}  # there is something to find
        answer = case.call(headers=headers)
        case.validate_response(answer, checks=[schemathesis.checks.not_a_server_error, _status_is_described])

    ask()


def _status_is_described(_: object, response: Response, case: schemathesis.Case) -> None:
    described = {str(status) for status in case.operation.definition.raw["responses"]}
    assert str(response.status_code) in described | {"404", "405"}, (response.status_code, response.text)
