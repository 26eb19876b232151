//! The part of HTTP/1.1 that says where a response ends (RFC 9112, 6.3).

/// The head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// The server closes the connection after this response.
    pub(super) close: bool,
    body: Body,
    /// Where the body begins.
    length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(usize),
    Chunked,
}

impl Head {
    /// Parses the head of a response once all of it has arrived.
    pub(super) fn parse(answer: &[u8]) -> Result<Option<Self>, String> {
        let Some(length) = find(answer, b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = answer.get(..length).unwrap_or_default();
        let not_http = || {
            let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
            format!("not an HTTP answer: {:?}", String::from_utf8_lossy(line))
        };
        let version = head.get(..9).ok_or_else(not_http)?;
        let status = head
            .get(9..12)
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
            .filter(|_| version.starts_with(b"HTTP/1."))
            .ok_or_else(not_http)?;
        let mut close = version == b"HTTP/1.0 ";
        let mut body = matches!(status, 204 | 304).then_some(Body::Length(0));
        for line in head.split(|&byte| byte == b'\n').skip(1) {
            let mut parts = line.splitn(2, |&byte| byte == b':');
            let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
                continue;
            };
            // Lengths differ for nearly all names, which makes this cheap.
            if name.eq_ignore_ascii_case(b"content-length") {
                let value = std::str::from_utf8(value.trim_ascii()).ok();
                let length = value
                    .and_then(|value| value.parse().ok())
                    .ok_or_else(not_http)?;
                body = body.or(Some(Body::Length(length)));
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                body = body.or(Some(Body::Chunked));
            } else if name.eq_ignore_ascii_case(b"connection") {
                close = close || value.trim_ascii().eq_ignore_ascii_case(b"close");
            }
        }
        let body = body.ok_or("an answer of unknown length")?;
        Ok(Some(Self {
            status,
            close,
            body,
            length: length + 4,
        }))
    }

    /// Where the response ends, once all of it has arrived.
    pub(super) fn end(&self, answer: &[u8]) -> Result<Option<usize>, String> {
        let end = match self.body {
            Body::Length(length) => self.length + length,
            Body::Chunked => {
                let mut at = self.length;
                loop {
                    let rest = answer.get(at..).unwrap_or_default();
                    let Some(line) = find(rest, b"\r\n") else {
                        return Ok(None);
                    };
                    let size = rest
                        .get(..line)
                        .and_then(|line| std::str::from_utf8(line).ok())
                        .and_then(|line| line.split(';').next())
                        .and_then(|size| usize::from_str_radix(size.trim(), 16).ok())
                        .ok_or("a chunk of unknown length")?;
                    // The size and its line end, the chunk and its line end; or, at last, no chunk
                    // and no trailers.
                    at += line + 2 + size + 2;
                    if size == 0 {
                        break at;
                    }
                }
            }
        };
        Ok((end <= answer.len()).then_some(end))
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::Head;

    fn end(answer: &str) -> Option<usize> {
        let head = Head::parse(answer.as_bytes()).expect("HTTP")?;
        head.end(answer.as_bytes()).expect("a known length")
    }

    #[test]
    fn response_with_content_length_ends_after_that_length() {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for cut in 0..whole.len() {
            assert_eq!(end(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(end(whole), Some(whole.len()));
    }

    #[test]
    fn chunked_response_ends_after_last_chunk() {
        let whole = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        for cut in 0..whole.len() {
            assert_eq!(end(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(end(whole), Some(whole.len()));
    }

    #[test]
    fn response_without_content_ends_with_its_head() {
        let whole = "HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(end(whole), Some(whole.len()));
    }

    #[test]
    fn response_with_connection_close_ends_the_connection() {
        let answer = b"HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let head = Head::parse(answer).expect("HTTP").expect("a whole head");
        assert_eq!((head.status, head.close), (503, true));
    }

    #[test]
    fn response_that_is_not_http_is_an_error() {
        for text in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            Head::parse(text.as_bytes()).expect_err(text);
        }
    }
}
