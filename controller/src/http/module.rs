//! The filter's Wasm module, as proxies fetch it.

use sha2::{Digest, Sha256};
use std::path::Path;

/// The module's bytes and their hash, read once: proxies cache by the hash, so it must never be that of other bytes.
#[derive(Clone, Debug)]
pub struct Module {
    /// The bytes.
    pub bytes: axum::body::Bytes,
    /// Their SHA-256 in lower-case hex.
    pub sha256: String,
}

impl Module {
    /// Reads the module.
    ///
    /// # Errors
    /// If the file cannot be read or is no Wasm module.
    pub async fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = tokio::fs::read(path)
            .await
            .map_err(|error| anyhow::anyhow!("--filter-module {}: {error}", path.display()))?;
        Self::new(bytes).map_err(|error| anyhow::anyhow!("--filter-module {}: {error}", path.display()))
    }
    /// Takes the bytes.
    ///
    /// # Errors
    /// If they do not begin as a Wasm module does.
    pub fn new(bytes: Vec<u8>) -> anyhow::Result<Self> {
        anyhow::ensure!(bytes.starts_with(b"\0asm"), "this is no WebAssembly module");
        let sha256 = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(Self {
            bytes: bytes.into(),
            sha256,
        })
    }
}
