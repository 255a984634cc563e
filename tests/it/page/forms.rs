//! Who may change something through the page: a session that the token began, by its own forms.

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};

use super::{root, started};
use crate::admin::TOKEN;
use crate::bench::Bench;

/// A browser with a session.
struct Operator {
    client: Client,
    root: String,
    cookie: String,
    /// What the forms of the session say.
    form: String,
}

/// A form that a page of this daemon sends.
fn sent(client: &Client, root: &str, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
    let request = client.post(format!("{root}{path}"));
    let request = request.header("origin", root.trim_end_matches('/'));
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
}

fn client() -> Client {
    Client::builder().redirect(Policy::none()).build().unwrap()
}

async fn log_in(root: &str, token: &str) -> Response {
    let fields = [("token", token), ("name", "alice")];
    sent(&client(), root, "login", &fields)
        .send()
        .await
        .unwrap()
}

impl Operator {
    async fn of(bench: &Bench) -> Self {
        let root = root(bench);
        let answer = log_in(&root, TOKEN).await;
        assert_eq!(answer.status().as_u16(), 303);
        assert_eq!(answer.headers()["location"], ".");
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
        assert!(!cookie.contains(TOKEN), "the cookie is not the token");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let mut operator = Self {
            client: client(),
            root,
            cookie,
            form: String::new(),
        };
        let shown = operator.page("p/www").await;
        let form = shown
            .split("name=\"form\" value=\"")
            .nth(1)
            .expect("the page has forms");
        form.split('"')
            .next()
            .unwrap()
            .clone_into(&mut operator.form);
        operator
    }

    async fn page(&self, path: &str) -> String {
        let request = self.client.get(format!("{}{path}", self.root));
        let answer = request.header("cookie", &self.cookie).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        answer.text().await.unwrap()
    }

    /// Sends a form of the session, with these fields.
    fn sends(&self, fields: &[(&str, &str)]) -> RequestBuilder {
        let mut all = vec![("form", &*self.form), ("pipeline", "www")];
        all.extend_from_slice(fields);
        sent(&self.client, &self.root, "do", &all).header("cookie", &self.cookie)
    }

    /// Does something, and returns what the page says of it.
    async fn does(&self, fields: &[(&str, &str)]) -> String {
        let answer = self.sends(fields).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 303);
        assert_eq!(answer.headers()["location"], "p/www");
        let shown = self.page("p/www").await;
        let said = shown
            .split("class=\"said")
            .nth(1)
            .expect("the page says what was done");
        said.split("</p>").next().unwrap().to_owned()
    }
}

async fn paused(bench: &Bench) -> bool {
    bench.status().await["pipelines"][0]["paused"] == true
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_token_pauses_purges_and_resumes_and_it_is_recorded_who() {
    let bench = started().await;
    let alice = Operator::of(&bench).await;
    let said = alice
        .does(&[("action", "pause"), ("reason", "restore")])
        .await;
    assert!(said.contains("www is paused"), "{said}");
    let pause = &bench.status().await["pipelines"][0]["pauses"][0];
    assert_eq!(pause["who"], "alice (page, session of 127.0.0.1)");
    assert_eq!(pause["reason"], "restore");
    let said = alice.does(&[("action", "resume")]).await;
    assert!(said.contains("www goes on"), "{said}");
    assert!(!paused(&bench).await);

    alice
        .does(&[("action", "purge"), ("assets", "/a.css\n\n /b.css ")])
        .await;
    bench.purged("/a.css").await;
    bench.purged("/b.css").await;
    let of = bench.json(&["explain", "/a.css"]).await.to_string();
    assert!(
        of.contains("purge by alice (page, session of 127.0.0.1)"),
        "{of}"
    );

    let said = alice
        .does(&[("action", "purge_all"), ("confirm", "no")])
        .await;
    assert!(said.contains("Not done"), "{said}");
    alice
        .does(&[("action", "purge_all"), ("confirm", "www")])
        .await;
    bench.purged("*").await;
    let said = alice.does(&[("action", "scan")]).await;
    assert!(said.contains("www scanned"), "{said}");
    let said = alice.does(&[("action", "drop"), ("confirm", "")]).await;
    assert!(said.contains("Not done"), "{said}");
    let said = alice.does(&[("action", "drop"), ("confirm", "www")]).await;
    assert!(said.contains("0 changes dropped"), "{said}");
    assert!(
        bench
            .log()
            .contains("by alice (page, session of 127.0.0.1)")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_session_and_its_form_nothing_changes() {
    let bench = started().await;
    let alice = Operator::of(&bench).await;
    let pause = [("action", "pause")];
    let refused = async |request: RequestBuilder, why: &str| {
        let status = request.send().await.unwrap().status().as_u16();
        assert_eq!(status, 403, "{why}");
        assert!(!paused(&bench).await, "{why}");
    };
    let forged = |form: &str, cookie: &str| {
        let fields = [("form", form), ("pipeline", "www"), ("action", "pause")];
        sent(&alice.client, &alice.root, "do", &fields).header("cookie", cookie)
    };
    refused(forged(&alice.form, ""), "no cookie").await;
    refused(
        forged(&alice.form, "edgepurge_session=guessed"),
        "a guessed cookie",
    )
    .await;
    refused(forged("", &alice.cookie), "no form field").await;
    let bob = Operator::of(&bench).await;
    refused(
        forged(&bob.form, &alice.cookie),
        "the form field of another session",
    )
    .await;

    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
    ] {
        let mut request = alice.sends(&pause).build().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        let status = alice
            .client
            .execute(request)
            .await
            .unwrap()
            .status()
            .as_u16();
        assert_eq!(status, 403, "{name}: {value}");
        assert!(!paused(&bench).await, "{name}: {value}");
    }
    let mut bare = alice.sends(&pause).build().unwrap();
    bare.headers_mut().remove("origin");
    let status = alice.client.execute(bare).await.unwrap().status().as_u16();
    assert_eq!(status, 403, "a browser says where a form is from");
    let get = alice
        .client
        .get(format!("{}do?pipeline=www&action=pause", alice.root));
    let status = get
        .header("cookie", &alice.cookie)
        .send()
        .await
        .unwrap()
        .status();
    assert_eq!(status.as_u16(), 405);

    // A proxy speaks to the daemon by its own name; the browser knows that it is the same origin.
    let mut proxied = alice.sends(&pause).build().unwrap();
    let headers = proxied.headers_mut();
    headers.insert("origin", "https://ops.example.com".parse().unwrap());
    headers.insert("sec-fetch-site", "same-origin".parse().unwrap());
    let status = alice
        .client
        .execute(proxied)
        .await
        .unwrap()
        .status()
        .as_u16();
    assert_eq!(status, 303);
    assert!(paused(&bench).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_its_owner_says_so() {
    let bench = started().await;
    let alice = Operator::of(&bench).await;
    let fields = [("form", &*alice.form)];
    let out = sent(&alice.client, &alice.root, "logout", &fields).header("cookie", &alice.cookie);
    assert_eq!(out.send().await.unwrap().status().as_u16(), 303);
    let request = alice.sends(&[("action", "pause")]);
    assert_eq!(request.send().await.unwrap().status().as_u16(), 403);
    assert!(!paused(&bench).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_begins_nothing_and_can_be_tried_a_few_times_only() {
    let bench = started().await;
    let root = root(&bench);
    let mut answers = Vec::new();
    for _ in 0..21 {
        let answer = log_in(&root, "a-wrong-token-of-many-bytes").await;
        assert!(!answer.headers().contains_key("set-cookie"));
        answers.push(answer.status().as_u16());
    }
    assert_eq!(answers[..20], [401; 20]);
    assert_eq!(answers[20], 429);
    assert!(
        !bench.log().contains("a-wrong-token"),
        "a token is never logged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_the_page_reads_only_and_says_why() {
    let mut bench = Bench::new().await;
    bench.start().await;
    let shown = super::page(&bench, "p/www").await;
    assert!(shown.contains("Nothing can be changed here"), "{shown}");
    assert!(!shown.contains("<button name=\"action\""), "{shown}");
    assert_eq!(log_in(&root(&bench), "").await.status().as_u16(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_under_the_policy_and_a_foreign_host_gets_none() {
    let bench = started().await;
    for path in [
        "",
        "p/www",
        "p/nope",
        "history",
        "deliveries",
        "why?q=/",
        "login",
        "page.css",
        "page.js",
    ] {
        let answer = reqwest::get(root(&bench) + path).await.unwrap();
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(
            policy.starts_with("default-src 'none';") && !policy.contains("unsafe"),
            "{path}"
        );
        assert_eq!(
            answer.headers()["x-content-type-options"],
            "nosniff",
            "{path}"
        );
        let request = client()
            .get(root(&bench) + path)
            .header("host", "evil.example");
        let status = request.send().await.unwrap().status().as_u16();
        assert_eq!(status, 421, "{path}");
    }
}
