//! Ways out, and the way in that restarts pods instead of changing listeners.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::cluster::Namespace;
use crate::huddle::World;

/// One Deployment of two pods in the mesh.
const ECHO: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo}
spec:
  replicas: 2
  selector: {matchLabels: {app: echo}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: echo, image: 'registry.local/fortio:1', imagePullPolicy: Never, args: [server], readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}}
";
const MARK: &str = "huddle.dev/filter";

impl World {
    /// Rules and local routes that stand in the shop.
    fn standing(&self) -> Result<Vec<String>> {
        let rules = self.bed.kubectl(&[
            "-n",
            "shop",
            "get",
            "rules.huddle.dev",
            "-o",
            "name",
            "--ignore-not-found",
        ])?;
        let services: Api<Service> = Api::namespaced(self.demo.client.clone(), "shop");
        let services = self.runtime.block_on(services.list(&ListParams::default()))?;
        let routed = services.iter().filter_map(|service| {
            let mode = service.spec.as_ref()?.traffic_distribution.as_ref()?;
            Some(format!("{} is routed {mode}", service.name_any()))
        });
        Ok(rules.lines().map(str::to_owned).chain(routed).collect())
    }

    fn of_huddle(&self, kinds: &str) -> Result<String> {
        let words = [
            "get",
            kinds,
            "-A",
            "-l",
            "app.kubernetes.io/part-of=huddle",
            "-o",
            "name",
        ];
        self.bed.kubectl(&words)
    }

    pub(crate) fn uninstalled(&mut self) -> Result<()> {
        let before = self.standing()?;
        println!("   in force: {}", before.join(", "));
        self.runtime
            .block_on(self.demo.huddle.run(&["uninstall", "--keep", "--yes"]))?;
        let kept = self.standing()?;
        ensure!(kept == before, "--keep changed what was in force: {kept:?}");
        let gone = self.of_huddle("deployments,wasmplugins,envoyfilters,clusterroles")?;
        ensure!(gone.is_empty(), "--keep left {gone}");
        self.runtime.block_on(self.demo.uninstall())?;
        let failed = &self.demo.report.failed_requests;
        failed.none_during("uninstall", |failed| failed.uninstall)?;
        let services: Api<Service> = Api::namespaced(self.demo.client.clone(), "shop");
        for service in self.runtime.block_on(services.list(&ListParams::default()))? {
            let mode = service.spec.as_ref().and_then(|spec| spec.traffic_distribution.clone());
            ensure!(mode.is_none(), "{} is still routed {mode:?}", service.name_any());
        }
        let left = self.of_huddle("namespaces,customresourcedefinitions,mutatingadmissionpolicies")?;
        ensure!(left.is_empty(), "left behind: {left}");
        Ok(())
    }

    pub(crate) fn rolling_way(&mut self) -> Result<()> {
        let echo = Namespace::create(&self.bed, "bed-rolling", true, ECHO)?;
        echo.kubectl(&["rollout", "status", "deployment/echo", "--timeout=90s"])?;
        let pods: Api<Pod> = Api::namespaced(self.demo.client.clone(), "bed-rolling");
        let marked = || -> Result<(usize, usize)> {
            let all = self.runtime.block_on(pods.list(&ListParams::default()))?.items;
            let alive = all.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
            let marked = alive.clone().filter(|pod| pod.labels().contains_key(MARK)).count();
            Ok((alive.count(), marked))
        };
        let image = ["--image", "registry.local/huddle:dev"];
        let install = [["install", "--yes"], image, ["--rolling", "--namespace"]].concat();
        let install = [install, vec!["bed-rolling"]].concat();
        self.runtime.block_on(self.demo.huddle.run(&install))?;
        ensure!(
            marked()? == (2, 2),
            "not every pod came with the filter: {:?}",
            marked()?
        );
        self.runtime.block_on(self.demo.huddle.run(&["check"]))?;
        self.runtime
            .block_on(self.demo.huddle.run(&["uninstall", "--rolling", "--yes"]))?;
        ensure!(marked()? == (2, 0), "the filter's label stayed: {:?}", marked()?);
        let deployments: Api<Deployment> = Api::namespaced(self.demo.client.clone(), "bed-rolling");
        let left = self.runtime.block_on(deployments.get("echo"))?;
        let labels = left
            .spec
            .and_then(|spec| spec.template.metadata?.labels)
            .unwrap_or_default();
        ensure!(!labels.contains_key(MARK), "the template kept the label");
        Ok(())
    }
}
