// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rows of tables as data that stands in the page: columns, in which what is shown alike stands
//! once, packed with gzip and written as base64. `tables.js` reads it.

use std::collections::HashMap;
use std::io::BufWriter;

use base64::Engine as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Serialize, Serializer};

use crate::cell::Cell;
use crate::sheet::Table;

/// A table's rows.
#[derive(Serialize)]
struct PackedTable<'a> {
    id: &'a str,
    rows: usize,
    columns: Vec<PackedColumn<'a>>,
}

/// A column: `s` is what its cells show, `v` by what they are sorted where that is another number
/// than the one shown, `i` which of these each row has; without `i` it is one after another.
#[derive(Serialize)]
struct PackedColumn<'a> {
    s: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<Vec<Number>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    i: Option<Vec<usize>>,
}

/// A number as JSON writes it shortest.
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_whole = self.0.fract() == 0.0 && self.0.abs() < 2_f64.powi(53);
        match is_whole {
            true => serializer.serialize_i64(self.0 as i64),
            false => serializer.serialize_f64(self.0),
        }
    }
}

/// All tables' rows, in letters, digits, `+`, `/` and `=` alone.
pub(crate) fn packed<'a>(tables: impl Iterator<Item = &'a Table>) -> String {
    let tables: Vec<PackedTable<'_>> = tables
        .filter(|table| !table.rows.is_empty())
        .map(|table| PackedTable {
            id: table.id,
            rows: table.rows.len(),
            columns: (0..table.columns.len()).map(|place| column(table, place)).collect(),
        })
        .collect();
    // The encoder pays for each write, and the serializer writes each number by itself.
    let mut text =
        BufWriter::with_capacity(1 << 16, GzEncoder::new(Vec::new(), Compression::fast()));
    // Plain data, and a vector that takes all.
    let _ = serde_json::to_writer(&mut text, &tables);
    let packed = text.into_inner().ok().and_then(|packing| packing.finish().ok());
    base64::engine::general_purpose::STANDARD.encode(packed.unwrap_or_default())
}

fn column(table: &Table, place: usize) -> PackedColumn<'_> {
    let cells = || table.rows.iter().filter_map(|row| row.get(place));
    let mut known: HashMap<(&str, Option<u64>), usize> = HashMap::new();
    let (mut distinct, mut index): (Vec<&Cell>, Vec<usize>) = (Vec::new(), Vec::new());
    for cell in cells() {
        let number =
            *known.entry((&cell.shown, cell.value.map(f64::to_bits))).or_insert_with(|| {
                distinct.push(cell);
                distinct.len() - 1
            });
        index.push(number);
    }
    let is_shown = |cell: &&Cell| cell.value == cell.shown.parse().ok();
    let has_numbers = distinct.iter().any(|cell| cell.value.is_some());
    let v = (has_numbers && !distinct.iter().all(is_shown))
        .then(|| distinct.iter().map(|cell| Number(cell.value.unwrap_or(-1.0))).collect());
    let i = (distinct.len() < index.len()).then_some(index);
    PackedColumn { s: distinct.iter().map(|cell| cell.shown.as_str()).collect(), v, i }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use base64::Engine as _;

    use super::packed;
    use crate::cell::{Cell, ColumnKind};
    use crate::sheet::Table;

    #[test]
    fn what_is_shown_alike_stands_once() {
        let rows = [("</script>", 4096_u64, 7), ("b", 8192, 8), ("b", 4096, 9)];
        let table = Table {
            id: "regions",
            title: "",
            about: String::new(),
            if_empty: "",
            columns: vec![
                ("Name", ColumnKind::Words),
                ("Size", ColumnKind::Number),
                ("Id", ColumnKind::Number),
            ],
            rows: Vec::new(),
            left_out: 0,
        };
        let table = table.fill(&rows, |(name, size, id)| {
            vec![Cell::words(name), Cell::bytes(*size), Cell::count(*id)]
        });
        let text = packed([&table].into_iter());
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        assert!(text.bytes().all(is_plain), "{text}");
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
        let mut json = String::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut json).expect("gzip");
        assert_eq!(
            json,
            concat!(
                r#"[{"id":"regions","rows":3,"columns":[{"s":["</script>","b"],"i":[0,1,1]},"#,
                r#"{"s":["4K","8K"],"v":[4096,8192],"i":[0,1,0]},{"s":["7","8","9"]}]}]"#
            )
        );
    }
}
