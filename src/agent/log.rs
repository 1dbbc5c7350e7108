//! The agent's log: its standard error, which the engine keeps.

use std::io::Write as _;

pub(super) fn line(text: &str) {
    // Nobody is left to be told that the log is gone.
    let _ = writeln!(std::io::stderr(), "fly: {text}");
}
