//! The container that a machine is, and everything about it that needs no other machine.

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::model::Places;
use super::volumes::Volumes;
use super::work::{Draft, Errors, Group, Groups, NetKind, Nets, first_place, note, place_of};
use super::{environment, limits, mounts, security, tuning, volumes};
use crate::diag::{Diagnostic, Place};
use crate::spec::{self, Condition, HostAddress, NetworkModeSpec};
use crate::types::{Container, LABEL_MACHINE, LABEL_PROJECT, Name, NetworkMode, RouteKind};

/// The container of the machines of a group, all but its labels' machine, ports and hosts.
pub(super) fn container(group: &Group, context: &Context, volumes: &Volumes, groups: &Groups, errors: &mut Errors) -> Container {
    let spec = &group.spec;
    let mounts = mounts::resolve(spec, context, volumes, errors);
    check_image(group, errors);
    check_working_dir(spec, errors);
    let text = |value: &Option<crate::diag::At<String>>| value.as_ref().map(|at| at.value.clone());
    let texts = |list: &Option<Vec<crate::diag::At<String>>>| list.iter().flatten().map(|at| at.value.clone()).collect::<Vec<_>>();
    let entries = |map: &Option<spec::Entries<crate::diag::At<String>>>| -> BTreeMap<String, String> {
        map.iter().flat_map(|map| &map.0).map(|(key, value)| (key.value.clone(), value.value.clone())).collect()
    };
    Container {
        image: text(&spec.image).unwrap_or_default(),
        command: spec.command.as_ref().map(|command| command.value.clone()),
        entrypoint: spec.entrypoint.as_ref().map(|entrypoint| entrypoint.value.clone()),
        environment: environment::resolve(spec, context, errors),
        hostname: text(&spec.hostname),
        user: text(&spec.user),
        working_dir: text(&spec.working_dir),
        tty: spec.tty.as_ref().is_some_and(|tty| tty.value),
        stdin_open: spec.stdin_open.as_ref().is_some_and(|open| open.value),
        init: spec.init.as_ref().is_some_and(|init| init.value == spec::Init::Small),
        mounts: mounts.mounts,
        tmpfs: mounts.tmpfs,
        shm_size: spec.shm_size.as_ref().map(|size| size.value),
        ports: BTreeSet::new(),
        restart: spec.restart.as_ref().map(|restart| restart.value).unwrap_or_default(),
        healthcheck: spec.healthcheck.as_ref().map(|check| check.value.clone()),
        stop_signal: spec.stop_signal.as_ref().and_then(|signal| limits::signal(signal, errors)),
        stop_grace_period: spec.stop_grace_period.as_ref().map(|period| period.value),
        limits: limits::resolve(spec, errors),
        ulimits: spec.ulimits.iter().flat_map(|map| &map.0).map(|(key, value)| (key.value.clone(), value.value)).collect(),
        sysctls: entries(&spec.sysctls),
        cap_add: texts(&spec.cap_add).into_iter().collect(),
        cap_drop: texts(&spec.cap_drop).into_iter().collect(),
        devices: spec.devices.iter().flatten().map(|device| device.value.clone()).collect(),
        privileged: spec.privileged.as_ref().is_some_and(|privileged| privileged.value),
        security_opt: security::resolve(spec, context, errors),
        dns: spec.dns.iter().flatten().map(|dns| dns.value).collect(),
        dns_search: texts(&spec.dns_search),
        labels: volumes::user_labels(spec.labels.as_ref(), errors),
        network_mode: network_mode(spec, groups, errors),
        guest: None,
        hosts: crate::types::HostEntries::default(),
        gateway_hosts: spec
            .extra_hosts
            .iter()
            .flatten()
            .filter(|(_, address)| address.value == HostAddress::Gateway)
            .map(|(name, _)| name.value.clone())
            .collect(),
    }
}

/// What tells the machines of a group apart.
pub(super) fn personal(mut container: Container, project: &Name, name: &Name) -> Container {
    container.labels.insert(LABEL_PROJECT.to_owned(), project.to_string());
    container.labels.insert(LABEL_MACHINE.to_owned(), name.to_string());
    if container.hostname.is_none() && container.network_mode == NetworkMode::Own {
        container.hostname = Some(name.to_string());
    }
    container
}

fn check_image(group: &Group, errors: &mut Errors) {
    match &group.spec.image {
        None if group.spec.broken.has("image") => {}
        None => {
            let error = Diagnostic::invalid(format!("machine `{}` has no `image`", group.base));
            errors.push(error.at(&group.place).hint("image: debian:12"));
        }
        Some(image) if image.value.is_empty() || image.value.contains(char::is_whitespace) => {
            let error = Diagnostic::invalid(format!("`{}` is not the name of an image", image.value));
            errors.push(error.at(&image.place).hint("image: debian:12"));
        }
        Some(_) => {}
    }
}

fn check_working_dir(spec: &spec::Machine, errors: &mut Errors) {
    if let Some(dir) = spec.working_dir.as_ref().filter(|dir| !dir.value.starts_with('/')) {
        let error = Diagnostic::invalid(format!("`{}`, a place inside the machine, does not begin with `/`", dir.value));
        errors.push(error.at(&dir.place).hint(format!("working_dir: /{}", dir.value)));
    }
    if let Some(hostname) = &spec.hostname {
        let good = |part: &str| {
            !part.is_empty()
                && part.len() <= 63
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                && !part.starts_with('-')
        };
        // The kernel's own limit.
        if hostname.value.len() > 64 || !hostname.value.split('.').all(good) {
            let error = Diagnostic::invalid(format!("`{}` is not a host name", hostname.value)).at(&hostname.place);
            errors.push(error.hint("letters, digits and `-`, parted by `.`: `web.example`"));
        }
    }
}

fn network_mode(spec: &spec::Machine, groups: &Groups, errors: &mut Errors) -> NetworkMode {
    let Some(mode) = &spec.network_mode else { return NetworkMode::Own };
    match &mode.value {
        NetworkModeSpec::None => NetworkMode::Own,
        NetworkModeSpec::Host => NetworkMode::Host,
        NetworkModeSpec::Container(name) => NetworkMode::Container(name.clone()),
        NetworkModeSpec::Machine(target) => match groups.get(target) {
            Some(group) if group.is_scaled() => {
                let message = format!("`{target}` is as many machines as `scale` says: there is no one network to share");
                errors.push(Diagnostic::invalid(message).at(&mode.place).hint("a machine without `scale`"));
                NetworkMode::Own
            }
            Some(group) => NetworkMode::Machine(group.base.clone()),
            None => {
                groups.missing(target, &mode.place, errors);
                NetworkMode::Own
            }
        },
    }
}

/// `container:NAME` is for those of others: of one of its own the project has to know, to start it first and to follow it.
pub(super) fn check_container(project: &Name, group: &Group, groups: &Groups, errors: &mut Errors) {
    let Some(mode) = &group.spec.network_mode else { return };
    let NetworkModeSpec::Container(container) = &mode.value else { return };
    let owner = groups.all().iter().find(|other| other.names.iter().any(|name| name.in_project(project) == *container));
    if let Some(owner) = owner {
        let error = Diagnostic::invalid(format!("`{container}` is the container of machine `{}` of this file", owner.base));
        errors.push(error.at(&mode.place).hint(format!("network_mode: machine:{}", owner.base)));
    }
}

/// The names of the machines that may publish ports, if they have any.
pub(super) fn check_network_modes<'a>(groups: &'a Groups, drafts: &[Draft], nets: &Nets, errors: &mut Errors) -> BTreeSet<&'a Name> {
    let on_nat = |draft: &&Draft| draft.network().and_then(|name| nets.get(name)).is_some_and(|net| net.kind == NetKind::Nat);
    let on_nat: BTreeSet<&Name> = drafts.iter().filter(on_nat).map(|draft| &draft.base).collect();
    let cards = |group: &Group| drafts.iter().filter(|draft| draft.base == group.base).map(|draft| draft.name.as_str()).collect();
    let can = |group: &&Group| check_network_mode(group, on_nat.contains(&group.base), &cards(group), nets, errors);
    groups.all().iter().filter(can).map(|group| &group.base).collect()
}

/// What cannot be together with a namespace that is another's, or without a card that the engine can publish by. Answers whether
/// ports can be published.
fn check_network_mode(group: &Group, on_nat: bool, cards: &BTreeSet<&str>, nets: &Nets, errors: &mut Errors) -> bool {
    let spec = &group.spec;
    let mut conflict = |key: &str, place: Option<&Place>, mode: &crate::diag::At<NetworkModeSpec>| {
        if let Some(place) = place {
            let error = Diagnostic::invalid(format!("`{key}` and `network_mode: {}` exclude each other", word(&mode.value))).at(place);
            errors.push(error.also(&mode.place, "`network_mode` is set here").hint(format!("leave `{key}` or `network_mode` out")));
        }
    };
    let nics = spec.nics.as_ref().and_then(|nics| nics.0.first()).map(|(key, _)| &key.place);
    let ports = first_place(spec.ports.as_ref());
    if let Some(mode) = &spec.network_mode {
        conflict("nics", nics, mode);
        if mode.value != NetworkModeSpec::None {
            conflict("ports", ports, mode);
            conflict("rules", first_place(spec.rules.as_ref()), mode);
            conflict("links", spec.links.iter().flatten().next().map(|link| &link.machine.place), mode);
            let sysctl = |(key, _): &&(crate::diag::At<String>, _)| key.value.starts_with("net.");
            conflict("sysctls", spec.sysctls.iter().flat_map(|map| &map.0).find(sysctl).map(|(key, _)| &key.place), mode);
        }
        // These are files of the machine whose namespace it is.
        if matches!(mode.value, NetworkModeSpec::Container(_) | NetworkModeSpec::Machine(_)) {
            conflict("hostname", place_of(spec.hostname.as_ref()), mode);
            conflict("dns", first_place(spec.dns.as_ref()), mode);
            conflict("extra_hosts", spec.extra_hosts.iter().flatten().next().map(|(name, _)| &name.place), mode);
        }
    }
    let own = spec.network_mode.as_ref().is_none_or(|mode| mode.value == NetworkModeSpec::None);
    if on_nat || !own {
        return on_nat && own;
    }
    let of = |nic: &spec::Nic| nic.network.as_ref().and_then(|network| Name::new(network.value.clone()).ok());
    let mut written = spec.nics.iter().flat_map(|nics| &nics.0);
    // A card on a network that nothing is known of may well be one.
    let unknown = written.any(|(_, nic)| of(nic).and_then(|name| nets.get(&name)).is_none_or(|net| net.kind == NetKind::Unknown));
    if let Some(ports) = ports.filter(|_| !unknown && !group.has_unknown_cards() && !group.names.is_empty()) {
        let error =
            Diagnostic::invalid("ports are published by the engine, and this machine has no card on a network of kind `nat`").at(ports);
        errors.push(error.hint(nat_card(spec, cards, nets)));
    }
    false
}

/// How a machine gets a card on a nat network, by names that are free.
fn nat_card(spec: &spec::Machine, cards: &BTreeSet<&str>, nets: &Nets) -> String {
    if spec.network_mode.is_some() {
        return "leave `network_mode` out: then it has a card on a nat network".to_owned();
    }
    let card = (0..=cards.len()).map(|n| format!("eth{n}")).find(|name| !cards.contains(name.as_str())).unwrap_or_default();
    if let Some(net) = nets.values().find(|net| net.kind == NetKind::Nat) {
        return format!("a card on `{}`, which is of kind nat: `{card}: {}` in its `nics`", net.name, net.name);
    }
    let free = ["out", "nat", "outside"].into_iter().find(|name| nets.keys().all(|known| known.as_str() != *name)).unwrap_or("out");
    format!("a card on a network of kind nat: `{free}: {{kind: nat}}` in `networks`, `{card}: {free}` in its `nics`")
}

fn word(mode: &NetworkModeSpec) -> String {
    match mode {
        NetworkModeSpec::None => "none".to_owned(),
        NetworkModeSpec::Host => "host".to_owned(),
        NetworkModeSpec::Container(name) => format!("container:{name}"),
        NetworkModeSpec::Machine(name) => format!("machine:{name}"),
    }
}

/// Where in the file everything about a machine stands.
pub(super) fn places(group: &Group) -> Places {
    let spec = &group.spec;
    let mut places = Places { own: Some(group.place.clone()), fields: BTreeMap::new() };
    macro_rules! value {
        ($($field:ident),+ $(,)?) => { $( note(&mut places, stringify!($field), place_of(spec.$field.as_ref())); )+ };
    }
    macro_rules! list {
        ($($field:ident),+ $(,)?) => { $( note(&mut places, stringify!($field), first_place(spec.$field.as_ref())); )+ };
    }
    macro_rules! map {
        ($($field:ident),+ $(,)?) => {
            $( note(&mut places, stringify!($field), spec.$field.as_ref().and_then(|map| map.0.first()).map(|(key, _)| &key.place)); )+
        };
    }
    value!(image, pull_policy, command, entrypoint, hostname, user, working_dir, shm_size, restart, healthcheck, stop_signal);
    value!(tty, stdin_open, stop_grace_period, cpus, cpuset, memory, pids_limit, privileged, network_mode, scale, init);
    list!(volumes, tmpfs, ports, cap_add, cap_drop, devices, security_opt, dns, dns_search);
    map!(environment, depends_on, ulimits, sysctls, labels, nics);
    note(&mut places, "rules", tuning::place_of_rules(spec));
    let dead_end = |route: &&crate::diag::At<spec::RouteSpec>| route.value.kind != RouteKind::Unicast;
    let routes = spec.nics.iter().flat_map(|nics| &nics.0).flat_map(|(_, nic)| nic.routes.iter().flatten()).find(dead_end);
    note(&mut places, "routes", place_of(routes));
    note(&mut places, "sshd", spec.sshd.as_ref().map(|sshd| &sshd.place));
    note(&mut places, "guest", place_of(spec.guest.as_ref()));
    let healthy = spec.depends_on.iter().flat_map(|map| &map.0).map(|(_, need)| &need.condition);
    note(
        &mut places,
        "healthy",
        healthy.filter(|condition| condition.value == Condition::Healthy).map(|condition| &condition.place).next(),
    );
    note(&mut places, "env_file", spec.env_file.iter().flatten().next().map(|file| &file.path.place));
    note(&mut places, "links", spec.links.iter().flatten().next().map(|link| &link.machine.place));
    note(&mut places, "extra_hosts", spec.extra_hosts.iter().flatten().next().map(|(name, _)| &name.place));
    if let Some(file) = places.fields.get("env_file").cloned() {
        places.fields.entry("environment").or_insert(file);
    }
    places
}
