//! `POST /api/v1/merge`: somebody asks for a callee to join its caller's pods. What stands against it is answered, or a Plan is proposed,
//! which waits for its approval like any other.

use super::api::Shared;
use crate::act;
use crate::clock;
use crate::engine::Published;
use crate::engine::proposals::stands_before;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use huddle_core::cluster::ClusterView;
use huddle_core::diagnose::DiagnoseConfig;
use huddle_core::id::{EdgeId, WorkloadId};
use huddle_core::plan::Plan;
use huddle_core::plan::merge::{Adviser, asked_for, uses};
use huddle_core::time::Timestamp;
use huddle_core::view::{MergeView, StepView};
use serde::{Deserialize, Serialize};

/// Which two. As JSON, which no page of a stranger can send from a browser without asking first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Asked {
    /// Whose pods: `namespace/name`, or the name where it is the only one.
    pub caller: String,
    /// Whose containers.
    pub callee: String,
}

/// What is said to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// What it would bring, cost and change.
    pub advice: MergeView,
    /// The plan that is proposed; `None` where something stands against it.
    pub plan: Option<String>,
    /// Everything that stands against it.
    pub against: Vec<StepView>,
    /// The open proposal, or the plan under way, that has to end first.
    pub after: Option<String>,
}

/// The workload that is called so, in full or, where that is enough, by its bare name.
///
/// # Errors
/// If none or several are, with their names.
pub fn workload(cluster: &ClusterView, name: &str) -> Result<WorkloadId, String> {
    if let Some(id) = cluster.workloads.keys().find(|id| id.to_string() == name) {
        return Ok(id.clone());
    }
    let called: Vec<&WorkloadId> = cluster.workloads.keys().filter(|id| id.name == name).collect();
    match called.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(format!("there is no workload {name}: write it like shop/frontend")),
        several => {
            let names: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(format!("several workloads are called {name}: {}", names.join(", ")))
        }
    }
}

/// What there is to say, and the plan where nothing stands against it.
fn look(published: &Published, asked: &Asked, now: Timestamp) -> Result<(Answered, Option<Plan>), String> {
    let view = &published.cluster.view;
    let edge = EdgeId {
        source: workload(view, &asked.caller)?,
        destination: workload(view, &asked.callee)?,
    };
    let adviser = Adviser {
        cluster: view,
        snapshot: &published.snapshot,
        uses: &uses(&published.usage, view),
        config: &DiagnoseConfig::default(),
    };
    let mut answered = Answered {
        advice: MergeView::from(&adviser.advise(&edge, &published.findings)),
        plan: None,
        against: Vec::new(),
        after: None,
    };
    match asked_for(&edge, &adviser, &published.findings, now) {
        Err(against) => {
            answered.against = against.iter().map(StepView::from).collect();
            Ok((answered, None))
        }
        Ok(plan) => {
            answered.after = stands_before(&plan, &published.cluster.plans);
            let plan = answered.after.is_none().then_some(plan);
            Ok((answered, plan))
        }
    }
}

pub(super) async fn ask(State(shared): State<Shared>, Json(asked): Json<Asked>) -> Response {
    let published = std::sync::Arc::clone(&shared.published.borrow());
    let waiting = &published.cluster.waiting_for;
    if !waiting.is_empty() {
        let what = format!(
            "the cluster is not read completely yet: {} are missing",
            waiting.join(", ")
        );
        return (StatusCode::SERVICE_UNAVAILABLE, what).into_response();
    }
    let now = clock::now();
    let (mut answered, plan) = match look(&published, &asked, now) {
        Ok(found) => found,
        Err(why) => return (StatusCode::NOT_FOUND, why).into_response(),
    };
    if let Some(plan) = plan {
        // What is published is some seconds old.
        match act::goes_another_way(&shared.client, &plan).await {
            Ok(false) => {}
            Ok(true) => {
                let what = "mergeWay in the namespace's Policy was changed a moment ago, and is not taken in yet: ask again in some seconds";
                return (StatusCode::SERVICE_UNAVAILABLE, what).into_response();
            }
            Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        }
        match act::propose(&shared.client, &plan, now).await {
            Ok(id) => answered.plan = id.map(|id| id.to_string()),
            Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        }
    }
    ([(header::CACHE_CONTROL, "no-store")], Json(answered)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{delivery, engine};
    use crate::http::api::testing::{nobody, setup_with};
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    async fn ask(asked: Request<Body>) -> (u16, String) {
        let mut engine = engine();
        engine.deliver(&delivery(30_000, ("web-1", "node-1"), ("db-1", "node-1"), 500, 7));
        let router = setup_with(engine.look(Timestamp(60_000)), nobody());
        let response = router.oneshot(asked).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    fn post(host: &str, kind: &str, body: &str) -> Request<Body> {
        let request = Request::post("/api/v1/merge")
            .header("host", host)
            .header("content-type", kind);
        request.body(Body::from(body.to_owned())).unwrap()
    }

    #[tokio::test]
    async fn everything_against_it_is_answered_and_no_plan_made() {
        let body = r#"{"caller": "shop/web", "callee": "db"}"#;
        let (status, answer) = ask(post("localhost:8081", "application/json", body)).await;
        assert_eq!(status, 200, "{answer}");
        let answered: Answered = serde_json::from_str(&answer).unwrap();
        assert_eq!((answered.plan, answered.after), (None, None));
        assert!(answered.against.len() > 3 && answered.against.iter().all(|why| why.remedy.is_some()));
        assert!(
            answered.against[0]
                .sentence
                .starts_with("shop/db does not join the pods of shop/web: no companion may")
        );
        assert_eq!(answered.advice.source, "shop/web");
    }

    #[tokio::test]
    async fn a_strangers_page_cannot_ask() {
        let body = r#"{"caller": "shop/web", "callee": "shop/db"}"#;
        assert_eq!(ask(post("rebound.example", "application/json", body)).await.0, 403);
        for simple in ["text/plain", "application/x-www-form-urlencoded"] {
            assert_eq!(ask(post("localhost:8081", simple, body)).await.0, 415, "{simple}");
        }
    }

    #[tokio::test]
    async fn who_is_not_there_is_named() {
        let body = r#"{"caller": "shop/web", "callee": "nobody"}"#;
        let (status, answer) = ask(post("localhost", "application/json", body)).await;
        assert_eq!(status, 404);
        assert!(answer.contains("there is no workload nobody"), "{answer}");
    }
}
