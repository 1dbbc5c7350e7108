//! Foreign text in Markdown: nothing of it is acted upon, neither by the parser nor by what GitHub and GitLab make of its result
//! (`@somebody`, `#12`, links). That is what code is for: neither looks into it.

use super::super::clean;

/// Foreign text in a line, also in a table: a span of code that it can neither end nor be cut in two by. (In `<code>` it would still be
/// searched for links.)
pub(super) fn code(text: &str) -> String {
    let text = clean(text).replace('`', "\\x60").replace('|', "\\x7c");
    if text.is_empty() { "`\"\"`".to_owned() } else { format!("`{text}`") }
}

/// A sentence of fly's with foreign words in it: whatever is not plainly a word is code, and so is what it has in backticks.
pub(super) fn words(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    // Backticks come in pairs, or are foreign.
    if parts.len().is_multiple_of(2) {
        return sentence(text);
    }
    let part = |(at, part): (usize, &&str)| if at % 2 == 1 { code(part) } else { sentence(part) };
    parts.iter().enumerate().map(part).collect()
}

fn sentence(text: &str) -> String {
    let one = |word: &str| {
        let bare = word.trim_end_matches([',', ';', ':', ')', '.']);
        let (open, bare) = bare.strip_prefix('(').map_or(("", bare), |rest| ("(", rest));
        let tail = &word[open.len() + bare.len()..];
        if bare.is_empty() || is_plain(bare) { format!("{open}{bare}{tail}") } else { format!("{open}{}{tail}", code(bare)) }
    };
    text.split(' ').map(one).collect::<Vec<_>>().join(" ")
}

/// Letters alone; and not such as a commit could be called.
fn is_plain(word: &str) -> bool {
    let letters = word.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '\'' | '-'));
    let numbers = word.len() < 7 && word.chars().all(|c| c.is_ascii_digit() || c == '.') && word.starts_with(|c: char| c.is_ascii_digit());
    let is_hash = word.len() >= 7 && word.chars().all(|c| c.is_ascii_hexdigit());
    (letters && word.starts_with(|c: char| c.is_ascii_alphabetic()) && !is_hash) || numbers
}

/// Text that goes into a fenced block: whatever could end it is written as other characters of that kind are.
pub(super) fn unfenced(text: &str) -> String {
    text.replace("```", "\\x60\\x60\\x60").replace("~~~", "\\x7e\\x7e\\x7e")
}

/// A fenced block; its lines have been through `unfenced`.
pub(super) fn fenced(language: &str, lines: &str) -> String {
    debug_assert!(!lines.contains("```"), "nothing in a fence ends it");
    format!("```{language}\n{lines}```\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_in_its_code() {
        assert_eq!(code("machine/web"), "`machine/web`");
        assert_eq!(code("a`b|c"), r"`a\x60b\x7cc`");
        assert_eq!(code("a\nb"), r"`a\nb`");
        assert_eq!(code(""), "`\"\"`");
    }

    #[test]
    fn only_words_are_left_as_they_are() {
        let text = "the engine fixes image, environment.MODE at creation (machine/web)";
        assert_eq!(words(text), "the engine fixes image, `environment.MODE` at creation (`machine/web`)");
        assert_eq!(words("cc @all #12 deadbeef GH-3 1.5"), "cc `@all` `#12` `deadbeef` `GH-3` 1.5");
        assert_eq!(words("kept: `fly down --volumes` deletes it"), "kept: `fly down --volumes` deletes it");
        assert_eq!(words("a `b"), r"a `\x60b`");
    }

    #[test]
    fn nothing_ends_a_fence() {
        assert_eq!(unfenced("+ ```` x"), "+ \\x60\\x60\\x60` x");
        assert_eq!(fenced("diff", "+ a\n"), "```diff\n+ a\n```\n");
    }
}
