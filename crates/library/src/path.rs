//! Paths inside a library.

use std::fmt;

use crate::layout;

/// A path that cannot be one of the library's, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It may lead out of the library or into git's own files.
    #[error(
        "`{path}` is not a path of the library ({why}); give a path relative to its root such as `Numbers/Parity.lean`"
    )]
    Unsafe {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It may be read, but no submission may change it.
    #[error(
        "`{path}` is protected: submissions change `.lean` files below `{package}/` only; the root file is generated at each landing"
    )]
    Protected {
        /// The path.
        path: String,
        /// The library's package.
        package: String,
    },
}

/// A path relative to the library's root, `/`-separated, that stays inside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LibraryPath(String);

impl LibraryPath {
    /// Parses a path that may be read. Leading `./` goes.
    ///
    /// # Errors
    /// [`PathError::Unsafe`]: absolute, with `..`, `\`, `:`, empty parts, control characters, parts that begin with a dot
    /// (`.git`, `.lake`), or longer than 400 bytes.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        let refuse = |why| Err(PathError::Unsafe { path: path.to_owned(), why });
        let clean = path.strip_prefix("./").unwrap_or(path);
        if clean.is_empty() {
            return refuse("it is empty");
        }
        if clean.len() > 400 {
            return refuse("it is longer than 400 bytes");
        }
        if clean.starts_with('/') {
            return refuse("it is absolute");
        }
        if clean.chars().any(|c| c == '\\' || c == ':' || c.is_control()) {
            return refuse("it has a `\\`, a `:` or a control character");
        }
        for part in clean.split('/') {
            match part {
                "" => return refuse("it has an empty part"),
                ".." => return refuse("it leads out of the library"),
                part if part.starts_with('.') => {
                    return refuse("parts that begin with a dot are not the library's");
                }
                _ => {}
            }
        }
        Ok(Self(clean.to_owned()))
    }

    /// Parses a path that a submission to `package` may change.
    ///
    /// # Errors
    /// As [`LibraryPath::parse`], and [`PathError::Protected`].
    pub fn parse_writable(package: &str, path: &str) -> Result<Self, PathError> {
        let parsed = Self::parse(path)?;
        if layout::is_protected(package, parsed.as_str()) {
            return Err(PathError::Protected { path: parsed.0, package: package.to_owned() });
        }
        Ok(parsed)
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The module that the file holds; `None` when it is no `.lean` file.
    pub fn module(&self) -> Option<String> {
        layout::module_name(&self.0)
    }
}

impl fmt::Display for LibraryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for LibraryPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_that_could_leave_the_library_are_refused() {
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            ".git/config",
            "a/.git/x",
            "a//b",
            "a\\b",
            "C:x",
            "a/\0",
            "a/./b",
        ] {
            assert!(matches!(LibraryPath::parse(path), Err(PathError::Unsafe { .. })), "{path}");
        }
        assert_eq!(LibraryPath::parse("./N/A.lean").unwrap().as_str(), "N/A.lean");
        assert!(LibraryPath::parse("N.lean").is_ok());
        let error = LibraryPath::parse_writable("N", "N.lean").unwrap_err().to_string();
        assert!(error.starts_with("`N.lean` is protected"), "{error}");
        assert_eq!(LibraryPath::parse_writable("N", "N/A.lean").unwrap().module().unwrap(), "N.A");
    }

    proptest! {
        #[test]
        fn whatever_parses_stays_inside(path in "[a./\\\\]{0,12}") {
            if let Ok(parsed) = LibraryPath::parse(&path) {
                let parsed = std::path::Path::new(parsed.as_str());
                prop_assert!(parsed.components().all(|c| matches!(c, std::path::Component::Normal(_))));
            }
        }
    }
}
