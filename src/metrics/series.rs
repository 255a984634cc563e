//! Families of metrics whose labels have known values: every label set is there from the start, at zero.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// A label, and its values.
pub(super) type Label<'a> = (&'static str, &'a [&'static str]);

/// The label whose values are the names of the pipelines, given by [`Table::prepare`].
pub(super) const PIPELINE: Label<'_> = ("pipeline", &[]);

/// A metric for each combination of the values of its labels.
#[derive(Clone, Debug)]
pub(super) struct Series<M> {
    labels: Vec<(&'static str, Vec<&'static str>)>,
    family: Family<Vec<(&'static str, String)>, M>,
}

impl<M: Clone> Series<M> {
    /// The metric with these values, in the order of the labels.
    pub(super) fn of(&self, values: &[&str]) -> M {
        let names = self.labels.iter().map(|(name, _)| *name);
        let set = names.zip(values.iter().map(|value| (*value).to_owned()));
        self.family.get_or_create_owned(&set.collect())
    }

    /// Makes each combination that has this pipeline, or none, present.
    fn prepare(&self, pipeline: &str) {
        let mut sets = vec![Vec::new()];
        for (_, values) in &self.labels {
            let own = [pipeline];
            let values = if values.is_empty() { &own } else { &**values };
            let longer = |set: &Vec<_>| {
                values
                    .iter()
                    .map(|value| [&**set, &[*value]].concat())
                    .collect::<Vec<_>>()
            };
            sets = sets.iter().flat_map(longer).collect();
        }
        for set in sets {
            drop(self.of(&set));
        }
    }
}

/// All that is registered.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) registry: Registry,
    counters: Vec<Series<Counter>>,
    histograms: Vec<Series<Histogram>>,
}

impl Table {
    /// Counters with these labels. `_total` is added to their name.
    pub(super) fn counters(
        &mut self,
        name: &str,
        help: &str,
        labels: &[Label<'_>],
    ) -> Series<Counter> {
        let series = self.series(name, help, labels, Counter::default);
        self.counters.push(series.clone());
        series
    }

    /// A histogram of each pipeline.
    pub(super) fn histograms(
        &mut self,
        name: &str,
        help: &str,
        new: fn() -> Histogram,
    ) -> Series<Histogram> {
        let series = self.series(name, help, &[PIPELINE], new);
        self.histograms.push(series.clone());
        series
    }

    /// A metric without labels.
    pub(super) fn one<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.registry.register(name, help, metric.clone());
        metric
    }

    /// Makes every label set of a pipeline present, where it is not there.
    pub(super) fn prepare(&self, pipeline: &str) {
        self.counters.iter().for_each(|one| one.prepare(pipeline));
        self.histograms.iter().for_each(|one| one.prepare(pipeline));
    }

    fn series<M>(
        &mut self,
        name: &str,
        help: &str,
        labels: &[Label<'_>],
        new: fn() -> M,
    ) -> Series<M>
    where
        M: Clone,
        Family<Vec<(&'static str, String)>, M>: Metric,
    {
        let family = Family::new_with_constructor(new);
        self.registry.register(name, help, family.clone());
        let labels = labels.iter().map(|(name, values)| (*name, values.to_vec()));
        let series = Series {
            labels: labels.collect(),
            family,
        };
        // Those of pipelines follow with their names.
        if !series.labels.iter().any(|(_, values)| values.is_empty()) {
            series.prepare("");
        }
        series
    }
}
