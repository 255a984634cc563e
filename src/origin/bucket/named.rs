//! Looks at the objects that deliveries name: each is asked for and judged as a listing would judge it, so that
//! nothing has to be listed. What can't be looked at so is listed: doubt widens the look.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::compare::{Headers, Known, Verdict, same_time};
use super::keys::path_of;
use super::storage::Storage;
use super::walker::{Broken, Walker};
use crate::core::change::Kind;
use crate::core::delivery::Names;
use crate::core::loss;
use crate::core::time::Time;
use crate::origin::index::{Edit, Row};
use crate::origin::status::ScanSummary;
use crate::origin::watch::inbox::Request;
use crate::s3::Head;

/// Why a change was noticed, for the history.
const DETAIL: &str = "named by a webhook";

impl<S: Storage> Walker<S> {
    /// Looks at what is named, and answers; or has the bucket listed for it.
    pub(super) fn look_now(&mut self, began: Time) -> Result<(), Broken> {
        let looks = std::mem::take(&mut self.looks);
        let sink = Arc::clone(&self.committer.sink);
        sink.scanning(&self.settings.pipeline, true);
        let looked = self.look_at_named(&looks, began);
        let committed = self.commit();
        sink.scanning(&self.settings.pipeline, false);
        committed?;
        match looked {
            Ok(Some(summary)) => {
                for request in looks {
                    // What has given up needs no answer.
                    request.answer.send(summary).unwrap_or_default();
                }
            }
            Ok(None) => self.list_instead(looks, began),
            Err(Broken::Storage(error)) => {
                tracing::warn!(
                    origin = %self.settings.name,
                    "what webhooks named can't be asked for, so the bucket is listed: {error}"
                );
                self.list_instead(looks, began);
            }
            Err(end) => return Err(end),
        }
        Ok(())
    }

    /// `None`: only a listing finds what is meant.
    fn look_at_named(
        &mut self,
        looks: &[Request],
        began: Time,
    ) -> Result<Option<ScanSummary>, Broken> {
        let mut names = Names::default();
        for look in looks.iter().filter_map(|look| look.names.as_deref()) {
            names.extend(look.clone());
        }
        let all = names.objects.iter().chain(&names.paths);
        let paths: BTreeSet<Vec<u8>> = all.flat_map(|name| self.paths_of(name)).collect();
        self.report.begin_look();
        self.detail = DETAIL.into();
        let keys: Vec<&[u8]> = paths.iter().map(Vec::as_slice).collect();
        let heads = self.heads(&keys)?;
        let rows = self.index().rows(&keys)?;
        let heads: BTreeMap<&[u8], Option<Head>> = keys.into_iter().zip(heads).collect();
        let known = |path: &Vec<u8>| {
            rows.contains_key(path) || heads.get(path.as_slice()).is_some_and(Option::is_some)
        };
        let nowhere = |name: &Vec<u8>| {
            let paths = self.paths_of(name);
            !paths.is_empty() && !paths.iter().any(known)
        };
        if names.paths.iter().any(nowhere) {
            return Ok(None);
        }
        let mut absent = Vec::new();
        for (path, head) in heads {
            match (rows.get(path), head) {
                (row, Some(head)) => self.compare_named(path, row, &head)?,
                (Some(row), None) => absent.push(row),
                (None, None) => {}
            }
        }
        self.commit()?;
        let held = self.judge_named(&absent)?;
        self.count()?;
        let summary = self.report.looked(&paths, held, began, self.clock.now());
        Ok(Some(summary))
    }

    /// The paths that a name may mean: it is one below the prefix, or a whole key. What is left out has none.
    fn paths_of(&self, name: &[u8]) -> Vec<Vec<u8>> {
        let prefix = self.storage.prefix();
        let Ok(name) = std::str::from_utf8(name) else {
            // No bucket has such a key.
            return Vec::new();
        };
        let whole = !prefix.is_empty() && name.starts_with(prefix);
        let whole = whole.then(|| name.to_owned());
        let keys = whole.into_iter().chain([format!("{prefix}{name}")]);
        let paths = keys.filter_map(|key| Some(path_of(prefix, &key).ok()?.to_vec()));
        paths
            .filter(|path| !self.ignore.matches(path, false))
            .collect()
    }

    fn compare_named(&mut self, path: &[u8], row: Option<&Row>, head: &Head) -> Result<(), Broken> {
        let headers = Headers::of(head);
        let known = row.map(|row| Known::read(&row.entry));
        let mut now = Known::of(&head.object).with(Some(headers));
        if let Some(known) = &known {
            if same_time(known.modified_ns, now.modified_ns) {
                // That of a listing is the finer one.
                now.modified_ns = known.modified_ns;
            }
            if known.absent.is_some() {
                self.guard.back(self.clock.now());
            }
        }
        let verdict = self.judge_read(path, known.as_ref(), &now, headers);
        if verdict == Verdict::Remember {
            self.report.count_unchanged();
        }
        self.take(path, row, now, verdict)
    }

    /// Judges the objects that the bucket said it does not have. Returns whether some of that is held back.
    fn judge_named(&mut self, absent: &[&Row]) -> Result<bool, Broken> {
        let now = self.clock.now();
        self.guard.came(std::mem::take(&mut self.came), now);
        let since = |row: &Row| row.entry.absent.unwrap_or(now);
        let fresh = absent.iter().filter(|row| row.entry.absent.is_none());
        let fresh = fresh.count() as u64;
        if fresh > 0 {
            self.guard.missed(now);
        }
        let open = absent.iter();
        let open = open.filter(|row| self.guard.verdict(since(row), now) == loss::Verdict::Judge);
        let open = open.count() as u64;
        if open > 0 {
            let (files, missing) = self.index().counts()?;
            let present = files.saturating_sub(missing + fresh);
            self.guard.may_go(present, open, now);
        }
        let mut held = false;
        for row in absent {
            let gone = self.guard.verdict(since(row), now) == loss::Verdict::Gone;
            held |= !gone;
            if gone {
                let edit = Edit::new(&row.path, Some(row), None);
                let change = self.change(&row.path, Some(row), None, Kind::Gone);
                self.batch.add(edit, Some(change));
            } else if row.entry.absent.is_none() {
                let mut entry = row.entry.clone();
                entry.absent = Some(now);
                let edit = Edit::new(&row.path, Some(row), Some(entry));
                self.batch.add(edit, None);
            }
            self.commit_if_full()?;
        }
        self.commit()?;
        self.count_held()?;
        Ok(held)
    }
}
