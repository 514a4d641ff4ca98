"""Pages for people who print: each opened by an installed Chromium or Chrome, and saved as PDF or PNG."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from subprocess import TimeoutExpired  # what run_process raises
from typing import TYPE_CHECKING, Any, Final, Literal

import raddle
from raddle import errors
from raddle.workloads.weights.files import page_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from subprocess import CompletedProcess

__all__ = ["BROWSERS", "Printed", "print_pages", "print_users"]

Format = Literal["pdf", "png"]

#: names under which browsers of this family are installed; the first that is found is used
BROWSERS: Final = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "chrome-headless-shell",
    "microsoft-edge",
)

_SIGNS: Final = {"pdf": b"%PDF-", "png": b"\x89PNG"}
_WIDTH: Final = 1280  # CSS pixels; printed, a page takes the width of the paper
_HEIGHT: Final = 1000
_TALLEST: Final = 8_000  # at double density the tallest picture that browsers make
_SPARE_S: Final = 5.0  # the browser is ended at the timeout; so long after it the page is given up, tidied up or not
_PATIENCE_MS: Final = 15_000  # of the page's own clock, which runs as fast as the page draws
#: says in its title how tall a page is. Files may look into each other here, in a profile that sees only our own
_MEASURE: Final = Template("""<!doctype html><title>?</title><body style="margin:0">
<iframe id="page" src="$page" style="border:0;width:${width}px;height:${height}px"></iframe>
<script>onload = () => setTimeout(() => {
document.title = document.getElementById("page").contentDocument.documentElement.scrollHeight; }, 1000)</script>""")


@dataclass(frozen=True, slots=True)
class Printed:
    """What became of one page."""

    page: Path
    #: None: it could not be printed
    file: Path | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Sheet:
    page: Path
    file: Path
    format: Format
    browser: str
    #: seconds for the page
    timeout: float


def print_pages(
    pages: Sequence[Path],
    out: Path,
    *,
    format: Format,  # noqa: A002 - as the option is called
    workers: int = 0,
    timeout: float = 60.0,
    browser: Path | None = None,
) -> list[Printed]:
    """Save pages under `out`, called as they are but for the ending. A page that fails does not stop the others.

    A file is there whole or not at all. PDF files carry the time of printing, so that two prints are not the same
    bytes. Nothing is fetched from a network. As root Chromium needs, and gets, `--no-sandbox`: it refuses to start
    otherwise; print as root only pages that raddle wrote.

    Args:
        pages: HTML files; what they link to must lie where they expect it
        out: folder, made if needed
        format: "pdf" as the page wants its paper (A4); "png" the whole page, 1280 pixels wide, at double density
        workers: browsers at once, each some 200 MB; 0: as many as the machine carries
        timeout: seconds for one page
        browser: program to use; default: the first of BROWSERS that is installed

    Raises:
        ConfigError: no browser, or a format that is none, or two pages would be one file
    """
    if format not in _SIGNS:
        raise errors.ConfigError(f"format={format!r}: give 'pdf' or 'png'")
    if not timeout > 0:
        raise errors.ConfigError(f"timeout={timeout}: give seconds above 0")
    program = _browser(browser)
    names = _names(pages, format)
    sheets = [_Sheet(page, out / name, format, program, timeout) for page, name in zip(pages, names, strict=True)]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.ConfigError(f"output={out}: cannot write there: {error.strerror or error}") from error
    return list(_printed(sheets, workers, timeout + _SPARE_S))


def print_users(
    out: Path,
    users: Sequence[str],
    into: Path,
    *,
    format: Format,  # noqa: A002 - as the option is called
    workers: int = 0,
    timeout: float = 60.0,
    browser: Path | None = None,
) -> tuple[int, list[tuple[str, str]]]:
    """Print the pages of some users of a run's output folder, or without users every page there is.

    Returns how many went well, and the others' paths with what went wrong.

    Raises:
        ConfigError: as `print_pages`; or `out` has no pages
    """
    folder = out / "users"
    if users:
        pages = [folder / page_name(user) for user in dict.fromkeys(users)]
    else:
        overviews = [page for page in (out / "index.html", out / "population.html") if page.is_file()]
        pages = [*overviews, *sorted(folder.glob("*.html"))]
    if not pages or not folder.is_dir():
        raise errors.ConfigError(f"output={out}: there are no pages; give the --output of a run that drew them")
    done = print_pages(pages, into, format=format, workers=workers, timeout=timeout, browser=browser)
    failed = [(str(item.page), item.error) for item in done if item.file is None]
    return len(done) - len(failed), failed


def _printed(sheets: Sequence[_Sheet], workers: int, timeout: float) -> Iterator[Printed]:
    # threads: each waits for a browser, whose whole process group ends with its attempt
    with raddle.run(_print, sheets, backend="threads", workers=workers, timeout=timeout, id=_identity) as run:
        for outcome in run:
            sheet: _Sheet = outcome.item
            if outcome.ok:
                yield Printed(sheet.page, sheet.file)
            else:
                yield Printed(sheet.page, None, str(outcome.error) if outcome.error else outcome.status.value)


def _identity(sheet: _Sheet) -> str:
    return str(sheet.file)


def _browser(wished: Path | None) -> str:
    for name in BROWSERS if wished is None else (str(wished),):
        found = shutil.which(name)
        if found:
            return found
    if wished is not None:
        raise errors.ConfigError(f"browser={wished}: there is no such program; give the path of Chromium or Chrome")
    raise errors.ConfigError(
        "no browser to print with: install Chromium or Chrome (Debian: apt install chromium; Fedora: dnf install "
        "chromium), or give the path of one as browser"
    )


def _names(pages: Sequence[Path], ending: str) -> list[str]:
    """Name files as their pages; pages of one name get that of their folder too."""
    stems = Counter(page.stem for page in pages)
    names = [page.stem if stems[page.stem] == 1 else f"{page.resolve().parent.name}-{page.stem}" for page in pages]
    twice = next((name for name, number in Counter(names).items() if number > 1), None)
    if twice is not None:
        raise errors.ConfigError(f"pages: two would be printed to {twice}.{ending}; print them to different folders")
    return [f"{name}.{ending}" for name in names]


def _print(sheet: _Sheet) -> None:
    if not sheet.page.is_file():  # a browser would print its own page of complaint
        raise FileNotFoundError(f"page={sheet.page}: there is no such page")
    with tempfile.TemporaryDirectory(prefix="printing-", dir=sheet.file.parent, ignore_cleanup_errors=True) as folder:
        work = Path(folder).resolve()
        end = time.monotonic() + sheet.timeout
        spare = work / f"page.{sheet.format}"
        address = sheet.page.resolve().as_uri()
        if sheet.format == "pdf":
            done = _browse(
                sheet, work, end, address, [_window(_HEIGHT), f"--print-to-pdf={spare}", "--no-pdf-header-footer"]
            )
        else:
            tall = _height(sheet, work, end, address)
            done = _browse(
                sheet, work, end, address, [_window(tall), f"--screenshot={spare}", "--force-device-scale-factor=2"]
            )
        if not _is_whole(spare, sheet.format):
            last = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
            said = " / ".join(line[:300] for line in last)
            raise RuntimeError(f"{sheet.browser} wrote no {sheet.format}, exit code {done.returncode}: {said}")
        spare.replace(sheet.file)


def _height(sheet: _Sheet, work: Path, end: float, address: str) -> int:
    """Return how tall a page is, for the picture to hold all of it."""
    ruler = work / "ruler.html"
    ruler.write_text(_MEASURE.substitute(page=escape(address), width=_WIDTH, height=_HEIGHT), encoding="utf-8")
    done = _browse(sheet, work, end, ruler.as_uri(), [_window(_HEIGHT), "--allow-file-access-from-files", "--dump-dom"])
    found = re.search(rb"<title>(\d+)</title>", done.stdout)
    return min(_TALLEST, max(_HEIGHT, int(found[1]))) if found else 2 * _HEIGHT


def _window(tall: int) -> str:
    return f"--window-size={_WIDTH},{tall}"


def _browse(sheet: _Sheet, work: Path, end: float, address: str, wanted: Sequence[str]) -> CompletedProcess[Any]:
    argv = [
        sheet.browser,
        "--headless=new",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),  # it refuses to start as root with its sandbox
        "--disable-gpu",
        "--disable-dev-shm-usage",  # containers have 64 MB of it
        "--disable-extensions",
        "--disable-background-networking",
        "--disable-breakpad",
        "--no-first-run",
        "--no-default-browser-check",
        "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND",  # pages are whole without a network
        f"--user-data-dir={work / 'profile'}",
        f"--virtual-time-budget={_PATIENCE_MS}",
        *wanted,
        address,
    ]
    try:
        return raddle.run_process(argv, grace=0.5, timeout=max(0.01, end - time.monotonic()))
    except TimeoutExpired as error:
        raise TimeoutError(f"timeout={sheet.timeout:g}: not printed by then; give more seconds") from error


def _is_whole(path: Path, kind: Format) -> bool:
    """Tell whether a file begins and ends as one of its kind does."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    end = b"%%EOF" if kind == "pdf" else b"IEND"
    return content.startswith(_SIGNS[kind]) and end in content[-32:]
