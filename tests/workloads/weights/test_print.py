"""Printing: by a stand-in for the browser that does what it is told, and once by a real one where there is one."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

from raddle.errors import ConfigError
from raddle.workloads.weights.files import page_name
from raddle.workloads.weights.pages.print_pages import BROWSERS, print_pages, print_users

# prints what the page is called; `hang` and `half` do what their names say, `fail` says why not, `nothing` is silent
FAKE = """#!/bin/sh
for word; do
  case $word in
    --print-to-pdf=*|--screenshot=*) to=${word#*=} ;;
    --user-data-dir=*) profile=${word#*=} ;;
  esac
  page=${word##*/}
done
mkdir -p "$profile" || exit 9
case $page in
  *hang*) sleep 600 ;;
  *half*) printf '%%PDF-1.4 and then' > "$to" ;;
  *fail*) echo 'no display today' >&2; exit 3 ;;
  *nothing*) ;;
  *ruler.html) echo '<title>2345</title>' ;;
  *) case $to in
       *.pdf) printf '%%PDF-1.4 %s\\n%%%%EOF\\n' "$page" > "$to" ;;
       *) printf '\\211PNG %s IEND1234' "$*" > "$to" ;;
     esac ;;
esac
"""


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    path = tmp_path / "browser"
    path.write_text(FAKE)
    path.chmod(0o755)
    return path


def pages_in(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.html").write_text(f"<title>{name}</title><p>{name}")
    return [folder / f"{name}.html" for name in names]


def test_a_page_that_fails_does_not_stop_the_others(tmp_path: Path, fake: Path) -> None:
    pages = [*pages_in(tmp_path, "a", "hang", "half", "fail", "nothing", "b"), tmp_path / "gone.html"]
    out = tmp_path / "out"
    done = {item.page.stem: item for item in print_pages(pages, out, format="pdf", workers=4, timeout=5, browser=fake)}
    assert list(done) == ["a", "hang", "half", "fail", "nothing", "b", "gone"]
    assert [item.file for item in done.values() if item.file] == [out / "a.pdf", out / "b.pdf"]
    assert sorted(path.name for path in out.iterdir()) == ["a.pdf", "b.pdf"]
    assert (out / "a.pdf").read_bytes().startswith(b"%PDF-1.4 a.html")
    assert "timeout=5: not printed by then; give more seconds" in done["hang"].error
    assert "wrote no pdf, exit code 0" in done["half"].error
    assert "exit code 3: no display today" in done["fail"].error
    assert "there is no such page" in done["gone"].error


def test_a_picture_is_as_tall_as_its_page(tmp_path: Path, fake: Path) -> None:
    out = tmp_path / "out"
    print_pages(pages_in(tmp_path, "a"), out, format="png", workers=1, browser=fake)
    said = (out / "a.png").read_bytes()
    assert b"--window-size=1280,2345" in said
    assert b"--force-device-scale-factor=2" in said


def test_an_earlier_file_stays_until_there_is_a_new_one(tmp_path: Path, fake: Path) -> None:
    pages = pages_in(tmp_path, "a", "half")
    for page in pages:
        page.with_suffix(".pdf").write_text("before")
    print_pages(pages, tmp_path, format="pdf", workers=1, browser=fake)
    assert pages[0].with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert pages[1].with_suffix(".pdf").read_text() == "before"


def test_pages_of_one_name_are_told_apart(tmp_path: Path, fake: Path) -> None:
    pages = [*pages_in(tmp_path / "run", "index"), *pages_in(tmp_path / "run/users", "index", "b")]
    done = print_pages(pages, tmp_path / "out", format="pdf", workers=1, browser=fake)
    assert [item.file.name for item in done if item.file] == ["run-index.pdf", "users-index.pdf", "b.pdf"]
    with pytest.raises(ConfigError, match=r"two would be printed to run-index.pdf; print them to different folders"):
        print_pages([pages[0], pages[0]], tmp_path / "out", format="pdf", workers=1, browser=fake)


def test_pages_of_users(tmp_path: Path, fake: Path) -> None:
    run, into = tmp_path / "run", tmp_path / "out"
    pages_in(run, "index", "population")
    pages_in(run / "users", "a", page_name("B/c").removesuffix(".html"))
    assert print_users(run, [], into, format="pdf", workers=2, browser=fake) == (4, [])
    assert len(list(into.iterdir())) == 4
    shutil.rmtree(into)
    done, failed = print_users(run, ["B/c", "B/c", "nobody"], into, format="pdf", workers=1, browser=fake)
    assert (done, [Path(page).name for page, _ in failed]) == (1, ["nobody.html"])
    assert [path.name for path in into.iterdir()] == [page_name("B/c").replace(".html", ".pdf")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"browser": Path("/no/such/program")}, "browser=/no/such/program: there is no such program; give the path"),
        ({"timeout": -1.0}, "timeout=-1.0: give seconds above 0"),
        ({"format": "gif"}, "format='gif': give 'pdf' or 'png'"),
    ],
)
def test_what_cannot_work_says_what_would(tmp_path: Path, fake: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        print_pages([], tmp_path, **{"format": "pdf", "browser": fake, **options})


def test_a_run_without_pages_says_so(tmp_path: Path, fake: Path) -> None:
    with pytest.raises(ConfigError, match="there are no pages; give the --output of a run that drew them"):
        print_users(tmp_path, [], tmp_path, format="pdf", browser=fake)


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path, fake: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write there"):
        print_pages([], tmp_path / "file/out", format="pdf", browser=fake)


@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no Chromium or Chrome here")
def test_a_real_browser(tmp_path: Path) -> None:
    (page,) = pages_in(tmp_path, "a")
    page.write_text('<body style="margin:0;height:1500px"><p id=p><script>p.textContent = "drawn"</script>')
    for kind in ("pdf", "png"):
        (done,) = print_pages([page], tmp_path / "out", format=kind, workers=1, timeout=120)  # type: ignore[arg-type]
        assert done.error == ""
    assert (tmp_path / "out/a.pdf").read_bytes().startswith(b"%PDF-")
    picture = (tmp_path / "out/a.png").read_bytes()
    assert struct.unpack(">II", picture[16:24]) == (2560, 3000)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.pdf", "a.png"]
