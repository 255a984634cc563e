//! Looks at the edge, and purges once more.

statements! {
    FORGET = "DELETE FROM verification WHERE pipeline = ?1";
    SOONER = "UPDATE verification SET due = ?1 WHERE due > ?1";
    SOONER_REPURGE = "UPDATE repurge SET due = ?2 WHERE pipeline = ?1 AND due > ?2";
    FORGET_REPURGE = "DELETE FROM repurge WHERE pipeline = ?1";
    FORGET_OF_REQUEST =
        "DELETE FROM verification WHERE pipeline = ?1 AND stage = 'purging' AND EXISTS
         (SELECT 1 FROM change WHERE change.seq = verification.seq
          AND change.request = ?2)";
    COUNT = "SELECT count(*) FROM verification WHERE pipeline = ?1";
    IS_THERE = "SELECT 1 FROM verification WHERE pipeline = ?1 AND asset = ?2";
    ENROL =
        "INSERT INTO verification (pipeline, asset, seq, cause, request, seen, round, tries, stage, due)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, 'probe', ?7)
         ON CONFLICT (pipeline, asset) DO UPDATE
         SET seq = CASE WHEN verification.seq > excluded.seq THEN verification.seq
                        ELSE excluded.seq END,
             cause = coalesce(excluded.cause, verification.cause), request = excluded.request,
             seen = CASE WHEN verification.seen < excluded.seen THEN verification.seen
                         ELSE excluded.seen END,
             tries = 0, stage = 'probe', due = excluded.due";
    PROBE_AFTER_ALL =
        "UPDATE verification SET request = ?2, tries = 0, stage = 'probe', due = ?4
         WHERE pipeline = ?1 AND stage <> 'probe' AND seq <= ?3";
    REPURGE_ALL =
        "INSERT INTO repurge (pipeline, asset, seq, due) VALUES (?1, '', ?2, ?3)
         ON CONFLICT (pipeline, asset) DO UPDATE SET seq = excluded.seq, due = excluded.due";
    REPURGE =
        "INSERT INTO repurge (pipeline, asset, seq, due)
         SELECT ?1, asset, max(seq), ?3 FROM change INDEXED BY change_request
         WHERE request = ?2 AND asset IS NOT NULL AND again = 0 GROUP BY asset
         ON CONFLICT (pipeline, asset) DO UPDATE SET seq = excluded.seq, due = excluded.due";
    COUNT_REPURGE = "SELECT count(*) FROM repurge WHERE pipeline = ?1";
    PROBES =
        "SELECT pipeline, asset, seq, cause, request, seen, round, tries, due
         FROM verification INDEXED BY verification_probe
         WHERE stage = 'probe' AND pipeline = ?1 ORDER BY due LIMIT ?2";
    NEXT_AGAIN =
        "SELECT min(due) FROM (
         SELECT min(due) AS due FROM verification INDEXED BY verification_due
         WHERE stage = 'again'
         UNION ALL SELECT min(due) FROM repurge) AS next";
    DUE =
        "SELECT pipeline, asset, seq, stale FROM (
         SELECT pipeline, asset, seq, 1 AS stale FROM verification INDEXED BY verification_due
         WHERE stage = 'again' AND due <= ?1
         UNION ALL
         SELECT pipeline, asset, seq, 0 FROM repurge WHERE due <= ?1) AS due LIMIT ?2";
    PURGING =
        "UPDATE verification SET stage = 'purging', round = round + 1, seq = ?3
         WHERE pipeline = ?1 AND asset = ?2";
    REPURGED = "DELETE FROM repurge WHERE pipeline = ?1 AND asset = ?2";
    OVER =
        "DELETE FROM verification
         WHERE pipeline = ?1 AND asset = ?2 AND request = ?3 AND stage = 'probe'";
    LOOKED =
        "UPDATE verification SET stage = ?4, due = ?5, seq = ?6, tries = ?7
         WHERE pipeline = ?1 AND asset = ?2 AND request = ?3 AND stage = 'probe'";
    VERDICT =
        "INSERT INTO verified (request, asset, at, verdict, why, absent)
         SELECT id, ?2, ?3, ?4, ?5, ?6 FROM request WHERE id = ?1
         ON CONFLICT (request, asset) DO UPDATE
         SET at = excluded.at, verdict = excluded.verdict, why = excluded.why,
             absent = excluded.absent";
    VERDICT_OF = "SELECT at, verdict, why FROM verified WHERE request = ?1 AND asset = ?2";
    LAST_ABSENT =
        "SELECT verified.request, absent FROM request JOIN verified ON verified.request = request.id
         WHERE id IN (
             SELECT request FROM (SELECT request FROM request_asset WHERE asset = ?2
                                  ORDER BY request DESC LIMIT ?4) AS named
             UNION
             SELECT id FROM (SELECT id FROM request INDEXED BY request_all
                             WHERE pipeline = ?1 AND through IS NOT NULL
                             ORDER BY id DESC LIMIT ?4) AS every)
           AND pipeline = ?1 AND asset = ?2 AND id < ?3
         ORDER BY id DESC LIMIT 1";
}
