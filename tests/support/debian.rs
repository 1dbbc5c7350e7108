//! What takes minutes to make and is therefore made once, in the build folder: a small Debian, and Ansible.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::place::PATH;

const MMDEBSTRAP: [&str; 10] = [
    "--quiet",
    "--variant=essential",
    "--include=openssh-server,rsync,python3",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    // An account that `useradd` makes is locked; `app` is not.
    "--customize-hook=chroot \"$1\" useradd --create-home --shell /bin/bash locked",
    "--customize-hook=chroot \"$1\" useradd --create-home --shell /bin/bash --password '*' app",
    // Host keys of an image would be everybody's.
    "--customize-hook=rm -f \"$1\"/etc/ssh/ssh_host_*",
    "bookworm",
];
const ANSIBLE: &str = "ansible-core==2.19.*";

/// Debian with OpenSSH, rsync and Python, as a tar file.
pub(super) fn tarball() -> PathBuf {
    once("debian", &MMDEBSTRAP.join("\n"), |new| {
        // What it mounts on its way is nobody else's.
        let private = ["--mount", "--propagation", "private", "mmdebstrap"];
        run(Command::new("unshare").args(private).args(MMDEBSTRAP).arg("--format=tar").arg(new));
    })
}

/// The folder of Ansible's programs.
pub(super) fn ansible() -> PathBuf {
    let folder = once("ansible", ANSIBLE, |new| {
        run(Command::new("python3").args(["-m", "venv"]).arg(new));
        run(Command::new(new.join("bin/pip")).args(["install", "--quiet", ANSIBLE]));
    });
    folder.join("bin")
}

/// Another recipe is another name. Two processes that want it wait for each other; one that is cut off leaves nothing that is used.
fn once(name: &str, recipe: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let digest = Sha256::digest(recipe);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(folder).expect("the build folder");
    let place = folder.join(format!("{name}-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3]));
    let lock = File::create(place.with_extension("lock")).expect("the build folder");
    lock.lock().expect("a lock");
    let complete = place.with_extension("complete");
    if !complete.exists() {
        // Not place under another name and then renamed: a Python environment knows where it is.
        let _ = fs::remove_file(&place).or_else(|_| fs::remove_dir_all(&place));
        make(&place);
        File::create(complete).expect("the build folder");
    }
    place
}

fn run(command: &mut Command) {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = command.env("PATH", format!("{path}:{PATH}")).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
