//! A tar stream with another name for what is in it.

use std::io::{self, Read, Write};

use tar::{Archive, Builder, EntryType};

use super::unpack::Place;
use super::{Note, Tell};

/// Passes on what `archive` says, with names as they are to be in `place`. Names that lead out of it are refused.
pub fn rename(archive: impl Read, place: &Place, out: impl Write, tell: Tell<'_>) -> io::Result<()> {
    let mut archive = Archive::new(archive);
    let mut builder = Builder::new(out);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let mut header = entry.header().clone();
        let kind = header.entry_type();
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        let parts = place.parts(&entry.path_bytes())?;
        if parts.is_empty() {
            continue;
        }
        let mut name = parts.join(&b'/');
        if kind == EntryType::Directory {
            name.push(b'/');
        }
        let link = match (kind, entry.link_name_bytes()) {
            (EntryType::Link, Some(link)) => Some(place.parts(&link)?.join(&b'/')),
            (_, link) => link.map(std::borrow::Cow::into_owned),
        };
        let mut extra = vec![("path", name.as_slice())];
        extra.extend(link.as_deref().map(|link| ("linkpath", link)));
        builder.append_pax_extensions(extra)?;
        // What the names in the header say no longer counts.
        let size = entry.size();
        header.set_size(size);
        header.set_cksum();
        builder.append(&header, &mut entry)?;
        tell(Note::Bytes(size));
        tell(Note::Entry);
    }
    builder.into_inner()?.flush()
}
