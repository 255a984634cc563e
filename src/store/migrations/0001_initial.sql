-- Queue and history. Times are milliseconds since the Unix epoch.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A fact: this asset of this pipeline (NULL: everything of it) is stale since `seen`.
-- queued -> taken by `request` -> done | failed, or queued again.
CREATE TABLE change (
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
    stage      TEXT    NOT NULL CHECK (stage IN ('queued', 'taken', 'done', 'failed')),
    -- How many requests for it came to nothing, and when to try again.
    attempt    INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    request    INTEGER
) STRICT;
CREATE INDEX change_queued ON change (seq) WHERE stage = 'queued';
CREATE INDEX change_queued_asset ON change (pipeline, asset) WHERE stage = 'queued';
CREATE INDEX change_failed ON change (pipeline, asset) WHERE stage = 'failed';
CREATE INDEX change_request ON change (request) WHERE request IS NOT NULL;
CREATE INDEX change_fact ON change (pipeline, origin, seq) WHERE path IS NOT NULL;

-- A purge request: submitting -> accepted (with `remote_id`) -> an outcome.
CREATE TABLE request (
    id         INTEGER PRIMARY KEY,
    pipeline   TEXT    NOT NULL,
    -- Why everything is purged, and the last change that it covers; NULL: assets.
    reason     TEXT,
    through    INTEGER,
    stage      TEXT    NOT NULL CHECK (stage IN ('submitting', 'accepted', 'done', 'error',
                   'vanished', 'overdue', 'unsent', 'failed')),
    remote_id  TEXT,
    attempt    INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    opened     INTEGER NOT NULL,
    accepted   INTEGER,
    settled    INTEGER,
    why        TEXT    NOT NULL
) STRICT;
CREATE INDEX request_unsettled ON request (id) WHERE settled IS NULL;
CREATE INDEX request_pipeline ON request (pipeline, id);

-- What a request names, each with the last change of it that is covered.
CREATE TABLE request_asset (
    request INTEGER NOT NULL REFERENCES request (id) ON DELETE CASCADE,
    asset   TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (request, asset)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_asset_asset ON request_asset (asset);

-- Pipelines that wait for a purge of everything though no queued change says so.
CREATE TABLE queued_all (
    pipeline TEXT PRIMARY KEY,
    reason   TEXT    NOT NULL,
    since    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- When each pipeline last opened a purge of everything.
CREATE TABLE last_all (
    pipeline TEXT PRIMARY KEY,
    at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
