//! `edgepurge init`: a commented configuration for this machine.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use uuid::Uuid;

use super::{Failure, Global, output};
use crate::config::{Config, EXAMPLE_ID as ID, Environment};
use crate::core::website::Website;
use crate::daemon;
use crate::scaleway::Backend;

mod account;

use account::Account;

/// Every setting with its default; a test parses it.
const EXAMPLE: &str = include_str!("../../config.example.toml");
/// Where sites usually are; the first that is there is taken.
const ROOTS: [&str; 4] = [
    "/srv/www/current",
    "/srv/www",
    "/var/www/html",
    "/usr/share/nginx/html",
];
/// The package installs the schema of the configuration here. Editors complete and check keys and values with it.
const SCHEMA: &str = "/usr/share/edgepurge/config.schema.json";

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The pipeline's id, from the console.
    #[arg(long, value_name = "UUID")]
    pipeline_id: Option<Uuid>,
    /// The directory that the pipeline serves; left out: one that is usual, and is here.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Every setting with its default, as comments.
    #[arg(long)]
    full: bool,
}

/// What a pipeline serves.
pub(super) enum Served {
    /// A directory.
    Directory(PathBuf),
    /// A bucket.
    Bucket(ServedBucket),
    /// Nothing that is written.
    Nothing,
}

/// A bucket, as it is written.
#[derive(Clone)]
pub(super) struct ServedBucket {
    name: String,
    region: String,
    /// Its server, where it is not Scaleway's.
    endpoint: Option<String>,
    /// A line about it.
    about: String,
    /// How it is served, where that is known; `None`: it is no website.
    website: Option<Website>,
}

pub(super) async fn init(global: &Global, args: &InitArgs) -> Result<ExitCode, Failure> {
    let path = &global.config;
    if path.exists() {
        // Before anything is asked.
        return Err(unwritten(path, &std::io::ErrorKind::AlreadyExists.into()));
    }
    let environment = Environment::of_process();
    let account = Account::find(&environment)?;
    let id = match (&args.pipeline_id, &account) {
        (Some(id), _) => Some(id.to_string()),
        (None, Some(account)) => account.choose().await?,
        (None, None) => None,
    };
    let backend = match (&id, &account) {
        (Some(id), Some(account)) => account.backend(id).await?,
        _ => None,
    };
    let id_or_example = id.as_deref().unwrap_or(ID);
    let served = served(args, backend, id_or_example, &environment).await?;
    let settings = if args.full {
        configuration(id_or_example, &served)?
    } else {
        short(id_or_example, &served)?
    };
    let text = for_editors(Path::new(SCHEMA)) + &settings;
    if let Some(directory) = path.parent() {
        // Where that fails, what can't be written says why.
        drop(std::fs::create_dir_all(directory));
    }
    let written = std::fs::File::options()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| unwritten(path, &error))?;
    output::line(&path.display().to_string())?;
    output::to_stderr(&next_steps(id.is_some(), account.is_some(), &served, path));
    Ok(ExitCode::SUCCESS)
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    let advice = match error.kind() {
        std::io::ErrorKind::AlreadyExists => "nothing was changed in it; --config names another",
        std::io::ErrorKind::NotFound => "make its directory first, or name another with --config",
        _ => "--config names another",
    };
    Failure::failed(format!("{}: {error}; {advice}", path.display()))
}

/// What the pipeline serves: the directory that is named, or else the bucket behind it, or else a usual directory.
async fn served(
    args: &InitArgs,
    backend: Option<Backend>,
    id: &str,
    environment: &Environment,
) -> Result<Served, Failure> {
    if let Some(root) = &args.root {
        let root = std::path::absolute(root)
            .map_err(|error| Failure::usage(format!("--root {}: {error}", root.display())))?;
        return Ok(Served::Directory(root));
    }
    let Some(Backend::Bucket(bucket)) = backend else {
        let usual = ROOTS.iter().map(PathBuf::from).find(|root| root.is_dir());
        return Ok(Served::Directory(usual.unwrap_or_else(|| ROOTS[0].into())));
    };
    let known = bucket.name.is_some() && bucket.region.is_some();
    let mut served = ServedBucket {
        name: bucket.name.clone().unwrap_or_else(|| "my-site".to_owned()),
        region: bucket.region.clone().unwrap_or_else(|| "fr-par".to_owned()),
        endpoint: environment.get("SCW_S3_ENDPOINT").map(str::to_owned),
        about: "The API did not say all of it: correct bucket and region".to_owned(),
        website: Some(Website::default()),
    };
    if known {
        let text = short(id, &Served::Bucket(served.clone()))?;
        (served.about, served.website) = website(&text, environment).await;
    }
    Ok(Served::Bucket(served))
}

/// What the bucket of this configuration says of how it is served, and a line about that.
async fn website(text: &str, environment: &Environment) -> (String, Option<Website>) {
    // What is not known may be one.
    let unknown = Some(Website::default());
    let config = match Config::parse(Path::new("the API's answer"), text, environment) {
        Ok(config) => config,
        Err(problems) => return (one_line(&format!("Correct this: {problems}")), unknown),
    };
    let mut origins = config.pipelines.iter().flat_map(|one| &one.origins);
    let Some(origin) = origins.next() else {
        return (String::new(), unknown);
    };
    match daemon::website(&config, environment, origin).await {
        Ok(Some(website)) => (format!("A website: {website}"), Some(website)),
        Ok(None) => {
            let about = "It is no website: each object is served at its key";
            (about.to_owned(), None)
        }
        Err(why) => {
            let why = one_line(&why);
            output::to_stderr(&format!("how the bucket is served can't be read: {why}\n"));
            let about =
                "It may be a website; edgepurge check --online says so when it can read that";
            (about.to_owned(), unknown)
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

/// The first line, by which an editor finds the schema; none where it is not installed.
fn for_editors(schema: &Path) -> String {
    if schema.exists() {
        format!("#:schema {}\n", schema.display())
    } else {
        String::new()
    }
}

/// What a person decides, and where more is to be found.
fn short(id: &str, served: &Served) -> Result<String, Failure> {
    let yours = if id == ID { "   # put yours here" } else { "" };
    Ok(format!(
        "# edgepurge: keeps the cache of Edge Services pipelines fresh.\n\
         # All settings: `edgepurge init --full --config FILE`, or man edgepurge.toml.\n\
         \n\
         # The API's secret key is not written here. It is taken from the systemd credential\n\
         # scw_secret_key (/etc/credstore/edgepurge.scw_secret_key), or from a file:\n\
         #[scaleway]\n\
         #secret_key_file = \"/etc/edgepurge/secret_key\"\n\
         \n\
         [[pipeline]]\n\
         name = \"www\"\n\
         id = \"{id}\"{yours}\n\
         {pages}\
         \n\
         {origin}",
        pages = served
            .pages()
            .map(|pages| format!("{pages}\n"))
            .unwrap_or_default(),
        origin = origin(served)?
    ))
}

/// What is served, and what stands for more than its own URL.
fn origin(served: &Served) -> Result<String, Failure> {
    let place = served.settings()?;
    Ok(match served {
        Served::Directory(_) => format!(
            "# What the pipeline serves at /.\n\
             [[pipeline.origin]]\n\
             {place}\n\
             \n\
             # What a file stands for beside its own URL; the first rule that matches holds.\n\
             [[pipeline.rule]]\n\
             match = [\"404.html\"]\n\
             purge = \"all\"\n"
        ),
        Served::Bucket(bucket) => format!(
            "# What the pipeline serves at /; its access key beside the secret key: docs/buckets.md.\n\
             # {}.\n\
             [[pipeline.origin]]\n\
             {place}\n{rules}",
            bucket.about,
            rules = served.rules()
        ),
        Served::Nothing => String::new(),
    })
}

impl Served {
    /// Which URLs a page answers at, where that is not the default.
    fn pages(&self) -> Option<&'static str> {
        let exact = matches!(self, Self::Bucket(bucket) if bucket.website.is_none());
        exact.then_some("pages = \"exact\"")
    }

    /// The rules that it needs.
    fn rules(&self) -> String {
        match self {
            Self::Bucket(bucket) => bucket
                .website
                .as_ref()
                .map(Website::rules)
                .unwrap_or_default(),
            Self::Directory(_) | Self::Nothing => String::new(),
        }
    }

    /// Its lines in the configuration.
    fn settings(&self) -> Result<String, Failure> {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        match self {
            Self::Directory(root) => Ok(format!("root = {}", toml_text(root)?)),
            Self::Bucket(bucket) => {
                let (name, region) = (quoted(&bucket.name), quoted(&bucket.region));
                let endpoint = bucket.endpoint.as_deref().map(quoted);
                let endpoint = endpoint.map_or_else(String::new, |it| format!("\nendpoint = {it}"));
                Ok(format!("bucket = {name}\nregion = {region}{endpoint}"))
            }
            Self::Nothing => Ok(String::new()),
        }
    }
}

/// A path as TOML writes it.
fn toml_text(path: &Path) -> Result<String, Failure> {
    // As it is meant: without `.` and doubled slashes.
    let path: PathBuf = path.components().collect();
    let text = path.to_str().ok_or_else(|| {
        let path = path.display();
        Failure::usage(format!("{path} is no text, which the file has to be"))
    })?;
    Ok(toml::Value::from(text).to_string())
}

/// The example with every default as a comment, so that what is set stands out.
fn configuration(id: &str, served: &Served) -> Result<String, Failure> {
    let place = served.settings()?;
    let mut text = String::new();
    for line in EXAMPLE.lines() {
        let line = match line.split_once(" = ") {
            Some(("id", rest)) => {
                line.replacen(&format!("\"{ID}\""), &format!("\"{id}\""), 1)
                    + if rest.contains(id) && id == ID {
                        "; put yours here"
                    } else {
                        ""
                    }
            }
            Some(("root", rest)) => {
                let comment = rest.split_once('#').map_or("", |(_, comment)| comment);
                match served {
                    Served::Directory(_) => format!("{place}  #{comment}"),
                    _ => place.clone(),
                }
            }
            Some(("name", _)) => line.to_owned(),
            Some(("pages", _)) if served.pages().is_some() => {
                served.pages().unwrap_or_default().to_owned()
            }
            Some((key, _)) if !key.starts_with('#') => format!("#{line}"),
            _ => line.to_owned(),
        };
        writeln!(text, "{line}").unwrap_or_default();
    }
    Ok(text + &served.rules())
}

fn next_steps(has_id: bool, has_key: bool, served: &Served, path: &Path) -> String {
    let mut text = String::from("next:\n");
    let mut step = |step: &str| writeln!(text, "  {step}").unwrap_or_default();
    if !has_id {
        step("put the pipeline's id into it; the console shows it");
    }
    match served {
        Served::Directory(root) if root.is_dir() => step(&format!(
            "it serves {}; correct `root` where that is wrong",
            root.display()
        )),
        Served::Directory(root) => step(&format!(
            "there is no {}; put the site's directory into `root`",
            root.display()
        )),
        Served::Bucket(bucket) => step(&format!(
            "it serves the bucket {} in {}: {}",
            bucket.name, bucket.region, bucket.about
        )),
        Served::Nothing => {}
    }
    let key = if has_key {
        "give the daemon that key"
    } else {
        "give it the API's secret key"
    };
    step(&format!(
        "{key}: secret_key_file, or /etc/credstore/edgepurge.scw_secret_key for systemd"
    ));
    if matches!(served, Served::Bucket(_)) {
        step("and its access key: access_key_file, or /etc/credstore/edgepurge.scw_access_key");
    }
    step(&format!(
        "edgepurge --config {} check --online",
        path.display()
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::mapping::Pages;

    fn directory(path: &str) -> Served {
        Served::Directory(path.into())
    }

    #[test]
    fn a_bucket_is_written_in_both_forms() {
        let bucket = Served::Bucket(ServedBucket {
            name: "my-site".to_owned(),
            region: "nl-ams".to_owned(),
            endpoint: None,
            about: "A website".to_owned(),
            website: Some(Website {
                error: Some("oops.html".to_owned()),
                ..Website::default()
            }),
        });
        for text in [
            short(ID, &bucket).unwrap(),
            configuration(ID, &bucket).unwrap(),
        ] {
            let environment = Environment::default();
            let config = Config::parse(Path::new("c.toml"), &text, &environment).unwrap();
            let origin = &config.pipelines[0].origins[0];
            assert_eq!(origin.bucket.as_deref(), Some("my-site"), "{text}");
            assert_eq!(origin.region.as_deref(), Some("nl-ams"), "{text}");
            assert_eq!(config.pipelines[0].rules.len(), 1, "{text}");
        }
    }

    #[test]
    fn of_a_bucket_that_is_no_website_each_object_is_at_its_key_alone() {
        let bucket = |website| {
            Served::Bucket(ServedBucket {
                name: "my-site".to_owned(),
                region: "nl-ams".to_owned(),
                endpoint: None,
                about: String::new(),
                website,
            })
        };
        for (website, pages) in [
            (None, Pages::Exact),
            (Some(Website::default()), Pages::Directory),
        ] {
            let bucket = bucket(website);
            for text in [
                short(ID, &bucket).unwrap(),
                configuration(ID, &bucket).unwrap(),
            ] {
                let environment = Environment::default();
                let config = Config::parse(Path::new("c.toml"), &text, &environment).unwrap();
                assert_eq!(config.pipelines[0].pages, pages, "{text}");
            }
        }
    }

    #[test]
    fn the_short_one_is_read_at_a_glance_and_its_root_is_tidy() {
        let text = short(ID, &directory("/srv/./www//current/")).unwrap();
        assert!(text.lines().count() <= 25, "{text}");
        let config = crate::config::Config::parse(
            Path::new("c.toml"),
            &text,
            &crate::config::Environment::default(),
        );
        let config = config.unwrap();
        let origin = &config.pipelines[0].origins[0];
        assert_eq!(origin.root.as_deref(), Some(Path::new("/srv/www/current")));
    }

    #[test]
    fn an_editor_is_led_to_the_schema_where_it_is_installed() {
        let home = tempfile::tempdir().unwrap();
        let schema = home.path().join("config.schema.json");
        assert_eq!(for_editors(&schema), "");
        std::fs::write(&schema, "{}").unwrap();
        let line = for_editors(&schema);
        assert_eq!(line, format!("#:schema {}\n", schema.display()));
        let text = line + &short(ID, &directory("/srv/www")).unwrap();
        let environment = crate::config::Environment::default();
        assert!(crate::config::Config::parse(Path::new("c.toml"), &text, &environment).is_ok());
    }

    #[test]
    fn only_what_a_person_decides_is_set() {
        let text = configuration(ID, &directory("/srv/a \"b\"")).unwrap();
        let set: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#') && line.contains(" = "))
            .filter_map(|line| line.split(" = ").next())
            .collect();
        assert_eq!(set, ["name", "id", "name", "root"]);
        let parsed: toml::Table = text.parse().unwrap();
        let root = &parsed["pipeline"][0]["origin"][0]["root"];
        assert_eq!(root.as_str(), Some("/srv/a \"b\""));
    }
}
