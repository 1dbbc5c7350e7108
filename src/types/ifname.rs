//! Names of network interfaces.

use serde::{Deserialize, Serialize};

/// The name of an interface as the kernel takes it: 1 to 15 bytes, no white space, no `/` or `:`, not `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IfName(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IfNameError {
    #[error("the name of a network card cannot be empty")]
    Empty,
    #[error("the name of a network card has at most 15 characters, this one has {0}")]
    TooLong(usize),
    #[error("{0:?} cannot be part of a network card's name")]
    Character(char),
    #[error("`{0}` is a name that the kernel keeps for itself")]
    Reserved(String),
}

impl IfName {
    pub const MAX: usize = 15;

    pub fn new(text: impl Into<String>) -> Result<Self, IfNameError> {
        let text = text.into();
        if text.is_empty() {
            return Err(IfNameError::Empty);
        }
        if text.len() > Self::MAX {
            return Err(IfNameError::TooLong(text.len()));
        }
        if let Some(bad) = text.chars().find(|c| c.is_whitespace() || c.is_control() || !c.is_ascii() || matches!(c, '/' | ':' | '%')) {
            return Err(IfNameError::Character(bad));
        }
        // `lo` is in every namespace already; `all` and `default` are directories of sysctls.
        if matches!(text.as_str(), "." | ".." | "lo" | "all" | "default") {
            return Err(IfNameError::Reserved(text));
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for IfName {
    type Error = IfNameError;
    fn try_from(text: String) -> Result<Self, IfNameError> {
        Self::new(text)
    }
}

impl std::str::FromStr for IfName {
    type Err = IfNameError;
    fn from_str(text: &str) -> Result<Self, IfNameError> {
        Self::new(text)
    }
}

impl From<IfName> for String {
    fn from(name: IfName) -> Self {
        name.0
    }
}

impl std::fmt::Display for IfName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_interface_may_be_called() {
        assert!(IfName::new("eth0").is_ok());
        assert_eq!(IfName::new("a".repeat(16)), Err(IfNameError::TooLong(16)));
        assert_eq!(IfName::new("a b"), Err(IfNameError::Character(' ')));
        assert_eq!(IfName::new("lo"), Err(IfNameError::Reserved("lo".into())));
    }
}
