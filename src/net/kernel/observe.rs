//! One look at all links: the host's namespace and every machine's.
//!
//! Threads of our own go through the namespaces, each entering one after the other: a system call to enter, a socket, four
//! dumps. Which links are each other's ends is found out afterwards (`resolve`), when it is known what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::error::{Refused, While};
use super::kind::Detail;
use super::message::{LEASED, PROTOCOL};
use super::qdisc::RawQdisc;
use super::read::{self, RawAddress, RawLink, RawRoute};
use super::resolve::{self, Peers};
use super::routing::RawRule;
use super::socket::{Client, Dump};
use super::space::{Process, Space, has_ended};
use super::tuning::RawNeighbour;
use super::{hosts, owner, qdisc, routing, tuning};
use crate::net::{HostsLine, LinkState, Namespace, NetError, NetSnapshot, Processes};
use crate::types::{Dynamic, Link, LinkKind, LinkRef, MacvlanMode, Name, Ns, Origin, Owner, RouteKind, Routing, Sysctl, Tuning};

/// A namespace and what its kernel says; two machines may share one.
pub(super) struct Seen<'a> {
    pub(super) space: &'a Space,
    /// By which names it is known; the host's first.
    pub(super) views: Vec<Ns>,
    pub(super) raw: Raw,
}

#[derive(Default)]
pub(super) struct Raw {
    pub(super) links: Vec<RawLink>,
    pub(super) addresses: Vec<RawAddress>,
    pub(super) routes: Vec<RawRoute>,
    /// Of each vxlan, by its number.
    pub(super) remotes: BTreeMap<u32, BTreeSet<IpAddr>>,
    neighbours: Vec<RawNeighbour>,
    rules: Vec<RawRule>,
    qdiscs: Vec<RawQdisc>,
    whole: bool,
    /// The number by which this namespace knows the host's, if a link of it leads elsewhere.
    pub(super) host: Option<i32>,
}

/// A machine that runs.
struct Pinned {
    machine: Name,
    space: Space,
    hosts: BTreeSet<HostsLine>,
}

pub(super) fn observe(host: &Space, project: &Name, processes: &Processes) -> Result<NetSnapshot, NetError> {
    allow_files(processes.len());
    let machines: Vec<(&Name, u32)> = processes.iter().map(|(name, pid)| (name, *pid)).collect();
    let pinned = spread(&machines, |(machine, pid)| pin(machine, *pid))?;
    let mut lines: BTreeMap<Ns, BTreeSet<HostsLine>> = BTreeMap::new();
    let mut spaces: Vec<(&Space, Vec<Ns>)> = vec![(host, vec![Ns::Host])];
    let mut known = BTreeMap::from([(host.inode, 0)]);
    for Pinned { machine, space, hosts } in pinned.iter().flatten() {
        let ns = Ns::Machine(machine.clone());
        lines.insert(ns.clone(), hosts.clone());
        let next = spaces.len();
        match *known.entry(space.inode).or_insert(next) {
            at if at == next => spaces.push((space, vec![ns])),
            at => spaces[at].1.push(ns),
        }
    }
    let raw = spread(&spaces, |(space, views)| {
        let elsewhere = (space.inode != host.inode).then_some(host);
        dump(space, elsewhere).doing(|| format!("look at the links of {}", views[0]))
    })?;
    let seen: Vec<Seen<'_>> = spaces.into_iter().zip(raw).map(|((space, views), raw)| Seen { space, views, raw }).collect();
    let peers = resolve::peers(&seen)?;
    let unsettled: Vec<String> = seen.iter().filter(|seen| !seen.raw.whole).map(|seen| seen.views[0].to_string()).collect();
    let mut snapshot = NetSnapshot::default();
    for link in seen.iter().flat_map(|seen| &seen.raw.links) {
        // All links have the same ones, but for those on which IPv6 cannot be.
        if link.conf.iter().all(|conf| !conf.is_empty()) || snapshot.sysctls.is_empty() {
            snapshot.sysctls.extend(Sysctl::all(&link.conf[0], &link.conf[1]).map(|(sysctl, _)| sysctl));
            if link.conf.iter().all(|conf| !conf.is_empty()) {
                break;
            }
        }
    }
    if !unsettled.is_empty() {
        snapshot.incomplete = Some(format!("the links of {} kept changing while they were read", unsettled.join(", ")));
    }
    for (at, seen) in seen.iter().enumerate() {
        for view in &seen.views {
            let (routing, foreign_routing) = routing(seen);
            let namespace = Namespace {
                inode: seen.space.inode,
                routing,
                foreign_routing,
                links: links(at, seen, view, project, &peers),
                hosts: lines.remove(view).unwrap_or_default().into(),
            };
            snapshot.namespaces.insert(view.clone(), namespace);
        }
    }
    Ok(snapshot)
}

/// Each machine costs one open file while looking; the usual limit is 1024.
fn allow_files(machines: usize) {
    let wanted = machines as u64 + 512;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let current = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
        // If it cannot be raised, opening says so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum });
    }
}

/// `None`: it has ended.
fn pin(machine: &Name, pid: u32) -> Result<Option<Pinned>, NetError> {
    let doing = || format!("reach machine {machine}");
    let look = || -> Result<Option<Pinned>, Refused> {
        let process = Process::open(pid)?;
        let space = process.space()?;
        let hosts = hosts::read(&process)?;
        Ok(process.is_alive().then(|| Pinned { machine: machine.clone(), space, hosts }))
    };
    match look() {
        Err(refused) if has_ended(&refused) => Ok(None),
        // What a process on its way out answers with is not always the same.
        Err(_) if !Process::open(pid).is_ok_and(|process| process.is_alive()) => Ok(None),
        other => other.doing(doing),
    }
}

fn dump(space: &Space, elsewhere: Option<&Space>) -> Result<Raw, Refused> {
    space.enter()?;
    let client = Client::open()?;
    let links = read::links(&client)?;
    let addresses = read::addresses(&client)?;
    let routes = read::routes(&client)?;
    let leads_elsewhere = links.items.iter().any(|link| link.space.is_some());
    let host = match elsewhere.filter(|_| leads_elsewhere) {
        Some(host) => read::number_of(&client, host.fd())?,
        None => None,
    };
    // Nothing of the host's own is fly's to compare.
    let is_machines = elsewhere.is_some();
    let (neighbours, rules) = if is_machines { (tuning::neighbours(&client)?, routing::rules(&client)?) } else { <_>::default() };
    // Nobody has chosen those that the kernel gives to every link.
    let chosen = links.items.iter().any(|link| !qdisc::is_usual(&link.qdisc));
    let qdiscs = if chosen { qdisc::all(&client)? } else { Dump::default() };
    let mut whole = [links.whole, addresses.whole, routes.whole, neighbours.whole, rules.whole, qdiscs.whole].iter().all(|whole| *whole);
    let mut remotes = BTreeMap::new();
    for link in links.items.iter().filter(|link| matches!(link.detail, Detail::Vxlan { .. })) {
        let dump = read::remotes(&client, link.index)?;
        whole &= dump.whole;
        remotes.insert(link.index, dump.items.into_iter().collect());
    }
    Ok(Raw {
        links: links.items,
        remotes,
        addresses: addresses.items,
        routes: routes.items,
        neighbours: neighbours.items,
        rules: rules.items,
        qdiscs: qdiscs.items,
        whole,
        host,
    })
}

/// Does the same with every item, on a few threads that are thrown away, and keeps the order.
pub(super) fn spread<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R, NetError> + Sync) -> Result<Vec<R>, NetError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len().div_ceil(4)).min(16);
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let run = || {
        while let Some((at, item)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, items.get(at)?))) {
            let result = work(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    // Never on the calling thread alone: `work` may enter a namespace.
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(run);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// What is particular to it, with names for numbers.
fn kind_of(
    link: &RawLink,
    word: &str,
    parent: impl Fn() -> Option<LinkRef>,
    name_of: impl Fn(u32) -> Option<String>,
    raw: &Raw,
    view: &Ns,
) -> LinkKind {
    match link.detail.clone() {
        Detail::Macvlan { mode, sources } => {
            let sources = (mode == MacvlanMode::Source).then_some(sources);
            LinkKind::Macvlan { parent: parent(), mode, sources, promiscuous: link.promiscuous }
        }
        Detail::Ipvlan(mode) => LinkKind::Ipvlan { parent: parent(), mode },
        Detail::Vlan(id) => LinkKind::Vlan { parent: parent(), id },
        Detail::Vxlan { vni, port, parent, local } => {
            let parent = parent.and_then(name_of).map(|name| LinkRef { ns: view.clone(), name });
            let remotes = raw.remotes.get(&link.index).cloned().unwrap_or_default();
            LinkKind::Vxlan { vni, port, parent, local, remotes }
        }
        Detail::None => LinkKind::Other(word.to_owned()),
    }
}

fn links(at: usize, seen: &Seen<'_>, view: &Ns, project: &Name, peers: &Peers<'_, '_>) -> BTreeMap<String, LinkState> {
    let raw = &seen.raw;
    let name_of = |index: u32| raw.links.iter().find(|link| link.index == index).map(|link| link.name.clone());
    let of_host = seen.views.first() == Some(&Ns::Host);
    // A kernel that keeps marks has marked the loopback's own addresses.
    let marks = raw.addresses.iter().any(|address| address.maker != 0);
    // Where the way out is, is always fly's business: `gateway` says it, or says that there is none. But what a router of the LAN has
    // told the kernel is the kernel's.
    let is_advertised = |route: &RawRoute| route.maker == read::BY_ROUTER;
    let is_foreign = |route: &RawRoute| is_advertised(route) || !route.kernels && route.maker != PROTOCOL && !route.route.is_way_out();
    let mut found = BTreeMap::new();
    for link in raw.links.iter().filter(|link| link.name != "lo") {
        let kind = match link.kind.as_str() {
            "bridge" => LinkKind::Bridge,
            "veth" => LinkKind::Veth { peer: peers.of(at, view, link) },
            "" => LinkKind::Other("physical".to_owned()),
            other => kind_of(link, other, || peers.of(at, view, link), name_of, raw, view),
        };
        let kind = match Origin::of(link.alias.as_deref()) {
            Some(origin) => LinkKind::Physical { device: origin.name },
            None => kind,
        };
        let routes = || raw.routes.iter().filter(|route| route.index == link.index);
        let every = || raw.addresses.iter().filter(|address| address.index == link.index);
        let addresses = || every().filter(|address| !address.kernels);
        let is_foreign_address = |address: &RawAddress| {
            if address.maker == LEASED {
                false
            } else if address.kernels {
                !read::is_everywhere(&address.net)
            } else {
                marks && address.maker != PROTOCOL
            }
        };
        // A program in the machine may have leases of its own.
        let is_noted = |way: Dynamic| link.alias.as_ref().is_some_and(|alias| alias.contains(&format!(" {way}=")));
        let is_flys = |way: Dynamic| (way == Dynamic::Slaac || is_noted(way)).then_some(way);
        let neighbours = || raw.neighbours.iter().filter(|neighbour| neighbour.index == link.index);
        let qdisc = raw.qdiscs.iter().find(|qdisc| qdisc.index == link.index);
        let state = LinkState {
            link: Link {
                kind,
                mac: link.mac,
                mtu: Some(link.mtu),
                up: link.up,
                master: link.master.and_then(name_of),
                addresses: addresses().map(|address| address.net).collect(),
                routes: routes().filter(|route| !route.kernels).map(|route| route.route.clone()).collect(),
                tuning: Tuning {
                    neighbours: neighbours().map(|neighbour| (neighbour.address, neighbour.mac)).collect(),
                    sysctls: BTreeMap::new(),
                    traffic: qdisc.map(|qdisc| qdisc.traffic.clone()).unwrap_or_default(),
                },
            },
            index: link.index,
            group: link.group,
            alias: link.alias.clone(),
            // A machine on the host's network does not own the host's links.
            users: owner::users(link),
            owner: if of_host { owner::of_host_link(link, project) } else { Owner::Ours },
            connected: routes()
                .filter(|route| route.kernels && route.route.table.is_none() && !read::is_everywhere(&route.route.to))
                .map(|route| route.route.to)
                .collect(),
            carrier: link.carrier,
            leases: every().filter_map(|address| Some((is_flys(address.lease?)?, address.net))).collect(),
            foreign_addresses: every().filter(|address| is_foreign_address(address)).map(|address| address.net).collect(),
            foreign_routes: routes().filter(|route| is_foreign(route)).map(|route| route.route.clone()).collect(),
            counters: link.counters,
            sysctls: if of_host { BTreeMap::new() } else { Sysctl::all(&link.conf[0], &link.conf[1]).collect() },
            foreign_neighbours: neighbours().filter(|one| one.maker != PROTOCOL).map(|one| (one.address, one.mac)).collect(),
            foreign_qdisc: qdisc.and_then(|qdisc| qdisc.foreign.clone()),
        };
        found.insert(link.name.clone(), state);
    }
    found
}

/// What hangs on no link, and what of that is not fly's.
fn routing(seen: &Seen<'_>) -> (Routing, Routing) {
    if seen.views.first() == Some(&Ns::Host) {
        return <_>::default();
    }
    let raw = &seen.raw;
    let dead_ends = || raw.routes.iter().filter(|route| !route.kernels && route.route.kind != RouteKind::Unicast);
    let all = |foreign: bool| Routing {
        rules: raw.rules.iter().filter(|rule| !foreign || rule.maker != PROTOCOL).map(|rule| rule.rule.clone()).collect(),
        routes: dead_ends().filter(|route| !foreign || route.maker != PROTOCOL).map(|route| route.route.clone()).collect(),
    };
    (all(false), all(true))
}
