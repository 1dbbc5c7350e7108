//! A recorded world, and a plan against it: `fly snapshot`, `fly plan --world`.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::args::SnapshotArgs;
use super::confine::confine;
use super::exit::Exit;
use super::failure::Failure;
use super::load::{self, Loaded, unseen_key};
use super::settings::Settings;
use super::ui::Ui;
use super::{plan, world};
use crate::actual::{Actual, RecordError, Said};
use crate::beneath::Folder;
use crate::desired::{Desired, NetworkKind};
use crate::diag::{Diagnostic, Kind};
use crate::revision::Repository;

/// A world of thousands of machines is smaller.
const LARGEST: u64 = 256 << 20;

/// `fly snapshot`: what a plan is made from, written down without secrets.
pub(super) fn snapshot(args: &SnapshotArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let file = load::load(settings, ui)?;
    let actual = world::block_on(plan::look(settings, &file.desired))??;
    let source = file.sources.get(file.shown.as_str()).map(String::as_str).unwrap_or_default();
    let mut text = actual.veiled(&Said { source, values: &file.values }).to_text(&file.desired.project);
    text.push('\n');
    match args.output.as_deref().filter(|path| path.as_os_str() != "-") {
        None => ui.out(&text)?,
        Some(path) => write(path, &text)?,
    }
    Ok(Exit::Done)
}

/// Readable by its owner only: it has no secrets, but names and addresses.
fn write(path: &Path, text: &str) -> Result<(), Diagnostic> {
    let cannot = |error| Diagnostic::new(Kind::Failed, format!("cannot write `{}`", path.display())).cause(error);
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(cannot)
}

/// The file that is here, and the recorded world as it is for this file.
pub(super) fn load(path: &Path, settings: &Settings, ui: &Ui) -> Result<(Loaded, Actual), Failure> {
    let cannot = |kind| Diagnostic::new(kind, format!("cannot use the world `{}`", path.display()));
    let anew = format!("record it anew: `fly snapshot -o {}`", path.display());
    let record = std::fs::File::open(settings.environment.directory.join(path)).map_err(|error| cannot(Kind::Failed).cause(error))?;
    let version = crate::engine::guest_version().ok();
    let (found, folder) = in_project(settings)?;
    let given: Vec<PathBuf> = settings.env_files.iter().map(|file| settings.environment.directory.join(file)).collect();
    confine(&[folder.path()].into_iter().chain(given.iter().map(PathBuf::as_path)).collect::<Vec<_>>());
    let mut text = vec![];
    record.take(LARGEST).read_to_end(&mut text).map_err(|error| cannot(Kind::Failed).cause(error))?;
    let mut file = load::load_beneath(settings, version, &found, &folder, ui)?;
    let mut actual = Actual::from_text(&text, &file.desired.project).map_err(|error| {
        let is_other = matches!(error, RecordError::Project(..));
        let diagnostic = cannot(Kind::Failed).caused_by(&error);
        if is_other { diagnostic.hint("`--project NAME` names the project") } else { diagnostic.hint(&anew) }
    })?;
    drop(text);
    assume(&mut file.desired, &actual);
    let desired = &file.desired;
    actual.unveil_passwords(|name| Some(&desired.machines.get(name)?.guest.as_ref()?.config));
    actual.unveil(|name| Some(&desired.machines.get(name)?.container));
    actual.unveil_labels(labels(desired));
    Ok((file, actual))
}

/// The file, and the folder that it may name files in.
pub(super) fn in_project(settings: &Settings) -> Result<(load::Found, Folder), Diagnostic> {
    let mut found = load::find(settings)?;
    if found.path.as_os_str() != "-" {
        found.directory = std::fs::canonicalize(&found.directory).unwrap_or(found.directory);
        found.path = found.directory.join(found.path.file_name().unwrap_or_default());
    }
    let folder = Folder::open(&root(&found.directory, settings))
        .map_err(|error| Diagnostic::new(Kind::Failed, format!("cannot read `{}`", found.directory.display())).cause(error))?;
    Ok((found, folder))
}

/// The repository that the file is in, so that it can name files beside it there; or its folder. A home is no project.
fn root(directory: &Path, settings: &Settings) -> PathBuf {
    let repository = Repository::find(directory).ok().flatten();
    let home = settings.environment.variable("HOME").map(Path::new);
    let root = repository.as_ref().map(Repository::root).filter(|root| Some(*root) != home && root.parent().is_some());
    root.unwrap_or(directory).to_owned()
}

/// Of what the engine has of the project besides machines.
fn labels(desired: &Desired) -> impl Iterator<Item = &std::collections::BTreeMap<String, String>> {
    let networks = desired.networks.values().filter_map(|network| match &network.kind {
        NetworkKind::Nat { network, .. } => Some(&network.labels),
        _ => None,
    });
    networks.chain(desired.volumes.values().map(|volume| &volume.labels))
}

/// Keys that nobody looked at are those that the machine has.
fn assume(desired: &mut Desired, actual: &Actual) {
    for (name, machine) in &mut desired.machines {
        let Some(guest) = &mut machine.guest else { continue };
        let Some(sshd) = &mut guest.config.sshd else { continue };
        let now = actual.net.guests.get(name).and_then(|seen| seen.config.as_ref()?.sshd.as_ref());
        for (user, wanted) in &mut sshd.users {
            let is_unseen = |line: &String| line.rsplit(' ').next().is_some_and(|comment| *line == unseen_key(comment));
            let Some(now) = now.and_then(|now| now.users.get(user)) else { continue };
            if wanted.authorized_keys.iter().any(is_unseen) {
                wanted.authorized_keys.retain(|line| !is_unseen(line));
                wanted.authorized_keys.extend(now.authorized_keys.iter().cloned());
            }
        }
    }
}
