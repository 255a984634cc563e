//! Deliveries of webhooks: what they ask for as changes, committed together with them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Intake, IntakePipeline, Wanted};
use crate::core::asset::Asset;
use crate::core::change::{Kind, NewChange, Source, Target};
use crate::core::delivery::{
    DeliveryProgress, DeliveryRecord, Intent, Names, NewDelivery, Taken, Work,
};
use crate::core::mapping::{Effect, UrlPrefix};
use crate::sink::{Deliveries, SinkError, SinkFuture};

impl Deliveries for Intake {
    fn deliver(&self, delivery: NewDelivery<Intent>) -> SinkFuture<'_, Taken> {
        Box::pin(async move {
            let Some(known) = self.pipelines.get(&delivery.pipeline) else {
                return Err(SinkError::UnknownPipeline(delivery.pipeline));
            };
            let wanted = self.wanted(known, &delivery).await;
            let work = match wanted {
                Some(_) => Work::Scan,
                None => work_of(known, &delivery),
            };
            let changes = match &work {
                Work::Changes(changes) => changes.as_slice(),
                Work::Scan => &[],
            };
            let place = self.admission.enter(&delivery.pipeline, changes).await?;
            let delivery = delivery.queued(work);
            let waits = delivery.waits();
            let taken = match wanted {
                // What other nodes' deliveries name is known there: all of them scan.
                Some(wanted) if !self.store.is_on_server() => {
                    self.take_with_looks(delivery, wanted).await?
                }
                _ => self.store.take_delivery(delivery).await?,
            };
            // What was not queued now takes no room.
            if !waits && taken != Taken::Duplicate {
                place.committed(*self.store.subscribe().borrow());
            }
            Ok(taken)
        })
    }

    fn delivery<'a>(
        &'a self,
        route: &'a str,
        event: &'a str,
    ) -> SinkFuture<'a, Option<DeliveryRecord>> {
        Box::pin(async move {
            let found = self.store.delivery(route.to_owned(), event.to_owned());
            Ok(found.await?)
        })
    }

    fn progress<'a>(
        &'a self,
        route: &'a str,
        event: &'a str,
    ) -> SinkFuture<'a, Option<DeliveryProgress>> {
        Box::pin(async move {
            let found = self
                .store
                .delivery_progress(route.to_owned(), event.to_owned());
            Ok(found.await?)
        })
    }
}

impl Intake {
    /// What a delivery has looked at; `None` where it says itself what to purge.
    async fn wanted(
        &self,
        known: &IntakePipeline,
        delivery: &NewDelivery<Intent>,
    ) -> Option<Wanted> {
        if delivery.work == Intent::Scan {
            return Some(Wanted::Scans);
        }
        let mut origins = known.origins.values();
        let has_bucket = origins.any(|origin| origin.bucket.is_some());
        let names = Names::of(&delivery.work).filter(|_| has_bucket);
        // What is an object for certain is none even where the index has others below its name.
        let certain = names.as_ref().is_some_and(|names| names.paths.is_empty());
        if !certain && self.lists_a_directory(known, delivery).await {
            return Some(Wanted::Scans);
        }
        names.map(Wanted::of)
    }

    /// Takes a delivery that waits for looks, which are known before it is committed.
    async fn take_with_looks(
        &self,
        mut delivery: NewDelivery,
        wanted: Wanted,
    ) -> Result<Taken, SinkError> {
        let (added, at) = self.looks.add(&delivery.pipeline, wanted, delivery.due);
        // A snapshot of the looks that lacks this one was taken before then.
        delivery.at = delivery.at.max(at);
        delivery.due = delivery.due.max(at);
        let taken = self.store.take_delivery(delivery).await?;
        added.end(taken);
        Ok(taken)
    }

    /// Whether one of the files that a delivery lists is a directory: a submodule that was moved, a
    /// link that was swapped. What changed below it is not listed, and only a scan finds it.
    async fn lists_a_directory(
        &self,
        known: &IntakePipeline,
        delivery: &NewDelivery<Intent>,
    ) -> bool {
        let (Intent::Files(files) | Intent::Objects(files), Some(remembered)) =
            (&delivery.work, &self.remembered)
        else {
            return false;
        };
        let (remembered, files) = (Arc::clone(remembered), files.clone());
        let pipeline = delivery.pipeline.clone();
        let origins: Vec<Arc<str>> = known.origins.keys().cloned().collect();
        let look = move || {
            let mut found = origins
                .iter()
                .map(|origin| remembered.directory(&pipeline, origin, &files));
            found.find_map(Result::transpose)
        };
        match tokio::task::spawn_blocking(look).await {
            Ok(None) => false,
            Ok(Some(Ok(path))) => {
                let path = String::from_utf8_lossy(&path);
                tracing::info!(
                    route = &*delivery.route,
                    event = &*delivery.event,
                    "the delivery lists {path:?}, which is a directory of an origin: the origins are scanned"
                );
                true
            }
            Ok(Some(Err(error))) => {
                tracing::warn!(
                    route = &*delivery.route,
                    event = &*delivery.event,
                    "whether the delivery lists a directory is not known: {error}; the origins are scanned"
                );
                true
            }
            // It panicked, or the process is stopping: in doubt, a scan.
            Err(_) => true,
        }
    }
}

/// What a delivery asks for, in changes. They name no file: a file fact says what the index has to
/// remember, and a delivery has not looked at any file.
fn work_of(known: &IntakePipeline, delivery: &NewDelivery<Intent>) -> Work {
    let targets = match &delivery.work {
        Intent::Scan => return Work::Scan,
        // Who asks for everything is named where that is too often.
        Intent::All => {
            let who = format!("{} ({})", delivery.route, delivery.what);
            vec![(Target::All, who.into())]
        }
        Intent::Assets(assets) => assets_of(known, assets, &delivery.what),
        Intent::Files(files) | Intent::Objects(files) => targets_of_files(known, files, delivery),
    };
    let changes = targets
        .into_iter()
        .map(|(target, detail)| NewChange {
            pipeline: delivery.pipeline.clone(),
            target,
            kind: Kind::Asked,
            source: Source::Webhook,
            detail,
            file: None,
            seen: delivery.due,
        })
        .collect();
    Work::Changes(changes)
}

fn assets_of(known: &IntakePipeline, assets: &[Asset], what: &Arc<str>) -> Vec<(Target, Arc<str>)> {
    let encoding = known.mapping.encoding();
    let mut spellings: Vec<Asset> = assets
        .iter()
        .flat_map(|asset| encoding.spellings(asset.clone()))
        .collect();
    spellings.sort_unstable();
    spellings.dedup();
    spellings
        .into_iter()
        .map(|asset| (Target::Asset(asset), Arc::clone(what)))
        .collect()
}

/// A delivery does not say which origin a file is of, so it is taken for a file of each; where
/// the pipeline has none, for one at its root.
fn targets_of_files(
    known: &IntakePipeline,
    files: &[Vec<u8>],
    delivery: &NewDelivery<Intent>,
) -> Vec<(Target, Arc<str>)> {
    let mut prefixes: BTreeSet<UrlPrefix> = known
        .origins
        .values()
        .map(|origin| origin.url_prefix.clone())
        .collect();
    if prefixes.is_empty() {
        prefixes.extend(UrlPrefix::parse("/"));
    }
    let mut assets = BTreeSet::new();
    for path in files {
        for prefix in &prefixes {
            let mapped = known.mapping.effect(prefix, path, Kind::Asked);
            for error in &mapped.refused {
                tracing::warn!(
                    route = &*delivery.route,
                    "an asset of a file of the delivery is left out, since no request can name it: {error}"
                );
            }
            match mapped.effect {
                Effect::Nothing => {}
                Effect::All => {
                    let decided = format!("{} ({})", delivery.route, mapped.decided);
                    return vec![(Target::All, decided.into())];
                }
                Effect::Assets(found) => assets.extend(found),
            }
        }
    }
    assets
        .into_iter()
        .map(|asset| (Target::Asset(asset), Arc::clone(&delivery.what)))
        .collect()
}
