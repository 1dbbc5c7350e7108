//! The guest's log: its standard error, which ends in the machine's log and in the channel of a session.

use std::fmt::Write as _;
use std::io::Write as _;

/// One line, in one write, so that processes that share the log do not mix their words.
pub(crate) fn line(text: &str) {
    let mut whole = String::with_capacity(text.len() + 6);
    whole.push_str("fly: ");
    whole.push_str(text);
    whole.push('\n');
    // Nobody is left to be told that the log is gone.
    let _ = std::io::stderr().write_all(whole.as_bytes());
}

/// What somebody else has sent, fit for a log: no control characters, and not longer than a line bears.
pub(crate) fn foreign(text: &str) -> String {
    const LONGEST: usize = 64;
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == LONGEST {
            shown.push('…');
            break;
        }
        // Marks that turn the direction of writing are no control characters, and deceive as well.
        let deceives =
            c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if deceives || c == '\\' {
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::foreign;

    #[test]
    fn a_name_cannot_forge_a_line() {
        assert_eq!(foreign("root\nfly: ssh: root logged in\u{1b}[2J"), "root\\nfly: ssh: root logged in\\u{1b}[2J");
        assert_eq!(foreign("jürgen"), "jürgen");
        assert_eq!(foreign(&"a".repeat(1000)).chars().count(), 65);
    }
}
