//! The shop's program: a pod of it, the whole of it on loopback, its manifests, its load driver.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context, Result, anyhow};
use clap::{Parser, Subcommand};
use huddle_tests::shop::{ADMIN_PORT, Addresses, Drive, EndpointName, Graph, Local, ServiceName, manifests, serve};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// Plays a call graph from a file.
#[derive(Debug, Parser)]
struct Arguments {
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

// One thread: a pod of the shop answers some dozens of requests per second and shares the machine with fifty others.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match Arguments::parse().command {
        Command::Serve { graph, service, pod } => {
            let graph = read(&graph)?;
            let service = ServiceName::new(&service).ok_or_else(|| anyhow!("`{service}` is no service name"))?;
            let port = graph
                .service(&service)
                .with_context(|| format!("the graph has no service `{service}`"))?
                .port;
            let listeners = [listen(port).await?, listen(ADMIN_PORT).await?];
            Ok(serve(
                &graph,
                &service,
                &pod,
                listeners,
                &Addresses::ServiceDns,
                asked_to_stop()?,
            )
            .await?)
        }
        Command::Local { graph } => {
            let local = Local::start(Arc::new(read(&graph)?)).await?;
            for (service, address) in &local.services {
                println!("{service}\thttp://{address}\tadmin http://{}", local.admins[service]);
            }
            asked_to_stop()?.await;
            Ok(local.stop().await?)
        }
        Command::Manifests { graph } => {
            print!("{}", manifests::yaml(&manifests::of(&read_text(&graph)?)?)?);
            Ok(())
        }
        Command::Drive { graph, target, without } => {
            let name = |name: &String| EndpointName::new(name).ok_or_else(|| anyhow!("`{name}` is no entry name"));
            let without = without.iter().map(name).collect::<Result<Vec<_>>>()?;
            let drive = Drive::new(&read(&graph)?, target, &without);
            Ok(drive.run(listen(ADMIN_PORT).await?, asked_to_stop()?).await?)
        }
    }
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
