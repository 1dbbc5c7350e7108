//! Machines that the engine cannot run as they are wanted, or that would wait for ever.

use std::collections::BTreeMap;

use crate::actual::Actual;
use crate::desired::{Desired, Machine};
use crate::diag::{Diagnostic, Kind};
use crate::engine::{ImageState, InRegistry};
use crate::spec::{Condition, PullPolicy};
use crate::types::{Cpus, Healthcheck, LABEL_MACHINE, LABEL_PROJECT, Name, NetworkMode};

pub(super) fn refusals(actual: &Actual, name: &Name, machine: &Machine, made: bool, found: &mut Vec<Diagnostic>) {
    let image = &machine.container.image;
    if made && machine.pull_policy == PullPolicy::Never && !actual.engine.images.contains_key(image) {
        found.push(
            Diagnostic::invalid(format!("image `{image}` is not on the engine, and `pull_policy` of `{name}` is `never`"))
                .at_some(machine.places.of("image"))
                .hint(format!("docker pull {image}")),
        );
    }
    if let (PullPolicy::Always, Some(InRegistry::Silent(why))) =
        (machine.pull_policy, actual.engine.images.get(image).and_then(|image| image.registry.as_ref()))
    {
        found.push(
            Diagnostic::new(Kind::Failed, format!("the registry of `{image}` does not say whether it has a newer image"))
                .at_some(machine.places.of("pull_policy"))
                .cause(why)
                .hint("without `pull_policy: always` the image that is here will do"),
        );
    }
    // What is made of it could not be told from what somebody else makes of it: not even to be taken away again.
    let bears = |labels: &BTreeMap<String, String>, label: &str| labels.get(label) == machine.container.labels.get(label);
    let spoofs = |image: &ImageState| [LABEL_PROJECT, LABEL_MACHINE].iter().all(|label| bears(&image.defaults.labels, label));
    if made && actual.engine.images.get(image).is_some_and(spoofs) {
        found.push(
            Diagnostic::invalid(format!("image `{image}` bears the labels by which fly knows the containers of `{name}`"))
                .at_some(machine.places.of("image"))
                .hint("was it committed from that machine? Build it anew with `LABEL fly.machine=\"\"`"),
        );
    }
    let cpus = u64::from(actual.engine.facts.cpus) * Cpus::ONE;
    if let Some(wanted) = machine.container.limits.cpus.filter(|wanted| cpus > 0 && wanted.0 > cpus) {
        found.push(
            Diagnostic::invalid(format!("`{name}` is to have {wanted} processors, and the engine has {}", actual.engine.facts.cpus))
                .at_some(machine.places.of("cpus"))
                .hint(format!("cpus: {}", actual.engine.facts.cpus)),
        );
    }
    let processors =
        machine.container.limits.cpuset.iter().flat_map(|set| set.split([',', '-'])).filter_map(|it| it.trim().parse::<u64>().ok());
    let last = u64::from(actual.engine.facts.cpus).checked_sub(1);
    if let Some((wanted, last)) = processors.max().zip(last).filter(|(wanted, last)| wanted > last) {
        found.push(
            Diagnostic::invalid(format!("`{name}` is to run on processor {wanted}, and the engine's last one is {last}"))
                .at_some(machine.places.of("cpuset"))
                .hint(format!("cpuset: 0-{last}")),
        );
    }
    found.extend(too_old_for_start_interval(actual, machine));
    if let NetworkMode::Container(other) = &machine.container.network_mode {
        let own = actual.engine.machines.iter().find(|(_, state)| state.name == *other || state.id.starts_with(other.as_str()));
        if let Some((own, _)) = own {
            found.push(
                Diagnostic::invalid(format!("container `{other}` is machine `{own}` of this project"))
                    .at_some(machine.places.of("network_mode"))
                    .hint(format!("network_mode: machine:{own}")),
            );
        } else if made && actual.engine.taken.container(other).is_none() {
            found.push(
                Diagnostic::invalid(format!("there is no container `{other}` whose network `{name}` could share"))
                    .at_some(machine.places.of("network_mode"))
                    .hint("`machine:NAME` names a machine of this file"),
            );
        }
    }
}

/// As Compose does: it is said, and not left out in silence.
fn too_old_for_start_interval(actual: &Actual, machine: &Machine) -> Option<Diagnostic> {
    machine.container.healthcheck.as_ref()?.start_interval.filter(|interval| interval.nanos() > 0)?;
    let (version, api) = (&actual.engine.facts.version, &actual.engine.facts.api);
    let number = |text: &str| text.parse::<u16>().ok();
    let (major, minor) = api.split_once('.')?;
    if (number(major)?, number(minor)?) >= (1, 44) {
        return None;
    }
    let message = format!("`start_interval` of a health check needs Docker Engine 25 (API 1.44), and this one is {version} (API {api})");
    let error = Diagnostic::invalid(message).at_some(machine.places.of("healthcheck"));
    Some(error.hint("leave it out: until `start_period` is over, `interval` counts"))
}

/// Nobody becomes healthy without a check. What an image says is only known once it is here.
pub(super) fn health_refusals(desired: &Desired, actual: &Actual, name: &Name, machine: &Machine, found: &mut Vec<Diagnostic>) {
    let checks = |check: &Healthcheck| check.test.first().is_some_and(|first| first != "NONE");
    for target in machine.depends_on.iter().filter(|(_, condition)| **condition == Condition::Healthy).map(|(target, _)| target) {
        let Some(other) = desired.machines.get(target) else { continue };
        let own = other.container.healthcheck.as_ref();
        let image = actual.engine.images.get(&other.container.image).filter(|image| !matches!(image.registry, Some(InRegistry::Other(_))));
        let Some(image) = image.filter(|_| !own.is_some_and(checks)) else { continue };
        if image.defaults.healthcheck.as_ref().is_some_and(checks) && own.is_none_or(|own| own.test.is_empty()) {
            continue;
        }
        let message = format!(
            "`{name}` waits until `{target}` is healthy, and nothing checks that: neither the file nor its image has a health check"
        );
        let mut error = Diagnostic::invalid(message).at_some(machine.places.of("healthy"));
        if let Some(place) = &other.places.own {
            error = error.also(place, "nothing checks it");
        }
        let hint = format!("`healthcheck: {{test: [CMD, ...]}}` for `{target}`, or `condition: started`");
        found.push(error.hint(hint));
    }
}
