//! The statements of the store are one text for `SQLite` and `PostgreSQL`: a real `PostgreSQL` has to
//! prepare each, with no more than mechanical changes.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use edgepurge::store::{Store, StoreSettings, statements};
use edgepurge::supervise::Supervisor;
use rusqlite::Connection;

use crate::bench::{skip, text};

/// The user whom a server of root's is run as, since it refuses to be root's: nobody.
const UNPRIVILEGED: u32 = 65_534;

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_prepares_every_statement_of_the_store() {
    let Some(programs) = programs() else {
        return skip("PostgreSQL is not installed; tests/run unpacks it");
    };
    let statements = statements();
    let mut script = schema().await;
    for (name, sqlite) in &statements {
        let sql = translated(sqlite);
        write!(script, "PREPARE \"{name}\" AS {sql};\n\n").unwrap();
    }
    // What only SQLite runs is found out.
    let foreign = "SELECT rowid FROM change WHERE asset IS ?1";
    write!(
        script,
        "PREPARE \"foreign\" AS {};\n\n",
        translated(foreign)
    )
    .unwrap();
    let said = run(&programs, &script);
    let prepared = |name: &str| said.contains(&format!("prepared = \"{name}\""));
    assert!(!prepared("foreign"), "{said}");
    let is_missing = |(name, _): &&(String, String)| !prepared(name);
    let missing: Vec<_> = statements.iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "{missing:#?}\n{said}");
}

/// The directory of `PostgreSQL`'s programs: the one that is named, or the newest that is installed.
fn programs() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("EDGEPURGE_TEST_POSTGRESQL") {
        return Some(named.into());
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let programs = versions.map(|version| version.unwrap().path().join("bin"));
    programs.filter(|bin| bin.join("initdb").exists()).max()
}

/// What changes in a statement: the form of a parameter, and that no index is named.
fn translated(sqlite: &str) -> String {
    let mut words = sqlite.split_whitespace();
    let mut sql = String::new();
    while let Some(word) = words.next() {
        if word == "INDEXED" {
            assert_eq!(words.next(), Some("BY"));
            words.next();
            continue;
        }
        sql.push_str(word);
        sql.push(' ');
    }
    sql.replace('?', "$")
}

/// The tables of a new store with the types of `PostgreSQL`.
async fn schema() -> String {
    let directory = tempfile::tempdir().unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let settings = StoreSettings {
        directory: directory.path().to_owned(),
        api_url: "sandbox".to_owned(),
        database: None,
    };
    drop(Store::open(&settings, &supervisor).unwrap());
    supervisor.stop().await;
    let connection = Connection::open(directory.path().join("queue.db")).unwrap();
    let mut select = connection
        .prepare(
            "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'
             ORDER BY rowid",
        )
        .unwrap();
    let tables = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut script = String::new();
    for table in tables {
        let table = table.unwrap();
        let lines = table.lines().map(|line| line.split("--").next().unwrap());
        let sql = lines.collect::<Vec<_>>().join("\n");
        let sql = sql.replace(" STRICT", "").replace(", WITHOUT ROWID", "");
        let sql = sql
            .replace(" INTEGER", " bigint")
            .replace(" BLOB", " bytea");
        let sql = sql.replace(" TEXT", " text COLLATE \"C\"");
        write!(script, "{sql};\n\n").unwrap();
    }
    script
}

/// Runs a script in a database of its own, without a server that others could reach or that could be
/// left behind. Returns what it prints: the names of what it prepared, and the errors.
fn run(programs: &Path, script: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let root = rustix::process::geteuid().is_root();
    if root {
        chown(home.path(), Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
    }
    let program = |name: &str, arguments: &[&str]| {
        let mut program = Command::new(programs.join(name));
        program.current_dir(home.path()).args(arguments);
        if root {
            program.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        }
        program.arg("-D").arg(&data);
        program
    };
    let new = [
        "--no-sync",
        "--locale=C",
        "--encoding=UTF8",
        "--auth=reject",
    ];
    let made = program("initdb", &new).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    // Of a single user: it reads statements, each to an empty line, and ends with them.
    let mut running = program("postgres", &["--single", "-j", "-c", "fsync=off"])
        .arg("postgres")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let list = "SELECT name AS prepared FROM pg_prepared_statements;\n\n";
    let mut input = running.stdin.take().unwrap();
    let script = format!("{script}{list}");
    let feeding = std::thread::spawn(move || input.write_all(script.as_bytes()));
    let output = running.wait_with_output().unwrap();
    feeding.join().unwrap().unwrap();
    text(&output.stdout) + &text(&output.stderr)
}
