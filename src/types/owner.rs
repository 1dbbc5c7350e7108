//! Whose a resource is, and the marks by which that is known.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Name;

/// The project that a container, Docker network or volume belongs to.
pub const LABEL_PROJECT: &str = "fly.project";
/// The machine that a container is.
pub const LABEL_MACHINE: &str = "fly.machine";
/// The network or volume of the file that a Docker network or volume is.
pub const LABEL_RESOURCE: &str = "fly.resource";

/// The link group (`ip link set … group`) of every link that fly makes in the host's namespace: the letters `fly`.
pub const LINK_GROUP: u32 = 0x66_6c_79;

/// Whose a resource of the outside world is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// This project's.
    Ours,
    /// Another project's of fly.
    Project(Name),
    /// Somebody's whom fly knows nothing about.
    Stranger,
}

impl Owner {
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Ours)
    }
}

/// A hash that is the same on every host, in every run and in every release: names, MACs and default subnets come from it.
pub fn stable_hash(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps ("ab", "c") apart from ("a", "bc").
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// The name of a link in the host's namespace: 15 characters, all the kernel allows, of which 4 tell the project and 8 what it is.
///
/// `what` says what of the project it is: `network/back`, `nic/web:eth1`.
pub fn host_link_name(project: &Name, what: &str) -> String {
    let mut name = link_prefix(project);
    name.extend(letters(stable_hash(&["link", project.as_str(), what])).take(8));
    name
}

/// Whether a link of this name is the project's: all that can be said of one that has no alias yet.
pub fn is_host_link_of(project: &Name, name: &str) -> bool {
    name.starts_with(&link_prefix(project))
}

fn link_prefix(project: &Name) -> String {
    let mut prefix = String::from("fly");
    prefix.extend(letters(stable_hash(&["links", project.as_str()])).take(4));
    prefix
}

fn letters(hash: [u8; 32]) -> impl Iterator<Item = char> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    hash.into_iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_link_names_fill_the_kernels_fifteen_bytes() {
        let shop = Name::new("shop").unwrap();
        let name = host_link_name(&shop, "nic/web:eth1");
        assert_eq!(name.len(), 15);
        assert_ne!(name, host_link_name(&shop, "nic/web:eth2"));
        assert!(is_host_link_of(&shop, &name) && !is_host_link_of(&Name::new("other").unwrap(), &name));
    }

    #[test]
    fn the_hash_keeps_parts_apart() {
        assert_ne!(stable_hash(&["ab", "c"]), stable_hash(&["a", "bc"]));
    }
}
