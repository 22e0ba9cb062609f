//! Advice on merging, for people.

use super::{Style, plan};
use huddle_core::view::MergeView;

/// Whether to run the callee inside the caller's pods: what it brings, what it costs, what changes, what stands against it.
pub(super) fn render(merge: &MergeView, style: Style) -> String {
    let mut text = format!("{}\n", style.bold(&merge.sentence));
    if !merge.ways.is_empty() {
        text += &format!(
            "It would bring, by {} requests on one node and what a merge brought on another cluster (borrowed, not measured here):\n",
            merge.same_node_requests
        );
        for way in &merge.ways {
            text += &format!("  - {}\n", way.sentence);
        }
    }
    text += &format!("It would cost:\n  - {}\n", merge.cost);
    text += "It would change:\n";
    for effect in &merge.effects {
        text += &format!("  - {effect}\n");
    }
    if !merge.against.is_empty() {
        text += &format!("Against it:\n{}", plan::refusals(&merge.against, style));
    }
    text
}
