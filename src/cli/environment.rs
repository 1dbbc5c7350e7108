//! The process's surroundings, read once.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub(super) struct Environment {
    /// Those whose names and values are text.
    pub(super) variables: BTreeMap<String, String>,
    pub(super) directory: PathBuf,
    pub(super) user: u32,
    pub(super) stdin_is_terminal: bool,
    pub(super) stdout_is_terminal: bool,
    pub(super) stderr_is_terminal: bool,
    /// As it was typed: `fly up --yes`.
    pub(super) command: String,
}

impl Environment {
    pub(super) fn gather() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let arguments = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
            // Without one, relative paths are wrong in any case, and reading them says so.
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            user: rustix::process::geteuid().as_raw(),
            stdin_is_terminal: std::io::stdin().is_terminal(),
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal: std::io::stderr().is_terminal(),
            command: std::iter::once("fly".to_owned()).chain(arguments).collect::<Vec<_>>().join(" "),
        }
    }

    /// A variable that is set to something.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}
