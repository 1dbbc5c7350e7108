//! `DOCKER_HOST` in all its forms, and what ssh says when nothing leads there.

use super::super::address::{Address, Ssh};
use super::super::ssh_words;
use crate::engine::EngineErrorKind as Kind;

fn read(text: &str) -> Result<String, String> {
    Address::parse(text, false).map(|it| it.to_string()).map_err(|failure| failure.message)
}

#[test]
fn addresses_are_read_as_docker_reads_them() {
    assert_eq!(read("unix:///run/d.sock"), Ok("unix:///run/d.sock".into()));
    assert_eq!(read("/run/d.sock"), Ok("unix:///run/d.sock".into()));
    assert_eq!(read("tcp://192.0.2.7"), Ok("tcp://192.0.2.7:2375".into()));
    assert_eq!(read("http://host:99/"), Ok("tcp://host:99".into()));
    assert_eq!(read("tcp://[::1]"), Ok("tcp://[::1]:2375".into()));
    assert_eq!(Address::parse("tcp://host", true).unwrap(), Address::Tls("host:2376".into()));
    assert_eq!(Address::parse("https://host:1", false).unwrap(), Address::Tls("host:1".into()));
    for text in ["", "docker.sock", "unix://relative", "npipe://x", "tcp://a/b", "tcp://a b", "tcp://me@host", "ssh://"] {
        assert!(read(text).is_err(), "{text}");
    }
    assert!(Address::parse("http://host", true).is_err());
}

#[test]
fn addresses_by_ssh_are_what_ssh_is_told() {
    let ssh = |user: Option<&str>, host: &str, port, path: Option<&str>| {
        Ok(Address::Ssh(Ssh { user: user.map(str::to_owned), host: host.into(), port, path: path.map(str::to_owned) }))
    };
    let read = |text| Address::parse(text, false);
    assert_eq!(read("ssh://host"), ssh(None, "host", None, None));
    assert_eq!(read("ssh://me@host:2222"), ssh(Some("me"), "host", Some(2222), None));
    assert_eq!(read("ssh://me@[fe80::1]:22/run/d.sock"), ssh(Some("me"), "fe80::1", Some(22), Some("/run/d.sock")));
    assert_eq!(read("ssh://host/"), ssh(None, "host", None, None));
    for text in ["ssh://me@[fe80::1]:22/run/d.sock", "ssh://me@host:2222", "ssh://host/a/b"] {
        assert_eq!(read(text).unwrap().to_string(), text);
    }
    for text in [
        "ssh://-oProxyCommand=x",
        "ssh://-l@host",
        "ssh://@host",
        "ssh://host:0",
        "ssh://host:x",
        "ssh://host:99999",
        "ssh://a b",
        "ssh://host?x=1",
        "ssh://[::1]x",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    let secret = read("ssh://me:geheim@host").unwrap_err();
    assert!(!secret.message.contains("geheim") && secret.message.contains("password"), "{secret}");
}

#[test]
fn what_ssh_says_is_understood() {
    let ssh = Ssh { user: Some("me".into()), host: "box".into(), port: Some(2222), path: None };
    let say = |words: &str| {
        let failure = ssh_words::failure(&ssh, words);
        (failure.kind, failure.message, failure.hints)
    };
    let (kind, message, hints) = say("ssh: Could not resolve hostname box: Name or service not known\r\n");
    assert_eq!(kind, Kind::Way);
    assert_eq!(message, "nobody knows a host `box`: \"ssh: Could not resolve hostname box: Name or service not known\"");
    assert_eq!(hints, ["is it spelt right, in DOCKER_HOST or in the context?"]);
    let (kind, _, hints) = say("me@box: Permission denied (publickey).");
    assert_eq!(kind, Kind::Denied);
    assert_eq!(
        hints,
        ["a key has to open it without a question: try `ssh -o BatchMode=yes -p 2222 me@box`; `ssh-add` opens one that has a passphrase"]
    );
    let (_, message, _) = say("@@@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n@@@@@@\nHost key verification failed.");
    assert!(message.starts_with("the host key of `box` is not the one that you know"), "{message}");
    let (kind, message, hints) = say("error during connect: permission denied while trying to connect to the Docker daemon socket");
    assert_eq!((kind, message.starts_with("`me` may not use the engine of `box`")), (Kind::Denied, true), "{message}");
    assert!(hints[0].contains("usermod"), "{hints:?}");
    let (_, message, hints) = say("");
    assert_eq!(message, "ssh to `me@box` has ended: it says nothing");
    assert_eq!(hints, ["see what it says by hand: `ssh -p 2222 me@box docker version`"]);
}
