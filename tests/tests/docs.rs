//! The documents name only what exists: paths in ARCHITECTURE.md, make targets in the README.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the workspace")
        .to_path_buf()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Everything between backticks on one line.
fn quoted(text: &str) -> Vec<&str> {
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn architecture_names_only_paths_that_exist() {
    let text = read("ARCHITECTURE.md");
    let is_path =
        |word: &&str| word.contains('/') && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let tops = [
        "proto/",
        "filter/",
        "controller/",
        "manifests/",
        "tests/",
        "docs/",
        ".ci/",
    ];
    let paths: Vec<&str> = quoted(&text)
        .into_iter()
        .filter(is_path)
        .filter(|word| tops.iter().any(|top| word.starts_with(top)))
        .collect();
    let missing: Vec<&&str> = paths.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(
        paths.len() > 20,
        "found only {} paths: is the code map still there?",
        paths.len()
    );
    assert!(
        missing.is_empty(),
        "ARCHITECTURE.md names paths that do not exist: {missing:?}"
    );
}

#[test]
fn readme_names_only_make_targets_that_exist() {
    let makefile = read("Makefile");
    let readme = read("README.md");
    let targets: Vec<&str> = quoted(&readme)
        .into_iter()
        .chain(readme.lines().map(str::trim))
        .filter_map(|line| line.strip_prefix("make "))
        .filter_map(|rest| rest.split([' ', '#']).next())
        .collect();
    let missing: Vec<&&str> = targets
        .iter()
        .filter(|target| !makefile.contains(&format!("\n{target}:")))
        .collect();
    assert!(targets.len() > 5, "the README shows {} make targets", targets.len());
    assert!(
        missing.is_empty(),
        "README.md names make targets that do not exist: {missing:?}"
    );
}
