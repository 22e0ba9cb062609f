//! The command line of the shop's program.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use clap::{Parser, Subcommand};
use kube::Client;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{
    ADMIN_PORT, Addresses, Drive, EndpointName, Graph, Local, ServiceName, Shop, Window, deploy, manifests, serve,
    witness,
};
use crate::load::Load;

/// How long a deployment may take until all its pods are ready.
const PATIENCE: Duration = Duration::from_secs(240);

/// Plays a call graph from a file.
#[derive(Debug, Parser)]
#[command(name = "shop")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Be one pod of a service; callees are reached by the names of their Services.
    Serve {
        /// The graph file.
        #[arg(long, env = "SHOP_GRAPH")]
        graph: PathBuf,
        /// The service to play.
        #[arg(long, env = "SHOP_SERVICE")]
        service: String,
        /// The pod's name in the witness's report.
        #[arg(long, env = "SHOP_POD", default_value = "local")]
        pod: String,
        /// Where the witness is asked; two in one pod need two.
        #[arg(long, env = "SHOP_ADMIN_PORT", default_value_t = ADMIN_PORT)]
        admin_port: u16,
    },
    /// Run one pod of every service in this process on loopback, and say where they listen.
    Local {
        /// The graph file.
        graph: PathBuf,
    },
    /// Print the Kubernetes manifests of a graph.
    Manifests {
        /// The graph file.
        graph: PathBuf,
    },
    /// Create the shop in the cluster of KUBECONFIG and wait until it is ready.
    Deploy {
        /// The graph file.
        graph: PathBuf,
        /// The load generators, too; the driver starts driving at once.
        #[arg(long)]
        load: bool,
    },
    /// Drive the home page with fortio for some seconds and print what it and the driver saw.
    Load {
        /// The graph file.
        graph: PathBuf,
        /// Length of the window in seconds.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// Print what the witnesses of all pods saw on every edge.
    Witness {
        /// The shop's namespace.
        #[arg(long, default_value = "shop")]
        namespace: String,
        /// Forget it afterwards.
        #[arg(long)]
        reset: bool,
    },
    /// Drive the graph's entries at their constant rates, and report on the admin port.
    Drive {
        /// The graph file.
        #[arg(long, env = "SHOP_GRAPH")]
        graph: PathBuf,
        /// Host and port of the entries' service.
        #[arg(long, env = "SHOP_TARGET")]
        target: String,
        /// Entries that something else drives.
        #[arg(long, env = "SHOP_WITHOUT", value_delimiter = ',')]
        without: Vec<String>,
    },
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// Whatever went wrong, with the file or service it went wrong with.
    pub async fn run(self) -> Result<()> {
        match self.command {
            Command::Serve {
                graph,
                service,
                pod,
                admin_port,
            } => run_pod(&graph, &service, &pod, admin_port).await,
            Command::Local { graph } => local(&graph).await,
            Command::Manifests { graph } => {
                print!("{}", manifests::yaml(&manifests::of(&read_text(&graph)?)?)?);
                Ok(())
            }
            Command::Deploy { graph, load } => create(&read_text(&graph)?, load).await,
            Command::Load { graph, seconds } => window(&read_text(&graph)?, seconds).await,
            Command::Witness { namespace, reset } => print_witness(&namespace, reset).await,
            Command::Drive { graph, target, without } => drive(&graph, target, &without).await,
        }
    }
}

async fn run_pod(graph: &PathBuf, service: &str, pod: &str, admin_port: u16) -> Result<()> {
    let graph = read(graph)?;
    let service = ServiceName::new(service).ok_or_else(|| anyhow!("`{service}` is no service name"))?;
    let port = graph
        .service(&service)
        .with_context(|| format!("the graph has no service `{service}`"))?
        .port;
    let listeners = [listen(port).await?, listen(admin_port).await?];
    Ok(serve(
        &graph,
        &service,
        pod,
        listeners,
        &Addresses::ServiceDns,
        asked_to_stop()?,
    )
    .await?)
}

async fn local(graph: &PathBuf) -> Result<()> {
    let local = Local::start(Arc::new(read(graph)?)).await?;
    for (service, address) in &local.services {
        println!("{service}\thttp://{address}\tadmin http://{}", local.admins[service]);
    }
    asked_to_stop()?.await;
    Ok(local.stop().await?)
}

async fn create(graph: &str, load: bool) -> Result<()> {
    let client = Client::try_default().await?;
    let shop = deploy(&client, graph, PATIENCE).await?;
    for (service, nodes) in shop.placement().await? {
        println!("{service:15} {}", nodes.join(" "));
    }
    if load {
        Load::deploy(&client, graph, PATIENCE).await?;
    }
    Ok(())
}

async fn window(graph: &str, seconds: u64) -> Result<()> {
    let client = Client::try_default().await?;
    let load = Load::deploy(&client, graph, PATIENCE).await?;
    let from = Some(unix_seconds());
    let run = load.start().await?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let home = load.stop(run).await?;
    println!(
        "{:10} {:>8} {:>7} {:>9} {:>9}",
        "entry", "requests", "failed", "p50 ms", "p99 ms"
    );
    let line = |name: &str, requests: u64, failed: u64, p50: u64, p99: u64| {
        println!(
            "{name:10} {requests:8} {failed:7} {:9.2} {:9.2}",
            p50 as f64 / 1e3,
            p99 as f64 / 1e3
        );
    };
    let percentile = |percent| home.percentile_us(percent).unwrap_or_default();
    line("home", home.requests, home.failed, percentile(50.0), percentile(99.0));
    for entry in load.driven(Window { from, to: None }).await? {
        line(
            entry.name.as_str(),
            entry.requests,
            entry.failed,
            entry.p50_us,
            entry.p99_us,
        );
    }
    println!("fortio sent {:.2} requests per second", home.rps);
    Ok(())
}

async fn print_witness(namespace: &str, reset: bool) -> Result<()> {
    let shop = Shop::found(&Client::try_default().await?, namespace);
    let reports = shop.witnesses().await?;
    println!(
        "{:32} {:>9} {:>7} {:>9} {:>9}",
        "edge", "requests", "errors", "p50 ms", "p99 ms"
    );
    for (edge, seen) in witness::by_edge(&reports) {
        let at = |quantile| seen.headers.value_at_quantile(quantile) as f64 / 1e3;
        let (requests, errors) = (seen.requests, seen.errors);
        println!(
            "{:32} {requests:9} {errors:7} {:9.2} {:9.2}",
            edge.to_string(),
            at(0.5),
            at(0.99)
        );
    }
    if reset {
        shop.reset_witnesses().await?;
    }
    Ok(())
}

async fn drive(graph: &PathBuf, target: String, without: &[String]) -> Result<()> {
    let name = |name: &String| EndpointName::new(name).ok_or_else(|| anyhow!("`{name}` is no entry name"));
    let without = without.iter().map(name).collect::<Result<Vec<_>>>()?;
    let drive = Drive::new(&read(graph)?, target, &without);
    Ok(drive.run(listen(ADMIN_PORT).await?, asked_to_stop()?).await?)
}

fn unix_seconds() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}

fn read_text(path: &PathBuf) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn read(path: &PathBuf) -> Result<Graph> {
    Graph::parse(&read_text(path)?).with_context(|| format!("in {}", path.display()))
}

async fn listen(port: u16) -> Result<TcpListener> {
    let address = SocketAddr::from(([0, 0, 0, 0], port));
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on port {port}"))
}

/// Ends at the first SIGTERM or Ctrl-C.
fn asked_to_stop() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
