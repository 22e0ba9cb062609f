//! The committed definitions are those of the types. `HUDDLE_REGENERATE=1 cargo test -p huddle-api` writes them.

use std::{fs, path::Path};

#[test]
fn committed_definitions_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/crds");
    for definition in huddle_api::definitions() {
        let name = definition.metadata.name.clone().expect("a definition has a name");
        let file = folder.join(format!("{name}.yaml"));
        let text = format!(
            "# Generated from controller/api; `HUDDLE_REGENERATE=1 cargo test -p huddle-api` writes it.\n{}",
            serde_saphyr::to_string(&definition).expect("a definition is YAML")
        );
        if std::env::var_os("HUDDLE_REGENERATE").is_some() {
            fs::create_dir_all(&folder).expect("manifests/crds can be made");
            fs::write(&file, &text).expect("the file can be written");
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == text, "{} is not what the types say", file.display());
    }
}
