//! What an editor's remote mode does (VS Code Remote-SSH and its like): a long script on the input of a shell without a terminal, a server
//! that the script starts in the background, and everything else through one dynamic forward.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Lab, command, eventually};

const LIMIT: Duration = Duration::from_secs(60);

const FILE: &str = "name: vm\nnetworks: {lan: {parent: eth1, subnet: 192.168.77.0/24}}\nmachines:\n  web:\n    image: fly/debian:test\n    \
                    sshd: {users: [root, app]}\n    nics: {eth0: {network: lan, ip: 192.168.77.9}}\n";

/// Finds the server of an earlier time, or starts one; says where it is, between marks; and stays, as long as the client does.
const SCRIPT: &str = r#"
mark=9d3e
echo "$mark: running"
echo "$mark: shell $0 terminal $(tty)"
dir=$HOME/.stand-in-PORT
mkdir -p "$dir"
fill() { :; }
FILLER
if [ -f "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null; then
  echo "$mark: found running server"
else
  echo "$$-$mark as $(id -un)" > "$dir/token"
  START python3 -m http.server --bind 127.0.0.1 --directory "$dir" PORT &> "$dir/log" < /dev/null &
  echo $! > "$dir/pid"
  echo "$mark: started server"
fi
for n in $(seq 300); do (: < /dev/tcp/127.0.0.1/PORT) 2>/dev/null && break; sleep 0.1; done
echo "$mark: start"
echo "listeningOn==PORT=="
echo "pid==$(cat "$dir/pid")=="
echo "platform==$(uname -s)=="
echo "$mark: end"
"#;

/// The client as the editor has it: its input stays open, and what it says is read as it comes.
struct Remote {
    child: Child,
    said: Arc<Mutex<String>>,
    socks: u16,
}

impl Remote {
    fn connect(lab: &Lab, config: &Path, user: &str, script: &str) -> Self {
        // Nobody listens in this lab but us.
        let socks = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (config, forward, login) = (config.display().to_string(), socks.to_string(), format!("User={user}"));
        let mut ssh =
            command(&["ssh", "-v", "-T", "-D", &forward, "-F", &config, "-o", &login, "-o", "ConnectTimeout=15", "web.vm.fly", "bash"]);
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = lab.machine().spawn(&mut ssh).unwrap();
        child.stdin.as_mut().unwrap().write_all(script.as_bytes()).unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (mut out, into) = (child.stdout.take().unwrap(), Arc::clone(&said));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = std::io::Read::read(&mut out, &mut buffer) {
                into.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Self { child, said, socks }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn until_ready(&self) -> String {
        eventually("the script's end", LIMIT, || if self.said().contains(": end\n") { Ok(self.said()) } else { Err(self.said()) })
    }

    /// What the server says to whoever comes through the forward.
    fn ask(&self, lab: &Lab, port: u16) -> String {
        let proxy = format!("127.0.0.1:{}", self.socks);
        lab.machine().ok(&["curl", "-sS", "--max-time", "20", "--socks5-hostname", &proxy, &format!("http://127.0.0.1:{port}/token")])
    }
}

/// As an editor that is closed, or a laptop.
impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn value<'a>(said: &'a str, key: &str) -> &'a str {
    said.split(&format!("{key}==")).nth(1).and_then(|rest| rest.split("==").next()).unwrap_or_else(|| panic!("no {key}: {said}"))
}

#[test]
fn an_editor_finds_the_server_that_it_left() {
    let lab = Lab::start();
    lab.debian_image();
    let project = lab.project("vm", FILE);
    project.fly(&["up", "--yes"]).success();
    project.write("config", &project.fly(&["ssh-config"]).success().stdout);
    let config = project.dir().join("config");
    // Longer than any buffer on the way.
    let filler = "fill 'an editor installs much, and says much of it'\n".repeat(4000);
    // Put aside in every way that there is: for the shell, for signals, for the session. And as two users.
    for (port, start, user) in [(4001_u16, "", "root"), (4002, "nohup", "app"), (4003, "setsid", "root")] {
        let script = SCRIPT.replace("FILLER\n", &filler).replace("START", start).replace("PORT", &port.to_string());
        let first = Remote::connect(&lab, &config, user, &script);
        let said = first.until_ready();
        assert!(said.starts_with("9d3e: running\n9d3e: shell bash terminal not a tty\n"), "no word but the script's own: {said}");
        assert!(said.contains("started server") && value(&said, "platform") == "Linux", "{said}");
        assert_eq!(value(&said, "listeningOn"), port.to_string());
        let token = first.ask(&lab, port);
        assert!(token.contains("-9d3e as") && token.ends_with(&format!(" as {user}\n")), "{token}");
        // Many at once, as an editor's windows are.
        let asked: Vec<String> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..10).map(|_| scope.spawn(|| first.ask(&lab, port))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(asked.iter().all(|one| *one == token), "{asked:?}");
        let pid = value(&said, "pid").to_owned();
        drop(first);
        let gone = "left after";
        eventually("the end of the session", LIMIT, || {
            let log = lab.try_docker(&["logs", "vm.web"]).stderr;
            if log.matches(gone).count().is_multiple_of(2) { Err(log) } else { Ok(()) }
        });
        // As long as whatever is ended is given time for it, and some more.
        std::thread::sleep(Duration::from_secs(5));

        let second = Remote::connect(&lab, &config, user, &script);
        let said = second.until_ready();
        assert!(said.contains("found running server"), "{start}: {said}");
        assert_eq!(value(&said, "pid"), pid);
        assert_eq!(second.ask(&lab, port), token);
        drop(second);
        eventually("the end of the session", LIMIT, || {
            let log = lab.try_docker(&["logs", "vm.web"]).stderr;
            if log.matches(gone).count().is_multiple_of(2) { Ok(()) } else { Err(log) }
        });
    }
}
