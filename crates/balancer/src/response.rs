//! Responses that the balancer makes itself.

use super::body::ResponseBody;
use super::rules::host;
use super::table::Redirect;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, LOCATION, SERVER};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};

/// What ELB's own responses say of their origin.
const SERVER_NAME: HeaderValue = HeaderValue::from_static("awselb/2.0");

/// An error of the balancer itself.
pub(super) fn error(status: StatusCode) -> Response<ResponseBody> {
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("Error"));
    let page = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    own(status, Some(HeaderValue::from_static("text/html")), page.into())
}

/// A fixed response.
pub(super) fn fixed(
    status: StatusCode,
    content_type: Option<HeaderValue>,
    body: Bytes,
) -> Response<ResponseBody> {
    own(status, content_type, body)
}

/// The content type of a fixed response: what was configured, else plain text for a body that has none.
pub(super) fn content_type(configured: Option<&str>, body: &str) -> Option<HeaderValue> {
    match configured {
        Some(configured) => HeaderValue::from_str(configured).ok(),
        None if body.is_empty() => None,
        None => Some(HeaderValue::from_static("text/plain; charset=utf-8")),
    }
}

/// A redirect of a request that came in by this protocol and port.
pub(super) fn redirect(
    redirect: &Redirect,
    request: &Parts,
    protocol: &str,
    port: u16,
) -> Response<ResponseBody> {
    let Ok(location) = HeaderValue::from_str(&location(redirect, request, protocol, port)) else {
        return error(StatusCode::BAD_REQUEST);
    };
    let status = StatusCode::from_u16(redirect.status).unwrap_or(StatusCode::FOUND);
    let mut response = error(status);
    response.headers_mut().insert(LOCATION, location);
    response
}

fn location(redirect: &Redirect, request: &Parts, protocol: &str, listener_port: u16) -> String {
    let port = request_port(request).unwrap_or(listener_port).to_string();
    let fill = |template: &str| {
        template
            .replace("#{protocol}", protocol)
            .replace("#{host}", host(request))
            .replace("#{port}", &port)
            .replace("#{path}", request.uri.path().trim_start_matches('/'))
            .replace("#{query}", request.uri.query().unwrap_or_default())
    };
    let query = fill(&redirect.query);
    format!(
        "{}://{}:{}{}{}{query}",
        fill(&redirect.protocol).to_ascii_lowercase(),
        fill(&redirect.host),
        fill(&redirect.port),
        fill(&redirect.path),
        if query.is_empty() { "" } else { "?" },
    )
}

/// The port the client used, which is not the listener's when it could not be bound as asked.
fn request_port(request: &Parts) -> Option<u16> {
    let host = request.headers.get(HOST)?.to_str().ok()?;
    host.rsplit_once(':')?.1.parse().ok()
}

fn own(status: StatusCode, content_type: Option<HeaderValue>, body: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Own(Some(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(SERVER, SERVER_NAME);
    if let Some(content_type) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, host: &str) -> Parts {
        http::Request::builder().uri(uri).header("host", host).body(()).unwrap().into_parts().0
    }

    #[test]
    fn locations() {
        let to_https =
            Redirect { protocol: "HTTPS".into(), port: "443".into(), status: 301, ..Redirect::default() };
        let plain = request("/a/b?x=1&y", "example.com");
        assert_eq!(location(&to_https, &plain, "http", 80), "https://example.com:443/a/b?x=1&y");
        let elsewhere = Redirect {
            host: "#{host}.new".into(),
            path: "/v2/#{path}".into(),
            query: "from=#{path}".into(),
            ..Redirect::default()
        };
        let odd_port = request("/", "example.com:8080");
        assert_eq!(location(&elsewhere, &odd_port, "http", 80), "http://example.com.new:8080/v2/?from=");
    }
}
