-- What a node reports of itself (JSON), and digests of what all nodes' configurations have to have in common (JSON).
ALTER TABLE node ADD COLUMN status TEXT NOT NULL DEFAULT '';
ALTER TABLE node ADD COLUMN config TEXT NOT NULL DEFAULT '';

-- What a node says of a pipeline, for the others: whether its origins are in view, up to which change it has compared
-- theirs with its own files, and those of them that it has not got (numbers, by commas).
CREATE TABLE member (
    node     INTEGER NOT NULL,
    pipeline TEXT    NOT NULL,
    armed    INTEGER NOT NULL DEFAULT 0,
    agreed   INTEGER NOT NULL DEFAULT 0,
    lagging  TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (node, pipeline)
) STRICT, WITHOUT ROWID;

-- What each node does once with a pipeline's origins, whichever asked for it: it scans them, or notices what changed
-- before. The loss that a scan finds on one node may be accepted. Deliveries that were due until then, and were there
-- (up to that number), are served by it; one that a person asked for serves none.
CREATE TABLE round (
    id          INTEGER PRIMARY KEY,
    pipeline    TEXT    NOT NULL,
    kind        TEXT    NOT NULL CHECK (kind IN ('scan', 'notice')),
    due         INTEGER NOT NULL,
    delivery    INTEGER NOT NULL,
    accept_loss INTEGER
) STRICT;

-- Up to which round a node that has origins of a pipeline has done them, the last change by then, and what it found
-- (JSON).
CREATE TABLE served (
    node     INTEGER NOT NULL,
    pipeline TEXT    NOT NULL,
    kind     TEXT    NOT NULL CHECK (kind IN ('scan', 'notice')),
    round    INTEGER NOT NULL DEFAULT 0,
    last     INTEGER NOT NULL DEFAULT 0,
    report   TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (node, pipeline, kind)
) STRICT, WITHOUT ROWID;

-- The nodes that a delivery's scan was made without, since they were silent.
ALTER TABLE delivery ADD COLUMN without TEXT NOT NULL DEFAULT '';

-- What is asked of the leader at another node (JSON), and its answer. One that is withdrawn is not done, unless it is
-- asked again.
CREATE TABLE ask (
    id        INTEGER PRIMARY KEY,
    node      INTEGER NOT NULL,
    body      TEXT    NOT NULL,
    withdrawn INTEGER NOT NULL DEFAULT 0,
    answer    TEXT
) STRICT;

-- The last commits of each node that shares a queue, by number, each with a random mark. One in a file has none: it
-- forgets nothing.
CREATE TABLE batch (
    node INTEGER NOT NULL,
    n    INTEGER NOT NULL,
    mark INTEGER NOT NULL,
    PRIMARY KEY (node, n)
) STRICT, WITHOUT ROWID;
