"""The pages in docs/ are complete, and what they show works."""

from __future__ import annotations

import importlib
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


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_examples_run(page: Path, tmp_path: Path) -> None:
    """The blocks of one page, one after another, as a script without a `__main__` guard."""
    script = tmp_path / "example.py"
    script.write_text("\n".join(blocks(page, "python")), encoding="utf-8")
    command = [sys.executable, "-W", "error", script.name]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=50)
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
