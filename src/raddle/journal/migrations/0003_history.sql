-- What a viewer in another process reads: what the run decided, and for each stretch of outcomes the bounds of what is
-- in it, so that an ordered page of a million rows, or a chart of them, need not look at each. An index over seconds and
-- positions would cost every insert.
ALTER TABLE session ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;

CREATE TABLE happening (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES run (id),
    session_id INTEGER NOT NULL REFERENCES session (id),
    at REAL NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('limit', 'worker', 'memory', 'stopping', 'choice')),
    number REAL,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX happening_run ON happening (run_id);

CREATE TABLE stretch (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    not_ok INTEGER NOT NULL,
    least_position INTEGER NOT NULL,
    greatest_position INTEGER NOT NULL,
    least_start REAL NOT NULL,
    greatest_end REAL NOT NULL,
    slowest REAL NOT NULL
) STRICT;

CREATE INDEX attempt_run ON attempt (run_id);

UPDATE session SET gone = ranges.next - ranges.first
    - (SELECT count(*) FROM outcome WHERE outcome.id >= ranges.first AND outcome.id < ranges.next)
FROM (
    SELECT id, first_outcome AS first, coalesce(
        lead(first_outcome) OVER (ORDER BY id), (SELECT coalesce(max(outcome.id), 0) + 1 FROM outcome), first_outcome
    ) AS next
    FROM session
) AS ranges
WHERE ranges.id = session.id AND ranges.next > ranges.first;

INSERT INTO stretch
SELECT min(id), max(id), max(id) - min(id) + 1 - sum(status = 'ok'), min(position), max(position), min(coalesce(started, 0)),
    max(coalesce(started, 0) + coalesce(seconds, 0)),
    max(coalesce(seconds, 0))
FROM outcome GROUP BY session_id, id / 1024;
