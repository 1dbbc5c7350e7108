//! Cards that would be in somebody's way.

use super::taken_link;
use crate::actual::Actual;
use crate::desired::{Attach, Machine};
use crate::diag::Diagnostic;
use crate::types::{MacvlanMode, Name};

pub(super) fn refusals(project: &Name, actual: &Actual, name: &Name, machine: &Machine, found: &mut Vec<Diagnostic>) {
    for (nic, wanted) in &machine.nics {
        match &wanted.attach {
            Attach::Bridge { host_end, .. } => {
                let Some(state) = actual.host_link(host_end).filter(|state| !state.owner.is_ours()) else { continue };
                let error = taken_link(project, host_end, &format!("{name}/{nic}"), &state.owner, &wanted.places);
                found.push(error.cause(format!("it is to be the host's end of `{name}:{nic}`")));
            }
            // In passthru, the MAC of the one is that of the other.
            Attach::Macvlan { parent, mode, .. } if *mode != MacvlanMode::Passthru => {
                if actual.host_link(parent).is_some_and(|state| state.link.mac == Some(wanted.mac)) {
                    let error =
                        Diagnostic::invalid(format!("`{}` is the MAC of `{parent}` itself: `{name}:{nic}` cannot have it too", wanted.mac));
                    found.push(error.at_some(wanted.places.of("mac")).hint("leave `mac` out: the card gets one of its own"));
                }
            }
            Attach::Macvlan { .. } | Attach::Ipvlan { .. } | Attach::Nat { .. } | Attach::Cable { .. } => {}
        }
    }
}
