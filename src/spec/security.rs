//! `security_opt`.

use super::node::Node;
use super::reader::{Form, Reader};
use super::scalars;
use super::schema;
use crate::diag::At;

pub(super) const SECURITY: Form<Vec<At<String>>> = Form {
    schema: || schema::list(schema::matching("no-new-privileges|[a-z-]+[=:][\\s\\S]+")),
    read: |r, node| r.list(node, "a list of options, as `[no-new-privileges]`", option),
};

fn option(r: &mut Reader, node: &Node) -> Option<At<String>> {
    let what = "a security option, as `no-new-privileges`, `apparmor=unconfined` or `seccomp=./profile.json`";
    let part = r.words(node, what)?;
    let has_value = part.text.split_once(['=', ':']).is_some_and(|(name, value)| !name.is_empty() && !value.is_empty());
    if has_value || part.text == "no-new-privileges" { scalars::filled(r, &part, what) } else { r.bad(&part, what) }
}

/// The path of the seccomp profile that an option names, or the profile itself, which begins with `{`.
pub fn seccomp_profile(option: &str) -> Option<&str> {
    // As Compose does: a colon counts where there is no equals sign.
    let (name, value) = option.split_once('=').or_else(|| option.split_once(':'))?;
    (name == "seccomp" && !matches!(value, "unconfined" | "builtin")).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::seccomp_profile;

    #[test]
    fn profiles_are_told_from_words() {
        for (option, profile) in [("seccomp=./p.json", "./p.json"), ("seccomp:p.json", "p.json"), ("seccomp={\"a\":1}", "{\"a\":1}")] {
            assert_eq!(seccomp_profile(option), Some(profile), "{option}");
        }
        for option in ["seccomp=unconfined", "seccomp:builtin", "no-new-privileges:true", "label=user:seccomp", "apparmor=x"] {
            assert_eq!(seccomp_profile(option), None, "{option}");
        }
    }
}
