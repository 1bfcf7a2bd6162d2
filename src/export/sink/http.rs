//! Sending over HTTP: a web hook takes CloudEvents batches, a collector takes OTLP logs and traces. HTTPS, or plain HTTP on
//! this machine; no redirects, no proxies, no cookies, so that nothing goes where the configuration does not say.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use testudo_rules::event::batch as batch_of;
use testudo_rules::export::Outcome;
use zeroize::Zeroizing;

use super::{Sending, Sent, Sink};
use crate::export::otlp;
use crate::export::source::Item;
use crate::files;
use crate::trouble::{answered, unanswered};

/// Longest token or certificate file.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// What is read of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What is spoken over HTTP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::export) enum Wire {
    /// The JSON batch format of CloudEvents.
    CloudEvents,
    /// OpenTelemetry logs or traces in protobuf.
    Otlp,
}

/// Posts batches.
#[derive(Debug)]
pub(in crate::export) struct HttpSink {
    wire: Wire,
    url: Url,
    bearer: Option<PathBuf>,
    ca: Option<PathBuf>,
    /// Made when it is first needed, and kept.
    client: Option<Client>,
}

impl HttpSink {
    pub(in crate::export) const fn new(
        wire: Wire,
        url: Url,
        bearer: Option<PathBuf>,
        ca: Option<PathBuf>,
    ) -> Self {
        Self { wire, url, bearer, ca, client: None }
    }

    async fn client(&mut self) -> Result<Client, String> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .pool_max_idle_per_host(1)
            .user_agent(concat!("testudo/", env!("CARGO_PKG_VERSION")));
        if let Some(ca) = self.ca.clone() {
            let pem = read(ca, files::read_public).await?;
            let roots = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|error| error.to_string())?;
            builder = builder.tls_certs_only(roots);
        }
        let client = builder.build().map_err(|error| unanswered(&error))?;
        self.client = Some(client.clone());
        Ok(client)
    }

    /// The token, read anew each time: it may be replaced while the node runs.
    async fn headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        let kind = match self.wire {
            Wire::CloudEvents => "application/cloudevents-batch+json",
            Wire::Otlp => "application/x-protobuf",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(path) = self.bearer.clone() {
            let shown = path.display().to_string();
            let token = Zeroizing::new(read(path, files::read_private).await?);
            let value = Zeroizing::new(format!("Bearer {}", token.trim()));
            let mut value =
                HeaderValue::from_str(&value).map_err(|_| format!("{shown} holds no bearer token"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }

    /// Sends what is written already.
    pub(in crate::export) async fn post(&mut self, body: Vec<u8>) -> Sent {
        self.try_post(body).await.unwrap_or_else(Sent::failed)
    }

    async fn try_post(&mut self, body: Vec<u8>) -> Result<Sent, String> {
        let client = self.client().await?;
        let headers = self.headers().await?;
        let answer = client.post(self.url.clone()).headers(headers).body(body).send().await;
        let answer = answer.map_err(|error| unanswered(&error))?;
        Ok(self.judge(answer).await)
    }

    async fn judge(&self, answer: Response) -> Sent {
        let status = answer.status();
        let after = answer.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok());
        let after = after.and_then(|after| after.parse().ok()).map(Duration::from_secs);
        if status.is_success() {
            // Of all that a receiver says only this is read: how much of a batch it did not take.
            return if self.wire == Wire::Otlp { partial(&body(answer).await) } else { Sent::delivered() };
        }
        let reason = answered(status);
        // These say that the events are at fault; all else is between us and the receiver.
        let at_fault = [
            StatusCode::BAD_REQUEST,
            StatusCode::CONFLICT,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNPROCESSABLE_ENTITY,
        ];
        if at_fault.contains(&status) {
            Sent::refused(reason)
        } else {
            Sent { outcome: Outcome::Failed { after }, reason: Some(reason) }
        }
    }
}

impl Sink for HttpSink {
    fn send<'a>(&'a mut self, batch: &'a [Arc<Item>]) -> Sending<'a> {
        let body = match self.wire {
            Wire::CloudEvents => batch_of(batch.iter().map(|item| item.line.as_str())).into_bytes(),
            Wire::Otlp => otlp::request(batch).encode_to_vec(),
        };
        Box::pin(self.post(body))
    }
}

/// A collector that took less than all says how many it did not, and must not be asked again.
fn partial(body: &[u8]) -> Sent {
    let answer = otlp::Answer::decode(body).unwrap_or_default();
    let Some(partial) = answer.partial_success.filter(|partial| partial.rejected > 0) else {
        return Sent::delivered();
    };
    let failed = usize::try_from(partial.rejected).unwrap_or(usize::MAX);
    Sent { outcome: Outcome::Partly { failed }, reason: Some("it took only a part of a batch".to_owned()) }
}

/// The start of an answer.
async fn body(mut answer: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES_MAX
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(ANSWER_BYTES_MAX);
    body
}

async fn read(
    path: PathBuf,
    how: fn(&Path, u64) -> Result<String, files::FileError>,
) -> Result<String, String> {
    let read = tokio::task::spawn_blocking(move || how(&path, FILE_BYTES_MAX)).await;
    read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}
