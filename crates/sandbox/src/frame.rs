//! Messages on a stream: each with its length, none longer than the reader allows, none later than it waits.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// Sends one message.
///
/// # Errors
/// As the stream's.
pub fn send(stream: &mut impl Write, message: &[u8]) -> Result<()> {
    stream.write_all(&(message.len() as u64).to_le_bytes())?;
    stream.write_all(message)
}

/// Receives one message of at most `most` bytes. Memory is taken as bytes arrive, not as they are promised.
///
/// # Errors
/// [`ErrorKind::UnexpectedEof`] when the other end is gone, [`ErrorKind::InvalidData`] when the message is too long; else the stream's.
pub fn receive(stream: &mut impl Read, most: u64) -> Result<Vec<u8>> {
    let mut length = [0; 8];
    stream.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > most {
        return Err(Error::new(
            ErrorKind::InvalidData,
            format!("a message of {length} bytes, where {most} are the most"),
        ));
    }
    let mut message = vec![];
    stream.take(length).read_to_end(&mut message)?;
    if (message.len() as u64) < length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(message)
}

/// A stream on which nothing is waited for beyond a deadline, however slowly the other end speaks.
pub struct Until<'s>(pub &'s UnixStream, pub Instant);

impl Until<'_> {
    /// The deadline as the stream's own, for one call.
    fn left(&self) -> Result<Option<std::time::Duration>> {
        let left = self.1.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

/// What a socket says when its time is up.
fn late(error: Error) -> Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.0.set_read_timeout(self.left()?)?;
        self.0.read(buffer).map_err(late)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        self.0.set_write_timeout(self.left()?)?;
        self.0.write(buffer).map_err(late)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn messages_are_bounded_in_length_and_time_and_end_with_the_other_end() {
        let (mut here, there) = UnixStream::pair().unwrap();
        let soon = || Instant::now() + Duration::from_millis(100);
        send(&mut here, b"word").unwrap();
        assert_eq!(receive(&mut Until(&there, soon()), 4).unwrap(), b"word");
        send(&mut here, b"words").unwrap();
        assert_eq!(receive(&mut Until(&there, soon()), 4).unwrap_err().kind(), ErrorKind::InvalidData);
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&9_u64.to_le_bytes()).unwrap();
        assert_eq!(receive(&mut Until(&there, soon()), 9).unwrap_err().kind(), ErrorKind::TimedOut);
        here.write_all(&9_u64.to_le_bytes()).unwrap();
        drop(here);
        assert_eq!(receive(&mut Until(&there, soon()), 9).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}
