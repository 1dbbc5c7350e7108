//! `fly ssh-config`: what makes `ssh web.shop.fly`, and whatever runs ssh, lead to a machine.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::args::SshConfigArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::settings::Settings;
use super::ui::Ui;
use super::{load, passwd, ssh};
use crate::desired::Desired;
use crate::diag::{Diagnostic, Kind};

/// Under `~/.ssh`, with a file a project.
const FOLDER: &str = "fly";
const INCLUDE: &str = "Include fly/*.conf";

pub(super) fn run(args: &SshConfigArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let (file, _) = load::load_leniently(settings)?;
    let desired = &file.desired;
    if !args.install && !args.remove {
        ui.out(&text(settings, desired)?)?;
        return Ok(Exit::Done);
    }
    let home = settings.environment.variable("HOME").filter(|home| home.starts_with('/')).map(PathBuf::from);
    let of_user = passwd::home_of_id(settings.environment.user);
    let home = home.or_else(|| of_user.clone()).ok_or_else(|| Diagnostic::new(Kind::Usage, "this user has no home directory"))?;
    let place = Place::of(&home, desired.project.as_str());
    let done = if args.install {
        text(settings, desired).and_then(|text| place.install(&text).map_err(|error| place.cannot(&error)))
    } else {
        place.remove().map_err(|error| place.cannot(&error))
    };
    done?;
    let now = if args.install { format!("`ssh MACHINE.{}.fly` leads to its machines now", desired.project) } else { "removed".to_owned() };
    ui.say(&format!("{}: {now}\n", place.file.display()));
    if let Some(other) = of_user.filter(|of_user| args.install && *of_user != home) {
        ui.warn(&format!("OpenSSH does not read it by itself: it looks in `{}`, whatever $HOME says", other.display()));
    }
    Ok(Exit::Done)
}

/// Names of machines are not needed for the way, only for who logs in.
fn text(settings: &Settings, desired: &Desired) -> Result<String, Diagnostic> {
    let mut text = format!("# The machines of {}, by `fly ssh-config`\n", desired.project);
    for (name, machine) in &desired.machines {
        if machine.guest.as_ref().is_some_and(|guest| guest.config.sshd.is_some()) {
            let _ = writeln!(text, "Host {}\n  User {}", ssh::host(name.as_str(), &desired.project), ssh::user(desired, name.as_str()));
        }
    }
    let _ = writeln!(text, "Host {}", ssh::host("*", &desired.project));
    for option in ssh::options(settings, &desired.project, "%n")? {
        let option = option.to_string_lossy().replacen('=', " ", 1);
        let _ = writeln!(text, "  {option}");
    }
    Ok(text)
}

struct Place {
    folder: PathBuf,
    file: PathBuf,
    config: PathBuf,
}

impl Place {
    fn of(home: &Path, project: &str) -> Self {
        let ssh = home.join(".ssh");
        Self { folder: ssh.join(FOLDER), file: ssh.join(FOLDER).join(format!("{project}.conf")), config: ssh.join("config") }
    }

    fn cannot(&self, error: &io::Error) -> Diagnostic {
        Diagnostic::new(Kind::Failed, format!("cannot write under `{}`", self.folder.display())).cause(error)
    }

    fn install(&self, text: &str) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        replace(&self.file, text)?;
        let config = match fs::read_to_string(&self.config) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        if config.lines().any(|line| line.trim() == INCLUDE) {
            return Ok(());
        }
        // First of all: behind a `Host` line it would hold for that host alone.
        replace(&self.config, &format!("{INCLUDE}\n\n{config}"))
    }

    /// The line in `~/.ssh/config` stays: other projects may need it, and with no file it includes nothing.
    fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

/// Through a symbolic link, as people keep their settings elsewhere; whole or not at all.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let new = file.with_extension("fly-new");
    let _ = fs::remove_file(&new);
    let mode = fs::metadata(&file).map_or(0o600, |old| std::os::unix::fs::PermissionsExt::mode(&old.permissions()) & 0o777);
    fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?.write_all(text.as_bytes())?;
    fs::rename(&new, &file)
}
