//! `check` and `check --online` say what a database is not fit for, and what to do.

use super::server::{PASSWORD, Server, write_url};
use crate::bench::{Bench, sh, text};

/// What `check --online` says, with its exit code.
async fn online(bench: &Bench) -> (i32, String) {
    bench.config();
    let checked = bench.run(&["check", "--online"]).await;
    let said = text(&checked.stderr);
    assert!(!said.contains("planted"), "{said}");
    (checked.status.code().unwrap(), said)
}

/// It is refused with all of these words.
async fn refused(bench: &Bench, code: i32, words: &[&str]) {
    let (found, said) = online(bench).await;
    assert_eq!(found, code, "{said}");
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_the_server_is_and_what_it_does_not_allow() {
    let Some(mut server) = Server::start().await else {
        return;
    };
    let mut bench = Bench::new().await;
    server.serve(&mut bench, PASSWORD);
    let (code, said) = online(&bench).await;
    assert_eq!(code, 0, "{said}");
    for words in ["database: PostgreSQL 1", "the first start makes", "fsync"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let session = server.session().await;
    let changed = async |sql: &str| session.batch_execute(sql).await.unwrap();

    changed("CREATE ROLE poor LOGIN PASSWORD 'planted-poor'").await;
    let poor = server.url("poor", "planted-poor");
    write_url(&mut bench, &poor);
    let grant = "GRANT CREATE ON DATABASE postgres TO poor";
    refused(&bench, 78, &["may not make the schema", grant]).await;
    changed(grant).await;
    assert_eq!(online(&bench).await.0, 0);
    changed("CREATE SCHEMA edgepurge").await;
    refused(&bench, 78, &["role poor", "may not use the schema"]).await;
    changed("DROP SCHEMA edgepurge").await;
    // One that is made for it will do, without the right to make it.
    changed("REVOKE CREATE ON DATABASE postgres FROM poor").await;
    changed("CREATE SCHEMA edgepurge AUTHORIZATION poor").await;
    let mut given = Bench::new().await;
    write_url(&mut given, &poor);
    given.start().await;
    assert_eq!(given.terminate().await, Some(0));
    changed("DROP SCHEMA edgepurge CASCADE").await;

    server.serve(&mut bench, PASSWORD);
    bench.start().await;
    bench.terminate().await;
    let (code, said) = online(&bench).await;
    assert!(code == 0 && said.contains("the queue's version"), "{said}");
    let version =
        |version| format!("UPDATE edgepurge.meta SET value = '{version}' WHERE key = 'schema'");
    changed(&version(99)).await;
    assert_eq!(online(&bench).await.0, 0, "it was only added to");
    changed("UPDATE edgepurge.meta SET value = '99' WHERE key = 'readable_from'").await;
    refused(&bench, 78, &["version 99", "install the newer edgepurge"]).await;

    server.serve(&mut bench, "planted-wrong");
    refused(&bench, 78, &["28P01", "password"]).await;
    write_url(
        &mut bench,
        &server
            .url("edge", PASSWORD)
            .replace("/postgres?", "/missing?"),
    );
    refused(&bench, 78, &["3D000", "missing"]).await;
    server.kill();
    server.serve(&mut bench, PASSWORD);
    refused(&bench, 75, &["database: PostgreSQL"]).await;
}

/// Makes an authority with a certificate for `localhost`, in directories of the bench that are named after it.
const CERTIFICATE: &str = "
    mkdir NAME; cd NAME
    new() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }
    new ca; new server
    openssl req -x509 -new -key ca.key -subj /CN=NAME -days 9 -out ca.pem
    openssl req -new -key server.key -subj /CN=localhost -out request
    printf 'subjectAltName=DNS:localhost' >extensions
    openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 9 -extfile extensions \
        -out server.pem";

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_encrypted_to_a_server_that_is_proved_and_to_no_other() {
    let Some(mut server) = Server::start().await else {
        return;
    };
    let mut bench = Bench::new().await;
    for authority in ["own", "other"] {
        sh(&bench, &CERTIFICATE.replace("NAME", authority));
    }
    server.port = free_port();
    let port = server.port;
    let url = |host: &str, roots: Option<&str>| {
        let roots = roots.map(|name| bench.path(name).join("ca.pem"));
        let roots = roots.map_or_else(String::new, |path| {
            format!("&sslrootcert={}", path.display())
        });
        format!("postgres://edge:{PASSWORD}@{host}:{port}/postgres?sslmode=verify-full{roots}")
    };
    let (good, missing) = (
        url("localhost", Some("own")),
        url("localhost", Some("nowhere")),
    );
    let unsound = [
        (
            url("127.0.0.1", Some("own")),
            "write the host's name as the server's certificate has it",
        ),
        (
            url("localhost", Some("other")),
            "authority that is not trusted",
        ),
        (url("localhost", None), "write sslrootcert=FILE"),
    ];
    server.kill();
    server.run(&["listen_addresses=localhost"]).await;
    write_url(&mut bench, &good);
    refused(&bench, 78, &["switch ssl on there", "sslmode=disable"]).await;

    server.kill();
    server.put_certificate(&bench.path("own"));
    server.run(&["listen_addresses=localhost", "ssl=on"]).await;
    for (url, words) in unsound {
        write_url(&mut bench, &url);
        refused(&bench, 78, &[words]).await;
        let started = bench.run(&["run"]).await;
        assert_eq!(started.status.code(), Some(75), "{started:?}");
        assert!(text(&started.stderr).contains(words), "{started:?}");
    }
    write_url(&mut bench, &missing);
    bench.config();
    let checked = bench.run(&["check"]).await;
    assert_eq!(checked.status.code(), Some(78), "{checked:?}");
    assert!(
        text(&checked.stderr).contains("nowhere/ca.pem"),
        "{checked:?}"
    );

    write_url(&mut bench, &good);
    bench.start().await;
    bench.write("a.css", "one");
    bench.purged("/a.css").await;
    let sessions = "SELECT count(*), count(*) FILTER (WHERE ssl) FROM pg_stat_ssl
                    JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'edgepurge %'";
    let row = server.session().await.query_one(sessions, &[]).await;
    let row = row.unwrap();
    // The writer, the publisher, the reader and the listener.
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (4, 4));
}

/// A port that is free now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
