-- The tables of `migrations/`, with the types of PostgreSQL. The order of texts is that of their bytes, as
-- SQLite has it. Numbers that stand for flags stay numbers: the statements are the same text.

CREATE TABLE meta (
    key   text COLLATE "C" PRIMARY KEY,
    value text COLLATE "C" NOT NULL
);

CREATE TABLE request (
    id         bigint PRIMARY KEY,
    pipeline   text COLLATE "C" NOT NULL,
    -- Why everything is purged, and the last change that it covers; NULL: assets.
    reason     text COLLATE "C",
    through    bigint,
    stage      text COLLATE "C" NOT NULL CHECK (stage IN ('submitting', 'accepted', 'done', 'error',
                   'vanished', 'overdue', 'unsent', 'failed')),
    remote_id  text COLLATE "C",
    attempt    bigint NOT NULL,
    first_seen bigint NOT NULL,
    opened     bigint NOT NULL,
    accepted   bigint,
    settled    bigint,
    why        text COLLATE "C" NOT NULL,
    -- The API's clock at the last change that it covers; NULL: no request can be told to be it.
    api_since  bigint,
    overdue    bigint NOT NULL DEFAULT 0,
    follow     bigint NOT NULL DEFAULT 0
);

CREATE TABLE request_asset (
    request bigint NOT NULL REFERENCES request (id) ON DELETE CASCADE,
    asset   text COLLATE "C" NOT NULL,
    seq     bigint NOT NULL,
    PRIMARY KEY (request, asset)
);

CREATE TABLE queued_all (
    pipeline text COLLATE "C" PRIMARY KEY,
    reason   text COLLATE "C" NOT NULL,
    since    bigint NOT NULL
);

CREATE TABLE last_all (
    pipeline text COLLATE "C" PRIMARY KEY,
    at       bigint NOT NULL
);

CREATE TABLE learned (
    what     text COLLATE "C" NOT NULL CHECK (what IN ('rate', 'max_assets')),
    pipeline text COLLATE "C" NOT NULL,
    value    bigint NOT NULL,
    at       bigint NOT NULL,
    PRIMARY KEY (what, pipeline)
);

CREATE TABLE pause (
    pipeline text COLLATE "C" NOT NULL,
    -- 'operator', or the name of a deploy's lease.
    holder   text COLLATE "C" NOT NULL,
    -- Who paused, in words; empty: not known.
    who      text COLLATE "C" NOT NULL DEFAULT '',
    reason   text COLLATE "C" NOT NULL,
    since    bigint NOT NULL,
    length   bigint,
    until    bigint,
    PRIMARY KEY (pipeline, holder)
);

CREATE TABLE verification (
    pipeline text COLLATE "C" NOT NULL,
    asset    text COLLATE "C" NOT NULL,
    -- The last change that was purged, and the last of them with a file.
    seq      bigint NOT NULL,
    cause    bigint,
    request  bigint NOT NULL,
    seen     bigint NOT NULL,
    -- How often it was purged again, and how often the edge did not answer since.
    round    bigint NOT NULL,
    tries    bigint NOT NULL,
    stage    text COLLATE "C" NOT NULL CHECK (stage IN ('probe', 'again', 'purging')),
    due      bigint NOT NULL,
    PRIMARY KEY (pipeline, asset)
);

CREATE TABLE verified (
    request bigint NOT NULL REFERENCES request (id) ON DELETE CASCADE,
    asset   text COLLATE "C" NOT NULL,
    at      bigint NOT NULL,
    verdict text COLLATE "C" NOT NULL CHECK (verdict IN ('fresh', 'stale', 'unverified')),
    why     text COLLATE "C" NOT NULL,
    absent  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (request, asset)
);

CREATE TABLE repurge (
    pipeline text COLLATE "C" NOT NULL,
    asset    text COLLATE "C" NOT NULL,
    -- The last change of it.
    seq      bigint NOT NULL,
    due      bigint NOT NULL,
    PRIMARY KEY (pipeline, asset)
);

CREATE TABLE delivery (
    id         bigint PRIMARY KEY,
    route      text COLLATE "C" NOT NULL,
    event      text COLLATE "C" NOT NULL,
    dedupe     bytea,
    pipeline   text COLLATE "C" NOT NULL,
    what       text COLLATE "C" NOT NULL,
    at         bigint NOT NULL,
    due        bigint NOT NULL,
    -- A repeated delivery is recognised until then.
    known      bigint NOT NULL,
    stage      text COLLATE "C" NOT NULL CHECK (stage = 'waiting' OR stage = 'scan' OR stage = 'made'),
    first      bigint NOT NULL,
    last       bigint NOT NULL
);

CREATE TABLE pruned (
    pipeline text COLLATE "C" NOT NULL,
    origin   text COLLATE "C" NOT NULL,
    seq      bigint NOT NULL,
    PRIMARY KEY (pipeline, origin)
);

CREATE TABLE number_floor (
    what text COLLATE "C" PRIMARY KEY,
    last bigint NOT NULL
);

CREATE TABLE change (
    seq        bigint PRIMARY KEY,
    pipeline   text COLLATE "C" NOT NULL,
    asset      text COLLATE "C",
    kind       text COLLATE "C" NOT NULL,
    source     text COLLATE "C" NOT NULL,
    detail     text COLLATE "C" NOT NULL,
    -- The file behind it, and the hash of its new content (NULL: gone, or not hashed).
    origin     text COLLATE "C",
    path       bytea,
    hash       bytea,
    seen       bigint NOT NULL,
    stage      text COLLATE "C" NOT NULL CHECK (stage = 'queued' OR stage = 'taken' OR stage = 'done'
                   OR stage = 'failed' OR stage = 'dropped'),
    -- How many requests for it came to nothing, and when to try again.
    attempt    bigint NOT NULL,
    not_before bigint NOT NULL,
    request    bigint,
    overdue    bigint NOT NULL DEFAULT 0,
    -- The hash of the content before the change (NULL: not known).
    former     bytea,
    -- 1: purged again by edgepurge itself; nothing follows on that but a look.
    again      bigint NOT NULL DEFAULT 0
);

CREATE TABLE delivery_target (
    delivery bigint NOT NULL REFERENCES delivery (id) ON DELETE CASCADE,
    position bigint NOT NULL,
    asset    text COLLATE "C",
    detail   text COLLATE "C" NOT NULL,
    PRIMARY KEY (delivery, position)
);

CREATE TABLE fleet (
    one    bigint PRIMARY KEY CHECK (one = 1),
    term   bigint NOT NULL,
    leader bigint,
    beat   bigint NOT NULL
);

CREATE INDEX request_unsettled ON request (id) WHERE settled IS NULL;
CREATE INDEX request_pipeline ON request (pipeline, id);
CREATE INDEX request_asset_asset ON request_asset (asset);
CREATE INDEX request_settled ON request (settled) WHERE settled IS NOT NULL;
CREATE INDEX request_all ON request (pipeline, id) WHERE through IS NOT NULL;
CREATE INDEX request_follow ON request (pipeline, id) WHERE follow = 1;
CREATE INDEX verification_due ON verification (stage, due);
CREATE INDEX repurge_due ON repurge (due);
CREATE INDEX delivery_open ON delivery (stage, due) WHERE stage <> 'made';
CREATE INDEX delivery_last ON delivery (last) WHERE stage = 'made';
CREATE INDEX verification_probe ON verification (pipeline, due) WHERE stage = 'probe';
CREATE INDEX change_queued ON change (seq) WHERE stage = 'queued';
CREATE INDEX change_queued_asset ON change (pipeline, asset) WHERE stage = 'queued';
CREATE INDEX change_failed ON change (pipeline, asset) WHERE stage = 'failed';
CREATE INDEX change_dropped ON change (pipeline, asset, seen) WHERE stage = 'dropped';
CREATE INDEX change_request ON change (request, asset) WHERE request IS NOT NULL;
CREATE INDEX change_fact ON change (pipeline, origin, seq) WHERE path IS NOT NULL;

-- The last commits of each writer, by number, each with a random mark: they show whether a commit was kept
-- whose answer was lost, and whether any was forgotten.
CREATE TABLE batch (
    node integer NOT NULL,
    n    bigint NOT NULL,
    mark bigint NOT NULL,
    PRIMARY KEY (node, n)
);

-- Adds the mark of a commit, if that of the one before it is the last.
CREATE FUNCTION mark_1(_node integer, _before bigint, _mark bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    _n bigint;
    _last bigint;
BEGIN
    SELECT n, mark INTO _n, _last FROM batch WHERE node = _node ORDER BY n DESC LIMIT 1;
    IF _last IS DISTINCT FROM _before THEN
        RAISE EXCEPTION 'another process has written' USING ERRCODE = 'EP001';
    END IF;
    _n := coalesce(_n, 0) + 1;
    INSERT INTO batch (node, n, mark) VALUES (_node, _n, _mark);
    IF _n % 1000 = 0 THEN
        DELETE FROM batch WHERE node = _node AND n <= _n - 1000;
    END IF;
END $$;

INSERT INTO number_floor (what, last) VALUES ('change', 0), ('delivery', 0);
INSERT INTO fleet (one, term, leader, beat) VALUES (1, 0, NULL, 0);
