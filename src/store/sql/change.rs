//! Changes.

statements! {
    LAST =
        "SELECT max(seq) FROM (
             SELECT max(seq) AS seq FROM change
             UNION ALL SELECT last FROM number_floor WHERE what = 'change') AS given";
    KEEP_LAST = "UPDATE number_floor SET last = ?1 WHERE what = 'change' AND last < ?1";
    APPEND =
        "INSERT INTO change (seq, pipeline, asset, kind, source, detail, origin, path, hash, seen,
                             stage, attempt, not_before, former, node)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'queued', 0, 0, ?11, ?12)";
    QUEUED_AFTER =
        "SELECT seq, pipeline, asset, kind, source, detail, seen, attempt, not_before,
                overdue, again
         FROM change INDEXED BY change_queued
         WHERE stage = 'queued' AND seq > ?1 ORDER BY seq LIMIT ?2";
    FACTS_AFTER =
        "SELECT seq, path, hash, former FROM change
         WHERE node = ?5 AND pipeline = ?1 AND origin = ?2 AND seq > ?3 AND path IS NOT NULL
         ORDER BY seq LIMIT ?4";
    QUEUED_FILES =
        "SELECT seq, pipeline, asset, kind, source, detail, origin, path, hash, former, seen,
                attempt, not_before, overdue, again
         FROM change WHERE node = ?4 AND seq IN (
             SELECT seq FROM change INDEXED BY change_queued
             WHERE stage = 'queued' AND pipeline = ?1 AND path IS NOT NULL AND seq > ?2
             UNION ALL
             SELECT seq FROM change WHERE stage = 'taken' AND path IS NOT NULL AND seq > ?2
               AND request IN (SELECT id FROM request WHERE settled IS NULL AND pipeline = ?1))
         ORDER BY seq LIMIT ?3";
    TAKE_ASSET =
        "UPDATE change SET stage = 'taken', request = ?1
         WHERE stage = 'queued' AND pipeline = ?2 AND asset = ?3 AND seq <= ?4";
    /// What a purge of everything covers, unless that is over.
    COVER =
        "UPDATE change SET stage = 'taken', request = ?1 WHERE seq IN (
             SELECT seq FROM change
             WHERE stage = 'queued' AND pipeline = (SELECT pipeline FROM request WHERE id = ?1)
               AND seq <= (SELECT through FROM request WHERE id = ?1 AND settled IS NULL)
             LIMIT ?2)";
    REQUEUE =
        "UPDATE change SET stage = 'queued', attempt = ?2, not_before = ?3,
                           overdue = CASE WHEN overdue > ?4 THEN overdue ELSE ?4 END
         WHERE seq IN (SELECT seq FROM change WHERE request = ?1 AND stage = 'taken' LIMIT ?5)";
    END =
        "UPDATE change SET stage = ?2
         WHERE seq IN (SELECT seq FROM change WHERE request = ?1 AND stage = 'taken' LIMIT ?3)";
    CLEAR_FAILURES =
        "UPDATE change SET stage = 'done', request = ?1
         WHERE stage = 'failed'
           AND pipeline = (SELECT pipeline FROM request WHERE id = ?1)
           AND (seq <= (SELECT through FROM request WHERE id = ?1)
                OR seq <= (SELECT seq FROM request_asset
                           WHERE request = ?1 AND asset = change.asset))";
    STAGES =
        "SELECT count(*) FILTER (WHERE stage = 'queued') AS queued,
                count(*) FILTER (WHERE stage = 'taken') AS taken,
                count(*) FILTER (WHERE stage = 'done') AS done,
                count(*) FILTER (WHERE stage = 'failed') AS failed,
                count(*) FILTER (WHERE stage = 'dropped') AS dropped
         FROM change WHERE seq BETWEEN ?1 AND ?2 AND pipeline = coalesce(?3, pipeline)";
    FIRST_UNSETTLED =
        "SELECT min(seq) FROM (
         SELECT min(seq) AS seq FROM change INDEXED BY change_queued_asset
         WHERE stage = 'queued' AND pipeline = ?1
         UNION ALL
         SELECT min(seq) FROM change WHERE request IN
             (SELECT id FROM request WHERE settled IS NULL AND pipeline = ?1)) AS unsettled";
    /// Whether something up to a change is neither purged nor given up.
    PENDING =
        "SELECT EXISTS (SELECT 1 FROM change INDEXED BY change_queued_asset
                        WHERE stage = 'queued' AND pipeline = ?1 AND seq <= ?2)
             OR EXISTS (SELECT 1 FROM change WHERE stage = 'taken' AND seq <= ?2 AND request IN
                        (SELECT id FROM request WHERE settled IS NULL AND pipeline = ?1))
             OR EXISTS (SELECT 1 FROM queued_all WHERE pipeline = ?1) AS pending";
    UNDONE_ASSETS =
        "SELECT asset FROM change
         WHERE seq BETWEEN ?1 AND ?2 AND pipeline = ?3 AND stage <> 'done'
         GROUP BY asset ORDER BY asset IS NULL, asset";
    QUEUED_SINCE =
        "SELECT max(seq) FROM change INDEXED BY change_queued_asset
         WHERE stage = 'queued' AND pipeline = ?1 AND asset = ?2
           AND not_before = 0 AND seq > ?3";
    ALL_QUEUED_SINCE =
        "SELECT max(seq) FROM change INDEXED BY change_queued_asset
         WHERE stage = 'queued' AND pipeline = ?1 AND asset IS NULL
           AND not_before = 0 AND seq > ?2";
    REQUESTS =
        "SELECT DISTINCT request FROM change
         WHERE seq BETWEEN ?1 AND ?2 AND request IS NOT NULL ORDER BY request";
    FAILED_ASSETS =
        "SELECT pipeline, count(DISTINCT coalesce(asset, '')) AS failed FROM change
         WHERE stage = 'failed' GROUP BY pipeline";
    PRUNE_DONE =
        "DELETE FROM change WHERE seq IN (
             SELECT change.seq FROM request INDEXED BY request_settled
             CROSS JOIN change INDEXED BY change_request
             WHERE change.request = request.id AND request.settled < ?1 AND change.stage = 'done' LIMIT ?2)
         RETURNING node, pipeline, CASE WHEN path IS NOT NULL THEN origin END AS origin, seq";
    PRUNE_DROPPED =
        "DELETE FROM change WHERE seq IN (
             SELECT seq FROM change INDEXED BY change_dropped
             WHERE stage = 'dropped' AND seen < ?1 LIMIT ?2)
         RETURNING node, pipeline, CASE WHEN path IS NOT NULL THEN origin END AS origin, seq";
    NOTE_PRUNED =
        "INSERT INTO pruned (node, pipeline, origin, seq) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (node, pipeline, origin) DO UPDATE
         SET seq = excluded.seq WHERE excluded.seq > pruned.seq";
    PRUNED = "SELECT pipeline, origin, seq FROM pruned WHERE node = ?1";
    WAITING_OF_ASSET =
        "SELECT seq, pipeline, kind, source, detail, origin, path, seen, stage FROM (
             SELECT seq, pipeline, kind, source, detail, origin, path, seen, stage
             FROM change INDEXED BY change_queued_asset
             WHERE stage = 'queued' AND pipeline = ?1 AND asset = ?2
             UNION ALL
             SELECT seq, pipeline, kind, source, detail, origin, path, seen, stage
             FROM change INDEXED BY change_failed
             WHERE stage = 'failed' AND pipeline = ?1 AND asset = ?2
             UNION ALL
             SELECT seq, pipeline, kind, source, detail, origin, path, seen, stage
             FROM change INDEXED BY change_dropped
             WHERE stage = 'dropped' AND pipeline = ?1 AND asset = ?2) AS waiting
         ORDER BY seq DESC LIMIT ?3";
    CAUSE =
        "SELECT seq, pipeline, kind, source, detail, origin, path, seen, stage
         FROM change WHERE seq = ?1";
    CAUSE_OF_REQUEST =
        "SELECT seq, pipeline, kind, source, detail, origin, path, seen, stage
         FROM change INDEXED BY change_request
         WHERE request = ?1 AND asset = ?2 ORDER BY seq DESC LIMIT 1";
    CAUSE_OF_ALL =
        "SELECT seq, pipeline, kind, source, detail, origin, path, seen, stage
         FROM change INDEXED BY change_request
         WHERE request = ?1 AND asset IS NULL ORDER BY seq DESC LIMIT 1";
    RETRY_PIPELINE =
        "UPDATE change SET stage = 'queued', attempt = 0, not_before = 0, overdue = 0
         WHERE seq IN (SELECT seq FROM change INDEXED BY change_failed
                       WHERE stage = 'failed' AND pipeline = ?1 LIMIT ?2)
         RETURNING seq, pipeline, asset, kind, source, detail, seen, attempt, not_before,
                   overdue, again";
    RETRY_REQUEST =
        "UPDATE change SET stage = 'queued', attempt = 0, not_before = 0, overdue = 0
         WHERE seq IN (SELECT seq FROM change INDEXED BY change_request
                       WHERE stage = 'failed' AND request = ?1 LIMIT ?2)
         RETURNING seq, pipeline, asset, kind, source, detail, seen, attempt, not_before,
                   overdue, again";
    DROP =
        "UPDATE change SET stage = 'dropped' WHERE seq IN (
         SELECT seq FROM change INDEXED BY change_queued_asset
         WHERE stage = 'queued' AND pipeline = ?1
         UNION ALL
         SELECT seq FROM change INDEXED BY change_failed
         WHERE stage = 'failed' AND pipeline = ?1
         LIMIT ?2)";
    DROP_WAITING =
        "INSERT INTO change (seq, pipeline, asset, kind, source, detail, seen, stage, attempt,
                             not_before)
         SELECT ?2 + position, delivery.pipeline, asset, 'asked', 'webhook', detail,
                delivery.at, 'dropped', 0, 0
         FROM delivery_target JOIN delivery ON delivery.id = delivery_target.delivery
         WHERE delivery.id = ?1";
    NEXT_PIPELINE =
        "SELECT min(id) FROM (
         SELECT min(pipeline) AS id FROM change INDEXED BY change_queued_asset
         WHERE stage = 'queued' AND pipeline > ?1
         UNION ALL
         SELECT min(pipeline) FROM change INDEXED BY change_failed
         WHERE stage = 'failed' AND pipeline > ?1
         UNION ALL SELECT min(pipeline) FROM queued_all WHERE pipeline > ?1) AS first";
    QUEUED_ASSETS =
        "SELECT pipeline, count(DISTINCT asset) AS assets, min(seen) AS oldest
         FROM change INDEXED BY change_queued_asset
         WHERE stage = 'queued' GROUP BY pipeline";
    COUNT_QUEUED =
        "SELECT count(*) FROM change INDEXED BY change_queued_asset
         WHERE stage = 'queued' AND pipeline = ?1";
    COUNT_FAILED =
        "SELECT count(*) FROM change INDEXED BY change_failed
         WHERE stage = 'failed' AND pipeline = ?1";
    ASSETS_OF_REQUEST =
        "SELECT asset, max(seq) AS last, min(seen) AS first_seen,
                max(CASE WHEN path IS NOT NULL THEN seq END) AS cause
         FROM change INDEXED BY change_request
         WHERE request = ?1 AND asset IS NOT NULL GROUP BY asset ORDER BY max(seq) DESC LIMIT ?2";
    WAS_ASKED =
        "SELECT EXISTS (SELECT 1 FROM change WHERE request = ?1 AND again = 0)
         OR NOT EXISTS (SELECT 1 FROM change WHERE request = ?1)";
    ASK_AGAIN =
        "INSERT INTO change (seq, pipeline, asset, kind, source, detail, seen, stage, attempt,
                             not_before, again)
         VALUES (?6, ?1, nullif(?2, ''), 'asked',
                 coalesce((SELECT source FROM change WHERE seq = ?3), 'watch'), ?4, ?5,
                 'queued', 0, 0, 1)";
    FAIL = "UPDATE change SET stage = 'failed' WHERE seq = ?1 AND stage = 'done'";
    FILES_OF_ASSET =
        "SELECT seq, node, origin, path, kind, hash, former FROM change
         WHERE seq = ?3 AND path IS NOT NULL
         UNION
         SELECT seq, node, origin, path, kind, hash, former FROM change INDEXED BY change_request
         WHERE request IN (SELECT request FROM request_asset WHERE asset = ?2
                           ORDER BY request DESC LIMIT ?4)
           AND pipeline = ?1 AND asset = ?2 AND path IS NOT NULL
         UNION
         SELECT seq, node, origin, path, kind, hash, former FROM change INDEXED BY change_request
         WHERE request IN (SELECT id FROM request INDEXED BY request_all
                           WHERE pipeline = ?1 AND through IS NOT NULL
                           ORDER BY id DESC LIMIT ?4)
           AND pipeline = ?1 AND asset = ?2 AND path IS NOT NULL
         ORDER BY seq";
    NEWER_OF_ASSET =
        "SELECT max(seq) FROM (
             SELECT max(seq) AS seq FROM change INDEXED BY change_queued_asset
             WHERE stage = 'queued' AND pipeline = ?1 AND asset = ?2
             UNION ALL
             SELECT max(request_asset.seq) FROM request INDEXED BY request_unsettled
             JOIN request_asset ON request_asset.request = request.id
             WHERE request.settled IS NULL AND request.pipeline = ?1 AND asset = ?2
             UNION ALL
             SELECT max(change.seq) FROM request INDEXED BY request_unsettled
             JOIN change ON change.request = request.id
             WHERE request.settled IS NULL AND request.pipeline = ?1
               AND request.through IS NOT NULL AND change.asset = ?2) AS newer
         WHERE seq > ?3";
    REQUEST_OF_NEW = "SELECT request FROM change WHERE seq = ?1 AND kind = 'new'";
    OPEN =
        "SELECT seq, pipeline, asset, kind, source, detail, seen, attempt, not_before, overdue, again
         FROM change WHERE stage = 'queued' OR stage = 'taken' OR stage = 'failed' ORDER BY seq";
    /// What else is to be purged: of everything, or once more.
    TO_PURGE =
        "SELECT pipeline, NULL AS asset, reason, since FROM queued_all
         UNION ALL SELECT pipeline, NULL, reason, first_seen FROM request
         WHERE through IS NOT NULL AND settled IS NULL
         UNION ALL SELECT pipeline, asset, 'verify', seen FROM verification
         UNION ALL SELECT pipeline, CASE WHEN asset <> '' THEN asset END, 'again', due FROM repurge";
}
