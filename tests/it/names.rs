//! Names of files: which count, and which URLs they have.

use std::fs;

use edgepurge::core::change::PipelineId;

use crate::bench::{Bench, PIPELINE, until};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn explain(bench: &Bench, subject: &str) -> String {
    let output = bench.run(&["explain", subject]).await;
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

/// Visits the URLs, so that the edge has them.
async fn visit(bench: &Bench, urls: &[&str], expected: &str) {
    for url in urls {
        let (status, _, body) = bench.fetch(url).await;
        assert_eq!((status, body.as_str()), (200, expected), "{url}");
        assert_eq!(bench.fetch(url).await.1, "hit-fresh", "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_named_as_a_temporary_file_holds_pages_like_any_other() {
    let mut bench = Bench::new().await;
    let names = [
        ("issue/4913/index.html", "/issue/4913/index.html"),
        ("map/9/4913/77.png", "/map/9/4913/77.png"),
        ("bugs/#123/log.txt", "/bugs/%23123/log.txt"),
        ("~me~/cv.html", "/~me~/cv.html"),
        ("release.tmp/notes.html", "/release.tmp/notes.html"),
        ("set/disc.part/a/list.json", "/set/disc.part/a/list.json"),
        // A file that stays is a file, whatever an editor does with such a name.
        ("rooms/4913", "/rooms/4913"),
    ];
    for (name, _) in names {
        bench.write(name, "one");
    }
    bench.start().await;
    assert_eq!(bench.of_origin().await["indexed_files"], names.len());
    let urls = names.map(|(_, url)| url);
    visit(&bench, &urls, "one").await;
    for (name, _) in names {
        bench.write(name, "two");
    }
    bench.settle().await;
    visit(&bench, &urls, "two").await;
    fs::remove_dir_all(bench.site().join("map/9")).unwrap();
    bench.purged("/map/9/4913/77.png").await;
    bench.settle().await;
    assert_eq!(bench.fetch("/map/9/4913/77.png").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_under_a_temporary_name_is_purged_once_and_under_its_own_name() {
    let mut bench = Bench::new().await;
    bench.write("film.mp4", "old");
    bench.start().await;
    bench.fetch("/film.mp4").await;
    let temporary = [
        "film.mp4.filepart",
        "clips/film.mp4.a1b2c3d4.partial",
        "film.mp4.opdownload",
        "film.mp4.lftp-pget-status",
        "film.mp4.aria2",
        "film.mp4.ffs_tmp",
        "~$prices.xlsx",
        "page.html.dpkg-new",
    ];
    for name in temporary {
        bench.write(name, "half");
    }
    // What is complete by all signs, since its sender stalls, stays temporary.
    bench.rested().await;
    bench.settle().await;
    assert_eq!(bench.purges(), [""; 0]);
    let site = bench.site();
    fs::rename(site.join(temporary[0]), site.join("film.mp4")).unwrap();
    for name in &temporary[1..] {
        fs::remove_file(site.join(name)).unwrap();
    }
    bench.settle().await;
    assert_eq!(bench.purges(), ["/film.mp4"]);
    visit(&bench, &["/film.mp4"], "half").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_built_in_pattern_is_named_and_taken_back() {
    let mut bench = Bench::new().await;
    bench.origin = "ignore = [\"*.bak\", \"!*.part\", \"!.config\"]".to_owned();
    for name in ["a.bak", "book.part", ".config/app.json", "x/.git/y"] {
        bench.write(name, "one");
    }
    bench.start().await;
    visit(&bench, &["/book.part", "/.config/app.json"], "one").await;
    for name in ["a.bak", "book.part", ".config/app.json", "x/.git/y"] {
        bench.write(name, "two");
    }
    bench.settle().await;
    assert_eq!(bench.purges(), ["/.config/app.json", "/book.part"]);
    visit(&bench, &["/book.part", "/.config/app.json"], "two").await;

    let config = fs::read_to_string(bench.path("config.toml")).unwrap();
    let line = config.lines().position(|line| line.starts_with("ignore"));
    let place = format!(
        "{}:{}",
        bench.path("config.toml").display(),
        line.unwrap() + 1
    );
    for (name, why) in [
        ("a.bak", format!("*.bak (ignore, {place}) matches a.bak")),
        (
            "x/.git/y",
            ".* (the built-in list) matches x/.git".to_owned(),
        ),
        (
            "x/b.tmp",
            "*.tmp (the built-in list) matches x/b.tmp".to_owned(),
        ),
    ] {
        let told = explain(&bench, name).await;
        let expected = format!("ignored: nothing is purged for it, since {why}\n");
        assert!(told.contains(&expected), "{told}");
    }
    let told = explain(&bench, "book.part").await;
    assert!(told.contains("purges /book.part"), "{told}");
    let told = bench.json(&["explain", "x/b.tmp"]).await;
    let by = &told["subjects"][0]["files"][0]["ignored_by"];
    assert_eq!(
        (&by["pattern"], &by["built_in"], &by["matched"]),
        (&"*.tmp".into(), &true.into(), &"x/b.tmp".into()),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_sibling_is_fresh_at_its_own_url_and_at_that_of_its_base() {
    let mut bench = Bench::new().await;
    let edge = bench.sandbox.edge_url(&PipelineId::new(PIPELINE)).unwrap();
    bench.pipeline = format!("[pipeline.verify]\nedge_url = \"{edge}\"");
    let names = [
        "os/Release",
        "os/Release.gz",
        "repo.json.zst",
        "a/index.html.br",
    ];
    for name in names {
        bench.write(name, "one");
    }
    bench.start().await;
    let urls = names.map(|name| format!("/{name}"));
    let urls = urls.each_ref().map(String::as_str);
    visit(&bench, &urls, "one").await;
    // Only the siblings, as a mirror does that writes them last.
    for name in &names[1..] {
        bench.write(name, "two");
    }
    bench.settle().await;
    assert_eq!(
        bench.purges(),
        [
            "/a",
            "/a/",
            "/a/index.html",
            "/a/index.html.br",
            "/os/Release",
            "/os/Release.gz",
            "/repo.json",
            "/repo.json.zst",
        ]
    );
    visit(&bench, &urls[1..], "two").await;
    bench.write("os/Release", "two");
    bench.settle().await;
    visit(&bench, &urls[..1], "two").await;

    let told = explain(&bench, "/os/Release.gz").await;
    assert!(
        told.contains("stands for os/Release.gz, origin /\n"),
        "{told}"
    );
    assert!(!told.contains("stands for os/Release,"), "{told}");
    let told = explain(&bench, "/os/Release").await;
    for file in ["os/Release", "os/Release.gz"] {
        assert!(
            told.contains(&format!("stands for {file}, origin /\n")),
            "{told}"
        );
    }
    let told = explain(&bench, "repo.json.zst").await;
    assert!(
        told.contains("purges /repo.json, /repo.json.zst\n"),
        "{told}"
    );

    // One of the two goes: the other stays what it is, and no 404 of the one is held against it.
    for (gone, url) in [
        ("os/Release", "/os/Release"),
        ("repo.json.zst", "/repo.json.zst"),
    ] {
        fs::remove_file(bench.site().join(gone)).unwrap();
        until(&format!("{url} is seen to be gone"), async || {
            let told = bench.json(&["explain", url]).await;
            let last = &told["subjects"][0]["assets"][0]["history"]["purges"][0];
            let fresh = last["verified"]["verdict"] == "fresh";
            (last["cause"]["kind"] == "gone" && fresh).then_some(())
        })
        .await;
        assert_eq!(bench.fetch(url).await.0, 404);
    }
    visit(&bench, &["/os/Release.gz"], "two").await;
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_page_of_a_directory_is_purged_without_its_extension() {
    let mut bench = Bench::new().await;
    bench.pipeline = "pages = \"clean\"".to_owned();
    for name in [
        "index.html",
        "shop/index.html",
        "shop/index.htm",
        "about.html",
    ] {
        bench.write(name, "one");
    }
    bench.start().await;
    let urls = ["/index", "/shop/index", "/about"];
    for url in urls {
        assert_eq!(
            bench.fetch(url).await.0,
            404,
            "this origin serves no such URL"
        );
        assert_eq!(bench.fetch(url).await.1, "hit-fresh");
    }
    for name in ["index.html", "shop/index.html", "about.html"] {
        bench.write(name, "two");
    }
    bench.settle().await;
    for url in urls {
        assert_eq!(bench.fetch(url).await.1, "miss", "{url}");
    }
}
