//! The guest, as far as the engine keeps anything of it.

use super::faults::{Done, FaultKind, refuse};
use super::state::{State, Volume};
use crate::engine::AgentState;
use crate::net::Processes;
use crate::types::{Container, GUEST_VOLUME, GuestConfig, LABEL_MACHINE, LABEL_PROJECT, Name};

impl State {
    /// Containers that run a version, by name.
    pub(super) fn guest_users(&self, version: &str) -> impl Iterator<Item = &String> {
        self.containers.iter().filter(move |(_, it)| it.container.guest.as_deref() == Some(version)).map(|(name, _)| name)
    }

    pub(super) fn remove_guest(&mut self, version: &str) {
        if self.guest_users(version).next().is_none() {
            self.guests.remove(version);
        }
    }

    pub(super) fn tell_agent(&mut self, version: &str, project: &Name, orders: Option<&String>) {
        match orders {
            Some(orders) => {
                self.orders.insert(project.clone(), orders.clone());
                self.agent.get_or_insert_with(|| AgentState { version: version.to_owned(), running: true });
            }
            None => drop(self.orders.remove(project)),
        }
    }

    pub(super) fn set_guest(&mut self, machine: &Name, config: &GuestConfig, processes: &Processes) -> Done {
        let pid = processes.get(machine);
        let running = self.containers.values_mut().find(|container| container.pid.is_some() && container.pid.as_ref() == pid);
        match running {
            Some(running) if running.container.guest.is_some() => running.guest = Some(config.clone()),
            Some(_) => return refuse(FaultKind::NotFound, format!("{machine} has no guest")),
            None => return refuse(FaultKind::Ended, format!("{machine} does not run")),
        }
        Ok(())
    }

    /// The volume with the host key is made together with the container.
    pub(super) fn add_host_key(&mut self, container: &Container) {
        let label = |label: &str| container.labels.get(label).and_then(|text| Name::new(text.as_str()).ok());
        if let (Some(_), Some(project), Some(machine)) = (&container.guest, label(LABEL_PROJECT), label(LABEL_MACHINE)) {
            let marks =
                [LABEL_PROJECT, LABEL_MACHINE].into_iter().filter_map(|it| Some((it.to_owned(), container.labels.get(it)?.clone())));
            let name = format!("{}{GUEST_VOLUME}", machine.in_project(&project));
            self.volumes.entry(name).or_insert(Volume { labels: marks.collect() });
        }
    }
}
