-- Who holds a pipeline's purges back. Times are milliseconds since the Unix epoch, lengths
-- milliseconds; NULL: until resumed.
CREATE TABLE pause (
    pipeline TEXT    NOT NULL,
    -- 'operator', or the name of a deploy's lease.
    holder   TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    since    INTEGER NOT NULL,
    length   INTEGER,
    until    INTEGER,
    PRIMARY KEY (pipeline, holder)
) STRICT, WITHOUT ROWID;

-- As before, and `dropped`: a person gave it up. A CHECK can't be changed in place.
CREATE TABLE change_4 (
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
    stage      TEXT    NOT NULL CHECK (stage IN ('queued', 'taken', 'done', 'failed', 'dropped')),
    -- How many requests for it came to nothing, and when to try again.
    attempt    INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    request    INTEGER,
    overdue    INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO change_4 (seq, pipeline, asset, kind, source, detail, origin, path, hash, seen, stage,
                      attempt, not_before, request, overdue)
    SELECT seq, pipeline, asset, kind, source, detail, origin, path, hash, seen, stage, attempt,
           not_before, request, overdue FROM change;
-- The last number ever given may be above the last that is still there.
DELETE FROM sqlite_sequence WHERE name = 'change_4';
INSERT INTO sqlite_sequence (name, seq) SELECT 'change_4', seq FROM sqlite_sequence WHERE name = 'change';
DROP TABLE change;
ALTER TABLE change_4 RENAME TO change;
CREATE INDEX change_queued ON change (seq) WHERE stage = 'queued';
CREATE INDEX change_queued_asset ON change (pipeline, asset) WHERE stage = 'queued';
CREATE INDEX change_failed ON change (pipeline, asset) WHERE stage = 'failed';
CREATE INDEX change_dropped ON change (pipeline, asset, seen) WHERE stage = 'dropped';
CREATE INDEX change_request ON change (request, asset) WHERE request IS NOT NULL;
CREATE INDEX change_fact ON change (pipeline, origin, seq) WHERE path IS NOT NULL;

-- What is old is found without looking at what is not.
CREATE INDEX request_settled ON request (settled) WHERE settled IS NOT NULL;

-- For the history of one asset: purges of everything are part of it, and the delivery behind a change.
CREATE INDEX request_all ON request (pipeline, id) WHERE through IS NOT NULL;
CREATE INDEX delivery_last ON delivery (last) WHERE stage = 'made';
