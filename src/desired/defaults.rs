//! `defaults` under a machine: its own value wins key by key, maps are laid over each other, lists take each other's place.

use crate::diag::At;
use crate::spec::{Entries, Machine};

/// A value of the machine, or else the defaults'.
fn over<T: Clone>(own: Option<&T>, below: Option<&T>) -> Option<T> {
    own.or(below).cloned()
}

/// All entries; the machine's own win.
fn merged<T: Clone>(own: Option<&Entries<T>>, below: Option<&Entries<T>>) -> Option<Entries<T>> {
    let (Some(own), Some(below)) = (own, below) else { return over(own, below) };
    let mut all: Vec<(At<String>, T)> = below.0.clone();
    for (key, value) in &own.0 {
        match all.iter_mut().find(|(known, _)| known.value == key.value) {
            Some(entry) => *entry = (key.clone(), value.clone()),
            None => all.push((key.clone(), value.clone())),
        }
    }
    Some(Entries(all))
}

/// The machine `name` as it is with the defaults under it.
pub(super) fn merge(name: &str, own: &Machine, below: Option<&Machine>) -> Machine {
    let Some(below) = below else { return own.clone() };
    macro_rules! over {
        ($field:ident) => {
            over(own.$field.as_ref(), below.$field.as_ref())
        };
    }
    let mut machine = Machine {
        place: own.place.clone(),
        image: over!(image),
        pull_policy: over!(pull_policy),
        command: over!(command),
        entrypoint: over!(entrypoint),
        environment: merged(own.environment.as_ref(), below.environment.as_ref()),
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
        ulimits: merged(own.ulimits.as_ref(), below.ulimits.as_ref()),
        sysctls: merged(own.sysctls.as_ref(), below.sysctls.as_ref()),
        cap_add: over!(cap_add),
        cap_drop: over!(cap_drop),
        devices: over!(devices),
        privileged: over!(privileged),
        security_opt: over!(security_opt),
        dns: over!(dns),
        dns_search: over!(dns_search),
        extra_hosts: over!(extra_hosts),
        labels: merged(own.labels.as_ref(), below.labels.as_ref()),
        network_mode: over!(network_mode),
        scale: over!(scale),
        nics: over!(nics),
    };
    // Cards and a borrowed namespace exclude each other: what the machine itself says wins over both.
    if own.network_mode.is_some() && own.nics.is_none() {
        machine.nics = None;
    }
    if own.nics.is_some() && own.network_mode.is_none() {
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
