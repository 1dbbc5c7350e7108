//! The public keys of whoever runs fly: from the usual files, and from the agent.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::environment::Environment;
use super::passwd;

/// What ssh itself offers when it is not told otherwise.
const FILES: [&str; 5] = ["id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub", "id_ed25519_sk.pub", "id_ecdsa_sk.pub"];
/// An agent that does not answer at once is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);
const LARGEST: usize = 256 << 10;

pub(super) fn own(environment: &Environment) -> BTreeSet<String> {
    let mut keys: BTreeSet<String> = homes(environment).iter().flat_map(|home| files(home)).collect();
    if let Some(socket) = environment.variable("SSH_AUTH_SOCK") {
        keys.extend(agent(Path::new(socket)).unwrap_or_default());
    }
    keys
}

/// Under sudo the keys are still those of the person.
fn homes(environment: &Environment) -> BTreeSet<PathBuf> {
    let person = ["SUDO_USER", "DOAS_USER"].into_iter().find_map(|name| environment.variable(name)).filter(|user| *user != "root");
    let own = environment.variable("HOME").map(PathBuf::from).or_else(|| passwd::home_of_id(environment.user));
    own.into_iter().chain(person.and_then(passwd::home_of_user)).collect()
}

fn files(home: &Path) -> Vec<String> {
    let text = |name: &&str| std::fs::read_to_string(home.join(".ssh").join(name)).ok();
    FILES
        .iter()
        .filter_map(text)
        .filter_map(|text| text.lines().next().map(|line| line.trim().to_owned()))
        .filter(|line| !line.is_empty())
        .collect()
}

/// `SSH_AGENTC_REQUEST_IDENTITIES`, and its answer.
fn agent(socket: &Path) -> Option<Vec<String>> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(&[0, 0, 0, 1, 11]).ok()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok().filter(|length| (5..=LARGEST).contains(length))?;
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).ok()?;
    identities(&answer)
}

fn identities(answer: &[u8]) -> Option<Vec<String>> {
    const IDENTITIES: u8 = 12;
    let (kind, mut rest) = answer.split_first()?;
    let count = u32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?);
    if *kind != IDENTITIES {
        return None;
    }
    let mut keys = vec![];
    for _ in 0..count {
        let (key, comment) = (text(&mut rest)?, text(&mut rest)?);
        let mut inside = key;
        let kind = std::str::from_utf8(text(&mut inside)?).ok()?;
        // Certificates and the like are for others to check.
        if kind.is_ascii() && !kind.contains("-cert-") {
            keys.push(format!("{kind} {} {}", STANDARD.encode(key), String::from_utf8_lossy(comment)).trim_end().to_owned());
        }
    }
    Some(keys)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_be_bytes(take(rest, 4)?.try_into().ok()?);
    take(rest, usize::try_from(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_not_believed() {
        assert_eq!(identities(&[12, 0, 0, 0, 0]), Some(vec![]));
        assert_eq!(identities(&[12, 255, 255, 255, 255]), None);
        assert_eq!(identities(&[5]), None);
        assert_eq!(identities(&[]), None);
    }
}
