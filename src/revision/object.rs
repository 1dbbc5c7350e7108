//! Objects by their names: loose ones, and those in packs.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::read::ZlibDecoder;

use super::pack::Pack;
use super::{Done, Error, Id, Repository};
use crate::types::Bytes;

/// More than any file, folder or commit that is of use here.
pub(super) const LARGEST: u64 = 64 << 20;
/// `blob 123\0`.
const HEADER: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "file",
            Self::Tag => "tag",
        }
    }
}

#[derive(Debug)]
pub(super) struct Object {
    pub(super) kind: Kind,
    pub(super) data: Vec<u8>,
}

impl Repository {
    pub(super) fn object(&self, id: &Id) -> Done<Object> {
        if let Some(object) = self.loose(id)? {
            return Ok(object);
        }
        for pack in self.packs()?.iter() {
            if let Some(offset) = pack.offset(id)? {
                return pack.object(offset, &|base| self.object(base));
            }
        }
        let id = id.to_string();
        let has = |path: &str| self.common.has(Path::new(path));
        Err(if has("objects/info/alternates") {
            Error::Borrowed(id)
        } else if self.packs()?.iter().any(|pack| pack.is_promised) {
            Error::Partial(id)
        } else {
            Error::Missing(id)
        })
    }

    fn loose(&self, id: &Id) -> Done<Option<Object>> {
        let name = id.to_string();
        let path = format!("objects/{}/{}", &name[..2], &name[2..]);
        match self.common.file(Path::new(&path)) {
            Ok(file) => read_loose(file, &name).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::Io(format!("the object {name}"), error)),
        }
    }

    fn packs(&self) -> Done<Rc<Vec<Pack>>> {
        if let Some(packs) = &*self.packs.borrow() {
            return Ok(Rc::clone(packs));
        }
        let folder = Path::new("objects/pack");
        let mut names = self.common.list(folder).unwrap_or_default();
        names.sort();
        let mut packs = vec![];
        for name in &names {
            if let Some(stem) = name.strip_suffix(".idx") {
                let is_promised = names.binary_search(&format!("{stem}.promisor")).is_ok();
                packs.push(Pack::open(&self.common, folder, stem, is_promised)?);
            }
        }
        let packs = Rc::new(packs);
        *self.packs.borrow_mut() = Some(Rc::clone(&packs));
        Ok(packs)
    }

    /// The one object whose name begins so; of several, the one that is a commit.
    pub(super) fn abbreviated(&self, digits: &str) -> Done<Option<Id>> {
        let mut found = BTreeSet::new();
        for name in self.common.list(Path::new(&format!("objects/{}", &digits[..2]))).unwrap_or_default() {
            found.extend(Id::parse(&format!("{}{name}", &digits[..2])).filter(|id| id.to_string().starts_with(digits)));
        }
        for pack in self.packs()?.iter() {
            found.extend(pack.beginning_with(digits)?);
        }
        let mut all: Vec<Id> = found.into_iter().collect();
        if all.len() > 1 {
            all.retain(|id| self.object(id).is_ok_and(|object| object.kind == Kind::Commit));
        }
        match all.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
            _ => Err(Error::Ambiguous(digits.to_owned())),
        }
    }
}

fn read_loose(file: impl Read, name: &str) -> Done<Object> {
    let wrong = |why| Error::Broken(format!("the object {name}"), why);
    let mut stream = ZlibDecoder::new(file);
    let mut header = vec![];
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).map_err(|_| wrong("it is cut off"))?;
        match byte[0] {
            0 => break,
            byte if header.len() < HEADER => header.push(byte),
            _ => return Err(wrong("it does not say what it is")),
        }
    }
    let header = String::from_utf8_lossy(&header);
    let (word, size) = header.split_once(' ').ok_or_else(|| wrong("it does not say what it is"))?;
    let kind = match word {
        "commit" => Kind::Commit,
        "tree" => Kind::Tree,
        "blob" => Kind::Blob,
        "tag" => Kind::Tag,
        _ => return Err(wrong("it does not say what it is")),
    };
    let size = size.parse().map_err(|_| wrong("it does not say how long it is"))?;
    let data = inflated(&mut stream, size, name)?;
    Ok(Object { kind, data })
}

/// Exactly so many bytes.
pub(super) fn inflated(stream: &mut impl Read, size: u64, name: &str) -> Done<Vec<u8>> {
    if size > LARGEST {
        return Err(Error::TooLarge(format!("the object {name}"), Bytes(LARGEST).human()));
    }
    let mut data = vec![];
    let read = stream.take(size + 1).read_to_end(&mut data);
    match read {
        Ok(_) if data.len() as u64 == size => Ok(data),
        _ => Err(Error::Broken(format!("the object {name}"), "it is not as long as it says")),
    }
}
