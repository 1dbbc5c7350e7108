//! The keys by which somebody leaves a console.

/// Looks for them in what is typed.
pub(super) struct Keys {
    sequences: Vec<Vec<u8>>,
    /// The beginning of one of them; held back until it is clear whether it becomes one.
    held: Vec<u8>,
}

/// What is to be done with what was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Send(Vec<u8>),
    /// These first.
    Leave(Vec<u8>),
}

impl Keys {
    /// Docker's, and that of telnet and `virsh console`.
    pub(super) fn usual() -> Self {
        Self::of(vec![vec![0x10, 0x11], vec![0x1d]])
    }

    fn of(sequences: Vec<Vec<u8>>) -> Self {
        Self { sequences, held: vec![] }
    }

    /// As docker has them: `ctrl-p,ctrl-q`, `a`, `ctrl-\`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        text.split(',').map(key).collect::<Option<Vec<u8>>>().map(|keys| Self::of(vec![keys])).ok_or_else(|| {
            format!("`{text}` are no keys: each is one character, or `ctrl-` and one of a-z, `@`, `[`, `\\`, `]`, `^` or `_`")
        })
    }

    pub(super) fn typed(&mut self, bytes: &[u8]) -> Typed {
        let mut send = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.held.push(*byte);
            // What cannot become one of them goes on, up to where one may begin.
            while !self.held.is_empty() && !self.sequences.iter().any(|keys| keys.starts_with(&self.held)) {
                send.push(self.held.remove(0));
            }
            if self.sequences.contains(&self.held) {
                self.held.clear();
                return Typed::Leave(send);
            }
        }
        Typed::Send(send)
    }
}

fn key(text: &str) -> Option<u8> {
    match (text.strip_prefix("ctrl-").map(str::as_bytes), text.as_bytes()) {
        (Some([letter @ b'a'..=b'z']), _) => Some(letter - b'a' + 1),
        (Some(b"@"), _) => Some(0),
        (Some([sign @ (b'[' | b'\\' | b']' | b'^' | b'_')]), _) => Some(sign - b'[' + 27),
        (_, [one]) => Some(*one),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_however_they_come() {
        let mut keys = Keys::usual();
        assert_eq!(keys.typed(b"ls\n"), Typed::Send(b"ls\n".to_vec()));
        assert_eq!(keys.typed(b"x\x10"), Typed::Send(b"x".to_vec()), "it may become one");
        assert_eq!(keys.typed(b"y"), Typed::Send(b"\x10y".to_vec()), "it did not");
        assert_eq!(keys.typed(b"\x10\x10"), Typed::Send(b"\x10".to_vec()));
        assert_eq!(keys.typed(b"\x11z"), Typed::Leave(vec![]));
        assert_eq!(keys.typed(b"bye\x1d"), Typed::Leave(b"bye".to_vec()));
    }

    #[test]
    fn keys_are_written_as_docker_has_them() {
        let parsed = |text| Keys::parse(text).map(|keys| keys.sequences.concat());
        assert_eq!(parsed("ctrl-a,d"), Ok(vec![1, b'd']));
        assert_eq!(parsed("ctrl-@,ctrl-],ctrl-_"), Ok(vec![0, 0x1d, 0x1f]));
        for text in ["", "ctrl-", "ctrl-1", "ab", "a,,b", "ctrl-A"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
