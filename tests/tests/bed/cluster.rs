//! What a bed that is up can do.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use huddle_tests::bed::Bed;
use huddle_tests::bed::wait::until;
use serde_json::Value;

/// A namespace with these objects in it, gone again when this is dropped.
pub(crate) struct Namespace<'a> {
    bed: &'a Bed,
    name: &'static str,
}

impl<'a> Namespace<'a> {
    pub(crate) fn create(bed: &'a Bed, name: &'static str, meshed: bool, objects: &str) -> Result<Self> {
        bed.kubectl(&["create", "namespace", name])?;
        let namespace = Self { bed, name };
        if meshed {
            bed.kubectl(&["label", "namespace", name, "istio-injection=enabled"])?;
        }
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("objects.yaml");
        std::fs::write(&file, objects)?;
        namespace.kubectl(&["apply", "-f", &file.display().to_string()])?;
        Ok(namespace)
    }

    pub(crate) fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.bed.kubectl(&[&["-n", self.name], words].concat())
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.bed.kubectl(&["delete", "namespace", self.name, "--wait=false"]) {
            eprintln!("{error:#}");
        }
    }
}

/// An echo server on every node, and its Service.
const ECHO: &str = "
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: echo}
spec:
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: echo, image: 'registry.local/fortio:1', imagePullPolicy: Never, args: [server], readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  selector: {app: echo}
  ports: [{name: http, port: 80, targetPort: 8080}]
";

pub(crate) fn nodes_offer_what_they_were_told(bed: &Bed) -> Result<()> {
    let nodes: Value = serde_json::from_str(&bed.kubectl(&["get", "nodes", "-o", "json"])?)?;
    let mut zones = BTreeMap::<String, usize>::new();
    for node in nodes["items"].as_array().context("no nodes")? {
        ensure!(
            node["status"]["allocatable"]["cpu"] == "1500m",
            "a node offers {}",
            node["status"]["allocatable"]["cpu"]
        );
        let memory = node["status"]["allocatable"]["memory"]
            .as_str()
            .and_then(|text| text.strip_suffix("Ki"))
            .context("no memory")?;
        let mib = memory.parse::<u64>()? / 1024;
        ensure!((4090..=4100).contains(&mib), "a node offers {mib} MiB");
        let zone = node["metadata"]["labels"]["topology.kubernetes.io/zone"]
            .as_str()
            .context("no zone")?;
        *zones.entry(zone.to_owned()).or_default() += 1;
    }
    ensure!(
        zones == BTreeMap::from([("zone-1".to_owned(), 2), ("zone-2".to_owned(), 2)]),
        "zones {zones:?}"
    );
    Ok(())
}

pub(crate) fn services_answer_by_name(bed: &Bed) -> Result<()> {
    let plain = Namespace::create(bed, "bed-plain", false, ECHO)?;
    plain.kubectl(&["rollout", "status", "daemonset/echo", "--timeout=120s"])?;
    let pods = plain.kubectl(&["get", "pods", "-o", "name"])?;
    ensure!(pods.lines().count() == 4, "the echo does not run on every node: {pods}");
    let url = "http://echo.bed-plain.svc.cluster.local/";
    for pod in pods.lines() {
        let call = || plain.kubectl(&["exec", pod, "--", "fortio", "curl", "-quiet", url]);
        // A pod that is ready is not yet known to kube-proxy on every node.
        until("a first answer", Duration::from_secs(30), || {
            Ok(call().map_err(|error| format!("{error:#}")))
        })?;
        // Through cluster DNS and kube-proxy; by chance also to the pod itself and to the node DNS runs on.
        for _ in 0..4 {
            call()?;
        }
    }
    Ok(())
}

pub(crate) fn the_mesh_is_strict(bed: &Bed) -> Result<()> {
    let meshed = Namespace::create(bed, "bed-meshed", true, ECHO)?;
    let outside = Namespace::create(bed, "bed-outside", false, ECHO)?;
    for namespace in [&meshed, &outside] {
        namespace.kubectl(&["rollout", "status", "daemonset/echo", "--timeout=120s"])?;
    }
    let first = |namespace: &Namespace<'_>| -> Result<String> {
        let pods = namespace.kubectl(&["get", "pods", "-o", "name"])?;
        Ok(pods.lines().next().context("no pod")?.to_owned())
    };
    let url = "http://echo.bed-meshed/debug";
    let inside = first(&meshed)?;
    let seen = until("a call inside the mesh", Duration::from_secs(30), || {
        Ok(meshed
            .kubectl(&["exec", &inside, "-c", "echo", "--", "fortio", "curl", url])
            .map_err(|error| format!("{error:#}")))
    })?;
    ensure!(
        seen.contains("X-Forwarded-Client-Cert") && seen.contains("spiffe://cluster.local/ns/bed-meshed/"),
        "the call did not arrive with a mesh identity: {seen}"
    );
    let stranger = first(&outside)?;
    let refused = outside.kubectl(&["exec", &stranger, "--", "fortio", "curl", "-timeout", "5s", url]);
    ensure!(refused.is_err(), "a stranger was answered: {refused:?}");
    Ok(())
}

pub(crate) fn an_image_is_loaded_and_run(bed: &Bed) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let archive = folder.path().join("list.tar").display().to_string();
    bed.bed(&[
        "image",
        &archive,
        "registry.local/list:1",
        "--user",
        "7:7",
        "--entrypoint",
        "/bin/ls",
        "--env",
        "A=b",
        "--file",
        "/bin/ls:/bin/ls",
    ])?;
    bed.bed(&["load", &archive])?;
    let objects = "{apiVersion: v1, kind: Pod, metadata: {name: list}, spec: {restartPolicy: Never, containers: [{name: list, image: 'registry.local/list:1', imagePullPolicy: Never, args: [-d, /bin/ls]}]}}";
    let namespace = Namespace::create(bed, "bed-image", false, objects)?;
    namespace.kubectl(&[
        "wait",
        "pod/list",
        "--for=jsonpath={.status.phase}=Succeeded",
        "--timeout=60s",
    ])?;
    let said = namespace.kubectl(&["logs", "list"])?;
    ensure!(said.trim() == "/bin/ls", "the program said {said:?}");
    Ok(())
}

pub(crate) fn mutating_policies_are_served(bed: &Bed) -> Result<()> {
    let served = bed.kubectl(&[
        "api-resources",
        "--api-group=admissionregistration.k8s.io",
        "-o",
        "name",
    ])?;
    ensure!(
        served.contains("mutatingadmissionpolicies."),
        "served are only: {served}"
    );
    Ok(())
}
