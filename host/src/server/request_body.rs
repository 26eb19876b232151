//! Reads the body of a request into one buffer.
//!
//! hyper passes a body in parts, and each part keeps the buffer alive that it was read into: 8 KiB
//! for a byte that arrives alone. So a part is copied unless it is the whole body, and what is held
//! is at most twice what has arrived. What exceeds 64 KiB counts towards `--host-memory`. While
//! there is no room, the rest is not read, so that the client waits; with HTTP/2 other requests on
//! its connection would wait, too, so there the body is refused.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;

use super::error_body::ErrorResponse;
use crate::memory::{BodyMemory, FREE, HostMemory, OverLimit};
use crate::sandbox::CallError;

/// A body, and its memory if it is large or arrived in parts.
#[derive(Debug)]
pub(super) struct RequestBody {
    pub(super) bytes: Bytes,
    pub(super) memory: Option<Box<BodyMemory>>,
}

/// What a body may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits<'h> {
    /// The bytes of one body.
    pub(super) length: usize,
    /// How long it may take to arrive, waits for memory included.
    pub(super) time: Duration,
    pub(super) memory: &'h HostMemory,
    /// Whether it may wait for memory.
    pub(super) may_wait: bool,
}

/// Reads a body.
///
/// # Errors
/// The response to a body that is too large, too slow or malformed, or for which there is no room.
pub(super) async fn read<B>(body: B, limits: BodyLimits<'_>) -> Result<RequestBody, ErrorResponse>
where
    B: Body<Data = Bytes>,
{
    let mut memory = None;
    let reading = read_into(body, limits, &mut memory);
    match tokio::time::timeout(limits.time, reading).await {
        Ok(bytes) => bytes.map(|bytes| RequestBody { bytes, memory }),
        Err(_) => Err(match memory.and_then(|memory| memory.has_waited()) {
            Some(over) => no_room(over),
            None => ErrorResponse::SlowBody,
        }),
    }
}

async fn read_into<B>(
    body: B,
    limits: BodyLimits<'_>,
    memory: &mut Option<Box<BodyMemory>>,
) -> Result<Bytes, ErrorResponse>
where
    B: Body<Data = Bytes>,
{
    let expected = body.size_hint().lower();
    if expected > limits.length as u64 {
        return Err(ErrorResponse::LargeBody);
    }
    let mut body = pin!(body);
    let mut read = BytesMut::new();
    while let Some(frame) = body.as_mut().frame().await {
        let frame = frame.map_err(|_| ErrorResponse::BrokenBody)?;
        // Trailers mean nothing to any component.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let length = read.len() + data.len();
        if length > limits.length {
            return Err(ErrorResponse::LargeBody);
        }
        let is_whole = read.is_empty() && body.is_end_stream();
        if !is_whole || length >= FREE {
            let memory = memory.get_or_insert_with(|| {
                Box::new(BodyMemory::new(limits.memory, expected, limits.may_wait))
            });
            memory.grow(length).await.map_err(no_room)?;
        }
        if is_whole {
            return Ok(data);
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

fn no_room(over: OverLimit) -> ErrorResponse {
    ErrorResponse::Unread(CallError::Memory(over.to_string()))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{FutureExt as _, stream};
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::*;

    /// Reads a body that arrives in these parts, each of them the end of a larger buffer.
    fn read_parts(parts: &[usize], limit: usize, memory: &HostMemory) -> Option<RequestBody> {
        let parts = parts.iter().map(|&length| {
            let part = Bytes::from(vec![b'b'; 8 << 10]).split_to(length);
            Ok::<_, Infallible>(Frame::data(part))
        });
        let body = StreamBody::new(stream::iter(parts));
        read(body, limits(limit, memory)).now_or_never()?.ok()
    }

    fn limits(length: usize, memory: &HostMemory) -> BodyLimits<'_> {
        BodyLimits {
            length,
            time: Duration::from_secs(30),
            memory,
            may_wait: true,
        }
    }

    #[tokio::test]
    async fn body_within_the_limit_is_read_whole_and_one_byte_more_is_refused() {
        let memory = HostMemory::new(FREE);
        let body = read_parts(&[1, 0, 7, 2], 10, &memory).expect("a body");
        assert_eq!((&*body.bytes, memory.used()), (&[b'b'; 10][..], 10));
        drop(body);
        assert!(read_parts(&[1, 0, 7, 3], 10, &memory).is_none());
    }

    #[tokio::test]
    async fn body_that_is_there_at_once_is_not_copied_and_takes_no_memory() {
        let whole = Bytes::from_static(b"body");
        let memory = HostMemory::new(FREE);
        let read = read(Full::new(whole.clone()), limits(10, &memory));
        let read = read.now_or_never().expect("it is there").expect("a body");
        assert_eq!(read.bytes.as_ptr(), whole.as_ptr());
        assert!(read.memory.is_none() && memory.used() == 0);
    }

    #[tokio::test]
    async fn large_bodies_take_memory_until_they_are_dropped() {
        let memory = HostMemory::new(3 * FREE);
        let parts = [8 << 10; 20];
        let body = read_parts(&parts, 1 << 20, &memory).expect("a body");
        assert_eq!(memory.used(), 2 * FREE);
        assert!(read_parts(&parts, 1 << 20, &memory).is_none());
        assert!(read_parts(&parts[..7], 1 << 20, &memory).is_some());
        drop(body);
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn body_that_has_waited_for_memory_in_vain_is_503_and_a_slow_one_is_408() {
        let memory = HostMemory::new(2 * FREE);
        let parts = [8 << 10; 20];
        let held = read_parts(&parts, 1 << 20, &memory).expect("a body");
        let data = Bytes::from(vec![b'b'; FREE]);
        let soon = BodyLimits {
            time: Duration::from_millis(10),
            ..limits(1 << 20, &memory)
        };
        let large = read(Full::new(data), soon).await;
        assert!(matches!(large, Err(ErrorResponse::Unread(_))), "{large:?}");
        drop(held);
        let never = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let slow = read(never, soon).await;
        assert!(matches!(slow, Err(ErrorResponse::SlowBody)), "{slow:?}");
    }
}
