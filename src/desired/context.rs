//! What resolving needs to know besides the file. It is gathered by the caller: resolving itself asks nobody.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The absolute path of the folder that the file is in; relative paths start here, and its last part is the default name.
    pub directory: String,
    /// What `~` stands for.
    pub home: Option<String>,
    /// `.env` and the user's environment, the latter winning: where an `environment` key without a value takes its own from.
    pub environment: BTreeMap<String, String>,
    /// Every `env_file`, by its path as written.
    pub env_files: BTreeMap<String, EnvText>,
    /// The text of every seccomp profile of `security_opt`, by its path as written, or why it could not be read.
    pub seccomp_profiles: BTreeMap<String, Result<String, String>>,
    /// The text of every file of public keys, by its path as written, or why it could not be read.
    pub key_files: BTreeMap<String, Result<String, String>>,
    /// The public keys of whoever runs fly: lines as in `authorized_keys`.
    pub own_keys: BTreeSet<String>,
    /// The version of the guest that new machines get.
    pub guest: String,
    /// The version of the agent that puts network cards back; nothing: none is wanted, whatever the file says.
    pub agent: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvText {
    /// As the user would type it, from where he is.
    pub shown: String,
    /// Or why it could not be read.
    pub text: Result<String, String>,
}
