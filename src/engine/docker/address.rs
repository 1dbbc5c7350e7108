//! Where the engine listens: the forms of `DOCKER_HOST`. Whoever calls has read the environment; nothing here does.

use std::path::PathBuf;

use super::error::Failure;
use crate::engine::EngineErrorKind;

pub(super) const DEFAULT: &str = "unix:///var/run/docker.sock";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
    /// The same, with TLS.
    Tls(String),
    Ssh(Ssh),
}

/// What OpenSSH's client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ssh {
    pub(super) user: Option<String>,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// The engine's socket there, if it is not where Docker's client looks.
    pub(super) path: Option<String>,
}

impl Address {
    /// `is_tls`: somebody has asked for it; `https://` does, too.
    pub(super) fn parse(text: &str, is_tls: bool) -> Result<Self, Failure> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text.strip_prefix('/') {
                Some(_) => Ok(Self::Unix(text.into())),
                None => refuse(format!("`{text}` is not an engine's address, as `{DEFAULT}` or `tcp://192.0.2.7:2375` would be")),
            };
        };
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(rest.into())),
            "unix" => refuse(format!("`{text}` has no absolute path, as `{DEFAULT}` has")),
            "https" => Ok(Self::Tls(host_and_port(text, rest, 2376)?)),
            "tcp" if is_tls => Ok(Self::Tls(host_and_port(text, rest, 2376)?)),
            "http" if is_tls => refuse(format!("`{text}` is without TLS, and TLS is asked for")),
            "tcp" | "http" => Ok(Self::Tcp(host_and_port(text, rest, 2375)?)),
            "ssh" => Ssh::parse(rest).map(Self::Ssh),
            other => refuse(format!("`{text}`: an engine is reached by `unix://`, `tcp://` or `ssh://`, not by `{other}://`")),
        }
    }

    /// What the engine is called in a request.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Unix(_) | Self::Ssh(_) => "docker",
            Self::Tcp(host) | Self::Tls(host) => host,
        }
    }
}

fn refuse<T>(message: String) -> Result<T, Failure> {
    Err(Failure::new(EngineErrorKind::Way, message))
}

fn host_and_port(text: &str, rest: &str, default: u16) -> Result<String, Failure> {
    let host = rest.trim_end_matches('/');
    if host.is_empty() || host.contains(['/', '@', '?', '#']) || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return refuse(format!("`{text}` is not an engine's address, as `tcp://192.0.2.7:{default}` would be"));
    }
    let has_port = host.rsplit_once(':').is_some_and(|(before, port)| {
        !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && (!before.contains(':') || before.ends_with(']'))
    });
    Ok(if has_port { host.to_owned() } else { format!("{host}:{default}") })
}

impl Ssh {
    fn parse(rest: &str) -> Result<Self, Failure> {
        let wrong = || refuse("this is not an engine's address by ssh, as `ssh://user@host:22` would be".to_owned());
        let (login, path) = rest.split_once('/').map_or((rest, ""), |(login, path)| (login, path));
        if rest.contains(['?', '#']) || rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return wrong();
        }
        let (user, place) = login.rsplit_once('@').map_or((None, login), |(user, place)| (Some(user), place));
        // Not shown: it is one.
        if user.is_some_and(|user| user.contains(':')) {
            return refuse("an engine's address by ssh cannot have a password: ssh takes keys".to_owned());
        }
        let (host, port) = match place.strip_prefix('[').and_then(|place| place.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or("no port"))),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(str::parse);
        // A word that begins so would be an option of ssh.
        if host.is_empty() || host.starts_with('-') || user.is_some_and(|user| user.is_empty() || user.starts_with('-')) {
            return wrong();
        }
        let port = match port {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return wrong(),
        };
        let path = if path.is_empty() { None } else { Some(format!("/{path}")) };
        Ok(Self { user: user.map(str::to_owned), host: host.to_owned(), port, path })
    }

    /// `me@host`, for people.
    pub(super) fn login(&self) -> String {
        self.user.as_ref().map_or_else(|| self.host.clone(), |user| format!("{user}@{}", self.host))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(host) | Self::Tls(host) => write!(f, "tcp://{host}"),
            Self::Ssh(Ssh { user, host, port, path }) => {
                let user = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                write!(f, "ssh://{user}{host}{port}{}", path.as_deref().unwrap_or_default())
            }
        }
    }
}
