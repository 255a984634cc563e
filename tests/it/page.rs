//! The status page, as a browser meets it, and who forges its forms.

mod browser;
mod forms;

use std::fmt::Write as _;

use crate::admin::{Door, with_token};
use crate::bench::Bench;

/// A daemon with a token.
async fn started() -> Bench {
    let mut bench = Bench::new().await;
    with_token(&mut bench);
    bench.start().await;
    bench
}

/// The root of the page.
fn root(bench: &Bench) -> String {
    match Door::tcp(bench) {
        Door::Tcp(address) => format!("http://{address}/"),
        Door::Socket => unreachable!("the log names a TCP address"),
    }
}

/// The page at this address below the root.
async fn page(bench: &Bench, path: &str) -> String {
    let response = reqwest::get(root(bench) + path).await.unwrap();
    assert_eq!(response.status().as_u16(), 200, "{path}");
    response.text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_pipelines_are_one_small_page_that_is_soon_there() {
    let mut bench = Bench::new().await;
    with_token(&mut bench);
    for nth in 1..60 {
        let root = bench.path(&format!("site-{nth}"));
        std::fs::create_dir(&root).unwrap();
        write!(
            bench.origin,
            "\n[[pipeline]]\nname = \"client-{nth}\"\nid = \"11111111-1111-4111-8111-{nth:012}\"\n\
             [[pipeline.origin]]\nroot = \"{}\"\n",
            root.display()
        )
        .unwrap();
    }
    bench.start().await;
    let mut fastest = std::time::Duration::MAX;
    // A busy machine makes some of them slow.
    for _ in 0..20 {
        let began = std::time::Instant::now();
        let text = page(&bench, "").await;
        fastest = fastest.min(began.elapsed());
        assert!(text.len() < 100_000, "{} bytes", text.len());
        assert!(text.contains(">client-59</a>"), "{text}");
    }
    assert!(fastest.as_millis() < 100, "{fastest:?}");
    let found = page(&bench, "?q=client-59").await;
    assert!(!found.contains(">client-58</a>") && found.contains(">client-59</a>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_what_the_status_says() {
    let mut bench = started().await;
    let away = bench.path("away");
    std::fs::rename(bench.site(), &away).unwrap();
    bench.alarm("root_missing").await;
    let status = bench.status().await;
    let alarm = &status["alarms"][0];
    let shown = page(&bench, "").await;
    for part in ["meaning", "text"] {
        let text = alarm[part].as_str().unwrap();
        assert!(shown.contains(text), "{text}\n{shown}");
    }
    assert!(shown.contains("<b>Do: </b>"), "{shown}");
    let word = status["state"].as_str().unwrap();
    assert!(
        shown.contains(&format!("class=\"state {word}\"")),
        "{shown}"
    );
    std::fs::rename(&away, bench.site()).unwrap();
    bench.no_alarm().await;
    assert!(!page(&bench, "").await.contains("class=\"alarm\""));
    bench.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_bounded_and_a_stop_ends_them() {
    let mut bench = started().await;
    let mut streams = Vec::new();
    for _ in 0..32 {
        let mut stream = reqwest::get(root(&bench) + "events").await.unwrap();
        assert_eq!(stream.headers()["content-type"], "text/event-stream");
        let first = stream.chunk().await.unwrap().unwrap();
        assert_eq!(first, "id: 0\nevent: changed\ndata: 0\n\n");
        streams.push(stream);
    }
    let more = reqwest::get(root(&bench) + "events").await.unwrap();
    assert_eq!(more.status().as_u16(), 503);
    drop(streams.pop());
    crate::bench::until("a place is free", async || {
        let next = reqwest::get(root(&bench) + "events").await.unwrap();
        (next.status() == 200).then_some(())
    })
    .await;
    bench.write("news.html", "news");
    let news = streams[0].chunk().await.unwrap().unwrap();
    assert_eq!(news, "id: 1\nevent: changed\ndata: 1\n\n");
    assert_eq!(bench.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn why_tells_the_way_from_the_file_to_the_purge() {
    let bench = started().await;
    bench.write("blog/index.html", "new");
    bench.purged("/blog/").await;
    bench.settle().await;
    for asked in ["/blog/", "https://www.example.com/blog/", "blog/index.html"] {
        let shown = page(&bench, &format!("why?q={asked}")).await;
        for part in [
            "blog/index.html",
            "new",
            "watch",
            "request #",
            "done",
            "It was purged last",
        ] {
            assert!(shown.contains(part), "{asked}: {part}\n{shown}");
        }
    }
    let never = page(&bench, "why?q=/never/").await;
    assert!(
        never.contains("stands for no file that is indexed, and was never purged"),
        "{never}"
    );
    let outside = page(&bench, "why?q=..%2F..%2Fetc%2Fpasswd").await;
    assert!(outside.contains("role=\"alert\""), "{outside}");
}
