//! Templates as merging sees them: what each Deployment says, with what its pods and its neighbours add.

use super::convert::matches;
use super::store::Store;
use huddle_core::cluster::{ClusterView, Template};
use huddle_core::id::WorkloadId;
use huddle_core::time::Span;
use std::collections::BTreeMap;

/// The templates of all Deployments that could be read, with the budgets that select their pods and how long these took to start.
pub(super) fn templates(store: &Store, view: &ClusterView) -> BTreeMap<WorkloadId, Template> {
    let mut quickest: BTreeMap<&WorkloadId, Span> = BTreeMap::new();
    for facts in store.pods.rows() {
        let Some((pod, took)) = view.pods.get(&facts.pod.uid).zip(facts.start_up) else {
            continue;
        };
        let known = quickest.entry(&pod.workload).or_insert(took);
        *known = (*known).min(took);
    }
    let read = |deployed: &super::convert::Deployed| {
        let workload = &deployed.workload;
        let mut template = deployed.template.clone().ok()?;
        let budgets = store
            .budgets
            .rows()
            .filter(|budget| budget.namespace == workload.id.namespace && matches(&budget.selector, &workload.labels));
        template.budgets = budgets.map(|budget| budget.name.clone()).collect();
        template.start_up = quickest.get(&workload.id).copied();
        Some((workload.id.clone(), template))
    };
    store.deployments.rows().filter_map(read).collect()
}
