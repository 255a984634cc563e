//! Files that are written for long, or by something that never closes them.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{count, fresh_after_wait, purged_times, quick, urls, visit};
use crate::bench::{Bench, sh};
use crate::hostile::machine::has;

/// A bench that looks at a file in writing after a second.
async fn bench(names: &[&str]) -> Bench {
    let mut bench = quick("debounce = \"100ms\"", "write_wait = \"1s\"").await;
    for name in names {
        bench.write(name, "one\n");
    }
    bench.start().await;
    visit(&bench, &urls(names)).await;
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_never_closed_is_purged_while_lines_come_and_fresh_after_the_last() {
    let bench = bench(&["logs/today.txt"]).await;
    let log = bench.path("site/logs/today.txt");
    let mut log = fs::File::options().append(true).open(log).unwrap();
    log.write_all(b"two\n").unwrap();
    purged_times(&bench, "/logs/today.txt", 1).await;
    // Lines come more often than `write_wait`, until it is purged for one of them.
    let began = Instant::now();
    let before = count(&bench, "/logs/today.txt");
    while count(&bench, "/logs/today.txt") == before {
        let took = began.elapsed();
        assert!(took < Duration::from_secs(20), "not purged in {took:?}");
        log.write_all(b"more\n").unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    log.write_all(b"last\n").unwrap();
    fresh_after_wait(&bench, &urls(&["logs/today.txt"])).await;
    drop(log);
    let times = count(&bench, "/logs/today.txt");
    bench.settle().await;
    assert_eq!(count(&bench, "/logs/today.txt"), times, "closed as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_that_grows_in_parts_is_fresh_after_each() {
    let bench = bench(&[]).await;
    let name = urls(&["feed.json"]);
    visit(&bench, &name).await;
    let mut file = fs::File::create(bench.path("site/feed.json")).unwrap();
    for part in ["[1", ",2", ",3]"] {
        file.write_all(part.as_bytes()).unwrap();
        fresh_after_wait(&bench, &name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_in_the_middle_of_a_file_that_stays_open_are_seen() {
    let bench = bench(&["tiles.bin"]).await;
    let file = bench.path("site/tiles.bin");
    let file = fs::File::options().write(true).open(file).unwrap();
    for byte in [b"x", b"y"] {
        file.write_all_at(byte, 1).unwrap();
        fresh_after_wait(&bench, &urls(&["tiles.bin"])).await;
    }
}

/// A Python program that does a step for each line that it gets.
struct Python {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Python {
    fn run(bench: &Bench, begins: &str, step: &str) -> Self {
        let script = format!(
            "import sys\n{begins}\nfor line in sys.stdin:\n    line = line.strip()\n    {step}\n    print('ok', \
             flush=True)\n"
        );
        let mut child = Command::new("python3")
            .args(["-c", &script])
            .current_dir(bench.path("site"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    fn step(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, "ok\n", "{line}");
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_a_program_keeps_open_is_fresh_after_each_commit() {
    if !has("python3") {
        return;
    }
    let bench = bench(&[]).await;
    let begins = "import sqlite3\nconnection = sqlite3.connect('shop.db', isolation_level=None)";
    let mut database = Python::run(&bench, begins, "connection.execute(line)");
    database.step("CREATE TABLE goods (name TEXT)");
    let name = urls(&["shop.db"]);
    fresh_after_wait(&bench, &name).await;
    for good in ["apple", "plums"] {
        database.step(&format!("INSERT INTO goods VALUES ('{good}')"));
        fresh_after_wait(&bench, &name).await;
    }
    database.step("UPDATE goods SET name = 'pears' WHERE name = 'apple'");
    fresh_after_wait(&bench, &name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_length_is_set_by_its_name_is_seen() {
    if !has("python3") {
        return;
    }
    let bench = bench(&["list.txt", "other.txt"]).await;
    let step = "name, length = line.split(); os.truncate(name, int(length))";
    let mut python = Python::run(&bench, "import os", step);
    let names = urls(&["list.txt", "other.txt"]);
    for line in ["list.txt 2", "other.txt 0", "list.txt 9"] {
        python.step(line);
        fresh_after_wait(&bench, &names).await;
    }
    assert_eq!(bench.purges(), ["/list.txt", "/list.txt", "/other.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_writes_a_file_and_closes_it_costs_one_purge() {
    if !has("python3") || !has("fallocate") {
        return;
    }
    let writers = [
        "printf X | dd of=FILE conv=notrunc bs=1 seek=2 2>&1",
        "fallocate -l 9000 FILE",
        "fallocate -p -o 0 -l 4096 FILE",
        "truncate -s 10 FILE",
        "sed -i 's/^/other/' FILE",
        "echo last >> FILE",
        "python3 -c 'import mmap
file = open(\"FILE\", \"r+b\")
memory = mmap.mmap(file.fileno(), 0)
memory[0:3] = b\"map\"
memory.flush()
memory.close()'",
        "cp /dev/null FILE",
        "install -m 644 /etc/passwd FILE",
    ];
    let names: Vec<String> = (0..writers.len()).map(|nth| format!("{nth}.txt")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bench = bench(&names).await;
    for (nth, writer) in writers.into_iter().enumerate() {
        sh(&bench, &writer.replace("FILE", &format!("site/{nth}.txt")));
        fresh_after_wait(&bench, &urls(&names)).await;
        assert_eq!(bench.purges(), urls(&names[..=nth]), "{writer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_and_stays_open_over_a_kill_is_fresh_after_the_start() {
    let mut bench = bench(&["log.txt"]).await;
    let log = bench.path("site/log.txt");
    let mut log = fs::File::options().append(true).open(log).unwrap();
    log.write_all(b"seen\n").unwrap();
    bench.kill().await;
    log.write_all(b"not seen\n").unwrap();
    bench.start().await;
    log.write_all(b"seen again\n").unwrap();
    fresh_after_wait(&bench, &urls(&["log.txt"])).await;
}
