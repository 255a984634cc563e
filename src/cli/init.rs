//! `edgepurge init`: a commented configuration for this machine.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use uuid::Uuid;

use super::{Failure, Global, output};
use crate::config::EXAMPLE_ID as ID;

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

pub(super) fn init(global: &Global, args: &InitArgs) -> Result<ExitCode, Failure> {
    let id = args.pipeline_id.map(|id| id.to_string());
    let usual = || ROOTS.iter().map(PathBuf::from).find(|root| root.is_dir());
    let root = match &args.root {
        Some(root) => std::path::absolute(root)
            .map_err(|error| Failure::usage(format!("--root {}: {error}", root.display())))?,
        None => usual().unwrap_or_else(|| ROOTS[0].into()),
    };
    let id_or_example = id.as_deref().unwrap_or(ID);
    let settings = if args.full {
        configuration(id_or_example, &root)?
    } else {
        short(id_or_example, &root)?
    };
    let text = for_editors(Path::new(SCHEMA)) + &settings;
    let path = &global.config;
    if let Some(directory) = path.parent() {
        // Where that fails, what can't be written says why.
        drop(std::fs::create_dir_all(directory));
    }
    let written = std::fs::File::options()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                "nothing was changed in it; --config names another"
            }
            std::io::ErrorKind::NotFound => {
                "make its directory first, or name another with --config"
            }
            _ => "--config names another",
        };
        Failure::failed(format!("{}: {error}; {advice}", path.display()))
    })?;
    output::line(&path.display().to_string())?;
    output::to_stderr(&next_steps(id.is_some(), &root, path));
    Ok(ExitCode::SUCCESS)
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
fn short(id: &str, root: &Path) -> Result<String, Failure> {
    let root = toml_text(root)?;
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
         \n\
         # What the pipeline serves at /.\n\
         [[pipeline.origin]]\n\
         root = {root}\n\
         \n\
         # What a file stands for beside its own URL; the first rule that matches holds.\n\
         [[pipeline.rule]]\n\
         match = [\"404.html\"]\n\
         purge = \"all\"\n"
    ))
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
fn configuration(id: &str, root: &Path) -> Result<String, Failure> {
    let root = toml_text(root)?;
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
                format!("root = {root}  #{comment}")
            }
            Some(("name", _)) => line.to_owned(),
            Some((key, _)) if !key.starts_with('#') => format!("#{line}"),
            _ => line.to_owned(),
        };
        writeln!(text, "{line}").unwrap_or_default();
    }
    Ok(text)
}

fn next_steps(has_id: bool, root: &Path, path: &Path) -> String {
    let mut text = String::from("next:\n");
    let mut step = |step: &str| writeln!(text, "  {step}").unwrap_or_default();
    if !has_id {
        step("put the pipeline's id into it; the console shows it");
    }
    if root.is_dir() {
        step(&format!(
            "it serves {}; correct `root` where that is wrong",
            root.display()
        ));
    } else {
        step(&format!(
            "there is no {}; put the site's directory into `root`",
            root.display()
        ));
    }
    step(
        "give it the API's secret key: secret_key_file, or /etc/credstore/edgepurge.scw_secret_key for systemd",
    );
    step(&format!(
        "edgepurge --config {} check --online",
        path.display()
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_one_is_read_at_a_glance_and_its_root_is_tidy() {
        let text = short(ID, Path::new("/srv/./www//current/")).unwrap();
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
        let text = line + &short(ID, Path::new("/srv/www")).unwrap();
        let environment = crate::config::Environment::default();
        assert!(crate::config::Config::parse(Path::new("c.toml"), &text, &environment).is_ok());
    }

    #[test]
    fn only_what_a_person_decides_is_set() {
        let text = configuration(ID, Path::new("/srv/a \"b\"")).unwrap();
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
