//! The first processes of the machines while a plan runs: operations on a machine's links find its namespace by them.

use std::collections::BTreeMap;

use crate::engine::EngineOp;
use crate::net::{NetOp, Processes};
use crate::plan::{Op, Step};
use crate::types::Name;

/// Which process each machine has, and in which container: a replacement runs under another name until the old one has gone,
/// and the end of the old one must not be taken for the end of the new one.
pub(super) struct Running(BTreeMap<Name, Process>);

struct Process {
    container: String,
    pid: u32,
}

impl Running {
    pub(super) fn new(project: &Name, processes: Processes) -> Self {
        let known = |(name, pid): (Name, u32)| {
            let container = name.in_project(project);
            (name, Process { container, pid })
        };
        Self(processes.into_iter().map(known).collect())
    }

    /// Takes note of a step that was done.
    pub(super) fn note(&mut self, step: &Step, pid: Option<u32>) {
        let (Some(machine), Op::Engine(op)) = (step.addr.machine(), &step.op) else { return };
        match op {
            EngineOp::StartContainer { name } => match pid {
                Some(pid) => drop(self.0.insert(machine.clone(), Process { container: name.clone(), pid })),
                // It has ended already; what needs its namespace will say so.
                None => self.forget(machine, name),
            },
            EngineOp::StopContainer { name } | EngineOp::RemoveContainer { name, .. } => self.forget(machine, name),
            EngineOp::RenameContainer { name, to } => {
                if let Some(process) = self.0.get_mut(machine).filter(|process| process.container == *name) {
                    process.container.clone_from(to);
                }
            }
            _ => {}
        }
    }

    fn forget(&mut self, machine: &Name, container: &str) {
        if self.0.get(machine).is_some_and(|process| process.container == container) {
            self.0.remove(machine);
        }
    }

    /// Those that an operation names, as far as they run.
    pub(super) fn of(&self, op: &NetOp) -> Processes {
        op.machines().into_iter().filter_map(|name| Some((name.clone(), self.0.get(name)?.pid))).collect()
    }
}
