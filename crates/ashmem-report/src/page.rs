// SPDX-License-Identifier: MIT OR Apache-2.0
//! The page as HTML: one file that asks for no other, whose only script is its own.

use ashmem_trace::family::NAMELESS;
use base64::Engine as _;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::cell::{Cell, ColumnKind};
use crate::data::packed;
use crate::fold::{Fold, FoldedGroup, counted};
use crate::picture::{chart, flame, map};
use crate::sheet::{Sheet, Table};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("tables.js");

/// Rows of a table that stand in the HTML, for readers and printers without scripts. The others are
/// data (see [`packed`]), and `tables.js` shows as many at a time.
const WITHOUT_SCRIPT: usize = 100;

impl Sheet {
    /// The page.
    pub fn html(&self) -> String {
        // Nothing is loaded, and of scripts and styles only these run, whatever a name smuggled in.
        let policy = format!(
            "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
            hash(STYLE),
            hash(SCRIPT)
        );
        let tables = || std::iter::once(&self.leaks).chain(&self.tables);
        let has_more = tables().any(|table| table.rows.len() > WITHOUT_SCRIPT);
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) ": " (self.about.first().map_or("", String::as_str)) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        h1 { (self.title) }
                        p.about { (self.about.join(" · ")) }
                        @if !self.limits.is_empty() {
                            ul.limits { @for limit in &self.limits { li { (limit) } } }
                        }
                        dl {
                            @for figure in &self.figures {
                                div class=[figure.is_bad.then_some("bad")] {
                                    dt { (figure.label) }
                                    dd { (figure.value) }
                                }
                            }
                        }
                    }
                    main {
                        @for picture in &self.maps { (map(picture)) }
                        @for picture in &self.flames { (flame(picture)) }
                        @for picture in &self.charts { (chart(picture)) }
                        p.note #stale hidden {
                            "This browser cannot unpack the tables' other rows, nor sort or search "
                            "them: a newer one can."
                        }
                        @if has_more {
                            noscript {
                                p.note {
                                    "Without scripts a table shows its first " (WITHOUT_SCRIPT)
                                    " rows."
                                }
                            }
                        }
                        (table(&self.leaks))
                        @for one in &self.folds { (fold(one)) }
                        @for one in &self.tables { (table(one)) }
                    }
                    footer {
                        p {
                            "Made by ashmem report " (env!("CARGO_PKG_VERSION"))
                            ". Names are shown escaped, as `ashmem list` does."
                        }
                    }
                    // Data, which no browser runs.
                    script #rows type="application/gzip" { (PreEscaped(packed(tables()))) }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        page.into_string()
    }
}

fn hash(text: &str) -> String {
    format!(
        "'sha256-{}'",
        base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text.as_bytes()))
    )
}

fn table(table: &Table) -> Markup {
    let heading = format!("{}-title", table.id);
    html! {
        section
            id={ (table.id) "-section" }
            class=[table.rows.is_empty().then_some("none")]
            aria-labelledby=(heading)
        {
            h2 id=(heading) { (table.title) }
            @if table.rows.is_empty() {
                p { (table.if_empty) }
            } @else {
                p.soft { (table.about) }
                @if table.left_out > 0 {
                    p {
                        (table.rows.len()) " of " (table.all())
                        " are here, the first in this order: for more the page would be too large."
                    }
                }
                div.wide {
                    table id=(table.id) aria-labelledby=(heading) {
                        (columns(&table.columns))
                        tbody {
                            @for cells in table.rows.iter().take(WITHOUT_SCRIPT) {
                                (row(cells, &table.columns))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn columns(columns: &[(&str, ColumnKind)]) -> Markup {
    html! {
        thead { tr {
            @for (title, kind) in columns { th scope="col" class=[class(*kind)] { (title) } }
        } }
    }
}

/// A row; each cell carries its column's title, for windows in which a row is as a card.
fn row(cells: &[Cell], columns: &[(&str, ColumnKind)]) -> Markup {
    html! {
        tr {
            @for (cell, (title, kind)) in cells.iter().zip(columns) {
                td class=[class(*kind)] data-label=(title) { (cell.shown) }
            }
        }
    }
}

fn class(kind: ColumnKind) -> Option<&'static str> {
    (kind == ColumnKind::Number).then_some("n")
}

fn fold(fold: &Fold) -> Markup {
    let heading = format!("{}-title", fold.id);
    html! {
        @if !fold.groups.is_empty() {
            section id={ (fold.id) "-section" } aria-labelledby=(heading) {
                h2 id=(heading) { (fold.title) }
                p.soft { (fold.about) }
                @for group in &fold.groups { (folded(group, &fold.columns)) }
                @if fold.left_out > 0 { p { "And " (counted(fold.left_out, "name")) " more." } }
            }
        }
    }
}

fn folded(group: &FoldedGroup, titles: &[(&'static str, ColumnKind)]) -> Markup {
    html! {
        // Regions without a name have none to be searched for.
        details data-name=[(group.name != NAMELESS).then_some(&group.name)] {
            summary {
                b { (group.name) } " "
                span.soft { (group.figures.join(" · ")) }
                @if let Some(warning) = &group.warning { " " span.warning { (warning) } }
            }
            div.wide {
                table {
                    (columns(titles))
                    tbody { @for cells in &group.members { (row(cells, titles)) } }
                }
            }
            @if group.left_out > 0 { p { "And " (counted(group.left_out, "holder")) " more." } }
        }
    }
}
