//! A record without secrets: of what the file put into a machine's environment it keeps a fingerprint.
//!
//! Too short a one to guess the value by, long enough to tell that the file's value is another. What the image says anybody can read
//! there, so it stays.

use std::collections::BTreeMap;

use super::Actual;
use crate::net::GuestSeen;
use crate::types::{GuestConfig, Name, stable_hash};

/// What stands for a value that is not in the record.
pub const VEIL: &str = "fly-veiled:";

/// Of a value that may be secret: short, and the same wherever the value is under this name.
pub fn fingerprint(name: &str, value: &str) -> String {
    let [a, b, c, ..] = stable_hash(&["veil", name, value]);
    format!("{VEIL}{a:02x}{b:02x}{c:02x}")
}

impl Actual {
    /// Every value of a machine's environment that its image does not have becomes its fingerprint.
    #[must_use]
    pub fn veiled(mut self) -> Self {
        for machine in self.engine.machines.values_mut() {
            let image = machine.image.as_ref().map(|image| &image.environment);
            for (name, value) in &mut machine.container.environment {
                if image.and_then(|image| image.get(name)) != Some(value) {
                    *value = fingerprint(name, value);
                }
            }
        }
        // No secret, but never the same twice, and no plan looks at it.
        for link in self.net.namespaces.values_mut().flat_map(|ns| ns.links.values_mut()) {
            link.counters = None;
        }
        for (user, hash) in self.net.guests.values_mut().flat_map(passwords) {
            *hash = fingerprint(&user, hash);
        }
        self
    }

    /// The same for passwords, by `of`: what a machine's guest is to be told.
    pub fn unveil_passwords<'a>(&mut self, of: impl Fn(&Name) -> Option<&'a GuestConfig>) {
        for (machine, seen) in &mut self.net.guests {
            let users = of(machine).and_then(|config| config.sshd.as_ref()).map(|sshd| &sshd.users);
            for (user, hash) in passwords(seen) {
                let wanted = users.and_then(|users| users.get(&user)?.password_hash.as_ref());
                if let Some(wanted) = wanted.filter(|wanted| fingerprint(&user, wanted) == *hash) {
                    hash.clone_from(wanted);
                }
            }
        }
    }

    /// Puts back what was veiled where it is what the file says: `of` gives the environment that a machine is to have.
    pub fn unveil<'a>(&mut self, of: impl Fn(&Name) -> Option<&'a BTreeMap<String, String>>) {
        for (machine, state) in &mut self.engine.machines {
            let Some(wanted) = of(machine) else { continue };
            for (name, value) in &mut state.container.environment {
                if let Some(wanted) = wanted.get(name).filter(|wanted| fingerprint(name, wanted) == *value) {
                    value.clone_from(wanted);
                }
            }
        }
    }
}

/// The hashes of passwords that a guest was told, with their users.
fn passwords(seen: &mut GuestSeen) -> impl Iterator<Item = (String, &mut String)> {
    let users = seen.config.as_mut().and_then(|config| config.sshd.as_mut()).map(|sshd| &mut sshd.users);
    users.into_iter().flatten().filter_map(|(name, user)| Some((name.clone(), user.password_hash.as_mut()?)))
}
