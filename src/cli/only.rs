//! `--only MACHINE`: which machines are meant, and what they need.

use std::collections::BTreeSet;

use super::machine::{number, unknown};
use crate::desired::Desired;
use crate::diag::Diagnostic;
use crate::types::Name;

/// Asks for these machines alone, with all that they need; for everything where none is named. A name with a `scale` is all of its
/// machines. Gives those that were named.
pub(super) fn ask_for(desired: &mut Desired, names: &[String]) -> Result<BTreeSet<Name>, Vec<Diagnostic>> {
    let known: BTreeSet<&str> = desired.machines.keys().map(Name::as_str).collect();
    let (mut chosen, mut wrong) = (BTreeSet::new(), vec![]);
    for text in names {
        let is_meant =
            |name: &&Name| if known.contains(text.as_str()) { name.as_str() == text } else { number(text, name.as_str()).is_some() };
        let meant: Vec<Name> = desired.machines.keys().filter(is_meant).cloned().collect();
        if meant.is_empty() {
            wrong.push(unknown(text, &desired.project, &known));
        }
        chosen.extend(meant);
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    if !chosen.is_empty() {
        desired.only = Some(desired.with_needs(&chosen));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Failure;
    use crate::desired::{Context, resolve};

    fn file() -> Desired {
        let text = "name: shop\nmachines:\n  web: {image: a, links: [db]}\n  db: {image: a}\n  node: {image: a, scale: 2}\n";
        let spec = crate::spec::parse("fly.yml", text, &std::collections::BTreeMap::new()).unwrap();
        resolve(&spec, &Context { directory: "/srv/shop".into(), ..Context::default() }).unwrap()
    }

    fn part(names: &[&str]) -> Vec<String> {
        let mut desired = file();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        ask_for(&mut desired, &names).unwrap();
        desired.only.into_iter().flatten().map(|name| name.to_string()).collect()
    }

    #[test]
    fn names_become_machines_with_what_they_need() {
        assert_eq!(part(&["web"]), ["db", "web"]);
        assert_eq!(part(&["node"]), ["node-1", "node-2"]);
        assert_eq!(part(&["node-2", "db"]), ["db", "node-2"]);
        assert!(part(&[]).is_empty());
    }

    #[test]
    fn each_unknown_name_is_told() {
        let wrong = ask_for(&mut file(), &["wbe".to_owned(), "db".to_owned(), "nod".to_owned()]).unwrap_err();
        let failure = Failure::new(wrong, &crate::cli::failure::Sources::new());
        insta::assert_snapshot!(failure.render(false));
    }
}
