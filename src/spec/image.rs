//! The name of an image, as the engine takes it: `debian:12`, `ghcr.io/team/app:1.2@sha256:…`.

use super::reader::Form;
use super::scalars;
use super::schema;
use crate::diag::At;

const WHAT: &str = "the name of an image, as `debian:12`";

const COMPONENT: &str = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*";

pub(super) const IMAGE: Form<At<String>> = Form {
    schema: || {
        let host = r"[a-zA-Z0-9.-]+(:[0-9]+)?/";
        schema::matching(&format!(r"({host})?{COMPONENT}(/{COMPONENT})*(:[\w][\w.-]{{0,127}})?(@[a-z0-9]+:[0-9a-f]{{32,}})?"))
    },
    read: |r, node| {
        let part = r.words(node, WHAT)?;
        match mistake(part.text) {
            None => scalars::filled(r, &part, WHAT),
            Some(_) if part.is_secret() => r.bad_hint(&part, WHAT, "its value does not name one"),
            Some(hint) => r.bad_hint(&part, WHAT, hint),
        }
    },
};

/// What to do about a name that is none.
fn mistake(text: &str) -> Option<String> {
    let own = || "as in `debian:12` or `registry.example:5000/team/app:1.2`".to_owned();
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Some(own());
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return Some(format!("leave `{scheme}://` out: `{rest}`"));
    }
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    let hex = |text: &str| text.len() >= 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if digest.is_some_and(|digest| !digest.split_once(':').is_some_and(|(kind, value)| !kind.is_empty() && hex(value))) {
        return Some("a digest is written as `@sha256:` and 64 hexadecimal digits".to_owned());
    }
    // A colon before a slash is that of a port.
    let (path, tag) = match name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
        Some((path, tag)) => (path, Some(tag)),
        None => (name, None),
    };
    if tag == Some("") {
        return Some(format!("the tag is missing: `{path}:latest`, or `{path}` alone"));
    }
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if tag.is_some_and(|tag| tag.len() > 128 || tag.starts_with(['.', '-']) || !tag.chars().all(good)) {
        return Some("a tag has letters, digits, `_`, `.` and `-`".to_owned());
    }
    let path = match path.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" || host.contains(char::is_uppercase) => {
            let (domain, port) = host.split_once(':').map_or((host, None), |(domain, port)| (domain, Some(port)));
            if domain.is_empty() || port.is_some_and(|port| port.parse::<u16>().is_err()) {
                return Some(format!("`{host}` is no registry: a host, or a host and a port, as `registry.example:5000`"));
            }
            rest
        }
        _ => path,
    };
    if path.contains(':') {
        return Some("an image has one tag, after one `:`".to_owned());
    }
    if path.contains(char::is_uppercase) {
        return Some(format!("the names of images are in small letters: `{}`", text.to_lowercase()));
    }
    (!path.split('/').all(is_component)).then(own)
}

/// Small letters and digits, parted by `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let parted = text.split(alphanumeric).filter(|between| !between.is_empty());
    let good = |between: &str| matches!(between, "." | "_" | "__") || between.chars().all(|c| c == '-');
    text.starts_with(alphanumeric) && text.ends_with(alphanumeric) && parted.into_iter().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_what_is_none() {
        let digest = "a".repeat(64);
        for good in
            ["debian", "debian:12", "a/b__c/d-.-e".trim_end_matches("-.-e"), "localhost/x", "r.io:5000/a/b:1.2_x", "my--app", "Reg/x"]
        {
            assert_eq!(mistake(good), None, "{good}");
        }
        assert_eq!(mistake(&format!("debian@sha256:{digest}")), None);
        assert_eq!(mistake(&format!("sha256:{digest}")), None);
        for bad in [
            "",
            "debian:",
            "Debian:12",
            "debian:12:13",
            "https://Debian::12",
            "a b",
            "/x",
            "x/",
            "a//b",
            "a..b",
            "-a",
            "a_",
            "x@sha256:12",
            "x:-1",
            "r.io:port/a",
            "é",
        ] {
            assert!(mistake(bad).is_some(), "{bad}");
        }
    }
}
