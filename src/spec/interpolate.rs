//! `$V`, `${V:-default}` and the rest of Compose's interpolation.
//!
//! Values of variables are secrets until proven otherwise: no message of this module contains one.

use std::collections::BTreeMap;

/// Templates inside templates.
const MAX_DEPTH: usize = 16;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Error {
    /// Bytes from the start of the text.
    pub at: usize,
    pub len: usize,
    pub message: String,
    pub hint: Option<String>,
    /// The variable that is required and not set: elsewhere it may be.
    pub unset: Option<String>,
}

/// A text with its variables replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filled {
    pub text: String,
    /// Variables that are not set and have no default: an empty text stands for them.
    pub unset: Vec<String>,
    /// Names and values of those that are part of the text.
    pub used: Vec<(String, String)>,
}

/// Where a variable's value is looked up: the first that has it.
#[derive(Clone, Copy)]
pub(super) struct Variables<'a>(pub &'a [&'a BTreeMap<String, String>]);

impl<'a> Variables<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a String> {
        self.0.iter().find_map(|variables| variables.get(name))
    }
}

/// The text with its variables replaced, or `None` where it has none. The answer is at most `limit` bytes long.
pub(super) fn interpolate(text: &str, variables: Variables<'_>, limit: usize) -> Result<Option<Filled>, Error> {
    if !text.contains('$') {
        return Ok(None);
    }
    let mut out = Filled { text: String::new(), unset: vec![], used: vec![] };
    let replaced = expand(text, 0, variables, limit, 0, &mut out)?;
    // `$(x)` and `$1` are left alone, so a text with a dollar may come out as it went in.
    Ok((replaced || out.text != text).then_some(out))
}

impl Filled {
    fn put(&mut self, name: &str, variables: Variables<'_>) {
        match variables.get(name) {
            Some(value) => {
                self.text.push_str(value);
                if !self.used.iter().any(|(known, _)| known == name) {
                    self.used.push((name.to_owned(), value.clone()));
                }
            }
            None => self.unset.push(name.to_owned()),
        }
    }
}

fn expand(text: &str, start: usize, variables: Variables<'_>, limit: usize, depth: usize, out: &mut Filled) -> Result<bool, Error> {
    let (mut at, mut replaced) = (0, false);
    while let Some(dollar) = text[at..].find('$').map(|found| at + found) {
        out.text.push_str(&text[at..dollar]);
        let rest = &text[dollar + 1..];
        let error = |len, message: String| Error { at: start + dollar, len, message, hint: None, unset: None };
        if rest.starts_with('$') {
            out.text.push('$');
            at = dollar + 2;
        } else if rest.starts_with('{') {
            let unclosed =
                || Error { hint: Some("write `$$` for a dollar sign".to_owned()), ..error(2, "`${` is not closed by a `}`".to_owned()) };
            let close = closing_brace(rest).ok_or_else(unclosed)?;
            let body = Braced { text: &rest[1..close], start: start + dollar + 2, depth: depth + 1, len: close + 2 };
            body.expand(variables, limit, out)?;
            replaced = true;
            at = dollar + 1 + close + 1;
        } else {
            let name = &rest[..name_len(rest)];
            if name.is_empty() {
                out.text.push('$');
            } else {
                out.put(name, variables);
                replaced = true;
            }
            at = dollar + 1 + name.len();
        }
        if out.text.len() > limit {
            let hint = Some("4 MiB in all, and 1 MiB in a file of variables".to_owned());
            return Err(Error { hint, ..error(1, "the variables of this file stand for too much text".to_owned()) });
        }
    }
    out.text.push_str(&text[at..]);
    Ok(replaced)
}

/// What stands between `${` and `}`.
struct Braced<'a> {
    text: &'a str,
    start: usize,
    depth: usize,
    /// Of the whole, braces and dollar included.
    len: usize,
}

impl Braced<'_> {
    fn error(&self, message: String) -> Error {
        Error { at: self.start.saturating_sub(2), len: self.len, message, hint: None, unset: None }
    }

    fn expand(&self, variables: Variables<'_>, limit: usize, out: &mut Filled) -> Result<(), Error> {
        if self.depth > MAX_DEPTH {
            let hint = Some("give one of them a value of its own".to_owned());
            return Err(Error { hint, ..self.error(format!("variables are nested more than {MAX_DEPTH} deep")) });
        }
        let (name, rest) = self.text.split_at(name_len(self.text));
        let value = variables.get(name).map(String::as_str);
        let filled = value.filter(|v| !v.is_empty());
        let operator = ["", ":-", ":?", ":+", "-", "?", "+"].into_iter().find(|op| match *op {
            "" => rest.is_empty(),
            op => rest.starts_with(op),
        });
        let (Some(operator), false) = (operator, name.is_empty()) else {
            let hint = "as in `${NAME}`, `${NAME:-default}`, `${NAME:?message}` or `${NAME:+instead}`; `$$` is a dollar sign";
            return Err(Error { hint: Some(hint.to_owned()), ..self.error("this is not how a variable is written".to_owned()) });
        };
        let word = &rest[operator.len()..];
        let value = if operator.starts_with(':') { filled } else { value };
        match operator.trim_start_matches(':') {
            "-" if value.is_none() => self.word(word, variables, limit, out),
            "+" if value.is_none() => Ok(()),
            "+" => self.word(word, variables, limit, out),
            "?" if value.is_none() => {
                let message = if word.is_empty() { "it is required" } else { word };
                let unset = variables.get(name).is_none().then(|| name.to_owned());
                let state = if unset.is_some() { "not set" } else { "empty" };
                Err(Error {
                    unset,
                    hint: Some(format!("set it in the environment or in `.env`: `{name}=...`")),
                    ..self.error(format!("the variable `{name}` is {state}: {message}"))
                })
            }
            _ => {
                out.put(name, variables);
                Ok(())
            }
        }
    }

    fn word(&self, word: &str, variables: Variables<'_>, limit: usize, out: &mut Filled) -> Result<(), Error> {
        let start = self.start + self.text.len() - word.len();
        expand(word, start, variables, limit, self.depth, out).map(|_| ())
    }
}

/// Where the brace that `text` begins with is closed.
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 1 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

fn name_len(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<String, Error> {
        let variables = [("A", "1"), ("B", "two"), ("EMPTY", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        interpolate(text, Variables(&[&variables.into()]), 1000).map(|out| out.map_or_else(|| text.to_owned(), |out| out.text))
    }

    #[test]
    fn does_as_compose_does() {
        for (text, expected) in [
            ("plain", "plain"),
            ("$A-$B", "1-two"),
            ("${A}${B}x", "1twox"),
            ("$$A $${A}", "$A ${A}"),
            ("$1 $(x) $ a$", "$1 $(x) $ a$"),
            ("$NO${NO}", ""),
            ("${NO:-d} ${NO-d} ${EMPTY:-d} ${EMPTY-d}|", "d d d |"),
            ("${A:+x} ${A+x} ${EMPTY:+x} ${EMPTY+x} ${NO+x}|", "x x  x |"),
            ("${A:?e}${A?e}${EMPTY?e}", "11"),
            ("${NO:-${NO2:-${B}}}", "two"),
            ("${NO:-{\"a\": {\"b\": 1}}}", "{\"a\": {\"b\": 1}}"),
            ("${NO:-$$x}", "$x"),
            ("é${A}é", "é1é"),
        ] {
            assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_set_is_told_unless_the_file_says_what_then() {
        let unset = |text| interpolate(text, Variables(&[&[("EMPTY".to_owned(), String::new())].into()]), 1000).unwrap().unwrap().unset;
        assert_eq!(unset("$A ${B} ${EMPTY}"), ["A", "B"]);
        assert!(unset("${A:-} ${A-} ${A:+x} ${A+x}").is_empty());
        assert_eq!(unset("${A:-$B}"), ["B"]);
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (text, at, len) in [("ab${A", 2, 2), ("${A!}", 0, 5), ("x ${}", 2, 3), ("${NO:-${1}}", 6, 4), ("a ${NO:?please} b", 2, 13)] {
            let error = run(text).unwrap_err();
            assert_eq!((error.at, error.len), (at, len), "{text}: {}", error.message);
        }
        assert!(run("${EMPTY:?please}").unwrap_err().message.contains("is empty: please"));
        assert!(run(&"${NO:-".repeat(40)).is_err());
        assert!(run(&format!("{}x{}", "${NO:-".repeat(40), "}".repeat(40))).is_err());
        assert!(run(&"$B".repeat(1000)).is_err());
    }
}
