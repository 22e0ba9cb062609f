//! What Prometheus is asked for: the wanted series of some nodes' pods, as few requests as will do.

use super::Target;
use super::parse::SERIES;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Pods of one request, at most, unless a single node has more. Prometheus looks up an alternation of fewer than 256 values in its index,
/// and tries a longer one on every pod it knows (`maxSetMatches` in its `model/labels/regexp.go`).
pub(super) const MOST: usize = 250;
/// Bytes of one request's path, at most, unless a single node has more: a sidecar takes 60 KiB of headers by default.
pub(super) const LONGEST: usize = 40_000;
/// Bytes that a namespace adds to a path beside its name and its pods; series, quotes and braces in percent-encoding.
const FRAME: usize = 500;

/// Nodes that are asked about together, in their order.
pub(super) fn batches(targets: impl IntoIterator<Item = Target>) -> Vec<Vec<Target>> {
    let mut batches: Vec<Vec<Target>> = Vec::new();
    let (mut pods, mut bytes) = (0, 0);
    for target in targets {
        let (more_pods, more_bytes) = (target.pods.len(), weight(&target));
        match batches.last_mut() {
            Some(batch) if pods + more_pods <= MOST && bytes + more_bytes <= LONGEST => {
                (pods, bytes) = (pods + more_pods, bytes + more_bytes);
                batch.push(target);
            }
            Some(_) | None => {
                (pods, bytes) = (more_pods, more_bytes);
                batches.push(vec![target]);
            }
        }
    }
    batches
}

/// What a node adds to a path, at most.
fn weight(target: &Target) -> usize {
    let mut bytes = 0;
    let mut last = None;
    for (namespace, pod) in target.pods.keys() {
        if last != Some(namespace) {
            bytes += namespace.len() + FRAME;
            last = Some(namespace);
        }
        // A separator is three bytes, and an escaped dot seven.
        bytes += pod.len() + 3 + 6 * pod.matches('.').count();
    }
    bytes
}

/// The path that asks for the series of these nodes' pods: one `match[]` per namespace.
pub(super) fn path(batch: &[Target]) -> String {
    let mut namespaces: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (namespace, pod) in batch.iter().flat_map(|target| target.pods.keys()) {
        namespaces.entry(namespace).or_default().push(pod);
    }
    let mut query = form_urlencoded::Serializer::new("/federate?".to_owned());
    for (namespace, pods) in namespaces {
        query.append_pair("match[]", &selector(namespace, &pods));
    }
    query.finish()
}

/// The wanted series of some pods of a namespace, in PromQL.
pub(super) fn selector(namespace: &str, pods: &[&str]) -> String {
    let series: Vec<&str> = SERIES.iter().map(|(name, _)| *name).collect();
    let pods: Vec<String> = pods.iter().map(|pod| literal(pod)).collect();
    format!(
        "{{__name__=~\"{}\",namespace=\"{}\",pod=~\"{}\"}}",
        series.join("|"),
        quoted(namespace),
        quoted(&pods.join("|"))
    )
}

/// A text that RE2 takes as it stands; Prometheus anchors expressions at both ends.
fn literal(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// A text between PromQL's double quotes, which know Go's escapes.
fn quoted(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '\\' => escaped.extend(['\\', letter]),
            // Writing into a String cannot fail.
            control if control.is_control() => drop(write!(escaped, "\\U{:08x}", u32::from(control))),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
#[path = "selector_tests.rs"]
mod tests;
