// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a region costs from open to close, as a whole and call by call, beside a memfd.

use crate::clock::{Clock, median, ticks};
use crate::system::{self, Answer, Device, PAGE};
use ashmem_bench::{MEMFD_PIECES, PIECES, figure};
use std::ffi::CStr;

pub(crate) const NAME: &CStr = c"bench";
pub(crate) const BATCHES: usize = 15;
pub(crate) const LIVES: usize = 200;

/// Pages of one mapping that are touched for the first time, one after the other: one page table's
/// worth.
const TOUCHED: usize = 512;
const TOUCHED_BYTES: usize = TOUCHED * PAGE;

/// A whole life, of a region and of a memfd.
pub(crate) fn lifecycle(clock: &Clock, device: &Device) -> Answer<Vec<(String, f64)>> {
    let region = clock.measure(BATCHES, LIVES, || {
        let region = device.open()?;
        region.set_name(NAME)?;
        region.set_size(PAGE)?;
        let at = region.map(0, PAGE, 0)?;
        system::touch(at, PAGE);
        system::unmap(at, PAGE)?;
        region.close()
    })?;
    let memfd = clock.measure(BATCHES, LIVES, || {
        let memfd = system::memfd(NAME)?;
        memfd.truncate(PAGE)?;
        let at = memfd.map(0, PAGE, 0)?;
        system::touch(at, PAGE);
        system::unmap(at, PAGE)?;
        memfd.close()
    })?;
    Ok(vec![(figure::LIFECYCLE.into(), region), (figure::LIFECYCLE_MEMFD.into(), memfd)])
}

/// Open and close alone, and the same of the device that does nothing.
pub(crate) fn open_close(clock: &Clock, device: &Device) -> Answer<Vec<(String, f64)>> {
    let cost = clock.measure(BATCHES, LIVES, || device.open()?.close())?;
    let null = Device::null();
    let floor = clock.measure(BATCHES, LIVES, || null.open()?.close())?;
    Ok(vec![(figure::OPEN_CLOSE.into(), cost), (figure::OPEN_CLOSE_NULL.into(), floor)])
}

/// GET_SIZE of a region that has one.
pub(crate) fn get_size(clock: &Clock, device: &Device) -> Answer<Vec<(String, f64)>> {
    let region = device.open()?;
    region.set_size(PAGE)?;
    let cost = clock.measure(BATCHES, LIVES, || region.size().map(drop))?;
    region.close()?;
    Ok(vec![(figure::GET_SIZE.into(), cost)])
}

/// First stores to the pages of one mapping; both kinds at the same addresses, so that page tables
/// weigh the same.
pub(crate) fn touch(clock: &Clock, device: &Device) -> Answer<Vec<(String, f64)>> {
    let place = system::reserve(TOUCHED_BYTES)?;
    let (mut region_costs, mut memfd_costs) = (Vec::new(), Vec::new());
    for batch in 0..=BATCHES {
        let region = device.open()?;
        region.set_size(TOUCHED_BYTES)?;
        let memfd = system::memfd(NAME)?;
        memfd.truncate(TOUCHED_BYTES)?;
        for (descriptor, costs) in [(region, &mut region_costs), (memfd, &mut memfd_costs)] {
            let at = descriptor.map(place, TOUCHED_BYTES, libc::MAP_FIXED)?;
            let from = ticks();
            system::touch(at, TOUCHED_BYTES);
            let to = ticks();
            // The first round fills the kernel's own lists of free pages and is not counted.
            if batch > 0 {
                costs.push(clock.nanoseconds(from, to) / TOUCHED as f64);
            }
            system::unmap(at, TOUCHED_BYTES)?;
            descriptor.close()?;
        }
    }
    Ok(vec![
        (figure::TOUCH.into(), median(&mut region_costs)),
        (figure::TOUCH_MEMFD.into(), median(&mut memfd_costs)),
    ])
}

/// The calls of a life one by one, in the order of [`PIECES`] and [`MEMFD_PIECES`].
pub(crate) fn pieces(clock: &Clock, device: &Device) -> Answer<Vec<(String, f64)>> {
    let region = laps(clock, |lap| {
        lap.start();
        let region = device.open()?;
        lap.take();
        region.set_name(NAME)?;
        lap.take();
        region.set_size(PAGE)?;
        lap.take();
        let at = region.map(0, PAGE, 0)?;
        lap.take();
        system::touch(at, PAGE);
        lap.take();
        system::unmap(at, PAGE)?;
        lap.take();
        let at = region.map(0, PAGE, 0)?;
        lap.take();
        system::unmap(at, PAGE)?;
        lap.take();
        region.close()?;
        lap.take();
        Ok(())
    })?;
    let memfd = laps(clock, |lap| {
        lap.start();
        let memfd = system::memfd(NAME)?;
        lap.take();
        memfd.truncate(PAGE)?;
        lap.take();
        let at = memfd.map(0, PAGE, 0)?;
        lap.take();
        system::touch(at, PAGE);
        lap.take();
        system::unmap(at, PAGE)?;
        lap.take();
        memfd.close()?;
        lap.take();
        Ok(())
    })?;
    let names = PIECES.iter().chain(&MEMFD_PIECES).map(|call| figure::piece(call));
    let costs: [f64; PIECES.len()] = region;
    let memfd_costs: [f64; MEMFD_PIECES.len()] = memfd;
    Ok(names.zip(costs.into_iter().chain(memfd_costs)).collect())
}

/// A stopwatch that keeps a sum for each lap of a round.
pub(crate) struct Laps<'a, const N: usize> {
    clock: &'a Clock,
    sums: [f64; N],
    next: usize,
    last: u64,
}

impl<const N: usize> Laps<'_, N> {
    #[inline(always)]
    pub(crate) fn start(&mut self) {
        self.next = 0;
        self.last = ticks();
    }

    #[inline(always)]
    pub(crate) fn take(&mut self) {
        let now = ticks();
        if let Some(sum) = self.sums.get_mut(self.next) {
            *sum += self.clock.nanoseconds(self.last, now);
        }
        self.next += 1;
        self.last = ticks();
    }
}

/// The usual time of each lap of `round`: the median over batches of the mean over rounds.
pub(crate) fn laps<const N: usize>(
    clock: &Clock,
    mut round: impl FnMut(&mut Laps<'_, N>) -> Answer<()>,
) -> Answer<[f64; N]> {
    let mut means: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(BATCHES));
    for batch in 0..=BATCHES {
        let mut laps = Laps { clock, sums: [0.0; N], next: 0, last: 0 };
        for _ in 0..LIVES {
            round(&mut laps)?;
        }
        if batch > 0 {
            means.iter_mut().zip(laps.sums).for_each(|(means, sum)| means.push(sum / LIVES as f64));
        }
    }
    Ok(means.map(|mut means| median(&mut means)))
}
