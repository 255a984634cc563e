//! `explain`: which rule matches, what is purged, and why it was; and globs over what is indexed.

use std::os::unix::fs::chown;

use edgepurge::core::change::PipelineId;

use crate::bench::{Bench, PIPELINE, SHOP, text};

/// A site with a rule of each sort.
async fn site() -> Bench {
    let mut bench = Bench::new().await;
    bench.pipeline.push_str(
        r#"
[[pipeline.rule]]
match = ["templates/**"]
purge = "all"
[[pipeline.rule]]
match = ["posts/*.json"]
on = ["new", "changed"]
purge = ["/{path}", "/blog/{stem}/"]
[[pipeline.rule]]
match = ["drafts/**"]
purge = "nothing"
"#,
    );
    for name in [
        "templates/page.html",
        "posts/a.json",
        "drafts/x.html",
        "blog/index.html",
    ] {
        bench.write(name, "one");
    }
    bench
}

async fn explain(bench: &Bench, subjects: &[&str]) -> String {
    let output = bench.run(&[&["explain"], subjects].concat()).await;
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

/// Times and ids as they are in no transcript.
fn plain(told: &str) -> String {
    let words = told.split(' ').map(|word| {
        let core = word.trim_matches(['(', ')', ',', ';', '\n']);
        let kind = match core.len() {
            24 if core.starts_with("20") && core.ends_with('Z') => "TIME",
            36 if core.split('-').count() == 5 => "ID",
            _ => return word.to_owned(),
        };
        word.replace(core, kind)
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Who runs the tests.
fn me() -> String {
    let output = std::process::Command::new("id")
        .arg("-un")
        .output()
        .unwrap();
    text(&output.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mapping_of_a_file_is_explained_without_a_daemon() {
    let bench = site().await;
    let config = bench.config();
    let line = |needle: &str| {
        let written = std::fs::read_to_string(&config).unwrap();
        1 + written
            .lines()
            .position(|line| line.contains(needle))
            .unwrap()
    };
    let file = |name: &str| bench.site().join(name).display().to_string();
    let (templates, posts) = (line("templates/**"), line("posts/*.json"));
    let config = config.display();
    assert_eq!(
        explain(&bench, &[&file("templates/page.html"), "posts/a.json"]).await,
        format!(
            "templates/page.html: a file of www, origin /\n\
             \x20 new, changed, gone: rule 1 (templates/**, {config}:{templates}) purges everything\n\
             posts/a.json: a file of www, origin /\n\
             \x20 new, changed: rule 2 (posts/*.json, {config}:{posts}) purges /blog/a/, /posts/a.json\n\
             \x20 gone: the built-in mapping purges /posts/a.json\n\
             /blog/a/ of www\n\
             \x20 no purge of it is in the history\n\
             /posts/a.json of www\n\
             \x20 no purge of it is in the history\n"
        )
    );
    let told = explain(&bench, &["drafts/x.html"]).await;
    assert!(told.contains("purges nothing"), "{told}");
    let told = explain(&bench, &["a/.git/config"]).await;
    assert!(told.contains("ignored: nothing is purged for it"), "{told}");
    let told = explain(&bench, &[&file("blog/gone.html")]).await;
    assert!(told.contains("there is no such file now"), "{told}");
    let told = explain(&bench, &["/blog/"]).await;
    assert!(told.contains("origin / is not indexed yet"), "{told}");
    let elsewhere = bench.run(&["explain", "../elsewhere"]).await;
    assert_eq!(elsewhere.status.code(), Some(2), "{elsewhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_purges_of_an_asset_are_told_with_and_without_a_daemon() {
    let mut bench = site().await;
    bench.start().await;
    bench.write("blog/index.html", "two");
    bench.purged("/blog/").await;
    bench.settle().await;
    let purged = bench
        .run(&["purge", "www", "https://example.com/blog/", "--wait"])
        .await;
    assert!(purged.status.success(), "{purged:?}");
    bench.run(&["pause", "www"]).await;
    bench.write("blog/index.html", "three");
    let noticed = bench.run(&["wait", "www", "--timeout", "2s"]).await;
    assert_eq!(noticed.status.code(), Some(75), "it is paused");

    let told = plain(&explain(&bench, &["/blog/"]).await);
    let expected = format!(
        "/blog/ of www\n  stands for blog/index.html, origin /\n  \
         queued: blog/index.html changed (watch), noticed TIME\n  \
         TIME done: request 3 (ID), settled TIME; manual, purge by {}, noticed TIME\n  \
         TIME done: request 1 (ID), settled TIME; blog/index.html changed (watch), noticed TIME\n",
        me()
    );
    assert_eq!(told, expected);
    let json = bench.json(&["explain", "/blog/"]).await;
    let asset = &json["subjects"][0]["assets"][0];
    assert_eq!(asset["history"]["purges"][0]["cause"]["source"], "manual");
    assert_eq!(asset["stands_for"]["files"][0][1], "blog/index.html");

    assert_eq!(bench.terminate().await, Some(0));
    let offline = plain(&explain(&bench, &["/blog/"]).await);
    assert_eq!(offline, expected, "the same without a daemon");
    let file = bench.site().join("blog/index.html").display().to_string();
    let of_file = explain(&bench, &[&file]).await;
    assert!(
        of_file.contains("new, changed, gone: the built-in mapping"),
        "{of_file}"
    );
    assert!(of_file.contains("purge by"), "{of_file}");

    // Somebody else's state is nobody's business.
    if !rustix::process::geteuid().is_root() {
        return crate::bench::skip("only root can give files away");
    }
    chown(bench.path("state"), Some(12_345), None).unwrap();
    let refused = bench.run(&["explain", &file]).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        text(&refused.stdout).contains("the built-in mapping"),
        "{refused:?}"
    );
    assert!(
        text(&refused.stderr).contains("belongs to uid 12345"),
        "{refused:?}"
    );
    let scan = bench.run(&["scan", "www"]).await;
    assert_eq!(scan.status.code(), Some(1), "{scan:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_glob_is_expanded_over_the_index() {
    let mut bench = site().await;
    for name in ["a.css", "b.css", "deep/c.css", "d\u{fc}.js"] {
        bench.write(name, "x");
    }
    bench.start().await;
    let purged = bench.run(&["purge", "www", "/*.css", "--wait"]).await;
    assert!(purged.status.success(), "{purged:?}");
    assert_eq!(text(&purged.stdout), "purged 2 assets of www\n");
    assert!(
        text(&purged.stderr).contains("match 2 assets"),
        "{purged:?}"
    );
    assert_eq!(bench.purges(), ["/a.css", "/b.css"]);

    let more = [
        "purge",
        "www",
        "https://example.com/deep/**",
        "/d\u{fc}*",
        "/x",
        "--wait",
    ];
    let purged = bench.json(&more).await;
    assert_eq!(
        (&purged["matched"], &purged["changes"]),
        (&3.into(), &4.into()),
        "{purged}"
    );
    let now = [
        "/a.css",
        "/b.css",
        "/d%C3%BC.js",
        "/d%c3%bc.js",
        "/deep/c.css",
        "/x",
    ];
    assert_eq!(bench.purges(), now);

    let none = bench.run(&["purge", "www", "/*.css", "/none/*"]).await;
    assert_eq!(none.status.code(), Some(1), "{none:?}");
    assert!(text(&none.stderr).contains("matches /none/*"), "{none:?}");
    let wrong = bench.run(&["purge", "www", "*.css"]).await;
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    bench.settle().await;
    assert_eq!(bench.purges(), now, "nothing of that was purged");
}

/// The site, and another pipeline; each with the address of its edge.
async fn two_sites() -> (Bench, [String; 2]) {
    let mut bench = site().await;
    let edge = |id| bench.sandbox.edge_url(&PipelineId::new(id)).unwrap();
    let edges = [edge(PIPELINE), edge(SHOP)];
    let verify = |edge: &str| format!("[pipeline.verify]\nedge_url = \"{edge}\"\n");
    bench.pipeline.push_str(&verify(&edges[0]));
    let shop = bench.path("shop");
    std::fs::create_dir(&shop).unwrap();
    bench.origin = format!(
        "[[pipeline]]\nname = \"shop\"\nid = \"{SHOP}\"\n{}[[pipeline.origin]]\nroot = '{}'\n",
        verify(&edges[1]),
        shop.display()
    );
    bench.start().await;
    (bench, edges)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asset_is_explained_by_the_rule_that_decides_and_only_of_its_own_pipeline() {
    let (bench, [www, shop]) = two_sites().await;
    let config = bench.path("config.toml");
    let written = std::fs::read_to_string(&config).unwrap();
    let line = |needle: &str| {
        1 + written
            .lines()
            .position(|one| one.contains(needle))
            .unwrap()
    };
    let (config, all, nothing) = (config.display(), line("templates/**"), line("drafts/**"));
    assert_eq!(
        explain(&bench, &[&format!("{www}/templates/page.html")]).await,
        format!(
            "/templates/page.html of www\n\
             \x20 templates/page.html, origin /, answers there: rule 1 (templates/**, {config}:{all}) purges everything\n\
             \x20 no purge of it is in the history\n"
        )
    );
    let draft = explain(&bench, &["/drafts/x.html", "--pipeline", "www"]).await;
    let rule = format!("rule 3 (drafts/**, {config}:{nothing}) purges nothing");
    assert!(draft.contains(&rule), "{draft}");
    assert!(!draft.contains("shop"), "{draft}");
    let of_shop = explain(&bench, &[&format!("{shop}/blog/")]).await;
    assert!(
        of_shop.starts_with("/blog/ of shop\n  stands for no file"),
        "{of_shop}"
    );
    // Of which nothing is known is one line, whatever the number of pipelines.
    assert_eq!(
        explain(&bench, &["/nofile"]).await,
        "/nofile stands for no file that is indexed, and has no purge in the history, of www, shop\n"
    );
    let unknown = bench.run(&["explain", "/", "--pipeline", "nope"]).await;
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
    assert!(
        text(&unknown.stderr).contains("there are: www, shop"),
        "{unknown:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_alone_is_purged_of_the_pipeline_that_has_its_host_and_a_slip_is_noted() {
    let (bench, [www, shop]) = two_sites().await;
    let purge = async |words: &[&str]| {
        let output = bench.run(&[&["purge"], words].concat()).await;
        let (told, note) = (text(&output.stdout), text(&output.stderr));
        (output.status.code(), told, note)
    };
    let blog = format!("{www}/blog/");
    let (code, told, note) = purge(&[&blog]).await;
    assert_eq!((code, told.as_str()), (Some(0), "queued 1 asset for www\n"));
    assert!(!note.contains("no file"), "{note}");
    let (code, told, note) =
        purge(&["www", "/blgo/", "/blog/?page=2", "/templates/page.html"]).await;
    assert_eq!(
        (code, told.as_str()),
        (Some(0), "queued 3 assets for www\n")
    );
    assert_eq!(
        note,
        "note: no file that is indexed stands for /blgo/; it is purged all the same\n"
    );

    let both = [blog.as_str(), &format!("{shop}/a.css")];
    let (code, _, why) = purge(&both).await;
    assert_eq!(code, Some(2));
    assert!(why.contains("the first URL is of www"), "{why}");
    let (code, _, why) = purge(&["https://elsewhere.example/a.css"]).await;
    assert_eq!(code, Some(2));
    let help = "= help: edgepurge purge www https://elsewhere.example/a.css";
    assert!(why.contains(help), "{why}");
    let (code, _, why) = purge(&["shop"]).await;
    assert_eq!(code, Some(2));
    assert!(why.contains("= help: edgepurge purge shop --all"), "{why}");
    let (code, _, why) = purge(&["/a.css", "shop"]).await;
    assert_eq!(code, Some(2));
    assert!(why.contains("= help: edgepurge purge shop /a.css"), "{why}");
}
