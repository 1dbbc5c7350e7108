//! Cards that would be in somebody's way.

use super::taken_link;
use crate::actual::Actual;
use crate::desired::{Attach, Desired, Machine, Nic};
use crate::diag::Diagnostic;
use crate::types::{Dynamic, IfName, LinkKind, LinkRef, MacvlanMode, Name, Ns, Traffic};

pub(super) fn refusals(desired: &Desired, actual: &Actual, name: &Name, machine: &Machine, found: &mut Vec<Diagnostic>) {
    let (project, has_agent) = (&desired.project, desired.agent.is_some());
    for (nic, wanted) in &machine.nics {
        found.extend(lacking(actual, name, nic, wanted));
        let leased = wanted.dynamic.iter().find(|way| **way != Dynamic::Slaac).filter(|_| !has_agent);
        if let Some(way) = leased {
            let error = Diagnostic::invalid(format!("`ip: {way}` of `{name}:{nic}` needs the agent: somebody has to keep the lease"));
            let error = error.at_some(wanted.places.of("ip"));
            found.push(error.hint("leave out `agent: false` and `--no-agent`").hint("or an address of the file: `ip: auto`"));
        }
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
                found.extend(same_mac(actual, parent, &format!("{name}:{nic}"), wanted));
            }
            Attach::Physical { .. } => super::physical::refusals(desired, actual, name, nic, wanted, found),
            Attach::Macvlan { .. } | Attach::Ipvlan { .. } | Attach::Nat { .. } | Attach::Cable { .. } => {}
        }
    }
}

/// Of the macvlans on one parent each has its own: the kernel makes a second one, but never sets it up. Those of other namespaces
/// cannot be seen.
fn same_mac(actual: &Actual, parent: &str, card: &str, wanted: &Nic) -> Option<Diagnostic> {
    let mut links = actual.namespace(&Ns::Host)?.links.iter().filter(|(_, link)| !link.owner.is_ours());
    let is_on = |kind: &LinkKind| matches!(kind, LinkKind::Macvlan { parent: Some(its), .. } if *its == LinkRef::host(parent));
    let (other, _) = links.find(|(_, link)| is_on(&link.link.kind) && link.link.mac == Some(wanted.mac))?;
    let error = format!("`{other}`, a macvlan of this host on `{parent}`, has the MAC `{}` that `{card}` is to have", wanted.mac);
    let hints = ["another `mac`, or none: the card gets one of its own".to_owned(), format!("is it needed? `ip link delete {other}`")];
    let error = Diagnostic::invalid(error).at_some(wanted.places.of("mac"));
    Some(hints.into_iter().fold(error, Diagnostic::hint))
}

/// What the file asks of the kernel, and this one cannot do.
fn lacking(actual: &Actual, name: &Name, nic: &IfName, wanted: &Nic) -> Vec<Diagnostic> {
    let mut found = vec![];
    let known = &actual.net.sysctls;
    for sysctl in wanted.tuning.sysctls.keys().filter(|sysctl| !known.is_empty() && !known.contains(sysctl)) {
        let error = Diagnostic::invalid(format!("`{name}:{nic}` sets `{sysctl}`, and this kernel has no such parameter"));
        let hint = format!("leave it out; `ls {}` shows what there is", sysctl.path("lo").trim_end_matches(sysctl.name()));
        found.push(error.at_some(wanted.places.of("sysctls")).hint(hint));
    }
    if let Some((error, field)) = lacking_module(actual, name, nic, &wanted.tuning.traffic) {
        found.push(error.at_some(wanted.places.of(field)));
    }
    found
}

/// A kernel that has not the module which shapes traffic in this way; and the field that needs it.
pub fn lacking_module(actual: &Actual, name: &Name, nic: &IfName, traffic: &Traffic) -> Option<(Diagnostic, &'static str)> {
    let module = traffic.module().filter(|module| actual.net.lacking.contains(*module))?;
    let (field, _) = traffic.shown().into_iter().rfind(|(_, value)| value.is_some())?;
    let error = Diagnostic::invalid(format!("`{field}` of `{name}:{nic}` needs the kernel module `{module}`, and this kernel has none"));
    let error = error.hint(format!("`modprobe {module}` on the host says why; distributions have it in a package of more modules"));
    Some((if traffic.needs_netem() { error.hint("`rate` alone does without it") } else { error }, field))
}
