//! How each kind of image is made.

pub(crate) mod criu;
pub(crate) mod debian;
pub(crate) mod disk;
pub(crate) mod erofs;
pub(crate) mod initramfs;
pub(crate) mod kernel;
pub(crate) mod modules;
pub(crate) mod protos;
pub(crate) mod selinux;
pub(crate) mod signatures;
pub(crate) mod workload;
