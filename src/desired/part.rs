//! A part of what the file describes: some machines, with all that they need.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{Attach, Desired};
use crate::types::{Addr, MountSource, Name, NetworkMode};

impl Desired {
    /// Of these machines, all that they need: by links, by order, by a namespace that they share.
    pub fn with_needs(&self, chosen: &BTreeSet<Name>) -> BTreeSet<Name> {
        let (mut part, mut next) = (BTreeSet::new(), chosen.iter().cloned().collect::<Vec<_>>());
        while let Some(name) = next.pop() {
            let Some(machine) = self.machines.get(&name).filter(|_| !part.contains(&name)) else { continue };
            next.extend(self.order.get(&name).into_iter().flatten().cloned());
            next.extend(machine.depends_on.keys().cloned());
            if let NetworkMode::Machine(owner) = &machine.container.network_mode {
                next.push(owner.clone());
            }
            part.insert(name);
        }
        part
    }

    /// Whether a resource belongs to the part that is asked for: everything does where no part is. Of a cable both ends have to;
    /// what is the engine's, and shared, is nobody's alone.
    pub fn is_part(&self, addr: &Addr) -> bool {
        let Some(only) = &self.only else { return true };
        match addr {
            Addr::Machine(name) | Addr::Nic(name, _) | Addr::HostKey(name) => only.contains(name),
            Addr::Link(id) => id.ends().iter().all(|(name, _)| only.contains(name)),
            Addr::Network(name) => self.chosen().any(|machine| machine.nics.values().any(|nic| nic.attach.network() == Some(name))),
            Addr::Volume(name) => self.volumes.get(name).is_some_and(|volume| {
                let source = MountSource::Volume(volume.name.clone());
                self.chosen().any(|machine| machine.container.mounts.values().any(|mount| mount.source == source))
            }),
            Addr::Image(image) => self.chosen().any(|machine| machine.container.image == *image),
            Addr::Guest(version) => self.chosen().any(|machine| machine.container.guest.as_ref() == Some(version)),
            Addr::Agent => true,
        }
    }

    fn chosen(&self) -> impl Iterator<Item = &super::Machine> {
        self.machines.iter().filter(|(name, _)| self.only.as_ref().is_none_or(|only| only.contains(*name))).map(|(_, machine)| machine)
    }

    /// What the part alone describes, for whoever judges it without the rest.
    pub fn part(&self) -> Cow<'_, Self> {
        if self.only.is_none() {
            return Cow::Borrowed(self);
        }
        let mut part = self.clone();
        part.machines.retain(|name, _| self.is_part(&Addr::Machine(name.clone())));
        part.networks.retain(|name, _| self.is_part(&Addr::Network(name.clone())));
        part.volumes.retain(|name, _| self.is_part(&Addr::Volume(name.clone())));
        part.cables.retain(|id, _| self.is_part(&Addr::Link(id.clone())));
        Cow::Owned(part)
    }

    /// Machines of the file that have a card on this network.
    pub fn on_network(&self, network: &Name) -> BTreeSet<&Name> {
        let is_on = |attach: &Attach| attach.network() == Some(network);
        self.machines.iter().filter(|(_, machine)| machine.nics.values().any(|nic| is_on(&nic.attach))).map(|(name, _)| name).collect()
    }
}
