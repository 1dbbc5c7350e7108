//! From the command line to a resolved file: finding it, reading what it needs, resolving.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::failure::{Failure, Sources};
use super::keys;
use super::settings::Settings;
use super::ui::Ui;
use crate::desired::{self, Context, Desired, EnvText};
use crate::diag::{At, Diagnostic, Kind, Mistakes, Place};
use crate::spec::{self, Spec};
use crate::types::Name;

/// Names that are looked for, the first first.
const NAMES: [&str; 2] = ["fly.yml", "fly.yaml"];

/// What `--file` calls the standard input.
const STDIN: &str = "-";

/// More than any file that a person wrote; what is read into memory has to end somewhere.
const LARGEST: u64 = 16 << 20;

pub(super) struct Loaded {
    pub(super) desired: Desired,
    /// The file as the user would type it.
    pub(super) shown: String,
    pub(super) sources: Sources,
}

/// The file, resolved, or all that is wrong with it.
pub(super) fn load(settings: &Settings, ui: &Ui) -> Result<Loaded, Failure> {
    let found = find(settings)?;
    let text = read(&found.path, &found.shown)?;
    resolve(settings, &found, text, &|warning| ui.warn(warning))
}

/// Like `load`, but a file that cannot be understood is no obstacle as long as the project's name can be known: taking machines
/// away needs no more. Gives what is wrong along with it.
pub(super) fn load_leniently(settings: &Settings) -> Result<(Loaded, Option<Failure>), Failure> {
    let bare = |project, shown, sources| Loaded { desired: Desired::empty(project), shown, sources };
    let named = settings.project.clone();
    let found = match (find(settings), named) {
        (Ok(found), _) => found,
        // Whoever names a project but no file does not need one.
        (Err(_), Some(project)) if settings.file.is_none() => return Ok((bare(project, NAMES[0].to_owned(), Sources::new()), None)),
        (Err(error), _) => return Err(error.into()),
    };
    let text = read(&found.path, &found.shown)?;
    match resolve(settings, &found, text.clone(), &|_| ()) {
        Ok(loaded) => Ok((loaded, None)),
        Err(failure) => match settings.project.clone().or_else(|| name_line(&text)) {
            Some(project) => Ok((bare(project, found.shown, Sources::new()), Some(failure))),
            None => Err(failure),
        },
    }
}

/// Where the file is, absolute; nothing if there is none.
pub(super) fn path(settings: &Settings) -> Option<PathBuf> {
    find(settings).ok().map(|found| std::fs::canonicalize(&found.path).unwrap_or(found.path))
}

/// The project's name, also where the file is wrong; nothing if it cannot be known.
pub(super) fn project(settings: &Settings) -> Option<Name> {
    let of_file = || {
        let found = find(settings).ok()?;
        let named = read(&found.path, &found.shown).ok().and_then(|text| name_line(&text));
        named.or_else(|| Name::new(found.directory.file_name()?.to_str()?).ok())
    };
    settings.project.clone().or_else(of_file)
}

struct Found {
    path: PathBuf,
    /// Absolute.
    directory: PathBuf,
    shown: String,
}

impl Found {
    /// A file that fly.yml names, as the user would type it.
    fn beside(&self, path: &str) -> String {
        match self.shown.rsplit_once('/') {
            Some((folder, _)) if !path.starts_with('/') => format!("{folder}/{}", path.trim_start_matches("./")),
            _ => path.to_owned(),
        }
    }
}

fn find(settings: &Settings) -> Result<Found, Diagnostic> {
    let here = &settings.environment.directory;
    if let Some(file) = settings.file.as_ref().filter(|file| file.as_os_str() == STDIN) {
        return Ok(Found { path: file.clone(), directory: here.clone(), shown: STDIN.to_owned() });
    }
    if let Some(file) = &settings.file {
        let path = here.join(file);
        let directory = path.parent().map_or_else(|| here.clone(), Path::to_path_buf);
        // Its last part may become the project's name, so `..` must not stay in it.
        let directory = std::fs::canonicalize(&directory).unwrap_or(directory);
        return Ok(Found { path, directory, shown: file.display().to_string() });
    }
    for (depth, directory) in here.ancestors().enumerate() {
        for name in NAMES {
            let path = directory.join(name);
            if path.is_file() {
                return Ok(Found { path, directory: directory.to_path_buf(), shown: format!("{}{name}", "../".repeat(depth)) });
            }
        }
    }
    Err(Diagnostic::new(Kind::Usage, format!("there is no `{}` in `{}` or above", NAMES[0], here.display()))
        .hint("name the file: `fly --file path/to/fly.yml plan`"))
}

fn read(path: &Path, shown: &str) -> Result<String, Diagnostic> {
    let cannot = |error: std::io::Error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound { Kind::Usage } else { Kind::Failed };
        Diagnostic::new(kind, format!("cannot read `{shown}`")).cause(error)
    };
    let mut bytes = vec![];
    if path.as_os_str() == STDIN {
        std::io::stdin().take(LARGEST + 1).read_to_end(&mut bytes).map_err(cannot)?;
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(cannot)?;
    }
    if bytes.len() as u64 > LARGEST {
        return Err(Diagnostic::invalid(format!("`{shown}` is larger than 16 MiB")));
    }
    String::from_utf8(bytes).map_err(|error| not_utf8(shown, &error))
}

fn not_utf8(shown: &str, error: &std::string::FromUtf8Error) -> Diagnostic {
    let offset = error.utf8_error().valid_up_to();
    let before = String::from_utf8_lossy(&error.as_bytes()[..offset]);
    let (line, column) = (before.matches('\n').count() + 1, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1);
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let place = Place { file: Arc::from(shown), line: number(line), column: number(column), offset, len: 1 };
    let byte = error.as_bytes().get(offset).copied().unwrap_or_default();
    Diagnostic::invalid(format!("`{shown}` is not UTF-8 text: the byte 0x{byte:02x} is none"))
        .at(&place)
        .hint(format!("`iconv -f LATIN1 -t UTF-8 {shown}`, if it was written in that"))
}

/// `warn` is told what is right, but may not be meant: also of a file that is wrong, where it may be the reason.
fn resolve(settings: &Settings, found: &Found, text: String, warn: &dyn Fn(&str)) -> Result<Loaded, Failure> {
    let mut sources = Sources::new();
    let Variables { known: environment, unreadable, errors } = variables(settings, found, &mut sources);
    let mut mistakes = Mistakes::default();
    mistakes.extend(errors);
    let (spec, wrong) = spec::read(&found.shown, &text, &environment, &unreadable);
    sources.insert(Arc::from(found.shown.as_str()), text);
    mistakes.extend(wrong.finish());
    let Some(mut spec) = spec else { return Err(Failure::new(mistakes.finish(), &sources)) };
    for warning in unset(&spec) {
        warn(&warning);
    }
    if let Some(project) = &settings.project {
        let place = Place { file: Arc::from("--project"), line: 1, column: 1, offset: 0, len: 0 };
        spec.name = Some(At::new(project.to_string(), place));
    }
    let version = crate::engine::guest_version().unwrap_or_else(|_| env!("CARGO_PKG_VERSION").to_owned());
    let context = Context {
        directory: found.directory.display().to_string(),
        home: settings.environment.variable("HOME").map(str::to_owned),
        env_files: env_files(&spec, found),
        seccomp_profiles: seccomp_profiles(&spec, found, settings.environment.variable("HOME")),
        key_files: key_files(&spec, found, settings.environment.variable("HOME")),
        own_keys: keys::own(&settings.environment),
        agent: Some(version.clone()),
        guest: version,
        environment,
    };
    let texts = context.env_files.values().filter_map(|file| Some((Arc::from(file.shown.as_str()), file.text.clone().ok()?)));
    sources.extend(texts.collect::<Sources>());
    match desired::resolve(&spec, &context) {
        Ok(desired) if mistakes.is_empty() => {
            if let Some(warning) = no_machines(&desired, &found.shown) {
                warn(&warning);
            }
            Ok(Loaded { desired, shown: found.shown.clone(), sources })
        }
        resolved => {
            mistakes.extend(resolved.err().into_iter().flatten());
            Err(Failure::new(mistakes.finish(), &sources))
        }
    }
}

/// A file with nothing in it is right, but hardly what its writer meant: all that there is would go.
fn no_machines(desired: &Desired, shown: &str) -> Option<String> {
    let text = || format!("{shown} describes no machine: `fly up` takes away all that there are of `{}`", desired.project);
    desired.machines.is_empty().then(text)
}

/// Each variable once, where it is used first.
fn unset(spec: &Spec) -> Vec<String> {
    let mut known = BTreeSet::new();
    let first = spec.unset.iter().filter(|name| known.insert(name.value.as_str()));
    let text = |name: &At<String>| {
        let place = &name.place;
        format!("{}:{}: the variable `{}` is not set, and an empty text stands for it", place.file, place.line, name.value)
    };
    first.map(text).collect()
}

/// What variables stand for, as far as it could be read.
#[derive(Default)]
struct Variables {
    known: BTreeMap<String, String>,
    unreadable: BTreeSet<String>,
    errors: Vec<Diagnostic>,
}

/// `.env`, or the files of `--env-file`, and over them the user's environment.
fn variables(settings: &Settings, found: &Found, sources: &mut Sources) -> Variables {
    let own = &settings.environment.variables;
    let mut files: Vec<(PathBuf, String)> =
        settings.env_files.iter().map(|file| (settings.environment.directory.join(file), file.display().to_string())).collect();
    let beside = found.directory.join(".env");
    if files.is_empty() && beside.is_file() {
        files.push((beside, found.beside(".env")));
    }
    let mut all = Variables::default();
    for (path, shown) in files {
        match read(&path, &shown) {
            Ok(text) => {
                let read = spec::dotenv(&shown, &text, &[own, &all.known]);
                sources.insert(Arc::from(shown.as_str()), text);
                all.unreadable.retain(|name| !read.variables.contains_key(name));
                all.known.extend(read.variables);
                all.unreadable.extend(read.unreadable);
                all.errors.extend(read.errors);
            }
            Err(error) => all.errors.push(error),
        }
    }
    all.unreadable.retain(|name| !own.contains_key(name));
    all.known.extend(own.clone());
    all
}

/// Every `env_file` that the file names.
fn env_files(spec: &Spec, found: &Found) -> BTreeMap<String, EnvText> {
    let machines = spec.machines.0.iter().map(|(_, machine)| machine).chain(&spec.defaults);
    let paths: BTreeSet<&String> = machines.flat_map(|machine| machine.env_file.iter().flatten()).map(|file| &file.path.value).collect();
    let file = |path: &String| {
        let shown = found.beside(path);
        let text = text_or_why(&found.directory.join(path), &shown);
        (path.clone(), EnvText { shown, text })
    };
    paths.into_iter().map(file).collect()
}

fn text_or_why(path: &Path, shown: &str) -> Result<String, String> {
    read(path, shown).map_err(|error| error.causes.into_iter().next().unwrap_or(error.message))
}

/// The same for its seccomp profiles.
fn seccomp_profiles(spec: &Spec, found: &Found, home: Option<&str>) -> BTreeMap<String, Result<String, String>> {
    let machines = spec.machines.0.iter().map(|(_, machine)| machine).chain(&spec.defaults);
    let options = machines.flat_map(|machine| machine.security_opt.iter().flatten());
    let paths = options.filter_map(|option| spec::seccomp_profile(&option.value)).filter(|profile| !profile.starts_with('{'));
    let paths: BTreeSet<&str> = paths.collect();
    paths.into_iter().map(|path| (path.to_owned(), near_file(path, found, home))).collect()
}

/// The same for its files of public keys.
fn key_files(spec: &Spec, found: &Found, home: Option<&str>) -> BTreeMap<String, Result<String, String>> {
    let machines = spec.machines.0.iter().map(|(_, machine)| machine).chain(&spec.defaults);
    let users = |sshd: &spec::Sshd| {
        let users = sshd.users.iter().flat_map(|users| &users.0);
        users.filter_map(|(_, user)| user.authorized_keys.clone()).flatten().collect::<Vec<_>>()
    };
    let named = machines.filter_map(|machine| machine.sshd.as_ref()).flat_map(|sshd| {
        let common = sshd.authorized_keys.clone().into_iter().flatten();
        common.chain(users(sshd)).collect::<Vec<_>>()
    });
    // A key itself is no path.
    let paths: BTreeSet<String> = named.map(|name| name.value).filter(|name| !name.contains(' ')).collect();
    paths.into_iter().map(|path| (path.clone(), near_file(&path, found, home))).collect()
}

/// A file that fly.yml names by a path of its own, or by one from the user's home.
fn near_file(path: &str, found: &Found, home: Option<&str>) -> Result<String, String> {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => text_or_why(&Path::new(home).join(rest), path),
        _ => text_or_why(&found.directory.join(path), &found.beside(path)),
    }
}

/// What stands behind `name:` at the beginning of a line, if that alone is a project's name.
fn name_line(text: &str) -> Option<Name> {
    let value = text.lines().find_map(|line| line.strip_prefix("name:"))?;
    let value = value.split(" #").next()?.trim();
    Name::new(value.trim_matches(['"', '\''])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_a_file_that_cannot_be_understood() {
        let name = |text| name_line(text).map(|name| name.to_string());
        assert_eq!(name("machines: {[\nname: \"shop\"   # ours\n"), Some("shop".to_owned()));
        assert_eq!(name("name: ${PROJECT}\n"), None);
        assert_eq!(name("machines:\n  name: {image: a}\n"), None);
    }
}
