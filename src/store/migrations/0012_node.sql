-- The nodes that share a queue; a queue in a file has one. The key stays with the node's state directory, and
-- the name is a label. The instance is a random number of the process that runs as the node, or did last.
-- The beat moves while it runs.
CREATE TABLE node (
    id       INTEGER PRIMARY KEY,
    key      TEXT    NOT NULL UNIQUE,
    name     TEXT    NOT NULL,
    instance INTEGER NOT NULL,
    beat     INTEGER NOT NULL DEFAULT 0,
    has_left INTEGER NOT NULL DEFAULT 0,
    since    INTEGER NOT NULL DEFAULT 0,
    version  TEXT    NOT NULL DEFAULT ''
) STRICT;
INSERT INTO node (id, key, name, instance) VALUES (1, '', '', 0);

-- Which node noticed the file behind a change (NULL: there is none). Only that one brings its index up to date
-- from it.
ALTER TABLE change ADD COLUMN node INTEGER;
UPDATE change SET node = 1 WHERE path IS NOT NULL;
DROP INDEX change_fact;
CREATE INDEX change_fact ON change (node, pipeline, origin, seq) WHERE path IS NOT NULL;

CREATE TABLE pruned_12 (
    node     INTEGER NOT NULL,
    pipeline TEXT    NOT NULL,
    origin   TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (node, pipeline, origin)
) STRICT, WITHOUT ROWID;
INSERT INTO pruned_12 (node, pipeline, origin, seq) SELECT 1, pipeline, origin, seq FROM pruned;
DROP TABLE pruned;
ALTER TABLE pruned_12 RENAME TO pruned;
