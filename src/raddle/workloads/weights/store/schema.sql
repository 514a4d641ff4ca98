-- One run that brings in files is an "ingest"; its number is that of the first of its files. What hangs on an ingest
-- whose files are not finished is taken away when the next run begins.
-- Every table is ordered by its key and by nothing else: equal content makes equal bytes after VACUUM.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE files (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE, -- of the content
    ingest INTEGER NOT NULL,
    finished INTEGER NOT NULL -- 1: the results of all its users are here
) STRICT;

-- Where each user's filter stood after each ingest; with a retrospective pass, after its revisions.
CREATE TABLE snapshots (
    user_id TEXT NOT NULL,
    ingest INTEGER NOT NULL,
    weight_kg REAL, -- NULL: no reading was accepted
    trend_kg_day REAL,
    p00 REAL, -- covariance of weight and trend
    p01 REAL,
    p11 REAL,
    last_time ANY, -- of the last accepted reading: ISO 8601 text in UTC, or days
    readings INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    restarts INTEGER NOT NULL, -- without the first reading
    since_restart INTEGER NOT NULL,
    unused INTEGER NOT NULL, -- rows of this user in this ingest that could not be used
    height_m REAL,
    state BLOB NOT NULL, -- all that the rules need to go on, float64, little end first
    PRIMARY KEY (user_id, ingest)
) STRICT, WITHOUT ROWID;

CREATE VIEW user_state AS
SELECT user_id, weight_kg, trend_kg_day, p00, p01, p11, last_time, readings, accepted, rejected, restarts,
    since_restart,
    (SELECT sum(unused) FROM snapshots p WHERE p.user_id = s.user_id) AS unused,
    height_m, ingest,
    (SELECT count(*) FROM snapshots p WHERE p.user_id = s.user_id) AS version, -- ingests that changed this user
    state
FROM snapshots s
WHERE ingest = (SELECT max(ingest) FROM snapshots p WHERE p.user_id = s.user_id);

-- The readings as they came, by line: per row line, time, value, unit, source as int64, int64, float64, uint8, uint32,
-- packed, little end first (`store.history.ROWS`). A source is an index into the JSON list `sources`.
CREATE TABLE history (
    user_id TEXT NOT NULL,
    file INTEGER NOT NULL,
    ingest INTEGER NOT NULL,
    count INTEGER NOT NULL,
    sources TEXT NOT NULL,
    rows BLOB NOT NULL,
    PRIMARY KEY (user_id, file)
) STRICT, WITHOUT ROWID;

-- What was published for all of a user's readings, by file and line: stage, reset, filtered_weight, trend as uint8,
-- uint8, float64, float64 (`store.history.RESULTS`).
CREATE TABLE results (
    user_id TEXT NOT NULL,
    ingest INTEGER NOT NULL,
    live BLOB NOT NULL,
    final BLOB, -- NULL: the retrospective pass changed nothing
    PRIMARY KEY (user_id, ingest)
) STRICT, WITHOUT ROWID;

-- `row` counts a user's readings of one file by line, from 0: two of them may stand on one line.
CREATE TABLE resets (
    user_id TEXT NOT NULL,
    ingest INTEGER NOT NULL,
    file INTEGER NOT NULL,
    row INTEGER NOT NULL,
    line INTEGER NOT NULL,
    time ANY NOT NULL,
    why TEXT NOT NULL,
    before_kg REAL, -- filtered weight at the last accepted reading before; NULL: there was none
    after_kg REAL,
    PRIMARY KEY (user_id, ingest, file, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE revisions (
    user_id TEXT NOT NULL,
    ingest INTEGER NOT NULL, -- the one that brought it about
    number INTEGER NOT NULL,
    file INTEGER NOT NULL,
    row INTEGER NOT NULL,
    line INTEGER NOT NULL,
    time ANY NOT NULL,
    old_stage TEXT NOT NULL,
    new_stage TEXT NOT NULL,
    old_filtered_weight REAL,
    new_filtered_weight REAL,
    old_trend REAL,
    new_trend REAL,
    cause TEXT NOT NULL CHECK (cause IN ('later readings', 'replay')),
    window_start ANY, -- of the replay
    window_end ANY,
    verdict TEXT,
    PRIMARY KEY (user_id, ingest, number)
) STRICT, WITHOUT ROWID;

-- Windows in which the retrospective pass found something.
CREATE TABLE replays (
    user_id TEXT NOT NULL,
    ingest INTEGER NOT NULL,
    number INTEGER NOT NULL,
    window_start ANY NOT NULL,
    window_end ANY NOT NULL, -- exclusive
    rows INTEGER NOT NULL,
    outliers TEXT NOT NULL, -- JSON: [{"file", "line", "methods"}]
    before_kg REAL,
    after_kg REAL,
    verdict TEXT NOT NULL,
    PRIMARY KEY (user_id, ingest, number)
) STRICT, WITHOUT ROWID;

-- On request only: a row per reading, with the final word on it. Codes instead of words, because there are millions.
CREATE TABLE readings (
    user_id TEXT NOT NULL,
    ingest INTEGER NOT NULL,
    file INTEGER NOT NULL,
    row INTEGER NOT NULL,
    line INTEGER NOT NULL,
    time ANY NOT NULL, -- microseconds since 1970, UTC; or days
    weight_kg REAL,
    source TEXT NOT NULL,
    stage_code INTEGER NOT NULL,
    reset_code INTEGER NOT NULL,
    filtered_weight REAL,
    trend REAL,
    innovation REAL,
    quality REAL,
    at TEXT AS (CASE typeof(time) WHEN 'integer' THEN strftime('%Y-%m-%dT%H:%M:%SZ', time / 1000000, 'unixepoch') END),
    stage TEXT AS (CASE stage_code WHEN 0 THEN 'initialization' WHEN 1 THEN 'accepted' WHEN 2 THEN 'kalman_deviation'
        WHEN 3 THEN 'physiological' WHEN 4 THEN 'preprocessing' WHEN 5 THEN 'quality_scoring'
        WHEN 6 THEN 'retrospective' END),
    reset TEXT AS (CASE reset_code WHEN 1 THEN 'first reading' WHEN 2 THEN 'gap' WHEN 3 THEN 'level change'
        WHEN 4 THEN 'manual entry' END),
    PRIMARY KEY (user_id, ingest, file, row)
) STRICT, WITHOUT ROWID;
