//! Files into a tar stream, and out of one.
//!
//! The engine speaks of files as tar only. What goes to a machine is ours (`pack`); what comes from one is said by somebody who may
//! mean harm, and is unpacked so that nothing outside of the one folder is touched, whatever the stream says (`unpack`).
//!
//! Everything here blocks, and holds no file in memory.

mod pack;
pub mod path;
mod read;
mod rename;
#[cfg(test)]
mod tests;
mod unpack;

pub use pack::pack;
pub use rename::rename;
pub use unpack::{Place, unpack};

/// What happens on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// So much more of the files' contents has passed.
    Bytes(u64),
    /// One more file, link or FIFO.
    File,
    /// By its nature nothing that can be copied: a socket, a device.
    Skipped { path: String, why: &'static str },
    /// It was to be copied, and could not be, or not whole.
    Failed { path: String, why: String },
}

pub type Tell<'a> = &'a mut dyn FnMut(Note);

const BUFFER: usize = 256 << 10;

/// Names are bytes; for a reader they are text.
pub(crate) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).escape_debug().to_string()
}
