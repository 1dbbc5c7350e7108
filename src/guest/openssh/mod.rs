//! `fly guest openssh`: keeps the image's own sshd running, with the machine's host key and the keys of its users.
//!
//! A process of its own beside the first one, as fly's own server is, so that the first one stays as small as it is. Nothing in the
//! image is changed: everything that sshd has to know stands in its arguments, and the keys lie in the machine's own volume.

mod arguments;
mod ports;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use signal_hook::consts::{SIGCHLD, SIGTERM};

use super::{files, hostkey, log, status, users};
use crate::types::{GUEST_CONFIG, GuestConfig, GuestSshd, SshServer, SshdStatus};

/// A change of the settings is seen within this time.
const LOOK: Duration = Duration::from_millis(500);
/// While sshd starts or ends.
const SOON: Duration = Duration::from_millis(20);
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);
/// An sshd that has run this long is not ailing.
const WELL: Duration = Duration::from_secs(60);
/// For an sshd to end that was asked to.
const FAREWELL: Duration = Duration::from_secs(5);
/// In the machine's own volume: a file for every user, as sshd reads them.
const KEYS: &str = "authorized_keys";
const PLACES: [&str; 5] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd", "/usr/bin/sshd", "/usr/local/bin/sshd"];
/// Where sshd locks up whoever has not logged in yet; it does not make the folder itself.
const EMPTY: &str = "/run/sshd";

pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    if let [option, program, rest @ ..] = arguments
        && option == "--exec"
    {
        return become_sshd(program, rest);
    }
    let asked_to_end = Arc::new(AtomicBool::new(false));
    let started = super::home(arguments).and_then(|home| {
        let bell = listen_to_signals(&asked_to_end).map_err(|error| format!("ssh: sshd cannot be kept: {error}"))?;
        Ok((home, bell))
    });
    match started {
        Ok((home, bell)) => Keeper::new(home, bell).run(&asked_to_end),
        Err(error) => {
            log::line(&error);
            ExitCode::FAILURE
        }
    }
}

/// What can be read as soon as there is a signal.
fn listen_to_signals(asked_to_end: &Arc<AtomicBool>) -> io::Result<UnixStream> {
    let (bell, ring) = UnixStream::pair()?;
    signal_hook::flag::register(SIGTERM, Arc::clone(asked_to_end))?;
    for signal in [SIGTERM, SIGCHLD] {
        signal_hook::low_level::pipe::register(signal, ring.try_clone()?)?;
    }
    Ok(bell)
}

/// Ends with its keeper, however that ends: otherwise the next one would find the port in use.
fn become_sshd(program: &OsString, arguments: &[OsString]) -> ExitCode {
    let keeper = getppid();
    let bound = set_parent_process_death_signal(Some(Signal::TERM));
    if bound.is_err() || keeper.is_none_or(Pid::is_init) || getppid() != keeper {
        return ExitCode::FAILURE;
    }
    let error = Command::new(program).args(arguments).exec();
    log::line(&format!("ssh: {} cannot be run: {error}", Path::new(program).display()));
    ExitCode::FAILURE
}

struct Keeper {
    home: PathBuf,
    bell: UnixStream,
    /// The settings as they were read last, so that the same ones are not read again.
    text: Vec<u8>,
    wanted: Option<GuestSshd>,
    machine: String,
    /// With the arguments that it has.
    sshd: Option<(Child, Vec<String>, Instant)>,
    /// What was wrong with the last one, until one listens.
    failure: Option<String>,
    not_before: Instant,
    rest: Duration,
    told: SshdStatus,
}

impl Keeper {
    fn new(home: PathBuf, bell: UnixStream) -> Self {
        let told = SshdStatus { error: None, listening: vec!["nothing yet".to_owned()] };
        let (machine, not_before) = (String::new(), Instant::now());
        Self { home, bell, text: vec![], wanted: None, machine, sshd: None, failure: None, not_before, rest: FIRST_REST, told }
    }

    fn run(mut self, asked_to_end: &AtomicBool) -> ExitCode {
        while !asked_to_end.load(Ordering::SeqCst) {
            self.read_settings();
            let errors = self.turn();
            let listening = self.listening();
            if !listening.is_empty() {
                self.failure = None;
            }
            let starts = self.sshd.is_some() && listening.is_empty() && errors.is_empty();
            // What it is going to say in a moment is worth waiting for.
            if !starts {
                self.tell(&errors, listening);
            }
            // Until then, or a signal: it is to end, or sshd has.
            let _ = self.bell.set_read_timeout(Some(if starts { SOON } else { LOOK }));
            let _ = self.bell.read(&mut [0; 64]);
        }
        self.stop();
        ExitCode::SUCCESS
    }

    /// What cannot be read changes nothing.
    fn read_settings(&mut self) {
        let Ok(text) = fs::read(self.home.join(GUEST_CONFIG)) else { return };
        if text == self.text {
            return;
        }
        match serde_json::from_slice::<GuestConfig>(&text) {
            Ok(config) => {
                self.machine = config.machine;
                self.wanted = config.sshd.filter(|sshd| sshd.server == SshServer::Openssh);
                (self.not_before, self.rest) = (Instant::now(), FIRST_REST);
            }
            Err(error) => log::line(&format!("ssh: the settings stay as they were: {error}")),
        }
        self.text = text;
    }

    /// Brings sshd to what is wanted; what is wrong.
    fn turn(&mut self) -> Vec<String> {
        self.notice_end();
        let Some(wanted) = self.wanted.clone() else {
            self.stop();
            return vec![];
        };
        let mut errors = users::missing(wanted.users.keys());
        errors.extend(locked(wanted.users.keys()));
        if let Err(error) = write_keys(&self.home.join(KEYS), &wanted) {
            errors.push(format!("the users' keys cannot be written: {error}"));
        }
        let arguments = arguments::of(&wanted, &self.home, &self.home.join(KEYS));
        if self.sshd.as_ref().is_some_and(|(_, has, _)| *has != arguments) {
            self.stop();
        }
        if self.sshd.is_none()
            && Instant::now() >= self.not_before
            && let Err(error) = self.start(wanted.port, arguments)
        {
            self.fail(error);
        }
        errors.extend(self.failure.clone());
        errors
    }

    fn start(&mut self, port: u16, arguments: Vec<String>) -> Result<(), String> {
        let is_program = |path: &&&str| fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
        let Some(program) = PLACES.iter().find(is_program) else {
            return Err(format!("there is no sshd in this image: {}; without `openssh`, fly's own server needs none", PLACES[0]));
        };
        hostkey::load(&self.home, &self.machine).map_err(|error| format!("there is no host key: {error}"))?;
        if let Some(place) = ports::listeners(port).first() {
            return Err(format!("port {port} is in use in this machine ({})", place.address));
        }
        // Where that is not the folder that this sshd was built for, the image's own is there.
        let _ = fs::DirBuilder::new().recursive(true).mode(0o755).create(EMPTY);
        let mut command = Command::new(super::session::OWN_BINARY);
        command.args(["guest", "openssh", "--exec", program]).args(&arguments).stdin(Stdio::null()).env_clear();
        let child = command.spawn().map_err(|error| format!("{program} cannot be run: {error}"))?;
        self.sshd = Some((child, arguments, Instant::now()));
        Ok(())
    }

    fn notice_end(&mut self) {
        let Some((child, _, since)) = &mut self.sshd else { return };
        let Ok(Some(ended)) = child.try_wait() else { return };
        if since.elapsed() > WELL {
            self.rest = FIRST_REST;
        }
        self.sshd = None;
        self.fail(format!("the image's sshd has ended ({ended}); `fly logs` shows what it said"));
    }

    fn fail(&mut self, error: String) {
        self.failure = Some(error);
        self.not_before = Instant::now() + self.rest;
        self.rest = (self.rest * 2).min(LONGEST_REST);
    }

    /// Its sessions go on: it is the same server that goes, and comes with other settings.
    fn stop(&mut self) {
        let Some((mut child, ..)) = self.sshd.take() else { return };
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let end = Instant::now() + FAREWELL;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < end {
            thread::sleep(SOON);
        }
        let _ = child.kill();
        let _ = child.wait();
        (self.not_before, self.failure) = (Instant::now(), None);
    }

    fn listening(&self) -> Vec<String> {
        let (Some((child, ..)), Some(wanted)) = (&self.sshd, &self.wanted) else { return vec![] };
        let own = ports::sockets_of(child.id());
        let is_own = |place: &ports::Listener| own.as_ref().is_none_or(|own| own.contains(&place.inode));
        ports::listeners(wanted.port).into_iter().filter(is_own).map(|place| place.address.to_string()).collect()
    }

    fn tell(&mut self, errors: &[String], listening: Vec<String>) {
        let now = SshdStatus { error: (!errors.is_empty()).then(|| errors.join("; ")), listening };
        if now == self.told {
            return;
        }
        status::say(&now);
        if let Err(error) = status::write(&self.home, &now) {
            log::line(&format!("ssh: the status cannot be written to {}: {error}", self.home.display()));
        }
        self.told = now;
    }
}

/// A file a user, of root's and for everybody to read: sshd reads it as the user, and trusts only what nobody else can write.
fn write_keys(folder: &Path, sshd: &GuestSshd) -> io::Result<()> {
    if !folder.is_dir() {
        fs::DirBuilder::new().recursive(true).create(folder)?;
    }
    // Whatever mask the machine has: without these sshd refuses every key.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    let wanted: BTreeMap<&str, String> = sshd
        .users
        .iter()
        // What a name must not be, because it is one of a file as well.
        .filter(|(name, _)| arguments::is_name(name))
        .map(|(name, user)| (name.as_str(), user.authorized_keys.iter().flat_map(|key| [key.as_str(), "\n"]).collect()))
        .collect();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(|name| wanted.contains_key(name)) {
            fs::remove_file(entry.path())?;
        }
    }
    for (name, keys) in wanted {
        let file = folder.join(name);
        if fs::read(&file).ok().as_deref() != Some(keys.as_bytes()) {
            files::replace(&file, keys.as_bytes(), 0o644)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}

/// `useradd` without a password locks the account, and OpenSSH then takes no key either. It does not tell the client why.
fn locked<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let shadow = fs::read_to_string("/etc/shadow").unwrap_or_default();
    let is_locked = |name: &&String| {
        shadow
            .lines()
            .any(|line| line.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix(':')).is_some_and(|it| it.starts_with('!')))
    };
    names
        .filter(is_locked)
        .map(|name| {
            format!("the account of `{name}` is locked and OpenSSH lets nobody into such a one: `usermod -p '*' {name}` in the image")
        })
        .collect()
}
