//! Where a project's files are read from: wherever they are, beneath the project's folder alone, or as they were in a revision.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::beneath::Folder;
use crate::diag::{Diagnostic, Kind, Place};
use crate::revision::{self, Repository};
use crate::types::{clean_path, stable_hash};

/// What `--file` calls the standard input.
pub(super) const STDIN: &str = "-";

/// More than any file that a person wrote; what is read into memory has to end somewhere.
const LARGEST: u64 = 16 << 20;

/// What a home directory is called where it is nobody's.
pub(in crate::cli) const NO_HOME: &str = "/~";

pub(in crate::cli) enum Files<'a> {
    /// As whoever runs fly may read them.
    Anywhere,
    /// Nothing outside of the project's folder, whoever names it.
    Beneath(&'a Folder),
    /// As they were, in a repository with this root.
    In { repository: &'a Repository, commit: &'a revision::Id },
}

pub(in crate::cli) enum Read {
    Text(String),
    /// It may be there, but nobody looks.
    Outside,
    Not(Diagnostic),
}

impl Files<'_> {
    pub(super) fn is_offline(&self) -> bool {
        !matches!(self, Self::Anywhere)
    }

    /// A file by its whole path, or the standard input.
    pub(in crate::cli) fn read(&self, path: &Path, shown: &str) -> Read {
        let bytes = if path.as_os_str() == STDIN {
            let mut bytes = vec![];
            std::io::stdin().take(LARGEST + 1).read_to_end(&mut bytes).map(|_| bytes).map_err(|error| io(&error, shown))
        } else {
            match self.bytes(path, shown) {
                Some(bytes) => bytes,
                None => return Read::Outside,
            }
        };
        let text = bytes.and_then(|bytes| {
            if bytes.len() as u64 > LARGEST {
                return Err(too_large(shown));
            }
            String::from_utf8(bytes).map_err(|error| not_utf8(shown, &error))
        });
        text.map_or_else(Read::Not, Read::Text)
    }

    /// A file that cannot be done without; `root`: beneath which it has to be.
    pub(in crate::cli) fn text(&self, path: &Path, shown: &str, root: &Path) -> Result<String, Diagnostic> {
        match self.read(path, shown) {
            Read::Text(text) => Ok(text),
            Read::Outside => {
                Err(Diagnostic::new(Kind::Usage, format!("`{shown}` is outside of `{}`, and nothing there is read", root.display())))
            }
            Read::Not(error) => Err(error),
        }
    }

    pub(super) fn is_file(&self, path: &Path) -> bool {
        match self {
            Self::Anywhere => path.is_file(),
            Self::Beneath(_) | Self::In { .. } => matches!(self.bytes(path, ""), Some(Ok(_))),
        }
    }

    /// Nothing where the path is outside.
    fn bytes(&self, path: &Path, shown: &str) -> Option<Result<Vec<u8>, Diagnostic>> {
        let inside = |root: &Path| {
            let path = clean_path(&path.display().to_string());
            Path::new(&path).strip_prefix(root).ok().map(Path::to_owned)
        };
        Some(match self {
            Self::Anywhere => {
                let mut bytes = vec![];
                std::fs::File::open(path)
                    .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
                    .map(|_| bytes)
                    .map_err(|error| io(&error, shown))
            }
            Self::Beneath(folder) => folder
                .read(&inside(folder.path())?, LARGEST)
                .map_err(|error| if error.kind() == std::io::ErrorKind::FileTooLarge { too_large(shown) } else { io(&error, shown) }),
            Self::In { repository, commit } => {
                let path = inside(repository.root())?.display().to_string();
                match repository.file(commit, &path, LARGEST) {
                    Ok(Some(bytes)) => Ok(bytes),
                    Ok(None) => Err(io(&std::io::ErrorKind::NotFound.into(), shown)),
                    Err(error) => Err(Diagnostic::new(Kind::Failed, format!("cannot read `{shown}`")).cause(error)),
                }
            }
        })
    }
}

fn io(error: &std::io::Error, shown: &str) -> Diagnostic {
    let kind = if error.kind() == std::io::ErrorKind::NotFound { Kind::Usage } else { Kind::Failed };
    let hint = match kind {
        Kind::Usage => "the name of a file that is there",
        _ => "it is to be a file that this user may read",
    };
    Diagnostic::new(kind, format!("cannot read `{shown}`")).cause(error).hint(hint)
}

fn too_large(shown: &str) -> Diagnostic {
    let error = Diagnostic::invalid(format!("`{shown}` is larger than 16 MiB"));
    error.hint("a file for each part of the project, each with a `name` of its own")
}

fn not_utf8(shown: &str, error: &std::string::FromUtf8Error) -> Diagnostic {
    let offset = error.utf8_error().valid_up_to();
    let before = String::from_utf8_lossy(&error.as_bytes()[..offset]);
    let (line, column) = (before.matches('\n').count() + 1, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1);
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let place = Place { file: Arc::from(shown), line: number(line), column: number(column), offset, len: 1 };
    let byte = error.as_bytes().get(offset).copied().unwrap_or_default();
    let (what, from) = match error.as_bytes() {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => ("it is UTF-16".to_owned(), "UTF-16"),
        _ => (format!("the byte 0x{byte:02x} is none"), "LATIN1"),
    };
    let error = Diagnostic::invalid(format!("`{shown}` is not UTF-8 text: {what}")).at(&place);
    let turn = format!("iconv -f {from} -t UTF-8 {shown}");
    error.hint(if from == "LATIN1" { format!("`{turn}`, if it was written in that") } else { format!("`{turn}` turns it") })
}

/// A line that stands for the keys in a file which nobody looks at: the same for the same file.
pub(in crate::cli) fn unseen_key(of: &str) -> String {
    const TYPE: &[u8] = b"ssh-ed25519";
    let field = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes()[..], bytes].concat();
    let body = [field(TYPE), field(&stable_hash(&["unseen key", of]))].concat();
    format!("ssh-ed25519 {} {}", STANDARD.encode(body), of.split_whitespace().collect::<Vec<_>>().join("_"))
}
