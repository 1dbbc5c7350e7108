//! Cards of the host's that machines have: whose they are, which of them the host gets back, and what that means for it.

use super::fields::Fields;
use super::{Action, Change, Diff, Effect};
use crate::actual::Actual;
use crate::desired::{Attach, Desired, Nic, Places};
use crate::net::LinkState;
use crate::types::{Addr, Link, LinkKind, LinkRef, Name, NetworkMode, Ns, Origin};

/// A card of the host's that is, or was until its end, in a machine of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lent<'a> {
    /// Where it is now: in the machine, or on the host, where the kernel has put it.
    pub at: LinkRef,
    pub origin: Origin,
    pub link: &'a LinkState,
}

/// Those that machines have which run.
pub fn lent_to<'a>(project: &Name, actual: &'a Actual, machine: &Name) -> Vec<Lent<'a>> {
    // A member of another's namespace sees that one's cards.
    let has_own = actual.machine(machine).is_some_and(|state| state.is_up() && state.container.network_mode == NetworkMode::Own);
    if has_own { lent(project, actual, &Ns::Machine(machine.clone())) } else { vec![] }
}

/// Those that are back on the host, and that nothing in the file is to have.
pub fn returned<'a>(desired: &Desired, actual: &'a Actual) -> Vec<Lent<'a>> {
    let mut back = lent(&desired.project, actual, &Ns::Host);
    back.retain(|lent| !is_wanted(desired, &lent.origin));
    back
}

fn lent<'a>(project: &Name, actual: &'a Actual, ns: &Ns) -> Vec<Lent<'a>> {
    let links = actual.namespace(ns).into_iter().flat_map(|ns| &ns.links);
    let lent = links.filter_map(|(name, link)| {
        let origin = link.origin().filter(|origin| origin.project == *project)?;
        Some(Lent { at: LinkRef { ns: ns.clone(), name: name.clone() }, origin, link })
    });
    lent.collect()
}

/// Whether the card that has it in the file is the one that it bears the mark of.
pub fn is_wanted(desired: &Desired, origin: &Origin) -> bool {
    let nic = desired.machines.get(&origin.machine).and_then(|machine| machine.nics.get(&origin.nic));
    nic.is_some_and(|nic| matches!(&nic.attach, Attach::Physical { device, .. } if *device == origin.name))
}

/// What the file leaves to the card is as it was on the host.
pub(super) fn as_it_was(actual: &Actual, nic: &Nic, link: &mut Link) {
    let Attach::Physical { device, .. } = &nic.attach else { return };
    let Some((_, state)) = actual.device(device) else { return };
    let (mac, mtu) = state.origin().map_or((state.link.mac, state.link.mtu), |origin| (origin.mac, Some(origin.mtu)));
    link.mac = link.mac.or(mac);
    link.mtu = link.mtu.or(mtu);
}

/// Somebody has taken the mark off a card of this name, and the host has none: so it is that one.
pub(super) fn unmarked(actual: &Actual, nic: &Nic, state: &LinkState) -> Option<LinkState> {
    let Attach::Physical { device, .. } = &nic.attach else { return None };
    let is_it = state.alias.is_none() && actual.device(device).is_none();
    let link = Link { kind: LinkKind::Physical { device: device.clone() }, ..state.link.clone() };
    is_it.then(|| LinkState { link, ..state.clone() })
}

pub(super) fn changes(desired: &Desired, actual: &Actual, diff: &mut Diff) {
    for Lent { at, origin, .. } in returned(desired, actual) {
        let addr = Addr::nic(&origin.machine, &origin.nic);
        match diff.changes.get_mut(&addr) {
            None => diff.add(Change { reason: "the host gets its card back".to_owned(), ..Change::delete(addr) }),
            // The machine has another card of that name by now.
            Some(change) if change.action == Action::Keep => {
                let places = Places::default();
                let mut fields = Fields::new(&places);
                fields.push("card of the host", Some(at.name), Some(origin.name), Effect::Live);
                *change = Change {
                    action: Action::Update,
                    reason: "the host gets its card back".to_owned(),
                    fields: fields.changes,
                    impact: super::Impact::Live,
                    ..change.clone()
                };
            }
            Some(_) => {}
        }
    }
    for (machine, wanted) in &desired.machines {
        for (name, nic) in &wanted.nics {
            if diff.action(&Addr::nic(machine, name)) != Action::Keep {
                diff.notes.extend(taken(actual, &format!("{machine}:{name}"), nic));
            }
        }
    }
}

/// What it means for the host.
fn taken(actual: &Actual, card: &str, nic: &Nic) -> Vec<String> {
    let Attach::Physical { device, .. } = &nic.attach else { return vec![] };
    let Some((_, state)) = actual.device(device).filter(|(at, state)| at.ns == Ns::Host && state.origin().is_none()) else { return vec![] };
    let mut notes = vec![format!("{card} takes {device} away from the host, which gets it back when the card or its machine goes")];
    if !matches!(&state.link.kind, LinkKind::Other(kind) if kind == "physical") {
        let kind = state.link.kind.word();
        notes.push(format!("{device} is a {kind}, no hardware: should {card}'s machine end by itself, the kernel deletes it"));
    }
    notes
}
