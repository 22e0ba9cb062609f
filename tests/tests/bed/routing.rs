//! Local routing under its guard.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use huddle_tests::pods::running;
use huddle_tests::shop::{Fault, ServiceName};
use huddle_tests::wait::until;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, ResourceExt};

use crate::huddle::{LIMIT, World};

/// Issue 3: how soon a route to a failing pod must be gone.
const WITHDRAWN: Duration = Duration::from_secs(30);

fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

impl World {
    /// A Service's `trafficDistribution`.
    pub(crate) async fn distribution(&self, service: &str) -> Result<Option<String>> {
        let services: Api<Service> = Api::namespaced(self.demo.client.clone(), "shop");
        let found = services.get(service).await?;
        Ok(found.spec.and_then(|spec| spec.traffic_distribution))
    }

    /// A pod of the service on a node where callers of it run.
    async fn local_replica(&self, service: &ServiceName) -> Result<String> {
        let callers: BTreeSet<&ServiceName> = self
            .graph
            .rates()
            .into_keys()
            .filter(|edge| edge.destination == *service)
            .map(|edge| self.graph.service(&edge.source).map(|of| &of.name))
            .collect::<Option<_>>()
            .context("an edge from nowhere")?;
        let mut near = BTreeSet::new();
        for caller in callers {
            let pods = running(&self.demo.client, "shop", &format!("app={caller}")).await?;
            near.extend(pods.iter().filter_map(node).map(str::to_owned));
        }
        let pods = running(&self.demo.client, "shop", &format!("app={service}")).await?;
        let local = pods
            .iter()
            .find(|pod| node(pod).is_some_and(|node| near.contains(node)));
        Ok(local.context("no replica near a caller")?.name_any())
    }

    pub(crate) fn errors_withdraw_the_routing(&mut self) -> Result<()> {
        let (plan, _) = self.before.as_ref().context("nothing was acted on")?;
        let (plan, runtime) = (plan.clone(), self.runtime.handle().clone());
        runtime.block_on(async {
            let view = self.demo.plan(&plan).await?;
            let routed = view
                .actions
                .iter()
                .position(|step| step.kind == "route" && step.state.as_deref() == Some("done"))
                .context("the proved plan routes nothing locally")?;
            let workload = view.actions[routed].workload.as_deref().unwrap_or_default();
            let service =
                ServiceName::new(workload.trim_start_matches("shop/")).context("a routed workload without a name")?;
            let pod = self.local_replica(&service).await?;
            println!(
                "   {pod} answers 500 from now on; before: {}",
                view.actions[routed].sentence
            );
            let began = Instant::now();
            let all = Fault {
                errors: 1.0,
                ..Fault::default()
            };
            self.demo.shop.fault(&pod, all).await?;
            let withdrawn = until("the routing to be withdrawn", WITHDRAWN, async || {
                match self.distribution(service.as_str()).await {
                    Ok(None) => Ok(()),
                    Ok(Some(mode)) => Err(format!("still {mode}")),
                    Err(error) => Err(format!("{error:#}")),
                }
            })
            .await;
            let seconds = began.elapsed().as_secs_f64();
            self.demo.shop.fault(&pod, Fault::default()).await?;
            withdrawn?;
            let said = until("the plan to say so", LIMIT, async || {
                let view = self.demo.plan(&plan).await.map_err(|error| format!("{error:#}"))?;
                let step = view.actions.get(routed).ok_or("the step is gone")?;
                match step.state.as_deref() {
                    Some("undone") if step.sentence.contains(&pod) => Ok(step.sentence.clone()),
                    other => Err(format!("{other:?}: {}", step.sentence)),
                }
            });
            println!("   withdrawn after {seconds:.1} s: {}", said.await?);
            Ok(())
        })
    }
}
