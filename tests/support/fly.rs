//! The program under test, run in a lab as a user would.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::place::{Running, command};
use super::{Lab, Output, Place, Proxy};

const NO_AGENT: &str = "FLY_NO_AGENT";

/// A `fly` to be run: `lab.fly(dir).args(&["up", "--yes"]).env("MODE", "dev").run()`.
pub(crate) struct FlyCommand {
    place: Place,
    dir: PathBuf,
    before: Vec<String>,
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    typed: Option<String>,
    limit: Duration,
    home: PathBuf,
}

/// In the engine's group, and nothing else.
const USER: u32 = 4711;

/// By whom fly is run: with `tests/run --helper` by somebody who may do no more than use the engine, otherwise by root.
pub(crate) fn user() -> u32 {
    if std::env::var_os("FLY_TEST_HELPER").is_some() { USER } else { 0 }
}

impl FlyCommand {
    pub(super) fn new(lab: &Lab, dir: &Path) -> Self {
        let home = lab.dir().join("home");
        let mut env = vec![
            ("DOCKER_HOST".to_owned(), format!("unix://{}", lab.socket().display())),
            // It would put right what tests put wrong; those of it have it.
            (NO_AGENT.to_owned(), "true".to_owned()),
        ];
        for (name, folder) in [
            ("HOME", ""),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_RUNTIME_DIR", "run"),
        ] {
            let folder = home.join(folder);
            fs::create_dir_all(&folder).expect("a folder in our own folder");
            env.push((name.to_owned(), folder.display().to_string()));
        }
        Self {
            place: lab.machine(),
            dir: dir.to_owned(),
            before: Vec::new(),
            program: PathBuf::from(env!("CARGO_BIN_EXE_fly")),
            args: Vec::new(),
            env,
            typed: None,
            limit: Duration::from_secs(120),
            home,
        }
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// With the agent that puts cards back.
    pub(crate) fn with_agent(mut self) -> Self {
        self.env.retain(|(name, _)| name != NO_AGENT);
        self
    }

    /// One more variable; the environment is otherwise clean, the home empty.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Run by another program, which changes what it may do: `setpriv --reuid=1000`.
    pub(crate) fn by(mut self, argv: &[&str]) -> Self {
        self.before.extend(argv.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// Somewhere else than on the lab's machine.
    pub(crate) fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// One variable less.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.env.retain(|(other, _)| other != name);
        self
    }

    /// Another build of it.
    pub(crate) fn program(mut self, program: &Path) -> Self {
        program.clone_into(&mut self.program);
        self
    }

    /// Reaches the engine through this socket.
    pub(crate) fn via(self, proxy: &Proxy) -> Self {
        let host = format!("unix://{}", proxy.socket().display());
        self.env("DOCKER_HOST", &host)
    }

    /// On a terminal, where somebody types this: fly asks its questions, and draws its progress. Both streams come as
    /// one, with the ends of lines that a terminal has.
    pub(crate) fn on_terminal(mut self, typed: &str) -> Self {
        self.typed = Some(typed.to_owned());
        self
    }

    pub(crate) fn run(self) -> Output {
        self.start().wait()
    }

    /// By somebody who may use the engine, and do nothing else. Whatever lies in the home and the project is his.
    pub(crate) fn by_user(mut self) -> Self {
        let owner = format!("{USER}:{USER}");
        let lab = self.home.parent().expect("the lab's folder");
        let group = format!("0:{USER}");
        // The engine's, and those of proxies.
        let sockets = fs::read_dir(lab).expect("the lab's folder").map_while(Result::ok).map(|entry| entry.path());
        let sockets: Vec<PathBuf> = sockets.filter(|path| path.extension().is_some_and(|ending| ending == "sock")).collect();
        let theirs = [(&owner, &self.home), (&owner, &self.dir)].into_iter().chain(sockets.iter().map(|socket| (&group, socket)));
        for (owner, path) in theirs {
            self.place.run(&["chown", "--recursive", owner, &path.display().to_string()]).success();
        }
        self.place.run(&["chmod", "0755", &lab.display().to_string()]).success();
        // The lab has an /etc of its own. OpenSSH works for nobody without an entry.
        let entry = format!("user:x:{USER}:{USER}::{}:/bin/sh", self.home.display());
        self.place.run(&["sh", "-c", "grep -q ^user: /etc/passwd || echo \"$1\" >>/etc/passwd", "sh", &entry]).success();
        // By its path: the environment may have no PATH.
        self.before = vec!["/usr/bin/setpriv".into(), format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".into()];
        self
    }

    /// Without waiting: for signals at a given moment.
    pub(crate) fn start(self) -> Running {
        if self.before.is_empty() && user() != 0 {
            return self.by_user().start();
        }
        let words = [self.before, vec![self.program.display().to_string()], self.args].concat();
        let mut command = match self.typed {
            None => command(&words.iter().map(String::as_str).collect::<Vec<_>>()),
            Some(typed) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
                let mut command = command(&["sh", "-c", r#"printf '%s' "$TYPED" | script -qec "$LINE" /dev/null"#]);
                command.env("TYPED", typed).env("LINE", quoted.join(" ")).env("TERM", "xterm").env("SHELL", "/bin/sh");
                command
            }
        };
        command.envs(self.env).current_dir(&self.dir);
        self.place.running(command, self.limit)
    }
}

/// A repository with a `fly.yml`.
pub(crate) struct Project<'a> {
    lab: &'a Lab,
    dir: PathBuf,
}

impl<'a> Project<'a> {
    pub(super) fn new(lab: &'a Lab, name: &str, fly_yml: &str) -> Self {
        let dir = lab.dir().join("projects").join(name);
        fs::create_dir_all(&dir).expect("a folder in our own folder");
        let project = Self { lab, dir };
        project.write("fly.yml", fly_yml);
        project
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a file of the project, `fly.yml` or another.
    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.dir.join(file), text).expect("a file in our own folder");
    }

    pub(crate) fn command(&self) -> FlyCommand {
        self.lab.fly(&self.dir)
    }

    /// `fly ARGS` here.
    pub(crate) fn fly(&self, args: &[&str]) -> Output {
        self.command().args(args).run()
    }
}
