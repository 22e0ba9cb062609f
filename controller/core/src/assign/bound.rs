//! What no layout can gain more than: every edge alone in an empty cluster.

use super::problem::{Problem, Tie, WHOLE};
use super::table::at;

/// A gain that no layout exceeds that holds every constraint of the problem, from 0 to 1: the sum over the edges of what each could gain if its two services had
/// all nodes to themselves. What two edges want of one service, or of one node, at the same time it does not see: the best
/// layout may be far below. (The linear relaxation of the problem is worth less still: with parts of pods on every node all is
/// local.)
#[must_use]
pub fn bound(problem: &Problem) -> f64 {
    let mut units = 0i64;
    for service in 0..problem.services() {
        for tie in problem.ties_of(service).iter().filter(|tie| tie.other > service) {
            let back = Tie {
                other: service,
                own: tie.theirs,
                theirs: tie.own,
            };
            units += alone(problem, service, *tie).min(alone(problem, tie.other, back));
        }
    }
    units as f64 / WHOLE
}

/// What an edge could gain by the pods of one end. With k of them on a node the edge gains there what they send, or what those
/// pods of the other end send that fit beside them, if that is less. Each more adds no more than the one before it, so the
/// best of all nodes' next steps, as many as there are pods, are the most that all of them can add.
fn alone(problem: &Problem, service: usize, tie: Tie) -> i64 {
    let pods = i64::from(at(&problem.replicas, service));
    let others = i64::from(at(&problem.replicas, tie.other));
    let mut steps = Vec::new();
    for (node, capacity) in problem.nodes.iter().enumerate() {
        if !problem.may_run(service, node) || !problem.may_run(tie.other, node) {
            continue;
        }
        let mut gained = 0;
        for count in 1..=pods.min(most(problem, service)) {
            let room = capacity.minus(problem.demand(service).times(count));
            if room.0.iter().any(|left| *left < 0) {
                break;
            }
            let beside = problem.demand(tie.other).goes_into(room).min(others);
            let beside = beside.min(most(problem, tie.other));
            let more = (tie.own * count).min(tie.theirs * beside) - gained;
            if more <= 0 {
                break;
            }
            gained += more;
            steps.push(more);
        }
    }
    steps.sort_unstable_by(|a, b| b.cmp(a));
    let whole = (tie.own * pods).max(tie.theirs * others);
    steps.into_iter().take(pods.max(0) as usize).sum::<i64>().min(whole)
}

/// Pods of a service that one node may hold: its smallest cap.
fn most(problem: &Problem, service: usize) -> i64 {
    let caps = problem.caps_of(service).iter().map(|cap| at(&problem.caps, *cap));
    caps.min().map_or(i64::MAX, i64::from)
}
