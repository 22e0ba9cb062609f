//! `huddle plan --cluster` as a process: no cluster near, files only.

#[path = "../core/tests/rasa/mod.rs"]
mod rasa;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

const M3: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/rasa-m3");

/// Runs the program where no kubeconfig is to be found.
fn huddle(home: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_huddle"))
        .args(args)
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .output()
        .unwrap()
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_layout_of_m3_holds_its_constraints_and_is_worth_what_is_said() {
    let home = tempfile::tempdir().unwrap();
    let plan = |out: &str| {
        let line = [
            "plan",
            "--cluster",
            M3,
            "--steps",
            "150",
            "--seed",
            "3",
            "--moves",
            "20%",
            "--layout",
            out,
            "-o",
            "json",
        ];
        let output = huddle(home.path(), &line);
        assert_eq!(output.status.code(), Some(0), "{}", words(&output.stderr));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let layout: BTreeMap<String, usize> =
            serde_json::from_slice(&std::fs::read(home.path().join(out)).unwrap()).unwrap();
        (found, layout)
    };
    let (found, layout) = plan("out.json");
    let file: Value = serde_json::from_slice(&std::fs::read(Path::new(M3).join("M3.json")).unwrap()).unwrap();
    let report = rasa::check(&file, &layout);
    assert!(report.broken.is_empty(), "{:?}", report.broken);
    assert_eq!(found["podsMoved"], report.moved);
    assert!(report.moved <= 697);
    assert!((found["localAfter"].as_f64().unwrap() - report.gain).abs() < 1e-6);
    assert!((found["localBefore"].as_f64().unwrap() - 0.07).abs() < 0.0005);
    let gained: f64 = found["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| {
            let number = |value: &Value| value.as_f64().unwrap();
            number(&edge["traffic"]) * (number(&edge["local"][1]) - number(&edge["local"][0]))
        })
        .sum();
    assert!((found["localBefore"].as_f64().unwrap() + gained - report.gain).abs() < 1e-6);
    let curve = found["curve"].as_array().unwrap();
    for pair in curve.windows(2) {
        assert!(pair[0]["local"].as_f64() < pair[1]["local"].as_f64(), "{curve:?}");
    }
    assert_eq!(curve.last().unwrap()["local"], found["localAfter"]);
    assert_eq!(
        plan("again.json").1,
        layout,
        "equal input, seed and steps, equal layout"
    );
}

#[test]
fn a_short_budget_ends_with_a_table() {
    let home = tempfile::tempdir().unwrap();
    let output = huddle(home.path(), &["plan", "--cluster", M3, "--budget", "300ms"]);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output.stderr));
    let text = words(&output.stdout);
    assert!(
        text.starts_with("3485 pods of 547 services on 96 machines.\n"),
        "{text}"
    );
    assert!(text.contains("Local today: 7.00 % of the traffic."), "{text}");
}

#[test]
fn what_is_wrong_is_named_with_its_file_and_its_field() {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
    let m3 = std::fs::read_to_string(Path::new(M3).join("M3.json")).unwrap();
    write("cut.json", &m3[..m3.len() / 2]);
    write("lost.json", &m3.replacen("\"RequestCPU\"", "\"RequestCpu\"", 1));
    write(
        "edge.json",
        r#"{"TrafficList": [{"Service1": "Service0", "Service2": "nobody", "Traffic": 1}]}"#,
    );
    write("pods.json", r#"{"items": []}"#);
    let failure = |args: &[&str]| {
        let output = huddle(home.path(), args);
        let text = words(&output.stderr);
        assert!(output.stdout.is_empty(), "{args:?}");
        (output.status.code(), text)
    };
    let cases = [
        (
            vec!["plan", "--cluster", "absent.json"],
            1,
            "absent.json cannot be read",
        ),
        (vec!["plan", "--cluster", "cut.json"], 1, "cut.json: "),
        (
            vec!["plan", "--cluster", "lost.json"],
            1,
            "lost.json: ServiceList[0]: missing field `RequestCPU`",
        ),
        (
            vec!["plan", "--cluster", "pods.json"],
            1,
            "pods.json: this is not RASA's format",
        ),
        (vec!["plan", "--cluster", "."], 1, ". holds 4 .json files, not one"),
        (
            vec!["plan", "--cluster", M3, "--graph", "edge.json"],
            1,
            "with edge.json: TrafficList: service \"nobody\" is not in ServiceList",
        ),
        (
            vec!["plan", "--cluster", M3, "--layout", "no/such/folder"],
            1,
            "--layout no/such/folder cannot be written",
        ),
        (
            vec!["plan", "--cluster", M3, "--budget", "soon"],
            2,
            "\"soon\" is no time",
        ),
        (
            vec!["plan", "--cluster", M3, "--moves", "120%"],
            2,
            "is no number of moves",
        ),
        (vec!["plan", "--seed", "3"], 2, "--cluster"),
        (vec!["plan", "latest", "--cluster", M3], 2, "cannot be used with"),
    ];
    for (args, code, said) in cases {
        let (ended, text) = failure(&args);
        assert_eq!(ended, Some(code), "{args:?}: {text}");
        assert!(text.contains(said), "{args:?}: {text}");
    }
}
