//! A bucket as edgepurge's client of Object Storage sees it, and its edge.

use std::sync::Arc;

use super::*;
use crate::core::website::Website;
use crate::s3::{self, Keys, Page, Position, S3Error};

const SITE: &str = "site";

fn website() -> Website {
    Website {
        index: Some("index.html".to_owned()),
        error: Some("404.html".to_owned()),
        rules: false,
    }
}

/// A sandbox whose first pipeline serves a bucket with small pages.
async fn world() -> World {
    let adjust = |settings: &mut SandboxSettings| {
        let mut bucket = BucketSettings::new(SITE, "fr-par");
        bucket.page = 3;
        bucket.website = Some(website());
        settings.buckets = vec![bucket];
        settings.pipelines[0].bucket = Some(ServedBucket {
            name: SITE.to_owned(),
            region: "fr-par".to_owned(),
            website: true,
        });
    };
    World::with(adjust, Duration::from_secs(10)).await
}

impl World {
    /// A client of a bucket, with these keys.
    fn bucket_with(&self, name: &str, region: &str, access: &str, secret: &str) -> s3::Bucket {
        let keys = Keys {
            access: access.into(),
            secret: secret.into(),
        };
        let settings = s3::BucketSettings {
            endpoint: self.sandbox.storage_url().unwrap().parse().unwrap(),
            region: region.to_owned(),
            name: name.to_owned(),
            prefix: String::new(),
            timeout: Duration::from_secs(10),
            keys: Arc::new(move || Ok(keys.clone())),
        };
        s3::Bucket::new(settings, Clock::start()).unwrap()
    }

    fn bucket(&self, name: &str) -> s3::Bucket {
        use secrecy::ExposeSecret as _;
        let secret = self.sandbox.secret_key();
        self.bucket_with(name, "fr-par", ACCESS_KEY, secret.expose_secret())
    }

    fn put(&self, key: &str, body: &str) {
        assert!(self.sandbox.put_object(SITE, key, body.as_bytes(), &[]));
    }
}

/// The keys of a whole listing.
async fn keys(bucket: &s3::Bucket) -> Result<Vec<String>, S3Error> {
    let (mut keys, mut position) = (Vec::new(), Position::Start);
    loop {
        let Page { objects, next } = bucket.page(&position).await?;
        keys.extend(objects.into_iter().map(|object| object.key));
        let Some(token) = next else {
            return Ok(keys);
        };
        position = Position::Token(token);
    }
}

const ODD: [&str; 8] = [
    "%41.html",
    "a b+c.html",
    "a&b<c>.html",
    "b/",
    "line\nbreak",
    "plain.html",
    "~'(1)*!",
    "é/ü",
];

#[tokio::test]
async fn what_is_put_is_listed_whatever_its_key_and_has_the_same_etag_there_and_in_its_headers() {
    let world = world().await;
    for key in ODD {
        world.put(key, key);
    }
    let bucket = world.bucket(SITE);
    assert_eq!(keys(&bucket).await.unwrap(), ODD);
    let listed = bucket.page(&Position::Start).await.unwrap().objects;
    let heads = bucket.heads(&ODD.map(str::to_owned)).await;
    for (object, head) in listed.iter().zip(&heads) {
        let head = head.as_ref().unwrap();
        assert_eq!(head.object.etag, object.etag);
        assert_eq!(head.object.size, object.size);
        let seconds = |nanoseconds: i64| nanoseconds / 1_000_000_000;
        assert_eq!(
            seconds(head.object.modified_ns),
            seconds(object.modified_ns)
        );
    }
    assert!(heads.iter().all(Result::is_ok), "{heads:?}");
    world.sandbox.delete_object(SITE, "é/ü");
    assert_eq!(keys(&bucket).await.unwrap(), ODD[..7]);
    let gone = bucket.heads(&["é/ü".to_owned()]).await;
    assert_eq!(gone, [Err(S3Error::Missing)]);
}

#[tokio::test]
async fn anyone_on_this_machine_may_put_and_get_and_only_a_signature_lists() {
    let world = world().await;
    let url = format!("{}/{SITE}", world.sandbox.storage_url().unwrap());
    let put = world.http.put(format!("{url}/a%20b.html"));
    let put = put.header("cache-control", "max-age=5").body("one");
    assert_eq!(put.send().await.unwrap().status(), 200);
    let got = world
        .http
        .get(format!("{url}/a%20b.html"))
        .send()
        .await
        .unwrap();
    assert_eq!(got.headers()["cache-control"], "max-age=5");
    assert_eq!(got.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(got.text().await.unwrap(), "one");
    for query in ["?list-type=2", "?website"] {
        let refused = world
            .http
            .get(format!("{url}{query}"))
            .send()
            .await
            .unwrap();
        assert_eq!(refused.status(), 403, "{query}");
    }
    let delete = world.http.delete(format!("{url}/a%20b.html")).send();
    assert_eq!(delete.await.unwrap().status(), 204);
    let gone = world.http.get(format!("{url}/a%20b.html")).send().await;
    assert_eq!(gone.unwrap().status(), 404);
}

#[tokio::test]
async fn a_wrong_key_region_or_bucket_is_refused_as_object_storage_refuses_it() {
    use secrecy::ExposeSecret as _;
    let world = world().await;
    let key = world.sandbox.secret_key();
    let key = key.expose_secret();
    for (region, access, secret, code) in [
        ("fr-par", ACCESS_KEY, "another", "SignatureDoesNotMatch"),
        ("fr-par", "SCWANOTHER0000000000", key, "InvalidAccessKeyId"),
        ("nl-ams", ACCESS_KEY, key, "AuthorizationHeaderMalformed"),
    ] {
        let bucket = world.bucket_with(SITE, region, access, secret);
        let refused = bucket.page(&Position::Start).await.unwrap_err();
        assert_eq!(refused.code(), Some(code));
    }
    let missing = world
        .bucket("another")
        .page(&Position::Start)
        .await
        .unwrap_err();
    assert_eq!(missing.code(), Some("NoSuchBucket"));
    world.sandbox.revoke_key();
    let revoked = world.bucket(SITE).page(&Position::Start).await.unwrap_err();
    assert_eq!(revoked.code(), Some("InvalidAccessKeyId"));
}

#[tokio::test]
async fn the_website_configuration_is_what_was_set() {
    let world = world().await;
    let bucket = world.bucket(SITE);
    assert_eq!(bucket.website().await, Ok(Some(website())));
    world.sandbox.set_website(SITE, None);
    assert_eq!(bucket.website().await, Ok(None));
    let denied = Fault::Storage {
        status: 403,
        code: "AccessDenied".to_owned(),
    };
    world.sandbox.script(denied.on(Operation::GetWebsite));
    let refused = bucket.website().await.unwrap_err();
    assert_eq!(refused.code(), Some("AccessDenied"));
}

#[tokio::test]
async fn faults_of_a_bucket_come_to_its_calls_and_those_of_the_api_do_not() {
    let world = world().await;
    for number in 0..7 {
        world.put(&format!("{number}"), "x");
    }
    let bucket = world.bucket(SITE);
    world.sandbox.script(Fault::Hang);
    assert_eq!(keys(&bucket).await.unwrap().len(), 7);
    world.sandbox.clear_script();

    let slow = Fault::Storage {
        status: 503,
        code: "SlowDown".to_owned(),
    };
    world.sandbox.script(slow.times(2));
    for _ in 0..2 {
        assert!(
            bucket
                .page(&Position::Start)
                .await
                .unwrap_err()
                .is_passing()
        );
    }
    world
        .sandbox
        .script(Fault::Corrupt.on(Operation::ListObjects));
    let cut = bucket.page(&Position::Start).await.unwrap_err();
    assert!(matches!(cut, S3Error::Malformed(_)), "{cut}");
    world.sandbox.script(Fault::LosesPages);
    assert_eq!(keys(&bucket).await.unwrap().len(), 3);
    let changes = vec![
        ("5".to_owned(), None),
        ("8".to_owned(), Some(b"y".to_vec())),
    ];
    world
        .sandbox
        .script(Fault::Meanwhile(changes).on(Operation::ListObjects));
    assert_eq!(
        keys(&bucket).await.unwrap(),
        ["0", "1", "2", "3", "4", "6", "8"]
    );
}

#[tokio::test]
async fn the_edge_serves_the_website_and_keeps_it_until_it_is_purged() {
    let world = world().await;
    for (key, body) in [
        ("index.html", "home"),
        ("a/index.html", "a"),
        ("404.html", "oops"),
    ] {
        world.put(key, body);
    }
    let get = async |path: &str| world.visit(path).await;
    let served = get("/").await;
    assert_eq!((served.status, served.body.as_str()), (200, "home"));
    assert_eq!(get("/a").await.status, 302);
    assert_eq!(get("/a/").await.body, "a");
    let missing = get("/missing").await;
    assert_eq!((missing.status, missing.body.as_str()), (404, "oops"));
    world.put("index.html", "home again");
    let kept = get("/").await;
    assert_eq!(
        (kept.cache.as_str(), kept.body.as_str()),
        ("hit-fresh", "home")
    );
    world.purge(&["/"]).await;
    assert_eq!(get("/").await.body, "home again");
}

#[tokio::test]
async fn the_api_tells_what_is_behind_each_pipeline() {
    use crate::scaleway::{Backend, BucketBackend};
    let world = world().await;
    let bucket = Backend::Bucket(BucketBackend {
        name: Some(SITE.to_owned()),
        region: Some("fr-par".to_owned()),
        website: Some(true),
    });
    let of = async |id: &str| {
        let reply = world.client.list_backends(&PipelineId::new(id)).await;
        reply.map(|reply| reply.value.stages)
    };
    assert_eq!(of(WWW).await.unwrap(), std::slice::from_ref(&bucket));
    assert_eq!(of(BLOG).await.unwrap(), [Backend::LoadBalancer]);
    let unknown = of("77777777-7777-4777-8777-777777777777")
        .await
        .unwrap_err();
    assert_eq!(unknown.class(), "not_found");

    let page = world.client.list_pipelines(1).await.unwrap().value;
    assert_eq!(page.total_count, 2);
    let listed = page.pipelines.into_iter();
    let listed: Vec<_> = listed
        .map(|one| (one.pipeline.id, one.backend_stages))
        .collect();
    let expected = [(WWW, bucket), (BLOG, Backend::LoadBalancer)];
    assert_eq!(listed, expected.map(|(id, one)| (id.to_owned(), vec![one])));
    let past = world.client.list_pipelines(2).await.unwrap().value;
    assert_eq!((past.pipelines.len(), past.total_count), (0, 2));

    world
        .sandbox
        .set_backends(&PipelineId::new(WWW), serde_json::json!([{"new": {}}]));
    assert_eq!(of(WWW).await.unwrap(), [Backend::Other("new".to_owned())]);
}
