// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! What the decoding of an ioctl promises, for any number and argument; the fuzzer holds it to the
//! same promises.

use ashmem_core::abi::{Caller, Request};

/// Panics where [`Request::decode`] does not keep rows NUM-01 to NUM-17 and FID-04.
pub(crate) fn check(cmd: u32, arg: u64) {
    let native = Request::decode(Caller::Bits64, cmd, arg);
    let compat = Request::decode(Caller::Bits32, cmd, arg);
    assert_eq!(native, expected(cmd, arg), "native {cmd:#x}");
    // A compat caller's pointer or value is 32 bits wide (NUM-16), and every native number is known
    // to it (NUM-17).
    let low = arg & 0xffff_ffff;
    let narrow = match cmd {
        0x4004_7703 => Some(Request::SetSize(low)),
        0x4004_7705 => Some(Request::SetProtMask(low)),
        0x8004_770b => Some(Request::GetFileId { address: low, bytes: 4 }),
        _ => expected(cmd, low),
    };
    assert_eq!(compat, narrow, "compat {cmd:#x}");
}

/// The numbers of the uapi header, digit by digit; all others are unknown (NUM-14, NUM-15).
fn expected(cmd: u32, arg: u64) -> Option<Request> {
    Some(match cmd {
        0x4100_7701 => Request::SetName(arg),
        0x8100_7702 => Request::GetName(arg),
        0x4008_7703 => Request::SetSize(arg),
        0x7704 => Request::GetSize,
        0x4008_7705 => Request::SetProtMask(arg),
        0x7706 => Request::GetProtMask,
        0x4008_7707 => Request::Pin(arg),
        0x4008_7708 => Request::Unpin(arg),
        0x7709 => Request::GetPinStatus(arg),
        0x770a => Request::PurgeAllCaches,
        0x8008_770b => Request::GetFileId { address: arg, bytes: 8 },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::check;

    /// Every direction, number and plausible size; then every single bit turned.
    #[test]
    fn num_01_to_17_no_number_is_known_but_those_of_the_header() {
        for direction in 0..4_u32 {
            for size in [0, 1, 2, 4, 8, 16, 255, 256, 257, 0x3fff] {
                for low in 0x7600..0x7900 {
                    let cmd = direction << 30 | size << 16 | low;
                    check(cmd, 0xdead_beef_8000_0001);
                    (0..32).for_each(|bit| check(cmd ^ 1 << bit, u64::MAX));
                }
            }
        }
    }
}
