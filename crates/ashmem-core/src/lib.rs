//! The ashmem device as pure logic: it knows no kernel, no system call and no allocator.
#![no_std]
#![forbid(unsafe_code)]
pub mod abi;
