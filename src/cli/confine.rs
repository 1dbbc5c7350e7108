//! Before a file is read that anybody may have written: what this process is not going to do, the kernel does not let it do any more.
//!
//! Where the kernel has no Landlock, or not all of it, nothing else is weaker: what is read is beneath the project's folder anyway,
//! nothing is run, and no socket is opened.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, Scope,
    path_beneath_rules,
};

/// The newest that is asked for; the kernel gives what it has of it.
const NEWEST: ABI = ABI::V6;

/// From here on nothing is read but these folders and files, nothing is written or run, and nothing is connected to.
pub(super) fn confine(readable: &[&Path]) {
    if let Err(error) = restrict(readable) {
        tracing::debug!("the kernel does not confine this process: {error}");
    }
}

fn restrict(readable: &[&Path]) -> Result<(), RulesetError> {
    // Reading, without running.
    let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?;
    let status = ruleset.create()?.add_rules(path_beneath_rules(readable, read))?.restrict_self()?;
    tracing::debug!("confined: {:?}", status.ruleset);
    Ok(())
}
