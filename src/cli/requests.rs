//! `edgepurge requests list | get | create`: the purge-request API as it is. Through a running
//! daemon and its rate limit where there is one, else straight to the API.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::moment::Moment;
use super::progress::Line;
use super::style::{NAME, styled};
use super::way::Way;
use super::{Failure, Format, Global, named, output};
use crate::clock::Clock;
use crate::config::Config;
use crate::core::time::Time;
use crate::scaleway::{ListQuery, OrderBy};

/// How often `--wait` asks, at first; it grows to [`SLOWEST`].
const LOOK: Duration = Duration::from_millis(500);
const SLOWEST: Duration = Duration::from_secs(15);
/// The API's largest page, undocumented.
const LONGEST_PAGE: u32 = 100;

#[derive(Debug, Subcommand)]
pub(super) enum RequestsCommand {
    /// List purge requests.
    List(ListArgs),
    /// Show one.
    Get(GetArgs),
    /// Create one.
    Create(CreateArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// The order.
    #[arg(long, value_enum, value_name = "ORDER")]
    order_by: Option<Order>,
    /// The page, from 1.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    page: Option<u32>,
    /// Requests on a page.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    page_size: Option<u32>,
    /// Only of this organization.
    #[arg(long, value_name = "UUID")]
    organization_id: Option<String>,
    /// Only of this project.
    #[arg(long, value_name = "UUID")]
    project_id: Option<String>,
    /// Only of this pipeline.
    #[arg(long, value_name = "UUID")]
    pipeline_id: Option<String>,
    /// All pages as one.
    #[arg(long, conflicts_with = "page")]
    all_pages: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Order {
    #[value(name = "created_at_asc")]
    Ascending,
    #[value(name = "created_at_desc")]
    Descending,
}

#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// The API's id of the purge request.
    #[arg(value_name = "UUID", value_parser = uuid_text)]
    id: String,
    /// Wait until it is done or failed; exit 1 unless done.
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").required(true).multiple(false).args(["asset", "all"]))]
pub(super) struct CreateArgs {
    /// The pipeline.
    #[arg(long, value_name = "UUID")]
    pipeline_id: String,
    /// An absolute URL path; may be given several times.
    #[arg(long)]
    asset: Vec<String>,
    /// Everything.
    #[arg(long)]
    all: bool,
    /// Wait until it is done or failed; exit 1 unless done.
    #[arg(long)]
    wait: bool,
}

/// An id, as it is written.
fn uuid_text(text: &str) -> Result<String, uuid::Error> {
    uuid::Uuid::parse_str(text).map(|_| text.to_owned())
}

pub(super) async fn requests(
    global: &Global,
    command: RequestsCommand,
) -> Result<ExitCode, Failure> {
    let config = global.load()?;
    let way = Way::find(&config).await?;
    match command {
        RequestsCommand::List(args) => {
            let document = list(&way, args).await?;
            show_list(global, &config, &document)?;
            Ok(ExitCode::SUCCESS)
        }
        RequestsCommand::Get(args) => {
            let document = way.get(&args.id).await?;
            finish(global, &way, document, args.wait).await
        }
        RequestsCommand::Create(args) => {
            let wait = args.wait;
            let (assets, all) = (args.asset, args.all);
            let document = way.create(&args.pipeline_id, assets, all).await?;
            finish(global, &way, document, wait).await
        }
    }
}

async fn list(way: &Way, args: ListArgs) -> Result<Value, Failure> {
    let mut query = ListQuery {
        order_by: args.order_by.map(|order| match order {
            Order::Ascending => OrderBy::CreatedAtAsc,
            Order::Descending => OrderBy::CreatedAtDesc,
        }),
        page: args.page,
        page_size: args.page_size,
        organization_id: args.organization_id,
        project_id: args.project_id,
        pipeline_id: args.pipeline_id,
    };
    if !args.all_pages {
        return way.list(&query).await;
    }
    query.page_size = query.page_size.or(Some(LONGEST_PAGE));
    let mut requests = Vec::new();
    for page in 1.. {
        query.page = Some(page);
        let page: Page<Value> = read(&way.list(&query).await?)?;
        let mut found = page.purge_requests.unwrap_or_default();
        if found.is_empty() {
            break;
        }
        requests.append(&mut found);
    }
    let total_count = requests.len();
    Ok(json!({ "purge_requests": requests, "total_count": total_count }))
}

/// A page of the API's list.
#[derive(Deserialize)]
struct Page<T> {
    purge_requests: Option<Vec<T>>,
    total_count: Option<u64>,
}

/// What a line shows of a request. What the API does not say is a dash.
#[derive(Deserialize)]
struct Row {
    id: Option<String>,
    status: Option<String>,
    created_at: Option<String>,
    pipeline_id: Option<String>,
    assets: Option<Vec<String>>,
    all: Option<bool>,
}

fn read<T: DeserializeOwned>(document: &Value) -> Result<T, Failure> {
    T::deserialize(document)
        .map_err(|error| Failure::failed(format!("the API's answer can't be read: {error}")))
}

/// Waits if asked to, shows the request, and says by the exit code how it stands.
async fn finish(
    global: &Global,
    way: &Way,
    mut document: Value,
    wait: bool,
) -> Result<ExitCode, Failure> {
    let (mut pause, mut line) = (LOOK, Line::new());
    let mut row: Row = read(&document)?;
    while wait && !matches!(row.status(), "done" | "error") {
        let id = row.id.clone().unwrap_or_default();
        line.say(&format!("{id} waits: the API says {}", row.status()));
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(SLOWEST);
        document = way.get(&id).await?;
        row = read(&document)?;
    }
    line.end();
    match global.format {
        Format::Json => output::json(&document)?,
        Format::Text => output::line(&row.to_string())?,
    }
    let failed = wait && row.status() != "done";
    Ok(ExitCode::from(u8::from(failed)))
}

fn show_list(global: &Global, config: &Config, document: &Value) -> Result<(), Failure> {
    if global.format == Format::Json {
        return output::json(document);
    }
    let page: Page<Row> = read(document)?;
    let requests = page.purge_requests.unwrap_or_default();
    if io::stdout().is_terminal() && !requests.is_empty() {
        for line in table(&requests, config, &Moment::new(Clock::start().now(), true)) {
            output::line(&line)?;
        }
    } else {
        for request in &requests {
            output::line(&request.to_string())?;
        }
    }
    let count = page.total_count.unwrap_or(requests.len() as u64);
    output::line(&format!("{count} in all"))
}

/// As people read it: with a head, pipelines by name, and ages.
fn table(requests: &[Row], config: &Config, moment: &Moment) -> Vec<String> {
    let id = |request: &Row| request.pipeline_id.clone().unwrap_or_default();
    let name =
        |request: &Row| named(config, &id(request)).map_or(id(request), |one| one.name.clone());
    let names: Vec<String> = requests.iter().map(name).collect();
    let widest = names.iter().map(|name| name.chars().count()).max();
    let width = widest.unwrap_or(0).max("PIPELINE".len());
    let created = |request: &Row| {
        let text = request.created_at.as_deref().unwrap_or("-");
        let time = text.parse::<jiff::Timestamp>().ok();
        let millis = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
        millis.map_or(text.to_owned(), |millis| {
            moment.past(Time::from_millis(millis))
        })
    };
    let line = |id: &str, status: &str, created: &str, name: &str, target: &str| {
        format!("{id:<36}  {status:<8}  {created:<25}  {name:<width$}  {target}")
    };
    let head = line("ID", "STATUS", "CREATED", "PIPELINE", "TARGET");
    let rows = requests.iter().zip(&names).map(|(one, name)| {
        let id = one.id.as_deref().unwrap_or("-");
        line(id, one.status(), &created(one), name, &one.target())
    });
    std::iter::once(styled(NAME, head)).chain(rows).collect()
}

impl Row {
    fn target(&self) -> String {
        match self.assets.as_deref() {
            Some(assets @ [_, ..]) => assets.join(" "),
            _ if self.all == Some(true) => "everything".to_owned(),
            _ => "-".to_owned(),
        }
    }

    fn status(&self) -> &str {
        self.status.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn word(text: Option<&String>) -> &str {
            text.map_or("-", |text| text)
        }
        write!(
            f,
            "{}  {:<8}  {}  {}  {}",
            word(self.id.as_ref()),
            word(self.status.as_ref()),
            word(self.created_at.as_ref()),
            word(self.pipeline_id.as_ref()),
            self.target()
        )
    }
}
