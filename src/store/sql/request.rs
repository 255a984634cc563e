//! Purge requests, purges of everything that wait, and what the API has taught.

statements! {
    QUEUE_ALL =
        "INSERT INTO queued_all (pipeline, reason, since) VALUES (?1, ?2, ?3)
         ON CONFLICT (pipeline) DO UPDATE
         SET reason = excluded.reason, since = excluded.since";
    FOLLOW = "UPDATE request SET follow = 1 WHERE id = ?1";
    OPEN =
        "INSERT INTO request (id, pipeline, reason, through, stage, attempt, first_seen,
                              opened, api_since, why)
         VALUES (?1, ?2, ?3, ?4, 'submitting', 0, ?5, ?6, ?7, '')";
    NAME = "INSERT INTO request_asset (request, asset, seq) VALUES (?1, ?2, ?3)";
    UNQUEUE_ALL = "DELETE FROM queued_all WHERE pipeline = ?1";
    SUM_UP =
        "UPDATE request SET (attempt, overdue) =
         (SELECT coalesce(max(attempt), 0), coalesce(max(overdue), 0)
          FROM change WHERE request = ?1) WHERE id = ?1";
    ACCEPT =
        "UPDATE request SET stage = 'accepted', remote_id = ?2, accepted = ?3
         WHERE id = ?1 AND settled IS NULL";
    EMPTIED =
        "INSERT INTO last_all (pipeline, at)
         SELECT pipeline, ?2 FROM request WHERE id = ?1 AND through IS NOT NULL
         ON CONFLICT (pipeline) DO UPDATE SET at = excluded.at";
    LEARN =
        "INSERT INTO learned (what, pipeline, value, at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (what, pipeline) DO UPDATE SET value = excluded.value, at = excluded.at";
    SETTLE =
        "UPDATE request SET stage = ?2, why = ?3, settled = ?4
         WHERE id = ?1 AND settled IS NULL";
    UNSETTLED =
        "SELECT id, pipeline, reason, through, remote_id, attempt, first_seen, opened, overdue,
                api_since
         FROM request WHERE settled IS NULL ORDER BY id";
    QUEUED_ALL = "SELECT pipeline, reason, since FROM queued_all ORDER BY pipeline";
    LAST_ALL = "SELECT pipeline, at FROM last_all";
    LEARNED = "SELECT what, pipeline, value, at FROM learned ORDER BY what, pipeline";
    SETTLED_REMOTE_IDS =
        "SELECT remote_id FROM request
         WHERE settled IS NOT NULL AND remote_id IS NOT NULL
         ORDER BY id DESC LIMIT ?1";
    ASSETS = "SELECT asset, seq FROM request_asset WHERE request = ?1 ORDER BY asset";
    PRUNE =
        "DELETE FROM request WHERE id IN (
         SELECT id FROM request INDEXED BY request_settled WHERE settled < ?1
           AND NOT EXISTS (SELECT 1 FROM change WHERE change.request = request.id) LIMIT ?2)";
    OF_ASSET =
        "SELECT id, remote_id, pipeline, stage, reason, attempt, first_seen, opened, accepted,
                settled, why, covers
         FROM request JOIN (
             SELECT request AS number, covers FROM (
                 SELECT request, seq AS covers FROM request_asset
                 WHERE asset = ?2 ORDER BY request DESC LIMIT ?4) AS named
             UNION ALL
             SELECT number, NULL FROM (
                 SELECT id AS number FROM request INDEXED BY request_all
                 WHERE pipeline = ?1 AND through IS NOT NULL ORDER BY id DESC LIMIT ?3) AS every
         ) AS found ON request.id = number
         WHERE pipeline = ?1
         ORDER BY id DESC LIMIT ?3";
    QUEUED_ALL_OF = "SELECT reason FROM queued_all WHERE pipeline = ?1";
    UNFOLLOW_ALL = "UPDATE request SET follow = 0 WHERE follow = 1 AND pipeline = ?1";
    TO_FOLLOW =
        "SELECT id, through, stage FROM request INDEXED BY request_follow
         WHERE follow = 1 AND pipeline = ?1 ORDER BY id LIMIT ?2";
    UNFOLLOW = "UPDATE request SET follow = 0 WHERE id = ?1";
    PIPELINES_TO_FOLLOW =
        "SELECT DISTINCT pipeline FROM request INDEXED BY request_follow WHERE follow = 1";
}
