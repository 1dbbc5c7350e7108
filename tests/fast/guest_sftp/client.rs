//! A client that sends what it is told to, right or wrong, and takes the answers apart.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use fly::guest::sftp::codec::{Attributes, MAX_PACKET, Reader};

pub(super) const OK: u32 = 0;
pub(super) const EOF: u32 = 1;
pub(super) const NO_SUCH_FILE: u32 = 2;
pub(super) const PERMISSION_DENIED: u32 = 3;
pub(super) const FAILURE: u32 = 4;
pub(super) const BAD_MESSAGE: u32 = 5;
pub(super) const UNSUPPORTED: u32 = 8;

/// How to open.
pub(super) const READ: u32 = 1;
pub(super) const WRITE: u32 = 2;
pub(super) const APPEND: u32 = 4;
pub(super) const CREATE: u32 = 8;
pub(super) const TRUNCATE: u32 = 16;
pub(super) const EXCLUSIVE: u32 = 32;

/// Types of requests.
pub(super) mod kind {
    pub(crate) const INIT: u8 = 1;
    pub(crate) const OPEN: u8 = 3;
    pub(crate) const CLOSE: u8 = 4;
    pub(crate) const READ: u8 = 5;
    pub(crate) const WRITE: u8 = 6;
    pub(crate) const LSTAT: u8 = 7;
    pub(crate) const FSTAT: u8 = 8;
    pub(crate) const SETSTAT: u8 = 9;
    pub(crate) const FSETSTAT: u8 = 10;
    pub(crate) const OPENDIR: u8 = 11;
    pub(crate) const READDIR: u8 = 12;
    pub(crate) const REMOVE: u8 = 13;
    pub(crate) const MKDIR: u8 = 14;
    pub(crate) const RMDIR: u8 = 15;
    pub(crate) const REALPATH: u8 = 16;
    pub(crate) const STAT: u8 = 17;
    pub(crate) const RENAME: u8 = 18;
    pub(crate) const READLINK: u8 = 19;
    pub(crate) const SYMLINK: u8 = 20;
    pub(crate) const EXTENDED: u8 = 200;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Status(u32, String),
    Handle(Vec<u8>),
    Data(Vec<u8>),
    Names(Vec<(Vec<u8>, Vec<u8>, Attributes)>),
    Attributes(Attributes),
    Extended(Vec<u8>),
}

impl Answer {
    pub(super) fn parse(packet: &[u8]) -> (u32, Self) {
        let mut reader = Reader::new(packet);
        let (kind, id) = (reader.u8().unwrap(), reader.u32().unwrap());
        let answer = match kind {
            101 => {
                let code = reader.u32().unwrap();
                let text = if reader.is_empty() { &[][..] } else { reader.string().unwrap() };
                if !reader.is_empty() {
                    assert_eq!(reader.string().unwrap(), b"", "the language is not said");
                }
                Self::Status(code, String::from_utf8(text.to_vec()).unwrap())
            }
            102 => Self::Handle(reader.string().unwrap().to_vec()),
            103 => Self::Data(reader.string().unwrap().to_vec()),
            104 => {
                let count = reader.u32().unwrap();
                let name = |reader: &mut Reader| {
                    (reader.string().unwrap().to_vec(), reader.string().unwrap().to_vec(), reader.attributes().unwrap())
                };
                Self::Names((0..count).map(|_| name(&mut reader)).collect())
            }
            105 => Self::Attributes(reader.attributes().unwrap()),
            201 => return (id, Self::Extended(packet[5..].to_vec())),
            other => panic!("an answer of type {other}"),
        };
        assert!(reader.is_empty(), "nothing follows an answer");
        (id, answer)
    }
}

pub(super) struct Client {
    child: Child,
    to: Option<ChildStdin>,
    from: ChildStdout,
    next: u32,
}

impl Client {
    /// Greeted, in this folder.
    pub(super) fn new(folder: &Path) -> Self {
        Self::with(folder, &[])
    }

    pub(super) fn with(folder: &Path, args: &[&str]) -> Self {
        let mut client = Self::silent(folder, args);
        assert_eq!(client.greet(3).0, 3);
        client
    }

    /// Before any greeting.
    pub(super) fn silent(folder: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fly"));
        command.args(["guest", "sftp"]).args(args).current_dir(folder);
        Self::run(&mut command)
    }

    pub(super) fn run(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (to, from) = (child.stdin.take(), child.stdout.take().unwrap());
        Self { child, to, from, next: 0 }
    }

    /// The server's version and extensions.
    pub(super) fn greet(&mut self, version: u32) -> (u32, Vec<(String, String)>) {
        self.send(kind::INIT, &n(version));
        let packet = self.packet().unwrap();
        let mut reader = Reader::new(&packet);
        assert_eq!(reader.u8(), Ok(2));
        let version = reader.u32().unwrap();
        let mut extensions = vec![];
        while !reader.is_empty() {
            let mut text = || String::from_utf8(reader.string().unwrap().to_vec()).unwrap();
            extensions.push((text(), text()));
        }
        (version, extensions)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        // It may have gone already: then that is what a test looks at.
        let _ = self.to.as_mut().unwrap().write_all(bytes);
    }

    pub(super) fn send(&mut self, kind: u8, body: &[u8]) {
        self.raw(&packet(kind, body));
    }

    /// Nothing if the server has gone.
    pub(super) fn packet(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.from.read_exact(&mut length).ok()?;
        let length = u32::from_be_bytes(length) as usize;
        assert!(length <= MAX_PACKET, "an answer of {length} bytes");
        let mut packet = vec![0; length];
        self.from.read_exact(&mut packet).ok()?;
        Some(packet)
    }

    /// Sends a request and does not wait; its number.
    pub(super) fn begin(&mut self, kind: u8, body: &[u8]) -> u32 {
        self.next += 1;
        self.send(kind, &[&n(self.next), body].concat());
        self.next
    }

    pub(super) fn answer(&mut self) -> (u32, Answer) {
        Answer::parse(&self.packet().expect("the server answers"))
    }

    pub(super) fn ask(&mut self, kind: u8, body: &[u8]) -> Answer {
        let id = self.begin(kind, body);
        let (answered, answer) = self.answer();
        assert_eq!(answered, id);
        answer
    }

    #[track_caller]
    pub(super) fn code(&mut self, kind: u8, body: &[u8]) -> u32 {
        match self.ask(kind, body) {
            Answer::Status(code, _) => code,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn attributes(&mut self, kind: u8, path: &[u8]) -> Attributes {
        match self.ask(kind, &s(path)) {
            Answer::Attributes(attributes) => attributes,
            other => panic!("{other:?}"),
        }
    }

    /// The answer to whoever asks for a path.
    #[track_caller]
    pub(super) fn name(&mut self, kind: u8, body: &[u8]) -> Vec<u8> {
        match self.ask(kind, body) {
            Answer::Names(names) => {
                assert_eq!((names.len(), &names[0].1, names[0].2), (1, &names[0].0, Attributes::default()));
                names[0].0.clone()
            }
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn open(&mut self, path: &[u8], flags: u32) -> Vec<u8> {
        self.handle(kind::OPEN, &[s(path), n(flags), n(0)].concat())
    }

    #[track_caller]
    pub(super) fn handle(&mut self, kind: u8, body: &[u8]) -> Vec<u8> {
        match self.ask(kind, body) {
            Answer::Handle(handle) => handle,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn extended(&mut self, name: &str, body: &[u8]) -> Answer {
        self.ask(kind::EXTENDED, &[&s(name.as_bytes()), body].concat())
    }

    #[track_caller]
    pub(super) fn extended_code(&mut self, name: &str, body: &[u8]) -> u32 {
        self.code(kind::EXTENDED, &[&s(name.as_bytes()), body].concat())
    }

    pub(super) fn list(&mut self, path: &[u8]) -> Vec<(Vec<u8>, Vec<u8>, Attributes)> {
        let handle = self.handle(kind::OPENDIR, &s(path));
        let mut all = vec![];
        loop {
            match self.ask(kind::READDIR, &s(&handle)) {
                Answer::Names(names) => {
                    assert!(!names.is_empty());
                    all.extend(names);
                }
                Answer::Status(EOF, _) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(self.code(kind::CLOSE, &s(&handle)), OK);
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    }

    /// Leaves; how the server ended, and what it said.
    pub(super) fn leave(mut self) -> (ExitStatus, String) {
        drop(self.to.take());
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap(), said)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.to.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    [&n(u32::try_from(body.len() + 1).unwrap())[..], &[kind], body].concat()
}

pub(super) fn s(string: &[u8]) -> Vec<u8> {
    [&n(u32::try_from(string.len()).unwrap()), string].concat()
}

pub(super) fn n(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

pub(super) fn q(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

pub(super) fn attributes(attributes: Attributes) -> Vec<u8> {
    let mut bytes = vec![];
    attributes.encode(&mut |more| bytes.extend_from_slice(more));
    bytes
}
