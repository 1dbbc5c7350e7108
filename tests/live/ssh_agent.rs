//! Keys that are in the agent alone: `fly up` takes the public halves, and one logs in by the agent.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::sample::changes_in;
use crate::support::{Lab, Output, Project, Running, command, eventually, user};

const FILE: &str = "
name: vm
networks: {back: {subnet: 10.20.0.0/24, host_ip: 10.20.0.1}}
machines:
  web: {image: 'fly/busybox:test', sshd: true, nics: {eth0: {network: back, ip: 10.20.0.5}}}
";

struct Agent<'a> {
    lab: &'a Lab,
    socket: PathBuf,
    running: Running,
}

impl<'a> Agent<'a> {
    fn start(lab: &'a Lab) -> Self {
        let socket = Path::new("agent");
        // It serves nobody but root and whose it is.
        let (user, folder) = (user().to_string(), lab.dir().join("agents"));
        std::fs::create_dir(&folder).unwrap();
        lab.machine().ok(&["chown", &user, &folder.display().to_string()]);
        let socket = folder.join(socket);
        let agent = command(&["setpriv", "--reuid", &user, "--clear-groups", "ssh-agent", "-D", "-a", &socket.display().to_string()]);
        let running = lab.machine().running(agent, Duration::from_secs(600));
        eventually("the agent", Duration::from_secs(30), || if socket.exists() { Ok(()) } else { Err("no socket".to_owned()) });
        Self { lab, socket, running }
    }

    fn add(&self, words: &[&str]) {
        let mut add = command(&[&["ssh-add", "-q"], words].concat());
        add.env("SSH_AUTH_SOCK", &self.socket);
        self.lab.machine().running(add, Duration::from_secs(30)).wait().success();
    }

    /// A new key, whose file does not stay.
    fn add_new(&self, kind: &str) {
        let file = self.lab.dir().join("passing").display().to_string();
        self.lab.machine().ok(&["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", &format!("{kind} of the agent"), "-f", &file]);
        self.add(&[&file]);
        for name in [file.clone(), format!("{file}.pub")] {
            std::fs::remove_file(name).unwrap();
        }
    }
}

/// The real client, with whatever agent there is and no file of a key.
fn ssh(lab: &Lab, project: &Project<'_>, agent: Option<&Path>) -> Output {
    let known = format!("UserKnownHostsFile={}", project.dir().join("known_hosts").display());
    let options = ["-F", "none", "-o", "BatchMode=yes", "-o", "IdentityFile=none", "-o", "ConnectTimeout=5", "-o", &known];
    let rest = ["-o", "StrictHostKeyChecking=accept-new", "-o", "LogLevel=ERROR", "root@10.20.0.5", "id -u"];
    let mut ssh = command(&[&["ssh"][..], &options, &rest].concat());
    ssh.envs(agent.map(|socket| ("SSH_AUTH_SOCK", socket)));
    lab.machine().running(ssh, Duration::from_secs(60)).wait()
}

fn fly(project: &Project<'_>, agent: &Path, args: &[&str]) -> Output {
    project.command().env("SSH_AUTH_SOCK", &agent.display().to_string()).args(args).run()
}

#[test]
fn one_logs_in_by_the_agent_alone() {
    let lab = Lab::start();
    let project = lab.project("vm", FILE);
    let agent = Agent::start(&lab);
    let socket = agent.socket.clone();
    // An agent without keys is none.
    let empty = fly(&project, &socket, &["plan"]);
    assert!(empty.success().stdout.contains("no public key is known to log into web"), "{empty}");
    agent.add_new("ed25519");
    agent.add_new("ecdsa");
    let up = fly(&project, &socket, &["up", "--yes"]);
    assert!(!up.success().stderr.contains("no public key is known"), "{up}");
    assert_eq!(ssh(&lab, &project, Some(&socket)).success().stdout, "0\n");
    ssh(&lab, &project, None).expect_code(255);
    let config = lab.docker(&["exec", "vm.web", "cat", "/.fly/machine/config.json"]);
    assert!(config.contains("ed25519 of the agent") && config.contains("ecdsa of the agent"), "{config}");

    // Of several keys, each is enough; one that the agent has lost is still the machine's, for it may be somebody's.
    agent.add(&["-D"]);
    ssh(&lab, &project, Some(&socket)).expect_code(255);
    agent.add_new("rsa");
    let plan = fly(&project, &socket, &["plan", "--format", "json"]);
    assert_eq!(changes_in(&plan), vec![("machine/web".into(), "update".into(), vec!["sshd.keys of root".into()])]);
    fly(&project, &socket, &["up", "--yes"]).success();
    eventually("the third key", Duration::from_secs(10), || {
        let login = ssh(&lab, &project, Some(&socket));
        if login.code == 0 { Ok(()) } else { Err(login.to_string()) }
    });
    let config = lab.docker(&["exec", "vm.web", "cat", "/.fly/machine/config.json"]);
    assert_eq!(config.matches(" of the agent").count(), 3, "{config}");

    // Dead: the socket is there, and nobody behind it. Gone altogether. Both are nothing to do.
    agent.running.kill();
    assert!(socket.exists());
    for socket in [socket.as_path(), Path::new("/nonexistent/agent")] {
        let plan = fly(&project, socket, &["plan", "--check"]);
        assert!(plan.success().stdout.contains("nothing to do"), "{plan}");
    }
    project.fly(&["plan", "--check"]).success();
    assert_eq!(project.fly(&["ssh", "web", "id -u"]).success().stdout, "0\n", "by way of the engine nobody needs a key");
}

/// One that takes the question and says nothing, and one that talks rubbish: it costs a moment and no more.
#[test]
fn an_agent_that_does_not_answer_is_not_waited_for() {
    let lab = Lab::start();
    let project = lab.project("vm", FILE);
    let silent = lab.dir().join("silent");
    let listener = UnixListener::bind(&silent).unwrap();
    std::fs::set_permissions(&silent, std::fs::Permissions::from_mode(0o666)).unwrap();
    let start = Instant::now();
    let plan = fly(&project, &silent, &["plan"]);
    assert!(plan.success().stdout.contains("no public key is known to log into web"), "{plan}");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    drop(listener);

    let rubbish = lab.dir().join("rubbish");
    let listener = UnixListener::bind(&rubbish).unwrap();
    std::fs::set_permissions(&rubbish, std::fs::Permissions::from_mode(0o666)).unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = [0; 5];
        stream.read_exact(&mut question).unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.0 400 Bad Request\r\n\r\n").unwrap();
    });
    let plan = fly(&project, &rubbish, &["plan"]);
    assert!(plan.success().stdout.contains("no public key is known to log into web"), "{plan}");
    answering.join().unwrap();
}
