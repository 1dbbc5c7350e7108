//! A registry on the lab's loopback, which the engine takes without TLS; Debian's `docker-registry`.

use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::time::Duration;

use super::place::command;
use super::{Lab, eventually};

/// `user` with the password `secret`, as `htpasswd -B` writes it: the registry takes bcrypt only.
const USERS: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
/// The same for the header, and for `auths` of Docker's configuration.
pub(crate) const LOGIN: &str = "dXNlcjpzZWNyZXQ=";

pub(crate) struct Registry<'a> {
    lab: &'a Lab,
    port: u16,
    process: Child,
}

impl<'a> Registry<'a> {
    /// One that everybody may use, or only who has logged in.
    pub(crate) fn start(lab: &'a Lab, port: u16, needs_login: bool) -> Self {
        let dir = lab.dir().join(format!("registry-{port}"));
        fs::create_dir_all(dir.join("docker")).expect("a folder in our own folder");
        let at = |file: &str| dir.join(file).display().to_string();
        fs::write(at("users"), USERS).expect("a file in our own folder");
        let auth = if needs_login { format!("auth: {{htpasswd: {{realm: lab, path: {}}}}}\n", at("users")) } else { String::new() };
        let config = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: '127.0.0.1:{port}'}}\n{auth}",
            at("data")
        );
        fs::write(at("config.yml"), config).expect("a file in our own folder");
        let auths = format!("{{\"auths\": {{\"127.0.0.1:{port}\": {{\"auth\": \"{LOGIN}\"}}}}}}");
        fs::write(at("docker/config.json"), auths).expect("a file in our own folder");
        let log = File::create(at("log")).expect("a file in our own folder");
        let mut command = command(&["docker-registry", "serve", &at("config.yml")]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a descriptor")).stderr(log);
        let process = lab.machine().spawn(&mut command).unwrap_or_else(|error| panic!("docker-registry: {error}: run tests/run"));
        let registry = Self { lab, port, process };
        eventually("the registry", Duration::from_secs(20), || {
            let url = format!("http://127.0.0.1:{port}/v2/");
            let answer = lab.machine().run(&["curl", "-sS", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}", &url]);
            if matches!(answer.stdout.as_str(), "200" | "401") { Ok(()) } else { Err(answer.to_string()) }
        });
        registry
    }

    /// `127.0.0.1:5000/NAME`
    pub(crate) fn name(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// Puts a local image here under `name`, and takes the engine's own tag of it away.
    pub(crate) fn push(&self, image: &str, name: &str) {
        let (full, config) = (self.name(name), self.lab.dir().join(format!("registry-{}/docker", self.port)).display().to_string());
        self.lab.docker(&["tag", image, &full]);
        self.lab.docker(&["--config", &config, "push", "--quiet", &full]);
        self.lab.docker(&["rmi", "--no-prune", &full]);
    }
}

impl Drop for Registry<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
