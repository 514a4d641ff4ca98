CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    created REAL NOT NULL,              -- Unix time
    ended REAL,
    state TEXT NOT NULL,                -- running, done, cancelled
    mode TEXT NOT NULL,                 -- text, image
    columns TEXT NOT NULL,              -- JSON: columns the client named
    attached INTEGER NOT NULL,          -- 1: ends with the connection that made it
    total INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,    -- outcomes so far, so the last seq
    failed INTEGER NOT NULL DEFAULT 0   -- of these, not ok
) STRICT;
CREATE TABLE IF NOT EXISTS items (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    id TEXT NOT NULL,
    row TEXT NOT NULL,                  -- JSON, as the client sent it
    picture BLOB,                       -- an upload
    PRIMARY KEY (job, position)
) STRICT;
CREATE TABLE IF NOT EXISTS outcomes (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,               -- 1, 2, 3 ... in each job: the ids of its events
    position INTEGER NOT NULL,
    status TEXT NOT NULL,
    body TEXT NOT NULL,                 -- JSON, as clients get it
    PRIMARY KEY (job, seq),
    UNIQUE (job, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pulse (one INTEGER PRIMARY KEY CHECK (one = 1), at REAL NOT NULL) STRICT;
