//! Where an engine is, and what it takes to get there: as the command line has found it out.

use std::path::PathBuf;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineEndpoint {
    /// As in `DOCKER_HOST`; nothing: the engine of this machine.
    pub host: Option<String>,
    /// TLS is asked for.
    pub tls: Option<Tls>,
    /// A folder that is this user's alone, for the sockets by which connections share one login over ssh.
    pub private: Option<PathBuf>,
}

/// `ca.pem`, `cert.pem` and `key.pem`, as far as they are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    pub folder: PathBuf,
    /// Without it any certificate will do: the connection is secret, and nobody knows with whom.
    pub verify: bool,
    /// The engine's certificate is by `ca.pem`. Without it, by `ca.pem` if that is there, or else by whom this system trusts.
    pub own_ca: bool,
}

impl Tls {
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    pub fn cert(&self) -> PathBuf {
        self.folder.join("cert.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }
}
