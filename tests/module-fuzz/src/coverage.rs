// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which places of the module an input reached.
//!
//! The compiler put a call of `__sanitizer_cov_trace_pc` at each place that is worth knowing, in
//! both halves of the module. The module's file tells where they are; the kernel tells where it put
//! the file's sections.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;

use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};

use crate::machine::NAME;

/// What the compiler has called at each place.
const CALL: &str = "__sanitizer_cov_trace_pc";

/// A place of the module, counted from 0.
type Site = u32;

/// All places of the module.
#[derive(Default)]
pub(crate) struct Sites {
    /// By section, then by the address within it that a record holds.
    by_section: BTreeMap<String, HashMap<u64, Site>>,
    /// The function each lies in.
    functions: Vec<String>,
}

/// Where the kernel put each section; another place after each loading.
pub(crate) type Bases = Vec<(String, u64)>;

impl Sites {
    /// Reads the places from the module's file. A module without any is built without coverage.
    pub(crate) fn read(path: &str) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("reading {path}"))?;
        let file = object::File::parse(&*bytes)
            .with_context(|| format!("reading {path} as an object file"))?;
        let mut sites = Self::default();
        for section in file.sections() {
            let mut found = HashMap::new();
            for (offset, relocation) in section.relocations() {
                let RelocationTarget::Symbol(symbol) = relocation.target() else { continue };
                if file.symbol_by_index(symbol)?.name() != Ok(CALL) {
                    continue;
                }
                let function = file
                    .symbols()
                    .filter(|symbol| {
                        symbol.section_index() == Some(section.index()) && symbol.is_definition()
                    })
                    .filter(|symbol| symbol.address() <= offset)
                    .max_by_key(ObjectSymbol::address)
                    .and_then(|symbol| {
                        symbol
                            .name()
                            .ok()
                            .map(|name| format!("{:#}", rustc_demangle::demangle(name)))
                    });
                let site = sites.functions.len() as Site;
                sites.functions.push(function.unwrap_or_else(|| "?".to_owned()));
                // The record holds where the call returns to, behind the four bytes that the linker
                // fills in.
                found.insert(offset + 4, site);
            }
            if !found.is_empty() {
                sites.by_section.insert(section.name()?.to_owned(), found);
            }
        }
        Ok(sites)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.functions.len()
    }

    /// Where the sections with places are now; empty while the module is not loaded.
    pub(crate) fn bases(&self) -> Bases {
        let base = |name: &String| {
            let text = fs::read_to_string(format!("/sys/module/{NAME}/sections/{name}")).ok()?;
            Some((
                name.clone(),
                u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()?,
            ))
        };
        self.by_section.keys().filter_map(base).collect()
    }

    /// What a record of addresses shows: places, which followed which, and how often each was come
    /// by.
    pub(crate) fn features(&self, records: &[Vec<u64>], bases: &[&Bases]) -> HashSet<Feature> {
        let mut features = HashSet::new();
        for record in records {
            let (mut counts, mut before) = (BTreeMap::new(), None);
            for site in record.iter().filter_map(|address| self.site(*address, bases)) {
                *counts.entry(site).or_insert(0_u32) += 1;
                features.insert(Feature::Step(before, site));
                before = Some(site);
            }
            for (site, count) in counts {
                features.insert(Feature::Site(site));
                features.insert(Feature::Often(site, count.ilog2().div_ceil(2).min(4)));
            }
        }
        features
    }

    fn site(&self, address: u64, bases: &[&Bases]) -> Option<Site> {
        let mut sections = bases.iter().flat_map(|bases| bases.iter());
        sections.find_map(|(section, base)| {
            self.by_section.get(section)?.get(&address.checked_sub(*base)?).copied()
        })
    }

    /// The functions with places that these features do not reach: their names, and how many of how
    /// many were reached.
    pub(crate) fn missed(&self, reached: &HashSet<Feature>) -> Vec<String> {
        let reached: BTreeSet<Site> = reached
            .iter()
            .filter_map(
                |feature| if let Feature::Site(site) = feature { Some(*site) } else { None },
            )
            .collect();
        let mut functions: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (site, function) in self.functions.iter().enumerate() {
            let (seen, all) = functions.entry(function).or_default();
            *all += 1;
            *seen += usize::from(reached.contains(&(site as Site)));
        }
        functions
            .into_iter()
            .filter(|(_, (seen, all))| seen < all)
            .map(|(function, (seen, all))| format!("{seen} of {all}  {function}"))
            .collect()
    }
}

/// Something an input was seen to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Feature {
    /// It came by a place.
    Site(Site),
    /// It came by a place right after another.
    Step(Option<Site>, Site),
    /// It came by a place so often: once, up to 3 times, up to 15, ...
    Often(Site, u32),
}

/// How many of them are places.
pub(crate) fn sites(features: &HashSet<Feature>) -> usize {
    features.iter().filter(|feature| matches!(feature, Feature::Site(_))).count()
}
