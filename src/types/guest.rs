//! What a machine's guest is told, and what it tells: the files that fly and the guest share, and where they lie in the machine.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Dynamic, IfName, Seconds};

/// All that is fly's in a machine is under this.
pub const GUEST_PLACE: &str = "/.fly";
/// fly's own binary in a machine, out of a volume that all machines share read-only.
pub const GUEST_BINARY: &str = "/.fly/bin/fly";
/// The machine's own volume: settings, state and host key. It outlives the container.
pub const GUEST_HOME: &str = "/.fly/machine";
/// Where `GUEST_BINARY` lies.
pub const GUEST_BIN: &str = "/.fly/bin";
/// What an engine's objects for the guest are called, with the version behind it: image, volume, and the container that fills it.
pub const GUEST_PREFIX: &str = "fly-guest-";
/// The label of these objects: the version.
pub const LABEL_GUEST: &str = "fly.guest";
/// The end of the name of a machine's own volume: `shop.web.guest`.
pub const GUEST_VOLUME: &str = ".guest";
/// In `GUEST_HOME`: a `GuestSettings`, written by fly, replaced by renaming.
pub const GUEST_CONFIG: &str = "config.json";
/// The option of `guest init` by which one container's guest tells its own settings from those of another one before it.
pub const GUEST_CONTAINER: &str = "--container";
/// In `GUEST_HOME`: a `GuestStatus`, written by the guest, replaced by renaming.
pub const GUEST_STATUS: &str = "status.json";
/// In `GUEST_HOME`: the private host key in OpenSSH's format, made by the guest at its first start; the public one beside it has `.pub`.
pub const GUEST_HOST_KEY: &str = "ssh_host_ed25519_key";
/// In `GUEST_HOME`: the socket by which whoever has the engine reaches the ssh server. Only root in the machine can connect to it.
pub const GUEST_SOCKET: &str = "ssh.sock";

/// The words by which an engine starts a guest, before the machine's own; `container` is of one container's alone.
pub fn guest_words(container: &str) -> Vec<String> {
    [GUEST_BINARY, "guest", "init", GUEST_CONTAINER, container, "--"].map(ToOwned::to_owned).to_vec()
}

/// How many of these words are the guest's, and what it was given for `container`. Before that was so, there were three.
pub fn own_words<T: AsRef<[u8]>>(words: &[T]) -> Option<(usize, Option<&T>)> {
    let is = |at: usize, text: &str| words.get(at).is_some_and(|word| word.as_ref() == text.as_bytes());
    if !(is(0, GUEST_BINARY) && is(1, "guest") && is(2, "init")) {
        return None;
    }
    Some(if is(3, GUEST_CONTAINER) && is(5, "--") { (6, words.get(4)) } else { (3, None) })
}

/// What `GUEST_CONFIG` holds. The file outlives the container that it was written for, and another one must not take it for its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestSettings {
    /// As in the guest's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    #[serde(flatten)]
    pub config: GuestConfig,
}

/// What a machine's guest is to do. Everything in it can change while the machine runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestConfig {
    /// What the machine is called in messages.
    pub machine: String,
    /// The machine's own program waits until each of these cards is there with these addresses.
    pub nics: BTreeMap<IfName, BTreeSet<IpNet>>,
    /// Until these have addresses, whichever the network gives them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leases: BTreeMap<IfName, BTreeSet<Dynamic>>,
    /// But no longer than this; then it starts all the same, and the log says what is missing.
    pub patience: Seconds,
    /// `None`: no ssh server.
    pub sshd: Option<GuestSshd>,
    /// The guest becomes the machine's program instead of starting it: the program wants to be process 1.
    #[serde(default)]
    pub becomes_program: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestSshd {
    pub server: SshServer,
    /// On every address of the machine.
    pub port: u16,
    /// Who may log in, by their names in the machine's passwd.
    pub users: BTreeMap<String, GuestUser>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SshServer {
    /// fly's own.
    #[default]
    Fly,
    /// The image's `sshd`, with the same keys.
    Openssh,
}

impl std::fmt::Display for SshServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Fly => "fly",
            Self::Openssh => "openssh",
        })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestUser {
    /// Lines as in `authorized_keys`: type, key in base64, comment.
    pub authorized_keys: BTreeSet<String>,
    /// As in shadow: `$6$salt$hash` (crypt's SHA-512). `None`: no login by password.
    pub password_hash: Option<String>,
}

/// In `GUEST_HOME`: an `SshdStatus`, written by the ssh server, replaced by renaming.
pub const GUEST_SSHD: &str = "sshd.json";

/// What the ssh server tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshdStatus {
    /// What is wrong, in words for a user: the port is in use, the host key cannot be read.
    pub error: Option<String>,
    /// Addresses with their ports, as `0.0.0.0:22` and `[::]:22`.
    pub listening: Vec<String>,
}

/// What a guest tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestStatus {
    /// The version of fly that the guest is.
    pub version: String,
    pub state: GuestState,
    /// As in its words.
    #[serde(default)]
    pub container: Option<String>,
    /// When the first process began: it is this life's status, also where another program has taken the guest's place.
    #[serde(default)]
    pub began: u64,
}

/// When a process began, in ticks of the clock, from its `/proc/PID/stat`.
pub fn began(stat: &str) -> Option<u64> {
    // `PID (name) STATE …`, and the name may hold anything, also brackets and spaces.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestState {
    /// Waits for the machine's cards; what is missing.
    Waiting(Vec<String>),
    /// The program runs. What was still missing when the patience ended.
    Running { missing: Vec<String> },
}
