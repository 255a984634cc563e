//! What the queue knows of itself, and notes.

statements! {
    VALUE = "SELECT value FROM meta WHERE key = ?1";
    SET =
        "INSERT INTO meta (key, value) VALUES (?1, ?2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    DELETE = "DELETE FROM meta WHERE key = ?1";
    INSERT = "INSERT INTO meta (key, value) VALUES (?1, ?2)";
}
