//! A machine for each node of a fleet, as far as its network goes: namespaces of the kernel, with one way to the
//! database and one to the API. What is sent on a way that is cut arrives nowhere, and nothing says so.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::bench::{Bench, skip_unprivileged};
use crate::database::server::{PASSWORD, Server, write_url};
use crate::fleet::Fleet;

/// The server's address on the way to it.
const DATABASE: &str = "10.0.0.254";
/// The hub's address on the way to the API.
const GATE: &str = "10.0.1.254";
/// The API's address; another one than a node's own, though it counts as of this machine.
const API: &str = "127.1.0.1";

/// What a node may be cut off from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Database,
    Api,
}

impl Way {
    /// What the way is called in the namespace of a node.
    const fn name(self) -> &'static str {
        match self {
            Self::Database => "db",
            Self::Api => "api",
        }
    }
}

/// Makes a namespace what it has to be, says so, and keeps it.
const MAKE: &str =
    "ip link set lo up; echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet; echo; exec cat";

/// A namespace. It has no name, and ends with this value, or with the process that has it.
struct Namespace {
    holder: Child,
}

impl Namespace {
    /// An error is why this machine makes none.
    fn make() -> Result<Self, String> {
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-ec", MAKE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut is_made = [0];
        if holder
            .stdout
            .take()
            .unwrap()
            .read_exact(&mut is_made)
            .is_ok()
        {
            return Ok(Self { holder });
        }
        let said = holder.wait_with_output().unwrap().stderr;
        Err(String::from_utf8_lossy(&said).into_owned())
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    fn sh(&self, script: &str) {
        let network = format!("--net={}", self.path());
        let mut run = Command::new("nsenter");
        let output = run.args([&network, "sh", "-ec", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
    }

    /// Does something whose sockets and processes are in there.
    fn within<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let network = File::open(self.path()).unwrap();
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(network.as_fd(), kind).unwrap();
                what()
            });
            inside.join().unwrap()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.holder.kill().unwrap();
        self.holder.wait().unwrap();
    }
}

/// When each node sent something to the API last.
type Sent = Arc<Mutex<BTreeMap<usize, Instant>>>;

/// A fleet whose nodes are in networks of their own.
pub(super) struct Lab {
    pub(super) fleet: Fleet,
    nodes: Vec<Namespace>,
    /// What is between all of them.
    hub: Namespace,
    sent: Sent,
}

impl Lab {
    /// `None` where there is no `PostgreSQL`, or this machine makes no namespaces.
    pub(super) async fn start(count: usize) -> Option<Self> {
        let made: Result<Vec<_>, _> = (0..=count).map(|_| Namespace::make()).collect();
        let mut nodes = match made {
            Ok(made) => made,
            Err(why) => {
                skip_unprivileged(&format!("no network namespaces can be made: {why}"));
                return None;
            }
        };
        let hub = nodes.pop()?;
        hub.sh(&format!(
            "for way in db api; do ip link add $way type bridge; ip link set $way up; done
             ip address add {DATABASE}/24 dev db; ip address add {GATE}/24 dev api"
        ));
        let mut server = Server::start().await?;
        server.kill();
        server.admit("10.0.0.0/24");
        let (runtime, listens) = (Handle::current(), format!("listen_addresses={DATABASE}"));
        hub.within(|| runtime.block_on(server.run(&[&listens])));
        let (sent, joined) = (Sent::default(), Cell::new(0));
        let shape = |bench: &mut Bench| {
            let number = joined.replace(joined.get() + 1);
            // Each node has files of its own.
            "fleet_wait = \"off\"".clone_into(&mut bench.pipeline);
            if number == 0 {
                serve_api(&hub, bench, &sent);
            }
            let port = bench
                .sandbox
                .api_url()
                .rsplit_once(':')
                .unwrap()
                .1
                .to_owned();
            bench.api = Some(format!("http://{API}:{port}"));
            join(bench, &nodes[number], number, &hub);
        };
        let url = format!("postgres://edge:{PASSWORD}@{DATABASE}/postgres?sslmode=disable");
        let serve = |_: &Server, bench: &mut Bench| write_url(bench, &url);
        let fleet = Fleet::on(server, count, shape, serve).await;
        Some(Self {
            fleet,
            nodes,
            hub,
            sent,
        })
    }

    /// From now on all that is sent on a node's way is lost.
    pub(super) fn cut(&self, node: usize, way: Way) {
        let way = way.name();
        self.hub.sh(&format!("ip link set {way}{node} nomaster"));
    }

    pub(super) fn heal(&self, node: usize, way: Way) {
        let way = way.name();
        self.hub
            .sh(&format!("ip link set {way}{node} master {way}"));
    }

    /// A node's machine loses its power: neither its process nor its kernel tells anybody.
    pub(super) async fn lose_power(&mut self, node: usize) {
        for way in [Way::Database, Way::Api] {
            self.cut(node, way);
        }
        self.fleet.nodes[node].kill().await;
        self.nodes[node] = Namespace::make().unwrap();
    }

    /// The machine is there again.
    pub(super) fn power_up(&mut self, node: usize) {
        let bench = &mut self.fleet.nodes[node];
        join(bench, &self.nodes[node], node, &self.hub);
    }

    /// When a node sent something to the API last.
    pub(super) fn sent(&self, node: usize) -> Instant {
        self.sent.lock().unwrap()[&node]
    }
}

/// Gives a node's namespace its ways, and runs its daemon there.
fn join(bench: &mut Bench, node: &Namespace, number: usize, hub: &Namespace) {
    let (pid, host) = (node.holder.id(), number + 1);
    // A machine that was there under these addresses is forgotten.
    hub.sh(&format!(
        "for way in db api; do
             ip link delete ${{way}}{number} 2>/dev/null || true
             ip link add ${{way}}{number} type veth peer name $way netns {pid}
             ip link set ${{way}}{number} master $way up
             ip neighbour flush dev $way
         done"
    ));
    node.sh(&format!(
        "ip address add 10.0.0.{host}/24 dev db; ip address add 10.0.1.{host}/24 dev api
         for way in db api; do ip link set $way up; done
         ip route delete local 127.0.0.0/8 dev lo table local
         ip route add {API} via {GATE} src 10.0.1.{host}"
    ));
    let network = format!("--net={}", node.path());
    bench.within = ["nsenter", &network].map(str::to_owned).to_vec();
}

/// Serves the API of a bench to the nodes, and notes which of them sends something.
fn serve_api(hub: &Namespace, bench: &Bench, sent: &Sent) {
    let api = bench.sandbox.api_url().replace("http://", "");
    let port = api.rsplit_once(':').unwrap().1;
    let listener = hub.within(|| TcpListener::bind(format!("{API}:{port}")).unwrap());
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let sent = Arc::clone(sent);
    tokio::spawn(async move {
        loop {
            let (node, peer) = listener.accept().await.unwrap();
            let to = TcpStream::connect(&api).await.unwrap();
            let IpAddr::V4(host) = peer.ip() else {
                panic!("{peer} is no node")
            };
            let number = usize::from(host.octets()[3]) - 1;
            tokio::spawn(pass(node, to, number, Arc::clone(&sent)));
        }
    });
}

/// Passes on what a node sends and what it is answered, until one of both ends.
async fn pass(mut node: TcpStream, mut api: TcpStream, number: usize, sent: Sent) {
    let (mut asks, mut answers) = node.split();
    let (mut answered, mut asked) = api.split();
    let ask = async {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = asks.read(&mut bytes).await {
            sent.lock().unwrap().insert(number, Instant::now());
            if asked.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = ask => {}
        _ = tokio::io::copy(&mut answered, &mut answers) => {}
    }
}
