//! fly as a machine's first process: the program under it is what it would be without.

use std::time::Duration;

use crate::sample::{change, changes};
use crate::ssh_client::make_keys;
use crate::support::{Lab, Project, eventually};

fn file(more: &str) -> String {
    format!(
        "name: vm\nnetworks: {{back: {{subnet: 10.20.0.0/24}}}}\nmachines:\n  web:\n    image: fly/busybox:test\n    guest: true\n    \
         nics: {{eth0: {{network: back, ip: 10.20.0.5}}}}\n{more}"
    )
}

fn up<'a>(lab: &'a Lab, more: &str) -> Project<'a> {
    let project = lab.project("vm", &file(more));
    project.fly(&["up", "--yes"]).success();
    project
}

#[test]
fn the_program_starts_when_its_cards_are_there_and_not_before() {
    let lab = Lab::start();
    let project = up(&lab, "    command: [sh, -c, 'ip -4 -o addr show eth0 > /seen; exec /bin/stay']\n");
    eventually("the program's first look", Duration::from_secs(5), || {
        let seen = lab.docker(&["exec", "vm.web", "cat", "/seen"]);
        if seen.contains("10.20.0.5/24") { Ok(()) } else { Err(seen) }
    });
    assert_eq!(changes(&project), vec![]);
    project.fly(&["plan", "--check"]).success();
    let inspect = lab.inspect("vm.web");
    assert_eq!(inspect["Config"]["Entrypoint"][0], "/.fly/bin/fly");
    // Nothing is written into the image, and the binary is there once for all.
    assert!(lab.docker(&["exec", "vm.web", "sh", "-c", "touch /.fly/bin/x 2>&1 || true"]).contains("Read-only"));
    project.fly(&["down", "--yes"]).success();
    assert_eq!(lab.docker(&["volume", "ls", "--quiet"]).trim(), "", "without a host key the machine's own volume is nothing to keep");
    assert!(!lab.docker(&["image", "ls"]).contains("fly-guest"));
}

#[test]
fn the_program_runs_as_whom_image_and_file_say() {
    let lab = Lab::start();
    let look = "    user: '1234:1234'\n    working_dir: /tmp\n    environment: {LD_LIBRARY_PATH: /x, A: b}\n    command: [sh, -c, 'id > /tmp/id; pwd >> /tmp/id; env >> /tmp/id; grep -E \"Cap|Groups\" /proc/self/status >> /tmp/id; exec /bin/stay']\n";
    let project = up(&lab, look);
    let under = eventually_reads(&lab, "vm.web", "/tmp/id");
    assert_eq!(lab.docker(&["exec", "vm.web", "id"]), "uid=1234 gid=1234 groups=1234\n", "an exec is nobody else's");
    // The binary belongs to root and may become root; whoever else runs it does not.
    let sneaky =
        lab.try_docker(&["exec", "vm.web", "/.fly/bin/fly", "guest", "program", "/bin/sh", "-c", "id -u; grep ^Uid /proc/self/status"]);
    assert_eq!(sneaky.stdout, "1234\nUid:\t1234\t1234\t1234\t1234\n", "{sneaky}");
    project.fly(&["down", "--yes", "--volumes"]).success();
    // The same without the guest.
    let project = lab.project("vm", &file(look).replace("guest: true", "guest: false"));
    project.fly(&["up", "--yes"]).success();
    let plain = eventually_reads(&lab, "vm.web", "/tmp/id");
    let sorted = |text: &str| {
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("HOSTNAME=")).collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    assert_eq!(sorted(&under), sorted(&plain));
}

fn eventually_reads(lab: &Lab, container: &str, file: &str) -> String {
    eventually("what the program wrote", Duration::from_secs(5), || {
        let text = lab.docker(&["exec", container, "sh", "-c", &format!("cat {file} 2>/dev/null || true")]);
        if text.contains("CapBnd") { Ok(text) } else { Err(text) }
    })
}

#[test]
fn it_ends_as_the_program_ends_and_hands_signals_on() {
    let lab = Lab::start();
    let project = up(&lab, "    command: [sh, -c, 'trap \"exit 7\" USR1; while :; do sleep 0.1; done']\n");
    lab.docker(&["kill", "--signal", "USR1", "vm.web"]);
    assert_eq!(lab.docker(&["wait", "vm.web"]).trim(), "7");
    project.fly(&["up", "--yes"]).success();
    lab.docker(&["kill", "--signal", "KILL", "vm.web"]);
    assert_eq!(lab.docker(&["wait", "vm.web"]).trim(), "137");
    // A program that is not there, and one that may not be run.
    for (command, code, words) in [("[/no/such]", "127", "there is no program `/no/such`"), ("[/etc/hosts]", "126", "may not be run")] {
        project.write("fly.yml", &file(&format!("    command: {command}\n")));
        drop(project.fly(&["up", "--yes"]));
        assert_eq!(lab.docker(&["wait", "vm.web"]).trim(), code);
        let log = lab.try_docker(&["logs", "vm.web"]);
        assert!(log.stderr.contains(words), "{log}");
    }
}

#[test]
fn orphans_are_reaped_and_a_machine_without_a_program_stays_up() {
    let lab = Lab::start();
    let project = up(&lab, "    command: [sh]\n");
    assert_eq!(lab.inspect("vm.web")["State"]["Running"], true);
    lab.docker(&["exec", "vm.web", "sh", "-c", "for i in 1 2 3 4 5; do (sleep 0.1 &) ; done; sleep 0.5"]);
    let zombies = lab.docker(&["exec", "vm.web", "sh", "-c", "grep -l '^State:.*Z' /proc/[0-9]*/status 2>/dev/null || true"]);
    assert_eq!(zombies, "");
    project.fly(&["down", "--yes", "--volumes"]).success();
}

#[test]
fn after_a_restart_it_waits_and_goes_on_when_its_time_is_over_or_the_cards_are_back() {
    let lab = Lab::start();
    let project = up(&lab, "    command: [sh, -c, 'date +%s%N > /started; exec /bin/stay']\n");
    lab.docker(&["exec", "vm.web", "sh", "-c", "rm /started"]);
    lab.docker(&["restart", "vm.web"]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(lab.docker(&["exec", "vm.web", "sh", "-c", "ls /started 2>/dev/null || true"]), "", "it waits for eth0");
    let found = changes(&project);
    assert_eq!(found, vec![change("nic/web:eth0", "create", &["network", "ip", "mac", "mtu"])]);
    project.fly(&["up", "--yes"]).success();
    eventually("the program", Duration::from_secs(2), || {
        let seen = lab.docker(&["exec", "vm.web", "sh", "-c", "ls /started 2>/dev/null || true"]);
        if seen.contains("started") { Ok(()) } else { Err(seen) }
    });
}

const KEYED: &str = "    sshd: {authorized_keys: [./id.pub]}\n";

fn keyed<'a>(lab: &'a Lab, more: &str) -> Project<'a> {
    let project =
        lab.project("vm", &file(more).replace("    guest: true\n", KEYED).replace("10.20.0.0/24}", "10.20.0.0/24, host_ip: 10.20.0.1}"));
    for name in ["id", "other"] {
        let key = project.dir().join(name).display().to_string();
        lab.machine().ok(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", &format!("{name}@test"), "-f", &key]);
    }
    project.fly(&["up", "--yes"]).success();
    project
}

/// The real client, from the host, to the machine's own address.
fn ssh(lab: &Lab, project: &Project<'_>, key: &str, command: &[&str]) -> crate::support::Output {
    let key = project.dir().join(key).display().to_string();
    let known = project.dir().join("known_hosts").display().to_string();
    let options = [
        "ssh",
        "-F",
        "none",
        "-i",
        &key,
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "BatchMode=yes",
        "-o",
        "ConnectTimeout=5",
        "-o",
        &format!("UserKnownHostsFile={known}"),
        "-o",
        "StrictHostKeyChecking=accept-new",
        "root@10.20.0.5",
    ];
    lab.machine().run(&[&options, command].concat())
}

#[test]
fn one_can_log_in_by_the_machines_own_address_as_soon_as_up_is_done() {
    let lab = Lab::start();
    let project = keyed(&lab, "");
    let login = ssh(&lab, &project, "id", &["id -u; hostname; cat /etc/release 2>/dev/null; exit 3"]);
    login.expect_code(3);
    assert_eq!(login.stdout.lines().next(), Some("0"), "{login}");
    ssh(&lab, &project, "other", &["true"]).expect_code(255);
    assert!(
        lab.try_docker(&["logs", "vm.web"]).stderr.contains("root logged in from 10.20.0.1"),
        "{}",
        lab.try_docker(&["logs", "vm.web"])
    );
    // Another key, live: the same process, the same host key.
    let before = lab.pid_and_start("vm.web");
    project.write("fly.yml", &std::fs::read_to_string(project.dir().join("fly.yml")).unwrap().replace("./id.pub", "./other.pub"));
    let found = changes(&project);
    assert_eq!(found, vec![change("machine/web", "update", &["sshd.keys of root"])]);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    eventually("the other key", Duration::from_secs(3), || {
        let login = ssh(&lab, &project, "other", &["true"]);
        if login.code == 0 { Ok(()) } else { Err(login.to_string()) }
    });
    ssh(&lab, &project, "id", &["true"]).expect_code(255);
    assert_eq!(lab.pid_and_start("vm.web"), before);
    // The host key outlives the machine: `known_hosts` still fits.
    lab.docker(&["stop", "--time=1", "vm.web"]);
    project.fly(&["down", "--yes"]).success();
    assert_eq!(lab.docker(&["volume", "ls", "--quiet"]).trim(), "vm.web.guest", "also that of a machine that does not run");
    project.fly(&["up", "--yes"]).success();
    project.fly(&["down", "--yes"]).success();
    assert_eq!(lab.docker(&["volume", "ls", "--quiet"]).trim(), "vm.web.guest", "the machine's own volume stays");
    project.fly(&["up", "--yes"]).success();
    ssh(&lab, &project, "other", &["true"]).success();
    project.fly(&["down", "--yes", "--volumes"]).success();
    assert_eq!(lab.docker(&["volume", "ls", "--quiet"]).trim(), "");
    project.fly(&["up", "--yes"]).success();
    assert!(ssh(&lab, &project, "other", &["true"]).stderr.contains("HOST IDENTIFICATION HAS CHANGED"));
}

#[test]
fn a_password_is_only_for_those_whom_the_file_gives_one() {
    let lab = Lab::start();
    let project = lab.project("vm", &file("").replace("guest: true", "sshd: {users: {root: {password: hunter2-and-more}}}"));
    let up = project.fly(&["up", "--yes"]);
    assert!(up.success().stderr.contains("root may log into web by a password"), "{up}");
    assert!(!up.stderr.contains("hunter2"), "{up}");
    assert_eq!(changes(&project), vec![]);
    let record = project.dir().join("world.json").display().to_string();
    let config = lab.docker(&["exec", "vm.web", "cat", "/.fly/machine/config.json"]);
    assert!(config.contains("$6$") && !config.contains("hunter2"), "{config}");
    project.fly(&["snapshot", "-o", &record]).success();
    assert!(!std::fs::read_to_string(&record).unwrap().contains("$6$"));
    assert!(project.fly(&["plan", "--world", &record]).success().stdout.contains("nothing to do"));
}

/// No host can reach a macvlan card of its own; and nobody has a key here.
const APART: &str = "name: vm\nnetworks: {lan: {parent: eth1, subnet: 192.168.77.0/24}}\nmachines:\n  web:\n    image: fly/busybox:test\n    \
                     sshd: true\n    nics: {eth0: {network: lan, ip: 192.168.77.9}}\n";

#[test]
fn fly_ssh_needs_no_address_no_key_and_no_question() {
    let lab = Lab::start();
    let project = lab.project("vm", APART);
    let up = project.fly(&["up", "--yes"]);
    assert!(up.success().stderr.contains("no public key is known to log into web"), "{up}");
    let login = project.fly(&["ssh", "web", "id -un; hostname; echo to stderr >&2; exit 7"]);
    login.expect_code(7);
    assert_eq!((login.stdout.lines().next(), login.stderr.as_str()), (Some("root"), "to stderr\n"), "{login}");
    // The host key is checked: another one is not believed.
    make_keys(&project, &lab, &["other"]);
    let other = std::fs::read_to_string(project.dir().join("other.pub")).unwrap();
    lab.docker(&["exec", "vm.web", "sh", "-c", &format!("echo '{}' > /.fly/machine/ssh_host_ed25519_key.pub", other.trim())]);
    let forged = project.fly(&["ssh", "web", "true"]);
    forged.expect_code(255);
    assert!(forged.stderr.contains("Host key verification failed"), "{forged}");
    for (machine, code) in [("wbe", 64), ("web.vm.fly", 64)] {
        let unknown = project.fly(&["ssh", machine, "true"]);
        assert!(unknown.code == code || unknown.code == 255, "{unknown}");
    }
}

#[test]
fn scp_sftp_and_ssh_go_by_name_with_the_printed_configuration() {
    let lab = Lab::start();
    let project = lab.project("vm", APART);
    project.fly(&["up", "--yes"]).success();
    let config = project.fly(&["ssh-config"]);
    project.write("config", &config.success().stdout);
    project.write("there and back.txt", "hello\n");
    let at = |name: &str| project.dir().join(name).display().to_string();
    let run = |argv: &[&str]| {
        let output = lab.machine().run(argv);
        output.success();
        output
    };
    run(&["scp", "-q", "-F", &at("config"), &at("there and back.txt"), "web.vm.fly:/root/there and back.txt"]);
    assert_eq!(lab.docker(&["exec", "vm.web", "cat", "/root/there and back.txt"]), "hello\n");
    project
        .write("batch", &format!("get \"/root/there and back.txt\" \"{}\"\nrename \"/root/there and back.txt\" /root/new\n", at("back")));
    run(&["sftp", "-q", "-b", &at("batch"), "-F", &at("config"), "web.vm.fly"]);
    assert_eq!(std::fs::read_to_string(at("back")).unwrap(), "hello\n");
    assert_eq!(run(&["ssh", "-F", &at("config"), "web.vm.fly", "cat /root/new"]).stdout, "hello\n");
    // By the include of the user's own configuration.
    let home = project.dir().join("home");
    std::fs::create_dir_all(home.join(".ssh")).unwrap();
    std::fs::write(home.join(".ssh/config"), "Host other\n  User nobody\n").unwrap();
    let home = home.display().to_string();
    let output = project.command().env("HOME", &home).args(&["ssh-config", "--install"]).run();
    assert!(output.success().stderr.contains("OpenSSH does not read it by itself"), "its user's home is another one: {output}");
    let installed = std::fs::read_to_string(format!("{home}/.ssh/config")).unwrap();
    assert_eq!(installed, "Include fly/*.conf\n\nHost other\n  User nobody\n");
    project.command().env("HOME", &home).args(&["ssh-config", "--install"]).run().success();
    assert_eq!(std::fs::read_to_string(format!("{home}/.ssh/config")).unwrap(), installed, "once is enough");
}

/// A program that says who it is, and what has come to it.
const LOOK: &str = "echo $$$$ > /tmp/seen; ls -l /proc/$$$$/fd >> /tmp/seen; grep -E '^(Sig(Blk|Ign|Cgt)|Cap|Uid|Gid|Groups)' /proc/$$$$/status >> /tmp/seen; \
                    env >> /tmp/seen; ip -4 -o addr show eth0 >> /tmp/seen; trap 'exit 5' TERM; while :; do sleep 0.1; done";

/// What `init: systemd` makes of the guest. The engine here cannot run systemd, so it is told by hand, and the program is none.
#[test]
fn a_program_that_wants_to_be_the_first_process_takes_the_guests_place() {
    let lab = Lab::start();
    for user in ["0", "1234:1234"] {
        let text = format!(
            "name: vm\nnetworks: {{out: {{kind: nat}}}}\nmachines:\n  web:\n    image: fly/busybox:test\n    user: '{user}'\n    guest: true\n    \
             sshd: true\n    environment: {{LD_LIBRARY_PATH: /x, A: b}}\n    nics: {{eth0: out}}\n    command: [sh, -c, \"{LOOK}\"]\n"
        );
        let project = lab.project("vm", &text);
        project.fly(&["up", "--yes"]).success();
        let child = first_look(&lab);
        assert_ne!(child.lines().next(), Some("1"), "{child}");
        let config = lab.docker(&["exec", "--user", "0", "vm.web", "cat", "/.fly/machine/config.json"]);
        let told = config.replace("\"becomes_program\":false", "\"becomes_program\":true");
        assert_ne!(told, config);
        lab.docker(&["exec", "--user", "0", "vm.web", "sh", "-c", &format!("rm /tmp/seen; echo '{told}' > /.fly/machine/config.json")]);
        lab.docker(&["restart", "vm.web"]);
        let first = first_look(&lab);
        assert_eq!(first.lines().next(), Some("1"), "{first}");
        assert!(first.contains("inet "), "it has waited: {first}");
        // Everything else is what a child of the guest sees: descriptors, signals, rights, environment.
        let rest = |text: &str| {
            let kept = text.lines().skip(1).filter(|line| !line.contains("inet "));
            kept.map(look).collect::<Vec<_>>()
        };
        assert_eq!(rest(&first), rest(&child));
        // One logs in all the same, also after the server has died: its keeper starts another.
        eventually("a login", Duration::from_secs(5), || login(&project));
        lab.docker(&[
            "exec",
            "--user",
            "0",
            "vm.web",
            "sh",
            "-c",
            "set -- $(grep -la 'guest.serv[e]' /proc/[0-9]*/cmdline); kill -9 $(echo $1 | cut -d/ -f3)",
        ]);
        eventually("another login", Duration::from_secs(5), || login(&project));
        // The program is whom the engine stops, and by whose code the machine ends.
        lab.docker(&["stop", "vm.web"]);
        assert_eq!(lab.inspect("vm.web")["State"]["ExitCode"], 5);
        project.fly(&["down", "--yes", "--volumes"]).success();
    }
}

fn login(project: &Project<'_>) -> Result<(), String> {
    let login = project.fly(&["ssh", "web", "id -u"]);
    if login.code == 0 && login.stdout.trim() == "0" { Ok(()) } else { Err(login.to_string()) }
}

/// A descriptor without its number of the day; ignored signals without two that the C library keeps to itself.
fn look(line: &str) -> String {
    if let Some(mask) = line.strip_prefix("SigIgn:\t") {
        return format!("SigIgn {:x}", u64::from_str_radix(mask, 16).expect("hexadecimal digits") & !(3 << 31));
    }
    let line = line.rsplit("-> ").next().unwrap_or(line);
    line.split("pipe:").next().unwrap_or(line).to_owned()
}

fn first_look(lab: &Lab) -> String {
    eventually("what the program wrote", Duration::from_secs(5), || {
        let text = lab.docker(&["exec", "vm.web", "sh", "-c", "cat /tmp/seen 2>/dev/null || true"]);
        if text.contains("inet ") { Ok(text) } else { Err(text) }
    })
}
