//! Writing rows: each only if it is still the one that was read, together with the sequence number.

use rusqlite::{Transaction, params};

use super::{Edit, Entry, IndexError, OriginIndex};
use crate::core::change::{FileFact, Seq};
use crate::origin::index::known::Confidence;
use crate::origin::tree::fingerprint::Stat;

impl OriginIndex {
    /// Writes rows, each only if it is still the one that was read, together with the sequence
    /// number in one transaction. Returns the paths of the rows that were not.
    pub(in crate::origin) fn apply(
        &self,
        edits: &[Edit],
        seq: Option<Seq>,
    ) -> Result<Vec<Vec<u8>>, IndexError> {
        let mut connection = self.index.lock();
        let transaction = connection.transaction()?;
        let (mut written, mut beaten) = (Vec::with_capacity(edits.len()), Vec::new());
        let mut grown = 0_i64;
        for edit in edits {
            if !self.write(&transaction, edit)? {
                beaten.push(edit.path.clone());
                continue;
            }
            written.push(edit);
            grown += match (edit.was, &edit.becomes) {
                (None, Some(_)) => 1,
                (Some(_), None) => -1,
                _ => 0,
            };
        }
        if grown != 0 {
            transaction
                .prepare_cached("UPDATE origin SET files = files + ?2 WHERE id = ?1")?
                .execute(params![self.id, grown])?;
        }
        self.advance(&transaction, seq)?;
        transaction.commit()?;
        self.adjust_sum(written.into_iter());
        self.index.moved.send_replace(());
        Ok(beaten)
    }

    /// Takes over facts that were committed to the queue before a crash: the hash counts, the stat
    /// is unknown, so that the next look reads the file.
    pub(in crate::origin) fn redo(&self, facts: &[(Seq, FileFact)]) -> Result<(), IndexError> {
        for (seq, fact) in facts {
            let row = self.get(&fact.path)?;
            let becomes = fact.hash.map(|hash| {
                let old = row.as_ref().and_then(|row| row.entry.hash);
                Entry {
                    known: Confidence::HashOnly,
                    stat: Stat::default(),
                    readable: true,
                    hash: Some(hash),
                    former: old
                        .filter(|old| *old != hash)
                        .or_else(|| row.as_ref().and_then(|row| row.entry.former)),
                    absent: None,
                }
            });
            let edit = Edit::new(&fact.path, row.as_ref(), becomes);
            self.apply(&[edit], Some(*seq))?;
        }
        Ok(())
    }

    fn write(&self, transaction: &Transaction<'_>, edit: &Edit) -> Result<bool, IndexError> {
        let (path, was) = (&edit.path, edit.was);
        let Some(entry) = &edit.becomes else {
            let Some(was) = was else { return Ok(true) };
            let deleted = transaction
                .prepare_cached("DELETE FROM file WHERE origin = ?1 AND path = ?2 AND rev = ?3")?
                .execute(params![self.id, path, was])?;
            return Ok(deleted == 1);
        };
        // One statement for both: a row that must not exist conflicts with `rev = NULL`.
        let sql = if was.is_some() {
            "UPDATE file SET rev = rev + 1, known = ?4, size = ?5, mtime_ns = ?6, ctime_ns = ?7,
             inode = ?8, dev = ?9, mode = ?10, links = ?11, readable = ?12, hash = ?13, former = ?14,
             absent = ?15
             WHERE origin = ?1 AND path = ?2 AND rev = ?3"
        } else {
            "INSERT INTO file VALUES (?1, ?2, coalesce(?3, 1), ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
             ON CONFLICT DO NOTHING"
        };
        let stat = &entry.stat;
        let written = transaction.prepare_cached(sql)?.execute(params![
            self.id,
            path,
            was,
            entry.known.code(),
            stat.size.cast_signed(),
            stat.mtime_ns,
            stat.ctime_ns,
            stat.inode.cast_signed(),
            stat.dev.cast_signed(),
            stat.mode,
            stat.links,
            entry.readable,
            entry.hash,
            entry.former,
            entry.absent.map(|time| time.millis().cast_signed()),
        ])?;
        Ok(written == 1)
    }

    fn advance(&self, transaction: &Transaction<'_>, seq: Option<Seq>) -> Result<(), IndexError> {
        if let Some(Seq(seq)) = seq {
            transaction
                .prepare_cached("UPDATE origin SET seq = max(seq, ?2) WHERE id = ?1")?
                .execute(params![self.id, seq.cast_signed()])?;
        }
        Ok(())
    }
}
