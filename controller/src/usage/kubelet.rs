//! Asking kubelets.
//!
//! They are asked directly, not through the API server: that would need the right to `nodes/proxy`, with which anything can be run in
//! any container of the node. A kubelet itself asks the API server whether a caller may `get` `nodes/metrics`, which allows reading
//! figures and nothing else. The price is that the controller must reach the nodes, and trust their certificates: it sends its token.

use super::Cause;
use super::answer::{self, Ahead, Answer};
use kube::{Client, Config};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The way to the cluster's kubelets.
pub struct Kubelets {
    config: Config,
    known: Mutex<BTreeMap<SocketAddr, Known>>,
}

#[derive(Clone)]
struct Known {
    client: Client,
    ahead: Arc<Ahead>,
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
    pub async fn cadvisor(&self, address: SocketAddr) -> Result<Answer, Cause> {
        let known = self.known(address)?;
        answer::get(&known.client, "/metrics/cadvisor", None, &known.ahead).await
    }

    /// Lets go of connections to addresses that are not wanted any more.
    pub(super) fn keep(&self, wanted: impl Fn(SocketAddr) -> bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|address, _| wanted(*address));
    }

    fn known(&self, address: SocketAddr) -> Result<Known, Cause> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&address) {
            return Ok(known.clone());
        }
        let mut config = self.config.clone();
        config.cluster_url = format!("https://{address}").parse().map_err(|_| Cause::Unreachable)?;
        let client = Client::try_from(config).map_err(|error| {
            tracing::warn!(%address, %error, "no client for a kubelet");
            Cause::Unreachable
        })?;
        let new = Known {
            client,
            ahead: Arc::default(),
        };
        known.insert(address, new.clone());
        Ok(new)
    }
}
