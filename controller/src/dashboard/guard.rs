//! Keeps the dashboard's port to the machine it is forwarded to.

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Refuses requests whose `Host` is not this machine.
///
/// The port is bound to 127.0.0.1, but a browser on the same machine can be led to it by a name that a stranger's DNS
/// points at 127.0.0.1; the stranger's page would then read the mesh as its own origin. Such a request carries the
/// stranger's name in `Host`. Requests without `Host` (HTTP/1.0 tools) come from no browser and pass.
pub async fn local_only(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(|value| value.to_str());
    match host {
        None => next.run(request).await,
        Some(Ok(host)) if is_local(host) => next.run(request).await,
        Some(_) => (StatusCode::FORBIDDEN, "the dashboard answers to localhost only\n").into_response(),
    }
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_this_machine_is_local() {
        for host in [
            "localhost",
            "localhost:8081",
            "LOCALHOST:1",
            "127.0.0.1:8081",
            "127.0.0.1",
            "[::1]:8081",
            "[::1]",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "huddle.example:8081",
            "127.0.0.1.example",
            "localhost.example:80",
            "10.0.0.1:8081",
            "[2001:db8::1]:80",
            "",
            ":8081",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
