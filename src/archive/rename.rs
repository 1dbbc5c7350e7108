//! A tar stream with another name for what is in it.

use std::io::{self, Read, Write};

use tar::{Builder, EntryType};

use super::read::Reader;
use super::unpack::Place;
use super::{Note, Tell};

/// Passes on what `archive` says, with names as they are to be in `place`. Names that lead out of it are refused.
pub fn rename(archive: impl Read, place: &Place, out: impl Write, tell: Tell<'_>) -> io::Result<()> {
    let mut archive = Reader::new(archive);
    let mut builder = Builder::new(out);
    while let Some(item) = archive.next()? {
        let kind = item.header.entry_type();
        let parts = place.parts(&item.name)?;
        if parts.is_empty() {
            continue;
        }
        let mut name = parts.join(&b'/');
        if kind == EntryType::Directory {
            name.push(b'/');
        }
        let link = if kind == EntryType::Link { place.parts(&item.link)?.join(&b'/') } else { item.link };
        let mut extra = vec![("path", name.as_slice())];
        if !link.is_empty() {
            extra.push(("linkpath", link.as_slice()));
        }
        builder.append_pax_extensions(extra)?;
        // What the names in the header say no longer counts.
        let mut header = item.header;
        header.set_size(item.size);
        header.set_cksum();
        builder.append(&header, &mut archive)?;
        tell(Note::Bytes(item.size));
        if kind != EntryType::Directory {
            tell(Note::File);
        }
    }
    archive.drain()?;
    builder.into_inner()?.flush()
}
