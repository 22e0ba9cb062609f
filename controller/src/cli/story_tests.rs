//! An edge's story, from symptom to proof.

use super::super::explain::{find, render};
use super::super::graph::tests::state;
use super::*;
use huddle_core::view::{FindingView, Part, ProofView, Quantiles, ReliefView, VerdictView};

fn served(requests: u64, p50_us: u64, p99_us: u64) -> Part {
    let served = Quantiles {
        p50_us,
        p95_us: p50_us * 2,
        p99_us,
    };
    let upstream = Quantiles {
        p99_us: p99_us + 2_000,
        ..served
    };
    Part {
        requests,
        served,
        upstream,
        ..Part::default()
    }
}

fn step(kind: &str, workload: &str, sentence: &str, state: &str) -> StepView {
    StepView {
        kind: kind.to_owned(),
        sentence: sentence.to_owned(),
        workload: Some(workload.to_owned()),
        state: Some(state.to_owned()),
        ..StepView::default()
    }
}

fn plan(phase: &str, summary: &str, steps: &str) -> PlanView {
    let callee = "shop/currency";
    PlanView {
        id: "plan-1".to_owned(),
        phase: phase.to_owned(),
        summary: summary.to_owned(),
        created_at: 1_000 * (14 * 3_600 + 5 * 60),
        actions: vec![
            step(
                "size",
                callee,
                "From now on, container shop in new pods of shop/currency comes with at least a cpu limit of 360m; the template stays \
                 as it is.",
                steps,
            ),
            step(
                "resize",
                callee,
                "Give container shop in one pod of shop/currency (currency-1) a cpu limit of 360m (today 90m), in place: nothing is \
                 restarted unless its resizePolicy says so.",
                steps,
            ),
            step(
                "resize",
                "shop/ad",
                "Give container shop in one pod of shop/ad more.",
                steps,
            ),
        ],
        refusals: Vec::new(),
        expected: Vec::new(),
        given_back: Vec::new(),
        merging: Vec::new(),
        relief: vec![ReliefView {
            source: "shop/frontend".to_owned(),
            destination: callee.to_owned(),
            container: "shop".to_owned(),
            throttled: [0.48, 0.05],
            served_p99_us: [51_600, 10_300, 14_800],
            at_start: None,
            lack: "cpuLimit".to_owned(),
            because: "the cpu limit of container shop stops it in 48 % of the periods, then in 5 %".to_owned(),
        }],
        proof: Vec::new(),
        together: None,
        spread: Vec::new(),
        verdict: None,
    }
}

/// The edge under pressure, with these plans.
fn starved(plans: Vec<PlanView>) -> State {
    let mut state = state();
    state.plans = plans;
    state.edges[1].finding = Some(FindingView {
        cause: "pressure".to_owned(),
        sentence: "Pressure: in 1 of the callee's 2 pods the cpu limit of container shop stops it in 48 % of its periods (it uses 61m of \
                   the 90m it may, 61m at its height). Requests are served in 2.04 ms at the median and 53.4 ms at p99, against 11.2 ms \
                   at p99 where and when nothing lacks."
            .to_owned(),
    });
    state
}

fn told_of(state: &State) -> String {
    let edge = find(state, "frontend", "currency").unwrap();
    let text = render(state, edge, Style::plain());
    // What stands before it is the same in every story.
    let at = text.find("\nWhat the callee's containers").unwrap();
    format!("{}…\n{}", text.lines().nth(3).unwrap(), &text[at..])
}

fn proved() -> PlanView {
    PlanView {
        proof: vec![ProofView {
            source: "shop/frontend".to_owned(),
            destination: "shop/currency".to_owned(),
            local_share: [0.5, 0.5],
            before: served(15_012, 1_670, 40_600),
            local_before: Part::default(),
            after: served(15_233, 1_880, 11_500),
            verdict: "improved".to_owned(),
        }],
        verdict: Some(VerdictView {
            outcome: "improved".to_owned(),
            sentence: "Improved: what the plan was to make faster clearly is, and nothing else is worse.".to_owned(),
        }),
        ..plan("proved", "proved", "done")
    }
}

#[test]
fn from_symptom_to_proof() {
    insta::assert_snapshot!(told_of(&starved(vec![proved()])));
}

#[test]
fn a_proposal_says_what_it_waits_for_and_what_was_taken_back_why() {
    let back = PlanView {
        id: "plan-0".to_owned(),
        created_at: 0,
        ..plan(
            "rolledBack",
            "rolled back: the kubelet puts it off: node-2 has too little cpu left",
            "undone",
        )
    };
    let open = plan(
        "proposed",
        "3 actions, 0 pods are re-created; waiting for approval",
        "pending",
    );
    let replaced = PlanView {
        id: "plan-2".to_owned(),
        phase: "superseded".to_owned(),
        ..open.clone()
    };
    insta::assert_snapshot!(told_of(&starved(vec![replaced, open, back])));
}

#[test]
fn what_is_not_done_is_told_with_its_reason() {
    let mut state = starved(Vec::new());
    assert!(told_of(&state).contains("Nothing is planned for it so far"));
    let scaled = StepView {
        remedy: Some(
            "Set the limit to 360m where the pods are defined, or let it go by something else than cpu.".to_owned(),
        ),
        ..step(
            "unrelieved",
            "shop/currency",
            "shop/currency: HorizontalPodAutoscaler currency decides over its cpu, so this is a recommendation: container shop is \
             stopped by its cpu limit of 90m; 360m would let it run.",
            "",
        )
    };
    state.unrelieved = vec![scaled, step("unrelieved", "shop/ad", "of another", "")];
    insta::assert_snapshot!(told_of(&state));
}
