//! What every packet is made of: big-endian numbers, strings with their length before them, attributes.

/// The longest packet in either direction, without the four bytes that say how long it is. OpenSSH's number.
pub const MAX_PACKET: usize = 256 * 1024;
/// The most data of one read or write; the rest of the packet is for what is around the data. OpenSSH's number.
pub const MAX_DATA: usize = MAX_PACKET - 1024;

/// A packet ends before what it has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Takes a packet apart. It borrows: no length that a client claims makes it allocate.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.take().map(u8::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.take().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.take().map(u64::from_be_bytes)
    }

    /// Bytes, not text: file names are whatever the kernel takes.
    pub fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.u32()?).map_err(|_| Malformed)?;
        let (head, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    pub fn attributes(&mut self) -> Result<Attributes, Malformed> {
        let flags = self.u32()?;
        let has = |flag| flags & flag != 0;
        let attributes = Attributes {
            size: has(Attributes::SIZE).then(|| self.u64()).transpose()?,
            owner: has(Attributes::OWNER).then(|| Ok((self.u32()?, self.u32()?))).transpose()?,
            permissions: has(Attributes::PERMISSIONS).then(|| self.u32()).transpose()?,
            times: has(Attributes::TIMES).then(|| Ok((self.u32()?, self.u32()?))).transpose()?,
        };
        if has(Attributes::EXTENDED) {
            // Nobody has defined any. Each takes eight bytes at least, so the packet's end ends this, whatever the count says.
            for _ in 0..self.u32()? {
                self.string()?;
                self.string()?;
            }
        }
        Ok(attributes)
    }
}

/// What is said of a file: of each group all or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub size: Option<u64>,
    /// User, group.
    pub owner: Option<(u32, u32)>,
    /// As in `st_mode`, with the kind of file.
    pub permissions: Option<u32>,
    /// Last access, last change; seconds since 1970.
    pub times: Option<(u32, u32)>,
}

impl Attributes {
    const SIZE: u32 = 1;
    const OWNER: u32 = 2;
    const PERMISSIONS: u32 = 4;
    const TIMES: u32 = 8;
    const EXTENDED: u32 = 0x8000_0000;

    pub fn of(stat: &rustix::fs::Stat) -> Self {
        // Years before 1970 and after 2106 cannot be said: the nearest that can is less wrong than one a century away.
        let seconds = |time: i64| u32::try_from(time.max(0)).unwrap_or(u32::MAX);
        Self {
            size: Some(u64::try_from(stat.st_size).unwrap_or(0)),
            owner: Some((stat.st_uid, stat.st_gid)),
            permissions: Some(stat.st_mode),
            times: Some((seconds(stat.st_atime), seconds(stat.st_mtime))),
        }
    }

    /// As they stand in a packet.
    pub fn encode(&self, put: &mut impl FnMut(&[u8])) {
        let flag = |there: bool, flag: u32| if there { flag } else { 0 };
        let flags = flag(self.size.is_some(), Self::SIZE)
            | flag(self.owner.is_some(), Self::OWNER)
            | flag(self.permissions.is_some(), Self::PERMISSIONS)
            | flag(self.times.is_some(), Self::TIMES);
        put(&flags.to_be_bytes());
        if let Some(size) = self.size {
            put(&size.to_be_bytes());
        }
        if let Some((user, group)) = self.owner {
            put(&user.to_be_bytes());
            put(&group.to_be_bytes());
        }
        if let Some(permissions) = self.permissions {
            put(&permissions.to_be_bytes());
        }
        if let Some((access, change)) = self.times {
            put(&access.to_be_bytes());
            put(&change.to_be_bytes());
        }
    }
}
