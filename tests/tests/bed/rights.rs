//! What the controller's service account may do, as the API server sees it.

use anyhow::{Result, ensure};
use huddle_tests::wait::until;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use serde_json::Value;

use crate::huddle::{LIMIT, World};

const CONTROLLER: &str = "system:serviceaccount:huddle-system:huddle-controller";

/// Everything by which workloads and the traffic to them are changed: API group, resource, subresource.
const WORKLOADS: [(&str, &str, &str); 10] = [
    ("", "pods", ""),
    ("", "pods", "resize"),
    ("", "pods", "eviction"),
    ("", "pods", "exec"),
    ("", "services", ""),
    ("apps", "deployments", ""),
    ("apps", "deployments", "scale"),
    ("apps", "replicasets", ""),
    ("apps", "statefulsets", ""),
    ("huddle.dev", "rules", ""),
];
const WRITES: [&str; 4] = ["create", "update", "patch", "delete"];
/// What acting takes, where it is allowed.
const ACTING: [(&str, &str, &str); 4] = [
    ("patch", "", "pods"),
    ("delete", "", "pods"),
    ("patch", "", "services"),
    ("create", "huddle.dev", "rules"),
];

impl World {
    pub(crate) async fn may(&self, namespace: &str, verb: &str, of: (&str, &str, &str)) -> Result<bool> {
        let (group, resource, subresource) = of;
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(CONTROLLER.to_owned()),
                groups: Some(vec![
                    "system:serviceaccounts".to_owned(),
                    "system:serviceaccounts:huddle-system".to_owned(),
                    "system:authenticated".to_owned(),
                ]),
                resource_attributes: Some(ResourceAttributes {
                    namespace: Some(namespace.to_owned()),
                    verb: Some(verb.to_owned()),
                    group: Some(group.to_owned()),
                    resource: Some(resource.to_owned()),
                    subresource: Some(subresource.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviews: Api<SubjectAccessReview> = Api::all(self.demo.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    /// The writes to workloads that are allowed in a namespace, in words.
    async fn writes(&self, namespace: &str) -> Result<Vec<String>> {
        let mut allowed = Vec::new();
        for of in WORKLOADS {
            for verb in WRITES {
                if self.may(namespace, verb, of).await? {
                    allowed.push(format!("{verb} {}/{} in {namespace}", of.1, of.2));
                }
            }
        }
        Ok(allowed)
    }

    /// Installs for one namespace without `--allow act`, and asks the API server.
    pub(crate) fn reads_only(&mut self) -> Result<()> {
        let runtime = self.runtime.handle().clone();
        runtime.block_on(async {
            let image = ["--image", "registry.local/huddle:dev"];
            let install = [["install", "--yes"], image, ["--namespace", "load"]].concat();
            self.demo.huddle.run(&install).await?;
            ensure!(
                self.may("load", "list", ("", "pods", "")).await?,
                "the account cannot even read, so nothing was tested"
            );
            // Figures of kubelets, and not what else a kubelet does: running programs in pods goes through nodes/proxy.
            ensure!(
                self.may("", "get", ("", "nodes", "metrics")).await?
                    && !self.may("", "get", ("", "nodes", "proxy")).await?,
                "of kubelets the account is to read figures, and nothing else"
            );
            for namespace in ["shop", "load", "default", "kube-system", "istio-system"] {
                let allowed = self.writes(namespace).await?;
                ensure!(allowed.is_empty(), "without --allow act: {}", allowed.join(", "));
            }
            self.merges_nothing().await
        })
    }

    /// Who asks for a merge is told that nobody gave the right to.
    async fn merges_nothing(&self) -> Result<()> {
        until("a merge to be refused for want of the right", LIMIT, async || {
            let asked = ["merge", "shop/frontend", "shop/cart", "-o", "json"];
            let answer: Result<Value> = self.demo.huddle.answer(&asked).await;
            let refused = answer.map_err(|error| format!("{error:#}"))?;
            let against = refused["against"].to_string();
            if refused["plan"].is_null() && against.contains("no companion may join pods of this namespace") {
                Ok(())
            } else {
                Err(refused.to_string())
            }
        })
        .await?;
        Ok(())
    }

    /// After `--allow act` for the shop and the load: the rights are there, and nowhere else.
    pub(crate) fn writes_only_where_allowed(&self) -> Result<()> {
        self.runtime.block_on(async {
            for (verb, group, resource) in ACTING {
                let of = (group, resource, "");
                ensure!(self.may("shop", verb, of).await?, "may not {verb} {resource} in shop");
            }
            for namespace in ["default", "kube-system", "istio-system", "huddle-system"] {
                let allowed = self.writes(namespace).await?;
                ensure!(allowed.is_empty(), "with --allow act elsewhere: {}", allowed.join(", "));
            }
            let deployments = self.may("shop", "patch", ("apps", "deployments", "")).await?;
            ensure!(!deployments, "moving pods takes no right on Deployments");
            Ok(())
        })
    }
}
