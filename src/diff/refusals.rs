//! What cannot be done in the world as it is, found before anything is touched.

mod card;
mod guest;
mod lower;
mod machine;
mod network;
mod physical;
mod systemd;

pub use card::lacking_module;

use super::{Action, Diff};
use crate::actual::Actual;
use crate::desired::{Desired, Places};
use crate::diag::{Diagnostic, Kind};
use crate::types::{AGENT, Addr, LINK_GROUP, Name, Owner};

/// Every reason against doing what `diff` says; with none it can be done.
pub fn refusals(desired: &Desired, actual: &Actual, diff: &Diff) -> Vec<Diagnostic> {
    let mut found = vec![];
    for (name, network) in &desired.networks {
        network::refusals(desired, actual, diff, name, network, &mut found);
    }
    for (name, volume) in &desired.volumes {
        match actual.engine.taken.volumes.get(&volume.name) {
            None if volume.external && actual.engine.volumes.values().all(|v| v.name != volume.name) => found.push(
                Diagnostic::invalid(format!("volume `{}` is external, and the engine has none of that name", volume.name))
                    .at_some(volume.places.of("external"))
                    .hint(format!("docker volume create {}", volume.name)),
            ),
            Some(owner) if !volume.external => {
                found.push(
                    taken("volume", &volume.name, owner, &volume.places).hint(format!("`external: true` under `{name}` uses it as it is")),
                );
            }
            _ => {}
        }
    }
    for (name, container) in &actual.engine.renamed {
        let own = name.in_project(&desired.project);
        let place = desired.machines.get(name).and_then(|machine| machine.places.own.as_ref());
        let error =
            Diagnostic::new(Kind::Stranger, format!("container `{container}` is `{own}` under another name: somebody has renamed it"));
        found.push(error.at_some(place).hint(format!("docker rename {container} {own}")));
    }
    for (name, machine) in &desired.machines {
        if let Some(owner) = actual.engine.taken.containers.get(&machine.name) {
            let hint = format!("is it needed? `docker rename {0} {0}-old` makes room", machine.name);
            found.push(taken("container", &machine.name, owner, &machine.places).hint(hint));
        }
        let made = matches!(diff.action(&Addr::Machine(name.clone())), Action::Create | Action::Replace);
        machine::refusals(actual, name, machine, made, &mut found);
        found.extend(guest::refusal(actual, name, machine));
        found.extend(systemd::refusal(&actual.engine.facts, name, machine));
        machine::health_refusals(desired, actual, name, machine, &mut found);
        card::refusals(desired, actual, name, machine, &mut found);
    }
    if let Some(owner) = actual.engine.taken.containers.get(AGENT).filter(|_| desired.agent.is_some()) {
        let hint = format!("is it needed? `docker rename {AGENT} {AGENT}-old` makes room");
        found.push(taken("container", AGENT, owner, &Places::default()).hint(hint).hint("or do without the agent: `agent: false`"));
    }
    found.extend(physical::back(desired, actual, diff));
    let deletes = diff.changes.values().any(|change| matches!(change.action, Action::Delete | Action::Replace));
    if let Some(why) = actual.net.incomplete.as_ref().filter(|_| deletes) {
        found.push(
            Diagnostic::new(Kind::Failed, "the kernel's answer was not complete, and nothing is deleted on the strength of such a view")
                .cause(why)
                .hint("run the same command again"),
        );
    }
    found
}

fn taken(what: &str, name: &str, owner: &Owner, places: &Places) -> Diagnostic {
    let whose = match owner {
        Owner::Ours => "this project, under another name".to_owned(),
        Owner::Project(project) => format!("project `{project}`"),
        Owner::Stranger => "somebody else, not to fly".to_owned(),
    };
    Diagnostic::new(Kind::Stranger, format!("the name of {what} `{name}` is taken: it belongs to {whose}")).at_some(places.own.as_ref())
}

/// A name that only fly makes up is most likely fly's own link, of which somebody has set the marks.
fn taken_link(project: &Name, link: &str, what: &str, owner: &Owner, places: &Places) -> Diagnostic {
    let marks =
        format!("`ip link set {link} group {LINK_GROUP} alias fly:{project}/{what}` marks it as fly's again, if that is what it was");
    taken("link", link, owner, places).hint(marks).hint(format!("`ip link delete {link}` takes it away"))
}
