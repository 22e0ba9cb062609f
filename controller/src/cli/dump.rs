//! `huddle dump`: the controller's view of the cluster and its graph, to plan from elsewhere.

use super::{Outcome, connect};
use crate::args::Connection;
use crate::dump::Part;
use anyhow::Context;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file; or a folder (one that is there, or a name that ends in /), which gets cluster.json and graph.json. A dump holds names,
    /// labels, addresses, requests and latencies, no environment and no secrets.
    path: PathBuf,
}

/// What was written.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    files: Vec<PathBuf>,
    nodes: usize,
    pods: usize,
    edges: usize,
    window_ms: u64,
}

/// The names of a dump's files in a folder.
pub(super) const CLUSTER: &str = "cluster.json";
pub(super) const GRAPH: &str = "graph.json";

/// Asks the controller for a dump: its bytes, and what they hold.
pub(super) async fn fetch(connection: &Connection) -> anyhow::Result<(Vec<u8>, Part)> {
    let client = connect::client(connection).await?;
    let bytes = connect::fetch(&client, connect::PEOPLE, "/api/v1/dump").await?;
    let part = Part::decode(&bytes).context("the controller is of another version than this command")?;
    Ok((bytes.to_vec(), part))
}

pub(super) async fn run(connection: &Connection, args: &Args) -> anyhow::Result<Outcome> {
    let (bytes, part) = fetch(connection).await?;
    let written = write(&args.path, &bytes, part)?;
    match connection.output.structured(&written)? {
        Some(text) => print!("{text}"),
        None => print!("{}", render(&written, &args.path)),
    }
    Ok(Outcome::Done)
}

fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/')
}

fn write(path: &Path, bytes: &[u8], part: Part) -> anyhow::Result<Written> {
    let mut written = Written {
        files: Vec::new(),
        nodes: part.cluster.as_ref().map_or(0, |cluster| cluster.nodes.len()),
        pods: part.cluster.as_ref().map_or(0, |cluster| cluster.pods.len()),
        edges: part.graph.as_ref().map_or(0, |graph| graph.edges.len()),
        window_ms: part.graph.as_ref().map_or(0, |graph| graph.window.span().0),
    };
    let mut put = |file: PathBuf, bytes: &[u8]| {
        std::fs::write(&file, bytes).with_context(|| format!("{} cannot be written", file.display()))?;
        written.files.push(file);
        anyhow::Ok(())
    };
    if is_folder(path) {
        std::fs::create_dir_all(path).with_context(|| format!("{} cannot be made", path.display()))?;
        let graph = Part {
            made_by: part.made_by.clone(),
            graph: part.graph.clone(),
            ..Part::default()
        };
        let cluster = Part { graph: None, ..part };
        put(path.join(CLUSTER), &cluster.encode()?)?;
        put(path.join(GRAPH), &graph.encode()?)?;
    } else {
        put(path.to_owned(), bytes)?;
    }
    Ok(written)
}

fn render(written: &Written, path: &Path) -> String {
    let files: Vec<String> = written.files.iter().map(|file| file.display().to_string()).collect();
    let edges = match written.edges {
        0 => "no calls were measured yet".to_owned(),
        edges => format!("{edges} edges over the last {} s", written.window_ms / 1000),
    };
    format!(
        "{}: {} nodes, {} pods, {edges}.\nPlan from it with `huddle plan --cluster {}`.\n",
        files.join(" and "),
        written.nodes,
        written.pods,
        path.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::busy;
    use crate::testing::cluster;
    use std::collections::BTreeMap;

    #[test]
    fn a_file_or_a_folder_is_written() {
        let part = Part {
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: Some(cluster(&[("db-1", "node-1")]).view),
            graph: Some(busy(2)),
            standing: None,
            used: BTreeMap::new(),
        };
        let home = tempfile::tempdir().unwrap();
        let bytes = part.encode().unwrap();
        let read = |file: PathBuf| Part::decode(&std::fs::read(file).unwrap()).unwrap();

        let file = home.path().join("dump.json");
        let written = write(&file, &bytes, part.clone()).unwrap();
        assert_eq!(read(file), part);
        assert_eq!(
            (written.nodes, written.pods, written.edges, written.window_ms),
            (1, 1, 2, 20_000)
        );
        let text = render(&written, Path::new("dump.json"));
        assert!(
            text.ends_with(
                "1 nodes, 1 pods, 2 edges over the last 20 s.\nPlan from it with `huddle plan --cluster dump.json`.\n"
            ),
            "{text}"
        );

        let folder = home.path().join("new/folder/");
        write(&folder, &bytes, part.clone()).unwrap();
        assert_eq!(read(folder.join(CLUSTER)).cluster, part.cluster);
        assert_eq!(read(folder.join(CLUSTER)).graph, None);
        assert_eq!(read(folder.join(GRAPH)).graph, part.graph);
        let no = write(Path::new("/proc/none/"), &bytes, part).unwrap_err();
        assert!(format!("{no:#}").starts_with("/proc/none/ cannot be made"), "{no:#}");
    }
}
