//! Every text of the reader and the resolver has been seen by somebody: in a snapshot of what a wrong file's user is told.

use std::path::{Path, PathBuf};

/// Texts in no snapshot, with the reason.
const EXEMPT: &[(&str, &[&str])] = &[
    (
        "the reader refuses it already, with its place: this is for who resolves what was not read from a file",
        &[
            "`none` stands alone: a card without an address has no other",
            "`{address}` is {what}: no card can have it",
            "`{address}/{length}` has too long a prefix",
            "a multicast address",
            "a cable has no pool that an address could come from",
            "`{address}` needs its prefix length: a cable has no subnet to take it from",
            "`{address}/{prefix}` has too long a prefix",
            "`{}` is not the name of an environment variable",
            "`cpus` is more than 0",
            "`cpus: 0.5`, or no `cpus` for no limit",
            "`memory` is at least {MIN_MEMORY}, below which the engine starts nothing, not {}",
            "`shm_size` is more than 0",
            "shm_size: 64M",
            "the soft limit of `{}` is at most the hard one: {soft} and {hard}",
            "cpuset: \"0-3,5\"",
            "`{text}`, the place inside the machine, does not begin with `/`",
            "nothing can be mounted over the machine's whole file system",
            "a place below `/`",
            "an `mtu` is between 68 and 65535, not {}",
            "{} published ports for {} of the machine",
            "`{to}` has bits behind its prefix",
            "`{to}` and `{via}` are of two families",
            "`{net}` is not a subnet: it has bits behind its prefix",
            "`{first}-{last}` mixes IPv4 and IPv6",
            "a range for each: `pool` may be a list",
            "`{first}-{last}` ends before it begins",
            "label `{}`: labels that begin with `fly.` are fly's own",
            "the name of a label cannot be empty",
            "a name for it, or leave it out",
        ],
    ),
    ("nobody's password is so long that it cannot be hashed", &["this password cannot be hashed", "a hash: `mkpasswd -m sha-512`"]),
    ("two machines would need names of one hash", &["a `mac` of its own for one of them"]),
    (
        "a value of every other kind is refused in other words before",
        &[
            "a text, or a list of them",
            "`a` or `[a, b]`",
            "the path of a file, or a list of them",
            "users of the machine",
            "`[root, app]` or `{app: {authorized_keys: [~/.ssh/app.pub]}}`",
        ],
    ),
    (
        "documentation of keys, put together by macros",
        &[
            "goes through it, each way",
            "leaves by this end, in place of the cable's",
            "leaves by it, and, on a network of kind bridge or nat, comes in",
            "The network that it is plugged into",
            "The two ends",
            "Neighbours that are not asked for: their MACs by their addresses",
            "Kernel parameters of this card, as in `{ipv4.rp_filter: 2}`",
            "Policy rules, as the machine's own: it makes no difference where they stand",
            "The rate, as in `100mbit`, of what ",
            "The delay, as in `10ms`, of what ",
            "By how much the delay varies",
            "The share that is lost, as in `0.5%`, of what ",
            "The share that arrives twice",
            "The share that arrives with a wrong bit",
            "The share that overtakes what is delayed",
        ],
    ),
    (
        "words that the parser may say, and did in other releases of it",
        &["recursive references", "document start", "unknown alias", "not defined", "merge value", "recursion limit"],
    ),
];

/// A literal, where it stands.
struct Text {
    file: String,
    line: usize,
    words: String,
}

fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all: Vec<PathBuf> = ["spec", "desired"]
        .into_iter()
        .flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|it| it == "rs"))
        .collect();
    all.sort();
    all
}

/// Literals with a space in them that are neither documentation nor part of the schema. Raw ones are patterns.
fn texts() -> Vec<Text> {
    const NO_TEXTS: [&str; 10] = [
        "doc:",
        "key!(",
        "schema::matching",
        "schema::described",
        "schema::one_of",
        "json!",
        "expect(",
        "reason =",
        "const CAPABILITIES",
        "//",
    ];
    let mut found = vec![];
    for path in sources() {
        let source = std::fs::read_to_string(&path).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        let mut skip_next = false;
        for (at, line) in source.lines().enumerate() {
            // What `rustfmt` has put on a line of its own belongs to the one before.
            let skip =
                std::mem::replace(&mut skip_next, line.trim_end().ends_with("key!(")) || NO_TEXTS.iter().any(|word| line.contains(word));
            if skip {
                continue;
            }
            for text in literals(line) {
                for part in text.split(", as `").enumerate().map(|(at, part)| if at == 0 { part.to_owned() } else { format!("`{part}") }) {
                    if part.trim().contains(' ') {
                        found.push(Text { file: path.file_name().unwrap().to_string_lossy().into_owned(), line: at + 1, words: part });
                    }
                }
            }
        }
    }
    found
}

fn literals(line: &str) -> Vec<String> {
    let (mut all, mut chars, mut before) = (vec![], line.chars(), ' ');
    while let Some(c) = chars.next() {
        if c == '\'' && before != 'b' {
            // A character, perhaps a quotation mark.
            let mut rest = chars.clone();
            if matches!((rest.next(), rest.next()), (Some('"'), Some('\''))) {
                chars = rest;
            }
        } else if c == '"' {
            let is_raw = before == 'r' || before == '#';
            let mut text = String::new();
            while let Some(c) = chars.next().filter(|c| *c != '"') {
                match c {
                    '\\' if !is_raw => text.extend(chars.next().map(|next| if next == 'n' { '\n' } else { next })),
                    c => text.push(c),
                }
            }
            if !is_raw {
                all.push(text);
            }
        }
        before = c;
    }
    all
}

/// What stands between the values that are filled in.
fn pieces(text: &str) -> Vec<String> {
    let text = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let mut pieces = vec![];
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        pieces.push(before.to_owned());
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    pieces.push(rest.to_owned());
    pieces.iter().map(|piece| piece.replace('\u{1}', "{").replace('\u{2}', "}")).collect()
}

fn is_in(line: &str, pieces: &[String]) -> bool {
    let mut rest = line;
    pieces.iter().all(|piece| match rest.find(piece.as_str()) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}

fn snapshots(folder: &Path, into: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            snapshots(&path, into);
        } else if path.extension().is_some_and(|it| it == "snap") {
            into.extend(std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned));
        }
    }
}

#[test]
fn every_message_is_in_a_snapshot() {
    let mut lines = vec![];
    snapshots(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fast"), &mut lines);
    lines.sort();
    lines.dedup();
    let texts = texts();
    assert!(texts.len() > 500, "only {} texts are found", texts.len());
    let is_exempt = |text: &str| EXEMPT.iter().any(|(_, all)| all.contains(&text));
    let is_seen = |text: &str| {
        // A format's braces, or a text with braces in it: which it is, nobody says.
        let (filled, plain) = (pieces(text), [text.to_owned()]);
        lines.iter().any(|line| is_in(line, &filled) || is_in(line, &plain))
    };
    let unseen: Vec<String> = texts
        .iter()
        .filter(|it| !is_exempt(&it.words) && !is_seen(&it.words))
        .map(|it| format!("{}:{}: {}", it.file, it.line, it.words))
        .collect();
    assert!(unseen.is_empty(), "no snapshot shows these; a case in tests/fast/wrong would: {unseen:#?}");
    let needless: Vec<&&str> = EXEMPT.iter().flat_map(|(_, all)| *all).filter(|text| !texts.iter().any(|it| it.words == **text)).collect();
    assert!(needless.is_empty(), "nothing says these any more: {needless:#?}");
}
