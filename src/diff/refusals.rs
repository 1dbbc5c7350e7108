//! What cannot be done in the world as it is, found before anything is touched.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Diff};
use crate::actual::Actual;
use crate::desired::{Attach, Desired, Network, NetworkKind, Places};
use crate::diag::{Diagnostic, Kind};
use crate::engine::InRegistry;
use crate::spec::PullPolicy;
use crate::types::{Addr, LABEL_MACHINE, LABEL_PROJECT, LINK_GROUP, LinkKind, LinkRef, MacvlanMode, Name, NetworkMode, Owner};

/// Every reason against doing what `diff` says; with none it can be done.
pub fn refusals(desired: &Desired, actual: &Actual, diff: &Diff) -> Vec<Diagnostic> {
    let mut found = vec![];
    for (name, network) in &desired.networks {
        network_refusals(desired, actual, diff, name, network, &mut found);
    }
    for (name, volume) in &desired.volumes {
        match actual.engine.taken.volumes.get(&volume.name) {
            None if volume.external && actual.engine.volumes.values().all(|v| v.name != volume.name) => found.push(
                Diagnostic::invalid(format!("volume `{}` is external, and the engine has none of that name", volume.name))
                    .at_some(volume.places.of("external"))
                    .hint(format!("docker volume create {}", volume.name)),
            ),
            Some(owner) if !volume.external => {
                found.push(
                    taken("volume", &volume.name, owner, &volume.places).hint(format!("`external: true` under `{name}` uses it as it is")),
                );
            }
            _ => {}
        }
    }
    for (name, container) in &actual.engine.renamed {
        let own = name.in_project(&desired.project);
        let place = desired.machines.get(name).and_then(|machine| machine.places.own.as_ref());
        let error =
            Diagnostic::new(Kind::Stranger, format!("container `{container}` is `{own}` under another name: somebody has renamed it"));
        found.push(error.at_some(place).hint(format!("docker rename {container} {own}")));
    }
    for (name, machine) in &desired.machines {
        if let Some(owner) = actual.engine.taken.containers.get(&machine.name) {
            let hint = format!("is it needed? `docker rename {0} {0}-old` makes room", machine.name);
            found.push(taken("container", &machine.name, owner, &machine.places).hint(hint));
        }
        let made = matches!(diff.action(&Addr::Machine(name.clone())), Action::Create | Action::Replace);
        machine_refusals(desired, actual, name, machine, made, &mut found);
    }
    let deletes = diff.changes.values().any(|change| matches!(change.action, Action::Delete | Action::Replace));
    if let Some(why) = actual.net.incomplete.as_ref().filter(|_| deletes) {
        found.push(
            Diagnostic::new(Kind::Failed, "the kernel's answer was not complete, and nothing is deleted on the strength of such a view")
                .cause(why)
                .hint("run the same command again"),
        );
    }
    found
}

fn taken(what: &str, name: &str, owner: &Owner, places: &Places) -> Diagnostic {
    let whose = match owner {
        Owner::Ours => "this project, under another name".to_owned(),
        Owner::Project(project) => format!("project `{project}`"),
        Owner::Stranger => "somebody else, not to fly".to_owned(),
    };
    Diagnostic::new(Kind::Stranger, format!("the name of {what} `{name}` is taken: it belongs to {whose}")).at_some(places.own.as_ref())
}

/// A name that only fly makes up is most likely fly's own link, of which somebody has set the marks.
fn taken_link(project: &Name, link: &str, what: &str, owner: &Owner, places: &Places) -> Diagnostic {
    let marks =
        format!("`ip link set {link} group {LINK_GROUP} alias fly:{project}/{what}` marks it as fly's again, if that is what it was");
    taken("link", link, owner, places).hint(marks).hint(format!("`ip link delete {link}` takes it away"))
}

fn machine_refusals(
    desired: &Desired,
    actual: &Actual,
    name: &Name,
    machine: &crate::desired::Machine,
    made: bool,
    found: &mut Vec<Diagnostic>,
) {
    let image = &machine.container.image;
    if made && machine.pull_policy == PullPolicy::Never && !actual.engine.images.contains_key(image) {
        found.push(
            Diagnostic::invalid(format!("image `{image}` is not on the engine, and `pull_policy` of `{name}` is `never`"))
                .at_some(machine.places.of("image"))
                .hint(format!("docker pull {image}")),
        );
    }
    if let (PullPolicy::Always, Some(InRegistry::Silent(why))) =
        (machine.pull_policy, actual.engine.images.get(image).and_then(|image| image.registry.as_ref()))
    {
        found.push(
            Diagnostic::new(Kind::Failed, format!("the registry of `{image}` does not say whether it has a newer image"))
                .at_some(machine.places.of("pull_policy"))
                .cause(why)
                .hint("without `pull_policy: always` the image that is here will do"),
        );
    }
    // What is made of it could not be told from what somebody else makes of it: not even to be taken away again.
    let bears = |labels: &BTreeMap<String, String>, label: &str| labels.get(label) == machine.container.labels.get(label);
    let spoofs =
        |image: &crate::engine::ImageState| [LABEL_PROJECT, LABEL_MACHINE].iter().all(|label| bears(&image.defaults.labels, label));
    if made && actual.engine.images.get(image).is_some_and(spoofs) {
        found.push(
            Diagnostic::invalid(format!("image `{image}` bears the labels by which fly knows the containers of `{name}`"))
                .at_some(machine.places.of("image"))
                .hint("was it committed from that machine? Build it anew with `LABEL fly.machine=\"\"`"),
        );
    }
    let cpus = u64::from(actual.engine.facts.cpus) * crate::types::Cpus::ONE;
    if let Some(wanted) = machine.container.limits.cpus.filter(|wanted| cpus > 0 && wanted.0 > cpus) {
        found.push(
            Diagnostic::invalid(format!("`{name}` is to have {wanted} processors, and the engine has {}", actual.engine.facts.cpus))
                .at_some(machine.places.of("cpus")),
        );
    }
    let processors =
        machine.container.limits.cpuset.iter().flat_map(|set| set.split([',', '-'])).filter_map(|it| it.trim().parse::<u64>().ok());
    let last = u64::from(actual.engine.facts.cpus).checked_sub(1);
    if let Some((wanted, last)) = processors.max().zip(last).filter(|(wanted, last)| wanted > last) {
        found.push(
            Diagnostic::invalid(format!("`{name}` is to run on processor {wanted}, and the engine's last one is {last}"))
                .at_some(machine.places.of("cpuset")),
        );
    }
    found.extend(too_old_for_start_interval(actual, machine));
    for (nic, wanted) in &machine.nics {
        let Attach::Bridge { host_end, .. } = &wanted.attach else { continue };
        let Some(state) = actual.host_link(host_end).filter(|state| !state.owner.is_ours()) else { continue };
        let error = taken_link(&desired.project, host_end, &format!("{name}/{nic}"), &state.owner, &wanted.places);
        found.push(error.cause(format!("it is to be the host's end of `{name}:{nic}`")));
    }
    if let NetworkMode::Container(other) = &machine.container.network_mode {
        let own = actual.engine.machines.iter().find(|(_, state)| state.name == *other || state.id.starts_with(other.as_str()));
        if let Some((own, _)) = own {
            found.push(
                Diagnostic::invalid(format!("container `{other}` is machine `{own}` of this project"))
                    .at_some(machine.places.of("network_mode"))
                    .hint(format!("network_mode: machine:{own}")),
            );
        } else if made && actual.engine.taken.container(other).is_none() {
            found.push(
                Diagnostic::invalid(format!("there is no container `{other}` whose network `{name}` could share"))
                    .at_some(machine.places.of("network_mode"))
                    .hint("`machine:NAME` names a machine of this file"),
            );
        }
    }
}

/// As Compose does: it is said, and not left out in silence.
fn too_old_for_start_interval(actual: &Actual, machine: &crate::desired::Machine) -> Option<Diagnostic> {
    machine.container.healthcheck.as_ref()?.start_interval.filter(|interval| interval.nanos() > 0)?;
    let (version, api) = (&actual.engine.facts.version, &actual.engine.facts.api);
    let number = |text: &str| text.parse::<u16>().ok();
    let (major, minor) = api.split_once('.')?;
    if (number(major)?, number(minor)?) >= (1, 44) {
        return None;
    }
    let message = format!("`start_interval` of a health check needs Docker Engine 25 (API 1.44), and this one is {version} (API {api})");
    let error = Diagnostic::invalid(message).at_some(machine.places.of("healthcheck"));
    Some(error.hint("leave it out: until `start_period` is over, `interval` counts"))
}

fn network_refusals(desired: &Desired, actual: &Actual, diff: &Diff, name: &Name, network: &Network, found: &mut Vec<Diagnostic>) {
    match &network.kind {
        NetworkKind::Nat { name: engine_name, network: wanted } => {
            // Docker allows two networks of one name; two people reading `docker network ls` do not.
            if let Some(owner) = actual.engine.taken.networks.get(engine_name) {
                found.push(taken("Docker network", engine_name, owner, &network.places).hint(format!("docker network rm {engine_name}")));
            }
            if matches!(diff.action(&Addr::Network(name.clone())), Action::Create | Action::Replace) {
                overlaps(actual, name, network, &wanted.subnets, found);
            }
        }
        NetworkKind::Bridge => {}
        NetworkKind::ExistingBridge { bridge } => match actual.host_link(bridge) {
            None => found.push(
                Diagnostic::invalid(format!("network `{name}` needs bridge `{bridge}`, which is not there"))
                    .at_some(network.places.of("bridge"))
                    .hint(format!("ip link add {bridge} type bridge"))
                    .hint("without the key `bridge`, fly makes one itself"),
            ),
            Some(link) if link.link.kind != LinkKind::Bridge => found.push(
                Diagnostic::invalid(format!("`{bridge}` is not a bridge but a link of kind {}", link.link.kind))
                    .at_some(network.places.of("bridge")),
            ),
            Some(_) => {}
        },
        NetworkKind::Macvlan { parent, mode } => {
            parent_refusals(actual, name, network, parent, found);
            passthru_refusals(actual, name, network, parent, *mode, found);
            mtu_refusals(desired, actual, name, network, parent, found);
        }
    }
    let link = match &network.kind {
        NetworkKind::Nat { network, .. } => network.bridge.as_ref(),
        _ => network.host_link.as_ref().map(|wanted| &wanted.at.name),
    };
    let Some((link, state)) = link.and_then(|link| Some((link, actual.host_link(link)?))) else { return };
    // The engine's bridge for a network of ours bears the same name, and no mark of ours.
    let engines = actual.engine.networks.values().any(|network| network.network.bridge.as_ref() == Some(link));
    if !state.owner.is_ours() && !engines && !super::network::is_engine_leftover(&desired.project, actual, link) {
        found.push(taken_link(&desired.project, link, name.as_str(), &state.owner, &network.places));
    }
}

fn parent_refusals(actual: &Actual, name: &Name, network: &Network, parent: &str, found: &mut Vec<Diagnostic>) {
    let place = network.places.of("parent");
    let Some(link) = actual.host_link(parent) else {
        let known = actual.namespace(&crate::types::Ns::Host).map(|ns| &ns.links);
        let names: Vec<&str> =
            known.into_iter().flatten().filter(|(_, link)| !link.owner.is_ours()).map(|(name, _)| name.as_str()).collect();
        let mut missing = Diagnostic::invalid(format!("network `{name}` needs parent `{parent}`, and this host has no such network card"))
            .at_some(place)
            .label("no such card");
        if let Some(meant) = crate::diag::similar(parent, names.iter().copied()) {
            missing = missing.hint(format!("did you mean `{meant}`?"));
        }
        found.push(missing.hint("`ip link` lists the cards"));
        return;
    };
    // The kernel answers EBUSY to both, but only half way through.
    if let Some(bridge) = &link.link.master {
        found.push(
            Diagnostic::invalid(format!("`{parent}` is a port of bridge `{bridge}`, so it cannot be the parent of macvlan cards"))
                .at_some(place)
                .hint(format!("plug into that bridge: `bridge: {bridge}` instead of `parent: {parent}`")),
        );
    }
}

/// The kernel gives a parent to one card in mode passthru, or to any number in the others. Who is in other namespaces than ours and
/// the host's cannot be seen.
fn passthru_refusals(actual: &Actual, name: &Name, network: &Network, parent: &str, mode: MacvlanMode, found: &mut Vec<Diagnostic>) {
    let links = actual.namespace(&crate::types::Ns::Host).into_iter().flat_map(|ns| &ns.links).filter(|(_, link)| !link.owner.is_ours());
    for (other, link) in links {
        let LinkKind::Macvlan { parent: Some(its), mode: theirs } = &link.link.kind else { continue };
        if *its == LinkRef::host(parent) && (mode == MacvlanMode::Passthru || *theirs == MacvlanMode::Passthru) {
            found.push(
                Diagnostic::invalid(format!("`{parent}` carries `{other}`, in mode {theirs}, and network `{name}` is in mode {mode}"))
                    .at_some(network.places.of("mode"))
                    .cause("a parent is passed through to one card alone, or carries any number in other modes")
                    .hint(format!("another `parent`, or is it needed? `ip link delete {other}`")),
            );
        }
    }
}

/// The kernel refuses a card that takes more than its parent: also one that is there already, when somebody lowers the parent's.
fn mtu_refusals(desired: &Desired, actual: &Actual, name: &Name, network: &Network, parent: &str, found: &mut Vec<Diagnostic>) {
    let Some(whole) = actual.host_link(parent).and_then(|link| link.link.mtu) else { return };
    let on_it = desired.machines.values().flat_map(|machine| machine.nics.values()).filter(|nic| nic.attach.network() == Some(name));
    let own = network.places.fields.get("mtu");
    let cards = on_it.filter_map(|nic| Some((nic.mtu?, nic.places.fields.get("mtu").or(own))));
    let shim = network.host_link.as_ref().and_then(|link| Some((link.link.mtu?, own)));
    let mut told = vec![];
    for (mtu, place) in cards.chain(shim).filter(|(mtu, _)| *mtu > whole) {
        if told.contains(&place) {
            continue;
        }
        told.push(place);
        found.push(
            Diagnostic::invalid(format!(
                "an `mtu` of {mtu} is more than that of `{parent}`, the parent of network `{name}`, which is {whole}"
            ))
            .at_some(place)
            .hint(format!("mtu: {whole}"))
            .hint(format!("or `ip link set {parent} mtu {mtu}`, where its wire takes that")),
        );
    }
}

fn overlaps(actual: &Actual, name: &Name, network: &Network, subnets: &BTreeSet<ipnet::IpNet>, found: &mut Vec<Diagnostic>) {
    let meets = |a: &ipnet::IpNet, b: &ipnet::IpNet| a.contains(b) || b.contains(a);
    for subnet in subnets {
        if let Some((other, whose)) = actual.engine.foreign_subnets.iter().find(|(other, _)| meets(subnet, other)) {
            found.push(
                Diagnostic::invalid(format!("subnet {subnet} of network `{name}` overlaps {other} of Docker network `{whose}`"))
                    .at_some(network.places.of("subnet"))
                    .hint(format!("choose another with `subnet:` under `{name}`")),
            );
        }
    }
}
