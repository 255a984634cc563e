//! Rounds, and how far each node is with them.

statements! {
    LAST = "SELECT coalesce(max(id), 0) FROM round";
    OPEN =
        "INSERT INTO round (id, pipeline, kind, due, delivery, accept_loss)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    /// The last one stays, so that no number is given again.
    PRUNE =
        "DELETE FROM round WHERE pipeline = ?1 AND kind = ?2 AND id NOT IN (
             SELECT id FROM round WHERE pipeline = ?1 AND kind = ?2 ORDER BY id DESC LIMIT ?3)";
    /// The first one after another that serves a delivery which waits.
    OF_DELIVERIES =
        "SELECT id, due, delivery FROM round
         WHERE kind = 'scan' AND pipeline = ?1 AND id > ?2 AND EXISTS (
             SELECT 1 FROM delivery
             WHERE stage = 'scan' AND pipeline = ?1 AND delivery.due <= round.due
               AND delivery.id <= round.delivery)
         ORDER BY id LIMIT 1";
    DUE =
        "SELECT max(round.id) AS last, min(round.delivery) = 0 AS asked,
                max(CASE WHEN round.accept_loss = ?1 THEN 1 ELSE 0 END) AS accept_loss
         FROM served JOIN round ON round.pipeline = served.pipeline AND round.kind = served.kind
         WHERE served.node = ?1 AND served.pipeline = ?2 AND served.kind = ?3
           AND round.id > served.round
         GROUP BY served.node";
    TAKE_PART =
        "INSERT INTO served (node, pipeline, kind) VALUES (?1, ?2, ?3)
         ON CONFLICT (node, pipeline, kind) DO NOTHING";
    PARTS = "SELECT DISTINCT pipeline FROM served WHERE node = ?1";
    LEAVE = "DELETE FROM served WHERE node = ?1 AND pipeline = ?2";
    FORGET = "DELETE FROM served WHERE node = ?1";
    /// One that is not there any more is older than all that are, or was forgotten in a failover.
    IS_FORGOTTEN =
        "SELECT NOT EXISTS (SELECT 1 FROM round WHERE id = ?3)
            AND EXISTS (SELECT 1 FROM round WHERE pipeline = ?1 AND kind = ?2 AND id < ?3)";
    SERVE =
        "UPDATE served SET round = ?4, last = ?5, report = ?6
         WHERE node = ?1 AND pipeline = ?2 AND kind = ?3";
    ACCEPTED =
        "UPDATE round SET accept_loss = NULL
         WHERE pipeline = ?2 AND kind = ?3 AND id <= ?4 AND accept_loss = ?1";
    /// Without nodes that were forgotten.
    SERVED =
        "SELECT node, name, beat, has_left, round, last, report
         FROM served JOIN node ON node.id = served.node
         WHERE pipeline = ?1 AND kind = ?2 AND has_left < 2 ORDER BY name, node";
}
