//! `huddle companions PLAN`: over loopback nobody stands before a companion, so its supervisor tells for how long it was away and how many
//! connections were refused meanwhile. Read from the pods' logs with the rights of who asks: the controller may read no logs.

mod told;

use super::{Outcome, Style, Table, connect, plan};
use crate::args::Connection;
use anyhow::bail;
use futures::StreamExt as _;
use huddle_api::{ActionKind, LABEL_COMPANION, MergeWay, Plan};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, ResourceExt};
use serde::Serialize;
use told::Told;

/// How far back logs are read: supervisors repeat what they know every ten minutes.
const BACK_SECONDS: i64 = 15 * 60;
/// Most that is read of one log, bytes: what a kubelet keeps of one by default (`containerLogMaxSize`).
const MOST_BYTES: i64 = 10 << 20;
/// Logs that are read at the same time.
const AT_ONCE: usize = 8;
/// Only companions over loopback are told where they are to listen.
const LISTENS: &str = "--listens";

/// Which plan.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The plan that merged the two, by name, or `latest`.
    pub plan: String,
}

/// How companions of a plan have fared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    plan: String,
    caller: String,
    callee: String,
    /// All whose supervisors tell, together.
    all: Told,
    companions: Vec<Companion>,
}

/// One container of the callee in one pod of the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Companion {
    pod: String,
    container: String,
    /// Starts of the container after its first: what was told before the last one is not known any more.
    restarts: i32,
    told: Option<Told>,
    /// Why nothing is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    silent: Option<String>,
}

pub(super) async fn run(connection: &Connection, args: &Args) -> anyhow::Result<Outcome> {
    let client = connect::client(connection).await?;
    let object = plan::find(&client, &args.plan).await?;
    let mut actions = object.spec.actions.iter().enumerate();
    let Some((index, action)) = actions.find(|(_, action)| action.kind == ActionKind::Merge) else {
        bail!("{} merges nothing", object.name_any());
    };
    let with = action
        .with
        .as_ref()
        .map(|with| format!("{}/{}", with.namespace, with.name));
    let [caller, callee] = [
        format!("{}/{}", action.workload.namespace, action.workload.name),
        with.unwrap_or_default(),
    ];
    if action.way != Some(MergeWay::Direct) {
        bail!(
            "{} merges by way of the callers' proxies: what comes while a companion is away goes to the Service, and \
             `huddle explain {caller} {callee}` says how many calls stay inside",
            object.name_any()
        );
    }
    let companions = found(&client, &object, index, &action.workload.namespace).await?;
    let view = View {
        plan: object.name_any(),
        caller,
        callee,
        all: companions
            .iter()
            .filter_map(|it| it.told)
            .fold(Told::default(), Told::and),
        companions,
    };
    match connection.output.structured(&view)? {
        Some(text) => print!("{text}"),
        None => print!("{}", render(&view, Style::detect())),
    }
    Ok(match view.companions.iter().any(|it| it.told.is_none()) {
        true => Outcome::Attention,
        false => Outcome::Done,
    })
}

/// The companions of a plan's action that pods hold, with what their supervisors tell.
async fn found(client: &Client, plan: &Plan, index: usize, namespace: &str) -> anyhow::Result<Vec<Companion>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let holding = pods.list(&ListParams::default().labels(LABEL_COMPANION)).await?;
    let own = format!("{}-{index}", plan.name_any());
    let is_own = |name: &String| *name == own || name.starts_with(&format!("{own}-v"));
    let mut asked = Vec::new();
    for pod in holding
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .filter(|pod| pod.labels().get(LABEL_COMPANION).is_some_and(is_own))
    {
        asked.extend(containers(pod).map(|container| (pod.name_any(), container, restarts(pod, container))));
    }
    let reads = asked.into_iter().map(|(pod, container, restarts)| {
        let (pods, container) = (pods.clone(), container.to_owned());
        async move {
            let params = LogParams {
                container: Some(container.clone()),
                since_seconds: Some(BACK_SECONDS),
                limit_bytes: Some(MOST_BYTES),
                ..LogParams::default()
            };
            let read = pods.logs(&pod, &params).await;
            let (told, silent) = match read.map(|log| Told::last(&log)) {
                Ok(Some(told)) => (Some(told), None),
                Ok(None) => (
                    None,
                    Some("its supervisor has told nothing in the last 15 minutes".to_owned()),
                ),
                Err(error) => (None, Some(format!("its log cannot be read: {error}"))),
            };
            Companion {
                pod,
                container,
                restarts,
                told,
                silent,
            }
        }
    });
    let mut companions: Vec<Companion> = futures::stream::iter(reads).buffer_unordered(AT_ONCE).collect().await;
    companions.sort_by(|one, other| (&one.pod, &one.container).cmp(&(&other.pod, &other.container)));
    Ok(companions)
}

/// Those that a supervisor looks after, over loopback.
fn containers(pod: &Pod) -> impl Iterator<Item = &str> {
    let all = pod.spec.iter().flat_map(|spec| &spec.containers);
    let listens = |command: &Vec<String>| command.iter().any(|word| word == LISTENS);
    all.filter(move |container| container.command.as_ref().is_some_and(listens))
        .map(|container| container.name.as_str())
}

fn restarts(pod: &Pod, container: &str) -> i32 {
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    let own = statuses.filter(|status| status.name == container);
    own.map(|status| status.restart_count).sum()
}

fn render(view: &View, style: Style) -> String {
    if view.companions.is_empty() {
        return format!("No pod of {} holds a companion of {}.\n", view.caller, view.plan);
    }
    let head = [
        "POD",
        "CONTAINER",
        ">RESTARTS",
        ">START",
        ">REFUSED",
        ">AWAY",
        ">TIME AWAY",
        ">REFUSED",
        "",
    ];
    let mut table = Table::new(style, &head);
    for it in &view.companions {
        let mut cells = vec![it.pod.clone(), it.container.clone(), it.restarts.to_string()];
        match &it.told {
            Some(told) => cells.extend(told.cells()),
            None => cells.extend((0..5).map(|_| "-".to_owned())),
        }
        cells.push(it.note());
        table.row(cells);
    }
    let all = view.all;
    let sentence = format!(
        "{} inside the pods of {}: away {} times, {} in all, {} connections refused meanwhile, and {} while they started.",
        view.callee,
        view.caller,
        all.times,
        told::seconds(all.away_ms),
        all.refused,
        all.start_refused
    );
    let note = "Counted by the supervisors, since each container started. A connection that was open when a companion ended breaks, and with it the \
                call that was under way on it: nobody counts those. What else of a pod was refused in the same moments is counted too.\n";
    format!("{}\n\n{table}\n{}", style.bold(&sentence), style.dim(note))
}

impl Companion {
    fn note(&self) -> String {
        match (&self.silent, &self.told) {
            (Some(why), _) => why.clone(),
            (None, Some(told)) if told.away_now => "away now".to_owned(),
            (None, _) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: &serde_json::Value) -> Pod {
        let listens = json!(["/huddle/supervisor", "run", "--listens", "80", "--", "/serve"]);
        let containers = json!([{"name": "app"}, {"name": "huddle-back-app", "command": listens},
            {"name": "huddle-back-log", "command": ["/huddle/supervisor", "run", "--", "/log"]}]);
        serde_json::from_value(
            json!({"metadata": {"name": "front-1"}, "spec": {"containers": containers}, "status": status}),
        )
        .unwrap()
    }

    #[test]
    fn only_who_is_to_listen_is_asked() {
        let status = json!({"containerStatuses": [{"name": "huddle-back-app", "image": "", "imageID": "", "ready": true, "restartCount": 2}]});
        let pod = pod(&status);
        assert_eq!(containers(&pod).collect::<Vec<_>>(), ["huddle-back-app"]);
        assert_eq!((restarts(&pod, "huddle-back-app"), restarts(&pod, "app")), (2, 0));
    }

    #[test]
    fn companions_for_people() {
        let companion = |pod: &str, told: Option<Told>, silent: Option<&str>| Companion {
            pod: pod.to_owned(),
            container: "huddle-back-app".to_owned(),
            restarts: 0,
            told,
            silent: silent.map(str::to_owned),
        };
        let one = Told {
            start_ms: 300,
            start_refused: 4,
            times: 2,
            away_ms: 1_350,
            refused: 9,
            away_now: true,
        };
        let other = Told {
            start_ms: 280,
            ..Told::default()
        };
        let view = View {
            plan: "plan-1".to_owned(),
            caller: "shop/front".to_owned(),
            callee: "shop/back".to_owned(),
            all: one.and(other),
            companions: vec![
                companion("front-1", Some(one), None),
                companion("front-2", Some(other), None),
                companion(
                    "front-3",
                    None,
                    Some("its supervisor has told nothing in the last 15 minutes"),
                ),
            ],
        };
        let none = View {
            companions: Vec::new(),
            ..view.clone()
        };
        let all = [view, none].map(|it| render(&it, Style::plain()));
        insta::assert_snapshot!(all.join("\n---\n"));
    }
}
