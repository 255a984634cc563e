//! Deliveries, and what they wait to queue.

statements! {
    LAST =
        "SELECT max(id) FROM (
             SELECT max(id) AS id FROM delivery
             UNION ALL SELECT last FROM number_floor WHERE what = 'delivery') AS given";
    KEEP_LAST = "UPDATE number_floor SET last = ?1 WHERE what = 'delivery' AND last < ?1";
    REASONS =
        "SELECT change.stage, change.asset, change.request, request.remote_id,
                coalesce(request.why, '') AS why
         FROM change LEFT JOIN request ON request.id = change.request
         WHERE change.seq BETWEEN ?1 AND ?2 AND change.pipeline = ?3
           AND (change.stage = 'failed' OR change.stage = 'dropped'
                OR (change.stage = 'queued' AND request.why <> ''))
         ORDER BY change.seq LIMIT ?4";
    COVERED =
        "SELECT count(DISTINCT asset)
                + (SELECT count(asset) FROM delivery_target WHERE delivery = ?4) AS assets,
                count(DISTINCT request) AS requests
         FROM change WHERE seq BETWEEN ?1 AND ?2 AND pipeline = ?3";
    /// By the beginning of its event, which has an index where it is looked for in the table.
    LAST_OF_EVENT =
        "SELECT id FROM delivery
         WHERE substr(event, 1, 64) = substr(?2, 1, 64) AND event = ?2 AND route = ?1
         ORDER BY id DESC LIMIT 1";
    LAST_OF_DEDUPE =
        "SELECT id FROM delivery WHERE dedupe = ?1 AND route = ?2 AND pipeline = ?3
         ORDER BY id DESC LIMIT 1";
    OF_EVENT =
        "SELECT id, pipeline, stage, due, first, last, event, what, at, without FROM delivery
         WHERE id = ?1 AND route = ?2 AND event = ?3";
    COUNT_TARGETS = "SELECT count(*) FROM delivery_target WHERE delivery = ?1";
    CLAMP =
        "UPDATE delivery SET due = ?1 + CASE WHEN due > at THEN due - at ELSE 0 END,
                             known = ?1 + CASE WHEN known > at THEN known - at ELSE 0 END,
                             at = ?1
         WHERE at > ?1";
    NEARER = "UPDATE delivery SET due = ?2 WHERE stage <> 'made' AND route = ?1 AND due > ?2";
    FIRST_DUE = "SELECT min(due) FROM delivery WHERE stage = 'waiting'";
    FIRST_SCANS =
        "SELECT pipeline, min(due) AS due FROM delivery WHERE stage = 'scan' GROUP BY pipeline";
    READY =
        "SELECT id, pipeline FROM delivery WHERE stage = 'waiting' AND due <= ?1
         ORDER BY id LIMIT ?2";
    TARGETS =
        "SELECT asset, detail FROM delivery_target WHERE delivery = ?1 ORDER BY position";
    MADE = "UPDATE delivery SET stage = 'made', first = ?2, last = ?3 WHERE id = ?1";
    CLEAR_TARGETS = "DELETE FROM delivery_target WHERE delivery = ?1";
    SCANNED =
        "UPDATE delivery SET stage = 'made', first = CASE WHEN first < ?3 THEN first ELSE ?3 END,
                             last = ?4, without = ?6
         WHERE stage = 'scan' AND pipeline = ?1 AND due <= ?2 AND id <= ?5";
    PRUNE =
        "DELETE FROM delivery WHERE id IN (
         SELECT id FROM delivery
         WHERE stage = 'made'
           AND (id <= (SELECT max(id) FROM delivery) - ?3 OR (known <= ?2 AND at < ?1))
         ORDER BY id LIMIT ?4)";
    ADD_TARGET =
        "INSERT INTO delivery_target (delivery, position, asset, detail) VALUES (?1, ?2, ?3, ?4)";
    INSERT =
        "INSERT INTO delivery (route, pipeline, what, stage, event, dedupe, at, due, known,
                               first, last, id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    OF_DEDUPE =
        "SELECT pipeline, stage, due, first, last FROM delivery
         WHERE id = ?1 AND dedupe = ?2 AND route = ?3 AND known > ?4 AND pipeline = ?5
           AND at > ?6";
    KEYS =
        "SELECT id, route, event, pipeline, dedupe FROM delivery
         WHERE id > (SELECT coalesce(max(id), 0) FROM delivery) - ?1 ORDER BY id";
    OF_CHANGE =
        "SELECT route, event FROM delivery INDEXED BY delivery_last
         WHERE stage = 'made' AND last >= ?1 AND first <= ?1 AND pipeline = ?2
         ORDER BY last LIMIT 1";
    WAITING_OF = "SELECT id FROM delivery WHERE stage = 'waiting' AND pipeline = ?1";
}
