//! The images of a lab, made of the machine's static busybox in the format of `docker save`, so that one request loads all.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::janitor::PREFIX;

/// Stays up, and ends at once when asked to, which the shell or `sleep` as process 1 would not.
const STAY: &str = "#!/bin/sh\ntrap 'exit 0' TERM INT\nsleep 2147483647 &\nwait\n";

/// All images, made once a test process.
pub(super) fn archive() -> &'static [u8] {
    static ARCHIVE: OnceLock<Vec<u8>> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let base = base_layer();
        let next = small_layer("etc/release", "next\n");
        let plain = json!({"Cmd": ["/bin/stay"]});
        let defaults = json!({
            "Cmd": ["/bin/stay"],
            "Env": ["PATH=/usr/bin:/bin:/sbin", "FROM_IMAGE=yes", "MODE=image"],
            "Volumes": {"/var/data": {}},
            "WorkingDir": "/srv",
            "ExposedPorts": {"80/tcp": {}},
            "Healthcheck": {"Test": ["CMD", "/bin/true"], "Interval": 1_000_000_000, "Timeout": 1_000_000_000, "Retries": 2},
            "Labels": {"from.image": "yes"},
        });
        pack(&[
            ("fly/busybox:test", plain.clone(), &[base]),
            ("fly/busybox:next", plain, &[base, &next]),
            ("fly/defaults:test", defaults, &[base]),
        ])
    })
}

/// The layer of `fly/busybox:test` as a file in `dir`, for `docker import`.
pub(super) fn layer_file(dir: &Path) -> String {
    let file = dir.join("layer.tar");
    if !file.exists() {
        fs::write(&file, base_layer()).expect("a file in our own folder");
    }
    file.display().to_string()
}

fn base_layer() -> &'static [u8] {
    static LAYER: OnceLock<Vec<u8>> = OnceLock::new();
    LAYER.get_or_init(|| {
        in_scratch("base", |root| {
            for folder in ["bin", "etc", "tmp", "root", "proc", "sys", "dev", "srv", "var"] {
                fs::create_dir(root.join(folder))?;
            }
            fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777))?;
            let bin = root.join("bin");
            fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static: run tests/run, which installs it");
            let applets = Command::new("/bin/busybox").arg("--list").output()?.stdout;
            for applet in String::from_utf8_lossy(&applets).lines().filter(|it| *it != "busybox") {
                symlink("busybox", bin.join(applet))?;
            }
            fs::write(bin.join("stay"), STAY)?;
            fs::set_permissions(bin.join("stay"), Permissions::from_mode(0o755))?;
            fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n")?;
            fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\n")
        })
    })
}

const PROGRAM: &str = r"
#include <stdio.h>
#include <unistd.h>
int main(int count, char **words) {
    for (int i = 1; i < count; i++) puts(words[i]);
    if (count > 1) return count - 1;
    for (;;) pause();
}
";

pub(super) fn single_program() -> Vec<u8> {
    in_scratch("static", |root| {
        // Of no business of the image's.
        let source = root.with_extension("c");
        fs::write(&source, PROGRAM)?;
        let built = Command::new("cc").args(["-static", "-Os", "-s", "-o"]).arg(root.join("program")).arg(&source).status()?;
        assert!(built.success(), "cc: {built}");
        fs::remove_file(source)
    })
}

fn small_layer(path: &str, text: &str) -> Vec<u8> {
    in_scratch("small", |root| {
        fs::create_dir_all(root.join(path).parent().expect("a file in a folder"))?;
        fs::write(root.join(path), text)
    })
}

/// An archive of every image: its configuration, its layers, and the manifest that names them.
fn pack(images: &[(&str, Value, &[&[u8]])]) -> Vec<u8> {
    in_scratch("archive", |root| {
        let mut manifest = Vec::new();
        for (tag, config, layers) in images {
            let digests: Vec<String> = layers.iter().map(|layer| sha256(layer)).collect();
            for (digest, layer) in digests.iter().zip(*layers) {
                fs::write(root.join(format!("{digest}.tar")), layer)?;
            }
            let diff_ids: Vec<String> = digests.iter().map(|digest| format!("sha256:{digest}")).collect();
            let config = json!({
                "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
                "os": "linux",
                "created": "2024-01-01T00:00:00Z",
                "config": config,
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
                "history": digests.iter().map(|_| json!({"created": "2024-01-01T00:00:00Z"})).collect::<Vec<_>>(),
            })
            .to_string();
            let file = format!("{}.json", sha256(config.as_bytes()));
            fs::write(root.join(&file), config)?;
            let layers: Vec<String> = digests.iter().map(|digest| format!("{digest}.tar")).collect();
            manifest.push(json!({"Config": file, "RepoTags": [tag], "Layers": layers}));
        }
        fs::write(root.join("manifest.json"), Value::from(manifest).to_string())
    })
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The tar of what `fill` puts into an empty folder.
fn in_scratch(name: &str, fill: impl FnOnce(&Path) -> std::io::Result<()>) -> Vec<u8> {
    // Named so that the janitor sweeps it if this process is killed.
    let root = std::env::temp_dir().join(format!("{PREFIX}images-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).and_then(|()| fill(&root)).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let tar = Command::new("tar")
        .args(["--create", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "-C"])
        .arg(&root)
        .arg(".")
        .output()
        .expect("tar is on every machine");
    let _ = fs::remove_dir_all(&root);
    assert!(tar.status.success(), "tar: {}", String::from_utf8_lossy(&tar.stderr));
    tar.stdout
}
