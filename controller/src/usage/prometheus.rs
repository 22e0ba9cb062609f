//! Asking a Prometheus, instead of the kubelets that it asks itself.
//!
//! `GET /federate` gives the newest sample of every series that is selected, in the text format that kubelets write, each with its time.
//! It is asked as anybody: the controller's own token never goes there, unless it is named as the token file.

use super::answer::{self, Ahead, Answer};
use super::{Cause, Target, selector};
use anyhow::{Context, bail, ensure};
use http::{HeaderValue, Uri};
use kube::{Client, Config};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Flags that say which Prometheus, of `huddle controller` and `huddle install`. The address is checked by [`PrometheusArgs::check`], not
/// by clap: its message would repeat a password that stands in it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PrometheusArgs {
    /// Read what containers use and lack from this Prometheus, which scrapes the kubelets' /metrics/cadvisor, instead of from the
    /// kubelets: http://prometheus.monitoring:9090, with a path prefix where it has one. Anything that serves /federate will do.
    #[arg(
        id = "prometheus",
        long = "prometheus",
        env = "HUDDLE_PROMETHEUS",
        value_name = "URL",
        hide_env_values = true
    )]
    pub url: Option<String>,
    /// With --prometheus: a file with a bearer token for it, in the controller's container; read anew each time. Without it nothing is
    /// sent of who asks.
    #[arg(
        id = "prometheus_token_file",
        long = "prometheus-token-file",
        env = "HUDDLE_PROMETHEUS_TOKEN_FILE",
        value_name = "PATH"
    )]
    pub token_file: Option<PathBuf>,
    /// With --prometheus https://…: a file with the authorities that may have signed its certificate, in the controller's container; the
    /// system's where none is named.
    #[arg(
        id = "prometheus_ca_file",
        long = "prometheus-ca-file",
        env = "HUDDLE_PROMETHEUS_CA_FILE",
        value_name = "PATH"
    )]
    pub ca_file: Option<PathBuf>,
}

impl PrometheusArgs {
    /// The address, if one is given.
    ///
    /// # Errors
    /// What is wrong with it, by the flag's name.
    pub fn check(&self) -> anyhow::Result<Option<Address>> {
        let Some(url) = &self.url else {
            ensure!(
                self.token_file.is_none() && self.ca_file.is_none(),
                "--prometheus-token-file and --prometheus-ca-file say how --prometheus is asked, and that is not given"
            );
            return Ok(None);
        };
        let address: Address = url.parse()?;
        ensure!(
            self.ca_file.is_none() || address.is_https(),
            "--prometheus-ca-file is for https, and --prometheus begins with http://"
        );
        Ok(Some(address))
    }
}

/// Where a Prometheus is: http or https, a host, perhaps a port and a path prefix; no name or password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(Uri);

impl Address {
    fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Address {
    type Err = anyhow::Error;

    /// A text with a name or password in it is refused and not repeated: an address stands in the Deployment and in logs.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        ensure!(
            !authority.contains('@'),
            "--prometheus: the address holds a name or a password, which anybody who may read Deployments or logs would see: leave it out, and \
             name a file with a bearer token by --prometheus-token-file where Prometheus asks for one"
        );
        let example = "write it as http://HOST:9090 or https://HOST/PREFIX";
        ensure!(
            !rest.contains(['?', '#']),
            "--prometheus {text}: the address ends before ? and #, Huddle asks for /federate below it: {example}"
        );
        let uri: Uri = text
            .trim_end_matches('/')
            .parse()
            .map_err(|error| anyhow::anyhow!("--prometheus {text}: {error}: {example}"))?;
        let host = uri.host().is_some_and(|host| !host.is_empty());
        match uri.scheme_str() {
            Some("http" | "https") if host => {}
            _ => bail!("--prometheus {text}: no http or https address: {example}"),
        }
        ensure!(
            !uri.path().ends_with("/federate"),
            "--prometheus {text}: leave out /federate, Huddle adds it: {example}"
        );
        Ok(Self(uri))
    }
}

/// The way to one Prometheus.
pub struct Prometheus {
    client: Client,
    token_file: Option<PathBuf>,
    ahead: Ahead,
}

impl Prometheus {
    /// A client for it. Whether it is there shows at the first question.
    ///
    /// # Errors
    /// If a file that the flags name cannot be used, or no authority is known for https; the flag is named.
    pub fn new(address: &Address, args: &PrometheusArgs) -> anyhow::Result<Self> {
        let mut config = Config::new(address.0.clone());
        config.default_retry = false;
        config.connect_timeout = Some(Duration::from_secs(3));
        if !address.is_https() {
            // No authority is asked; an image without any must not end the start.
            config.root_cert = Some(Vec::new());
        }
        config.root_cert_file.clone_from(&args.ca_file);
        if let Some(path) = &args.token_file {
            bearer(path).with_context(|| format!("--prometheus-token-file {}", path.display()))?;
        }
        let client = Client::try_from(config).with_context(|| match &args.ca_file {
            Some(path) => format!("--prometheus-ca-file {} cannot be used", path.display()),
            None => format!(
                "--prometheus {address}: no client for it; for https, name its authority by --prometheus-ca-file"
            ),
        })?;
        Ok(Self {
            client,
            token_file: args.token_file.clone(),
            ahead: Ahead::default(),
        })
    }

    /// What it knows of the pods of some nodes.
    pub(super) async fn federate(&self, batch: &[Target]) -> Result<Answer, Cause> {
        let token = self.token_file.as_deref().map(bearer).transpose();
        let token = token.map_err(|error| {
            tracing::warn!(%error, "--prometheus-token-file");
            Cause::Refused
        })?;
        answer::get(&self.client, &selector::path(batch), token, &self.ahead).await
    }
}

/// The header that shows the token in a file, which may end with a line break.
fn bearer(path: &Path) -> anyhow::Result<HeaderValue> {
    let token = std::fs::read_to_string(path).context("cannot be read")?;
    // The error of a header repeats nothing of the token.
    let mut header = HeaderValue::from_str(&format!("Bearer {}", token.trim())).context("holds no token")?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
#[path = "prometheus_tests.rs"]
mod tests;
