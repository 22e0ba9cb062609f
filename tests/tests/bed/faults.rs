//! Parts of the bed that die and come back.

use std::time::Duration;

use anyhow::{Result, ensure};
use huddle_tests::bed::Bed;
use huddle_tests::bed::wait::until;

use crate::cluster::Namespace;

fn pod(node: Option<&str>) -> String {
    let selector = node
        .map(|node| format!("nodeSelector: {{kubernetes.io/hostname: {node}}}, "))
        .unwrap_or_default();
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: pod}}, spec: {{{selector}terminationGracePeriodSeconds: 1, containers: [{{name: pause, image: 'registry.local/pause:1', imagePullPolicy: Never}}]}}}}"
    )
}

pub(crate) fn a_scheduler_is_killed(bed: &Bed) -> Result<()> {
    bed.bed(&["kill", "control-plane", "scheduler"])?;
    ensure!(
        bed.bed(&["kill", "control-plane", "scheduler"]).is_err(),
        "what does not run was killed"
    );
    let namespace = Namespace::create(bed, "bed-scheduler", false, &pod(None))?;
    let node = namespace.kubectl(&["get", "pod", "pod", "-o", "jsonpath={.spec.nodeName}"])?;
    ensure!(node.is_empty(), "without a scheduler the pod was placed on {node}");
    bed.bed(&["start", "control-plane", "scheduler"])?;
    namespace.kubectl(&["wait", "pod/pod", "--for=condition=Ready", "--timeout=60s"])?;
    Ok(())
}

pub(crate) fn a_node_is_killed(bed: &Bed) -> Result<()> {
    let namespace = Namespace::create(bed, "bed-node", false, &pod(Some("node-4")))?;
    namespace.kubectl(&["wait", "pod/pod", "--for=condition=Ready", "--timeout=60s"])?;
    let listed = bed.kubectl(&["get", "node", "node-4", "-o", "jsonpath={.metadata.uid}"])?;
    bed.bed(&["kill", "node", "4"])?;
    let killed = bed.kubectl(&["wait", "node/node-4", "--for=condition=Ready=Unknown", "--timeout=120s"]);
    bed.bed(&["start", "node", "4"])?;
    killed?;
    bed.kubectl(&["wait", "node/node-4", "--for=condition=Ready", "--timeout=90s"])?;
    namespace.kubectl(&["wait", "pod/pod", "--for=condition=Ready", "--timeout=90s"])?;
    let now = bed.kubectl(&["get", "node", "node-4", "-o", "jsonpath={.metadata.uid}"])?;
    ensure!(listed == now, "the node came back as another object");
    // The pods of the system on it are back as well, so that the next story finds the bed as it was.
    until("all pods of the system", Duration::from_secs(120), || {
        let pods = bed.kubectl(&[
            "get",
            "pods",
            "-A",
            "--no-headers",
            "--field-selector=metadata.namespace!=bed-node",
        ])?;
        let sick: Vec<&str> = pods
            .lines()
            .filter(|line| line.starts_with("kube-system") || line.starts_with("istio-system"))
            .filter(|line| !line.contains(" 1/1 "))
            .collect();
        Ok(if sick.is_empty() { Ok(()) } else { Err(sick.join("; ")) })
    })
}
