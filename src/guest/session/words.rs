//! A command line in words, for images without a shell: quotes and backslashes, and nothing that only a shell can do.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

pub(super) fn split(line: &[u8]) -> Result<Vec<OsString>, String> {
    let mut words = vec![];
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut rest = line.iter().copied();
    while let Some(byte) = rest.next() {
        match (quote, byte) {
            (None, b' ' | b'\t' | b'\n') => words.extend(word.take().map(OsString::from_vec)),
            (None, b'\'' | b'"') => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == byte => quote = None,
            (None, b'\\') => word.get_or_insert_default().push(rest.next().ok_or("it ends in a backslash")?),
            (Some(b'"'), b'\\') => {
                let next = rest.next().ok_or("it ends in a backslash")?;
                if !matches!(next, b'"' | b'\\' | b'$' | b'`') {
                    word.get_or_insert_default().push(b'\\');
                }
                word.get_or_insert_default().push(next);
            }
            (None, b'|' | b'&' | b';' | b'<' | b'>' | b'(' | b')' | b'$' | b'`') | (Some(b'"'), b'$' | b'`') => {
                return Err(format!("`{}` needs a shell", char::from(byte)));
            }
            _ => word.get_or_insert_default().push(byte),
        }
    }
    if quote.is_some() {
        return Err("a quotation mark is not closed".to_owned());
    }
    words.extend(word.map(OsString::from_vec));
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_split_as_a_shell_would() {
        let words = |line: &str| split(line.as_bytes()).unwrap().into_iter().map(|word| word.into_string().unwrap()).collect::<Vec<_>>();
        assert_eq!(words("  /bin/app  a 'b c' \"d \\\" e\" f\\ g '' \n"), ["/bin/app", "a", "b c", "d \" e", "f g", ""]);
        assert_eq!(words("'$HOME' a\"b\"'c'"), ["$HOME", "abc"]);
        assert!(words(" ").is_empty());
    }

    #[test]
    fn what_only_a_shell_can_do_is_said() {
        for (line, text) in [("a | b", "`|`"), ("echo $HOME", "`$`"), ("a 'b", "not closed"), ("a \\", "backslash"), ("\"`x`\"", "`")] {
            assert!(split(line.as_bytes()).unwrap_err().contains(text), "{line}");
        }
    }
}
