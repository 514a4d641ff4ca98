"""What the command line says in words becomes values, or an error that names the remedy."""

from __future__ import annotations

import pytest

from raddle import errors
from raddle.workloads.weights.options import Columns, parse_columns, parse_where


def test_columns_may_be_said_in_one_go_or_several() -> None:
    assert parse_columns(["user=who,time=day", "weight=value"]) == Columns(user="who", time="day", weight="value")


@pytest.mark.parametrize("text", ["user", "user=", "person=id"])
def test_columns_are_checked(text: str) -> None:
    with pytest.raises(errors.ConfigError, match=r"user=NAME|among 'user', 'time', 'weight', 'unit', 'source'"):
        parse_columns([text])


def test_values_of_one_column_are_alternatives() -> None:
    wanted = (("param", frozenset({"WEIGHTKG", "BODYMASS"})), ("sex", frozenset({"1"})))
    assert parse_where(["param=WEIGHTKG", "sex=1", "param=BODYMASS"]) == wanted


def test_where_is_checked() -> None:
    with pytest.raises(errors.ConfigError, match="COLUMN=VALUE"):
        parse_where(["param"])
