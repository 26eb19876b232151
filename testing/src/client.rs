//! Sends requests to a service in process, without a socket.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::Request;
use http::header::{HOST, HeaderValue};
use http_body_util::combinators::UnsyncBoxBody;
use usher::server::service::Service;

use crate::calls::CallLog;
use crate::error::TestError;
use crate::response::{Exchange, Sent, Streamed, TestResponse};

/// The body of a request.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A service and the log of its calls.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) service: Arc<Service>,
    pub(crate) log: CallLog,
}

impl Client {
    /// Sends a request and returns the complete response.
    pub(crate) async fn send(
        &self,
        request: Request<Body>,
        sent: Sent,
    ) -> Result<TestResponse, TestError> {
        let began = Instant::now();
        let mut response = self.stream(request, sent).await.collect().await?;
        response.ended_after(began.elapsed());
        Ok(response)
    }

    /// Sends a request and returns the response when its head is there.
    pub(crate) async fn stream(&self, mut request: Request<Body>, sent: Sent) -> Streamed {
        request
            .headers_mut()
            .entry(HOST)
            .or_insert(HeaderValue::from_static("test"));
        let began = Instant::now();
        let (number, response) = self.log.request(self.service.respond(request)).await;
        let exchange = Exchange {
            sent,
            log: self.log.clone(),
            number,
            took: began.elapsed(),
        };
        Streamed::new(response, exchange)
    }
}
