//! One test: calling until the answer is right.

use std::time::{Duration, Instant};

use pipeline_plugin::{Context, Maybe, StageError};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;

use crate::inputs::SmokeTestInputs;
use crate::resolve::Resolve;

/// How much of an answer is searched for the expected text.
const LONGEST_BODY: usize = 1 << 20;

/// A test that can be carried out.
pub(crate) struct Check {
    url: Url,
    status: StatusCode,
    contains: Option<String>,
    headers: HeaderMap,
    resolve: Option<Resolve>,
    attempts: u32,
    interval: Duration,
    timeout: Duration,
}

/// The right answer.
#[derive(Serialize)]
pub(crate) struct Passed {
    pub(crate) status: u16,
    pub(crate) elapsed_ms: u64,
}

impl Check {
    /// The test that `inputs` describe; nothing while a part of it is unknown.
    ///
    /// # Errors
    /// An input is wrong.
    pub(crate) fn of(inputs: &SmokeTestInputs) -> Result<Option<Self>, StageError> {
        let headers = headers(inputs)?;
        let status = StatusCode::from_u16(inputs.status)
            .map_err(|_| StageError::input("status", "a status has three digits, such as 200"))?;
        let known = (inputs.url.known(), headers, known(&inputs.contains), known(&inputs.resolve));
        let (Some(url), Some(headers), Some(contains), Some(resolve)) = known else { return Ok(None) };
        let url = parse_url(url)?;
        let resolve = resolve.map(|text| parse_resolve(text, &url)).transpose()?;
        Ok(Some(Self {
            url,
            status,
            contains: contains.cloned(),
            headers,
            resolve,
            attempts: inputs.attempts,
            interval: Duration::from_secs(inputs.interval_seconds),
            timeout: Duration::from_secs(inputs.timeout_seconds),
        }))
    }

    /// Calls until the answer is right.
    ///
    /// # Errors
    /// It never was; the run was cancelled.
    pub(crate) async fn pass(&self, cx: &Context) -> Result<Passed, StageError> {
        let client = self.client()?;
        let mut attempt = 1;
        loop {
            let answer = cx.cancel().run_until_cancelled(self.call(&client)).await;
            let wrong = match answer.ok_or(StageError::Cancelled)? {
                Ok(passed) => {
                    let Passed { elapsed_ms, .. } = passed;
                    cx.note(format!("attempt {attempt}: it answered {} after {elapsed_ms} ms", self.status));
                    return Ok(passed);
                }
                Err(wrong) => wrong,
            };
            if attempt >= self.attempts {
                return Err(self.failed(&wrong));
            }
            cx.note(format!("attempt {attempt} of {}: {wrong}", self.attempts));
            let pause = cx.cancel().run_until_cancelled(tokio::time::sleep(self.interval)).await;
            pause.ok_or(StageError::Cancelled)?;
            attempt += 1;
        }
    }

    fn client(&self) -> Result<Client, StageError> {
        // A second installation fails, and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder()
            .default_headers(self.headers.clone())
            .timeout(self.timeout)
            .redirect(reqwest::redirect::Policy::none())
            // Each attempt is a visitor of its own: it looks the name up and connects again.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("smoke-test/", env!("CARGO_PKG_VERSION")));
        if let Some(resolve) = &self.resolve {
            let (host, address) = resolve.target();
            // A proxy would look the name up itself.
            client = client.resolve(host, address).no_proxy();
        }
        client.build().map_err(|error| StageError::failed(format!("cannot call anything: {error}")))
    }

    /// One attempt; what is wrong with the answer if it is not the right one.
    async fn call(&self, client: &Client) -> Result<Passed, String> {
        let begin = Instant::now();
        let response = client.get(self.url.clone()).send().await.map_err(|error| self.unanswered(&error))?;
        let status = response.status();
        if status != self.status {
            return Err(format!("it answered {status}, not {}", self.status));
        }
        if let Some(text) = &self.contains {
            let body = beginning(response).await.map_err(|error| self.unanswered(&error))?;
            if !String::from_utf8_lossy(&body).contains(text) {
                return Err(format!("it answered {status} without the text `{text}`"));
            }
        }
        let elapsed_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Passed { status: status.as_u16(), elapsed_ms })
    }

    fn unanswered(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            return format!("it did not answer within {} s", self.timeout.as_secs());
        }
        let innermost =
            std::iter::successors(std::error::Error::source(error), |cause| cause.source()).last();
        innermost.map_or_else(|| "it broke off".to_owned(), |cause| format!("it does not answer: {cause}"))
    }

    fn failed(&self, wrong: &str) -> StageError {
        let times = if self.attempts == 1 { "once".to_owned() } else { format!("{} times", self.attempts) };
        StageError::failed(format!("{} was called {times} and was never as expected: {wrong}", self.url)).with_help(
            "look at the logs of the app; raise `attempts` or `interval_seconds` if it only needs longer to start",
        )
    }
}

/// What is known of an input that may be left out; nothing if it is unknown.
fn known<T>(input: &Option<Maybe<T>>) -> Option<Option<&T>> {
    match input {
        None => Some(None),
        Some(value) => value.known().map(Some),
    }
}

async fn beginning(mut response: Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while body.len() < LONGEST_BODY
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(LONGEST_BODY);
    Ok(body)
}

fn parse_url(text: &str) -> Result<Url, StageError> {
    let url = Url::parse(text).ok();
    let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    url.filter(is_http).ok_or_else(|| {
        StageError::input("url", format!("`{text}` is not a URL that begins with `http://` or `https://`"))
    })
}

fn parse_resolve(text: &str, url: &Url) -> Result<Resolve, StageError> {
    let wrong = |what: &str| StageError::input("resolve", format!("`{text}` {what}"));
    let resolve = Resolve::parse(text);
    let resolve =
        resolve.ok_or_else(|| wrong("is not `HOST:PORT:ADDRESS`, such as `hello.test:80:127.0.0.1`"))?;
    match resolve.concerns(url) {
        true => Ok(resolve),
        false => Err(wrong(&format!("is about another host or port than `url`, {url}"))),
    }
}

/// The headers; nothing while one of them is unknown.
fn headers(inputs: &SmokeTestInputs) -> Result<Option<HeaderMap>, StageError> {
    let mut headers = HeaderMap::new();
    for (key, value) in &inputs.headers {
        let wrong = |what: &str| StageError::input(format!("headers.{key}"), what);
        let name = HeaderName::try_from(key).map_err(|_| wrong("this is not the name of a header"))?;
        let Some(value) = value.known() else { return Ok(None) };
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| wrong("a header holds one line of text without control characters"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(Some(headers))
}
