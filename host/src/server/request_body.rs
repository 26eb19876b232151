//! Reads the body of a request into one buffer.
//!
//! hyper passes a body in parts, and each part keeps the buffer alive that it was read into: 8 KiB
//! for a byte that arrives alone. So a part is copied unless it is the whole body, and what is held
//! is at most twice what has arrived. What exceeds 64 KiB counts towards `--host-memory`.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;

use super::error_body::ErrorResponse;
use crate::memory::{Charge, FREE, HostMemory, OverLimit};
use crate::sandbox::CallError;

/// A body, and the charge for it if it is large.
#[derive(Debug)]
pub(super) struct RequestBody {
    pub(super) bytes: Bytes,
    pub(super) charge: Option<Charge>,
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// The response to a body that is too large or malformed, or for which `memory` has no room.
pub(super) async fn read<B>(
    body: B,
    limit: usize,
    memory: &HostMemory,
) -> Result<RequestBody, ErrorResponse>
where
    B: Body<Data = Bytes>,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(ErrorResponse::LargeBody);
    }
    let mut body = pin!(body);
    let (mut read, mut charge) = (BytesMut::new(), None);
    while let Some(frame) = body.as_mut().frame().await {
        let frame = frame.map_err(|_| ErrorResponse::BrokenBody)?;
        // Trailers mean nothing to any component.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let length = read.len() + data.len();
        if length > limit {
            return Err(ErrorResponse::LargeBody);
        }
        if length >= FREE {
            let charge = charge.get_or_insert_with(|| memory.request(usize::MAX).charge());
            let full = |full: OverLimit| ErrorResponse::Unread(CallError::Memory(full.to_string()));
            charge.resize(length).map_err(full)?;
        }
        if read.is_empty() && body.is_end_stream() {
            return Ok(RequestBody {
                bytes: data,
                charge,
            });
        }
        read.extend_from_slice(&data);
    }
    Ok(RequestBody {
        bytes: read.freeze(),
        charge,
    })
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
        read(body, limit, memory).now_or_never()?.ok()
    }

    #[test]
    fn body_within_the_limit_is_read_whole_and_one_byte_more_is_refused() {
        let memory = HostMemory::new(FREE);
        let body = read_parts(&[1, 0, 7, 2], 10, &memory).expect("a body");
        assert_eq!(
            (&*body.bytes, body.charge.is_none()),
            (&[b'b'; 10][..], true)
        );
        assert!(read_parts(&[1, 0, 7, 3], 10, &memory).is_none());
    }

    #[test]
    fn body_that_is_there_at_once_is_not_copied() {
        let whole = Bytes::from_static(b"body");
        let memory = HostMemory::new(FREE);
        let read = read(Full::new(whole.clone()), 10, &memory);
        let read = read.now_or_never().expect("it is there").expect("a body");
        assert_eq!(read.bytes.as_ptr(), whole.as_ptr());
    }

    #[test]
    fn large_bodies_are_charged_until_they_are_dropped() {
        let memory = HostMemory::new(3 * FREE);
        let parts = [8 << 10; 20];
        let body = read_parts(&parts, 1 << 20, &memory).expect("a body");
        assert_eq!(memory.used(), 2 * FREE);
        assert!(read_parts(&parts, 1 << 20, &memory).is_none());
        assert!(read_parts(&parts[..7], 1 << 20, &memory).is_some());
        drop(body);
        assert_eq!(memory.used(), 0);
    }
}
