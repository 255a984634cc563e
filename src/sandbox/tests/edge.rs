//! The edge: what it keeps, what it forgets, and when.

use super::*;

#[tokio::test]
async fn old_bytes_are_served_until_they_are_purged() {
    let world = World::new().await;
    world.write("a.html", "old");
    assert_eq!(world.visit("/a.html").await, served(200, "miss", "old"));
    world.write("a.html", "new");
    assert_eq!(
        world.visit("/a.html").await,
        served(200, "hit-fresh", "old")
    );
    assert_eq!(world.purge(&["/a.html"]).await, PurgeStatus::Done);
    assert_eq!(world.visit("/a.html").await, served(200, "miss", "new"));
    assert_eq!(
        world.visit("/a.html").await,
        served(200, "hit-fresh", "new")
    );
}

#[tokio::test]
async fn a_404_is_cached_and_purged_like_anything_else() {
    let world = World::new().await;
    assert_eq!(world.visit("/late.html").await.status, 404);
    world.write("late.html", "here");
    assert_eq!(
        world.visit("/late.html").await,
        served(404, "hit-fresh", "Not Found\n")
    );
    world.purge(&["/late.html"]).await;
    assert_eq!(world.visit("/late.html").await, served(200, "miss", "here"));
}

#[tokio::test]
async fn a_403_is_cached_and_purged_like_anything_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new().await;
    let mode = |mode: u32| {
        let file = world.site.join("draft.html");
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    world.serve(&[&world.site], Reads::Public);
    world.write("draft.html", "text");
    mode(0o600);
    let refused = |cache| served(403, cache, "Forbidden\n");
    assert_eq!(world.visit("/draft.html").await, refused("miss"));
    mode(0o644);
    assert_eq!(world.visit("/draft.html").await, refused("hit-fresh"));
    world.purge(&["/draft.html"]).await;
    assert_eq!(
        world.visit("/draft.html").await,
        served(200, "miss", "text")
    );
}

#[tokio::test]
async fn each_spelling_of_a_path_is_an_object_of_its_own() {
    let world = World::new().await;
    world.write("æ it's.html", "old");
    let spellings = ["/%C3%A6%20it's.html", "/%c3%a6%20it's.html"];
    let other = "/%C3%A6%20it%27s.html";
    for path in spellings.into_iter().chain([other]) {
        assert_eq!(world.visit(path).await, served(200, "miss", "old"));
    }
    world.write("æ it's.html", "new");
    world.purge(&spellings).await;
    for path in spellings {
        assert_eq!(world.visit(path).await.body, "new", "{path}");
    }
    assert_eq!(world.visit(other).await, served(200, "hit-fresh", "old"));
}

#[tokio::test]
async fn several_web_servers_are_asked_in_turn_and_what_one_answered_stays() {
    let world = World::new().await;
    let other = world.site.with_file_name("other");
    std::fs::create_dir(&other).unwrap();
    world.serve(&[&world.site, &other], Reads::Own);
    for name in ["a", "b", "c"] {
        world.write(name, "new");
        std::fs::write(other.join(name), "old").unwrap();
    }
    // A deploy has come to the first server only.
    for (path, body) in [("/a", "new"), ("/b", "old"), ("/c", "new")] {
        assert_eq!(world.visit(path).await, served(200, "miss", body));
        assert_eq!(world.visit(path).await, served(200, "hit-fresh", body));
    }
    world.purge(&["/b"]).await;
    assert_eq!(world.visit("/b").await, served(200, "miss", "old"));
    world.serve(&[], Reads::Own);
    assert_eq!(world.visit("/d").await.status, 502);
}

#[tokio::test]
async fn a_purge_names_paths_and_queries_exactly() {
    let world = World::new().await;
    world.write("index.html", "old");
    for path in ["/", "/index.html", "/?page=1"] {
        world.visit(path).await;
    }
    world.write("index.html", "new");
    world.purge(&["/", "/?page=1"]).await;
    assert_eq!(world.visit("/").await.body, "new");
    assert_eq!(world.visit("/?page=1").await.body, "new");
    assert_eq!(world.visit("/index.html").await.body, "old");
    world.purge(&[]).await;
    assert_eq!(world.visit("/index.html").await.body, "new");
}

#[tokio::test]
async fn a_purge_of_one_pipeline_leaves_the_others() {
    let world = World::new().await;
    world.write("a", "old");
    world.visit("/a").await;
    let target = CreateTarget::All;
    let blog = PipelineId::new(BLOG);
    world.sandbox.set_purge_delay(Duration::ZERO);
    world.client.create(&blog, &target).await.unwrap();
    assert_eq!(world.visit("/a").await.cache, "hit-fresh");
}

#[tokio::test]
async fn cookies_bypass_the_cache() {
    let world = World::new().await;
    world.write("a", "old");
    world.visit("/a").await;
    world.write("a", "new");
    let with_cookie = || {
        world
            .http
            .get(format!("{}/a", world.edge()))
            .header("cookie", "session=1")
    };
    for _ in 0..2 {
        assert_eq!(world.send(with_cookie()).await, served(200, "miss", "new"));
    }
    assert_eq!(world.visit("/a").await, served(200, "hit-fresh", "old"));
}

#[tokio::test]
async fn head_tells_the_length_and_fills_nothing() {
    let world = World::new().await;
    world.write("a", "12345");
    let url = format!("{}/a", world.edge());
    for _ in 0..2 {
        let response = world.http.head(&url).send().await.unwrap();
        assert_eq!(response.headers()["x-cache"], "miss");
        assert_eq!(response.headers()["content-length"], "5");
        assert_eq!(response.text().await.unwrap(), "");
    }
    world.visit("/a").await;
    let response = world.http.head(&url).send().await.unwrap();
    assert_eq!(response.headers()["x-cache"], "hit-fresh");
    let refused = world.http.post(&url).send().await.unwrap();
    assert_eq!(refused.status(), 405);
}

#[tokio::test]
async fn a_file_too_large_to_keep_comes_through_whole() {
    let world = World::new().await;
    let bytes = "0123456789abcdef".repeat((9 << 20) / 16);
    world.write("large.bin", &bytes);
    for _ in 0..2 {
        let got = world.visit("/large.bin").await;
        assert_eq!((got.status, got.cache.as_str()), (200, "miss"));
        assert!(got.body == bytes, "{} bytes", got.body.len());
    }
}

#[tokio::test]
async fn an_object_is_fetched_again_when_its_ttl_is_over() {
    let world = World::with(|settings| settings.ttl = Duration::ZERO, LIMIT).await;
    world.write("a", "old");
    world.visit("/a").await;
    world.write("a", "new");
    assert_eq!(world.visit("/a").await, served(200, "miss", "new"));
}

#[tokio::test]
async fn the_demo_hears_of_every_answer_and_every_purge() {
    let world = World::new().await;
    world.write("a", "text");
    let mut events = world.sandbox.events();
    world.visit("/a?v=1").await;
    assert_eq!(
        events.recv().await.unwrap(),
        Event::Served {
            pipeline: PipelineId::new(WWW),
            path: "/a?v=1".to_owned(),
            status: 200,
            cache: CacheResult::Miss,
        }
    );
    world.purge(&["/a"]).await;
    assert!(matches!(
        events.recv().await.unwrap(),
        Event::RequestCreated { target: PurgeTarget::Assets(assets), .. } if assets == ["/a"]
    ));
}
