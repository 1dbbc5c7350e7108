//! `fly ssh`: OpenSSH's own client, led to a machine through the engine.
//!
//! The way is always the same, whether this computer can reach the machine's addresses or not: ssh runs fly as its `ProxyCommand`, fly
//! runs the guest's `channel` by an exec of the engine, and that leads to the ssh server's own socket. Whoever controls the engine needs
//! no key there. The host key comes by the same way, so nothing has to be believed and nobody is asked.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use super::args::SshArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::load;
use super::machine::{Machines, Project, refused};
use super::pump::{End, pump};
use super::settings::Settings;
use super::ui::Ui;
use super::world;
use crate::desired::Desired;
use crate::diag::{Diagnostic, Kind};
use crate::engine::session::{Channel, Exec};
use crate::types::{GUEST_BINARY, Name};

/// What a machine is called towards ssh: `web.shop.fly`.
pub(super) fn host(machine: &str, project: &Name) -> String {
    format!("{machine}.{project}.fly")
}

pub(super) fn run(args: &SshArgs, settings: &Settings, ui: &Ui) -> Result<ExitCode, Failure> {
    if args.stdio || args.host_key {
        let project = Project::load(settings, ui)?;
        let suffix = format!(".{}.fly", project.name);
        let machine = args.machine.strip_suffix(&suffix).unwrap_or(&args.machine);
        return world::block_on(async {
            let machines = project.connect().await?;
            if args.stdio { stdio(&machines, machine).await } else { host_key(&machines, machine, ui).await }
        })?;
    }
    let (file, _) = load::load_leniently(settings)?;
    let machine = check(&file.desired, &args.machine)?;
    // What is wrong is said before ssh starts, which would add its own words to it.
    let project = Project::load(settings, ui)?;
    world::block_on(async { project.connect().await?.running(machine).await.map(drop) })??;
    let user = args.user.clone().unwrap_or_else(|| user(&file.desired, &args.machine));
    let mut ssh = Command::new("ssh");
    for option in options(settings, &file.desired.project, &args.machine)? {
        ssh.args([OsString::from("-o"), option]);
    }
    for option in &args.option {
        ssh.args(["-o", option]);
    }
    ssh.args(["-l", &user, "--", &host(machine, &file.desired.project)]).args(&args.command);
    let error = ssh.exec();
    let diagnostic = Diagnostic::new(Kind::Failed, "cannot run OpenSSH's client `ssh`").cause(error);
    Err(diagnostic.hint("install it: `apt-get install openssh-client`").hint(format!("or without ssh: `fly exec {}`", args.machine)).into())
}

/// What can be known without the engine.
fn check<'a>(desired: &Desired, text: &'a str) -> Result<&'a str, Diagnostic> {
    let machine = Name::new(text).ok().and_then(|name| desired.machines.get(&name));
    let no_server = machine.is_some_and(|machine| machine.guest.as_ref().is_none_or(|guest| guest.config.sshd.is_none()));
    if no_server {
        return Err(Diagnostic::new(Kind::Usage, format!("machine `{text}` has no ssh server"))
            .hint(format!("`sshd: true` under `{text}` gives it one"))
            .hint(format!("or without ssh: `fly exec {text}`")));
    }
    Ok(text)
}

/// root, if he may; otherwise the first who does.
pub(super) fn user(desired: &Desired, machine: &str) -> String {
    let machine = Name::new(machine).ok().and_then(|name| desired.machines.get(&name));
    let users = machine.and_then(|machine| machine.guest.as_ref()?.config.sshd.as_ref()).map(|sshd| &sshd.users);
    let first = users.filter(|users| !users.contains_key("root")).and_then(|users| users.keys().next());
    first.map_or_else(|| "root".to_owned(), String::clone)
}

/// What ssh has to be told, as `-o` takes it. `target`: what stands for the machine in the commands that ssh runs.
pub(super) fn options(settings: &Settings, project: &Name, target: &str) -> Result<Vec<OsString>, Diagnostic> {
    let own = own_command(settings)?;
    let options = [
        format!("ProxyCommand={own} ssh --stdio {target}"),
        format!("KnownHostsCommand={own} ssh --host-key {target}"),
        "UserKnownHostsFile=/dev/null".to_owned(),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
        "StrictHostKeyChecking=yes".to_owned(),
        "CheckHostIP=no".to_owned(),
        "UpdateHostKeys=no".to_owned(),
    ];
    let alias = if target.starts_with('%') { None } else { Some(format!("HostKeyAlias={}", host(target, project))) };
    Ok(options.into_iter().chain(alias).map(OsString::from).collect())
}

/// This program with the options that lead to the same project, for the shell that ssh hands it to.
fn own_command(settings: &Settings) -> Result<String, Diagnostic> {
    let program = std::env::current_exe().map_err(|error| Diagnostic::new(Kind::Failed, "fly does not know where it is").cause(error))?;
    let mut words = vec![program.display().to_string()];
    let engine = settings.engine()?.words;
    if !engine.is_empty() {
        words = [vec!["/usr/bin/env".to_owned()], engine, words].concat();
    }
    let absolute = |path: &std::path::Path| settings.environment.directory.join(path).display().to_string();
    match load::path(settings) {
        Some(file) => words.extend(["--file".to_owned(), file.display().to_string()]),
        None => words.extend(settings.file.iter().flat_map(|file| ["--file".to_owned(), absolute(file)])),
    }
    words.extend(settings.env_files.iter().flat_map(|file| ["--env-file".to_owned(), absolute(file)]));
    words.extend(settings.project.iter().flat_map(|project| ["--project".to_owned(), project.to_string()]));
    Ok(words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
}

/// For a shell, and for ssh, to whom `%` means something.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c);
    let word = word.replace('%', "%%");
    if word.chars().all(|c| plain(c) || c == '%') { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn guest(role: &str, stdin: bool) -> Exec {
    Exec { argv: [GUEST_BINARY, "guest", role].map(str::to_owned).to_vec(), user: Some("0:0".to_owned()), stdin, ..Exec::default() }
}

async fn stdio(machines: &Machines, machine: &str) -> Result<ExitCode, Failure> {
    let member = machines.running(machine).await?;
    let (execution, session) = machines.docker.exec(&member.id, &guest("channel", true)).await.map_err(|error| refused(&error))?;
    Ok(match pump(session, true, None, None, None, async |_| ()).await? {
        End::Output => execution.exit_code().await.map_err(|error| refused(&error))?.into(),
        End::Signal(number) => (128 + number).into(),
        End::Closed | End::Left => Exit::Done.into(),
    })
}

/// A line as in `known_hosts`.
async fn host_key(machines: &Machines, machine: &str, ui: &Ui) -> Result<ExitCode, Failure> {
    let member = machines.running(machine).await?;
    let (execution, session) = machines.docker.exec(&member.id, &guest("hostkey", false)).await.map_err(|error| refused(&error))?;
    let (mut key, mut output) = (vec![], session.output);
    while let Some(chunk) = output.next().await.map_err(|error| refused(&error))? {
        match chunk.channel {
            Channel::Stdout => key.extend_from_slice(chunk.bytes),
            Channel::Stderr => ui.say(&String::from_utf8_lossy(chunk.bytes)),
        }
    }
    let key = String::from_utf8_lossy(&key);
    let words: Vec<&str> = key.split_whitespace().take(2).collect();
    let [kind, body] = words.as_slice() else {
        let code = execution.exit_code().await.map_err(|error| refused(&error))?;
        return Ok(if code == 0 { Exit::Failed.into() } else { code.into() });
    };
    ui.out(&format!("{} {kind} {body}\n", host(member.machine.as_str(), &machines.project.name)))?;
    Ok(Exit::Done.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reaches_the_program_as_it_is() {
        assert_eq!(quoted("/usr/bin/fly"), "/usr/bin/fly");
        assert_eq!(quoted("/home/a b/it's"), r"'/home/a b/it'\''s'");
        assert_eq!(quoted("100%"), "100%%");
    }
}
