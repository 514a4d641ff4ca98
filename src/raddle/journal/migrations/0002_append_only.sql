-- Rows are only ever appended: no index over random ids is kept up while a run writes. Equal ids are told apart by the
-- order of their rows, which are copied session by session, so that those of a session are one range of numbers.
ALTER TABLE run ADD COLUMN command TEXT NOT NULL DEFAULT '';
ALTER TABLE run ADD COLUMN unique_ids INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN first_outcome INTEGER NOT NULL DEFAULT 1;

DROP INDEX outcome_not_ok;
ALTER TABLE outcome RENAME TO old_outcome;
CREATE TABLE outcome (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES run (id),
    session_id INTEGER NOT NULL REFERENCES session (id),
    item_id BLOB NOT NULL,
    position INTEGER NOT NULL,
    label TEXT NOT NULL,
    key TEXT,
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'timed_out', 'crashed')),
    attempts INTEGER NOT NULL,
    started REAL,
    seconds REAL,
    worker TEXT NOT NULL,
    error_type TEXT,
    error_message TEXT,
    traceback TEXT,
    value_file TEXT,
    value_size INTEGER NOT NULL DEFAULT 0,
    seal INTEGER,
    value BLOB
) STRICT;
INSERT INTO outcome (run_id, session_id, item_id, position, label, key, status, attempts, started, seconds, worker,
    error_type, error_message, traceback, value_file, value_size, value)
SELECT run_id, session_id, item_id, position, label, key, status, attempts, started, seconds, worker,
    error_type, error_message, traceback, value_file, value_size, value
FROM old_outcome ORDER BY session_id, id;
DROP TABLE old_outcome;
CREATE INDEX outcome_not_ok ON outcome (run_id, status, error_type) WHERE status <> 'ok';

UPDATE session SET first_outcome = before.count + 1
FROM (
    SELECT session.id, coalesce(sum(rows.count) OVER (
        ORDER BY session.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), 0) AS count
    FROM session LEFT JOIN (SELECT session_id, count(*) AS count FROM outcome GROUP BY session_id) AS rows
        ON rows.session_id = session.id
) AS before
WHERE before.id = session.id;
DROP INDEX session_run;
CREATE INDEX session_run ON session (run_id, first_outcome);

CREATE TABLE given_id (
    run_id INTEGER NOT NULL REFERENCES run (id),
    item_id BLOB NOT NULL,
    PRIMARY KEY (run_id, item_id)
) STRICT, WITHOUT ROWID;
