//! The guest, as far as the engine keeps anything of it.

use super::faults::{Done, FaultKind, refuse};
use super::state::{State, Volume};
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

    pub(super) fn write_guest(&mut self, name: &str, config: &GuestConfig) -> Done {
        let labels = &self.instance(name)?.container.labels;
        match labels.get(LABEL_MACHINE).cloned() {
            Some(machine) => drop(self.guest_settings.insert(machine, config.clone())),
            None => return refuse(FaultKind::NotFound, format!("{name} has no guest")),
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
