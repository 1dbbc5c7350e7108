//! Packs: many objects in one file, most of them as differences from others.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use flate2::read::ZlibDecoder;

use super::object::{Kind, LARGEST, Object, inflated};
use super::{Done, Error, Id, broken};
use crate::beneath::Folder;
use crate::types::Bytes;

/// git itself makes no longer rows.
const DEPTH: usize = 4096;
const HEADER: u64 = 8;
const FANOUT: u64 = 256 * 4;

#[derive(Debug)]
pub(super) struct Pack {
    name: String,
    index: File,
    file: File,
    /// How many objects are in it.
    count: u64,
    /// Of the objects' names.
    hash: u64,
    /// What is missing can be had from elsewhere.
    pub(super) is_promised: bool,
}

enum Entry {
    Whole(Kind, Vec<u8>),
    /// A difference from the object that begins there.
    From(u64, Vec<u8>),
    FromId(Id, Vec<u8>),
}

impl Pack {
    pub(super) fn open(common: &Folder, folder: &Path, stem: &str, is_promised: bool) -> Done<Self> {
        let open = |ending: &str| {
            let name = format!("{stem}.{ending}");
            common.file(&folder.join(&name)).map_err(|error| Error::Io(format!("`{name}`"), error))
        };
        let (index, file) = (open("idx")?, open("pack")?);
        // A pack is named by a hash of its own, which is as long as all the others.
        let hash = if stem.len() > "pack-".len() + 40 { 32 } else { 20 };
        let mut pack = Self { name: format!("`{stem}.idx`"), index, file, count: 0, hash, is_promised };
        if pack.part::<8>(0)? != [0xff, b't', b'O', b'c', 0, 0, 0, 2] {
            return Err(broken(pack.name)("it is of no form that is known"));
        }
        pack.count = u64::from(u32::from_be_bytes(pack.part(HEADER + FANOUT - 4)?));
        let length = pack.index.metadata().map_err(|error| Error::Io(pack.name.clone(), error))?.len();
        // Two hashes stand behind all of them, and the long offsets of large packs between.
        let least = HEADER + FANOUT + pack.count * (hash + 8) + 2 * hash;
        if length < least || !(length - least).is_multiple_of(8) {
            return Err(broken(pack.name)("it is not as long as it says"));
        }
        Ok(pack)
    }

    fn part<const N: usize>(&self, at: u64) -> Done<[u8; N]> {
        let mut bytes = [0; N];
        self.index.read_exact_at(&mut bytes, at).map_err(|error| Error::Io(self.name.clone(), error))?;
        Ok(bytes)
    }

    fn id(&self, number: u64) -> Done<Id> {
        let mut bytes = vec![0; usize::try_from(self.hash).unwrap_or(20)];
        let at = HEADER + FANOUT + number * self.hash;
        self.index.read_exact_at(&mut bytes, at).map_err(|error| Error::Io(self.name.clone(), error))?;
        Ok(Id(bytes))
    }

    /// The number of the first object whose name is not before this one, of those with its first byte.
    fn lower_bound(&self, wanted: &[u8]) -> Done<u64> {
        let first = wanted.first().copied().unwrap_or_default();
        let fanout = |byte: u8| Ok(u64::from(u32::from_be_bytes(self.part(HEADER + u64::from(byte) * 4)?)));
        let (mut low, mut high) = (if first == 0 { 0 } else { fanout(first - 1)? }, fanout(first)?);
        if low > high || high > self.count {
            return Err(broken(self.name.clone())("its table is not in order"));
        }
        while low < high {
            let middle = u64::midpoint(low, high);
            if self.id(middle)?.0.as_slice() < wanted { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    /// Where an object begins; nothing if it is not in here.
    pub(super) fn offset(&self, id: &Id) -> Done<Option<u64>> {
        if id.0.len() as u64 != self.hash {
            return Ok(None);
        }
        let number = self.lower_bound(&id.0)?;
        if number >= self.count || self.id(number)? != *id {
            return Ok(None);
        }
        let table = HEADER + FANOUT + self.count * (self.hash + 4);
        let offset = u32::from_be_bytes(self.part(table + number * 4)?);
        if offset >> 31 == 0 {
            return Ok(Some(u64::from(offset)));
        }
        let long = u64::from(offset & 0x7fff_ffff);
        Ok(Some(u64::from_be_bytes(self.part(table + self.count * 4 + long * 8)?)))
    }

    pub(super) fn beginning_with(&self, digits: &str) -> Done<Vec<Id>> {
        let mut even = digits.to_owned();
        if !even.len().is_multiple_of(2) {
            even.push('0');
        }
        let first: Vec<u8> = (0..even.len()).step_by(2).filter_map(|at| u8::from_str_radix(&even[at..at + 2], 16).ok()).collect();
        let mut found = vec![];
        for number in self.lower_bound(&first)?..self.count {
            let id = self.id(number)?;
            if !id.to_string().starts_with(digits) || found.len() > 16 {
                break;
            }
            found.push(id);
        }
        Ok(found)
    }

    /// The object that begins there, with all differences that it is made of.
    pub(super) fn object(&self, offset: u64, elsewhere: &dyn Fn(&Id) -> Done<Object>) -> Done<Object> {
        let (mut at, mut differences) = (offset, vec![]);
        let mut object = loop {
            if differences.len() > DEPTH {
                return Err(broken(self.name.clone())("a row of differences does not end"));
            }
            match self.entry(at)? {
                Entry::Whole(kind, data) => break Object { kind, data },
                Entry::From(base, difference) => {
                    differences.push(difference);
                    at = base;
                }
                Entry::FromId(id, difference) => {
                    differences.push(difference);
                    match self.offset(&id)? {
                        // Before it, or the row could be a ring.
                        Some(base) if base < at => at = base,
                        Some(_) => return Err(broken(self.name.clone())("a row of differences does not end")),
                        None => break elsewhere(&id)?,
                    }
                }
            }
        };
        for difference in differences.into_iter().rev() {
            object.data = applied(&object.data, &difference).ok_or_else(|| broken(self.name.clone())("a difference does not fit"))?;
        }
        Ok(object)
    }

    fn entry(&self, offset: u64) -> Done<Entry> {
        let wrong = |why| Error::Broken(self.name.clone(), why);
        let mut stream = BufReader::with_capacity(4096, At { file: &self.file, offset });
        let mut byte = || -> Done<u8> {
            let mut byte = [0];
            stream.read_exact(&mut byte).map_err(|_| wrong("its pack is cut off"))?;
            Ok(byte[0])
        };
        let mut next = byte()?;
        let kind = (next >> 4) & 7;
        let (mut size, mut shift) = (u64::from(next & 15), 4);
        while next & 0x80 != 0 {
            next = byte()?;
            if shift > 56 {
                return Err(wrong("an object is too long"));
            }
            size |= u64::from(next & 0x7f) << shift;
            shift += 7;
        }
        if size > LARGEST {
            return Err(Error::TooLarge("an object of the repository".to_owned(), Bytes(LARGEST).human()));
        }
        let kind = match kind {
            1 => Kind::Commit,
            2 => Kind::Tree,
            3 => Kind::Blob,
            4 => Kind::Tag,
            6 => {
                next = byte()?;
                let mut back = u64::from(next & 0x7f);
                while next & 0x80 != 0 {
                    next = byte()?;
                    back =
                        back.checked_add(1).and_then(|back| back.checked_mul(128)).ok_or_else(|| wrong("a difference is from nothing"))?;
                    back |= u64::from(next & 0x7f);
                }
                let base = offset.checked_sub(back).filter(|_| back > 0).ok_or_else(|| wrong("a difference is from nothing"))?;
                return Ok(Entry::From(base, inflated(&mut ZlibDecoder::new(stream), size, "of a pack")?));
            }
            7 => {
                let id = (0..self.hash).map(|_| byte()).collect::<Done<Vec<u8>>>()?;
                return Ok(Entry::FromId(Id(id), inflated(&mut ZlibDecoder::new(stream), size, "of a pack")?));
            }
            _ => return Err(wrong("an object is of no kind that is known")),
        };
        Ok(Entry::Whole(kind, inflated(&mut ZlibDecoder::new(stream), size, "of a pack")?))
    }
}

/// A file from a place on.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// What a difference makes of its base: pieces of that, and bytes of its own.
fn applied(base: &[u8], difference: &[u8]) -> Option<Vec<u8>> {
    let mut rest = difference;
    let mut byte = || {
        let (first, others) = rest.split_first()?;
        rest = others;
        Some(usize::from(*first))
    };
    let mut sizes = [0, 0];
    for size in &mut sizes {
        let mut shift = 0;
        loop {
            let next = byte()?;
            *size |= (next & 0x7f).checked_shl(shift).filter(|_| shift < 56)?;
            shift += 7;
            if next & 0x80 == 0 {
                break;
            }
        }
    }
    let [from, to] = sizes;
    if from != base.len() || to as u64 > LARGEST {
        return None;
    }
    let mut made = Vec::with_capacity(to);
    while let Some(order) = byte() {
        if order & 0x80 != 0 {
            let mut number = |first: u32, bytes: u32| {
                let mut number = 0;
                for at in 0..bytes {
                    if order & (1 << (first + at)) != 0 {
                        number |= byte()? << (8 * at);
                    }
                }
                Some(number)
            };
            let (at, length) = (number(0, 4)?, number(4, 3)?);
            let length = if length == 0 { 0x10000 } else { length };
            made.extend_from_slice(base.get(at..at.checked_add(length)?)?);
        } else if order != 0 {
            for _ in 0..order {
                made.push(u8::try_from(byte()?).ok()?);
            }
        } else {
            return None;
        }
        if made.len() > to {
            return None;
        }
    }
    (made.len() == to).then_some(made)
}
