//! The first listing of a large bucket, and one where nothing changed, beside clients that list the same and
//! remember nothing.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Options;
use crate::daemon::{Site, cpu, peak_kb};
use crate::report::{Line, Report, Usage, ratio};
use crate::storage::{BUCKET, Storage};

const OBJECTS: u64 = 1_000_000;
const MEMORY_KB: u64 = 64 * 1_024;
const KEY: &str = "11111111-1111-4111-8111-111111111111";

pub(crate) fn run(options: &Options, report: &mut Report) {
    let objects = options.files(OBJECTS);
    let storage = Storage::start(objects);
    let home = options.scratch("bucket");
    let site = Site::at(&home, &place(&home, &storage));

    let mut first = site.start();
    let own = first.armed();
    let indexed = first.origin().expect("an answer")["indexed_files"].clone();
    assert_eq!(indexed, objects, "every object is indexed");
    report.line(Line::plain("bucket: first", objects, own));
    note(&storage, report, "first");
    first.stop();
    let mut second = site.start();
    let own = second.armed();
    let scan = second.origin().expect("an answer")["last_scan"].clone();
    let differing = ["new", "changed", "gone"].map(|name| scan[name].as_u64().unwrap());
    assert_eq!(differing, [0; 3], "nothing changed: {scan}");
    assert_eq!(scan["files"], objects, "{scan}");
    second.stop();
    note(&storage, report, "again");

    let clients = [rclone(&storage), aws(&storage)];
    let mut baseline = None;
    for (name, client) in clients.into_iter().flatten() {
        let listed = home.join("listed");
        let usage = client_usage(client, &listed);
        let lines = fs::read_to_string(&listed).unwrap().lines().count();
        assert_eq!(lines as u64, objects, "{name} lists every object");
        report.line(Line::plain(name, objects, usage));
        note(&storage, report, name);
        baseline.get_or_insert((name, usage.wall));
    }
    let mut missed = Vec::new();
    if own.peak_kb >= MEMORY_KB {
        missed.push("memory".to_owned());
    }
    let times = baseline.map(|(_, wall)| ratio(own.wall, wall));
    if times.is_some_and(|times| times > 1.0) {
        missed.push("slower than the client".to_owned());
    }
    report.line(Line {
        baseline,
        ratio: times,
        target: "<= 1.0, < 64 MB",
        missed,
        ..Line::plain("bucket: again", objects, own)
    });
}

/// The lines of the configuration that say where the bucket is.
fn place(home: &Path, storage: &Storage) -> String {
    let key = home.join("key");
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&key);
    std::io::Write::write_all(&mut file.unwrap(), KEY.as_bytes()).unwrap();
    format!(
        "bucket = \"{BUCKET}\"\nregion = \"fr-par\"\nendpoint = \"http://{}\"\npoll = \"1d\"\n\
         access_key_file = \"{key}\"\nsecret_key_file = \"{key}\"",
        storage.address,
        key = key.display(),
    )
}

/// Says what the listings since the last note took of the server.
fn note(storage: &Storage, report: &mut Report, what: &str) {
    let (calls, bytes) = storage.listed();
    report.note(format!("bucket: {what}: {calls} calls, {bytes} bytes"));
}

/// rclone, where `EDGEPURGE_TEST_RCLONE` names it.
fn rclone(storage: &Storage) -> Option<(&'static str, Command)> {
    let mut command = Command::new(std::env::var_os("EDGEPURGE_TEST_RCLONE")?);
    command
        .args(["lsf", "--recursive", "--files-only", "--fast-list"])
        .arg(format!("bucket:{BUCKET}"))
        .env_clear()
        .env("RCLONE_CONFIG", "/dev/null")
        .env("RCLONE_CONFIG_BUCKET_TYPE", "s3")
        .env("RCLONE_CONFIG_BUCKET_PROVIDER", "Other")
        .env("RCLONE_CONFIG_BUCKET_LIST_VERSION", "2")
        .env("RCLONE_CONFIG_BUCKET_REGION", "fr-par")
        .env(
            "RCLONE_CONFIG_BUCKET_ENDPOINT",
            format!("http://{}", storage.address),
        )
        .env("RCLONE_CONFIG_BUCKET_ACCESS_KEY_ID", KEY)
        .env("RCLONE_CONFIG_BUCKET_SECRET_ACCESS_KEY", KEY);
    Some(("rclone lsf -R", command))
}

/// The AWS CLI, where `EDGEPURGE_TEST_S3` names its directory.
fn aws(storage: &Storage) -> Option<(&'static str, Command)> {
    let programs = std::env::var_os("EDGEPURGE_TEST_S3")?;
    let mut command = Command::new(Path::new(&programs).join("aws"));
    command
        .arg("--endpoint-url")
        .arg(format!("http://{}", storage.address))
        .args(["s3", "ls", "--recursive", BUCKET])
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", KEY)
        .env("AWS_DEFAULT_REGION", "fr-par")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    Some(("aws s3 ls", command))
}

/// Runs a client, and says what it took.
fn client_usage(mut client: Command, listed: &Path) -> Usage {
    let started = Instant::now();
    let mut child = client
        .stdin(Stdio::null())
        .stdout(File::create(listed).unwrap())
        .spawn()
        .unwrap();
    let pid = child.id().to_string();
    let mut usage = Usage::default();
    loop {
        usage.cpu = cpu(&pid);
        usage.peak_kb = usage.peak_kb.max(peak_kb(&pid).unwrap_or_default());
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{client:?}: {status}");
            usage.wall = started.elapsed();
            return usage;
        }
        std::thread::sleep(crate::daemon::LOOK);
    }
}
