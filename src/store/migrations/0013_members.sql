-- What a node reports of itself (JSON), and digests of what all nodes' configurations have to have in common (JSON).
ALTER TABLE node ADD COLUMN status TEXT NOT NULL DEFAULT '';
ALTER TABLE node ADD COLUMN config TEXT NOT NULL DEFAULT '';

-- What a node says of a pipeline, for the others: whether its origins are in view, up to which change it has compared
-- theirs with its own files, and those of them that it has not got (numbers, by commas); the last round whose
-- scan, and the last whose look, it has done, the last change by then, and what it reports of that (JSON).
CREATE TABLE member (
    node     INTEGER NOT NULL,
    pipeline TEXT    NOT NULL,
    armed    INTEGER NOT NULL DEFAULT 0,
    agreed   INTEGER NOT NULL DEFAULT 0,
    lagging  TEXT    NOT NULL DEFAULT '',
    scanned  INTEGER NOT NULL DEFAULT 0,
    noticed  INTEGER NOT NULL DEFAULT 0,
    last     INTEGER NOT NULL DEFAULT 0,
    report   TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (node, pipeline)
) STRICT, WITHOUT ROWID;

-- What each node is to do with a pipeline's origins, asked at any of them: to scan them, or to notice what changed
-- before. The loss that a scan finds on one node may be accepted.
CREATE TABLE round (
    id          INTEGER PRIMARY KEY,
    pipeline    TEXT    NOT NULL,
    kind        TEXT    NOT NULL CHECK (kind IN ('scan', 'notice')),
    due         INTEGER NOT NULL,
    accept_loss INTEGER,
    asked       INTEGER NOT NULL,
    who         TEXT    NOT NULL DEFAULT ''
) STRICT;

-- What is asked of the leader at another node (JSON), and its answer. One that is withdrawn is not done, unless it is
-- asked again.
CREATE TABLE ask (
    id        INTEGER PRIMARY KEY,
    node      INTEGER NOT NULL,
    body      TEXT    NOT NULL,
    withdrawn INTEGER NOT NULL DEFAULT 0,
    answer    TEXT
) STRICT;
