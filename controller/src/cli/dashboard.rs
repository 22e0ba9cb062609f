//! `huddle dashboard`: the controller's page on this machine.

use super::Outcome;
use super::connect::{self, PEOPLE};
use crate::args::Connection;
use crate::shutdown::Signals;
use anyhow::Context;
use kube::Client;
use std::io::IsTerminal;
use std::net::Ipv4Addr;
use tokio::net::{TcpListener, TcpStream};

/// Flags of `huddle dashboard`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Port on this machine; 0 takes any free one.
    #[arg(long, default_value_t = PEOPLE)]
    pub port: u16,
    /// Do not open a browser.
    #[arg(long)]
    pub no_browser: bool,
}

pub(super) async fn run(connection: &Connection, args: &Args) -> anyhow::Result<Outcome> {
    let mut signals = Signals::catch()?;
    let client = connect::client(connection).await?;
    connect::controller_pod(&client).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
        .await
        .with_context(|| format!("cannot listen on port {}; choose another with --port", args.port))?;
    let address = format!("http://localhost:{}/", listener.local_addr()?.port());
    println!("{address}");
    if !args.no_browser && std::io::stdout().is_terminal() {
        open(&address);
    }
    tokio::select! {
        () = signals.next() => {}
        () = accept(listener, client) => {}
    }
    Ok(Outcome::Done)
}

/// Opens the desktop's browser, where there is one; the address is printed anyway.
fn open(address: &str) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet = std::process::Stdio::null;
    let _ = std::process::Command::new(opener)
        .arg(address)
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet())
        .spawn();
}

async fn accept(listener: TcpListener, client: Client) {
    while let Ok((browser, _)) = listener.accept().await {
        let client = client.clone();
        tokio::spawn(async move {
            if let Err(error) = carry(&client, browser).await {
                eprintln!("huddle: {error:#}");
            }
        });
    }
}

/// Carries one connection; the pod is looked up each time, so that a restarted controller is found again.
async fn carry(client: &Client, mut browser: TcpStream) -> anyhow::Result<()> {
    let pod = connect::controller_pod(client).await?;
    let mut stream = connect::forward(client, &pod, PEOPLE).await?;
    // Either side may close at any time; that is how browsers end connections.
    let _ = tokio::io::copy_bidirectional(&mut browser, &mut stream).await;
    Ok(())
}
