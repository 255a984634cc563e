//! What the status shows of the history.

statements! {
    /// The oldest change of a pipeline that waits for this asset.
    OLDEST_QUEUED =
        "SELECT seq, pipeline, asset, kind, source, detail, origin, path, seen, stage, request
         FROM change
         WHERE pipeline = ?1 AND asset = ?2 AND stage = 'queued' ORDER BY seq LIMIT 1";
    /// The oldest change of a pipeline that waits for everything.
    OLDEST_ALL_QUEUED =
        "SELECT seq, pipeline, asset, kind, source, detail, origin, path, seen, stage, request
         FROM change
         WHERE pipeline = ?1 AND asset IS NULL AND stage = 'queued' ORDER BY seq LIMIT 1";
    /// A change of a request.
    OF_REQUEST =
        "SELECT seq, pipeline, asset, kind, source, detail, origin, path, seen, stage, request
         FROM change WHERE request = ?1 LIMIT 1";
    /// The requests that were done from a time on and before another.
    DONE_BETWEEN =
        "SELECT pipeline, settled, through IS NOT NULL AS whole,
                (SELECT count(*) FROM request_asset WHERE request = request.id) AS assets,
                coalesce((SELECT max(at) FROM verified WHERE request = request.id
                          AND verdict = 'fresh'), settled) - first_seen AS fresh
         FROM request INDEXED BY request_settled
         WHERE settled >= ?1 AND settled < ?2 AND stage = 'done' ORDER BY settled";
    /// When the last request of a pipeline was done.
    LAST_DONE =
        "SELECT settled FROM request WHERE pipeline = ?1 AND stage = 'done' ORDER BY id DESC LIMIT 1";
    /// The last delivery of each route, among so many of the last.
    LAST_DELIVERIES =
        "SELECT id, route, pipeline, stage, due, first, last, event, what, at, without
         FROM delivery WHERE id IN (
             SELECT max(id)
             FROM (SELECT id, route FROM delivery ORDER BY id DESC LIMIT ?1) AS newest
             GROUP BY route)";
}
