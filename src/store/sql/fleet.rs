//! The row that says which term is now.

statements! {
    LEASE = "SELECT term, leader, beat FROM fleet";
    TERM = "SELECT term FROM fleet";
    /// Only as long as the row is as it was read: of several nodes, one takes it.
    TAKE =
        "UPDATE fleet SET term = ?3, leader = ?4, beat = beat + 1 WHERE term = ?1 AND beat = ?2";
    RENEW = "UPDATE fleet SET beat = beat + 1 WHERE term = ?1";
    RESIGN = "UPDATE fleet SET leader = NULL, beat = beat + 1 WHERE term = ?1";
}
