-- Numbers are given by edgepurge and not by SQLite. The highest that was given is that of the last
-- row, or this one where the last row was deleted: no number is given twice.
CREATE TABLE number_floor (
    what TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO number_floor (what, last)
    SELECT 'change', coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'change';
INSERT INTO number_floor (what, last) SELECT 'delivery', coalesce(max(id), 0) FROM delivery;

-- As before, without AUTOINCREMENT, which wrote another row with each change.
CREATE TABLE change_9 (
    seq        INTEGER PRIMARY KEY,
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
INSERT INTO change_9 (seq, pipeline, asset, kind, source, detail, origin, path, hash, seen, stage,
                      attempt, not_before, request, overdue, former, again)
    SELECT seq, pipeline, asset, kind, source, detail, origin, path, hash, seen, stage, attempt,
           not_before, request, overdue, former, again FROM change;
DROP TABLE change;
ALTER TABLE change_9 RENAME TO change;
CREATE INDEX change_queued ON change (seq) WHERE stage = 'queued';
CREATE INDEX change_queued_asset ON change (pipeline, asset) WHERE stage = 'queued';
CREATE INDEX change_failed ON change (pipeline, asset) WHERE stage = 'failed';
CREATE INDEX change_dropped ON change (pipeline, asset, seen) WHERE stage = 'dropped';
CREATE INDEX change_request ON change (request, asset) WHERE request IS NOT NULL;
CREATE INDEX change_fact ON change (pipeline, origin, seq) WHERE path IS NOT NULL;

-- As before; what a delivery will queue has an order of its own, from 1.
CREATE TABLE delivery_target_9 (
    delivery INTEGER NOT NULL REFERENCES delivery (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    asset    TEXT,
    detail   TEXT NOT NULL,
    PRIMARY KEY (delivery, position)
) STRICT, WITHOUT ROWID;
INSERT INTO delivery_target_9 (delivery, position, asset, detail)
    SELECT delivery, row_number() OVER (PARTITION BY delivery ORDER BY rowid), asset, detail
    FROM delivery_target;
DROP TABLE delivery_target;
ALTER TABLE delivery_target_9 RENAME TO delivery_target;
