//! Containers: what the engine does with them, and what it merges in from their image.

use std::collections::{BTreeMap, BTreeSet};

use super::faults::{Done, FaultKind, refuse};
use super::state::{DEFAULT_BRIDGE, HOST, Image, Instance, NsId, Plug, State, Volume};
use crate::engine::{Health, RunState, WaitFor};
use crate::net::HostsLine;
use crate::types::{
    Bytes, Container, Endpoint, Healthcheck, HostEntry, ImageDefaults, LABEL_MACHINE, LABEL_PROJECT, Limits, Mount, MountSource,
    NetworkMode, Port, Restart, Seconds,
};

impl State {
    pub(super) fn instance(&mut self, name: &str) -> Done<&mut Instance> {
        match self.containers.get_mut(name) {
            Some(found) => Ok(found),
            None => refuse(FaultKind::NotFound, format!("no such container: {name}")),
        }
    }

    pub(super) fn by_id(&self, id: &str) -> Option<(&str, &Instance)> {
        self.containers.iter().find(|(_, container)| container.id == id).map(|(name, container)| (name.as_str(), container))
    }

    pub(super) fn create_container(&mut self, name: &str, container: &Container, network: Option<&(String, Endpoint)>) -> Done {
        if let Some(there) = self.containers.get(name) {
            let mark = |labels: &BTreeMap<String, String>| (labels.get(LABEL_PROJECT).cloned(), labels.get(LABEL_MACHINE).cloned());
            let same = mark(&there.container.labels) == mark(&container.labels) && container.labels.contains_key(LABEL_PROJECT);
            return if same { Ok(()) } else { refuse(FaultKind::Conflict, format!("the name {name} is in use already")) };
        }
        let Some(image) = self.images.get(&container.image).cloned() else {
            return refuse(FaultKind::NotFound, format!("no such image: {}", container.image));
        };
        let shares = match &container.network_mode {
            NetworkMode::Own | NetworkMode::Host => None,
            NetworkMode::Container(other) => Some(self.id_of(other)?),
            NetworkMode::Machine(machine) => {
                let project = container.labels.get(LABEL_PROJECT).and_then(|text| super::name(text));
                let other = project.map_or_else(|| machine.to_string(), |project| machine.in_project(&project));
                Some(self.id_of(&other)?)
            }
        };
        let mut plugs = BTreeMap::new();
        if let Some((network, endpoint)) = network {
            let network_id = self.network(network)?.id.clone();
            plugs.insert(network.clone(), Plug { network_id, endpoint: endpoint.clone(), remembered: None });
        }
        if let Some(version) = container.guest.as_ref().filter(|version| !self.guests.contains(*version)) {
            return refuse(FaultKind::NotFound, format!("guest {version} is not installed"));
        }
        self.add_host_key(container);
        let id = self.new_id();
        let (container, anonymous) = self.merged(container, &image);
        let instance = Instance {
            id,
            container,
            image_id: image.id,
            state: RunState::Created,
            health: Health::None,
            pid: None,
            ns: None,
            started: 0,
            plugs,
            next_card: 0,
            hosts: BTreeSet::new(),
            published: BTreeSet::new(),
            guest: None,
            anonymous,
            shares,
        };
        self.containers.insert(name.to_owned(), instance);
        Ok(())
    }

    fn id_of(&self, name_or_id: &str) -> Done<String> {
        let by_id = || self.containers.values().find(|container| container.id.starts_with(name_or_id));
        let found = self.containers.get(name_or_id).or_else(by_id);
        match found {
            Some(container) => Ok(container.id.clone()),
            None => refuse(FaultKind::NotFound, format!("no such container: {name_or_id}")),
        }
    }

    /// What inspect will show, and the volumes that were made for it.
    fn merged(&mut self, asked: &Container, image: &Image) -> (Container, BTreeSet<String>) {
        let mut container = asked.clone();
        merge(&mut container, &image.defaults);
        // What the engine adds to a privileged one is not read back.
        container.security_opt = container.security_options().cloned().collect();
        for place in &image.defaults.volumes {
            let anonymous = || Mount::of(MountSource::Anonymous);
            if !container.tmpfs.contains_key(place) {
                container.mounts.entry(place.clone()).or_insert_with(anonymous);
            }
        }
        let mut made = BTreeSet::new();
        for mount in container.mounts.values_mut() {
            match &mount.source {
                MountSource::Anonymous => {
                    let name = self.new_id();
                    made.insert(name.clone());
                    self.volumes.insert(name.clone(), Volume { labels: BTreeMap::new() });
                    mount.source = MountSource::Volume(name);
                }
                // The engine makes what is missing, without any label.
                MountSource::Volume(name) => drop(self.volumes.entry(name.clone()).or_insert(Volume { labels: BTreeMap::new() })),
                MountSource::Bind(_) => {}
            }
        }
        (container, made)
    }

    pub(super) fn start_container(&mut self, name: &str) -> Done {
        let instance = self.instance(name)?;
        match instance.state {
            RunState::Running => return Ok(()),
            RunState::Dead => return refuse(FaultKind::Conflict, "it is being removed"),
            // `start` on a paused one is refused by the engine: unpause is another call.
            RunState::Paused => return refuse(FaultKind::Conflict, "it is paused: unpause it instead"),
            RunState::Created | RunState::Restarting | RunState::Exited { .. } => {}
        }
        let (wanted, shares, plugs) = (instance.container.clone(), instance.shares.clone(), instance.plugs.clone());
        self.ports_are_free(name, &wanted.ports, !plugs.is_empty())?;
        let ns = self.namespace_for(&wanted.network_mode, shares.as_deref())?;
        let lines = self.given_lines(&wanted)?;
        let (pid, started) = (self.next(), self.next());
        let instance = self.instance(name)?;
        instance.ns = Some(ns);
        instance.pid = Some(pid);
        instance.started = started;
        instance.state = RunState::Running;
        instance.health = if has_check(&wanted) { Health::Starting } else { Health::None };
        instance.next_card = 0;
        instance.hosts = lines;
        for network in plugs.keys() {
            if let Err(refusal) = self.plug_in(name, network) {
                self.kill(name, 128);
                self.instance(name)?.state = RunState::Created;
                return Err(refusal);
            }
        }
        self.publish(name);
        Ok(())
    }

    /// What the engine writes into `/etc/hosts` at every start, with its own address in place of `host-gateway`.
    fn given_lines(&self, container: &Container) -> Done<BTreeSet<HostsLine>> {
        let bridge = self.link(HOST, DEFAULT_BRIDGE).and_then(|link| link.addresses.first());
        if bridge.is_none() && !container.gateway_hosts.is_empty() {
            return refuse(FaultKind::Other, "unable to derive the IP value for host-gateway");
        }
        let gateway = |name: &String| bridge.map(|net| HostEntry { name: name.clone(), address: net.addr() });
        let entries = container.hosts.iter().cloned().chain(container.gateway_hosts.iter().filter_map(gateway));
        Ok(entries.map(|entry| HostsLine { entry, marked: false }).collect())
    }

    /// What has nothing to do ends before anybody has looked at it.
    pub(super) fn end_if_hasty(&mut self, name: &str) {
        let image = self.containers.get(name).map(|instance| instance.container.image.clone());
        let Some(image) = image.filter(|image| self.hasty.contains(image)) else { return };
        if let Some(code) = self.images.get(&image).and_then(|image| image.ends_with) {
            self.kill(name, code);
        }
    }

    fn namespace_for(&mut self, mode: &NetworkMode, shares: Option<&str>) -> Done<NsId> {
        match (mode, shares) {
            (NetworkMode::Host, _) => Ok(HOST),
            (_, Some(other)) => match self.by_id(other) {
                None => refuse(FaultKind::NotFound, format!("no such container: {other}")),
                Some((name, container)) => match container.ns.filter(|_| container.pid.is_some()) {
                    Some(ns) => Ok(ns),
                    None => refuse(FaultKind::Conflict, format!("cannot join network of a non running container: {name}")),
                },
            },
            (_, None) => Ok(self.new_namespace()),
        }
    }

    fn ports_are_free(&self, name: &str, ports: &BTreeSet<Port>, has_network: bool) -> Done {
        let others = self.containers.iter().filter(|(other, container)| *other != name && container.pid.is_some());
        let mut used = others.flat_map(|(_, container)| &container.published);
        let clash = |port: &Port, used: &Port| {
            let is_given = port.published.is_some() && port.last.is_none();
            is_given && port.published == used.published && port.protocol == used.protocol && has_network
        };
        match used.find_map(|used| ports.iter().find(|port| clash(port, used))) {
            Some(port) => refuse(FaultKind::Conflict, format!("port is already allocated: {port}")),
            None => Ok(()),
        }
    }

    /// Ports are published while there is a network of the engine's to publish them by.
    pub(super) fn publish(&mut self, name: &str) {
        let Some(instance) = self.containers.get(name) else { return };
        let is_plugged = instance.pid.is_some() && !instance.plugs.is_empty();
        let ports = if is_plugged { instance.container.ports.clone() } else { BTreeSet::new() };
        let others = self.containers.iter().filter(|(other, container)| *other != name && container.pid.is_some());
        let used: BTreeSet<u16> = others.flat_map(|(_, container)| &container.published).filter_map(|port| port.published).collect();
        let mut free = 49152;
        let pick = |mut port: Port| {
            free += 1;
            match (port.published, port.last.take()) {
                (Some(first), Some(last)) => port.published = (first..=last).find(|number| !used.contains(number)),
                (Some(_), None) => {}
                (None, _) => port.published = Some(free),
            }
            port
        };
        let published = ports.into_iter().map(pick).collect();
        if let Some(instance) = self.containers.get_mut(name) {
            instance.published = published;
        }
    }

    /// The first process ends, for whatever reason.
    pub(super) fn kill(&mut self, name: &str, code: i64) {
        let Some(instance) = self.containers.get_mut(name) else { return };
        if instance.pid.take().is_none() {
            return;
        }
        instance.state = RunState::Exited { code };
        instance.health = Health::None;
        instance.published.clear();
        instance.hosts.clear();
        for plug in instance.plugs.values_mut() {
            plug.remembered = None;
        }
        if let Some(ns) = instance.ns.take() {
            self.end_namespace(ns);
        }
    }

    pub(super) fn stop_container(&mut self, name: &str) -> Done {
        self.instance(name)?;
        self.kill(name, 143);
        Ok(())
    }

    pub(super) fn unpause_container(&mut self, name: &str) -> Done {
        let instance = self.instance(name)?;
        if instance.state == RunState::Paused {
            instance.state = RunState::Running;
        }
        Ok(())
    }

    pub(super) fn remove_container(&mut self, name: &str, volumes: &BTreeSet<String>) {
        self.kill(name, 137);
        let Some(gone) = self.containers.remove(name) else { return };
        for volume in gone.anonymous.iter().chain(volumes) {
            if self.users_of(volume).is_none() {
                self.volumes.remove(volume);
            }
        }
    }

    /// A container that has this volume.
    pub(super) fn users_of(&self, volume: &str) -> Option<&str> {
        let has = |mount: &Mount| matches!(&mount.source, MountSource::Volume(name) if name == volume);
        self.containers.iter().find(|(_, container)| container.container.mounts.values().any(has)).map(|(name, _)| name.as_str())
    }

    pub(super) fn rename_container(&mut self, name: &str, to: &str) -> Done {
        match (self.containers.contains_key(name), self.containers.contains_key(to)) {
            (true, true) => refuse(FaultKind::Conflict, format!("the name {to} is in use already")),
            (true, false) => {
                let container = self.containers.remove(name).into_iter();
                self.containers.extend(container.map(|container| (to.to_owned(), container)));
                Ok(())
            }
            // Done already.
            (false, true) => Ok(()),
            (false, false) => refuse(FaultKind::NotFound, format!("no such container: {name}")),
        }
    }

    pub(super) fn update_container(&mut self, name: &str, limits: &Limits, restart: Restart) -> Done {
        if limits.memory.is_some_and(|memory| memory < Bytes(6 << 20)) {
            return refuse(FaultKind::Other, "minimum memory limit allowed is 6MB");
        }
        let instance = self.instance(name)?;
        instance.container.limits = limits.clone();
        instance.container.restart = restart;
        Ok(())
    }

    pub(super) fn wait(&mut self, name: &str, until: WaitFor) -> Done {
        let image = self.instance(name)?.image_id.clone();
        let ends_with = self.images.values().find(|other| other.id == image).and_then(|image| image.ends_with);
        let state = self.instance(name)?.state;
        match (until, state, ends_with) {
            (WaitFor::Healthy, RunState::Running, _) => {
                let instance = self.instance(name)?;
                if instance.health == Health::Starting {
                    instance.health = Health::Healthy;
                }
                Ok(())
            }
            (WaitFor::Healthy, ..) => refuse(FaultKind::Other, "it does not run"),
            (WaitFor::Completed, RunState::Exited { code: 0 }, _) => Ok(()),
            (WaitFor::Completed, RunState::Exited { code }, _) => refuse(FaultKind::Other, format!("it ended with {code}")),
            (WaitFor::Completed, RunState::Running, Some(code)) => {
                self.kill(name, code);
                if code == 0 { Ok(()) } else { refuse(FaultKind::Other, format!("it ended with {code}")) }
            }
            (WaitFor::Completed, ..) => refuse(FaultKind::Timeout, "it goes on and on"),
        }
    }
}

fn has_check(container: &Container) -> bool {
    container.healthcheck.as_ref().is_some_and(|check| check.test.first().is_some_and(|first| first != "NONE"))
}

/// The engine's own merging of an image's values into a container's (`merge` in its `daemon/commit.go`).
fn merge(container: &mut Container, image: &ImageDefaults) {
    let is_empty = |words: &Option<Vec<String>>| words.as_ref().is_none_or(Vec::is_empty);
    // An entrypoint of one's own takes the image's command along.
    if is_empty(&container.entrypoint) {
        if is_empty(&container.command) {
            container.command.clone_from(&image.command);
        }
        if container.entrypoint.is_none() {
            container.entrypoint.clone_from(&image.entrypoint);
        }
    }
    for (key, value) in &image.environment {
        container.environment.entry(key.clone()).or_insert_with(|| value.clone());
    }
    for (key, value) in &image.labels {
        container.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    let fill = |own: &mut Option<String>, image: &Option<String>| {
        if own.is_none() {
            own.clone_from(image);
        }
    };
    fill(&mut container.user, &image.user);
    fill(&mut container.working_dir, &image.working_dir);
    fill(&mut container.stop_signal, &image.stop_signal);
    container.healthcheck = merged_check(container.healthcheck.take(), image.healthcheck.as_ref());
}

fn merged_check(own: Option<Healthcheck>, image: Option<&Healthcheck>) -> Option<Healthcheck> {
    let (Some(own), Some(image)) = (own.clone(), image) else { return own.or_else(|| image.cloned()) };
    // To the engine zero is "not said".
    let time = |own: Option<Seconds>, image: Option<Seconds>| own.filter(|time| time.nanos() > 0).or(image);
    Some(Healthcheck {
        test: if own.test.is_empty() { image.test.clone() } else { own.test },
        interval: time(own.interval, image.interval),
        timeout: time(own.timeout, image.timeout),
        start_period: time(own.start_period, image.start_period),
        start_interval: time(own.start_interval, image.start_interval),
        retries: own.retries.filter(|times| *times > 0).or(image.retries),
    })
}
