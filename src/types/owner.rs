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

/// The link group (`ip link set … group`) of every link that fly makes for a project in the host's namespace: the letter `f` and three
/// bytes of hash. The creating message carries it, so whose a link is can be told before it has got its alias.
pub fn link_group(project: &Name) -> u32 {
    let hash = stable_hash(&["group", project.as_str()]);
    u32::from_be_bytes([LINK_GROUP_PREFIX, hash[0], hash[1], hash[2]])
}

/// Whether a link group is one of fly's, of whatever project.
pub fn is_link_group(group: u32) -> bool {
    group.to_be_bytes()[0] == LINK_GROUP_PREFIX
}

const LINK_GROUP_PREFIX: u8 = b'f';

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

/// The name of a link in the host's namespace: 15 characters, all the kernel allows, of which 12 are hash.
///
/// `what` says what of the project it is: `network/back`, `nic/web:eth1`.
pub fn host_link_name(project: &Name, what: &str) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let hash = stable_hash(&["link", project.as_str(), what]);
    let mut name = String::from("fly");
    name.extend(hash.iter().take(12).map(|byte| char::from(ALPHABET[usize::from(byte & 31)])));
    name
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
    }

    #[test]
    fn a_link_group_tells_projects_apart() {
        let group = |name: &str| link_group(&Name::new(name).unwrap());
        assert!(is_link_group(group("shop")) && !is_link_group(0));
        assert_ne!(group("shop"), group("other"));
    }

    #[test]
    fn the_hash_keeps_parts_apart() {
        assert_ne!(stable_hash(&["ab", "c"]), stable_hash(&["a", "bc"]));
    }
}
