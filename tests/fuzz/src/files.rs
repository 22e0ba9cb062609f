//! Files of clusters, which people pass around.

use huddle::cli::offline;
use huddle::dump::Part;
use huddle_core::assign::{Layout, Steps, Wish, assign};
use huddle_core::diagnose::{DiagnoseConfig, diagnose};
use huddle_core::plan::{PlannerConfig, plan as decide};

/// A dump is read or refused; what was read is the same after it was written and read again.
pub(crate) fn dump(bytes: &[u8]) {
    let Ok(part) = Part::decode(bytes) else { return };
    let written = part.encode().expect("what JSON brought has a JSON form");
    let again = Part::decode(&written).expect("what this program writes it reads");
    // Whoever writes a dump puts his own version into it.
    let made_by = again.made_by.clone();
    assert_eq!(again, Part { made_by, ..part });
}

/// A dump that is taken can be planned from, and the plan is the same each time.
pub(crate) fn plan(bytes: &[u8]) {
    let Ok(part) = Part::decode(bytes) else { return };
    let (Some(cluster), Some(graph)) = (part.cluster, part.graph) else {
        return;
    };
    let findings = diagnose(&graph, &DiagnoseConfig::default());
    let decided = || decide(&graph, &findings, &cluster, &PlannerConfig::default(), graph.at);
    let made = decided();
    assert!(made.saved.is_finite());
    // `Debug` rather than `==`: a figure that is no number is equal to nothing.
    assert_eq!(format!("{made:?}"), format!("{:?}", decided()));
}

/// A cluster in RASA's format is refused, or states a problem that can be searched, and the answer is no worse than today's layout.
pub(crate) fn rasa(bytes: &[u8]) {
    let Ok(problem) = offline::rasa_problem(bytes) else {
        return;
    };
    if problem.pods() > 200 || problem.nodes() > 50 {
        return;
    }
    let answer = assign(&problem, Wish::default(), &mut Steps(3));
    assert!(answer.gain >= Layout::home(&problem).gain(&problem));
    assert!((0.0..=1.0 + 1e-9).contains(&answer.gain), "{}", answer.gain);
}
