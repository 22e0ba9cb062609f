//! Cells: whatever happens in between, one ends done, or leaves neither its rule nor a label of its own behind.

use crate::act::{
    ActConfig, CellName, CellNode, CellSeen, CellStage, Intent, Next, Receipt, RuleName, RuleSeen, Seen, Step,
    StepState, Trouble, Turn, WorkloadSeen, next_of_step,
};
use crate::cluster::Budget;
use crate::id::{NodeName, PlanId, WorkloadId};
use crate::plan::{Action, CellWeight, Seat};
use crate::time::{Span, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;

const NODES: usize = 3;

fn action() -> Action {
    let seats = (0..NODES).map(|number| Seat {
        node: NodeName::new(format!("node-{number}")),
        weight: CellWeight::MOST,
    });
    Action::Cell {
        workload: WorkloadId::deployment("shop", "callee"),
        with: WorkloadId::deployment("shop", "caller"),
        seats: seats.collect(),
    }
}

/// What befalls the cell in the middle.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The controller dies: nothing is lost but what was tried.
    Dies,
    /// A node goes, or comes back as another one.
    NodeGoes(usize),
    NodeReturns(usize),
    /// Somebody sets or removes the label.
    Relabelled(usize),
    Unlabelled(usize),
    /// Somebody deletes the rule, throws the switch, or takes the right away.
    RuleDeleted,
    /// A plan that had withdrawn the rule of a cell that stood is rolled back.
    RuleReturns,
    Unbound,
    Forbidden,
    WorkloadGoes,
}

#[derive(Clone, Debug)]
struct Node {
    uid: String,
    version: u64,
    label: Option<String>,
}

#[derive(Clone, Debug)]
struct World {
    nodes: BTreeMap<NodeName, Node>,
    made: u64,
    rule: RuleSeen,
    bound: bool,
    allowed: bool,
    exists: bool,
    labels_before_rule: usize,
    writes: u64,
    now: Timestamp,
    step: Step,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            nodes: BTreeMap::new(),
            made: 0,
            rule: RuleSeen::Absent,
            bound: true,
            allowed: true,
            exists: true,
            labels_before_rule: 0,
            writes: 0,
            now: Timestamp(1_000_000),
            step: Step::default(),
        };
        for number in 0..NODES {
            world.node_comes(number);
        }
        world
    }

    fn name(number: usize) -> NodeName {
        NodeName::new(format!("node-{}", number % NODES))
    }

    fn node_comes(&mut self, number: usize) {
        self.made += 1;
        let node = Node {
            uid: format!("uid-{}", self.made),
            version: 1,
            label: None,
        };
        self.nodes.insert(Self::name(number), node);
    }

    fn relabel(&mut self, number: usize, label: Option<&str>) {
        if let Some(node) = self.nodes.get_mut(&Self::name(number)) {
            node.label = label.map(str::to_owned);
            node.version += 1;
        }
    }

    fn befalls(&mut self, event: Event) {
        match event {
            Event::Dies if matches!(self.rule, RuleSeen::Trial { .. }) => self.rule = RuleSeen::Trial { tried: None },
            Event::Dies if matches!(self.rule, RuleSeen::Armed { .. }) => {
                self.rule = RuleSeen::Armed { in_force: false };
            }
            Event::Dies => {}
            Event::NodeGoes(number) => {
                self.nodes.remove(&Self::name(number));
            }
            Event::NodeReturns(number) => self.node_comes(number),
            Event::Relabelled(number) => self.relabel(number, Some("theirs")),
            Event::Unlabelled(number) => self.relabel(number, None),
            Event::RuleDeleted => self.rule = RuleSeen::Absent,
            Event::RuleReturns if self.has_lapsed() && self.rule == RuleSeen::Absent => {
                self.rule = RuleSeen::Armed { in_force: false };
            }
            Event::RuleReturns => {}
            Event::Unbound => self.bound = false,
            Event::Forbidden => self.allowed = false,
            Event::WorkloadGoes => self.exists = false,
        }
    }

    fn next(&self) -> Next {
        let seen = Seen::Cell(Box::new(CellSeen {
            workload: self.exists.then_some(WorkloadSeen {
                replica_set: None,
                replicas: 3,
                rolling: false,
                budget: Budget::None,
                allowed: self.allowed,
                selectable: true,
            }),
            cells_allowed: self.allowed,
            other_rule: None,
            nodes: self
                .nodes
                .iter()
                .map(|(name, node)| {
                    let seen = CellNode {
                        uid: node.uid.clone(),
                        resource_version: node.version.to_string(),
                        label: node.label.clone(),
                    };
                    (name.clone(), seen)
                })
                .collect(),
            rule: self.rule.clone(),
            bound: self.bound,
        }));
        let config = ActConfig::default();
        let turn = Turn {
            plan: &PlanId::from("p"),
            index: 0,
            from: Timestamp(1_000_000),
            now: self.now,
            config: &config,
        };
        next_of_step(&self.step, &action(), &seen, turn)
    }

    /// One decision and its write; whether nothing more is to be done. A receipt comes before the first write.
    fn advance(&mut self) -> bool {
        self.now = self.now.plus(Span(50));
        match self.next() {
            Next::Record(step) => self.step = *step,
            Next::Do(intent) => {
                assert!(
                    matches!(self.step.receipt, Some(Receipt::Cell(_))),
                    "{intent:?} comes before its receipt"
                );
                self.writes += 1;
                self.carry(intent);
            }
            Next::Wait { until, .. } => self.now = until,
            Next::Over => return true,
        }
        false
    }

    fn carry(&mut self, intent: Intent) {
        if let Intent::LabelNode {
            node,
            uid,
            resource_version,
            value,
            ..
        } = intent
        {
            let now = self.nodes.get_mut(&node).expect("a node that was seen");
            assert_eq!(
                (&now.uid, now.version.to_string()),
                (&uid, resource_version),
                "a late write"
            );
            now.label = value;
            now.version += 1;
            return;
        }
        let armed = matches!(intent, Intent::TryRule { armed: true, .. });
        self.rule = match intent.label() {
            "createRule" => {
                self.labels_before_rule = self.ours().len();
                RuleSeen::Trial { tried: None }
            }
            "tryRule" if armed => RuleSeen::Armed { in_force: true },
            "tryRule" => RuleSeen::Trial { tried: Some(Ok(())) },
            "armRule" => RuleSeen::Armed { in_force: false },
            "deleteRule" => RuleSeen::Absent,
            other => panic!("{other} is no cell's"),
        };
    }

    /// Nodes that carry a label of the cell's, in order.
    fn ours(&self) -> Vec<String> {
        let labelled = self
            .nodes
            .iter()
            .filter(|(_, node)| node.label.as_deref().is_some_and(|it| it != "theirs"));
        labelled.map(|(name, _)| name.to_string()).collect()
    }

    fn run(&mut self) {
        for _ in 0..10_000 {
            if self.advance() {
                return;
            }
        }
        panic!("never over: {self:?}");
    }

    fn has_lapsed(&self) -> bool {
        matches!(&self.step.receipt, Some(Receipt::Cell(receipt)) if receipt.stage == CellStage::Lapsed)
    }

    /// As a plan on its way back does it, whatever the cell does of its own meanwhile.
    fn roll_back(&mut self) {
        for _ in 0..10_000 {
            match self.step.state {
                StepState::Pending => self.step.state = StepState::Skipped,
                StepState::Running | StepState::Done => {
                    self.step.state = StepState::Undoing;
                    self.step.since = self.now;
                }
                StepState::Undoing | StepState::Undone | StepState::Skipped => {
                    if self.advance() {
                        return;
                    }
                }
            }
        }
        panic!("never back: {self:?}");
    }

    fn assert_nothing_left(&self) {
        assert_eq!(self.rule, RuleSeen::Absent, "{self:?}");
        assert!(self.ours().is_empty(), "{self:?}");
    }
}

#[test]
fn nodes_are_labelled_before_the_rule_and_both_go_in_reverse() {
    let mut world = World::new();
    world.run();
    assert_eq!(world.step.state, StepState::Done);
    assert_eq!((world.labels_before_rule, world.ours().len()), (NODES, NODES));
    let values: Vec<_> = world.nodes.values().filter_map(|node| node.label.clone()).collect();
    assert_eq!(values, ["0", "1", "2"], "each node has a value of its own");
    world.roll_back();
    assert_eq!(world.step.state, StepState::Undone);
    world.assert_nothing_left();
}

#[test]
fn a_node_that_is_gone_is_no_obstacle() {
    let mut world = World::new();
    world.befalls(Event::NodeGoes(1));
    world.run();
    assert_eq!(world.step.state, StepState::Done);
    assert_eq!(world.ours(), ["node-0", "node-2"]);
    // Another node under the same name is not the one that was labelled.
    world.befalls(Event::NodeReturns(0));
    world.relabel(0, Some("0"));
    world.roll_back();
    assert_eq!(world.step.state, StepState::Undone);
    assert_eq!(world.ours(), ["node-0"]);
    let mut none = World::new();
    none.nodes.clear();
    none.run();
    assert_eq!(
        (none.step.state, none.step.trouble),
        (StepState::Skipped, Some(Trouble::NodeLost))
    );
}

#[test]
fn labels_that_somebody_else_changed_are_left_alone() {
    let mut world = World::new();
    world.run();
    world.befalls(Event::Relabelled(1));
    world.roll_back();
    assert_eq!(world.step.state, StepState::Undone);
    world.assert_nothing_left();
    assert_eq!(world.nodes[&World::name(1)].label.as_deref(), Some("theirs"));
    let mut before = World::new();
    before.befalls(Event::Relabelled(0));
    before.run();
    assert_eq!(before.step.state, StepState::Done);
    assert_eq!(before.nodes[&World::name(0)].label.as_deref(), Some("theirs"));
}

#[test]
fn a_cell_whose_rule_is_deleted_loses_its_labels_and_that_is_no_failure() {
    let mut world = World::new();
    world.run();
    world.befalls(Event::RuleDeleted);
    world.run();
    assert_eq!(world.step.state, StepState::Undone);
    assert!(!world.step.has_failed());
    world.assert_nothing_left();
}

#[test]
fn a_cell_whose_rule_is_made_again_gets_its_labels_back() {
    let mut world = World::new();
    world.run();
    let before = world.ours();
    world.befalls(Event::RuleDeleted);
    world.run();
    world.befalls(Event::RuleReturns);
    world.run();
    assert_eq!((world.step.state, world.ours()), (StepState::Done, before));
    world.roll_back();
    world.assert_nothing_left();
    // Who has no right to label nodes any more has no use for the rule either.
    let mut forbidden = World::new();
    forbidden.run();
    forbidden.befalls(Event::RuleDeleted);
    forbidden.run();
    forbidden.befalls(Event::Forbidden);
    forbidden.befalls(Event::RuleReturns);
    forbidden.run();
    assert_eq!(forbidden.step.trouble, Some(Trouble::CellsNotAllowed));
    forbidden.assert_nothing_left();
}

#[test]
fn a_rule_that_is_made_again_while_its_labels_go_stays() {
    // After the note that it is gone, after each label taken off, and right before that is put down.
    for steps in 1..=NODES + 1 {
        let mut world = World::new();
        world.run();
        let before = world.ours();
        world.befalls(Event::RuleDeleted);
        for _ in 0..steps {
            world.advance();
        }
        assert_eq!(world.step.state, StepState::Undoing, "after {steps} steps");
        world.befalls(Event::RuleReturns);
        world.run();
        assert_eq!((world.step.state, world.ours()), (StepState::Done, before));
        world.roll_back();
        world.assert_nothing_left();
    }
    // Rolled back in that very moment, the rule goes as well.
    let mut world = World::new();
    world.run();
    world.befalls(Event::RuleDeleted);
    world.run();
    world.befalls(Event::RuleReturns);
    world.roll_back();
    world.assert_nothing_left();
}

#[test]
fn without_the_right_nothing_is_written() {
    let mut world = World::new();
    world.befalls(Event::Forbidden);
    world.run();
    assert_eq!((world.step.state, world.writes), (StepState::Skipped, 0));
}

#[test]
fn a_label_holds_the_whole_name_of_any_plan() {
    let rule = |name: String| RuleName {
        namespace: "shop".into(),
        name,
    };
    let short = CellName::of(&rule("plan-0a1b2c3d-4".to_owned()));
    assert_eq!(short.label(), "huddle.dev/cell-plan-0a1b2c3d-4");
    assert_eq!(CellName::of_label(&short.label()), Some(short));
    let long = |last: char| CellName::of(&rule(format!("{}{last}", "a".repeat(100))));
    let length = long('1').label().len() - "huddle.dev/".len();
    assert!(length <= 63, "{length}");
    assert_ne!(long('1'), long('2'));
}

fn events() -> impl Strategy<Value = Vec<(u8, Event)>> {
    let event = prop_oneof![
        4 => Just(Event::Dies),
        1 => (0..NODES).prop_map(Event::NodeGoes),
        1 => (0..NODES).prop_map(Event::NodeReturns),
        1 => (0..NODES).prop_map(Event::Relabelled),
        1 => (0..NODES).prop_map(Event::Unlabelled),
        2 => Just(Event::RuleDeleted),
        2 => Just(Event::RuleReturns),
        1 => Just(Event::Unbound),
        1 => Just(Event::Forbidden),
        1 => Just(Event::WorkloadGoes),
    ];
    prop::collection::vec((0_u8..30, event), 0..8)
}

proptest! {
    /// Whatever befalls it after whichever step, it ends done or undone; rolled back, it leaves nothing of its own.
    #[test]
    fn it_ends_done_or_leaves_nothing(events in events(), back in 0_u8..40) {
        let mut world = World::new();
        let mut over = false;
        for time in 0..back {
            for (_, event) in events.iter().filter(|(at, _)| *at == time) {
                world.befalls(*event);
            }
            over = world.advance();
        }
        world.run();
        prop_assert!(over || world.step.state.is_over());
        let there = matches!(world.rule, RuleSeen::Armed { .. });
        if world.step.state == StepState::Done {
            prop_assert!(there);
        } else {
            world.assert_nothing_left();
        }
        world.roll_back();
        world.assert_nothing_left();
    }
}
