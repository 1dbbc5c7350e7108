//! The variables and files of Docker's client, read as it reads them.

use std::fs;

use super::*;
use crate::cli::failure::Failure;

struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fly-contexts-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join(".docker")).unwrap();
        Self(path)
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.join(".docker").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// As `docker context create` writes it.
    fn context(&self, name: &str, host: &str, skip: bool) {
        let meta = serde_json::json!({
            "Name": name, "Metadata": {"Description": "x"},
            "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": skip}},
        });
        self.write(&format!("contexts/meta/{}/meta.json", id(name)), &meta.to_string());
    }

    fn find(&self, variables: &[(&str, &str)]) -> Result<Way, String> {
        let home = [("HOME".to_owned(), self.0.display().to_string())];
        let set = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment = Environment {
            variables: home.into_iter().chain(set).collect(),
            directory: self.0.clone(),
            user: 1,
            stdin_is_terminal: false,
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            command: String::new(),
        };
        let said = |diagnostic| Failure::from(diagnostic).render(false).replace(&self.0.display().to_string(), "~");
        Way::find(&environment).map_err(said)
    }

    fn host(&self, variables: &[(&str, &str)]) -> Option<String> {
        self.find(variables).unwrap().endpoint.host
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the name's SHA-256 is according to `sha256sum`.
fn id(name: &str) -> &'static str {
    match name {
        "far" => "512eea46ceb3921dff4363c7069d89d4964d1d9fccaa0f411851a7aa60a5c868",
        "near" => "46ba34770bccfde756708d47d83fb7c8257fe8a4b3a35f25d385a8284021f476",
        _ => unreachable!(),
    }
}

#[test]
fn without_anything_it_is_this_machines_engine() {
    let home = Home::new("none");
    let way = home.find(&[]).unwrap();
    assert_eq!((way.endpoint.host, way.endpoint.tls, way.words), (None, None, vec![]));
    home.write("config.json", r#"{"auths": {}, "currentContext": "default"}"#);
    assert_eq!(home.host(&[]), None);
    assert_eq!(home.host(&[("DOCKER_CONTEXT", "default")]), None);
}

#[test]
fn the_host_wins_over_the_variable_and_that_over_the_file() {
    let home = Home::new("order");
    home.context("far", "ssh://me@far", false);
    home.context("near", "tcp://near:2376", false);
    home.write("config.json", r#"{"currentContext": "near"}"#);
    assert_eq!(home.host(&[]).unwrap(), "tcp://near:2376");
    assert_eq!(home.host(&[("DOCKER_CONTEXT", "far")]).unwrap(), "ssh://me@far");
    assert_eq!(home.host(&[("DOCKER_CONTEXT", "far"), ("DOCKER_HOST", "unix:///x")]).unwrap(), "unix:///x");
    // Another fly finds it again, whatever is chosen until then.
    assert_eq!(home.find(&[]).unwrap().words, ["-u", "DOCKER_HOST", "DOCKER_CONTEXT=near"]);
}

#[test]
fn tls_is_where_it_is_asked_for() {
    let home = Home::new("tls");
    let tls = |variables: &[(&str, &str)]| home.find(variables).unwrap().endpoint.tls;
    let folder = home.0.join(".docker");
    let tcp = ("DOCKER_HOST", "tcp://far");
    assert_eq!(tls(&[tcp]), None);
    assert_eq!(tls(&[tcp, ("DOCKER_TLS_VERIFY", "")]), None);
    assert_eq!(tls(&[tcp, ("DOCKER_TLS_VERIFY", "1")]), Some(Tls { folder: folder.clone(), verify: true, own_ca: true }));
    assert_eq!(tls(&[tcp, ("DOCKER_TLS", "1")]), Some(Tls { folder: folder.clone(), verify: false, own_ca: false }));
    assert_eq!(tls(&[("DOCKER_HOST", "https://far")]), Some(Tls { folder, verify: true, own_ca: false }));
    assert_eq!(tls(&[("DOCKER_HOST", "ssh://far"), ("DOCKER_TLS_VERIFY", "1")]), None);
    let variables = [tcp, ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "certs")];
    let certs = home.0.join("certs");
    assert_eq!(tls(&variables).unwrap().folder, certs);
    let words = home.find(&variables).unwrap().words;
    assert_eq!(words, ["DOCKER_HOST=tcp://far", &format!("DOCKER_CERT_PATH={}", certs.display()), "DOCKER_TLS_VERIFY=1"]);
}

#[test]
fn a_contexts_own_files_make_it_tls() {
    let home = Home::new("files");
    home.context("far", "tcp://far:2376", false);
    home.context("near", "tcp://near:2376", true);
    let tls = |name| home.find(&[("DOCKER_CONTEXT", name)]).unwrap().endpoint.tls;
    assert_eq!(tls("far"), None);
    assert!(!tls("near").unwrap().verify);
    home.write(&format!("contexts/tls/{}/docker/ca.pem", id("far")), "");
    let folder = home.0.join(".docker/contexts/tls").join(id("far")).join("docker");
    assert_eq!(tls("far"), Some(Tls { folder, verify: true, own_ca: false }));
}

#[test]
fn what_is_wrong_is_said() {
    let home = Home::new("wrong");
    home.context("far", "ssh://me@far", false);
    home.context("near", "", false);
    let unknown = home.find(&[("DOCKER_CONTEXT", "fra")]).unwrap_err();
    assert_eq!(
        unknown.replace("\n |\n", "\n"),
        "error: there is no Docker context `fra`\n = caused by: it is named by DOCKER_CONTEXT\n = hint: there are: `default`, `far`, `near`\n"
    );
    let hostless = home.find(&[("DOCKER_CONTEXT", "near")]).unwrap_err();
    assert!(hostless.contains("leads to no Docker Engine"), "{hostless}");
    home.write("config.json", "{");
    let broken = home.find(&[]).unwrap_err();
    assert!(broken.contains("cannot read `~/.docker/config.json`, which says which engine is meant"), "{broken}");
    assert_eq!(home.host(&[("DOCKER_HOST", "unix:///x")]).unwrap(), "unix:///x");
}
