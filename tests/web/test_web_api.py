"""The journals as JSON: what is there, what is not, and who may ask."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from raddle.errors import ConfigError
from raddle.journal.history import History
from raddle.web.app import make_app
from raddle.web.guard import csrf_token
from raddle.web.pages import shown
from raddle.web.settings import Settings, is_loopback

HOSTILE = "<img src=x onerror=\"alert('label')\">&amp;</script>"


def client_of(*journals: Path, host: str = "127.0.0.1", **options: Any) -> TestClient:
    settings = Settings(journals=journals, **options)
    client = TestClient(make_app(settings), base_url=f"http://{host}:8765", follow_redirects=False)
    client.headers["x-raddle-csrf"] = csrf_token(settings)
    return client


def uid_of(path: Path, name: str) -> str:
    run = History(path).run(name)
    assert run is not None
    return run.uid


# ------------------------------------------------------------------------------------------------------- reading


def test_runs(journal: Path) -> None:
    (state,) = client_of(journal).get("/api/runs").json()
    assert (state["journal"], state["problem"]) == (0, None)
    assert [(run["name"], run["state"], run["done"], run["total"]) for run in state["runs"]] == [
        ("good", "ended", 5, 5),
        (HOSTILE, "ended", 12, 12),
    ]
    assert state["runs"][1]["counts"] == {"ok": 8, "failed": 4, "timed_out": 0, "crashed": 0}
    assert state["runs"][0]["eta"] is None
    assert state["runs"][0]["rate"] > 0


@pytest.mark.parametrize(
    ("query", "positions"),
    [
        ("", list(range(12))),
        ("?status=failed", [0, 3, 6, 9]),
        ("?status=crashed", []),
        ("?search=bad", [0, 3, 6, 9]),
        ("?search=10+", [10]),
        ("?status=failed&error_type=ValueError", [0, 3, 6, 9]),
        ("?error_type=KeyError", []),
        ("?limit=500&order=position", list(range(12))),
    ],
)
def test_items(journal: Path, query: str, positions: list[int]) -> None:
    answer = client_of(journal).get(f"/api/journals/0/runs/{uid_of(journal, HOSTILE)}/items{query}").json()
    assert sorted(row["position"] for row in answer["rows"]) == positions
    assert all("traceback" not in row for row in answer["rows"])


@pytest.mark.parametrize("order", ["recorded", "newest", "slowest", "position"])
def test_pages_hold_each_item_once(journal: Path, order: str) -> None:
    client, base = client_of(journal), f"/api/journals/0/runs/{uid_of(journal, HOSTILE)}/items"
    seen, cursor = [], None
    while True:
        asked = {"order": order, "limit": 5} | ({"cursor": cursor} if cursor else {})
        answer = client.get(base, params=asked).json()
        seen += [row["position"] for row in answer["rows"]]
        cursor = answer["cursor"]
        if cursor is None:
            break
    assert sorted(seen) == list(range(12))


def test_one_item_and_what_went_wrong(journal: Path) -> None:
    client, base = client_of(journal), f"/api/journals/0/runs/{uid_of(journal, HOSTILE)}"
    row = client.get(f"{base}/items?status=failed").json()["rows"][0]
    item = client.get(f"{base}/items/{row['id']}").json()
    assert "ValueError" in item["traceback"]
    assert HOSTILE in item["error_message"]
    told = client.get(f"{base}/problems").json()
    (group,) = told["failures"]
    assert (group["status"], group["count"], told["retried"]) == ("failed", 4, {"failed": 4})
    assert "Traceback" in group["traceback"]
    assert len(told["slowest"]) == 10


def test_activity_and_facts(journal: Path) -> None:
    client, base = client_of(journal), f"/api/journals/0/runs/{uid_of(journal, HOSTILE)}"
    activity = client.get(f"{base}/activity").json()
    assert sum(bucket["ok"] for bucket in activity["buckets"]) == 8
    assert sum(bucket["not_ok"] for bucket in activity["buckets"]) == 4
    assert len(activity["spans"]) == 16
    assert activity["under_way"] == []
    facts = client.get(base).json()
    assert facts["command"] is None
    assert facts["why_no_retry"] == "needs --allow-actions"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/journals/7/runs/{uid}", 404),
        ("/api/journals/0/runs/" + "0" * 32, 404),
        ("/api/journals/0/runs/nothing", 422),
        ("/api/journals/0/runs/{uid}/items/999999", 404),
        ("/api/journals/0/runs/{uid}/items?status=odd", 422),
        ("/api/journals/0/runs/{uid}/items?limit=0", 422),
        ("/api/journals/0/runs/{uid}/items?cursor=nonsense", 400),
        ("/runs/7/{uid}", 404),
        ("/static/../app.py", 404),
        ("/static/app.py", 404),
        ("/static/style.css", 200),
        ("/static/plotly.min.js", 200),
        ("/runs/0/{uid}", 200),
        ("/", 200),
    ],
)
def test_answers(journal: Path, path: str, status: int) -> None:
    answer = client_of(journal).get(path.replace("{uid}", uid_of(journal, "good")))
    assert answer.status_code == status, answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "script-src 'self';" in answer.headers["content-security-policy"]


def test_nothing_in_a_page_runs_inline_or_comes_from_elsewhere(journal: Path, tmp_path: Path) -> None:
    named = tmp_path / "<script>alert(1)<script>.db"
    shutil.copy(journal, named)
    client = client_of(named, journal, allow_actions=True)
    for path in ("/", f"/runs/0/{uid_of(journal, 'good')}"):
        text = client.get(path).text
        assert "<script>" not in text
        assert not re.search(r"\son\w+=", text)
        assert not re.search(r"""(src|href)=["'](?!/|#)""", text)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_bytes(b""), "no run yet"),
        (lambda path: path.write_bytes(b"nothing" * 1000), "not a journal"),
        (lambda path: path.mkdir(), "is a folder"),
        (None, "newer raddle"),
    ],
)
def test_a_journal_that_cannot_be_read_is_told_and_recovers(
    journal: Path, tmp_path: Path, make: Any, said: str
) -> None:
    path = tmp_path / "runs.db"
    if make is None:
        shutil.copy(journal, path)
        _newer(path)
    else:
        make(path)
    client = client_of(path)
    assert said in client.get("/api/runs").json()[0]["problem"]
    base = f"/api/journals/0/runs/{uid_of(journal, 'good')}"
    for route in ("", "/items", "/activity", "/problems", "/items/1"):
        answer = client.get(base + route)
        assert (answer.status_code, said in answer.json()["detail"]) == (503, True)
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    shutil.copy(journal, path)
    assert client.get("/api/runs").json()[0]["problem"] is None
    assert client.get(base).status_code == 200


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("PRAGMA user_version = 999")


# -------------------------------------------------------------------------------------------------- who may ask


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8765", True),
        ("localhost:9", True),
        ("[::1]:8765", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("192.168.0.9:8765", False),
        ("", False),
        ("[", False),
    ],
)
def test_host_names(journal: Path, host: str, known: bool) -> None:
    assert client_of(journal).get("/api/journals", headers={"host": host}).status_code == (200 if known else 421)


@pytest.mark.parametrize(("host", "known"), [("192.168.0.9:8765", True), ("evil.example", False)])
def test_with_a_token_an_address_is_no_rebound_name(journal: Path, host: str, known: bool) -> None:
    headers = {"host": host, "authorization": "Bearer secret"}
    answer = client_of(journal, token="secret").get("/api/journals", headers=headers)
    assert answer.status_code == (200 if known else 421)


def test_token_by_header_and_by_cookie(journal: Path) -> None:
    client = client_of(journal, token="s/e cret+")
    assert client.get("/api/runs").status_code == 401
    assert client.get("/api/runs", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/api/runs", headers={"authorization": "Bearer s/e cret+"}).status_code == 200
    assert client.get("/?token=wrong").status_code == 401
    denied = client.get("/", headers={"accept": "text/html"})
    assert (denied.status_code, "A token is needed" in denied.text) == (401, True)
    moved = client.get("/", params={"token": "s/e cret+", "find": "x y"})
    assert (moved.status_code, moved.headers["location"]) == (303, "/?find=x+y")
    cookie = moved.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "cret" not in cookie
    assert client.get("/").status_code == 200
    elsewhere = client.get("http://127.0.0.1:8765//evil.example/", params={"token": "s/e cret+"})
    assert elsewhere.headers["location"] == "/evil.example/"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 409),
        ({"origin": "http://127.0.0.1:8765"}, 409),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"x-raddle-csrf": "wrong"}, 403),
        ({"x-raddle-csrf": ""}, 403),
    ],
)
@pytest.mark.parametrize("what", ["retry", "cancel"])
def test_what_changes_something_comes_from_the_page_itself(
    journal: Path, what: str, headers: dict[str, str], status: int
) -> None:
    path = f"/api/journals/0/runs/{uid_of(journal, 'good')}/{what}"
    assert client_of(journal, allow_actions=True).post(path, headers=headers).status_code == status
    assert client_of(journal).post(path, headers=headers).status_code == 403


@pytest.mark.parametrize(("host", "is_one"), [("::1", True), ("127.9.9.9", True), ("0.0.0.0", False), ("a.b", False)])
def test_loopback(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"host": "0.0.0.0"}, "--host=0.0.0.0: .*--token-env"),
        ({"port": 70000}, "--port=70000: must be"),
        ({"token": "\u00fc"}, "ASCII"),
    ],
)
def test_settings_that_cannot_work(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Settings(journals=(tmp_path,), **options)


def test_text_of_every_colour_can_be_read_on_every_ground() -> None:
    style = files("raddle.web").joinpath("static", "style.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    palettes = [dict(re.findall(r"--([\w-]+): (#\w+)", block)) for block in blocks]
    assert len(palettes) == 2
    texts = ("text", "dim", "link", "ok", "failed", "timed_out", "crashed", "accent", "cancelled", "interrupted")
    pairs = [(text, ground) for text in texts for ground in ("card", "page", "hover")] + [("warn-text", "warn")]
    for palette in palettes:
        light = {name: luminance(colour) for name, colour in palette.items()}
        poor = [(a, b) for a, b in pairs if (max(light[a], light[b]) + 0.05) / (min(light[a], light[b]) + 0.05) < 4.5]
        assert not poor  # WCAG 2, 1.4.3


def luminance(colour: str) -> float:
    """As WCAG 2 defines it, of "#rgb" or "#rrggbb"."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/a/runs.db"], ["runs.db"]),
        (["/a/runs.db", "/a/other.db"], ["runs.db", "other.db"]),
        (["/a/x/runs.db", "/b/x/runs.db", "/b/y/runs.db"], ["a/x/runs.db", "b/x/runs.db", "y/runs.db"]),
        (["/runs.db", "/b/runs.db"], ["/runs.db", "b/runs.db"]),
    ],
)
def test_journals_of_one_name_are_told_apart(paths: list[str], names: list[str]) -> None:
    told = shown(list(map(Path, paths)))
    assert [each["name"] for each in told] == names
    assert [each["path"] for each in told] == paths


def test_figures_that_are_no_numbers_are_null(journal: Path, tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with closing(sqlite3.connect(journal)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
        target.execute("UPDATE outcome SET seconds = 9e999")
        target.commit()
    answer = client_of(path).get(f"/api/journals/0/runs/{uid_of(path, 'good')}/items")
    assert {row["seconds"] for row in json.loads(answer.content)["rows"]} == {None}
