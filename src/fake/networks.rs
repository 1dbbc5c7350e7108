//! The engine's networks and volumes: bridges on the host, and cards that it plugs into containers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::faults::{Done, FaultKind, refuse};
use super::state::{FakeLink, HOST, Kind, Network, NsId, Plug, State, Volume};
use crate::net::HostsLine;
use crate::types::{Endpoint, EngineNetwork, HostEntry, LABEL_PROJECT, LABEL_RESOURCE, Mac, Route};

impl State {
    pub(super) fn network(&self, name: &str) -> Done<&Network> {
        match self.networks.get(name) {
            Some(found) => Ok(found),
            None => refuse(FaultKind::NotFound, format!("network {name} not found")),
        }
    }

    pub(super) fn create_network(&mut self, name: &str, network: &EngineNetwork) -> Done {
        if let Some(there) = self.networks.get(name) {
            let same = is_marked_alike(&there.settings.labels, &network.labels);
            return if same { Ok(()) } else { refuse(FaultKind::Conflict, format!("network with name {name} already exists")) };
        }
        let mut wanted = network.clone();
        if wanted.subnets.is_empty() {
            wanted.subnets.insert(self.free_subnet()?);
        }
        let overlaps = |subnet: &IpNet, other: &IpNet| subnet.contains(other) || other.contains(subnet);
        for (other_name, other) in &self.networks {
            if wanted.subnets.iter().any(|subnet| other.settings.subnets.iter().any(|other| overlaps(subnet, other))) {
                return refuse(FaultKind::Conflict, format!("pool overlaps with other one on this address space: {other_name}"));
            }
        }
        for subnet in &wanted.subnets {
            if !wanted.gateways.iter().any(|gateway| subnet.contains(gateway)) {
                wanted.gateways.extend(subnet.hosts().next());
            }
        }
        let id = self.new_id();
        let bridge = wanted.bridge.get_or_insert_with(|| format!("br-{}", &id[..12])).clone();
        if self.link(HOST, &bridge).is_some() {
            return refuse(FaultKind::Conflict, format!("bridge {bridge} exists already"));
        }
        let index = self.add_bridge(&bridge);
        let link = self.links(HOST).get_mut(&bridge).expect("just made");
        link.made_for = Some(name.to_owned());
        link.mtu = wanted.mtu.unwrap_or(1500);
        let on = |gateway: &IpAddr| wanted.subnets.iter().find(|subnet| subnet.contains(gateway)).copied();
        link.addresses = wanted.gateways.iter().filter_map(|gateway| with_prefix(*gateway, on(gateway)?)).collect();
        self.networks.insert(name.to_owned(), Network { id, settings: wanted, bridge: index });
        Ok(())
    }

    fn free_subnet(&self) -> Done<IpNet> {
        let taken = |net: &IpNet| self.networks.values().any(|other| other.settings.subnets.contains(net));
        let mut all = (18..=31).map(|second| IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(172, second, 0, 0), 16)));
        match all.find(|net| !taken(net)) {
            Some(net) => Ok(net),
            None => refuse(FaultKind::Other, "could not find an available, non-overlapping pool"),
        }
    }

    pub(super) fn delete_network(&mut self, name: &str) -> Done {
        let Some(network) = self.networks.get(name) else { return Ok(()) };
        let id = network.id.clone();
        let is_on = |plugs: &BTreeMap<String, Plug>| plugs.values().any(|plug| plug.network_id == id);
        if let Some((user, _)) = self.containers.iter().find(|(_, c)| c.pid.is_some() && is_on(&c.plugs)) {
            return refuse(FaultKind::Conflict, format!("network {name} has active endpoints: {user}"));
        }
        if let Some(gone) = self.networks.remove(name) {
            self.remove_link(gone.bridge);
        }
        Ok(())
    }

    pub(super) fn create_volume(&mut self, name: &str, labels: &BTreeMap<String, String>) -> Done {
        match self.volumes.get(name) {
            // The engine says yes and keeps the old labels: who made it shows when they are read back.
            Some(there) if !is_marked_alike(&there.labels, labels) => {
                refuse(FaultKind::Conflict, format!("volume {name} exists already and is not this project's"))
            }
            Some(_) => Ok(()),
            None => {
                self.volumes.insert(name.to_owned(), Volume { labels: labels.clone() });
                Ok(())
            }
        }
    }

    pub(super) fn delete_volume(&mut self, name: &str) -> Done {
        if let Some(user) = self.users_of(name) {
            return refuse(FaultKind::Conflict, format!("volume is in use: {user}"));
        }
        self.volumes.remove(name);
        Ok(())
    }

    pub(super) fn connect(&mut self, container: &str, network: &str, endpoint: &Endpoint) -> Done {
        let network_id = self.network(network)?.id.clone();
        let instance = self.instance(container)?;
        if instance.shares.is_some() {
            return refuse(FaultKind::Other, "container sharing network namespace with another container cannot be connected");
        }
        if instance.ns == Some(HOST) {
            return refuse(FaultKind::Other, "container cannot be disconnected from host network");
        }
        let is_up = instance.pid.is_some();
        if is_up && instance.plugs.get(network).is_some_and(|plug| plug.network_id == network_id && plug.remembered.is_some()) {
            return Ok(());
        }
        instance.plugs.insert(network.to_owned(), Plug { network_id, endpoint: endpoint.clone(), remembered: None });
        if is_up {
            if let Err(refusal) = self.plug_in(container, network) {
                self.instance(container)?.plugs.remove(network);
                return Err(refusal);
            }
            self.publish(container);
        }
        Ok(())
    }

    /// Gives a container that runs its card on a network.
    pub(super) fn plug_in(&mut self, container: &str, network: &str) -> Done {
        let (id, settings, bridge) = {
            let network = self.network(network)?;
            (network.id.clone(), network.settings.clone(), network.bridge)
        };
        let instance = self.instance(container)?;
        let Some(ns) = instance.ns else { return refuse(FaultKind::Other, "it does not run") };
        let plug = instance.plugs.get(network).cloned();
        let Some(plug) = plug.filter(|plug| plug.network_id == id) else {
            // The engine remembers networks by id: one made anew under the same name is another one.
            return refuse(FaultKind::NotFound, format!("the network that it was connected to as {network} is gone"));
        };
        let mut endpoint = plug.endpoint;
        let taken = self.addresses_on(&id, container);
        if endpoint.ipv4.is_some_and(|ip| taken.contains(&IpAddr::V4(ip)))
            || endpoint.ipv6.is_some_and(|ip| taken.contains(&IpAddr::V6(ip)))
        {
            return refuse(FaultKind::Conflict, "address already in use");
        }
        if endpoint.ipv4.is_none() {
            endpoint.ipv4 = free_address(&settings, &taken);
        }
        self.choose_way_out(ns, &settings)?;
        let card = self.card_name(container, ns, &endpoint)?;
        self.make_card(ns, &card, &endpoint, (network, &settings, bridge));
        let instance = self.instance(container)?;
        let own = instance.hostname();
        let lines = endpoint.ipv4.map(IpAddr::V4).into_iter().chain(endpoint.ipv6.map(IpAddr::V6));
        instance.hosts.extend(lines.map(|address| HostsLine { entry: HostEntry { name: own.clone(), address }, marked: false }));
        instance.plugs.insert(network.to_owned(), Plug { network_id: id, endpoint, remembered: Some(card) });
        Ok(())
    }

    /// With every network the engine chooses the way out anew: it takes away the one that it made, and fails over another's.
    fn choose_way_out(&mut self, ns: NsId, settings: &EngineNetwork) -> Done {
        if settings.internal || !settings.gateways.iter().any(IpAddr::is_ipv4) {
            return Ok(());
        }
        let is_v4_default = |route: &Route| route.is_way_out() && route.to.addr().is_ipv4();
        if self.links_of(ns).any(|link| link.made_for.is_none() && link.routes.iter().any(is_v4_default)) {
            return refuse(FaultKind::Other, "failed to set gateway while updating gateway: file exists");
        }
        for link in self.links(ns).values_mut() {
            link.routes.retain(|route| !is_v4_default(route));
        }
        Ok(())
    }

    fn addresses_on(&self, network_id: &str, but: &str) -> BTreeSet<IpAddr> {
        let others = self.containers.iter().filter(|(name, container)| *name != but && container.pid.is_some());
        let plugs = others.flat_map(|(_, container)| container.plugs.values()).filter(|plug| plug.network_id == network_id);
        plugs.flat_map(|plug| plug.endpoint.ipv4.map(IpAddr::V4).into_iter().chain(plug.endpoint.ipv6.map(IpAddr::V6))).collect()
    }

    /// `eth0`, `eth1`, … in this life of the namespace; from version 28 on what was asked for. A name that is in use makes the
    /// engine fail, and its counter goes on: who asks again until it works gets what this gives at once.
    fn card_name(&mut self, container: &str, ns: NsId, endpoint: &Endpoint) -> Done<String> {
        let major: u32 = self.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
        if let Some(name) = endpoint.ifname.as_ref().filter(|_| major >= 28) {
            if self.link(ns, name.as_str()).is_some() {
                return refuse(FaultKind::Other, format!("error renaming interface to {name}: file exists"));
            }
            return Ok(name.to_string());
        }
        loop {
            let instance = self.instance(container)?;
            let name = format!("eth{}", instance.next_card);
            instance.next_card += 1;
            if self.link(ns, &name).is_none() {
                return Ok(name);
            }
        }
    }

    fn make_card(&mut self, ns: NsId, card: &str, endpoint: &Endpoint, (network, settings, bridge): (&str, &EngineNetwork, u32)) {
        let (inner, outer) = (self.next(), self.next());
        let on = |address: IpAddr| settings.subnets.iter().find(|subnet| subnet.contains(&address)).copied();
        let addresses = endpoint.ipv4.map(IpAddr::V4).into_iter().chain(endpoint.ipv6.map(IpAddr::V6));
        let gateways = settings.gateways.iter().filter(|_| !settings.internal);
        // One default route of each family in a namespace: the first network's.
        let has = |v4: bool| self.links_of(ns).any(|link| link.routes.iter().any(|r| r.is_way_out() && r.to.addr().is_ipv4() == v4));
        let (has4, has6) = (has(true), has(false));
        let gateways = gateways.filter(|gateway| if gateway.is_ipv4() { !has4 } else { !has6 && endpoint.ipv6.is_some() });
        let link = FakeLink {
            // Engines before 28 make the MAC from the address; later ones make one up, unless one is given.
            mac: endpoint.ipv4.map_or_else(|| FakeLink::new(inner, Kind::Bridge).mac, mac_of),
            mtu: settings.mtu.unwrap_or(1500),
            up: true,
            addresses: addresses.filter_map(|address| with_prefix(address, on(address)?)).collect(),
            routes: gateways.map(|gateway| default_by(*gateway)).collect(),
            made_for: Some(network.to_owned()),
            ..FakeLink::new(inner, Kind::Veth { peer: outer })
        };
        let port = FakeLink {
            mtu: link.mtu,
            up: true,
            master: Some(bridge),
            made_for: Some(network.to_owned()),
            ..FakeLink::new(outer, Kind::Veth { peer: inner })
        };
        self.links(ns).insert(card.to_owned(), link);
        self.links(HOST).insert(format!("veth{outer:07x}"), port);
    }

    pub(super) fn disconnect(&mut self, container: &str, network: &str) -> Done {
        let instance = self.instance(container)?;
        let ns = instance.ns;
        let Some(plug) = instance.plugs.remove(network) else { return Ok(()) };
        // The engine's fault: the lines of all networks for the container's own name go.
        let own = instance.hostname();
        instance.hosts.retain(|line| line.entry.name != own || line.marked);
        if let (Some(ns), Some(remembered)) = (ns, plug.remembered) {
            // Whoever bears that name now.
            if let Some(index) = self.link(ns, &remembered).map(|link| link.index) {
                self.remove_link(index);
            }
        }
        self.publish(container);
        Ok(())
    }

    pub(super) fn links_of(&self, ns: NsId) -> impl Iterator<Item = &FakeLink> {
        self.namespaces.get(&ns).into_iter().flat_map(BTreeMap::values)
    }
}

fn is_marked_alike(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> bool {
    let mark = |labels: &BTreeMap<String, String>| (labels.get(LABEL_PROJECT).cloned(), labels.get(LABEL_RESOURCE).cloned());
    mark(one) == mark(other) && one.contains_key(LABEL_PROJECT)
}

fn with_prefix(address: IpAddr, subnet: IpNet) -> Option<IpNet> {
    IpNet::new(address, subnet.prefix_len()).ok()
}

fn default_by(gateway: IpAddr) -> Route {
    let to = if gateway.is_ipv4() { IpNet::from(Ipv4Net::default()) } else { IpNet::from(ipnet::Ipv6Net::default()) };
    Route::new(to, Some(gateway))
}

fn mac_of(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    Mac::new([0x02, 0x42, a, b, c, d]).expect("0x02 is no group and not zero")
}

fn free_address(settings: &EngineNetwork, taken: &BTreeSet<IpAddr>) -> Option<Ipv4Addr> {
    let subnet = settings.subnets.iter().find_map(|subnet| match subnet {
        IpNet::V4(subnet) => Some(*subnet),
        IpNet::V6(_) => None,
    })?;
    subnet.hosts().take(1 << 16).find(|ip| !taken.contains(&IpAddr::V4(*ip)) && !settings.gateways.contains(&IpAddr::V4(*ip)))
}
