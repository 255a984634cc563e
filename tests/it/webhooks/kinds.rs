//! The routes of docs/webhooks.md, one for each kind, as they stand there: each takes a delivery of its
//! sender, signed with its own secret, and what is made of it is done.

use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use ring::digest::{SHA256, digest};
use ring::hmac;

use super::*;

/// The routes of docs/webhooks.md's block.
fn routes() -> String {
    let document = include_str!("../../../docs/webhooks.md");
    let (_, section) = document.split_once("## A route for each sender").unwrap();
    let block = section.split("```").nth(1).unwrap();
    block.strip_prefix("toml\n").unwrap().to_owned()
}

/// The secret of a credential, in the form that its kind's are in.
fn secret(credential: &str) -> String {
    let bytes = digest(&SHA256, credential.as_bytes());
    match credential {
        "standard_secret" => format!("whsec_{}", BASE64.encode(bytes.as_ref())),
        _ => HEXLOWER.encode(bytes.as_ref()),
    }
}

fn mac(algorithm: hmac::Algorithm, key: &[u8], message: &str) -> Vec<u8> {
    let key = hmac::Key::new(algorithm, key);
    hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
}

/// The body of a delivery.
fn body(kind: &str) -> Value {
    let run = json!({
        "conclusion": "success", "head_branch": "main", "path": ".github/workflows/deploy.yml",
    });
    let repository = json!({"full_name": "example/site"});
    match kind {
        "github" | "gitea" => {
            json!({"action": "completed", "workflow_run": run, "repository": repository})
        }
        "gitlab" => json!({
            "object_kind": "deployment", "status": "success", "ref": "main",
            "project": {"path_with_namespace": "example/site"},
        }),
        "forgejo" => {
            json!({"action": "success", "run": {"prettyref": "main"}, "repository": repository})
        }
        "bitbucket" => json!({"commit_status": {"state": "SUCCESSFUL"}, "repository": repository}),
        "s3" => json!({"EventName": "s3:ObjectCreated:Put", "Records": [{
            "eventName": "s3:ObjectCreated:Put",
            "eventSource": "minio:s3",
            "s3": {"bucket": {"name": "bucket"}, "object": {"key": "a+b.css"}},
        }]}),
        "contentful" => json!({"sys": {"id": "x"}}),
        "sanity" => json!({"_id": "x"}),
        "netlify" => json!({"state": "ready", "context": "production"}),
        "vercel" => json!({"id": "1", "type": "deployment.promoted"}),
        _ => json!({"scan": true}),
    }
}

/// The headers that its sender signs it with; `None` for a kind that has its tests in its own file alone.
fn headers(kind: &str, secret: &str, body: &str) -> Option<Vec<(&'static str, String)>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let (seconds, millis) = (now.as_secs(), now.as_millis());
    let sha256 = |message: &str| mac(hmac::HMAC_SHA256, secret.as_bytes(), message);
    let hex = |message: &str| HEXLOWER.encode(&sha256(message));
    let bearer = ("authorization", format!("Bearer {secret}"));
    Some(match kind {
        "github" => vec![
            ("x-github-event", "workflow_run".to_owned()),
            ("x-hub-signature-256", format!("sha256={}", hex(body))),
        ],
        "gitlab" => vec![("x-gitlab-token", secret.to_owned())],
        "gitea" => vec![
            ("x-gitea-event", "workflow_run".to_owned()),
            ("x-gitea-signature", hex(body)),
        ],
        "forgejo" => vec![
            ("x-forgejo-event", "action_run_success".to_owned()),
            ("x-forgejo-signature", hex(body)),
        ],
        "bitbucket" => vec![
            ("x-event-key", "repo:commit_status_updated".to_owned()),
            ("x-hub-signature", format!("sha256={}", hex(body))),
        ],
        "standard" => {
            let key = BASE64.decode(&secret.as_bytes()[6..]).unwrap();
            let tag = mac(hmac::HMAC_SHA256, &key, &format!("msg_1.{seconds}.{body}"));
            vec![
                ("webhook-id", "msg_1".to_owned()),
                ("webhook-timestamp", seconds.to_string()),
                ("webhook-signature", format!("v1,{}", BASE64.encode(&tag))),
            ]
        }
        "cloudevents" => vec![
            bearer,
            ("ce-specversion", "1.0".to_owned()),
            ("ce-type", "com.example.deployed".to_owned()),
            ("ce-source", "/site".to_owned()),
            ("ce-id", "1".to_owned()),
        ],
        "contentful" => {
            let topic = "ContentManagement.Entry.publish";
            let names = "x-contentful-signed-headers,x-contentful-timestamp,x-contentful-topic";
            let signed = format!(
                "POST\n/hooks/contentful\nx-contentful-signed-headers:{names};\
                 x-contentful-timestamp:{millis};x-contentful-topic:{topic}\n{body}"
            );
            vec![
                ("x-contentful-topic", topic.to_owned()),
                ("x-contentful-timestamp", millis.to_string()),
                ("x-contentful-signed-headers", names.to_owned()),
                ("x-contentful-signature", hex(&signed)),
            ]
        }
        "sanity" => {
            let tag = BASE64URL_NOPAD.encode(&sha256(&format!("{millis}.{body}")));
            vec![("sanity-webhook-signature", format!("t={millis},v1={tag}"))]
        }
        "netlify" => {
            let body = HEXLOWER.encode(digest(&SHA256, body.as_bytes()).as_ref());
            let claims = json!({"iss": "netlify", "sha256": body}).to_string();
            let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
            let signed = format!("{}.{}", encode("{\"alg\":\"HS256\"}"), encode(&claims));
            let tag = BASE64URL_NOPAD.encode(&sha256(&signed));
            vec![("x-webhook-signature", format!("{signed}.{tag}"))]
        }
        "vercel" => {
            let sha1 = hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;
            let tag = mac(sha1, secret.as_bytes(), body);
            vec![("x-vercel-signature", HEXLOWER.encode(&tag))]
        }
        "s3" | "generic" => vec![bearer],
        _ => return None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_document_takes_deliveries_of_its_sender_alone() {
    let mut bench = Bench::new().await;
    let parsed: toml::Table = toml::from_str(&routes()).unwrap();
    let list = parsed["pipeline"]["webhook"].as_array().unwrap();
    let routes_of = |key: &str| -> Vec<String> {
        list.iter()
            .map(|route| route[key].as_str().unwrap().to_owned())
            .collect()
    };
    let (kinds, paths) = (routes_of("kind"), routes_of("route"));
    let credentials = routes_of("credential");
    let directory = bench.path("credentials");
    fs::create_dir(&directory).unwrap();
    for credential in &credentials {
        fs::write(directory.join(credential), secret(credential)).unwrap();
    }
    bench
        .scaleway
        .push_str("\n[webhooks]\nlisten = \"127.0.0.1:0\"\nfailed_auth_per_minute = 1000\n");
    bench.origin = format!("watch = \"off\"\n{}", routes());
    bench.config();
    let check = bench
        .command(&["check"])
        .env("CREDENTIALS_DIRECTORY", &directory)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(check.stderr).unwrap();
    assert!(
        check.status.success() && !said.contains("webhook"),
        "{said}"
    );
    let _daemon = bench
        .command(&["run"])
        .env("CREDENTIALS_DIRECTORY", &directory)
        .stderr(fs::File::create(bench.path("log")).unwrap())
        .spawn()
        .unwrap();
    until("the daemon answers", async || {
        bench.run(&["status"]).await.status.success().then_some(())
    })
    .await;
    let at = address(&bench).await;
    let client = reqwest::Client::new();
    let mut accepted = Vec::new();
    for ((kind, path), credential) in kinds.iter().zip(&paths).zip(&credentials) {
        let own = secret(credential);
        let body = body(kind).to_string();
        let Some(signed) = headers(kind, &own, &body) else {
            continue;
        };
        let posted = |to: String, body: &str, headers: Vec<(&'static str, String)>| {
            let request = client
                .post(format!("http://{at}{to}"))
                .header("content-type", "application/json")
                .body(body.to_owned());
            let request = headers
                .into_iter()
                .fold(request, |r, (n, v)| r.header(n, v));
            call(request)
        };
        // It counts with its own secret only.
        let others = credentials.iter().filter(|other| {
            *other != credential && (kind != "standard") == (*other != "standard_secret")
        });
        for other in others.take(3) {
            let headers = headers(kind, &secret(other), &body);
            let answer = posted(path.clone(), &body, headers.unwrap());
            let answer = answer.await.unwrap();
            assert_eq!(answer.status, 401, "{kind} {other}");
            assert_eq!(answer.body, json!({"error": "not authentic"}), "{kind}");
        }
        let answer = posted(path.clone(), &body, signed).await.unwrap();
        let changes = match kind.as_str() {
            "contentful" => 3,
            "s3" | "sanity" => 1,
            // A scan has found nothing yet.
            _ => 0,
        };
        assert_eq!(answer.body["changes"], changes, "{kind}");
        accepted.push((kind, path, own, event(&answer)));
    }
    assert!(accepted.len() >= 13, "{accepted:?}");
    for (kind, path, own, name) in accepted {
        let event = format!("http://{at}{path}/{name}");
        is_done(&client, kind, &event, &own).await;
    }
}

/// Waits until the delivery of this address is done.
async fn is_done(client: &reqwest::Client, kind: &str, event: &str, secret: &str) {
    until(&format!("the delivery of {kind} is done"), async || {
        let state = call(client.get(event).bearer_auth(secret)).await.unwrap();
        assert_eq!(state.status, 200, "{kind}: {state:?}");
        (state.body["state"] == "done").then_some(())
    })
    .await;
}
