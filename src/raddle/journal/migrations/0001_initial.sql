CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    function TEXT NOT NULL,
    version TEXT NOT NULL,
    python TEXT NOT NULL,
    total INTEGER,
    backend TEXT NOT NULL,
    workers INTEGER NOT NULL,
    created REAL NOT NULL,
    ended REAL,
    state TEXT NOT NULL CHECK (state IN ('running', 'ended', 'stopped', 'interrupted')),
    summary TEXT
) STRICT;
CREATE INDEX run_name ON run (name);

CREATE TABLE session (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES run (id),
    started REAL NOT NULL,
    ended REAL,
    pid INTEGER NOT NULL,
    host TEXT NOT NULL
) STRICT;
CREATE INDEX session_run ON session (run_id);

CREATE TABLE outcome (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES run (id),
    session_id INTEGER NOT NULL REFERENCES session (id),
    item_id BLOB NOT NULL,
    occurrence INTEGER NOT NULL,
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
    value BLOB,
    UNIQUE (run_id, item_id, occurrence)
) STRICT;
CREATE INDEX outcome_not_ok ON outcome (run_id, status, error_type) WHERE status <> 'ok';

CREATE TABLE attempt (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES run (id),
    session_id INTEGER NOT NULL REFERENCES session (id),
    item_id BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('failed', 'timed_out', 'crashed', 'cancelled', 'interrupted')),
    started REAL,
    seconds REAL,
    worker TEXT NOT NULL,
    error_type TEXT,
    error_message TEXT,
    traceback TEXT
) STRICT;
CREATE INDEX attempt_interrupted ON attempt (run_id, item_id) WHERE status = 'interrupted';

CREATE TABLE lease (
    session_id INTEGER NOT NULL REFERENCES session (id),
    chunk INTEGER NOT NULL,
    worker TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    started REAL NOT NULL,
    ids BLOB NOT NULL,
    PRIMARY KEY (session_id, chunk)
) STRICT, WITHOUT ROWID;
