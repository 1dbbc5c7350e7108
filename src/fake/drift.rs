//! What somebody does to the world by hand.

use super::World;
use super::faults::Done;
use super::state::{HOST, Image, Kind, NsId, State};
use crate::engine::{InRegistry, RunState};
use crate::net::LinkSet;
use crate::types::{Limits, Restart, Routing};

impl State {
    pub(super) fn pull(&mut self, reference: &str) -> Done {
        match self.registry.get(reference) {
            Some(image) => {
                let image: Image = image.clone();
                self.images.insert(reference.to_owned(), image);
                Ok(())
            }
            None => super::faults::refuse(super::FaultKind::NotFound, format!("manifest for {reference} not found")),
        }
    }

    pub(super) fn in_registry(&self, reference: &str) -> InRegistry {
        match (self.images.get(reference), self.registry.get(reference)) {
            (Some(here), Some(there)) if here.id == there.id => InRegistry::Same,
            (_, Some(there)) => InRegistry::Other(there.id.clone()),
            (_, None) => InRegistry::Silent(format!("manifest for {reference} not found")),
        }
    }

    fn ns_of(&self, container: &str) -> Option<NsId> {
        // The host's is not the container's.
        self.containers.get(container)?.ns.filter(|ns| *ns != HOST)
    }
}

impl World {
    /// The first process is killed; the engine does not start it again.
    pub fn drift_kill(&self, container: &str) {
        self.lock().kill(container, 137);
    }

    /// `docker restart`: a new namespace, and nothing in it but the engine's own cards.
    pub fn drift_restart(&self, container: &str) {
        let mut state = self.lock();
        state.kill(container, 137);
        // A container that cannot be started stays stopped, as it would.
        let _ = state.start_container(container);
    }

    pub fn drift_remove(&self, container: &str) {
        self.lock().remove_container(container, &std::collections::BTreeSet::new());
    }

    /// `docker rmi --force` of an image that a container runs: the name goes, the image stays.
    pub fn drift_untag(&self, reference: &str) {
        self.lock().images.remove(reference);
    }

    pub fn drift_pause(&self, container: &str) {
        if let Some(found) = self.lock().containers.get_mut(container).filter(|found| found.state == RunState::Running) {
            found.state = RunState::Paused;
        }
    }

    pub fn drift_rename(&self, container: &str, to: &str) {
        let _ = self.lock().rename_container(container, to);
    }

    pub fn drift_limits(&self, container: &str, limits: &Limits, restart: Restart) {
        let _ = self.lock().update_container(container, limits, restart);
    }

    pub fn drift_disconnect(&self, container: &str, network: &str) {
        let _ = self.lock().disconnect(container, network);
    }

    pub fn drift_delete_volume(&self, volume: &str) {
        let _ = self.lock().delete_volume(volume);
    }

    pub fn drift_delete_network(&self, network: &str) {
        let _ = self.lock().delete_network(network);
    }

    /// `ip link del` in a container, or with `None` on the host.
    pub fn drift_delete_link(&self, container: Option<&str>, link: &str) {
        let mut state = self.lock();
        let ns = container.map_or(Some(HOST), |name| state.ns_of(name));
        // The kernel deletes no hardware.
        let found = ns.and_then(|ns| state.link(ns, link)).filter(|link| !matches!(link.kind, Kind::Other(_)));
        if let Some(index) = found.map(|link| link.index) {
            state.remove_link(index);
        }
    }

    /// A card of the host's is pulled out.
    pub fn drift_unplug(&self, card: &str) {
        let mut state = self.lock();
        if let Some(index) = state.link(HOST, card).map(|link| link.index) {
            state.remove_link(index);
        }
    }

    /// `ip link set`, `ip addr` and `ip route` in a container, or with `None` on the host.
    pub fn drift_set_link(&self, container: Option<&str>, link: &str, set: &LinkSet) {
        let mut state = self.lock();
        if let Some(ns) = container.map_or(Some(HOST), |name| state.ns_of(name)) {
            let _ = state.change(ns, link, set);
        }
    }

    /// `ip rule` and `ip route` in a container: all that hangs on no link becomes this.
    pub fn drift_routing(&self, container: &str, routing: &Routing) {
        let mut state = self.lock();
        if let Some(ns) = state.ns_of(container) {
            let now = state.routing.get(&ns).cloned().unwrap_or_default();
            state.set_routing(ns, routing, &now);
        }
    }

    /// The kernel has not, and does not load, this module.
    pub fn lack(&self, module: &str) {
        self.lock().lacking.insert(module.to_owned());
    }

    /// `ip link set LINK name TO`.
    pub fn drift_rename_link(&self, container: &str, link: &str, to: &str) {
        let mut state = self.lock();
        let Some(ns) = state.ns_of(container).filter(|ns| state.link(*ns, to).is_none()) else { return };
        if let Some(found) = state.links(ns).remove(link) {
            state.links(ns).insert(to.to_owned(), found);
        }
    }

    /// Two links of a container exchange their names.
    pub fn drift_swap_names(&self, container: &str, one: &str, other: &str) {
        self.drift_rename_link(container, one, "swap");
        self.drift_rename_link(container, other, one);
        self.drift_rename_link(container, "swap", other);
    }

    /// Two links of a container exchange their MACs.
    pub fn drift_swap_macs(&self, container: &str, one: &str, other: &str) {
        let mut state = self.lock();
        let Some(ns) = state.ns_of(container) else { return };
        let (Some(first), Some(second)) = (state.link(ns, one).map(|link| link.mac), state.link(ns, other).map(|link| link.mac)) else {
            return;
        };
        for (link, mac) in [(one, second), (other, first)] {
            if let Ok(link) = state.link_mut(ns, link) {
                link.mac = mac;
            }
        }
    }

    /// Somebody empties the machine's `/etc/hosts`.
    pub fn drift_clear_hosts(&self, container: &str) {
        if let Some(found) = self.lock().containers.get_mut(container) {
            found.hosts.clear();
        }
    }

    pub fn drift_clear_rules(&self) {
        self.lock().rules.clear();
    }

    /// The links of a container, by name, or with `None` of the host.
    pub fn links(&self, container: Option<&str>) -> Vec<String> {
        let state = self.lock();
        let ns = container.map_or(Some(HOST), |name| state.ns_of(name));
        ns.and_then(|ns| state.namespaces.get(&ns)).into_iter().flat_map(|links| links.keys().cloned()).collect()
    }
}
