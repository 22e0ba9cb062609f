//! One finished request.

use huddle_proto::RequestClass;

/// One finished request as the caller's proxy saw it. What the proxy could not tell is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exchange<'a> {
    /// "ip:port" of the endpoint of the last attempt; empty if none was chosen.
    pub upstream_address: &'a str,
    /// Envoy's cluster name; empty if no route was found.
    pub cluster: &'a str,
    /// Is the request's content type application/grpc or one of its kin?
    pub grpc: bool,
    /// HTTP status; none or 0 if there was no response.
    pub status: Option<u64>,
    /// gRPC status; looked at for gRPC only, since Envoy derives one for plain HTTP too.
    pub grpc_status: Option<u64>,
    /// Attempts made; 0 if none.
    pub attempts: u64,
    /// Life of the request at the proxy, or at least its time upstream, in microseconds: for telling long requests only.
    pub duration_us: Option<u64>,
    /// Request sent → response headers received, in microseconds.
    pub upstream_us: Option<u64>,
    /// What the callee's proxy said: request received → response headers received from its application, in microseconds.
    pub served_us: Option<u64>,
    /// Request sent → last byte of the response received, in microseconds.
    pub backend_us: Option<u64>,
    /// Bytes sent upstream, headers included.
    pub request_bytes: u64,
    /// Bytes received from upstream, headers included.
    pub response_bytes: u64,
}

/// The times of one exchange, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Request sent → response headers received, at the caller's proxy.
    pub upstream: u64,
    /// Served time and network time, if the callee's proxy said how long it served.
    pub split: Option<Split>,
    /// Response headers → last byte, if the proxy knows when the last byte came.
    pub body: Option<u64>,
}

/// How the upstream time divides into callee and network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Time at the callee.
    pub served: u64,
    /// upstream − served, 0 if that is negative.
    pub network: u64,
    /// Was it negative?
    pub negative: bool,
}

/// Status of a switched connection: WebSocket and other upgrades.
const SWITCHING_PROTOCOLS: u64 = 101;

impl Exchange<'_> {
    /// What kind of request this is. One that lived longer than `long_us`, or became a tunnel, is LONG whatever its protocol.
    pub fn class(&self, long_us: u64) -> RequestClass {
        let long = self.duration_us.is_some_and(|duration| duration > long_us);
        if long || self.status == Some(SWITCHING_PROTOCOLS) {
            RequestClass::Long
        } else if self.grpc {
            RequestClass::Grpc
        } else {
            RequestClass::Http
        }
    }

    /// Did it fail for the caller? HTTP 5xx or no response; for gRPC the statuses that OpenTelemetry counts as errors of a
    /// server: UNKNOWN (2), DEADLINE_EXCEEDED (4), UNIMPLEMENTED (12), INTERNAL (13), UNAVAILABLE (14), DATA_LOSS (15).
    pub fn failed(&self) -> bool {
        let status = self.status.unwrap_or(0);
        if status == 0 || status >= 500 {
            return true;
        }
        self.grpc && self.grpc_status.is_none_or(|status| matches!(status, 2 | 4 | 12..=15))
    }

    /// The times, if an upstream answered with headers. Local replies and resets have none.
    pub fn times(&self) -> Option<Times> {
        if self.upstream_address.is_empty() {
            return None;
        }
        let upstream = self.upstream_us?;
        Some(Times {
            upstream,
            split: self.served_us.map(|served| Split {
                served,
                network: upstream.saturating_sub(served),
                negative: served > upstream,
            }),
            body: self.backend_us.map(|backend| backend.saturating_sub(upstream)),
        })
    }
}
