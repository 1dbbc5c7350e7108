//! A record without secrets: of what the file put into a machine it keeps a fingerprint, where that may be one.
//!
//! Too short a fingerprint to guess the value by, long enough to tell that the file's value is another. What the image says anybody
//! can read there, and what the file itself says, word for word, anybody who has the file: so that stays.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::Actual;
use crate::net::GuestSeen;
use crate::types::{Container, GuestConfig, ImageDefaults, MountSource, Name, stable_hash};

/// What stands for a value that is not in the record.
pub const VEIL: &str = "fly-veiled:";
/// Digits of a fingerprint.
const DIGITS: usize = 6;
/// What a reader sees for it.
const SHOWN: &str = "(not in the record)";
/// The seed of what has no name.
const NAMELESS: &str = "";

/// Of a value that may be secret: short, and the same wherever the value is under this name.
pub fn fingerprint(name: &str, value: &str) -> String {
    let [a, b, c, ..] = stable_hash(&["veil", name, value]);
    format!("{VEIL}{a:02x}{b:02x}{c:02x}")
}

/// A text for readers, with words in place of fingerprints.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(VEIL) {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split(VEIL);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take(DIGITS).take_while(u8::is_ascii_hexdigit).count();
        out.push_str(SHOWN);
        out.push_str(&part[digits..]);
    }
    Cow::Owned(out)
}

/// What a file says: everybody who has it knows that.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// As it is written, with its variables.
    pub source: &'a str,
    /// What those stand for.
    pub values: &'a BTreeSet<String>,
}

impl Said<'_> {
    fn has_secret(&self, text: &str) -> bool {
        self.values.iter().any(|value| !value.is_empty() && text.contains(value.as_str()))
    }

    fn is_public(&self, text: &str) -> bool {
        text.is_empty() || self.source.contains(text) && !self.has_secret(text)
    }
}

impl Actual {
    /// Every value of a machine's environment that its image does not have becomes its fingerprint, and so does every word of
    /// commands, checks, labels and the like that neither the image nor the file's text has.
    #[must_use]
    pub fn veiled(mut self, said: &Said<'_>) -> Self {
        for machine in self.engine.machines.values_mut() {
            let image = machine.image.as_ref();
            let environment = image.map(|image| &image.environment);
            for (name, value) in &mut machine.container.environment {
                if environment.and_then(|image| image.get(name)) != Some(value) {
                    *value = fingerprint(name, value);
                }
            }
            let known = image.map(texts_of_image).unwrap_or_default();
            let is_public = |text: &str| known.contains(text) || said.is_public(text);
            words(&mut machine.container, &mut |text| veil(text, is_public(text)));
            // Paths are made whole, and profiles are files: they are not in the file's text.
            files(&mut machine.container, &mut |text| veil(text, !said.has_secret(text)));
        }
        let networks = self.engine.networks.values_mut().map(|network| &mut network.network.labels);
        let volumes = self.engine.volumes.values_mut().map(|volume| &mut volume.labels);
        for labels in networks.chain(volumes) {
            free_labels(labels, &mut |text| veil(text, said.is_public(text)));
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

    /// Puts back what was veiled where it is what the file says: `of` gives the container that a machine is to have.
    pub fn unveil<'a>(&mut self, of: impl Fn(&Name) -> Option<&'a Container>) {
        for (machine, state) in &mut self.engine.machines {
            let Some(wanted) = of(machine) else { continue };
            for (name, value) in &mut state.container.environment {
                if let Some(wanted) = wanted.environment.get(name).filter(|wanted| fingerprint(name, wanted) == *value) {
                    value.clone_from(wanted);
                }
            }
            let mut known = BTreeMap::new();
            let mut wanted = wanted.clone();
            let mut learn = |text: &mut String| drop(known.insert(fingerprint(NAMELESS, text), text.clone()));
            words(&mut wanted, &mut learn);
            files(&mut wanted, &mut learn);
            let mut put_back = |text: &mut String| {
                if let Some(clear) = known.get(text) {
                    text.clone_from(clear);
                }
            };
            words(&mut state.container, &mut put_back);
            files(&mut state.container, &mut put_back);
        }
    }

    /// The same for the labels of networks and volumes.
    pub fn unveil_labels<'a>(&mut self, wanted: impl Iterator<Item = &'a BTreeMap<String, String>>) {
        let known: BTreeMap<String, &String> = wanted.flat_map(BTreeMap::values).map(|text| (fingerprint(NAMELESS, text), text)).collect();
        let networks = self.engine.networks.values_mut().map(|network| &mut network.network.labels);
        let volumes = self.engine.volumes.values_mut().map(|volume| &mut volume.labels);
        for labels in networks.chain(volumes) {
            free_labels(labels, &mut |text| {
                if let Some(clear) = known.get(text) {
                    text.clone_from(clear);
                }
            });
        }
    }
}

fn veil(text: &mut String, is_public: bool) {
    if !is_public {
        *text = fingerprint(NAMELESS, text);
    }
}

/// Everything of a container, besides its environment, that is text and nothing else. What things are called, and where they are, is
/// none of it: a plan could not do without.
fn words(container: &mut Container, visit: &mut dyn FnMut(&mut String)) {
    let Container {
        image: _,
        command,
        entrypoint,
        environment: _,
        hostname: _,
        user,
        working_dir,
        tty: _,
        stdin_open: _,
        init: _,
        mounts: _,
        tmpfs,
        shm_size: _,
        ports: _,
        restart: _,
        healthcheck,
        stop_signal: _,
        stop_grace_period: _,
        limits: _,
        ulimits: _,
        sysctls,
        cap_add: _,
        cap_drop: _,
        devices: _,
        privileged: _,
        security_opt,
        dns: _,
        dns_search: _,
        labels,
        network_mode: _,
        guest: _,
        hosts: _,
        gateway_hosts: _,
    } = container;
    command.iter_mut().chain(entrypoint).flatten().for_each(&mut *visit);
    user.iter_mut().chain(working_dir).for_each(&mut *visit);
    healthcheck.iter_mut().flat_map(|check| &mut check.test).for_each(&mut *visit);
    tmpfs.values_mut().chain(sysctls.values_mut()).for_each(&mut *visit);
    options(security_opt, false, visit);
    free_labels(labels, visit);
}

/// What a container takes from the host by paths, and profiles.
fn files(container: &mut Container, visit: &mut dyn FnMut(&mut String)) {
    for mount in container.mounts.values_mut() {
        if let MountSource::Bind(path) = &mut mount.source {
            visit(path);
        }
    }
    options(&mut container.security_opt, true, visit);
}

/// Security options; of one kind alone: those that are profiles, or the others.
fn options(all: &mut BTreeSet<String>, profiles: bool, visit: &mut dyn FnMut(&mut String)) {
    let visited = std::mem::take(all).into_iter().map(|mut option| {
        if option.contains('{') == profiles {
            visit(&mut option);
        }
        option
    });
    *all = visited.collect();
}

/// Those that are not fly's own.
fn free_labels(labels: &mut BTreeMap<String, String>, visit: &mut dyn FnMut(&mut String)) {
    labels.iter_mut().filter(|(label, _)| !label.starts_with("fly.")).map(|(_, text)| text).for_each(visit);
}

fn texts_of_image(image: &ImageDefaults) -> BTreeSet<String> {
    let ImageDefaults { command, entrypoint, environment: _, user, working_dir, volumes: _, healthcheck, stop_signal: _, labels } = image;
    let words = command.iter().chain(entrypoint).flatten().chain(user).chain(working_dir);
    let check = healthcheck.iter().flat_map(|check| &check.test);
    words.chain(check).chain(labels.values()).cloned().collect()
}

/// The hashes of passwords that a guest was told, with their users.
fn passwords(seen: &mut GuestSeen) -> impl Iterator<Item = (String, &mut String)> {
    let users = seen.config.as_mut().and_then(|config| config.sshd.as_mut()).map(|sshd| &mut sshd.users);
    users.into_iter().flatten().filter_map(|(name, user)| Some((name.clone(), user.password_hash.as_mut()?)))
}
