//! The status of a bucket, as its walker keeps and publishes it, and its alarms.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use super::BucketOrigin;
use crate::core::alarm::{Alarm, AlarmKind};
use crate::core::change::{Kind, PipelineId};
use crate::core::time::Time;
use crate::core::website::Website;
use crate::origin::status::{
    BucketStatus, Held, LookSummary, OriginStatus, ScanReason, ScanSummary, shown,
};
use crate::origin::worker::context::commit_trouble_reporter;
use crate::s3::S3Error;
use crate::sink::FileChange;

/// The status, and where it is published.
pub(super) struct Report {
    status: OriginStatus,
    bucket: BucketStatus,
    published: watch::Sender<OriginStatus>,
    name: String,
    pipeline: PipelineId,
    percent: u8,
    trouble: Option<String>,
    /// New, changed and gone objects of the listing that runs.
    found: [u64; 3],
    /// Its refused keys, and the first of them.
    refused: (u64, Option<String>),
}

/// Reports why changes are not committed yet.
pub(super) fn commit_trouble(report: &Report) -> impl FnMut(Option<String>) + use<> {
    commit_trouble_reporter(&report.published, &report.status.name)
}

impl Report {
    pub(super) fn new(settings: &BucketOrigin, published: watch::Sender<OriginStatus>) -> Self {
        let status = OriginStatus {
            name: Arc::clone(&settings.name),
            polling: true,
            ..OriginStatus::default()
        };
        Self {
            status,
            bucket: BucketStatus::default(),
            published,
            name: settings.bucket.name.clone(),
            pipeline: settings.pipeline.clone(),
            percent: settings.max_loss_percent,
            trouble: None,
            found: [0; 3],
            refused: (0, None),
        }
    }

    pub(super) const fn is_armed(&self) -> bool {
        self.status.armed
    }

    /// A listing begins.
    pub(super) fn begin(&mut self, reason: ScanReason) {
        *self.status.scans.entry(reason).or_default() += 1;
        self.status.scanning = true;
        self.status.scanned_files = 0;
        self.found = [0; 3];
        self.refused = (0, None);
        self.publish();
    }

    /// It has ended, or broken off.
    pub(super) const fn end(&mut self) {
        self.status.scanning = false;
    }

    /// Counts an object of the listing.
    pub(super) const fn count_object(&mut self) {
        self.status.scanned_files += 1;
    }

    /// Counts a key that is no path.
    pub(super) fn refuse(&mut self, key: &str) {
        self.refused.0 += 1;
        self.refused.1.get_or_insert_with(|| key.to_owned());
    }

    /// Counts calls.
    pub(super) const fn called(&mut self, calls: u64) {
        self.bucket.calls_total += calls;
    }

    /// Counts an object that was written again with the same bytes and headers.
    pub(super) const fn count_unchanged(&mut self) {
        self.status.unchanged_total += 1;
    }

    /// Counts what was committed.
    pub(super) fn count_changes(&mut self, changes: &[FileChange]) {
        for change in changes {
            let at = match change.kind {
                Kind::New => 0,
                Kind::Changed => 1,
                Kind::Gone => 2,
                Kind::Asked => continue,
            };
            self.found[at] += 1;
        }
    }

    pub(super) const fn set_files(&mut self, files: u64, unread: u64) {
        self.status.indexed_files = files;
        self.set_unread(unread);
    }

    pub(super) const fn set_unread(&mut self, unread: u64) {
        self.bucket.unread_headers = unread;
    }

    pub(super) fn set_held(&mut self, held: Option<Held>) {
        self.status.held = held;
    }

    /// A look at named objects begins.
    pub(super) const fn begin_look(&mut self) {
        self.found = [0; 3];
    }

    /// It has ended: what it found of these objects, for the status and for what asked for it.
    pub(super) fn looked(
        &mut self,
        paths: &BTreeSet<Vec<u8>>,
        held: bool,
        began: Time,
        ended: Time,
    ) -> ScanSummary {
        let summary = self.found(ScanReason::Webhook, paths.len() as u64, held, began, ended);
        let first = shown(paths.first().map_or(&[], Vec::as_slice));
        let (files, [new, changed, gone]) = (summary.files, self.found);
        tracing::info!(
            origin = %self.status.name, objects = files, first, new, changed, gone, held,
            "looked at what webhooks named"
        );
        self.bucket.named_total += files;
        self.bucket.last_look = Some(LookSummary {
            ended,
            objects: files,
            first,
            new,
            changed,
            gone,
        });
        summary
    }

    /// A complete listing has ended: what it found, for the status and for what asked for it.
    pub(super) fn summary(
        &mut self,
        reason: ScanReason,
        held: bool,
        began: Time,
        ended: Time,
    ) -> ScanSummary {
        let summary = self.found(reason, self.status.scanned_files, held, began, ended);
        let [new, changed, gone] = self.found;
        tracing::info!(
            origin = %self.status.name, reason = reason.as_str(), files = summary.files, new, changed, gone, held,
            took = ?ended.since(began), "listed"
        );
        self.status.last_scan = Some(summary);
        self.status.armed = true;
        (self.bucket.refused_keys, self.bucket.first_refused) = std::mem::take(&mut self.refused);
        self.trouble = None;
        summary
    }

    /// What was found of so many objects.
    fn found(
        &self,
        reason: ScanReason,
        files: u64,
        held: bool,
        began: Time,
        ended: Time,
    ) -> ScanSummary {
        let [new, changed, gone] = self.found;
        let took = ended.since(began).as_millis();
        ScanSummary {
            reason,
            began,
            ended,
            took_ms: u64::try_from(took).unwrap_or(u64::MAX),
            files,
            new,
            changed,
            gone,
            held,
        }
    }

    /// How the bucket is served, as it says itself. Which URLs are purged is said by the configuration alone.
    pub(super) fn set_website(&mut self, website: Option<Website>) {
        if self.bucket.website_read && self.bucket.website != website {
            tracing::warn!(
                origin = %self.status.name,
                "the bucket is served in another way than before: `edgepurge check --online` says which rules it \
                 takes now, and `edgepurge purge {} --all` makes the edge fresh",
                self.pipeline
            );
        }
        self.bucket.website = website;
        self.bucket.website_read = true;
        self.bucket.website_trouble = None;
    }

    /// How it is served can't be read: what was read before stands.
    pub(super) fn set_website_trouble(&mut self, error: &S3Error) {
        self.bucket.website_trouble = Some(error.to_string());
    }

    /// The bucket does not give what it is asked for.
    pub(super) fn set_trouble(&mut self, error: &S3Error) {
        self.trouble = Some(format!(
            "the bucket {} of origin `{}` can't be read: {error}{}",
            self.name,
            self.status.name,
            error.remedy()
        ));
    }

    /// Publishes the status, if it differs from the published one.
    pub(super) fn publish(&mut self) {
        let loss = self.status.held.as_ref().map(|held| {
            format!(
                "{} objects of origin `{}` are gone at once ({} is the first), more than {} % of what was there, \
                 and too few new ones came in their place: nothing of that is purged and the index is kept, until \
                 they are back, or `edgepurge scan {} --apply --accept-loss` says that it is meant so",
                held.files,
                self.status.name,
                held.first.escape_debug(),
                self.percent,
                self.pipeline
            )
        });
        let alarms = [
            (AlarmKind::Bucket, self.trouble.clone()),
            (AlarmKind::Loss, loss),
        ];
        let alarms = alarms.into_iter();
        let alarms = alarms.filter_map(|(kind, text)| Some(Alarm::new(kind, text?)));
        self.status.alarms = alarms.collect();
        self.status.bucket = Some(self.bucket.clone());
        self.status.publish(&self.published);
    }
}
