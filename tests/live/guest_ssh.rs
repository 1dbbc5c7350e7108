//! The guest's ssh server as root: other users, and images that have no shell, as a root directory of the test's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const FLY: &str = env!("CARGO_BIN_EXE_fly");

/// An image as a folder, and the server in it: in mount and pid namespaces of its own, so that everything ends with it.
struct Machine {
    folder: PathBuf,
    server: Option<Child>,
    port: u16,
}

impl Machine {
    fn new(name: &str) -> Machine {
        let folder = PathBuf::from(format!("/tmp/fly-ssh-live-{}-{name}", std::process::id()));
        let machine =
            Machine { folder, server: None, port: std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port() };
        for part in [".fly/bin", ".fly/machine", "proc", "dev", "etc", "tmp"] {
            fs::create_dir_all(machine.at(part)).unwrap();
        }
        fs::set_permissions(machine.at("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::copy(FLY, machine.at(".fly/bin/fly")).unwrap();
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(machine.folder.join("id")));
        machine
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.join("image").join(path.trim_start_matches('/'))
    }

    /// A static busybox, with these names.
    fn busybox(&self, names: &[&str]) {
        fs::create_dir_all(self.at("bin")).unwrap();
        fs::copy("/usr/bin/busybox", self.at("bin/busybox")).unwrap();
        for name in names {
            std::os::unix::fs::symlink("busybox", self.at(&format!("bin/{name}"))).unwrap();
        }
    }

    fn write(&self, path: &str, content: &str) {
        let file = self.at(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    fn serve(&mut self, users: &[&str]) {
        let key = fs::read_to_string(self.folder.join("id.pub")).unwrap();
        let user = serde_json::json!({"authorized_keys": [key.trim()], "password_hash": null});
        let users: serde_json::Map<String, serde_json::Value> = users.iter().map(|name| ((*name).to_owned(), user.clone())).collect();
        let sshd = serde_json::json!({"server": "fly", "port": self.port, "users": users});
        let config = serde_json::json!({"machine": "web", "nics": {}, "patience": 0, "sshd": sshd});
        self.write(".fly/machine/config.json", &config.to_string());
        let script = "mount -t proc proc \"$1/proc\" && mount --rbind /dev \"$1/dev\" && exec chroot \"$1\" /.fly/bin/fly guest serve";
        let log = fs::File::create(self.folder.join("log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh"]);
        self.server = Some(command.arg(self.folder.join("image")).stderr(log).spawn().unwrap());
        let end = Instant::now() + Duration::from_secs(30);
        while !self.log().contains("listening on") {
            assert!(Instant::now() < end, "the server does not listen: {}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn command(&self, user: &str, options: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["60", "ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no"]);
        command.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-p", &self.port.to_string(), "-i"]);
        command.arg(self.folder.join("id")).args(options).arg(format!("{user}@127.0.0.1")).env_remove("SSH_AUTH_SOCK");
        command
    }

    fn ssh(&self, user: &str, line: &str) -> Output {
        run(self.command(user, &[]).arg(line))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:Web:/home/web:/bin/ash\nlocked:x:1001:1001::/:/sbin/nologin\nodd:x:1002:1002::/nowhere:/bin/zsh\n";

#[test]
fn any_user_of_the_image_is_itself_and_nobody_else() {
    let mut machine = Machine::new("users");
    machine.busybox(&["sh", "ash", "id", "pwd", "cat", "env", "touch", "stat", "ls", "echo", "sleep", "tty"]);
    machine.write("etc/passwd", PASSWD);
    machine.write("etc/group", "root:x:0:\nwheel:x:10:web,root\nweb:x:1001:\ndocker:x:999:web\n");
    machine.write("etc/motd", "Welcome to web.\n");
    machine.write("etc/secret", "for root");
    fs::set_permissions(machine.at("etc/secret"), fs::Permissions::from_mode(0o600)).unwrap();
    machine.write("home/web/.profile", "echo profile was read\n");
    machine.write("root/.hushlogin", "");
    std::os::unix::fs::chown(machine.at("home/web"), Some(1000), Some(1001)).unwrap();
    machine.serve(&["root", "web", "locked", "odd", "absent"]);

    let root = machine.ssh("root", "id; pwd");
    assert_eq!(text(&root), "uid=0(root) gid=0(root) groups=0(root),10(wheel)\n/root", "{}", errors(&root));
    let web = machine.ssh("web", "id; pwd; touch made; stat -c %u:%g:%a made; echo $HOME $USER $SHELL; cat /etc/secret");
    let expected = "uid=1000(web) gid=1001(web) groups=10(wheel),999(docker),1001(web)\n/home/web\n1000:1001:644\n/home/web web /bin/ash";
    assert_eq!(text(&web), expected, "{}", errors(&web));
    assert!(errors(&web).contains("Permission denied"), "{}", errors(&web));
    // What root could read of the machine: the host key, and the settings with their hashes.
    let key = machine.ssh("web", "cat /.fly/machine/ssh_host_ed25519_key; cat /proc/self/status");
    assert!(errors(&key).contains("Permission denied"), "{}", errors(&key));
    assert!(text(&key).contains("CapEff:\t0000000000000000"), "{}", text(&key));

    // A login, with its greeting and its files; root does not want the greeting.
    let shell = |user: &str| {
        let mut ssh = machine.command(user, &["-tt"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // A shell that edits lines throws away what came before it was ready.
        thread::sleep(Duration::from_secs(1));
        std::io::Write::write_all(&mut ssh.stdin.take().unwrap(), b"exit\n").unwrap();
        text(&ssh.wait_with_output().unwrap())
    };
    assert!(shell("web").contains("Welcome to web.") && shell("web").contains("profile was read"), "{}", shell("web"));
    assert!(!shell("root").contains("Welcome"), "{}", shell("root"));
    let tty = text(&run(machine.command("web", &["-tt"]).arg("stat -c %u:%a $(tty)")));
    assert_eq!(tty, "1000:620");

    for (user, words) in [("locked", "nobody can log in as this user"), ("odd", "/bin/zsh as shell, which is not in this image")] {
        let output = machine.ssh(user, "id");
        assert_eq!((output.status.code(), text(&output).as_str()), (Some(1), ""));
        assert!(errors(&output).contains(words), "{}", errors(&output));
    }
    assert!(errors(&machine.ssh("absent", "id")).contains("Permission denied"));
    let end = Instant::now() + Duration::from_secs(20);
    while !machine.log().contains("refused absent from 127.0.0.1") {
        assert!(Instant::now() < end, "{}", machine.log());
        thread::sleep(Duration::from_millis(50));
    }

    unix_sockets_have_the_user_s_rights(&machine);
}

fn unix_sockets_have_the_user_s_rights(machine: &Machine) {
    let private = machine.at("root/private.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&private).unwrap();
    fs::set_permissions(machine.at("root"), fs::Permissions::from_mode(0o700)).unwrap();
    let through = |user: &str, target: &str| {
        let near = machine.folder.join("near");
        let _ = fs::remove_file(&near);
        let mut ssh = machine.command(user, &["-N", "-L", &format!("{}:{target}", near.display())]).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while !near.exists() && Instant::now() < end {
            thread::sleep(Duration::from_millis(50));
        }
        let mut stream = std::os::unix::net::UnixStream::connect(&near).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let refused = std::io::Read::read(&mut stream, &mut [0; 1]).is_ok_and(|count| count == 0);
        ssh.kill().unwrap();
        ssh.wait().unwrap();
        !refused
    };
    assert!(through("root", "/root/private.sock"));
    assert!(!through("web", "/root/private.sock"), "another user's socket is not within reach");
    let forward = |user: &str, path: &str| {
        run(machine
            .command(user, &["-o", "ExitOnForwardFailure=yes", "-R", &format!("{path}:/nowhere")])
            .arg(format!("stat -c %u:%a {path}")))
    };
    assert_eq!(text(&forward("web", "/home/web/back.sock")), "1000:600");
    assert!(errors(&forward("web", "/root/back.sock")).contains("remote port forwarding failed"));
    let low = run(machine.command("web", &["-o", "ExitOnForwardFailure=yes", "-R", "81:127.0.0.1:1"]).arg("true"));
    assert!(errors(&low).contains("remote port forwarding failed"), "{}", errors(&low));
}

#[test]
fn an_image_with_one_program_and_no_shell_can_be_used() {
    let mut machine = Machine::new("bare");
    fs::create_dir_all(machine.at("app")).unwrap();
    // busybox does by its name what it is called.
    fs::copy("/usr/bin/busybox", machine.at("app/cat")).unwrap();
    fs::copy("/usr/bin/busybox", machine.at("app/busybox")).unwrap();
    machine.serve(&["root"]);
    let mut cat =
        machine.command("root", &[]).arg("/app/cat - '/proc/self/cmdline'").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut cat.stdin.take().unwrap(), b"hello ").unwrap();
    let output = cat.wait_with_output().unwrap();
    assert_eq!(text(&output), "hello /app/cat\0-\0/proc/self/cmdline\0", "{}", machine.log());
    let env = text(&machine.ssh("root", "/app/busybox env"));
    assert!(env.contains("HOME=/\n") && env.contains("USER=root") && !env.contains("SHELL="), "{env}");
    let missing = machine.ssh("root", "ls /");
    assert_eq!(missing.status.code(), Some(127));
    assert!(errors(&missing).contains("fly: this image has no shell; give a program with its full path"), "{}", errors(&missing));
    let pipe = machine.ssh("root", "/app/cat x | y");
    assert!(pipe.status.code() == Some(127) && errors(&pipe).contains("`|` needs a shell"), "{}", errors(&pipe));
    let shell = run(&mut machine.command("root", &[]));
    assert_eq!(shell.status.code(), Some(127));
    assert!(errors(&shell).contains("fly: this image has no shell to log in to"), "{}", errors(&shell));
}

#[test]
fn a_server_that_dies_takes_its_sessions_and_one_that_comes_again_serves() {
    let mut machine = Machine::new("again");
    machine.busybox(&["sh", "sleep", "echo"]);
    machine.serve(&["root"]);
    let mut session = machine.command("root", &[]).arg("echo up; sleep 1000").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let mark = || {
        Path::new("/proc")
            .read_dir()
            .unwrap()
            .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
            .filter(|line| line.starts_with(b"sleep\x001000\0"))
            .count()
    };
    let wait = |done: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(20);
        while !done() && Instant::now() < end {
            thread::sleep(Duration::from_millis(50));
        }
        done()
    };
    let before = mark();
    assert!(wait(&|| mark() > before || machine.log().contains("logged in")));
    let mut server = machine.server.take().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(!session.wait().unwrap().success());
    machine.serve(&["root"]);
    assert_eq!(text(&machine.ssh("root", "echo again")), "again", "{}", machine.log());
}
