"""summary.json: what was read, what became of it, how long it took."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raddle.workloads.weights.files import write_whole
from raddle.workloads.weights.values import STAGES

if TYPE_CHECKING:
    from raddle.workloads.weights.ingest.intake import Intake
    from raddle.workloads.weights.options import RunOptions
    from raddle.workloads.weights.pools import Pools
    from raddle.workloads.weights.rules import Rules
    from raddle.workloads.weights.task import Gathered

__all__ = ["available_bytes", "rows_rejected", "summarise", "write_summary"]


def rows_rejected(intake: Intake, gathered: Gathered) -> dict[str, int]:
    """Return the rows that were not used, by reason."""
    counts = Counter(intake.rows_rejected)
    counts["exact_duplicate"] += sum(done.duplicates for done in gathered.done)
    counts["not_filtered"] += len(gathered.failed_rows)
    return {reason: count for reason, count in sorted(counts.items()) if count}


def summarise(options: RunOptions, rules: Rules, intake: Intake, pools: Pools, gathered: Gathered) -> dict[str, Any]:
    """Return what summary.json holds."""
    stages = Counter[str]()
    for done in gathered.done:
        stages.update(done.stages)
    return {
        "input": [file.name for file in intake.files],
        "output": str(options.out),
        "rules": {"name": rules.name, "profile": rules.profile, "digest": rules.digest},
        "rows_read": intake.rows_read,
        "rows_used": sum(done.rows for done in gathered.done),
        "rows_rejected": rows_rejected(intake, gathered),
        "users": len(intake.users),
        "users_failed": gathered.failed,
        "users_without_used_rows": intake.users_without_rows,
        "readings": {name: stages[name] for name in STAGES},
        "replays": sum(report.replays for report in gathered.reports),
        "revisions": sum(report.revisions for report in gathered.reports),
        "pages": {"drawn": gathered.drawn.drawn, "kept": gathered.drawn.kept, "failed": len(gathered.drawn.failed)},
        "seconds": {name: round(seconds, 3) for name, seconds in gathered.seconds.items()},
        "files": [
            {"name": file.name, "digest": file.digest, "rows_read": file.rows_read, "known": file.skipped}
            for file in intake.files
        ],
        "options": {
            **options.read.as_json(),
            "profile": options.profile,
            "state": None if options.state is None else str(options.state),
            "retro": options.retro,
            "backend": options.backend,
            "workers": {"users": pools.users, "pages": pools.pages, "retro": pools.retro if options.retro else 0},
            "pages": options.pages,
            "name": options.name,
            "journal": None if options.journal is None else str(options.journal),
            "resume": options.resume,
        },
        "engine": gathered.engine,
    }


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write summary.json."""
    write_whole(path, (json.dumps(summary, indent=2, ensure_ascii=False, default=str) + "\n").encode())


def available_bytes() -> int | None:
    """Return how much memory the system could give without swapping; None where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None
