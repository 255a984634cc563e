-- As `migrations/0012_node.sql`. The first node that starts gets number 1, and with it what the only one there
-- was before has noticed and committed.
CREATE TABLE node (
    id       bigint PRIMARY KEY,
    key      text COLLATE "C" NOT NULL UNIQUE,
    name     text COLLATE "C" NOT NULL,
    instance bigint NOT NULL,
    beat     bigint NOT NULL DEFAULT 0,
    has_left bigint NOT NULL DEFAULT 0,
    since    bigint NOT NULL DEFAULT 0,
    version  text COLLATE "C" NOT NULL DEFAULT ''
);

ALTER TABLE change ADD COLUMN node bigint;
UPDATE change SET node = 1 WHERE path IS NOT NULL;
DROP INDEX change_fact;
CREATE INDEX change_fact ON change (node, pipeline, origin, seq) WHERE path IS NOT NULL;

ALTER TABLE pruned ADD COLUMN node bigint NOT NULL DEFAULT 1;
ALTER TABLE pruned ALTER COLUMN node DROP DEFAULT;
ALTER TABLE pruned DROP CONSTRAINT pruned_pkey;
ALTER TABLE pruned ADD PRIMARY KEY (node, pipeline, origin);

-- Other nodes take deliveries, too: what a delivery repeats is not in this one's memory.
CREATE INDEX delivery_dedupe ON delivery (dedupe, id) WHERE dedupe IS NOT NULL;
CREATE INDEX delivery_event ON delivery (substr(event, 1, 64), id);
