//! A snapshot as it is written down: the names that many machines have alike stand in it once.
//!
//! Every machine of a network knows every other: with hundreds of them, their lines of `/etc/hosts` written out one by one are
//! nearly all there is.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Actual;
use crate::engine::EngineSnapshot;
use crate::net::{HostsLine, NetSnapshot};
use crate::types::{HostEntry, Name, Ns};

/// Of what follows. A record of another form is another build's.
const FORM: u32 = 1;

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("it is of form {0}, and this fly reads form {FORM}")]
    Form(u64),
    #[error("it is no world that `fly snapshot` has recorded")]
    Other,
    #[error("it is of project `{0}`, and the file's is `{1}`")]
    Project(Name, Name),
    #[error("it was changed, or written by another version of fly")]
    Changed(#[source] serde_json::Error),
}

impl Actual {
    /// As it is written down, of this project; ends without a line feed.
    pub fn to_text(self, project: &Name) -> String {
        serde_json::to_string_pretty(&Record { project: Some(project.clone()), ..self.into() }).unwrap_or_default()
    }

    /// `project`: whose it has to be.
    pub fn from_text(text: &[u8], project: &Name) -> Result<Self, RecordError> {
        /// What is the same in all forms.
        #[derive(Deserialize)]
        struct Head {
            fly_world: Option<u64>,
        }
        match serde_json::from_slice::<Head>(text).ok().and_then(|head| head.fly_world) {
            None => return Err(RecordError::Other),
            Some(form) if form != u64::from(FORM) => return Err(RecordError::Form(form)),
            Some(_) => {}
        }
        let record: Record = serde_json::from_slice(text).map_err(RecordError::Changed)?;
        match &record.project {
            Some(other) if other != project => Err(RecordError::Project(other.clone(), project.clone())),
            _ => Ok(record.into()),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    fly_world: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    project: Option<Name>,
    engine: EngineSnapshot,
    net: NetSnapshot,
    /// What machines were created with.
    #[serde(default)]
    given_hosts: Vec<Alike<Name, HostEntry>>,
    /// What their files say.
    #[serde(default)]
    hosts: Vec<Alike<Ns, HostsLine>>,
}

/// The same lines for all of these.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "Of: Ord + Deserialize<'de>, Line: Ord + Deserialize<'de>"))]
struct Alike<Of, Line> {
    of: BTreeSet<Of>,
    lines: Arc<BTreeSet<Line>>,
}

fn alike<'a, Of: Clone + Ord + 'a, Line: Ord + 'a>(
    found: impl Iterator<Item = (&'a Of, &'a mut Arc<BTreeSet<Line>>)>,
) -> Vec<Alike<Of, Line>> {
    let mut known: BTreeMap<Arc<BTreeSet<Line>>, BTreeSet<Of>> = BTreeMap::new();
    for (of, lines) in found.filter(|(_, lines)| !lines.is_empty()) {
        known.entry(take(lines)).or_default().insert(of.clone());
    }
    known.into_iter().map(|(lines, of)| Alike { of, lines }).collect()
}

impl From<Actual> for Record {
    fn from(Actual { mut engine, mut net }: Actual) -> Self {
        let given_hosts = alike(engine.machines.iter_mut().map(|(name, machine)| (name, &mut machine.container.hosts)));
        let hosts = alike(net.namespaces.iter_mut().map(|(ns, namespace)| (ns, &mut namespace.hosts)));
        Self { fly_world: FORM, project: None, engine, net, given_hosts, hosts }
    }
}

impl From<Record> for Actual {
    fn from(Record { fly_world: _, project: _, mut engine, mut net, given_hosts, hosts }: Record) -> Self {
        for Alike { of, lines } in given_hosts {
            for machine in of {
                if let Some(machine) = engine.machines.get_mut(&machine) {
                    machine.container.hosts = Arc::clone(&lines);
                }
            }
        }
        for Alike { of, lines } in hosts {
            for ns in of {
                if let Some(namespace) = net.namespaces.get_mut(&ns) {
                    namespace.hosts = Arc::clone(&lines);
                }
            }
        }
        Self { engine, net }
    }
}
