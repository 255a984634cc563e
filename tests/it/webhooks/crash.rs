//! A 202 means on disk: killed right after it, nothing is lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn killed_right_after_the_202_nothing_is_lost() {
    let mut bench = started("generic", "purge = \"files\"").await;
    let mut random = fastrand::Rng::with_seed(21);
    let mut acknowledged = BTreeSet::new();
    for round in 0..8 {
        let at = address(&bench).await;
        // Some are on their way when the first is answered, and then it is over.
        let mut calls: Vec<_> = (0..8)
            .map(|number| {
                let (at, asset) = (at.clone(), format!("{round}-{number}.css"));
                tokio::spawn(async move {
                    let answer = post(&at, &json!({ "paths": [asset] })).await.ok()?;
                    Some((event(&answer), asset))
                })
            })
            .collect();
        let first = calls.remove(0).await.unwrap();
        acknowledged.extend(first);
        if round % 2 == 1 {
            tokio::time::sleep(Duration::from_millis(random.u64(0..800))).await;
        }
        bench.kill().await;
        for call in calls {
            acknowledged.extend(call.await.unwrap());
        }
        bench.start().await;
    }
    assert!(acknowledged.len() >= 8, "{acknowledged:?}");
    let at = address(&bench).await;
    let mut events = BTreeSet::new();
    for (event, _) in &acknowledged {
        becomes(&at, event, "done").await;
        events.insert(event.clone());
    }
    let done = bench.done();
    for (event, asset) in &acknowledged {
        let asset = format!("/{asset}");
        assert!(done.contains(&asset), "{asset} of {event} was never purged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_right_after_the_202_every_sort_of_purge_is_made() {
    let sorts = [
        (
            "/hooks/assets",
            "purge = [\"/assets.css\"]",
            json!({ "scan": true }),
            "/assets.css",
        ),
        (
            "/hooks/files",
            "purge = \"files\"",
            json!({ "paths": ["files.css"] }),
            "/files.css",
        ),
        (
            "/hooks/asked",
            "purge = \"files\"",
            json!({ "all": true }),
            "*",
        ),
        (
            "/hooks/all",
            "purge = \"all\"",
            json!({ "scan": true }),
            "*",
        ),
        (
            "/hooks/scan",
            "purge = \"scan\"",
            json!({ "scan": true }),
            "/scan.css",
        ),
        (
            "/hooks/delay",
            "purge = [\"/delay.css\"]\ndelay = \"2s\"",
            json!({ "scan": true }),
            "/delay.css",
        ),
        (
            "/hooks/later",
            "purge = \"all\"\ndelay = \"2s\"",
            json!({ "scan": true }),
            "*",
        ),
    ];
    let mut bench = Bench::new().await;
    bench.pipeline = "all_cooldown = \"0s\"".to_owned();
    bench.origin = "watch = \"off\"".to_owned();
    bench.scaleway = "\n[webhooks]\nlisten = \"127.0.0.1:0\"\n".to_owned();
    let secret = secret_file(&bench);
    let section = |(route, purge, ..): &(&str, &str, Value, &str)| {
        format!(
            "\n[[pipeline.webhook]]\nroute = \"{route}\"\nkind = \"generic\"\n\
             secret_file = \"{}\"\n{purge}\n",
            secret.display()
        )
    };
    bench.origin.extend(sorts.iter().map(section));
    bench.write("scan.css", "one");
    bench.start().await;
    let client = reqwest::Client::new;
    let mut wanted = Vec::new();
    for (route, _, body, asset) in &sorts {
        // Only a scan that is still to be made can find it.
        let url = async |bench: &Bench| format!("http://{}{route}", address(bench).await);
        let request = client()
            .post(url(&bench).await)
            .bearer_auth(SECRET)
            .json(body);
        let name = event(&call(request).await.unwrap());
        bench.kill().await;
        if route.ends_with("scan") {
            bench.write("scan.css", "two");
        }
        bench.start().await;
        let url = format!("{}/{name}", url(&bench).await);
        until(&format!("{route} is done"), async || {
            let answer = call(client().get(&url).bearer_auth(SECRET)).await.unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            (answer.body["state"] == "done").then_some(())
        })
        .await;
        wanted.push((*asset).to_owned());
        let mut found = bench.done();
        found.dedup();
        assert!(found.contains(wanted.last().unwrap()), "{route}: {found:?}");
    }
    wanted.sort();
    assert_eq!(bench.purges(), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_set_back_leaves_no_longer_wait_than_the_delay() {
    for purge in ["purge = [\"/a.css\"]", "purge = \"scan\""] {
        let mut bench = started("generic", &format!("{purge}\ndelay = \"2s\"")).await;
        let at = address(&bench).await;
        let name = event(&post(&at, &json!({ "scan": true })).await.unwrap());
        bench.kill().await;
        // As if it had come while the clock was a day ahead.
        let queue = rusqlite::Connection::open(bench.path("state/queue.db")).unwrap();
        let day = "UPDATE delivery SET at = at + ?1, due = due + ?1, known = known + ?1";
        assert_eq!(queue.execute(day, [86_400_000]).unwrap(), 1);
        drop(queue);
        bench.start().await;
        becomes(&address(&bench).await, &name, "done").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_its_scan_the_scan_is_made_after_the_restart() {
    let mut bench = Bench::new().await;
    bench.origin = "watch = \"off\"".to_owned();
    with_route(&mut bench, "generic", "delay = \"2s\"", "");
    bench.write("a.css", "one");
    bench.start().await;
    let at = address(&bench).await;
    let answer = post(&at, &json!({ "scan": true })).await.unwrap();
    let name = event(&answer);
    bench.kill().await;
    bench.start().await;
    // After the scan of the start: only the one that is still to be made can find it.
    bench.write("a.css", "two");
    let at = address(&bench).await;
    becomes(&at, &name, "done").await;
    assert_eq!(bench.purges(), ["/a.css"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_of_a_body_waits_for_the_rest() {
    let mut bench = started("generic", "purge = \"files\"").await;
    let at = address(&bench).await;
    let body = json!({ "paths": ["late.css"] }).to_string();
    let head = format!(
        "POST /hooks/www HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {SECRET}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(&at).await.unwrap();
    let (first, rest) = body.split_at(5);
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(first.as_bytes()).await.unwrap();
    let metrics = "edgepurge_webhooks_total{route=\"/hooks/www\",outcome=\"unauthorized\"}";
    // Answered on another connection, so that the first one has been taken for sure.
    let stranger = reqwest::Client::new().post(format!("http://{at}/hooks/www"));
    assert_eq!(call(stranger).await.unwrap().status, 401);
    assert_eq!(metric(&bench, metrics).await, Some(1.0));
    let finish = async {
        until("nothing new is taken", async || {
            TcpStream::connect(&at).await.is_err().then_some(())
        })
        .await;
        stream.write_all(rest.as_bytes()).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        said
    };
    let (stopped, said) = tokio::join!(bench.terminate(), finish);
    assert_eq!(stopped, Some(0));
    assert!(said.starts_with("HTTP/1.1 202"), "{said}");
    bench.start().await;
    bench.purged("/late.css").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_what_waited_in_the_socket_and_was_not_taken_yet() {
    let mut bench = started("generic", "purge = \"files\"").await;
    let mut files = BTreeSet::new();
    for round in 0..3 {
        let at = address(&bench).await;
        let pid = bench.pid().to_string();
        let signal = async |name: &str| {
            let mut kill = tokio::process::Command::new("kill");
            let sent = kill.args([name, &pid]).status();
            assert!(sent.await.unwrap().success());
        };
        // While it does not run, the kernel takes connections and what they bring.
        signal("-STOP").await;
        let mut waiting = Vec::new();
        for number in 0..20 {
            let file = format!("{round}-{number}.css");
            let body = json!({ "paths": [file] }).to_string();
            let mut stream = TcpStream::connect(&at).await.unwrap();
            let request = format!(
                "POST /hooks/www HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 Authorization: Bearer {SECRET}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            waiting.push(stream);
            files.insert(format!("/{file}"));
        }
        signal("-TERM").await;
        signal("-CONT").await;
        for mut stream in waiting {
            let mut said = String::new();
            let read = stream.read_to_string(&mut said);
            tokio::time::timeout(crate::bench::LIMIT, read)
                .await
                .unwrap()
                .unwrap();
            assert!(said.starts_with("HTTP/1.1 202"), "{said}");
        }
        assert_eq!(bench.stopped().await, Some(0));
        bench.start().await;
    }
    for file in files {
        bench.purged(&file).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_what_was_taken() {
    let mut bench = started("generic", "purge = \"files\"").await;
    let at = address(&bench).await;
    let calls: Vec<_> = (0..64)
        .map(|number| {
            let at = at.clone();
            tokio::spawn(async move {
                let body = json!({ "paths": [format!("{number}.css")] });
                let answer = post(&at, &body).await.ok()?;
                Some(event(&answer))
            })
        })
        .collect();
    until("the first is taken", async || {
        let status = bench.status().await;
        let answers = &status["webhooks"]["routes"][0]["answers"];
        (answers["accepted"] != 0).then_some(())
    })
    .await;
    assert_eq!(bench.terminate().await, Some(0));
    let answers = futures_util::future::join_all(calls).await;
    bench.start().await;
    let at = address(&bench).await;
    for name in answers.into_iter().filter_map(Result::unwrap) {
        becomes(&at, &name, "done").await;
    }
}

/// Delivers again and again over one connection, each time what was never delivered before, until that
/// ends; tells which were taken.
async fn deliver_for_ever(at: String, connection: usize, taken: Arc<AtomicUsize>) -> Vec<String> {
    let mut events = Vec::new();
    let Ok(mut stream) = TcpStream::connect(&at).await else {
        return events;
    };
    for number in 0.. {
        let event = format!("{connection}-{number}");
        let body = json!({ "paths": [format!("{event}.css")] }).to_string();
        let request = format!(
            "POST /hooks/www HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {SECRET}\r\nIdempotency-Key: {event}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut answer = [0; 4 << 10];
        if stream.write_all(request.as_bytes()).await.is_err() {
            break;
        }
        // An answer is small, and written at once.
        match stream.read(&mut answer).await {
            Ok(read) if answer[..read].starts_with(b"HTTP/1.1 202 ") => events.push(event),
            _ => break,
        }
        taken.fetch_add(1, Ordering::Relaxed);
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_a_flood_every_delivery_that_was_answered_is_on_disk() {
    let mut bench = started("generic", "purge = \"files\"").await;
    let mut answered = BTreeSet::new();
    for round in 0..3 {
        let at = address(&bench).await;
        let taken = Arc::new(AtomicUsize::new(0));
        let flood: Vec<_> = (0..48)
            .map(|number| {
                let connection = round * 48 + number;
                tokio::spawn(deliver_for_ever(at.clone(), connection, Arc::clone(&taken)))
            })
            .collect();
        until("many are taken", async || {
            (taken.load(Ordering::Relaxed) > 500).then_some(())
        })
        .await;
        bench.kill().await;
        for connection in flood {
            answered.extend(connection.await.unwrap());
        }
        let queue = rusqlite::Connection::open(bench.path("state/queue.db")).unwrap();
        let mut rows = queue.prepare("SELECT event FROM delivery").unwrap();
        let rows = rows.query_map([], |row| row.get(0)).unwrap();
        let rows: BTreeSet<String> = rows.collect::<Result<_, _>>().unwrap();
        let lost: Vec<_> = answered.difference(&rows).collect();
        assert!(lost.is_empty(), "of {}: {lost:?}", answered.len());
        bench.start().await;
    }
    assert!(answered.len() > 1_500, "{}", answered.len());
}
