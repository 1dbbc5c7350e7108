//! The machine's host key: made once, kept in the machine's own volume.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData, PrivateKey};
use rustix::rand::{GetRandomFlags, getrandom};

use super::files::replace_for_good;
use crate::types::GUEST_HOST_KEY;

/// `fly guest hostkey`: the public key, for whoever is to know the machine by it. It may just be being made.
pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    const PATIENCE: Duration = Duration::from_secs(5);
    let end = Instant::now() + PATIENCE;
    let file = super::home(arguments).map(|home| home.join(GUEST_HOST_KEY).with_extension("pub"));
    loop {
        match file.as_ref().map(fs::read) {
            Ok(Ok(key)) => return if io::stdout().write_all(&key).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE },
            Ok(Err(error)) if Instant::now() > end => {
                super::log::line(&format!("the machine has no host key: {error}; is `sshd` on?"));
                return ExitCode::FAILURE;
            }
            Ok(Err(_)) => std::thread::sleep(Duration::from_millis(50)),
            Err(error) => {
                super::log::line(error);
                return ExitCode::FAILURE;
            }
        }
    }
}

/// The host key in `home`, made if there is none. A key that cannot be read is an error, never replaced: clients know it.
pub(crate) fn load(home: &Path, machine: &str) -> io::Result<PrivateKey> {
    let path = home.join(GUEST_HOST_KEY);
    let key = match fs::read(&path) {
        Ok(text) => PrivateKey::from_openssh(&text).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path, machine)?,
        Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    };
    let public = path.with_extension("pub");
    if !public.exists() {
        let text = key.public_key().to_openssh().map_err(io::Error::other)?;
        replace_for_good(&public, format!("{text}\n").as_bytes(), 0o644)?;
    }
    Ok(key)
}

fn make(path: &Path, machine: &str) -> io::Result<PrivateKey> {
    let mut seed = [0; 32];
    if getrandom(&mut seed, GetRandomFlags::empty())? != seed.len() {
        return Err(io::Error::other("the kernel has given no random numbers"));
    }
    let key = PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed)), machine).map_err(io::Error::other)?;
    let text = key.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
    replace_for_good(path, text.as_bytes(), 0o600)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_never_replaced() {
        let home = std::env::temp_dir().join(format!("fly-hostkey-{}", std::process::id()));
        fs::create_dir_all(&home).unwrap();
        let first = load(&home, "web").unwrap();
        let again = load(&home, "other").unwrap();
        assert_eq!(first.public_key(), again.public_key());
        let mode = |name: &str| fs::metadata(home.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(GUEST_HOST_KEY), mode("ssh_host_ed25519_key.pub")), (0o600, 0o644));
        let public = fs::read_to_string(home.join("ssh_host_ed25519_key.pub")).unwrap();
        assert!(public.starts_with("ssh-ed25519 AAAA") && public.ends_with(" web\n"), "{public}");
        fs::write(home.join(GUEST_HOST_KEY), "rubbish").unwrap();
        assert!(load(&home, "web").unwrap_err().to_string().contains(GUEST_HOST_KEY));
        assert_eq!(fs::read(home.join(GUEST_HOST_KEY)).unwrap(), b"rubbish");
        fs::remove_dir_all(home).unwrap();
    }
}
