//! The private containerd and dockerd of a lab.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::place::{PATH, Place, command};
use super::{api::Api, eventually};

/// Generous, for a machine whose cores are busy: alone it takes half a second.
const LIMIT: Duration = Duration::from_secs(60);

/// Both daemons; they end with the lab, at the latest.
pub(super) struct Engine {
    name: String,
    dir: PathBuf,
    /// Kept for its exit: a zombie that holds a pid would keep dockerd from starting again.
    containerd: Child,
    dockerd: Child,
    /// What dockerd is told besides.
    extra: Vec<String>,
}

impl Engine {
    pub(super) fn start(place: &Place, name: &str, dir: &Path) -> Self {
        let stub = dir.join("bin");
        fs::create_dir(&stub).expect("a folder in our own folder");
        // dockerd loads br_netfilter, which would change how bridges of the real machine behave; what a link or a table
        // needs the kernel loads by itself.
        fs::write(stub.join("modprobe"), "#!/bin/sh\n").expect("a file in our own folder");
        fs::set_permissions(stub.join("modprobe"), fs::Permissions::from_mode(0o755)).expect("our own file");
        fs::write(dir.join("daemon.json"), "{}").expect("a file in our own folder");
        let config = format!(
            "version = 2\nroot = \"{}/containerd\"\nstate = \"/run/containerd\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"/run/containerd.sock\"\n",
            dir.display()
        );
        fs::write(dir.join("containerd.toml"), config).expect("a file in our own folder");
        let toml = dir.join("containerd.toml").display().to_string();
        let containerd = daemon(place, dir, &["containerd", "-c", &toml]);
        let dockerd = dockerd(place, name, dir, &[]);
        let mut engine = Self { name: name.to_owned(), dir: dir.to_owned(), containerd, dockerd, extra: Vec::new() };
        engine.wait();
        engine
    }

    pub(super) fn signal(&self, signal: Signal) {
        super::signal(self.dockerd.id(), signal).expect("dockerd is our child");
    }

    /// From its next start on.
    pub(super) fn tell(&mut self, extra: &[&str]) {
        self.extra = extra.iter().map(|&word| word.to_owned()).collect();
    }

    pub(super) fn restart(&mut self, place: &Place) {
        eventually("the end of dockerd", LIMIT, || match self.dockerd.try_wait() {
            Ok(Some(_)) => Ok(()),
            _ => Err("it runs".into()),
        });
        // A pidfile of one that was killed names a pid that may be another process's by now.
        let _ = fs::remove_file(self.dir.join("docker.pid"));
        self.dockerd = dockerd(place, &self.name, &self.dir, &self.extra);
        self.wait();
    }

    /// Kills and reaps both: the first process of a pid namespace does not end before every other one is reaped.
    pub(super) fn end(&mut self) {
        for child in [&mut self.dockerd, &mut self.containerd] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn wait(&mut self) {
        let api = Api::new(self.dir.join("docker.sock"));
        eventually("the engine", LIMIT, || {
            for (daemon, child) in [("containerd", &mut self.containerd), ("dockerd", &mut self.dockerd)] {
                if let Ok(Some(status)) = child.try_wait() {
                    let log = fs::read_to_string(self.dir.join(format!("{daemon}.log"))).unwrap_or_default();
                    panic!("{daemon} ended, {status}:\n{log}");
                }
            }
            api.ping()
        });
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

fn dockerd(place: &Place, name: &str, dir: &Path, extra: &[String]) -> Child {
    let at = |file: &str| dir.join(file).display().to_string();
    let socket = format!("unix://{}", at("docker.sock"));
    let cgroup = format!("/{name}");
    let extra: Vec<&str> = extra.iter().map(String::as_str).collect();
    daemon(
        place,
        dir,
        &[
            &[
                "dockerd",
                "--config-file",
                &at("daemon.json"),
                "--containerd=/run/containerd.sock",
                "--data-root",
                &at("docker"),
                "--exec-root=/run/docker",
                "--pidfile",
                &at("docker.pid"),
                "--host",
                &socket,
                // Cgroups belong to the whole machine: ours are under one name, so that they can be found and removed.
                "--exec-opt=native.cgroupdriver=cgroupfs",
                "--cgroup-parent",
                &cgroup,
            ],
            extra.as_slice(),
        ]
        .concat(),
    )
}

fn daemon(place: &Place, dir: &Path, argv: &[&str]) -> Child {
    let log = File::options().create(true).append(true).open(dir.join(format!("{}.log", argv[0])));
    let log = log.expect("a file in our own folder");
    let mut command: Command = command(argv);
    command.env("PATH", format!("{}:{PATH}", dir.join("bin").display()));
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a descriptor")).stderr(log);
    place.spawn(&mut command).unwrap_or_else(|error| panic!("{}: {error}: run tests/run, which installs it", argv[0]))
}
