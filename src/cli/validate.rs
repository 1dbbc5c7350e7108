//! `fly validate`: what is wrong with files, for people, programs and pull requests. No engine is asked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::args::{Annotated, ValidateArgs};
use super::confine::confine;
use super::diagnostic::{self, counted, escaped};
use super::exit::Exit;
use super::failure::{Failure, Sources};
use super::load::{self, Checked};
use super::recorded;
use super::settings::Settings;
use super::ui::Ui;
use crate::diag::{self, Diagnostic, Kind, Place, Severity};

/// Goes up when a program that reads the document would have to be changed.
const VERSION: u32 = 1;

pub(super) fn run(args: &ValidateArgs, settings: &Settings, ui: &Ui) -> Result<Exit, Failure> {
    let one = |file: &PathBuf| Settings { file: Some(file.clone()), ..settings.clone() };
    let each: Vec<Settings> = if args.files.is_empty() { vec![settings.clone()] } else { args.files.iter().map(one).collect() };
    let found: Vec<_> = each.iter().map(recorded::in_project).collect();
    let folders = found.iter().flatten().map(|(_, folder)| folder.path().to_owned());
    let given = settings.env_files.iter().map(|file| settings.environment.directory.join(file));
    let readable: Vec<PathBuf> = folders.chain(given).collect();
    confine(&readable.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    let check = |(settings, found): (&Settings, Result<_, Diagnostic>)| match found {
        Ok((found, folder)) => load::check(settings, &found, &folder),
        Err(error) => {
            Checked::unread(settings.file.as_ref().map_or_else(|| "fly.yml".to_owned(), |file| file.display().to_string()), error)
        }
    };
    let checked: Vec<Checked> = each.iter().zip(found).map(check).collect();
    let errors: Vec<Diagnostic> =
        checked.iter().flat_map(|file| &file.diagnostics).filter(|diagnostic| diagnostic.is_error()).cloned().collect();
    ui.out(&match args.format {
        Annotated::Text => text(&checked, ui.out_color),
        Annotated::Json => json(&checked),
        Annotated::Github => github(&checked),
    })?;
    Ok(if errors.is_empty() { Exit::Done } else { Exit::of_diagnostics(&errors) })
}

fn text(checked: &[Checked], color: bool) -> String {
    let mut out = String::new();
    for file in checked {
        out.push_str(&diagnostic::render(&file.diagnostics, &file.sources, color));
        if !file.diagnostics.iter().any(Diagnostic::is_error) {
            let machines = match file.machines {
                Some(1) => ", 1 machine".to_owned(),
                Some(count) => format!(", {count} machines"),
                None => String::new(),
            };
            let warnings = if file.diagnostics.is_empty() { String::new() } else { format!(", {}", counted(&file.diagnostics)) };
            let _ = writeln!(out, "{}: nothing is wrong{machines}{warnings}", escaped(&file.shown));
        }
    }
    out
}

/// `schema/validate.schema.json` describes it.
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    valid: bool,
    files: Vec<&'a str>,
    diagnostics: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    severity: Severity,
    kind: Kind,
    message: &'a str,
    #[serde(flatten)]
    span: Option<Span<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    related: Vec<Related<'a>>,
    causes: &'a [String],
    hints: &'a [String],
}

/// Lines and columns count from 1, columns in characters; the end is the first character after it.
#[derive(Serialize)]
struct Span<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
}

#[derive(Serialize)]
struct Related<'a> {
    message: &'a str,
    #[serde(flatten)]
    span: Span<'a>,
}

fn json(checked: &[Checked]) -> String {
    let document = Document {
        version: VERSION,
        valid: !checked.iter().flat_map(|file| &file.diagnostics).any(Diagnostic::is_error),
        files: checked.iter().map(|file| file.shown.as_str()).collect(),
        diagnostics: checked.iter().flat_map(|file| file.diagnostics.iter().map(|it| entry(it, &file.sources))).collect(),
    };
    serde_json::to_string_pretty(&document).expect("texts and numbers are JSON") + "\n"
}

fn entry<'a>(diagnostic: &'a Diagnostic, sources: &Sources) -> Entry<'a> {
    let related = |(place, message): &'a (Place, String)| Related { message, span: span(place, sources) };
    Entry {
        severity: diagnostic.severity,
        kind: diagnostic.kind,
        message: &diagnostic.message,
        span: diagnostic.place.as_ref().map(|place| span(place, sources)),
        label: diagnostic.label.as_deref(),
        related: diagnostic.also.iter().map(related).collect(),
        causes: &diagnostic.causes,
        hints: &diagnostic.hints,
    }
}

fn span<'a>(place: &'a Place, sources: &BTreeMap<Arc<str>, String>) -> Span<'a> {
    let text = sources.get(&place.file).and_then(|text| text.get(place.offset..place.offset + place.len)).unwrap_or_default();
    let text = text.trim_end();
    let lines = u32::try_from(text.matches('\n').count()).unwrap_or(0);
    let last = text.rsplit('\n').next().unwrap_or_default().chars().count();
    let start = if lines == 0 { place.column } else { 1 };
    let end_column = start.saturating_add(u32::try_from(last).unwrap_or(0));
    Span { file: &place.file, line: place.line, column: place.column, end_line: place.line + lines, end_column }
}

/// Commands of a workflow's run: GitHub shows each as an annotation on its line.
fn github(checked: &[Checked]) -> String {
    let mut out = String::new();
    for file in checked {
        let mut diagnostics = file.diagnostics.clone();
        diag::sort(&mut diagnostics);
        for diagnostic in &diagnostics {
            out.push_str(&annotation(diagnostic, &file.shown, &file.sources));
        }
    }
    out
}

fn annotation(diagnostic: &Diagnostic, file: &str, sources: &Sources) -> String {
    let word = if diagnostic.is_error() { "error" } else { "warning" };
    let mut properties = match &diagnostic.place {
        None => format!("file={}", property(file)),
        Some(place) => {
            let Span { file, line, column, end_line, end_column } = span(place, sources);
            let columns = if line == end_line && end_column > column { format!(",endColumn={end_column}") } else { String::new() };
            format!("file={},line={line},endLine={end_line},col={column}{columns}", property(file))
        }
    };
    let _ = write!(properties, ",title={}", property(&diagnostic.message));
    let label = diagnostic.label.iter().map(|label| format!("here: {label}"));
    let also = diagnostic.also.iter().map(|(place, text)| format!("{place}: {text}"));
    let causes = diagnostic.causes.iter().map(|cause| format!("caused by: {cause}"));
    let hints = diagnostic.hints.iter().map(|hint| format!("hint: {hint}"));
    let lines: Vec<String> = label.chain(also).chain(causes).chain(hints).collect();
    let message = if lines.is_empty() { diagnostic.message.clone() } else { lines.join("\n") };
    format!("::{word} {properties}::{}\n", data(&message))
}

/// As GitHub's own toolkit escapes it.
fn data(text: &str) -> String {
    escaped(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
