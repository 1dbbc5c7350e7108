//! A world for the network plane: a namespace that counts as the host's, and processes that count as machines.
//!
//! Everything is looked at with `ip -j`, never with what is being tested.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fly::net::{Kernel, LinkSet, NetError, NetOp, NetPlane, NetSnapshot, Processes};
use fly::types::{Link, LinkKind, LinkRef, Mac, MacvlanMode, Manners, Name, Ns, PlacedLink, Route};
use serde_json::Value;

pub(super) struct World {
    pub(super) kernel: Kernel,
    pub(super) project: Name,
    pub(super) processes: Processes,
    host: Child,
    machines: BTreeMap<Name, Child>,
    runtime: tokio::runtime::Runtime,
    pub(super) folder: PathBuf,
}

/// A process in namespaces of its own, which ends with us.
fn sleeper(folder: &Path, name: &str) -> Child {
    let hosts = folder.join(format!("{name}.hosts"));
    std::fs::write(&hosts, "127.0.0.1\tlocalhost\n").unwrap();
    let script = format!("mount --bind {} /etc/hosts && exec sleep 120", hosts.display());
    let child = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "sh", "-c", &script])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let comm = format!("/proc/{}/comm", child.id());
    while std::fs::read_to_string(&comm).unwrap().trim() != "sleep" {
        assert!(Instant::now() < deadline, "`{name}` does not start; these tests need root");
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

impl World {
    pub(super) fn new(machines: &[&str]) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("fly-net-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let host = sleeper(&folder, "host");
        let kernel = Kernel::in_namespace(Path::new(&format!("/proc/{}/ns/net", host.id()))).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let project = name("shop");
        let mut world = Self { kernel, project, processes: Processes::new(), host, machines: BTreeMap::new(), runtime, folder };
        for machine in machines {
            world.start(machine);
        }
        world
    }

    pub(super) fn start(&mut self, machine: &str) {
        let child = sleeper(&self.folder, machine);
        self.processes.insert(name(machine), child.id());
        self.machines.insert(name(machine), child);
    }

    /// The machine ends; its number stays in `processes`, as it would for somebody who does not know yet.
    pub(super) fn kill(&mut self, machine: &str) {
        end(self.machines.get_mut(&name(machine)).unwrap());
    }

    pub(super) fn pid(&self, at: &str) -> u32 {
        if at == "host" { self.host.id() } else { self.processes[&name(at)] }
    }

    pub(super) fn run(&self, at: &str, command: &str) -> (bool, String) {
        let output =
            Command::new("nsenter").args([&format!("--net=/proc/{}/ns/net", self.pid(at)), "--", "sh", "-c", command]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    pub(super) fn ok(&self, at: &str, command: &str) -> String {
        let (fine, text) = self.run(at, command);
        assert!(fine, "{at}: {command}: {text}");
        text
    }

    pub(super) fn ip(&self, at: &str, arguments: &str) -> Value {
        let text = self.ok(at, &format!("ip -d -j {arguments}"));
        if text.trim().is_empty() { Value::Array(Vec::new()) } else { serde_json::from_str(&text).unwrap() }
    }

    /// A link as `ip` shows it; null if there is none.
    pub(super) fn link(&self, at: &str, link: &str) -> Value {
        let all = self.ip(at, "link show");
        all.as_array().unwrap().iter().find(|found| found["ifname"] == link).cloned().unwrap_or(Value::Null)
    }

    /// Its addresses, without the kernel's own.
    pub(super) fn addresses(&self, at: &str, link: &str) -> BTreeSet<String> {
        let all = self.ip(at, &format!("addr show dev {link}"));
        let infos = all[0]["addr_info"].as_array().unwrap();
        let ours = infos.iter().filter(|info| info["scope"] != "link");
        ours.map(|info| format!("{}/{}", info["local"].as_str().unwrap(), info["prefixlen"])).collect()
    }

    /// `to via GATEWAY metric N`, without the kernel's own.
    pub(super) fn routes(&self, at: &str, link: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for family in ["-4", "-6"] {
            for route in self.ip(at, &format!("{family} route show table main dev {link}")).as_array().unwrap() {
                if route["protocol"] != "kernel" {
                    let via = route["gateway"].as_str().map_or(String::new(), |via| format!(" via {via}"));
                    found.insert(format!("{}{via} {}", route["dst"].as_str().unwrap(), route["metric"].as_u64().unwrap_or(0)));
                }
            }
        }
        found
    }

    pub(super) fn try_op(&self, op: &NetOp) -> Result<(), NetError> {
        self.runtime.block_on(self.kernel.perform(op, &self.project, &self.processes))
    }

    pub(super) fn op(&self, op: &NetOp) {
        self.try_op(op).unwrap_or_else(|error| panic!("{op}: {error}"));
    }

    /// Does it twice: the second time has to be a success that changes nothing.
    pub(super) fn twice(&self, op: &NetOp) {
        self.op(op);
        let before = self.at_rest();
        self.op(op);
        assert_eq!(before, self.at_rest(), "{op}, done again");
    }

    /// Seen twice alike: on an emulated processor what was set up a moment ago may still be on its way.
    fn at_rest(&self) -> NetSnapshot {
        let mut seen = self.settled();
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(50));
            let again = self.settled();
            if again == seen {
                return seen;
            }
            seen = again;
        }
        seen
    }

    /// Without carriers, which come when the kernel gets to it, and without what was counted meanwhile.
    fn settled(&self) -> NetSnapshot {
        let mut seen = self.observe();
        let links = seen.namespaces.values_mut().flat_map(|ns| ns.links.values_mut());
        links.for_each(|link| (link.carrier, link.counters) = (true, None));
        seen
    }

    pub(super) fn set(&self, at: LinkRef, set: LinkSet) {
        self.twice(&NetOp::SetLink { at, set: Box::new(set) });
    }

    pub(super) fn observe(&self) -> NetSnapshot {
        let look = async {
            let links = self.kernel.observe(&self.project, &self.processes).await?;
            Ok::<_, NetError>(NetSnapshot { firewall: self.kernel.firewall().await?, ..links })
        };
        self.runtime.block_on(look).unwrap()
    }

    pub(super) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// What the snapshot says of a link, which has to be there.
    pub(super) fn seen(&self, at: &str, link: &str) -> fly::net::LinkState {
        let ns = if at == "host" { Ns::Host } else { Ns::Machine(name(at)) };
        self.observe().namespaces[&ns].links[link].clone()
    }

    /// A parent for macvlans: `eth1` on the host, cabled to `lan0` in the namespace of `neighbour`.
    pub(super) fn parent(&self, neighbour: &str) {
        let pid = self.pid(neighbour);
        self.ok("host", &format!("ip link add eth1 type veth peer name lan0 netns {pid} && ip link set eth1 up"));
        self.ok(neighbour, "ip link set lan0 up && ip addr add 192.168.1.1/24 dev lan0");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in self.machines.values_mut().chain([&mut self.host]) {
            end(child);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn at(machine: &str, link: &str) -> LinkRef {
    LinkRef::machine(&name(machine), link)
}

pub(super) fn route(to: &str, via: &str, metric: Option<u32>) -> Route {
    Route { metric, ..Route::new(to.parse().unwrap(), (!via.is_empty()).then(|| via.parse().unwrap())) }
}

pub(super) fn nets<T: std::str::FromStr<Err: std::fmt::Debug> + Ord>(texts: &[&str]) -> BTreeSet<T> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

pub(super) fn texts(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

pub(super) fn plain(kind: LinkKind, addresses: &[&str]) -> Link {
    Link {
        kind,
        mac: None,
        mtu: Some(1500),
        up: true,
        master: None,
        addresses: nets(addresses),
        routes: BTreeSet::new(),
        tuning: fly::types::Tuning::default(),
    }
}

/// A NIC of a machine, with an automatic MAC.
pub(super) fn nic(machine: &str, link: &str, kind: LinkKind, addresses: &[&str]) -> PlacedLink {
    let place = at(machine, link);
    let mac = Some(Mac::automatic(&place.to_string()));
    PlacedLink {
        link: Link { mac, ..plain(kind, addresses) },
        at: place,
        alias: Some(format!("fly:shop/{machine}/{link}")),
        manners: Manners::default(),
    }
}

pub(super) fn macvlan(machine: &str, link: &str, addresses: &[&str]) -> PlacedLink {
    nic(machine, link, LinkKind::macvlan(LinkRef::host("eth1"), MacvlanMode::Bridge), addresses)
}

pub(super) fn veth() -> LinkKind {
    LinkKind::Veth { peer: None }
}

/// A link of fly's on the host.
pub(super) fn of_host(what: &str, kind: LinkKind, addresses: &[&str]) -> PlacedLink {
    let place = LinkRef::host(fly::types::host_link_name(&name("shop"), what));
    let mac = Some(Mac::automatic(what));
    PlacedLink {
        link: Link { mac, ..plain(kind, addresses) },
        at: place,
        alias: Some(format!("fly:shop/{what}")),
        manners: Manners::default(),
    }
}
