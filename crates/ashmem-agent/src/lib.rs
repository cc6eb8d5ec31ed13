//! The device without a module: seccomp user notification answered from memfds.
