//! What lies beneath a network on the host: its vxlan, the VLAN of a card, the uplink of its bridge.
//!
//! A VLAN and an uplink may be others' as well. Each network of each project that uses one has its mark on it, and what is marked and
//! not wanted any more is given back; a VLAN that fly made goes with its last mark.

use super::fields::Fields;
use super::link::{self, LinkDiff};
use super::{Effect, FieldChange};
use crate::actual::Actual;
use crate::desired::{Desired, Network};
use crate::net::LinkState;
use crate::types::{LinkKind, Name, Ns, Owner, host_link_name};

/// How the link beneath a network gets to what it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LowerDiff {
    /// Or none is wanted.
    Same,
    Missing,
    Set(LinkDiff),
    /// There is one of ours that cannot become it.
    Recreate(LinkDiff),
}

/// A link that a network of ours used and does not need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenBack<'a> {
    pub link: &'a str,
    pub network: Name,
    /// fly made it, and nobody else uses it.
    pub delete: bool,
}

pub fn lower(desired: &Desired, actual: &Actual, name: &Name) -> LowerDiff {
    let Some((network, wanted)) = desired.networks.get(name).and_then(|network| Some((network, network.lower.as_ref()?))) else {
        return LowerDiff::Same;
    };
    let Some(state) = actual.link(&wanted.at) else { return LowerDiff::Missing };
    let diff = match &wanted.link.kind {
        // Whose-ever it is: it is used as it is.
        LinkKind::Vlan { .. } if state.owner == Owner::Stranger => return LowerDiff::Same,
        LinkKind::Vlan { .. } => link::diff(&wanted.link, state, &network.places),
        _ => link::diff_on_host(&wanted.link, state, &network.places),
    };
    match diff {
        diff if diff.recreate => LowerDiff::Recreate(diff),
        diff if diff.set.is_empty() => LowerDiff::Same,
        diff => LowerDiff::Set(diff),
    }
}

/// The link that a network shares with others and is yet to mark or to plug into its bridge, and that bridge.
pub fn use_of<'a>(desired: &'a Desired, actual: &Actual, name: &Name) -> Option<(&'a str, Option<&'a str>)> {
    let network = desired.networks.get(name)?;
    let (link, bridge) = shared(network)?;
    let Some(state) = actual.host_link(link) else { return Some((link, bridge)) };
    if bridge.is_none() && state.owner == Owner::Stranger {
        return None;
    }
    let is_marked = state.users.contains(&(desired.project.clone(), name.clone()));
    let is_remade = matches!(lower(desired, actual, name), LowerDiff::Recreate(_));
    (!is_marked || is_remade || bridge.is_some() && state.link.master.as_deref() != bridge).then_some((link, bridge))
}

/// The link of a network that is not its own alone, with the bridge that it is plugged into.
fn shared(network: &Network) -> Option<(&str, Option<&str>)> {
    match (&network.uplink, network.vlan()) {
        (Some(uplink), _) => Some((uplink, network.host_link.as_ref().map(|link| link.at.name.as_str()))),
        (None, Some(vlan)) => Some((&vlan.at.name, None)),
        (None, None) => None,
    }
}

/// All that bears our mark, or is left of ours, and that nothing in the file needs.
pub fn given_back<'a>(desired: &Desired, actual: &'a Actual) -> Vec<GivenBack<'a>> {
    let wanted = |link: &str, network: &Name| desired.networks.get(network).and_then(shared).is_some_and(|(wanted, _)| wanted == link);
    let mut found = vec![];
    for (link, state) in actual.namespace(&Ns::Host).into_iter().flat_map(|ns| &ns.links) {
        let ours: Vec<&Name> = state.users.iter().filter(|(user, _)| *user == desired.project).map(|(_, network)| network).collect();
        let unwanted: Vec<&Name> = ours.iter().copied().filter(|network| !wanted(link, network)).collect();
        let is_alone = ours.len() == state.users.len() && unwanted.len() == ours.len();
        let delete = is_alone && state.owner.is_ours() && matches!(state.link.kind, LinkKind::Vlan { .. }) && !is_needed(desired, link);
        match unwanted.as_slice() {
            // Half made, and nobody's.
            [] if delete => {
                let network = Name::new(link.as_str()).unwrap_or_else(|_| desired.project.clone());
                found.push(GivenBack { link, network, delete });
            }
            [first, ..] if delete => found.push(GivenBack { link, network: (*first).clone(), delete }),
            some => found.extend(some.iter().map(|network| GivenBack { link, network: (*network).clone(), delete: false })),
        }
    }
    found
}

fn is_needed(desired: &Desired, link: &str) -> bool {
    desired.networks.values().filter_map(shared).any(|(wanted, _)| wanted == link)
}

/// The vxlan of a network of the file that is not to be one any more.
fn old_vxlan<'a>(desired: &Desired, actual: &'a Actual, name: &Name, network: &Network) -> Option<&'a LinkState> {
    let link = host_link_name(&desired.project, &format!("vxlan/{name}"));
    let is_wanted = network.lower.as_ref().is_some_and(|lower| lower.at.name == link);
    actual.host_link(&link).filter(|state| !is_wanted && state.owner.is_ours())
}

/// What differs, for a reader.
pub(super) fn fields(desired: &Desired, actual: &Actual, name: &Name) -> Vec<FieldChange> {
    let Some(network) = desired.networks.get(name) else { return vec![] };
    let mut fields = Fields::new(&network.places);
    if let Some(old) = old_vxlan(desired, actual, name, network) {
        fields.push("vxlan", Some(old.link.kind.to_string()), None, Effect::Live);
    }
    let mut own = match (lower(desired, actual, name), &network.lower) {
        (LowerDiff::Missing, Some(wanted)) => {
            fields.push(wanted.link.kind.word(), None, Some(wanted.link.kind.to_string()), Effect::Live);
            vec![]
        }
        (LowerDiff::Set(diff) | LowerDiff::Recreate(diff), Some(wanted)) => {
            let word = wanted.link.kind.word();
            let told =
                |field: FieldChange| FieldChange { field: if field.field == "network" { word.into() } else { field.field }, ..field };
            diff.fields.into_iter().map(told).collect()
        }
        _ => vec![],
    };
    let back: Vec<GivenBack<'_>> = given_back(desired, actual).into_iter().filter(|given| given.network == *name).collect();
    let old = (!back.is_empty()).then(|| back.iter().map(|given| given.link).collect::<Vec<_>>().join(", "));
    let key = if network.uplink.is_some() || network.vlan().is_none() { "uplink" } else { "parent" };
    // One field is enough for a VLAN that is made and marked.
    let is_told = network.uplink.is_none() && fields.changes.iter().chain(&own).any(|field| field.field == "vlan");
    let new = use_of(desired, actual, name).map(|(link, _)| link.to_owned()).filter(|_| !is_told);
    if old.is_some() || new.is_some() {
        fields.push(key, old, new, Effect::Live);
    }
    fields.changes.append(&mut own);
    fields.changes
}
