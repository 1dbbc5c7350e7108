//! README.md says what is so: its files are read, its tables are complete and name nothing that there is not.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use fly::desired::{self, Context};
use fly::spec;
use serde_json::Value;

const README: &str = include_str!("../../README.md");

/// The file that the quickstart's script makes.
pub(crate) fn keys_of_the_quickstart() -> BTreeMap<String, Result<String, String>> {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6zGhNB+qhYGPJ6X1Vh2PD0Cy2Mv0Ct0Wh0eC4L5Z9J quickstart\n";
    BTreeMap::from([("/run/fly-quickstart/id.pub".to_owned(), Ok(key.to_owned()))])
}

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let mut found = vec![];
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        let Some(tag) = line.strip_prefix("```") else { continue };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if tag == language {
            found.push(body.join("\n") + "\n");
        }
    }
    found
}

/// From a heading to the next of its rank.
fn section(heading: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no section `{heading}`"));
    rest.split_once("\n## ").map_or(rest, |(section, _)| section)
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The first cell of every row of the tables.
fn first_cells(section: &str) -> impl Iterator<Item = &str> {
    section.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1))
}

/// A word of its own, not a part of another.
fn names(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

/// Every key of the schema, at whatever depth.
fn keys(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                if let ("properties", Some(properties)) = (key.as_str(), value.as_object()) {
                    found.extend(properties.keys().cloned());
                    properties.values().for_each(|value| keys(value, found));
                } else {
                    keys(value, found);
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

fn schema_keys() -> BTreeSet<String> {
    let schema: Value = serde_json::from_str(include_str!("../../schema/fly.schema.json")).unwrap();
    let mut found = BTreeSet::new();
    keys(&schema, &mut found);
    found
}

/// `fly ARGS`, which succeeds.
fn says(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_fly")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that `fly --help` lists.
fn commands() -> Vec<String> {
    let help = says(&["--help"]);
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let list = list.split_once("\n\n").map_or(list, |(list, _)| list);
    list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// The long options that a help text defines, or that any text names.
fn options(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|word| word.strip_prefix("--").is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))).collect()
}

#[test]
fn its_files_are_read_and_resolved() {
    let files: Vec<String> = blocks("yaml").into_iter().filter(|it| it.starts_with("name:") || it.contains("\nname:")).collect();
    assert_eq!(files.len(), blocks("yaml").len(), "every block is a whole file");
    assert!(files.len() >= 2, "{files:?}");
    for text in &files {
        let spec = spec::parse("fly.yml", text, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"));
        let key_files = keys_of_the_quickstart();
        let context = Context { directory: "/srv/readme".into(), home: Some("/home/user".into()), key_files, ..Context::default() };
        let desired = desired::resolve(&spec, &context).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"));
        assert!(!desired.machines.is_empty());
    }
    assert_eq!(files[0], include_str!("../../examples/quickstart/fly.yml"), "the first is the quickstart's");
}

#[test]
fn every_key_is_there_and_no_other() {
    let section = section("## fly.yml");
    let keys = schema_keys();
    assert!(keys.len() > 60, "{keys:?}");
    let missing: Vec<&String> = keys.iter().filter(|key| !names(section, key)).collect();
    assert!(missing.is_empty(), "not in README.md: {missing:?}");
    let invented: Vec<&str> = first_cells(section).flat_map(quoted).filter(|word| !keys.contains(*word)).collect();
    assert!(invented.is_empty(), "no keys of fly.yml: {invented:?}");
    assert!(first_cells(section).flat_map(quoted).count() > 50, "the tables have been found");
}

#[test]
fn every_command_and_option_is_there_and_no_other() {
    let section = section("## Commands");
    let commands = commands();
    assert!(commands.len() >= 7, "{commands:?}");
    let mut helps = says(&["--help"]);
    for command in &commands {
        assert!(quoted(section).any(|it| it == format!("fly {command}")), "`fly {command}` is not in README.md");
        helps += &says(&[command, "--help"]);
    }
    let (named, known) = (options(section), options(&helps));
    let missing: Vec<&&str> = known.difference(&named).filter(|option| **option != "--version").collect();
    assert!(missing.is_empty(), "not in README.md: {missing:?}");
    // Of the whole file, but for what belongs to other programs.
    let invented: Vec<&str> = options(README)
        .difference(&known)
        .copied()
        .filter(|option| !["--depth", "--dry-run", "--path", "--wait", "--direct-phys"].contains(option))
        .collect();
    assert!(invented.is_empty(), "no options of fly: {invented:?}");
    for command in README.lines().filter_map(|line| line.strip_prefix("$ fly ")) {
        let word = command.split(' ').next().unwrap();
        assert!(commands.iter().any(|known| known == word), "`fly {command}`");
    }
}

#[test]
fn every_exit_code_is_there() {
    let source = include_str!("../../src/cli/exit.rs");
    let codes = source.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = ")?.1.parse::<u8>().ok());
    let codes: BTreeSet<u8> = codes.collect();
    let rows = section("## Commands").lines().filter(|line| line.starts_with('|') && !line.starts_with("| `"));
    let cells = rows.filter_map(|line| line.split('|').nth(1));
    let named: BTreeSet<u8> = cells.flat_map(|cell| cell.split(',')).filter_map(|number| number.trim().parse().ok()).collect();
    assert!(codes.len() >= 13, "{codes:?}");
    assert_eq!(named, codes);
}

#[test]
fn it_can_be_read_in_one_go() {
    assert!(README.lines().count() < 520, "{} lines", README.lines().count());
    let opening: Vec<&str> = README.lines().take(20).collect();
    for command in ["examples/quickstart/run", "tests/run"] {
        assert!(opening.iter().any(|line| line.starts_with(command)), "{command} opens it");
    }
    // What it points to is there.
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let links = README.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let gone: Vec<&str> = links.filter(|target| !target.contains("://") && !root.join(target).exists()).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

#[test]
fn the_helpers_capabilities_are_those_of_the_source() {
    let source = include_str!("../../src/engine/docker/helper.rs");
    let list = source.split("const CAPABILITIES").nth(1).and_then(|rest| rest.split("];").next()).unwrap();
    let in_source: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    let part = section("## Without root");
    let is_capability = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let in_readme: Vec<&str> = part.split('`').filter(is_capability).collect();
    assert!(in_source.len() > 3, "{in_source:?}");
    assert_eq!(in_readme, in_source);
}
