//! When a run needs a yes, and how it is asked for.

use super::ui::Ui;
use crate::diag::{Diagnostic, Kind};
use crate::diff::{Change, Impact, Loss};
use crate::plan::Plan;
use crate::types::Addr;

/// What is run, in the words of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Up,
    Down,
}

impl Verb {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Lets the run go on, asks, or refuses where nobody can be asked. `false` is a no.
pub(super) fn permission(verb: Verb, plan: &Plan, ui: &Ui) -> Result<bool, Diagnostic> {
    let Some(what) = concern(verb, plan) else { return Ok(true) };
    if ui.can_ask {
        return Ok(ui.confirm(&question(&what)));
    }
    Err(refusal(verb, &what))
}

fn question(what: &str) -> String {
    format!("This {what}. Go ahead?")
}

fn refusal(verb: Verb, what: &str) -> Diagnostic {
    let refused =
        Diagnostic::new(Kind::Failed, format!("`fly {}` was not run: it {what}, and there is no terminal to ask on", verb.as_str()));
    refused.hint(match verb {
        Verb::Up => "`fly plan` shows it, `fly up --yes` does it",
        // It is only asked because of them.
        Verb::Down => "`fly down --volumes --yes` does it, `fly down` keeps the volumes",
    })
}

/// What makes it necessary to ask: `loses data and interrupts 2 machines`.
///
/// `down` is itself the wish that machines go, so there only the loss of volumes is worth a question.
fn concern(verb: Verb, plan: &Plan) -> Option<String> {
    let losses = || plan.changes.iter().flat_map(|change| &change.losses);
    let volumes = losses().filter(|loss| matches!(loss, Loss::Volume(_))).count();
    let mut parts = vec![];
    if volumes > 0 {
        parts.push(format!("deletes {} with all data", counted(volumes, "volume")));
    }
    if verb == Verb::Up {
        let machines = |impact: &dyn Fn(&Change) -> bool| {
            plan.changes
                .iter()
                .filter(|change| impact(change))
                .filter_map(|change| change.addr.machine())
                .collect::<std::collections::BTreeSet<_>>()
                .len()
        };
        let of_machine = |change: &Change| matches!(change.addr, Addr::Machine(_) | Addr::Nic(..));
        let gone = machines(&|change| matches!(change.addr, Addr::Machine(_)) && change.impact == Impact::Destroy);
        let replaced = machines(&|change| of_machine(change) && change.impact == Impact::Recreate);
        let restarted = machines(&|change| of_machine(change) && change.impact == Impact::Restart);
        let said = [(gone, "removes"), (replaced, "replaces"), (restarted, "restarts")];
        parts.extend(said.into_iter().filter(|(n, _)| *n > 0).map(|(n, verb)| format!("{verb} {}", counted(n, "machine"))));
        let is_concerning = plan.impact().is_disruptive() || losses().next().is_some();
        if parts.is_empty() && is_concerning {
            parts.push("interrupts or loses something".to_owned());
        }
    }
    let last = parts.pop()?;
    Some(if parts.is_empty() { last } else { format!("{} and {last}", parts.join(", ")) })
}

fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::Action;

    fn plan(changes: Vec<Change>) -> Plan {
        Plan { project: "shop".parse().unwrap(), changes, steps: vec![], notes: vec![], drift: std::collections::BTreeMap::new() }
    }

    fn change(addr: &str, action: Action, impact: Impact, losses: Vec<Loss>) -> Change {
        Change { action, impact, losses, reason: "because".into(), ..Change::keep(addr.parse().unwrap(), None) }
    }

    #[test]
    fn questions_name_the_worst() {
        let volume = change("volume/data", Action::Delete, Impact::Destroy, vec![Loss::Volume("shop.data".into())]);
        let layer = || vec![Loss::WritableLayer(None)];
        let plan = plan(vec![
            volume,
            change("machine/a", Action::Delete, Impact::Destroy, layer()),
            change("machine/b", Action::Replace, Impact::Recreate, layer()),
            change("machine/c", Action::Replace, Impact::Recreate, layer()),
            change("nic/c:eth0", Action::Create, Impact::Recreate, vec![]),
        ]);
        let asked = |verb| question(&concern(verb, &plan).unwrap());
        insta::assert_snapshot!(asked(Verb::Up), @"This deletes 1 volume with all data, removes 1 machine and replaces 2 machines. Go ahead?");
        insta::assert_snapshot!(asked(Verb::Down), @"This deletes 1 volume with all data. Go ahead?");
    }

    #[test]
    fn what_goes_on_while_machines_run_is_not_asked_about() {
        let plan = plan(vec![change("nic/a:eth0", Action::Update, Impact::Live, vec![])]);
        assert_eq!(concern(Verb::Up, &plan), None);
    }

    #[test]
    fn down_is_the_request_itself() {
        let plan = plan(vec![change("machine/a", Action::Delete, Impact::Destroy, vec![Loss::WritableLayer(None)])]);
        assert_eq!(concern(Verb::Down, &plan), None);
        assert!(concern(Verb::Up, &plan).is_some());
    }

    #[test]
    fn without_a_terminal_it_is_refused() {
        let plan = plan(vec![change("machine/a", Action::Restart, Impact::Restart, vec![])]);
        let refused = refusal(Verb::Up, &concern(Verb::Up, &plan).unwrap());
        insta::assert_snapshot!(refused.message, @"`fly up` was not run: it restarts 1 machine, and there is no terminal to ask on");
        insta::assert_snapshot!(refused.hints[0], @"`fly plan` shows it, `fly up --yes` does it");
        let refused = refusal(Verb::Down, "deletes 1 volume with all data");
        insta::assert_snapshot!(refused.hints[0], @"`fly down --volumes --yes` does it, `fly down` keeps the volumes");
    }
}
