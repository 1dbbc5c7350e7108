//! Plans without machines: `--base`, `--world`, and what hostile repositories do to them.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::revision::Git;

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fly"));
    command.args(args).current_dir(folder).env_clear().stdin(Stdio::null());
    command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock").env("FLY_RUNTIME_DIR", folder.join("run"));
    command
}

fn said(mut command: Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn fly(folder: &Path, args: &[&str]) -> Said {
    said(command(folder, args))
}

/// A plan that could be made, and nothing said beside it.
fn good(folder: &Path, args: &[&str]) -> String {
    let said = fly(folder, args);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{args:?}: {}", said.out);
    said.out
}

const SHOP: &str = "\
name: shop
networks:
  back: {subnet: 10.10.0.0/24}
  lan: {parent: eth1, subnet: 192.168.1.0/24}
machines:
  web:
    image: web:1
    sshd: true
    nics: {eth0: {network: back, ip: 10.10.0.5}, eth1: lan}
    environment: {MODE: dev}
    volumes: ['./src:/srv', 'data:/data']
  db: {image: 'db:16', nics: {eth0: back}}
volumes: {data: {}}
";

fn shop(name: &str) -> Git {
    let git = Git::new(name, &[]);
    git.write("fly.yml", SHOP);
    git.commit("shop");
    git
}

#[test]
fn a_branch_is_compared_with_its_base() {
    let git = shop("base");
    assert!(good(git.path(), &["plan", "--base", "HEAD"]).contains("nothing to do"));
    let changed = SHOP.replace("10.10.0.5", "10.10.0.6").replace("db:16", "db:17").replace("MODE: dev", "MODE: live");
    git.write("fly.yml", &changed);
    let out = good(git.path(), &["plan", "--base", "main"]);
    insta::assert_snapshot!("base_changes", out);
    git.commit("change");
    assert_eq!(good(git.path(), &["plan", "--base", "HEAD~1"]), out, "committed or not");
    std::fs::create_dir(git.path().join("sub")).unwrap();
    let below = good(&git.path().join("sub"), &["plan", "--base", "HEAD~1"]);
    assert_eq!(below.replace("../fly.yml", "fly.yml"), out);
    assert_eq!(fly(git.path(), &["plan", "--check", "--base", "HEAD~1"]).code, Some(3));
    assert_eq!(fly(git.path(), &["plan", "--check", "--base", "HEAD"]).code, Some(0));
    // Taken back, it is the other way round.
    git.write("fly.yml", SHOP);
    assert!(good(git.path(), &["plan", "--base", "HEAD"]).contains("environment.MODE: live -> dev"));
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2yYx3fG2cZ0oYwUqI9d8B8l2yWw5m0m8oRrG1q2h3k";

#[test]
fn what_files_name_comes_from_the_same_revision() {
    let git = Git::new("named", &[]);
    let file = "machines:\n  web:\n    image: web:${TAG}\n    env_file: ../common.env\n    sshd: {authorized_keys: [team.pub]}\n    security_opt: ['seccomp=profile.json']\n";
    git.write("deploy/fly.yml", file);
    git.write("deploy/.env", "TAG=1\n");
    git.write("common.env", "MODE=dev\n");
    git.write("deploy/team.pub", &format!("{KEY} ada\n"));
    git.write("deploy/profile.json", "{\"defaultAction\": \"SCMP_ACT_ALLOW\"}");
    git.commit("first");
    let plan = || good(git.path(), &["plan", "--file", "deploy/fly.yml", "--base", "HEAD"]);
    assert!(plan().contains("nothing to do"));
    for (path, text, told) in [
        ("deploy/.env", "TAG=2\n", "web:1 -> web:2"),
        ("common.env", "MODE=live\n", "environment.MODE: dev -> live"),
        ("deploy/team.pub", &format!("{KEY} ada\n{} eve\n", KEY.replace("J2y", "J3y")), "eve"),
        ("deploy/profile.json", "{\"defaultAction\": \"SCMP_ACT_ERRNO\"}", "security_opt"),
    ] {
        git.write(path, text);
        let plan = plan();
        assert!(plan.contains(told), "{path}: {plan}");
        git.run(&["checkout", "-q", "."]);
    }
}

#[test]
fn what_nobody_sets_and_what_lies_outside_is_alike_on_both_sides() {
    let git = Git::new("outside", &[]);
    let file = "\
name: shop
networks: {lan: {subnet: '${NET}'}, back: {}}
machines:
  web:
    image: 'web:${TAG}'
    command: [serve, '--level=${LEVEL:-info}', '${NEEDED:?set it}']
    ports: ['${PORT}:80']
    memory: ${MEMORY}
    environment: [HOME, USER]
    env_file: /etc/hostname
    sshd: {authorized_keys: [~/.ssh/id_ed25519.pub]}
    nics: {eth0: lan, eth1: {network: back, ip: '${ADDRESS}'}}
    volumes: ['~/src:/srv', '../beside:/beside']
  db: {image: db, sshd: true}
";
    let file = file
        .replace("back: {}", "back: {subnet: 192.0.2.0/24}")
        .replace("'${NET}'", "'${NET:-10.1.0.0/24}'")
        .replace("ports: ['${PORT}:80']\n", "cpus: ${CPUS}\n");
    git.write("fly.yml", &file);
    git.commit("first");
    git.write("fly.yml", &file.replace("image: db", "image: db:2"));
    let plan = |home: &str, variables: &[(&str, &str)]| {
        let mut command = command(git.path(), &["plan", "--base", "HEAD"]);
        command.env("HOME", home).env("SSH_AUTH_SOCK", "/nonexistent").envs(variables.iter().copied());
        said(command)
    };
    let one = plan("/nonexistent", &[]);
    assert_eq!((one.code, one.err.as_str()), (Some(0), ""), "{}", one.out);
    insta::assert_snapshot!("base_outside", one.out);
    let other = plan("/root", &[("TAG", "canary"), ("MEMORY", "1G"), ("USER", "canary"), ("NEEDED", "canary")]);
    assert_eq!(other.out, one.out, "nothing of who asks shows");
    git.write("given.env", "TAG=7\nMEMORY=64M\nADDRESS=192.0.2.9\nCPUS=2\nNEEDED=x\n");
    let given = good(git.path(), &["plan", "--base", "HEAD", "--env-file", "given.env"]);
    assert!(!given.contains("TAG"), "{given}");
}

#[test]
fn files_that_are_new_moved_or_wrong() {
    let git = shop("moved");
    git.run(&["mv", "fly.yml", "fly.yaml"]);
    let out = good(git.path(), &["plan", "--base", "HEAD"]);
    assert!(out.contains("nothing to do") && out.contains("the file was called fly.yml in HEAD"), "{out}");
    git.run(&["mv", "fly.yaml", "shop.yml"]);
    let out = good(git.path(), &["plan", "-f", "shop.yml", "--base", "HEAD"]);
    assert!(out.contains("the file was called fly.yml in HEAD"), "{out}");
    git.run(&["reset", "-q", "--hard"]);
    git.run(&["checkout", "-q", "--orphan", "empty"]);
    git.run(&["rm", "-q", "-f", "fly.yml"]);
    git.write("README", "nothing yet\n");
    git.commit("nothing yet");
    git.write("fly.yml", SHOP);
    let out = good(git.path(), &["plan", "--base", "HEAD"]);
    assert!(out.contains("there is no fly.yml in HEAD: all of it is new") && out.contains("+   machine/web"), "{out}");
    git.write("fly.yml", &SHOP.replace("name: shop", "name: other"));
    let out = good(git.path(), &["plan", "--base", "main"]);
    assert!(out.contains("the project is called shop in main"), "{out}");
    // Wrong on either side.
    git.write("fly.yml", &SHOP.replace("image: web:1", "iamge: web:1"));
    let said = fly(git.path(), &["plan", "--base", "main"]);
    assert!(said.code == Some(65) && said.err.contains("fly.yml:7:"), "{}", said.err);
    git.commit("wrong");
    git.write("fly.yml", SHOP);
    let said = fly(git.path(), &["plan", "--base", "HEAD"]);
    assert!(said.code == Some(65) && said.err.contains("HEAD:fly.yml:7:"), "{}", said.err);
}

#[test]
fn revisions_that_cannot_be_had_are_said_with_what_helps() {
    let git = shop("told");
    let mut all = String::new();
    for revision in ["-x", "gone", "origin/main", "main:fly.yml", "main@{1}", "HEAD~7"] {
        let said = fly(git.path(), &["plan", "--base", revision]);
        assert_eq!((said.code, said.out.as_str()), (Some(64), ""), "{revision}: {}", said.err);
        all += &said.err;
        all.push('\n');
    }
    let commit = git.run(&["rev-parse", "--short=12", "HEAD"]);
    insta::assert_snapshot!("base_revisions", all.replace(&commit, "0123456789ab"));
    let bare = std::env::temp_dir().join(format!("fly-no-git-{}", std::process::id()));
    std::fs::create_dir_all(&bare).unwrap();
    std::fs::write(bare.join("fly.yml"), SHOP).unwrap();
    let said = fly(&bare, &["plan", "--base", "main"]);
    assert!(said.code == Some(64) && said.err.contains("is in no git repository"), "{}", said.err);
    std::fs::remove_dir_all(&bare).unwrap();
}

/// A program that must never run: it leaves a mark.
fn trap(git: &Git) -> (PathBuf, PathBuf) {
    let (program, mark) = (git.path().join("trap.sh"), git.path().join(".git/sprung"));
    std::fs::write(&program, format!("#!/bin/sh\necho \"$0 $*\" >>{}\n", mark.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    (program, mark)
}

#[test]
fn nothing_that_a_repository_names_is_run() {
    let git = shop("traps");
    let (program, mark) = trap(&git);
    let program = program.to_str().unwrap();
    let hooks = git.path().join(".git/hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    for hook in ["post-checkout", "pre-commit", "post-index-change", "reference-transaction", "fsmonitor-watchman", "post-merge"] {
        std::fs::copy(program, hooks.join(hook)).unwrap();
    }
    git.write(".gitattributes", "* filter=trap diff=trap\n");
    git.write(".git/included", &format!("[core]\n\tpager = {program}\n"));
    git.write("fly.yml", &SHOP.replace("db:16", "db:17"));
    for (key, value) in [
        ("core.fsmonitor", program),
        ("core.pager", program),
        ("core.editor", program),
        ("core.askPass", program),
        ("core.sshCommand", program),
        ("core.gitProxy", program),
        ("core.hooksPath", ".git/hooks"),
        ("core.alternateRefsCommand", program),
        ("diff.external", program),
        ("diff.trap.textconv", program),
        ("diff.trap.command", program),
        ("filter.trap.smudge", program),
        ("filter.trap.clean", program),
        ("filter.trap.process", program),
        ("alias.show", &format!("!{program}")),
        ("alias.cat-file", &format!("!{program}")),
        ("alias.rev-parse", &format!("!{program}")),
        ("credential.helper", program),
        ("gpg.program", program),
        ("uploadpack.packObjectsHook", program),
        ("include.path", "included"),
        ("remote.origin.url", &format!("ext::{program}")),
        ("remote.origin.promisor", "true"),
        ("protocol.ext.allow", "always"),
        ("remote.origin.uploadpack", program),
        ("pager.show", program),
        ("pager.cat-file", program),
        ("trace2.eventTarget", program),
    ] {
        git.write(".git/config.new", &std::fs::read_to_string(git.path().join(".git/config")).unwrap());
        let done = git.command(&["config", "--file", ".git/config", key, value]).output().unwrap();
        assert!(done.status.success(), "{key}");
    }
    for revision in ["HEAD", "main", "origin/main", "gone"] {
        let mut command = command(git.path(), &["plan", "--base", revision]);
        command
            .env("PATH", std::env::var("PATH").unwrap())
            .env("GIT_PAGER", program)
            .env("PAGER", program)
            .env("GIT_EXTERNAL_DIFF", program);
        said(command);
        assert!(!mark.exists(), "{revision}: {}", std::fs::read_to_string(&mark).unwrap());
    }
    assert!(good(git.path(), &["plan", "--base", "HEAD"]).contains("db:16 -> db:17"));
}

const CANARY: &str = "CANARY-7f3a";

/// Files that are not what they seem, by every way in which a file can be named.
#[test]
fn nothing_outside_of_a_repository_is_read() {
    let git = Git::new("hostile", &[]);
    let outside = git.path().with_extension("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("secret"), format!("X={CANARY}\n")).unwrap();
    std::fs::write(outside.join("fly.yml"), format!("name: shop\nmachines: {{web: {{image: {CANARY}}}}}\n")).unwrap();
    git.write("fly.yml", "name: shop\nmachines: {web: {image: a}}\n");
    git.commit("first");
    let secret = outside.join("secret");
    let fifo = Command::new("mkfifo").arg(git.path().join("pipe")).status().unwrap();
    assert!(fifo.success());
    symlink(&secret, git.path().join("link")).unwrap();
    symlink(&outside, git.path().join("folder")).unwrap();
    symlink("/dev/zero", git.path().join("zero")).unwrap();
    symlink("/proc/self/environ", git.path().join("environ")).unwrap();
    symlink("round", git.path().join("round")).unwrap();
    std::fs::File::create(git.path().join("huge")).unwrap().set_len(10 << 30).unwrap();
    let world = serde_json::to_string(&fly::actual::Actual::default()).unwrap();
    std::fs::write(outside.join("world.json"), world).unwrap();
    let world = outside.join("world.json");
    let ways: [&[&str]; 2] = [&["plan", "--base", "HEAD"], &["plan", "--world", world.to_str().unwrap()]];
    let run = |what: &str| {
        for args in ways {
            let mut command = command(git.path(), args);
            command.env("CANARY", CANARY).env("HOME", &outside);
            let begun = std::time::Instant::now();
            let said = said(command);
            assert!(begun.elapsed().as_secs() < 20, "{what}: too long");
            assert!(said.code.is_some(), "{what} {args:?}: killed");
            assert!(!said.out.contains(CANARY) && !said.err.contains(CANARY), "{what} {args:?}: {}{}", said.out, said.err);
        }
    };
    let whole = secret.display().to_string();
    let above = format!("../{}/secret", outside.file_name().unwrap().to_str().unwrap());
    for path in [
        "link",
        "folder/secret",
        "zero",
        "environ",
        "round",
        "pipe",
        "huge",
        ".git/../link",
        &whole,
        &above,
        "~/secret",
        "/proc/self/environ",
    ] {
        for key in
            [format!("env_file: '{path}'"), format!("sshd: {{authorized_keys: ['{path}']}}"), format!("security_opt: ['seccomp={path}']")]
        {
            git.write("fly.yml", &format!("name: shop\nmachines: {{web: {{image: a, {key}}}}}\n"));
            run(&key);
        }
    }
    git.write("fly.yml", "name: shop\nmachines: {web: {image: 'a:${X}'}}\n");
    for target in ["link", "folder/secret", "zero", "environ", "pipe", "huge"] {
        symlink(target, git.path().join(".env")).unwrap();
        run(&format!(".env -> {target}"));
        std::fs::remove_file(git.path().join(".env")).unwrap();
    }
    std::fs::remove_file(git.path().join("fly.yml")).unwrap();
    for target in [outside.join("fly.yml"), PathBuf::from("pipe"), PathBuf::from("zero"), PathBuf::from("huge"), PathBuf::from("round")] {
        symlink(&target, git.path().join("fly.yml")).unwrap();
        run(&format!("fly.yml -> {}", target.display()));
        std::fs::remove_file(git.path().join("fly.yml")).unwrap();
    }
    std::fs::remove_dir_all(&outside).unwrap();
}

/// What the process asks the kernel for, as strace saw it.
fn calls(folder: &Path, args: &[&str]) -> String {
    let log = folder.join("../").join(format!("fly-strace-{}-{}", std::process::id(), args.join("").len()));
    let mut command = Command::new("strace");
    command.args(["-f", "-o", log.to_str().unwrap(), env!("CARGO_BIN_EXE_fly")]).args(args);
    let output = command.current_dir(folder).env("HOME", "/root").env("SSH_AUTH_SOCK", "/nonexistent").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    text
}

#[test]
fn no_socket_is_opened_and_no_program_is_started() {
    let git = shop("strace");
    git.write(
        "fly.yml",
        &SHOP.replace("db:16", "db:17").replace(", eth1: lan", "").replace("  lan: {parent: eth1, subnet: 192.168.1.0/24}\n", ""),
    );
    let world = git.path().join("world.json");
    std::fs::write(&world, serde_json::to_string(&fly::actual::Actual::default()).unwrap()).unwrap();
    for args in [&["plan", "--base", "HEAD"][..], &["plan", "--world", "world.json"]] {
        let calls = calls(git.path(), args);
        let of = |name: &str| calls.lines().filter(|line| line.contains(&format!(" {name}("))).collect::<Vec<_>>();
        for name in ["socket", "socketpair", "connect", "bind", "fork", "vfork", "clone", "clone3"] {
            assert!(of(name).is_empty(), "{args:?}: {:?}", of(name));
        }
        assert_eq!(of("execve").len(), 1, "{args:?}: its own");
        let opened: Vec<&str> = of("openat").into_iter().chain(of("open")).chain(of("openat2")).collect();
        let writing = |line: &&&str| ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|flag| line.contains(flag));
        assert!(opened.iter().filter(writing).all(|line| line.contains("/dev/")), "{args:?}: {opened:?}");
        // A kernel without Landlock says so at the first of these calls.
        assert!(!of("landlock_create_ruleset").is_empty(), "{args:?}: it asks to be confined");
        if of("landlock_restrict_self").iter().any(|line| line.ends_with("= 0")) {
            let behind = calls.split("landlock_restrict_self(").nth(1).unwrap();
            let before = calls.split("landlock_restrict_self(").next().unwrap();
            assert!(!before.contains("fly.yml\", O_RDONLY"), "{args:?}: the file is read behind the fence");
            assert!(behind.contains("fly.yml"), "{args:?}: the file is read behind the fence");
        }
    }
}
