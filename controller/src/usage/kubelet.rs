//! Asking kubelets.
//!
//! They are asked directly, not through the API server: that would need the right to `nodes/proxy`, with which anything can be run in
//! any container of the node. A kubelet itself asks the API server whether a caller may `get` `nodes/metrics`, which allows reading
//! figures and nothing else. The price is that the controller must reach the nodes, and trust their certificates: it sends its token.

use super::Blind;
use crate::clock;
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use kube::{Client, Config};
use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The longest answer that is read: a node of 250 pods gives about 5 MB.
const LONGEST: usize = 64 << 20;

/// The way to the cluster's kubelets.
pub struct Kubelets {
    config: Config,
    known: Mutex<BTreeMap<SocketAddr, Known>>,
}

struct Known {
    client: Client,
    ahead: Option<i64>,
}

/// Dates are told in whole seconds, and an answer takes its time: a difference of clocks is measured anew only where it is off by more,
/// in ms, so that one and the same look of cAdvisor is seen at one and the same time.
const INEXACT: u64 = 2_000;

/// A kubelet's answer.
#[derive(Debug)]
pub struct Answer {
    /// The Prometheus text.
    pub text: String,
    /// By how much the controller's clock is ahead of the node's, in ms.
    pub ahead: Option<i64>,
}

impl Kubelets {
    /// With the credentials and the authority that `config` has for the API server. `insecure`: whatever certificate a kubelet shows is
    /// taken, and whoever stands at its address gets the controller's token.
    pub fn new(mut config: Config, insecure: bool) -> Self {
        config.accept_invalid_certs = insecure;
        config.tls_server_name = None;
        config.proxy_url = None;
        config.default_retry = false;
        config.connect_timeout = Some(Duration::from_secs(3));
        Self {
            config,
            known: Mutex::default(),
        }
    }

    /// What cAdvisor in that kubelet has seen of its containers. Waits as long as it takes once connected.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn cadvisor(&self, address: SocketAddr) -> Result<Answer, Blind> {
        let client = self.client(address)?;
        let request = http::Request::get("/metrics/cadvisor")
            .body(Body::empty())
            .map_err(|_| Blind::Unreachable)?;
        let response = client.send(request).await.map_err(|error| lost(&error))?;
        match response.status().as_u16() {
            200 => {}
            401 | 403 => return Err(Blind::Refused),
            status => return Err(Blind::Odd { status }),
        }
        let date = response.headers().get(http::header::DATE);
        let date = date
            .and_then(|date| date.to_str().ok())
            .and_then(|date| jiff::fmt::rfc2822::parse(date).ok())
            .map(|date| date.timestamp().as_millisecond());
        let ahead = self.ahead(address, date.map(|date| clock::now().0.saturating_sub(date)));
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        let body = body.map_err(|_| Blind::Slow)?.to_bytes();
        Ok(Answer {
            text: String::from_utf8_lossy(&body).into_owned(),
            ahead,
        })
    }

    /// Lets go of connections to addresses that are not wanted any more.
    pub(super) fn keep(&self, wanted: impl Fn(SocketAddr) -> bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|address, _| wanted(*address));
    }

    fn ahead(&self, address: SocketAddr, measured: Option<i64>) -> Option<i64> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_mut(&address)?;
        let holds = known
            .ahead
            .zip(measured)
            .is_some_and(|(known, measured)| known.abs_diff(measured) <= INEXACT);
        if !holds {
            known.ahead = measured;
        }
        known.ahead
    }

    fn client(&self, address: SocketAddr) -> Result<Client, Blind> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&address) {
            return Ok(known.client.clone());
        }
        let mut config = self.config.clone();
        config.cluster_url = format!("https://{address}").parse().map_err(|_| Blind::Unreachable)?;
        let client = Client::try_from(config).map_err(|error| {
            tracing::warn!(%address, %error, "no client for a kubelet");
            Blind::Unreachable
        })?;
        let new = Known {
            client: client.clone(),
            ahead: None,
        };
        known.insert(address, new);
        Ok(client)
    }
}

/// Why there is no answer, as far as the error tells.
fn lost(error: &kube::Error) -> Blind {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if text.contains("certificate") || text.contains("UnknownIssuer") {
            return Blind::Untrusted;
        }
        cause = error.source();
    }
    Blind::Unreachable
}
