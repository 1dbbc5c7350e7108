//! From a name to a commit: `main`, `origin/main`, `v1.2`, `1a2b3c4`, `HEAD~2^1`.

use std::io;
use std::path::Path;

use super::object::Kind;
use super::{Done, Error, Id, Repository};

/// Of a ref that names another.
const DEPTH: usize = 5;
const LINE: u64 = 64 << 10;
/// `packed-refs` of a large repository has millions of lines, but not more.
const PACKED: u64 = 256 << 20;
/// git itself takes no shorter ones.
const SHORTEST: usize = 4;
/// More steps back than that are a mistake.
const STEPS: usize = 100_000;

impl Repository {
    /// The commit that is meant.
    pub fn commit(&self, revision: &str) -> Done<Id> {
        let end = revision.find(['~', '^']).unwrap_or(revision.len());
        let (name, mut steps) = revision.split_at(end);
        let form = |why| Error::Form(revision.to_owned(), why);
        if name.contains("@{") {
            return Err(form("what was once is not looked up, nor what a branch follows: name it, as `origin/main`"));
        }
        if name.contains(':') {
            return Err(form("the file is named by `--file`"));
        }
        if name.is_empty()
            || name.starts_with('-')
            || name.contains(|c: char| c.is_control() || " ?*[\\".contains(c))
            || name.contains("..")
        {
            return Err(form("a branch, a tag or a commit, as `main`, `v1.2` or `HEAD~1`"));
        }
        let id = self.named(if name == "@" { "HEAD" } else { name })?.ok_or_else(|| Error::NoRevision(name.to_owned()))?;
        let mut id = self.peeled(id, revision)?;
        while let Some(kind) = steps.chars().next() {
            steps = &steps[1..];
            if let Some(rest) = steps.strip_prefix("{commit}").or_else(|| steps.strip_prefix("{}")).filter(|_| kind == '^') {
                steps = rest;
                continue;
            }
            let digits = steps.len() - steps.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: usize = match &steps[..digits] {
                "" => 1,
                digits => digits.parse().ok().filter(|number| *number <= STEPS).ok_or_else(|| form("that is too far back"))?,
            };
            steps = &steps[digits..];
            match kind {
                '~' => {
                    for _ in 0..number {
                        id = self.parent(&id, 1, revision)?;
                    }
                }
                '^' if number == 0 => {}
                '^' => id = self.parent(&id, number, revision)?,
                _ => return Err(form("`~` and `^` go back, as in `HEAD~1`")),
            }
        }
        Ok(id)
    }

    /// The folder of files of a commit.
    pub(super) fn tree_of(&self, commit: &Id) -> Done<Id> {
        let object = self.object(commit)?;
        let text = String::from_utf8_lossy(&object.data);
        let tree = text.lines().next().and_then(|line| line.strip_prefix("tree ")).and_then(Id::parse);
        tree.ok_or_else(|| Error::Broken(commit.to_string(), "a commit names its tree"))
    }

    fn parent(&self, commit: &Id, number: usize, revision: &str) -> Done<Id> {
        let object = self.object(commit)?;
        let text = String::from_utf8_lossy(&object.data);
        let mut parents = text.lines().skip(1).map_while(|line| line.strip_prefix("parent "));
        let Some(parent) = parents.nth(number - 1).and_then(Id::parse) else {
            return Err(if self.is_shallow(commit) {
                Error::Shallow(revision.to_owned())
            } else {
                Error::NoParent(commit.to_string()[..12].to_owned(), number)
            });
        };
        match self.object(&parent) {
            Err(Error::Missing(_)) if self.is_shallow(commit) => Err(Error::Shallow(revision.to_owned())),
            Err(error) => Err(error),
            Ok(object) if object.kind == Kind::Commit => Ok(parent),
            Ok(_) => Err(Error::Broken(parent.to_string(), "a commit's parent is a commit")),
        }
    }

    /// Where the history was cut off.
    fn is_shallow(&self, commit: &Id) -> bool {
        let list = self.common.read(Path::new("shallow"), PACKED).unwrap_or_default();
        String::from_utf8_lossy(&list).lines().any(|line| Id::parse(line.trim()).as_ref() == Some(commit))
    }

    /// A tag's commit.
    fn peeled(&self, mut id: Id, revision: &str) -> Done<Id> {
        for _ in 0..DEPTH {
            let object = self.object(&id)?;
            match object.kind {
                Kind::Commit => return Ok(id),
                Kind::Tag => {
                    let text = String::from_utf8_lossy(&object.data);
                    let target = text.lines().next().and_then(|line| line.strip_prefix("object ")).and_then(Id::parse);
                    id = target.ok_or_else(|| Error::Broken(id.to_string(), "a tag names its object"))?;
                }
                kind => return Err(Error::NoCommit(revision.to_owned(), kind.word())),
            }
        }
        Err(Error::Broken(id.to_string(), "it is a tag of a tag of a tag"))
    }

    /// In git's order: an object's whole name, refs, the beginning of an object's name.
    fn named(&self, name: &str) -> Done<Option<Id>> {
        if let Some(id) = Id::parse(name) {
            return Ok(Some(id));
        }
        let is_root = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        let own = [name.to_owned()].into_iter().filter(|name| is_root || name.starts_with("refs/"));
        let refs = ["refs/", "refs/tags/", "refs/heads/", "refs/remotes/"].map(|prefix| format!("{prefix}{name}"));
        for candidate in own.chain(refs).chain([format!("refs/remotes/{name}/HEAD")]) {
            if let Some(id) = self.reference(&candidate, 0)? {
                return Ok(Some(id));
            }
        }
        let is_short = name.len() >= SHORTEST && name.len() < 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_short { self.abbreviated(&name.to_ascii_lowercase()) } else { Ok(None) }
    }

    fn reference(&self, name: &str, depth: usize) -> Done<Option<Id>> {
        if depth > DEPTH {
            return Err(Error::Broken(name.to_owned(), "it names itself"));
        }
        let mut text = Err(io::ErrorKind::NotFound.into());
        for folder in [&self.own, &self.common] {
            if text.is_err() {
                text = folder.read(Path::new(name), LINE);
            }
        }
        let Ok(text) = text else { return self.packed(name) };
        let text = String::from_utf8_lossy(&text);
        if let Some(other) = text.strip_prefix("ref:").map(str::trim) {
            if other == "refs/heads/.invalid" {
                return Err(Error::Reftable);
            }
            if !other.starts_with("refs/") {
                return Err(Error::Broken(name.to_owned(), "it names no ref"));
            }
            return self.reference(other, depth + 1);
        }
        // Behind the first word of `FETCH_HEAD` stands where it is from.
        Ok(text.split_whitespace().next().and_then(Id::parse))
    }

    fn packed(&self, name: &str) -> Done<Option<Id>> {
        let path = Path::new("packed-refs");
        let text = match self.common.read(path, PACKED) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::Io("`packed-refs`".to_owned(), error)),
        };
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        Ok(lines.find(|(_, its)| *its == name).and_then(|(id, _)| Id::parse(id)))
    }
}
