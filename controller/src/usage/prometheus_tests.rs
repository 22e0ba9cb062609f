use super::*;
use crate::usage::Names;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::get;
use huddle_core::id::{NodeName, PodUid};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

fn args(url: &str) -> PrometheusArgs {
    PrometheusArgs {
        url: Some(url.to_owned()),
        ..PrometheusArgs::default()
    }
}

fn wrong(args: &PrometheusArgs) -> String {
    format!("{:#}", args.check().unwrap_err())
}

#[test]
fn addresses_that_are_none_are_named_with_what_to_do() {
    for good in [
        "http://prometheus.monitoring:9090",
        "https://10.0.0.1/prom/",
        "http://[fd00::1]:9090",
        "http://prometheus.monitoring:9090/a@b",
    ] {
        assert!(good.parse::<Address>().is_ok(), "{good}");
    }
    for (bad, what) in [
        ("", "write it as http://HOST:9090"),
        ("prometheus:9090", "no http or https address"),
        ("prometheus.monitoring", "no http or https address"),
        ("ftp://prometheus", "no http or https address"),
        ("http://", "no http or https address"),
        ("http://a b", "write it as http://HOST:9090"),
        ("http://prometheus/?x=1", "ends before ? and #"),
        ("http://prometheus/#x", "ends before ? and #"),
        ("http://prometheus/federate/", "leave out /federate"),
    ] {
        let told = wrong(&args(bad));
        assert!(told.starts_with("--prometheus") && told.contains(what), "{bad}: {told}");
    }
}

#[test]
fn a_password_in_the_address_is_refused_and_not_repeated() {
    for bad in [
        "https://me:secret@prometheus",
        "me:secret@prometheus",
        "http://secret@host:9x/#",
        "://secret@",
    ] {
        let told = wrong(&args(bad));
        assert!(
            told.contains("--prometheus-token-file") && !told.contains("secret"),
            "{told}"
        );
    }
}

#[test]
fn flags_that_mean_nothing_are_refused() {
    let alone = PrometheusArgs {
        token_file: Some("/token".into()),
        ..PrometheusArgs::default()
    };
    assert!(wrong(&alone).contains("--prometheus-token-file"));
    let mut plain = args("http://prometheus");
    plain.ca_file = Some("/ca".into());
    assert!(wrong(&plain).contains("--prometheus-ca-file is for https"));
    assert_eq!(PrometheusArgs::default().check().unwrap(), None);

    let address = args("https://prometheus").check().unwrap().unwrap();
    for (token_file, ca_file, flag) in [
        (Some("/none"), None, "--prometheus-token-file /none"),
        (None, Some("/none"), "--prometheus-ca-file /none"),
    ] {
        let args = PrometheusArgs {
            url: None,
            token_file: token_file.map(PathBuf::from),
            ca_file: ca_file.map(PathBuf::from),
        };
        let told = format!("{:#}", Prometheus::new(&address, &args).err().unwrap());
        assert!(told.starts_with(flag), "{told}");
    }
}

/// A server that writes down what it is asked, and by whom, and knows nothing.
async fn listening() -> (SocketAddr, Arc<Mutex<Vec<(String, Option<String>)>>>) {
    let asked = Arc::<Mutex<Vec<_>>>::default();
    let notes = Arc::clone(&asked);
    let answer = async move |request: Request| {
        let token = request.headers().get("authorization");
        let token = token.map(|token| token.to_str().unwrap().to_owned());
        let known = token.as_deref().is_none_or(|token| token == "Bearer right");
        notes.lock().unwrap().push((request.uri().path().to_owned(), token));
        let status = if known { 200 } else { 401 };
        (axum::http::StatusCode::from_u16(status).unwrap(), "# nothing\n").into_response()
    };
    let router = axum::Router::new().route("/prom/federate", get(answer));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, asked)
}

fn target() -> Target {
    Target {
        node: NodeName::from("node-1"),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        pods: Names::from([(("shop".to_owned(), "db-1".to_owned()), PodUid::from("uid"))]),
    }
}

#[tokio::test]
async fn nobody_learns_who_asks_unless_a_token_is_named() {
    let (server, asked) = listening().await;
    let ask = async |url: String, token: Option<&str>| {
        let file = token.map(|token| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), token).unwrap();
            file
        });
        let mut args = args(&url);
        args.token_file = file.as_ref().map(|file| file.path().to_owned());
        let address = args.check().unwrap().unwrap();
        let prometheus = Prometheus::new(&address, &args).unwrap();
        prometheus.federate(&[target()]).await.map(|answer| answer.text)
    };
    let url = format!("http://{server}/prom/");
    assert_eq!(ask(url.clone(), None).await.unwrap(), "# nothing\n");
    assert_eq!(ask(url.clone(), Some("right\n")).await.unwrap(), "# nothing\n");
    assert_eq!(ask(url, Some("wrong")).await.unwrap_err(), Cause::Refused);
    assert_eq!(
        ask(format!("http://{server}"), None).await.unwrap_err(),
        Cause::Odd { status: 404 }
    );
    let asked = asked.lock().unwrap();
    let tokens: Vec<Option<&str>> = asked.iter().map(|(_, token)| token.as_deref()).collect();
    assert_eq!(tokens, [None, Some("Bearer right"), Some("Bearer wrong")]);
    assert!(asked.iter().all(|(path, _)| path == "/prom/federate"), "{asked:?}");
}
