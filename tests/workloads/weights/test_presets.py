"""Exports of apps: small files, true to life, read by name and by what they look like."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddle import errors
from raddle.workloads.weights.ingest import apple, exports, fitbit, times
from raddle.workloads.weights.ingest.blocks import BLOCK_COLUMNS, Dialect
from raddle.workloads.weights.ingest.exports import Reader
from raddle.workloads.weights.ingest.presets import PRESETS, recognise
from raddle.workloads.weights.options import Columns, ReadOptions

HEAD = 1 << 16

TAKEOUT = """[{
  "logId" : 1431993599000,
  "weight" : 191.8,
  "bmi" : 27.77,
  "date" : "05/18/15",
  "time" : "23:59:59"
},{
  "logId" : 1499258640000, "weight" : 193.9, "bmi" : 28.08, "fat" : 24.0, "date" : "07/05/17", "time" : "12:44:00",
  "source" : "Aria"
},
{"logId": 3, "weight": NaN, "date": "07/32/17", "time": "12:44:00"},
"spoiled"
]"""
BODY = """Body
Date,Weight,BMI,Fat
"01-12-2019","70.1","22.1","0"
"13-12-2019","70.4","22.2","21.5"
"14-12-2019","70.4"
"

Activities
Date,Calories Burned,Steps,Distance
"01-12-2019","2,100","9","1"
"""
GARMIN = """\ufeffTime,Weight,Change,BMI,Body Fat,Skeletal Muscle Mass,Bone Mass,Body Water,
" Jul 18, 2026",
8:28 AM,80.0 kg,0.5 kg,25.0,18.0 %,35.0 kg,3.5 kg,61.0 %,
12:05 AM,80.4 kg,--,--,--,--,--,--,
" 21 Sep 2023",
17:08,176.4 lbs,0.9 kg,24.6,21.5 %,33.4 kg,5.1 kg,57.3 %,
06:19,--,--,--,--,--,--,--,
25:00,81.0 kg,--,--,--,--,--,--,
" 21 Okt 2023",
7:00,12 st 8 lb,--,--,--,--,--,--,
"""
APPLE_XML = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE HealthData [
<!-- HealthKit Export Version: 11 -->
<!ELEMENT HealthData (ExportDate,Me,(Record|Correlation|Workout|ActivitySummary|ClinicalRecord)*)>
<!ATTLIST HealthData
  locale CDATA #REQUIRED
>
]>
<HealthData locale="en_US">
 <ExportDate value="2022-01-01 10:00:00 +0100"/>
 <Record type="HKQuantityTypeIdentifierHeartRate" sourceName="Watch" unit="count/min" value="92"/>
 <Record type="HKQuantityTypeIdentifierBodyMass" sourceName="Health &amp; Mate" sourceVersion="5" unit="lb"
  creationDate="2021-12-11 18:04:48 -0700" startDate="2021-12-11 18:04:47 -0700" endDate="2021-12-11 18:04:47 -0700"
  value="180.2">
  <MetadataEntry key="HKWasUserEntered" value="1"/>
 </Record>
 <Record type="HKQuantityTypeIdentifierBodyMass" sourceName="Waage" unit="kg" startDate="soon" value="81.7"/>
 <Record type="HKQuantityTypeIdentifierBodyMass"/>
</HealthData>
"""
APPLE_CSV = """sourceName,sourceVersion,device,Type,unit,creationDate,startDate,endDate,value
"iPhone","14.3","<<HKDevice: 0x2>, name:iPhone>","HKQuantityTypeIdentifierStepCount","count",x,"2020-12-31",y,9
"Scale, new",,,HKQuantityTypeIdentifierBodyMass,kg,x,2020-12-31 17:19:06 -0500,y,80.5
Scale,,,BodyMass,lb,x,2021-01-02 07:00:00 +0000,y,177
Scale,,BodyMass,lb

"""
WITHINGS = """Date,"Weight (lb)","Fat mass (lb)","Bone mass (lb)","Muscle mass (lb)","Hydration (lb)",Comments
"2026-09-22 10:26:32",205.8,,,,,
"2009-12-31 23:00:33",243.0,,,,,
"""


class Case(NamedTuple):
    preset: str
    name: str
    text: str
    #: line, time, weight, unit, source
    entries: list[tuple[int, str | None, str | None, str | None, str | None]]
    #: line -> reason
    reasons: dict[int, str]


CASES = [
    Case(
        "fitbit",
        "weight-2015-05-18.json",
        TAKEOUT,
        [
            (1, "2015-05-18T23:59:59", "191.8", "lb", "fitbit"),
            (7, "2017-07-05T12:44:00", "193.9", "lb", "Aria"),
            (11, "07/32/17", "NaN", "lb", "fitbit"),
            (12, None, None, "lb", "fitbit"),
        ],
        {},
    ),
    Case(
        "fitbit",
        "weight.csv",
        BODY,
        [
            (3, "2019-12-01", "70.1", "kg", "fitbit"),
            (4, "2019-12-13", "70.4", "kg", "fitbit"),
            (5, None, None, None, None),
            (6, None, None, None, None),
        ],
        {5: "malformed_row", 6: "malformed_row"},
    ),
    Case(
        "garmin",
        "weight.csv",
        GARMIN,
        [
            (3, "2026-07-18T08:28:00", "80.0", "kg", "garmin"),
            (4, "2026-07-18T00:05:00", "80.4", "kg", "garmin"),
            (6, "2023-09-21T17:08:00", "176.4", "lbs", "garmin"),
            (7, "2023-09-21T06:19:00", None, None, "garmin"),
            (8, "25:00", "81.0", "kg", "garmin"),
            (9, None, None, None, None),
            (10, "7:00", "176", "lb", "garmin"),
        ],
        {9: "malformed_row"},
    ),
    Case(
        "apple",
        "weight.xml",
        APPLE_XML,
        [
            (12, "2021-12-11T18:04:47-07:00", "180.2", "lb", "Health & Mate"),
            (17, "soon", "81.7", "kg", "Waage"),
            (18, None, None, None, "apple"),
        ],
        {},
    ),
    Case(
        "apple",
        "weight.csv",
        APPLE_CSV,
        [
            (3, "2020-12-31T17:19:06-05:00", "80.5", "kg", "Scale, new"),
            (4, "2021-01-02T07:00:00+00:00", "177", "lb", "Scale"),
            (5, None, None, None, None),
        ],
        {5: "malformed_row"},
    ),
]


def look(text: str | bytes, name: str = "weight.csv", **options: Any) -> Any:
    data = text if isinstance(text, bytes) else text.encode()
    return recognise(name, data[:HEAD], ReadOptions(**options))


def read(reader: Reader, text: str | bytes) -> list[dict[str, Any]]:
    data = text if isinstance(text, bytes) else text.encode()
    rows = []
    for block in reader.read(io.BytesIO(data)):
        assert set(BLOCK_COLUMNS) <= set(block.columns)
        rows += block.to_dicts()
    return rows


@pytest.mark.parametrize("preset", ["auto", "by name"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("case", CASES, ids=[f"{case.preset}-{case.name}" for case in CASES])
def test_an_export_is_read_with_its_lines(case: Case, ends: str, preset: str) -> None:
    text = case.text.replace("\n", ends)
    reader = look(text, case.name, preset=case.preset if preset == "by name" else preset)
    assert isinstance(reader, Reader)
    assert reader.name == case.preset
    rows = read(reader, text)
    assert {row["user"] for row in rows} == {"weight"}
    found = [(row["line"], row["time"], row["weight"], row["unit"], row["source"]) for row in rows]
    assert found == case.entries
    assert {row["line"]: row["reason"] for row in rows if row["reason"]} == case.reasons
    assert all(row["row"] or row["line"] == 18 for row in rows)


@pytest.mark.parametrize(
    ("text", "column", "unit", "preset"),
    [
        (WITHINGS, "Weight (lb)", "lb", "withings"),
        (WITHINGS.replace("lb", "kg"), "Weight (kg)", "kg", "withings"),
        ("timestamp,weight grams,data source\n2026-05-27T05:33:27Z,93400,Scale\n", "weight grams", "g", "fitbit"),
    ],
)
def test_exports_that_are_tables(text: str, column: str, unit: str, preset: str) -> None:
    for name, options, user in (
        ("weight.csv.gz", {}, "weight"),
        ("weight_2026-05-01.csv", {"preset": preset}, "weight"),
        ("a/Jörg.csv", {}, "Jörg"),
        ("-", {"user": "me"}, "me"),
    ):
        dialect = look(text, name, **options)
        assert isinstance(dialect, Dialect)
        assert (dialect.name, dialect.columns.weight, dialect.unit, dialect.user) == (preset, column, unit, user)
        assert dialect.parse_time is None


def test_the_default_is_the_schema_of_the_original() -> None:
    text = "user_id,effectiveDateTime,source_type,weight,unit\nu,2025-01-31,d,70,kg\n"
    for options in ({}, {"preset": "raddle"}, {"user": "not asked for"}):
        dialect = look(text, **options)
        assert isinstance(dialect, Dialect)
        assert (dialect.columns, dialect.user, dialect.unit, dialect.parse_time) == (Columns(), None, None, None)
    assert look(text.replace(",", ";")).delimiter == ";"
    assert look("day,kg\n2025-01-31,70\n", columns=Columns(time="day", weight="kg"), user="me").user == "me"


def test_named_columns_and_days_are_no_preset() -> None:
    dialect = look(WITHINGS, columns=Columns(user="Comments", time="Date", weight="Weight (lb)"))
    assert dialect.name == "raddle"
    assert look(WITHINGS, time_unit="days").name == "raddle"
    assert look("user_id,type,unit,startDate,value\n").name == "raddle"


@pytest.mark.parametrize(
    ("text", "options", "hint"),
    [
        (WITHINGS, {"preset": "withing"}, "did you mean 'withings'"),
        (WITHINGS, {"preset": "garmin"}, "does not look like Garmin Connect's Weight.csv"),
        (b"PK\x03\x04rest", {}, "unpack it"),
        (b"PK\x03\x04rest", {"preset": "apple"}, "unpack it"),
    ],
)
def test_what_it_is_not_is_said(text: str | bytes, options: dict[str, str], hint: str) -> None:
    with pytest.raises(errors.ConfigError, match=hint):
        look(text, **options)


@pytest.mark.parametrize("text", [WITHINGS, GARMIN, APPLE_CSV, APPLE_XML, TAKEOUT, BODY])
def test_standard_input_has_no_name(text: str) -> None:
    with pytest.raises(errors.ConfigError, match="--user"):
        look(text, "-")


def test_binary_files_are_left_to_others() -> None:
    assert look(b"PAR1\x00\x00") is None
    assert look("user_id,weight".encode("utf-16")) is None
    with pytest.raises(errors.ConfigError, match="is UTF-16: save it as UTF-8"):
        look("user_id,effectiveDateTime,weight".encode("utf-16-le"))
    assert isinstance(look("user_id,effectiveDateTime,weight\n\x00\n"), Dialect)


def test_every_preset_takes_an_empty_file() -> None:
    for name in PRESETS:
        if name == "raddle":
            assert isinstance(look("", preset=name), Dialect)
        else:
            with pytest.raises(errors.ConfigError, match="does not look like"):
                look("", preset=name)


# Fitbit


def body(rows: str, **options: Any) -> list[dict[str, Any]]:
    text = f"Body\nDate,Weight,BMI,Fat\n{rows}"
    said: dict[str, Any] = {"unit": None, "date_order": None, **options}
    blocks = fitbit.read_body(io.BytesIO(text.encode()), path=Path("b.csv"), user="u", **said)
    return [row for block in blocks for row in block.to_dicts()]


@pytest.mark.parametrize(
    ("rows", "options", "time", "unit"),
    [
        ("2023-07-01,82.5,24.9,15.3\n", {}, "2023-07-01", "kg"),
        ("7/20/2020,154.0,22.1,0\n", {}, "2020-07-20", "lb"),
        ("20.7.2020,70,22.1,0\n", {}, "2020-07-20", "kg"),
        ("1/2/2020,70,22.1,0\n", {"date_order": "dmy"}, "2020-02-01", "kg"),
        ("1/2/2020,70,22.1,0\n", {"date_order": "mdy"}, "2020-01-02", "kg"),
        ("2023-07-01,180,0,0\n", {"unit": "lb"}, "2023-07-01", "lb"),
        ("2020/07/20,11.5,0,0\n", {"unit": "st"}, "2020-07-20", "st"),
    ],
)
def test_fitbit_tables_tell_their_unit_and_order(rows: str, options: Any, time: str, unit: str) -> None:
    (row,) = body(rows, **options)
    assert (row["time"], row["unit"]) == (time, unit)


@pytest.mark.parametrize(
    ("rows", "hint"),
    [
        ("1/2/2020,70,22.1,0\n", "--date-order"),
        ("1/13/2020,70,22.1,0\n13/1/2020,70,22.1,0\n", "several orders: say it with --date-order"),
        ("2023-07-01,180,0,0\n", "--unit"),
        ("2023-07-01,90,20.5,0\n", "--unit"),  # 2.10 m in kg or 1.41 m in lb
    ],
)
def test_fitbit_tables_that_do_not(rows: str, hint: str) -> None:
    with pytest.raises(errors.ConfigError, match=hint):
        body(rows)


def test_fitbit_json_whose_numbers_say_kilograms() -> None:
    text = '[{"logId": 1, "weight": 70.1, "bmi": 22.1, "date": "05/18/15"}]'
    reader = look(text, "weight.json")
    with pytest.raises(errors.ConfigError, match="--unit kg or --unit lb"):
        read(reader, text)
    said = fitbit.read_takeout(io.BytesIO(text.encode()), path=Path("w.json"), user="u", unit="kg")
    assert next(iter(said)).to_dicts()[0]["unit"] == "kg"


@pytest.mark.parametrize(
    "broken",
    [
        TAKEOUT[:200],
        TAKEOUT[:-3],
        '[{"logId": 1, "weight": ' + "[" * 100_000,
        '[{"logId": 1, "weight": 3} nonsense',
        '[{"logId": 1, "weight": "\xff"'.encode("latin-1"),
    ],
)
def test_fitbit_json_that_breaks_off(broken: str | bytes) -> None:
    reader = look(broken, "weight.json")
    with pytest.raises(errors.ConfigError, match=r"download (it|the file) again"):
        read(reader, broken)


# Apple


def xml(inner: str, prolog: str = "") -> list[dict[str, Any]]:
    text = f'<?xml version="1.0"?>{prolog}<HealthData>{inner}</HealthData>'
    return read(look(text, "export.xml", preset="apple"), text)


BOMB = '<!DOCTYPE HealthData [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE HealthData [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
RECORD = '<Record type="HKQuantityTypeIdentifierBodyMass" unit="kg" startDate="2020-01-01" value="70"/>'


@pytest.mark.parametrize("prolog", [BOMB, OUTSIDE])
def test_xml_with_entities_is_not_read(prolog: str) -> None:
    with pytest.raises(errors.ConfigError, match="declares XML entities"):
        xml("<Record/>", prolog)


@pytest.mark.parametrize(
    "inner",
    [RECORD + "&unknown;", RECORD + "<Record>", RECORD + '<Record a="1" a="2"/>', RECORD + "<!DOCTYPE x>", "\x00", "<"],
)
def test_xml_that_is_damaged_says_the_line(inner: str) -> None:
    with pytest.raises(errors.ConfigError, match=r"not well-formed XML in line 1 .*export it again"):
        xml(inner)


def test_xml_without_its_end_or_root() -> None:
    reader = look(APPLE_XML, "export.xml")
    with pytest.raises(errors.ConfigError, match="not well-formed XML in line 17"):
        read(reader, APPLE_XML[: APPLE_XML.index("Waage")])
    with pytest.raises(errors.ConfigError, match="no <HealthData>"):
        read(reader, APPLE_XML.replace("<HealthData", "<Other"))


def test_a_dtd_that_is_itself_damaged_does_no_harm() -> None:
    # as some versions of iOS write it
    rows = xml(RECORD, "<!DOCTYPE HealthData [\n<!ATTLIST Me\n key CDATA #REQUIRED #IMPLIED>\n<!ELEMENT >\n]>")
    assert [(row["line"], row["weight"]) for row in rows] == [(5, "70")]


def test_a_tag_without_end_is_given_up() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            self.given += 1
            return b'<HealthData><Record a="' if self.given == 1 else b"x" * size

    endless = Endless()
    with pytest.raises(errors.ConfigError, match="element of over 32 MB"):
        list(apple.read_xml(endless, path=Path("export.xml"), user="u"))  # type: ignore[arg-type]
    assert endless.given < 50


def test_many_records_come_in_blocks() -> None:
    count = 70_000
    text = "<?xml version='1.0'?>\n<HealthData>\n" + f"{RECORD}\n" * count + "</HealthData>"
    sizes = [len(block) for block in look(text, "export.xml").read(io.BytesIO(text.encode()))]
    assert sum(sizes) == count
    assert len(sizes) == 3


# lines


def test_lines_that_are_no_lines() -> None:
    long = b"8:00 AM," + b"x" * 300_000 + b",80 kg\n"
    bad = "8:00 AM,80 kg,J\xf6rg\n".encode("latin-1")
    text = GARMIN.encode() + long + bad + b'9:00 AM,"80 kg\n' + b'" Jul 18, 2026"\n9:00 AM,80 kg,,,,,,,'
    rows = read(look(text), text)
    assert [(row["line"], row["reason"]) for row in rows[-4:]] == [
        (11, "malformed_row"),
        (12, "bad_encoding"),
        (13, "malformed_row"),
        (15, None),
    ]
    assert len(rows[-4]["row"]) < 2000
    assert rows[-4]["row"].endswith(" bytes more")


@pytest.mark.parametrize(
    ("height", "kilograms", "unit"),
    [(1.75, 70, "kg"), (1.45, 60, "kg"), (1.95, 95, "kg"), (1.75, 154, "lb"), (1.55, 130, "lb"), (2.15, 90, None)],
)
def test_a_unit_is_told_by_the_body_mass_index(height: float, kilograms: float, unit: str | None) -> None:
    in_kilograms = kilograms / 2.2046226 if unit == "lb" else kilograms
    pairs = [(str(kilograms), f"{in_kilograms / height**2:.1f}")] * 3
    assert exports.unit_by_bmi([*pairs, ("", ""), ("70", "0"), (None, None), ("x", "y")]) == unit


# times


@pytest.mark.parametrize(
    ("text", "order", "iso"),
    [
        ("31/1/2025", "dmy", "2025-01-31"),
        ("1/31/2025 7:05 PM", "mdy", "2025-01-31T19:05:00"),
        ("1/31/25, 12:05 a.m.", "mdy", "2025-01-31T00:05:00"),
        ("01.02.2025 07:05:09.25", "dmy", "2025-02-01T07:05:09.25"),
        ("2025/01/31 07:05:09+0130", "ymd", "2025-01-31T07:05:09+01:30"),
        ("2025/1/3T07:05:09Z", "ymd", "2025-01-03T07:05:09Z"),
        ("5/18/69", "mdy", "2069-05-18"),
        ("5/18/70", "mdy", "1970-05-18"),
        ("2025-01-31T07:05:09.5Z", "dmy", "2025-01-31T07:05:09.5Z"),  # ISO stays
        ("2025-1-3", "ymd", "2025-01-03"),
        ("30/6/2015 23:59:60", "dmy", "2015-06-30T23:59:60"),  # refused by others, as a leap second
        ("30/6/2015 23:60:00", "dmy", None),
        ("31/1/2025", "mdy", None),
        ("30/2/2025", "dmy", None),
        ("31/1-2025", "dmy", None),
        ("2025/01/31", "dmy", None),
        ("1/31/2025 25:00", "mdy", None),
        ("1/31/2025 13:00 PM", "mdy", None),
        ("1/31/2025 soon", "mdy", None),
        ("", "mdy", None),
        ("\u0661/\u0661/2025", "mdy", None),
        ("Jan 3, 2025", "mdy", None),
    ],
)
def test_times_of_three_numbers(text: str, order: times.DateOrder, iso: str | None) -> None:
    assert times.to_iso(text, order) == iso


@pytest.mark.parametrize(
    ("text", "day"),
    [
        (" Jan 3, 2023", (2023, 1, 3)),
        ("September 30, 2023", (2023, 9, 30)),
        ("21 Sept 2023", (2023, 9, 21)),
        ("Feb 30, 2023", None),
        ("Okt 3, 2023", None),
        ("3 2023", None),
    ],
)
def test_days_with_the_name_of_a_month(text: str, day: tuple[int, int, int] | None) -> None:
    assert times.named_date(text) == day


@given(
    day=st.dates(date(1970, 1, 1), date(2069, 12, 31)), order=st.sampled_from(["ymd", "mdy", "dmy"]), two=st.booleans()
)
def test_a_day_comes_back_whatever_the_order(day: date, order: times.DateOrder, two: bool) -> None:
    parts = {"y": f"{day:%y}" if two else f"{day:%Y}", "m": str(day.month), "d": str(day.day)}
    assert times.to_iso("/".join(parts[letter] for letter in order), order) == day.isoformat()


@given(days=st.lists(st.dates(date(1900, 1, 1)), min_size=1), order=st.sampled_from(["ymd", "mdy", "dmy"]))
def test_the_order_is_right_or_asked_for(days: list[date], order: times.DateOrder) -> None:
    parts = [{"y": str(day.year), "m": str(day.month), "d": str(day.day)} for day in days]
    texts = ["/".join(part[letter] for letter in order) for part in parts]
    if order == "ymd" or any(day.day > 12 for day in days):
        assert times.decided_order(texts, where="f") == order
    else:
        with pytest.raises(errors.ConfigError, match="--date-order"):
            times.decided_order(texts, where="f")


def test_dates_of_a_table() -> None:
    table = "user_id,effectiveDateTime,weight\nu,{},70\nu,NULL,70\nu,2/3/2025 7:00,70\n"
    parse = look(table.format("31/1/2025")).parse_time
    assert parse("2/3/2025 7:00") == "2025-03-02T07:00:00"
    assert look(table.format("1/31/2025")).parse_time("2/3/2025") == "2025-02-03"
    assert look(table.format("2025-01-31")).parse_time is None  # a file with ISO times: the others are bad rows
    assert look("user_id,effectiveDateTime,weight\nu,2025/01/31,70\n").parse_time("2025/02/03") == "2025-02-03"
    with pytest.raises(
        errors.ConfigError, match=r"'effectiveDateTime' does not say which number is the month.*--date-order"
    ):
        look(table.format("1/2/2025"))
    with pytest.raises(errors.ConfigError, match=r"years of two digits.*--date-order"):
        look("user_id,effectiveDateTime,weight\nu,25/1/31,70\n")
    with pytest.raises(errors.ConfigError, match="several orders"):
        look(table.format("31/1/2025") + "u,1/31/2025,70\n")
