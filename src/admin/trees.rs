//! What this node says to the others of the files of its origins, so that each node can compare them.

use std::iter::repeat;

use super::api::PipelineStatus;
use super::cause::is_at_rest;
use super::{Admin, Status};
use crate::core::agreement::Agreement;
use crate::core::nodes::{Apart, NodeOrigin};
use crate::core::sum::Sum;
use crate::origin::IndexError;

impl Admin {
    /// The origins of this node, with the sums of the files of those at rest.
    pub(crate) async fn node_origins(&self, status: &Status) -> Vec<NodeOrigin> {
        let sums = self.sums(status).await;
        let (nodes, agreements) = (self.nodes(), self.agreements.lock());
        let mut said = Vec::new();
        for (pipeline, sums) in status.pipelines.iter().zip(sums) {
            let agreement = agreements.get(&pipeline.id);
            // What it waits for may come in a moment.
            let waits = agreement.is_some_and(Agreement::waits);
            for (origin, sum) in pipeline
                .origins
                .iter()
                .zip(sums.into_iter().chain(repeat(None)))
            {
                let sum = sum.filter(|_| !waits);
                let apart = sum.and_then(|sum| Some(agreement?.apart(&origin.name, sum)));
                let apart = apart
                    .into_iter()
                    .flatten()
                    .filter_map(|(id, (files, sum))| {
                        let is = |(of, _)| of == id;
                        let mut nodes = nodes.iter();
                        let node = nodes.find(|node| node.observed.is_some_and(is))?;
                        let node = node.name.clone();
                        Some(Apart { node, files, sum })
                    });
                said.push(NodeOrigin {
                    pipeline: pipeline.name.clone(),
                    origin: origin.name.to_string(),
                    state: origin.word().to_owned(),
                    indexed_files: origin.indexed_files,
                    sum,
                    apart: apart.collect(),
                });
            }
        }
        said
    }

    /// The sums of the origins of each pipeline, where they are at rest.
    async fn sums(&self, status: &Status) -> Vec<Vec<Option<Sum>>> {
        let of = |pipeline: &PipelineStatus| {
            let handles = self.pipelines.get(&pipeline.id);
            let handles = handles.map_or(&[][..], |one| &one.origins);
            let origins = pipeline.origins.iter().map(|origin| {
                let mut handles = handles.iter();
                let (_, handle) = handles.find(|(name, _)| *name == origin.name)?;
                (is_at_rest(origin) && handle.is_in_view()).then(|| handle.clone())
            });
            origins.collect::<Vec<_>>()
        };
        let resting: Vec<_> = status.pipelines.iter().map(of).collect();
        let read = tokio::task::spawn_blocking(move || {
            let sums = resting.iter().map(|origins| {
                let sums = origins.iter().map(|origin| match origin {
                    Some(origin) => origin.sum(),
                    None => Ok(None),
                });
                sums.collect()
            });
            sums.collect::<Result<_, IndexError>>()
        });
        match read.await {
            Ok(Ok(sums)) => sums,
            // The origin itself says what is wrong with the index.
            Ok(Err(_)) | Err(_) => vec![Vec::new(); status.pipelines.len()],
        }
    }
}
