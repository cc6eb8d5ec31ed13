// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an ioctl's argument points to in the caller's memory.

use ashmem_core::abi::{self, NAME_LEN, Pin, Request};
use rustix::io::{Errno, Result};

use crate::target_thread::Target;

/// What an ioctl's argument points to. It is read before anything is decided, as the driver does
/// (PIN-02, NAME-08).
pub(crate) enum Argument {
    None,
    Name(Result<Vec<u8>>),
    Pin(Result<Pin>),
}

impl Argument {
    /// Reads what this request's argument points to.
    pub(crate) fn of(request: Option<Request>, target: &Target<'_>) -> Self {
        match request {
            Some(Request::SetName(at)) => Self::Name(target.read_string(at, NAME_LEN - 1)),
            Some(Request::Pin(at) | Request::Unpin(at) | Request::GetPinStatus(at)) => {
                let mut bytes = [0; abi::PIN_BYTES];
                Self::Pin(target.read(at, &mut bytes).map(|()| Pin::from_bytes(bytes)))
            }
            _ => Self::None,
        }
    }

    pub(super) fn name(&self) -> Result<&[u8]> {
        match self {
            Self::Name(Ok(name)) => Ok(name),
            // For whatever reason the memory cannot be read.
            _ => Err(Errno::FAULT),
        }
    }

    pub(super) fn pin(&self) -> Result<Pin> {
        match self {
            Self::Pin(Ok(pin)) => Ok(*pin),
            _ => Err(Errno::FAULT),
        }
    }
}
