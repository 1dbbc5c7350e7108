//! The JSON Schema of the file, out of the same tables that read it.
//!
//! An editor sees the file before variables are replaced, so wherever a text is read as something else, a text with a `$` in it
//! is let through.

#![expect(clippy::needless_pass_by_value, reason = "schemas are made in place, and go into another one")]

use serde_json::{Map, Value, json};

use super::reader::Key;
use super::{cable, file, machine, network, nic, volume};

/// The whole, as the file in `schema/` has it.
pub fn schema() -> String {
    let mut root = object(&[file::KEYS], &[]);
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("fly.yml");
    root["description"] = json!("Machines: containers with network cards, addresses and names of their own");
    root["patternProperties"] = json!({"^x-": {"description": "Ignored: a place for anchors"}});
    root["$defs"] = json!({
        "machine": nullable(object(machine::TABLES, &[])),
        "network": nullable(object(&[network::KEYS], &[])),
        "nic": any(vec![described(text(), "The network that it is plugged into"), object(nic::TABLES, &[])]),
        "cable": any(vec![
            described(list_of(cable::end_schema(), Some(2)), "The two ends"),
            object(cable::TABLES, &["ends"]),
        ]),
        "volume": nullable(object(&[volume::KEYS], &[])),
    });
    let mut out = serde_json::to_string_pretty(&root).unwrap_or_default();
    out.push('\n');
    out
}

pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

pub(super) fn object<T>(tables: &[&[Key<T>]], required: &[&str]) -> Value {
    let mut properties = Map::new();
    for key in tables.iter().flat_map(|table| table.iter()) {
        properties.insert(key.name.to_owned(), described((key.schema)(), key.doc));
    }
    let mut out = json!({"type": "object", "properties": properties, "patternProperties": {"^x-": {}}, "additionalProperties": false});
    if !required.is_empty() {
        out["required"] = json!(required);
    }
    out
}

pub(super) fn described(mut schema: Value, text: &str) -> Value {
    schema["description"] = json!(text);
    schema
}

pub(super) fn any(schemas: Vec<Value>) -> Value {
    json!({"anyOf": schemas})
}

pub(super) fn nullable(schema: Value) -> Value {
    any(vec![schema, json!({"type": "null"})])
}

pub(super) fn text() -> Value {
    json!({"type": "string", "minLength": 1})
}

pub(super) fn any_text() -> Value {
    json!({"type": "string"})
}

/// Anything but nothing and collections.
pub(super) fn scalar() -> Value {
    json!({"type": ["string", "number", "boolean"]})
}

pub(super) fn matching(pattern: &str) -> Value {
    json!({"type": "string", "pattern": format!("^(?:{pattern})$|\\$")})
}

pub(super) fn integer(least: i64, most: i64) -> Value {
    let sign = if least < 0 { "-?" } else { "" };
    any(vec![json!({"type": "integer", "minimum": least, "maximum": most}), matching(&format!("{sign}[0-9]+"))])
}

pub(super) fn boolean() -> Value {
    any(vec![json!({"type": "boolean"}), matching("true|false")])
}

pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    any(vec![json!({"enum": names.into_iter().collect::<Vec<_>>()}), json!({"type": "string", "pattern": "\\$"})])
}

/// A list, or nothing, which is an empty one.
pub(super) fn list(item: Value) -> Value {
    nullable(list_of(item, None))
}

pub(super) fn list_of(item: Value, length: Option<usize>) -> Value {
    let mut out = json!({"type": "array", "items": item});
    if let Some(length) = length {
        out["minItems"] = json!(length);
        out["maxItems"] = json!(length);
    }
    out
}

pub(super) fn one_or_more(item: Value) -> Value {
    any(vec![item.clone(), list_of(item, None)])
}

pub(super) fn map(value: Value) -> Value {
    nullable(json!({"type": "object", "additionalProperties": value}))
}

/// A mapping whose keys are names.
pub(super) fn named(pattern: &str, value: Value) -> Value {
    nullable(json!({"type": "object", "additionalProperties": value, "propertyNames": {"pattern": pattern}}))
}
