//! Cards of the host's that no machine can have, or not now; and those that the host cannot get back.

use crate::actual::Actual;
use crate::desired::{Attach, Desired, Nic};
use crate::diag::{Diagnostic, Kind};
use crate::diff::{Diff, is_wanted, lent_to, returned};
use crate::net::LinkState;
use crate::types::{IfName, LinkKind, LinkRef, Name, Ns, Origin, Owner};

pub(super) fn refusals(desired: &Desired, actual: &Actual, machine: &Name, name: &IfName, nic: &Nic, found: &mut Vec<Diagnostic>) {
    let Attach::Physical { device, network } = &nic.attach else { return };
    let place = desired.networks.get(network).and_then(|network| network.places.of("parent"));
    let Some((at, state)) = actual.device(device) else {
        // Its mark is gone, and it is where it is to be.
        let is_there = actual.nic(machine, name).is_some_and(|link| link.alias.is_none());
        found.extend((!is_there).then(|| missing(actual, device, &format!("{machine}:{name}")).at_some(place)));
        return;
    };
    if at.ns != Ns::Host {
        return;
    }
    match state.origin() {
        Some(origin) if origin.project == desired.project => {}
        Some(origin) => {
            let Origin { project, machine, nic, .. } = origin;
            let error =
                format!("`{device}` belongs to `{machine}:{nic}` of project `{project}`, and is on the host because that has ended");
            let error = Diagnostic::invalid(error).at_some(place);
            found.push(error.hint(format!("`fly down` of `{project}` puts it right, and `fly up` there takes it again")));
        }
        None => in_use(desired, actual, (machine, name), device, state, found),
    }
}

fn missing(actual: &Actual, device: &str, card: &str) -> Diagnostic {
    let error =
        Diagnostic::invalid(format!("`{card}` is to have `{device}`, and this host has no such network card")).label("no such card");
    if let Some(holder) = actual.net.cards.holders.get(device) {
        return error.cause(format!("{holder} has it")).hint("who has it gives it back first");
    }
    let known = actual.namespace(&Ns::Host).map(|ns| &ns.links);
    let names = known.into_iter().flatten().filter(|(_, link)| !link.owner.is_ours()).map(|(name, _)| name.as_str());
    let error = match crate::diag::similar(device, names) {
        Some(meant) => error.hint(format!("did you mean `{meant}`?")),
        None => error,
    };
    error.hint("`ip link` lists the cards")
}

/// The kernel would move most of these, and cut off whoever uses them.
fn in_use(
    desired: &Desired,
    actual: &Actual,
    (machine, name): (&Name, &IfName),
    device: &str,
    state: &LinkState,
    found: &mut Vec<Diagnostic>,
) {
    let Some(Attach::Physical { network, .. }) = desired.machines.get(machine).and_then(|it| it.nics.get(name)).map(|nic| &nic.attach)
    else {
        return;
    };
    let place = desired.networks.get(network).and_then(|network| network.places.of("parent"));
    let mut refuse = |message: String, hint: String| found.push(Diagnostic::invalid(message).at_some(place).hint(hint));
    // What is ours goes: the file has nothing else on that card.
    let is_part = |link: &LinkState| link.link.kind.parent() == Some(&LinkRef::host(device)) && !link.owner.is_ours();
    let links = || actual.namespace(&Ns::Host).into_iter().flat_map(|ns| &ns.links);
    match &state.link.kind {
        kind @ (LinkKind::Bridge | LinkKind::Vxlan { .. }) => {
            refuse(format!("`{device}` is a {}, which stays where it is", kind.word()), "another `parent`: a card".into());
        }
        LinkKind::Other(kind) if matches!(kind.as_str(), "bond" | "team" | "vrf" | "hsr" | "openvswitch" | "batadv") => {
            refuse(format!("`{device}` is a {kind}, which stays where it is"), "another `parent`: a card".into());
        }
        _ if state.owner != Owner::Stranger => {
            refuse(format!("`{device}` is a link that fly has made, and no card of the host's"), "another `parent`".into());
        }
        _ => {}
    }
    if actual.net.cards.wireless.contains(device) {
        let hint = "a card with a wire; or this one as it is, with the host as the router: a network of kind `nat`".to_owned();
        refuse(format!("`{device}` is wireless, and its driver keeps it where it is"), hint);
    }
    if let Some(master) = &state.link.master {
        let hint = format!("`ip link set {device} nomaster` frees it");
        let is_bridge = actual.host_link(master).is_some_and(|link| link.link.kind == LinkKind::Bridge);
        let other = if is_bridge { format!("`bridge: {master}` for a network on that bridge") } else { "another `parent`".to_owned() };
        let hint = format!("{hint}; or {other}");
        refuse(format!("`{device}` is a port of `{master}`: it cannot be in a machine as well"), hint);
    } else if let Some(way) = state.link.routes.iter().find(|route| route.is_default()) {
        let hint = format!("`kind: macvlan` with `parent: {device}` leaves it to the host");
        refuse(format!("`{device}` is this host's way out ({way}): without it the host would be cut off"), hint);
    } else if let Some(address) = state.link.addresses.first() {
        let hint = format!(
            "`kind: macvlan` with `parent: {device}` leaves it to the host; or `ip address del {address} dev {device}` gives it up"
        );
        refuse(format!("`{device}` has the address {address} of this host: it would be lost with it"), hint);
    }
    if let Some((other, link)) = links().find(|(_, link)| is_part(link)) {
        let hint = format!("is it needed? `ip link delete {other}`; or another `parent`");
        refuse(format!("`{device}` carries `{other}` ({}): that would be cut off", link.link.kind.word()), hint);
    }
    let alias = state.alias.clone().unwrap_or_default();
    let origin = Origin {
        project: desired.project.clone(),
        machine: machine.clone(),
        nic: name.clone(),
        name: device.to_owned(),
        mac: state.link.mac,
        mtu: state.link.mtu.unwrap_or_default(),
        up: state.link.up,
        alias,
    };
    if origin.alias().is_none() {
        refuse(
            format!("the alias of `{device}` is so long that there is no room for what fly has to write beside it"),
            format!("`ip link set {device} alias ''` takes it away"),
        );
    }
}

/// The host has another card of that name by now.
pub(super) fn back(desired: &Desired, actual: &Actual, diff: &Diff) -> Vec<Diagnostic> {
    let machines = actual.engine.machines.keys().flat_map(|machine| lent_to(&desired.project, actual, machine));
    let going = machines.filter(|lent| !is_wanted(desired, &lent.origin) || !diff.keeps_namespace(actual, &lent.origin.machine));
    let all = going.chain(returned(desired, actual));
    let taken = all.filter(|lent| lent.at != LinkRef::host(lent.origin.name.clone()) && actual.host_link(&lent.origin.name).is_some());
    let error = |lent: crate::diff::Lent<'_>| {
        let name = &lent.origin.name;
        let message = format!("the host cannot get `{name}` back, which is `{}` now: it has another link of that name", lent.at);
        Diagnostic::new(Kind::Stranger, message).hint(format!("is it needed? `ip link set {name} name {name}-old` makes room"))
    };
    taken.map(error).collect()
}
