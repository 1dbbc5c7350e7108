//! From the file as written to what the world is to be. Pure, and it collects every error.

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::model::{Attach, Desired, DesiredState, Machine, Nic, OrphanVolumes};
use super::volumes::Volumes;
use super::work::{Draft, Errors, Groups, Nets};
use super::{
    address, cable, guest, hosts, machine, network, nic, order, passthru, physical, ports, routes, scale, systemd, tuning, volumes,
};
use crate::diag::Diagnostic;
use crate::spec::{Condition, Spec};
use crate::types::{IfName, Name, Routing};

/// Decides everything that the file leaves open, and checks everything that it says.
pub fn resolve(spec: &Spec, context: &Context) -> Result<Desired, Vec<Diagnostic>> {
    let mut errors = Errors::new(spec.wrong.clone(), spec.veil.clone());
    let project = project(spec, context, &mut errors);
    let volumes = volumes::resolve(spec, &project, &mut errors);
    let Some(groups) = scale::expand(spec, context, &mut errors) else { return Err(errors.finish()) };
    let nets = network::resolve(spec, &project, &groups, &mut errors);
    let mut drafts = nic::drafts(&project, &groups, &nets, &mut errors);
    address::allocate(&nets, &mut drafts, &mut errors);
    let cables = cable::resolve(&project, spec, &groups, &mut drafts, &mut errors);
    cable::check(&drafts, &mut errors);
    nic::check(&drafts, &nets, &mut errors);
    passthru::check(&drafts, &nets, &mut errors);
    physical::check(&drafts, &nets, &mut errors);
    tuning::check(&drafts, &mut errors);
    all_routes(&mut drafts, &nets, &mut errors);
    let order = order::resolve(&groups, &spec.links, &mut errors);
    let published = machine::check_network_modes(&groups, &drafts, &nets, &mut errors);
    groups.all().iter().for_each(|group| machine::check_container(&project, group, &groups, &mut errors));
    let mut machines = machines(&project, context, &groups, &volumes, &order, &published, &mut errors);
    let networks = network::build(&project, &nets, &drafts);
    for (name, rules) in tuning::rules(&groups, &drafts, &mut errors) {
        machines.entry(name).and_modify(|machine| machine.routing.rules = rules);
    }
    for draft in &drafts {
        if let Some(machine) = machines.get_mut(&draft.machine) {
            machine.routing.routes.extend(draft.dead_ends.iter().cloned());
        }
    }
    for (name, card, mut nic) in cards(&project, &groups, &nets, drafts) {
        if let Some(machine) = machines.get_mut(&name) {
            // Engines before 28 make the host name an alias unasked, so it is asked for everywhere.
            if let (Attach::Nat { endpoint, .. }, Some(hostname)) = (&mut nic.attach, &machine.container.hostname) {
                endpoint.aliases.insert(hostname.clone());
            }
            machine.nics.insert(card, nic);
        }
    }
    for (name, machine) in &mut machines {
        guest::personal(name, machine);
    }
    guest::check_ports(&groups, &machines, &mut errors);
    let unknown = hosts::Unknown { networks: nets.broken || spec.broken.has("links"), addresses: nets.values().any(|net| net.broken) };
    hosts::resolve(&groups, unknown, &mut machines, &mut errors);
    if !errors.is_empty() {
        return Err(errors.finish());
    }
    let order =
        machines.iter().map(|(name, machine)| (name.clone(), machine.depends_on.keys().cloned().collect::<BTreeSet<Name>>())).collect();
    let agent = context.agent.clone().filter(|_| spec.agent.as_ref().is_none_or(|wanted| wanted.value));
    Ok(Desired { project, agent, networks, volumes: volumes.all, machines, cables, order, orphan_volumes: OrphanVolumes::Keep, only: None })
}

/// The name in the file, or what a name can have of the folder's.
fn project(spec: &Spec, context: &Context, errors: &mut Errors) -> Name {
    let nameless = || Name::new("project").expect("`project` is a name");
    if let Some(name) = &spec.name {
        return Name::new(name.value.clone()).unwrap_or_else(|error| {
            errors.push(Diagnostic::invalid(error.to_string()).at(&name.place).hint("name: shop"));
            nameless()
        });
    }
    let folder = context.directory.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_lowercase();
    let kept: String = folder.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).take(Name::MAX).collect();
    Name::new(kept.trim_start_matches(['_', '-'])).unwrap_or_else(|_| {
        let message = format!("the project has no name, and its folder `{}` gives none", context.directory);
        errors.push(Diagnostic::invalid(message).hint("`name: shop` at the top of the file"));
        nameless()
    })
}

fn all_routes(drafts: &mut [Draft], nets: &Nets, errors: &mut Errors) {
    let mut machines: BTreeMap<Name, Vec<&mut Draft>> = BTreeMap::new();
    for draft in drafts {
        machines.entry(draft.machine.clone()).or_default().push(draft);
    }
    for cards in machines.values_mut() {
        routes::resolve(cards, nets, errors);
    }
}

fn machines(
    project: &Name,
    context: &Context,
    groups: &Groups,
    volumes: &Volumes,
    order: &order::Order,
    with_ports: &BTreeSet<&Name>,
    errors: &mut Errors,
) -> BTreeMap<Name, Machine> {
    let mut machines = BTreeMap::new();
    let mut published = vec![];
    for group in groups.all() {
        let mut container = machine::container(group, context, volumes, groups, errors);
        systemd::prepare(group, &mut container, errors);
        let places = machine::places(group);
        let guest = guest::resolve(project, group, context, errors);
        let needs: BTreeMap<Name, Condition> = order.needs.get(&group.base).cloned().unwrap_or_default();
        for (number, name) in group.names.iter().enumerate() {
            let mut container = machine::personal(container.clone(), project, name);
            let ports = if with_ports.contains(&group.base) { ports::resolve(group, number, errors) } else { vec![] };
            container.ports = ports.iter().map(|(port, _)| port.clone()).collect();
            published.push((name.clone(), ports));
            let completed = order.completed.contains(name);
            let machine = Machine {
                name: name.in_project(project),
                container,
                guest: guest.clone(),
                systemd: systemd::is_wanted(group),
                pull_policy: group.spec.pull_policy.as_ref().map(|policy| policy.value).unwrap_or_default(),
                state: if completed { DesiredState::RunningOrCompleted } else { DesiredState::Running },
                nics: BTreeMap::new(),
                routing: Routing::default(),
                hosts: crate::types::HostEntries::default(),
                depends_on: needs.clone(),
                places: places.clone(),
            };
            machines.entry(name.clone()).or_insert(machine);
        }
    }
    ports::check_twice(&published, errors);
    machines
}

fn cards(project: &Name, groups: &Groups, nets: &Nets, drafts: Vec<Draft>) -> Vec<(Name, IfName, Nic)> {
    let bases: BTreeMap<&Name, &Name> =
        groups.all().iter().flat_map(|group| group.names.iter().map(move |name| (name, &group.base))).collect();
    let card = |draft: Draft| {
        let base = (*bases.get(&draft.machine)?).clone();
        let (machine, name) = (draft.machine.clone(), draft.name.clone());
        Some((machine, name, nic::build(project, draft, &base, nets)?))
    };
    drafts.into_iter().filter_map(card).collect()
}
