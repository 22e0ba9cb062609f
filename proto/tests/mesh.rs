//! The mesh objects spell headers, formatters and metadata as [`huddle_proto::names`] does.

use huddle_proto::names;

#[test]
fn mesh_objects_use_the_names() {
    let times = include_str!("../../manifests/mesh/times.yaml");
    let expected = [
        ("key: ", names::HEADER_SERVED_US),
        ("value: ", &format!("\"{}\"", names::FORMAT_SERVED_US)),
        ("key: ", names::HEADER_UPSTREAM_US),
        ("value: ", &format!("\"{}\"", names::FORMAT_UPSTREAM_US)),
        ("header: ", names::HEADER_SERVED_US),
        ("metadata_namespace: ", names::METADATA_NAMESPACE),
        ("key: ", names::METADATA_SERVED_US),
        ("header: ", names::HEADER_UPSTREAM_US),
        ("key: ", names::METADATA_UPSTREAM_US),
    ];
    holds(times, &expected);
    let identity = include_str!("../../manifests/mesh/identity.yaml");
    let address = format!("\"{}\"", names::FORMAT_PEER_ADDRESS);
    holds(
        identity,
        &[("key: ", names::HEADER_PEER_ADDRESS), ("value: ", &address)],
    );
    let gateway = include_str!("../../manifests/mesh/gateway.yaml");
    holds(
        gateway,
        &[("- ", names::HEADER_SERVED_US), ("- ", names::HEADER_UPSTREAM_US)],
    );
}

fn holds(text: &str, expected: &[(&str, &str)]) {
    for (key, value) in expected {
        let line = format!("{key}{value}");
        assert!(
            text.lines()
                .any(|have| have.trim_start().trim_start_matches("- ") == line.trim_start_matches("- ")),
            "{line}"
        );
    }
}
