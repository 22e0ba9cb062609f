//! When Huddle goes ahead by itself.

use crate::act::{AloneConfig, Hold, Past, Phase, may_go_alone};
use crate::cluster::{Automation, ClusterView, NamespacePolicy};
use crate::id::WorkloadId;
use crate::plan::{Action, PlaceForm, Plan};
use crate::time::{Span, Timestamp};

const T0: Timestamp = Timestamp(1_000_000_000);
const HOUR: i64 = 3_600_000;

fn web() -> WorkloadId {
    WorkloadId::deployment("shop", "web")
}

fn plan() -> Plan {
    Plan {
        at: T0,
        actions: vec![Action::Place {
            workload: web(),
            with: WorkloadId::deployment("shop", "db"),
            form: PlaceForm::Admission,
        }],
        expected: Vec::new(),
        relief: Vec::new(),
        given_back: Vec::new(),
        merging: Vec::new(),
        spread: Vec::new(),
        refusals: Vec::new(),
        pods_restarted: 0,
        because: Vec::new(),
        saved: 1.0,
    }
}

fn cluster(automation: Automation) -> ClusterView {
    let policy = NamespacePolicy {
        automation,
        cooldown: Span::seconds(6 * 3600),
        ..NamespacePolicy::default()
    };
    ClusterView {
        policies: [("shop".into(), policy)].into(),
        ..ClusterView::default()
    }
}

fn ended(phase: Phase, setback: bool, hours_ago: i64) -> Past {
    Past {
        workloads: [web()].into(),
        phase,
        since: Timestamp(T0.0 - hours_ago * HOUR),
        setback,
    }
}

/// Long after the proposal was made.
fn later(past: &[Past]) -> Result<(), Hold> {
    let now = T0.plus(Span::seconds(600));
    may_go_alone(
        &plan(),
        T0,
        &cluster(Automation::Auto),
        past,
        &AloneConfig::default(),
        now,
    )
}

#[test]
fn only_where_every_namespace_says_so() {
    for automation in [Automation::Observe, Automation::Recommend, Automation::Approve] {
        let held = may_go_alone(
            &plan(),
            T0,
            &cluster(automation),
            &[],
            &AloneConfig::default(),
            Timestamp(i64::MAX),
        );
        assert_eq!(
            held,
            Err(Hold::NotAuto {
                namespace: "shop".into()
            })
        );
    }
    assert_eq!(later(&[]), Ok(()));
}

#[test]
fn not_before_it_has_stood() {
    let at = |seconds| {
        let now = T0.plus(Span::seconds(seconds));
        may_go_alone(
            &plan(),
            T0,
            &cluster(Automation::Auto),
            &[],
            &AloneConfig::default(),
            now,
        )
    };
    assert!(matches!(at(119), Err(Hold::Young { .. })), "{:?}", at(119));
    assert_eq!(at(120), Ok(()));
}

#[test]
fn a_workload_cools_down_and_longer_after_harm() {
    let cooling = |past: &[Past]| matches!(later(past), Err(Hold::Cooling { .. }));
    assert!(cooling(&[ended(Phase::Proved, false, 5)]));
    assert!(!cooling(&[ended(Phase::Proved, false, 6)]));
    assert!(cooling(&[ended(Phase::RolledBack, true, 23)]));
    assert!(!cooling(&[ended(Phase::RolledBack, true, 24)]));
    let twice = |last| {
        [
            ended(Phase::RolledBack, true, 200),
            ended(Phase::RolledBack, true, last),
        ]
    };
    assert!(cooling(&twice(47)));
    assert!(!cooling(&twice(48)));
    // A plan that nobody began to carry out changed nothing.
    assert!(!cooling(&[ended(Phase::Superseded, false, 0)]));
    // What others' plans do is no matter.
    let mut other = ended(Phase::Proved, false, 1);
    other.workloads = [WorkloadId::deployment("shop", "other")].into();
    assert_eq!(later(&[other]), Ok(()));
}

#[test]
fn after_three_setbacks_in_a_row_it_is_left_to_people_until_one_succeeds() {
    let mut past: Vec<Past> = [3_000, 2_000, 1_000]
        .map(|ago| ended(Phase::RolledBack, true, ago))
        .to_vec();
    assert_eq!(
        later(&past),
        Err(Hold::LeftToPeople {
            workload: web(),
            setbacks: 3
        })
    );
    past.push(ended(Phase::Proved, false, 500));
    assert_eq!(later(&past), Ok(()));
}

#[test]
fn what_holds_it_is_said() {
    let holds = [
        Hold::NotAuto {
            namespace: "shop".into(),
        },
        Hold::Young { until: T0 },
        Hold::Cooling {
            workload: web(),
            until: T0,
        },
        Hold::LeftToPeople {
            workload: web(),
            setbacks: 3,
        },
    ];
    let lines: Vec<String> = holds
        .iter()
        .map(|hold| format!("{}: {}", hold.label(), hold.sentence()))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
    for hold in holds {
        assert_eq!(serde_json::to_value(&hold).unwrap()["hold"], hold.label());
    }
}
