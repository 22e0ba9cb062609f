//! The dashboard page: the files of `controller/dashboard/dist`, embedded in the binary.
//!
//! `dist` is committed, so that building the controller needs no Node; `npm run verify-dist` in `controller/dashboard`
//! rebuilds it and fails on a difference.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "dashboard/dist/"]
struct Dist;

/// The page talks to its own origin only, runs no inline script or style and is framed by nobody.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Sent with every file.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Serves the page at `/` and its files beside it; everything else is 404.
///
/// Routes of the API must be merged in front: this router has no path under `/api`.
pub fn router() -> Router {
    Router::new()
        .route("/", get(index))
        .route("/icon.svg", get(file))
        .route("/licenses.md", get(file))
        .route("/licenses-worker.md", get(file))
        .route("/assets/{name}", get(file))
}

async fn index(headers: HeaderMap) -> Response {
    answer("index.html", &headers)
}

async fn file(uri: Uri, headers: HeaderMap) -> Response {
    answer(uri.path().trim_start_matches('/'), &headers)
}

fn answer(path: &str, request: &HeaderMap) -> Response {
    let Some(file) = Dist::get(path) else {
        return (StatusCode::NOT_FOUND, "no such file\n").into_response();
    };
    let tag = etag(&file);
    let mut response = if is_current(request, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, content_type(path))], file.data).into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control(path)));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// A strong tag: the start of the content's SHA-256.
fn etag(file: &EmbeddedFile) -> String {
    use std::fmt::Write;
    let mut tag = String::from("\"");
    for byte in file.metadata.sha256_hash().iter().take(16) {
        // Writing to a String cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

fn is_current(request: &HeaderMap, tag: &str) -> bool {
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == tag)
}

/// Names under `assets/` carry a hash of the content, so they never change; the rest is asked for every time.
fn cache_control(path: &str) -> &'static str {
    if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("md") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use serde_json::Value;
    use tower::ServiceExt;

    async fn ask(path: &str, if_none_match: Option<&str>) -> Response {
        let mut request = Request::builder().uri(path);
        if let Some(tag) = if_none_match {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn text(response: Response) -> String {
        String::from_utf8(to_bytes(response.into_body(), 1 << 22).await.unwrap().to_vec()).unwrap()
    }

    /// Every file that the page names is embedded, with a type that browsers run under `nosniff`.
    #[tokio::test]
    async fn the_page_and_every_file_it_names_are_served() {
        let page = ask("/", None).await;
        assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(page.headers()[header::CACHE_CONTROL], "no-cache");
        let html = text(page).await;
        let names: Vec<&str> = html
            .split(['"', '\''])
            .filter_map(|part| part.strip_prefix("./"))
            .collect();
        assert!(
            names.iter().any(|name| name.ends_with(".js")) && names.iter().any(|name| name.ends_with(".css")),
            "{html}"
        );
        for name in names.into_iter().chain(["licenses.md", "licenses-worker.md"]) {
            let answer = ask(&format!("/{name}"), None).await;
            assert_eq!(answer.status(), StatusCode::OK, "{name}");
            assert_ne!(
                answer.headers()[header::CONTENT_TYPE],
                "application/octet-stream",
                "{name}"
            );
        }
    }

    #[tokio::test]
    async fn files_carry_tags_and_the_security_headers() {
        let first = ask("/", None).await;
        assert_eq!(
            first.headers()[header::CONTENT_SECURITY_POLICY],
            CONTENT_SECURITY_POLICY
        );
        assert_eq!(first.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}")] {
            let again = ask("/", Some(&known)).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(text(again).await, "");
        }
        assert_eq!(ask("/", Some("\"other\"")).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn other_paths_are_not_found() {
        for path in [
            "/index.js",
            "/assets/none.js",
            "/assets/..%2Findex.html",
            "/api/v1/state",
        ] {
            assert_eq!(ask(path, None).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    /// The page's own test server promises the same policy; a page that works there must work here.
    #[test]
    fn the_test_server_sends_the_same_policy() {
        let server = include_str!("../../dashboard/test/serve.mjs");
        assert!(server.contains(CONTENT_SECURITY_POLICY));
    }

    /// The state that the page's tests play is one that the controller could say: it reads as the controller's own type
    /// and loses nothing on the way back.
    #[test]
    fn the_contract_files_have_the_controllers_shape() {
        for file in [
            include_str!("../../dashboard/fixtures/contract.json"),
            include_str!("../../dashboard/fixtures/contract-merged.json"),
        ] {
            let file: Value = serde_json::from_str(file).unwrap();
            let state: huddle_core::view::State = serde_json::from_value(file.clone()).unwrap();
            assert_eq!(real(serde_json::to_value(state).unwrap()), real(file));
        }
    }

    /// The stages of a merge that the page's tests play are told in the controller's own words.
    #[test]
    fn the_stages_that_are_played_are_the_controllers() {
        let file = include_str!("../../dashboard/fixtures/contract-merged.json");
        let state: huddle_core::view::State = serde_json::from_str(file).unwrap();
        let stages = state
            .plans
            .iter()
            .flat_map(|plan| &plan.actions)
            .flat_map(|step| &step.stages);
        let played: Vec<(&str, &str)> = stages.map(|it| (it.stage.as_str(), it.sentence.as_str())).collect();
        let known = huddle_core::act::MergeStage::FORWARD;
        assert_eq!(played.len(), known.len());
        for ((label, sentence), stage) in played.into_iter().zip(known) {
            assert_eq!(label, stage.label());
            assert!(sentence.starts_with(stage.sentence()), "{sentence}");
        }
    }

    /// JSON has one kind of number, serde_json three: 40 and 40.0 are the same here.
    fn real(value: Value) -> Value {
        match value {
            Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
            Value::Array(items) => items.into_iter().map(real).collect(),
            Value::Object(fields) => fields.into_iter().map(|(name, field)| (name, real(field))).collect(),
            Value::Null | Value::Bool(_) | Value::String(_) => value,
        }
    }
}
