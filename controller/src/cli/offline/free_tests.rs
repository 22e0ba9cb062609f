//! What people read of a layout.

use super::*;

fn found() -> Found {
    let point = |most_moves, pods_moved, local| Point {
        most_moves,
        pods_moved,
        local,
    };
    let edge = |one: &str, other: &str, traffic, local| EdgeGain {
        services: [one.to_owned(), other.to_owned()],
        traffic,
        local,
    };
    Found {
        services: 547,
        machines: 96,
        pods: 3_485,
        local_before: 0.069_955,
        local_after: 0.8722,
        pods_moved: 2_030,
        most_moves: None,
        seed: 1,
        steps: 8_312,
        cpu_seconds: 10.04,
        curve_cpu_seconds: 1.01,
        curve: vec![
            point(100, 98, 0.38),
            point(1_000, 955, 0.83),
            point(2_030, 2_030, 0.8722),
        ],
        edges: vec![
            edge("Service12", "Service7", 0.14, [0.031, 0.985]),
            edge("Service3", "Service7", 0.02, [0.2, 0.1]),
        ],
    }
}

#[test]
fn a_layout_for_people() {
    insta::assert_snapshot!(render(&found(), Some(Path::new("OUT.json")), Style::plain()));
}

#[test]
fn nothing_better_is_said() {
    let nothing = Found {
        pods_moved: 0,
        most_moves: Some(0),
        ..found()
    };
    let text = render(&nothing, None, Style::plain());
    assert!(text.ends_with("No better layout was found without a move.\n"), "{text}");
}
