//! `defaults` under a machine: its own value wins key by key, maps are laid over each other, lists take each other's place.

use std::collections::BTreeMap;

use crate::diag::At;
use crate::spec::{Broken, Entries, Machine};

/// All entries; the machine's own win.
fn merged<T: Clone>(own: &Entries<T>, below: &Entries<T>) -> Entries<T> {
    let mut all: Vec<(At<String>, T)> = below.0.clone();
    let known: BTreeMap<&str, usize> = below.0.iter().enumerate().map(|(at, (key, _))| (key.value.as_str(), at)).collect();
    for entry in &own.0 {
        match known.get(entry.0.value.as_str()) {
            Some(at) => all[*at] = entry.clone(),
            None => all.push(entry.clone()),
        }
    }
    Entries(all)
}

/// The machine `name` as it is with the defaults under it.
pub(super) fn merge(name: &str, own: &Machine, below: Option<&Machine>) -> Machine {
    let Some(below) = below else { return own.clone() };
    let mut broken = Broken::default();
    // A value that could not be read hides what is below it all the same.
    macro_rules! over {
        ($field:ident) => {{
            let from = if own.$field.is_some() || own.broken.has(stringify!($field)) { own } else { below };
            if from.broken.has(stringify!($field)) {
                broken.insert(stringify!($field));
            }
            from.$field.clone()
        }};
    }
    macro_rules! merged {
        ($field:ident) => {
            match (&own.$field, &below.$field) {
                (Some(own), Some(below)) => Some(merged(own, below)),
                _ => over!($field),
            }
        };
    }
    let mut machine = Machine {
        place: own.place.clone(),
        image: over!(image),
        pull_policy: over!(pull_policy),
        command: over!(command),
        entrypoint: over!(entrypoint),
        environment: merged!(environment),
        env_file: over!(env_file),
        hostname: over!(hostname),
        user: over!(user),
        working_dir: over!(working_dir),
        tty: over!(tty),
        stdin_open: over!(stdin_open),
        volumes: over!(volumes),
        tmpfs: over!(tmpfs),
        shm_size: over!(shm_size),
        ports: over!(ports),
        links: over!(links),
        depends_on: over!(depends_on),
        restart: over!(restart),
        healthcheck: over!(healthcheck),
        stop_signal: over!(stop_signal),
        stop_grace_period: over!(stop_grace_period),
        cpus: over!(cpus),
        cpuset: over!(cpuset),
        memory: over!(memory),
        pids_limit: over!(pids_limit),
        ulimits: merged!(ulimits),
        sysctls: merged!(sysctls),
        cap_add: over!(cap_add),
        cap_drop: over!(cap_drop),
        devices: over!(devices),
        privileged: over!(privileged),
        security_opt: over!(security_opt),
        dns: over!(dns),
        dns_search: over!(dns_search),
        extra_hosts: over!(extra_hosts),
        labels: merged!(labels),
        network_mode: over!(network_mode),
        scale: over!(scale),
        nics: over!(nics),
        rules: over!(rules),
        sshd: over!(sshd),
        guest: over!(guest),
        init: over!(init),
        broken,
    };
    // Cards and a borrowed namespace exclude each other: what the machine itself says wins over both.
    let says_mode = own.network_mode.is_some() || own.broken.has("network_mode");
    let says_nics = own.nics.is_some() || own.broken.has("nics");
    if says_mode && !says_nics {
        machine.nics = None;
    }
    if says_nics && !says_mode {
        machine.network_mode = None;
    }
    // "Everybody needs db" does not mean that db needs itself.
    if own.depends_on.is_none()
        && let Some(needed) = &mut machine.depends_on
    {
        needed.0.retain(|(target, _)| target.value != name);
    }
    if own.links.is_none()
        && let Some(links) = &mut machine.links
    {
        links.retain(|link| link.machine.value != name);
    }
    machine
}
