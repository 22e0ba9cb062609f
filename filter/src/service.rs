//! How Envoy is told whom to call.

/// The controller's gRPC service, as Envoy's `GrpcService` message.
///
/// The name of the cluster alone would do for Envoy, but then it would send that name as `:authority`; a callee refuses the `|` in
/// it by closing the *connection*, which is the application's too. So the authority is always given.
///
/// The SDK takes the message as a string. Bytes below 128 are valid UTF-8, and the message has no others as long as all lengths
/// in it are below 128.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    message: String,
}

impl Service {
    /// `GrpcService { envoy_grpc: EnvoyGrpc { cluster_name, authority } }`; none if a text is not ASCII or the lengths are too
    /// large.
    pub fn new(cluster: &str, authority: &str) -> Option<Self> {
        if !cluster.is_ascii() || !authority.is_ascii() {
            return None;
        }
        let inner = format!("{}{}", field(1, cluster)?, field(2, authority)?);
        Some(Self {
            message: field(1, &inner)?,
        })
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// A length-delimited protobuf field.
fn field(number: u8, content: &str) -> Option<String> {
    const LENGTH_DELIMITED: u8 = 2;
    let tag = char::from((number << 3) | LENGTH_DELIMITED);
    let length = u8::try_from(content.len()).ok().filter(u8::is_ascii)?;
    Some(format!("{tag}{}{content}", char::from(length)))
}
