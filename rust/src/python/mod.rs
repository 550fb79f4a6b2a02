//! The Python face of this crate; the contract is `_native.pyi`.

pub(crate) mod module;
pub(crate) mod observe;
pub(crate) mod records;
pub(crate) mod watcher;
pub(crate) mod world;
