//! State that outlives a kill: values in order, written and read back by the same program.
//!
//! Nothing here describes itself. What is written is scratch of one build, behind the checksum and
//! the program's digest of a checkpoint, so that a value's shape is simply its type.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};

/// Takes state, value after value.
pub struct StateWriter<'a>(&'a mut dyn Write);

/// Gives state back, in the order in which it was written.
pub struct StateReader<'a>(&'a mut dyn Read);

impl<'a> StateWriter<'a> {
    /// Into these bytes; many small writes come.
    pub fn new(into: &'a mut dyn Write) -> StateWriter<'a> {
        StateWriter(into)
    }

    /// Writes a value.
    ///
    /// Errors: those of the writer.
    pub fn put<T: Serialize + ?Sized>(&mut self, value: &T) -> io::Result<()> {
        use bincode::error::EncodeError;
        let done =
            bincode::serde::encode_into_std_write(value, &mut self.0, bincode::config::legacy());
        done.map(|_| ()).map_err(|error| match error {
            EncodeError::Io { inner, .. } => inner,
            other => io::Error::other(other),
        })
    }

    /// Writes bytes as they are.
    ///
    /// Errors: those of the writer.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }
}

impl<'a> StateReader<'a> {
    /// From these bytes; many small reads come.
    pub fn new(from: &'a mut dyn Read) -> StateReader<'a> {
        StateReader(from)
    }

    /// Reads a value.
    ///
    /// Errors: those of the reader, and bytes that are no such value.
    pub fn get<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        use bincode::error::DecodeError;
        bincode::serde::decode_from_std_read(&mut self.0, bincode::config::legacy()).map_err(
            |error| match error {
                DecodeError::Io { inner, .. } => inner,
                other => io::Error::new(io::ErrorKind::InvalidData, other),
            },
        )
    }

    /// Reads so many bytes as they are.
    ///
    /// Errors: those of the reader.
    pub fn bytes(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.0.read_exact(into)
    }

    /// Passes over so many bytes.
    ///
    /// Errors: those of the reader, and an end before them.
    pub fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut Read::take(&mut *self.0, bytes), &mut io::sink())?;
        if skipped == bytes {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_to_the_bit_in_their_order() {
        let numbers = [f64::NEG_INFINITY, -0.0, f64::NAN, 1e-320];
        let mut bytes = Vec::new();
        let mut writer = StateWriter::new(&mut bytes);
        writer.put(&numbers).expect("into memory");
        writer.bytes(b"passed over").expect("into memory");
        writer.put(&Some((7_u32, true))).expect("into memory");
        let mut rest = &bytes[..];
        let mut reader = StateReader::new(&mut rest);
        let back: [f64; 4] = reader.get().expect("numbers");
        assert_eq!(back.map(f64::to_bits), numbers.map(f64::to_bits));
        reader.skip(11).expect("bytes");
        assert_eq!(
            reader.get::<Option<(u32, bool)>>().expect("a pair"),
            Some((7, true))
        );
        let end = reader.get::<u8>().expect_err("nothing is left");
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
        assert!(reader.skip(1).is_err());
    }
}
