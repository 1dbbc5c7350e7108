//! Files of revisions, read out of repositories that git has made in all its forms.

use std::path::{Path, PathBuf};
use std::process::Command;

use fly::revision::{Error, Repository};

/// A repository of its own.
pub(crate) struct Git(pub(crate) PathBuf);

impl Git {
    pub(crate) fn new(name: &str, options: &[&str]) -> Self {
        let path = std::env::temp_dir().join(format!("fly-git-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        let git = Self(std::fs::canonicalize(path).unwrap());
        git.run(&[&["init", "-q", "-b", "main"], options].concat());
        git
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(args).current_dir(&self.0).env("HOME", "/nonexistent").env("GIT_CONFIG_NOSYSTEM", "1");
        for (name, value) in [("AUTHOR", "a"), ("COMMITTER", "c")] {
            command.env(format!("GIT_{name}_NAME"), value).env(format!("GIT_{name}_EMAIL"), format!("{value}@example.org"));
        }
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn commit(&self, message: &str) -> String {
        self.run(&["add", "-A"]);
        self.run(&["commit", "-q", "-m", message]);
        self.run(&["rev-parse", "HEAD"])
    }
}

impl Drop for Git {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const MOST: u64 = 1 << 20;

fn open(folder: &Path) -> Repository {
    Repository::find(folder).unwrap().expect("a repository")
}

fn text(repository: &Repository, revision: &str, path: &str) -> Option<String> {
    let commit = repository.commit(revision).unwrap_or_else(|error| panic!("{revision}: {error}"));
    repository.file(&commit, path, MOST).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
}

/// Some history: a file that grows, a merge, tags of both kinds, a branch of somewhere else.
fn history(git: &Git) {
    for round in 0..40 {
        let lines: String =
            (0..200).map(|line| format!("line {} of round {}\n", line, if line % 40 == round { round } else { 0 })).collect();
        git.write("fly.yml", &lines);
        git.write("deep/er/file", &format!("{round}\n"));
        git.commit(&format!("round {round}"));
    }
    git.run(&["branch", "feature", "HEAD~3"]);
    git.run(&["tag", "light", "HEAD~5"]);
    git.run(&["tag", "-a", "-m", "words", "v1.2", "HEAD~6"]);
    git.run(&["tag", "-a", "-m", "more words", "of-a-tag", "v1.2"]);
    git.run(&["update-ref", "refs/remotes/origin/main", "HEAD~2"]);
    git.run(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"]);
    git.run(&["checkout", "-q", "feature"]);
    git.write("other", "branch\n");
    git.commit("a branch");
    git.run(&["checkout", "-q", "main"]);
    git.run(&["merge", "-q", "--no-ff", "-m", "merge", "feature"]);
}

/// What git itself says, for every form of revision that is read.
fn agrees(git: &Git, folder: &Path) {
    let repository = open(folder);
    let short = git.run(&["rev-parse", "--short=12", "HEAD~4"]);
    let whole = git.run(&["rev-parse", "HEAD~7"]);
    let mut known = 0;
    for revision in [
        "HEAD",
        "@",
        "main",
        "heads/main",
        "refs/heads/main",
        "origin/main",
        "origin",
        "light",
        "v1.2",
        "of-a-tag",
        "v1.2^{}",
        "feature",
        "HEAD~1",
        "HEAD^",
        "HEAD^2",
        "HEAD^2~2",
        "HEAD~30",
        "main~2^1~1",
        "HEAD^0",
        "tags/light~1",
        &short,
        &whole,
    ] {
        let theirs = git.command(&["rev-parse", "-q", "--verify", &format!("{revision}^{{commit}}")]).current_dir(folder).output().unwrap();
        if !theirs.status.success() {
            assert!(repository.commit(revision).is_err(), "{revision}");
            continue;
        }
        let commit = repository.commit(revision).unwrap_or_else(|error| panic!("{revision}: {error}"));
        assert_eq!(commit.to_string(), String::from_utf8_lossy(&theirs.stdout).trim(), "{revision}");
        known += 1;
        for path in ["fly.yml", "deep/er/file", "other", "gone", "deep", "fly.yml/under"] {
            let theirs = git.command(&["cat-file", "blob", &format!("{commit}:{path}")]).current_dir(folder).output().unwrap();
            let theirs = theirs.status.success().then_some(theirs.stdout);
            assert_eq!(repository.file(&commit, path, MOST).unwrap(), theirs, "{revision}:{path}");
        }
    }
    assert!(known > 10, "only {known} were of use");
}

#[test]
fn loose_objects_packs_and_packed_refs_are_read_as_git_reads_them() {
    for (name, options) in [("sha1", &[][..]), ("sha256", &["--object-format=sha256"])] {
        let git = Git::new(name, options);
        history(&git);
        agrees(&git, git.path());
        git.run(&["gc", "-q", "--aggressive", "--prune=now"]);
        assert!(git.path().join(".git/packed-refs").exists());
        agrees(&git, git.path());
        // Differences by name, and indexes of several packs.
        git.run(&["-c", "repack.useDeltaBaseOffset=false", "repack", "-q", "-a", "-d", "-f"]);
        git.write("fly.yml", "new\n");
        git.commit("behind the pack");
        git.run(&["repack", "-q", "-d", "--write-midx"]);
        agrees(&git, git.path());
    }
}

#[test]
fn a_worktree_and_a_submodule_have_their_repository_elsewhere() {
    let git = Git::new("worktree", &[]);
    history(&git);
    let tree = git.path().join("../").join(format!("fly-git-linked-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&tree);
    git.run(&["worktree", "add", "-q", tree.to_str().unwrap(), "feature"]);
    let linked = open(&tree.join("deep"));
    assert_eq!(linked.commit("HEAD").unwrap().to_string(), git.run(&["rev-parse", "feature"]), "HEAD is the checkout's own");
    assert_eq!(linked.commit("main").unwrap().to_string(), git.run(&["rev-parse", "main"]), "branches are everybody's");
    let whole = Git::new("super", &[]);
    whole.write("fly.yml", "name: whole\n");
    whole.run(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", git.path().to_str().unwrap(), "sub/mod"]);
    whole.commit("with a submodule");
    agrees(&git, &whole.path().join("sub/mod"));
    assert_eq!(text(&open(whole.path()), "HEAD", "sub/mod/fly.yml"), None, "of another repository only a commit is known");
    // Anybody can write such a file.
    let hostile = std::env::temp_dir().join(format!("fly-git-hostile-{}", std::process::id()));
    std::fs::create_dir_all(&hostile).unwrap();
    std::fs::write(hostile.join(".git"), format!("gitdir: {}/.git\n", git.path().display())).unwrap();
    assert!(matches!(Repository::find(&hostile), Err(Error::Stranger(..))));
    std::fs::remove_file(hostile.join(".git")).unwrap();
    std::os::unix::fs::symlink(git.path().join(".git"), hostile.join(".git")).unwrap();
    assert!(matches!(Repository::find(&hostile), Err(Error::LinkedFolder(_))));
    std::fs::remove_dir_all(&hostile).unwrap();
    std::fs::remove_dir_all(&tree).unwrap();
}

#[test]
fn what_cannot_be_had_is_said() {
    let git = Git::new("errors", &[]);
    history(&git);
    let url = format!("file://{}", git.path().display());
    let clone = |name: &str, options: &[&str]| {
        let path = std::env::temp_dir().join(format!("fly-git-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        // Only from a path nothing is copied.
        let from = if options == ["--shared"] { git.path().to_str().unwrap() } else { &url };
        git.run(&[&["clone", "-q"], options, &[from, path.to_str().unwrap()]].concat());
        Git(std::fs::canonicalize(path).unwrap())
    };
    let shallow = clone("shallow", &["--depth", "1"]);
    let told = |git: &Git, revision: &str| open(git.path()).commit(revision).unwrap_err();
    assert!(matches!(told(&shallow, "HEAD~1"), Error::Shallow(_)));
    assert!(matches!(told(&shallow, "feature"), Error::NoRevision(_)));
    assert!(text(&open(shallow.path()), "origin/main", "fly.yml").is_some());
    git.run(&["config", "uploadpack.allowFilter", "true"]);
    let partial = clone("partial", &["--filter=blob:none", "--no-checkout"]);
    let repository = open(partial.path());
    let commit = repository.commit("HEAD").unwrap();
    assert!(matches!(repository.file(&commit, "fly.yml", MOST), Err(Error::Partial(_))));
    let borrowing = clone("borrowing", &["--shared"]);
    assert!(matches!(told(&borrowing, "HEAD"), Error::Borrowed(_)));
    let repository = open(git.path());
    for revision in ["-x", "", "a..b", "main:fly.yml", "main@{1}", "@{u}", "a b", "HEAD~999999999", "HEAD~x", "main^x"] {
        assert!(matches!(repository.commit(revision), Err(Error::Form(..))), "{revision}: {:?}", repository.commit(revision));
    }
    assert!(matches!(repository.commit("HEAD^7"), Err(Error::NoParent(_, 7))));
    let tree = git.run(&["rev-parse", "HEAD^{tree}"]);
    assert!(matches!(repository.commit(&tree), Err(Error::NoCommit(_, "tree"))));
    // `.git/config` is no ref, whatever is in it.
    assert!(matches!(repository.commit("config"), Err(Error::NoRevision(_))));
    let commit = repository.commit("HEAD").unwrap();
    assert!(matches!(repository.file(&commit, "fly.yml", 10), Err(Error::TooLarge(..))));
}

#[test]
fn links_in_a_revision_stay_in_it() {
    let git = Git::new("links", &[]);
    git.write("real/fly.yml", "name: real\n");
    for (link, to) in
        [("fly.yml", "real/fly.yml"), ("a/up", "../real"), ("out", "../../etc/passwd"), ("far", "/etc/passwd"), ("loop", "loop")]
    {
        std::fs::create_dir_all(git.path().join(link).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, git.path().join(link)).unwrap();
    }
    git.commit("links");
    let repository = open(git.path());
    let commit = repository.commit("HEAD").unwrap();
    for path in ["fly.yml", "a/up/fly.yml", "./a/../real//fly.yml"] {
        assert_eq!(text(&repository, "HEAD", path).as_deref(), Some("name: real\n"), "{path}");
    }
    for path in ["out", "far", "loop", "../x"] {
        assert!(matches!(repository.file(&commit, path, MOST), Err(Error::Link(_))), "{path}");
    }
    assert_eq!(repository.files_named(&commit, &["fly.yml"], 100).unwrap(), ["real/fly.yml"]);
}

/// Objects that somebody has spoiled are errors, and nothing worse.
#[test]
fn broken_objects_break_nothing_else() {
    let git = Git::new("broken", &[]);
    history(&git);
    git.run(&["gc", "-q", "--aggressive", "--prune=now"]);
    let folder = git.path().join(".git/objects/pack");
    let of = |ending: &str| {
        let all = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        all.into_iter().find(|path| path.extension().is_some_and(|it| it == ending)).unwrap()
    };
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        usize::try_from(dice % below as u64).unwrap()
    };
    for ending in ["idx", "pack"] {
        let (path, good) = (of(ending), std::fs::read(of(ending)).unwrap());
        let mut rights = std::fs::metadata(&path).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o644);
        std::fs::set_permissions(&path, rights).unwrap();
        for round in 0..300 {
            let mut bad = good.clone();
            if round % 10 == 0 {
                bad.truncate(next(bad.len()));
            }
            for _ in 0..=next(8) {
                let at = next(bad.len().max(1));
                if let Some(byte) = bad.get_mut(at) {
                    *byte = u8::try_from(next(256)).unwrap();
                }
            }
            std::fs::write(&path, &bad).unwrap();
            let repository = open(git.path());
            for revision in ["HEAD", "HEAD~30", "v1.2"] {
                if let Ok(commit) = repository.commit(revision) {
                    let _ = repository.file(&commit, "fly.yml", MOST);
                    let _ = repository.files_named(&commit, &["fly.yml"], 100);
                }
            }
        }
        std::fs::write(&path, &good).unwrap();
    }
    agrees(&git, git.path());
}
