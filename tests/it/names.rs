//! Names of files: which count, and which URLs they have.

use std::fs;

use edgepurge::core::change::PipelineId;

use crate::bench::{Bench, PIPELINE, text, until};

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

/// A file, and the URLs that links to it have, by what writes them.
const LINKED: [(&str, &[&str]); 7] = [
    (
        "журнал/день.html",
        &[
            "/%D0%B6%D1%83%D1%80%D0%BD%D0%B0%D0%BB/%D0%B4%D0%B5%D0%BD%D1%8C.html",
            "/%d0%b6%d1%83%d1%80%d0%bd%d0%b0%d0%bb/%d0%b4%d0%b5%d0%bd%d1%8c.html",
        ],
    ),
    (
        "글/index.html",
        &["/%EA%B8%80/", "/%ea%b8%80/", "/%ea%b8%80/index.html"],
    ),
    (
        "lib/g++_12~rc1.deb",
        &[
            "/lib/g++_12~rc1.deb",
            "/lib/g%2B%2B_12~rc1.deb",
            "/lib/g%2b%2b_12%7erc1.deb",
        ],
    ),
    (
        "it's here!.css",
        &[
            "/it's%20here!.css",
            "/it%27s%20here!.css",
            "/it%27s%20here%21.css",
        ],
    ),
    (
        "plan (2)*.pdf",
        &["/plan%20(2)*.pdf", "/plan%20%282%29%2A.pdf"],
    ),
    (
        "~ann/k=v&w@2x,$.png",
        &[
            "/~ann/k=v&w@2x,$.png",
            "/~ann/k%3Dv%26w%402x%2C%24.png",
            "/%7Eann/k%3Dv%26w%402x%2C%24.png",
            "/%7eann/k%3dv%26w%402x%2c%24.png",
        ],
    ),
    (
        "a[1]:b;.txt",
        &["/a[1]:b;.txt", "/a%5B1%5D:b;.txt", "/a%5B1%5D%3Ab%3B.txt"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_fresh_at_every_url_that_links_to_it_have() {
    let mut bench = Bench::new().await;
    for (name, _) in LINKED {
        bench.write(name, "one");
    }
    bench.start().await;
    for (_, urls) in LINKED {
        visit(&bench, urls, "one").await;
    }
    for (name, _) in LINKED {
        bench.write(name, "two");
    }
    bench.settle().await;
    for (_, urls) in LINKED {
        visit(&bench, urls, "two").await;
    }
    for (name, _) in LINKED {
        fs::remove_file(bench.site().join(name)).unwrap();
    }
    bench.purged(LINKED[6].1[0]).await;
    bench.settle().await;
    for url in LINKED.iter().flat_map(|(_, urls)| *urls) {
        assert_eq!(bench.fetch(url).await.0, 404, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_spells_out_is_purged_exactly_so_and_what_is_changed_is_said() {
    let mut bench = Bench::new().await;
    for name in ["雪/index.html", "c++.txt", "a b.txt"] {
        bench.write(name, "one");
    }
    bench.start().await;
    let spelled_out = [
        "/%e9%9b%aa/",
        "/c%2B%2b.txt",
        "/%E9%9b%AA/?v=%c3",
        "/%61%20b.txt",
    ];
    let purged = bench
        .run(&[&["purge", "www"], &spelled_out[..], &["--wait"]].concat())
        .await;
    assert!(purged.status.success(), "{purged:?}");
    assert_eq!(
        (text(&purged.stdout).as_str(), text(&purged.stderr).as_str()),
        ("purged 4 assets of www\n", "")
    );
    let mut expected = spelled_out.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(bench.purges(), expected);

    let purged = bench
        .run(&[
            "purge",
            "www",
            "/a b.txt",
            "https://example.com/雪/#top",
            "/plain.css",
            "--wait",
        ])
        .await;
    assert!(purged.status.success(), "{purged:?}");
    let said = text(&purged.stderr);
    assert!(
        said.contains("/a b.txt is purged as /a%20b.txt\n"),
        "{said}"
    );
    assert!(
        said.contains("https://example.com/雪/#top is purged as /%E9%9B%AA/, /%e9%9b%aa/\n"),
        "{said}"
    );
    assert!(!said.contains("plain.css is purged as"), "{said}");
    let told = bench
        .json(&["purge", "www", "/c++.txt", "/%e9%9b%aa/"])
        .await;
    assert_eq!(
        told["spelled"],
        serde_json::json!({ "/c++.txt": ["/c++.txt", "/c%2B%2B.txt", "/c%2b%2b.txt"] })
    );
    bench.settle().await;

    // The API as it is: one request, of what it was given.
    let created = bench
        .json(&[
            "requests",
            "create",
            "--pipeline-id",
            PIPELINE,
            "--asset",
            "/c++.txt",
            "--asset",
            "/%e9%9b%aa/",
            "--wait",
        ])
        .await;
    assert_eq!(
        created["assets"],
        serde_json::json!(["/%e9%9b%aa/", "/c++.txt"])
    );

    let told = explain(&bench, "/%e9%9b%aa/").await;
    assert!(
        told.starts_with("/%e9%9b%aa/ of www\n  stands for 雪/index.html, origin /\n"),
        "{told}"
    );
    assert!(told.contains("manual, purge by"), "{told}");
    let told = explain(&bench, "/%E9%9b%AA/?v=%c3").await;
    assert!(
        told.contains("stands for no file"),
        "a query is another URL: {told}"
    );
    let told = explain(&bench, "/%61%20b.txt").await;
    assert!(
        told.contains(
            "stands for a b.txt, origin /\n  \
             is another spelling of /a%20b.txt: changes purge that and not this\n"
        ),
        "{told}"
    );
    assert_eq!(told.matches("another spelling").count(), 1, "{told}");
    assert!(told.contains("manual, purge by"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_spells_an_asset_as_it_likes_and_canonical_is_one_spelling() {
    let mut bench = Bench::new().await;
    bench.pipeline = "encoding = \"canonical\"\n\
         [[pipeline.rule]]\nmatch = [\"*.md\"]\npurge = [\"/%e9%9b%aa/{stem}\", \"/x?t[]=%2b\"]"
        .to_owned();
    bench.write("雪.css", "one");
    bench.write("a+b.md", "one");
    bench.pipeline +=
        "\n[[pipeline.rule]]\nmatch = [\"*.x\"]\npurge = [\"/雪 {dir}/%7e{name}?q={ext} é\"]";
    bench.start().await;
    let print = bench.run(&["check", "--print"]).await;
    let printed = text(&print.stdout);
    for sent in [
        "\"/%e9%9b%aa/{stem}\"",
        "\"/x?t[]=%2b\"",
        "\"/%E9%9B%AA%20{dir}/%7e{name}?q={ext}%20%C3%A9\"",
    ] {
        assert!(printed.contains(sent), "{printed}");
    }
    for name in ["雪.css", "a+b.md"] {
        bench.write(name, "two");
    }
    bench.settle().await;
    assert_eq!(
        bench.purges(),
        ["/%E9%9B%AA.css", "/%e9%9b%aa/a+b", "/x?t[]=%2b"]
    );
    let told = explain(&bench, "/%e9%9b%aa.css").await;
    assert!(
        told.contains("is another spelling of /%E9%9B%AA.css"),
        "{told}"
    );
    let told = explain(&bench, "/%e9%9b%aa/a+b").await;
    assert!(told.contains("stands for a+b.md, origin /\n"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_is_verified_and_a_composed_name_that_is_not_served_is_no_failure() {
    let mut bench = Bench::new().await;
    let edge = bench.sandbox.edge_url(&PipelineId::new(PIPELINE)).unwrap();
    bench.pipeline = format!("[pipeline.verify]\nedge_url = \"{edge}\"");
    // As a Mac uploads it; this origin keeps and compares bytes.
    bench.write("u\u{308}ber+.html", "one");
    bench.start().await;
    let (same, composed) = (
        [
            "/u%CC%88ber+.html",
            "/u%cc%88ber%2b.html",
            "/u%CC%88ber%2B.html",
        ],
        "/%C3%BCber+.html",
    );
    visit(&bench, &same, "one").await;
    assert_eq!(bench.fetch(composed).await.0, 404);
    bench.write("u\u{308}ber+.html", "two");
    for (url, verdict) in same
        .iter()
        .map(|url| (*url, "fresh"))
        .chain([(composed, "unverified")])
    {
        until(&format!("{url} is {verdict}"), async || {
            let told = bench.json(&["explain", url]).await;
            let purges = &told["subjects"][0]["assets"][0]["history"]["purges"];
            (purges[0]["verified"]["verdict"] == verdict).then_some(())
        })
        .await;
        let times = bench.purges().iter().filter(|asset| *asset == url).count();
        assert_eq!(times, 1, "{url}");
    }
    visit(&bench, &same, "two").await;
    bench.no_alarm().await;
}
