//! What a machine's guest is told: which cards to wait for, and who can log in.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use sha_crypt::{PasswordHasher as _, ShaCrypt};

use super::context::Context;
use super::model::{Guest, Machine};
use super::systemd;
use super::work::{Errors, Group, Groups};
use crate::diag::{At, Diagnostic, Place};
use crate::spec;
use crate::types::{GuestConfig, GuestSshd, GuestUser, Name, NetworkMode, Seconds, is_no_new_privileges, stable_hash};

/// How long a machine's program waits for its cards.
const PATIENCE: Seconds = Seconds::from_nanos(30_000_000_000);
const PORT: u16 = 22;

/// Types of keys that a server takes.
const KEY_TYPES: [&str; 8] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-dss",
];

/// Of one group of machines, without what is each one's own: name and cards.
pub(super) fn resolve(project: &Name, group: &Group, context: &Context, errors: &mut Errors) -> Option<Guest> {
    let spec = &group.spec;
    let sshd = spec.sshd.as_ref().filter(|sshd| sshd.enabled);
    match (&spec.guest, sshd) {
        (Some(At { value: false, place }), Some(sshd)) => {
            let error = Diagnostic::invalid("an ssh server is the guest's work, and `guest` is false").at(&sshd.place);
            errors.push(error.also(place, "`guest` is set here").hint("leave `sshd` or `guest` out"));
            return None;
        }
        (Some(At { value: false, .. }), None) => return None,
        // It becomes root to read what it is told, which this forbids where the program is somebody else.
        (None, None) if spec.security_opt.iter().flatten().any(|option| is_no_new_privileges(&option.value)) => return None,
        _ => {}
    }
    let mut adds_keys = BTreeSet::new();
    let sshd = sshd.map(|sshd| server(project, sshd, context, &mut adds_keys, errors));
    let config = GuestConfig {
        machine: String::new(),
        nics: BTreeMap::new(),
        leases: BTreeMap::new(),
        patience: PATIENCE,
        sshd,
        becomes_program: systemd::is_wanted(group),
    };
    Some(Guest { config, version: context.guest.clone(), adds_keys, renew: false })
}

fn server(project: &Name, sshd: &spec::Sshd, context: &Context, adds_keys: &mut BTreeSet<String>, errors: &mut Errors) -> GuestSshd {
    let common = sshd.authorized_keys.as_ref().map(|keys| all_keys(keys, context, errors));
    let mut user = |name: &str, user: &spec::SshdUser, errors: &mut Errors| {
        let own = user.authorized_keys.as_ref().map(|keys| all_keys(keys, context, errors));
        let authorized_keys = own.or_else(|| common.clone()).unwrap_or_else(|| {
            adds_keys.insert(name.to_owned());
            context.own_keys.clone()
        });
        GuestUser { authorized_keys, password_hash: user.password.as_ref().and_then(|password| hashed(project, name, password, errors)) }
    };
    let users = match &sshd.users {
        None => BTreeMap::from([("root".to_owned(), user("root", &spec::SshdUser::default(), errors))]),
        Some(users) => users.0.iter().map(|(name, it)| (name.value.clone(), user(&name.value, it, errors))).collect(),
    };
    GuestSshd {
        server: sshd.server.as_ref().map(|server| server.value).unwrap_or_default(),
        port: sshd.port.as_ref().map_or(PORT, |port| port.value),
        users,
    }
}

/// As in shadow. The salt is made of names, so that the same password is the same hash in every run, and no difference.
fn hashed(project: &Name, user: &str, password: &At<String>, errors: &mut Errors) -> Option<String> {
    const SALT: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    if password.value.starts_with("$6$") {
        return Some(password.value.clone());
    }
    let salt: Vec<u8> = stable_hash(&["password", project.as_str(), user])[..16].iter().map(|byte| SALT[usize::from(byte & 63)]).collect();
    let hash = ShaCrypt::default().hash_password_with_salt(password.value.as_bytes(), &salt);
    if hash.is_err() {
        errors.push(Diagnostic::invalid("this password cannot be hashed").at(&password.place).hint("a hash: `mkpasswd -m sha-512`"));
    }
    hash.ok().map(|hash| hash.as_str().to_owned())
}

fn all_keys(written: &[At<String>], context: &Context, errors: &mut Errors) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for text in written {
        if is_key(&text.value) {
            keys.extend(key(&text.value, &text.place, None, errors));
            continue;
        }
        match context.key_files.get(&text.value) {
            Some(Ok(file)) => {
                let lines = file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
                let before = keys.len();
                keys.extend(lines.filter_map(|line| key(line, &text.place, Some(&text.value), errors)));
                if keys.len() == before && file.trim().is_empty() {
                    errors.push(Diagnostic::invalid(format!("`{}` holds no key", text.value)).at(&text.place));
                }
            }
            missing => {
                let mut error = Diagnostic::invalid(format!("the key file `{}` cannot be read", text.value)).at(&text.place);
                if let Some(Err(why)) = missing {
                    error = error.cause(why);
                }
                errors.push(
                    error
                        .hint("a path to a file of public keys, or a key itself: `ssh-ed25519 AAAA…`")
                        .hint("`ssh-keygen -t ed25519` makes a pair"),
                );
            }
        }
    }
    keys
}

/// Whether it is meant to be a key, and not a path.
fn is_key(text: &str) -> bool {
    KEY_TYPES.iter().any(|kind| text.split_whitespace().any(|word| word == *kind)) || text.contains("PRIVATE KEY")
}

/// A line of public key, checked as far as it can be without arithmetic.
fn key(line: &str, place: &Place, file: Option<&str>, errors: &mut Errors) -> Option<String> {
    let whose = file.map_or_else(|| "this".to_owned(), |file| format!("what `{file}` holds"));
    if line.contains("PRIVATE KEY") {
        let error = Diagnostic::invalid(format!("{whose} is a private key, which belongs on no machine but its owner's")).at(place);
        errors.push(error.hint("the public one is in the file beside it whose name ends in `.pub`"));
        return None;
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let kind = words.iter().position(|word| KEY_TYPES.contains(word));
    let good = kind.and_then(|at| Some((words[at], words.get(at + 1)?))).is_some_and(|(kind, body)| names_its_type(body, kind));
    if !good {
        // One wrong line of a file is enough to say.
        if !errors.places().meet(place) {
            errors.push(Diagnostic::invalid(format!("{whose} is not a public key")).at(place).hint("as in `ssh-ed25519 AAAA… you@host`"));
        }
        return None;
    }
    Some(words.join(" "))
}

/// A key's body is base64, and begins with the length and the name of its type.
fn names_its_type(body: &str, kind: &str) -> bool {
    let Ok(bytes) = STANDARD.decode(body) else { return false };
    let length = bytes.get(..4).and_then(|length| length.try_into().ok()).map(u32::from_be_bytes);
    length == u32::try_from(kind.len()).ok() && bytes.get(4..4 + kind.len()) == Some(kind.as_bytes()) && bytes.len() > 8 + kind.len()
}

/// What is the machine's own: its name, and the cards that its program waits for.
pub(super) fn personal(name: &Name, machine: &mut Machine) {
    let Some(guest) = &mut machine.guest else { return };
    guest.config.machine = name.to_string();
    if machine.container.network_mode == NetworkMode::Own {
        let up = machine.nics.iter().filter(|(_, nic)| nic.up);
        guest.config.leases =
            up.clone().filter(|(_, nic)| !nic.dynamic.is_empty()).map(|(name, nic)| (name.clone(), nic.dynamic.clone())).collect();
        guest.config.nics = up.map(|(name, nic)| (name.clone(), nic.addresses.clone())).collect();
    }
    machine.container.guest = Some(guest.version.clone());
    // It is that one already.
    machine.container.init = false;
}

/// Machines that share a network share its ports: only one ssh server can have one.
pub(super) fn check_ports(groups: &Groups, machines: &BTreeMap<Name, Machine>, errors: &mut Errors) {
    let mut taken: BTreeMap<(NetworkMode, u16), (&Name, &Place)> = BTreeMap::new();
    for group in groups.all() {
        let Some(sshd) = group.spec.sshd.as_ref().filter(|sshd| sshd.enabled) else { continue };
        let place = sshd.port.as_ref().map_or(&sshd.place, |port| &port.place);
        for name in &group.names {
            let port = machines.get(name).and_then(|machine| Some(machine.guest.as_ref()?.config.sshd.as_ref()?.port));
            let Some(port) = port else { continue };
            let Some((other, first)) = taken.insert((network_of(name, machines), port), (name, place)) else { continue };
            let message = format!("`{name}` and `{other}` share one network, and both have an ssh server on port {port}");
            let error =
                Diagnostic::invalid(message).at(place).hint(format!("another port for one of them: `sshd: {{port: {}}}`", free(port)));
            errors.push(if first == place { error } else { error.also(first, format!("that of `{other}` is here")) });
        }
    }
}

fn free(port: u16) -> u16 {
    if port == PORT { 2222 } else { port.checked_add(1).unwrap_or(2222) }
}

/// Whose network it is, at the end of the row.
fn network_of(name: &Name, machines: &BTreeMap<Name, Machine>) -> NetworkMode {
    let mut own = name;
    // As long as there can be a row; one that is a ring is an error of its own.
    for _ in 0..=machines.len() {
        match machines.get(own).map(|machine| &machine.container.network_mode) {
            Some(NetworkMode::Machine(next)) => own = next,
            Some(NetworkMode::Own) | None => break,
            Some(others) => return others.clone(),
        }
    }
    NetworkMode::Machine(own.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_hashed_as_shadow_has_it() {
        use sha_crypt::PasswordVerifier as _;
        let place = Place { file: "fly.yml".into(), line: 1, column: 1, offset: 0, len: 0 };
        let (project, mut errors) = (Name::new("shop").unwrap(), Errors::default());
        let mut hash = |user: &str| hashed(&project, user, &At::new("hunter2".to_owned(), place.clone()), &mut errors).unwrap();
        let root = hash("root");
        assert!(root.starts_with("$6$") && !root.contains("hunter2") && root == hash("root") && root != hash("app"), "{root}");
        ShaCrypt::default().verify_password(b"hunter2", root.as_str()).unwrap();
    }

    #[test]
    fn a_key_says_its_type_twice() {
        const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJ2yYx3fG2cZ0oYwUqI9d8B8l2yWw5m0m8oRrG1q2h3k";
        assert!(names_its_type(KEY, "ssh-ed25519"));
        assert!(!names_its_type(KEY, "ssh-rsa"));
        assert!(!names_its_type("AAAA", "ssh-ed25519"));
        assert!(!names_its_type("no base64!", "ssh-ed25519"));
    }
}
