//! From the file's machines to those that there will be: defaults below them, `scale` taken apart, names checked.

use std::collections::BTreeMap;

use super::context::{Context, EnvText};
use super::defaults;
use super::work::{Errors, Group, Groups, first_place};
use crate::diag::{At, Diagnostic, Place};
use crate::spec::{self, PortRange, Spec};
use crate::types::Name;

/// More than one host carries, and few enough to be worked out at once.
const MAX_MACHINES: usize = 1000;
/// Whatever the machines are made of, all together: a hundred for each of a thousand is a large file.
const MAX_ENTRIES: usize = 250_000;
/// A card is a link, an address and names in files: more than an entry.
const CARD: usize = 10;
/// Each port is a rule in the firewall and a process: as many as these take the engine minutes.
const MAX_PORTS: usize = 10_000;

/// The machines, or nothing where they are more than can be worked out.
pub(super) fn expand(spec: &Spec, context: &Context, errors: &mut Errors) -> Option<Groups> {
    let lines = |file: &EnvText| file.text.as_ref().map_or(0, |text| text.lines().count());
    let files = context.env_files.iter().map(|(path, file)| (path.as_str(), lines(file))).collect();
    let (mut groups, mut totals) = (vec![], Totals { files, ..Totals::default() });
    for (key, own) in &spec.machines.0 {
        let base = match Name::new(key.value.clone()) {
            Ok(name) => name,
            Err(error) => {
                errors.push(Diagnostic::invalid(error.to_string()).at(&key.place));
                continue;
            }
        };
        let machine = defaults::merge(base.as_str(), own, spec.defaults.as_ref());
        let mut group = Group { base, place: key.place.clone(), spec: machine, names: vec![] };
        if let Some(error) = totals.add(&group) {
            errors.push(error);
            return None;
        }
        group.names = names(&group.base, &group.spec, errors);
        if group.names.len() > 1 {
            check_fixed(&group.spec, errors);
        }
        groups.push(group);
    }
    check_clashes(&mut groups, errors);
    Some(Groups::new(groups, spec.broken.has("machines")))
}

/// A few lines can ask for more than a host or a person can bear: that is found before any of it is worked out.
#[derive(Default)]
struct Totals<'a> {
    /// How many lines each file of variables has.
    files: BTreeMap<&'a str, usize>,
    machines: usize,
    entries: usize,
    ports: usize,
}

impl Totals<'_> {
    fn add(&mut self, group: &Group) -> Option<Diagnostic> {
        let spec = &group.spec;
        let count = spec.scale.as_ref().map_or(1, |scale| scale.value as usize);
        let range = |port: &At<PortRange>| usize::from(port.value.target.1.saturating_sub(port.value.target.0)) + 1;
        self.machines = count.saturating_add(self.machines);
        let variables = spec.env_file.iter().flatten().filter_map(|file| self.files.get(file.path.value.as_str()));
        let size = size(spec) + variables.sum::<usize>();
        self.entries = count.saturating_mul(size).saturating_add(self.entries);
        self.ports = count.saturating_mul(spec.ports.iter().flatten().map(range).sum()).saturating_add(self.ports);
        let scale = spec.scale.as_ref().map(|scale| &scale.place);
        let (most, what, place, hint) = if self.machines > MAX_MACHINES {
            (MAX_MACHINES, "machines", scale, "a smaller `scale`, or a file for each part of the project")
        } else if self.ports > MAX_PORTS {
            (MAX_PORTS, "published ports", first_place(spec.ports.as_ref()), "publish only what is used")
        } else if self.entries > MAX_ENTRIES {
            let hint = "shorter lists in `defaults`, or a smaller `scale`";
            (MAX_ENTRIES, "entries in all lists, mappings and files of variables of its machines together", scale, hint)
        } else {
            return None;
        };
        let error = Diagnostic::invalid(format!("a file comes to at most {most} {what}, and this one to more"));
        Some(error.at(place.unwrap_or(&group.place)).label("with this it is too many").hint(hint))
    }
}

/// How much there is to be worked out for one machine.
fn size(machine: &spec::Machine) -> usize {
    macro_rules! count {
        ($($field:ident),+) => { [$( machine.$field.as_ref().map_or(0, |list| list.len()) ),+].iter().sum::<usize>() };
    }
    let lists =
        count!(env_file, volumes, tmpfs, ports, links, cap_add, cap_drop, devices, security_opt, dns, dns_search, extra_hosts, rules);
    macro_rules! entries {
        ($($field:ident),+) => { [$( machine.$field.as_ref().map_or(0, |map| map.0.len()) ),+].iter().sum::<usize>() };
    }
    let maps = entries!(environment, depends_on, ulimits, sysctls, labels);
    let nic = |nic: &spec::Nic| {
        let tuning = &nic.tuning;
        let more = [
            tuning.neighbours.as_ref().map_or(0, Vec::len),
            tuning.sysctls.as_ref().map_or(0, Vec::len),
            tuning.rules.as_ref().map_or(0, Vec::len),
        ];
        CARD + nic.ip.as_ref().map_or(0, Vec::len) + nic.routes.as_ref().map_or(0, Vec::len) + more.iter().sum::<usize>()
    };
    let words = [&machine.command, &machine.entrypoint].into_iter().flatten().map(|words| words.value.len()).sum::<usize>();
    lists + maps + words + machine.nics.iter().flat_map(|nics| &nics.0).map(|(_, card)| nic(card)).sum::<usize>()
}

fn names(base: &Name, machine: &spec::Machine, errors: &mut Errors) -> Vec<Name> {
    let Some(scale) = &machine.scale else { return vec![base.clone()] };
    let mut names = vec![];
    for number in 1..=scale.value {
        match Name::new(format!("{base}-{number}")) {
            Ok(name) => names.push(name),
            Err(error) => {
                let message = format!("`scale` makes names of machines out of `{base}`: {error}");
                errors.push(Diagnostic::invalid(message).at(&scale.place).hint("a shorter name for the machine"));
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
fn check_clashes(groups: &mut [Group], errors: &mut Errors) {
    let mut seen: BTreeMap<Name, usize> = BTreeMap::new();
    let mut made_twice = vec![];
    for (at, group) in groups.iter().enumerate() {
        let mut said = false;
        for name in std::iter::once(&group.base).chain(&group.names) {
            let Some(other) = seen.insert(name.clone(), at).filter(|other| *other != at) else { continue };
            let (first, scaled) = (&groups[other], if group.is_scaled() { at } else { other });
            made_twice.push((scaled, name.clone()));
            if std::mem::replace(&mut said, true) {
                continue;
            }
            let by = &groups[scaled];
            errors.push(
                Diagnostic::invalid(format!("two machines would be called `{name}`"))
                    .at(if group.is_scaled() { &first.place } else { &group.place })
                    .also(
                        by.spec.scale.as_ref().map_or(&by.place, |scale| &scale.place),
                        format!("`scale` makes `{name}` out of `{}`", by.base),
                    )
                    .hint("give one of them another name"),
            );
        }
    }
    // What two of one name share is not worth another word.
    for (scaled, name) in made_twice {
        groups[scaled].names.retain(|known| *known != name);
    }
}
