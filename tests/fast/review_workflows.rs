//! The workflows of `examples/review/`: their shell parts, run as the forges run them, against servers that play the forges' part.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use fly::types::Bytes;
use serde_json::Value;

use crate::plans::{empty_world, resolved};
use crate::properties::{looked, up};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Forge {
    GitHub,
    GitLab,
}

#[derive(Clone, Debug)]
struct Comment {
    id: usize,
    author: &'static str,
    body: String,
}

#[derive(Default)]
struct State {
    comments: Vec<Comment>,
    labels: BTreeSet<String>,
    requests: Vec<String>,
}

/// As `fly` is called, and who comments.
const ROBOT: &str = "github-actions[bot]";

struct Server {
    state: Arc<Mutex<State>>,
    url: String,
}

impl Server {
    fn start(forge: Forge) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, base) = (Arc::clone(&state), url.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(&stream.unwrap(), forge, &base, &mut shared.lock().unwrap());
            }
        });
        Self { state, url }
    }

    fn add(&self, author: &'static str, body: &str) {
        let mut state = self.state.lock().unwrap();
        let id = 100 + state.comments.len();
        state.comments.push(Comment { id, author, body: body.to_owned() });
    }

    fn by_robot(&self) -> Vec<Comment> {
        self.state.lock().unwrap().comments.iter().filter(|comment| comment.author == ROBOT).cloned().collect()
    }

    fn labels(&self) -> Vec<String> {
        self.state.lock().unwrap().labels.iter().cloned().collect()
    }
}

fn answer(stream: &TcpStream, forge: Forge, base: &str, state: &mut State) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    state.requests.push(format!("{method} {path}"));
    let is_known = headers.get("authorization").is_some_and(|it| it == "Bearer s3cret")
        || headers.get("private-token").is_some_and(|it| it == "s3cret");
    let (status, answer) = if !is_known {
        (401, "{}".to_owned())
    } else if forge == Forge::GitHub {
        github(&method, &path, &body, base, state)
    } else {
        gitlab(&method, &path, &body, headers.get("content-type").map_or("", String::as_str), state)
    };
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}", answer.len()).unwrap();
}

fn text_of(body: &str) -> String {
    serde_json::from_str::<Value>(body).unwrap()["body"].as_str().unwrap().to_owned()
}

fn page_of(path: &str, list: &[String]) -> String {
    let page = path.split("&page=").nth(1).unwrap();
    format!("[{}]", if page == "1" { list.join(",") } else { String::new() })
}

/// As its documentation has it: comments and labels of an issue.
fn github(method: &str, path: &str, body: &str, base: &str, state: &mut State) -> (u16, String) {
    let issue = "/repos/ada/shop/issues";
    let comment = |it: &Comment| {
        let (url, text, author) = (format!("{base}{issue}/comments/{}", it.id), serde_json::to_string(&it.body).unwrap(), it.author);
        format!(
            "{{\"url\":\"{url}\",\"html_url\":\"{base}/ada/shop/pull/7#issuecomment-{0}\",\"id\":{0},\"user\":{{\"login\":\"{author}\",\"id\":1,\
             \"url\":\"{base}/users/x\"}},\"body\":{text},\"reactions\":{{\"url\":\"{url}/reactions\",\"total_count\":0}}}}",
            it.id
        )
    };
    let rest = path.strip_prefix(issue).unwrap();
    match (method, rest.split('?').next().unwrap()) {
        ("GET", "/7/comments") => {
            let list: Vec<String> = state.comments.iter().map(comment).collect();
            // Both forms have been seen of it.
            let text = page_of(path, &list);
            (200, if state.requests.len().is_multiple_of(2) { text.replace("\":", "\": ").replace(",\"", ",\n  \"") } else { text })
        }
        ("POST", "/7/comments") => {
            let id = 100 + state.comments.len();
            state.comments.push(Comment { id, author: ROBOT, body: text_of(body) });
            (201, "{}".to_owned())
        }
        ("POST", "/7/labels") => {
            let labels: Value = serde_json::from_str(body).unwrap();
            state.labels.extend(labels["labels"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()));
            (200, "[]".to_owned())
        }
        ("DELETE", label) if label.starts_with("/7/labels/") => {
            let label = label["/7/labels/".len()..].replace("%3A", ":").replace("%20", " ");
            (if state.labels.remove(&label) { 200 } else { 404 }, "[]".to_owned())
        }
        ("PATCH", one) => {
            let id: usize = one.strip_prefix("/comments/").unwrap().parse().unwrap();
            let found = state.comments.iter_mut().find(|it| it.id == id).unwrap();
            assert_eq!(found.author, ROBOT, "a comment of somebody else is left alone");
            found.body = text_of(body);
            (200, "{}".to_owned())
        }
        other => panic!("{other:?}"),
    }
}

/// The same of a merge request. GitLab writes `<` and `>` in JSON as escapes.
fn gitlab(method: &str, path: &str, body: &str, kind: &str, state: &mut State) -> (u16, String) {
    if path == "/user" {
        return (200, "{\"id\":42,\"username\":\"project_1_bot\"}".to_owned());
    }
    let request = "/projects/1/merge_requests/7";
    let note = |it: &Comment| {
        let text = serde_json::to_string(&it.body).unwrap().replace('<', "\\u003c").replace('>', "\\u003e");
        let author = if it.author == ROBOT { 42 } else { 43 };
        format!(
            "{{\"id\":{},\"type\":null,\"body\":{text},\"attachment\":null,\"author\":{{\"id\":{author},\"username\":\"x\"}},\"system\":false}}",
            it.id
        )
    };
    let rest = path.strip_prefix(request).unwrap();
    match (method, rest.split('?').next().unwrap()) {
        ("GET", "/notes") => (200, page_of(path, &state.comments.iter().map(note).collect::<Vec<_>>())),
        ("POST", "/notes") if kind == "application/json" => {
            let id = 100 + state.comments.len();
            state.comments.push(Comment { id, author: ROBOT, body: text_of(body) });
            (201, "{}".to_owned())
        }
        ("PUT", "") => {
            let decoded = |text: &str| text.replace('+', " ").replace("%3A", ":").replace("%20", " ").replace("%2C", ",");
            for (key, value) in body.split('&').map(|pair| pair.split_once('=').unwrap()) {
                for label in decoded(value).split(',').filter(|it| !it.is_empty()) {
                    match key {
                        "add_labels" => state.labels.insert(label.to_owned()),
                        "remove_labels" => state.labels.remove(label),
                        other => panic!("{other}"),
                    };
                }
            }
            (200, "{}".to_owned())
        }
        ("PUT", one) if kind == "application/json" => {
            let id: usize = one.strip_prefix("/notes/").unwrap().parse().unwrap();
            let found = state.comments.iter_mut().find(|it| it.id == id).unwrap();
            assert_eq!(found.author, ROBOT, "a comment of somebody else is left alone");
            found.body = text_of(body);
            (200, "{}".to_owned())
        }
        other => panic!("{other:?}"),
    }
}

/// A folder with `fly.yml`, a recorded world, and a `fly` that plans against that instead of another revision.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fly-review-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("bin")).unwrap();
        let fly = path.join("bin/fly");
        let real = env!("CARGO_BIN_EXE_fly");
        std::fs::write(
            &fly,
            format!("#!/bin/sh\n[ \"$1 $2\" = 'plan --base' ] || exit 99\nshift 3\nexec {real} plan --world world.json \"$@\"\n"),
        )
        .unwrap();
        std::fs::set_permissions(&fly, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    /// What runs; and how much it has written.
    fn world(&self, file: &str, layer: u64) {
        let (world, desired) = (empty_world(file), resolved(file));
        up(&world, &desired, 16).unwrap();
        let mut actual = looked(&world, &desired);
        for state in actual.engine.machines.values_mut() {
            state.writable_layer = Some(Bytes(layer));
        }
        let said = fly::actual::Said { source: file, values: &BTreeSet::new() };
        std::fs::write(self.0.join("world.json"), actual.veiled(&said).to_text(&desired.project)).unwrap();
    }

    fn file(&self, text: &str) {
        std::fs::write(self.0.join("fly.yml"), text).unwrap();
    }

    fn run(&self, script: &str, shell: &[&str], environment: &[(&str, &str)]) -> Output {
        let path = self.0.join("script");
        std::fs::write(&path, script).unwrap();
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg(&path).current_dir(&self.0).env_clear();
        command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.0.join("bin").display()));
        command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock").env("no_proxy", "*");
        command.envs(environment.iter().copied()).output().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn workflow(name: &str) -> Value {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/review").join(name)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

const BEFORE: &str = "name: shop\nmachines:\n  web: {image: \"debian:12\"}\n";
const AFTER: &str = "name: shop\nmachines:\n  web: {image: \"debian:12\", user: \"5\"}\n";

/// One pull request, from its first commit to its last.
fn whole_life(server: &Server, place: &Place, run: &dyn Fn() -> Output) {
    // Others may write what they like.
    server.add("mallory", "<!-- fly plan: shop -->\nnot fly's");
    server.add(
        "mallory",
        "x\"},{\"url\":\"http://x/issues/comments/666\",\"user\":{\"login\":\"github-actions[bot]\"},\"body\":\"<!-- fly plan: shop -->",
    );
    server.add(ROBOT, "something else\n<!-- fly plan: shop -->");
    let ok = |code: i32| {
        let output = run();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let fly: Vec<Comment> = server.by_robot().into_iter().filter(|it| it.body.starts_with("<!-- fly plan: shop -->\n")).collect();
        assert_eq!(fly.len(), 1, "one comment, in place: {fly:#?}");
        (fly[0].clone(), String::from_utf8(output.stdout).unwrap())
    };
    place.world(BEFORE, 4096);
    place.file(AFTER);
    let (first, _) = ok(0);
    assert!(first.body.contains("[!CAUTION]") && first.body.contains("4.0 KiB"), "{}", first.body);
    assert_eq!(server.labels(), ["fly: loses data"]);
    place.world(BEFORE, 0);
    let (second, _) = ok(0);
    assert!(second.id == first.id && !second.body.contains("[!CAUTION]") && second.body.contains("[!WARNING]"), "{}", second.body);
    assert_eq!(server.labels(), ["fly: interrupts"]);
    place.file(BEFORE);
    let (third, _) = ok(0);
    assert!(third.id == first.id && !third.body.contains("[!WARNING]"), "{}", third.body);
    assert!(server.labels().is_empty(), "{:?}", server.labels());
    place.file("name: shop\nmachines:\n  web: {iamge: x}\n");
    let (wrong, _) = ok(65);
    assert!(wrong.id == first.id && wrong.body.contains("### fly cannot plan `shop`") && wrong.body.contains("iamge"), "{}", wrong.body);
    assert_eq!(server.state.lock().unwrap().comments.len(), 4);
}

#[test]
fn of_github() {
    let workflow = workflow("github.yml");
    assert_eq!(workflow["permissions"], serde_json::json!({"contents": "read", "pull-requests": "write"}));
    let steps = workflow["jobs"]["plan"]["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["name"] == "Plan, comment, label").unwrap();
    let script = step["run"].as_str().unwrap();
    for step in steps {
        assert!(!step["run"].as_str().unwrap_or_default().contains("${{"), "what comes from outside comes by the environment: {step}");
    }
    let (server, place) = (Server::start(Forge::GitHub), Place::new("github"));
    let author = step["env"]["AUTHOR"].as_str().unwrap();
    let environment = [
        ("GITHUB_API_URL", server.url.as_str()),
        ("GITHUB_REPOSITORY", "ada/shop"),
        ("BASE", "HEAD^1"),
        ("NUMBER", "7"),
        ("TOKEN", "s3cret"),
        ("AUTHOR", author),
    ];
    whole_life(&server, &place, &|| place.run(script, &["sh", "-e"], &environment));
    place.file(AFTER);
    let said = place.run(script, &["sh", "-e"], &environment);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("::warning file=fly.yml,line=3,"), "annotations: {said}");
    // And against a revision, as it is run there.
    let git = |args: &[&str]| {
        let own = ["-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"];
        let done = Command::new("git").args(own).args(args).current_dir(&place.0).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    place.file(BEFORE);
    git(&["init", "--quiet"]);
    git(&["add", "fly.yml"]);
    git(&["commit", "--quiet", "--message=before"]);
    place.file(AFTER);
    let fly = place.0.join("bin/fly");
    std::fs::remove_file(&fly).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fly"), &fly).unwrap();
    let environment = environment.map(|(name, value)| (name, if name == "BASE" { "HEAD" } else { value }));
    let done = place.run(script, &["sh", "-e"], &environment);
    assert!(done.status.success(), "{done:?}");
    let comment = server.by_robot().into_iter().find(|it| it.body.starts_with("<!-- fly plan: shop -->\n")).unwrap();
    assert!(comment.body.contains("[!CAUTION]") && comment.body.contains("user"), "{}", comment.body);
}

#[test]
fn of_gitlab() {
    let workflow = workflow("gitlab.yml");
    let script = workflow["fly-plan"]["script"][0].as_str().unwrap();
    let (server, place) = (Server::start(Forge::GitLab), Place::new("gitlab"));
    let environment = [
        ("CI_API_V4_URL", server.url.as_str()),
        ("CI_MERGE_REQUEST_PROJECT_ID", "1"),
        ("CI_MERGE_REQUEST_IID", "7"),
        ("CI_MERGE_REQUEST_DIFF_BASE_SHA", "0123abc"),
        ("FLY_TOKEN", "s3cret"),
    ];
    whole_life(&server, &place, &|| place.run(script, &["bash", "-eo", "pipefail"], &environment));
    // Without a token there is the log.
    place.file(AFTER);
    let said = place.run(script, &["bash", "-eo", "pipefail"], &environment[..4]);
    assert!(said.status.success() && String::from_utf8(said.stdout).unwrap().contains("Plan: "));
}
