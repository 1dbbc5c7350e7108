//! What differs between the file and the world, resource by resource and field by field.

use serde::{Deserialize, Serialize};

use crate::diag::Place;
use crate::types::{Addr, Bytes};

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing: it is as it should be. Recorded, so that "unchanged" is a statement rather than an absence.
    Keep,
    Create,
    /// In place, while it runs.
    Update,
    /// The same container, started again.
    Restart,
    /// Removed and made anew.
    Replace,
    Delete,
}

impl Action {
    /// `+ ~ ! -/+ -`, and a space for nothing.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Keep => " ",
            Self::Create => "+",
            Self::Update => "~",
            Self::Restart => "!",
            Self::Replace => "-/+",
            Self::Delete => "-",
        }
    }

    pub fn verb(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Create => "create",
            Self::Update => "update",
            Self::Restart => "restart",
            Self::Replace => "replace",
            Self::Delete => "delete",
        }
    }
}

/// What a change does to whoever uses the resource, from nothing to the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Impact {
    #[default]
    None,
    /// Changed while it runs.
    Live,
    /// The machine's processes end and start again.
    Restart,
    /// The machine is made anew; its writable layer is lost.
    Recreate,
    Destroy,
}

impl Impact {
    /// Whether somebody should be asked first.
    pub fn is_disruptive(self) -> bool {
        self >= Self::Restart
    }
}

impl std::fmt::Display for Impact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Live => "live",
            Self::Restart => "restart",
            Self::Recreate => "recreate",
            Self::Destroy => "destroy",
        })
    }
}

/// What a field's change needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    Live,
    Restart,
    Replace,
}

/// One field that differs. Values are as they are written in the file, secrets masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// `mtu`, `environment.MODE`, `ip`.
    pub field: String,
    /// `None`: was not there.
    pub old: Option<String>,
    /// `None`: is not wanted.
    pub new: Option<String>,
    pub place: Option<Place>,
    pub effect: Effect,
}

/// Data that a change loses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// A container's own files, and how much there is where that is known.
    WritableLayer(Option<Bytes>),
    /// A volume with all that is in it, by the engine's name.
    Volume(String),
    AnonymousVolumes(Vec<String>),
    /// By which a machine is known to those who log in.
    HostKey,
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::WritableLayer(None) => f.write_str("files written inside the machine"),
            Self::WritableLayer(Some(size)) => write!(f, "files written inside the machine ({})", size.human()),
            Self::Volume(name) => write!(f, "volume {name} with all its data"),
            Self::HostKey => f.write_str("ssh host keys, which clients may know"),
            Self::AnonymousVolumes(names) => write!(f, "{} anonymous volume{}", names.len(), if names.len() == 1 { "" } else { "s" }),
        }
    }
}

/// What is done to one resource, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub addr: Addr,
    pub action: Action,
    pub fields: Vec<FieldChange>,
    /// A phrase: `not there yet`, `image differs`, `no longer wanted`. Empty only for `Keep`.
    pub reason: String,
    pub impact: Impact,
    pub losses: Vec<Loss>,
    pub place: Option<Place>,
}

impl Change {
    /// Away with something that nobody loses data or time by.
    pub fn delete(addr: Addr) -> Self {
        Self { action: Action::Delete, reason: "no longer wanted".to_owned(), impact: Impact::Live, ..Self::keep(addr, None) }
    }

    pub fn keep(addr: Addr, place: Option<Place>) -> Self {
        Self { addr, action: Action::Keep, fields: vec![], reason: String::new(), impact: Impact::None, losses: vec![], place }
    }
}
