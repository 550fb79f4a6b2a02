//! Lists the modules that one folder offers, from one reading of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::filesystem::folder::entries;

/// The kinds of modules that one folder offers under a name.
#[derive(Debug, Clone, Copy, Default)]
struct Offer {
    folder: bool,
    source: bool,
    bytecode: bool,
}

#[derive(Default)]
pub struct Listing {
    offers: HashMap<String, Offer>,
    /// Name -> file name of the extension module.
    extensions: HashMap<String, String>,
}

impl Listing {
    /// None if it is no folder. `tag` is the interpreter's, as [`tag_of`] finds it.
    #[must_use]
    pub fn read(folder: &Path, tag: Option<&str>) -> Option<Self> {
        read_listing(folder, tag)
    }

    /// The module's file, if there is one.
    #[must_use]
    pub fn module(&self, folder: &Path, name: &str) -> Option<PathBuf> {
        module_of(self, folder, name)
    }

    /// Whether there is a folder of that name.
    #[must_use]
    pub fn has_folder(&self, name: &str) -> bool {
        self.offers.get(name).is_some_and(|offer| offer.folder)
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.offers.keys().chain(self.extensions.keys())
    }
}

/// Extension modules before source before bytecode, as the interpreter's own order of suffixes.
fn module_of(listing: &Listing, folder: &Path, name: &str) -> Option<PathBuf> {
    if let Some(file) = listing.extensions.get(name) {
        return Some(folder.join(file));
    }
    let offer = listing.offers.get(name)?;
    let suffix = match (offer.source, offer.bytecode) {
        (true, _) => "py",
        (false, true) => "pyc",
        (false, false) => return None,
    };
    Some(folder.join(format!("{name}.{suffix}")))
}

fn read_listing(folder: &Path, tag: Option<&str>) -> Option<Listing> {
    let mut listing = Listing::default();
    for entry in entries(folder).ok()?.flatten() {
        let Ok(file_name) = entry.name().into_string() else { continue };
        let Ok(is_folder) = entry.is_folder() else { continue };
        if is_folder {
            if !file_name.contains('.') {
                listing.offers.entry(file_name).or_default().folder = true;
            }
            continue;
        }
        let Some((name, suffix)) = file_name.split_once('.') else { continue };
        match suffix {
            "py" => listing.offers.entry(name.to_owned()).or_default().source = true,
            "pyc" => listing.offers.entry(name.to_owned()).or_default().bytecode = true,
            other if is_extension(other, tag) => {
                let known = listing.extensions.entry(name.to_owned()).or_insert_with(|| file_name.clone());
                if rank(&file_name) < rank(known) {
                    *known = file_name;
                }
            }
            _other => {}
        }
    }
    Some(listing)
}

fn is_extension(suffix: &str, tag: Option<&str>) -> bool {
    let Some(abi) = suffix.strip_suffix("so").or_else(|| suffix.strip_suffix("pyd")) else { return false };
    let abi = abi.trim_end_matches('.');
    match tag {
        Some(tag) if abi.starts_with("cpython-") => abi == tag || abi.starts_with(&format!("{tag}-")),
        _any => !abi.contains('.'),
    }
}

/// The interpreter's order of suffixes: its own tag, the stable interface, none.
fn rank(file_name: &str) -> u8 {
    match file_name.split('.').nth(1) {
        Some("abi3") => 1,
        Some("so" | "pyd") => 2,
        _tag => 0,
    }
}

/// "cpython-312" from the folder ".../lib/python3.12".
#[must_use]
pub fn tag_of(folder: &Path) -> Option<String> {
    let version = folder.file_name()?.to_str()?.strip_prefix("python")?;
    Some(format!("cpython-{}", version.replace('.', "").trim_end_matches('t')))
}
