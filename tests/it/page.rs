//! The status page, as a browser meets it, and who forges its forms.

mod browser;
mod forms;
mod incidents;

use std::fmt::Write as _;

use crate::admin::{Door, with_token};
use crate::bench::{Bench, SHOP, text};

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
        // A word between backquotes is code.
        for text in alarm[part].as_str().unwrap().split('`') {
            assert!(shown.contains(text), "{text}\n{shown}");
        }
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
        never.contains("stands for no file that is indexed, and no purge of it is in the history"),
        "{never}"
    );
    let outside = page(&bench, "why?q=..%2F..%2Fetc%2Fpasswd").await;
    assert!(outside.contains("role=\"alert\""), "{outside}");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_takes_the_host_of_a_url_into_account() {
    let mut bench = Bench::new().await;
    with_token(&mut bench);
    let shop = bench.path("shop");
    std::fs::create_dir(&shop).unwrap();
    bench.pipeline = "[pipeline.verify]\nedge_url = \"https://www.example.com\"".to_owned();
    write!(
        bench.origin,
        "\n[[pipeline]]\nname = \"shop\"\nid = \"{SHOP}\"\n\
         [pipeline.verify]\nedge_url = \"https://shop.example.com\"\n\
         [[pipeline.origin]]\nroot = \"{}\"\n",
        shop.display()
    )
    .unwrap();
    bench.start().await;
    let asked = async |asked: &str| {
        let shown = page(&bench, &format!("why?q={asked}")).await;
        let main = shown.split("<main").nth(1).unwrap().to_owned();
        let said = text(&bench.run(&["explain", asked]).await.stdout);
        (main.split("</form>").nth(1).unwrap().to_owned(), said)
    };
    // The pipeline that has the host, and no other.
    let (shown, said) = asked("https://shop.example.com/a").await;
    assert!(shown.contains("in shop."), "{shown}");
    assert!(said.starts_with("/a of shop\n"), "{said}");
    assert!(!said.contains("www"), "{said}");
    // No pipeline has it: that is said, and what is known of the path.
    let (shown, said) = asked("https://old.example.com/a").await;
    for (pipeline, host) in [("www", "www.example.com"), ("shop", "shop.example.com")] {
        let words = format!("edge_url of {pipeline} has the host {host}, and not old.example.com");
        assert!(shown.contains(&words), "{shown}");
        assert!(said.contains(&words), "{said}");
    }
    let (shown, said) = asked("/a").await;
    assert!(!shown.contains("has the host"), "{shown}");
    let nothing =
        "/a stands for no file that is indexed, and has no purge in the history, of www, shop\n";
    assert_eq!(said, nothing);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_narrowed_by_source_name_and_time() {
    let bench = started().await;
    bench.write("blog/index.html", "new");
    bench.purged("/blog/").await;
    let purged = bench.run(&["purge", "www", "/by-hand.css", "--wait"]).await;
    assert!(purged.status.success(), "{purged:?}");
    bench.settle().await;
    for (query, watched, by_hand) in [
        ("", true, true),
        ("source=manual", false, true),
        ("source=watch", true, false),
        ("source=webhook", false, false),
        ("q=BLOG", true, false),
        ("q=hand", false, true),
        ("q=%25", false, false),
        ("from=1h", true, true),
        (
            "from=2020-01-01&q=blog&source=watch&pipeline=www&status=done",
            true,
            false,
        ),
        ("from=2999-12-31", false, false),
    ] {
        let shown = page(&bench, &format!("history?{query}")).await;
        let table = shown.split("id=\"list\"").nth(1).unwrap();
        let found = [table.contains("/blog/<"), table.contains("/by-hand.css<")];
        assert_eq!(found, [watched, by_hand], "{query}: {table}");
        let api = page(&bench, &format!("api/v1/requests?{query}")).await;
        let found = [api.contains("\"/blog/\""), api.contains("\"/by-hand.css\"")];
        assert_eq!(found, [watched, by_hand], "{query}: {api}");
    }
    for wrong in ["source=rumour", "from=yesterday"] {
        let answer = reqwest::get(root(&bench) + "history?" + wrong)
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), 422, "{wrong}");
        let key = wrong.split('=').next().unwrap();
        assert!(answer.text().await.unwrap().contains(&format!("{key}: ")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_none_is_a_page_for_a_browser_and_json_for_a_program() {
    let bench = started().await;
    let client = reqwest::Client::new();
    let get = async |path: &str, accept: &str| {
        let request = client.get(root(&bench) + path).header("accept", accept);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 404, "{path}");
        let policy = answer.headers().contains_key("content-security-policy");
        (policy, answer.text().await.unwrap())
    };
    let (policy, shown) = get("metrix/of/all", "text/html,*/*;q=0.8").await;
    assert!(
        policy && shown.contains("there is no page at this address"),
        "{shown}"
    );
    assert!(shown.contains("href=\"../../history\""), "{shown}");
    assert!(!shown.contains("metrix"), "{shown}");
    for accept in ["*/*", "application/json"] {
        let (_, said) = get("metrix/of/all", accept).await;
        assert!(
            said.starts_with("{\"error\":\"there is no such page"),
            "{said}"
        );
    }
}
