//! What cannot be done in the world as it is, found before anything is touched.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Diff};
use crate::actual::Actual;
use crate::desired::{Attach, Desired, Network, NetworkKind, Places};
use crate::diag::{Diagnostic, Kind, Place};
use crate::engine::InRegistry;
use crate::spec::{Condition, PullPolicy};
use crate::types::{Addr, LABEL_MACHINE, LABEL_PROJECT, LinkKind, LinkRef, MacvlanMode, Name, NetworkMode, Ns, Owner};

/// Every reason against doing what `diff` says; with none it can be done.
pub fn refusals(desired: &Desired, actual: &Actual, diff: &Diff) -> Vec<Diagnostic> {
    let mut found = vec![];
    for (name, network) in &desired.networks {
        network_refusals(&desired.project, actual, diff, name, network, &mut found);
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
    for (name, machine) in &desired.machines {
        if let Some(owner) = actual.engine.taken.containers.get(&machine.name) {
            let hint = format!("is it needed? `docker rename {0} {0}-old` makes room", machine.name);
            found.push(taken("container", &machine.name, owner, &machine.places).hint(hint));
        }
        let made = matches!(diff.action(&Addr::Machine(name.clone())), Action::Create | Action::Replace);
        machine_refusals(actual, name, machine, made, &mut found);
        card_refusals(actual, name, machine, &mut found);
        health_refusals(desired, actual, name, machine, &mut found);
    }
    passthru_refusals(desired, actual, &mut found);
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

fn machine_refusals(actual: &Actual, name: &Name, machine: &crate::desired::Machine, made: bool, found: &mut Vec<Diagnostic>) {
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
                .at_some(machine.places.of("cpus"))
                .hint(format!("cpus: {}", actual.engine.facts.cpus)),
        );
    }
    let processors =
        machine.container.limits.cpuset.iter().flat_map(|set| set.split([',', '-'])).filter_map(|it| it.trim().parse::<u64>().ok());
    let last = u64::from(actual.engine.facts.cpus).checked_sub(1);
    if let Some((wanted, last)) = processors.max().zip(last).filter(|(wanted, last)| wanted > last) {
        found.push(
            Diagnostic::invalid(format!("`{name}` is to run on processor {wanted}, and the engine's last one is {last}"))
                .at_some(machine.places.of("cpuset"))
                .hint(format!("cpuset: 0-{last}")),
        );
    }
    if let NetworkMode::Container(other) = &machine.container.network_mode {
        let known = actual.engine.taken.containers.contains_key(other) || actual.engine.machines.values().any(|m| &m.name == other);
        if made && !known {
            found.push(
                Diagnostic::invalid(format!("there is no container `{other}` whose network `{name}` could share"))
                    .at_some(machine.places.of("network_mode"))
                    .hint("`machine:NAME` names a machine of this file"),
            );
        }
    }
}

fn card_refusals(actual: &Actual, name: &Name, machine: &crate::desired::Machine, found: &mut Vec<Diagnostic>) {
    for (nic, wanted) in &machine.nics {
        match &wanted.attach {
            Attach::Bridge { host_end, .. } => {
                let Some(state) = actual.host_link(host_end).filter(|state| !state.owner.is_ours()) else { continue };
                let error = taken("link", host_end, &state.owner, &wanted.places).hint(format!("ip link delete {host_end}"));
                found.push(error.cause(format!("it is to be the host's end of `{name}:{nic}`")));
            }
            // In passthru, the MAC of the one is that of the other.
            Attach::Macvlan { parent, mode, .. } if *mode != MacvlanMode::Passthru => {
                if actual.host_link(parent).is_some_and(|state| state.link.mac == Some(wanted.mac)) {
                    let error =
                        Diagnostic::invalid(format!("`{}` is the MAC of `{parent}` itself: `{name}:{nic}` cannot have it too", wanted.mac));
                    found.push(error.at_some(wanted.places.of("mac")).hint("leave `mac` out: the card gets one of its own"));
                }
            }
            Attach::Macvlan { .. } | Attach::Nat { .. } | Attach::Cable { .. } => {}
        }
    }
}

/// Nobody becomes healthy without a check. What an image says is only known once it is here.
fn health_refusals(desired: &Desired, actual: &Actual, name: &Name, machine: &crate::desired::Machine, found: &mut Vec<Diagnostic>) {
    let checks = |check: &crate::types::Healthcheck| check.test.first().is_some_and(|first| first != "NONE");
    for target in machine.depends_on.iter().filter(|(_, condition)| **condition == Condition::Healthy).map(|(target, _)| target) {
        let Some(other) = desired.machines.get(target) else { continue };
        let own = other.container.healthcheck.as_ref();
        let image = actual.engine.images.get(&other.container.image).filter(|image| !matches!(image.registry, Some(InRegistry::Other(_))));
        let Some(image) = image.filter(|_| !own.is_some_and(checks)) else { continue };
        if image.defaults.healthcheck.as_ref().is_some_and(checks) && own.is_none_or(|own| own.test.is_empty()) {
            continue;
        }
        let message = format!(
            "`{name}` waits until `{target}` is healthy, and nothing checks that: neither the file nor its image has a health check"
        );
        let mut error = Diagnostic::invalid(message).at_some(machine.places.of("healthy"));
        if let Some(place) = &other.places.own {
            error = error.also(place, "nothing checks it");
        }
        let hint = format!("`healthcheck: {{test: [CMD, ...]}}` for `{target}`, or `condition: started`");
        found.push(error.hint(hint));
    }
}

/// A macvlan card on a parent, or to be on it.
struct Child<'a> {
    who: String,
    mode: MacvlanMode,
    place: Option<&'a Place>,
}

/// In mode passthru a card has its parent for itself: the kernel refuses any other beside it.
fn passthru_refusals(desired: &Desired, actual: &Actual, found: &mut Vec<Diagnostic>) {
    let mut parents: BTreeMap<&str, Vec<Child<'_>>> = BTreeMap::new();
    for (name, machine) in &desired.machines {
        for (nic, wanted) in &machine.nics {
            let Attach::Macvlan { parent, mode, .. } = &wanted.attach else { continue };
            let child = Child { who: format!("`{name}:{nic}`"), mode: *mode, place: wanted.places.of("network") };
            parents.entry(parent).or_default().push(child);
        }
    }
    for (name, network) in &desired.networks {
        let (NetworkKind::Macvlan { parent, mode }, Some(_)) = (&network.kind, &network.host_link) else { continue };
        let who = format!("the `host_ip` of `{name}`");
        parents.entry(parent).or_default().push(Child { who, mode: *mode, place: network.places.of("host_ip") });
    }
    for (parent, children) in parents {
        let on = |kind: &LinkKind| match kind {
            LinkKind::Macvlan { parent: Some(at), mode } if *at == LinkRef::host(parent) => Some(*mode),
            _ => None,
        };
        let links = actual.namespace(&Ns::Host).into_iter().flat_map(|ns| &ns.links).filter(|(_, state)| !state.owner.is_ours());
        let strangers =
            links.filter_map(|(link, state)| Some(Child { who: format!("`{link}`"), mode: on(&state.link.kind)?, place: None }));
        let mut all: Vec<Child<'_>> = strangers.chain(children).collect();
        if all.len() < 2 || all.iter().all(|child| child.mode != MacvlanMode::Passthru) {
            continue;
        }
        let first = all.remove(0);
        for child in all {
            let message =
                format!("{} cannot be on `{parent}`, where {} is: mode `passthru` gives the whole card to one", child.who, first.who);
            let mut error = Diagnostic::invalid(message).at_some(child.place);
            if let Some(place) = first.place {
                error = error.also(place, format!("{} is on it already", first.who));
            }
            found.push(error.hint("another `mode` for the network, or a parent for each"));
        }
    }
}

fn network_refusals(project: &Name, actual: &Actual, diff: &Diff, name: &Name, network: &Network, found: &mut Vec<Diagnostic>) {
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
                    .at_some(network.places.of("bridge"))
                    .hint(format!("`parent: {bridge}` for a network on that card")),
            ),
            Some(_) => {}
        },
        NetworkKind::Macvlan { parent, .. } => parent_refusals(actual, name, network, parent, found),
    }
    let link = match &network.kind {
        NetworkKind::Nat { network, .. } => network.bridge.as_ref(),
        _ => network.host_link.as_ref().map(|wanted| &wanted.at.name),
    };
    let Some((link, state)) = link.and_then(|link| Some((link, actual.host_link(link)?))) else { return };
    // The engine's bridge for a network of ours bears the same name, and no mark of ours.
    let engines = actual.engine.networks.values().any(|network| network.network.bridge.as_ref() == Some(link));
    if !state.owner.is_ours() && !engines && !super::network::is_engine_leftover(project, actual, link) {
        found.push(taken("link", link, &state.owner, &network.places).hint(format!("ip link delete {link}")));
    }
}

fn parent_refusals(actual: &Actual, name: &Name, network: &Network, parent: &str, found: &mut Vec<Diagnostic>) {
    let place = network.places.of("parent");
    let Some(link) = actual.host_link(parent) else {
        let known = actual.namespace(&Ns::Host).map(|ns| &ns.links);
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
