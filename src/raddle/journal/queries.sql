-- Every statement of the journal, by name. {marks} stands for as many question marks as there are ids, {rows} for as
-- many rows of eight question marks as there are items.
-- Plain question marks only, although some values are given twice: Python 3.12.1 warns of numbered ones.

-- ------------------------------------------------------------------------------------------------ a session begins

-- name: runs_interrupted
UPDATE run SET state = 'interrupted' WHERE state = 'running';

-- name: open_leases
SELECT session.run_id, lease.session_id, lease.chunk, lease.attempt, lease.started, lease.worker, lease.ids
FROM lease JOIN session ON session.id = lease.session_id
ORDER BY lease.session_id, lease.chunk;

-- name: add_interrupted
INSERT INTO attempt (run_id, session_id, item_id, attempt, status, started, worker)
VALUES (?, ?, ?, ?, 'interrupted', ?, ?);

-- name: delete_all_leases
DELETE FROM lease;

-- name: latest_run
SELECT id, uid, function, version, unique_ids FROM run WHERE name = ? ORDER BY id DESC LIMIT 1;

-- name: add_run
INSERT INTO run (uid, name, function, version, python, total, backend, workers, command, unique_ids, created, state)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running');

-- name: continue_run
UPDATE run SET version = ?, python = ?, total = ?, backend = ?, workers = ?, command = coalesce(nullif(?, ''), command),
    unique_ids = ?, state = 'running', ended = NULL
WHERE id = ?;

-- name: fill_given_ids
INSERT OR IGNORE INTO given_id (run_id, item_id)
SELECT run_id, item_id FROM outcome WHERE run_id = ? ORDER BY item_id;

-- name: first_uid
SELECT uid FROM run ORDER BY id LIMIT 1;

-- name: add_session
INSERT INTO session (run_id, started, pid, host, first_outcome) VALUES (?, ?, ?, ?, ?);

-- name: highest_outcome
SELECT coalesce(max(id), 0) FROM outcome;

-- name: has_interrupted
SELECT EXISTS (SELECT 1 FROM attempt WHERE run_id = ? AND status = 'interrupted');

-- --------------------------------------------------------------------------------------------------- while it runs

-- name: add_lease
INSERT OR REPLACE INTO lease (session_id, chunk, worker, attempt, started, ids) VALUES (?, ?, ?, ?, ?, ?);

-- name: end_lease
DELETE FROM lease WHERE session_id = ? AND chunk = ?;

-- name: add_ok
INSERT INTO outcome (run_id, session_id, status, attempts, worker, item_id, position, label, key, started, seconds,
    value_size, seal, value)
SELECT ?, ?, 'ok', ?, ?, column1, column2, column3, column4, column5, column6, length(column8), column7, column8
FROM (VALUES {rows});

-- name: add_outcome
INSERT INTO outcome (run_id, session_id, item_id, position, label, key, status, attempts, started, seconds, worker,
    error_type, error_message, traceback, value_file, value_size, seal, value)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_given_id
INSERT INTO given_id (run_id, item_id) VALUES (?, ?);

-- name: who_has_id
SELECT position, label FROM outcome WHERE run_id = ? AND item_id = ? ORDER BY id LIMIT 1;

-- name: keep_as_attempt
INSERT INTO attempt (run_id, session_id, item_id, attempt, status, started, seconds, worker,
    error_type, error_message, traceback)
SELECT run_id, session_id, item_id, attempts, status, started, seconds, worker, error_type, error_message, traceback
FROM outcome WHERE id = ? AND status <> 'ok';

-- name: note_gone
UPDATE session SET gone = gone + 1 WHERE id = (SELECT session_id FROM outcome WHERE id = ?);

-- name: delete_outcome
DELETE FROM outcome WHERE id = ?;

-- name: add_attempt
INSERT INTO attempt (run_id, session_id, item_id, attempt, status, started, seconds, worker,
    error_type, error_message, traceback)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_happening
INSERT INTO happening (run_id, session_id, at, kind, number, text) VALUES (?, ?, ?, ?, ?, ?);

-- name: add_stretch
INSERT OR IGNORE INTO stretch (first, last, not_ok, least_position, greatest_position, least_start, greatest_end, slowest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: ranges
SELECT first, coalesce(next - 1, 9223372036854775807) AS last
FROM (SELECT id, run_id, first_outcome AS first, lead(first_outcome) OVER (ORDER BY id) AS next FROM session)
WHERE run_id = ? AND id < ? AND (next IS NULL OR next > first) ORDER BY first;

-- name: read_rows
SELECT id, run_id, item_id, position, status, attempts, started, seconds, worker, seal, value
FROM outcome WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?;

-- name: pick_rows
SELECT id, run_id, item_id, position, status, attempts, started, seconds, worker, seal, value
FROM outcome WHERE id IN ({marks});

-- name: more_of_rows
SELECT id, error_type, error_message, traceback, value_file, value_size FROM outcome WHERE id IN ({marks});

-- name: interruptions
SELECT item_id, count(DISTINCT session_id) FROM attempt
WHERE run_id = ? AND status = 'interrupted' AND item_id IN ({marks}) GROUP BY item_id;

-- -------------------------------------------------------------------------------------------------- a session ends

-- name: end_session
UPDATE session SET ended = ? WHERE id = ?;

-- name: end_run
UPDATE run SET state = ?, ended = ?, summary = ? WHERE id = ?;

-- name: end_session_leases
DELETE FROM lease WHERE session_id = ?;

-- -------------------------------------------------------------------------------------------------- read by people

-- name: runs
SELECT run.id, run.uid, run.name, run.function, run.version, run.python, run.total, run.backend, run.workers,
    run.created, run.ended, run.state, run.summary, run.command, count(session.id) AS sessions, session.pid,
    session.host, max(session.id) AS latest
FROM run JOIN session ON session.run_id = run.id
WHERE ? IS NULL OR run.uid = ? OR run.name = ? OR run.id = ?
GROUP BY run.id ORDER BY run.id;

-- name: bounds
SELECT min(first) AS first, max(coalesce(next - 1, 9223372036854775807)) AS last
FROM (SELECT run_id, first_outcome AS first, lead(first_outcome) OVER (ORDER BY id) AS next FROM session)
WHERE run_id = ?;

-- name: timed
SELECT id, item_id, status, seconds FROM outcome WHERE id BETWEEN ? AND ? AND run_id = ? ORDER BY id LIMIT ?;

-- name: outcomes
SELECT id, run_id, item_id, position, label, key, status, attempts, started, seconds, worker,
    error_type, error_message, traceback, value_size
FROM outcome WHERE id > ? AND id <= ? AND run_id = ? AND status = coalesce(?, status) ORDER BY id LIMIT ?;

-- name: outcomes_not_ok
SELECT id, run_id, item_id, position, label, key, status, attempts, started, seconds, worker,
    error_type, error_message, traceback, value_size
FROM outcome WHERE id > ? AND id <= ? AND run_id = ? AND status = ? AND status <> 'ok' ORDER BY id LIMIT ?;

-- name: value_of
SELECT item_id, position, seal, value, value_file, value_size FROM outcome WHERE id = ?;

-- name: count_all
SELECT count(*) AS total FROM outcome WHERE id BETWEEN ? AND ? AND run_id = ?;

-- name: gone
SELECT coalesce(sum(gone), 0) AS gone FROM session WHERE run_id = ?;

-- name: count_not_ok
SELECT status, count(*) AS count FROM outcome WHERE run_id = ? AND status <> 'ok' GROUP BY status;

-- name: count_attempts
SELECT status, count(*) AS count FROM attempt WHERE run_id = ? GROUP BY status;

-- name: failures
SELECT grouped.status, coalesce(grouped.error_type, '') AS error_type, grouped.count, position AS example_position,
    label AS example_label, coalesce(error_message, '') AS example_message, traceback AS example_traceback
FROM (
    SELECT status, error_type, count(*) AS count, min(id) AS first FROM outcome
    WHERE run_id = ? AND status <> 'ok' GROUP BY status, error_type
) AS grouped JOIN outcome ON outcome.id = grouped.first
ORDER BY grouped.count DESC, grouped.first;

-- name: run_ranges
SELECT first, coalesce(next - 1, (SELECT max(id) FROM outcome)) AS last
FROM (SELECT run_id, first_outcome AS first, lead(first_outcome) OVER (ORDER BY id) AS next FROM session)
WHERE run_id = ? ORDER BY first;

-- name: stretches
SELECT first, last, not_ok, least_position, greatest_position, least_start, greatest_end, slowest
FROM stretch WHERE first BETWEEN ? AND ? ORDER BY first;

-- name: look_through
SELECT * FROM (
    SELECT CASE ? WHEN 'position' THEN position WHEN 'newest' THEN -id ELSE id END AS rank, id * ? AS tie
    FROM outcome
    WHERE id BETWEEN ? AND ? AND run_id = ? AND (? IS NULL OR status = ?) AND (? IS NULL OR error_type = ?)
        AND (? OR label LIKE ? ESCAPE '!' OR key LIKE ? ESCAPE '!' OR error_type LIKE ? ESCAPE '!'
            OR error_message LIKE ? ESCAPE '!')
)
WHERE rank BETWEEN ? AND ? AND (rank, tie) > (?, ?) ORDER BY rank, tie LIMIT ?;

-- name: look_for_slow
SELECT -coalesce(seconds, 0) AS rank, -id AS tie FROM outcome
WHERE id BETWEEN ? AND ? AND -coalesce(seconds, 0) BETWEEN ? AND ? AND (-coalesce(seconds, 0), -id) > (?, ?)
    AND run_id = ? AND (? IS NULL OR status = ?) AND (? IS NULL OR error_type = ?)
    AND (? OR label LIKE ? ESCAPE '!' OR key LIKE ? ESCAPE '!' OR error_type LIKE ? ESCAPE '!'
        OR error_message LIKE ? ESCAPE '!')
ORDER BY rank, tie LIMIT ?;

-- name: these_outcomes
SELECT id, run_id, item_id, position, label, key, status, attempts, started, seconds, worker,
    error_type, error_message, traceback, value_size
FROM outcome WHERE id IN ({marks});

-- name: ends
SELECT min(max(CAST((started + seconds - ?) / ? AS INTEGER), 0), ?) AS bucket, status = 'ok' AS ok, count(*) AS count
FROM outcome WHERE id BETWEEN ? AND ? AND run_id = ? GROUP BY 1, 2;

-- name: latest_end
SELECT started + seconds FROM outcome WHERE id <= ? ORDER BY id DESC LIMIT 1;

-- name: spans
SELECT worker, started, seconds, status, position, label, attempts
FROM outcome
WHERE id BETWEEN ? AND ? AND run_id = ? AND started + seconds >= ? AND started <= ? ORDER BY id DESC LIMIT ?;

-- name: earlier_spans
SELECT worker, started, coalesce(seconds, 0), status, NULL, '', attempt
FROM (SELECT * FROM attempt WHERE run_id = ? ORDER BY id DESC LIMIT ?)
WHERE started + coalesce(seconds, 0) >= ? AND started <= ? ORDER BY id DESC LIMIT ?;

-- name: under_way
SELECT worker, started, substr(ids, 1, 4) AS items, attempt
FROM lease WHERE session_id = (SELECT max(id) FROM session WHERE run_id = ?) ORDER BY worker, chunk;

-- name: happenings
SELECT id, at, kind, number, text FROM happening WHERE run_id = ? AND id > ? ORDER BY id LIMIT ?;

-- name: highest_numbers
SELECT (SELECT coalesce(max(id), 0) FROM outcome), (SELECT coalesce(max(id), 0) FROM attempt),
    (SELECT coalesce(max(id), 0) FROM session),
    (SELECT coalesce(max(chunk), 0) + count(*) FROM lease);

-- name: highest_happening
SELECT coalesce(max(id), 0) FROM happening;

-- name: states
SELECT state, count(*) FROM run GROUP BY state ORDER BY state;

-- name: said_to_run
SELECT pid, host FROM session WHERE id IN (
    SELECT max(session.id) FROM session JOIN run ON run.id = session.run_id WHERE run.state = 'running' GROUP BY run.id
);
