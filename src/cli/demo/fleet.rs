//! `edgepurge demo --nodes N`: web servers with a copy of the site each, an edgepurge beside each, which share a queue
//! in `PostgreSQL`, and an edge that fetches from the web servers in turn.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::edge::Edge;
use super::node::{AWAY, News, Node};
use super::{
    Failure, Home, PIPELINE, TOKEN, environment, found, keep, made, program, quoted, settings,
    token, toml_text, written,
};
use crate::cli::client;
use crate::cli::output;
use crate::cli::run::{READY, end, unstarted};
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::core::change::PipelineId;
use crate::core::nodes::NodeState;
use crate::daemon::{self, End, StartError};
use crate::sandbox::{
    Event, Mount, PipelineSettings, PurgeStatus, PurgeTarget, Reads, Sandbox, SandboxSettings,
    WebServer,
};
use crate::store::{self, Database, StoreError};
use crate::supervise::{Faults, Supervisor};

/// How long stopping may take.
const STOP: Duration = Duration::from_secs(20);
/// How many lines of all nodes wait to be shown.
const LINES: usize = 64;
/// Makes a server that only its user reaches, with the programs of Debian's package `postgresql`.
const MAKE_SERVER: &str = "\
D=$(mktemp -d) P=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1); $P/initdb -A trust -D $D/data >$D/log && \
$P/pg_ctl -D $D/data -l $D/log -o \"-k $D -c listen_addresses=\" -w start && \
(umask 077; echo \"postgres://$(id -un)@/postgres?host=$D\" >$D/url; echo \"--database-url-file $D/url\")";

/// All that the demo shows.
struct Fleet {
    nodes: Vec<Node>,
    /// What is known of the process of each node.
    processes: Vec<Process>,
    sandbox: Sandbox,
    edge: Edge,
    database: Database,
    token: String,
    clock: Clock,
}

#[derive(Clone, Default)]
struct Process {
    pid: u32,
    page: String,
    ready: bool,
}

pub(super) async fn demo(
    count: u8,
    dir: Option<PathBuf>,
    url_file: Option<PathBuf>,
) -> Result<ExitCode, Failure> {
    let Some(url_file) = url_file else {
        let why = "nodes share a queue in PostgreSQL: give its URL with --database-url-file FILE";
        return Err(Failure::usage(why)
            .help("the file holds postgres://USER:PASSWORD@HOST/DATABASE, and has mode 600")
            .help(&format!(
                "a server for the demo, made by a user other than root: {MAKE_SERVER}"
            )));
    };
    let url_file = found(&url_file)?;
    let home = Home::temporary()?;
    let site = match dir {
        Some(dir) => found(&dir)?,
        None => made(&Node::home(&home.path, 1))?,
    };
    if home.path.starts_with(&site) {
        let why = format!("{}: holds the demo's own directory", site.display());
        return Err(Failure::usage(why).help("name a directory that is not above TMPDIR"));
    }
    let (supervisor, mut faults) = Supervisor::new();
    let nodes = (1..=count).map(|number| Node::make(&home.path, number, &site));
    let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
    let mut fleet = Fleet::set_up(nodes, &home.path, &url_file, &supervisor).await?;
    let refused = |error: StoreError| unstarted(&StartError::from(error));
    store::begin_demo(&fleet.database).await.map_err(refused)?;
    let shown = fleet.show(&mut faults, &supervisor).await;
    if tokio::time::timeout(STOP, supervisor.stop()).await.is_err() {
        let seconds = STOP.as_secs();
        output::to_stderr(&format!(
            "warning: the nodes did not stop within {seconds} s\n"
        ));
    }
    let dropped = store::end_demo(&fleet.database).await.map_err(refused);
    shown.and(dropped).map(|()| ExitCode::SUCCESS)
}

/// The simulated API and edge, which has the copies of all nodes behind it.
async fn sandbox(
    nodes: &[Node],
    clock: Clock,
    environment: &Environment,
    supervisor: &Supervisor,
) -> std::io::Result<Sandbox> {
    let pipeline = PipelineId::new(PIPELINE);
    let mut settings = SandboxSettings::new(clock);
    settings.secret_key = environment.get("SCW_SECRET_KEY").map(Into::into);
    settings.pipelines = vec![PipelineSettings::new(pipeline.clone(), Path::new("/"))];
    let sandbox = Sandbox::start(settings, supervisor).await?;
    let servers = nodes.iter().map(|node| WebServer {
        mounts: vec![Mount {
            url_prefix: "/".to_owned(),
            root: node.root.clone(),
        }],
        reads: Reads::Own,
    });
    sandbox.set_servers(&pipeline, servers.collect());
    Ok(sandbox)
}

impl Fleet {
    /// Starts the sandbox, and writes each node's configuration.
    async fn set_up(
        nodes: Vec<Node>,
        home: &Path,
        url_file: &Path,
        supervisor: &Supervisor,
    ) -> Result<Self, Failure> {
        let (clock, environment) = (Clock::start(), environment());
        let sandbox = sandbox(&nodes, clock, &environment, supervisor).await;
        let sandbox = sandbox
            .map_err(|error| Failure::temporary(format!("the sandbox does not start: {error}")))?;
        let edge = sandbox.edge_url(&PipelineId::new(PIPELINE));
        let edge = edge.map(Edge::new);
        let edge = edge.ok_or_else(|| Failure::failed("the sandbox has no edge"))?;
        let (token_file, key) = (home.join(TOKEN), home.join("secret_key"));
        let token = token(&token_file)?;
        keep(&key, sandbox.secret_key().expose_secret())?;
        let (url, key) = (toml::Value::from(sandbox.api_url()), toml_text(&key));
        let api = format!("api_url = {url}\nsecret_key_file = {key}");
        let mut first: Option<Config> = None;
        for node in &nodes {
            let (url_file, name) = (toml_text(url_file), &node.name);
            let state = format!("database_url_file = {url_file}\nnode = \"{name}\"\n");
            let origin = format!("root = {}", toml_text(&node.root));
            let text = settings(&api, &node.home, &state, &token_file, &origin);
            let config = written(&node.config, &text, &environment)?;
            first.get_or_insert(config);
        }
        let database = first.map(|config| daemon::database(&config, &environment));
        let database = database.transpose().map_err(Failure::config)?.flatten();
        Ok(Self {
            processes: vec![Process::default(); nodes.len()],
            nodes,
            sandbox,
            edge,
            database: database.ok_or_else(|| Failure::config("no database is configured"))?,
            token,
            clock,
        })
    }

    /// Runs the nodes, and shows what happens until a signal.
    async fn show(&mut self, faults: &mut Faults, supervisor: &Supervisor) -> Result<(), Failure> {
        let (sender, mut news) = mpsc::channel(LINES);
        let mut events = self.sandbox.events();
        // That of a terminal that is closed.
        let mut hangup = signal(SignalKind::hangup())
            .map_err(|error| Failure::temporary(format!("signals can't be received: {error}")))?;
        let mut end = pin!(end(faults));
        for (nth, node) in self.nodes.iter().enumerate() {
            let sender = sender.clone();
            let tell = async move |said| drop(sender.send((nth, said)).await);
            supervisor.spawn("demo-node", node.clone().keep(tell, supervisor.stopping()));
        }
        let mut introduced = false;
        loop {
            tokio::select! {
                ended = &mut end => return match ended {
                    End::Signal => Ok(()),
                    End::Fault(fault) => Err(Failure::fault(&fault)),
                },
                _ = hangup.recv() => return Ok(()),
                Some((nth, said)) = news.recv() => self.note(nth, said, introduced)?,
                event = events.recv() => if let Ok(Event::RequestDone { id, status, .. }) = event {
                    self.visit(&id, status).await?;
                },
            }
            if !introduced && self.processes.iter().all(|process| process.ready) {
                introduced = true;
                self.introduce().await?;
            }
        }
    }

    /// Shows what became of a node's process. One that ends before the demo is introduced can't be used.
    fn note(&mut self, nth: usize, news: News, introduced: bool) -> Result<(), Failure> {
        let (Some(node), Some(process)) = (self.nodes.get(nth), self.processes.get_mut(nth)) else {
            return Ok(());
        };
        let name = &node.name;
        match news {
            News::Started(pid) => {
                process.pid = pid;
                say(self.clock, name, &format!("starts as process {pid}"))
            }
            News::Ended(status) if introduced => {
                let seconds = AWAY.as_secs();
                let text = format!("has ended ({status}), and starts again in {seconds} s");
                say(self.clock, name, &text)
            }
            News::Ended(status) => Err(Failure::failed(format!(
                "{name} does not start ({status}); what it says of that is above"
            ))),
            News::Logged(line) => {
                let Ok(entry) = serde_json::from_str::<Value>(&line) else {
                    return output::line(&format!("{:12}  {name:<8}  {line}", ""));
                };
                let field = |name: &str| entry["fields"][name].as_str();
                process.ready |= field("message") == Some(READY);
                if let Some(admin) = field("admin") {
                    process.page = format!("http://{admin}/");
                }
                output::line(&logged(name, &entry))
            }
        }
    }

    /// Visits what a request has purged, as the first visitor does.
    async fn visit(&self, id: &str, status: PurgeStatus) -> Result<(), Failure> {
        let requests = self.sandbox.requests();
        let request = requests.iter().rev().find(|request| request.id == id);
        let first = request.and_then(|request| match &request.target {
            PurgeTarget::Assets(assets) => assets.first().map(String::as_str),
            PurgeTarget::All => None,
        });
        if status != PurgeStatus::Done {
            return Ok(());
        }
        let visit = self.edge.visit(first.unwrap_or("/")).await;
        say(self.clock, "edge", &visit)
    }

    /// The node that leads.
    async fn leader(&self) -> Option<usize> {
        let first = self.nodes.first()?;
        let daemon = client::Daemon::find(&first.home.join("admin.sock")).await?;
        let status = daemon.status().await.ok()?.value;
        let leads = { status.nodes.iter() }.find(|node| node.state == NodeState::Leads)?;
        self.nodes.iter().position(|node| node.name == leads.name)
    }

    async fn introduce(&self) -> Result<(), Failure> {
        // The first visitor: from now on the edge has the front page cached.
        let visit = self.edge.visit("/").await;
        let key = match environment().get("SCW_SECRET_KEY") {
            Some(_) => "that of SCW_SECRET_KEY".to_owned(),
            None => self.sandbox.secret_key().expose_secret().to_owned(),
        };
        let leader = self.leader().await.unwrap_or(0);
        let leads = self.processes.get(leader).map_or(0, |process| process.pid);
        let (mut table, mut copies) = (String::new(), String::new());
        let page = |node: &Node| quoted(&node.root.join("index.html"));
        let first = self.nodes.first().map(page).unwrap_or_default();
        for (node, process) in self.nodes.iter().zip(&self.processes) {
            let (name, root) = (&node.name, node.root.display());
            let Process { pid, page, .. } = process;
            writeln!(table, "{name:<8} {page}   process {pid}   {root}").unwrap_or_default();
        }
        for node in self.nodes.iter().skip(1) {
            writeln!(copies, "cp {first} {}", page(node)).unwrap_or_default();
        }
        let command = |node: Option<&Node>| {
            let config = node.map(|node| quoted(&node.config));
            format!("{} --config {}", program(), config.unwrap_or_default())
        };
        let other = self
            .nodes
            .iter()
            .enumerate()
            .find(|(nth, _)| *nth != leader);
        output::line(&format!(
            "edgepurge demo: {count} web servers behind an edge, an edgepurge beside each, and one queue in PostgreSQL\n\
             \n\
             {table}\
             log in   with {token}, for the buttons of each page\n\
             edge     {edge}/   ({visit})\n\
             API      {api}\n\
             key      {key}\n\
             \n\
             In another terminal, change a file on the first web server. Its purge waits for the other copies, up to 30 s:\n\
             \n\
             echo '<h1>Fresh</h1>' > {first}\n\
             {command} status\n\
             \n\
             Copy it to the others, and fetch it from the edge, which asks the web servers in turn:\n\
             \n\
             {copies}\
             curl -i {edge}/\n\
             \n\
             Kill the node that leads. Within 12 s another one does; the demo starts the dead one again after {away} s:\n\
             \n\
             kill -9 {leads}\n\
             {other} node list\n\
             \n\
             Ctrl-C ends the demo, and drops what it made in the database.\n",
            count = self.nodes.len(),
            token = self.token,
            edge = self.edge.url(),
            api = self.sandbox.api_url(),
            command = command(self.nodes.get(leader)),
            other = command(other.map(|(_, node)| node)),
            away = AWAY.as_secs(),
        ))
    }
}

fn say(clock: Clock, who: &str, text: &str) -> Result<(), Failure> {
    let now = clock.now().to_string();
    let time = now.get(11..23).unwrap_or(&now);
    output::line(&format!("{time}  {who:<8}  {text}"))
}

/// A line for an entry of a node's log.
fn logged(name: &str, entry: &Value) -> String {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let time = text(&entry["timestamp"]);
    let time = time.get(11..23).unwrap_or_default();
    let level = match entry["level"].as_str() {
        Some("INFO") | None => String::new(),
        Some(level) => format!("{level} "),
    };
    let mut line = format!(
        "{time}  {name:<8}  {level}{}",
        text(&entry["fields"]["message"])
    );
    let fields = entry["fields"].as_object().into_iter().flatten();
    for (key, value) in fields.filter(|(key, _)| *key != "message") {
        write!(line, " {key}={}", text(value)).unwrap_or_default();
    }
    line
}
