//! The error corpus: wrong files, and what `fly validate` says of each, seen from outside.
//!
//! In `wrong/*.txt` a line `=== NAME` begins a case. The text before the first one, without its `#` lines, is around each of them: a
//! case stands for its `@@`. `=== NAME exit 0` is a file of which there is only something to be noted. Beside each is the snapshot
//! of all that is said.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What the issue asks for.
const LEAST: usize = 300;

struct Case {
    topic: String,
    name: String,
    text: Vec<u8>,
    exit: i32,
}

impl Case {
    fn folder(&self) -> PathBuf {
        place().join(&self.topic).join(&self.name)
    }

    /// As a file to check, from the place of all.
    fn path(&self) -> String {
        format!("{}/{}/fly.yml", self.topic, self.name)
    }
}

fn place() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("wrong-{}", std::process::id()))
}

fn sources() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fast/wrong");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = paths.filter(|path| path.extension().is_some_and(|it| it == "txt"));
    let mut all: Vec<_> =
        texts.map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(path).unwrap())).collect();
    all.sort();
    all
}

fn cases(topic: &str, text: &str) -> Vec<Case> {
    let mut parts = text.split("\n=== ");
    let around = parts.next().unwrap().lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect::<String>();
    let case = |part: &str| {
        let (head, body) = part.split_once('\n').unwrap_or((part, ""));
        let (name, exit) = head.split_once(" exit ").map_or((head, 65), |(name, exit)| (name, exit.parse().unwrap()));
        let hole = around.find("@@").unwrap();
        let indent = " ".repeat(hole - around[..hole].rfind('\n').map_or(0, |at| at + 1));
        // Lines of a case stand below each other where the hole is first in its line; after a key they are what they are.
        let is_first = around[..hole].lines().next_back().is_none_or(|line| line.trim().is_empty()) || around[..hole].ends_with('\n');
        let body = if is_first {
            body.trim_end_matches('\n').replace('\n', &format!("\n{indent}"))
        } else {
            body.trim_end_matches('\n').to_owned()
        };
        let text = around.replacen("@@", &body, 1);
        Case { topic: topic.to_owned(), name: name.to_owned(), text: text.into_bytes(), exit }
    };
    parts.map(case).collect()
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fly"));
    command.current_dir(folder).env_clear().env("PATH", "/bin").env("HOME", "/nonexistent");
    command.envs([("BAD", "nonsense"), ("EMPTY", ""), ("SECRET", "hunter2")]);
    command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    command
}

fn write(cases: &[Case]) {
    for case in cases {
        std::fs::create_dir_all(case.folder()).unwrap();
        std::fs::write(case.folder().join("fly.yml"), &case.text).unwrap();
        std::fs::write(case.folder().join("bad.env"), "A=1\nB C=2\n=x\nD=\"x\" y\n").unwrap();
    }
}

/// Runs the program for each, several at a time.
fn run(cases: &[Case], args: &[&str]) -> Vec<Output> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = vec![];
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let at = cases.iter().position(|other| std::ptr::eq(other, case)).unwrap();
            done.push((at, command(&case.folder()).args(args).output().unwrap()));
        }
        done
    };
    let mut all: Vec<(usize, Output)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, output)| output).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Nothing that a terminal or a workflow's run would obey, no value of a variable, and no trace of a crash.
fn harmless(name: &str, said: &str) {
    assert!(!said.chars().any(|c| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c)), "{name}: {said:?}");
    assert!(!said.contains("hunter2") && !said.contains("nonsense"), "{name} shows a variable: {said}");
    assert!(!said.contains("panicked") && !said.contains("fault in fly"), "{name}: {said}");
}

#[test]
fn each_wrong_file_is_answered() {
    let mut count = 0;
    for (topic, source) in sources() {
        let cases = cases(&topic, &source);
        let names: BTreeSet<&String> = cases.iter().map(|case| &case.name).collect();
        assert_eq!(names.len(), cases.len(), "{topic}: a name stands twice");
        count += cases.iter().filter(|case| case.exit == 65).count();
        write(&cases);
        let mut shown = String::new();
        for (case, output) in cases.iter().zip(run(&cases, &["validate"])) {
            let (name, said) = (format!("{topic}/{}", case.name), text(&output.stdout));
            assert_eq!(output.status.code(), Some(case.exit), "{name}: {said}{}", text(&output.stderr));
            assert!(output.stderr.is_empty(), "{name}: {}", text(&output.stderr));
            harmless(&name, &said);
            let _ = writeln!(shown, "=== {} exit {}\n{}", case.name, case.exit, said.trim_end());
        }
        insta::with_settings!({snapshot_path => "wrong", prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(topic.as_str(), shown);
        });
        documents(&topic, &cases);
    }
    assert!(count >= LEAST, "only {count} wrong files");
}

/// What programs are told of the same files, in one run.
fn documents(topic: &str, cases: &[Case]) {
    let schema = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/validate.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let paths: Vec<String> = cases.iter().map(Case::path).collect();
    let said = |format: &str| {
        let output = command(&place()).args(["validate", "--format", format]).args(&paths).output().unwrap();
        assert_eq!(output.status.code(), Some(65), "{topic}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let document = said("json");
    let document: Value = serde_json::from_str(&document).unwrap();
    let wrong: Vec<_> = schema.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{topic}: {wrong:#?}");
    let all = document["diagnostics"].as_array().unwrap();
    let mut answered: BTreeMap<&str, usize> = BTreeMap::new();
    for one in all {
        let at = |key: &str| one[key].as_u64().unwrap_or_default();
        assert!(one["file"].is_string() && at("line") > 0 && at("column") > 0, "{topic}: it has no place: {one:#}");
        assert!((at("line"), at("column")) <= (at("end_line"), at("end_column")), "{topic}: {one:#}");
        assert!(!one["hints"].as_array().unwrap().is_empty(), "{topic}: it says nothing about what to do: {one:#}");
        let file = one["file"].as_str().unwrap();
        *answered.entry(file.split_once("/fly.yml").or_else(|| file.split_once("/bad.env")).map_or(file, |(case, _)| case)).or_default() +=
            1;
    }
    for case in cases {
        let about = case.path();
        assert!(answered.contains_key(about.trim_end_matches("/fly.yml")), "{about}: nothing");
    }
    let annotations = said("github");
    assert_eq!(annotations.lines().count(), all.len(), "{topic}: {annotations}");
    for line in annotations.lines() {
        let (properties, message) = line.strip_prefix("::").and_then(|line| line.split_once("::")).unwrap_or_else(|| panic!("{line}"));
        assert!(properties.starts_with("error file=") || properties.starts_with("warning file="), "{line}");
        assert!(!message.is_empty() && !message.starts_with(':'), "{line}");
        harmless(topic, line);
    }
}

/// Files that no topic can hold: bytes that are no text, and what is made by repeating.
fn odd() -> Vec<(&'static str, Vec<u8>)> {
    let file = |text: &str| text.as_bytes().to_vec();
    let small = "name: t\nmachines: {a: {image: x, restart: sometimes}}\n";
    let utf16 = |big: bool, mark: bool| {
        let units = mark.then_some(0xfeff).into_iter().chain(small.encode_utf16());
        units.flat_map(|unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect::<Vec<u8>>()
    };
    vec![
        ("byte-order-mark", [b"\xef\xbb\xbf".to_vec(), file(small)].concat()),
        ("byte-order-mark-twice", [b"\xef\xbb\xbf\xef\xbb\xbf".to_vec(), file(small)].concat()),
        ("utf-16-little", utf16(false, true)),
        ("utf-16-big", utf16(true, true)),
        ("utf-16-without-a-mark", utf16(false, false)),
        ("latin-1", b"name: t\nmachines: {a: {image: x, hostname: caf\xe9}}\n".to_vec()),
        ("half-a-character", b"name: t\nmachines: {a: {image: \xe2\x82}}\n".to_vec()),
        ("too-long-a-character", b"name: t\nmachines: {a: {image: \xc0\xaf}}\n".to_vec()),
        ("surrogate", b"name: t\nmachines: {a: {image: \xed\xa0\x80}}\n".to_vec()),
        ("binary", (0..=255).collect()),
        ("zeros", vec![0; 4096]),
        ("nul", file("name: t\nmachines: {a: {image: x\0y}}\n")),
        ("nul-in-quotes", file("name: t\nmachines: {a: {image: \"x\0y\"}}\n")),
        ("windows-lines", file(&small.replace('\n', "\r\n"))),
        ("old-mac-lines", file(&small.replace('\n', "\r"))),
        ("unicode-lines", file(&small.replace('\n', "\u{2028}"))),
        ("next-lines", file(&small.replace('\n', "\u{85}"))),
        ("wide-spaces", file("name: t\nmachines:\n\u{a0}\u{a0}a: {image: x}\n")),
        ("form-feed", file("name: t\n\u{c}machines: {a: {image: x}}\n")),
        ("escape", file("name: t\nmachines: {a: {image: \u{1b}[2Jx}}\n")),
        ("no-line-end", file(small.trim_end())),
        ("colon-alone", file(":")),
        ("dashes", file("---\n---\n---\n")),
        ("dots", file("...\n")),
        ("percent", file("%\n")),
        ("question", file("? a\n: b\n? c\n")),
        ("question-of-a-mapping", file("? {a: b}\n: c\n")),
    ]
}

#[test]
fn bytes_that_are_no_file_are_answered() {
    let cases: Vec<Case> = odd().into_iter().map(|(name, text)| Case { topic: "odd".into(), name: name.into(), text, exit: 65 }).collect();
    write(&cases);
    let mut shown = String::new();
    for (case, output) in cases.iter().zip(run(&cases, &["validate"])) {
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(65), "{}: {said}{}", case.name, text(&output.stderr));
        harmless(&case.name, &said);
        let _ = writeln!(shown, "=== {}\n{}", case.name, said.trim_end());
    }
    insta::with_settings!({snapshot_path => "wrong", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("odd", shown);
    });
}

/// What is wrong beside the file: variables, the user's home, the folder's name.
#[test]
fn surroundings_that_are_wrong_are_answered() {
    let folder = place().join("surroundings/___");
    std::fs::create_dir_all(&folder).unwrap();
    let mut shown = String::new();
    let mut said = |name: &str, file: &str, fly: &mut Command| {
        std::fs::write(folder.join("fly.yml"), file).unwrap();
        let output = fly.output().unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        harmless(name, &said);
        let said = said.replace(&place().display().to_string(), "/place");
        let _ = writeln!(shown, "=== {name} exit {}\n{}", output.status.code().unwrap(), said.trim_end());
    };
    let home = "name: t\nmachines: {a: {image: x, volumes: ['~/src:/src']}}\n";
    said("folder", "machines: {a: {image: x}}\n", command(&folder).arg("validate"));
    said("home", home, command(&folder).env_remove("HOME").arg("validate"));
    std::fs::write(folder.join("big.env"), format!("A={}\n", "x".repeat(2 << 20))).unwrap();
    said("env-file", "name: t\nmachines: {a: {image: x, env_file: big.env}}\n", command(&folder).arg("validate"));
    std::fs::write(folder.join(".env"), "SECRET='hunter2\nB=${A:?no}\n").unwrap();
    said("dotenv", "name: t\nmachines: {a: {image: '${B}'}}\n", command(&folder).env_remove("SECRET").arg("validate"));
    said("project", "machines: {a: {image: x}}\n", command(&folder).args(["--project", "a b", "validate"]));
    said("variables", "machines: {a: {image: x}}\n", command(&folder).args(["--env-file", "gone.env", "validate"]));
    std::fs::remove_file(folder.join("fly.yml")).unwrap();
    let folders = command(&folder).args(["validate", "."]).output().unwrap();
    assert_eq!(folders.status.code(), Some(1), "{folders:?}");
    insta::with_settings!({snapshot_path => "wrong", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("surroundings", shown);
    });
}

/// Small files that ask for much, and large ones that ask for nothing.
fn bombs() -> Vec<(&'static str, String)> {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    let mut merges = String::from("x0: &x0 {k: v}\n");
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        let _ = writeln!(laughs, "a{level}: &a{level} [{items}]");
    }
    for level in 1..200 {
        let _ = writeln!(merges, "x{level}: &x{level} {{<<: [*x{0}, *x{0}], k{level}: v}}", level - 1);
    }
    let machine = |keys: &str| format!("name: t\nnetworks: {{lan: {{}}}}\nmachines: {{a: {{image: x, {keys}}}}}\n");
    let many = |count: usize, each: &dyn Fn(usize) -> String| (0..count).map(each).collect::<String>();
    vec![
        ("laughs", laughs.clone()),
        ("laughs-unused", format!("x-bomb:\n  {}", laughs.replace('\n', "\n  "))),
        ("merges", merges),
        ("a-loop-of-anchors", "name: t\nmachines: &m {a: &a {image: x, labels: *m}}\n".into()),
        ("deep-lists", format!("machines: {}", "[".repeat(100_000))),
        ("deep-mappings", "{a: ".repeat(100_000)),
        ("deep-blocks", many(2_000, &|depth| format!("{}a:\n", " ".repeat(depth.min(400))))),
        ("deep-dashes", "- ".repeat(100_000)),
        ("wide-list", format!("machines: [{}]", "a, ".repeat(300_000))),
        ("many-keys", many(80_000, &|key| format!("key{key}: x\n"))),
        ("equal-keys", "key: x\n".repeat(80_000)),
        ("many-machines", format!("machines:\n{}", many(100_000, &|i| format!("  m{i}: {{}}\n")))),
        ("machines-with-mistakes", format!("machines:\n{}", many(20_000, &|i| format!("  m{i}: {{foo: 1}}\n")))),
        ("many-anchors", many(50_000, &|i| format!("- &a{i} x\n"))),
        ("scale", machine("scale: 1000000000")),
        ("scale-of-many", format!("defaults: {{image: x, scale: 1000, nics: {{eth0: lan}}}}\nnetworks: {{lan: {{}}}}\nmachines:\n{}", many(100, &|i| format!("  m{i}: {{}}\n")))),
        ("a-range-like-a-shells", machine("ports: ['{1..1000000000}:80']")),
        ("ports", machine("ports: ['1-65535:1-65535', '1-100000:1-100000']")),
        ("pool", "name: t\nnetworks: {lan: {subnet: '::/0', pool: '::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'}}\nmachines: {a: {image: x, nics: {eth0: lan}}}\n".into()),
        ("entries", format!("defaults: {{image: x, scale: 900, command: [{}]}}\nmachines: {{a: {{}}}}\n", "x, ".repeat(2_000))),
        ("nested-variables", machine(&format!("user: '{}'", "${A:-".repeat(20_000)))),
        ("growing-variables", machine(&format!("user: '{}'", "${BIG}".repeat(100_000)))),
        ("a-circle-of-a-thousand", format!("name: t\nmachines:\n{}", many(900, &|i| format!("  m{i}: {{image: x, network_mode: none, depends_on: [m{}]}}\n", (i + 1) % 900)))),
        ("long-line", machine(&format!("user: [{}]", "a".repeat(900_000)))),
        ("long-key", format!("{}: 1", "a".repeat(900_000))),
        ("long-name", format!("name: {}\nmachines: {{a: {{image: x}}}}\n", "a".repeat(900_000))),
        ("two-megabytes", format!("machines: {}", "a".repeat(2 << 20))),
        ("twenty-megabytes", "#".repeat(20 << 20)),
        ("quotes", "'\"".repeat(400_000)),
        ("brackets-closed", format!("{}{}", "[".repeat(20_000), "]".repeat(20_000))),
        ("comments", format!("{}machines: 5\n", "# x\n".repeat(200_000))),
        ("control-characters", "\u{1}".repeat(100_000)),
    ]
}

/// In a second of one processor and within 100 MiB beside the program itself, briefly, and with 65.
#[test]
fn bombs_do_not_go_off_in_the_program() {
    let program = std::fs::metadata(env!("CARGO_BIN_EXE_fly")).unwrap().len() / 1024;
    let limits = format!("ulimit -v {}; ulimit -t 2; exec \"$0\" \"$@\"", program + 100 * 1024);
    let mut shown = String::new();
    for (name, file) in bombs() {
        let folder = place().join("bombs").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("fly.yml"), file).unwrap();
        let mut fly = Command::new("/bin/sh");
        fly.args(["-c", &limits, env!("CARGO_BIN_EXE_fly"), "validate"]).current_dir(&folder).env_clear();
        let begun = Instant::now();
        let output = fly.env("BIG", "x".repeat(100_000)).output().unwrap();
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(65), "{name}: {:?} {}", output.status, text(&output.stderr));
        assert!(said.len() < 60_000, "{name}: {} bytes", said.len());
        assert!(begun.elapsed() < Duration::from_secs(20), "{name} took {:?}", begun.elapsed());
        harmless(name, &said);
        let first: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ") || line.contains("= hint: ")).take(2).collect();
        let closing = said.lines().rfind(|line| line.starts_with("error: ")).filter(|line| !first.contains(line));
        let _ = writeln!(shown, "=== {name}\n{}", first.into_iter().chain(closing).collect::<Vec<_>>().join("\n"));
    }
    insta::with_settings!({snapshot_path => "wrong", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("bombs", shown);
    });
}
