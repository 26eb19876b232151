//! The request headers that the service reads.

usher_sdk::request_headers! {
    /// The request headers that the service reads.
    pub enum RequestHeader {
        /// `Accept`, if it mentions NDJSON. Nearly every request has one, and hardly any mentions
        /// it.
        AcceptNdjson = "accept" if it contains "ndjson";
        /// `Accept`, if it mentions HTML, as that of browsers does.
        AcceptHtml = "accept" if it contains "text/html";
        /// `Accept-Encoding`.
        AcceptEncoding = "accept-encoding";
        /// `Content-Type`.
        ContentType = "content-type";
        /// `Forwarded` (RFC 7239).
        Forwarded = "forwarded";
        /// `X-Forwarded-Host`, as many proxies send it.
        ForwardedHost = "x-forwarded-host";
        /// `X-Forwarded-Prefix`.
        ForwardedPrefix = "x-forwarded-prefix";
        /// `X-Forwarded-Proto`.
        ForwardedProto = "x-forwarded-proto";
        /// `If-Match`.
        IfMatch = "if-match";
        /// `If-None-Match`.
        IfNoneMatch = "if-none-match";
    }
}
