//! A plan for programs: one document. The shape is promised: it changes only together with `JSON_VERSION`, and `schema/plan.schema.json`
//! is its description.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde::Serialize;
use serde_json::{Value, json};

use super::Counts;
use crate::diag::Place;
use crate::diff::{Action, Change, Effect, FieldChange, Impact, Loss};
use crate::plan::StepId;
use crate::plan::review::{Downtime, Group, Item, Machines, Origin, Review, Severity};
use crate::types::{Addr, Name};

pub const JSON_VERSION: u32 = 2;

#[derive(Serialize)]
struct PlanView<'a> {
    version: u32,
    project: &'a Name,
    worst: Severity,
    impact: Impact,
    summary: Counts,
    machines: Machines,
    groups: Vec<GroupView<'a>>,
    changes: Vec<ChangeView<'a>>,
    steps: Vec<StepView<'a>>,
    security: Vec<SecurityView<'a>>,
    left_out: &'a [Addr],
    notes: &'a [String],
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Section {
    Changes,
    Touched,
    Drift,
}

/// A machine with what is its own, or something shared.
#[derive(Serialize)]
struct GroupView<'a> {
    addr: &'a Addr,
    section: Section,
    severity: Severity,
    action: Action,
    downtime: Option<Downtime>,
    losses: Vec<LossView<'a>>,
    kept: &'a [String],
    parts: Vec<&'a Addr>,
    comes_back: Vec<&'a Addr>,
    because: BTreeSet<&'a Addr>,
    touched: &'a BTreeSet<String>,
}

#[derive(Serialize)]
struct LossView<'a> {
    addr: &'a Addr,
    what: String,
    /// Of a writable layer, where that is known.
    bytes: Option<u64>,
}

#[derive(Serialize)]
struct ChangeView<'a> {
    addr: &'a Addr,
    action: Action,
    impact: Impact,
    reason: &'a str,
    fields: Vec<FieldView<'a>>,
    place: Option<PlaceView<'a>>,
    origin: Option<&'a Origin>,
}

#[derive(Serialize)]
struct FieldView<'a> {
    field: &'a str,
    old: Option<&'a str>,
    new: Option<&'a str>,
    effect: Effect,
    place: Option<PlaceView<'a>>,
    origin: Option<&'a Origin>,
}

#[derive(Serialize)]
struct PlaceView<'a> {
    file: &'a str,
    line: u32,
    column: u32,
}

/// A step in words: the payload of its operation may hold secrets.
#[derive(Serialize)]
struct StepView<'a> {
    id: StepId,
    wave: usize,
    addr: &'a Addr,
    does: String,
    after: &'a BTreeSet<StepId>,
    reason: &'a str,
    impact: Impact,
}

#[derive(Serialize)]
struct SecurityView<'a> {
    addr: &'a Addr,
    text: &'a str,
    place: Option<PlaceView<'a>>,
}

/// One JSON document, with a line feed at its end.
pub fn json(review: &Review<'_>) -> String {
    let plan = review.plan;
    let waves = review.waves();
    let steps = plan.steps.iter().map(|step| StepView {
        id: step.id,
        wave: waves.get(&step.id).copied().unwrap_or(1),
        addr: &step.addr,
        does: step.does(),
        after: &step.after,
        reason: step.reason.as_str(),
        impact: step.impact,
    });
    let sections = [(Section::Changes, &review.changes), (Section::Touched, &review.touched), (Section::Drift, &review.drift)];
    let groups = sections.into_iter().flat_map(|(section, groups)| groups.iter().map(move |group| group_view(section, group)));
    let mut items: BTreeMap<&Addr, Vec<&Item<'_>>> = BTreeMap::new();
    for item in review.groups().flat_map(|group| &group.items) {
        items.entry(&item.change.addr).or_default().push(item);
    }
    let view = PlanView {
        version: JSON_VERSION,
        project: &plan.project,
        worst: review.worst,
        impact: plan.impact(),
        summary: Counts::of(&plan.changes),
        machines: review.machines,
        groups: groups.collect(),
        changes: plan.changes.iter().map(|change| change_view(&items, change)).collect(),
        steps: steps.collect(),
        security: review
            .security
            .iter()
            .map(|it| SecurityView { addr: &it.addr, text: &it.text, place: place(it.place.as_ref()) })
            .collect(),
        left_out: &review.left_out,
        notes: &plan.notes,
    };
    written(&view)
}

fn group_view<'a>(section: Section, group: &'a Group<'_>) -> GroupView<'a> {
    let loss = |(addr, loss): &'a (Addr, Loss)| LossView {
        addr,
        what: loss.to_string(),
        bytes: if let Loss::WritableLayer(Some(bytes)) = loss { Some(bytes.0) } else { None },
    };
    GroupView {
        addr: &group.addr,
        section,
        severity: group.severity,
        action: group.action,
        downtime: group.downtime,
        losses: group.losses.iter().map(loss).collect(),
        kept: &group.kept,
        parts: group.items.iter().map(|item| &item.change.addr).collect(),
        comes_back: group.coming_back().collect(),
        because: group.because(),
        touched: &group.touched,
    }
}

fn change_view<'a>(items: &BTreeMap<&Addr, Vec<&'a Item<'_>>>, change: &'a Change) -> ChangeView<'a> {
    let items = items.get(&change.addr).map_or(&[][..], Vec::as_slice);
    let of = |field: &FieldChange| {
        let has = |item: &&&Item<'_>| item.fields.iter().any(|other| other.field == field.field);
        items.iter().find(has).and_then(|item| item.origin.as_ref())
    };
    let fields = change.fields.iter().map(|field| FieldView {
        field: &field.field,
        old: field.old.as_deref(),
        new: field.new.as_deref(),
        effect: field.effect,
        place: place(field.place.as_ref()),
        origin: of(field),
    });
    ChangeView {
        addr: &change.addr,
        action: change.action,
        impact: change.impact,
        reason: &change.reason,
        fields: fields.collect(),
        place: place(change.place.as_ref()),
        origin: items.first().and_then(|item| item.origin.as_ref()),
    }
}

fn place(place: Option<&Place>) -> Option<PlaceView<'_>> {
    place.map(|place| PlaceView { file: &place.file, line: place.line, column: place.column })
}

fn written(value: &impl Serialize) -> String {
    let mut bytes = vec![];
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Lines::default());
    value.serialize(&mut serializer).expect("maps have text keys, and nothing here can fail to serialise");
    bytes.push(b'\n');
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

/// A line for every key of the document, and for every member of its lists: readable, and comparable line by line.
#[derive(Default)]
struct Lines {
    depth: usize,
    has_value: bool,
}

impl Lines {
    const DEEPEST: usize = 2;

    fn begin<W: ?Sized + io::Write>(&mut self, out: &mut W, with: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.has_value = false;
        out.write_all(with)
    }

    fn end<W: ?Sized + io::Write>(&mut self, out: &mut W, with: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if self.has_value && self.depth < Self::DEEPEST {
            self.line(out)?;
        }
        self.has_value = true;
        out.write_all(with)
    }

    fn next<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if self.depth > Self::DEEPEST {
            return out.write_all(if first { b"" } else { b", " });
        }
        out.write_all(if first { b"" } else { b"," })?;
        self.line(out)
    }

    fn line<W: ?Sized + io::Write>(&self, out: &mut W) -> io::Result<()> {
        write!(out, "\n{}", "  ".repeat(self.depth))
    }
}

impl serde_json::ser::Formatter for Lines {
    fn begin_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, b"]")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }
}

/// The whole description, as the file in `schema/` has it.
pub fn schema() -> String {
    let severities = ["nothing", "create", "live", "interrupts", "loses"];
    let text_or_null = json!({"type": ["string", "null"]});
    let place = object(&json!({"file": {"type": "string"}, "line": number(1), "column": number(1)}));
    let place = json!({"anyOf": [place, {"type": "null"}]});
    let drift = object(&json!({"by": {"const": "drift"}, "hint": text_or_null}));
    let origin = json!({"anyOf": [object(&json!({"by": {"const": "file"}})), drift, {"type": "null"}],
        "description": "Whether the file was changed or the world; null where that is not known"});
    let reference = |name: &str| json!({"$ref": format!("#/$defs/{name}")});
    let list = |item: Value| json!({"type": "array", "items": item});
    let addrs = list(reference("addr"));
    let texts = list(json!({"type": "string"}));
    let field = object(&json!({"field": {"type": "string"}, "old": text_or_null, "new": text_or_null,
        "effect": {"enum": ["live", "restart", "replace"]}, "place": reference("place"), "origin": reference("origin")}));
    let change = object(&json!({"addr": reference("addr"), "action": reference("action"), "impact": reference("impact"),
        "reason": {"type": "string"}, "fields": list(field), "place": reference("place"), "origin": reference("origin")}));
    let loss =
        object(&json!({"addr": reference("addr"), "what": {"type": "string"}, "bytes": {"type": ["integer", "null"], "minimum": 0}}));
    let group = object(&json!({"addr": reference("addr"), "section": {"enum": ["changes", "touched", "drift"]},
        "severity": reference("severity"), "action": reference("action"),
        "downtime": {"enum": ["restarts_once", "until_replaced", "goes_away", null]}, "losses": list(loss), "kept": texts,
        "parts": addrs, "comes_back": addrs, "because": addrs, "touched": texts}));
    let step = object(&json!({"id": number(1), "wave": number(1), "addr": reference("addr"), "does": {"type": "string"},
        "after": list(number(1)), "reason": {"type": "string", "minLength": 1}, "impact": reference("impact")}));
    let security = object(&json!({"addr": reference("addr"), "text": {"type": "string"}, "place": reference("place")}));
    let counts =
        |names: &[&str]| object(&names.iter().map(|name| ((*name).to_owned(), number(0))).collect::<serde_json::Map<_, _>>().into());
    let mut root = object(&json!({"version": {"const": JSON_VERSION}, "project": {"type": "string"}, "worst": reference("severity"),
        "impact": reference("impact"), "summary": counts(&["create", "update", "restart", "replace", "delete", "keep"]),
        "machines": counts(&["lost", "interrupted", "live", "created", "unchanged"]), "groups": list(group), "changes": list(change),
        "steps": list(step), "security": list(security), "left_out": addrs, "notes": texts}));
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("fly plan --format json");
    root["description"] = json!("What would be done so that the world is as fly.yml says");
    root["$defs"] = json!({
        "addr": {"type": "string", "pattern": "^(agent|(image|guest|volume|hostkey|network|machine|nic|link)/.*)$"},
        "action": {"enum": ["keep", "create", "update", "restart", "replace", "delete"]},
        "impact": {"enum": ["none", "live", "restart", "recreate", "destroy"]},
        "severity": {"enum": severities, "description": "How bad the news is, the worst last"},
        "place": place,
        "origin": origin,
    });
    let mut out = serde_json::to_string_pretty(&root).unwrap_or_default();
    out.push('\n');
    out
}

fn number(least: u32) -> Value {
    json!({"type": "integer", "minimum": least})
}

/// With exactly these keys.
fn object(properties: &Value) -> Value {
    let required: Vec<&String> = properties.as_object().map(|map| map.keys().collect()).unwrap_or_default();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}
