//! From the command line to a resolved file: finding it, reading what it needs, resolving.

mod files;
mod guess;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use files::STDIN;
pub(super) use files::{Files, NO_HOME, Read, unseen_key};
pub(super) use guess::Guesses;

use super::elsewhere;
use super::failure::{Failure, Sources};
use super::keys;
use super::settings::Settings;
use super::ui::Ui;
use crate::beneath::Folder;
use crate::desired::{self, Context, Desired, EnvText};
use crate::diag::{self, At, Diagnostic, Kind, Mistakes, Place};
use crate::spec::{self, Spec, Unset};
use crate::types::Name;

/// Names that are looked for, the first first.
pub(super) const NAMES: [&str; 2] = ["fly.yml", "fly.yaml"];

pub(super) struct Loaded {
    pub(super) desired: Desired,
    /// The file as the user would type it.
    pub(super) shown: String,
    pub(super) sources: Sources,
    /// Values of variables that the file's own values are made of.
    pub(super) values: BTreeSet<String>,
    /// Files that it names and that were not looked at.
    pub(super) unseen: BTreeSet<String>,
}

impl Loaded {
    pub(super) fn new(desired: Desired, shown: String, sources: Sources) -> Self {
        Self { desired, shown, sources, values: BTreeSet::new(), unseen: BTreeSet::new() }
    }
}

/// Where all that a file needs besides itself is from.
pub(super) struct Surroundings<'a> {
    pub(super) files: Files<'a>,
    /// Of variables that nothing in the project sets. Nothing: they are the user's.
    pub(super) guesses: Option<&'a Guesses>,
    /// Of this build of fly, where that counts.
    pub(super) version: Option<String>,
    /// What may be missing here alone is a warning.
    pub(super) lenient: bool,
}

impl Surroundings<'_> {
    fn usual() -> Self {
        Self { files: Files::Anywhere, guesses: None, version: crate::engine::guest_version().ok(), lenient: false }
    }
}

/// The file, resolved, or all that is wrong with it.
pub(super) fn load(settings: &Settings, ui: &Ui) -> Result<Loaded, Failure> {
    let found = find(settings)?;
    let text = read(&found.path, &found.shown)?;
    resolve(settings, &Surroundings::usual(), &found, text, &|warning| ui.warn(&one_line(&warning)))
}

/// The same, with nothing read but what is in this folder, and no key of whoever runs fly asked for.
pub(super) fn load_beneath(
    settings: &Settings,
    version: Option<String>,
    found: &Found,
    folder: &Folder,
    ui: &Ui,
) -> Result<Loaded, Failure> {
    let surroundings = Surroundings { files: Files::Beneath(folder), guesses: None, version, lenient: false };
    let text = surroundings.files.text(&found.path, &found.shown, folder.path())?;
    let mut loaded = resolve(settings, &surroundings, found, text, &|warning| ui.warn(&one_line(&warning)))?;
    for path in std::mem::take(&mut loaded.unseen) {
        ui.warn(&format!("{}: `{path}` is outside of the project, and was not looked at", found.shown));
    }
    Ok(loaded)
}

/// All that is to be said of a file.
pub(super) struct Checked {
    pub(super) shown: String,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) sources: Sources,
    /// How many machines it has; nothing if it is wrong.
    pub(super) machines: Option<usize>,
}

impl Checked {
    /// Of a file that cannot be read.
    pub(super) fn unread(shown: String, error: Diagnostic) -> Self {
        Self { shown, diagnostics: vec![error], sources: Sources::new(), machines: None }
    }
}

/// Reads and resolves as `load` does, with nothing read but what is in this folder, and says what is wrong wherever the file is.
pub(super) fn check(settings: &Settings, found: &Found, folder: &Folder) -> Checked {
    let from = Surroundings { files: Files::Beneath(folder), guesses: None, version: None, lenient: true };
    let text = match from.files.text(&found.path, &found.shown, folder.path()) {
        Ok(text) => text,
        Err(error) => return Checked::unread(found.shown.clone(), error),
    };
    let warnings = std::cell::RefCell::new(vec![]);
    let resolved = resolve(settings, &from, found, text, &|warning| warnings.borrow_mut().push(warning));
    let (errors, sources, machines) = match resolved {
        Ok(loaded) => (vec![], loaded.sources, Some(loaded.desired.machines.len())),
        Err(failure) => {
            let (errors, sources) = failure.into_parts();
            (errors, sources, None)
        }
    };
    let mut diagnostics = warnings.into_inner();
    diagnostics.extend(errors);
    diag::sort(&mut diagnostics);
    Checked { shown: found.shown.clone(), diagnostics, sources, machines }
}

/// Like `load`, but a file that cannot be understood is no obstacle as long as the project's name can be known: taking machines
/// away needs no more. Gives what is wrong along with it.
pub(super) fn load_leniently(settings: &Settings) -> Result<(Loaded, Option<Failure>), Failure> {
    let bare = |project, shown, sources| Loaded::new(Desired::empty(project), shown, sources);
    let named = settings.project.clone();
    let found = match (find(settings), named) {
        (Ok(found), _) => found,
        // Whoever names a project but no file does not need one.
        (Err(_), Some(project)) if settings.file.is_none() => return Ok((bare(project, NAMES[0].to_owned(), Sources::new()), None)),
        (Err(error), _) => return Err(error.into()),
    };
    let text = read(&found.path, &found.shown)?;
    match resolve(settings, &Surroundings::usual(), &found, text.clone(), &|_| ()) {
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

pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Absolute.
    pub(super) directory: PathBuf,
    pub(super) shown: String,
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

pub(super) fn find(settings: &Settings) -> Result<Found, Diagnostic> {
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
    Files::Anywhere.text(path, shown, path)
}

/// `warn` is told what is right, but may not be meant: also of a file that is wrong, where it may be the reason.
pub(super) fn resolve(
    settings: &Settings,
    from: &Surroundings<'_>,
    found: &Found,
    text: String,
    warn: &dyn Fn(Diagnostic),
) -> Result<Loaded, Failure> {
    let mut sources = Sources::new();
    let Variables { known: mut environment, mut unreadable, errors } = variables(settings, from, found);
    let mut mistakes = Mistakes::default();
    mistakes.extend(errors);
    let (mut spec, mut wrong) = spec::read(&found.shown, &text, &environment, &unreadable);
    let unset = spec.as_ref().map(|spec| first_uses(&spec.unset)).unwrap_or_default();
    if from.lenient && !unset.is_empty() {
        // Whatever they stand for elsewhere: nothing can be said of the values that they are part of.
        unreadable.extend(unset.iter().map(|unset| unset.name.value.clone()));
        (spec, wrong) = spec::read(&found.shown, &text, &environment, &unreadable);
    }
    sources.insert(Arc::from(found.shown.as_str()), text);
    mistakes.extend(wrong.finish());
    let Some(mut spec) = spec else { return Err(Failure::new(mistakes.finish(), &sources)) };
    for unset in unset.iter().filter(|unset| from.lenient || unset.required.is_none()) {
        warn(if from.lenient { elsewhere::unset(unset) } else { empty(unset) });
    }
    if let Some(project) = &settings.project {
        let place = Place { file: Arc::from("--project"), line: 1, column: 1, offset: 0, len: 0 };
        spec.name = Some(At::new(project.to_string(), place));
    }
    if from.guesses.is_some() {
        for name in handed_on(&spec) {
            environment.entry(name.clone()).or_insert_with(|| format!("${{{name}}}"));
        }
    }
    let context = context(settings, from, found, &spec, environment);
    let unseen = unseen(&context);
    if from.lenient {
        for warning in elsewhere::unseen(&spec, &unseen) {
            warn(warning);
        }
    }
    match desired::resolve(&spec, &context) {
        Ok(desired) if mistakes.is_empty() => {
            if let Some(warning) = no_machines(&desired, &found.shown) {
                warn(warning);
            }
            let values = spec.veil.values().map(str::to_owned).collect();
            Ok(Loaded { values, unseen, ..Loaded::new(desired, found.shown.clone(), sources) })
        }
        resolved => {
            mistakes.extend(resolved.err().into_iter().flatten());
            Err(Failure::new(mistakes.finish(), &sources))
        }
    }
}

fn context(settings: &Settings, from: &Surroundings<'_>, found: &Found, spec: &Spec, environment: BTreeMap<String, String>) -> Context {
    let user = &settings.environment;
    // Two files are compared as if they were anywhere, and anybody's.
    let (directory, home, version) = match from.guesses {
        Some(_) => (format!("/.../{}", found.directory.file_name().unwrap_or_default().to_string_lossy()), Some(NO_HOME), None),
        None => (found.directory.display().to_string(), user.variable("HOME"), from.version.clone()),
    };
    let version = version.unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
    Context {
        directory,
        home: home.map(str::to_owned),
        env_files: env_files(spec, from, found),
        seccomp_profiles: seccomp_profiles(spec, from, found, home),
        key_files: key_files(spec, from, found, home),
        own_keys: if from.files.is_offline() { BTreeSet::from([unseen_key("whoever_runs_fly")]) } else { keys::own(user) },
        agent: Some(version.clone()),
        guest: version,
        environment,
    }
}

/// Variables that machines get under their own names.
fn handed_on(spec: &Spec) -> impl Iterator<Item = &String> {
    let machines = spec.machines.0.iter().map(|(_, machine)| machine).chain(&spec.defaults);
    let entries = machines.flat_map(|machine| &machine.environment).flat_map(|entries| &entries.0);
    entries.filter(|(_, value)| value.is_none()).map(|(name, _)| &name.value)
}

/// What stands in the context for files that were not looked at, by what they are called in the file.
fn unseen(context: &Context) -> BTreeSet<String> {
    let keys = context.key_files.iter().filter(|(path, text)| text.as_ref().is_ok_and(|text| *text == unseen_key(path)));
    let profiles = context.seccomp_profiles.iter().filter(|(path, text)| text.as_ref().is_ok_and(|text| *text == unseen_profile(path)));
    let files = context.env_files.iter().filter(|(path, file)| file.text.as_ref().is_ok_and(|text| *text == unseen_variables(path)));
    let files = files.map(|(path, _)| path.clone());
    keys.chain(profiles).map(|(path, _)| path.clone()).chain(files).collect()
}

fn unseen_profile(path: &str) -> String {
    serde_json::json!({ "outside of the project": path }).to_string()
}

fn unseen_variables(path: &str) -> String {
    format!("# {} is outside of the project\n", path.replace(char::is_control, " "))
}

/// Which fly this is.
pub(super) fn build() -> String {
    crate::engine::guest_version().unwrap_or_else(|_| env!("CARGO_PKG_VERSION").to_owned())
}

/// What is right in a file, but may not be meant.
pub(super) fn warning(file: &Loaded) -> Option<String> {
    no_machines(&file.desired, &file.shown).map(|warning| warning.message)
}

/// A file with nothing in it is right, but hardly what its writer meant: all that there is would go.
fn no_machines(desired: &Desired, shown: &str) -> Option<Diagnostic> {
    let text = || format!("{shown} describes no machine: `fly up` takes away all that there are of `{}`", desired.project);
    desired.machines.is_empty().then(|| Diagnostic::warning(text()).hint("`machines: {web: {image: debian:12}}`"))
}

/// Each variable once, where it is used first.
fn first_uses(unset: &[Unset]) -> Vec<Unset> {
    let mut known = BTreeSet::new();
    unset.iter().filter(|unset| known.insert(unset.name.value.as_str())).cloned().collect()
}

fn empty(unset: &Unset) -> Diagnostic {
    let message = format!("the variable `{}` is not set, and an empty text stands for it", unset.name.value);
    Diagnostic::warning(message).at(&unset.name.place)
}

/// A warning in one line, for those who have more to say than that.
pub(super) fn one_line(warning: &Diagnostic) -> String {
    match &warning.place {
        Some(place) => format!("{}:{}: {}", place.file, place.line, warning.message),
        None => warning.message.clone(),
    }
}

/// What variables stand for, as far as it could be read.
#[derive(Default)]
struct Variables {
    known: BTreeMap<String, String>,
    unreadable: BTreeSet<String>,
    errors: Vec<Diagnostic>,
}

/// `.env`, or the files of `--env-file`, and over them the user's environment. Their lines are never drawn: they hold secrets.
fn variables(settings: &Settings, from: &Surroundings<'_>, found: &Found) -> Variables {
    let nobodys = BTreeMap::new();
    let own = if from.guesses.is_some() { &nobodys } else { &settings.environment.variables };
    let mut all = Variables::default();
    let files: Vec<(PathBuf, String)> =
        settings.env_files.iter().map(|file| (settings.environment.directory.join(file), file.display().to_string())).collect();
    let mut texts: Vec<(String, Result<String, Diagnostic>)> =
        // Who runs fly names them, so they can be anywhere.
        files.into_iter().map(|(path, shown)| { let text = read(&path, &shown); (shown, text) }).collect();
    let beside = found.directory.join(".env");
    if texts.is_empty() && from.files.is_file(&beside) {
        let shown = found.beside(".env");
        match from.files.read(&beside, &shown) {
            Read::Text(text) => texts.push((shown, Ok(text))),
            Read::Not(error) => texts.push((shown, Err(error))),
            Read::Outside => {}
        }
    }
    for (shown, text) in texts {
        match text {
            Ok(text) => {
                let read = spec::dotenv(&shown, &text, &[own, &all.known]);
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
    for (name, value) in from.guesses.map(Guesses::values).into_iter().flatten() {
        all.known.entry(name).or_insert(value);
    }
    all
}

/// Every `env_file` that the file names.
fn env_files(spec: &Spec, from: &Surroundings<'_>, found: &Found) -> BTreeMap<String, EnvText> {
    let machines = spec.machines.0.iter().map(|(_, machine)| machine).chain(&spec.defaults);
    let paths: BTreeSet<&String> = machines.flat_map(|machine| machine.env_file.iter().flatten()).map(|file| &file.path.value).collect();
    let file = |path: &String| {
        let shown = found.beside(path);
        let text = text_or_why(from, &found.directory.join(path), &shown, || unseen_variables(path));
        (path.clone(), EnvText { shown, text })
    };
    paths.into_iter().map(file).collect()
}

fn text_or_why(from: &Surroundings<'_>, path: &Path, shown: &str, unseen: impl Fn() -> String) -> Result<String, String> {
    match from.files.read(path, shown) {
        Read::Text(text) => Ok(text),
        Read::Outside => Ok(unseen()),
        Read::Not(error) => Err(error.causes.into_iter().next().unwrap_or(error.message)),
    }
}

/// The same for its seccomp profiles.
fn seccomp_profiles(spec: &Spec, from: &Surroundings<'_>, found: &Found, home: Option<&str>) -> BTreeMap<String, Result<String, String>> {
    let machines = spec.machines.0.iter().map(|(_, machine)| machine).chain(&spec.defaults);
    let options = machines.flat_map(|machine| machine.security_opt.iter().flatten());
    let paths = options.filter_map(|option| spec::seccomp_profile(&option.value)).filter(|profile| !profile.starts_with('{'));
    let paths: BTreeSet<&str> = paths.collect();
    paths.into_iter().map(|path| (path.to_owned(), near_file(path, from, found, home, || unseen_profile(path)))).collect()
}

/// The same for its files of public keys.
fn key_files(spec: &Spec, from: &Surroundings<'_>, found: &Found, home: Option<&str>) -> BTreeMap<String, Result<String, String>> {
    let paths: BTreeSet<String> = elsewhere::key_files(spec).into_iter().map(|name| name.value).collect();
    paths.into_iter().map(|path| (path.clone(), near_file(&path, from, found, home, || unseen_key(&path)))).collect()
}

/// A file that fly.yml names by a path of its own, or by one from the user's home.
fn near_file(
    path: &str,
    from: &Surroundings<'_>,
    found: &Found,
    home: Option<&str>,
    unseen: impl Fn() -> String,
) -> Result<String, String> {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => text_or_why(from, &Path::new(home).join(rest), path, unseen),
        _ => text_or_why(from, &found.directory.join(path), &found.beside(path), unseen),
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
