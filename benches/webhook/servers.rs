//! The two that are measured, each as a process of its own.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::cores::Cores;

pub(crate) const SECRET: &str = "a-secret-for-the-bench-of-32-bytes";
/// No start takes longer than this.
const LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// A server under test.
pub(crate) trait Server: Sync {
    fn address(&self) -> String;
    fn path(&self) -> &'static str;
    /// What an answer holds that took the delivery.
    fn taken(&self) -> &'static str;
    /// Resident memory at most so far, in kB.
    fn peak_kb(&self) -> u64;
    /// The time that its threads ran so far, in the kernel too.
    fn cpu(&self) -> Duration;
}

/// Of `/proc/PID/stat`, which counts in hundredths of a second.
fn cpu(child: &Child) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

fn peak_kb(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse().unwrap()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    while began.elapsed() < LIMIT {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(LOOK);
    }
    panic!("waited in vain: {what}");
}

fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

/// Debian's `webhook`.
pub(crate) struct Peer {
    child: Child,
    port: u16,
}

impl Peer {
    /// Starts it; `None` where it is not installed.
    pub(crate) fn start(home: &Path, cores: Cores) -> Option<Self> {
        let hooks = home.join("hooks.json");
        let text = format!(
            "[{{\"id\": \"www\", \"response-message\": \"taken\", \"trigger-rule\": {{\"match\": \
             {{\"type\": \"payload-hmac-sha256\", \"secret\": \"{SECRET}\", \"parameter\": \
             {{\"source\": \"header\", \"name\": \"X-Hub-Signature-256\"}}}}}}}}]"
        );
        fs::write(&hooks, text).unwrap();
        let port = free_port();
        let child = cores
            .command("webhook")
            .arg("-hooks")
            .arg(hooks)
            .args(["-ip", "127.0.0.1", "-port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        until("webhook listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Some(Self { child, port })
    }
}

impl Server for Peer {
    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn path(&self) -> &'static str {
        "/hooks/www"
    }

    fn taken(&self) -> &'static str {
        "taken"
    }

    fn peak_kb(&self) -> u64 {
        peak_kb(&self.child)
    }

    fn cpu(&self) -> Duration {
        cpu(&self.child)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// edgepurge, with its simulated API inside.
pub(crate) struct Edgepurge {
    child: Child,
    port: u16,
}

impl Edgepurge {
    pub(crate) fn start(home: &Path, purge: &str, cores: Cores) -> Self {
        fs::create_dir_all(home.join("site")).unwrap();
        let secret = home.join("secret");
        fs::write(&secret, SECRET).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let port = free_port();
        let home = home.canonicalize().unwrap();
        let text = format!(
            "[scaleway]\napi_url = \"sandbox\"\n\
             [state]\ndirectory = \"{home}/state\"\n\
             [admin]\nlisten = \"off\"\nsocket = \"{home}/admin.sock\"\n\
             [webhooks]\nlisten = \"127.0.0.1:{port}\"\n\
             [[pipeline]]\nname = \"www\"\nid = \"11111111-1111-4111-8111-111111111111\"\n\
             [[pipeline.origin]]\nroot = \"{home}/site\"\n\
             [[pipeline.webhook]]\nroute = \"/hooks/www\"\nkind = \"github\"\n\
             events = [\"push\"]\nsecret_file = \"{home}/secret\"\npurge = {purge}\n",
            home = home.display(),
        );
        fs::write(home.join("config.toml"), text).unwrap();
        let child = cores
            .command(env!("CARGO_BIN_EXE_edgepurge"))
            .arg("--config")
            .arg(home.join("config.toml"))
            // `webhook` says nothing of a delivery either.
            .args(["--log-level", "warn", "run"])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(home.join("log")).unwrap())
            .spawn()
            .unwrap();
        until("edgepurge listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self { child, port }
    }
}

impl Server for Edgepurge {
    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn path(&self) -> &'static str {
        "/hooks/www"
    }

    fn taken(&self) -> &'static str {
        "\"event\""
    }

    fn peak_kb(&self) -> u64 {
        peak_kb(&self.child)
    }

    fn cpu(&self) -> Duration {
        cpu(&self.child)
    }
}

impl Drop for Edgepurge {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
