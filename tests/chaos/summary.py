"""Print one table of the counts that `make chaos` gathered: python tests/chaos/summary.py [FILE]."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from report import place


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the last line of each test."""
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line)
    return list({line["test"]: line for line in lines}.values())


def main() -> int:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else place()
    if not path.exists():
        print(f"{path}: no counts yet; they come with RADDLE_CHAOS=1 pytest -m chaos")
        return 1
    for row in rows(path):
        name = row["test"].rpartition("/")[2]
        counts = ", ".join(f"{value:,} {what.replace('_', ' ')}" for what, value in row["counts"].items())
        print(f"{name}  ({row['seconds']:g} s, seed {row['seed']})\n    {counts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
