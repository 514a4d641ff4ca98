"""Every row is used, or counted and listed with its line."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raddle import errors
from raddle.workloads.weights.fields import Refused, parse_days, parse_time, parse_unit, parse_weight
from raddle.workloads.weights.options import Columns, ReadOptions, parse_columns, parse_where
from raddle.workloads.weights.reader import Table, read_table
from raddle.workloads.weights.rows import read_rows

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "user_id,effectiveDateTime,source_type,weight,unit\n"
PLAIN = ReadOptions()
GOOD = "u,2025-01-01,patient-device,70.5,kg"


def read(path: Path, text: str | bytes, options: ReadOptions = PLAIN) -> tuple[Table, list[dict[str, str]]]:
    path = path / "in.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    out = io.StringIO()
    table = read_table(path, options, rejects=out)
    rejects = list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))
    assert table.rows_read == table.rows_used + sum(table.rows_rejected.values())
    assert len(rejects) == sum(table.rows_rejected.values())
    return table, rejects


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("", "blank_line"),
        ("u,2025-01-01,device,70.5", "malformed_row"),
        ("u,2025-01-01,device,70.5,kg,more", "malformed_row"),
        ('u,2025-01-01,"device"x,70.5,kg', "malformed_row"),
        (",2025-01-01,device,70.5,kg", "no_user"),
        ("NULL,2025-01-01,device,70.5,kg", "no_user"),
        ("u,2025-01-01,device,,kg", "no_weight"),
        ("u,2025-01-01,device,null,kg", "no_weight"),
        ("u,2025-01-01,device,NA,kg", "no_weight"),
        ("u,2025-01-01,device,heavy,kg", "not_a_number"),
        ("u,2025-01-01,device,NaN,kg", "not_a_number"),
        ("u,2025-01-01,device,1_0,kg", "not_a_number"),
        ("u,2025-01-01,device,\u0667\u0660,kg", "not_a_number"),
        ("u,2025-01-01,device,inf,kg", "out_of_range"),
        ("u,2025-01-01,device,-inf,kg", "out_of_range"),
        ("u,2025-01-01,device,1e308,kg", "out_of_range"),
        ("u,2025-01-01,device,1e999,kg", "out_of_range"),
        ("u,2025-01-01,device,0,kg", "out_of_range"),
        ("u,2025-01-01,device,-70,kg", "out_of_range"),
        ("u,2025-01-01,device,1000.1,kg", "out_of_range"),
        ("u,2025-01-01,device,2300,lb", "out_of_range"),
        ("u,2025-01-01,device,24.1,kg/m2", "unit_not_weight"),
        ("u,2025-01-01,device,1.9,m²", "unit_not_weight"),
        ("u,2025-01-01,BSA device,1.9,kg", "unit_not_weight"),
        ("u,2025-01-01,device,70,cm", "unknown_unit"),
        ("u,,device,70,kg", "bad_time"),
        ("u,yesterday,device,70,kg", "bad_time"),
        ("u,01/02/2025,device,70,kg", "bad_time"),
        ("u,2025-02-30,device,70,kg", "bad_time"),
        ("u,2025-W01-1,device,70,kg", "bad_time"),
        ("u,20250101,device,70,kg", "bad_time"),
        ("u,2025-06-30 23:59:60,device,70,kg", "bad_time"),
        ("u,0025-01-01,device,70,kg", "bad_time"),
        ("u,9999-12-31T23:59:59-10:00,device,70,kg", "bad_time"),
        (GOOD, "exact_duplicate"),
        ("u,2025-01-01T02:00:00+02:00,patient-device,70.50,KG", "exact_duplicate"),
    ],
)
def test_a_row_that_cannot_be_used_is_listed_with_line_and_reason(tmp_path: Path, row: str, reason: str) -> None:
    table, rejects = read(tmp_path, f"{HEADER}{GOOD}\n{row}\nv,2025-01-01,device,60,kg\n")
    assert table.rows_rejected == {reason: 1}
    assert (rejects[0]["line"], rejects[0]["reason"], rejects[0]["row"]) == ("3", reason, row)
    assert table.users == ["u", "v"]
    assert table.readings("v").lines == (4,)


def test_lines_survive_bom_crlf_and_quoted_line_ends(tmp_path: Path) -> None:
    text = "\ufeff" + HEADER.replace("\n", "\r\n") + '"u","2025-01-01","a\r\nb","70","kg"\r\nu,2025-01-02,c,71,kg\r\n'
    table, _ = read(tmp_path, text)
    assert table.readings("u").lines == (2, 4)
    assert table.readings("u").source_names == ("a\r\nb", "c")


@pytest.mark.parametrize("stray", ['u,2025-01-02,device,70,"kg', '"u,2025-01-02,device,70,kg', 'u,"2025'])
def test_a_quote_that_is_never_closed_costs_its_own_line_only(tmp_path: Path, stray: str) -> None:
    after = "".join(f"u,2025-02-{day:02},device,70,kg\n" for day in range(1, 20))
    table, rejects = read(tmp_path, f"{HEADER}{GOOD}\n{stray}\n{after}")
    assert table.rows_used == 20
    assert [(row["line"], row["reason"]) for row in rejects] == [("3", "malformed_row")]
    assert table.readings("u").lines == (2, *range(4, 23))


def test_a_cell_beyond_the_csv_limit_costs_its_own_line_only(tmp_path: Path) -> None:
    table, rejects = read(tmp_path, f"{HEADER}u,2025-01-01,{'x' * 200_000},70,kg\n{GOOD}\n")
    assert table.rows_used == 1
    assert (rejects[0]["line"], rejects[0]["reason"]) == ("2", "malformed_row")


def test_bytes_that_are_not_utf8_spoil_their_own_row(tmp_path: Path) -> None:
    table, rejects = read(tmp_path, f"{HEADER}J\xf6rg,2025-01-01,d,70,kg\n".encode("latin-1") + GOOD.encode() + b"\n")
    assert table.rows_rejected == {"bad_encoding": 1}
    assert rejects[0]["line"] == "2"
    assert table.rows_used == 1


def test_rows_of_a_user_come_by_time_then_line(tmp_path: Path) -> None:
    rows = ["u,2025-01-03,d,71,kg", "u,2025-01-01,d,70,kg", "v,2025-01-01,d,60,kg", "u,2025-01-03,d,72,kg"]
    table, _ = read(tmp_path, HEADER + "\n".join(rows))
    assert table.readings("u").lines == (3, 2, 5)
    assert table.readings("u").weights_kg == (70, 71, 72)


def test_where_and_columns(tmp_path: Path) -> None:
    text = "id,who,what,day,value\n1,u,WEIGHT,3,70\n2,u,HEIGHT,3,170\n3,u,BODYMASS,4,71\n"
    options = ReadOptions(
        parse_columns(["user=who,time=day", "weight=value"]), "days", parse_where(["what=WEIGHT", "what=BODYMASS"])
    )
    table, rejects = read(tmp_path, text, options)
    assert table.rows_rejected == {"where": 1}
    assert rejects[0]["row"] == "2,u,HEIGHT,3,170"
    assert table.readings("u").times == (3.0, 4.0)
    assert table.readings("u").source_names == ("unknown",)


@pytest.mark.parametrize(
    ("header", "options", "hint"),
    [
        ("user,effectiveDateTime,weight", ReadOptions(), "did you mean 'user'?"),
        ("user_id,effectiveDateTime,weight", ReadOptions(Columns(weight="wieght")), "did you mean 'weight'?"),
        ("user_id,effectiveDateTime,weight", ReadOptions(Columns(unit="u")), "among 'user_id', 'effectiveDateTime'"),
        ("user_id,user_id,effectiveDateTime,weight", ReadOptions(), "2 columns are called 'user_id'"),
        ("user_id,effectiveDateTime,weight", ReadOptions(where=(("parm", frozenset("x")),)), "where=parm"),
        ("", ReadOptions(), "line 1 is not a header row"),
    ],
)
def test_columns_that_cannot_be_found_are_named_with_a_remedy(
    tmp_path: Path, header: str, options: ReadOptions, hint: str
) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        read(tmp_path, header + "\nu,2025-01-01,70\n", options)
    assert hint in str(caught.value)


@pytest.mark.parametrize("text", ["user", "user=", "person=id"])
def test_columns_are_checked(text: str) -> None:
    with pytest.raises(errors.ConfigError, match=r"user=NAME|among 'user', 'time', 'weight', 'unit', 'source'"):
        parse_columns([text])


def test_where_is_checked() -> None:
    with pytest.raises(errors.ConfigError, match="COLUMN=VALUE"):
        parse_where(["param"])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    whole = gzip.compress((HEADER + "".join(f"u,2025-01-01,d{n},{n},kg\n" for n in range(1, 900))).encode())
    for name, content, hint in (
        ("cut.csv.gz", whole[: len(whole) // 2], "copy or download the file again"),
        ("broken.csv.gz", whole[:200] + bytes(50) + whole[250:], "copy or download the file again"),
        ("wide.csv", HEADER.encode("utf-16"), "UTF-16"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(errors.ConfigError, match=hint):
            read_table(path, ReadOptions(), rejects=io.StringIO())
    for path, hint in ((tmp_path / "none.csv", "no such file"), (tmp_path, "cannot be read")):
        with pytest.raises(errors.ConfigError, match=hint):
            read_table(path, ReadOptions(), rejects=io.StringIO())


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2025-01-02", "2025-01-02T00:00:00+00:00"),
        ("2025-01-02 07:15:30", "2025-01-02T07:15:30+00:00"),
        ("2025-01-02T07:15:30Z", "2025-01-02T07:15:30+00:00"),
        ("2025-01-02T07:15:30.123456Z", "2025-01-02T07:15:30.123456+00:00"),
        ("2025-01-02 07:15:30.5", "2025-01-02T07:15:30.500000+00:00"),
        ("2025-01-02T00:30:00+02:00", "2025-01-01T22:30:00+00:00"),
    ],
)
def test_times_are_utc(text: str, iso: str) -> None:
    assert parse_time(text) * 1e-6 == datetime.fromisoformat(iso).astimezone(UTC).timestamp()


@pytest.mark.parametrize("text", ["", "nan", "inf", "1e9", "day 3", "1_0"])
def test_days_that_are_no_days(text: str) -> None:
    with pytest.raises(Refused, match="bad_time"):
        parse_days(text)


@pytest.mark.parametrize(
    ("weight", "unit", "kilograms"),
    [
        ("70", "", 70.0),
        ("70", "NULL", 70.0),
        ("154.3", "LB", 69.98930),
        ("154.3", "[lb_ap]", 69.98930),
        ("11", "stones", 69.85323),
        ("3400", "g", 3.4),
        ("+7.05e1", "kg", 70.5),
    ],
)
def test_units(weight: str, unit: str, kilograms: float) -> None:
    assert parse_weight(weight, parse_unit(unit, "device")) == pytest.approx(kilograms, abs=1e-4)


_CELLS = st.one_of(
    st.sampled_from(["", "u", "v", "70", "2025-01-01", "kg", "NULL", '"', ",", "\n", '"\n', "\r", "\x00", "é"]),
    st.text(max_size=8),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.lists(_CELLS, min_size=1, max_size=7).map(",".join), max_size=25))
def test_used_and_rejected_are_all(tmp_path: Path, lines: list[str]) -> None:
    text = HEADER + "\n".join(lines)
    raw = text.encode("utf-8", errors="replace")
    table, rejects = read(tmp_path, raw)
    used = [line for user in table.users for line in table.readings(user).lines]
    seen = sorted(used + [int(row["line"]) for row in rejects])
    assert len(seen) == len(set(seen))
    rows = list(read_rows(tmp_path / "in.csv", width=5))[1:]
    assert [row.line for row in rows] == seen
    # every physical line is in exactly one row: the raw texts, put together again, are the file
    ends = raw.decode().removeprefix(HEADER)
    assert "".join(row.raw for row in rows).replace("\r", "").replace("\n", "") == ends.replace("\r", "").replace(
        "\n", ""
    )
