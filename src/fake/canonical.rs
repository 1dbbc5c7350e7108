//! The whole world as text, without what is different every time: numbers, ids and names that the engine makes up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::World;
use super::observe::{host_key_of, mark, owner_of};
use super::state::{FakeLink, HOST, Instance, Kind, State};
use crate::net::Orders;
use crate::types::{LABEL_RESOURCE, MountSource, Name, Owner, Tuning};

impl World {
    /// Everything. Two worlds with the same text cannot be told apart by somebody who does not look at the clock.
    pub fn canonical(&self) -> String {
        self.lock().text(None, |_| true)
    }

    /// Everything that is not `project`'s.
    pub fn foreign(&self, project: &Name) -> String {
        self.lock().text(Some(project), |owner| !owner(project).is_ours())
    }
}

impl State {
    fn text(&self, but: Option<&Name>, wanted: impl Fn(&dyn Fn(&Name) -> Owner) -> bool) -> String {
        let mut text = String::new();
        let mut say = |line: String| {
            let _ = writeln!(text, "{line}");
        };
        for (reference, image) in &self.images {
            say(format!("image {reference} {}", image.id));
        }
        for (name, volume) in &self.volumes {
            let is_anonymous = name.len() == 64 && self.users_of(name).is_some();
            let owner = |project: &Name| match host_key_of(name, &volume.labels, project) {
                Some(_) => Owner::Ours,
                None => mark(name, &volume.labels, LABEL_RESOURCE, project).0,
            };
            if !is_anonymous && wanted(&owner) {
                say(format!("volume {name} {:?}", volume.labels));
            }
        }
        for version in &self.guests {
            if wanted(&|_| Owner::Ours) {
                say(format!("guest {version}"));
            }
        }
        if let Some(agent) = self.agent.as_ref().filter(|_| wanted(&|_| Owner::Ours)) {
            say(format!("agent {agent:?}"));
        }
        for (project, orders) in &self.orders {
            if wanted(&|own| if own == project { Owner::Ours } else { Owner::Project(project.clone()) }) {
                // What the file said at the time only ever explains.
                say(format!("orders of {project} {}", Orders::work(orders)));
            }
        }
        for (name, network) in &self.networks {
            if wanted(&|project| mark(name, &network.settings.labels, LABEL_RESOURCE, project).0) {
                say(format!("network {name} {:?}", network.settings));
            }
        }
        for (bridge, comment) in &self.rules {
            let owner = |project: &Name| if comment.starts_with(&format!("fly:{project}/")) { Owner::Ours } else { Owner::Stranger };
            if wanted(&owner) {
                say(format!("rule {bridge} {comment}"));
            }
        }
        let host = self.namespaces.get(&HOST).into_iter().flatten();
        let host = host.filter(|(name, link)| wanted(&|project| self.host_owner(name, link, project)));
        let mut lines: Vec<_> = host.map(|(name, link)| format!("host {}", self.link_text(name, &lent(link, but)))).collect();
        // A card of the host's is the host's wherever it is.
        let all = self.namespaces.values().flat_map(BTreeMap::values);
        let away = all.filter_map(|link| Some((link, link.origin().filter(|origin| Some(&origin.project) == but)?)));
        lines.extend(away.map(|(link, origin)| format!("host {}", self.link_text(&origin.name, &link.as_it_was(&origin)))));
        // Some of their names are made up, and so would be their order.
        lines.sort();
        lines.into_iter().for_each(&mut say);
        for (name, instance) in &self.containers {
            if wanted(&|project| self.mark_of(name, instance, project).0) {
                self.container_text(name, instance, &mut say);
            }
        }
        let used: BTreeSet<_> = self.containers.values().filter_map(|instance| instance.ns).chain([HOST]).collect();
        for ns in self.namespaces.keys().filter(|ns| !used.contains(ns)) {
            say(format!("namespace without a process: {ns:?}"));
        }
        text
    }

    fn host_owner(&self, name: &str, link: &FakeLink, project: &Name) -> Owner {
        match link.made_for.as_ref().and_then(|network| Some((network, self.networks.get(network)?))) {
            Some((network, found)) => mark(network, &found.settings.labels, LABEL_RESOURCE, project).0,
            None => owner_of(name, link, project),
        }
    }

    fn container_text(&self, name: &str, instance: &Instance, say: &mut dyn FnMut(String)) {
        let mut container = instance.container.clone();
        for mount in container.mounts.values_mut() {
            if matches!(&mount.source, MountSource::Volume(name) if name.len() == 64) {
                mount.source = MountSource::Anonymous;
            }
        }
        say(format!("container {name} {:?} {:?} {container:?}", instance.state, instance.health));
        let shares = instance.shares.as_ref().map(|other| self.by_id(other).map_or("?", |(name, _)| name));
        say(format!("  published {:?} shares {shares:?}", instance.published));
        for (network, plug) in &instance.plugs {
            let is_there = self.networks.get(network).is_some_and(|found| found.id == plug.network_id);
            say(format!("  on {network} there {is_there} {:?}", plug.endpoint));
        }
        let own = instance.hostname();
        for line in instance.hosts.iter().filter(|line| line.entry.name != own) {
            say(format!("  hosts {} {}", line.entry, line.marked));
        }
        let links: Option<&BTreeMap<_, _>> = instance.ns.filter(|ns| *ns != HOST).and_then(|ns| self.namespaces.get(&ns));
        if let Some(routing) = instance.ns.filter(|ns| *ns != HOST).and_then(|ns| self.routing.get(&ns)).filter(|it| !it.is_empty()) {
            say(format!("  {routing:?}"));
        }
        for (name, link) in links.into_iter().flatten() {
            // In a machine the alias is for people: everything there is ours.
            say(format!("  {}", self.link_text(name, &FakeLink { alias: None, ..link.clone() })));
        }
    }

    fn link_text(&self, name: &str, link: &FakeLink) -> String {
        let kind = match &link.kind {
            Kind::Bridge => "bridge".to_owned(),
            Kind::Macvlan { parent, mode } => format!("macvlan {mode} on {}", self.end_text(*parent)),
            Kind::Ipvlan { parent, mode } => format!("ipvlan {mode} on {}", self.end_text(*parent)),
            Kind::Vlan { parent, id } => format!("vlan {id} on {}", self.end_text(*parent)),
            Kind::Vxlan { vni, port, parent, local } => {
                format!("vxlan {vni} {port} on {:?} {local:?} {:?}", parent.map(|index| self.end_text(index)), link.remotes)
            }
            Kind::Veth { peer } => format!("veth to {}", self.end_text(*peer)),
            Kind::Other(kind) => kind.clone(),
        };
        let alias = link.alias.as_deref().unwrap_or_default().split(" engine=").next().unwrap_or_default();
        let master = link.master.map(|index| self.end_text(index));
        let made_up = matches!(link.kind, Kind::Bridge | Kind::Vlan { .. } | Kind::Ipvlan { .. }) || link.mac.bytes()[0] == 0x4e;
        let mac = if made_up { "any".to_owned() } else { link.mac.to_string() };
        let (mtu, up, addresses, routes, group) = (link.mtu, link.up, &link.addresses, &link.routes, link.group);
        let tuning = &link.tuning;
        let tuning = if *tuning == Tuning::default() { String::new() } else { format!(" {tuning:?}") };
        format!(
            "{} {kind} mac {mac} mtu {mtu} up {up} in {master:?} {addresses:?} {routes:?} {group} {alias}{tuning} {:?} {:?} {}",
            made_name(name, link),
            link.users,
            link.sources,
            link.promiscuous
        )
    }

    fn end_text(&self, index: u32) -> String {
        let Some((ns, name)) = self.place(index) else { return "nothing".to_owned() };
        let link = self.link(ns, name).map_or_else(|| name.to_owned(), |link| made_name(name, link));
        let place = self.containers.iter().find(|(_, instance)| ns != HOST && instance.ns == Some(ns) && instance.shares.is_none());
        format!("{}:{link}", place.map_or("host", |(name, _)| name.as_str()))
    }
}

/// Without what a project does with a card that it uses and gives back.
fn lent(link: &FakeLink, project: Option<&Name>) -> FakeLink {
    let mut link = link.clone();
    let is_its = |user: &(Name, Name)| Some(&user.0) == project;
    if link.users.iter().any(is_its) {
        link.master = None;
        link.users.retain(|user| !is_its(user));
    }
    link
}

/// The engine's ends of its cables have names that it makes up.
fn made_name(name: &str, link: &FakeLink) -> String {
    if link.made_for.is_some() && name.starts_with("veth") { "veth*".to_owned() } else { name.to_owned() }
}
