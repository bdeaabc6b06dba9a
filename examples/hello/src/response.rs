//! What the app answers.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};

const X_VERSION: HeaderName = HeaderName::from_static("x-version");

/// The longest that `/slow` waits, in milliseconds.
const SLOWEST: u64 = 60_000;

/// One version of the app. Answers are made once and handed out by reference count.
pub(crate) struct App {
    version: String,
    header: HeaderValue,
    greeting: Bytes,
    healthy: bool,
}

impl App {
    pub(crate) fn new(version: &str, healthy: bool) -> Self {
        Self {
            version: version.to_owned(),
            header: HeaderValue::from_str(version).unwrap_or(HeaderValue::from_static("unprintable")),
            greeting: format!("hello from version {version}\n").into(),
            healthy,
        }
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// `/` says the version, `/health-check` whether it is healthy, `/slow?ms=100` takes its time.
    pub(crate) async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        match request.uri().path() {
            "/" => self.response(StatusCode::OK, self.greeting.clone()),
            "/health-check" if self.healthy => self.response(StatusCode::OK, Bytes::from_static(b"ok\n")),
            "/health-check" => {
                self.response(StatusCode::INTERNAL_SERVER_ERROR, Bytes::from_static(b"broken\n"))
            }
            "/slow" => {
                tokio::time::sleep(Duration::from_millis(slow_ms(request.uri().query()))).await;
                self.response(StatusCode::OK, self.greeting.clone())
            }
            _ => self.response(StatusCode::NOT_FOUND, Bytes::from_static(b"not found\n")),
        }
    }

    fn response(&self, status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(X_VERSION, self.header.clone());
        response
    }
}

fn slow_ms(query: Option<&str>) -> u64 {
    let pairs = query.unwrap_or_default().split('&');
    let ms = pairs.filter_map(|pair| pair.strip_prefix("ms=")).find_map(|ms| ms.parse().ok());
    ms.unwrap_or(1_000).min(SLOWEST)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn get(app: &App, uri: &str) -> (u16, String, String) {
        let response = app.answer(&Request::get(uri).body(()).expect("a request")).await;
        let status = response.status().as_u16();
        let version = response.headers()["x-version"].to_str().expect("text").to_owned();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, version, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn it_says_its_version() {
        let app = App::new("7", true);
        assert_eq!(get(&app, "/").await, (200, "7".into(), "hello from version 7\n".into()));
        assert_eq!(get(&app, "/health-check").await.0, 200);
        assert_eq!(get(&app, "/slow?ms=1").await.2, "hello from version 7\n");
        assert_eq!(get(&app, "/nothing").await.0, 404);
    }

    #[tokio::test]
    async fn a_broken_version_fails_only_its_health_check() {
        let app = App::new("3", false);
        assert_eq!(get(&app, "/health-check").await.0, 500);
        assert_eq!(get(&app, "/").await.0, 200);
    }

    #[test]
    fn slowness_is_bounded() {
        assert_eq!(slow_ms(Some("a=1&ms=20")), 20);
        assert_eq!(slow_ms(Some("ms=9999999")), SLOWEST);
        assert_eq!(slow_ms(None), 1_000);
    }
}
