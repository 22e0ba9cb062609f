//! The only file that calls Envoy. Uses the SDK's functions that give a `Result`, never its trait getters, which unwrap.

use std::time::{Duration, SystemTime};

use huddle_filter_core::VmId;
use huddle_proto::{VM_ID_BYTES, names};
use proxy_wasm::{
    hostcalls,
    types::{BufferType, Status},
};

use crate::{attributes::Attributes, config::Config};

/// Key of the time at which this proxy last sent something, shared by its VMs.
const LAST_SENT: &str = "huddle.last_sent_ms";

/// The attributes of the request in whose context Envoy called us.
pub(crate) struct Envoy;

impl Attributes for Envoy {
    fn read(&self, path: &[&str]) -> Option<Vec<u8>> {
        hostcalls::get_property(path.to_vec()).ok().flatten()
    }
}

/// Envoy's wall clock, in milliseconds since 1970; 0 if it cannot be read.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

fn since_epoch() -> Duration {
    hostcalls::get_current_time()
        .ok()
        .and_then(|now| now.duration_since(SystemTime::UNIX_EPOCH).ok())
        .unwrap_or_default()
}

/// Asks for `on_tick` so often.
pub(crate) fn tick_every(period: Duration) {
    if let Err(status) = hostcalls::set_tick_period(period) {
        log::warn!("huddle: no timer ({status:?}), nothing will be reported");
    }
}

/// The plugin's configuration.
pub(crate) fn plugin_configuration(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// The answer to the gRPC call for which Envoy called us.
pub(crate) fn grpc_answer(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::GrpcReceiveBuffer, 0, size)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Starts the call. An error means that there will be no answer: no endpoint, no such cluster.
pub(crate) fn report(config: &Config, batch: &[u8]) -> Result<u32, Status> {
    let service = config.service.message();
    hostcalls::dispatch_grpc_call(
        service,
        names::SERVICE,
        names::METHOD_REPORT,
        Vec::new(),
        Some(batch),
        config.timeout,
    )
}

/// Lets the host destroy a root context that asked it to wait.
pub(crate) fn done() {
    if let Err(status) = hostcalls::done() {
        log::debug!("huddle: done: {status:?}");
    }
}

/// Tells this proxy's other VMs that something is being sent now.
pub(crate) fn note_sent(now_ms: u64) {
    // A lost race means that somebody else noted the same moment.
    let _raced = hostcalls::set_shared_data(LAST_SENT, Some(&now_ms.to_le_bytes()), None);
}

/// Has no VM of this proxy sent anything for `period_ms`? True for one VM only: it is the one to speak for the proxy.
pub(crate) fn claim_silence(now_ms: u64, period_ms: u64) -> bool {
    let Ok((value, version)) = hostcalls::get_shared_data(LAST_SENT) else {
        return false;
    };
    let last = value
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes);
    let silent = now_ms.abs_diff(last) >= period_ms;
    silent && hostcalls::set_shared_data(LAST_SENT, Some(&now_ms.to_le_bytes()), version).is_ok()
}

/// A new name and a seed, from Envoy's random numbers; from the proxy's name and the clock if there are none.
pub(crate) fn identity(context_id: u32) -> (VmId, u64) {
    let mut random = [0_u8; VM_ID_BYTES];
    if !random_bytes(&mut random) {
        let node = Envoy.read(&["xds", "node", "id"]).unwrap_or_default();
        let nanoseconds = since_epoch().as_nanos().to_le_bytes();
        random = mix(node.iter().chain(&nanoseconds).chain(&context_id.to_le_bytes()));
    }
    let [a, b, c, d, e, f, g, h, ..] = random;
    (VmId(random), u64::from_le_bytes([a, b, c, d, e, f, g, h]))
}

/// FNV-1a with 128 bits (Fowler, Noll, Vo).
fn mix<'a>(bytes: impl Iterator<Item = &'a u8>) -> [u8; VM_ID_BYTES] {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes
        .fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
        .to_le_bytes()
}

/// wasm32-unknown-unknown has no source of random numbers, but Envoy offers WASI's to every module.
#[cfg(target_arch = "wasm32")]
#[allow(
    unsafe_code,
    reason = "a host function; it writes `length` bytes at `buffer`, which we own"
)]
fn random_bytes(buffer: &mut [u8]) -> bool {
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        fn random_get(buffer: *mut u8, length: usize) -> u16;
    }
    // SAFETY: pointer and length describe one live, exclusively borrowed slice.
    unsafe { random_get(buffer.as_mut_ptr(), buffer.len()) == 0 }
}

#[cfg(not(target_arch = "wasm32"))]
fn random_bytes(_buffer: &mut [u8]) -> bool {
    false
}
