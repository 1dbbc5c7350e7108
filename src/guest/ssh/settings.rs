//! What the machine's configuration says of the server, read again whenever the file is another one.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;

use super::authorized_keys::{AuthorizedKey, parse};
use crate::guest::log;
use crate::types::{GUEST_CONFIG, GuestConfig, GuestUser, SshServer};

/// A change of the file is seen within this time. A watch on the file would be one more thing that a mount can break.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) machine: String,
    /// `None`: no server.
    pub(crate) port: Option<u16>,
    pub(crate) users: BTreeMap<String, Account>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) keys: Vec<AuthorizedKey>,
    pub(crate) password_hash: Option<String>,
}

impl Settings {
    fn new(config: GuestConfig) -> Settings {
        let mut settings = Settings { machine: config.machine, ..Settings::default() };
        if let Some(sshd) = config.sshd.filter(|sshd| sshd.server == SshServer::Fly) {
            settings.port = Some(sshd.port);
            settings.users = sshd.users.into_iter().map(|(name, user)| account(name, user)).collect();
        }
        settings
    }

    pub(crate) fn passwords(&self) -> bool {
        self.users.values().any(|account| account.password_hash.is_some())
    }
}

fn account(name: String, user: GuestUser) -> (String, Account) {
    let mut keys = vec![];
    for line in &user.authorized_keys {
        match parse(line) {
            Some(Ok(key)) => keys.push(key),
            Some(Err(error)) => log::line(&format!("ssh: a key of {} is left out: {error}", log::foreign(&name))),
            None => {}
        }
    }
    (name, Account { keys, password_hash: user.password_hash })
}

/// What a file is, as far as one can see without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64, i64, i64, u64);

fn identity(path: &Path) -> Option<Identity> {
    let file = std::fs::metadata(path).ok()?;
    Some(Identity(file.dev(), file.ino(), file.mtime(), file.mtime_nsec(), file.size()))
}

fn read(path: &Path) -> Result<Settings, String> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let config: GuestConfig = serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Settings::new(config))
}

/// Follows the file for ever. What cannot be read changes nothing: a key that was good stays good, and the log says why.
pub(crate) async fn follow(home: &Path, settings: &watch::Sender<Settings>) {
    let path = home.join(GUEST_CONFIG);
    let mut seen = None;
    let mut missing = false;
    loop {
        let now = identity(&path);
        if now.is_none() && !missing {
            log::line(&format!("ssh: waiting for {}", path.display()));
        }
        missing = now.is_none();
        if now.is_some() && now != seen {
            match read(&path) {
                Ok(new) => {
                    settings.send_replace(new);
                }
                Err(error) => log::line(&format!("ssh: the settings stay as they were: {error}")),
            }
            seen = now;
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod fuzz {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::guest::fuzz::{cases, damaged};

    const GOOD: &str = r#"{"machine":"web","nics":{"eth0":["10.0.0.1/24","fd00::1/64"]},"patience":30000000000,"sshd":{"server":"fly",
        "port":22,"users":{"root":{"authorized_keys":["ssh-ed25519 AAAA x"],"password_hash":null},"app":{"authorized_keys":[],"password_hash":"$6$a$b"}}}}"#;

    proptest! {
        #![proptest_config(cases(500))]

        /// A file that is damaged is refused, or says something: then it is the same when it is written again.
        #[test]
        fn damaged_settings_are_settings_or_errors(
            damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in any::<Option<prop::sample::Index>>(),
        ) {
            if let Ok(config) = serde_json::from_slice::<GuestConfig>(&damaged(GOOD.as_bytes(), &damage, cut)) {
                let again: GuestConfig = serde_json::from_slice(&serde_json::to_vec(&config).unwrap()).unwrap();
                prop_assert_eq!(again, config);
            }
        }
    }
}
