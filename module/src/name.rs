// SPDX-License-Identifier: GPL-2.0
//! A region's name. Most are short and lie in the region itself; a long one has an allocation of
//! its own, so that not every region pays for 255 bytes.

use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use ashmem_core::{Errno, abi};

use crate::{glue, user};

/// Room in the region, with the NUL.
const SHORT: usize = 31;

/// A name that was set: 1 to 255 bytes, without NUL.
pub(crate) enum Name {
    /// In place, with its NUL.
    Short([MaybeUninit<u8>; SHORT]),
    /// With its NUL, in an allocation that this value owns.
    Long(NonNull<u8>),
}

impl Name {
    /// Copies a name in from the caller: at most 255 bytes, up to the NUL (NAME-02 to NAME-06).
    /// `None` if it is empty.
    ///
    /// # Errors
    /// EFAULT, ENOMEM.
    #[inline(always)]
    pub(crate) fn read(address: u64) -> Result<Option<Self>, Errno> {
        let mut text = [const { MaybeUninit::<u8>::uninit() }; abi::NAME_LEN];
        let Some(len) = user::read_string(address, &mut text)? else { return Ok(None) };
        // The last place is the NUL's: `read_string` leaves it free, but need not have written it.
        if let Some(end) = text.get_mut(len.get()) {
            end.write(0);
        }
        match text.first_chunk::<SHORT>() {
            Some(short) if len.get() < SHORT => Ok(Some(Self::Short(*short))),
            _ => Self::long(&text, len.get() + 1).map(Some),
        }
    }

    fn long(text: &[MaybeUninit<u8>; abi::NAME_LEN], bytes: usize) -> Result<Self, Errno> {
        // SAFETY: allocates; null is looked at below.
        let memory = unsafe { glue::ashmem_name_alloc(bytes) };
        let memory = NonNull::new(memory.cast::<u8>()).ok_or(Errno::NoMem)?;
        // SAFETY: both have room for `bytes`, which is at most NAME_LEN, and do not overlap.
        unsafe { memory.copy_from_nonoverlapping(NonNull::from(text).cast(), bytes) };
        Ok(Self::Long(memory))
    }

    /// With its NUL.
    pub(crate) fn as_c_str(&self) -> &CStr {
        let text = match self {
            Self::Short(text) => text.as_ptr().cast::<c_char>(),
            Self::Long(text) => text.as_ptr().cast(),
        };
        // SAFETY: `read` ended either with a NUL, and nothing changes it.
        unsafe { CStr::from_ptr(text) }
    }
}

impl AsRef<[u8]> for Name {
    fn as_ref(&self) -> &[u8] {
        self.as_c_str().to_bytes()
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Self::Long(text) = self {
            // SAFETY: allocated by `long`, owned by this value alone.
            unsafe { glue::ashmem_name_free(text.as_ptr().cast()) }
        }
    }
}

/// A backing file's name: `dev/ashmem`, or `dev/ashmem/NAME` (NAME-15, NAME-16, NAME-18).
pub(crate) struct FullName([MaybeUninit<u8>; abi::NAME_PREFIX.len() + abi::NAME_LEN]);

impl FullName {
    /// Room for one.
    pub(crate) const fn room() -> Self {
        Self([const { MaybeUninit::uninit() }; abi::NAME_PREFIX.len() + abi::NAME_LEN])
    }

    /// Writes it down, with its NUL.
    pub(crate) fn write(&mut self, name: Option<&Name>) -> *const c_char {
        const PREFIX: usize = abi::NAME_PREFIX.len();
        let full = self.0.as_mut_ptr().cast::<u8>();
        // SAFETY: the room is that of the prefix and of the longest name with its NUL. The default
        // name is the prefix without its last byte, where the NUL goes.
        unsafe {
            full.copy_from_nonoverlapping(abi::NAME_PREFIX.as_ptr(), PREFIX);
            match name.map(|name| name.as_c_str().to_bytes_with_nul()) {
                Some(name) => full.add(PREFIX).copy_from_nonoverlapping(name.as_ptr(), name.len()),
                None => full.add(PREFIX - 1).write(0),
            }
        }
        full.cast()
    }
}

const _: () = assert!(abi::DEFAULT_NAME.len() + 1 == abi::NAME_PREFIX.len());
