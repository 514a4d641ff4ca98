"""Files as nobody would wish for them, through the command line: a clear count or a clear error, nothing lost."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from typer.testing import CliRunner

pl = pytest.importorskip("polars")

from raddle.workloads.weights.cli import app  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "user_id,effectiveDateTime,source_type,weight,unit\n"
GOOD = "u,2025-01-01,patient-device,70.5,kg\n"
OTHER = "v,2025-01-01,patient-device,60,kg\n"


class Told(NamedTuple):
    code: int
    #: summary.json
    summary: dict[str, Any]
    #: rejects.csv
    rejects: list[dict[str, str]]
    output: str
    out: Path


def run(out: Path, *args: str | Path, stdin: bytes | None = None, pages: bool = False) -> Told:
    """Run the command, and hold it to the promise that every row is accounted for."""
    options = ["-o", out, "--backend", "serial", "--progress", "none", *(() if pages else ("--no-pages",))]
    result = CliRunner().invoke(app, ["run", *map(str, args), *map(str, options)], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.output
    assert result.exit_code in {0, 2}, result.output
    if result.exit_code != 0:
        assert not (out / "summary.json").exists()
        assert result.output.startswith("raddle weights: ")
        assert result.output.count("\n") == 1
        return Told(result.exit_code, {}, [], result.output, out)
    summary = json.loads((out / "summary.json").read_text())
    with (out / "rejects.csv").open(newline="") as file:
        rejects = list(csv.DictReader(file))
    results = pl.read_parquet(out / "results.parquet")
    assert summary["rows_read"] == summary["rows_used"] + sum(summary["rows_rejected"].values())
    assert len(rejects) == sum(summary["rows_rejected"].values())
    assert results.height == summary["rows_used"]
    assert results["weight_kg"].is_finite().all()
    return Told(0, summary, rejects, result.output, out)


def reasons(told: Told) -> dict[int, str]:
    return {int(row["line"]): row["reason"] for row in told.rejects}


# ------------------------------------------------------------------------------------------------------------- rows

#: the row, and why it is not used
ROWS = [
    ("u,2025-01-02,d,NaN,kg", "not_a_number"),
    ("u,2025-01-02,d,nan,kg", "not_a_number"),
    ("u,2025-01-02,d,inf,kg", "out_of_range"),
    ("u,2025-01-02,d,-Infinity,kg", "out_of_range"),
    ("u,2025-01-02,d,1e308,kg", "out_of_range"),
    ("u,2025-01-02,d,1e999,kg", "out_of_range"),
    (f"u,2025-01-02,d,{'9' * 5000},kg", "out_of_range"),
    ("u,2025-01-02,d,1e-320,kg", None),  # over 0, so for the rules to refuse
    ("u,2025-01-02,d,-70,kg", "out_of_range"),
    ("u,2025-01-02,d,-0,kg", "out_of_range"),
    ("u,2025-01-02,d,0x50,kg", "not_a_number"),
    ("u,2025-01-02,d,'70',kg", "not_a_number"),
    ('u,2025-01-02,d,"70,5",kg', "not_a_number"),
    ("u,2025-01-02,d,\uff17\uff10,kg", "not_a_number"),
    (",,,,", "no_user"),
    ("u,,,,", "no_weight"),
    ("u,2025-01-02,,,", "no_weight"),
    ("u,2025-01-02,,70,", None),
    ("u,2025-01-02,d,1.9,m\u00b2", "unit_not_weight"),
    ("u,2025-01-02,d,70,furlongs", "unknown_unit"),
    ("", "blank_line"),
    ("   ", "blank_line"),
    ("u,2025-01-02,d,70", "malformed_row"),
    ("u,2025-01-02,d,70,kg,,", "malformed_row"),
    ('u,2025-01-02,d"d,70,kg', None),
    ('u,2025-01-02,"d"d,70,kg', "malformed_row"),
    ("u,2025-01-02,d,70,kg\x00", "malformed_row"),
    # time zones, daylight saving, leap seconds
    ("u,2025-01-02T23:30:00-05:00,d,70.1,kg", None),
    ("u,2025-01-03T05:30:00+01:00,d,70.1,kg", "exact_duplicate"),  # the same instant
    ("u,2025-03-30T02:30:00+01:00,d,70.2,kg", None),  # an hour that the clocks of Berlin leave out
    ("u,2025-10-26T02:30:00+02:00,d,70.2,kg", None),  # and one that comes twice
    ("u,2025-10-26T02:30:00+01:00,d,70.2,kg", None),
    ("u,2025-01-02T12:00:00+25:00,d,70,kg", "bad_time"),
    ("u,2016-12-31T23:59:60Z,d,70,kg", "leap_second"),
    ("u,2025-02-29,d,70,kg", "bad_time"),
    ("u,0025-01-01,d,70,kg", "bad_time"),
    ("u,9999-12-31T23:59:59-10:00,d,70,kg", "bad_time"),
    ("u,01/02/2025,d,70,kg", "bad_time"),
    ("u,1735776000,d,70,kg", "bad_time"),
    ("u,now,d,70,kg", "bad_time"),
]


def test_rows_that_cannot_be_used_are_told_by_line(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(HEADER + GOOD + "".join(f"{row}\n" for row, _ in ROWS) + OTHER)
    told = run(tmp_path / "out", path)
    found = reasons(told)
    wanted = {line: reason for line, (_, reason) in enumerate(ROWS, start=3) if reason}
    assert found == wanted
    assert told.summary["rows_read"] == len(ROWS) + 2
    assert told.summary["users"] == 2
    for row in told.rejects:
        if row["reason"] == "exact_duplicate":
            assert row["row"] == "says the same as line 30"
            continue
        assert row["row"][:100] == ROWS[int(row["line"]) - 3][0][:100]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("last", ["", "end"])
def test_line_ends_and_byte_order_marks(tmp_path: Path, ends: str, start: str, last: str) -> None:
    text = (start + HEADER + GOOD + '"v","2025-01-01","a\nb","60","kg"\n' + "w,,,,\n" + OTHER).replace("\n", ends)
    path = tmp_path / "in.csv"
    path.write_bytes((text if last else text.removesuffix(ends)).encode())
    told = run(tmp_path / "out", path)
    assert (told.summary["rows_read"], told.summary["rows_used"]) == (4, 3)
    assert reasons(told) == {5: "no_weight"}
    assert pl.read_parquet(tmp_path / "out" / "results.parquet")["line"].to_list() == [2, 3, 6]


# ------------------------------------------------------------------------------------------------------------ quotes


@pytest.mark.parametrize("stray", ['u,2025-01-02,d,70,"kg', '"u,2025-01-02,d,70,kg', '"', 'u,"2025', '"""'])
def test_a_quote_that_is_never_closed_costs_its_own_line(tmp_path: Path, stray: str) -> None:
    after = "".join(f"u,2025-02-{day:02},device,70,kg\n" for day in range(1, 29))
    path = tmp_path / "in.csv"
    path.write_text(f"{HEADER}{GOOD}{stray}\n{after}")
    told = run(tmp_path / "out", path)
    assert reasons(told) == {3: "malformed_row"}
    assert told.summary["rows_used"] == 29


# --------------------------------------------------------------------------------------------------------------- ids

IDS = [
    "../../x",
    "/etc/passwd",
    "a/b/../c",
    "..",
    "C:\\x",
    "con",
    "<script>alert(1)</script>",
    "</script><b>",
    "&amp;",
    "\u202eabc",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "e\u0301",
    "\u00e9",
    "x" * 1000,
    "=1+1",
    "%2e%2e",
    "{{7*7}}",
    "A",
    "a",
]


def test_ids_that_are_no_names(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    rows = [f"{user},2025-01-0{day},d,{70 + day},kg\n" for user in IDS for day in (1, 2, 3)]
    path.write_text(HEADER + "".join(rows), encoding="utf-8")
    told = run(tmp_path / "out", path, pages=True)
    assert told.summary["rows_used"] == 3 * len(IDS)
    assert told.summary["users"] == len(IDS)
    assert sorted(pl.read_parquet(told.out / "results.parquet")["user_id"].cast(pl.String).unique()) == sorted(IDS)
    assert {entry.name for entry in tmp_path.iterdir()} == {"in.csv", "out"}
    pages = [page for page in (told.out / "users").iterdir() if page.suffix == ".html"]
    assert len(pages) == len({page.name.lower() for page in pages}) == len(IDS)
    for page in (*pages, told.out / "index.html"):
        text = page.read_text(encoding="utf-8")
        assert "<script>alert" not in text
        assert "</script><b>" not in text


def test_an_id_longer_than_any(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(f"{HEADER}{GOOD}{'x' * 100_000},2025-01-01,d,70,kg\n")
    told = run(tmp_path / "out", path)
    assert reasons(told) == {3: "user_too_long"}
    assert (tmp_path / "out" / "rejects.csv").stat().st_size < 50_000


# ------------------------------------------------------------------------------------------------------- whole files

WHOLE = gzip.compress(
    (HEADER + "".join(f"u,2025-01-01T00:{n // 60:02}:{n % 60:02},d,70,kg\n" for n in range(900))).encode()
)


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("empty.csv", b"", "line 1 is not a header row"),
        ("empty.csv.gz", gzip.compress(b""), "line 1 is not a header row"),
        ("blank.csv", b"\n\n", "line 1 is not a header row"),
        ("wide.csv", (HEADER + GOOD).encode("utf-16"), "UTF-16"),
        ("wide.csv", (HEADER + GOOD).encode("utf-16-le"), "UTF-16"),
        ("other.csv", b"id,when,kilos\n1,2025-01-01,70\n", "--columns"),
        ("no-header.csv", GOOD.encode(), "--columns"),
        (
            "twice.csv",
            b"user_id,weight,effectiveDateTime,weight\nu,70,2025-01-01,71\n",
            "2 columns are called 'weight'",
        ),
        ("cut.csv.gz", WHOLE[: len(WHOLE) // 2], "copy or download the file again"),
        ("tail.csv.gz", WHOLE[:-4], "copy or download the file again"),
        ("broken.csv.gz", WHOLE[:200] + bytes(50) + WHOLE[250:], "copy or download the file again"),
        ("behind.csv.gz", WHOLE + b"garbage", "copy or download the file again"),
        ("nothing.gz", b"\x1f\x8b", "copy or download the file again"),
        ("day.csv", b"user_id,effectiveDateTime,weight\nu,1/2/2025,70\n", "--date-order"),
        ("old.zip", b"PK\x03\x04" + bytes(100), "unpack it"),
        ("cut.parquet", b"PAR1" + bytes(100), "Parquet"),
        (
            "bomb.xml",
            b'<?xml version="1.0"?><!DOCTYPE HealthData [<!ENTITY a "b">]><HealthData>&a;</HealthData>',
            "entities",
        ),
        ("cut.xml", b'<?xml version="1.0"?><HealthData><Record', "export it again"),
        ("cut.json", b'[{"logId": 1, "weight": 70', "download it again"),
    ],
)
def test_files_that_are_refused_say_what_to_do(tmp_path: Path, name: str, content: bytes, hint: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    told = run(tmp_path / "out", path)
    assert told.code == 2
    assert hint in told.output
    assert name in told.output


def test_no_file_and_no_file_of_a_kind(tmp_path: Path) -> None:
    for path, hint in ((tmp_path / "none.csv", "there is no such file"), (tmp_path, "folder")):
        told = run(tmp_path / "out", path)
        assert told.code == 2
        assert hint in told.output


def test_one_bad_file_among_good_ones_spoils_nothing(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv.gz"
    good.write_text(HEADER + GOOD)
    bad.write_bytes(WHOLE[:-20])
    assert run(tmp_path / "out", good, bad).code == 2
    assert run(tmp_path / "out", good).summary["rows_used"] == 1


def test_a_header_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(HEADER)
    told = run(tmp_path / "out", path, pages=True)
    assert (told.summary["rows_read"], told.summary["users"]) == (0, 0)
    assert (tmp_path / "out" / "index.html").exists()


def test_a_gzip_of_two_members_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "in.csv.gz"
    path.write_bytes(gzip.compress((HEADER + GOOD).encode()) + gzip.compress(OTHER.encode()))
    assert run(tmp_path / "out", path).summary["rows_used"] == 2


def test_latin_1_spoils_its_own_rows(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes((HEADER + GOOD + "J\u00f6rg,2025-01-01,d,70,kg\n" + OTHER).encode("latin-1"))
    told = run(tmp_path / "out", path)
    assert reasons(told) == {3: "bad_encoding"}
    assert "rg" in told.rejects[0]["row"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("ends", [b"\n", b""])
def test_a_line_of_50_megabytes(tmp_path: Path, packed: bool, ends: bytes) -> None:
    path = tmp_path / ("in.csv.gz" if packed else "in.csv")
    with gzip.open(path, "wb", compresslevel=1) if packed else path.open("wb") as file:
        file.write((HEADER + GOOD).encode())
        file.writelines(b"x" * 1_000_000 for _ in range(50))
        file.write(ends)
        if ends:
            file.write(OTHER.encode())
    told = run(tmp_path / "out", path)
    assert reasons(told) == {3: "malformed_row"}
    assert told.summary["rows_used"] == (2 if ends else 1)
    assert (tmp_path / "out" / "rejects.csv").stat().st_size < 100_000


def test_a_header_of_50_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    with path.open("wb") as file:
        file.writelines(b"x" * 1_000_000 for _ in range(50))
    told = run(tmp_path / "out", path)
    assert told.code == 2
    assert len(told.output) < 5_000


def test_nothing_but_commas_and_nothing_but_zeros(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes((HEADER + GOOD).encode() + b",,,,\n" * 1000 + b"," * 100_000 + b"\n" + bytes(1000) + b"\n")
    told = run(tmp_path / "out", path)
    assert told.summary["rows_rejected"] == {"malformed_row": 2, "no_user": 1000}


# ------------------------------------------------------------------------------------------- what is no regular file


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input(tmp_path: Path, packed: bool) -> None:
    text = (HEADER + GOOD + "u,,,,\n" + OTHER).encode()
    told = run(tmp_path / "out", "-", stdin=gzip.compress(text) if packed else text)
    assert reasons(told) == {3: "no_weight"}
    assert told.summary["rows_used"] == 2


def test_standard_input_that_is_empty(tmp_path: Path) -> None:
    told = run(tmp_path / "out", "-", stdin=b"")
    assert told.code == 2
    assert "line 1 is not a header row" in told.output


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_named_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(HEADER + GOOD + OTHER,), daemon=True)
    writer.start()
    # a process of its own: if it waited for a second writer, it could be ended
    command = [sys.executable, "-m", "raddle", "weights", "run", str(path), "-o", str(tmp_path / "out"), "--no-pages"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert done.returncode == 2
        assert "pipe" in done.stderr
    else:
        assert json.loads((tmp_path / "out" / "summary.json").read_text())["rows_used"] == 2


# ------------------------------------------------------------------------------------------------- exports, whole way

GARMIN = 'Time,Weight,Change,BMI,\n" Jan 5, 2025",\n7:10 AM,80.2 kg,0.1 kg,25.3,\n8:15 AM,--,--,--,\n" 6 Jan 2025",\n'
WITHINGS = 'Date,"Weight (lb)",Comments\n"2025-01-03 07:05:00",177.2,\n"2025-01-04 07:05:00",,only fat\n2025-13-01,1,\n'
TAKEOUT = (
    '[{"logId": 1, "weight": 177.0, "bmi": 25.4, "date": "01/02/25", "time": "07:00:00"},\n'
    '{"logId": 2, "weight": NaN, "date": "01/02/25"},\n{"logId": 3}]'
)
BODY = "Body\nDate,Weight,BMI,Fat\n13/1/2025,80.1,25.3,0\n14/1/2025,0,0,0\nbroken\n"
XML = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE HealthData [
<!ELEMENT HealthData (ExportDate,Me,Record*)>
]>
<HealthData locale="de_DE">
 <Record type="HKQuantityTypeIdentifierStepCount" unit="count" value="9"/>
 <Record type="HKQuantityTypeIdentifierBodyMass" unit="lb" startDate="2025-01-09 07:00:00 +0100" value="177.4"/>
 <Record type="HKQuantityTypeIdentifierBodyMass" unit="lb" startDate="2025-01-09 06:00:00 +0000" value="177.4"/>
 <Record type="HKQuantityTypeIdentifierBodyMass" unit="lb" startDate="2025-01-10 07:00:00 +0100"/>
</HealthData>
"""
CONVERTED = (
    "type,sourceName,unit,startDate,value\n"
    "HKQuantityTypeIdentifierBodyMass,Scale,kg,2025-01-09 07:00:00 +0100,80.4\n"
    "HKQuantityTypeIdentifierHeight,Scale,cm,2025-01-09 07:00:00 +0100,180\n"
    "HKQuantityTypeIdentifierBodyMass,Scale,stone,2025-01-10 07:00:00 +0100,1\u00bd\n"
)
GOOGLE = "timestamp,weight grams,data source\n2025-01-05T05:33:27Z,80400,Scale\n2025-01-06T05:33:27Z,80.4,Scale\n"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "text", "line", "time", "refused"),
    [
        ("garmin.csv", GARMIN, 3, "2025-01-05 07:10:00", {4: "no_weight"}),
        ("withings.csv", WITHINGS, 2, "2025-01-03 07:05:00", {3: "no_weight", 4: "bad_time"}),
        ("weight-2025-01-02.json", TAKEOUT, 1, "2025-01-02 07:00:00", {2: "not_a_number", 3: "no_weight"}),
        ("body.csv", BODY, 3, "2025-01-13 00:00:00", {4: "out_of_range", 5: "malformed_row"}),
        ("export.xml", XML, 7, "2025-01-09 06:00:00", {8: "exact_duplicate", 9: "no_weight"}),
        ("converted.csv", CONVERTED, 2, "2025-01-09 06:00:00", {4: "not_a_number"}),
        ("google.csv", GOOGLE, 2, "2025-01-05 05:33:27", {3: None}),
    ],
)
def test_exports_of_apps(
    tmp_path: Path, name: str, text: str, line: int, time: str, refused: dict[int, str | None], packed: bool
) -> None:
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    told = run(tmp_path / "out", path, "--user", "me")
    assert reasons(told) == {at: reason for at, reason in refused.items() if reason}
    assert told.summary["rows_read"] == len(refused) + 1
    results = pl.read_parquet(tmp_path / "out" / "results.parquet").sort("line")
    assert results["user_id"].cast(pl.String).to_list() == ["me"] * (results.height)
    first = results.row(0, named=True)
    assert first["line"] == line
    assert str(first["time"])[:19] == time
    assert first["weight_kg"] == pytest.approx(80.3, abs=0.3)


def test_several_files_of_one_person(tmp_path: Path) -> None:
    for name, text in (("a.csv", GARMIN), ("b.csv", WITHINGS), ("c.json", TAKEOUT), ("d.xml", XML)):
        (tmp_path / name).write_text(text)
    told = run(tmp_path / "out", *sorted(tmp_path.iterdir()), "--user", "me")
    assert (told.summary["rows_read"], told.summary["rows_used"], told.summary["users"]) == (11, 4, 1)
    by_name = run(tmp_path / "other", *(tmp_path / name for name in ("a.csv", "b.csv")))
    assert by_name.summary["users"] == 2
