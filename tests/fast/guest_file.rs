//! What is said of a file that lets nobody in, or two servers listen on one port.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fly::desired::{Context, resolve};
use fly::diag::Diagnostic;

const PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGhtbWh0dHBzOi8vZXhhbXBsZS5vcmcvMTIzNDU2 ada@example";
const PRIVATE: &str =
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ\n-----END OPENSSH PRIVATE KEY-----\n";

fn context() -> Context {
    let file = |name: &str, text: Result<&str, &str>| (name.to_owned(), text.map(str::to_owned).map_err(str::to_owned));
    let files = [
        file("gone.pub", Err("No such file or directory (os error 2)")),
        file("id", Ok(PRIVATE)),
        file("letter.txt", Ok("Dear Ada,\nhow are you?\n")),
        file("empty.pub", Ok("\n")),
        file("cut.pub", Ok("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA")),
        file("two.pub", Ok("# mine\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGhtbWh0dHBzOi8vZXhhbXBsZS5vcmcvMTIzNDU2 ada@example\n\n")),
    ];
    Context { directory: "/srv/shop".into(), key_files: files.into(), guest: "0123456789ab".into(), ..Context::default() }
}

fn try_resolve(text: &str) -> Result<fly::desired::Desired, Vec<Diagnostic>> {
    let spec = fly::spec::parse("fly.yml", text, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{errors:?}\n{text}"));
    resolve(&spec, &context())
}

fn told(text: &str) -> String {
    let mut out = String::new();
    for error in try_resolve(text).err().unwrap_or_else(|| panic!("no error:\n{text}")) {
        let place = error.place.as_ref().map_or("-".to_owned(), |place| format!("{}:{}", place.line, place.column));
        let _ = writeln!(out, "{place} {}", error.message);
        for (place, text) in &error.also {
            let _ = writeln!(out, "    {}:{} {text}", place.line, place.column);
        }
        for cause in &error.causes {
            let _ = writeln!(out, "    because: {cause}");
        }
        for hint in &error.hints {
            let _ = writeln!(out, "    hint: {hint}");
        }
    }
    out
}

#[test]
fn keys_that_are_none() {
    let keys = ["./gone.pub", "./id", "letter.txt", "empty.pub", "cut.pub", "ssh-rsa AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----"];
    let mut text = "name: shop\nmachines:\n".to_owned();
    for (number, key) in keys.iter().enumerate() {
        let _ = writeln!(text, "  m{number}: {{image: x, sshd: {{authorized_keys: '{}'}}}}", key.trim_start_matches("./"));
    }
    let _ = writeln!(text, "  one: {{image: x, sshd: {{users: {{app: {{authorized_keys: [gone.pub, two.pub]}}}}}}}}");
    insta::assert_snapshot!(told(&text));
    try_resolve(&format!("name: shop\nmachines: {{a: {{image: x, sshd: {{authorized_keys: [two.pub, '{PUBLIC}']}}}}}}\n")).unwrap();
}

#[test]
fn two_servers_on_one_port() {
    let text = "
name: shop
machines:
  web: {image: x, sshd: true}
  side: {image: x, network_mode: 'machine:web', sshd: true}
  third:
    image: x
    network_mode: machine:side
    sshd: {port: 22}
  host: {image: x, network_mode: host, sshd: {port: 2200}}
  hosted: {image: x, network_mode: host, sshd: {port: 2200}}
  many: {image: x, network_mode: 'container:other', scale: 2, sshd: openssh}
";
    insta::assert_snapshot!(told(text.trim_start()));
    let good = "
name: shop
machines:
  web: {image: x, sshd: true}
  side: {image: x, network_mode: 'machine:web', sshd: {port: 2222}}
  off: {image: x, network_mode: 'machine:web', sshd: false}
  other: {image: x, sshd: true}
";
    try_resolve(good).unwrap();
}

#[test]
fn systemd_gets_what_it_needs_and_the_guest_in_front() {
    let one = |keys: &str| {
        let desired = try_resolve(&format!("name: shop\nmachines: {{web: {{image: x, {keys}}}}}\n")).unwrap();
        desired.machines.into_values().next().unwrap()
    };
    let web = one("init: systemd, sshd: true, tmpfs: '/tmp:size=1m', volumes: ['./lock:/run/lock'], environment: {container: lxc}");
    assert_eq!((web.container.entrypoint, web.container.command), (Some(vec![]), Some(vec!["/sbin/init".to_owned()])));
    let tmpfs: Vec<_> = web.container.tmpfs.iter().map(|(place, options)| format!("{place}:{options}")).collect();
    assert_eq!(tmpfs, ["/run:mode=755", "/tmp:size=1m"], "what the file mounts itself stays");
    assert_eq!((web.container.stop_signal.as_deref(), web.container.user.as_deref()), (Some("SIGRTMIN+3"), Some("0")));
    assert_eq!(web.container.security_opt.iter().collect::<Vec<_>>(), ["writable-cgroups=true"]);
    assert_eq!(web.container.environment["container"], "lxc");
    assert!(web.systemd && !web.container.init && web.guest.unwrap().config.becomes_program);
    // The file's own program and signal, and its own word about cgroups.
    let own = one(
        "init: systemd, guest: false, command: [/lib/systemd/systemd, --user], stop_signal: TERM, security_opt: ['writable-cgroups=false']",
    );
    assert_eq!(own.container.command.unwrap(), ["/lib/systemd/systemd", "--user"]);
    assert_eq!((own.container.entrypoint, own.container.stop_signal.as_deref()), (None, Some("SIGTERM")));
    assert!(own.guest.is_none() && own.systemd && own.container.security_opt.contains("writable-cgroups=false"));
    insta::assert_snapshot!(told(
        "name: shop\nmachines:\n  web: {image: x, init: systemd, user: app}\n  db: {image: x, init: systemd, user: 'root:adm'}\n"
    ));
}

#[test]
fn who_reaps_is_the_guest_or_the_engines_own() {
    for (keys, by_engine) in [
        ("init: true, guest: false", true),
        ("init: True, guest: false", true),
        ("init: true, guest: true", false),
        ("init: false, guest: false", false),
        ("guest: false", false),
    ] {
        let desired = try_resolve(&format!("name: shop\nmachines: {{web: {{image: x, {keys}}}}}\n")).unwrap();
        let web = desired.machines.values().next().unwrap();
        assert_eq!((web.container.init, web.systemd), (by_engine, false), "{keys}");
    }
    let defaults = "name: shop\ndefaults: {init: systemd}\nmachines: {web: {image: x}, db: {image: x, init: false}}\n";
    let machines = try_resolve(defaults).unwrap().machines;
    assert_eq!(machines.values().map(|it| it.systemd).collect::<Vec<_>>(), [false, true]);
}
