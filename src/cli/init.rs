//! `edgepurge init`: a commented configuration for this machine.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use uuid::Uuid;

use super::{Failure, Global, output};

/// Every setting with its default; a test parses it.
const EXAMPLE: &str = include_str!("../../config.example.toml");
/// Where sites usually are; the first that is there is taken.
const ROOTS: [&str; 4] = [
    "/srv/www/current",
    "/srv/www",
    "/var/www/html",
    "/usr/share/nginx/html",
];
/// What the example says where only a person knows.
const ID: &str = "11111111-1111-4111-8111-111111111111";

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The pipeline's id, from the console.
    #[arg(long, value_name = "U")]
    pipeline_id: Option<Uuid>,
    /// The directory that the pipeline serves; left out: one that is usual, and is here.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

pub(super) fn init(global: &Global, args: &InitArgs) -> Result<ExitCode, Failure> {
    let id = args.pipeline_id.map(|id| id.to_string());
    let usual = || ROOTS.iter().map(PathBuf::from).find(|root| root.is_dir());
    let root = match &args.root {
        Some(root) => std::path::absolute(root)
            .map_err(|error| Failure::usage(format!("--root {}: {error}", root.display())))?,
        None => usual().unwrap_or_else(|| ROOTS[0].into()),
    };
    let text = configuration(id.as_deref().unwrap_or(ID), &root)?;
    let path = &global.config;
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

/// The example with every default as a comment, so that what is set stands out.
fn configuration(id: &str, root: &Path) -> Result<String, Failure> {
    let root = root.to_str().ok_or_else(|| {
        Failure::usage(format!(
            "{} is no text, which the file has to be",
            root.display()
        ))
    })?;
    let root = toml::Value::from(root).to_string();
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
