//! Splits a command as a shell would: white space, quotes, backslashes. Nothing else of a shell is done.

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("a `{0}` is not closed")]
    Quote(char),
    #[error("nothing follows the last backslash")]
    Backslash,
}

pub(super) fn split(text: &str) -> Result<Vec<String>, Error> {
    let (mut words, mut word, mut chars) = (vec![], None::<String>, text.chars());
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => quoted(c, &mut chars, word.get_or_insert_default())?,
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err(Error::Backslash),
            },
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(quote: char, chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), Error> {
    while let Some(c) = chars.next() {
        match c {
            c if c == quote => return Ok(()),
            '\\' if quote == '"' => match chars.next() {
                Some(next @ ('"' | '\\' | '$' | '`')) => word.push(next),
                Some('\n') => {}
                Some(next) => word.extend(['\\', next]),
                None => return Err(Error::Quote(quote)),
            },
            c => word.push(c),
        }
    }
    Err(Error::Quote(quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_a_shell_does() {
        for (text, words) in [
            ("", vec![]),
            ("  a  b\tc\n", vec!["a", "b", "c"]),
            ("sh -c 'echo \"x\" $HOME'", vec!["sh", "-c", "echo \"x\" $HOME"]),
            ("a\"b c\"d", vec!["ab cd"]),
            (r#""\"\n\\""#, vec!["\"\\n\\"]),
            ("''", vec![""]),
            (r"a\ b", vec!["a b"]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        assert_eq!(split("a 'b"), Err(Error::Quote('\'')));
        assert_eq!(split("a \"b\\"), Err(Error::Quote('"')));
        assert_eq!(split("a\\"), Err(Error::Backslash));
    }
}
