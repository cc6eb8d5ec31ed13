// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process with what it has of the regions shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use ashmem_inspect::android_app::AndroidApps;
use ashmem_inspect::group::Sum;
use ashmem_inspect::growth::{Baseline, Grower, Growth, Stock};
use ashmem_inspect::holder_name::{HolderIdentity, HolderName};
use ashmem_inspect::process::Process;
use ashmem_inspect::region::CensusRegion;
use ashmem_trace::text::Text;

/// What a process has.
#[derive(Clone, Debug)]
pub(crate) struct ProcessRow {
    pub(crate) process: Arc<Process>,
    /// The application of Android that it belongs to, where its own name is another.
    pub(crate) app: Option<Text>,
    /// How many regions it holds or maps.
    pub(crate) regions: usize,
    /// How many of them nobody maps.
    pub(crate) unmapped: usize,
    /// Bytes of its regions, whoever has them besides.
    pub(crate) size: Sum,
    /// Bytes of their memory, whoever has them besides.
    pub(crate) resident: Sum,
    /// Bytes: its share of what it maps (PSS).
    pub(crate) share: u64,
    /// Since the baseline.
    pub(crate) growth: Growth,
}

impl ProcessRow {
    /// Every process that has any of these regions, at this moment of the baseline's clock.
    pub(crate) fn all_of<'a>(
        regions: impl Iterator<Item = &'a CensusRegion>,
        baseline: &Baseline,
        now: f64,
    ) -> Vec<Self> {
        let mut found: BTreeMap<i32, (Self, Stock)> = BTreeMap::new();
        let nothing = Growth { regions: 0, size: Some(0), resident: Some(0), seconds: 0.0 };
        for region in regions {
            for holder in &region.holders {
                let (row, stock) = found.entry(holder.process.pid).or_insert_with(|| {
                    let row = Self {
                        process: holder.process.clone(),
                        app: None,
                        regions: 0,
                        unmapped: 0,
                        size: Sum::default(),
                        resident: Sum::default(),
                        share: 0,
                        growth: nothing,
                    };
                    (row, Stock::default())
                });
                stock.add(region);
                row.regions += 1;
                row.unmapped += usize::from(region.is_unmapped());
                row.size.add(region.size);
                row.resident.add(region.resident);
                row.share += holder.share;
            }
        }
        let apps = AndroidApps::of(found.values().map(|(row, _)| &*row.process));
        let grown = |(mut row, stock): (Self, Stock)| {
            // A process of an application may have a word behind the package.
            let is_other =
                |app: &&Text| !row.process.command.as_bytes().starts_with(app.as_bytes());
            row.app = apps.app(&row.process).filter(is_other).cloned();
            row.growth = baseline.growth(&row.grower(), &stock, now);
            row
        };
        found.into_values().map(grown).collect()
    }

    /// What it is recognised by.
    pub(crate) fn grower(&self) -> Grower {
        Grower::Holder(HolderName::of(&self.process, HolderIdentity::Process))
    }

    /// Whether it may leak.
    pub(crate) fn is_leak(&self) -> bool {
        self.unmapped > 0 || self.growth.regions > 0
    }
}
