//! What the parts of resolving hand to each other. None of it leaves this module.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::ipam::Pool;
use super::model::Places;
use super::network::DEFAULT_MTU;
use crate::diag::{At, Diagnostic, Mistakes, Place};
use crate::spec;
use crate::types::{CableId, Dynamic, IfName, IpvlanMode, Mac, MacvlanMode, Name, Route, Tuning};

pub(super) type Errors = Mistakes;

/// A machine of the file with the defaults under it, and the machines that its `scale` makes of it.
pub(super) struct Group {
    /// Its name in the file.
    pub(super) base: Name,
    pub(super) place: Place,
    pub(super) spec: spec::Machine,
    /// `web`, or with `scale` `web-1` and so on.
    pub(super) names: Vec<Name>,
}

impl Group {
    pub(super) fn is_scaled(&self) -> bool {
        self.spec.scale.is_some()
    }

    /// What it is plugged into, or with which addresses, could not be read.
    pub(super) fn has_unknown_cards(&self) -> bool {
        let unknown = |nic: &spec::Nic| nic.broken.has("network") || nic.broken.has("ip");
        let broken = &self.spec.broken;
        broken.has("nics") || broken.has("network_mode") || self.spec.nics.iter().flat_map(|nics| &nics.0).any(|(_, nic)| unknown(nic))
    }
}

/// All machines of the file, in its order.
pub(super) struct Groups {
    all: Vec<Group>,
    index: BTreeMap<String, usize>,
    /// The file says of machines what could not be read.
    broken: bool,
}

impl Groups {
    pub(super) fn new(all: Vec<Group>, broken: bool) -> Self {
        let index = all.iter().enumerate().rev().map(|(at, group)| (group.base.to_string(), at)).collect();
        Self { all, index, broken }
    }

    pub(super) fn all(&self) -> &[Group] {
        &self.all
    }

    pub(super) fn get(&self, base: &str) -> Option<&Group> {
        self.index.get(base).map(|at| &self.all[*at])
    }

    /// Says that there is no such machine.
    pub(super) fn missing(&self, name: &str, place: &Place, errors: &mut Errors) {
        if !self.broken {
            let error = Diagnostic::invalid(format!("there is no machine `{name}`")).at(place);
            let names = || self.all.iter().map(|group| group.base.as_str());
            errors.push(suggest(error, name, names(), errors.is_full()));
        }
    }
}

/// With `did you mean …`, or what there is to choose from. `silent`: nobody will see it, and looking takes time.
pub(super) fn suggest<'a>(error: Diagnostic, word: &str, known: impl Iterator<Item = &'a str>, silent: bool) -> Diagnostic {
    if silent {
        return error;
    }
    let known: Vec<&str> = known.collect();
    // Of words as short as `a` and `b` each is near to each.
    if let Some(near) = crate::diag::similar(word, known.iter().copied()).filter(|_| word.len() > 2) {
        return error.hint(format!("did you mean `{near}`?"));
    }
    match known.as_slice() {
        [] => error,
        [only] => error.hint(format!("there is only `{only}`")),
        names if names.len() <= 12 => error.hint(format!("there are {}", list(names))),
        _ => error,
    }
}

/// `` `a`, `b` and `c` ``
pub(super) fn list<T: std::fmt::Display>(items: &[T]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("`{item}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NetKind {
    /// It could not be read, or not all of it: nothing follows from it.
    Unknown,
    Nat,
    Bridge,
    /// A bridge that exists already.
    Existing(String),
    Macvlan {
        parent: String,
        mode: MacvlanMode,
        sources: Option<BTreeSet<Mac>>,
        promiscuous: bool,
    },
    Ipvlan {
        parent: String,
        mode: IpvlanMode,
    },
    /// The host's card itself.
    Physical {
        device: String,
    },
}

/// A vxlan that is a port of the network's bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vxlan {
    pub(super) vni: u32,
    pub(super) port: u16,
    pub(super) parent: Option<String>,
    pub(super) local: Option<IpAddr>,
    pub(super) remotes: BTreeSet<IpAddr>,
}

/// A network of the file, with everything decided.
#[expect(clippy::struct_excessive_bools, reason = "five things that are so or not, none of which follows from another")]
pub(super) struct Net {
    pub(super) name: Name,
    pub(super) kind: NetKind,
    pub(super) vxlan: Option<Vxlan>,
    /// A card of the host's that is a port of the bridge.
    pub(super) uplink: Option<String>,
    /// The card and the number of the VLAN that the parent or the uplink is.
    pub(super) vlan: Option<(String, u16)>,
    pub(super) subnets: Vec<IpNet>,
    pub(super) gateways: Vec<IpAddr>,
    pub(super) host_ips: Vec<IpAddr>,
    /// One for each subnet.
    pub(super) pools: Vec<Pool>,
    pub(super) mtu: Option<u32>,
    pub(super) unknown_mtu: bool,
    pub(super) internal: bool,
    /// No default route goes by it of itself.
    pub(super) no_way_out: bool,
    pub(super) probe: bool,
    pub(super) places: Places,
    /// Something about its addresses is wrong and has been said: what follows from it is not worth a word.
    pub(super) broken: bool,
}

impl Net {
    /// What one hears each other on: two networks on one parent are one wire.
    pub(super) fn wire(&self) -> String {
        match &self.kind {
            NetKind::Nat | NetKind::Bridge | NetKind::Unknown => format!("network {}", self.name),
            NetKind::Existing(bridge) => format!("link {bridge}"),
            NetKind::Macvlan { parent, .. } | NetKind::Ipvlan { parent, .. } | NetKind::Physical { device: parent } => {
                format!("link {parent}")
            }
        }
    }

    /// What fly gives its bridge where nobody says otherwise: a vxlan's own header needs room on the wire.
    pub(super) fn default_mtu(&self) -> u32 {
        let outer_v6 = |vxlan: &Vxlan| vxlan.remotes.iter().chain(&vxlan.local).any(IpAddr::is_ipv6);
        match &self.vxlan {
            None => DEFAULT_MTU,
            Some(vxlan) => DEFAULT_MTU - if outer_v6(vxlan) { 70 } else { 50 },
        }
    }

    pub(super) fn subnet_of(&self, address: IpAddr) -> Option<IpNet> {
        self.subnets.iter().copied().find(|subnet| subnet.contains(&address))
    }
}

#[derive(Default)]
pub(super) struct Nets {
    pub(super) all: BTreeMap<Name, Net>,
    /// The file says of networks what could not be read.
    pub(super) broken: bool,
}

impl std::ops::Deref for Nets {
    type Target = BTreeMap<Name, Net>;
    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

#[derive(Clone, Debug)]
pub(super) enum Plug {
    Network(Name),
    Cable { id: CableId, peer: (Name, IfName) },
}

/// A card on its way from the file to the model.
pub(super) struct Draft {
    pub(super) machine: Name,
    /// What the file calls the machine, and where.
    pub(super) base: Name,
    pub(super) base_place: Place,
    pub(super) name: IfName,
    pub(super) plug: Plug,
    /// What the file gives, then also what is found for `auto`.
    pub(super) addresses: Vec<(IpNet, Option<Place>)>,
    /// Subnets in which it still needs an address.
    pub(super) auto: Vec<IpNet>,
    /// Addresses that the network gives it.
    pub(super) dynamic: BTreeSet<Dynamic>,
    /// Which others it has could not be read.
    pub(super) unknown_addresses: bool,
    pub(super) mac: Mac,
    pub(super) mtu: Option<u32>,
    pub(super) up: bool,
    pub(super) probe: bool,
    pub(super) gateway: Option<Vec<At<Option<spec::Gateway>>>>,
    pub(super) route_specs: Vec<At<spec::RouteSpec>>,
    pub(super) routes: BTreeSet<Route>,
    /// Routes that stand with it and lead nowhere: they are its machine's.
    pub(super) dead_ends: BTreeSet<Route>,
    pub(super) tuning: Tuning,
    pub(super) rules: Vec<At<spec::RuleSpec>>,
    /// Where messages about it point.
    pub(super) place: Place,
    pub(super) places: Places,
}

impl Draft {
    /// Whether the file says both in one: of a machine with `scale`, each has the same card.
    pub(super) fn is_one_with(&self, other: &Self) -> bool {
        self.base == other.base && self.name == other.name
    }

    pub(super) fn network(&self) -> Option<&Name> {
        match &self.plug {
            Plug::Network(name) => Some(name),
            Plug::Cable { .. } => None,
        }
    }
}

/// Two cards that have the same of what only one can have. Where both take it from one place in the file, as from an anchor or from
/// `defaults`, what tells them apart is where their machines are.
pub(super) fn twice(message: String, (second, at): (&Draft, &Place), (first, there): (&Draft, &Place)) -> Diagnostic {
    let has = format!("`{}:{}` has it already", first.machine, first.name);
    let error = Diagnostic::invalid(message);
    if at != there {
        return error.at(at).also(there, has);
    }
    let error = error.at(&second.base_place).label(format!("`{}:{}` has it too", second.machine, second.name));
    let error = if first.base == second.base { error } else { error.also(&first.base_place, has) };
    error.also(at, "both take it from here")
}

/// Notes the place of a field, where the file has it.
pub(super) fn note(places: &mut Places, field: &'static str, place: Option<&Place>) {
    if let Some(place) = place {
        places.fields.insert(field, place.clone());
    }
}

/// The place of a value, where the file has it.
pub(super) fn place_of<T>(value: Option<&At<T>>) -> Option<&Place> {
    value.map(|at| &at.place)
}

/// The place of the first of several values.
pub(super) fn first_place<T>(values: Option<&Vec<At<T>>>) -> Option<&Place> {
    values.and_then(|list| list.first()).map(|at| &at.place)
}
