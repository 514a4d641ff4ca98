"""`import raddle` is light: what it does not need, it does not load."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "asyncio",
    "click",
    "cloudpickle",
    "multiprocessing",
    "numpy",
    "orjson",
    "plotly",
    "polars",
    "rich",
    "typer",
}

PROGRAM = """
import json, sys, time
before = set(sys.modules)
started = time.perf_counter()
import {module}
seconds = time.perf_counter() - started
print(json.dumps({{"seconds": seconds, "loaded": sorted(set(sys.modules) - before)}}))
"""


MODULES = ["errors", "journal", "backends", "testing", "plugin", "plugin.settings"]
#: what every worker process of a workload imports
PACKAGES = [f"workloads.{name}" for name in ("classify", "encrypt", "media", "weights")]


@pytest.mark.parametrize("module", ["raddle", *(f"raddle.{name}" for name in MODULES + PACKAGES)])
def test_import_loads_nothing_heavy(module: str) -> None:
    program = PROGRAM.format(module=module)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    report = json.loads(result.stdout)
    print(f"import {module}: {report['seconds'] * 1000:.0f} ms, {len(report['loaded'])} modules")
    loaded = {name.partition(".")[0] for name in report["loaded"]}
    assert not loaded & HEAVY


def test_what_only_mentions_raddle_loads_no_engine() -> None:
    program = "import sys, raddle; raddle.ConfigError; print(sorted(name for name in sys.modules if 'raddle.' in name))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout.strip() == "['raddle._lazy', 'raddle.errors']"
