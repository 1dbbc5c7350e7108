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

#[derive(Serialize, Deserialize)]
pub(super) struct Record {
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
#[serde(bound(deserialize = "Of: Ord + Deserialize<'de>, Line: Ord + Deserialize<'de>"))]
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
        Self { engine, net, given_hosts, hosts }
    }
}

impl From<Record> for Actual {
    fn from(Record { mut engine, mut net, given_hosts, hosts }: Record) -> Self {
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
