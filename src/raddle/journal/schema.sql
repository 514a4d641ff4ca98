-- The journal's schema as it stands, for people: what all the migrations add up to (a test holds the two together).
-- application_id is 0x7261646C ("radl"), user_version the number of the last migration.
-- Times are seconds since 1970; order is told by id, never by time. Texts hold no NUL and no unpaired surrogate.

-- One call over one source, possibly over several sessions. `state` is what was last known: 'running' stays behind
-- when the program is killed, and the next session in this file turns it into 'interrupted'. `command` is JSON of the
-- command line that started it, '' if none did. `unique_ids` is 1 if its last session was given `id=`.
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
    summary TEXT,
    command TEXT NOT NULL DEFAULT '',
    unique_ids INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX run_name ON run (name);

-- One process that worked on a run. `ended` is NULL if it did not say goodbye. Its outcomes have numbers from
-- `first_outcome` up to, but not including, that of the next session (of whatever run). `gone` is how many of them are
-- not there any more, because a later session ran their items again.
CREATE TABLE session (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES run (id),
    started REAL NOT NULL,
    ended REAL,
    pid INTEGER NOT NULL,
    host TEXT NOT NULL,
    first_outcome INTEGER NOT NULL DEFAULT 1,
    gone INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX session_run ON session (run_id, first_outcome);

-- How an item ended: one row per item, in the order of recording. Only appended to, so that there is no index over
-- `item_id`: who resumes reads the rows in order. Items of equal id are told apart by the order of their rows.
-- `value` is a pickle; one too big for a row is in the file `value_file` of the folder JOURNAL.values.
-- `seal` is CRC-32 of value, item_id and position (_rows.seals); NULL in rows of the first schema.
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
CREATE INDEX outcome_not_ok ON outcome (run_id, status, error_type) WHERE status <> 'ok';

-- Ids that the caller gave (`id=`): no two items may have the same. Runs that are not given ids do without.
CREATE TABLE given_id (
    run_id INTEGER NOT NULL REFERENCES run (id),
    item_id BLOB NOT NULL,
    PRIMARY KEY (run_id, item_id)
) STRICT, WITHOUT ROWID;

-- Tries that were not the last: failed ones that were tried again, in the same session or by a `retry_failed` one, and
-- those that the program did not survive.
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
CREATE INDEX attempt_run ON attempt (run_id);

-- What was about to run or running: written before a chunk starts, deleted with its outcomes. A row that a dead
-- session left behind becomes an 'interrupted' attempt of each of its ids (packed: count, lengths, bytes).
CREATE TABLE lease (
    session_id INTEGER NOT NULL REFERENCES session (id),
    chunk INTEGER NOT NULL,
    worker TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    started REAL NOT NULL,
    ids BLOB NOT NULL,
    PRIMARY KEY (session_id, chunk)
) STRICT, WITHOUT ROWID;

-- What a run decided and what befell it, for people. `number`: the limit; of memory, the part in use. Thinned out:
-- some thousands of rows a session at most.
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

-- The bounds of about a thousand outcomes in a row, of one session, from number `first` to `last`, as they were when
-- they were recorded. The last ones of a session may be in none. Only for speed: nothing here decides anything.
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
