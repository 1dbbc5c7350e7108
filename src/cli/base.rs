//! `fly plan --base`: the file of a revision against the one that is here, both as worlds that nobody has to have.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::confine::confine;
use super::failure::Failure;
use super::load::{self, Files, Found, Guesses, Loaded, NAMES, Surroundings};
use super::settings::Settings;
use super::ui::Ui;
use crate::actual::Actual;
use crate::beneath::Folder;
use crate::desired::Desired;
use crate::diag::{Diagnostic, Kind};
use crate::ideal;
use crate::revision::{self, Repository};

/// A repository with more folders than that is not searched for a file that has moved.
const FOLDERS: usize = 20_000;
/// No file of variables, and no fly.yml, is larger.
const LARGEST: u64 = 16 << 20;

/// The file that is here, the world that the other one would leave behind, and what there is to say about both.
pub(super) struct Compared {
    pub(super) file: Loaded,
    pub(super) world: Actual,
    pub(super) notes: Vec<String>,
}

pub(super) fn compare(reference: &str, without_agent: bool, settings: &Settings, ui: &Ui) -> Result<Compared, Failure> {
    let mut found = load::find(settings)?;
    let is_stdin = found.path.as_os_str() == "-";
    found.directory = std::fs::canonicalize(&found.directory).unwrap_or(found.directory);
    let named = found.path.file_name().filter(|_| !is_stdin).unwrap_or(NAMES[0].as_ref()).to_owned();
    if !is_stdin {
        found.path = found.directory.join(&named);
    }
    let wrong = |error: revision::Error| diagnostic(reference, &error);
    let repository = Repository::find(&found.directory).map_err(wrong)?.ok_or_else(|| no_repository(&found))?;
    let folder = Folder::open(repository.root())
        .map_err(|error| Diagnostic::new(Kind::Failed, format!("cannot read `{}`", repository.root().display())).cause(error))?;
    let given: Vec<PathBuf> = settings.env_files.iter().map(|file| settings.environment.directory.join(file)).collect();
    let readable = repository.folders().into_iter().chain([repository.root()]).chain(given.iter().map(PathBuf::as_path));
    confine(&readable.collect::<Vec<_>>());
    let commit = repository.commit(reference).map_err(wrong)?;
    let mut notes = vec![];
    let before = found.directory.join(&named);
    let before = old_file(&repository, &folder, &commit, &before, reference, &mut notes).map_err(wrong)?;
    let both = Both { settings, repository: &repository, folder: &folder, commit: &commit, reference };
    let (old, new) = both.read(&found, before.as_deref(), ui)?;
    let (mut old, mut file) = (old, new);
    notes.append(&mut old.notes);
    notes.append(&mut file.notes);
    let mut desired = old.loaded.map_or_else(|| Desired::empty(file.loaded.desired.project.clone()), |loaded| loaded.desired);
    if desired.project != file.loaded.desired.project {
        notes.push(format!(
            "the project is called {} in {reference}, and what there is of it stays: `fly --project {} down` takes it away",
            desired.project, desired.project
        ));
        desired = Desired::empty(file.loaded.desired.project.clone());
    }
    if without_agent {
        (desired.agent, file.loaded.desired.agent) = (None, None);
    }
    let host = ideal::host(&desired, &file.loaded.desired);
    let world = ideal::world(&desired, host).map_err(|wrong| Failure::new(wrong, &old.sources))?;
    Ok(Compared { file: file.loaded, world, notes })
}

/// Where the file was: at its place, or the one file of its name that has gone from another.
fn old_file(
    repository: &Repository,
    folder: &Folder,
    commit: &revision::Id,
    path: &Path,
    reference: &str,
    notes: &mut Vec<String>,
) -> Result<Option<PathBuf>, revision::Error> {
    let inside = |path: &Path| path.strip_prefix(repository.root()).unwrap_or(path).display().to_string();
    let is_there = |path: &str| Ok(repository.file(commit, path, LARGEST)?.is_some());
    if is_there(&inside(path))? {
        return Ok(Some(path.to_owned()));
    }
    let mut names: Vec<&str> = NAMES.to_vec();
    names.extend(path.file_name().and_then(|name| name.to_str()));
    let siblings = NAMES.iter().map(|name| inside(&path.with_file_name(name)));
    let mut moved: Vec<String> = siblings.filter(|path| is_there(path).unwrap_or(false)).collect();
    if moved.is_empty() {
        moved = repository.files_named(commit, &names, FOLDERS)?;
        moved.retain(|path| !folder.has(Path::new(path)));
    }
    if let [one] = moved.as_slice() {
        notes.push(format!("the file was called {one} in {reference}"));
        return Ok(Some(repository.root().join(one)));
    }
    notes.push(format!("there is no {} in {reference}: all of it is new", inside(path)));
    Ok(None)
}

struct Both<'a> {
    settings: &'a Settings,
    repository: &'a Repository,
    folder: &'a Folder,
    commit: &'a revision::Id,
    reference: &'a str,
}

struct Old {
    /// Nothing: there was no file.
    loaded: Option<Loaded>,
    sources: super::failure::Sources,
    notes: Vec<String>,
}

struct New {
    loaded: Loaded,
    notes: Vec<String>,
}

impl Both<'_> {
    fn read(&self, found: &Found, before: Option<&Path>, ui: &Ui) -> Result<(Old, New), Failure> {
        let here = Files::Beneath(self.folder);
        let there = || Files::In { repository: self.repository, commit: self.commit };
        let new_text = here.text(&found.path, &found.shown, self.folder.path())?;
        let then = before.map(|path| {
            let inside = path.strip_prefix(self.repository.root()).unwrap_or(path).display();
            Found {
                path: path.to_owned(),
                directory: path.parent().unwrap_or(path).to_owned(),
                shown: format!("{}:{inside}", self.reference),
            }
        });
        let old_text = then.as_ref().map(|then| there().text(&then.path, &then.shown, self.folder.path())).transpose()?;
        let mut guesses = Guesses::of(old_text.iter().chain([&new_text]).map(String::as_str));
        loop {
            let load = |found: &Found, files: Files<'_>, text: &str, warn: &dyn Fn(Diagnostic)| {
                let from = Surroundings { files, guesses: Some(&guesses), version: None, lenient: false };
                load::resolve(self.settings, &from, found, text.to_owned(), warn)
            };
            let new = load(found, Files::Beneath(self.folder), &new_text, &|_| ());
            let old = then.as_ref().zip(old_text.as_ref()).map(|(then, text)| load(then, there(), text, &|_| ())).transpose();
            // Another guess counts on both sides.
            let mut concerned = BTreeSet::new();
            if let (Err(failure), Some(then), Some(text)) = (&old, &then, &old_text) {
                concerned.extend(Guesses::concerned(text, failure.places(&then.shown)));
            }
            if let Err(failure) = &new {
                concerned.extend(Guesses::concerned(&new_text, failure.places(&found.shown)));
            }
            if guesses.guess_anew(&concerned) {
                continue;
            }
            // What is wrong with the file that is here is what its writer can do something about.
            let new = new?;
            let mut old = Old { loaded: old?, sources: super::failure::Sources::new(), notes: vec![] };
            if let Some(loaded) = &mut old.loaded {
                old.sources = std::mem::take(&mut loaded.sources);
            }
            let notes = Self::notes(&new, old.loaded.as_ref(), &guesses);
            if let Some(warning) = load::warning(&new) {
                ui.warn(&warning);
            }
            return Ok((old, New { loaded: new, notes }));
        }
    }

    fn notes(new: &Loaded, old: Option<&Loaded>, guesses: &Guesses) -> Vec<String> {
        let values = guesses.values();
        let used = |loaded: &Loaded| loaded.values.clone();
        let used: BTreeSet<String> = used(new).into_iter().chain(old.map(used).into_iter().flatten()).collect();
        let names: Vec<String> = values
            .iter()
            .filter(|(_, value)| used.contains(*value))
            .map(|(name, value)| {
                let itself = format!("${{{name}}}");
                if *value == itself { itself } else { format!("{itself} (taken as {value})") }
            })
            .collect();
        let mut notes = vec![];
        if !names.is_empty() {
            notes.push(format!("nothing in the repository sets {}: alike on both sides; `--env-file FILE` gives values", names.join(", ")));
        }
        let unseen: BTreeSet<&String> = new.unseen.iter().chain(old.iter().flat_map(|old| &old.unseen)).collect();
        if !unseen.is_empty() {
            let unseen: Vec<&str> = unseen.into_iter().map(String::as_str).collect();
            notes.push(format!("outside of the repository, and not looked at: {}", unseen.join(", ")));
        }
        notes
    }
}

fn no_repository(found: &Found) -> Diagnostic {
    Diagnostic::new(Kind::Usage, format!("`{}` is in no git repository, so there is no other revision of it", found.shown))
        .hint("`fly plan --world FILE` plans against a recorded world")
}

fn diagnostic(reference: &str, error: &revision::Error) -> Diagnostic {
    use revision::Error;
    let kind = match error {
        Error::NoRevision(_) | Error::Form(..) | Error::Ambiguous(_) | Error::NoCommit(..) | Error::NoParent(..) | Error::Shallow(_) => {
            Kind::Usage
        }
        _ => Kind::Failed,
    };
    let branch = reference.split(['~', '^']).next().unwrap_or_default();
    let branch = branch.strip_prefix("origin/").unwrap_or(branch);
    let fetch = |depth: usize| format!("`git fetch --depth {depth} origin {branch}` gets it, and `--base FETCH_HEAD` names it then");
    let hints = match error {
        Error::NoRevision(_) => vec![fetch(1), "`git branch --all` lists the branches that are here".to_owned()],
        Error::Shallow(_) => vec!["`git fetch --deepen 50` gets more of the history".to_owned()],
        Error::Partial(_) | Error::Missing(_) => vec!["`git fetch --refetch origin` gets all of it".to_owned()],
        Error::Borrowed(_) => {
            vec!["`git repack -a -d` copies what this repository needs; then `.git/objects/info/alternates` can go".to_owned()]
        }
        Error::Reftable => vec!["name the commit itself: `git rev-parse REF`, or `git refs migrate --ref-format=files`".to_owned()],
        Error::Ambiguous(_) => vec!["more of its digits".to_owned()],
        Error::LinkedFolder(_) | Error::Stranger(..) => vec!["`git worktree repair` writes it down anew, if it is a worktree".to_owned()],
        _ => vec![],
    };
    let cause = std::error::Error::source(error).map(ToString::to_string);
    let diagnostic = Diagnostic::new(kind, error.to_string());
    let diagnostic = match cause {
        Some(cause) => diagnostic.cause(cause),
        None => diagnostic,
    };
    hints.into_iter().fold(diagnostic, Diagnostic::hint)
}
