//! A region's name, kept as the kernel wants it for the backing file: prefix, name, NUL, in one allocation.

use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use ashmem_core::{Errno, abi};

use crate::{glue, user};

const PREFIX: usize = abi::NAME_PREFIX.len();
/// Prefix, the longest name, NUL (NAME-18).
const ROOM: usize = PREFIX + abi::NAME_LEN;

/// A name that was set: 1 to 255 bytes, without NUL.
pub(crate) struct Name {
    text: NonNull<u8>,
}

impl Name {
    /// Copies a name in from the caller: at most 255 bytes, up to the NUL (NAME-02 to NAME-06). `None` if it is empty.
    ///
    /// # Errors
    /// EFAULT, ENOMEM.
    pub(crate) fn read(address: u64) -> Result<Option<Self>, Errno> {
        let mut buffer = [const { MaybeUninit::<u8>::uninit() }; abi::NAME_LEN];
        let Some(len) = user::read_string(address, &mut buffer)? else { return Ok(None) };
        let len = len.get();

        // SAFETY: allocates; null is looked at below.
        let text = unsafe { glue::ashmem_name_alloc(PREFIX + len + 1) };
        let text = NonNull::new(text.cast::<u8>()).ok_or(Errno::NoMem)?;
        // SAFETY: `text` has room for prefix, `len` bytes and NUL; the first `len` bytes of `buffer` were written by
        // read_string, and `len` is less than its length.
        unsafe {
            text.copy_from_nonoverlapping(NonNull::from(abi::NAME_PREFIX).cast(), PREFIX);
            text.add(PREFIX).copy_from_nonoverlapping(NonNull::from(&buffer).cast(), len);
            text.add(PREFIX + len).write(0);
        }
        Ok(Some(Self { text }))
    }

    /// With the prefix: the backing file's name (NAME-15).
    pub(crate) fn with_prefix(&self) -> &CStr {
        // SAFETY: `read` ended the text with a NUL, and nothing changes it.
        unsafe { CStr::from_ptr(self.text.as_ptr().cast()) }
    }

    /// Alone, with its NUL.
    pub(crate) fn as_c_str(&self) -> &CStr {
        // SAFETY: as above; the prefix is PREFIX bytes, none of them NUL.
        unsafe { CStr::from_ptr(self.text.add(PREFIX).as_ptr().cast::<c_char>()) }
    }
}

impl AsRef<[u8]> for Name {
    fn as_ref(&self) -> &[u8] {
        self.as_c_str().to_bytes()
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // SAFETY: allocated by `read`, owned by this value alone.
        unsafe { glue::ashmem_name_free(self.text.as_ptr().cast()) }
    }
}

const _: () = assert!(ROOM == 267);
