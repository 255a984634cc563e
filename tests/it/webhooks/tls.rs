//! HTTPS without a proxy: real clients, certificates that `openssl` made, and their renewal.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::sockets::with_socket;
use super::*;
use crate::bench::{sh, text};

/// Makes `NAME.pem`, a certificate for 127.0.0.1 that is valid between these days from now, with its key in it.
fn make(bench: &Bench, name: &str, days: [i32; 2]) {
    let [from, until] = days;
    sh(
        bench,
        &format!(
            r#"set -e; rm -rf made; mkdir made; cd made
            printf '%s\n' '[ca]' 'default_ca=a' '[a]' 'new_certs_dir=.' 'database=index' 'serial=serial' \
                'default_md=sha256' 'policy=p' 'x509_extensions=e' '[p]' 'commonName=supplied' \
                '[e]' 'subjectAltName=DNS:purge.example.com,IP:127.0.0.1' \
                '[req]' 'distinguished_name=n' '[n]' >ca.cnf
            : >index
            day() {{ date -u -d "$1 days" +%Y%m%d%H%M%SZ; }}
            openssl ecparam -name prime256v1 -genkey -noout -out key
            openssl req -new -key key -subj /CN=a -config ca.cnf -out request
            openssl ca -config ca.cnf -batch -selfsign -rand_serial -keyfile key -in request -out certificate \
                -notext -startdate $(day {from}) -enddate $(day {until}) 2>log || {{ cat log; exit 1; }}
            cat certificate key >../{name}.pem"#
        ),
    );
}

/// Puts a certificate where the daemon reads it, as who renews it does: a new file in place of the old.
fn put(bench: &Bench, content: &[u8]) {
    for name in ["certificate", "key"] {
        let new = bench.path("new");
        fs::write(&new, content).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&new, bench.path(name)).unwrap();
    }
}

/// The same with one that was made.
fn renew(bench: &Bench, name: &str) {
    let made = fs::read(bench.path(&format!("{name}.pem"))).unwrap();
    put(bench, &made);
}

/// A configuration with TLS, and a certificate that lasts.
async fn configured() -> Bench {
    let mut bench = Bench::new().await;
    let [certificate, key] = ["certificate", "key"].map(|name| bench.path(name));
    let lines = format!(
        "tls_certificate_file = \"{}\"\ntls_key_file = \"{}\"",
        certificate.display(),
        key.display()
    );
    with_route(&mut bench, "generic", "purge = [\"/a.css\"]", &lines);
    make(&bench, "first", [-1, 89]);
    renew(&bench, "first");
    bench
}

async fn started_with_tls() -> (Bench, String) {
    let mut bench = configured().await;
    bench.start().await;
    let at = address(&bench).await;
    (bench, at)
}

/// A delivery by a client that trusts this certificate alone; status and HTTP version come after the body.
fn curl(bench: &Bench, at: &str, trusted: &str, more: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command
        .args([
            "-sS",
            "--max-time",
            "30",
            "-w",
            " %{http_code} HTTP/%{http_version}",
        ])
        .arg("--cacert")
        .arg(bench.path(&format!("{trusted}.pem")))
        .args(["-H", &format!("Authorization: Bearer {SECRET}")])
        .args(["-H", "Content-Type: application/json"])
        .args(["-d", "{\"scan\":true}"])
        .args(more)
        .arg(format!("https://{at}/hooks/www"))
        .stdin(Stdio::null());
    command
}

/// Whether a client that trusts this certificate alone is served.
async fn serves(bench: &Bench, at: &str, trusted: &str) -> bool {
    let output = curl(bench, at, trusted, &[]).output().await.unwrap();
    let said = text(&output.stdout);
    assert!(
        output.status.success() != said.ends_with(" 000 HTTP/0"),
        "{output:?}"
    );
    output.status.success() && said.contains(" 202 ")
}

async fn handshakes(bench: &Bench) -> Option<f64> {
    let line = "edgepurge_webhook_refusals_total{route=\"unknown\",reason=\"handshake\"}";
    metric(bench, line).await
}

fn said(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_over_https_is_taken_in_http_1_1_and_the_certificate_is_shown() {
    let (bench, at) = started_with_tls().await;
    for versions in [&["--tlsv1.3"][..], &["--tls-max", "1.2"], &["--http2"]] {
        let output = curl(&bench, &at, "first", versions).output().await.unwrap();
        let said = text(&output.stdout);
        assert!(said.ends_with(" 202 HTTP/1.1"), "{versions:?} {output:?}");
    }
    bench.settle().await;
    assert!(bench.purges().contains(&"/a.css".to_owned()));
    let certificate = bench.status().await["webhooks"]["certificate"].clone();
    assert_eq!(
        certificate["names"],
        json!(["purge.example.com", "127.0.0.1"])
    );
    assert_eq!(handshakes(&bench).await, Some(0.0));
    bench.no_alarm().await;
    let output = bench.run(&["check"]).await;
    let told = said(&output);
    let line =
        "the certificate of the webhook listener is for purge.example.com, 127.0.0.1; valid until ";
    assert!(
        told.contains(line) && told.contains(", 88 days\n"),
        "{told}"
    );
    assert!(!told.contains("warning"), "{told}");
    assert!(bench.log().contains("webhooks are taken in TLS"));
    let key = fs::read_to_string(bench.path("key")).unwrap();
    let secret = key.lines().rev().nth(1).unwrap();
    for shown in [bench.log(), told, bench.status().await.to_string()] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_no_tls_or_an_old_one_is_refused_at_once_and_counted() {
    let (bench, at) = started_with_tls().await;
    let old = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &at,
            "-tls1_1",
            "-cipher",
            "ALL:@SECLEVEL=0",
        ])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(said(&old).contains("Cipher is (NONE)"), "{old:?}");
    let h2 = Command::new("openssl")
        .args(["s_client", "-connect", &at, "-alpn", "h2"])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(said(&h2).contains("no application protocol"), "{h2:?}");
    // The certificate is not one that this client trusts.
    make(&bench, "other", [-1, 89]);
    assert!(!serves(&bench, &at, "other").await);
    let mut plain = TcpStream::connect(&at).await.unwrap();
    plain
        .write_all(b"POST /hooks/www HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let ended = plain.read_to_end(&mut answer);
    // Before the time for a head is over.
    let ended = tokio::time::timeout(Duration::from_secs(4), ended).await;
    assert!(ended.is_ok(), "it hangs");
    // Who only tries whether the port is open is no reason to worry.
    drop(TcpStream::connect(&at).await.unwrap());
    until("each is in the log", async || {
        let log = bench.log();
        let reasons = [
            "let it speak TLS 1.2 or 1.3",
            "the client wants another protocol than HTTP/1.1",
            "the client refuses the certificate or the connection: UnknownCA",
            "the client does not speak TLS; let the sender call https://",
            "INFO a client left before its TLS handshake was done",
        ];
        let all = reasons.iter().all(|reason| log.contains(reason));
        all.then_some(())
    })
    .await;
    assert_eq!(handshakes(&bench).await, Some(5.0));
    assert_eq!(bench.status().await["webhooks"]["failed_handshakes"], 5);
    assert!(serves(&bench, &at, "first").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_stalls_is_cut_while_others_are_served() {
    let (bench, at) = started_with_tls().await;
    let mut stalled = Vec::new();
    // Nothing at all, and the beginning of a handshake.
    for begun in [&[][..], &[0x16, 3, 1, 2, 0, 1]] {
        let mut stream = TcpStream::connect(&at).await.unwrap();
        stream.write_all(begun).await.unwrap();
        stalled.push(tokio::spawn(async move {
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer).await);
        }));
    }
    assert!(serves(&bench, &at, "first").await);
    assert!(!stalled.iter().any(tokio::task::JoinHandle::is_finished));
    for stalled in stalled {
        let ended = tokio::time::timeout(Duration::from_secs(8), stalled).await;
        ended.expect("it is cut").unwrap();
    }
    until("both are counted", async || {
        (handshakes(&bench).await == Some(2.0)).then_some(())
    })
    .await;
    assert!(bench.log().contains("the handshake did not come in time"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_without_a_reload_and_with_one() {
    let (mut bench, at) = started_with_tls().await;
    make(&bench, "second", [-1, 80]);
    assert!(!serves(&bench, &at, "second").await);
    renew(&bench, "second");
    until("the second certificate is served", async || {
        serves(&bench, &at, "second").await.then_some(())
    })
    .await;
    assert!(
        bench
            .log()
            .contains("the certificate of the webhook listener is read again")
    );
    make(&bench, "third", [-1, 70]);
    renew(&bench, "third");
    bench.reload().await;
    assert!(
        serves(&bench, &at, "third").await,
        "a reload reads it at once"
    );
    assert!(!serves(&bench, &at, "second").await);
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_certificate_leave_the_old_one_at_work_with_an_alarm_until_they_are() {
    let (mut bench, at) = started_with_tls().await;
    put(&bench, b"half of a certifi");
    let alarm = bench.alarm("certificate").await;
    for part in [
        "purge.example.com, 127.0.0.1; valid until",
        bench.path("certificate").to_str().unwrap(),
        "holds no certificate in PEM form",
        "hint: ",
    ] {
        assert!(alarm.contains(part), "{part}: {alarm}");
    }
    until("the log has it", async || {
        bench
            .log()
            .contains("ALARM: the webhook listener can't")
            .then_some(())
    })
    .await;
    assert!(serves(&bench, &at, "first").await);
    bench.hangup("the one of before stays").await;
    assert!(serves(&bench, &at, "first").await);
    assert_eq!(bench.run(&["check"]).await.status.code(), Some(78));
    make(&bench, "second", [-1, 89]);
    renew(&bench, "second");
    until("the second certificate is served", async || {
        serves(&bench, &at, "second").await.then_some(())
    })
    .await;
    let alarms = bench.status().await["alarms"].to_string();
    assert!(!alarms.contains("\"certificate\""), "{alarms}");
    fs::set_permissions(bench.path("key"), fs::Permissions::from_mode(0o644)).unwrap();
    let alarm = bench.alarm("certificate").await;
    assert!(
        alarm.contains("others than the owner") && alarm.contains("chmod 600"),
        "{alarm}"
    );
    fs::set_permissions(bench.path("key"), fs::Permissions::from_mode(0o600)).unwrap();
    bench.reload().await;
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_soon_or_has_ended_is_an_alarm_and_a_warning_of_check() {
    let mut bench = configured().await;
    make(&bench, "soon", [-80, 10]);
    renew(&bench, "soon");
    bench.start().await;
    let alarm = bench.alarm("certificate").await;
    assert!(
        alarm.contains("(purge.example.com, 127.0.0.1): valid until ")
            && alarm.contains(", 9 days;"),
        "{alarm}"
    );
    let told = said(&bench.run(&["check"]).await);
    assert!(
        told.contains("warning: webhooks.tls_certificate_file: the certificate is valid until"),
        "{told}"
    );
    make(&bench, "over", [-80, -3]);
    renew(&bench, "over");
    bench.reload().await;
    let alarm = bench.alarm("certificate").await;
    assert!(
        alarm.contains("(purge.example.com, 127.0.0.1): expired on ")
            && alarm.contains(", 3 days ago;"),
        "{alarm}"
    );
    let output = bench.run(&["check"]).await;
    assert!(
        output.status.success() && said(&output).contains("the certificate is expired on"),
        "{output:?}"
    );
    renew(&bench, "first");
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_files_that_are_no_pair_is_refused() {
    let bench = configured().await;
    make(&bench, "other", [-1, 89]);
    fs::copy(bench.path("other.pem"), bench.path("key")).unwrap();
    fs::set_permissions(bench.path("key"), fs::Permissions::from_mode(0o600)).unwrap();
    bench.config();
    let output = bench.run(&["run"]).await;
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let told = said(&output);
    assert!(
        told.contains("webhooks.tls_key_file: the file holds the key of another certificate"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_a_socket_of_systemd_refuses_no_delivery_in_tls() {
    let bench = configured().await;
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap().to_string();
    let log = fs::File::create(bench.path("log")).unwrap();
    for _ in 0..2 {
        // It connects while nobody runs.
        let delivery = curl(&bench, &at, "first", &[])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut running = with_socket(&bench, &socket)
            .stderr(log.try_clone().unwrap())
            .spawn()
            .unwrap();
        let delivery = delivery.wait_with_output().await.unwrap();
        assert!(
            text(&delivery.stdout).ends_with(" 202 HTTP/1.1"),
            "{delivery:?}"
        );
        let pid = running.id().unwrap().to_string();
        assert!(
            Command::new("kill")
                .arg(pid)
                .status()
                .await
                .unwrap()
                .success()
        );
        let ended = tokio::time::timeout(crate::bench::LIMIT, running.wait()).await;
        assert_eq!(ended.unwrap().unwrap().code(), Some(0));
    }
}
