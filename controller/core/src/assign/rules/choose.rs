//! Layout and rules together: of several layouts the one that the stock scheduler keeps best under its rules.

use super::super::calls::NearFirst;
use super::super::curve::Share;
use super::super::layout::Layout;
use super::super::problem::Problem;
use super::super::search::Budget;
use super::near::{FOR_FREE, free, near};
use super::{Means, NearWish, Rule, recreate, rules};

/// A layout, the rules that keep it, and what they are predicted to make of it.
#[derive(Clone, Debug)]
pub struct RuledAnswer {
    /// Who is to sit where.
    pub layout: Layout,
    /// One rule for each service.
    pub rules: Vec<Rule>,
    /// The worst of the predictions after every pod was created anew.
    pub after: NearFirst,
    /// Pods that leave their node for the layout.
    pub moves: u64,
    /// Steps the search took.
    pub steps: u64,
}

/// The loads that are tried, as parts of the most that is allowed: what is planned to the bound is over it as soon as one pod
/// comes up elsewhere.
const CAREFUL: [f64; 3] = [1.0, 0.92, 0.85];
/// Predictions for each layout, and where their dice begin.
const PREDICTIONS: u64 = 8;
const PREDICTED: u64 = 0x7072_6564_6963_7400;

/// Searches for layouts as [`assign_near`](super::assign_near) does, some more careful with the load of single pods than asked
/// for, makes rules for each, predicts what the stock scheduler makes of them when every pod is created anew, and answers with the
/// one whose worst prediction keeps most calls on their node. Today's layout without rules where none is better than it.
pub fn assign_by_rules(problem: &Problem, wish: NearWish, means: Means, budget: &mut dyn Budget) -> RuledAnswer {
    let home = Layout::home(problem);
    let none = vec![Rule::None; problem.services()];
    let mut best = RuledAnswer {
        after: worst(problem, &home, &none, wish),
        layout: home.clone(),
        rules: none,
        moves: 0,
        steps: 0,
    };
    let (free, mut steps) = free(problem, wish, &mut *budget, FOR_FREE);
    for careful in CAREFUL {
        let most_load = (wish.most_load * careful).max(1.0);
        let mut part = Share::new(&mut *budget, steps, (1.0 - FOR_FREE) / CAREFUL.len() as f64);
        let layout = near(problem, NearWish { most_load, ..wish }, &free, &mut part);
        steps = part.steps();
        let moves = layout.moves_from(&home);
        let rules = rules(problem, &layout, means);
        let after = worst(problem, &layout, &rules, wish);
        if wish.most_moves.is_none_or(|most| moves <= most) && after.local > best.after.local {
            best = RuledAnswer {
                layout,
                rules,
                after,
                moves,
                steps,
            };
        }
    }
    RuledAnswer { steps, ..best }
}

/// The worst of what is predicted when every pod is created anew.
fn worst(problem: &Problem, layout: &Layout, rules: &[Rule], wish: NearWish) -> NearFirst {
    let predictions = (0..PREDICTIONS).map(|order| {
        let after = recreate(problem, layout, rules, wish.seed ^ (PREDICTED + order));
        after.near_first(problem, wish.most_load)
    });
    predictions
        .min_by(|a, b| a.local.total_cmp(&b.local))
        .unwrap_or_default()
}
