//! What the parts of resolving hand to each other. None of it leaves this module.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::ipam::Pool;
use super::model::Places;
use crate::diag::{At, Diagnostic, Place};
use crate::spec;
use crate::types::{CableId, IfName, Mac, MacvlanMode, Name, Route};

pub(super) type Errors = Vec<Diagnostic>;

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
}

/// All machines of the file, in its order.
pub(super) struct Groups(pub(super) Vec<Group>);

impl Groups {
    pub(super) fn get(&self, base: &str) -> Option<&Group> {
        self.0.iter().find(|group| group.base.as_str() == base)
    }

    pub(super) fn bases(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|group| group.base.as_str())
    }

    /// The names of the file's machines, for a hint.
    pub(super) fn hint(&self, word: &str) -> Option<String> {
        suggest(word, self.bases())
    }
}

/// `did you mean …`, or what there is to choose from.
pub(super) fn suggest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.collect();
    // Of words as short as `a` and `b` each is near to each.
    if let Some(near) = crate::diag::similar(word, known.iter().copied()).filter(|_| word.len() > 2) {
        return Some(format!("did you mean `{near}`?"));
    }
    match known.as_slice() {
        [] => None,
        names if names.len() <= 12 => Some(format!("there are {}", list(names))),
        _ => None,
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
    Nat,
    Bridge,
    /// A bridge that exists already.
    Existing(String),
    Macvlan {
        parent: String,
        mode: MacvlanMode,
    },
}

/// A network of the file, with everything decided.
pub(super) struct Net {
    pub(super) name: Name,
    pub(super) kind: NetKind,
    pub(super) subnets: Vec<IpNet>,
    pub(super) gateways: Vec<IpAddr>,
    pub(super) host_ips: Vec<IpAddr>,
    /// One for each subnet.
    pub(super) pools: Vec<Pool>,
    pub(super) mtu: Option<u32>,
    pub(super) internal: bool,
    /// No default route goes by it of itself.
    pub(super) no_way_out: bool,
    pub(super) places: Places,
    /// Something about its addresses is wrong and has been said: what follows from it is not worth a word.
    pub(super) broken: bool,
}

impl Net {
    /// What one hears each other on: two networks on one parent are one wire.
    pub(super) fn wire(&self) -> String {
        match &self.kind {
            NetKind::Nat | NetKind::Bridge => format!("network {}", self.name),
            NetKind::Existing(bridge) => format!("link {bridge}"),
            NetKind::Macvlan { parent, .. } => format!("link {parent}"),
        }
    }

    pub(super) fn subnet_of(&self, address: IpAddr) -> Option<IpNet> {
        self.subnets.iter().copied().find(|subnet| subnet.contains(&address))
    }
}

pub(super) type Nets = BTreeMap<Name, Net>;

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
    pub(super) mac: Mac,
    pub(super) mtu: Option<u32>,
    pub(super) up: bool,
    pub(super) gateway: Option<Vec<At<Option<IpAddr>>>>,
    pub(super) route_specs: Vec<At<spec::RouteSpec>>,
    pub(super) routes: BTreeSet<Route>,
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
