//! Which build of fly this is: the linker's own name for it, so that the same binary is the same guest on every host.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};

/// Long enough for all builds that one engine will ever see.
const DIGITS: usize = 12;
/// `PT_NOTE`, and the note that holds the linker's name of a build.
const NOTE: u32 = 4;
const BUILD_ID: u32 = 3;

/// The version of the guest that this program is.
pub fn guest_version() -> io::Result<String> {
    let mut file = File::open("/proc/self/exe")?;
    let id = if let Some(id) = build_id(&mut file)? {
        id
    } else {
        // A linker that was told not to write one: slow, and as good.
        let mut whole = vec![];
        file.rewind()?;
        file.read_to_end(&mut whole)?;
        Sha256::digest(&whole).to_vec()
    };
    Ok(id
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .take(DIGITS)
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect())
}

fn part(file: &mut File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length.min(1 << 20)];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let mut value = [0; 8];
    value[..length].copy_from_slice(bytes.get(at..at + length)?);
    Some(u64::from_le_bytes(value))
}

/// Out of the notes of a 64-bit little-endian ELF file, which is what fly is built as.
fn build_id(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    let head = part(file, 0, 64)?;
    let (Some(table), Some(size), Some(count)) = (number(&head, 32, 8), number(&head, 54, 2), number(&head, 56, 2)) else {
        return Ok(None);
    };
    if !head.starts_with(b"\x7fELF\x02\x01") || size < 56 {
        return Ok(None);
    }
    for entry in 0..count {
        let segment = part(file, table + entry * size, 56)?;
        if number(&segment, 0, 4) != Some(u64::from(NOTE)) {
            continue;
        }
        let (Some(offset), Some(length)) = (number(&segment, 8, 8), number(&segment, 32, 8)) else { continue };
        let notes = part(file, offset, usize::try_from(length).unwrap_or(0))?;
        if let Some(id) = note(&notes) {
            return Ok(Some(id.to_vec()));
        }
    }
    Ok(None)
}

fn note(mut notes: &[u8]) -> Option<&[u8]> {
    loop {
        let field = |at| number(notes, at, 4).and_then(|value| usize::try_from(value).ok());
        let (name, body, kind) = (field(0)?, field(4)?, field(8)?);
        let start = 12 + name.next_multiple_of(4);
        if u32::try_from(kind) == Ok(BUILD_ID) && notes.get(12..16)? == b"GNU\0" {
            return notes.get(start..start + body).filter(|id| id.len() >= DIGITS / 2);
        }
        notes = notes.get(start + body.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_build_has_a_name_of_its_own() {
        let version = super::guest_version().unwrap();
        assert!(version.len() == super::DIGITS && version.bytes().all(|byte| byte.is_ascii_hexdigit()), "{version}");
        assert_eq!(version, super::guest_version().unwrap());
    }
}
