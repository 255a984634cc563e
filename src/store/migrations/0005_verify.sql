-- What follows on a purge that is done: a look at the edge, and another purge. Times are
-- milliseconds since the Unix epoch.

-- The hash of the content before the change (NULL: not known).
ALTER TABLE change ADD COLUMN former BLOB;
-- 1: purged again by edgepurge itself; nothing follows on that but a look.
ALTER TABLE change ADD COLUMN again INTEGER NOT NULL DEFAULT 0;

-- 1: settled, and what follows is not planned yet.
ALTER TABLE request ADD COLUMN follow INTEGER NOT NULL DEFAULT 0;
CREATE INDEX request_follow ON request (pipeline, id) WHERE follow = 1;

-- Assets to be verified. probe (at `due`) -> gone from here, or again (purged again at `due`)
-- -> purging (until that purge is done) -> probe.
CREATE TABLE verification (
    pipeline TEXT    NOT NULL,
    asset    TEXT    NOT NULL,
    -- The last change that was purged, and the last of them with a file.
    seq      INTEGER NOT NULL,
    cause    INTEGER,
    request  INTEGER NOT NULL,
    seen     INTEGER NOT NULL,
    -- How often it was purged again, and how often the edge did not answer since.
    round    INTEGER NOT NULL,
    tries    INTEGER NOT NULL,
    stage    TEXT    NOT NULL CHECK (stage IN ('probe', 'again', 'purging')),
    due      INTEGER NOT NULL,
    PRIMARY KEY (pipeline, asset)
) STRICT, WITHOUT ROWID;
CREATE INDEX verification_due ON verification (stage, due);

-- What a look at the edge found: the last one of each asset of a request.
CREATE TABLE verified (
    request INTEGER NOT NULL REFERENCES request (id) ON DELETE CASCADE,
    asset   TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    verdict TEXT    NOT NULL CHECK (verdict IN ('fresh', 'stale', 'unverified')),
    why     TEXT    NOT NULL,
    PRIMARY KEY (request, asset)
) STRICT, WITHOUT ROWID;

-- Purges to be made once more (`repurge_after`); an empty asset: of everything.
CREATE TABLE repurge (
    pipeline TEXT    NOT NULL,
    asset    TEXT    NOT NULL,
    -- The last change of it.
    seq      INTEGER NOT NULL,
    due      INTEGER NOT NULL,
    PRIMARY KEY (pipeline, asset)
) STRICT, WITHOUT ROWID;
CREATE INDEX repurge_due ON repurge (due);
