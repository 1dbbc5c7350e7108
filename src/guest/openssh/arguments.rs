//! What sshd is told. All of it, and no file: an image's `sshd_config` is for another machine.

use std::path::Path;

use crate::types::{GUEST_HOST_KEY, GuestSshd};

/// Whether a user's name can stand in a pattern and be a file's.
pub(super) fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !name.is_empty() && !name.starts_with(['.', '-']) && name.chars().all(good)
}

pub(super) fn of(sshd: &GuestSshd, home: &Path, keys: &Path) -> Vec<String> {
    let users: Vec<&str> = sshd.users.keys().map(String::as_str).filter(|name| is_name(name)).collect();
    let mut options = vec![
        format!("Port={}", sshd.port),
        format!("HostKey={}", home.join(GUEST_HOST_KEY).display()),
        format!("AuthorizedKeysFile={}/%u", keys.display()),
        "AuthenticationMethods=publickey".to_owned(),
        "PasswordAuthentication=no".to_owned(),
        "KbdInteractiveAuthentication=no".to_owned(),
        "PermitRootLogin=prohibit-password".to_owned(),
        // What PAM asks for (an audit user, a kernel's keyring) a machine often has not, and then nobody can log in.
        "UsePAM=no".to_owned(),
        "StrictModes=yes".to_owned(),
        "LoginGraceTime=30".to_owned(),
        "ClientAliveInterval=30".to_owned(),
        "UseDNS=no".to_owned(),
        "AcceptEnv=LANG LC_* TERM COLORTERM".to_owned(),
        "Subsystem=sftp internal-sftp".to_owned(),
        "PidFile=none".to_owned(),
    ];
    options.push(if users.is_empty() { "DenyUsers=*".to_owned() } else { format!("AllowUsers={}", users.join(" ")) });
    let mut words: Vec<String> = ["-D", "-e", "-f", "/dev/null"].map(str::to_owned).to_vec();
    words.extend(options.into_iter().flat_map(|option| ["-o".to_owned(), option]));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{GuestUser, SshServer};

    #[test]
    fn nobody_gets_in_who_is_not_named() {
        let users = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), GuestUser::default())).collect();
        let of = |names: &[&str]| {
            let sshd = GuestSshd { server: SshServer::Openssh, port: 2222, users: users(names) };
            of(&sshd, Path::new("/h"), Path::new("/h/k")).join(" ")
        };
        let two = of(&["root", "web"]);
        assert!(
            two.starts_with("-D -e -f /dev/null -o Port=2222 -o HostKey=/h/ssh_host_ed25519_key -o AuthorizedKeysFile=/h/k/%u "),
            "{two}"
        );
        assert!(two.ends_with("-o AllowUsers=root web"), "{two}");
        for nobody in [&[][..], &["*"], &["..", "a/b", "-x", "!root"]] {
            assert!(of(nobody).ends_with("-o DenyUsers=*"), "{nobody:?}");
        }
    }
}
