// SPDX-License-Identifier: MIT OR Apache-2.0
//! How an event's record is laid out, by the kernel's own account.

use tracepoint_decode::PerfEventFormat;

/// An event's form.
#[derive(Debug)]
pub struct RecordFormat {
    format: PerfEventFormat,
}

/// Where one field lies.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordField {
    offset: usize,
    size: usize,
}

impl RecordFormat {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let format = PerfEventFormat::parse(size_of::<usize>() == 8, "", text)?;
        Some(Self { format })
    }

    /// The number that its records begin with.
    pub fn id(&self) -> u16 {
        self.format.id() as u16
    }

    /// A field by its name. One that this kernel has not reads as zero.
    pub fn field(&self, name: &str) -> RecordField {
        let field = self.format.fields().iter().find(|field| field.name() == name);
        field.map_or(RecordField { offset: 0, size: 0 }, |field| RecordField {
            offset: field.offset().into(),
            size: field.size().into(),
        })
    }

    /// Whether there is a field of this name.
    pub fn has(&self, name: &str) -> bool {
        self.format.fields().iter().any(|field| field.name() == name)
    }
}

impl RecordField {
    /// A number, as wide as the field is.
    pub fn unsigned(self, record: &[u8]) -> u64 {
        let Some(bytes) = record.get(self.offset..self.offset + self.size) else { return 0 };
        let mut word = [0; 8];
        match (word.get_mut(..bytes.len()), cfg!(target_endian = "little")) {
            (Some(low), true) => low.copy_from_slice(bytes),
            (Some(_), false) => word[8 - bytes.len()..].copy_from_slice(bytes),
            (None, _) => return 0,
        }
        u64::from_ne_bytes(word)
    }

    /// A number with its sign.
    pub fn signed(self, record: &[u8]) -> i64 {
        let value = self.unsigned(record);
        match self.size {
            4 => i64::from(value as u32 as i32),
            _ => value as i64,
        }
    }

    /// A string: in place, or where the field points to.
    pub fn string(self, record: &[u8]) -> &[u8] {
        let bytes = if self.size == 4 {
            let place = self.unsigned(record) as usize;
            let (start, len) = (place & 0xffff, place >> 16);
            record.get(start..start + len).unwrap_or_default()
        } else {
            record.get(self.offset..self.offset + self.size).unwrap_or_default()
        };
        bytes.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::RecordFormat;

    const OPEN: &str = "name: set_name\nID: 1234\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n\
        \tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:const void * region;\toffset:8;\tsize:8;\tsigned:0;\n\
        \tfield:__data_loc char[] name;\toffset:16;\tsize:4;\tsigned:0;\n\
        \tfield:long result;\toffset:24;\tsize:8;\tsigned:1;\n\n\
        print fmt: \"region=%p\", REC->region\n";

    #[test]
    fn fields_are_where_the_kernel_says() {
        let format = RecordFormat::parse(OPEN).expect("a form");
        let mut record = [0; 40];
        record[8..16].copy_from_slice(&0xffff_8881_0000_1000_u64.to_ne_bytes());
        record[16..20].copy_from_slice(&(5_u32 << 16 | 32).to_ne_bytes());
        record[24..32].copy_from_slice(&(-22_i64).to_ne_bytes());
        record[32..37].copy_from_slice(b"name\0");
        assert_eq!(format.id(), 1234);
        assert_eq!(format.field("region").unsigned(&record), 0xffff_8881_0000_1000);
        assert_eq!(format.field("result").signed(&record), -22);
        assert_eq!(format.field("name").string(&record), b"name");
        assert_eq!(format.field("common_pid").signed(&record), 0);
        assert_eq!(format.field("of another kernel").unsigned(&record), 0);
        assert!(!format.has("ns"));
    }

    #[test]
    fn a_record_that_is_too_short_is_no_reason_to_end() {
        let format = RecordFormat::parse(OPEN).expect("a form");
        for len in 0..40 {
            let record = vec![0xff; len];
            let _ =
                (format.field("name").string(&record), format.field("region").unsigned(&record));
        }
    }
}
