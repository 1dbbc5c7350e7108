//! Where an operation works: the namespaces that it names, opened when first needed and closed with it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::error::{Refused, While, fault};
use super::probe::Later;
use super::socket::Client;
use super::space::{Process, Space, has_ended};
use crate::net::{NetError, NetErrorKind, NetOp, Processes};
use crate::types::{Name, Ns};

/// A namespace with a socket in it.
pub(super) struct Place {
    pub(super) ns: Ns,
    pub(super) inode: u64,
    pub(super) client: Client,
    space: Option<Space>,
    process: Option<Process>,
}

pub(super) struct Places<'a> {
    host: &'a Space,
    processes: &'a Processes,
    pub(super) later: &'a Later,
    open: RefCell<BTreeMap<Ns, Rc<Place>>>,
}

impl<'a> Places<'a> {
    pub(super) fn new(host: &'a Space, processes: &'a Processes, later: &'a Later) -> Self {
        Self { host, processes, later, open: RefCell::default() }
    }

    pub(super) fn host(&self) -> Result<Rc<Place>, NetError> {
        self.at(&Ns::Host)
    }

    pub(super) fn at(&self, ns: &Ns) -> Result<Rc<Place>, NetError> {
        if let Some(place) = self.open.borrow().get(ns) {
            return Ok(Rc::clone(place));
        }
        let (space, process) = match ns {
            Ns::Host => (None, None),
            Ns::Machine(machine) => {
                let process = self.process(machine)?;
                let space = process.space().map_err(|refused| lost(machine, refused))?;
                // Its number may be a process of the host's by now.
                if !process.is_alive() || space.inode == self.host.inode {
                    return Err(ended(machine));
                }
                (Some(space), Some(process))
            }
        };
        let entered = space.as_ref().unwrap_or(self.host);
        let inode = entered.inode;
        let client = entered.enter().and_then(|()| Client::open()).doing(|| format!("enter the network namespace of {ns}"))?;
        let place = Rc::new(Place { ns: ns.clone(), inode, client, space, process });
        self.open.borrow_mut().insert(ns.clone(), Rc::clone(&place));
        Ok(place)
    }

    /// Does `work` with a machine's first process.
    pub(super) fn with<T>(&self, machine: &Name, doing: &NetOp, work: impl FnOnce(&Process) -> Result<T, Refused>) -> Result<T, NetError> {
        let process = self.process(machine)?;
        if process.has_hosts_files() {
            return Err(ended(machine));
        }
        // What goes wrong with one that ends is its end, whatever it looks like.
        work(&process).map_err(|refused| if process.is_alive() { refused.doing(doing.to_string()) } else { ended(machine) })
    }

    fn process(&self, machine: &Name) -> Result<Process, NetError> {
        let pid = self.processes.get(machine).ok_or_else(|| fault(NetErrorKind::Ended, reach(machine), "it does not run"))?;
        Process::open(*pid).map_err(|refused| lost(machine, refused))
    }

    pub(super) fn space<'b>(&'b self, place: &'b Place) -> &'b Space {
        place.space.as_ref().unwrap_or(self.host)
    }

    /// Runs `work` in the namespace of `place`.
    pub(super) fn inside<T>(&self, place: &Place, work: impl FnOnce() -> Result<T, Refused>) -> Result<T, Refused> {
        self.space(place).enter()?;
        work()
    }

    pub(super) fn on_host<T>(&self, work: impl FnOnce() -> Result<T, Refused>) -> Result<T, Refused> {
        self.host.enter()?;
        work()
    }

    /// What was done to a machine that ended meanwhile was done to a namespace that only our own files kept alive.
    pub(super) fn still_there(&self) -> Result<(), NetError> {
        for place in self.open.borrow().values() {
            if let (Ns::Machine(machine), Some(process)) = (&place.ns, &place.process)
                && !process.is_alive()
            {
                return Err(ended(machine));
            }
        }
        Ok(())
    }
}

fn reach(machine: &Name) -> String {
    format!("reach machine {machine}")
}

fn ended(machine: &Name) -> NetError {
    fault(NetErrorKind::Ended, reach(machine), "it has ended")
}

fn lost(machine: &Name, refused: Refused) -> NetError {
    if has_ended(&refused) { ended(machine) } else { refused.doing(reach(machine)) }
}
