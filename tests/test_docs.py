"""The pages in docs/ are complete, and what they show works."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

import raddle
from raddle.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
MODULES = ["raddle", "raddle.backends", "raddle.journal", "raddle.progress", "raddle.testing"]
MODULES += ["raddle.plugin", "raddle.plugin.command_line", "raddle.plugin.settings"]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def reference(page: str) -> str:
    return text_of(DOCS / "reference" / page)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL)


# ------------------------------------------------------------------------------------------------- completeness


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference(module: str) -> None:
    everything = "\n".join(text_of(page) for page in (DOCS / "reference").glob("*.md"))
    names = getattr(importlib.import_module(module), "__all__", [])
    assert not [name for name in names if not re.search(rf"`[^`]*\b{re.escape(name)}\b[^`]*`", everything)]


def test_every_parameter_of_run_is_in_the_reference() -> None:
    parameters = inspect.signature(raddle.run).parameters
    assert not [name for name in parameters if f"| `{name}`" not in reference("api.md")]


@pytest.mark.parametrize(
    "cls",
    [
        raddle.AsyncRun,
        raddle.Attempt,
        raddle.ErrorInfo,
        raddle.Outcome,
        raddle.Rate,
        raddle.Rejected,
        raddle.Retry,
        raddle.Run,
        raddle.Summary,
    ],
)
def test_every_attribute_of_a_public_class_is_in_the_reference(cls: type) -> None:
    own = set(vars(cls)) | set(getattr(cls, "__annotations__", {}))
    inherited = set(dir(tuple)) | set(dir(object))
    names = {name for name in own - inherited if not name.startswith("_")}
    assert not [name for name in sorted(names) if f"`{name}" not in reference("api.md")]


def commands(command: Any, path: tuple[str, ...] = ("raddle",)) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "list_commands"):
        yield " ".join(path), command
        return
    context = command.make_context(path[-1], ["--help"], resilient_parsing=True)
    for name in command.list_commands(context):
        yield from commands(command.get_command(context, name), (*path, name))


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    """Every command by its path, such as "raddle runs list"."""
    return dict(commands(typer.main.get_command(app)))


def options(command: Any) -> set[str]:
    given = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return {option for option in given if option.startswith("--")} - {"--help"}


def test_every_command_and_option_is_in_the_reference(known: dict[str, Any]) -> None:
    sections = re.split(r"^##+ ", reference("cli.md"), flags=re.MULTILINE)
    headings = {section.partition("`")[2].partition("`")[0]: section for section in sections}
    assert not set(known) - set(headings), "commands without a heading in docs/reference/cli.md"
    documented = {path: set(re.findall(r"`(--[a-z-]+)", headings[path])) for path in known}
    assert documented == {path: options(command) for path, command in known.items()}


# ----------------------------------------------------------------------------------------------- what they show


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_examples_run(page: Path, tmp_path: Path) -> None:
    """The blocks of one page, one after another, as a script without a `__main__` guard."""
    script = tmp_path / "example.py"
    script.write_text("\n".join(blocks(page, "python")), encoding="utf-8")
    command = [sys.executable, "-W", "error", script.name]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "console")], ids=name_of)
def test_shown_commands_exist(page: Path, known: dict[str, Any]) -> None:
    for line in "\n".join(blocks(page, "console")).replace("\\\n", " ").splitlines():
        shown = line.removeprefix("$ ").split("#")[0].split("|")[-1].split()
        if shown[:1] != ["raddle"]:
            continue
        shown = shown[: shown.index("--")] if "--" in shown else shown
        path = max((path for path in known if shown[: path.count(" ") + 1] == path.split()), key=len, default=None)
        assert path is not None, f"no such command: {line}"
        unknown = {word.split("=")[0] for word in shown if word.startswith("--")} - options(known[path]) - {"--help"}
        assert not unknown, line


# Pages that are followed from top to bottom in an empty folder: blocks with a title are files, lines of console blocks
# that begin with "$ " are run, and what stands below them is what must come out.
FOLLOWED = [DOCS / "tutorial" / "first-run.md", pytest.param(DOCS / "how-to" / "ci.md", marks=pytest.mark.slow)]
#: a block that is a program, or a line of shell, of its own; it needs the package or the program after the colon
PAIRS = re.compile(r'^```(python|console) title="(before|after): (.*?)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def in_shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", line]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120
    )


def killed(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What is killed after 2 seconds; a busy machine is given more if there is no journal by then."""
    for seconds in (2, 8, 30):
        result = in_shell(line.replace(" 2 ", f" {seconds} "), folder)
        if list(folder.glob("*.db")):
            break
    return result


def as_pattern(shown: str) -> str:
    """What a page shows, as a pattern: "..." is anything, and spaces may be as many as they like."""
    parts = [re.escape(part) for part in re.split(r"(?<!\.)\.\.\.(?!\.)", shown.strip())]
    return r"\s*" + ".*?".join(re.sub(r"(?:\\\s|\s)+", r"\\s+", part) for part in parts) + r".*"


@pytest.mark.parametrize("page", FOLLOWED, ids=name_of)
def test_a_page_followed_to_the_letter(page: Path, tmp_path: Path) -> None:
    for language, title, body in re.findall(
        r'^```(\w+)(?: title="(.*?)")?\n(.*?)^```', text_of(page), re.MULTILINE | re.DOTALL
    ):
        if title:
            (tmp_path / title).write_text(body, encoding="utf-8")
        if language != "console":
            continue
        for step in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            line, _, shown = step.partition("\n")
            result = (killed if shown.strip() == "Killed" else in_shell)(line, tmp_path)
            said = result.stdout + result.stderr
            if not shown.strip():
                assert result.returncode == 0, f"{line}\n{said}"
            elif shown.strip() == "Killed":
                assert result.returncode in {0, -9, 137}, said  # 0: this machine was done before it was killed
            else:
                assert re.fullmatch(as_pattern(shown), said, re.DOTALL), f"{line}\n{said}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "side", "peer", "body"),
    PAIRS.findall(text_of(DOCS / "how-to" / "coming-from.md")),
    ids=lambda value: value if len(value) < 30 else "",
)
def test_before_and_after(language: str, side: str, peer: str, body: str, tmp_path: Path) -> None:
    if language == "console":
        if side == "before" and "GNU" not in in_shell("parallel --version", tmp_path).stdout:
            pytest.skip("GNU parallel is not installed")
        for line in body.splitlines():
            result = in_shell(line.removeprefix("$ "), tmp_path)
            assert result.returncode == 0, result.stderr
        return
    if side == "before":
        pytest.importorskip(peer, reason=f"{peer} is not installed")
    (tmp_path / "example.py").write_text(body, encoding="utf-8")
    command = [sys.executable, "-W", "error", "example.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr


# -------------------------------------------------------------------------------------------------------- links


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    prose = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = Path(os.path.normpath(page.parent / file)) if file else page
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_the_index_leads_to_every_page() -> None:
    index = DOCS / "README.md"
    linked = {Path(os.path.normpath(index.parent / link.partition("#")[0])) for link in links(index)}
    assert not [name_of(page) for page in DOCS.rglob("*.md") if page not in linked | {index}]


# --------------------------------------------------------------------------------------------------------- the site


def hooks() -> Any:
    spec = importlib.util.spec_from_file_location("site_hooks", DOCS / "hooks" / "site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leaves(nav: list[Any]) -> Iterator[str]:
    for entry in nav:
        value = entry if isinstance(entry, str) else next(iter(entry.values()))
        yield from [value] if isinstance(value, str) else leaves(value)


def test_the_navigation_has_every_page_once() -> None:
    site = hooks()
    places = list(leaves(site.navigation(text_of(DOCS / "README.md"))))
    assert sorted(places) == sorted(
        {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} | set(site.generated())
    )


def test_generated_pages_have_every_command_and_every_public_name(known: dict[str, Any]) -> None:
    pages = hooks().generated()
    commands_page = pages["reference/generated/commands.md"]
    assert not [path for path in known if f"## `{path}`\n" not in commands_page]
    assert not [
        name
        for module in MODULES
        for name in getattr(importlib.import_module(module), "__all__", [])
        if f"\n::: {module}.{name}\n" not in pages[f"reference/generated/{module}.md"]
    ]


@pytest.mark.parametrize(
    ("source", "place", "link", "becomes"),
    [
        ("docs/how-to/a.md", "how-to/a.md", "[x](../reference/b.md#c)", "[x](../reference/b.md#c)"),
        ("docs/how-to/a.md", "how-to/a.md", "[x](b.md)", "[x](b.md)"),
        ("docs/how-to/a.md", "how-to/a.md", "[x](#b)", "[x](#b)"),
        ("docs/how-to/a.md", "how-to/a.md", "[x](https://example.org/)", "[x](https://example.org/)"),
        ("docs/how-to/a.md", "how-to/a.md", "[x](../../CONTRIBUTING.md#l)", "[x](../project/contributing.md#l)"),
        ("docs/how-to/a.md", "how-to/a.md", "[x](../../benchmarks/b.py), y", "x, y"),
        ("docs/how-to/a.md", "how-to/a.md", "[x](../policies)", "[x](../reference/generated/policies.md)"),
        ("docs/how-to/a.md", "how-to/a.md", "```\n[x](../../b.py)\n```", "```\n[x](../../b.py)\n```"),
        ("docs/README.md", "README.md", "[x](how-to/a.md)", "[x](how-to/a.md)"),
        ("CHANGELOG.md", "project/changes.md", "[x](docs/how-to/a.md)", "[x](../how-to/a.md)"),
        ("CHANGELOG.md", "project/changes.md", "[x](README.md)", "x"),
    ],
)
def test_links_out_of_docs_become_links_of_the_site(source: str, place: str, link: str, becomes: str) -> None:
    assert hooks().relinked(link, source=source, place=place) == becomes


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` has just built it, or built here; skipped where MkDocs is not installed."""
    if built := os.environ.get("RADDLE_SITE"):
        return Path(built)
    pytest.importorskip("mkdocs", reason="MkDocs is not installed: make docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_the_site_asks_for_nothing_from_elsewhere(site: Path) -> None:
    """A reader's browser fetches what stands in these attributes; a link that somebody clicks on is another matter."""
    fetched = re.compile(
        r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"?(https?:[^\"\s>]*)|<link\b[^>]*\bhref=\"?(https?:[^\"\s>]*)"
    )
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    assert len(pages) > 50
    assert not {str(page): found for page, text in pages.items() if (found := fetched.findall(text))}
    sheets = "\n".join(sheet.read_text(encoding="utf-8") for sheet in site.rglob("*.css"))
    assert not re.findall(r"(?:@import|url\()\s*[\"']?(https?:[^\"')]*)", sheets)


def test_the_site_has_the_generated_pages(site: Path) -> None:
    text = (site / "reference/generated/raddle.html").read_text(encoding="utf-8")
    assert not [name for name in raddle.__all__ if f'id="raddle.{name}"' not in text]
    assert "raddle runs list" in (site / "reference/generated/commands.html").read_text(encoding="utf-8")
