//! Module names and the paths of their files.

/// The module that a file holds: `Numbers/Parity.lean` → `Numbers.Parity`. `None` for anything but a `.lean` file.
pub fn module_name(path: &str) -> Option<String> {
    let stem = path.strip_suffix(".lean")?;
    (!stem.is_empty() && !stem.split('/').any(str::is_empty)).then(|| stem.replace('/', "."))
}

/// The file of a module: `Numbers.Parity` → `Numbers/Parity.lean`.
pub fn module_path(module: &str) -> String {
    format!("{}.lean", module.replace('.', "/"))
}

/// Whether `module` lies in `package`: its root module or one below.
pub fn is_module_of(package: &str, module: &str) -> bool {
    module.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_each_others_inverse() {
        assert_eq!(module_name("Numbers/Parity.lean").as_deref(), Some("Numbers.Parity"));
        assert_eq!(module_path("Numbers.Parity"), "Numbers/Parity.lean");
        assert_eq!(module_name("README.md"), None);
        assert_eq!(module_name("a//b.lean"), None);
        assert!(is_module_of("Numbers", "Numbers.Parity") && is_module_of("Numbers", "Numbers"));
        assert!(!is_module_of("Numbers", "NumbersToo"));
    }
}
