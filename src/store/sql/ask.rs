//! What is asked of the leader at other nodes.

statements! {
    LAST = "SELECT coalesce(max(id), 0) FROM ask";
    ASK = "INSERT INTO ask (id, node, body) VALUES (?1, ?2, ?3)";
    /// All but the last of them.
    PRUNE = "DELETE FROM ask WHERE id <= (SELECT id FROM ask ORDER BY id DESC LIMIT 1 OFFSET ?1)";
    STATE = "SELECT withdrawn, answer FROM ask WHERE id = ?1";
    AGAIN = "UPDATE ask SET withdrawn = 0 WHERE id = ?1 AND answer IS NULL";
    WITHDRAW = "UPDATE ask SET withdrawn = 1 WHERE id = ?1 AND answer IS NULL";
    WITHDRAW_ALL = "UPDATE ask SET withdrawn = 1 WHERE answer IS NULL AND withdrawn = 0";
    OPEN =
        "SELECT id, node, body FROM ask WHERE answer IS NULL AND withdrawn = 0 ORDER BY id";
    ANSWER =
        "UPDATE ask SET answer = ?2 WHERE id = ?1 AND answer IS NULL AND withdrawn = 0";
}
