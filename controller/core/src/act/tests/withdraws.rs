//! Deleting a rule that is of no use, and its return: whatever happens in between, it ends deleted or as it was.

use crate::act::{
    ActConfig, Intent, Next, Receipt, RuleSeen, Seen, StandingRule, Step, StepState, Trouble, Turn, WithdrawSeen,
    WorkloadSeen, next_of_step,
};
use crate::cluster::Budget;
use crate::id::{PlanId, WorkloadId};
use crate::plan::{Action, Faded};
use crate::time::{Span, Timestamp};

/// One rule, in an API server that does what it is told.
struct World {
    standing: Option<StandingRule>,
    rule: RuleSeen,
    allowed: bool,
    exists: bool,
    faded: bool,
    refused: bool,
    under_way: Option<String>,
    successor: Option<String>,
    origin_undone: Option<String>,
    made: u64,
    now: Timestamp,
    step: Step,
}

impl World {
    fn new() -> Self {
        Self {
            standing: Some(StandingRule {
                uid: "rule-0".to_owned(),
                object: "{}".to_owned(),
                faded: true,
            }),
            rule: RuleSeen::Armed { in_force: false },
            allowed: true,
            exists: true,
            faded: true,
            refused: false,
            under_way: None,
            successor: None,
            origin_undone: None,
            made: 0,
            now: Timestamp(1_000_000),
            step: Step::default(),
        }
    }

    fn next(&self) -> Next {
        let action = Action::Withdraw {
            workload: WorkloadId::deployment("shop", "back"),
            with: Some(WorkloadId::deployment("shop", "front")),
            rule: "plan-1-0".to_owned(),
            rule_uid: "rule-0".to_owned(),
            faded: Faded::NotCalled,
            faded_since: Timestamp(0),
        };
        let standing = self.standing.clone().map(|standing| StandingRule {
            faded: self.faded,
            ..standing
        });
        let seen = Seen::Withdraw(Box::new(WithdrawSeen {
            workload: self.exists.then_some(WorkloadSeen {
                replica_set: None,
                replicas: 2,
                rolling: false,
                budget: Budget::None,
                allowed: self.allowed,
                selectable: true,
            }),
            standing,
            rule: self.rule.clone(),
            bound: true,
            under_way: self.under_way.clone(),
            successor: self.successor.clone(),
            origin_undone: self.origin_undone.clone(),
        }));
        let config = ActConfig::default();
        let turn = Turn {
            plan: &PlanId::from("p"),
            index: 0,
            from: Timestamp(1_000_000),
            now: self.now,
            config: &config,
        };
        next_of_step(&self.step, &action, &seen, turn)
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else there is, this action has nothing to do with it"
    )]
    fn carry(&mut self, intent: &Intent) {
        assert!(
            matches!(self.step.receipt, Some(Receipt::Withdraw(_))),
            "{intent:?} comes before its receipt"
        );
        match intent {
            Intent::RemoveRule { uid, .. } => {
                if self.standing.as_ref().is_some_and(|it| it.uid == *uid) {
                    (self.standing, self.rule) = (None, RuleSeen::Absent);
                }
            }
            Intent::DeleteRule { .. } => (self.standing, self.rule) = (None, RuleSeen::Absent),
            Intent::RestoreRule { object, .. } => {
                self.made += 1;
                self.standing = Some(StandingRule {
                    uid: format!("rule-{}", self.made),
                    object: object.clone(),
                    faded: false,
                });
                self.rule = RuleSeen::Trial { tried: None };
            }
            Intent::TryRule { armed: false, .. } => {
                let tried = if self.refused { Err("no".to_owned()) } else { Ok(()) };
                self.rule = RuleSeen::Trial { tried: Some(tried) };
            }
            Intent::ArmRule { .. } => self.rule = RuleSeen::Armed { in_force: false },
            Intent::TryRule { armed: true, .. } => self.rule = RuleSeen::Armed { in_force: true },
            other => panic!("{other:?}"),
        }
    }

    /// One decision; whether the step is over.
    fn advance(&mut self) -> bool {
        match self.next() {
            Next::Record(step) => self.step = *step,
            Next::Do(intent) => self.carry(&intent),
            Next::Wait { .. } => self.now = self.now.plus(Span::seconds(1)),
            Next::Over => return true,
        }
        false
    }

    fn run(&mut self) {
        for _ in 0..2_000 {
            if self.advance() {
                return;
            }
        }
        panic!("never over: {:?}", self.step);
    }

    fn undo(&mut self) {
        let trouble = Some(Trouble::Wanted { by: "eve".to_owned() });
        self.step = self.step.turned(StepState::Undoing, trouble, self.now);
    }

    fn stands(&self) -> bool {
        matches!(self.rule, RuleSeen::Armed { .. })
    }
}

#[test]
fn deleted_and_back_again() {
    let mut world = World::new();
    world.run();
    assert_eq!((world.step.state, world.stands()), (StepState::Done, false));
    // A controller that was away since the undo began takes its time all the same.
    world.undo();
    world.now = world.now.plus(Span::seconds(100_000));
    world.run();
    assert_eq!(
        (world.step.state, world.stands(), world.made),
        (StepState::Undone, true, 1)
    );
}

/// After any number of writes and records the undo ends with the rule in force again, the very same one where it was not yet deleted.
#[test]
fn undone_after_any_step() {
    for steps in 1..6 {
        let mut world = World::new();
        for _ in 0..steps {
            world.advance();
        }
        world.undo();
        world.run();
        assert!(world.stands(), "after {steps}");
        assert_eq!(world.step.state, StepState::Undone);
    }
}

#[test]
fn a_rule_that_is_of_use_another_or_not_to_be_touched_stays() {
    let skipped = |change: &dyn Fn(&mut World)| {
        let mut world = World::new();
        change(&mut world);
        world.run();
        assert_eq!(world.step.state, StepState::Skipped);
        world.step.trouble.unwrap()
    };
    assert_eq!(skipped(&|world| world.faded = false), Trouble::OfUse);
    assert_eq!(skipped(&|world| world.allowed = false), Trouble::NotAllowed);
    assert_eq!(skipped(&|world| world.standing = None), Trouble::AlreadySo);
    assert_eq!(
        skipped(&|world| world.standing.as_mut().unwrap().uid = "other".to_owned()),
        Trouble::AlreadySo
    );
    let plan = || "plan-2".to_owned();
    assert_eq!(
        skipped(&|world| world.under_way = Some(plan())),
        Trouble::RuleInForce { plan: plan() }
    );
}

#[test]
fn what_is_in_the_way_of_its_return_is_said() {
    let left_deleted = |change: &dyn Fn(&mut World)| {
        let mut world = World::new();
        world.run();
        change(&mut world);
        world.undo();
        world.run();
        assert_eq!((world.step.state, world.stands()), (StepState::Undone, false));
        assert!(world.standing.is_none(), "nothing half done stands");
        world.step.trouble.unwrap()
    };
    assert_eq!(left_deleted(&|world| world.exists = false), Trouble::WorkloadGone);
    assert_eq!(left_deleted(&|world| world.allowed = false), Trouble::NotAllowed);
    let plan = || "plan-2".to_owned();
    assert_eq!(
        left_deleted(&|world| world.successor = Some(plan())),
        Trouble::RuleInForce { plan: plan() }
    );
    assert_eq!(
        left_deleted(&|world| world.origin_undone = Some(plan())),
        Trouble::OriginUndone { plan: plan() }
    );
    assert_eq!(
        left_deleted(&|world| world.refused = true),
        Trouble::RuleRefused { why: "no".to_owned() }
    );
}
