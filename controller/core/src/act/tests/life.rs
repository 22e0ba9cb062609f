//! A plan's life.

use crate::act::{
    ActConfig, Awaited, Lead, Phase, Progress, Receipt, RuleName, Situation, StepState, Trouble, begin, judged,
    measured, next,
};
use crate::id::PlanId;
use crate::time::{Span, Timestamp, Window};
use crate::verify::{Harm, Sign, Verdict};

const T0: Timestamp = Timestamp(1_000_000);

fn approved() -> Situation {
    Situation {
        approved: true,
        genuine: true,
        ..Situation::default()
    }
}

fn recorded(progress: &Progress, situation: &Situation, now: Timestamp) -> Progress {
    let lead = next(progress, situation, &ActConfig::default(), now);
    let Lead::Record(progress) = lead else {
        panic!("{lead:?}")
    };
    *progress
}

fn acting(steps: usize) -> Progress {
    let progress = recorded(&begin(steps, T0), &approved(), T0);
    let progress = recorded(&progress, &approved(), T0);
    assert_eq!(progress.phase, Phase::Baseline);
    measured(&progress, Window { from: T0, to: T0 }, T0)
}

fn place(progress: &mut Progress, index: usize, state: StepState) {
    progress.steps[index].state = state;
    progress.steps[index].receipt = Some(Receipt::Place {
        rule: RuleName::of(&PlanId::from("p"), index, &"shop".into()),
    });
}

#[test]
fn nothing_happens_without_approval() {
    let situation = Situation {
        genuine: true,
        ..Situation::default()
    };
    let lead = next(&begin(1, T0), &situation, &ActConfig::default(), T0);
    assert_eq!(lead, Lead::Wait(Awaited::Approval));
}

#[test]
fn one_plan_acts_at_a_time() {
    let progress = recorded(&begin(1, T0), &approved(), T0);
    let situation = Situation {
        other: Some("other".to_owned()),
        ..approved()
    };
    let lead = next(&progress, &situation, &ActConfig::default(), T0);
    assert!(matches!(lead, Lead::Wait(Awaited::Turn { .. })), "{lead:?}");
}

#[test]
fn a_changed_plan_is_not_carried_out() {
    let situation = Situation {
        genuine: false,
        ..approved()
    };
    let progress = recorded(&begin(1, T0), &situation, T0);
    assert_eq!(
        (progress.phase, progress.trouble),
        (Phase::RollingBack, Some(Trouble::Tampered))
    );
}

#[test]
fn steps_come_in_order_and_settling_comes_before_proving() {
    let mut progress = acting(2);
    assert!(matches!(
        next(&progress, &approved(), &ActConfig::default(), T0),
        Lead::Step { index: 0, .. }
    ));
    place(&mut progress, 0, StepState::Done);
    assert!(matches!(
        next(&progress, &approved(), &ActConfig::default(), T0),
        Lead::Step { index: 1, .. }
    ));
    place(&mut progress, 1, StepState::Done);
    let progress = recorded(&progress, &approved(), T0);
    assert_eq!(progress.phase, Phase::Settling);
    let later = T0.plus(Span::seconds(30));
    let progress = recorded(&progress, &approved(), later);
    assert_eq!((progress.phase, progress.after_from), (Phase::Proving, Some(later)));
}

#[test]
fn too_many_failures_stop_the_rest() {
    let mut progress = acting(5);
    for index in 0..3 {
        progress.steps[index].state = StepState::Undone;
        progress.steps[index].trouble = Some(Trouble::NotReady);
    }
    let progress = recorded(&progress, &approved(), T0);
    assert!(progress.steps[3..].iter().all(|step| step.state == StepState::Skipped));
}

#[test]
fn harm_is_undone_from_the_last_step_to_the_first() {
    let mut progress = acting(2);
    place(&mut progress, 0, StepState::Done);
    place(&mut progress, 1, StepState::Done);
    progress.phase = Phase::Proving;
    let edge = crate::id::EdgeId {
        source: crate::id::WorkloadId::deployment("shop", "a"),
        destination: crate::id::WorkloadId::deployment("shop", "b"),
    };
    let harm = Harm::Errors {
        edge,
        before: crate::units::Ratio::ZERO,
        after: crate::units::Ratio::ONE,
    };
    let mut progress = judged(&progress, &Verdict::Regressed { harm }, T0).expect("a verdict");
    assert_eq!(progress.phase, Phase::RollingBack);
    for index in [1, 0] {
        progress = recorded(&progress, &approved(), T0);
        assert_eq!(progress.steps[index].state, StepState::Undoing);
        progress.steps[index].state = StepState::Undone;
    }
    assert_eq!(recorded(&progress, &approved(), T0).phase, Phase::RolledBack);
}

#[test]
fn a_wish_to_roll_back_is_heard_in_every_phase() {
    let situation = Situation {
        rollback: Some("eve".to_owned()),
        ..approved()
    };
    for phase in [
        Phase::Proposed,
        Phase::Approved,
        Phase::Baseline,
        Phase::Acting,
        Phase::Settling,
        Phase::Proved,
    ] {
        let mut progress = acting(1);
        progress.phase = phase;
        assert_eq!(
            recorded(&progress, &situation, T0).phase,
            Phase::RollingBack,
            "{phase:?}"
        );
    }
}

#[test]
fn what_is_missed_is_undone_from_the_first_resize_on_and_also_when_proved() {
    let sign = Sign::Killed {
        pod: "back-1".to_owned(),
    };
    let missed = Situation {
        missed: Some(sign.clone()),
        ..approved()
    };
    let mut progress = acting(1);
    place(&mut progress, 0, StepState::Done);
    for phase in [Phase::Acting, Phase::Settling, Phase::Proving, Phase::Proved] {
        progress.phase = phase;
        let back = recorded(&progress, &missed, T0);
        assert_eq!(back.phase, Phase::RollingBack);
        assert_eq!(back.trouble, Some(Trouble::Missed { sign: sign.clone() }));
    }
    for phase in [Phase::Baseline, Phase::RollingBack, Phase::RolledBack] {
        progress.phase = phase;
        let lead = next(&progress, &missed, &ActConfig::default(), T0);
        let turned = matches!(&lead, Lead::Record(next) if next.trouble.is_some());
        assert!(!turned, "{phase:?}: {lead:?}");
    }
}
