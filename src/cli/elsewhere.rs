//! What only this computer lacks, and others need not: files outside the project, and variables.
//!
//! Whoever checks a file without the machines, in an editor, before a commit or in a pull request, is told of it, and no more.

use std::collections::BTreeSet;

use crate::diag::{At, Diagnostic};
use crate::spec::{self, Spec, Unset};

pub(super) fn unset(unset: &Unset) -> Diagnostic {
    let name = &unset.name.value;
    let message = unset.required.clone().unwrap_or_else(|| format!("the variable `{name}` is not set"));
    let warning = Diagnostic::warning(message).at(&unset.name.place).label("not checked");
    warning.hint(format!("`fly up` takes it from the environment or from `.env`; `${{{name}:-value}}` is a default"))
}

/// Files outside of the project are not looked at; here they are named where the file names them.
pub(super) fn unseen(spec: &Spec, unseen: &BTreeSet<String>) -> Vec<Diagnostic> {
    let keys = key_files(spec).into_iter().map(|name| ("key file", name));
    let files = machines(spec).flat_map(|machine| machine.env_file.iter().flatten()).map(|file| ("`env_file`", file.path.clone()));
    let options = machines(spec).flat_map(|machine| machine.security_opt.iter().flatten());
    let profiles = options
        .filter_map(|option| Some(("seccomp profile", At::new(spec::seccomp_profile(&option.value)?.to_owned(), option.place.clone()))));
    let named = keys.chain(files).chain(profiles).filter(|(_, name)| unseen.contains(&name.value));
    let warning = |(what, name): (&str, At<String>)| {
        let message = format!("the {what} `{}` is outside of the project, and was not looked at", name.value);
        Diagnostic::warning(message).at(&name.place).hint("it has to be there where `fly up` is run")
    };
    named.map(warning).collect()
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
