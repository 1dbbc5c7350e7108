//! Names that people give: projects, machines, networks, volumes.

use serde::{Deserialize, Serialize};

/// A name of 1 to 63 characters out of `a-z A-Z 0-9 _ -`, beginning with a letter or digit.
///
/// The dot is left out on purpose: the engine's objects are called `project.name`, and without a dot in either part that name
/// can be taken apart again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name cannot be empty")]
    Empty,
    #[error("a name has at most 63 characters, this one has {0}")]
    TooLong(usize),
    #[error("a name begins with a letter or a digit, not with `{0}`")]
    Start(char),
    #[error("`{0}` cannot be part of a name: letters, digits, `_` and `-` can")]
    Character(char),
}

impl Name {
    pub const MAX: usize = 63;

    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        let first = text.chars().next().ok_or(NameError::Empty)?;
        if let Some(bad) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')) {
            return Err(NameError::Character(bad));
        }
        if !first.is_ascii_alphanumeric() {
            return Err(NameError::Start(first));
        }
        if text.len() > Self::MAX {
            return Err(NameError::TooLong(text.len()));
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the engine's object for `self` in `project`.
    pub fn in_project(&self, project: &Self) -> String {
        format!("{project}.{self}")
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_may_be() {
        assert!(Name::new("web-1_a").is_ok());
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new("-a"), Err(NameError::Start('-')));
        assert_eq!(Name::new("a.b"), Err(NameError::Character('.')));
        assert_eq!(Name::new("a".repeat(64)), Err(NameError::TooLong(64)));
    }
}
