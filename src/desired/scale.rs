//! From the file's machines to those that there will be: defaults below them, `scale` taken apart, names checked.

use std::collections::BTreeMap;

use super::defaults;
use super::work::{Errors, Group, Groups};
use crate::diag::{Diagnostic, Place};
use crate::spec::{self, Spec};
use crate::types::Name;

/// More than one host carries, and few enough to be worked out at once.
const MAX_SCALE: u32 = 1000;

pub(super) fn expand(spec: &Spec, errors: &mut Errors) -> Groups {
    let mut groups = Groups(vec![]);
    for (key, own) in &spec.machines.0 {
        let base = match Name::new(key.value.clone()) {
            Ok(name) => name,
            Err(error) => {
                errors.push(Diagnostic::invalid(error.to_string()).at(&key.place));
                continue;
            }
        };
        let machine = defaults::merge(base.as_str(), own, spec.defaults.as_ref());
        let names = names(&base, &machine, errors);
        if names.len() > 1 {
            check_fixed(&machine, errors);
        }
        groups.0.push(Group { base, place: key.place.clone(), spec: machine, names });
    }
    check_clashes(&groups, errors);
    groups
}

fn names(base: &Name, machine: &spec::Machine, errors: &mut Errors) -> Vec<Name> {
    let Some(scale) = &machine.scale else { return vec![base.clone()] };
    if scale.value > MAX_SCALE {
        errors.push(Diagnostic::invalid(format!("`scale` is at most {MAX_SCALE}")).at(&scale.place));
        return vec![];
    }
    let mut names = vec![];
    for number in 1..=scale.value {
        match Name::new(format!("{base}-{number}")) {
            Ok(name) => names.push(name),
            Err(error) => {
                let message = format!("`scale` makes names of machines out of `{base}`: {error}");
                errors.push(Diagnostic::invalid(message).at(&scale.place));
                break;
            }
        }
    }
    names
}

/// What only one machine can have.
fn check_fixed(machine: &spec::Machine, errors: &mut Errors) {
    let scale = machine.scale.as_ref().expect("only `scale` makes more than one machine");
    let mut refuse = |what: &str, place: &Place, hint: &str| {
        let message = format!("{what} cannot belong to {} machines at once", scale.value);
        errors.push(Diagnostic::invalid(message).at(place).also(&scale.place, "`scale` is set here").hint(hint));
    };
    if let Some(hostname) = &machine.hostname {
        refuse("a `hostname`", &hostname.place, "leave it out: each machine is called by its own name");
    }
    for (_, nic) in machine.nics.iter().flat_map(|nics| &nics.0) {
        if let Some(mac) = &nic.mac {
            refuse("a fixed `mac`", &mac.place, "leave it out: each card gets its own");
        }
        for ip in nic.ip.iter().flatten() {
            if matches!(ip.value, spec::Ip::Address { .. }) {
                refuse("a fixed address", &ip.place, "ip: auto");
            }
        }
    }
    for port in machine.ports.iter().flatten() {
        let Some((first, last)) = port.published else { continue };
        let target = port.target.0;
        let room = u32::from(last.saturating_sub(first)) + 1;
        if port.target.1 != target || room < scale.value {
            let end = u32::from(first) + scale.value - 1;
            refuse("a published port", &port.place, &format!("a port for each: `{first}-{end}:{target}`, or `{target}` for a free one"));
        }
    }
}

/// `web-1` out of `web`, beside a machine that the file calls `web-1`.
fn check_clashes(groups: &Groups, errors: &mut Errors) {
    let mut seen: BTreeMap<&str, &Group> = BTreeMap::new();
    for group in &groups.0 {
        for name in std::iter::once(&group.base).chain(&group.names) {
            let Some(other) = seen.insert(name.as_str(), group).filter(|other| other.base != group.base) else { continue };
            let scaled = if group.is_scaled() { group } else { other };
            let scale = scaled.spec.scale.as_ref().map_or(&scaled.place, |scale| &scale.place);
            errors.push(
                Diagnostic::invalid(format!("two machines would be called `{name}`"))
                    .at(if group.is_scaled() { &other.place } else { &group.place })
                    .also(scale, format!("`scale` makes `{name}` out of `{}`", scaled.base))
                    .hint("give one of them another name"),
            );
            break;
        }
    }
}
