//! The nodes that share a queue.

statements! {
    /// By its key; else by its name, which another key had, unless that one was forgotten.
    FIND =
        "SELECT id, key FROM node WHERE key = ?1 OR (name = ?2 AND has_left < 2)
         ORDER BY CASE WHEN key = ?1 THEN 0 ELSE 1 END, id DESC LIMIT 1";
    LAST = "SELECT coalesce(max(id), 0) FROM node";
    JOIN =
        "INSERT INTO node (id, key, name, instance, version) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE
         SET key = excluded.key, name = excluded.name, instance = excluded.instance,
             version = excluded.version, has_left = 0, status = '', config = ''";
    /// One that was forgotten (2) is shown again when it comes back.
    NODES =
        "SELECT id, name, beat, has_left, since, version, status, config, (SELECT leader FROM fleet) AS leader
         FROM node
         WHERE has_left < 2 ORDER BY name, id";
    /// As long as no other process has begun to run as the node.
    BEAT =
        "UPDATE node SET beat = beat + 1, since = ?3, has_left = 0 WHERE id = ?1 AND instance = ?2";
    REPORT = "UPDATE node SET status = ?2, config = ?3 WHERE id = ?1";
    LEAVE = "UPDATE node SET has_left = 1, status = '' WHERE id = ?1";
    /// As long as it does not move. Its number is not given again: changes are of it.
    FORGET = "UPDATE node SET has_left = 2, status = '', config = '' WHERE id = ?1 AND beat = ?2";
    INSTANCE = "SELECT instance, key FROM node WHERE id = ?1";
}
