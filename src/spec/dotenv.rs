//! `.env` and the files of `env_file`, in Compose's grammar.
//!
//! Values are secrets: no message of this module contains one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::interpolate::{Variables, interpolate};
use super::yaml::MAX_BYTES;
use crate::diag::{Diagnostic, Place};

const MAX_VALUE: usize = 1 << 20;

/// What a file of variables says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dotenv {
    pub variables: BTreeMap<String, String>,
    /// Variables whose values could not be read.
    pub unreadable: BTreeSet<String>,
    pub errors: Vec<Diagnostic>,
}

/// Reads `NAME=value` lines. A later line wins, and may refer to earlier ones, but what is in `outer` comes first, as in Compose.
/// `NAME` alone takes its value from there.
pub fn dotenv(file: &str, text: &str, outer: &[&BTreeMap<String, String>]) -> Dotenv {
    let file: Arc<str> = file.into();
    if text.len() > MAX_BYTES {
        let error = Diagnostic::invalid(format!("`{file}` is larger than 1 MiB"));
        return Dotenv { errors: vec![error.hint("a file of variables has a line for each, `NAME=value`")], ..Dotenv::default() };
    }
    let start = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let mut scanner = Scanner { file, text, at: start, line: 1, line_start: start, outer, name: None, found: Dotenv::default() };
    while scanner.at < text.len() {
        if let Err(error) = scanner.statement() {
            if scanner.found.errors.len() < 100 {
                scanner.found.errors.push(error);
            }
            scanner.found.unreadable.extend(scanner.name.take());
            scanner.skip_line();
        }
    }
    scanner.found
}

struct Scanner<'a> {
    file: Arc<str>,
    text: &'a str,
    at: usize,
    line: u32,
    line_start: usize,
    outer: &'a [&'a BTreeMap<String, String>],
    /// Of the line that is being read.
    name: Option<String>,
    found: Dotenv,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn advance(&mut self, bytes: usize) {
        for (at, _) in self.rest()[..bytes].match_indices('\n') {
            self.line += 1;
            self.line_start = self.at + at + 1;
        }
        self.at += bytes;
    }

    fn skip(&mut self, skipped: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.advance(rest.len() - rest.trim_start_matches(skipped).len());
    }

    fn skip_line(&mut self) {
        let rest = self.rest();
        self.advance(rest.find('\n').map_or(rest.len(), |end| end + 1));
    }

    /// From here, on this line.
    fn place(&self, len: usize) -> Place {
        let column = self.text[self.line_start..self.at].chars().count() + 1;
        Place { file: self.file.clone(), line: self.line, column: u32::try_from(column).unwrap_or(0), offset: self.at, len }
    }

    fn error(&self, message: impl Into<String>, len: usize) -> Diagnostic {
        Diagnostic::invalid(message).at(&self.place(len))
    }

    fn statement(&mut self) -> Result<(), Diagnostic> {
        self.name = None;
        self.skip(char::is_whitespace);
        if self.rest().is_empty() {
            return Ok(());
        }
        if self.rest().starts_with('#') {
            self.skip_line();
            return Ok(());
        }
        if self.rest().strip_prefix("export").is_some_and(|rest| rest.starts_with([' ', '\t'])) {
            self.advance("export".len());
            self.skip(is_blank);
        }
        let name = self.read_name()?;
        self.name = Some(name.clone());
        self.skip(is_blank);
        if !self.rest().starts_with(['=', ':']) {
            let here = self.rest();
            if here.is_empty() || here.starts_with(['\n', '\r', '#']) {
                let value = Variables(self.outer).get(&name).cloned();
                self.found.variables.extend(value.map(|value| (name, value)));
                self.skip_line();
                return Ok(());
            }
            return Err(self.error("expected `=` after the name of a variable", 1).hint("`NAME=value`"));
        }
        self.advance(1);
        self.skip(is_blank);
        let value = match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            _ => self.unquoted()?,
        };
        self.found.unreadable.remove(&name);
        self.found.variables.insert(name, value);
        Ok(())
    }

    fn read_name(&mut self) -> Result<String, Diagnostic> {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']'))).unwrap_or(rest.len());
        if end == 0 {
            let error = self.error("expected the name of a variable", rest.chars().next().map_or(1, char::len_utf8));
            return Err(error.hint("`NAME=value`"));
        }
        let name = rest[..end].to_owned();
        self.advance(end);
        Ok(name)
    }

    /// Up to the end of the line, or to a `#` behind a space.
    fn unquoted(&mut self) -> Result<String, Diagnostic> {
        let rest = self.rest();
        let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
        let comment = line.match_indices('#').map(|(at, _)| at).find(|at| *at == 0 || line[..*at].ends_with([' ', '\t']));
        let value = line[..comment.unwrap_or(line.len())].trim_end();
        let value = self.expand(value, &value.replace("\\$", "$$"), 0)?;
        self.skip_line();
        Ok(value)
    }

    fn quoted(&mut self, quote: char) -> Result<String, Diagnostic> {
        let body = &self.rest()[1..];
        let Some(end) = closing(body, quote) else {
            return Err(self.error(format!("a `{quote}` is not closed"), 1).hint(format!("another `{quote}` at the end of the value")));
        };
        let raw = &body[..end];
        let value = if quote == '\'' { raw.replace("\\'", "'") } else { self.expand(raw, &unescape(raw), 1)? };
        self.advance(end + 2);
        self.skip(is_blank);
        let rest = self.rest();
        if !(rest.is_empty() || rest.starts_with(['\n', '\r', '#'])) {
            let error = self.error("expected the end of the line after a closing quote", 1);
            return Err(error.hint("the whole value in one pair of quotes, or a ` #` before a comment"));
        }
        self.skip_line();
        Ok(value)
    }

    /// `text` is what `raw` means before its variables are replaced.
    fn expand(&self, raw: &str, text: &str, inset: usize) -> Result<String, Diagnostic> {
        let layers: Vec<_> = self.outer.iter().copied().chain([&self.found.variables]).collect();
        match interpolate(text, Variables(&layers), MAX_VALUE) {
            Ok(filled) => Ok(filled.map_or_else(|| text.to_owned(), |filled| filled.text)),
            Err(error) => {
                let mut place = self.place(error.len);
                // Only where the text is on this line, letter by letter.
                if text == raw && !text[..error.at].contains('\n') {
                    place.column += u32::try_from(inset + text[..error.at].chars().count()).unwrap_or(0);
                    place.offset += inset + error.at;
                } else {
                    place.len = 1;
                }
                Err(error.hint.into_iter().fold(Diagnostic::invalid(error.message).at(&place), Diagnostic::hint))
            }
        }
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn closing(body: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    body.char_indices().find_map(|(at, c)| {
        let closes = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(at)
    })
}

fn unescape(text: &str) -> String {
    let (mut out, mut chars) = (String::with_capacity(text.len()), text.chars());
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            // An escaped dollar is a dollar: `$$` says so to the interpolation, which comes next.
            Some('$') => out.push_str("$$"),
            Some(other @ ('"' | '\'' | '\\' | '`')) => out.push(other),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_compose_reads() {
        let text = "\u{feff}A=1\n# c\nexport B = two words  # c\nC='raw $A # x'\nD=\"esc\\n$A ${NO:-d} \\$A\"\nE=\nF=a#b\nG: yaml\nH=\"two\nlines\"\nI\r\nJ=x\r\n";
        let variables = dotenv(".env", text, &[]).variables;
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "raw $A # x"),
            ("D", "esc\n1 d $A"),
            ("E", ""),
            ("F", "a#b"),
            ("G", "yaml"),
            ("H", "two\nlines"),
            ("J", "x"),
        ];
        assert_eq!(variables, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }

    #[test]
    fn the_environment_comes_first_and_escapes_before_variables() {
        let outer = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let (first, second) = (outer(&[("A", "outer"), ("PASSED", "yes")]), outer(&[("A", "never"), ("S", "second")]));
        let text = "A=own\nB=${A}\nS=1\nC=$S\nPASSED\nGONE\nD=a\\nb\nE=\"$D\"\nF=\"\\\\$D\"\n";
        let variables = dotenv(".env", text, &[&first, &second]).variables;
        let expected = [
            ("A", "own"),
            ("B", "outer"),
            ("C", "second"),
            ("D", "a\\nb"),
            ("E", "a\\nb"),
            ("F", "\\a\\nb"),
            ("PASSED", "yes"),
            ("S", "1"),
        ];
        assert_eq!(variables, outer(&expected));
    }

    #[test]
    fn says_where_and_shows_no_value() {
        let errors = dotenv(".env", "A=ok\n=x\nB C=secret\nD=\"open\nE=1\n", &[]).errors;
        let places: Vec<_> = errors.iter().map(|e| e.place.as_ref().unwrap().to_string()).collect();
        assert_eq!(places, [".env:2:1", ".env:3:3", ".env:4:3"]);
        assert!(errors.iter().all(|e| !e.message.contains("secret")));
        let errors = dotenv(".env", "A=xé${B:?gone}\n", &[]).errors;
        assert_eq!(errors[0].place.as_ref().unwrap().to_string(), ".env:1:5");
    }
}
