//! From the wire and the API server to the published graph.

use super::plane::{Plane, node, pod, until};
use anyhow::Result;
use clap::Parser;
use huddle::run::{ControllerArgs, Sockets, serve};
use huddle::shutdown::shutdown;
use huddle_core::view::State;
use huddle_proto::telemetry::v1::ingest_client::IngestClient;
use huddle_proto::{Batch, CONTRACT, Edge, Reply, RequestClass, buckets, names};
use kube::api::{Api, DeleteParams, DynamicObject};
use serde_json::json;
use std::net::SocketAddr;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: ControllerArgs,
}

fn batch(sequence: u64, to: &str, requests: u64) -> Batch {
    let times = buckets::encode([(buckets::index_of(1_500), requests)]);
    Batch {
        contract: CONTRACT,
        vm_id: vec![7; 16],
        sequence,
        edges: vec![Edge {
            upstream_address: to.to_owned(),
            cluster: "outbound|80||db.shop.svc.cluster.local".to_owned(),
            class: RequestClass::Http.into(),
            requests,
            upstream: Some(times.clone()),
            network: Some(times),
            ..Edge::default()
        }],
        ..Batch::default()
    }
}

async fn report(client: &IngestClient<Channel>, from: &str, batch: &Batch) -> Result<Reply, Status> {
    let mut request = Request::new(batch.clone());
    request
        .metadata_mut()
        .insert(names::HEADER_PEER_ADDRESS, from.parse().unwrap());
    client.clone().report(request).await.map(tonic::Response::into_inner)
}

/// One request over a connection of its own.
async fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    use http_body_util::{BodyExt, Empty};
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = hyper::Request::get(path)
        .header("host", "localhost")
        .body(Empty::<hyper::body::Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

async fn state(people: SocketAddr) -> State {
    let (_, body) = get(people, "/api/v1/state").await.unwrap();
    serde_json::from_str(&body).unwrap()
}

/// What the graph says of web's calls to db: requests, and the share that stays on its node.
async fn edge(people: SocketAddr) -> Result<(u64, f64), String> {
    let state = state(people).await;
    let edge = state.edges.iter().find(|edge| edge.destination.ends_with("db"));
    edge.map(|edge| (edge.total.requests, edge.local_share))
        .ok_or_else(|| format!("{} edges", state.edges.len()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_become_edges_between_the_cluster_s_own_pods() {
    let plane = Plane::start().await.unwrap();
    let cluster = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    plane.apply(cluster).await.unwrap();
    for (name, zone) in [("node-1", "zone-a"), ("node-2", "zone-b")] {
        plane.apply(node(name, zone)).await.unwrap();
    }
    let line = [
        "x",
        "--ingest",
        "127.0.0.1:0",
        "--public",
        "127.0.0.1:0",
        "--people",
        "127.0.0.1:0",
    ];
    let args = Line::parse_from(line).args;
    let sockets = Sockets::bind(&args).await.unwrap();
    let [ingest, public, people] = sockets.addresses().unwrap();
    let (trigger, stop) = shutdown();
    let running = tokio::spawn(serve(plane.config.clone(), args, sockets, stop));
    let client = IngestClient::connect(format!("http://{ingest}")).await.unwrap();

    // Too early: nobody is lost, the reporter is asked to come again.
    let first = batch(1, "10.9.0.2:80", 30);
    let early = report(&client, "10.9.0.1", &first).await.unwrap_err();
    assert_eq!(early.code(), Code::Unavailable);
    until("the cluster to be read", async || match get(public, "/readyz").await {
        Ok((200, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let unknown = report(&client, "10.9.0.1", &first).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unavailable);

    // The pods appear, and the same bytes are taken, once.
    until("the namespace's service account", async || {
        let web = plane.apply(pod("web", "web", "node-1", "10.9.0.1")).await;
        web.map_err(|error| format!("{error:#}"))
    })
    .await;
    plane.apply(pod("db", "db", "node-1", "10.9.0.2")).await.unwrap();
    until("web to be known", async || {
        report(&client, "10.9.0.1", &batch(1, "10.9.0.2:80", 30))
            .await
            .map_err(|status| status.to_string())
    })
    .await;
    assert!(report(&client, "10.9.0.1", &first).await.unwrap().duplicate);
    until("the edge", async || {
        edge(people).await.and_then(|seen| expect((30, 1.0), seen))
    })
    .await;

    // The callee moves: its new address is on another node, and calls to it are remote.
    let pods: Api<DynamicObject> = Api::namespaced_with(plane.client.clone(), "shop", &kind("Pod"));
    pods.delete("db", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    plane.apply(pod("db", "db", "node-2", "10.9.0.3")).await.unwrap();
    until("db to be known on node-2", async || {
        let state = state(people).await;
        let reply = state.workloads.iter().find(|workload| workload.name == "db");
        let node = reply
            .and_then(|workload| workload.pods.first())
            .map(|pod| pod.node.clone());
        if node.as_deref() == Some("node-2") {
            Ok(())
        } else {
            Err(format!("{node:?}"))
        }
    })
    .await;
    report(&client, "10.9.0.1", &batch(2, "10.9.0.3:80", 10)).await.unwrap();
    until("both localities", async || {
        edge(people).await.and_then(|seen| expect((40, 0.75), seen))
    })
    .await;

    // What planning elsewhere gets is what is shown here.
    let (status, body) = get(people, "/api/v1/dump").await.unwrap();
    assert_eq!(status, 200, "{body}");
    let part = huddle::dump::Part::decode(body.as_bytes()).unwrap();
    let (cluster, graph) = (part.cluster.unwrap(), part.graph.unwrap());
    assert_eq!(cluster.nodes.len(), 2);
    let db = cluster.pods.values().find(|pod| pod.name == "db").unwrap();
    assert_eq!(db.node.as_ref().map(|node| node.as_str()), Some("node-2"));
    let edge = graph
        .edges
        .values()
        .find(|edge| edge.edge.destination == db.workload)
        .unwrap();
    assert_eq!((edge.total.requests, edge.local_share().get()), (40, 0.75));

    trigger.begin();
    running.await.unwrap().unwrap();
}

fn expect(wanted: (u64, f64), seen: (u64, f64)) -> Result<(), String> {
    if wanted == seen {
        Ok(())
    } else {
        Err(format!("{seen:?}"))
    }
}

fn kind(kind: &str) -> kube::api::ApiResource {
    kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk("", "v1", kind))
}
