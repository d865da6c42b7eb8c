use std::io::{self, BufRead};

/// The lines of a log, of which none takes more than its share of memory.
pub(super) struct Source<R> {
    log: R,
    buffer: Vec<u8>,
    number: u64,
    bytes: u64,
}

/// One line, without its end.
pub(super) struct Text<'s> {
    /// From 1.
    pub(super) number: u64,
    /// `None`: it is too long.
    pub(super) bytes: Option<&'s [u8]>,
}

impl<R: BufRead> Source<R> {
    /// # Errors
    /// When the log cannot be read, or is compressed.
    pub(super) fn new(mut log: R) -> io::Result<Self> {
        if log.fill_buf()?.starts_with(GZIP) {
            return Err(io::Error::other("it is compressed: write `zcat LOG | panoply replay -`"));
        }
        Ok(Self { log, buffer: Vec::new(), number: 0, bytes: 0 })
    }

    /// How many bytes were read.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn next_line(&mut self) -> io::Result<Option<Text<'_>>> {
        self.buffer.clear();
        let mut length = 0;
        loop {
            let read = match self.log.fill_buf() {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = read.iter().position(|byte| *byte == b'\n');
            let part = read.get(..end.unwrap_or(read.len())).unwrap_or_default();
            length += part.len();
            if length <= LONGEST {
                self.buffer.extend_from_slice(part);
            }
            let (is_over, taken) = (read.is_empty(), part.len() + usize::from(end.is_some()));
            self.log.consume(taken);
            self.bytes += taken as u64;
            if is_over && length == 0 {
                return Ok(None);
            }
            if is_over || end.is_some() {
                break;
            }
        }
        self.number += 1;
        let line = self.buffer.strip_suffix(b"\r").unwrap_or(&self.buffer);
        Ok(Some(Text { number: self.number, bytes: (length <= LONGEST).then_some(line) }))
    }
}

const GZIP: &[u8] = &[0x1f, 0x8b];

/// In bytes. nginx takes heads of 32 KiB, and writes up to four bytes for one.
const LONGEST: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn lines_come_one_by_one_and_the_long_are_skipped() {
        let long = vec![b'x'; 1024 * 1024];
        let log = [&b"one\r\n\ntwo\n"[..], &long, b"\nthree"].concat();
        for capacity in [1, 7, 65_536] {
            let mut source = Source::new(BufReader::with_capacity(capacity, &*log)).unwrap();
            let mut lines = Vec::new();
            while let Some(text) = source.next_line().unwrap() {
                let line = text.bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
                lines.push((text.number, line));
            }
            let text = |text: &str| Some(text.to_owned());
            let expected = [(1, text("one")), (2, text("")), (3, text("two")), (4, None), (5, text("three"))];
            assert_eq!(lines, expected, "{capacity}");
            assert_eq!(source.bytes(), log.len() as u64);
            assert!(source.buffer.capacity() <= 2 * LONGEST);
        }
        assert!(Source::new(&b"\x1f\x8b\x08"[..]).is_err());
    }
}
