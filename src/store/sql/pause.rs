//! Pauses.

statements! {
    PAUSES =
        "SELECT pipeline, holder, who, reason, since, length, until FROM pause
         ORDER BY pipeline, holder";
    PAUSE =
        "INSERT INTO pause (pipeline, holder, reason, since, length, until, who)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (pipeline, holder) DO UPDATE
         SET reason = excluded.reason, since = excluded.since, length = excluded.length,
             until = excluded.until, who = excluded.who";
    END_PAUSES = "DELETE FROM pause WHERE until + CASE WHEN holder = ?2 THEN 0 ELSE ?3 END <= ?1";
    RESUME = "DELETE FROM pause WHERE pipeline = ?1 AND holder = ?2";
}
