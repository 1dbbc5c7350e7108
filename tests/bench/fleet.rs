//! Fifty machines on a real engine: the first `up`, the second one, and one more card.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::measure::{self, Measured};
use crate::report::{self, Times};
use crate::support::{Lab, command};
use crate::{Asked, attach, compose, guest, raw};

const MACHINES: usize = 50;
/// fly's own default.
const PARALLEL: usize = 16;
/// A second `up` is short: many can be had.
const LOOKS: usize = 15;
const CARDS: usize = 5;
const LIMIT: Duration = Duration::from_secs(300);

/// Each machine with one card on the LAN, and `extra` on the first.
fn fly_yml(extra: &str) -> String {
    let machine = |number: usize| {
        let more = if number == 0 { extra } else { "" };
        format!("  m{number}: {{nics: {{eth0: {{network: lan, ip: 192.168.77.{}}}{more}}}}}\n", 100 + number)
    };
    let machines: String = (0..MACHINES).map(machine).collect();
    format!(
        "name: fleet\ndefaults: {{image: 'fly/busybox:test'}}\nnetworks:\n  \
         lan: {{parent: eth1, subnet: 192.168.77.0/24, gateway: 192.168.77.2}}\nmachines:\n{machines}"
    )
}

struct Fleet {
    lab: Lab,
    compose: Option<Vec<String>>,
}

impl Fleet {
    /// Runs a program on the lab's machine, in a folder of it.
    fn run(&self, argv: &[&str], folder: &Path) -> Measured {
        let words = measure::command(argv);
        let mut command = command(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let home = self.lab.dir().join("home");
        std::fs::create_dir_all(&home).unwrap();
        command.env("DOCKER_HOST", format!("unix://{}", self.lab.socket().display())).env("HOME", &home).current_dir(folder);
        command.env("XDG_RUNTIME_DIR", &home);
        // Compose 1 gives up on an engine that is busy with fifty containers after a minute.
        command.env("COMPOSE_HTTP_TIMEOUT", "300");
        let output = self.lab.machine().running(command, LIMIT).wait();
        output.success();
        let measured = measure::read(&output.stdout);
        assert_eq!(measured.code, 0, "{argv:?}: {output}");
        measured
    }

    fn fly(&self, args: &[&str], folder: &Path) -> Measured {
        self.run(&[&[env!("CARGO_BIN_EXE_fly")], args].concat(), folder)
    }

    fn compose(&self, args: &[&str], folder: &Path) -> Option<Measured> {
        let words = self.compose.as_ref()?;
        Some(self.run(&words.iter().map(String::as_str).chain(args.iter().copied()).collect::<Vec<_>>(), folder))
    }
}

pub(crate) fn figures(asked: &Asked) {
    let compose = compose::program().map(|words| words.iter().map(|&word| word.to_owned()).collect());
    let fleet = Fleet { lab: Lab::start(), compose };
    let project = fleet.lab.project("fleet", &fly_yml(""));
    guest::keep(&fleet.lab);
    let (folder, socket) = (project.dir(), fleet.lab.socket());
    let theirs = fleet.lab.dir().join("projects/compose");
    compose::write(&theirs, MACHINES);

    let (mut ours, mut calls, mut composed) = (Times::default(), Times::default(), Times::default());
    let (mut own, mut again_own) = (Times::default(), Times::default());
    let (mut again, mut composed_again) = (Times::default(), Times::default());
    for round in 0..asked.rounds {
        let begun = Instant::now();
        raw::up(&socket, MACHINES, PARALLEL);
        calls.add(begun.elapsed());
        raw::down(&socket, MACHINES, PARALLEL);

        if let Some(up) = fleet.compose(&["up", "-d"], &theirs) {
            composed.add(up.time);
            composed_again.extend((0..3).filter_map(|_| Some(fleet.compose(&["up", "-d"], &theirs)?.time)));
            fleet.compose(&["down", "-t", "1"], &theirs);
        }

        let up = fleet.fly(&["up", "--yes"], folder);
        ours.add(up.time);
        own.add(up.processor);
        fleet.fly(&["plan", "--check"], folder);
        for _ in 0..LOOKS {
            let up = fleet.fly(&["up", "--yes"], folder);
            again.add(up.time);
            again_own.add(up.processor);
        }
        if round + 1 < asked.rounds {
            fleet.fly(&["down", "--yes"], folder);
        }
    }
    report::ratio(&format!("up of {MACHINES} machines, against raw engine calls"), &ours, &calls, 1.10);
    report::shown("  of the processor's, for fly itself", &own.text());
    if fleet.compose.is_some() {
        report::ratio(&format!("up of {MACHINES} machines, against Compose"), &ours, &composed, 1.0);
    } else {
        println!("Compose is not installed: nothing to measure against");
    }
    report::within(&format!("second up of {MACHINES} machines"), &again, Duration::from_millis(60));
    report::shown("  of the processor's, for fly itself", &again_own.text());
    if fleet.compose.is_some() {
        report::ratio("second up, against Compose's", &again, &composed_again, 1.0);
    }
    cards(&fleet, |text| project.write("fly.yml", text), folder);
}

/// One card more for one machine of the fifty, by a whole `fly up`.
fn cards(fleet: &Fleet, write: impl Fn(&str), folder: &Path) {
    let (mut ours, mut theirs) = (Times::default(), Times::default());
    for round in 0..CARDS {
        let address = 200 + round;
        write(&fly_yml(&format!(", eth1: {{network: lan, ip: 192.168.77.{address}}}")));
        ours.add(fleet.fly(&["up", "--yes"], folder).time);
        write(&fly_yml(""));
        fleet.fly(&["up", "--yes"], folder);

        let (pid, _) = fleet.lab.pid_and_start("fleet.m1");
        let pid = u32::try_from(pid).unwrap();
        let route = "10.2.0.0/24 via 192.168.77.2";
        let script = attach::commands(pid, "eth1", "eth9", &format!("192.168.77.{address}/24"), route);
        theirs.add(fleet.run(&["sh", "-c", &script], folder).time);
        fleet.lab.in_machine("fleet.m1", &["ip", "link", "del", "eth9"]);
    }
    report::compared("attach a NIC by a whole `fly up`, against `ip` commands", &ours, &theirs);
}
