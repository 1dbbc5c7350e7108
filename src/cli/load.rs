//! From the command line to a resolved file: finding it, reading what it needs, resolving.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::failure::{Failure, Sources};
use super::settings::Settings;
use super::ui::Ui;
use crate::desired::{self, Context, Desired};
use crate::diag::{self, At, Diagnostic, Kind, Place};
use crate::spec::{self, Spec};
use crate::types::Name;

/// Names that are looked for, the first first.
const NAMES: [&str; 2] = ["fly.yml", "fly.yaml"];

/// More than any file that a person wrote; what is read into memory has to end somewhere.
const LARGEST: u64 = 16 << 20;

pub(super) struct Loaded {
    pub(super) desired: Desired,
    /// The file as the user would type it.
    pub(super) shown: String,
    pub(super) sources: Sources,
    /// Variables that are used and not set, in words.
    pub(super) unset: Vec<String>,
}

/// The file, resolved, or all that is wrong with it.
pub(super) fn load(settings: &Settings, ui: &Ui) -> Result<Loaded, Failure> {
    let found = find(settings)?;
    let text = read(&found.path, &found.shown)?;
    let loaded = resolve(settings, &found, text)?;
    loaded.unset.iter().for_each(|warning| ui.warn(warning));
    Ok(loaded)
}

/// Like `load`, but a file that cannot be understood is no obstacle as long as the project's name can be known: taking machines
/// away needs no more. Gives what is wrong along with it.
pub(super) fn load_leniently(settings: &Settings) -> Result<(Loaded, Option<Failure>), Failure> {
    let bare = |project, shown, sources| Loaded { desired: Desired::empty(project), shown, sources, unset: vec![] };
    let named = settings.project.clone();
    let found = match (find(settings), named) {
        (Ok(found), _) => found,
        // Whoever names a project but no file does not need one.
        (Err(_), Some(project)) if settings.file.is_none() => return Ok((bare(project, NAMES[0].to_owned(), Sources::new()), None)),
        (Err(error), _) => return Err(error.into()),
    };
    let text = read(&found.path, &found.shown)?;
    match resolve(settings, &found, text.clone()) {
        Ok(loaded) => Ok((loaded, None)),
        Err(failure) => match settings.project.clone().or_else(|| name_line(&text)) {
            Some(project) => Ok((bare(project, found.shown, Sources::new()), Some(failure))),
            None => Err(failure),
        },
    }
}

struct Found {
    path: PathBuf,
    /// Absolute.
    directory: PathBuf,
    shown: String,
}

fn find(settings: &Settings) -> Result<Found, Diagnostic> {
    let here = &settings.environment.directory;
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
    std::fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(cannot)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Diagnostic::invalid(format!("`{shown}` is larger than 16 MiB")));
    }
    String::from_utf8(bytes).map_err(|error| {
        Diagnostic::invalid(format!("`{shown}` is not UTF-8 text"))
            .cause(format!("the byte at {} is not", error.utf8_error().valid_up_to()))
    })
}

fn resolve(settings: &Settings, found: &Found, text: String) -> Result<Loaded, Failure> {
    let mut sources = Sources::new();
    let environment = variables(settings, found, &mut sources)?;
    let (spec, wrong) = spec::read(&found.shown, &text, &environment);
    sources.insert(Arc::from(found.shown.as_str()), text);
    let Some(mut spec) = spec else { return Err(Failure::new(wrong, &sources)) };
    if let Some(project) = &settings.project {
        let place = Place { file: Arc::from("--project"), line: 1, column: 1, offset: 0, len: 0 };
        spec.name = Some(At::new(project.to_string(), place));
    }
    let context = Context {
        directory: found.directory.display().to_string(),
        home: settings.environment.variable("HOME").map(str::to_owned),
        env_files: env_files(&spec, &found.directory),
        seccomp_profiles: seccomp_profiles(&spec, &found.directory, settings.environment.variable("HOME")),
        environment,
    };
    let desired = all_mistakes(wrong, desired::resolve(&spec, &context)).map_err(|wrong| Failure::new(wrong, &sources))?;
    Ok(Loaded { desired, shown: found.shown.clone(), sources, unset: unset(&spec) })
}

/// Each variable once, where it is used first.
fn unset(spec: &Spec) -> Vec<String> {
    let mut known = std::collections::BTreeSet::new();
    let first = spec.unset.iter().filter(|name| known.insert(name.value.as_str()));
    let text = |name: &At<String>| {
        let place = &name.place;
        format!("{}:{}: the variable `{}` is not set, and an empty text stands for it", place.file, place.line, name.value)
    };
    first.map(text).collect()
}

/// Mistakes of form and of meaning in one run. Where a line is wrong already, what it means is not asked; nor is something without
/// a place said of a file that could not be read whole: it may only be missing because of the others.
fn all_mistakes(mut wrong: Vec<Diagnostic>, desired: Result<Desired, Vec<Diagnostic>>) -> Result<Desired, Vec<Diagnostic>> {
    let more = match desired {
        Ok(desired) if wrong.is_empty() => return Ok(desired),
        Ok(_) => vec![],
        Err(more) => more,
    };
    let line = |error: &Diagnostic| error.place.as_ref().map(|place| (place.file.clone(), place.line));
    let known: Vec<_> = wrong.iter().map(line).collect();
    wrong.extend(more.into_iter().filter(|error| known.is_empty() || error.place.is_some() && !known.contains(&line(error))));
    diag::sort(&mut wrong);
    Err(wrong)
}

/// `.env`, or the files of `--env-file`, and over them the user's environment.
fn variables(settings: &Settings, found: &Found, sources: &mut Sources) -> Result<BTreeMap<String, String>, Failure> {
    let mut files: Vec<(PathBuf, String)> =
        settings.env_files.iter().map(|file| (settings.environment.directory.join(file), file.display().to_string())).collect();
    if files.is_empty() {
        let beside = found.directory.join(".env");
        if beside.is_file() {
            files.push((beside, found.shown.rsplit_once('/').map_or_else(|| ".env".to_owned(), |(folder, _)| format!("{folder}/.env"))));
        }
    }
    let mut variables = BTreeMap::new();
    for (path, shown) in files {
        let text = read(&path, &shown)?;
        let parsed = spec::dotenv(&shown, &text);
        sources.insert(Arc::from(shown.as_str()), text);
        variables.extend(parsed.map_err(|wrong| Failure::new(wrong, sources))?);
    }
    variables.extend(settings.environment.variables.clone());
    Ok(variables)
}

/// The text of every `env_file` that the file names, or why there is none.
fn env_files(spec: &Spec, directory: &Path) -> BTreeMap<String, Result<String, String>> {
    let machines = spec.machines.0.iter().map(|(_, machine)| machine).chain(&spec.defaults);
    let files = machines.flat_map(|machine| machine.env_file.iter().flatten());
    files.map(|file| (file.path.value.clone(), text_or_why(&directory.join(&file.path.value), &file.path.value))).collect()
}

fn text_or_why(path: &Path, shown: &str) -> Result<String, String> {
    read(path, shown).map_err(|error| error.causes.into_iter().next().unwrap_or(error.message))
}

/// The same for its seccomp profiles.
fn seccomp_profiles(spec: &Spec, directory: &Path, home: Option<&str>) -> BTreeMap<String, Result<String, String>> {
    let machines = spec.machines.0.iter().map(|(_, machine)| machine).chain(&spec.defaults);
    let options = machines.flat_map(|machine| machine.security_opt.iter().flatten());
    let files = options.filter_map(|option| spec::seccomp_profile(&option.value)).filter(|profile| !profile.starts_with('{'));
    let place = |path: &str| match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Path::new(home).join(rest),
        _ => directory.join(path),
    };
    files.map(|path| (path.to_owned(), text_or_why(&place(path), path))).collect()
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
