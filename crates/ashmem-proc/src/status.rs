// SPDX-License-Identifier: MIT OR Apache-2.0
//! `/proc/TID/status`: what a thread is.

use crate::{hexadecimal, number, value_of, words};

/// The text of a thread's `status`.
pub struct ProcessStatus<T>(T);

impl ProcessStatus<Vec<u8>> {
    /// Reads it; `None`: there is no such thread.
    pub fn read(tid: i32) -> Option<Self> {
        crate::read(format!("/proc/{tid}/status")).ok().map(Self)
    }
}

impl<T: AsRef<[u8]>> ProcessStatus<T> {
    /// The status with this text.
    pub fn new(text: T) -> Self {
        Self(text)
    }

    /// The number of the thread's process.
    pub fn process(&self) -> Option<i32> {
        number(self.value("Tgid")?)
    }

    /// The process's numbers in the pid namespaces that it is in, the outermost that is seen first.
    pub fn inner_pids(&self) -> Vec<i32> {
        words(self.value("NStgid").unwrap_or_default()).filter_map(number).collect()
    }

    /// The thread's numbers, as [`ProcessStatus::inner_pids`] has them.
    pub fn inner_tids(&self) -> Vec<i32> {
        words(self.value("NSpid").unwrap_or_default()).filter_map(number).collect()
    }

    /// The real user.
    pub fn user(&self) -> Option<u32> {
        words(self.value("Uid")?).next().and_then(number)
    }

    /// The effective user.
    pub fn effective_user(&self) -> Option<u32> {
        words(self.value("Uid")?).nth(1).and_then(number)
    }

    /// The effective capabilities, one bit each.
    pub fn capabilities(&self) -> Option<u64> {
        hexadecimal(self.value("CapEff")?)
    }

    /// Whether it has memory of its own: threads of the kernel have none.
    pub fn has_memory(&self) -> bool {
        self.value("VmSize").is_some()
    }

    fn value(&self, key: &str) -> Option<&[u8]> {
        value_of(self.0.as_ref(), key)
    }
}

#[cfg(test)]
mod tests {
    use super::ProcessStatus;

    const TEXT: &str = "Name:\tx\n\
                        Tgid:\t812\n\
                        Uid:\t10\t11\t12\t13\n\
                        NStgid:\t812\t7\t1\n\
                        NSpid:\t815\t9\t4\n\
                        VmSize:\t  2532 kB\n\
                        CapEff:\t0000000000200000\n";

    #[test]
    fn a_status_is_taken_apart() {
        let status = ProcessStatus::new(TEXT.as_bytes());
        assert_eq!(
            (status.process(), status.user(), status.capabilities()),
            (Some(812), Some(10), Some(1 << 21))
        );
        assert_eq!(status.effective_user(), Some(11));
        assert_eq!((status.inner_pids(), status.inner_tids()), (vec![812, 7, 1], vec![815, 9, 4]));
        assert!(status.has_memory() && !ProcessStatus::new(b"").has_memory());
    }

    #[test]
    fn this_thread_has_one() {
        let status = ProcessStatus::read(std::process::id() as i32).expect("there is a /proc");
        assert_eq!(status.process(), Some(std::process::id() as i32));
        assert!(ProcessStatus::read(i32::MAX).is_none());
    }
}
