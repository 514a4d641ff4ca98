"""results.parquet and its JSON: what they say, in bounded memory, in the same bytes however the work was cut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pl = pytest.importorskip("polars")
pytest.importorskip("orjson")
sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from store_parts import SOURCES, part_of, people, revised_of, rows_of  # noqa: E402

from raddle.workloads.weights.store import results  # noqa: E402
from raddle.workloads.weights.store.export import write_json  # noqa: E402
from raddle.workloads.weights.store.results import write_results  # noqa: E402
from raddle.workloads.weights.values import DAY, FIELDS, RESETS, STAGES  # noqa: E402

COLUMNS = [
    *("line", "user_id", "time", "weight_kg", "source", "stage", "accepted", "filtered_weight", "trend", "sigma"),
    *("trend_sigma", "innovation", "allowed", "restart", "quality", "safety", "plausibility", "consistency"),
    *("reliability", "file", "revised_stage", "revised_filtered_weight", "smoothed_weight", "smoothed_sigma"),
]


def test_columns_and_rows(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    part = part_of({"a": [rows_of("a", 1, count=9)], "é/b": [rows_of("b", 1, count=30)]})
    revised = revised_of(part, 4)
    counts = write_results(path, [(part, revised)], days=False)
    live, chunk = part.filtered, part.chunk
    assert counts == {name: int((live.stage == code).sum()) for code, name in enumerate(STAGES)}
    frame = pl.read_parquet(path)
    assert frame.columns == COLUMNS
    assert frame.schema["time"] == pl.Datetime("us", "UTC")
    assert frame["user_id"].to_list() == ["a"] * 9 + ["é/b"] * 30
    assert frame["time"].to_physical().to_list() == chunk.time.tolist()
    for name, column in (("line", chunk.line), ("file", chunk.file), ("weight_kg", live.weight)):
        assert frame[name].to_list() == column.tolist()
    for name, column in zip(FIELDS, live.out, strict=True):
        assert frame[name].to_list() == [None if np.isnan(value) else value for value in column.tolist()]
    assert frame["source"].to_list() == [SOURCES[code] for code in chunk.source]
    assert frame["stage"].to_list() == [STAGES[code] for code in live.stage]
    assert frame["restart"].to_list() == [RESETS[code] for code in live.reset]
    assert frame["accepted"].to_list() == (live.stage <= 1).tolist()
    assert frame["revised_stage"].to_list() == [None] * 4 + ["retrospective"] + [None] * 34
    assert frame["revised_filtered_weight"].to_list() == [None] * 4 + [70.0] + [None] * 34


def test_fresh_rows_only_in_order_of_time(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    rows = [rows_of("a", file, count=20) for file in (1, 2)]
    rows[1]["time"][:10] = rows[0]["time"][:10]
    rows[1]["time"][3:6] = rows[1]["time"][3]
    part = part_of({"a": rows, "b": [rows_of("b", 2, count=8)]}, fresh=2, by_time=False)
    counts = write_results(path, [(part, None)], days=True)
    frame = pl.read_parquet(path)
    assert frame.height == 28 == sum(counts.values())
    assert frame.schema["time"] == pl.Float64
    assert set(frame["file"]) == {2}
    keys = list(frame.select("user_id", "time", "file", "line").iter_rows())
    assert keys == sorted(keys)
    assert frame.filter(user_id="a")["time"].to_list() == sorted((rows[1]["time"] / DAY).tolist())
    by_line = dict(zip(part.chunk.line[part.fresh].tolist(), part.filtered.weight[part.fresh].tolist(), strict=True))
    assert dict(frame.filter(user_id="a").select("line", "weight_kg").iter_rows()).items() <= by_line.items()
    assert frame["revised_stage"].null_count() == 28
    assert frame.schema["revised_stage"] == pl.String


def test_nothing_to_write(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    assert sum(write_results(path, [], days=False).values()) == 0
    assert pl.read_parquet(path).shape == (0, len(COLUMNS))
    old = part_of({"a": [rows_of("a", 1, count=3)]}, fresh=2)
    assert sum(write_results(path, [(old, None)], days=False).values()) == 0
    assert pl.read_parquet(path).shape == (0, len(COLUMNS))
    assert write_json(tmp_path / "results.json", path, {}) == 0
    assert json.loads((tmp_path / "results.json").read_text()) == {"stats": {}, "users": {}}


def test_what_goes_wrong_in_a_part_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    def every() -> Any:
        yield part_of(people(3)), None
        raise OSError("the part is gone")

    with pytest.raises(OSError, match="the part is gone"):
        write_results(tmp_path / "results.parquet", every(), days=False)
    assert not list(tmp_path.iterdir())


# Cut as the workers cut it, written by as many threads as given: a digest of the file on the last line.
PROGRAM = """
import sys
from hashlib import sha256
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from store_parts import part_of, people, revised_of
from raddle.workloads.weights.store import results
results._GROUP = 1000
everyone = list(people(300).items())
size = int(sys.argv[3])
def parts():
    for at in range(0, 300, size):
        part = part_of(dict(everyone[at:at + size]))
        at_users = [part.chunk.users.index(name) for name in part.chunk.users if name.startswith("user 00042")]
        yield part, revised_of(part, int(part.chunk.starts[at_users[0]]) + 2) if at_users else None
path = Path(sys.argv[2])
results.write_results(path, parts(), days=False)
print(sha256(path.read_bytes()).hexdigest())
"""


def test_same_bytes_whatever_the_chunks_and_threads(tmp_path: Path) -> None:
    found = set()
    for threads, size, seed in ((1, 300, "0"), (2, 7, "1"), (4, 64, "2")):
        argv = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), str(tmp_path / "r.parquet"), str(size)]
        given = os.environ | {"POLARS_MAX_THREADS": str(threads), "PYTHONHASHSEED": seed}
        done = subprocess.run(argv, env=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1
    frame = pl.read_parquet(tmp_path / "r.parquet")
    assert frame["revised_stage"].count() == 1
    assert frame.height == sum(20 + number % 5 for number in range(300))


def test_parts_are_taken_one_by_one(tmp_path: Path) -> None:
    """Memory does not grow with the parts."""
    made: list[weakref.ref[Any]] = []
    most = 0

    def every() -> Any:
        nonlocal most
        for _ in range(150):
            part = part_of({"a": [rows_of("a", 1, count=1900)]})
            made.append(weakref.ref(part.filtered.out))
            most = max(most, sum(array() is not None for array in made))
            yield part, None

    counts = write_results(tmp_path / "results.parquet", every(), days=False)
    assert sum(counts.values()) == 150 * 1900 > 2 * results._GROUP
    assert most <= 3, "the arrays of a part go when its frame is made"


def test_json_has_the_shape_of_the_original(tmp_path: Path) -> None:
    path, out = tmp_path / "results.parquet", tmp_path / "results.json"
    hostile = '</script>"\\\u2028\x01'
    part = part_of({hostile: [rows_of("a", 1, count=9)], "z": [rows_of("b", 1, count=3)]})
    part.filtered.stage[1:3] = 2, 1
    part.filtered.reset[1:3] = 0, 2
    part.filtered.out[2, 0] = np.nan
    write_results(path, [(part, revised_of(part, 4))], days=False)
    assert write_json(out, path, {"total_rows": 12, "accepted": 7}) == 12
    said = json.loads(out.read_text())
    assert list(said) == ["stats", "users"]
    assert said["stats"] == {"total_rows": 12, "accepted": 7}
    assert {user: len(rows) for user, rows in said["users"].items()} == {hostile: 9, "z": 3}
    first, second, third = said["users"][hostile][:3]
    when = str(part.chunk.time[0].astype("M8[us]"))
    assert first["timestamp"] == f"{when.removesuffix('.000000')}+00:00"
    assert (first["stage"], first["accepted"]) == ("initialization", True)
    assert first["reset_event"] == {"type": "first reading"}
    # what is not known is left out
    assert not {"quality_score", "quality_components", "kalman_variance", "rejected"} & first.keys()
    live = part.filtered
    assert (second["rejected"], second["accepted"], second["raw_weight"]) == (True, False, live.weight[1])
    assert second["quality_components"] == dict(zip(FIELDS[7:], live.out[7:, 1].tolist(), strict=True))
    weight, trend, sigma = live.out[:3, 2].tolist()
    assert third["reset_event"] == {"type": "gap"}
    assert third["trend_weekly"] == pytest.approx(7 * trend)
    assert third["kalman_confidence_upper"] == pytest.approx(weight + 2 * sigma)
    assert third["kalman_confidence_lower"] == pytest.approx(weight - 2 * sigma)
    assert said["users"][hostile][4]["revised_stage"] == "retrospective"
    # a user's rows on lines of their own: for people with grep
    assert len(out.read_bytes().split(b"\n")) == 17


def test_json_in_days_and_longer_than_a_slice(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    everyone = people(2000, rows=10)
    write_results(path, [(part_of(everyone, days=True), None)], days=True)
    count = write_json(tmp_path / "a.json", path, {"x": 1})
    users = json.loads((tmp_path / "a.json").read_text())["users"]
    assert count == sum(map(len, users.values())) == sum(10 + number % 5 for number in range(2000)) > 20_000
    assert list(users) == list(everyone)
    assert "timestamp" not in users["user 00000/'é"][0]
    frame = pl.read_parquet(path)
    assert [row["time"] for rows in users.values() for row in rows] == frame["time"].to_list()
