//! What is meant: the arguments of every command, with the environment taken into account.

use std::path::PathBuf;

use super::args::Global;
use super::engine::Way;
use super::environment::Environment;
use crate::diag::{Diagnostic, Kind};
use crate::types::Name;

#[derive(Clone)]
pub(super) struct Settings {
    /// Nothing: look for it.
    pub(super) file: Option<PathBuf>,
    pub(super) project: Option<Name>,
    /// Empty: `.env` beside the file, if it is there.
    pub(super) env_files: Vec<PathBuf>,
    /// Where locks are.
    pub(super) locks: PathBuf,
    /// Log lines go to stderr, where a moving display would destroy them.
    pub(super) is_verbose: bool,
    pub(super) environment: Environment,
}

impl Settings {
    pub(super) fn resolve(global: Global, environment: Environment) -> Result<Self, Diagnostic> {
        let name = |text: String| {
            let wrong = |error| {
                Diagnostic::new(Kind::Usage, format!("`--project {text}` is not a name")).cause(error).hint("`--project shop` would be one")
            };
            Name::new(text.clone()).map_err(wrong)
        };
        Ok(Self {
            file: global.file,
            project: global.project.map(name).transpose()?,
            env_files: global.env_file,
            locks: locks(&environment),
            is_verbose: global.verbose > 0,
            environment,
        })
    }
}

impl Settings {
    pub(super) fn engine(&self) -> Result<Way, Diagnostic> {
        Way::find(&self.environment)
    }
}

/// In memory, so that a reboot clears it, and writable by nobody else. Several users of one engine can agree on a folder.
fn locks(environment: &Environment) -> PathBuf {
    environment.variable("FLY_RUNTIME_DIR").map_or_else(|| private(environment), PathBuf::from)
}

/// The same, of this user alone.
pub(super) fn private(environment: &Environment) -> PathBuf {
    match environment.variable("XDG_RUNTIME_DIR") {
        _ if environment.user == 0 => PathBuf::from("/run/fly"),
        Some(directory) => PathBuf::from(directory).join("fly"),
        None => PathBuf::from(format!("/tmp/fly-{}", environment.user)),
    }
}
