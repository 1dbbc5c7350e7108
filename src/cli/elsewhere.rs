//! What only this computer lacks, and others need not: files outside the project, and variables.
//!
//! Whoever checks a file without the machines, in an editor, before a commit or in a pull request, is told of it, and no more.

use crate::desired::Context;
use crate::diag::{At, Diagnostic};
use crate::spec::{self, Spec, Unset};

/// Stands for a file that is not here: a comment, in which nobody looks for anything.
const ABSENT: &str = "# not on this computer\n";

pub(super) fn unset(unset: &Unset) -> Diagnostic {
    let name = &unset.name.value;
    let message = unset.required.clone().unwrap_or_else(|| format!("the variable `{name}` is not set"));
    let warning = Diagnostic::warning(message).at(&unset.name.place).label("not checked");
    warning.hint(format!("`fly up` takes it from the environment or from `.env`; `${{{name}:-value}}` is a default"))
}

/// Files outside the project that cannot be read are taken for empty ones.
pub(super) fn forgive(spec: &Spec, context: &mut Context) -> Vec<Diagnostic> {
    let mut warnings = vec![];
    for name in key_files(spec).iter().filter(|name| is_outside(&name.value)) {
        if let Some(text @ Err(_)) = context.key_files.get_mut(&name.value) {
            warnings.push(absent(name, "key file", text));
            *text = Ok(ABSENT.to_owned());
        }
    }
    for file in machines(spec).flat_map(|machine| machine.env_file.iter().flatten()).filter(|file| is_outside(&file.path.value)) {
        let text = context.env_files.get_mut(&file.path.value).map(|found| &mut found.text);
        if let Some(text @ Err(_)) = text.filter(|_| file.required) {
            warnings.push(absent(&file.path, "`env_file`", text));
            *text = Ok(ABSENT.to_owned());
        }
    }
    for option in machines(spec).flat_map(|machine| machine.security_opt.iter().flatten()) {
        let Some(path) = spec::seccomp_profile(&option.value).filter(|path| is_outside(path)) else { continue };
        if let Some(text @ Err(_)) = context.seccomp_profiles.get_mut(path) {
            warnings.push(absent(&At::new(path.to_owned(), option.place.clone()), "seccomp profile", text));
            *text = Ok("{}".to_owned());
        }
    }
    warnings
}

fn absent(name: &At<String>, what: &str, text: &Result<String, String>) -> Diagnostic {
    let warning = Diagnostic::warning(format!("the {what} `{}` cannot be read here", name.value)).at(&name.place);
    let warning = warning.hint("it is outside the project: it has to be there where `fly up` is run");
    text.as_ref().err().into_iter().fold(warning, Diagnostic::cause)
}

/// The project's own files are there wherever the project is.
fn is_outside(path: &str) -> bool {
    path.starts_with('/') || path.starts_with("~/") || path.split('/').next() == Some("..")
}

fn machines(spec: &Spec) -> impl Iterator<Item = &spec::Machine> {
    spec.machines.0.iter().map(|(_, machine)| machine).chain(&spec.defaults)
}

/// Every file of public keys that the file names.
pub(super) fn key_files(spec: &Spec) -> Vec<At<String>> {
    let users = |sshd: &spec::Sshd| {
        let users = sshd.users.iter().flat_map(|users| &users.0);
        users.filter_map(|(_, user)| user.authorized_keys.clone()).flatten().collect::<Vec<_>>()
    };
    let named = machines(spec).filter_map(|machine| machine.sshd.as_ref()).flat_map(|sshd| {
        let common = sshd.authorized_keys.clone().into_iter().flatten();
        common.chain(users(sshd)).collect::<Vec<_>>()
    });
    // A key itself is no path.
    named.filter(|name| !name.value.contains(' ')).collect()
}
