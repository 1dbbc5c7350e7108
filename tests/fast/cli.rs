//! The program from outside: what it prints, and its exit codes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fly::lock::{self, Holder, Lock, Patience};

/// A folder of its own, and a program that sees nothing of the environment of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fly-cli-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fly"));
        command.args(args).current_dir(&self.0).env_clear();
        command.env("FLY_RUNTIME_DIR", self.0.join("run")).env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        command
    }

    fn fly(&self, args: &[&str]) -> Said {
        Said::new(&self.command(args).stdin(std::process::Stdio::null()).output().unwrap())
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

#[test]
fn help() {
    let folder = Folder::new("help");
    for command in [
        "",
        "plan",
        "snapshot",
        "up",
        "down",
        "ps",
        "nics",
        "capture",
        "graph",
        "ssh",
        "ssh-config",
        "exec",
        "logs",
        "cp",
        "console",
        "config",
        "init",
        "validate",
        "schema",
        "version",
    ] {
        let args: Vec<&str> = [command, "--help"].into_iter().filter(|arg| !arg.is_empty()).collect();
        let said = folder.fly(&args);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{command}");
        let name = if command.is_empty() { "help".to_owned() } else { format!("help_{command}") };
        insta::assert_snapshot!(name, said.out);
    }
}

#[test]
fn version() {
    let folder = Folder::new("version");
    let expected = format!("fly {}\n", env!("CARGO_PKG_VERSION"));
    for arg in ["version", "--version", "-V"] {
        let said = folder.fly(&[arg]);
        assert_eq!((said.code, said.out.as_str()), (Some(0), expected.as_str()));
    }
}

#[test]
fn a_wrong_command_line_is_64() {
    let folder = Folder::new("usage");
    let wrong: [&[&str]; 18] = [
        &[],
        &["fly"],
        &["plan", "--chek"],
        &["plan", "--format", "xml"],
        &["up", "--parallel", "0"],
        &["plan", "--base", "main", "--world", "b"],
        &["plan", "--world", "a", "--out", "b"],
        &["up", "--plan", "a", "--only", "b"],
        &["up", "--format", "json"],
        &["--project", "a.b", "plan"],
        &["-p", "shop", "exec"],
        &["-p", "shop", "exec", "-t", "web", "sh"],
        &["-p", "shop", "logs", "--tail", "few"],
        &["-p", "shop", "logs", "--since", "yesterday"],
        &["-p", "shop", "logs", "--follow", "--until", "10m"],
        &["-p", "shop", "cp", "a", "b"],
        &["-p", "shop", "cp", "web:/a"],
        &["-p", "shop", "console", "--detach-keys", "ctrl-ctrl", "web"],
    ];
    for args in wrong {
        let said = folder.fly(args);
        assert_eq!((said.code, said.out.as_str()), (Some(64), ""), "{args:?}: {said:?}");
        assert!(!said.err.is_empty(), "{args:?}");
    }
}

#[test]
fn an_unknown_machine_is_64_and_no_engine_is_asked() {
    let folder = Folder::new("only");
    std::fs::write(folder.path().join("fly.yml"), SHOP).unwrap();
    for command in ["plan", "up"] {
        let said = folder.fly(&[command, "--only", "wbe"]);
        assert_eq!((said.code, said.out.as_str()), (Some(64), ""), "{said:?}");
        assert!(said.err.contains("did you mean `web`?"), "{}", said.err);
    }
}

#[test]
fn a_plan_that_cannot_be_used_is_64_and_says_why() {
    let folder = Folder::new("unusable");
    std::fs::write(folder.path().join("fly.yml"), SHOP).unwrap();
    let plan = |fly: &str, project: &str| {
        let saved = fly::plan::saved::Saved {
            fly_plan: fly::plan::saved::SAVED_VERSION,
            fly: fly.into(),
            project: project.parse().unwrap(),
            engine: "ABCD".into(),
            only: std::collections::BTreeSet::new(),
            no_agent: false,
            file: std::collections::BTreeMap::new(),
            images: std::collections::BTreeMap::new(),
            changes: vec![],
            steps: vec![],
            notes: vec![],
        };
        saved.to_text()
    };
    let whole = plan("other", "shop");
    let mut texts = String::new();
    let newer = whole.replace("\"fly_plan\": 1", "\"fly_plan\": 2");
    let unusable = [SHOP.to_owned(), newer, whole[..40].to_owned(), format!("{whole} "), plan("other", "blog")];
    for text in unusable.iter().map(Some).chain([None]) {
        let path = folder.path().join("plan.json");
        let _ = std::fs::remove_file(&path);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let said = folder.fly(&["up", "--plan", "plan.json"]);
        assert_eq!((said.code, said.out.as_str()), (Some(64), ""), "{said:?}");
        texts += &said.err;
    }
    insta::assert_snapshot!("unusable_plans", texts);
    // One of another build may mean something else.
    std::fs::write(folder.path().join("plan.json"), whole).unwrap();
    let said = folder.fly(&["up", "--plan", "plan.json"]);
    assert_eq!((said.code, said.out.as_str()), (Some(4), ""), "{said:?}");
    assert!(said.err.contains("another build of fly") && said.err.contains("fly plan --out plan.json"), "{}", said.err);
}

#[test]
fn no_file_is_64_and_says_where_it_was_looked_for() {
    let folder = Folder::new("nofile");
    let said = folder.fly(&["plan"]);
    assert_eq!((said.code, said.out.as_str()), (Some(64), ""), "{said:?}");
    assert!(said.err.contains(&format!("there is no `fly.yml` in `{}` or above", folder.path().display())), "{}", said.err);
    assert!(said.err.contains("fly --file path/to/fly.yml plan"), "{}", said.err);
    let said = folder.fly(&["plan", "--file", "gone.yml"]);
    assert_eq!(said.code, Some(64), "{said:?}");
    assert!(said.err.contains("cannot read `gone.yml`"), "{}", said.err);
}

#[test]
fn a_huge_file_is_refused_at_once() {
    let folder = Folder::new("huge");
    std::fs::File::create(folder.path().join("fly.yml")).unwrap().set_len(10 << 30).unwrap();
    let begun = std::time::Instant::now();
    let said = folder.fly(&["plan"]);
    assert_eq!(said.code, Some(65), "{said:?}");
    assert!(said.err.contains("large"), "{}", said.err);
    assert!(begun.elapsed() < std::time::Duration::from_secs(1));
}

#[test]
fn no_engine_is_9() {
    let folder = Folder::new("engine");
    std::fs::write(folder.path().join("fly.yml"), SHOP).unwrap();
    let sessions = [&["exec", "web", "true"][..], &["logs"], &["cp", "web:/a", "."], &["console", "web"]];
    for args in [&["-p", "shop", "ps"][..], &["-p", "shop", "down"], &["plan"], &["up"]].into_iter().chain(sessions) {
        let said = folder.fly(args);
        assert_eq!((said.code, said.out.as_str()), (Some(9), ""), "{args:?}: {said:?}");
        assert!(said.err.contains("engine"), "{}", said.err);
    }
}

/// An engine that only says who it is.
fn engine(socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                while let Some(request) = lines.next() {
                    while lines.next().is_some_and(|line| !line.is_empty()) {}
                    let (status, body) = match &request {
                        request if request.contains("/_ping") => ("200 OK", "OK"),
                        request if request.contains("/info") => ("200 OK", r#"{"ID": "ABCD:EFGH"}"#),
                        _ => ("418 I'm a teapot", "{}"),
                    };
                    let head = format!("HTTP/1.1 {status}\r\nApi-Version: 1.41\r\nContent-Length: {}\r\n\r\n", body.len());
                    if stream.write_all((head + body).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

#[test]
fn a_locked_project_is_5_and_names_the_holder() {
    let folder = Folder::new("lock");
    let at = |name: &str| folder.path().join(name);
    engine(&at("docker.sock"));
    std::os::unix::fs::symlink(at("docker.sock"), at("other.sock")).unwrap();
    let command = |args: &[&str], socket: &str| {
        let mut command = folder.command(args);
        command.env("DOCKER_HOST", format!("unix://{}", at(socket).display())).stdin(std::process::Stdio::null());
        command
    };
    let path = lock::path(&at("run"), &"shop".parse().unwrap(), "ABCD:EFGH");
    let holder = Holder { pid: 4711, command: "fly up".into() };
    let held = Lock::acquire(&path, &holder, Patience::Refuse).unwrap();
    // However the engine is reached, it is one.
    for socket in ["docker.sock", "other.sock"] {
        let said = Said::new(&command(&["-p", "shop", "down"], socket).output().unwrap());
        assert_eq!((said.code, said.out.as_str()), (Some(5), ""), "{said:?}");
        assert!(said.err.contains("another run holds the project: `fly up`, process 4711"), "{}", said.err);
        assert!(said.err.contains("fly down --wait-lock"), "{}", said.err);
    }
    // Another project is none of its business: that run gets further.
    let further = [Some(1), Some(9)];
    let other = command(&["-p", "other", "down"], "docker.sock").output().unwrap();
    assert!(further.contains(&other.status.code()), "{other:?}");

    let mut waiting = command(&["-p", "shop", "down", "--wait-lock"], "docker.sock").stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut talk = BufReader::new(waiting.stderr.take().unwrap());
    let mut line = String::new();
    talk.read_line(&mut line).unwrap();
    assert_eq!(line, "waiting: another run holds the project: `fly up`, process 4711\n");
    assert_eq!(waiting.try_wait().unwrap(), None, "it waits");
    drop(held);
    assert!(further.contains(&waiting.wait().unwrap().code()));
}

#[test]
fn a_reader_that_goes_away_is_no_trouble() {
    let folder = Folder::new("pipe");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let said = Said::new(&folder.command(&["version"]).stdout(writer).output().unwrap());
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
}

#[test]
fn a_full_disk_is_a_failure() {
    let folder = Folder::new("full");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let said = Said::new(&folder.command(&["version"]).stdout(full).output().unwrap());
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("cannot write the output"), "{}", said.err);
}

const SHOP: &str = "name: shop\nmachines:\n  web: {image: 'debian:12', nics: {eth0: back}}\nnetworks:\n  back: {subnet: 10.10.0.0/24}\n";

/// A world with nothing in it, as `fly snapshot` would write it.
fn empty_world(folder: &Folder) {
    let text = serde_json::to_string(&fly::actual::Actual::default()).unwrap();
    std::fs::write(folder.path().join("world.json"), text).unwrap();
}

#[test]
fn mistakes_of_form_and_of_meaning_are_told_in_one_run() {
    let folder = Folder::new("meaning");
    let text = "networks: {lan: {parent: eth0, subnet: 192.168.50.0/24}}
machines:
  web:
    image: a:1
    link: [db]
    nics:
      eth0: {network: lan, ip: 192.168.51.10}
      eth1: bakc
";
    std::fs::write(folder.path().join("fly.yml"), text).unwrap();
    let said = folder.fly(&["plan"]);
    assert_eq!(said.code, Some(65), "{said:?}");
    for mistake in ["`link` is not a key", "192.168.51.10", "bakc", "3 errors in fly.yml"] {
        assert!(said.err.contains(mistake), "{mistake}: {}", said.err);
    }
}

#[test]
fn a_wrong_file_is_65_with_all_its_mistakes() {
    let folder = Folder::new("invalid");
    std::fs::write(folder.path().join("fly.yml"), "machines:\n  web: {iamge: 'debian:12'}\n  db: {image: [1]}\n").unwrap();
    empty_world(&folder);
    for args in [&["plan"][..], &["up"], &["config"], &["plan", "--world", "world.json"]] {
        let said = folder.fly(args);
        assert_eq!((said.code, said.out.as_str()), (Some(65), ""), "{args:?}: {said:?}");
        assert!(said.err.contains("fly.yml:2:") && said.err.contains("fly.yml:3:"), "{}", said.err);
    }
}

#[test]
fn a_plan_from_a_recorded_world_asks_no_engine() {
    let folder = Folder::new("snapshot");
    std::fs::write(folder.path().join("fly.yml"), SHOP).unwrap();
    empty_world(&folder);
    let said = folder.fly(&["plan", "--world", "world.json"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    // The guest's version is of the binary's own contents.
    let version = said.out.split("guest/").nth(1).and_then(|rest| rest.get(..12)).unwrap().to_owned();
    insta::assert_snapshot!("plan_world", said.out.replace(&version, "0123456789ab"));
    let said = folder.fly(&["plan", "--check", "--world", "world.json"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    let said = folder.fly(&["plan", "--format", "json", "--world", "world.json"]);
    let value: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &value["project"]), (Some(0), &serde_json::json!("shop")));
    let said = folder.fly(&["plan", "--world", "gone.json"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
}

#[test]
fn the_file_is_found_in_a_folder_above() {
    let folder = Folder::new("above");
    std::fs::write(folder.path().join("fly.yaml"), SHOP).unwrap();
    empty_world(&folder);
    std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
    let mut command = folder.command(&["plan", "--world", "../../world.json"]);
    let said = Said::new(&command.current_dir(folder.path().join("a/b")).output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("../../fly.yaml:3"), "{}", said.out);
}

#[test]
fn the_name_and_the_environment_can_be_given() {
    let folder = Folder::new("given");
    let text = SHOP.replace("debian:12", "debian:${TAG:-12}");
    std::fs::write(folder.path().join("fly.yml"), text).unwrap();
    std::fs::write(folder.path().join(".env"), "TAG=13\n").unwrap();
    std::fs::write(folder.path().join("other.env"), "TAG=14\n").unwrap();
    let config = |args: &[&str]| folder.fly(&[&["config"], args].concat());
    assert!(config(&[]).out.contains("debian:13"));
    assert!(config(&["--env-file", "other.env"]).out.contains("debian:14"));
    let said = Said::new(&folder.command(&["config"]).env("TAG", "15").output().unwrap());
    assert!(said.out.contains("debian:15"), "the user's environment wins: {said:?}");
    let said = config(&["--project", "other"]);
    assert!(said.out.starts_with("name: other\n"), "{said:?}");
}

#[test]
fn down_needs_only_a_name() {
    let folder = Folder::new("lenient");
    std::fs::write(folder.path().join("fly.yml"), "name: shop\nmachines: {web: {iamge: a}}\n").unwrap();
    let said = folder.fly(&["down"]);
    assert_eq!(said.code, Some(9), "as far as the engine: {said:?}");
    assert!(said.err.contains("`shop` is taken down by its name alone"), "{}", said.err);
    std::fs::write(folder.path().join("fly.yml"), "machines: {web: {iamge: a}}\n").unwrap();
    assert_eq!(folder.fly(&["down"]).code, Some(65));
    assert_eq!(folder.fly(&["down", "--project", "shop"]).code, Some(9));
}

#[test]
fn the_schema_is_json() {
    let said = Folder::new("schema").fly(&["schema"]);
    let value: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(said.code, Some(0));
    assert!(value["properties"]["machines"].is_object(), "{}", said.out);
}
