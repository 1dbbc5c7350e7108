//! systemd as a first process, where the engine cannot run it.

use crate::desired::Machine;
use crate::diag::Diagnostic;
use crate::engine::EngineFacts;
use crate::types::Name;

/// The first engine that gives a container a part of the tree of cgroups for itself.
const FIRST: u32 = 28;

pub(super) fn refusal(facts: &EngineFacts, name: &Name, machine: &Machine) -> Option<Diagnostic> {
    let (why, way) = obstacle(facts).filter(|_| machine.systemd)?;
    let error = Diagnostic::invalid(format!("systemd cannot be the first process of `{name}` on this engine"));
    let error = error.at_some(machine.places.of("init")).cause(why).hint(way);
    Some(error.hint("without `init: systemd` a `command` is run, and `sshd: true` logs in all the same"))
}

/// Why it would not come up, and what helps.
fn obstacle(facts: &EngineFacts) -> Option<(String, &'static str)> {
    let major = facts.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < FIRST) {
        let why =
            format!("it needs cgroups that it can write to, which Docker Engine gives from {FIRST} on, and this one is {}", facts.version);
        return Some((why, "Docker Engine 28 or newer, on a host with cgroups of version 2"));
    }
    let other = match facts.cgroups.as_str() {
        "2" => return None,
        "" => "which ones the engine does not say".to_owned(),
        version => format!("this host has version {version}"),
    };
    let why = format!("it needs cgroups of version 2, and {other}");
    Some((why, "the host's kernel is started with `systemd.unified_cgroup_hierarchy=1`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_a_new_engine_and_cgroups_of_version_2() {
        let why = |version: &str, cgroups: &str| {
            obstacle(&EngineFacts { version: version.into(), cgroups: cgroups.into(), ..EngineFacts::default() }).map(|(why, _)| why)
        };
        for (version, cgroups, words) in [
            ("20.10.24", "2", "this one is 20.10.24"),
            ("27.5.1", "2", "Docker Engine gives from 28 on"),
            ("dev", "2", "this one is dev"),
            ("28.5.0", "1", "this host has version 1"),
            ("29.0", "", "does not say"),
        ] {
            assert!(why(version, cgroups).is_some_and(|why| why.contains(words)), "{version} {cgroups}");
        }
        assert_eq!(why("28.0.1", "2"), None);
        assert_eq!(why("29.0+azure", "2"), None);
    }
}
