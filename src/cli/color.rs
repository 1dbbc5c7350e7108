//! Whether to use colours. They never say anything that the text does not.

use super::args::When;
use super::environment::Environment;

pub(super) fn wanted(when: When, is_terminal: bool, environment: &Environment) -> bool {
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto if environment.variable("NO_COLOR").is_some() => false,
        When::Auto if environment.variable("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        When::Auto => is_terminal && environment.variable("TERM") != Some("dumb"),
    }
}
