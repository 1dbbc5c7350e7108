//! A tar stream, entry by entry.
//!
//! The `tar` crate writes and understands headers; the reading is ours for two of its habits: it takes the records of a PAX header for
//! lines, though a name may have a line feed in it, and an entry that is cut off for one that ends.

use std::io::{self, Read};

use tar::{EntryType, Header};

const BLOCK: usize = 512;
/// Of a header that belongs to an entry: names, nothing that would need more.
const LONGEST: u64 = 1 << 20;

pub(super) struct Reader<R> {
    inner: R,
    /// Of the current entry's content.
    left: u64,
    /// What fills its last block.
    padding: u64,
}

/// One entry; its content is what the reader gives until the next.
pub(super) struct Item {
    pub(super) header: Header,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) size: u64,
}

#[derive(Default)]
struct Extra {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, left: 0, padding: 0 }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Item>> {
        let mut extra = Extra::default();
        loop {
            let rest = self.left + self.padding;
            self.skip(rest)?;
            let mut block = [0; BLOCK];
            self.inner.read_exact(&mut block).map_err(cut_off)?;
            if block == [0; BLOCK] {
                return Ok(None);
            }
            let mut header = Header::new_old();
            header.as_mut_bytes().copy_from_slice(&block);
            check(&header)?;
            let kind = header.entry_type();
            let has_content = !matches!(
                kind,
                EntryType::Link | EntryType::Symlink | EntryType::Char | EntryType::Block | EntryType::Directory | EntryType::Fifo
            );
            let own = matches!(kind, EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName | EntryType::GNULongLink);
            let size = if own { header.entry_size()? } else { extra.size.map_or_else(|| header.entry_size(), Ok)? };
            self.left = if has_content { size } else { 0 };
            self.padding = self.left.next_multiple_of(BLOCK as u64) - self.left;
            match kind {
                EntryType::XGlobalHeader => {}
                EntryType::XHeader => extra.records(&self.all()?)?,
                EntryType::GNULongName => extra.name = Some(until_nul(self.all()?)),
                EntryType::GNULongLink => extra.link = Some(until_nul(self.all()?)),
                EntryType::GNUSparse => return Err(io::Error::other("the archive has files with holes, which are not understood")),
                _ => return Ok(Some(extra.of(header, self.left))),
            }
        }
    }

    fn all(&mut self) -> io::Result<Vec<u8>> {
        if self.left > LONGEST {
            return Err(io::Error::other("the archive has a name that is too long"));
        }
        let mut all = vec![];
        self.read_to_end(&mut all)?;
        Ok(all)
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.inner).take(length), &mut io::sink())?;
        (self.left, self.padding) = (0, 0);
        if skipped == length { Ok(()) } else { Err(cut_off(io::ErrorKind::UnexpectedEof.into())) }
    }

    /// Whatever follows the end: it has to be read, or whoever sends it waits.
    pub(super) fn drain(mut self) -> io::Result<()> {
        io::copy(&mut self.inner, &mut io::sink()).map(drop)
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        match self.inner.read(&mut buf[..most])? {
            0 => Err(cut_off(io::ErrorKind::UnexpectedEof.into())),
            length => {
                self.left -= length as u64;
                Ok(length)
            }
        }
    }
}

impl Extra {
    /// `LENGTH KEY=VALUE\n`, one after the other; the length counts all of it.
    fn records(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let wrong = || io::Error::other("the archive has a header that cannot be read");
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
            let length: usize = std::str::from_utf8(&bytes[..space]).ok().and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
            let record = bytes.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or_else(wrong)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            let number = || std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or_else(wrong);
            match key {
                b"path" => self.name = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(number()?),
                b"uid" => self.uid = Some(number()?),
                b"gid" => self.gid = Some(number()?),
                _ => {}
            }
            bytes = &bytes[length..];
        }
        Ok(())
    }

    fn of(self, mut header: Header, size: u64) -> Item {
        if let Some(uid) = self.uid {
            header.set_uid(uid);
        }
        if let Some(gid) = self.gid {
            header.set_gid(gid);
        }
        let name = self.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = self.link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned)).unwrap_or_default();
        Item { header, name, link, size }
    }
}

/// The sum over all bytes of the header, its own field taken for spaces.
fn check(header: &Header) -> io::Result<()> {
    let bytes = header.as_bytes();
    let sum: u32 = bytes[..148].iter().chain(&bytes[156..]).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
    if header.cksum().is_ok_and(|said| said == sum) { Ok(()) } else { Err(io::Error::other("this is no tar archive, or a broken one")) }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

fn cut_off(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof { io::Error::other("the archive ends in the middle") } else { error }
}
