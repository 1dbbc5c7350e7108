//! What a client can ask for.

use super::codec::{Attributes, Malformed, Reader};

/// One packet from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The first of all, with the client's version of the protocol.
    Init(u32),
    /// A request that does not hold what it should still has a number to be answered to.
    Request { id: u32, request: Result<Request<'a>, Malformed> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    Open {
        path: &'a [u8],
        flags: u32,
        attributes: Attributes,
    },
    Close {
        handle: &'a [u8],
    },
    Read {
        handle: &'a [u8],
        offset: u64,
        length: u32,
    },
    Write {
        handle: &'a [u8],
        offset: u64,
        data: &'a [u8],
    },
    Stat {
        path: &'a [u8],
    },
    Lstat {
        path: &'a [u8],
    },
    Fstat {
        handle: &'a [u8],
    },
    SetStat {
        path: &'a [u8],
        attributes: Attributes,
    },
    FsetStat {
        handle: &'a [u8],
        attributes: Attributes,
    },
    OpenDir {
        path: &'a [u8],
    },
    ReadDir {
        handle: &'a [u8],
    },
    Remove {
        path: &'a [u8],
    },
    MakeDir {
        path: &'a [u8],
        attributes: Attributes,
    },
    RemoveDir {
        path: &'a [u8],
    },
    RealPath {
        path: &'a [u8],
    },
    Rename {
        from: &'a [u8],
        to: &'a [u8],
    },
    ReadLink {
        path: &'a [u8],
    },
    /// In OpenSSH's order, which is not the draft's, and which everybody has followed.
    Symlink {
        target: &'a [u8],
        link: &'a [u8],
    },
    Extended(Extended<'a>),
    /// A type or an extension that we do not know.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended<'a> {
    PosixRename {
        from: &'a [u8],
        to: &'a [u8],
    },
    StatVfs {
        path: &'a [u8],
    },
    FstatVfs {
        handle: &'a [u8],
    },
    HardLink {
        from: &'a [u8],
        to: &'a [u8],
    },
    Fsync {
        handle: &'a [u8],
    },
    LsetStat {
        path: &'a [u8],
        attributes: Attributes,
    },
    Limits,
    ExpandPath {
        path: &'a [u8],
    },
    /// A length of 0: until the end of the file.
    CopyData {
        from: &'a [u8],
        from_offset: u64,
        length: u64,
        to: &'a [u8],
        to_offset: u64,
    },
    HomeDirectory {
        user: &'a [u8],
    },
    /// Numbers of users and of groups, four bytes each.
    UsersGroups {
        users: &'a [u8],
        groups: &'a [u8],
    },
}

/// A name, its version, and whether it changes anything.
pub const EXTENSIONS: &[(&str, &str, bool)] = &[
    ("posix-rename@openssh.com", "1", true),
    ("statvfs@openssh.com", "2", false),
    ("fstatvfs@openssh.com", "2", false),
    ("hardlink@openssh.com", "1", true),
    ("fsync@openssh.com", "1", true),
    ("lsetstat@openssh.com", "1", true),
    ("limits@openssh.com", "1", false),
    ("expand-path@openssh.com", "1", false),
    ("copy-data", "1", true),
    ("home-directory", "1", false),
    ("users-groups-by-id@openssh.com", "1", false),
];

impl<'a> Packet<'a> {
    /// An error if not even the number can be read. What follows a request in its packet is ignored, as in OpenSSH.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        if kind == 1 {
            return Ok(Self::Init(reader.u32()?));
        }
        let id = reader.u32()?;
        Ok(Self::Request { id, request: Request::parse(kind, &mut reader) })
    }
}

impl<'a> Request<'a> {
    fn parse(kind: u8, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(match kind {
            3 => Self::Open { path: reader.string()?, flags: reader.u32()?, attributes: reader.attributes()? },
            4 => Self::Close { handle: reader.string()? },
            5 => Self::Read { handle: reader.string()?, offset: reader.u64()?, length: reader.u32()? },
            6 => Self::Write { handle: reader.string()?, offset: reader.u64()?, data: reader.string()? },
            7 => Self::Lstat { path: reader.string()? },
            8 => Self::Fstat { handle: reader.string()? },
            9 => Self::SetStat { path: reader.string()?, attributes: reader.attributes()? },
            10 => Self::FsetStat { handle: reader.string()?, attributes: reader.attributes()? },
            11 => Self::OpenDir { path: reader.string()? },
            12 => Self::ReadDir { handle: reader.string()? },
            13 => Self::Remove { path: reader.string()? },
            14 => Self::MakeDir { path: reader.string()?, attributes: reader.attributes()? },
            15 => Self::RemoveDir { path: reader.string()? },
            16 => Self::RealPath { path: reader.string()? },
            17 => Self::Stat { path: reader.string()? },
            18 => Self::Rename { from: reader.string()?, to: reader.string()? },
            19 => Self::ReadLink { path: reader.string()? },
            20 => Self::Symlink { target: reader.string()?, link: reader.string()? },
            200 => return Extended::parse(reader),
            _ => Self::Unknown,
        })
    }

    /// Whether it is refused where nothing may be changed. Opening depends on how: that is decided there.
    pub fn changes(&self) -> bool {
        match self {
            Self::Write { .. }
            | Self::SetStat { .. }
            | Self::FsetStat { .. }
            | Self::Remove { .. }
            | Self::MakeDir { .. }
            | Self::RemoveDir { .. }
            | Self::Rename { .. }
            | Self::Symlink { .. } => true,
            Self::Extended(extended) => extended.changes(),
            Self::Open { .. }
            | Self::Close { .. }
            | Self::Read { .. }
            | Self::Stat { .. }
            | Self::Lstat { .. }
            | Self::Fstat { .. }
            | Self::OpenDir { .. }
            | Self::ReadDir { .. }
            | Self::RealPath { .. }
            | Self::ReadLink { .. }
            | Self::Unknown => false,
        }
    }
}

impl<'a> Extended<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Request<'a>, Malformed> {
        let extended = match reader.string()? {
            b"posix-rename@openssh.com" => Self::PosixRename { from: reader.string()?, to: reader.string()? },
            b"statvfs@openssh.com" => Self::StatVfs { path: reader.string()? },
            b"fstatvfs@openssh.com" => Self::FstatVfs { handle: reader.string()? },
            b"hardlink@openssh.com" => Self::HardLink { from: reader.string()?, to: reader.string()? },
            b"fsync@openssh.com" => Self::Fsync { handle: reader.string()? },
            b"lsetstat@openssh.com" => Self::LsetStat { path: reader.string()?, attributes: reader.attributes()? },
            b"limits@openssh.com" => Self::Limits,
            b"expand-path@openssh.com" => Self::ExpandPath { path: reader.string()? },
            b"copy-data" => Self::CopyData {
                from: reader.string()?,
                from_offset: reader.u64()?,
                length: reader.u64()?,
                to: reader.string()?,
                to_offset: reader.u64()?,
            },
            b"home-directory" => Self::HomeDirectory { user: reader.string()? },
            b"users-groups-by-id@openssh.com" => Self::UsersGroups { users: reader.string()?, groups: reader.string()? },
            _ => return Ok(Request::Unknown),
        };
        Ok(Request::Extended(extended))
    }

    fn changes(&self) -> bool {
        match self {
            Self::PosixRename { .. } | Self::HardLink { .. } | Self::Fsync { .. } | Self::LsetStat { .. } | Self::CopyData { .. } => true,
            Self::StatVfs { .. }
            | Self::FstatVfs { .. }
            | Self::Limits
            | Self::ExpandPath { .. }
            | Self::HomeDirectory { .. }
            | Self::UsersGroups { .. } => false,
        }
    }
}
