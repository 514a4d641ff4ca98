# ruff: noqa: INP001 - MkDocs loads this file by its path
"""What MkDocs is told beyond mkdocs.yml: the navigation, pages that are generated, and links that leave docs/."""

from __future__ import annotations

import importlib
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
PLUGIN: Final = ["raddle.plugin", "raddle.plugin.command_line", "raddle.plugin.settings"]
MODULES: Final = ["raddle", "raddle.journal", "raddle.progress", *PLUGIN, "raddle.testing"]
#: pages of the site that lie above docs/, and their place in it
ABOVE: Final = {"CONTRIBUTING.md": "project/contributing.md", "CHANGELOG.md": "project/changes.md"}
COMMANDS: Final = "reference/generated/commands.md"
POLICIES: Final = "reference/generated/policies.md"
_ELSEWHERE: Final = ABOVE | {"docs/policies": POLICIES}
_LINK: Final = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")


# -------------------------------------------------------------------------------------------------- MkDocs calls


def on_config(config: Any) -> Any:
    """Give the site the navigation of its index page."""
    config.nav = navigation((ROOT / "docs" / "README.md").read_text(encoding="utf-8"))
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Add the pages that are not files of docs/."""
    from mkdocs.structure.files import File

    for path, text in generated().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001 - MkDocs names them
    """Turn links out of docs/ into links within the site, or into plain text."""
    place = page.file.src_uri
    source = next((above for above, within in ABOVE.items() if within == place), f"docs/{place}")
    return relinked(markdown, source=source, place=place)


# ---------------------------------------------------------------------------------------------- what they are made of


def navigation(index: str) -> list[Any]:
    """Return MkDocs' nav: a section for each heading of the index page, a page for each link of a list below it."""
    nav: list[Any] = [{"All pages": "README.md"}]
    into = nav
    for line in index.splitlines():
        heading = re.match(r"(##+) (.*)", line)
        if heading:
            section: list[Any] = []
            (nav if heading[1] == "##" else nav[-1][next(iter(nav[-1]))]).append({heading[2]: section})
            into = section
        elif line.startswith("- "):
            into += [{_plain(text): _within(link)} for text, link in _LINK.findall(line.partition("): ")[0] + ")")]
    look_up = nav[-1][next(iter(nav[-1]))]
    look_up.append(
        {
            "From the source": [
                {"Commands, from --help": COMMANDS},
                *({name: _module(name)} for name in MODULES),
                {"Policies of raddle media": POLICIES},
            ]
        }
    )
    nav.append({"The project": list(ABOVE.values())})
    return nav


def _within(link: str) -> str:
    return next((place for above, place in ABOVE.items() if link == f"../{above}"), link)


def _plain(text: str) -> str:
    return text.replace("`", "")


def generated() -> dict[str, str]:
    """Return the text of each page that is made here, by its place."""
    pages = {place: (ROOT / above).read_text(encoding="utf-8") for above, place in ABOVE.items()}
    pages |= {COMMANDS: commands_page(), POLICIES: policies_page()}
    return pages | {_module(name): module_page(name) for name in MODULES}


def _module(name: str) -> str:
    return f"reference/generated/{name}.md"


def module_page(name: str) -> str:
    """Return the page of a public module: one directive of mkdocstrings for each name in `__all__`."""
    names = sorted(getattr(importlib.import_module(name), "__all__", []), key=str.lower)
    shown = [f"::: {name}.{public}\n" for public in names]
    return f"# `{name}`\n\nFrom docstrings; [in other words](../api.md).\n\n" + "\n".join(shown)


def commands_page() -> str:
    """Return the help of every command, as it is printed."""
    text = ["# Commands, from `--help`\n\nWhat each says by itself; [in other words](../cli.md).\n"]
    text += [f"## `{path}`\n\n```text\n{help_}\n```\n" for path, help_ in helps()]
    return "\n".join(text)


def policies_page() -> str:
    """Return the policies that come with the documentation, whole."""
    files = sorted((ROOT / "docs" / "policies").glob("*.yaml"))
    text = [f"## `{file.name}`\n\n```yaml\n{file.read_text(encoding='utf-8').strip()}\n```\n" for file in files]
    return "# Policies for `raddle media`\n\n[What they may say](../media-policy.md).\n\n" + "\n".join(text)


def helps() -> Iterator[tuple[str, str]]:
    """Yield each command's path, such as "raddle runs list", and its help, as on a terminal 80 columns wide."""
    import typer

    from raddle.cli.main import app

    yield from _helps(typer.main.get_command(app), "raddle")


def _helps(command: Any, path: str) -> Iterator[tuple[str, str]]:
    context = command.make_context(path, ["--help"], resilient_parsing=True, terminal_width=80)
    yield path, command.get_help(context)
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            yield from _helps(command.get_command(context, name), f"{path} {name}")


def relinked(markdown: str, *, source: str, place: str) -> str:
    """Return the text of the file `source` of the repository with links as they must be at `place` of the site."""

    def replaced(match: re.Match[str]) -> str:
        text, link = match.groups()
        file, hash_, anchor = link.partition("#")
        if not file or "://" in link:
            return match[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), file))
        inside = _ELSEWHERE.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else None)
        if inside is None:
            return text  # a file of the repository that the site does not have
        return f"[{text}]({posixpath.relpath(inside, posixpath.dirname(place) or '.')}{hash_}{anchor})"

    parts = re.split(r"(^```.*?^```)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else _LINK.sub(replaced, part) for part in parts)
