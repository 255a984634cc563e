-- 1: given up, since the edge keeps saying that there is no such file.
ALTER TABLE verified ADD COLUMN absent INTEGER NOT NULL DEFAULT 0;

-- The next looks of one pipeline, however many wait in others.
CREATE INDEX verification_probe ON verification (pipeline, due) WHERE stage = 'probe';

-- The last change of each origin's files that was deleted with the old history: an index that ends
-- before it can't be brought up to date.
CREATE TABLE pruned (
    pipeline TEXT    NOT NULL,
    origin   TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (pipeline, origin)
) STRICT, WITHOUT ROWID;
