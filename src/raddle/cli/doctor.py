"""`raddle doctor`: what this machine grants, versions, and what is installed."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import platform
import shutil
import sqlite3
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from raddle import _host

__all__ = ["app", "has_wal_reset_bug", "report"]

_HELP = """Show what this machine grants (CPUs and memory, and which limit says so), versions, and what is installed.

Nothing is changed, nothing is downloaded.
"""
_EPILOG = """\b
Examples:
  raddle doctor
  raddle doctor --json | jq .cpus.value
"""

#: part: what it is for, and the extra that brings it; "" is in raddle itself
_PARTS = {
    "cloudpickle": ("lambdas, closures and functions of __main__ on processes", ""),
    "typer": ("the command line", ""),
    "rich": ("the live view", ""),
    "orjson": ("raddle weights", "weights"),
    "plotly": ("raddle weights", "weights"),
    "polars": ("raddle weights", "weights"),
}
#: programs by any of their names, and what they are for
_PROGRAMS = {
    "ffmpeg": (("ffmpeg",), "media work"),
    "mkvmerge": (("mkvmerge",), "media work"),
    "chromium": (("chromium", "chromium-browser", "google-chrome"), "pictures of pages"),
}

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(help=_HELP, epilog=_EPILOG)
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> None:
    found = report()
    typer.echo(json.dumps(found, indent=2) if as_json else _text(found))


def report() -> dict[str, Any]:
    """Return all findings as what JSON can hold."""
    methods = multiprocessing.get_all_start_methods()
    return {
        "raddle": _version("raddle") or "not installed (run from its source)",
        "cpus": _grant(_host.cpus()),
        "memory": _grant(_host.memory()),
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "executable": sys.executable,
            "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
            "platform": platform.platform(),
        },
        "sqlite": {
            "version": sqlite3.sqlite_version,
            "wal_reset_bug": has_wal_reset_bug(sqlite3.sqlite_version_info),
        },
        "workers": {"fork": "fork" in methods, "fresh": bool(sys.executable)},
        "parts": [
            {"name": name, "version": _version(name), "for": use, "install": _install(extra)}
            for name, (use, extra) in _PARTS.items()
        ],
        "programs": [
            {"name": name, "path": next(filter(None, map(shutil.which, names)), None), "for": use}
            for name, (names, use) in _PROGRAMS.items()
        ],
    }


def has_wal_reset_bug(release: tuple[int, ...]) -> bool:
    """Whether this SQLite can damage a WAL database that two connections write at once.

    Affected are 3.7.0 to 3.51.2, but for 3.44.6 and later of 3.44 and 3.50.7 and later of 3.50.
    """
    if release[:2] == (3, 44):
        return release < (3, 44, 6)
    if release[:2] == (3, 50):
        return release < (3, 50, 7)
    return (3, 7, 0) <= release < (3, 51, 3)


def _grant(grant: _host.Grant) -> dict[str, Any]:
    return {"value": grant.value, "sources": [{"name": name, "value": value} for name, value in grant.sources]}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        # A module without a package around it, as when run from source with PYTHONPATH.
        return "unknown" if name != "raddle" and importlib.util.find_spec(name) is not None else None


def _install(extra: str) -> str:
    return f"pip install 'raddle[{extra}]'" if extra else "pip install raddle"


# --------------------------------------------------------------------------------------------------------- text


def _text(found: dict[str, Any]) -> str:
    python, sqlite, workers = found["python"], found["sqlite"], found["workers"]
    gil = "" if python["gil"] else ", no GIL"
    lines = [
        f"raddle    {found['raddle']}",
        f"Python    {python['version']} {python['implementation']}{gil} ({python['executable']})",
        f"system    {python['platform']}",
        "",
        f"CPUs      {found['cpus']['value']}",
        *_sources(found["cpus"], lambda value: f"{value:g}"),
        f"memory    {_size(found['memory']['value'])}",
        *_sources(found["memory"], _size),
        "",
        f"SQLite    {sqlite['version']}",
        *_wal_lines(sqlite["wal_reset_bug"]),
        f"workers   fork: {_yes(workers['fork'])}, fresh interpreter: {_yes(workers['fresh'])}",
        "",
        "parts",
    ]
    for part in found["parts"]:
        state = part["version"] or f"not installed: {part['install']}"
        lines.append(f"  {part['name']:<12} {state:<12} for {part['for']}")
    lines.append("programs")
    lines.extend(
        f"  {program['name']:<12} {program['path'] or 'not found'}  for {program['for']}"
        for program in found["programs"]
    )
    return "\n".join(lines)


def _sources(grant: dict[str, Any], show: Any) -> list[str]:
    return [
        f"  {'no limit' if source['value'] is None else show(source['value']):<12} {source['name']}"
        for source in grant["sources"]
    ]


def _wal_lines(affected: bool) -> list[str]:
    if not affected:
        return ["  free of the WAL-reset bug"]
    return [
        "  has the WAL-reset bug (3.7.0 to 3.51.2, but for 3.44.6+ and 3.50.7+): two connections that write at once",
        "  can damage a database. A raddle journal has exactly one writing connection, so it cannot be hit.",
    ]


def _size(value: float) -> str:
    return f"{value / (1 << 30):.1f} GiB" if value else "unknown"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
