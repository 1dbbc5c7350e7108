//! A host that has what files ask of it: its cards, other people's bridges, volumes and containers, and the images.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::actual::Actual;
use crate::desired::{Desired, Machine, NetworkKind};
use crate::engine::{EngineFacts, ImageState, InRegistry};
use crate::net::{LinkState, Namespace};
use crate::spec::{Condition, PullPolicy};
use crate::types::{Bytes, Healthcheck, ImageDefaults, Link, LinkKind, Mac, Ns, Owner, Tuning, stable_hash};

/// New enough for all that a file can say.
const VERSION: &str = "29.0.0";
const API: &str = "1.52";
/// The engine's own, and the address that it has where nobody chose another.
const DEFAULT_BRIDGE: (&str, &str) = ("docker0", "172.17.0.1/16");
/// What is known of a check that only the image has.
const OF_IMAGE: &str = "(the image's)";
pub(super) const MTU: u32 = 1500;

/// What both files ask for is there. Of images only those of `old` are: what is new is pulled.
pub fn host(old: &Desired, new: &Desired) -> Actual {
    let mut actual = Actual::default();
    actual.engine.facts = EngineFacts {
        version: VERSION.to_owned(),
        api: API.to_owned(),
        // Nobody knows.
        cpus: 0,
        memory: Bytes(0),
        cgroups: "2".to_owned(),
        default_bridge: Some(DEFAULT_BRIDGE.0.to_owned()),
    };
    // As the engine leaves it nearly everywhere.
    actual.net.firewall.drops_bridged = true;
    let host = Namespace { inode: 1, links: links(&[old, new]), ..Namespace::default() };
    actual.net.namespaces.insert(Ns::Host, host);
    for desired in [old, new] {
        for volume in desired.volumes.values().filter(|volume| volume.external) {
            let is_own = |desired: &Desired| desired.volumes.values().any(|other| !other.external && other.name == volume.name);
            if !is_own(old) && !is_own(new) {
                actual.engine.taken.volumes.insert(volume.name.clone(), Owner::Stranger);
            }
        }
        for machine in desired.machines.values() {
            if let crate::types::NetworkMode::Container(other) = &machine.container.network_mode {
                actual.engine.taken.containers.insert(other.clone(), Owner::Stranger);
            }
        }
    }
    let never = |machine: &&Machine| machine.pull_policy == PullPolicy::Never;
    for machine in old.machines.values().chain(new.machines.values().filter(never)) {
        let image = &machine.container.image;
        actual.engine.images.entry(image.clone()).or_insert_with(|| ImageState {
            id: image_id(image),
            digests: BTreeSet::new(),
            defaults: ImageDefaults::default(),
            registry: Some(InRegistry::Same),
        });
    }
    for image in checked(old).chain(checked(new)) {
        if let Some(state) = actual.engine.images.get_mut(image) {
            let test = vec!["CMD-SHELL".to_owned(), OF_IMAGE.to_owned()];
            state.defaults.healthcheck = Some(Healthcheck { test, ..Healthcheck::default() });
        }
    }
    actual
}

fn image_id(image: &str) -> String {
    stable_hash(&["image", image]).iter().fold("sha256:".to_owned(), |id, byte| format!("{id}{byte:02x}"))
}

/// Images that must have a health check: somebody waits for it, and the file has none.
fn checked(desired: &Desired) -> impl Iterator<Item = &String> {
    let waited = desired.machines.values().flat_map(|machine| &machine.depends_on);
    let healthy = waited.filter(|(_, condition)| **condition == Condition::Healthy).filter_map(|(name, _)| desired.machines.get(name));
    let has_own = |machine: &&Machine| machine.container.healthcheck.as_ref().is_none_or(|own| own.test.is_empty());
    healthy.filter(has_own).map(|machine| &machine.container.image)
}

fn links(files: &[&Desired]) -> BTreeMap<String, LinkState> {
    let mut kinds: BTreeMap<String, (LinkKind, u32)> = BTreeMap::from([(DEFAULT_BRIDGE.0.to_owned(), (LinkKind::Bridge, MTU))]);
    for desired in files {
        for (name, network) in &desired.networks {
            let mut card = |card: &str, kind: LinkKind, mtu: u32| {
                let known = kinds.entry(card.to_owned()).or_insert_with(|| (kind.clone(), MTU));
                known.1 = known.1.max(mtu);
                if kind == LinkKind::Bridge {
                    known.0 = kind;
                }
            };
            let on_it = desired.machines.values().flat_map(|machine| machine.nics.values());
            let mtus = on_it.filter(|nic| nic.attach.network() == Some(name)).filter_map(|nic| nic.mtu);
            let shim = network.host_link.as_ref().and_then(|link| link.link.mtu);
            let mtu = mtus.chain(shim).max().unwrap_or(MTU);
            let physical = || LinkKind::Other("physical".to_owned());
            let made = network.lower.as_ref().map(|lower| lower.at.name.as_str());
            for parent in network.kind.parent().into_iter().chain(network.uplink.as_deref()).filter(|parent| Some(*parent) != made) {
                card(parent, physical(), mtu);
            }
            if let Some(parent) = network.lower.as_ref().and_then(|lower| lower.link.kind.parent()) {
                card(&parent.name, physical(), mtu);
            }
            if let NetworkKind::Physical { device } = &network.kind {
                card(device, physical(), mtu);
            }
            if let NetworkKind::ExistingBridge { bridge } = &network.kind {
                card(bridge, LinkKind::Bridge, mtu);
            }
        }
    }
    let address: Option<IpNet> = DEFAULT_BRIDGE.1.parse().ok();
    kinds
        .into_iter()
        .zip(1..)
        .map(|((name, (kind, mtu)), index)| {
            let addresses = address.into_iter().filter(|_| name == DEFAULT_BRIDGE.0).collect();
            let link = Link {
                kind,
                mac: mac(&name),
                mtu: Some(mtu),
                up: true,
                master: None,
                addresses,
                routes: BTreeSet::default(),
                tuning: Tuning::default(),
            };
            (name, state(link, index, Owner::Stranger))
        })
        .collect()
}

/// As good as a card's own: nobody else has it.
fn mac(seed: &str) -> Option<Mac> {
    let [a, b, c, d, ..] = stable_hash(&["card", seed]);
    Mac::new([0x4e, 0x00, a, b, c, d]).ok()
}

/// A link of which nothing is foreign.
pub(super) fn state(mut link: Link, index: u32, owner: Owner) -> LinkState {
    let sysctls = std::mem::take(&mut link.tuning.sysctls);
    let connected = link.addresses.iter().map(IpNet::trunc).collect();
    link.mac = link.mac.or_else(|| mac(&index.to_string()));
    link.mtu = link.mtu.or(Some(MTU));
    let carrier = link.up;
    LinkState {
        link,
        index,
        group: 0,
        alias: None,
        owner,
        users: BTreeSet::default(),
        connected,
        carrier,
        foreign_addresses: BTreeSet::default(),
        foreign_routes: BTreeSet::default(),
        leases: BTreeMap::new(),
        counters: None,
        sysctls,
        foreign_neighbours: BTreeMap::new(),
        foreign_qdisc: None,
    }
}
