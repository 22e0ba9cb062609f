//! The plugin's configuration: JSON, checked field by field.
//!
//! ```json
//! {
//!   "controller": {"host": "huddle-ingest.huddle-system.svc.cluster.local", "port": 9000},
//!   "interval_ms": 5000
//! }
//! ```

use std::{error, fmt, time::Duration};

use huddle_filter_core::Limits;
use serde_json::{Map, Value};

use crate::service::Service;

/// A checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where batches go.
    pub service: Service,
    /// Memory, periods and class limits.
    pub limits: Limits,
    /// Patience for one call.
    pub timeout: Duration,
}

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidConfig {
    /// The field, such as "controller.port"; empty for the document as a whole.
    pub field: String,
    /// What it should be.
    pub expected: &'static str,
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = if self.field.is_empty() {
            "the plugin configuration"
        } else {
            &self.field
        };
        write!(f, "{field}: expected {}", self.expected)
    }
}

impl error::Error for InvalidConfig {}

impl Config {
    /// Reads a configuration. Fields:
    ///
    /// | field | default | meaning |
    /// | --- | --- | --- |
    /// | controller.host | – | the ingest Service's full host name |
    /// | controller.port | – | its port |
    /// | controller.cluster | `outbound\|PORT\|\|HOST` | Envoy's cluster of it |
    /// | controller.authority | `HOST:PORT` | `:authority` of the calls |
    /// | interval_ms | 5000 | between reports, until the controller says otherwise |
    /// | heartbeat_ms | 30000 | an idle proxy says so this often |
    /// | timeout_ms | 5000 | patience for one call |
    /// | long_ms | 10000 | requests that live longer are kept apart |
    /// | max_edges | 512 | per worker thread |
    /// | max_memory_bytes | 1048576 | per worker thread, for the open window |
    ///
    /// # Errors
    /// Names the first field at fault. Unknown fields are faults: they are misspelt ones.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidConfig> {
        let Ok(Value::Object(document)) = serde_json::from_slice(bytes) else {
            return Err(InvalidConfig {
                field: String::new(),
                expected: "a JSON object",
            });
        };
        let mut top = Fields::new(document, "");
        let Some(Value::Object(controller)) = top.take("controller") else {
            return Err(InvalidConfig {
                field: "controller".to_owned(),
                expected: "an object with host and port",
            });
        };
        let service = service(Fields::new(controller, "controller."))?;
        let defaults = Limits::default();
        let timeout_ms = top.integer("timeout_ms", 5_000, 100..=60_000)?;
        let limits = Limits {
            edges: size(top.integer("max_edges", 512, 1..=10_000)?),
            memory_bytes: size(top.integer("max_memory_bytes", 1 << 20, 10_000..=16 << 20)?),
            long_us: top.integer("long_ms", 10_000, 1..=86_400_000)?.saturating_mul(1_000),
            interval_ms: top.integer("interval_ms", defaults.interval_ms, 50..=300_000)?,
            heartbeat_ms: top.integer("heartbeat_ms", defaults.heartbeat_ms, 100..=3_600_000)?,
            // Envoy answers at the timeout; three times that means that the answer got lost.
            answer_ms: timeout_ms.saturating_mul(3),
        };
        top.finish()?;
        Ok(Self {
            service,
            limits,
            timeout: Duration::from_millis(timeout_ms),
        })
    }
}

fn service(mut fields: Fields) -> Result<Service, InvalidConfig> {
    let host = fields
        .text("host")?
        .ok_or_else(|| fields.fault("host", "the ingest Service's host name"))?;
    let port = fields.integer("port", 0, 1..=65_535)?;
    if port == 0 {
        return Err(fields.fault("port", "the ingest Service's port"));
    }
    let cluster = fields
        .text("cluster")?
        .unwrap_or_else(|| format!("outbound|{port}||{host}"));
    let authority = fields.text("authority")?.unwrap_or_else(|| format!("{host}:{port}"));
    let service = Service::new(&cluster, &authority).ok_or_else(|| {
        fields.fault(
            "host",
            "a name so short that cluster and authority have at most 123 bytes together",
        )
    })?;
    fields.finish()?;
    Ok(service)
}

/// The ranges above fit 32 bits.
fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The fields of an object that nobody has asked for yet.
struct Fields {
    left: Map<String, Value>,
    prefix: &'static str,
}

impl Fields {
    fn new(left: Map<String, Value>, prefix: &'static str) -> Self {
        Self { left, prefix }
    }

    fn fault(&self, field: &str, expected: &'static str) -> InvalidConfig {
        InvalidConfig {
            field: format!("{}{field}", self.prefix),
            expected,
        }
    }

    fn take(&mut self, field: &str) -> Option<Value> {
        self.left.remove(field)
    }

    /// A non-empty string of visible ASCII: it becomes part of a header or of a cluster name.
    fn text(&mut self, field: &str) -> Result<Option<String>, InvalidConfig> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(Some(text))
            }
            Some(_) => Err(self.fault(field, "a string of visible ASCII characters")),
        }
    }

    /// Istio turns a plugin's configuration into protobuf and back, so that numbers may come as 5000.0.
    fn integer(
        &mut self,
        field: &str,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, InvalidConfig> {
        let Some(value) = self.take(field) else {
            return Ok(default);
        };
        let whole = |value: f64| (value.fract() == 0.0 && (0.0..1e15).contains(&value)).then_some(value as u64);
        value
            .as_u64()
            .or_else(|| value.as_f64().and_then(whole))
            .filter(|value| range.contains(value))
            .ok_or_else(|| self.fault(field, "a whole number within its range"))
    }

    fn finish(self) -> Result<(), InvalidConfig> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(field) => Err(self.fault(field, "no such field")),
        }
    }
}
