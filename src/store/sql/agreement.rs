//! What the nodes of a fleet compare, and how far they say that they agree.

statements! {
    /// Every change, so that it is seen how far the look went; a file is behind some.
    CHANGES_AFTER =
        "SELECT seq, pipeline, kind, origin, path, hash, node FROM change
         WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    FIRST_QUEUED =
        "SELECT pipeline, min(seq) AS first FROM change INDEXED BY change_queued_asset
         WHERE stage = 'queued' GROUP BY pipeline";
    PUBLISH =
        "INSERT INTO member (node, pipeline, armed, agreed, lagging) VALUES (?1, ?2, 1, ?3, ?4)
         ON CONFLICT (node, pipeline) DO UPDATE
         SET armed = excluded.armed, agreed = excluded.agreed, lagging = excluded.lagging";
    FORGET = "DELETE FROM member WHERE node = ?1";
    DISARM = "UPDATE member SET armed = 0 WHERE node = ?1 AND pipeline = coalesce(?2, pipeline)";
    ARMED = "SELECT node, pipeline, agreed, lagging FROM member WHERE armed = 1 ORDER BY pipeline, node";
}
