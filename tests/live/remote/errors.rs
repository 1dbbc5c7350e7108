//! What stands in the way of a remote engine, and what is said of it.

use std::fs;
use std::time::Duration;

use super::FILE;
use super::there::There;
use crate::support::{Lab, command, eventually};

/// That fly cannot reach the engine, in these words, and what it hints at.
fn says(there: &There<'_>, variables: &[(&str, &str)], words: &[&str]) {
    let output = there.fly(variables, &["plan"]);
    output.expect_code(9);
    for word in words {
        assert!(output.stderr.contains(word), "{word}: {output}");
    }
    there.nothing_is_left();
}

#[test]
fn what_is_wrong_by_ssh() {
    let lab = Lab::start();
    let there = There::new(&lab, FILE);
    let by = |host: &str, words: &[&str]| says(&there, &[("DOCKER_HOST", host)], words);
    by("ssh://root@refused", &["`refused` does not let you in", "Permission denied (publickey)", "ssh-add"]);
    by("ssh://root@bare", &["`bare` has no Docker client", "docker: ", "ssh root@bare docker version"]);
    by("ssh://root@old", &["Docker's client on `old` is too old", "18.09"]);
    by("ssh://root@192.168.77.1:2223", &["no ssh server answers on `192.168.77.1`", "Connection refused"]);
    by("ssh://nobody.invalid", &["nobody knows a host `nobody.invalid`"]);
    by("ssh://dev@192.168.77.1:2222", &["`dev` may not use the engine of `192.168.77.1`", "usermod -aG docker"]);
    by("ssh://root@192.168.77.1:2222/nowhere/docker.sock", &["no engine runs on `192.168.77.1`", "systemctl start docker"]);
    fs::write(there.home.join(".ssh/known_hosts"), "").unwrap();
    by("ssh://root@192.168.77.1:2222", &["the host key of `192.168.77.1` is not known yet", "ssh -p 2222 root@192.168.77.1"]);
    let other = fs::read_to_string(there.home.join(".ssh/refused.pub")).unwrap();
    fs::write(there.home.join(".ssh/known_hosts"), format!("[192.168.77.1]:2222 {other}")).unwrap();
    by("ssh://root@192.168.77.1:2222", &["is not the one that you know", "ssh-keygen -R"]);
}

#[test]
fn what_is_wrong_by_tls() {
    let lab = Lab::start();
    let there = There::new(&lab, FILE);
    there.listen_with_tls();
    there.authority("other");
    let folder = |name: &str, files: &[(&str, &str)]| {
        let folder = there.home.join(name);
        fs::create_dir(&folder).unwrap();
        for (from, to) in files {
            fs::copy(there.certs.join(from), folder.join(to)).unwrap();
            fs::set_permissions(folder.join(to), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        }
        folder.display().to_string()
    };
    let by = |host: &str, folder: &str, words: &[&str]| {
        says(&there, &[("DOCKER_HOST", host), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", folder)], words);
    };
    let (client, engine) = ([("client.pem", "cert.pem"), ("client-key.pem", "key.pem")], "tcp://192.168.77.1:2376");
    let without_ca = folder("without-ca", &client);
    by(engine, &without_ca, &["TLS needs `", "without-ca/ca.pem`, which is not there", "DOCKER_CERT_PATH"]);
    let alien = folder("alien", &[client[0], client[1], ("other.pem", "ca.pem")]);
    by(engine, &alien, &["the engine's certificate is not by the CA in `", "alien/ca.pem"]);
    let nobody = folder("nobody", &[("ca.pem", "ca.pem")]);
    by(engine, &nobody, &["the engine wants a certificate of ours", "put `cert.pem` and `key.pem` into `"]);
    let half = folder("half", &[("ca.pem", "ca.pem"), client[0]]);
    by(engine, &half, &["half/key.pem`, which is not there"]);
    there.certificate("stranger", "other", 30, "extendedKeyUsage=clientAuth\n");
    let stranger = folder("stranger", &[("ca.pem", "ca.pem"), ("stranger.pem", "cert.pem"), ("stranger-key.pem", "key.pem")]);
    by(engine, &stranger, &["the engine refuses `", "stranger/cert.pem`", "--tlscacert"]);
    let rubbish = folder("rubbish", &[("extensions", "ca.pem")]);
    by(engine, &rubbish, &["no certificate is in `", "rubbish/ca.pem"]);
    // Without TLS at all.
    says(&there, &[("DOCKER_HOST", engine)], &["speaks TLS", "DOCKER_TLS_VERIFY=1"]);

    // Another server whose certificate has expired.
    there.certificate("late", "ca", -1, "subjectAltName=IP:192.168.77.1\n");
    let mut server =
        command(&["openssl", "s_server", "-accept", "192.168.77.1:2377", "-cert", "late.pem", "-key", "late-key.pem", "-quiet"]);
    server.current_dir(&there.certs);
    let _server = lab.machine().running(server, Duration::from_secs(3600));
    eventually("s_server", Duration::from_secs(30), || {
        let listening = lab.machine().ok(&["cat", "/proc/net/tcp"]);
        if listening.contains(":0949 ") { Ok(()) } else { Err(listening) }
    });
    by("tcp://192.168.77.1:2377", &there.certs.display().to_string(), &["has expired", "clock"]);
    // And one that speaks no TLS.
    by("tcp://192.168.77.1:2222", &there.certs.display().to_string(), &["it does not speak TLS"]);
}
