//! Dumps survive their way; whatever else comes is refused by name.

use super::*;
use crate::engine::testing::busy;
use crate::testing::cluster;
use proptest::prelude::*;

fn part() -> Part {
    let mut view = cluster(&[("web-1", "node-1"), ("db0-1", "node-1"), ("db0-2", "node-2")]).view;
    view.policies.entry("shop".into()).or_default().may_act = true;
    Part {
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: Some(view),
        graph: Some(busy(1)),
        standing: None,
        used: BTreeMap::new(),
    }
}

#[test]
fn a_dump_survives_its_way() {
    let part = part();
    assert_eq!(Part::decode(&part.encode().unwrap()).unwrap(), part);
    assert_eq!(Part::decode(&encode(None, None, None).unwrap()).unwrap().cluster, None);
}

#[test]
fn what_is_wrong_is_named() {
    let text = String::from_utf8(part().encode().unwrap()).unwrap();
    let error = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not in {text}");
        Part::decode(text.replacen(from, to, 1).as_bytes())
            .unwrap_err()
            .to_string()
    };
    insta::assert_snapshot!(
        [
            error("\"huddleDump\":1", "\"huddleDump\":2"),
            error("\"huddleDump\":1,", ""),
            error("\"schedulable\"", "\"scheduleable\""),
            error("\"ready\":true", "\"ready\":1"),
            error("\"replicas\":2", "\"replicas\":9000000000"),
            error("\"uid\":\"db0-2\"", "\"uid\":\"db0-1\""),
            error("\"uid\":\"db0-2\"", "\"uid\":\"\""),
            error("\"u\":[", "\"u\":[1,"),
            error("\"n\":[", "\"n\":[9000000000000"),
            error("\"kind\":\"Deployment\"", "\"kind\":\"Deploy\""),
        ]
        .join("\n")
    );
}

proptest! {
    /// Whatever bytes come: an error, or a dump that can be written again.
    #[test]
    fn no_bytes_break_the_decoder(at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), digits in any::<bool>()) {
        let mut bytes = part().encode().unwrap();
        for (at, byte) in at {
            let at = at.index(bytes.len());
            // Half of the cases stay JSON more often: only digits change.
            if !digits || bytes[at].is_ascii_digit() {
                bytes[at] = if digits { b'0' + byte % 10 } else { byte };
            }
        }
        if let Ok(part) = Part::decode(&bytes) {
            prop_assert_eq!(Part::decode(&part.encode().unwrap()).unwrap().cluster, part.cluster);
        }
    }
}
