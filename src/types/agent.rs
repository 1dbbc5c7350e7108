//! The agent: what its objects on an engine are called.

use super::{Name, stable_hash};

/// The container, one an engine.
pub const AGENT: &str = "fly-agent";
/// Its label: the version.
pub const LABEL_AGENT: &str = "fly.agent";
/// The label of a volume that holds, in this very label, what the agent is to put back for a project.
pub const LABEL_ORDERS: &str = "fly.orders";
const ORDERS_END: &str = ".agent";

/// The name of a project's orders: other orders are another volume, since labels cannot be changed.
pub fn orders_volume(project: &Name, orders: &str) -> String {
    let hash = stable_hash(&["orders", project.as_str(), orders]);
    let digits: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{project}.{digits}{ORDERS_END}")
}

/// Whose orders a volume of this name and label is.
pub fn orders_of(name: &str, orders: &str) -> Option<Name> {
    let project = Name::new(name.strip_suffix(ORDERS_END)?.split_once('.')?.0).ok()?;
    (orders_volume(&project, orders) == name).then_some(project)
}

/// Whose orders a volume of this name would be.
pub fn orders_named(name: &str) -> Option<Name> {
    Name::new(name.strip_suffix(ORDERS_END)?.split_once('.')?.0).ok()
}
