//! `huddle plan --cluster` as a process: no cluster near, files only.

#[path = "../core/tests/merging/mod.rs"]
mod merging;
#[path = "../core/tests/rasa/mod.rs"]
mod rasa;
#[path = "../core/tests/world/mod.rs"]
mod world;

use huddle::dump;
use huddle_core::cluster::OneAtATime;
use huddle_core::diagnose::{DiagnoseConfig, diagnose};
use huddle_core::plan::{Plan, PlannerConfig, merge, plan};
use huddle_core::units::{Bytes, Millicores};
use proptest::prelude::*;
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
    let plan = |out: &str, threads: &str| {
        let line = [
            "plan",
            "--threads",
            threads,
            "--tries",
            "2",
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
    let (found, layout) = plan("out.json", "1");
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
    let (again, other) = plan("again.json", "3");
    assert_eq!(
        (&again["curve"], other),
        (&found["curve"], layout),
        "equal input, seed and steps, equal layout and curve, however many threads"
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
    write("old.json", r#"{"huddleDump": 0}"#);
    write(
        "half.json",
        r#"{"huddleDump": 1, "madeBy": "0.1.0", "graph": {"at": 0, "window": {"from": 0, "to": 0}, "edges": []}}"#,
    );
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
            vec!["plan", "--cluster", "old.json"],
            1,
            "old.json: huddleDump: this is a dump of form 0",
        ),
        (
            vec!["plan", "--cluster", "half.json"],
            1,
            "half.json: cluster: there is none in this dump",
        ),
        (
            vec!["plan", "--cluster", M3, "--what-if", "drain=a"],
            1,
            "--what-if needs a dump",
        ),
        (
            vec!["plan", "--cluster", M3, "--what-if", "lift=a"],
            2,
            "is no change: write add-node=",
        ),
        (vec!["plan", "--what-if", "drain=a"], 1, "no cluster: give --kubeconfig"),
        (
            vec!["plan", "--cluster", "pods.json"],
            1,
            "pods.json: this is neither a dump",
        ),
        (vec!["plan", "--cluster", "."], 1, ". holds 6 .json files, not one"),
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

#[test]
fn a_made_up_cluster_is_written_with_its_planted_layout_and_planned_from() {
    let home = tempfile::tempdir().unwrap();
    let recipe = [
        "--nodes",
        "8",
        "--pods",
        "120",
        "--services",
        "20",
        "--seed",
        "5",
        "-o",
        "json",
    ];
    let line: Vec<&str> = ["generate", "made.json", "--planted", "planted.json"]
        .into_iter()
        .chain(recipe)
        .collect();
    let made: Value = serde_json::from_str(&succeeded(home.path(), &line)).unwrap();
    let read = |name: &str| std::fs::read(home.path().join(name)).unwrap();
    let file: Value = serde_json::from_slice(&read("made.json")).unwrap();
    let planted: BTreeMap<String, usize> = serde_json::from_slice(&read("planted.json")).unwrap();
    let report = rasa::check(&file, &planted);
    assert!(report.broken.is_empty(), "{:?}", report.broken);
    assert!((made["localPlanted"].as_f64().unwrap() - report.gain).abs() < 1e-6);
    assert!(made["local"].as_f64().unwrap() < report.gain);
    assert_eq!(made["nodes"], 8);
    let line = [
        "plan",
        "--cluster",
        "made.json",
        "--steps",
        "60",
        "--by",
        "workload",
        "-o",
        "json",
    ];
    let found: Value = serde_json::from_str(&succeeded(home.path(), &line)).unwrap();
    assert!(found["localAfter"].as_f64() > found["localBefore"].as_f64(), "{found}");
    let output = huddle(home.path(), &["generate", "made.json", "--nodes", "2"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        words(&output.stderr).contains("nodes: 2 is not between 4 and 100000"),
        "{}",
        words(&output.stderr)
    );
}

/// A dump of the demo's shop after a minute under load, and the plan that a controller makes of it.
fn shop() -> (Vec<u8>, Plan) {
    let mut world = world::demo(1.0);
    let snapshot = world.measure(60);
    let plan = world::planned(&world, &snapshot);
    let bytes = dump::encode(Some(&world.cluster), Some(&snapshot), Some(&plan)).unwrap();
    (bytes, plan)
}

fn succeeded(home: &Path, args: &[&str]) -> String {
    let output = huddle(home, args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", words(&output.stderr));
    words(&output.stdout)
}

#[test]
fn a_dump_gives_exactly_the_plan_of_the_controller() {
    let home = tempfile::tempdir().unwrap();
    let (bytes, wanted) = shop();
    std::fs::write(home.path().join("shop.json"), &bytes).unwrap();
    let found: Value = serde_json::from_str(&succeeded(
        home.path(),
        &["plan", "--cluster", "shop.json", "-o", "json"],
    ))
    .unwrap();
    let plan: Plan = serde_json::from_value(found["plan"].clone()).unwrap();
    assert!(!plan.actions.is_empty());
    assert_eq!(plan, wanted);

    // The same from two files, by the folder and by name.
    let part = dump::Part::decode(&bytes).unwrap();
    let folder = home.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let put = |name: &str, bytes: Vec<u8>| std::fs::write(folder.join(name), bytes).unwrap();
    put("cluster.json", dump::encode(part.cluster.as_ref(), None, None).unwrap());
    put("graph.json", dump::encode(None, part.graph.as_ref(), None).unwrap());
    let pair = ["--cluster", "folder/cluster.json", "--graph", "folder/graph.json"];
    for args in [vec!["--cluster", "folder"], pair.to_vec()] {
        let line: Vec<&str> = ["plan", "-o", "json"].into_iter().chain(args).collect();
        let found: Value = serde_json::from_str(&succeeded(home.path(), &line)).unwrap();
        assert_eq!(serde_json::from_value::<Plan>(found["plan"].clone()).unwrap(), wanted);
    }
}

#[test]
fn a_plan_from_a_dump_reads_well() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("shop.json"), shop().0).unwrap();
    let text = succeeded(
        home.path(),
        &[
            "plan",
            "--cluster",
            "shop.json",
            "--layout",
            "layout.json",
            "--budget",
            "10m",
        ],
    );
    insta::assert_snapshot!("plan_from_a_dump", text);
    let layout: BTreeMap<String, String> =
        serde_json::from_slice(&std::fs::read(home.path().join("layout.json")).unwrap()).unwrap();
    let moved = shop().1.actions.into_iter().find_map(|action| match action {
        huddle_core::plan::Action::Move { pod_name, to, .. } => Some((format!("shop/{pod_name}"), to.to_string())),
        huddle_core::plan::Action::Place { .. }
        | huddle_core::plan::Action::Route { .. }
        | huddle_core::plan::Action::Size { .. }
        | huddle_core::plan::Action::Resize { .. }
        | huddle_core::plan::Action::Withdraw { .. }
        | huddle_core::plan::Action::Cell { .. }
        | huddle_core::plan::Action::Merge { .. } => None,
    });
    let (pod, to) = moved.unwrap();
    assert_eq!(layout[&pod], to);

    let text = succeeded(
        home.path(),
        &["plan", "--cluster", "shop.json", "--moves", "2", "--budget", "0s"],
    );
    assert!(text.contains(", 2 pods are re-created."), "{text}");
    assert!(text.contains("Points are missing: the budget was spent"), "{text}");
}

#[test]
fn what_if_shows_both_plans() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("shop.json"), shop().0).unwrap();
    let line = [
        "plan",
        "--cluster",
        "shop.json",
        "--what-if",
        "drain=node-1",
        "--what-if",
        "moves=3",
    ];
    insta::assert_snapshot!("plan_under_a_change", succeeded(home.path(), &line));
    let line = [
        "plan",
        "--cluster",
        "shop.json",
        "--what-if",
        "replicas=cart:4",
        "-o",
        "yaml",
    ];
    assert!(succeeded(home.path(), &line).contains("shop/cart"));
    for (change, said) in [
        ("drain=nowhere", "--what-if: there is no node nowhere"),
        ("pin=nobody", "--what-if: there is no workload nobody"),
    ] {
        let output = huddle(home.path(), &["plan", "--cluster", "shop.json", "--what-if", change]);
        assert_eq!(output.status.code(), Some(1));
        assert!(words(&output.stderr).contains(said), "{}", words(&output.stderr));
    }
}

/// Advice on merging goes through a dump unchanged, says that it is advice, and asks for no plan.
#[test]
fn a_merge_is_advised_from_a_dump() {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, world: &mut world::World| {
        let snapshot = world.measure(60);
        let used = merge::Use {
            cpu: Millicores(31),
            memory: Bytes(40 << 20),
        };
        let uses = merge::Uses::from([(world::id("back"), BTreeMap::from([("back".into(), used)]))]);
        let bytes = dump::encode_used(Some(&world.cluster), Some(&snapshot), None, &uses).unwrap();
        std::fs::write(home.path().join(name), bytes).unwrap();
    };
    write("good.json", &mut merging::pair());
    let mut bad = merging::pair();
    bad.cluster.trust.grants = None;
    bad.cluster.templates.get_mut(&world::id("back")).unwrap().one_at_a_time = Some(OneAtATime::Recreate);
    write("bad.json", &mut bad);
    let line = |file: &'static str| ["plan", "--cluster", file, "--what-if", "merge=front+shop/back"];
    let said = ["good.json", "bad.json"].map(|file| succeeded(home.path(), &line(file)));
    insta::assert_snapshot!("advice_on_a_merge", said.join("\n----\n"));

    let json = [line("bad.json").as_slice(), &["-o", "json"]].concat();
    let found: Value = serde_json::from_str(&succeeded(home.path(), &json)).unwrap();
    let merge = &found["merges"][0];
    assert_eq!(
        (&merge["recommended"], &merge["cpuUsedM"]),
        (&Value::from(false), &Value::from(31))
    );
    let kinds: Vec<&str> = merge["against"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["singleton", "cannotTell"]);

    let unknown = huddle(
        home.path(),
        &["plan", "--cluster", "good.json", "--what-if", "merge=front+nobody"],
    );
    assert!(words(&unknown.stderr).contains("--what-if: there is no workload nobody"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// A dump whose numbers were changed is refused, or planned from; nothing in between.
    #[test]
    fn no_dump_breaks_the_planner(changes in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..10), 1..40)) {
        static SHOP: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let mut bytes = SHOP.get_or_init(|| shop().0).clone();
        let digits: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
        for (at, digit) in changes {
            bytes[*at.get(&digits)] = b'0' + digit;
        }
        let Ok(part) = dump::Part::decode(&bytes) else { return Ok(()) };
        let (Some(cluster), Some(snapshot)) = (part.cluster, part.graph) else { return Ok(()) };
        let findings = diagnose(&snapshot, &DiagnoseConfig::default());
        let plan = plan(&snapshot, &findings, &cluster, &PlannerConfig::default(), snapshot.at);
        prop_assert!(plan.saved.is_finite());
    }
}
