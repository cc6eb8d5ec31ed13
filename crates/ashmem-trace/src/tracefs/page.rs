// SPDX-License-Identifier: MIT OR Apache-2.0
//! One page of a trace buffer, as `trace_pipe_raw` hands it out.
//!
//! A time, how much of the page is written, then records: each begins with a word of which five
//! bits say how long it is, or what else it is, and 27 how many nanoseconds it came after the one
//! before (Linux's `ring_buffer.h`).

/// The header: a time and a `long`.
const HEADER: usize = 8 + size_of::<usize>();
/// Events were lost before this page.
const MISSED: usize = 1 << 31;
/// The number of lost events stands behind the last record.
const MISSED_STORED: usize = 1 << 30;

const PADDING: u32 = 29;
const TIME_EXTEND: u32 = 30;
const TIME_STAMP: u32 = 31;
/// An absolute time carries this many bits; the rest are the last one's.
const STAMP_BITS: u32 = 59;

/// One page.
pub struct Page<'a> {
    time: u64,
    records: &'a [u8],
    missed: Option<Missed>,
}

/// How many events are missing before a page; `None`: the kernel does not know.
pub type Missed = Option<u64>;

impl<'a> Page<'a> {
    /// Reads a page's header; `None` for bytes that are no page.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let time = u64::from_ne_bytes(*bytes.first_chunk()?);
        let commit = usize::from_ne_bytes(*bytes.get(8..)?.first_chunk()?);
        let len = commit & !(MISSED | MISSED_STORED) & 0xf_ffff;
        let records = bytes.get(HEADER..HEADER + len)?;
        let missed = (commit & MISSED != 0).then(|| {
            let stored = bytes.get(HEADER + len..)?.first_chunk()?;
            (commit & MISSED_STORED != 0).then(|| u64::from_ne_bytes(*stored))
        });
        Some(Self { time, records, missed })
    }

    /// Events that were lost before this page.
    pub fn missed(&self) -> Option<Missed> {
        self.missed
    }

    /// The page's time, in nanoseconds: that of its first record, or earlier.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Its records, each with its time.
    pub fn records(&self) -> Records<'a> {
        Records { time: self.time, rest: self.records }
    }
}

/// The records of a page.
pub struct Records<'a> {
    time: u64,
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    fn word(&mut self) -> Option<u32> {
        let (word, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_ne_bytes(*word))
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let header = self.word()?;
            let (kind, delta) = if cfg!(target_endian = "little") {
                (header & 31, u64::from(header >> 5))
            } else {
                (header >> 27, u64::from(header & 0x7ff_ffff))
            };
            match kind {
                // What was discarded after it was begun; without a time, the rest of the page.
                PADDING if delta == 0 => return None,
                PADDING => {
                    self.time = self.time.wrapping_add(delta);
                    let len = self.word()? as usize;
                    self.take(len.checked_sub(4)?)?;
                }
                TIME_EXTEND => {
                    let high = u64::from(self.word()?);
                    self.time = self.time.wrapping_add((high << 27) + delta);
                }
                TIME_STAMP => {
                    let high = u64::from(self.word()?);
                    self.time = (self.time >> STAMP_BITS << STAMP_BITS) | ((high << 27) + delta);
                }
                words => {
                    self.time = self.time.wrapping_add(delta);
                    let len = match words {
                        0 => (self.word()? as usize).checked_sub(4)?,
                        words => words as usize * 4,
                    };
                    return Some((self.time, self.take(len)?));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER, MISSED, MISSED_STORED, PADDING, Page, TIME_EXTEND};

    fn page(flags: usize, records: &[u8], behind: &[u8]) -> Vec<u8> {
        let mut bytes = 1000_u64.to_ne_bytes().to_vec();
        bytes.extend((records.len() | flags).to_ne_bytes());
        bytes.extend(records);
        bytes.extend(behind);
        bytes.resize(4096, 0);
        bytes
    }

    fn header(kind: u32, delta: u32) -> [u8; 4] {
        (kind | delta << 5).to_ne_bytes()
    }

    #[test]
    fn records_come_with_their_times() {
        let mut records = Vec::new();
        records.extend(header(2, 5));
        records.extend([1; 8]);
        records.extend(header(TIME_EXTEND, 1));
        records.extend(1_u32.to_ne_bytes());
        records.extend(header(PADDING, 3));
        records.extend(12_u32.to_ne_bytes());
        records.extend([9; 8]);
        // Longer than the five bits can say.
        records.extend(header(0, 7));
        records.extend(204_u32.to_ne_bytes());
        records.extend([2; 200]);
        records.extend(header(PADDING, 0));
        let bytes = page(0, &records, &[]);
        let page = Page::parse(&bytes).expect("a page");
        let found: Vec<_> =
            page.records().map(|(time, record)| (time, record.len(), record[0])).collect();
        assert_eq!(found, [(1005, 8, 1), (1005 + (1 << 27) + 1 + 3 + 7, 200, 2)]);
        assert_eq!(page.missed(), None);
    }

    #[test]
    fn what_is_missing_is_counted() {
        let bytes = page(MISSED | MISSED_STORED, &header(PADDING, 0), &77_u64.to_ne_bytes());
        assert_eq!(Page::parse(&bytes).expect("a page").missed(), Some(Some(77)));
        let bytes = page(MISSED, &header(PADDING, 0), &[]);
        assert_eq!(Page::parse(&bytes).expect("a page").missed(), Some(None));
    }

    #[test]
    fn bytes_that_are_no_page_end_nothing() {
        let mut seed = 1_u64;
        for len in (0..HEADER + 40).chain([4096]) {
            let bytes: Vec<u8> = (0..len)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (seed >> 33) as u8
                })
                .collect();
            if let Some(page) = Page::parse(&bytes) {
                assert!(page.records().count() <= len);
            }
        }
    }
}
