//! Paths as docker reads them: what a slash or a dot at the end says, and what an entry is called.

/// Without doubled slashes, `.` and `..`, as far as that can be said without looking. Never empty.
pub fn clean(path: &[u8]) -> Vec<u8> {
    let is_absolute = path.starts_with(b"/");
    let mut parts: Vec<&[u8]> = vec![];
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => _ = parts.pop(),
            b".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    match (is_absolute, joined.is_empty()) {
        (true, _) => [b"/", joined.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

/// `SRC/.` and `.`: what is in it, not itself.
pub fn is_contents(path: &[u8]) -> bool {
    path == b"." || path.ends_with(b"/.")
}

/// `DEST/` and `DEST/.`: a directory is meant.
pub fn is_directory(path: &[u8]) -> bool {
    path.ends_with(b"/") || is_contents(path)
}

/// The directory that it lies in, and its name there; of the root and of `X/.` there is no name.
pub fn split(path: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let cleaned = clean(path);
    if is_contents(path) || cleaned == b"/" {
        return (cleaned, None);
    }
    match cleaned.iter().rposition(|byte| *byte == b'/') {
        None => (b".".to_vec(), Some(cleaned)),
        Some(0) => (b"/".to_vec(), Some(cleaned[1..].to_vec())),
        Some(at) => (cleaned[..at].to_vec(), Some(cleaned[at + 1..].to_vec())),
    }
}

/// `path`, seen from `directory` if it is not absolute.
pub fn join(directory: &[u8], path: &[u8]) -> Vec<u8> {
    if path.starts_with(b"/") { path.to_vec() } else { [directory, path].join(&b'/') }
}

/// What is at the other end of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    Nothing,
    Directory,
    Other,
}

/// Why something cannot be copied to where it should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A directory, onto a file.
    DirectoryOnFile,
    /// A file, to a directory that is not there.
    NoDirectory,
}

/// Where a copy goes: the directory, and the name in it; no name is the one that it has.
pub type Aim = (Vec<u8>, Option<Vec<u8>>);

/// docker's rules, one for one.
pub fn aim(dest: &[u8], there: There, is_directory_copied: bool) -> Result<Aim, Wrong> {
    match there {
        There::Directory => Ok((dest.to_vec(), None)),
        There::Other if is_directory_copied => Err(Wrong::DirectoryOnFile),
        There::Nothing if !is_directory_copied && is_directory(dest) => Err(Wrong::NoDirectory),
        There::Other | There::Nothing => Ok(split(&clean(dest))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (path, cleaned) in
            [("", "."), (".", "."), ("/", "/"), ("//a///b/", "/a/b"), ("a/./b/.", "a/b"), ("a/../..", ".."), ("/../a", "/a"), ("a/..", ".")]
        {
            assert_eq!(String::from_utf8(clean(path.as_bytes())).unwrap(), cleaned, "{path}");
        }
    }

    #[test]
    fn a_path_is_a_directory_and_a_name() {
        let of = |path: &str| {
            let (directory, name) = split(path.as_bytes());
            (String::from_utf8(directory).unwrap(), name.map(|name| String::from_utf8(name).unwrap()))
        };
        assert_eq!(of("/etc/passwd"), ("/etc".into(), Some("passwd".into())));
        assert_eq!(of("/etc/"), ("/".into(), Some("etc".into())));
        assert_eq!(of("x"), (".".into(), Some("x".into())));
        assert_eq!(of("/etc/."), ("/etc".into(), None));
        assert_eq!(of("/"), ("/".into(), None));
    }

    #[test]
    fn a_copy_goes_where_docker_says() {
        let to = |dest: &str, there, directory| {
            aim(dest.as_bytes(), there, directory).map(|(at, name)| {
                let name = name.map_or_else(String::new, |name| format!(" as {}", String::from_utf8(name).unwrap()));
                String::from_utf8(at).unwrap() + &name
            })
        };
        assert_eq!(to("/d", There::Directory, false), Ok("/d".into()));
        assert_eq!(to("/d/", There::Directory, true), Ok("/d/".into()));
        assert_eq!(to("/f", There::Other, false), Ok("/ as f".into()));
        assert_eq!(to("/f", There::Other, true), Err(Wrong::DirectoryOnFile));
        assert_eq!(to("/new", There::Nothing, false), Ok("/ as new".into()));
        assert_eq!(to("/new/", There::Nothing, true), Ok("/ as new".into()));
        assert_eq!(to("/new/", There::Nothing, false), Err(Wrong::NoDirectory));
        assert_eq!(to("new", There::Nothing, true), Ok(". as new".into()));
    }
}
