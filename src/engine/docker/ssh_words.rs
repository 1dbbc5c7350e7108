//! What OpenSSH's client, and Docker's client at the other end, say when nothing leads to the engine: what it means, and what to do.

use super::address::Ssh;
use super::error::{Failure, one_line};
use crate::engine::EngineErrorKind as Kind;

/// Words of theirs; what they mean; what to do, where `{login}` is what ssh is told by hand, `{host}`
/// the host and `{user}` who logs in.
type Meaning = (&'static [&'static str], Kind, &'static str, &'static [&'static str]);

/// The first that fits. Over there it may be another version's English, so a few words have to do.
const MEANINGS: &[Meaning] = &[
    (
        &["remote host identification has changed"],
        Kind::Way,
        "the host key of `{host}` is not the one that you know",
        &["is it another host now? ask whoever runs it; then forget the old key: `ssh-keygen -R {host}`"],
    ),
    (
        &["host key verification failed", "no host key is known"],
        Kind::Way,
        "the host key of `{host}` is not known yet",
        &["log in once by hand, and compare the key that it shows: `ssh {login}`"],
    ),
    (&["could not resolve hostname"], Kind::Way, "nobody knows a host `{host}`", &["is it spelt right, in DOCKER_HOST or in the context?"]),
    (
        &["permission denied (", "too many authentication failures", "no supported authentication methods"],
        Kind::Denied,
        "`{host}` does not let you in",
        &["a key has to open it without a question: try `ssh -o BatchMode=yes {login}`; `ssh-add` opens one that has a passphrase"],
    ),
    (
        &["dial-stdio", "is not a docker command"],
        Kind::Way,
        "Docker's client on `{host}` is too old",
        &["it has to know `docker system dial-stdio`: install 18.09 or newer there"],
    ),
    (
        &["docker: not found", "docker: command not found", "docker: no such file", "unknown command: docker", "command not found: docker"],
        Kind::Way,
        "`{host}` has no Docker client that a login without a terminal would find",
        &["try `ssh {login} docker version`; it has to be in the PATH that ssh gives there"],
    ),
    (
        &["permission denied while trying to connect", "connect: permission denied"],
        Kind::Denied,
        "{user} may not use the engine of `{host}`",
        &["join the group there: `sudo usermod -aG docker NAME`; or log in as somebody who may"],
    ),
    (
        &["cannot connect to the docker daemon", "docker.sock: connect", "failed to connect to the docker api"],
        Kind::Unreachable,
        "no engine runs on `{host}`",
        &["start it there: `systemctl start docker`"],
    ),
    (
        &["connection refused", "connection timed out", "no route to host", "network is unreachable", "operation timed out"],
        Kind::Unreachable,
        "no ssh server answers on `{host}`",
        &["is it up, and does its ssh server listen on that port? `ssh {login}`"],
    ),
];

pub(super) fn failure(ssh: &Ssh, words: &str) -> Failure {
    let said = words.to_ascii_lowercase();
    let last = last_words(words);
    let quoted = if last.is_empty() { "it says nothing".to_owned() } else { format!("\"{last}\"") };
    let user = ssh.user.as_ref().map_or_else(|| "the user there".to_owned(), |user| format!("`{user}`"));
    let port = ssh.port.map(|port| format!("-p {port} ")).unwrap_or_default();
    let fill =
        |text: &str| text.replace("{login}", &format!("{port}{}", ssh.login())).replace("{host}", &ssh.host).replace("{user}", &user);
    let Some((_, kind, means, hints)) = MEANINGS.iter().find(|(words, ..)| words.iter().any(|words| said.contains(words))) else {
        let hint = fill("see what it says by hand: `ssh {login} docker version`");
        return Failure::new(Kind::Way, format!("ssh to `{}` has ended: {quoted}", ssh.login())).hinting(vec![hint]);
    };
    Failure::new(*kind, format!("{}: {quoted}", fill(means))).hinting(hints.iter().map(|hint| fill(hint)).collect())
}

/// The lines at the end, without those that draw attention to others.
fn last_words(words: &str) -> String {
    let lines = words.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("@@@"));
    let lines: Vec<&str> = lines.filter(|line| line.chars().all(|c| !c.is_control())).collect();
    let last = lines.len().saturating_sub(3);
    one_line(&lines[last..].join(" ")).chars().take(400).collect()
}
