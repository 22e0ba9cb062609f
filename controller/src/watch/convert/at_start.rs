//! Containers whose programs read their limits only as they start: by their owner's word, by what they were started with, or by what
//! they are called.

use huddle_api::{ANNOTATION_LIMITS, LIMITS_AT_START, LIMITS_LIVE};
use huddle_core::cluster::{AtStart, StartSign};
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};

/// Variables that size a runtime for good: Go's threads, gunicorn's and Rails' workers, libuv's threads, OpenMP's.
const SIZING: [&str; 5] = [
    "GOMAXPROCS",
    "WEB_CONCURRENCY",
    "UV_THREADPOOL_SIZE",
    "OMP_NUM_THREADS",
    "GOMEMLIMIT",
];
/// Variables that hold a JVM's or Node's options.
const OPTIONS: [&str; 5] = [
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "JAVA_OPTS",
    "_JAVA_OPTIONS",
    "NODE_OPTIONS",
];
/// Options that size a program for good: of the JVM its processors and its heap, of Node its heap, of Envoy and nginx their workers.
const FIXED: [&str; 8] = [
    "-XX:ActiveProcessorCount",
    "-XX:MaxRAMPercentage",
    "-XX:MaxHeapSize",
    "-XX:ParallelGCThreads",
    "-Xmx",
    "--max-old-space-size",
    "--concurrency",
    "worker_processes",
];
/// Words in the names of images and commands, and the programs that they stand for. Each of these counts its processors or its memory once,
/// as it starts.
const PROGRAMS: [(&str, &str); 16] = [
    ("java", "a Java program"),
    ("jre", "a Java program"),
    ("jdk", "a Java program"),
    ("openjdk", "a Java program"),
    ("temurin", "a Java program"),
    ("corretto", "a Java program"),
    ("tomcat", "a Java program"),
    ("elasticsearch", "a Java program"),
    ("kafka", "a Java program"),
    ("node", "a Node.js program"),
    ("nodejs", "a Node.js program"),
    ("nginx", "nginx"),
    ("openresty", "nginx"),
    ("envoy", "Envoy"),
    ("gunicorn", "gunicorn"),
    ("haproxy", "HAProxy"),
];

/// What shows it, the surest first. The owner's word decides, either way.
pub(super) fn at_start(pod: &Pod, container: &Container) -> Option<AtStart> {
    let said = pod
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(ANNOTATION_LIMITS));
    match said.map(String::as_str) {
        Some(LIMITS_LIVE) => return None,
        Some(LIMITS_AT_START) => {
            return Some(AtStart {
                sign: StartSign::Owner,
                seen: format!("{ANNOTATION_LIMITS}: {LIMITS_AT_START}"),
            });
        }
        Some(_) | None => {}
    }
    let env = || container.env.iter().flatten();
    let found = |sign, seen: String| Some(AtStart { sign, seen });
    if let Some(variable) = env().find(|variable| holds_a_limit(variable)) {
        return found(StartSign::Downward, variable.name.clone());
    }
    if let Some(seen) = sized(container) {
        return found(StartSign::Sized, seen);
    }
    found(StartSign::Program, program(container)?)
}

/// `valueFrom.resourceFieldRef` of a limit: read once, as the container is made.
fn holds_a_limit(variable: &EnvVar) -> bool {
    let from = variable
        .value_from
        .as_ref()
        .and_then(|from| from.resource_field_ref.as_ref());
    from.is_some_and(|from| from.resource == "limits.cpu" || from.resource == "limits.memory")
}

fn sized(container: &Container) -> Option<String> {
    let env = || container.env.iter().flatten();
    let set = |variable: &&EnvVar| variable.value.as_ref().is_some_and(|value| !value.is_empty());
    if let Some(variable) = env()
        .filter(set)
        .find(|variable| SIZING.contains(&variable.name.as_str()))
    {
        return Some(variable.name.clone());
    }
    let words = container.command.iter().chain(&container.args).flatten();
    let options = env()
        .filter(|variable| OPTIONS.contains(&variable.name.as_str()))
        .filter_map(|variable| variable.value.as_ref());
    let fixed = |text: &String| {
        FIXED
            .iter()
            .find(|option| has(text, option))
            .map(|option| (*option).to_owned())
    };
    words.chain(options).find_map(fixed)
}

/// The option stands at the start of a word of the text.
fn has(text: &str, option: &str) -> bool {
    text.split(|letter: char| letter.is_whitespace() || matches!(letter, '"' | '\'' | ';'))
        .any(|word| word.starts_with(option))
}

/// By a word of the image's last part, without tag and digest, or of the program that is started.
fn program(container: &Container) -> Option<String> {
    let image = container.image.as_deref().unwrap_or_default();
    let image = image.split('@').next().unwrap_or_default();
    let (last, tag) = match image.rsplit('/').next().unwrap_or_default() {
        last if last.contains(':') => last.split_once(':').unwrap_or((last, "")),
        last => (last, ""),
    };
    let started = container
        .command
        .iter()
        .flatten()
        .next()
        .map(String::as_str)
        .unwrap_or_default();
    let started = started.rsplit('/').next().unwrap_or_default();
    let stands_for = |text: &str| {
        let mut words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
        words.find_map(|word| {
            PROGRAMS
                .iter()
                .find(|(name, _)| *name == word.to_ascii_lowercase())
                .map(|(_, of)| *of)
        })
    };
    let image = || {
        let of = stands_for(last).or_else(|| stands_for(tag))?;
        Some(format!("{of} (its image is called {})", container.image.as_deref()?))
    };
    let command = || stands_for(started).map(|of| format!("{of} (it is started as {started})"));
    command().or_else(image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(annotation: &str, container: Value) -> Option<AtStart> {
        let annotations = json!({ANNOTATION_LIMITS: annotation});
        let pod: Pod = serde_json::from_value(json!({"metadata": {"annotations": annotations}})).unwrap();
        let container = serde_json::from_value(container).unwrap();
        at_start(&pod, &container)
    }

    #[test]
    fn the_surest_sign_counts_and_the_owner_decides() {
        let java = json!({"name": "app", "image": "registry.example/library/eclipse-temurin:21", "args": ["-Xmx512m", "-jar", "a.jar"],
            "env": [{"name": "GOMAXPROCS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]});
        let without = |field: &str| {
            let mut container = java.clone();
            container.as_object_mut().unwrap().remove(field);
            container
        };
        let mut bare = without("env");
        bare.as_object_mut().unwrap().remove("args");
        let option = |value: &str| json!({"name": "app", "image": "app:1", "env": [{"name": "JAVA_TOOL_OPTIONS", "value": value}]});
        let nginx = json!({"name": "app", "image": "app:1", "command": ["/usr/sbin/nginx", "-g", "daemon off;"]});
        let cases = [
            ("at-start", json!({"name": "app"})),
            ("live", java.clone()),
            ("perhaps", java.clone()),
            ("", without("env")),
            ("", bare),
            ("", option("-Dfile=x -XX:MaxRAMPercentage=75")),
            ("", option("-Dfile=x")),
            ("", nginx),
            ("", json!({"name": "app", "image": "node:22-slim"})),
            ("", json!({"name": "app", "image": "docker.io/app@sha256:00"})),
            (
                "",
                json!({"name": "app", "image": "registry.example:5000/nodes-of-java/app:1"}),
            ),
            (
                "",
                json!({"name": "app", "image": "app:1-jre17", "env": [{"name": "GOMAXPROCS", "value": "4"}]}),
            ),
            ("", json!({"name": "app", "image": "app:17-jre"})),
        ];
        let told: Vec<String> = cases
            .into_iter()
            .map(|(annotation, container)| {
                of(annotation, container).map_or_else(
                    || "-".to_owned(),
                    |found| format!("{} {}", found.sign.label(), found.sentence()),
                )
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
