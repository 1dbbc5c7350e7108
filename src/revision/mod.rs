//! A file as it was in a revision: git's own files, read and never run.
//!
//! A repository's settings can name programs for nearly everything that git does, and what is reviewed may come from anybody. So git
//! is not started, and no setting is read: objects, packs and refs are taken from the folder `.git` as they lie there, beneath it and
//! nowhere else. Nothing is fetched, written or locked.

mod find;
mod object;
mod pack;
mod refs;
mod tree;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::beneath::Folder;

/// The name of an object: 20 bytes, or 32 where the repository was made with SHA-256.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(Vec<u8>);

/// A repository, by what of it is read.
#[derive(Debug)]
pub struct Repository {
    /// The folder with the files that people work on.
    root: PathBuf,
    /// What is this checkout's own: `HEAD`.
    own: Folder,
    /// What all checkouts share: objects and refs. Often the same folder.
    common: Folder,
    packs: RefCell<Option<Rc<Vec<pack::Pack>>>>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("`{0}` is a link, and a repository's own folder is none")]
    LinkedFolder(String),
    #[error("`{0}` names `{1}`, which knows nothing of it")]
    Stranger(String, String),
    #[error("there is no revision `{0}`")]
    NoRevision(String),
    #[error("`{0}` is no revision: {1}")]
    Form(String, &'static str),
    #[error("several objects begin with `{0}`")]
    Ambiguous(String),
    #[error("`{0}` is no commit but a {1}")]
    NoCommit(String, &'static str),
    #[error("the commit {0} has no parent {1}")]
    NoParent(String, usize),
    #[error("the history ends before `{0}`: this is a shallow clone")]
    Shallow(String),
    #[error("the object {0} is not here: this is a partial clone")]
    Partial(String),
    #[error("the object {0} is in another repository, which `objects/info/alternates` names")]
    Borrowed(String),
    #[error("the object {0} is not here")]
    Missing(String),
    #[error("the repository keeps its refs in the form `reftable`, which is not read")]
    Reftable,
    #[error("{0} is broken: {1}")]
    Broken(String, &'static str),
    #[error("`{0}` is a link that leads out of the repository, or nowhere")]
    Link(String),
    #[error("`{0}` is larger than {1}")]
    TooLarge(String, String),
    #[error("cannot read {0}")]
    Io(String, #[source] std::io::Error),
}

type Done<T> = Result<T, Error>;

impl Repository {
    /// The folder with the files that people work on, without any link in it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folders of its own that are read: that of the checkout, and the one that all checkouts share.
    pub fn folders(&self) -> [&Path; 2] {
        [self.own.path(), self.common.path()]
    }
}

impl Id {
    fn parse(text: &str) -> Option<Self> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || !(text.len() == 40 || text.len() == 64) {
            return None;
        }
        let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16));
        bytes.collect::<Result<Vec<u8>, _>>().ok().map(Self)
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

fn broken(what: impl Into<String>) -> impl FnOnce(&'static str) -> Error {
    let what = what.into();
    move |why| Error::Broken(what, why)
}
