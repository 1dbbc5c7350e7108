//! `--only MACHINE`: which machines are meant, and what they need.

use std::collections::BTreeSet;

use super::machine::{number, unknown};
use crate::desired::Desired;
use crate::diag::Diagnostic;
use crate::types::Name;

/// Asks for these machines alone, with all that they need; for everything where none is named. A name with a `scale` is all of its
/// machines. Gives those that were named.
pub(super) fn ask_for(desired: &mut Desired, names: &[String]) -> Result<BTreeSet<Name>, Vec<Diagnostic>> {
    let known: BTreeSet<&str> = desired.machines.keys().map(Name::as_str).collect();
    let (mut chosen, mut wrong) = (BTreeSet::new(), vec![]);
    for text in names {
        let is_meant =
            |name: &&Name| if known.contains(text.as_str()) { name.as_str() == text } else { number(text, name.as_str()).is_some() };
        let meant: Vec<Name> = desired.machines.keys().filter(is_meant).cloned().collect();
        if meant.is_empty() {
            wrong.push(unknown(text, &desired.project, &known));
        }
        chosen.extend(meant);
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    if !chosen.is_empty() {
        desired.only = Some(desired.with_needs(&chosen));
    }
    Ok(chosen)
}
