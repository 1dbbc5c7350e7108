//! Fingerprints: short, and of nothing secret but by a fingerprint of its own, so that many of them tell no more than one.

use std::collections::BTreeMap;

use crate::actual::fingerprint;
use crate::desired::{Cable, Desired, Machine, Network, Places, Volume};
use crate::engine::EngineOp;
use crate::net::NetOp;
use crate::plan::Op;
use crate::types::{Addr, GUEST_VOLUME, GuestConfig, stable_hash};

fn short(kind: &str, text: &str) -> String {
    stable_hash(&[kind, text]).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Of all that an operation does.
pub(super) fn payload(op: &Op) -> String {
    let mut op = op.clone();
    match &mut op {
        Op::Engine(EngineOp::CreateContainer { container, .. }) => veil_all(&mut container.environment),
        Op::Net(NetOp::SetGuest { config, .. }) => veil_passwords(config),
        // It is removed along only where it holds nothing, and only of a stopped machine that is known for sure.
        Op::Engine(EngineOp::RemoveContainer { volumes, .. }) => volumes.retain(|name| !name.ends_with(GUEST_VOLUME)),
        _ => {}
    }
    short("step", &serde_json::to_string(&op).expect("maps have text keys, and nothing here can fail to serialise"))
}

/// Of what the file comes to, resource by resource: what is decided counts, not how and where it is written.
pub fn file(desired: &Desired) -> BTreeMap<String, String> {
    let Desired { project, agent, networks, volumes, machines, cables, order, orphan_volumes: _, only: _ } = desired;
    let mut all = BTreeMap::from([("project".to_owned(), short("file", &format!("{project} {agent:?} {order:?}")))]);
    let mut add = |addr: Addr, text: String| drop(all.insert(addr.to_string(), short("file", &text)));
    for (name, network) in networks {
        add(Addr::Network(name.clone()), format!("{:?}", Network { places: Places::default(), ..network.clone() }));
    }
    for (name, volume) in volumes {
        add(Addr::Volume(name.clone()), format!("{:?}", Volume { places: Places::default(), ..volume.clone() }));
    }
    for (name, machine) in machines {
        add(Addr::Machine(name.clone()), format!("{:?}", bare(machine)));
    }
    for (id, Cable { places: _ }) in cables {
        add(Addr::Link(id.clone()), String::new());
    }
    all
}

/// Without places, and without secrets.
fn bare(machine: &Machine) -> Machine {
    let mut machine = Machine { places: Places::default(), ..machine.clone() };
    machine.nics.values_mut().for_each(|nic| nic.places = Places::default());
    veil_all(&mut machine.container.environment);
    if let Some(guest) = &mut machine.guest {
        veil_passwords(&mut guest.config);
    }
    machine
}

fn veil_all(values: &mut BTreeMap<String, String>) {
    for (name, value) in values {
        *value = fingerprint(name, value);
    }
}

fn veil_passwords(config: &mut GuestConfig) {
    for (name, user) in config.sshd.iter_mut().flat_map(|sshd| &mut sshd.users) {
        if let Some(hash) = &mut user.password_hash {
            *hash = fingerprint(name, hash);
        }
    }
}
