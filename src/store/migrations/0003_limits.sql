-- The API's clock at the last change that a request covers, in milliseconds since the Unix epoch: what
-- was made before it, by that clock, can't be this request. NULL: no request can be told to be it.
ALTER TABLE request ADD COLUMN api_since INTEGER;
-- Whether a request before it was still pending after `track_timeout`.
ALTER TABLE request ADD COLUMN overdue INTEGER NOT NULL DEFAULT 0;
ALTER TABLE change ADD COLUMN overdue INTEGER NOT NULL DEFAULT 0;

-- What the API has taught: `rate` (calls in 1,000 s) and `max_assets` of a pipeline.
CREATE TABLE learned (
    what     TEXT    NOT NULL CHECK (what IN ('rate', 'max_assets')),
    pipeline TEXT    NOT NULL,
    value    INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (what, pipeline)
) STRICT, WITHOUT ROWID;
