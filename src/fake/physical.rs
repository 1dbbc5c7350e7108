//! Cards of the host's in machines: moved in, given back, and put on the host by the kernel when their namespace dies.

use super::faults::{Done, FaultKind, refuse};
use super::state::{FakeLink, HOST, Kind, NsId, State};
use crate::net::{LinkSet, Processes};
use crate::types::{LinkRef, Name, Ns, Origin, PlacedLink};

impl State {
    pub(super) fn take_link(&mut self, device: &str, placed: &PlacedLink, project: &Name, processes: &Processes) -> Done {
        let ns = self.ns(&placed.at.ns, processes)?;
        let Ns::Machine(machine) = &placed.at.ns else { return refuse(FaultKind::Other, "it is for machines") };
        let wanted = &placed.at.name;
        let is_it = |link: &FakeLink| link.origin().is_some_and(|it| it.name == device && it.is_of(project, machine, wanted));
        let marked = |state: &Self, ns: NsId| state.namespaces[&ns].iter().find(|(_, link)| is_it(link)).map(|(name, _)| name.clone());
        let unmarked =
            |state: &Self, ns: NsId, name: &str| state.link(ns, name).filter(|link| link.alias.is_none()).map(|_| name.to_owned());
        let (from, name) = match (marked(self, ns), marked(self, HOST)) {
            (Some(name), _) => (ns, name),
            (None, Some(name)) => (HOST, name),
            (None, None) => match (unmarked(self, HOST, device), unmarked(self, ns, wanted)) {
                (Some(name), _) => (HOST, name),
                (None, Some(name)) => (ns, name),
                (None, None) => return refuse(FaultKind::NotFound, format!("this host has no network card {device}")),
            },
        };
        if self.link(from, &name).is_some_and(|link| link.master.is_some() || matches!(link.kind, Kind::Bridge)) {
            return refuse(FaultKind::Conflict, format!("{device} is in use"));
        }
        if (from, &name) != (ns, wanted) && self.link(ns, wanted).is_some() {
            return refuse(FaultKind::Conflict, format!("{} exists already", placed.at));
        }
        self.write_origin(from, &name, device, project, placed)?;
        if self.faults.halfway {
            return Ok(());
        }
        self.move_link((from, &name), (ns, wanted));
        let origin = self.link(ns, wanted).and_then(FakeLink::origin);
        let mut dressed = PlacedLink { alias: self.link_mut(ns, wanted)?.alias.clone(), ..placed.clone() };
        dressed.link.mac = dressed.link.mac.or(origin.as_ref().and_then(|origin| origin.mac));
        dressed.link.mtu = dressed.link.mtu.or(origin.map(|origin| origin.mtu));
        self.shape(ns, &dressed)
    }

    fn write_origin(&mut self, from: NsId, name: &str, device: &str, project: &Name, placed: &PlacedLink) -> Done {
        let Ns::Machine(machine) = &placed.at.ns else { return Ok(()) };
        let link = self.link_mut(from, name)?;
        if link.origin().is_some() {
            return Ok(());
        }
        let origin = Origin {
            project: project.clone(),
            machine: machine.clone(),
            nic: crate::types::IfName::new(&placed.at.name).expect("a card's name is one"),
            name: device.to_owned(),
            mac: Some(link.mac),
            mtu: link.mtu,
            up: link.up,
            alias: link.alias.clone().unwrap_or_default(),
        };
        link.alias = origin.alias();
        Ok(())
    }

    pub(super) fn give_back(&mut self, at: &LinkRef, device: &str, project: &Name, processes: &Processes) -> Done {
        let ns = self.ns(&at.ns, processes)?;
        let Some(link) = self.link(ns, &at.name) else { return Ok(()) };
        let Some(origin) = link.origin().filter(|origin| origin.name == device && origin.project == *project) else {
            return refuse(FaultKind::Conflict, format!("{at} is not {device} of the host"));
        };
        if (ns, at.name.as_str()) != (HOST, device) && self.link(HOST, device).is_some() {
            return refuse(FaultKind::Conflict, format!("the host has another link {device}"));
        }
        self.move_link((ns, &at.name), (HOST, device));
        if self.faults.halfway {
            return Ok(());
        }
        let set = LinkSet { mac: origin.mac, mtu: Some(origin.mtu), up: Some(origin.up), ..LinkSet::default() };
        self.change(HOST, device, &set)?;
        self.link_mut(HOST, device)?.alias = Some(origin.alias).filter(|alias| !alias.is_empty());
        Ok(())
    }

    /// It loses all that hangs on a namespace.
    pub(super) fn move_link(&mut self, (from, name): (NsId, &str), (to, new): (NsId, &str)) {
        if (from, name) == (to, new) {
            return;
        }
        let Some(mut link) = self.links(from).remove(name) else { return };
        if from != to {
            link.strip();
        }
        self.links(to).insert(new.to_owned(), link);
    }

    /// Hardware outlives its namespace: the kernel puts it where all began, under its own name or one that is free.
    pub(super) fn refund(&mut self, name: &str, mut link: FakeLink) {
        link.strip();
        let free = if self.link(HOST, name).is_none() { name.to_owned() } else { format!("dev{}", link.index) };
        self.links(HOST).insert(free, link);
    }
}

impl FakeLink {
    pub(super) fn origin(&self) -> Option<Origin> {
        Origin::of(self.alias.as_deref())
    }

    /// As it was before it went into a machine.
    pub(super) fn as_it_was(&self, origin: &Origin) -> Self {
        let mut link = Self { mtu: origin.mtu, mac: origin.mac.unwrap_or(self.mac), ..self.clone() };
        link.strip();
        link.up = origin.up;
        link.alias = Some(origin.alias.clone()).filter(|alias| !alias.is_empty());
        link
    }

    fn strip(&mut self) {
        self.up = false;
        self.master = None;
        self.addresses.clear();
        self.routes.clear();
        self.leases.clear();
        self.tuning = crate::types::Tuning::default();
    }
}
