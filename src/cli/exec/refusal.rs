//! A command that the engine could not start, in words of ours: the engine's own are those of its runtime, stand in the command's
//! output, and come with the same exit code for everything.

use crate::diag::{Diagnostic, Kind};

/// How the engine's words begin.
pub(crate) const BEGINNINGS: [&str; 2] = ["OCI runtime exec failed: ", "unable to find user "];

/// `words` are the engine's.
pub(super) fn explained(machine: &str, argv: &[String], workdir: Option<&str>, words: &str) -> Diagnostic {
    let program = argv.first().map_or("", String::as_str);
    let says = |text: &str| words.contains(text);
    if let Some(directory) = workdir.filter(|_| says("chdir to cwd")) {
        return Diagnostic::new(Kind::NotExecutable, format!("machine `{machine}` has no directory `{directory}`"))
            .hint("another one for `--workdir`, by its whole path");
    }
    if says("executable file not found") {
        let error = Diagnostic::new(Kind::NotFound, format!("machine `{machine}` has no program `{program}`"));
        return match program.split_once(char::is_whitespace) {
            Some((first, _)) => {
                error.hint(format!("the command and its arguments as words of their own: `fly exec {machine} {first} ...`"))
            }
            None => error.hint("its path, if it is not in the machine's PATH; or an image that has it"),
        };
    }
    if program.contains('/') && says("no such file or directory") {
        return Diagnostic::new(Kind::NotFound, format!("machine `{machine}` cannot find `{program}`"))
            .hint("it is not there, or it is a script, and what its first line names is not there");
    }
    if says("is a directory") {
        return Diagnostic::new(Kind::NotExecutable, format!("`{program}` in machine `{machine}` is a directory, and no program"))
            .hint(format!("what is in it: `fly exec {machine} ls {program}`"));
    }
    if says("permission denied") {
        return Diagnostic::new(Kind::NotExecutable, format!("`{program}` in machine `{machine}` may not be run"))
            .hint("make it executable by `chmod +x`, or run it as another `--user`");
    }
    let own = words.trim().trim_end_matches(": unknown").rsplit("exec failed: ").next().unwrap_or_default();
    Diagnostic::new(Kind::NotExecutable, format!("`{program}` could not be started in machine `{machine}`")).cause(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Failure;

    fn said(command: &str, words: &str) -> String {
        let argv = [command.to_owned()];
        let words = format!("OCI runtime exec failed: exec failed: unable to start container process: {words}: unknown\r\n");
        let failure = Failure::from(explained("web", &argv, Some("/nowhere"), &words));
        format!("{:?}: {}", failure.exit(), failure.render(false))
    }

    #[test]
    fn what_cannot_be_started_is_said_in_our_words() {
        let texts: String = [
            ("nosuch", r#"exec: "nosuch": executable file not found in $PATH"#),
            ("ls -l", r#"exec: "ls -l": executable file not found in $PATH"#),
            ("/bin/no", r#"exec: "/bin/no": stat /bin/no: no such file or directory"#),
            ("/etc", r#"exec: "/etc": is a directory"#),
            ("/etc/passwd", r#"exec: "/etc/passwd": permission denied"#),
            ("ls", r#"chdir to cwd ("/nowhere") set in config.json failed: no such file or directory"#),
            ("ls", "something else"),
        ]
        .map(|(command, words)| said(command, words))
        .concat();
        insta::assert_snapshot!(texts, @r"
        NotFound: error: machine `web` has no program `nosuch`
         |
         = hint: its path, if it is not in the machine's PATH; or an image that has it
        NotFound: error: machine `web` has no program `ls -l`
         |
         = hint: the command and its arguments as words of their own: `fly exec web ls ...`
        NotFound: error: machine `web` cannot find `/bin/no`
         |
         = hint: it is not there, or it is a script, and what its first line names is not there
        NotExecutable: error: `/etc` in machine `web` is a directory, and no program
         |
         = hint: what is in it: `fly exec web ls /etc`
        NotExecutable: error: `/etc/passwd` in machine `web` may not be run
         |
         = hint: make it executable by `chmod +x`, or run it as another `--user`
        NotExecutable: error: machine `web` has no directory `/nowhere`
         |
         = hint: another one for `--workdir`, by its whole path
        NotExecutable: error: `ls` could not be started in machine `web`
         |
         = caused by: unable to start container process: something else
        ");
    }
}
