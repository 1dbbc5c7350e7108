//! Files of a revision, by their paths from the repository's root.

use super::object::Kind;
use super::{Done, Error, Id, Repository};
use crate::types::Bytes;

/// Links that name links.
const LINKS: usize = 16;
/// Folders inside folders.
const DEPTH: usize = 64;

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    File,
    Folder,
    Link,
    /// A submodule: of another repository only the commit is known.
    Commit,
}

impl Repository {
    /// A file's content; nothing where there is none of that path. Links are followed as far as they stay in the repository.
    pub fn file(&self, commit: &Id, path: &str, most: u64) -> Done<Option<Vec<u8>>> {
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut folders = vec![self.tree_of(commit)?];
        let mut links = 0;
        while let Some(name) = rest.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    folders.pop();
                    if folders.is_empty() {
                        return Err(Error::Link(path.to_owned()));
                    }
                    continue;
                }
                _ => {}
            }
            let Some(folder) = folders.last() else { return Ok(None) };
            match self.entry(folder, &name)? {
                Some((Mode::Folder, id)) => folders.push(id),
                Some((Mode::File, id)) if rest.iter().all(|part| part == "." || part.is_empty()) => {
                    return self.blob(&id, path, most).map(Some);
                }
                Some((Mode::Link, id)) => {
                    links += 1;
                    let target = String::from_utf8(self.blob(&id, path, 4096)?).map_err(|_| Error::Link(path.to_owned()))?;
                    if links > LINKS || target.starts_with('/') {
                        return Err(Error::Link(path.to_owned()));
                    }
                    rest.extend(target.split('/').rev().map(str::to_owned));
                }
                Some((Mode::File | Mode::Commit, _)) | None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The paths of all files of these names; of the first so many.
    pub fn files_named(&self, commit: &Id, names: &[&str], most: usize) -> Done<Vec<String>> {
        let (mut found, mut open, mut seen) = (vec![], vec![(String::new(), self.tree_of(commit)?, 0)], 0);
        while let Some((path, folder, depth)) = open.pop() {
            seen += 1;
            if seen > most || depth > DEPTH {
                break;
            }
            for (mode, name, id) in self.entries(&folder)? {
                match mode {
                    Mode::Folder => open.push((format!("{path}{name}/"), id, depth + 1)),
                    Mode::File if names.contains(&name.as_str()) => found.push(format!("{path}{name}")),
                    _ => {}
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn entry(&self, folder: &Id, wanted: &str) -> Done<Option<(Mode, Id)>> {
        Ok(self.entries(folder)?.into_iter().find(|(_, name, _)| name == wanted).map(|(mode, _, id)| (mode, id)))
    }

    /// Those whose names are text.
    fn entries(&self, folder: &Id) -> Done<Vec<(Mode, String, Id)>> {
        let object = self.object(folder)?;
        let wrong = || Error::Broken(format!("the object {folder}"), "it is no folder");
        if object.kind != Kind::Tree {
            return Err(wrong());
        }
        let (mut rest, mut all) = (object.data.as_slice(), vec![]);
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == 0).ok_or_else(wrong)?;
            let (head, behind) = rest.split_at(end);
            let (id, behind) = behind[1..].split_at_checked(folder.0.len()).ok_or_else(wrong)?;
            rest = behind;
            let Ok(head) = std::str::from_utf8(head) else { continue };
            let (mode, name) = head.split_once(' ').ok_or_else(wrong)?;
            let mode = match mode {
                "40000" | "040000" => Mode::Folder,
                "120000" => Mode::Link,
                "160000" => Mode::Commit,
                _ => Mode::File,
            };
            all.push((mode, name.to_owned(), Id(id.to_vec())));
        }
        Ok(all)
    }

    fn blob(&self, id: &Id, path: &str, most: u64) -> Done<Vec<u8>> {
        let object = self.object(id)?;
        if object.kind != Kind::Blob {
            return Err(Error::Broken(format!("the object {id}"), "it is no file"));
        }
        if object.data.len() as u64 > most {
            return Err(Error::TooLarge(path.to_owned(), Bytes(most).human()));
        }
        Ok(object.data)
    }
}
