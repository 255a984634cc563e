//! What the nodes have of each other's files: when which node compares, who counts as live, and what the
//! leader learns of it.

use std::collections::{BTreeMap, BTreeSet};

use edgepurge::core::agreement::{Agreement, Compared, Fact, File};
use edgepurge::core::asset::Asset;
use edgepurge::core::change::{FileFact, Kind, NewChange, PipelineId, Seq, Source, Target};
use edgepurge::core::lease::{NodeId, PATIENCE};
use edgepurge::core::planner::{Event, Reason};
use edgepurge::core::time::Time;

use crate::edge::{HOST, Key};
use crate::fleet::Node;
use crate::world::{World, now};

/// What a node's process knows of the others' files.
#[derive(Debug, Default)]
pub(crate) struct Comparing {
    agreements: BTreeMap<PipelineId, Agreement>,
    /// So many facts it has read.
    read: usize,
    /// Files that came since it compared last.
    pub(crate) arrived: Vec<Key>,
    /// When it compares next.
    pub(crate) at: Option<u64>,
    /// When it reached the store last,
    heard: u64,
    /// and when it last did not.
    unheard: u64,
    /// Whose host file it has given up, by pipeline.
    diverged: BTreeSet<(PipelineId, NodeId)>,
}

/// What the nodes have said.
#[derive(Debug, Default)]
pub(crate) struct Agreeing {
    /// The changes of files, by who committed them.
    facts: Vec<(PipelineId, Fact)>,
    published: BTreeMap<(NodeId, PipelineId), Compared>,
    /// When the leader learns the next of it.
    tell_at: Option<u64>,
    /// Who lived when it did last.
    told: BTreeSet<NodeId>,
}

impl Comparing {
    /// Whether a file differs for so long that it is not waited for.
    fn gave_up(&self, (pipeline, name): &Key) -> bool {
        let agreement = self.agreements.get(pipeline);
        let divergence =
            agreement.and_then(|of| of.divergence(Time::from_millis(u64::MAX), usize::MAX));
        divergence.is_some_and(|of| of.named.iter().any(|one| one.file == file(name)))
    }
}

fn file(name: &str) -> File {
    File {
        origin: "site".into(),
        path: name.as_bytes().to_vec(),
    }
}

/// The file behind a change that a node has noticed.
pub(crate) fn fill_in(row: &mut NewChange) {
    if let Target::Asset(asset) = &row.target {
        let File { origin, path } = file(asset.as_str());
        row.file = Some(FileFact {
            origin,
            path,
            hash: None,
            former: None,
        });
    }
}

fn patience() -> u64 {
    u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX)
}

fn name(node: NodeId) -> String {
    node.0.to_string()
}

impl World {
    /// Whether any batch waits for nodes.
    fn agrees(&self) -> bool {
        self.fleet.is_some() && self.settings.iter().any(|one| one.fleet_wait.is_some())
    }

    /// A node has committed a change of a file. Returns the version that it has.
    pub(crate) fn fact(
        &mut self,
        node: NodeId,
        pipeline: &PipelineId,
        target: &Target,
        seq: Seq,
    ) -> Option<(u64, bool)> {
        let (Some(fleet), Target::Asset(asset)) = (&mut self.fleet, target) else {
            return None;
        };
        let key = (pipeline.clone(), asset.to_string());
        let version = self.edge.stored(node, &key)?;
        let fact = Fact {
            seq,
            node,
            file: file(&key.1),
            content: self.edge.content(node, &key),
        };
        fleet.agreeing.facts.push((pipeline.clone(), fact));
        Some(version)
    }

    /// A node has committed a change of a file again.
    pub(crate) fn again_a_fact(&mut self, pipeline: PipelineId, fact: Fact) {
        if let Some(fleet) = &mut self.fleet {
            fleet.agreeing.facts.push((pipeline, fact));
        }
    }

    /// What came after a change is forgotten, and so is what nodes said: they compare anew. Returns it.
    pub(crate) fn compare_anew(&mut self, last: Seq) -> Vec<(PipelineId, Fact)> {
        for node in self.nodes_mut() {
            node.comparing.agreements.clear();
            node.comparing.diverged.clear();
        }
        self.compare_soon();
        self.tell_soon(150);
        let Some(fleet) = &mut self.fleet else {
            return Vec::new();
        };
        fleet.agreeing.published.clear();
        let facts = &mut fleet.agreeing.facts;
        let kept = facts.partition_point(|(_, fact)| fact.seq <= last);
        facts.split_off(kept)
    }

    /// All nodes compare soon.
    pub(crate) fn compare_soon(&mut self) {
        if !self.agrees() {
            return;
        }
        let (real, mut rng) = (self.real, self.rng.fork());
        for node in self.nodes_mut() {
            let at = real + rng.u64(1..150);
            node.comparing.at = Some(node.comparing.at.map_or(at, |known| known.min(at)));
        }
    }

    /// A node's process begins: it knows nothing of the others.
    pub(crate) fn begin_to_compare(&mut self) {
        let (id, real) = (self.node.id, self.real);
        self.node.comparing = Comparing {
            heard: real,
            unheard: real,
            at: self.agrees().then(|| real + self.rng.u64(1..1_000)),
            ..Comparing::default()
        };
        if let Some(fleet) = &mut self.fleet {
            fleet.agreeing.published.retain(|(node, _), _| *node != id);
        }
        self.tell_soon(150);
    }

    /// A node has left for good.
    pub(crate) fn left(&mut self, id: NodeId) {
        let others = self.nodes().map(|node| node.id).filter(|of| *of != id);
        let others: BTreeSet<NodeId> = others.collect();
        for node in self.nodes_mut() {
            let agreements = node.comparing.agreements.values_mut();
            agreements.for_each(|agreement| agreement.nodes(&others, &others));
        }
        self.tell_soon(150);
    }

    /// The leader learns soon what the nodes say.
    pub(crate) fn tell_soon(&mut self, within: u64) {
        if !self.agrees() {
            return;
        }
        let at = self.real + self.rng.u64(1..within);
        if let Some(fleet) = &mut self.fleet {
            let known = fleet.agreeing.tell_at;
            fleet.agreeing.tell_at = Some(known.map_or(at, |known| known.min(at)));
        }
    }

    /// Notes who reaches the store now.
    pub(crate) fn observe(&mut self) {
        let real = self.real;
        self.database.set_time(self.failovers.ring_time(real));
        for node in self.nodes_mut() {
            if node.reaches_the_store(real) {
                node.comparing.heard = real;
            } else {
                node.comparing.unheard = real;
            }
        }
    }

    fn lives(&self, node: &Node) -> bool {
        node.reaches_the_store(self.real) || self.real < node.comparing.heard + patience()
    }

    /// When the leader learns something: what nodes said, or that one lives, or not.
    pub(crate) fn tells_at(&self) -> Option<u64> {
        let agreeing = &self.fleet.as_ref().filter(|_| self.agrees())?.agreeing;
        let moves = |node: &Node| {
            let told = agreeing.told.contains(&node.id);
            match (told, node.reaches_the_store(self.real)) {
                (true, true) | (false, false) => None,
                (true, false) => Some(node.comparing.heard + patience()),
                (false, true) => Some(self.real),
            }
        };
        let moves = self.nodes().filter_map(moves);
        moves.chain(agreeing.tell_at).min()
    }

    /// When the leader learns what was said since it learned something.
    fn telling_at(&self) -> Option<u64> {
        self.fleet.as_ref()?.agreeing.tell_at
    }

    /// The current node reads what the others committed, and compares it with its own files.
    pub(crate) fn compare(&mut self) {
        let (id, wall, real) = (self.node.id, self.wall(), self.real);
        let last = self.appended.keys().next_back().copied().unwrap_or(Seq(0));
        if self.node.comparing.agreements.is_empty() {
            self.start_comparing(last);
        }
        let Some(fleet) = &mut self.fleet else { return };
        let (edge, agreeing) = (&self.edge, &mut fleet.agreeing);
        let comparing = &mut self.node.comparing;
        for key in std::mem::take(&mut comparing.arrived) {
            if let Some(agreement) = comparing.agreements.get_mut(&key.0) {
                agreement.own(&file(&key.1), edge.content(id, &key));
            }
        }
        for (pipeline, fact) in &agreeing.facts[comparing.read..] {
            let others = comparing.agreements.get_mut(pipeline);
            if let Some(agreement) = others.filter(|_| fact.node != id) {
                let path = String::from_utf8_lossy(&fact.file.path).into_owned();
                let own = edge.content(id, &(pipeline.clone(), path));
                agreement.fact(wall, fact.clone(), own);
            }
        }
        comparing.read = agreeing.facts.len();
        let mut published = Vec::new();
        for (pipeline, agreement) in &mut comparing.agreements {
            agreement.through(last);
            let before = agreement.compared();
            agreement.wake(wall);
            published.push((pipeline.clone(), before, agreement.compared()));
        }
        let wakes = comparing
            .agreements
            .values()
            .filter_map(Agreement::next_wake);
        let wakes = wakes.min();
        self.node.comparing.at = wakes.map(|at| self.node.real_of(at, real));
        for (pipeline, before, after) in published {
            self.publish(pipeline, &before, &after);
        }
    }

    fn start_comparing(&mut self, last: Seq) {
        let queued = now(self.store.queued_after(Seq(0), 1));
        let after = queued.first().map_or(last, |row| Seq(row.seq.0 - 1));
        let waiting = self.settings.iter();
        let waiting = waiting.filter_map(|one| Some((one.id.clone(), one.fleet_wait?)));
        let agreements = waiting.map(|(id, wait)| (id, Agreement::new(after, wait)));
        self.node.comparing.agreements = agreements.collect();
        if let Some(fleet) = &self.fleet {
            let known = |(_, fact): &(PipelineId, Fact)| fact.seq <= after;
            self.node.comparing.read = fleet.agreeing.facts.partition_point(known);
        }
    }

    fn publish(&mut self, pipeline: PipelineId, before: &Compared, after: &Compared) {
        let id = self.node.id;
        let given_up = before.lagging.iter();
        let given_up: Vec<Seq> = given_up
            .filter(|seq| !after.lagging.contains(seq))
            .copied()
            .collect();
        for seq in given_up {
            self.ledger.meet("a node gives up a file");
            if let Some(node) = self.host_file_of(seq) {
                self.ledger.meet("a file never agrees");
                self.node
                    .comparing
                    .diverged
                    .insert((pipeline.clone(), node));
            }
        }
        for seq in &after.lagging {
            let Some(node) = self.host_file_of(*seq) else {
                continue;
            };
            let key = (pipeline.clone(), node);
            if self.node.comparing.diverged.contains(&key) {
                let why = format!("{id:?} waits again for {node:?}'s file, which never agrees");
                self.hold_true(Err(why));
            }
        }
        let Some(fleet) = &mut self.fleet else { return };
        let known = fleet
            .agreeing
            .published
            .insert((id, pipeline), after.clone());
        if known.as_ref() != Some(after) {
            self.tell_soon(150);
        }
    }

    /// Whose host file changed so.
    fn host_file_of(&self, seq: Seq) -> Option<NodeId> {
        let facts = &self.fleet.as_ref()?.agreeing.facts;
        let found = facts.binary_search_by_key(&seq, |(_, fact)| fact.seq);
        let fact = &facts[found.ok()?].1;
        (fact.file.path == HOST.as_bytes()).then_some(fact.node)
    }

    /// The leader learns what the live nodes say.
    pub(crate) fn tell(&mut self) {
        let live: BTreeSet<NodeId> = self
            .nodes()
            .filter(|node| self.lives(node))
            .map(|node| node.id)
            .collect();
        if self.nodes().any(|node| !live.contains(&node.id)) {
            self.ledger.meet("a node is not waited for");
        }
        let leads = self.turn_to_leader();
        if leads {
            self.hear();
        }
        let again = self.real + 500;
        let Some(fleet) = &mut self.fleet else { return };
        fleet.agreeing.told.clone_from(&live);
        fleet.agreeing.tell_at = (!leads).then_some(again);
        let published = fleet.agreeing.published.clone();
        let waiting = self.settings.iter().filter(|one| one.fleet_wait.is_some());
        for pipeline in waiting.map(|one| one.id.clone()).collect::<Vec<_>>() {
            if !leads || self.node.steps.is_none() {
                return;
            }
            let said = |id: &NodeId| {
                let said = published.get(&(*id, pipeline.clone()));
                (name(*id).into(), said.cloned().unwrap_or_default())
            };
            let nodes = live.iter().map(said).collect();
            self.event(Event::Agreement { pipeline, nodes });
        }
    }

    /// A file is made on each node, with the host's name in it.
    pub(crate) fn host_file(&mut self) {
        if self.fleet.is_none() {
            return;
        }
        let pipeline = self.some_pipeline();
        let row = NewChange {
            pipeline: pipeline.clone(),
            target: Target::Asset(Asset::from_stored(HOST)),
            kind: Kind::Changed,
            source: Source::Watch,
            detail: "".into(),
            file: None,
            seen: self.wall(),
        };
        for id in self.nodes().map(|one| one.id).collect::<Vec<_>>() {
            let written = self.edge.write(&pipeline, HOST, true);
            let at = self.real + self.rng.u64(1..2_000);
            self.bring(at, id, vec![written], vec![row.clone()]);
        }
    }

    /// At the end: the facts by which a node brings its index up to date are its own.
    pub(crate) fn facts_are_own(&self) -> Result<(), String> {
        for node in self.nodes() {
            let Some(store) = &node.store else { continue };
            for pipeline in self.settings.iter().map(|one| one.id.clone()) {
                let facts = store.facts_after(pipeline, "site".to_owned(), Seq(0), usize::MAX);
                let of = |seq: &Seq| self.appended.get(seq).and_then(|change| change.by);
                let other = now(facts)
                    .into_iter()
                    .find(|(seq, _)| of(seq) != Some(node.id));
                if let Some((seq, _)) = other {
                    return Err(format!("{:?} takes {seq} for a fact of its own", node.id));
                }
            }
        }
        Ok(())
    }

    /// At every moment: the leader waits for nodes that live.
    pub(crate) fn waits_for_the_living(&mut self) -> Result<(), String> {
        // A leader that was away itself learns it a moment later.
        let away = self.real < self.node.comparing.unheard + 1_000;
        if !self.agrees() || self.node.steps.is_none() || away || !self.in_term() {
            return Ok(());
        }
        for view in self.view().pipelines.values() {
            if view.waits.iter().any(|wait| wait.reason == Reason::Nodes) {
                self.ledger.meet("a batch waits for nodes");
            }
            for awaited in &view.awaited {
                let node = self.nodes().find(|node| *name(node.id) == **awaited);
                // The leader is about to learn that it has left.
                if node.is_none() && self.telling_at().is_some() {
                    continue;
                }
                let heard = node.map_or(0, |node| node.comparing.heard);
                if self.real > heard + patience() + 1_000 {
                    return Err(format!("node {awaited} is waited for, and does not live"));
                }
            }
        }
        Ok(())
    }

    /// A node that has been there since a time, and has an older version of a file that it has not given up.
    pub(crate) fn lacks(&self, key: &Key, version: u64, since: u64) -> Option<NodeId> {
        let lacks = |node: &&Node| {
            node.reaches_the_store(self.real)
                && node.comparing.unheard < since
                && !node.comparing.gave_up(key)
                && self
                    .edge
                    .stored(node.id, key)
                    .is_none_or(|(has, _)| has < version)
        };
        self.nodes().find(lacks).map(|node| node.id)
    }
}
