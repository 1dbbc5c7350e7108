//! Who may log in, and as whom.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use russh::keys::{Algorithm, HashAlg, PublicKey};
use sha_crypt::{PasswordVerifier, ShaCrypt};

use super::authorized_keys::Rights;
use super::settings::Settings;
use crate::guest::users::{self, User};

/// A wrong password costs the one who tries this much, and an unknown user as much.
const WRONG_PASSWORD: Duration = Duration::from_secs(1);
/// More is no password, but work.
const LONGEST_PASSWORD: usize = 1024;

/// Refused because nothing was offered.
pub(crate) const NOTHING: &str = "nothing was offered";

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Network {
        client: SocketAddr,
        server: SocketAddr,
    },
    /// The socket in the guest's home, which only whoever has the engine can reach.
    Engine,
}

impl Peer {
    pub(crate) fn trusted(self) -> bool {
        self == Peer::Engine
    }

    pub(crate) fn client(self) -> Option<SocketAddr> {
        match self {
            Peer::Network { client, .. } => Some(client),
            Peer::Engine => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Network { client, .. } => write!(f, "{client}"),
            Peer::Engine => f.write_str("the engine"),
        }
    }
}

/// Somebody who has logged in.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) user: User,
    pub(crate) peer: Peer,
    pub(crate) rights: Rights,
    /// By what, for the log.
    pub(crate) by: String,
}

/// The user of the image, if this server can become it.
fn account(name: &str) -> Result<User, String> {
    let user = users::find(name).ok_or("this image has no such user")?;
    let own = rustix::process::geteuid();
    if own.is_root() || own.as_raw() == user.uid { Ok(user) } else { Err("the server is not root, and can become nobody else".to_owned()) }
}

/// With nothing at all: only where being there proves enough.
pub(crate) fn nothing(name: &str, peer: Peer) -> Result<Login, String> {
    if !peer.trusted() {
        return Err(NOTHING.to_owned());
    }
    Ok(Login { user: account(name)?, peer, rights: Rights::ALL, by: "the machine's own socket".to_owned() })
}

/// With a key, whose signature russh checks.
pub(crate) fn key(settings: &Settings, name: &str, peer: Peer, key: &PublicKey, algorithm: &Algorithm) -> Result<Login, String> {
    let fingerprint = key.fingerprint(HashAlg::Sha256);
    if matches!(algorithm, Algorithm::Rsa { hash: None } | Algorithm::Dsa) {
        return Err(format!("{algorithm} signatures are too weak"));
    }
    let known =
        settings.users.get(name).into_iter().flat_map(|account| &account.keys).filter(|known| known.key.key_data() == key.key_data());
    let mut elsewhere = false;
    for known in known {
        if known.good_from(peer.client().map(|client| client.ip())) {
            let by = format!("{} {fingerprint}", kind(&key.algorithm()));
            return Ok(Login { user: account(name)?, peer, rights: known.rights.clone(), by });
        }
        elsewhere = true;
    }
    Err(if elsewhere {
        format!("the key {fingerprint} is not good from there")
    } else {
        format!("the key {fingerprint} is not one of the user's")
    })
}

/// As people call them.
fn kind(algorithm: &Algorithm) -> String {
    match algorithm {
        Algorithm::Ed25519 => "ED25519".to_owned(),
        Algorithm::Rsa { .. } => "RSA".to_owned(),
        Algorithm::Ecdsa { .. } => "ECDSA".to_owned(),
        Algorithm::SkEd25519 => "ED25519-SK".to_owned(),
        Algorithm::SkEcdsaSha2NistP256 => "ECDSA-SK".to_owned(),
        other => other.to_string(),
    }
}

/// With a password, if the user has one.
pub(crate) async fn password(settings: &Settings, name: &str, peer: Peer, password: &str) -> Result<Login, String> {
    let hash = settings.users.get(name).and_then(|account| account.password_hash.clone()).filter(|hash| hash.starts_with("$6$"));
    let known = hash.is_some() && password.len() <= LONGEST_PASSWORD;
    let start = tokio::time::Instant::now();
    let given: Vec<u8> = password.bytes().take(LONGEST_PASSWORD).collect();
    let hash = hash.unwrap_or_else(nobody);
    let right =
        tokio::task::spawn_blocking(move || ShaCrypt::default().verify_password(&given, hash.as_str()).is_ok()).await.unwrap_or(false);
    if known && right {
        return Ok(Login { user: account(name)?, peer, rights: Rights::ALL, by: "a password".to_owned() });
    }
    tokio::time::sleep_until(start + WRONG_PASSWORD).await;
    Err(if known { "the password is wrong" } else { "the user has no password" }.to_owned())
}

/// The hash of nobody's password: an unknown user takes as long as a known one.
fn nobody() -> String {
    format!("$6$nobody${}", ".".repeat(86))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_is_right() {
        let me = users::name_of(rustix::process::geteuid().as_raw()).unwrap();
        let mut settings = Settings::default();
        // From the specification of crypt's SHA-512: "Hello world!" with the salt "saltstring".
        let hash = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";
        settings.users.entry(me.clone()).or_default().password_hash = Some(hash.to_owned());
        let peer = Peer::Network { client: "192.0.2.1:5".parse().unwrap(), server: "192.0.2.2:22".parse().unwrap() };
        assert!(password(&settings, &me, peer, "Hello world!").await.is_ok());
        assert!(password(&settings, &me, peer, "Hello world").await.is_err());
        assert!(password(&settings, "nobody at all", peer, "Hello world!").await.unwrap_err().contains("no password"));
        assert!(ShaCrypt::default().verify_password(b"", nobody().as_str()).is_err());
        assert!(nothing(&me, peer).is_err());
        assert!(nothing(&me, Peer::Engine).is_ok());
    }
}
