// SPDX-License-Identifier: MIT OR Apache-2.0
//! The page map of a region as rows of blocks. Each state has a glyph of its own, so that it reads
//! without colours.

use ashmem_inspect::amount::Bytes;
use ashmem_inspect::page_map::{Block, PageMap};
use ratatui::text::{Line, Span};

use crate::theme::Theme;

/// Columns of the offset before each row.
const OFFSET: usize = 8;

/// Every glyph with what it says.
pub(super) const LEGEND: [(char, &str); 6] = [
    ('█', "memory"),
    ('▄', "memory in part"),
    ('░', "no memory"),
    ('▒', "unpinned, memory"),
    ('·', "unpinned, no memory: purged or never written"),
    ('?', "unknown"),
];

/// How many pages a block stands for, so that all fit into this many columns and rows: a power of
/// two.
pub(super) fn pages_each(pages: u64, width: usize, rows: usize) -> u64 {
    let room = (width.saturating_sub(OFFSET).max(1) * rows.max(1)) as u64;
    pages.div_ceil(room).max(1).next_power_of_two()
}

/// The rows.
pub(super) fn rows(
    map: &PageMap,
    page_size: u64,
    width: usize,
    most: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let each = pages_each(map.pages, width, most);
    let columns = width.saturating_sub(OFFSET).max(1);
    let blocks = map.blocks(each);
    let row = |(number, blocks): (usize, &[Block])| {
        let offset = number as u64 * columns as u64 * each * page_size;
        let mut spans =
            vec![Span::styled(format!("{:>6}  ", Bytes(offset).to_string()), theme.quiet())];
        // Neighbours that look alike are one piece.
        for run in blocks.chunk_by(|one, other| glyph(one) == glyph(other)) {
            let glyph = glyph(&run[0]);
            let style = match glyph {
                '▒' => theme.unpinned(),
                '·' => theme.purged(),
                '░' | '?' => theme.quiet(),
                _ => theme.memory(),
            };
            spans.push(Span::styled(String::from(glyph).repeat(run.len()), style));
        }
        Line::from(spans)
    };
    blocks.chunks(columns).enumerate().map(row).collect()
}

/// What a block shows: of the pages in it, what may be lost.
fn glyph(block: &Block) -> char {
    let is_unpinned = block.unpinned.is_some_and(|pages| pages > 0);
    match (block.resident, is_unpinned) {
        (None, false) => '?',
        (None | Some(1..), true) => '▒',
        (Some(0), true) => '·',
        (Some(0), false) => '░',
        (Some(pages), false) => {
            if pages >= block.pages {
                '█'
            } else {
                '▄'
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, PageMap, glyph, pages_each, rows};
    use crate::theme::Theme;

    #[test]
    fn each_state_has_its_glyph() {
        let of = |resident, unpinned| glyph(&Block { pages: 4, resident, unpinned });
        let (none, some) = (Some(0), Some(1));
        let seen = [
            of(Some(4), none),
            of(some, none),
            of(none, none),
            of(some, some),
            of(none, some),
            of(None, None),
        ];
        assert_eq!(seen, super::LEGEND.map(|(glyph, _)| glyph));
        assert_eq!((of(Some(4), None), of(None, some)), ('█', '▒'), "what is known is shown");
    }

    #[test]
    fn any_region_fits() {
        assert_eq!(pages_each(4, 80, 4), 1);
        assert_eq!(pages_each(72 * 4 + 1, 80, 4), 2);
        for pages in [0, 1, 1000, 1 << 28] {
            let map = PageMap { pages, resident: Some(Vec::new()), ..PageMap::default() };
            for width in [1, 9, 80, 300] {
                let rows = rows(&map, 4096, width, 4, Theme { in_colour: false });
                assert!(rows.len() <= 4, "{pages} pages in {width} columns");
            }
        }
    }

    #[test]
    fn a_row_says_where_it_begins() {
        let map = PageMap {
            pages: 12,
            resident: Some(vec![0..2, 9..10]),
            unpinned: Some(std::iter::once(8..11).collect()),
            limits: Vec::new(),
        };
        let rows = rows(&map, 4096, 16, 2, Theme { in_colour: false });
        let texts: Vec<String> = rows.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["     0  ██░░░░░░", "   32K  ·▒·░"]);
    }
}
