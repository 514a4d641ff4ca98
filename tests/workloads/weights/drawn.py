"""Chunks with results that need no rules: what becomes of a row stands in the row."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from raddle.workloads.weights.values import FIELDS, STAGES, Chunk, Filtered

SOURCES = ("scale", "upload", "scale")  # two numbers may have one name


def chunk_of(
    users: list[tuple[str, list[tuple[int, float, int, int]]]], *, days: bool = False
) -> tuple[Chunk, Filtered]:
    """Return users with rows of (tick, kg, source, stage); what the filter says of a row depends on the row alone."""
    starts = np.concatenate([[0], np.cumsum([len(rows) for _, rows in users])]).astype(np.int64)
    flat = [row for _, rows in users for row in rows]
    time = np.array([row[0] for row in flat], dtype=np.int64)
    kg = np.array([row[1] for row in flat], dtype=np.float64)
    stage = np.array([row[3] for row in flat], dtype=np.uint8)
    count = len(flat)
    out = np.full((len(FIELDS), count), np.nan)
    out[0] = np.where(stage > 1, 70.0, kg)
    out[6] = np.where(time % 7 == 0, np.nan, time % 101 / 100)
    states = np.full((len(users), 8), np.nan)
    for at, (_, rows) in enumerate(users):
        used = [row for row in rows if row[3] <= 1]
        if used:
            states[at] = [used[-1][1], 0.01, 1, 0, 1, used[-1][0], len(used), 0]
    chunk = Chunk(
        users=tuple(user for user, _ in users),
        starts=starts,
        line=np.arange(2, count + 2),
        file=np.zeros(count, dtype=np.int64),
        time=time,
        value=kg,
        unit=np.zeros(count, dtype=np.uint8),
        source=np.array([row[2] for row in flat], dtype=np.int64),
        source_names=SOURCES,
        height_m=np.full(len(users), np.nan),
        unused=np.ones(len(users), dtype=np.int64),
        days=days,
    )
    return chunk, Filtered(kg, stage, (time % 5).astype(np.uint8), out, states)


rows_of_users = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, 40_000).map(lambda hours: hours * 3_600_000_000),
            st.floats(1, 300).map(lambda kg: round(kg, 1)),
            st.integers(0, len(SOURCES) - 1),
            st.integers(0, len(STAGES) - 1),
        ),
        max_size=12,
    ),
    min_size=1,
    max_size=6,
).map(lambda users: [(f"u{at}", rows) for at, rows in enumerate(users)])
