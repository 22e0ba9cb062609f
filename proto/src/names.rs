//! Names that more than one side must spell alike: gRPC method, headers, dynamic metadata.
//!
//! The mesh objects in `manifests/mesh/` repeat them; a test compares the two.

/// Full name of the gRPC service.
pub const SERVICE: &str = "huddle.telemetry.v1.Ingest";

/// Name of its only method.
pub const METHOD_REPORT: &str = "Report";

/// Response header in which the callee's proxy tells the caller's proxy the *served* time, in whole microseconds. It is set with
/// overwrite, so the callee's application cannot forge it, and removed before the caller's application sees the response.
pub const HEADER_SERVED_US: &str = "x-huddle-served-us";

/// Response header in which the caller's proxy tells its own filters the *upstream* time, in whole microseconds. Set with
/// overwrite and removed like [`HEADER_SERVED_US`]; it never leaves the proxy.
pub const HEADER_UPSTREAM_US: &str = "x-huddle-upstream-us";

/// Request header in which the controller's own proxy names the address that the reporting pod's connection came from, without
/// the port. Set with overwrite: whatever a reporter writes there is lost.
pub const HEADER_PEER_ADDRESS: &str = "x-huddle-peer-address";

/// Envoy's formatter for the served time, used on the callee's inbound route.
pub const FORMAT_SERVED_US: &str = "%COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)%";

/// Envoy's formatter for the upstream time, used on the caller's outbound route.
pub const FORMAT_UPSTREAM_US: &str = "%COMMON_DURATION(US_TX_BEG:US_RX_BEG:us)%";

/// Envoy's formatter for the reporter's address.
pub const FORMAT_PEER_ADDRESS: &str = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%";

/// Namespace of the dynamic metadata into which `header_to_metadata` moves the two times.
pub const METADATA_NAMESPACE: &str = "huddle";

/// Key of the served time in [`METADATA_NAMESPACE`]; a number of microseconds.
pub const METADATA_SERVED_US: &str = "served_us";

/// Key of the upstream time in [`METADATA_NAMESPACE`]; a number of microseconds.
pub const METADATA_UPSTREAM_US: &str = "upstream_us";
