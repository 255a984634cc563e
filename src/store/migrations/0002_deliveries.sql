-- What webhooks asked for. Times are milliseconds since the Unix epoch.
-- waiting (for `due`: then its `delivery_target`s become changes) or scan (for `due`, then for the
-- end of scans) -> made: its changes are among those from `first` to `last` of its pipeline.
CREATE TABLE delivery (
    id        INTEGER PRIMARY KEY,
    -- Short hashes of route and event, and of `dedupe`: small indexes stay in few pages, which is
    -- what each commit has to write.
    event_key  INTEGER NOT NULL,
    dedupe_key INTEGER,
    route     TEXT    NOT NULL,
    event     TEXT    NOT NULL,
    dedupe    BLOB,
    pipeline  TEXT    NOT NULL,
    what      TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    due       INTEGER NOT NULL,
    -- A repeated delivery is recognised until then.
    known     INTEGER NOT NULL,
    stage     TEXT    NOT NULL CHECK (stage IN ('waiting', 'scan', 'made')),
    first     INTEGER NOT NULL,
    last      INTEGER NOT NULL
) STRICT;
CREATE INDEX delivery_event ON delivery (event_key);
CREATE INDEX delivery_dedupe ON delivery (dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE INDEX delivery_open ON delivery (stage, due) WHERE stage <> 'made';

-- What a waiting delivery will queue; no asset: everything.
CREATE TABLE delivery_target (
    delivery INTEGER NOT NULL REFERENCES delivery (id) ON DELETE CASCADE,
    asset    TEXT,
    detail   TEXT NOT NULL
) STRICT;
CREATE INDEX delivery_target_delivery ON delivery_target (delivery);
