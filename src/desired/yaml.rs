//! A little YAML, for what `fly config` prints: written so that `fly.yml` can be read from it again.

use std::fmt::Write as _;

#[derive(Clone, Debug)]
pub(super) enum Node {
    /// As it is to stand there.
    Raw(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    pub(super) fn text(text: impl std::fmt::Display) -> Self {
        Self::Text(text.to_string())
    }

    pub(super) fn raw(text: impl std::fmt::Display) -> Self {
        Self::Raw(text.to_string())
    }

    pub(super) fn texts<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(items.into_iter().map(Self::text).collect())
    }

    fn is_flow(&self) -> bool {
        match self {
            Self::Raw(_) | Self::Text(_) => true,
            Self::List(items) => items.iter().all(|item| matches!(item, Self::Raw(_) | Self::Text(_))),
            Self::Map(entries) => entries.is_empty(),
        }
    }
}

/// A mapping that is filled in the order in which it is to be read.
#[derive(Default)]
pub(super) struct Map(Vec<(String, Node)>);

impl Map {
    pub(super) fn put(&mut self, key: impl Into<String>, node: Node) {
        self.0.push((key.into(), node));
    }

    pub(super) fn put_some(&mut self, key: &str, node: Option<Node>) {
        self.0.extend(node.map(|node| (key.to_owned(), node)));
    }

    /// Where there is something in it.
    pub(super) fn put_full(&mut self, key: &str, node: Node) {
        let empty = match &node {
            Node::List(items) => items.is_empty(),
            Node::Map(entries) => entries.is_empty(),
            Node::Raw(_) | Node::Text(_) => false,
        };
        if !empty {
            self.put(key, node);
        }
    }

    pub(super) fn node(self) -> Node {
        Node::Map(self.0)
    }
}

/// The text of a whole file.
pub(super) fn file(node: &Node) -> String {
    let mut out = String::new();
    block(node, 0, &mut out);
    out
}

fn block(node: &Node, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match node {
        Node::Map(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                let key = scalar(key, false);
                if value.is_flow() {
                    let _ = writeln!(out, "{indent}{key}: {}", flow(value));
                } else {
                    let _ = writeln!(out, "{indent}{key}:");
                    block(value, depth + 1, out);
                }
            }
        }
        Node::List(items) if !node.is_flow() => {
            for item in items {
                if item.is_flow() {
                    let _ = writeln!(out, "{indent}- {}", flow(item));
                } else {
                    // The item's own first line carries the dash.
                    let mut inner = String::new();
                    block(item, depth + 1, &mut inner);
                    let _ = write!(out, "{indent}- {}", inner.get(indent.len() + 2..).unwrap_or_default());
                }
            }
        }
        node => {
            let _ = writeln!(out, "{indent}{}", flow(node));
        }
    }
}

/// On one line.
pub(super) fn flow(node: &Node) -> String {
    match node {
        Node::Raw(text) => text.clone(),
        Node::Text(text) => scalar(text, true),
        Node::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Node::Map(entries) => {
            let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{}: {}", scalar(key, false), flow(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// Plain where no reader of YAML can take it for something else. In values a `$` would be interpolated when it is read.
fn scalar(text: &str, interpolated: bool) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let quoted = serde_json::Value::from(text).to_string();
    if interpolated { quoted.replace('$', "$$") } else { quoted }
}

fn is_plain(text: &str) -> bool {
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let address = text.split_once('/').map_or(text, |(address, _)| address).parse::<std::net::Ipv4Addr>().is_ok();
    let special = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].iter().any(|word| text.eq_ignore_ascii_case(word));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@' | '+');
    (word || address) && !special && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_misread_is_quoted() {
        for (text, written) in [
            ("web", "web"),
            ("/srv/x", "/srv/x"),
            ("10.0.0.0/24", "10.0.0.0/24"),
            ("fd00::1", "\"fd00::1\""),
            ("No", "\"No\""),
            ("1e3", "\"1e3\""),
            ("", "\"\""),
            ("a: b", "\"a: b\""),
            ("$HOME", "\"$$HOME\""),
            ("two\nlines", "\"two\\nlines\""),
        ] {
            assert_eq!(flow(&Node::text(text)), written);
        }
    }

    #[test]
    fn lists_of_maps_are_blocks() {
        let inner = |n: u8| Node::Map(vec![("a".into(), Node::raw(n)), ("m".into(), Node::Map(vec![("x".into(), Node::raw(1))]))]);
        let node = Node::Map(vec![("l".into(), Node::List(vec![inner(1), inner(2)])), ("e".into(), Node::Map(vec![]))]);
        assert_eq!(file(&node), "l:\n  - a: 1\n    m:\n      x: 1\n  - a: 2\n    m:\n      x: 1\ne: {}\n");
    }
}
