//! The nodes that share a queue.

statements! {
    /// By its key; else by its name, which another key had.
    FIND =
        "SELECT id, key FROM node WHERE key = ?1 OR name = ?2
         ORDER BY CASE WHEN key = ?1 THEN 0 ELSE 1 END, id DESC LIMIT 1";
    LAST = "SELECT coalesce(max(id), 0) FROM node";
    JOIN =
        "INSERT INTO node (id, key, name, instance, version) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE
         SET key = excluded.key, name = excluded.name, instance = excluded.instance,
             version = excluded.version, has_left = 0";
    INSTANCE = "SELECT instance FROM node WHERE id = ?1";
}
