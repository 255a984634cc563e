//! The marks of commits.

statements! {
    LAST = "SELECT n, mark FROM batch WHERE node = ?1 ORDER BY n DESC LIMIT 1";
    /// The commit of a number, or the first one that is kept after it.
    FIRST_OR_EQUAL = "SELECT n, mark FROM batch WHERE node = ?1 AND n >= ?2 ORDER BY n LIMIT 1";
    /// All but the last one of a node.
    FORGET =
        "DELETE FROM batch WHERE node = ?1 AND n < (SELECT max(n) FROM batch AS last WHERE last.node = ?1)";
    ADD = "INSERT INTO batch (node, n, mark) VALUES (?1, ?2, ?3)";
}
