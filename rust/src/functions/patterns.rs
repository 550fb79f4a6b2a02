//! Turns constants and the patterns of `match` into bytes, as `syntax` does with all other syntax.

use rustpython_parser::ast::{Constant, Identifier, Pattern};

use crate::functions::syntax::Digest;
use crate::imports::ast_walk::DEEPEST;

impl Digest {
    pub(super) fn constant(&mut self, constant: &Constant) {
        match constant {
            Constant::None => self.tag(0),
            Constant::Bool(value) => {
                self.tag(1);
                self.flag(*value);
            }
            Constant::Str(text) => {
                self.tag(2);
                self.text(text);
            }
            Constant::Bytes(bytes) => {
                self.tag(3);
                self.raw(bytes);
            }
            Constant::Int(value) => {
                self.tag(4);
                self.raw(&value.to_signed_bytes_le());
            }
            Constant::Tuple(values) => {
                self.tag(5);
                self.count(values.len());
                for value in values {
                    self.constant(value);
                }
            }
            Constant::Float(value) => {
                self.tag(6);
                self.bytes.extend(value.to_bits().to_le_bytes());
            }
            Constant::Complex { real, imag } => {
                self.tag(7);
                self.bytes.extend([real, imag].map(|part| part.to_bits().to_le_bytes()).as_flattened());
            }
            Constant::Ellipsis => self.tag(8),
        }
    }

    pub(crate) fn pattern(&mut self, pattern: &Pattern) {
        if self.depth >= DEEPEST {
            self.is_too_deep = true;
            return;
        }
        self.depth += 1;
        match pattern {
            Pattern::MatchValue(node) => self.single(96, &node.value),
            Pattern::MatchSingleton(node) => {
                self.tag(97);
                self.constant(&node.value);
            }
            Pattern::MatchSequence(node) => self.patterns(98, &node.patterns),
            Pattern::MatchMapping(node) => {
                self.tagged(99, &node.keys);
                self.maybe_text(node.rest.as_ref().map(Identifier::as_str));
                self.patterns(99, &node.patterns);
            }
            Pattern::MatchClass(node) => {
                self.single(100, &node.cls);
                self.identifiers(&node.kwd_attrs);
                self.patterns(100, &node.patterns);
                self.patterns(100, &node.kwd_patterns);
            }
            Pattern::MatchStar(node) => {
                self.tag(101);
                self.maybe_text(node.name.as_ref().map(Identifier::as_str));
            }
            Pattern::MatchAs(node) => {
                self.tag(102);
                self.maybe_text(node.name.as_ref().map(Identifier::as_str));
                self.flag(node.pattern.is_some());
                if let Some(inner) = &node.pattern {
                    self.pattern(inner);
                }
            }
            Pattern::MatchOr(node) => self.patterns(103, &node.patterns),
        }
        self.depth -= 1;
    }

    fn patterns(&mut self, tag: u8, patterns: &[Pattern]) {
        self.tag(tag);
        self.count(patterns.len());
        for pattern in patterns {
            self.pattern(pattern);
        }
    }
}
