//! The record of one test file: its fields and its only encoding.
//!
//! A file has two lines, a header with the checksum of the second line, and the record. A record contains no time of
//! day, no inode and no absolute path of the root, so equal inputs give equal bytes on every machine.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::records::functions::{Functions, FunctionsDraft};
use crate::records::json::Json;
use crate::records::text::Text;

/// To be raised, with the number in the directory's name, whenever the shape changes.
pub(crate) const SCHEMA: u64 = 5;

/// 128 bits of BLAKE3.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    #[must_use]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::from(blake3::hash(bytes))
    }

    fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 32 || !digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|number| Self(number.to_be_bytes()))
    }
}

impl From<blake3::Hash> for Fingerprint {
    fn from(hash: blake3::Hash) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_bytes()[..16]);
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| D::Error::custom("not a fingerprint"))
    }
}

/// How a file was when it was first touched: mtime, ctime, size, inode.
pub(crate) type Touch = (i64, i64, u64, u64);

/// Node id, outcome, seconds.
pub(crate) type Test = (Text, Text, f64);

/// The name of an input and its fingerprint, None where the input does not exist.
pub(crate) type Pair = (Text, Option<Fingerprint>);

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Costs {
    pub(crate) collection: f64,
    pub(crate) fixtures: f64,
    pub(crate) imports: f64,
}

/// The report of a run on one test file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    pub(crate) epoch: Text,
    pub(crate) outcome: Text,
    pub(crate) tests: Vec<Test>,
    pub(crate) costs: Costs,
    pub(crate) closure: Vec<Text>,
    pub(crate) dynamic: BTreeMap<Text, Option<Text>>,
    pub(crate) coupled_with: Vec<Text>,
    pub(crate) roots: Vec<Text>,
    pub(crate) reads: Vec<(Text, Option<Touch>)>,
    pub(crate) listings: Vec<Text>,
    pub(crate) environment: Vec<Text>,
    pub(crate) declared: Vec<Text>,
    pub(crate) started: Vec<Text>,
    pub(crate) project: Vec<Text>,
    pub(crate) distributions: BTreeMap<Text, Text>,
    pub(crate) modules: BTreeMap<Text, Text>,
    pub(crate) flags: Vec<Text>,
    pub(crate) ports: Vec<Text>,
    pub(crate) writes: Vec<Text>,
    pub(crate) serial: Vec<Text>,
    #[serde(default)]
    pub(crate) functions: FunctionsDraft,
}

/// The stored form of a draft. Lists without an order of their own are sorted.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Record {
    pub(crate) file: Text,
    pub(crate) epoch: Text,
    pub(crate) outcome: Text,
    pub(crate) settled: bool,
    #[serde(default)]
    pub(crate) unsettled: Option<Text>,
    pub(crate) tests: Vec<Test>,
    pub(crate) costs: Costs,
    pub(crate) closure: Vec<Pair>,
    pub(crate) dynamic: BTreeMap<Text, Option<Text>>,
    /// Older stores call it `company`.
    #[serde(alias = "company")]
    pub(crate) coupled_with: Vec<Text>,
    pub(crate) roots: Vec<Text>,
    pub(crate) reads: Vec<Pair>,
    pub(crate) listings: Vec<Pair>,
    pub(crate) layout: Vec<Pair>,
    pub(crate) environment: Vec<Pair>,
    pub(crate) declared: Vec<Pair>,
    pub(crate) started: Vec<Text>,
    pub(crate) project: Vec<Pair>,
    pub(crate) distributions: BTreeMap<Text, Text>,
    pub(crate) modules: BTreeMap<Text, Text>,
    pub(crate) flags: Vec<Text>,
    pub(crate) ports: Vec<Text>,
    pub(crate) writes: Vec<Text>,
    pub(crate) serial: Vec<Text>,
    pub(crate) functions: Functions,
}

/// Why a file is no record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bad {
    /// The header, the checksum or the JSON is wrong: the reason.
    Corrupt(String),
    /// Written with this older schema.
    Older(u64),
    /// Written with this newer schema.
    Newer(u64),
    /// A file of another kind.
    Foreign,
    /// The record of this test file, at the place of another.
    Misplaced(String),
    /// The system refuses to read the file: the reason.
    Unreadable(String),
}

impl Bad {
    /// Notes are grouped by it.
    #[must_use]
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Corrupt(_) => "corrupt",
            Self::Older(_) => "older",
            Self::Newer(_) => "newer",
            Self::Foreign => "foreign",
            Self::Misplaced(_) => "misplaced",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt(reason) => write!(out, "corrupt: {reason}"),
            Self::Older(schema) => write!(out, "older: schema {schema}, expected {SCHEMA}"),
            Self::Newer(schema) => write!(out, "newer: schema {schema}, expected {SCHEMA}"),
            Self::Foreign => write!(out, "foreign: not a record"),
            Self::Misplaced(file) => write!(out, "misplaced: the record of {file}"),
            Self::Unreadable(reason) => write!(out, "unreadable: {reason}"),
        }
    }
}

#[derive(Deserialize)]
struct Header {
    hotreload: String,
    schema: u64,
    #[serde(default)]
    blake3: String,
}

/// A payload of one line with the header of its kind.
#[must_use]
pub(crate) fn sealed(kind: &str, payload: &[u8]) -> Vec<u8> {
    let sum = blake3::hash(payload).to_hex();
    let header = format!("{{\"hotreload\":\"{kind}\",\"schema\":{SCHEMA},\"blake3\":\"{sum}\"}}\n");
    [header.as_bytes(), payload, b"\n"].concat()
}

/// The payload, if the header is of this kind and the checksum holds.
pub(crate) fn opened<'a>(kind: &str, bytes: &'a [u8]) -> Result<&'a [u8], Bad> {
    let corrupt = |reason: &str| Bad::Corrupt(reason.to_owned());
    if bytes.is_empty() {
        return Err(corrupt("empty"));
    }
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| corrupt("no header"))?;
    let header: Header = match serde_json::from_slice(&bytes[..end]) {
        Ok(header) => header,
        Err(error) if error.is_data() => return Err(Bad::Foreign),
        Err(_no_json) => return Err(corrupt("no header")),
    };
    match header.schema {
        _any if header.hotreload != kind => return Err(Bad::Foreign),
        older @ ..SCHEMA => return Err(Bad::Older(older)),
        SCHEMA => {}
        newer => return Err(Bad::Newer(newer)),
    }
    let payload = bytes[end + 1..].strip_suffix(b"\n").ok_or_else(|| corrupt("cut off"))?;
    match blake3::hash(payload).to_hex().as_str() == header.blake3 {
        true => Ok(payload),
        false => Err(corrupt("the checksum differs")),
    }
}

impl Record {
    /// Checks and reads the bytes of a record file.
    pub fn decode(bytes: &[u8]) -> Result<Self, Bad> {
        let payload = opened("record", bytes)?;
        serde_json::from_slice(payload).map_err(|error| Bad::Corrupt(error.to_string()))
    }

    /// The bytes of the record file; equal records give equal bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        sealed("record", &self.json())
    }

    #[must_use]
    pub(crate) fn is_clean(&self) -> bool {
        self.outcome.0 == b"passed"
    }

    fn json(&self) -> Vec<u8> {
        let mut out = Json::default();
        out.raw("{");
        for (name, text) in [("file", &self.file), ("epoch", &self.epoch), ("outcome", &self.outcome)] {
            out.key(name);
            out.text(text);
        }
        out.key("settled");
        out.raw(if self.settled { "true" } else { "false" });
        if let Some(path) = &self.unsettled {
            out.key("unsettled");
            out.text(path);
        }
        self.json_of_times(&mut out);
        self.json_of_inputs(&mut out);
        out.raw("}");
        out.done()
    }

    fn json_of_times(&self, out: &mut Json) {
        out.key("tests");
        out.list(&self.tests, |out, (node_id, outcome, seconds)| {
            out.raw("[");
            out.text(node_id);
            out.raw(",");
            out.text(outcome);
            out.raw(",");
            out.number(*seconds);
            out.raw("]");
        });
        let Costs { collection, fixtures, imports } = self.costs;
        out.key("costs");
        out.raw("{");
        for (name, seconds) in [("collection", collection), ("fixtures", fixtures), ("imports", imports)] {
            out.key(name);
            out.number(seconds);
        }
        out.raw("}");
    }

    fn json_of_inputs(&self, out: &mut Json) {
        pairs(out, "closure", &self.closure);
        out.key("dynamic");
        out.object(&Vec::from_iter(&self.dynamic), |out, (name, path)| member(out, name, path.as_ref()));
        texts(out, "coupled_with", &self.coupled_with);
        texts(out, "roots", &self.roots);
        pairs(out, "reads", &self.reads);
        pairs(out, "listings", &self.listings);
        pairs(out, "layout", &self.layout);
        pairs(out, "environment", &self.environment);
        pairs(out, "declared", &self.declared);
        texts(out, "started", &self.started);
        pairs(out, "project", &self.project);
        for (name, map) in [("distributions", &self.distributions), ("modules", &self.modules)] {
            out.key(name);
            out.object(&Vec::from_iter(map), |out, (name, value)| member(out, name, Some(*value)));
        }
        texts(out, "flags", &self.flags);
        texts(out, "ports", &self.ports);
        texts(out, "writes", &self.writes);
        texts(out, "serial", &self.serial);
        out.key("functions");
        self.functions.json(out);
    }
}

fn member(out: &mut Json, name: &Text, value: Option<&Text>) {
    out.text(name);
    out.raw(":");
    out.optional(value, Json::text);
}

fn texts(out: &mut Json, name: &str, list: &[Text]) {
    out.key(name);
    out.list(list, Json::text);
}

fn pairs(out: &mut Json, name: &str, list: &[Pair]) {
    out.key(name);
    out.list(list, |out, (name, fingerprint)| {
        out.raw("[");
        out.text(name);
        out.raw(",");
        out.optional(fingerprint.as_ref(), |out, one| out.raw(&format!("\"{one}\"")));
        out.raw("]");
    });
}
