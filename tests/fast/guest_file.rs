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
