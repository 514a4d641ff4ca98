CREATE TABLE user_state (
    user_id TEXT PRIMARY KEY,
    weight_kg REAL, -- NULL: no reading was accepted
    trend_kg_day REAL,
    p00 REAL, -- covariance of weight and trend
    p01 REAL,
    p11 REAL,
    last_time ANY, -- of the last accepted reading: ISO 8601 text in UTC, or days
    readings INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    restarts INTEGER NOT NULL,
    since_restart INTEGER NOT NULL,
    unused INTEGER NOT NULL -- rows of this user that could not be used
) STRICT;
