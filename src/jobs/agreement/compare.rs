//! The comparison of other nodes' files with this node's index.

use std::collections::BTreeMap;

use super::{ALL_AGAIN, Compare, PACE};
use crate::core::agreement::{Content, Fact, File, NAMED};
use crate::core::change::{PipelineId, Seq};
use crate::jobs::StepError;
use crate::origin::Index;
use crate::store::FactPage;

/// Changes that are read at once.
const PAGE: usize = 1_000;

impl Compare {
    /// Compares a page of the changes that it has not seen. Returns whether there are more.
    pub(super) async fn follow(&mut self) -> Result<bool, StepError> {
        let announced = *self.seqs.borrow_and_update();
        // One that waits for too much stands still, and takes up the changes from there on later.
        let taking: BTreeMap<PipelineId, Seq> = {
            let agreements = self.agreements.lock();
            let taking = agreements.iter().filter(|(_, one)| one.room() >= PAGE);
            taking.map(|(id, one)| (id.clone(), one.cursor())).collect()
        };
        let Some(after) = taking.values().min().copied() else {
            return Ok(false);
        };
        if after >= announced {
            return Ok(false);
        }
        let mut page = self.store.facts_of_all_after(after, PAGE).await?;
        if page.last < after {
            // The server has forgotten changes in a failover, and gives their numbers again.
            self.agreements.lock().clear();
            for member in self.pipelines.values_mut() {
                member.last = Seq(0);
            }
            return Ok(true);
        }
        let through = page.changes.last().map_or(after, |last| last.seq);
        page.changes.retain(|one| {
            let after = taking.get(&one.pipeline);
            after.is_some_and(|after| one.seq > *after)
        });
        self.compare(page).await?;
        let mut agreements = self.agreements.lock();
        for id in taking.keys() {
            if let Some(agreement) = agreements.get_mut(id) {
                agreement.through(through);
            }
        }
        Ok(through < announced)
    }

    async fn compare(&mut self, page: FactPage) -> Result<(), StepError> {
        let files = page.changes.iter().filter_map(|change| {
            let fact = change
                .fact
                .as_ref()
                .filter(|fact| self.is_compared(&change.pipeline, fact));
            Some((change.pipeline.clone(), fact?.file.clone()))
        });
        let contents = self.contents(files.collect()).await?;
        let now = self.clock.now();
        let mut looks: Vec<(PipelineId, File)> = Vec::new();
        let mut agreements = self.agreements.lock();
        let mut contents = contents.into_iter();
        for change in page.changes {
            if let Some(member) = self.pipelines.get_mut(&change.pipeline) {
                member.last = member.last.max(change.seq);
            }
            let Some(agreement) = agreements.get_mut(&change.pipeline) else {
                continue;
            };
            let Some(fact) = change.fact else { continue };
            if fact.node == self.store.node() {
                agreement.own(&fact.file, fact.content);
            } else if self.is_compared(&change.pipeline, &fact)
                && let Some((_, file, own)) = contents.next()
                && agreement.fact(now, fact, own)
            {
                looks.push((change.pipeline, file));
            }
        }
        // Later changes of the page may be what this node has.
        looks.retain(|(id, file)| agreements.get(id).is_some_and(|one| one.awaits(file)));
        drop(agreements);
        // A watch notices the others by itself, and so does a poll.
        for (id, file) in looks.into_iter().take(NAMED) {
            let member = self.pipelines.get(&id);
            let origin = member.and_then(|one| one.directories.get(&file.origin));
            if let Some(origin) = origin {
                origin.look(&file.path, now);
            }
        }
        Ok(())
    }

    /// Whether another node's fact is about a directory that this one has, too.
    fn is_compared(&self, pipeline: &PipelineId, fact: &Fact) -> bool {
        let member = self.pipelines.get(pipeline);
        fact.node != self.store.node()
            && member.is_some_and(|one| one.directories.contains_key(&fact.file.origin))
    }

    /// Compares with the index again: what is waited for, when the index has moved, and all that differs now
    /// and then.
    pub(super) async fn compare_again(&mut self) -> Result<(), StepError> {
        let now = self.clock.now();
        let all = now >= self.all_compared.after(ALL_AGAIN);
        let moved = self.moved.has_changed().unwrap_or(false);
        if !all && (!moved || now < self.compared.after(PACE)) {
            return Ok(());
        }
        // What moves it from here on is read, or compared again.
        self.moved.mark_unchanged();
        let files: Vec<(PipelineId, File)> = {
            let agreements = self.agreements.lock();
            let files = agreements.iter().flat_map(|(id, agreement)| {
                let differing = agreement.differing(all).into_iter();
                differing.map(|file| (id.clone(), file))
            });
            files.collect()
        };
        let contents = self.contents(files).await?;
        let mut agreements = self.agreements.lock();
        for (id, file, content) in contents {
            if let Some(agreement) = agreements.get_mut(&id) {
                agreement.own(&file, content);
            }
        }
        self.compared = now;
        if all {
            self.all_compared = now;
        }
        Ok(())
    }

    /// What the index has of files.
    async fn contents(
        &self,
        files: Vec<(PipelineId, File)>,
    ) -> Result<Vec<(PipelineId, File, Content)>, StepError> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let read = move |index: &Index| {
            let contents = index.contents(&files)?;
            let files = files.into_iter().zip(contents);
            Ok(files
                .map(|((id, file), content)| (id, file, content))
                .collect())
        };
        self.ask_index(read).await
    }
}
