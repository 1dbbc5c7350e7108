//! `fly validate` and `fly init`, as editors, hooks and beginners use them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("editor").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fly"));
    command.args(args).current_dir(folder).env_clear().env("HOME", folder).env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    command
}

fn fly(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).stdin(Stdio::null()).output().unwrap()
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    format!("exit {}\n{}{}", output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

const WRONG: &str = "name: t
networks: {lan: {subnet: 10.1.0.0/24}}
machines:
  a: {image: x, nics: {eth0: {network: lan, ip: 10.1.0.5}}, user: \"${WHO}\"}
  b: {image: x, nics: {eth0: {network: lan, ip: 10.1.0.5}}, restart: \"100%, or: never\"}
";

#[test]
fn the_same_mistakes_for_people_programs_and_pull_requests() {
    let folder = folder("formats");
    std::fs::write(folder.join("fly.yml"), WRONG).unwrap();
    let formats = ["text", "json", "github"].map(|format| told(&fly(&folder, &["validate", "--format", format])));
    insta::assert_snapshot!("validate", formats.join("\n"));
}

#[test]
fn several_files_are_checked_in_one_run() {
    let folder = folder("several");
    for (file, text) in [("right.yml", "name: t\nmachines: {a: {image: x}}\n"), ("wrong.yml", "name: t\nmachines: {a: {image: 5}}\n")] {
        std::fs::write(folder.join(file), text).unwrap();
    }
    std::fs::create_dir(folder.join("sub")).unwrap();
    let all = [
        told(&fly(&folder, &["validate", "right.yml"])),
        told(&fly(&folder, &["validate", "right.yml", "wrong.yml"])),
        told(&fly(&folder, &["validate", "right.yml", "gone.yml"])),
        told(&fly(&folder, &["validate", "--format", "json", "gone.yml"])),
        told(&fly(&folder, &["--file", "right.yml", "validate"])),
        told(&fly(&folder.join("sub"), &["validate", "../wrong.yml"])),
        told(&fly(&folder, &["validate", "--file", "right.yml", "wrong.yml"])),
    ];
    insta::assert_snapshot!("several", all.join("\n"));
}

#[test]
fn an_editor_gives_its_text_by_the_standard_input() {
    let folder = folder("stdin");
    let mut fly = command(&folder, &["validate", "--format", "github", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    fly.stdin.take().unwrap().write_all(b"name: t\nmachines: {a: {iamge: x}}\n").unwrap();
    let output = fly.wait_with_output().unwrap();
    let said = "::error file=-,line=2,endLine=2,col=16,endColumn=21,title=`iamge` is not a key of a machine::here: unknown key%0Ahint: did you mean `image`?\n";
    assert_eq!((output.status.code(), String::from_utf8(output.stdout).unwrap().as_str()), (Some(65), said));
}

/// Neither the engine's socket nor that of an ssh agent: whoever is asked would notice.
#[test]
fn nobody_is_asked() {
    let folder = folder("nobody");
    std::fs::write(folder.join("fly.yml"), "name: t\nmachines: {a: {image: x, sshd: true}}\n").unwrap();
    let sockets = ["agent.sock", "docker.sock"].map(|name| std::os::unix::net::UnixListener::bind(folder.join(name)).unwrap());
    let output = command(&folder, &["validate"])
        .env("SSH_AUTH_SOCK", folder.join("agent.sock"))
        .env("DOCKER_HOST", format!("unix://{}", folder.join("docker.sock").display()))
        .output()
        .unwrap();
    assert_eq!(told(&output), "exit 0\nfly.yml: nothing is wrong, 1 machine\n");
    for socket in sockets {
        socket.set_nonblocking(true).unwrap();
        assert_eq!(socket.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[test]
fn what_init_writes_is_right_and_an_editor_finds_its_schema() {
    let folder = folder("shop");
    let output = fly(&folder, &["init"]);
    let written = std::fs::read_to_string(folder.join("fly.yml")).unwrap();
    insta::assert_snapshot!("init", format!("{}\n{written}", told(&output)));
    let schema = written.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema=")).unwrap();
    let schema = std::fs::read_to_string(folder.join(schema)).unwrap();
    assert_eq!(schema, fly::spec::schema());
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    assert!(validator.is_valid(&serde_saphyr::from_str(&written).unwrap()));
    assert_eq!(told(&fly(&folder, &["validate"])), "exit 0\nfly.yml: nothing is wrong, 2 machines\n");
    // What stands in a comment is to be right, too.
    let card = written.replace("  # lan:", "  lan:");
    assert!(card != written);
    std::fs::write(folder.join("fly.yml"), card).unwrap();
    assert_eq!(told(&fly(&folder, &["validate"])), "exit 0\nfly.yml: nothing is wrong, 2 machines\n");
    let resolved = fly(&folder, &["config"]);
    assert!(resolved.status.success() && resolved.stdout.starts_with(b"name: shop\n"), "{}", told(&resolved));
}

#[test]
fn init_touches_nothing_that_is_there() {
    let folder = folder("there");
    for name in ["fly.yml", "fly.yaml"] {
        let here = folder.join(name.replace('.', "-"));
        std::fs::create_dir(&here).unwrap();
        std::fs::write(here.join(name), "mine").unwrap();
        let output = fly(&here, &["init"]);
        assert_eq!(output.status.code(), Some(64), "{}", told(&output));
        assert_eq!(std::fs::read_to_string(here.join(name)).unwrap(), "mine");
        assert_eq!(std::fs::read_dir(&here).unwrap().count(), 1);
    }
    // Nor what a link leads to, even if nothing is there yet.
    let here = folder.join("link");
    std::fs::create_dir(&here).unwrap();
    std::os::unix::fs::symlink("../outside", here.join("fly.yml")).unwrap();
    assert_eq!(fly(&here, &["init"]).status.code(), Some(64));
    std::fs::remove_file(here.join("fly.yml")).unwrap();
    std::os::unix::fs::symlink("../outside", here.join(".fly.schema.json")).unwrap();
    fly(&here, &["init"]);
    assert!(!folder.join("outside").exists());
    insta::assert_snapshot!("init_there", told(&fly(&folder.join("fly-yml"), &["init"])));
    let below = fly(&folder, &["init", "new/shop"]);
    assert!(below.status.success() && folder.join("new/shop/fly.yml").is_file(), "{}", told(&below));
}
