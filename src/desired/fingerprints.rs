//! What the file says, key by key, so short that it tells nothing but whether it says the same as another time.
//!
//! `up` notes it beside the agent's orders. A plan asks it one thing only: whether a difference comes from the file or from somebody
//! who changed the world by hand. Whoever has no such note plans the same, and says less.

use super::model::Desired;
use super::render;
use super::yaml::{Node, flow};
use crate::types::{Addr, Fingerprints, stable_hash};

/// Of everything in the resolved file, by resource and key.
pub fn fingerprints(desired: &Desired) -> Fingerprints {
    let mut all = Fingerprints::new();
    for (name, network) in &desired.networks {
        note(&mut all, Addr::Network(name.clone()), &render::network(network));
    }
    for (name, volume) in &desired.volumes {
        note(&mut all, Addr::Volume(name.clone()), &render::volume(volume));
    }
    for (name, machine) in &desired.machines {
        let addr = Addr::Machine(name.clone());
        note(&mut all, addr.clone(), &render::machine(machine, desired, &machine.hosts));
        let keys = all.entry(addr).or_default();
        keys.remove("nics");
        // What others say decides over these, and who runs fly over the keys to log in with.
        keys.insert("names".to_owned(), short(&serde_json::to_string(&machine.hosts).unwrap_or_default()));
        if let Some(guest) = &machine.guest {
            keys.insert("sshd".to_owned(), short(&serde_json::to_string(&guest.config).unwrap_or_default()));
        }
        for (nic, card) in &machine.nics {
            note(&mut all, Addr::nic(name, nic), &render::card(card, desired, None));
        }
    }
    for id in desired.cables.keys() {
        note(&mut all, Addr::Link(id.clone()), &render::cable(id, desired));
    }
    all
}

fn note(all: &mut Fingerprints, addr: Addr, node: &Node) {
    let Node::Map(entries) = node else { return };
    all.insert(addr, entries.iter().map(|(key, value)| (key.clone(), short(&flow(value)))).collect());
}

/// Enough to tell two values apart, too little to find one by trying.
fn short(text: &str) -> String {
    let [a, b, c, ..] = stable_hash(&["fingerprint", text]);
    format!("{a:02x}{b:02x}{c:02x}")
}
