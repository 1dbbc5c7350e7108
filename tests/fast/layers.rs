//! The layers of `src/lib.rs`, and the size of files, held by tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// For each module, what it may use. Whatever is not named here fails the test, so a new module has to take its place.
const LAYERS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("diag", &[]),
    ("spec", &["types", "diag"]),
    ("desired", &["spec", "types", "diag"]),
    ("engine", &["types", "diag"]),
    ("net", &["types"]),
    ("actual", &["engine", "net", "types"]),
    ("graph", &["desired", "types"]),
    ("diff", &["desired", "spec", "actual", "engine", "net", "types", "diag"]),
    ("plan", &["diff", "desired", "spec", "actual", "engine", "net", "types", "diag"]),
    ("observe", &["actual", "engine", "net", "types", "diag"]),
    ("apply", &["plan", "engine", "net", "types", "diag"]),
    ("verify", &["observe", "plan", "diff", "desired", "actual", "engine", "net", "types", "diag"]),
    ("ideal", &["plan", "desired", "spec", "actual", "engine", "net", "types", "diag"]),
    ("agent", &["observe", "actual", "engine", "net", "types"]),
    ("lock", &["types", "diag"]),
    ("beneath", &["types"]),
    ("revision", &["beneath", "types"]),
    ("archive", &[]),
    ("fake", &["engine", "net", "types"]),
    ("guest", &["types"]),
];

/// Words that only these files may use.
const FENCES: &[(&str, &[&str])] = &[
    ("bollard", &["engine/docker"]),
    ("tar::", &["archive", "engine/docker/guest"]),
    ("rtnetlink", &["net/kernel"]),
    ("russh", &["guest"]),
    ("libc::", &["net/kernel/packet", "engine/docker/tests"]),
    ("rustls", &["engine/docker"]),
    ("std::env", &["cli", "guest"]),
    ("println!", &["cli"]),
    ("eprintln!", &["cli"]),
];

fn sources() -> BTreeMap<PathBuf, String> {
    fn walk(folder: &Path, all: &mut BTreeMap<PathBuf, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, all);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                all.insert(path.clone(), std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = BTreeMap::new();
    walk(&root, &mut all);
    assert!(all.len() > 30, "the sources are where this test looks for them");
    all.into_iter().map(|(path, text)| (path.strip_prefix(&root).unwrap().to_owned(), text)).collect()
}

/// What a file uses of the crate: `crate::X`, and each of `crate::{X, Y::{Z}}`. Strings count too, which is stricter than the
/// compiler and simpler than it.
fn uses(text: &str) -> Vec<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect();
    let name = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let mut found = vec![];
    for (at, word) in code.match_indices("crate::") {
        let rest = &code[at + word.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.push(name(rest));
            continue;
        };
        let mut depth = 0;
        let at_top = |c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0 && c == ',' || depth < 0
        };
        // What comes behind the end of the list begins no more names than the end itself.
        let end = list.char_indices().scan(0, |depth, (at, c)| {
            *depth += i32::from(c == '{') - i32::from(c == '}');
            Some((at, *depth))
        });
        let end = end.into_iter().find(|(_, depth)| *depth < 0).map_or(list.len(), |(at, _)| at);
        found.extend(list[..end].split(at_top).map(|one| name(one.trim())));
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn uses_are_found_in_every_form() {
    let text = "use crate::cli;\nuse crate::{net::{Kernel, NetOp}, types::{\n    Name,\n    Ns,\n}, plan};\n// crate::verify\nlet x = crate::diff::diff();";
    assert_eq!(uses(text), ["cli", "net", "types", "plan", "diff"]);
}

#[test]
fn a_module_uses_only_what_is_below_it() {
    let mut wrong = vec![];
    for (path, text) in sources() {
        let first = path.iter().next().unwrap().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        // Unit tests may use everything.
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests") || path.iter().any(|part| part == "tests");
        if matches!(module, "lib" | "main" | "cli") || is_test {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: module `{module}` has no layer", path.display()));
            continue;
        };
        for used in uses(&text) {
            if used != module && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{} uses `{used}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn fences_around_crates_and_the_terminal_hold() {
    let mut wrong = vec![];
    for (path, text) in sources() {
        for (word, homes) in FENCES {
            let at_home = path == Path::new("main.rs")
                || homes.iter().any(|home| path.starts_with(home) || path.to_str().unwrap().starts_with(&format!("{home}.rs")));
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            if !at_home && code.clone().any(|line| line.contains(word)) {
                wrong.push(format!("{} names `{word}`, which only {} may", path.display(), homes.join(" and ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_is_a_room() {
    let long: Vec<String> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > 600)
        .map(|(path, lines)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "over 600 lines: {}", long.join(", "));
}

#[test]
fn the_map_names_every_module() {
    let sources = sources();
    let map = &sources[Path::new("lib.rs")];
    for (module, _) in LAYERS {
        let there = sources.keys().any(|path| path.starts_with(module) || path == Path::new(&format!("{module}.rs")));
        assert!(!there || map.contains(&format!("[`{module}`]")), "the table in lib.rs does not name `{module}`");
    }
}
