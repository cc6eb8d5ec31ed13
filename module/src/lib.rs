//! The kernel module.
#![no_std]
