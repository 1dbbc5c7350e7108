//! The one place that knows the YAML parser: text in, a tree of values with their spans out.
//!
//! Nothing is typed here. Aliases and merge keys are expanded, and every value keeps the span where it was *defined*, because that
//! is what a user has to change. Duplicate keys are handed on, so that all of them can be reported.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Spanned};

/// The largest file that is read.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Values of all kinds, aliases expanded: a thousand machines need some 30 000.
const MAX_NODES: usize = 50_000;
const MAX_DEPTH: usize = 32;

pub(super) type Raw = Spanned<Body>;

#[derive(Debug)]
pub(super) enum Body {
    Null,
    Bool(bool),
    /// As its source text has it; this is for the rare scalar that has none of its own.
    Number(String),
    Text(String),
    Seq(Vec<Raw>),
    Map(Vec<(Raw, Raw)>),
}

/// Why there is no tree: line and column count from 1; 0 is unknown.
pub(super) struct Refusal {
    pub message: String,
    pub hint: String,
    pub line: u32,
    pub column: u32,
}

pub(super) fn load(text: &str) -> Result<Raw, Refusal> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 2 * MAX_NODES,
            max_aliases: 5_000,
            max_anchors: 5_000,
            max_recorded_anchor_events: MAX_NODES,
            max_recorded_anchor_bytes: 8 * MAX_BYTES,
            max_nodes: MAX_NODES,
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_documents: 2,
            max_total_scalar_bytes: 8 * MAX_BYTES,
            max_merge_keys: 2_000,
            // One anchor for hundreds of machines is what anchors are for; the other limits hold.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_NODES, max_replay_stack_depth: 8 },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| refusal(&error, text))
}

/// The error itself, out of what says by which alias it came.
fn innermost(error: &serde_saphyr::Error) -> &serde_saphyr::Error {
    let mut error = error.without_snippet();
    while let serde_saphyr::Error::AliasError { error: inner, .. } = error {
        error = inner.without_snippet();
    }
    error
}

fn refusal(error: &serde_saphyr::Error, source: &str) -> Refusal {
    let at = error.location().unwrap_or(Location::UNKNOWN);
    let (line, column) = (u32::try_from(at.line()).unwrap_or(0), u32::try_from(at.column()).unwrap_or(0));
    let (message, hint) = match innermost(error) {
        serde_saphyr::Error::MultipleDocuments { .. } => (
            "a second document begins here, and the file may have one only".to_owned(),
            "remove the line `---` or `...` before it".to_owned(),
        ),
        serde_saphyr::Error::Budget { .. }
        | serde_saphyr::Error::AliasReplayLimitExceeded { .. }
        | serde_saphyr::Error::AliasExpansionLimitExceeded { .. }
        | serde_saphyr::Error::AliasReplayStackDepthExceeded { .. } => too_much(),
        // Its own word for a nesting that its limits do not count.
        other if other.to_string().contains("recursion limit") => too_much(),
        other => {
            let text = other.to_string();
            let end = text.find(" at line ").unwrap_or(text.len());
            let line = source.lines().nth((line as usize).saturating_sub(1)).unwrap_or_default();
            let (message, hint) = explained(&text[..end].replace('\'', "`"), line);
            (format!("not valid YAML: {message}"), hint.to_owned())
        }
    };
    Refusal { message, hint, line, column }
}

fn too_much() -> (String, String) {
    let message = "the file holds too much: too many values, or too deep a nesting, once its aliases are expanded";
    (message.to_owned(), "a file for each part of the project, each with a `name` of its own".to_owned())
}

/// The parser's words where they are for people, and what to do about it.
fn explained(text: &str, line: &str) -> (String, &'static str) {
    let (message, hint) = match text {
        _ if line.trim_start_matches(' ').starts_with('\t') => (text, "indent with spaces: YAML takes no tabs there"),
        _ if text.contains("recursive references") => {
            ("an alias stands inside of what its own anchor names", "write out what is meant: nothing can be a part of itself")
        }
        _ if text.contains("document start") => {
            ("the file goes on after its value has ended", "keys of one mapping, and the `-` of one list, stand below each other")
        }
        _ if line.contains("${") && text.contains("expected") => {
            (text, "between `{` and `}`, a variable stands in quotes: `{image: \"${IMAGE:-debian:12}\"}`")
        }
        _ if text.contains("unexpected character") && text.contains("\\u{") => (
            text,
            "no such character stands in YAML: leave it out; a file full of them is UTF-16, which `iconv -f UTF-16LE -t UTF-8` turns",
        ),
        _ if text.contains("unexpected character") => (text, "a value that begins with such a character stands in quotes"),
        _ if text.contains("escape character") => {
            (text, "between `\"` and `\"`, a `\\` is written twice; between single quotes it is itself")
        }
        _ if text.contains("merge value") => {
            ("`<<` takes in the keys of a mapping, and this is none", "`<<: *name`, where `&name` stands before a mapping")
        }
        _ if line.contains("!!") && (text.contains("!!") || text.starts_with("invalid ")) => {
            ("a value is not what its tag says", "leave the tag, `!!…`, out")
        }
        _ if text.contains("YAML major version") => (text, "remove the line that begins with `%YAML`"),
        _ if text.contains("unknown anchor") || text.contains("unknown alias") || text.contains("not defined") => {
            (text, "`&name` stands before the value that `*name` repeats further down; a text that begins with `*` stands in quotes")
        }
        _ if text.contains("mapping values are not allowed") => {
            (text, "a value with `: ` in it stands in quotes; keys of one mapping stand exactly below each other")
        }
        _ => (text, "is every quote, `[` and `{` closed, and is everything indented by spaces as it belongs together?"),
    };
    (message.to_owned(), hint)
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Body, E> {
        Ok(Body::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Body, E> {
        Ok(Body::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Body, E> {
        Ok(Body::Number(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Body, E> {
        Ok(Body::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Body, E> {
        Ok(Body::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Body, E> {
        Ok(Body::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Body, E> {
        Ok(Body::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Body, E> {
        Ok(Body::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Body, E> {
        Ok(Body::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Body, A::Error> {
        let mut items = vec![];
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Body::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Body, A::Error> {
        let mut entries = vec![];
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Body::Map(entries))
    }
}
