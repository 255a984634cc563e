//! `edgepurge demo [DIR]`: everything on this machine. An embedded purge API and edge cache, and the
//! real daemon in front of a directory.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use secrecy::ExposeSecret as _;
use tokio::sync::broadcast::error::RecvError;

use super::run::{end, finish, unstarted};
use super::{Failure, Global, output};
use crate::config::{Config, Environment};
use crate::core::asset::Asset;
use crate::core::change::{Change, PipelineId, Target};
use crate::core::purge::{Outcome, Scope};
use crate::core::website::Website;
use crate::daemon::{Daemon, End};
use crate::engine::{Notice, RequestNotice};
use crate::sandbox::Sandbox;

mod edge;
mod fleet;
mod node;
mod site;

use edge::Edge;

/// The demo's pipeline.
const PIPELINE: &str = "11111111-1111-4111-8111-111111111111";
const PIPELINE_NAME: &str = "demo";
/// The demo's bucket, and its region.
const BUCKET: (&str, &str) = ("demo-site", "fr-par");
/// The file of the admin token, below the demo's directory.
const TOKEN: &str = "admin_token";
/// How many names a line shows.
const SHOWN: usize = 6;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// The origin; without it a small site is made in a temporary directory.
    dir: Option<PathBuf>,
    /// Serve the site from a bucket of Object Storage, simulated too, into which DIR is uploaded.
    #[arg(long)]
    bucket: bool,
    /// Where the state is kept; default: a new temporary directory.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// So many web servers (2 to 9), each with its own copy of the site and an edgepurge, which share a queue in a database.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u8).range(2..=9),
        conflicts_with_all = ["bucket", "state"]
    )]
    nodes: Option<u8>,
    /// The file that holds the URL of that database; the demo drops what it makes there.
    #[arg(long, value_name = "FILE", requires = "nodes")]
    database_url_file: Option<PathBuf>,
}

pub(super) async fn demo(_global: &Global, args: DemoArgs) -> Result<ExitCode, Failure> {
    if let Some(nodes) = args.nodes {
        return fleet::demo(nodes, args.dir, args.database_url_file).await;
    }
    let home = match args.state {
        Some(state) => Home::kept(&state)?,
        None => Home::temporary()?,
    };
    let root = match args.dir {
        Some(dir) => found(&dir)?,
        None => made(&home.path)?,
    };
    let environment = environment();
    let file = home.path.join("demo.toml");
    let token = token(&home.path.join(TOKEN))?;
    let origin = Origin::of(&root, args.bucket);
    let config = config(&file, &home.path, &origin, &environment)?;
    let mut uploaded = Ok(());
    let start = Daemon::start_prepared(&config, &environment, |sandbox| {
        if args.bucket {
            let put = |key: &str, body: &[u8]| sandbox.put_object(BUCKET.0, key, body, &[]);
            uploaded = site::upload(&root, put);
        }
    });
    let mut daemon = start.await.map_err(|error| unstarted(&error))?;
    uploaded.map_err(|error| {
        Failure::failed(format!("{} can't be uploaded: {error}", root.display()))
    })?;
    let mut notices = daemon.engine.notices();
    tokio::select! {
        () = daemon.ready() => {}
        end = end(&mut daemon.faults) => return finish(daemon, end).await,
    }
    let edge = daemon
        .sandbox
        .as_ref()
        .and_then(|sandbox| sandbox.edge_url(&PipelineId::new(PIPELINE)))
        .map(Edge::new)
        .ok_or_else(|| Failure::failed("the sandbox has no edge"))?;
    introduce(&daemon, &edge, &origin, &file, &token).await?;
    let end = loop {
        tokio::select! {
            end = end(&mut daemon.faults) => break end,
            notice = notices.recv() => match notice {
                Ok(notice) => tell(&daemon, &edge, &notice).await?,
                Err(RecvError::Lagged(missed)) => say(&daemon, "", &format!("({missed} events not shown)"))?,
                Err(RecvError::Closed) => break End::Signal,
            },
        }
    };
    drop(notices);
    finish(daemon, end).await
}

/// The place of a file or a directory that is named.
fn found(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize()
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// The small site, made below a directory.
fn made(home: &Path) -> Result<PathBuf, Failure> {
    site::make(home).map_err(|error| Failure::failed(format!("the site can't be made: {error}")))
}

/// Where the demo keeps its things; a temporary one goes with it.
struct Home {
    path: PathBuf,
    temporary: bool,
}

impl Home {
    fn kept(path: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(path)
            .and_then(|()| path.canonicalize())
            .map(|path| Self {
                path,
                temporary: false,
            })
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
    }

    fn temporary() -> Result<Self, Failure> {
        let name = format!("edgepurge-demo-{}", uuid::Uuid::new_v4().simple());
        let path = std::env::temp_dir().join(name);
        let mut home = Self::kept(&path)?;
        home.temporary = true;
        Ok(home)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.temporary {
            // A temporary directory that stays behind is no harm.
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}

/// What the demo serves.
enum Origin<'r> {
    Directory(&'r Path),
    Bucket,
}

impl<'r> Origin<'r> {
    const fn of(root: &'r Path, bucket: bool) -> Self {
        if bucket {
            Self::Bucket
        } else {
            Self::Directory(root)
        }
    }

    /// Its lines in the configuration.
    fn settings(&self) -> String {
        match self {
            Self::Directory(root) => format!("root = {}", toml_text(root)),
            Self::Bucket => format!(
                "bucket = \"{}\"\nregion = \"{}\"\nendpoint = \"sandbox\"\npoll = \"1s\"\n{}",
                BUCKET.0,
                BUCKET.1,
                Website::usual().rules()
            ),
        }
    }

    /// Where it is, and the command that changes its front page.
    fn shown(&self, sandbox: Option<&Sandbox>) -> (String, String) {
        match self {
            Self::Directory(root) => (
                root.display().to_string(),
                format!("> {}", quoted(&root.join("index.html"))),
            ),
            Self::Bucket => {
                let storage = sandbox.and_then(Sandbox::storage_url).unwrap_or_default();
                let bucket = format!("{storage}/{}", BUCKET.0);
                let put = format!("| curl -sS -T - {bucket}/index.html");
                (format!("bucket {bucket}"), put)
            }
        }
    }
}

/// What the demo takes from the environment: a key for its API, so that a client which has one can
/// speak to it.
fn environment() -> Environment {
    const KEY: &str = "SCW_SECRET_KEY";
    let process = Environment::of_process();
    let key = process.get(KEY).map(|key| (KEY, key));
    key.into_iter().collect()
}

/// Makes a token for the page's buttons.
fn token(file: &Path) -> Result<String, Failure> {
    let token = uuid::Uuid::new_v4().simple().to_string();
    keep(file, &token)?;
    Ok(token)
}

/// Writes a secret into a file of its own.
fn keep(file: &Path, secret: &str) -> Result<(), Failure> {
    let private = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(file);
    private
        .and_then(|mut to| to.write_all(secret.as_bytes()))
        .map_err(|error| Failure::failed(format!("{}: {error}", file.display())))
}

/// Writes the configuration that a user would write, for all other commands, and reads it.
fn config(
    file: &Path,
    home: &Path,
    origin: &Origin<'_>,
    environment: &Environment,
) -> Result<Config, Failure> {
    let token = home.join(TOKEN);
    let text = settings(
        "api_url = \"sandbox\"",
        home,
        "",
        &token,
        &origin.settings(),
    );
    written(file, &text, environment)
}

/// The text of a configuration: how the API is reached, where things are kept, more of what is kept, the file of
/// the admin token, and the origin.
fn settings(api: &str, home: &Path, state: &str, token: &Path, origin: &str) -> String {
    format!(
        "[scaleway]\n{api}\n\n\
         [state]\ndirectory = {directory}\n{state}\n\
         [admin]\nlisten = \"127.0.0.1:0\"\nsocket = {socket}\ntoken_file = {token}\n\n\
         [[pipeline]]\nname = \"{PIPELINE_NAME}\"\nid = \"{PIPELINE}\"\n\n\
         [[pipeline.origin]]\n{origin}\n",
        directory = toml_text(&home.join("state")),
        socket = toml_text(&home.join("admin.sock")),
        token = toml_text(token),
    )
}

/// Writes a configuration, and reads it.
fn written(file: &Path, text: &str, environment: &Environment) -> Result<Config, Failure> {
    std::fs::write(file, text)
        .map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
    Config::parse(file, text, environment).map_err(|problems| Failure::config(problems.to_string()))
}

/// A path as TOML writes it.
fn toml_text(path: &Path) -> String {
    toml::Value::from(path.to_string_lossy().into_owned()).to_string()
}

async fn introduce(
    daemon: &Daemon,
    edge: &Edge,
    origin: &Origin<'_>,
    file: &Path,
    token: &str,
) -> Result<(), Failure> {
    let sandbox = daemon.sandbox.as_ref();
    let api = sandbox.map(Sandbox::api_url).unwrap_or_default();
    let key = match environment().get("SCW_SECRET_KEY") {
        Some(_) => "that of SCW_SECRET_KEY".to_owned(),
        None => sandbox
            .map(|sandbox| sandbox.secret_key().expose_secret().to_owned())
            .unwrap_or_default(),
    };
    let page = daemon.admin_address.map(|at| format!("http://{at}/"));
    let page = page.unwrap_or_default();
    // The first visitor: from now on the edge has the front page cached.
    let visit = edge.visit("/").await;
    let (origin, change) = origin.shown(sandbox);
    let command = format!("{} --config {}", program(), quoted(file));
    output::line(&format!(
        "edgepurge demo: an edge cache, its purge API, and edgepurge, all on this machine\n\
         \n\
         page     {page}\n\
         log in   with {token}, for the buttons\n\
         origin   {origin}\n\
         edge     {edge}/   ({visit})\n\
         API      {api}\n\
         key      {key}\n\
         config   {file}\n\
         \n\
         Open the page in a browser. Then, in another terminal, change a file, and fetch it from the edge:\n\
         \n\
         echo '<h1>Fresh</h1>' {change}\n\
         curl -i {edge}/\n\
         \n\
         Every command works with it, such as:\n\
         \n\
         {command} status --watch\n\
         {command} explain /\n\
         {command} purge {PIPELINE_NAME} '/blog/**' --wait\n\
         \n\
         Ctrl-C ends the demo.\n",
        edge = edge.url(),
        file = file.display(),
    ))
}

/// This program, as it was called.
fn program() -> String {
    let called = std::env::args_os().next().map(PathBuf::from);
    called.map_or_else(|| "edgepurge".to_owned(), |path| quoted(&path))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@,".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn say(daemon: &Daemon, what: &str, text: &str) -> Result<(), Failure> {
    let now = daemon.clock.now().to_string();
    let time = now.get(11..23).unwrap_or(&now);
    output::line(&format!("{time}  {what:<8}  {text}"))
}

async fn tell(daemon: &Daemon, edge: &Edge, notice: &Notice) -> Result<(), Failure> {
    match notice {
        Notice::Changed(changes) => {
            for line in changed(changes) {
                say(daemon, "changed", &line)?;
            }
            Ok(())
        }
        Notice::Opened(request) => say(
            daemon,
            "purging",
            &format!("request {}: {}", request.id, scope(&request.scope)),
        ),
        Notice::Accepted(_) => Ok(()),
        Notice::Settled(request) => settled(daemon, edge, request).await,
    }
}

async fn settled(daemon: &Daemon, edge: &Edge, request: &RequestNotice) -> Result<(), Failure> {
    let Some((outcome, at, why)) = &request.end else {
        return Ok(());
    };
    if *outcome != Outcome::Done {
        let text = format!("request {}: {} ({why})", request.id, outcome.as_str());
        return say(daemon, "again", &text);
    }
    let took = at.since(request.first_seen).as_secs_f64();
    let path = match &request.scope {
        Scope::Assets(assets) => assets.keys().next().map_or("/", Asset::as_str),
        Scope::All { .. } => "/",
    };
    let visit = edge.visit(path).await;
    say(
        daemon,
        "fresh",
        &format!(
            "request {} done, {took:.1} s after the change; {visit}",
            request.id
        ),
    )
}

/// A line for each kind of change.
fn changed(changes: &[Change]) -> Vec<String> {
    let mut kinds: std::collections::BTreeMap<&str, Vec<String>> =
        std::collections::BTreeMap::new();
    for change in changes {
        let target = match &change.target {
            Target::Asset(asset) => asset.to_string(),
            Target::All => "everything".to_owned(),
        };
        kinds.entry(change.kind.as_str()).or_default().push(target);
    }
    kinds
        .into_iter()
        .map(|(kind, names)| format!("{kind}: {}", listed(names.iter().map(String::as_str))))
        .collect()
}

fn scope(scope: &Scope) -> String {
    match scope {
        Scope::Assets(assets) => listed(assets.keys().map(Asset::as_str)),
        Scope::All { reason, .. } => format!("everything ({})", reason.as_str()),
    }
}

fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let mut text = names.take(SHOWN).collect::<Vec<_>>().join(" ");
    if more > 0 {
        write!(text, " and {more} more").unwrap_or_default();
    }
    text
}
