//! Reading fly.yml: what is right is read, what is wrong is pointed at, and the schema agrees.
//!
//! The first line of a wrong file says where its mistakes are, `# wrong at 4:7 5:12`, and whether only the parser can tell:
//! `, unseen by the schema`. What its user would see is a snapshot beside it.

#![expect(clippy::unwrap_used, clippy::format_push_string, clippy::unchecked_time_subtraction, reason = "a test that panics has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fly::cli::diagnostic::render;
use fly::diag::Diagnostic;
use fly::spec::{self, Spec};
use proptest::prelude::*;

mod values;

const SECRET: &str = "hunter2";
const UNSEEN: &str = ", unseen by the schema";

fn environment() -> BTreeMap<String, String> {
    let pairs = [("SECRET", SECRET), ("EMPTY", ""), ("NET", "10.20.30.40/24"), ("TAG", "12"), ("MTU", "1400")];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn parse(text: &str) -> Result<Spec, Vec<Diagnostic>> {
    spec::parse("fly.yml", text, &environment())
}

fn drawn(errors: &[Diagnostic], text: &str) -> String {
    render(errors, &BTreeMap::from([(Arc::from("fly.yml"), text.to_owned())]), false)
}

fn files(kind: &str) -> Vec<(String, PathBuf, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fast/spec").join(kind);
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), path, text)
        })
        .collect();
    files.sort();
    files
}

fn marks(text: &str) -> BTreeSet<(u32, u32)> {
    let places = text.lines().next().and_then(|line| line.strip_prefix("# wrong at ")).unwrap_or_default();
    let places = places.trim_end_matches(UNSEEN).split_whitespace().filter_map(|place| place.split_once(':'));
    places.map(|(line, column)| (line.parse().unwrap(), column.parse().unwrap())).collect()
}

fn places(errors: &[Diagnostic]) -> BTreeSet<(u32, u32)> {
    errors.iter().filter_map(|error| error.place.as_ref()).map(|place| (place.line, place.column)).collect()
}

#[test]
fn every_mistake_is_found_and_shown() {
    let files = files("invalid");
    assert!(files.len() >= 60, "only {} files", files.len());
    for (name, _, text) in files {
        let errors = parse(&text).expect_err(&name);
        let shown = drawn(&errors, &text);
        assert_eq!(places(&errors), marks(&text), "{name}:\n{shown}");
        assert!(errors.iter().all(|error| !error.hints.is_empty()), "{name}: no hint:\n{shown}");
        assert!(!shown.contains(SECRET) && !shown.contains("10.20.30.40"), "{name} shows a secret:\n{shown}");
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{name} shows control characters");
        insta::with_settings!({snapshot_path => "spec/invalid", prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(name, shown);
        });
    }
}

#[test]
fn what_is_right_is_read() {
    let files = files("valid");
    assert!(!files.is_empty());
    for (name, _, text) in files {
        if let Err(errors) = parse(&text) {
            panic!("{name}:\n{}", drawn(&errors, &text));
        }
    }
}

#[test]
fn the_schema_is_the_one_in_the_repository() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/fly.schema.json");
    if std::env::var_os("FLY_UPDATE_SCHEMA").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, spec::schema()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == spec::schema(), "schema/fly.schema.json is out of date: FLY_UPDATE_SCHEMA=1 cargo test --test fast spec::");
}

#[test]
fn the_schema_agrees_with_the_parser() {
    let schema: serde_json::Value = serde_json::from_str(&spec::schema()).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let load = |text: &str| serde_saphyr::from_str::<serde_json::Value>(text);
    for (name, _, text) in files("valid") {
        let value = load(&text).unwrap();
        let errors: Vec<_> = validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
    let mut refused = 0;
    for (name, _, text) in files("invalid") {
        // What is no YAML, no schema ever sees.
        let accepts = load(&text).map_or(true, |value| validator.is_valid(&value));
        assert_eq!(accepts, text.lines().next().is_some_and(|line| line.ends_with(UNSEEN)), "{name}");
        refused += usize::from(!accepts);
    }
    assert!(refused > 40);
}

#[test]
fn schema_and_parser_refuse_the_same_values() {
    let schema: serde_json::Value = serde_json::from_str(&spec::schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let values = [
        "pids_limit: 0",
        "cap_add: [FOO]",
        "devices: [/dev/fuse:rr]",
        "stop_signal: 65",
        "sysctls: {a: }",
        "command: 5",
        "user: true",
        "cpus: \"1.\"",
        "memory: \" 512M\"",
        "memory: 512bb",
        "stop_grace_period: PT5S",
        "stop_grace_period: 00:01:00",
    ];
    for value in values {
        let text = format!("machines: {{a: {{image: x, {value}}}}}");
        assert!(parse(&text).is_err(), "the parser takes {value}");
        let value = serde_saphyr::from_str::<serde_json::Value>(&text).unwrap();
        assert!(!validator.is_valid(&value), "the schema takes {value}");
    }
    for value in
        ["pids_limit: -1", "cap_add: [cap_net_admin, ALL]", "devices: ['/dev/fuse:wr']", "stop_signal: 64", "memory: 512Mi", "user: 5"]
    {
        let text = format!("machines: {{a: {{image: x, {value}}}}}");
        assert!(parse(&text).is_ok(), "the parser refuses {value}");
        let value = serde_saphyr::from_str::<serde_json::Value>(&text).unwrap();
        assert!(validator.is_valid(&value), "the schema refuses {value}");
    }
}

/// What this thread has had of the processor: the clock also counts what others do on a busy machine.
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// Refused, and in no time.
fn refused(what: &str, text: &str) {
    let start = busy();
    let errors = parse(text).map(|_| ()).expect_err(what);
    let shown = drawn(&errors, text);
    let took = busy() - start;
    assert!(took < Duration::from_secs(1), "{what} took {took:?}");
    assert!(shown.len() < 200_000, "{what}: {} bytes of errors", shown.len());
    assert!(!shown.contains("budget"), "{what}: {shown}");
    assert!(errors.iter().all(|error| error.kind == fly::diag::Kind::Invalid), "{what}");
}

#[test]
fn bombs_do_not_go_off() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    refused("laughs", &laughs);
    refused("laughs in x-", &format!("x-bomb:\n  {}", laughs.replace('\n', "\n  ")));
    let mut merges = String::from("x0: &x0 {k: v}\n");
    for level in 1..200 {
        merges.push_str(&format!("x{level}: &x{level} {{<<: [*x{0}, *x{0}], k{level}: v}}\n", level - 1));
    }
    refused("merges", &merges);
    refused("deep lists", &format!("machines: {}", "[".repeat(50_000)));
    refused("deep mappings", &"{a: ".repeat(50_000));
    refused("deep blocks", &(0..2_000).map(|depth| format!("{}a:\n", " ".repeat(depth.min(400)))).collect::<String>());
    refused("wide list", &format!("machines: [{}]", "a, ".repeat(300_000)));
    refused("many keys", &(0..50_000).map(|key| format!("key{key}: x\n")).collect::<String>());
    refused("many equal keys", &"key: x\n".repeat(20_000));
    refused("many machines", &(0..10_000).map(|i| format!("  m{i}: {{foo: 1}}\n")).fold("machines:\n".to_owned(), |all, one| all + &one));
    refused("one long line", &format!("machines: {{{}}}", (0..9_000).map(|i| format!("m{i}: {{foo: 1}}, ")).collect::<String>()));
    refused("long text", &format!("machines: {}", "a".repeat(900_000)));
    refused("long key", &format!("{}: 1", "a".repeat(1_000)));
    refused("huge", &format!("machines: {}", "a".repeat(2 << 20)));
    refused("many anchors", &(0..20_000).map(|i| format!("- &a{i} x\n")).collect::<String>());
    refused("ports", "machines: {web: {image: a, ports: [\"1-100000:1-100000\"]}}");
    refused("scale", "machines: {web: {image: a, scale: 4000000000}}");
    refused("variables", &format!("machines: {{web: {{image: {}}}}}", "${A:-".repeat(10_000)));
    refused("control characters", &"\u{1}".repeat(100_000));
    let big = BTreeMap::from([("BIG".to_owned(), "x".repeat(100_000))]);
    let start = busy();
    let text = format!("machines: {{web: {{image: \"{}\"}}}}", "$BIG".repeat(100_000));
    assert!(spec::parse("fly.yml", &text, &big).is_err());
    assert!(busy() - start < Duration::from_secs(1));
}

/// A thousand machines are no bomb.
#[test]
fn a_large_project_is_read() {
    let machines = (0..1_000).map(|i| {
        format!("  m{i}:\n    <<: *base\n    environment: {{A: 1, B: 2}}\n    nics: {{eth0: {{network: lan, ip: auto, mtu: 1500}}}}\n    memory: 64M\n")
    });
    let text = format!("x-base: &base {{image: debian, restart: always}}\nmachines:\n{}", machines.collect::<String>());
    let start = busy();
    assert_eq!(parse(&text).unwrap().machines.0.len(), 1_000);
    let took = busy() - start;
    assert!(took < Duration::from_secs(2), "{took:?}");
}

fn survives(text: &str) {
    if let Err(errors) = parse(text) {
        assert!(!errors.is_empty());
        let shown = drawn(&errors, text);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        for place in errors.iter().filter_map(|error| error.place.as_ref()) {
            assert!(text.is_char_boundary(place.offset), "{place} in {text:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in "(\\PC|\n|[:{}\\[\\]$&*'\"|>,# -]){0,80}") {
        survives(&text);
        survives(&format!("machines: {{web: {{image: {text}}}}}"));
        let _ = spec::dotenv(".env", &text, &[]);
    }

    #[test]
    fn any_change_of_a_file_is_answered(
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        replacement in "(\\PC|\n|[:{}\\[\\]$&*'\"|>,# -]){0,5}",
    ) {
        let files = files("valid");
        let text = &files[from.index(files.len())].2;
        let at = |index: usize| (0..=index).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        let start = at(to.index(text.len()));
        let end = at((start + from.index(8)).min(text.len())).max(start);
        survives(&format!("{}{replacement}{}", &text[..start], &text[end..]));
    }
}

#[test]
fn env_files_are_read_and_refused() {
    assert!(!spec::dotenv(".env", &"A".repeat(2 << 20), &[]).errors.is_empty());
    let text = "A=1\nB=\"${A\"\n=\nC=${NO:?needed}\n";
    let errors = spec::dotenv(".env", text, &[]).errors;
    let shown = render(&errors, &BTreeMap::from([(Arc::from(".env"), text.to_owned())]), false);
    insta::with_settings!({snapshot_path => "spec", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("env-file", shown);
    });
}
