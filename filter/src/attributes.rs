//! What Envoy tells about a finished request, turned into an [`Exchange`].

use huddle_filter_core::Exchange;
use huddle_proto::names;

/// A source of Envoy's attributes (property paths, as Envoy's documentation lists them).
pub trait Attributes {
    /// The bytes of an attribute; none if Envoy does not have it (yet), or cannot give it.
    fn read(&self, path: &[&str]) -> Option<Vec<u8>>;
}

/// Everything read for one request; [`Reading::exchange`] borrows from it.
#[derive(Debug, Default)]
pub struct Reading {
    upstream_address: String,
    cluster: String,
    rest: Exchange<'static>,
}

impl Reading {
    /// Reads the attributes of the request that is being logged. What is missing or has an unexpected form is left out: each
    /// attribute can be absent, on local replies and resets most are.
    pub fn of(source: &impl Attributes) -> Self {
        let grpc = is_grpc(source);
        let upstream_address = text(source, &["upstream", "address"]);
        let backend_us = nanoseconds(source, &["response", "backend_latency"]);
        let time = |key| number(source, &["metadata", "filter_metadata", names::METADATA_NAMESPACE, key]);
        Self {
            rest: Exchange {
                upstream_address: "",
                cluster: "",
                grpc,
                status: integer(source, &["response", "code"]),
                // Envoy derives one for plain HTTP as well, which means nothing: not read.
                grpc_status: if grpc {
                    integer(source, &["response", "grpc_status"])
                } else {
                    None
                },
                attempts: integer(source, &["upstream", "request_attempt_count"]).unwrap_or(0),
                // Each read costs a call into Envoy and one back; the time at the upstream tells a long request as well.
                duration_us: backend_us.or_else(|| nanoseconds(source, &["request", "duration"])),
                upstream_us: time(names::METADATA_UPSTREAM_US),
                served_us: time(names::METADATA_SERVED_US),
                backend_us,
                request_bytes: integer(source, &["request", "total_size"]).unwrap_or(0),
                response_bytes: integer(source, &["response", "total_size"]).unwrap_or(0),
            },
            cluster: text(source, &["xds", "cluster_name"]),
            upstream_address,
        }
    }

    /// The request, for the recorder.
    pub fn exchange(&self) -> Exchange<'_> {
        Exchange {
            upstream_address: &self.upstream_address,
            cluster: &self.cluster,
            ..self.rest
        }
    }
}

fn is_grpc(source: &impl Attributes) -> bool {
    let prefix = b"application/grpc";
    source
        .read(&["request", "headers", "content-type"])
        .and_then(|value| {
            value
                .strip_prefix(prefix)
                .map(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
        })
        .unwrap_or(false)
}

fn text(source: &impl Attributes, path: &[&str]) -> String {
    source
        .read(path)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_default()
}

/// Envoy's integers are 8 bytes, little endian. Negative ones do not occur where we read and count as absent.
fn integer(source: &impl Attributes, path: &[&str]) -> Option<u64> {
    let bytes: [u8; 8] = source.read(path)?.try_into().ok()?;
    u64::try_from(i64::from_le_bytes(bytes)).ok()
}

/// Durations are integers of nanoseconds; given in microseconds.
fn nanoseconds(source: &impl Attributes, path: &[&str]) -> Option<u64> {
    integer(source, path).map(|value| value / 1_000)
}

/// Numbers in metadata are doubles, 8 bytes, little endian.
fn number(source: &impl Attributes, path: &[&str]) -> Option<u64> {
    let bytes: [u8; 8] = source.read(path)?.try_into().ok()?;
    let value = f64::from_le_bytes(bytes);
    // The cast saturates; NaN and negative numbers are no times.
    (value >= 0.0).then_some(value as u64)
}
