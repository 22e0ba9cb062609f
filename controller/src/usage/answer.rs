//! An answer in the Prometheus text format, over HTTP: from a kubelet, or from Prometheus.

use super::Cause;
use crate::clock;
use http::HeaderValue;
use http::header::{ACCEPT, AUTHORIZATION, DATE};
use http_body_util::{BodyExt, Limited};
use kube::Client;
use kube::client::Body;
use std::error::Error;
use std::sync::{Mutex, PoisonError};

/// The longest answer that is read: a node of 250 pods gives about 5 MB.
const LONGEST: usize = 64 << 20;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The Prometheus text.
    pub text: String,
    /// By how much the controller's clock is ahead of the answerer's, in ms.
    pub ahead: Option<i64>,
}

/// By how much the controller's clock is ahead of that of one who answers, in ms.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<Option<i64>>);

/// Dates are told in whole seconds, and an answer takes its time: a difference of clocks is measured anew only where it is off by more,
/// in ms, so that one and the same look of cAdvisor is seen at one and the same time.
const INEXACT: u64 = 2_000;

impl Ahead {
    /// What holds after another measurement.
    fn after(&self, measured: Option<i64>) -> Option<i64> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = known
            .zip(measured)
            .is_some_and(|(known, measured)| known.abs_diff(measured) <= INEXACT);
        if !holds {
            *known = measured;
        }
        *known
    }
}

/// Asks for a path, below what the client was made for, with a token beside what the client itself shows. Waits as long as it takes once
/// connected.
pub(super) async fn get(
    client: &Client,
    path: &str,
    token: Option<HeaderValue>,
    ahead: &Ahead,
) -> Result<Answer, Cause> {
    let mut request = http::Request::get(path)
        .header(ACCEPT, "text/plain;version=0.0.4")
        .body(Body::empty())
        .map_err(|_| Cause::Unreachable)?;
    if let Some(token) = token {
        request.headers_mut().insert(AUTHORIZATION, token);
    }
    let response = client.send(request).await.map_err(|error| lost(&error))?;
    match response.status().as_u16() {
        200 => {}
        401 | 403 => return Err(Cause::Refused),
        status => return Err(Cause::Odd { status }),
    }
    let date = response.headers().get(DATE);
    let date = date
        .and_then(|date| date.to_str().ok())
        .and_then(|date| jiff::fmt::rfc2822::parse(date).ok())
        .map(|date| date.timestamp().as_millisecond());
    let ahead = ahead.after(date.map(|date| clock::now().0.saturating_sub(date)));
    let body = Limited::new(response.into_body(), LONGEST).collect().await;
    let body = body.map_err(|_| Cause::Slow)?.to_bytes();
    Ok(Answer {
        text: String::from_utf8_lossy(&body).into_owned(),
        ahead,
    })
}

/// Why there is no answer, as far as the error tells.
fn lost(error: &kube::Error) -> Cause {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if text.contains("certificate") || text.contains("UnknownIssuer") {
            return Cause::Untrusted;
        }
        cause = error.source();
    }
    Cause::Unreachable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_of_clocks_stands_until_it_is_clearly_another() {
        let ahead = Ahead::default();
        assert_eq!(ahead.after(None), None);
        assert_eq!(ahead.after(Some(500)), Some(500));
        assert_eq!(ahead.after(Some(2_400)), Some(500), "dates are whole seconds");
        assert_eq!(ahead.after(Some(60_000)), Some(60_000), "the clock was set");
    }
}
