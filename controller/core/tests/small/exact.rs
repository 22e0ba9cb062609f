//! The exact optimum of a small problem, as a mixed integer program.

use std::collections::BTreeMap;

use microlp::{ComparisonOp, LinearExpr, OptimizationDirection, Variable};

use super::small::Case;

impl Case {
    /// The best gain any layout can have under the rules and the limit on moves.
    pub(crate) fn optimum(&self) -> f64 {
        let mut program = microlp::Problem::new(OptimizationDirection::Maximize);
        let mut seat: BTreeMap<(usize, usize), Variable> = BTreeMap::new();
        let nodes = self.nodes.len();
        for service in 0..self.demand.len() {
            for node in 0..nodes {
                let allowed = self.allowed[service].as_ref().is_none_or(|list| list.contains(&node));
                let cap = self.most_per_node[service].unwrap_or(u32::MAX).min(self.pods(service));
                let most = if allowed { cap as i32 } else { 0 };
                seat.insert((service, node), program.add_integer_var(0.0, (0, most)));
            }
        }
        let row = |service: usize| (0..nodes).map(move |node| (service, node));
        let sum = |terms: Vec<(Variable, f64)>| {
            let mut expression = LinearExpr::empty();
            for (variable, factor) in terms {
                expression.add(variable, factor);
            }
            expression
        };
        for service in 0..self.demand.len() {
            let all = row(service).map(|key| (seat[&key], 1.0)).collect();
            program.add_constraint(sum(all), ComparisonOp::Eq, f64::from(self.pods(service)));
        }
        for (node, capacity) in self.nodes.iter().enumerate() {
            for (of, most) in [((|d| d.0) as fn(&(i64, i64)) -> i64, capacity.0), (|d| d.1, capacity.1)] {
                let load = self
                    .demand
                    .iter()
                    .enumerate()
                    .map(|(s, d)| (seat[&(s, node)], of(d) as f64));
                program.add_constraint(sum(load.collect()), ComparisonOp::Le, most as f64);
            }
            if let Some((services, most)) = &self.apart {
                let together = services.iter().map(|s| (seat[&(*s, node)], 1.0)).collect();
                program.add_constraint(sum(together), ComparisonOp::Le, f64::from(*most));
            }
        }
        if let Some(most) = self.most_moves {
            let mut left = Vec::new();
            for (key, variable) in &seat {
                let home = f64::from(self.home[key.0][key.1]);
                if home > 0.0 {
                    let gone = program.add_var(0.0, (0.0, home));
                    program.add_constraint(sum(vec![(gone, 1.0), (*variable, 1.0)]), ComparisonOp::Ge, home);
                    left.push((gone, 1.0));
                }
            }
            program.add_constraint(sum(left), ComparisonOp::Le, most as f64);
        }
        let talks = |s: usize| self.pods(s) > 0;
        let edges = || self.traffic.iter().filter(|(a, b, _)| talks(*a) && talks(*b));
        let whole: f64 = edges().map(|(_, _, weight)| weight).sum();
        for (a, b, weight) in edges() {
            for node in 0..nodes {
                let local = program.add_var(weight / whole, (0.0, 1.0));
                for end in [*a, *b] {
                    let share = 1.0 / f64::from(self.pods(end));
                    let terms = vec![(local, 1.0), (seat[&(end, node)], -share)];
                    program.add_constraint(sum(terms), ComparisonOp::Le, 0.0);
                }
            }
        }
        // Without limits of time or nodes a solution is a proved optimum; today's layout is one that exists.
        let outcome = program.solve().expect("today's layout solves it");
        outcome.solution().expect("no limit is set").objective()
    }
}
