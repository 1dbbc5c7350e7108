//! Where a folder's repository is.

use std::cell::RefCell;
use std::path::Path;

use super::{Done, Error, Repository};
use crate::beneath::Folder;

/// `.git`, `commondir` and the like have a line.
const LINE: u64 = 64 << 10;

impl Repository {
    /// That of the nearest folder above, or of this one; nothing if there is none.
    pub fn find(folder: &Path) -> Done<Option<Self>> {
        let io = |path: &Path| {
            let path = path.display().to_string();
            move |error| Error::Io(path, error)
        };
        let folder = std::fs::canonicalize(folder).map_err(io(folder))?;
        for root in folder.ancestors() {
            let git = root.join(".git");
            let Ok(kind) = std::fs::symlink_metadata(&git).map(|data| data.file_type()) else { continue };
            let own = if kind.is_dir() {
                Folder::open(&git).map_err(io(&git))?
            } else if kind.is_file() {
                linked(root, &git)?
            } else {
                return Err(Error::LinkedFolder(git.display().to_string()));
            };
            let common = match own.read(Path::new("commondir"), LINE) {
                Ok(text) => own.path().join(String::from_utf8_lossy(&text).trim()),
                Err(_) => own.path().to_owned(),
            };
            let common = Folder::open(&common).map_err(io(&common))?;
            return Ok(Some(Self { root: root.to_owned(), own, common, packs: RefCell::new(None) }));
        }
        Ok(None)
    }
}

/// A further checkout, or a submodule: a file that names the folder. Anybody can write such a file into what he hands out, so the
/// folder has to know of it: git itself writes that down on both sides.
fn linked(root: &Path, file: &Path) -> Done<Folder> {
    let shown = file.display().to_string();
    let text = Folder::open(root).and_then(|root| root.read(Path::new(".git"), LINE)).map_err(|error| Error::Io(shown.clone(), error))?;
    let text = String::from_utf8_lossy(&text);
    let named = text.trim().strip_prefix("gitdir:").map(str::trim).ok_or_else(|| Error::Broken(shown.clone(), "it names no folder"))?;
    let folder = Folder::open(&root.join(named)).map_err(|error| Error::Io(named.to_owned(), error))?;
    let line = |name: &str| folder.read(Path::new(name), LINE).ok().map(|text| String::from_utf8_lossy(&text).into_owned());
    let is = |path: &Path, wanted: &Path| std::fs::canonicalize(path).is_ok_and(|path| path == wanted);
    let of_checkout = || line("gitdir").is_some_and(|back| is(&folder.path().join(back.trim()), file));
    let of_submodule = || {
        let config = line("config").unwrap_or_default();
        let values = config.lines().filter_map(|line| line.trim().strip_prefix("worktree")?.trim_start().strip_prefix('='));
        values.map(str::trim).any(|back| is(&folder.path().join(back.trim_matches('"')), root))
    };
    if of_checkout() || of_submodule() { Ok(folder) } else { Err(Error::Stranger(shown, named.to_owned())) }
}
