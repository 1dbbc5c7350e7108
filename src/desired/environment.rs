//! A machine's environment: its `env_file`s in their order, and `environment` over them.

use std::collections::BTreeMap;

use super::context::Context;
use super::work::Errors;
use crate::diag::Diagnostic;
use crate::spec;

pub(super) fn resolve(machine: &spec::Machine, context: &Context, errors: &mut Errors) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    // What a file's own `${NAME}` stands for: Compose looks in the user's environment first, then in `environment`.
    let given = machine.environment.iter().flat_map(|entries| &entries.0);
    let given = given.filter_map(|(key, value)| Some((key.value.clone(), value.as_ref()?.value.clone()))).collect();
    for file in machine.env_file.iter().flatten() {
        let found = context.env_files.get(&file.path.value);
        match found.map(|found| (&found.shown, &found.text)) {
            Some((shown, Ok(text))) => {
                let read = spec::dotenv(shown, text, &[&context.environment, &given]);
                all.extend(read.variables);
                errors.extend(read.errors);
            }
            Some((_, Err(_))) | None if !file.required => {}
            missing => {
                let mut error = Diagnostic::invalid(format!("the `env_file` `{}` cannot be read", file.path.value)).at(&file.path.place);
                if let Some((_, Err(why))) = missing {
                    error = error.cause(why);
                }
                errors.push(error.hint("`{path: FILE, required: false}` where it may be missing"));
            }
        }
    }
    for (key, value) in machine.environment.iter().flat_map(|entries| &entries.0) {
        if key.value.is_empty() || key.value.contains(['=', '\0']) {
            let error = Diagnostic::invalid(format!("`{}` is not the name of an environment variable", key.value)).at(&key.place);
            errors.push(error.hint("neither empty nor with `=` in it"));
            continue;
        }
        match value {
            Some(value) => all.insert(key.value.clone(), value.value.clone()),
            // As in Compose: what the user does not have, the machine does not get, not even from a file.
            None => match context.environment.get(&key.value) {
                Some(value) => all.insert(key.value.clone(), value.clone()),
                None => all.remove(&key.value),
            },
        };
    }
    all
}
