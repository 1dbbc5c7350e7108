//! `security_opt`, as the engine takes it: its client is who reads a seccomp profile, so here fly does.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::context::Context;
use super::work::Errors;
use crate::diag::{At, Diagnostic};
use crate::spec;

pub(super) fn resolve(machine: &spec::Machine, context: &Context, errors: &mut Errors) -> BTreeSet<String> {
    let options = machine.security_opt.iter().flatten();
    options.filter_map(|option| one(option, context).map_err(|error| errors.push(error)).ok()).collect()
}

fn one(option: &At<String>, context: &Context) -> Result<String, Diagnostic> {
    let Some(profile) = spec::seccomp_profile(&option.value) else { return Ok(option.value.clone()) };
    let is_inline = profile.starts_with('{');
    let shown = if is_inline { "the seccomp profile".to_owned() } else { format!("the seccomp profile `{profile}`") };
    let error = |what: &str| Diagnostic::invalid(format!("{shown} {what}")).at(&option.place);
    let text = match context.seccomp_profiles.get(profile) {
        _ if is_inline => profile,
        Some(Ok(text)) => text,
        missing => {
            let error = error("cannot be read");
            let error = if let Some(Err(why)) = missing { error.cause(why) } else { error };
            return Err(error.hint("its path starts at the directory of fly.yml; `seccomp=unconfined` is without any"));
        }
    };
    match serde_json::from_str::<Map<String, Value>>(text) {
        Ok(_) => Ok(format!("seccomp={}", compact(text))),
        Err(why) => Err(error("is not a JSON object").cause(why).hint("as in `{\"defaultAction\": \"SCMP_ACT_ALLOW\"}`")),
    }
}

/// JSON without its white space and otherwise as it stands, as the engine's client sends it: in this form it comes back.
fn compact(json: &str) -> String {
    let (mut in_text, mut escaped) = (false, false);
    let keep = |c: &char| {
        let keep = in_text || !c.is_ascii_whitespace();
        match c {
            '"' if !escaped => in_text = !in_text,
            _ => {}
        }
        escaped = in_text && *c == '\\' && !escaped;
        keep
    };
    json.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::compact;

    #[test]
    fn white_space_between_values_goes_and_everything_else_stays() {
        let json = "{\n  \"b\": [1.50, 2],\t\"a \\\" \\\\\": \" x \"\r\n}\n";
        assert_eq!(compact(json), "{\"b\":[1.50,2],\"a \\\" \\\\\":\" x \"}");
    }
}
