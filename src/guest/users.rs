//! The image's users and groups, read from its own files: a static binary has no NSS, and wants none.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::types::{accounts, groups as lines_of_group};

/// One line of passwd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: PathBuf,
    /// Empty: whatever the image has.
    pub(crate) shell: PathBuf,
}

/// The user of that name. Root exists in every image, also in one without passwd.
pub(crate) fn find(name: &str) -> Option<User> {
    find_in(&read("/etc/passwd"), name)
}

/// Those that the image does not have, in words.
pub(crate) fn missing<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let passwd = read("/etc/passwd");
    let lacking = names.filter(|name| find_in(&passwd, name).is_none());
    lacking.map(|name| format!("there is no user `{}` in this machine's /etc/passwd", super::log::foreign(name))).collect()
}

/// The name of the user with that number.
#[cfg(test)]
pub(crate) fn name_of(uid: u32) -> Option<String> {
    users(&read("/etc/passwd")).find(|user| user.uid == uid).map(|user| user.name)
}

/// All groups of a user: its own first, then those that name it.
pub(crate) fn groups(user: &User) -> Vec<u32> {
    groups_in(&read("/etc/group"), user)
}

/// A missing file is an empty one: images without either are common. Lines that are no UTF-8 only lose their odd letters.
fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}

fn find_in(passwd: &[u8], name: &str) -> Option<User> {
    if name.is_empty() {
        return None;
    }
    users(passwd).find(|user| user.name == name).or_else(|| {
        let root = User { name: "root".to_owned(), uid: 0, gid: 0, home: "/".into(), shell: PathBuf::new() };
        (name == "root").then_some(root)
    })
}

fn users(passwd: &[u8]) -> impl Iterator<Item = User> {
    accounts(passwd).filter_map(|account| {
        let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
        Some(User {
            name: str::from_utf8(account.name).ok()?.to_owned(),
            uid: account.uid,
            gid: account.gid,
            home: if account.home.is_empty() { "/".into() } else { path(account.home) },
            shell: path(account.shell),
        })
    })
}

fn groups_in(group: &[u8], user: &User) -> Vec<u32> {
    // The kernel takes no more, and no image has as many.
    const MOST: usize = 1024;
    let mut all = vec![user.gid];
    for group in lines_of_group(group) {
        if group.members.contains(&user.name.as_bytes()) && !all.contains(&group.gid) {
            all.push(group.gid);
        }
    }
    all.truncate(MOST);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"# a comment\nroot:x:0:0:root:/root:/bin/ash\nweb:x:1000:1001:Web,,,:/home/web:\nbad:x:4294967295:0::/:\nshort:x:1\n\xff:x:7:7::/:/bin/sh\n";

    #[test]
    fn passwd_is_read_as_it_is() {
        let web = find_in(PASSWD, "web").unwrap();
        assert_eq!((web.uid, web.gid, web.home.to_str(), web.shell.to_str()), (1000, 1001, Some("/home/web"), Some("")));
        assert_eq!(find_in(PASSWD, "root").unwrap().shell.to_str(), Some("/bin/ash"));
        for nobody in ["bad", "short", "", "# a comment"] {
            assert_eq!(find_in(PASSWD, nobody), None, "{nobody:?}");
        }
        assert_eq!(find_in(b"", "root").unwrap().home.to_str(), Some("/"), "root is there without passwd");
        assert_eq!(find_in(b"", "web"), None);
    }

    #[test]
    fn groups_are_the_own_one_and_those_that_name_the_user() {
        let web = find_in(PASSWD, "web").unwrap();
        let group = b"root:x:0:root\nwheel:x:10:root,web\nweb:x:1001:\ndocker:x:999:web\nodd:x:web\nagain:x:10:web\n";
        assert_eq!(groups_in(group, &web), [1001, 10, 999]);
    }

    mod fuzz {
        use proptest::collection::vec;
        use proptest::prelude::*;

        use super::super::*;
        use crate::guest::fuzz::{cases, damaged};

        proptest! {
            #![proptest_config(cases(500))]

            /// Whatever stands in the files: nobody becomes somebody else, and nobody keeps the guest's rights.
            #[test]
            fn damaged_files_raise_nobody(
                damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
                cut in any::<Option<prop::sample::Index>>(),
                rubbish in vec(any::<u8>(), 0..100),
            ) {
                let passwd = [&damaged(super::PASSWD, &damage, cut)[..], &rubbish].concat();
                for name in ["root", "web", "bad", ""] {
                    let Some(user) = find_in(&passwd, name) else { continue };
                    prop_assert_eq!(&user.name, name);
                    prop_assert!(user.uid != u32::MAX && user.gid != u32::MAX);
                    prop_assert!(!user.home.as_os_str().is_empty());
                    let group = damaged(b"wheel:x:10:root,web\nweb:x:1001:\ndocker:x:999:web\n", &damage, cut);
                    let groups = groups_in(&[&group[..], &rubbish].concat(), &user);
                    prop_assert_eq!(groups[0], user.gid);
                    prop_assert!(!groups.contains(&u32::MAX));
                }
            }
        }
    }
}
