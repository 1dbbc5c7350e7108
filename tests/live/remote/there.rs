//! The two computers: one with the engine, which also has OpenSSH's server and listens with TLS, and one with a user and fly.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{FlyCommand, Lab, Output, Project, Running, command, eventually};

const USER: u32 = 4711;
const LIMIT: Duration = Duration::from_secs(60);

/// A computer of its own, as far as processes, mounts and `/run` are concerned; its network is the neighbour's. Copies of the mounts that
/// hold the machines' namespaces would keep these alive.
const ELSEWHERE: &str = "umount -l -R /run && mount -t tmpfs run /run && setpriv --reuid=4711 --regid=4711 --clear-groups \"$@\"";

pub(super) struct There<'a> {
    pub(super) lab: &'a Lab,
    pub(super) project: Project<'a>,
    pub(super) home: PathBuf,
    /// `ca.pem`, `cert.pem` and `key.pem` of the user; the engine's own beside them.
    pub(super) certs: PathBuf,
    log: PathBuf,
    _sshd: Running,
}

impl<'a> There<'a> {
    pub(super) fn new(lab: &'a Lab, file: &str) -> Self {
        let project = lab.project("shop", file);
        let (home, certs, log) = (lab.dir().join("u"), lab.dir().join("certs"), lab.dir().join("sshd.log"));
        fs::set_permissions(lab.dir(), fs::Permissions::from_mode(0o755)).unwrap();
        for folder in [&home, &home.join(".ssh"), &home.join("run"), &certs] {
            fs::DirBuilder::new().mode(0o700).create(folder).unwrap();
        }
        // The lab has an /etc of its own. OpenSSH takes nobody without an entry.
        let line = format!("dev:x:{USER}:{USER}::{}:/bin/sh", home.display());
        lab.machine().ok(&["sh", "-c", &format!("echo '{line}' >>/etc/passwd; mkdir -p /run/sshd")]);
        let sshd = sshd(lab, &home, &log);
        let there = Self { lab, project, home, certs, log, _sshd: sshd };
        there.certificates();
        own(&there.home);
        own(&there.certs);
        own(there.project.dir());
        there
    }

    pub(super) fn openssl(&self, args: &str) {
        let words: Vec<&str> = ["openssl"].into_iter().chain(args.split_whitespace()).collect();
        let mut command = command(&words);
        command.current_dir(&self.certs);
        self.lab.machine().running(command, LIMIT).wait().success();
    }

    /// A key and a certificate by `ca`: `NAME-key.pem`, `NAME.pem`.
    pub(super) fn certificate(&self, name: &str, ca: &str, days: i32, extensions: &str) {
        fs::write(self.certs.join("extensions"), extensions).unwrap();
        let curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        self.openssl(&format!("req {curve} -keyout {name}-key.pem -out {name}.csr -subj /CN={name}"));
        let by = format!("-CA {ca}.pem -CAkey {ca}-key.pem -CAcreateserial -extfile extensions -days {days}");
        self.openssl(&format!("x509 -req -in {name}.csr {by} -out {name}.pem"));
    }

    pub(super) fn authority(&self, name: &str) {
        let curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        self.openssl(&format!("req -x509 {curve} -keyout {name}-key.pem -out {name}.pem -subj /CN={name} -days 30"));
    }

    fn certificates(&self) {
        self.authority("ca");
        self.certificate("server", "ca", 30, "subjectAltName=IP:192.168.77.1\nextendedKeyUsage=serverAuth\n");
        self.certificate("client", "ca", 30, "extendedKeyUsage=clientAuth\n");
        fs::copy(self.certs.join("client.pem"), self.certs.join("cert.pem")).unwrap();
        fs::copy(self.certs.join("client-key.pem"), self.certs.join("key.pem")).unwrap();
    }

    pub(super) fn listen_with_tls(&self) {
        let at = |name: &str| self.certs.join(name).display().to_string();
        self.lab.restart_engine_with(&[
            "--host=tcp://192.168.77.1:2376",
            "--tlsverify",
            &format!("--tlscacert={}", at("ca.pem")),
            &format!("--tlscert={}", at("server.pem")),
            &format!("--tlskey={}", at("server-key.pem")),
        ]);
    }

    pub(super) fn command(&self, variables: &[(&str, &str)], args: &[&str]) -> FlyCommand {
        self.by(&["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", ELSEWHERE, "sh"], variables, args)
    }

    /// With no more than a network of its own: where nobody takes processes away with it.
    pub(super) fn nearby(&self, variables: &[(&str, &str)], args: &[&str]) -> FlyCommand {
        self.by(&["setpriv", "--reuid=4711", "--regid=4711", "--clear-groups"], variables, args)
    }

    fn by(&self, program: &[&str], variables: &[(&str, &str)], args: &[&str]) -> FlyCommand {
        let fly = self.project.command().at(self.lab.lan_neighbour()).by(program).without("DOCKER_HOST").args(args);
        let at = |folder: &str| self.home.join(folder).display().to_string();
        let fly = fly.env("HOME", &at("")).env("XDG_RUNTIME_DIR", &at("run")).env("XDG_STATE_HOME", &at(""));
        variables.iter().fold(fly, |fly, (name, value)| fly.env(name, value))
    }

    pub(super) fn fly(&self, variables: &[(&str, &str)], args: &[&str]) -> Output {
        self.command(variables, args).run()
    }

    /// Docker's own client, as the same user.
    pub(super) fn docker(&self, args: &[&str]) {
        self.command(&[], args).program(Path::new("docker")).run().success();
    }

    /// How often somebody has logged in.
    pub(super) fn logins(&self) -> usize {
        fs::read_to_string(&self.log).unwrap().matches("Accepted publickey").count()
    }

    /// The user's processes whose program has this name, by the ids that the lab's machine sees.
    pub(super) fn processes(&self, name: &str) -> Vec<u32> {
        let all = self.lab.machine().ok(&[
            "sh",
            "-c",
            "for i in /proc/[0-9]*; do echo ${i#/proc/} $(stat -c %u $i) $(cat $i/comm); done 2>/dev/null; true",
        ]);
        let found = all.lines().filter_map(|line| {
            let mut words = line.split(' ');
            let (id, user, comm) = (words.next()?, words.next()?, words.next()?);
            (user == USER.to_string() && comm == name).then(|| id.parse().ok())?
        });
        found.collect()
    }

    pub(super) fn signal(&self, process: u32, signal: Signal) {
        self.lab.machine().ok(&["kill", &format!("-{}", signal.as_raw()), &process.to_string()]);
    }

    /// No ssh that runs, and no socket of one.
    pub(super) fn nothing_is_left(&self) {
        eventually("the end of ssh", LIMIT, || {
            let mut left: Vec<String> = self.processes("ssh").iter().map(u32::to_string).collect();
            let sockets = fs::read_dir(self.home.join("run/fly")).into_iter().flatten().flatten();
            left.extend(sockets.map(|it| it.file_name().to_string_lossy().into_owned()).filter(|name| name.starts_with("ssh-")));
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }
}

/// What is in it is the user's.
fn own(folder: &Path) {
    chown(folder, Some(USER), Some(USER)).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { own(&path) } else { chown(&path, Some(USER), Some(USER)).unwrap() }
    }
}

/// OpenSSH's server on the engine's machine, with what it is to be told in a file of ours, and what the user needs to log in.
///
/// Each key leads to another world: `id` to one with Docker's client, `bare` to one without, `old` to one with an ancient client.
fn sshd(lab: &Lab, home: &Path, log: &Path) -> Running {
    let at = |name: &str| lab.dir().join(name).display().to_string();
    let key = |file: &str| lab.machine().ok(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file]);
    key(&at("host-key"));
    let ssh = home.join(".ssh");
    let mut authorized = String::new();
    fs::create_dir(lab.dir().join("old")).unwrap();
    let old = "#!/bin/sh\necho \"docker: 'system dial-stdio' is not a docker command.\" >&2\nexit 1\n";
    fs::write(lab.dir().join("old/docker"), old).unwrap();
    fs::set_permissions(lab.dir().join("old/docker"), fs::Permissions::from_mode(0o755)).unwrap();
    for (name, path) in [("id_ed25519", "/usr/local/bin:/usr/bin:/bin"), ("bare", "/nowhere"), ("old", &at("old"))] {
        key(&ssh.join(name).display().to_string());
        let public = fs::read_to_string(ssh.join(format!("{name}.pub"))).unwrap();
        authorized += &["environment=\"PATH=", path, "\" ", &public].concat();
    }
    key(&ssh.join("refused").display().to_string());
    fs::write(at("authorized"), authorized).unwrap();
    let config = format!(
        "Port 2222\nListenAddress 192.168.77.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
         PermitUserEnvironment yes\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PidFile none\nPrintMotd no\nPrintLastLog no\nLogLevel VERBOSE\n",
        at("host-key"),
        at("authorized"),
    );
    fs::write(at("sshd_config"), config).unwrap();
    let host_key = fs::read_to_string(at("host-key.pub")).unwrap();
    fs::write(ssh.join("known_hosts"), format!("[192.168.77.1]:2222 {host_key}")).unwrap();
    let client = ["bare", "old", "refused"].map(|name| {
        let file = ssh.join(name).display().to_string();
        format!("Host {name}\n  HostName 192.168.77.1\n  Port 2222\n  IdentityFile {file}\n  IdentitiesOnly yes\n")
    });
    fs::write(ssh.join("config"), client.concat()).unwrap();
    let words = ["/usr/sbin/sshd", "-D", "-f", &at("sshd_config"), "-E", &log.display().to_string()];
    let running = lab.machine().running(command(&words), Duration::from_secs(3600));
    eventually("sshd", LIMIT, || {
        let said = fs::read_to_string(log).unwrap_or_default();
        if said.contains("Server listening") { Ok(()) } else { Err(said) }
    });
    running
}
