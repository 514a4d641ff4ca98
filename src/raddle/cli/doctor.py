"""`raddle doctor`: what this machine grants, how workers start, versions, and what is installed."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import platform
import shutil
import sqlite3
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from raddle import _host
from raddle._policy.memory import KILL, PAUSE, RESUME
from raddle.backends import _launch
from raddle.errors import ConfigError

__all__ = ["app", "has_wal_reset_bug", "report"]

_HELP = """Show what this machine grants, and what raddle makes of it: CPUs and memory, and which limit says so; memory
in use and pressure at this moment; how worker processes start; limits of open files and processes; versions; what is
installed.

Nothing is changed, nothing is downloaded.
"""
_EPILOG = """\b
Examples:
  raddle doctor
  raddle doctor --json | jq .cpus.value
  raddle doctor --json | jq '.memory_now | .used / .limit'
"""

#: part: what it is for, and the extra that brings it; "" is in raddle itself
_PARTS = {
    "cloudpickle": ("lambdas, closures and functions of __main__ on processes", ""),
    "typer": ("the command line", ""),
    "rich": ("the live view", ""),
    "orjson": ("raddle weights", "weights"),
    "plotly": ("raddle weights", "weights"),
    "polars": ("raddle weights, and outcomes as Parquet", "weights"),
    "distributed": ('backend="tcp://...": runs on a Dask cluster', "dask"),
    "opentelemetry-api": ("spans of runs and attempts", "otel"),
}
#: modules of parts that are not called like their package
_MODULES = {"opentelemetry-api": "opentelemetry.trace"}
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
        "memory_now": _memory_now(),
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "executable": sys.executable,
            "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
            "free_threading": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
            "platform": platform.platform(),
        },
        "sqlite": {
            "version": sqlite3.sqlite_version,
            "wal_reset_bug": has_wal_reset_bug(sqlite3.sqlite_version_info),
        },
        "workers": {"fork": "fork" in methods, "fresh": bool(sys.executable), "start": _start_method()},
        "limits": {"files": _open_files(), "processes": _grant(_host.processes())},
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


def _memory_now() -> dict[str, Any] | None:
    gauge = _host.gauge()
    if gauge is None:
        return None
    try:
        seen = gauge.sample({})
    finally:
        gauge.close()
    return {"used": seen.used, "limit": seen.limit, "stalled": seen.stalled}


def _start_method() -> str | None:
    try:
        return _launch.choose("auto")
    except ConfigError:
        return None


def _open_files() -> dict[str, int | None] | None:
    try:
        import resource
    except ImportError:
        return None  # Windows
    given = (None if value == resource.RLIM_INFINITY else value for value in resource.getrlimit(resource.RLIMIT_NOFILE))
    return dict(zip(("soft", "hard"), given, strict=True))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        # A module without a package around it, as when run from source with PYTHONPATH.
        return "unknown" if name != "raddle" and _is_there(_MODULES.get(name, name)) else None


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False  # not even the package around it


def _install(extra: str) -> str:
    return f"pip install 'raddle[{extra}]'" if extra else "pip install raddle"


# --------------------------------------------------------------------------------------------------------- text


def _text(found: dict[str, Any]) -> str:
    python, sqlite = found["python"], found["sqlite"]
    lines = [
        f"raddle    {found['raddle']}",
        f"Python    {python['version']} {python['implementation']} ({python['executable']})",
        f"  {_gil_line(python)}",
        f"system    {python['platform']}",
        "",
        f"CPUs      {found['cpus']['value']}",
        *_sources(found["cpus"], lambda value: f"{value:g}"),
        f"memory    {_size(found['memory']['value'])}",
        *_sources(found["memory"], _size),
        *_memory_lines(found["memory_now"]),
        "",
        *_worker_lines(found["workers"], found["cpus"]["value"]),
        *_limit_lines(found["limits"]),
        "",
        f"SQLite    {sqlite['version']}",
        *_wal_lines(sqlite["wal_reset_bug"]),
        "",
        "parts",
    ]
    for part in found["parts"]:
        state = part["version"] or f"not installed: {part['install']}"
        lines.append(f"  {part['name']:<18} {state:<12} for {part['for']}")
    lines.append("programs")
    lines.extend(
        f"  {program['name']:<18} {program['path'] or 'not found'}  for {program['for']}"
        for program in found["programs"]
    )
    return "\n".join(lines)


def _sources(grant: dict[str, Any], show: Any) -> list[str]:
    return [
        f"  {'no limit' if source['value'] is None else show(source['value']):<12} {source['name']}"
        for source in grant["sources"]
    ]


def _gil_line(python: dict[str, Any]) -> str:
    if not python["free_threading"]:
        return "interpreter lock: on (not a free-threaded build), so threads take turns at Python code"
    if python["gil"]:
        return "interpreter lock: on, though the build is free-threaded: an extension or PYTHON_GIL switched it on"
    return "interpreter lock: off (free-threaded), so threads run Python code at the same time"


def _memory_lines(now: dict[str, Any] | None) -> list[str]:
    if now is None:
        return ["  in use: cannot be read here, so that runs are not guarded against running out of it"]
    part = now["used"] / now["limit"]
    state = (
        "would start one item at a time, and kill the youngest" if part >= KILL else "would start one item at a time"
    )
    stood = f"work stood still for it in {now['stalled']:.0%} of the last 10 s"
    marks = f"a run would hold back at {PAUSE:.0%}, go on below {RESUME:.0%}, and kill at {KILL:.0%}"
    return [
        f"  in use now: {_size(now['used'])} of {_size(now['limit'])} ({part:.0%}); {stood}",
        f"  {marks}" + (f"; now it {state}" if part >= PAUSE else ""),
    ]


def _worker_lines(workers: dict[str, Any], cpus: int) -> list[str]:
    how = {
        "fork": "forked (safe here: one thread), else a fresh interpreter",
        "fresh": "a fresh interpreter, for this process has several threads",
        None: 'processes cannot be started here: use backend="threads"',
    }[workers["start"]]
    return [f"workers   {cpus} by default; {how}", f"  BLAS and OpenMP threads in each of {cpus}: 1"]


def _limit_lines(limits: dict[str, Any]) -> list[str]:
    files, processes = limits["files"], limits["processes"]
    lines = [f"processes {processes['value'] or 'no limit'}, threads included"]
    lines += _sources(processes, lambda value: f"{value:g}")
    if files is not None:
        soft, hard = (value or "no limit" for value in (files["soft"], files["hard"]))
        lines.append(f"files     {soft} open at once (may be raised to {hard}: ulimit -n)")
    return lines


def _wal_lines(affected: bool) -> list[str]:
    if not affected:
        return ["  free of the WAL-reset bug"]
    return [
        "  has the WAL-reset bug (3.7.0 to 3.51.2, but for 3.44.6+ and 3.50.7+): two connections that write or",
        "  checkpoint at once can damage a database. Harmless for a journal: it has exactly one writing connection.",
    ]


def _size(value: float) -> str:
    return _host.size_text(value) if value else "unknown"
