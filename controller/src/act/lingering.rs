//! How long a pod goes on serving after it was deleted.

use huddle_api as api;
use huddle_core::time::Span;
use k8s_openapi::api::core::v1::{Container, Lifecycle, Pod, PodSpec};

/// What a pod has until it is killed where it does not say (Kubernetes' default), in seconds.
const GRACE: i64 = 30;

/// How long an endpoint takes to be forgotten by the proxies that call it, in seconds: what Huddle gives who says nothing.
const FORGOTTEN: i64 = 2;

/// What requests that are under way when the sleep ends still need of the companion, in seconds: calls of chatter take milliseconds.
const UNDER_WAY: i64 = 1;

/// The supervisor's option, in milliseconds.
const OPTION: &str = "--lingers-ms";

/// What tells a companion's supervisor to run its command for as long as the caller's containers may still serve once their pod was
/// deleted: their longest sleep, at least as long as an endpoint takes to be forgotten, what is then under way, and less than their pod is given
/// until it is killed.
pub(super) fn option(caller: &PodSpec) -> [String; 2] {
    let longest = caller.containers.iter().filter_map(slept).max().unwrap_or(0);
    let grace = caller.termination_grace_period_seconds.unwrap_or(GRACE);
    let seconds = (longest.max(FORGOTTEN) + UNDER_WAY).min(grace - 1).max(0);
    // The supervisor takes no zero.
    [OPTION.to_owned(), (seconds * 1_000).max(1).to_string()]
}

/// The shortest sleep that one of its containers makes before it is asked to stop, by a preStop hook or as a companion; no longer than it is given until it is
/// killed. Nothing where one has none, or one of which it cannot be told how long it takes. Sidecars end after the containers they serve;
/// one that is a container like others drains for seconds by itself.
pub(super) fn lingers(pod: &Pod) -> Span {
    let Some(spec) = &pod.spec else {
        return Span(0);
    };
    let own = spec
        .containers
        .iter()
        .filter(|container| container.name != api::SIDECAR);
    let shortest = own.map(|container| slept(container).unwrap_or(0)).min().unwrap_or(0);
    let seconds = shortest.min(spec.termination_grace_period_seconds.unwrap_or(GRACE));
    Span(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000))
}

/// Whether all that the container asks of its kubelet is to sleep before it is stopped.
pub(super) fn only_sleeps(container: &Container) -> bool {
    let says_more = |lifecycle: &Lifecycle| lifecycle.post_start.is_some() || lifecycle.stop_signal.is_some();
    slept(container).is_some() && !container.lifecycle.as_ref().is_some_and(says_more)
}

/// Seconds; `None` of a hook that is no sleep, and of no hook.
fn slept(container: &Container) -> Option<i64> {
    if container.name.starts_with(api::COMPANION_PREFIX) {
        let command = container.command.as_ref()?;
        let at = command.iter().position(|word| word == OPTION)?;
        let millis: i64 = command.get(at.checked_add(1)?)?.parse().ok()?;
        return Some(millis / 1_000);
    }
    let hook = container.lifecycle.as_ref()?.pre_stop.as_ref()?;
    if let Some(sleep) = &hook.sleep {
        return Some(sleep.seconds);
    }
    let command = hook.exec.as_ref()?.command.as_ref()?.join(" ");
    let words: Vec<&str> = command.split_whitespace().collect();
    match *words {
        ["sleep", seconds] | ["sh" | "/bin/sh", "-c", "sleep", seconds] => seconds.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn seconds(containers: &Value, grace: Option<i64>) -> u64 {
        let spec = json!({"containers": containers, "terminationGracePeriodSeconds": grace});
        let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        lingers(&pod).0 / 1_000
    }

    fn with(hook: &Value) -> Value {
        json!({"name": "app", "lifecycle": {"preStop": hook}})
    }

    #[test]
    fn a_sleep_is_one_however_it_is_written() {
        let exec = |command: &[&str]| with(&json!({"exec": {"command": command}}));
        let cases = [
            (with(&json!({"sleep": {"seconds": 5}})), 5),
            (exec(&["sleep", "7"]), 7),
            (exec(&["/bin/sh", "-c", "sleep 10"]), 10),
            // What else a hook does, and for how long, is not known.
            (exec(&["sh", "-c", "sleep 10 && nginx -s quit"]), 0),
            (exec(&["sleep", "1m"]), 0),
            (with(&json!({"httpGet": {"path": "/drain", "port": 80}})), 0),
            (json!({"name": "app"}), 0),
        ];
        for (container, wanted) in cases {
            assert_eq!(seconds(&json!([container]), None), wanted, "{container}");
        }
    }

    #[test]
    fn the_first_to_stop_counts_but_for_the_proxy_and_nobody_outlives_the_grace_period() {
        let sleeps =
            |name: &str, seconds: u64| json!({"name": name, "lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}});
        let proxy = json!({"name": "istio-proxy"});
        assert_eq!(seconds(&json!([sleeps("a", 5), sleeps("b", 3), proxy]), None), 3);
        assert_eq!(seconds(&json!([sleeps("a", 5), {"name": "b"}]), None), 0);
        assert_eq!(seconds(&json!([sleeps("a", 60)]), None), 30);
        assert_eq!(seconds(&json!([sleeps("a", 60)]), Some(2)), 2);
        assert_eq!(lingers(&Pod::default()), Span(0));
    }

    #[test]
    fn a_companion_serves_for_as_long_as_its_caller_does() {
        let sleeps = |seconds: u64| with(&json!({"sleep": {"seconds": seconds}}));
        let millis = |containers: Value, grace: Option<i64>| {
            let spec = json!({"containers": containers, "terminationGracePeriodSeconds": grace});
            option(&serde_json::from_value(spec).unwrap())[1].clone()
        };
        assert_eq!(millis(json!([{"name": "app"}]), None), "3000");
        assert_eq!(millis(json!([sleeps(7), {"name": "other"}]), None), "8000");
        assert_eq!(millis(json!([sleeps(60)]), None), "29000");
        assert_eq!(millis(json!([sleeps(5)]), Some(0)), "1");
        let command = [
            "/huddle-supervisor/supervisor",
            "run",
            "--lingers-ms",
            "5000",
            "--",
            "/app",
        ];
        let companion = json!({"name": "huddle-back-app", "command": command});
        assert_eq!(seconds(&json!([sleeps(7), companion]), None), 5);
        assert_eq!(
            seconds(
                &json!([sleeps(7), {"name": "huddle-back-app", "command": ["/app"]}]),
                None
            ),
            0
        );
    }
}
