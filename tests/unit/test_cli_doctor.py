"""`raddle doctor`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from raddle.cli import main
from raddle.cli.doctor import has_wal_reset_bug, report

if TYPE_CHECKING:
    from pytest import CaptureFixture  # noqa: PT013 - a type


@pytest.mark.parametrize(
    ("release", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((4, 0, 0), False),
    ],
)
def test_wal_reset_bug_by_version(release: tuple[int, ...], affected: bool) -> None:
    assert has_wal_reset_bug(release) is affected


def test_json_is_what_the_text_says(capsys: CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == report()
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert f"CPUs      {found['cpus']['value']}" in text
    assert "affinity" in text
    assert "MemTotal" in text
    assert found["sqlite"]["version"] in text
    assert ("exactly one writing connection" in text) == found["sqlite"]["wal_reset_bug"]
    for part in found["parts"]:
        assert part["name"] in text
        assert part["version"] or part["install"] in text
    for program in found["programs"]:
        assert (program["path"] or "not found") in text
