//! Variables that nobody sets: what stands for them where two files are compared.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::Place;

/// What stands for a variable, by its name, and how often that has turned out to be impossible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Guesses(BTreeMap<String, usize>);

impl Guesses {
    /// Of all that these texts use and that has no default there.
    pub(in crate::cli) fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        Self(texts.flat_map(used).map(|(name, _)| (name.to_owned(), 0)).collect())
    }

    pub(in crate::cli) fn values(&self) -> BTreeMap<String, String> {
        self.0.iter().filter_map(|(name, tried)| Some((name.clone(), guess(name, *tried)?))).collect()
    }

    /// The variables on the lines of these mistakes.
    pub(in crate::cli) fn concerned<'a>(text: &str, mistakes: impl Iterator<Item = &'a Place>) -> BTreeSet<String> {
        let lines: BTreeSet<u32> = mistakes.map(|place| place.line).collect();
        used(text).filter(|(_, line)| lines.contains(line)).map(|(name, _)| name.to_owned()).collect()
    }

    /// Another guess for each of these. Whether there was one.
    pub(in crate::cli) fn guess_anew(&mut self, names: &BTreeSet<String>) -> bool {
        let mut is_new = false;
        for name in names {
            if let Some(tried) = self.0.get_mut(name).filter(|tried| guess(name, **tried + 1).is_some()) {
                *tried += 1;
                is_new = true;
            }
        }
        is_new
    }
}

/// Itself, as it is written; where that cannot be, something that can.
fn guess(name: &str, tried: usize) -> Option<String> {
    let name = match tried {
        0 => format!("${{{name}}}"),
        1 => name.to_ascii_lowercase().replace('_', "-").trim_matches('-').to_owned(),
        // A number, an address, a subnet, a size, a switch, a MAC: all from where nobody lives.
        2 => "1".to_owned(),
        3 => "192.0.2.77".to_owned(),
        4 => "192.0.2.0/24".to_owned(),
        5 => "64M".to_owned(),
        6 => "true".to_owned(),
        7 => "02:00:00:00:00:01".to_owned(),
        _ => return None,
    };
    Some(name)
}

/// `$NAME`, `${NAME}`, `${NAME?why}` and `${NAME:?why}`, each with its line.
fn used(text: &str) -> impl Iterator<Item = (&str, u32)> {
    let (mut at, mut line) = (0, 1);
    std::iter::from_fn(move || {
        loop {
            let dollar = at + text[at..].find('$')?;
            line += u32::try_from(text[at..dollar].matches('\n').count()).unwrap_or(0);
            let rest = &text[dollar + 1..];
            let braced = rest.strip_prefix('{');
            let body = braced.unwrap_or(rest);
            let is_name = |(at, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || at > 0 && c.is_ascii_digit();
            let end = body.char_indices().find(|it| !is_name(*it)).map_or(body.len(), |(at, _)| at);
            let (name, behind) = body.split_at(end);
            at = dollar + 1 + usize::from(braced.is_some()) + end;
            if rest.starts_with('$') {
                at = dollar + 2;
            } else if !name.is_empty() && (braced.is_none() || behind.starts_with(['}', '?']) || behind.starts_with(":?")) {
                return Some((name, line));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_without_a_default_are_found_with_their_lines() {
        let found: Vec<_> = used("a: $A\nb: ${B}-${C:-${D}}\nc: $$E ${F:?why} ${G+x} $1 $").collect();
        assert_eq!(found, [("A", 1), ("B", 2), ("D", 2), ("F", 3)]);
    }
}
