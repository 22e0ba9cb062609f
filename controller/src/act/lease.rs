//! One writer: the holder of the Lease `huddle-controller`.

use super::error::{ActError, Doing, or_gone};
use huddle_api::{SERVICE_ACCOUNT, SYSTEM_NAMESPACE};
use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use std::time::{Duration, Instant};

const SECONDS: i32 = 15;
const RENEW_AFTER: Duration = Duration::from_secs(5);

/// This process's hold on the Lease.
pub struct Lease {
    leases: Api<Object>,
    identity: String,
    held: Option<Instant>,
    /// Another's last renewal, and when this process first saw it: expiry is judged by our own clock only.
    other: Option<(MicroTime, Instant)>,
}

impl Lease {
    /// `identity`: this pod's name.
    pub fn new(client: Client, identity: String) -> Self {
        Self {
            leases: Api::namespaced(client, SYSTEM_NAMESPACE),
            identity,
            held: None,
            other: None,
        }
    }

    /// Takes or renews the Lease where that is due; whether this process holds it now.
    ///
    /// # Errors
    /// When the API server does not answer; what was held stays held until it would expire.
    pub async fn hold(&mut self) -> Result<bool, ActError> {
        if self.held.is_some_and(|at| at.elapsed() < RENEW_AFTER) {
            return Ok(true);
        }
        let found = or_gone(self.leases.get(SERVICE_ACCOUNT).await).doing("reading the lease");
        let written = match found {
            Ok(None) => {
                let fresh = self.object(ObjectMeta::default(), 0);
                self.leases.create(&PostParams::default(), &fresh).await
            }
            Ok(Some(lease)) if self.may_take(&lease) => {
                let spec = lease.spec.unwrap_or_default();
                let ours = spec.holder_identity.as_ref() == Some(&self.identity);
                let transitions = spec.lease_transitions.unwrap_or(0) + i32::from(!ours);
                let next = self.object(lease.metadata, transitions);
                self.leases
                    .replace(SERVICE_ACCOUNT, &PostParams::default(), &next)
                    .await
            }
            Ok(Some(_)) => {
                self.held = None;
                return Ok(false);
            }
            Err(error) => return self.still_held().then_some(true).ok_or(error),
        };
        match written {
            Ok(_) => {
                self.held = Some(Instant::now());
                self.other = None;
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {
                self.held = None;
                Ok(false)
            }
            Err(_) if self.still_held() => Ok(true),
            Err(error) => Err(error).doing("writing the lease"),
        }
    }

    fn still_held(&self) -> bool {
        self.held
            .is_some_and(|at| at.elapsed() < Duration::from_secs(u64::from(SECONDS.unsigned_abs()) - 5))
    }

    fn may_take(&mut self, lease: &Object) -> bool {
        let Some(spec) = &lease.spec else {
            return true;
        };
        if spec.holder_identity.as_deref().is_none_or(str::is_empty)
            || spec.holder_identity.as_ref() == Some(&self.identity)
        {
            return true;
        }
        let Some(renewed) = spec.renew_time.clone() else {
            return true;
        };
        match &self.other {
            Some((seen, since)) if *seen == renewed => {
                let seconds = spec.lease_duration_seconds.unwrap_or(SECONDS).unsigned_abs();
                since.elapsed() > Duration::from_secs(u64::from(seconds))
            }
            _ => {
                self.other = Some((renewed, Instant::now()));
                false
            }
        }
    }

    fn object(&self, metadata: ObjectMeta, transitions: i32) -> Object {
        Object {
            metadata: ObjectMeta {
                name: Some(SERVICE_ACCOUNT.to_owned()),
                namespace: Some(SYSTEM_NAMESPACE.to_owned()),
                ..metadata
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: Some(SECONDS),
                renew_time: Some(MicroTime(Timestamp::now())),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
        }
    }
}
