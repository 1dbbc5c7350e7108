//! Kinds of links, as the kernel makes, changes and refuses them; and links that several use.

use super::faults::{Done, FaultKind, refuse};
use super::state::{HOST, Kind, NsId, State};
use crate::types::{LinkKind, LinkRef, MacvlanMode, Name, PlacedLink, is_host_link_of};

/// Whether making the one anew finishes the other.
pub(super) fn can_become(there: &Kind, wanted: &Kind) -> bool {
    let is_whole = |mode: &MacvlanMode| *mode == MacvlanMode::Passthru;
    match (there, wanted) {
        (Kind::Macvlan { parent: a, mode: from }, Kind::Macvlan { parent: b, mode: to }) => a == b && is_whole(from) == is_whole(to),
        (Kind::Ipvlan { parent: a, .. }, Kind::Ipvlan { parent: b, .. }) => a == b,
        _ => there == wanted,
    }
}

impl State {
    /// A link that hangs on `parent`, or on nothing, if the kernel makes such a one there.
    pub(super) fn hanging(&self, placed: &PlacedLink, kind: &LinkKind, parent: Option<u32>, own: (NsId, &str)) -> Done<Kind> {
        if let Some(module) = kind.module().filter(|module| self.lacking.contains(*module)) {
            return refuse(FaultKind::Other, format!("the kernel has no module `{module}`"));
        }
        let at = self.link(own.0, own.1).map(|link| link.index);
        let others = || self.namespaces.values().flat_map(|links| links.values()).filter(|link| Some(link.index) != at);
        match (kind, parent) {
            (LinkKind::Macvlan { mode, .. }, Some(parent)) => {
                self.check_macvlan(parent, placed.link.mac, placed.link.mtu, own)?;
                self.check_passthru(parent, *mode, own)?;
                if others().any(|link| matches!(link.kind, Kind::Ipvlan { parent: other, .. } if other == parent)) {
                    return refuse(FaultKind::Conflict, "its parent carries ipvlan: device or resource busy");
                }
                Ok(Kind::Macvlan { parent, mode: *mode })
            }
            (LinkKind::Ipvlan { mode, .. }, Some(parent)) => {
                self.check_macvlan(parent, None, placed.link.mtu, own)?;
                if others().any(|link| matches!(link.kind, Kind::Macvlan { parent: other, .. } if other == parent)) {
                    return refuse(FaultKind::Conflict, "its parent carries macvlan: device or resource busy");
                }
                Ok(Kind::Ipvlan { parent, mode: *mode })
            }
            (LinkKind::Vlan { id, .. }, Some(parent)) => {
                let kind = Kind::Vlan { parent, id: *id };
                if others().any(|link| link.kind == kind) {
                    return refuse(FaultKind::Conflict, "the card has that VLAN: file exists");
                }
                Ok(kind)
            }
            (LinkKind::Vxlan { vni, port, local, .. }, parent) => {
                if others().any(|link| matches!(link.kind, Kind::Vxlan { vni: v, port: p, .. } if (v, p) == (*vni, *port))) {
                    return refuse(FaultKind::Conflict, "a vxlan of that number exists: file exists");
                }
                Ok(Kind::Vxlan { vni: *vni, port: *port, parent, local: *local })
            }
            _ => refuse(FaultKind::NotFound, "it has no parent here"),
        }
    }

    /// What is particular to a kind and changes in place. The mode of ipvlan is one for all cards of a parent.
    pub(super) fn become_as(&mut self, ns: NsId, name: &str, wanted: &LinkKind) -> Done {
        let link = self.link_mut(ns, name)?;
        match (&mut link.kind, wanted) {
            (Kind::Macvlan { mode, .. }, LinkKind::Macvlan { mode: to, sources, promiscuous, .. }) => {
                if (*mode == MacvlanMode::Passthru) != (*to == MacvlanMode::Passthru) {
                    return refuse(FaultKind::Other, "a card is whole or not from its birth: invalid argument");
                }
                *mode = *to;
                match sources {
                    _ if *to != MacvlanMode::Source => link.sources.clear(),
                    Some(sources) => link.sources.clone_from(sources),
                    None => {}
                }
                link.promiscuous = *promiscuous;
            }
            (Kind::Ipvlan { parent, .. }, LinkKind::Ipvlan { mode: to, .. }) => {
                let parent = *parent;
                for link in self.namespaces.values_mut().flat_map(|links| links.values_mut()) {
                    if let Kind::Ipvlan { parent: other, mode } = &mut link.kind
                        && *other == parent
                    {
                        *mode = *to;
                    }
                }
            }
            (Kind::Vxlan { .. }, LinkKind::Vxlan { remotes, .. }) => link.remotes.clone_from(remotes),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn use_link(&mut self, at: &LinkRef, network: &Name, bridge: Option<&str>, project: &Name) -> Done {
        let mark = (project.clone(), network.clone());
        if self.links_of(HOST).any(|link| link.users.contains(&mark)) && !self.link_mut(HOST, &at.name)?.users.contains(&mark) {
            return refuse(FaultKind::Conflict, "another link has that alternative name: file exists");
        }
        let index = match bridge.map(|bridge| self.link(HOST, bridge).filter(|link| link.kind == Kind::Bridge)) {
            Some(None) => return refuse(FaultKind::NotFound, "there is no such bridge"),
            Some(Some(bridge)) => Some(bridge.index),
            None => None,
        };
        let halfway = self.faults.halfway;
        let own = self.link_mut(HOST, &at.name)?;
        own.users.insert(mark);
        if halfway {
            return Ok(());
        }
        match (own.master, index) {
            (Some(there), Some(index)) if there != index => return refuse(FaultKind::Conflict, "it is another bridge's port"),
            (_, Some(index)) => own.master = Some(index),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn leave_link(&mut self, at: &LinkRef, network: &Name, project: &Name) -> Done {
        let Some(master) = self.link(HOST, &at.name).map(|link| link.master) else { return Ok(()) };
        let is_ours = |(_, bridge): (NsId, &str)| is_host_link_of(project, bridge);
        let release = master.and_then(|index| self.place(index)).is_some_and(is_ours);
        let halfway = self.faults.halfway;
        let link = self.link_mut(HOST, &at.name)?;
        if release {
            link.master = None;
        }
        if !halfway {
            link.users.remove(&(project.clone(), network.clone()));
        }
        Ok(())
    }
}
