-- The keys of the last deliveries are in memory: two indexes over random numbers cost each commit
-- more than all the rest of it. And a CHECK with a list of more than two words builds a temporary
-- table for every row that is written, which cost more than writing the row. Neither index nor CHECK
-- of a table can be changed in place; the tables that grow are made anew.
CREATE TABLE change_6 (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    pipeline   TEXT    NOT NULL,
    asset      TEXT,
    kind       TEXT    NOT NULL,
    source     TEXT    NOT NULL,
    detail     TEXT    NOT NULL,
    -- The file behind it, and the hash of its new content (NULL: gone, or not hashed).
    origin     TEXT,
    path       BLOB,
    hash       BLOB,
    seen       INTEGER NOT NULL,
    stage      TEXT    NOT NULL CHECK (stage = 'queued' OR stage = 'taken' OR stage = 'done'
                   OR stage = 'failed' OR stage = 'dropped'),
    -- How many requests for it came to nothing, and when to try again.
    attempt    INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    request    INTEGER,
    overdue    INTEGER NOT NULL DEFAULT 0,
    -- The hash of the content before the change (NULL: not known).
    former     BLOB,
    -- 1: purged again by edgepurge itself; nothing follows on that but a look.
    again      INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO change_6 (seq, pipeline, asset, kind, source, detail, origin, path, hash, seen, stage,
                      attempt, not_before, request, overdue, former, again)
    SELECT seq, pipeline, asset, kind, source, detail, origin, path, hash, seen, stage, attempt,
           not_before, request, overdue, former, again FROM change;
-- The last number ever given may be above the last that is still there.
DELETE FROM sqlite_sequence WHERE name = 'change_6';
INSERT INTO sqlite_sequence (name, seq) SELECT 'change_6', seq FROM sqlite_sequence WHERE name = 'change';
DROP TABLE change;
ALTER TABLE change_6 RENAME TO change;
CREATE INDEX change_queued ON change (seq) WHERE stage = 'queued';
CREATE INDEX change_queued_asset ON change (pipeline, asset) WHERE stage = 'queued';
CREATE INDEX change_failed ON change (pipeline, asset) WHERE stage = 'failed';
CREATE INDEX change_dropped ON change (pipeline, asset, seen) WHERE stage = 'dropped';
CREATE INDEX change_request ON change (request, asset) WHERE request IS NOT NULL;
CREATE INDEX change_fact ON change (pipeline, origin, seq) WHERE path IS NOT NULL;

CREATE TABLE delivery_6 (
    id         INTEGER PRIMARY KEY,
    -- Short hashes of the route with the event, and of the route with `dedupe`.
    event_key  INTEGER NOT NULL,
    dedupe_key INTEGER,
    route      TEXT    NOT NULL,
    event      TEXT    NOT NULL,
    dedupe     BLOB,
    pipeline   TEXT    NOT NULL,
    what       TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    due        INTEGER NOT NULL,
    -- A repeated delivery is recognised until then.
    known      INTEGER NOT NULL,
    stage      TEXT    NOT NULL CHECK (stage = 'waiting' OR stage = 'scan' OR stage = 'made'),
    first      INTEGER NOT NULL,
    last       INTEGER NOT NULL
) STRICT;
-- Once, for what came just before, a repetition is not recognised: its key is of another form now.
INSERT INTO delivery_6 (id, event_key, route, event, dedupe, pipeline, what, at, due, known, stage,
                        first, last)
    SELECT id, event_key, route, event, dedupe, pipeline, what, at, due, known, stage, first, last
    FROM delivery;
CREATE TABLE delivery_target_6 (
    delivery INTEGER NOT NULL REFERENCES delivery_6 (id) ON DELETE CASCADE,
    asset    TEXT,
    detail   TEXT NOT NULL
) STRICT;
INSERT INTO delivery_target_6 (delivery, asset, detail)
    SELECT delivery, asset, detail FROM delivery_target ORDER BY rowid;
-- The child goes first: with its parent it would lose its rows.
DROP TABLE delivery_target;
DROP TABLE delivery;
ALTER TABLE delivery_6 RENAME TO delivery;
ALTER TABLE delivery_target_6 RENAME TO delivery_target;
CREATE INDEX delivery_open ON delivery (stage, due) WHERE stage <> 'made';
CREATE INDEX delivery_last ON delivery (last) WHERE stage = 'made';
CREATE INDEX delivery_target_delivery ON delivery_target (delivery);
