//! What the kernel does when something about a link is changed.

use super::faults::{Done, FaultKind, refuse};
use super::state::{HOST, Kind, NsId, State};
use crate::net::LinkSet;
use crate::types::{Route, Routing, Traffic};

impl State {
    /// Changes a link, in the order in which the kernel has to be told.
    pub(super) fn change(&mut self, ns: NsId, name: &str, set: &LinkSet) -> Done {
        if let Some(mac) = set.mac {
            let link = self.link_mut(ns, name)?;
            let parent = if let Kind::Macvlan { parent, .. } = link.kind { Some(parent) } else { None };
            let index = link.index;
            let is_twin = |kind: &Kind| matches!((kind, parent), (Kind::Macvlan { parent: a, .. }, Some(b)) if *a == b);
            let mut links = self.namespaces.values().flat_map(|links| links.values());
            if links.any(|link| is_twin(&link.kind) && link.mac == mac && link.index != index) {
                return refuse(FaultKind::Conflict, "another macvlan on this parent has that MAC: address already in use");
            }
            let link = self.link_mut(ns, name)?;
            link.mac = mac;
            link.tuning.neighbours.clear();
        }
        for (sysctl, value) in &set.tune.sysctls {
            let link = self.link_mut(ns, name)?;
            link.tuning.sysctls.insert(*sysctl, *value);
            if sysctl.is_disable_ipv6() && *value != 0 {
                link.addresses.retain(|address| address.addr().is_ipv4());
            }
        }
        if let Some(kind) = &set.kind {
            self.become_as(ns, name, kind)?;
        }
        if let Some(group) = set.group {
            self.link_mut(ns, name)?.group = group;
        }
        if let Some(mtu) = set.mtu {
            self.set_mtu(ns, name, mtu)?;
        }
        if let Some(master) = &set.master {
            let index = match self.link(HOST, master) {
                Some(bridge) if ns == HOST && bridge.kind == Kind::Bridge => bridge.index,
                _ => return refuse(FaultKind::NotFound, format!("there is no bridge {master}")),
            };
            self.link_mut(ns, name)?.master = Some(index);
        }
        let link = self.link_mut(ns, name)?;
        link.addresses.retain(|address| !set.remove_addresses.contains(address));
        link.addresses.extend(&set.add_addresses);
        link.drop_dead_routes();
        if let Some(up) = set.up {
            link.up = up;
            link.drop_dead_routes();
        }
        link.change_neighbours(&set.tune);
        link.routes.retain(|route| !set.remove_routes.contains(route));
        // Routes without a router first: the others may need them.
        let (near, far): (Vec<_>, Vec<_>) = set.keep_routes.iter().chain(&set.add_routes).partition(|route| route.via.is_none());
        for route in near.into_iter().chain(far) {
            self.add_route(ns, name, route, set.add_routes.contains(route))?;
        }
        match &set.tune.traffic {
            Some(traffic) => self.shape_traffic(ns, name, traffic),
            None => Ok(()),
        }
    }

    /// At both ends, where the other one is on the host.
    fn shape_traffic(&mut self, ns: NsId, name: &str, traffic: &Traffic) -> Done {
        if traffic.module().is_some_and(|module| self.lacking.contains(module)) {
            return refuse(FaultKind::Other, "the kernel has no such module");
        }
        let link = self.link_mut(ns, name)?;
        link.tuning.traffic = traffic.clone();
        let Kind::Veth { peer } = link.kind else { return Ok(()) };
        let end = self.place(peer).filter(|(at, _)| ns != HOST && *at == HOST).map(|(_, name)| name.to_owned());
        if let Some(end) = end {
            self.link_mut(HOST, &end)?.tuning.traffic = traffic.clone();
        }
        Ok(())
    }

    pub(super) fn set_routing(&mut self, ns: NsId, add: &Routing, remove: &Routing) {
        for link in self.links(ns).values_mut() {
            link.routes.retain(|route| !add.routes.iter().any(|new| new.key() == route.key()));
        }
        let routing = self.routing.entry(ns).or_default();
        routing.routes.retain(|route| !remove.routes.contains(route) && !add.routes.iter().any(|new| new.key() == route.key()));
        routing.rules.retain(|rule| !remove.rules.contains(rule));
        routing.rules.extend(add.rules.iter().cloned());
        routing.routes.extend(add.routes.iter().cloned());
    }

    fn set_mtu(&mut self, ns: NsId, name: &str, mtu: u32) -> Done {
        let link = self.link_mut(ns, name)?;
        if let Kind::Macvlan { parent, .. } = link.kind {
            let whole = self.place(parent).and_then(|(ns, name)| self.link(ns, name)).map_or(0, |parent| parent.mtu);
            if mtu > whole {
                return refuse(FaultKind::Other, format!("its parent's MTU is {whole}: invalid argument"));
            }
        }
        self.link_mut(ns, name)?.mtu = mtu;
        Ok(())
    }

    fn add_route(&mut self, ns: NsId, name: &str, route: &Route, is_new: bool) -> Done {
        let link = self.link_mut(ns, name)?;
        if !link.up {
            return refuse(FaultKind::Other, format!("route {route}: network is down"));
        }
        if route.via.is_some_and(|via| !route.onlink && !link.is_on_link(via)) {
            return refuse(FaultKind::Other, format!("route {route}: no route to host"));
        }
        // One route to one place with one metric in a namespace: a new one takes another's place, one that is kept does not.
        let same = |other: &Route| other.key() == route.key();
        let index = link.index;
        for other in self.links(ns).values_mut() {
            if other.index != index && !is_new && other.routes.iter().any(same) {
                return refuse(FaultKind::Conflict, format!("route {route}: file exists"));
            }
            other.routes.retain(|other| !same(other));
        }
        if let Some(routing) = self.routing.get_mut(&ns) {
            if !is_new && routing.routes.iter().any(same) {
                return refuse(FaultKind::Conflict, format!("route {route}: file exists"));
            }
            routing.routes.retain(|other| !same(other));
        }
        self.link_mut(ns, name)?.routes.insert(route.clone());
        Ok(())
    }
}
