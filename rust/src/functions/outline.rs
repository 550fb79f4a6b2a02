//! Divides a source file into the bodies of its functions and the rest.
//!
//! Equal fingerprints mean that the interpreter compiles equal code, up to the lines in it. The rest of a file is all
//! that runs, or can be asked for, without calling a function: statements of modules and classes, and of each function
//! the name, signature, decorators, docstring and kind.

use rustpython_parser::Parse;
use rustpython_parser::ast::{
    self, Arguments, ExceptHandler, Expr, Identifier, MatchCase, Ranged, Stmt, TypeParam, WithItem,
};
use serde::{Deserialize, Serialize};

use crate::error::Rejected;
use crate::functions::syntax::{Digest, Names};
use crate::imports::ast_walk::literal;
use crate::imports::parse::DEEPEST_BODY;
use crate::imports::source::Lines;
use crate::records::record::Fingerprint;

/// Since Python 3.14, the code that evaluates annotations when somebody asks for them.
const ANNOTATIONS: &str = "__annotate__";

/// One function, or method. Functions inside of it are functions of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// As in `__qualname__`.
    pub name: String,
    /// The line of the first decorator, or of `def`.
    pub first: u32,
    /// The last line.
    pub last: u32,
    /// Of the body, without docstring and inner functions' bodies.
    pub(crate) body: Fingerprint,
}

/// All functions of a file, in the order of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    /// Of everything but the bodies of functions.
    pub(crate) rest: Fingerprint,
    /// The functions.
    pub functions: Vec<Function>,
}

/// The difference between two states of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Only comments, layout or positions.
    Nothing,
    /// Only the bodies of these functions, as indexes that hold in both states.
    Bodies(Vec<usize>),
    /// Something else.
    Rest,
}

/// Where a code object of the file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// From this function.
    Function(usize),
    /// From the rest.
    Rest,
    /// From no place of the source: it was not compiled from it.
    Unknown,
}

impl Outline {
    /// Reads decoded text. To be called on a thread of `process/thread_pool.rs` only: nested source takes stack.
    pub fn of(source: &str) -> Result<Self, Rejected> {
        if has_surrogate(source) {
            return Err(Rejected::Undecodable("text that the parser keeps: it has an escape of a surrogate"));
        }
        let lines = Lines::of(source);
        let suite = ast::Suite::parse(source, "").map_err(|error| Rejected::Syntax {
            message: error.error.to_string(),
            line: Some(lines.line(u32::from(error.offset))),
        })?;
        let mut walk = Walk { lines: &lines, functions: Vec::new(), scopes: Vec::new(), depth: 0 };
        let mut rest = Digest::default();
        walk.body(&suite, &mut rest)?;
        Ok(Self { rest: rest.fingerprint()?, functions: walk.functions })
    }

    /// What differs from an earlier state of the file.
    #[must_use]
    pub fn change_from(&self, then: &Self) -> Change {
        // The rest has each function's name and place, so equal rests have the same functions in the same order.
        if self.rest != then.rest || self.functions.len() != then.functions.len() {
            return Change::Rest;
        }
        let both = self.functions.iter().zip(&then.functions).enumerate();
        let bodies: Vec<usize> =
            both.filter(|(_, (now, then))| now.body != then.body).map(|(index, _)| index).collect();
        if bodies.is_empty() { Change::Nothing } else { Change::Bodies(bodies) }
    }

    /// Where a code object comes from, by its first line and its qualified name.
    #[must_use]
    pub fn place_of(&self, line: u32, name: &str) -> Place {
        let own = name.rsplit('.').next().unwrap_or(name);
        if own == ANNOTATIONS && !self.functions.iter().any(|function| function.name == name) {
            return self.place_of_annotations(line, name);
        }
        // Of those that contain a line the innermost begins last.
        let inside = self.functions.iter().enumerate().rev().find(|(_, one)| one.first <= line && line <= one.last);
        match inside {
            Some((index, function)) if function.first == line && function.name == name => Place::Function(index),
            // A lambda, a comprehension, the body of a class: part of the function around it, or of its signature.
            Some((index, function))
                if own.starts_with('<') || name.starts_with(&format!("{}.<locals>.", function.name)) =>
            {
                Place::Function(index)
            }
            None if own.starts_with('<') || !self.functions.iter().any(|function| function.name == name) => Place::Rest,
            _other => Place::Unknown,
        }
    }

    /// Annotations are part of what is around the annotated function, class or module: of a function's body, or of the
    /// rest. Python 3.15 names the annotated function in the name, and 3.14 does not.
    fn place_of_annotations(&self, line: u32, name: &str) -> Place {
        let is_around = |function: &Function| {
            function.first <= line
                && line <= function.last
                && name.strip_prefix(function.name.as_str()).is_some_and(|inner| inner.starts_with(".<locals>."))
        };
        self.functions.iter().rposition(is_around).map_or(Place::Rest, Place::Function)
    }
}

/// The parser replaces surrogates, which Python keeps: two different literals would look the same.
fn has_surrogate(source: &str) -> bool {
    let is_surrogate = |escape: &[u8]| match escape {
        [b'\\', b'u', b'd' | b'D', high, ..] => matches!(high, b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F'),
        [b'\\', b'U', rest @ ..] => rest.starts_with(b"0000d") || rest.starts_with(b"0000D"),
        _other => false,
    };
    source.as_bytes().windows(8).any(is_surrogate) || source.as_bytes().windows(4).any(is_surrogate)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Class,
    Function,
}

struct Walk<'a> {
    lines: &'a Lines,
    functions: Vec<Function>,
    /// The classes and functions around, with their names.
    scopes: Vec<(Scope, String)>,
    depth: usize,
}

/// What both kinds of function consist of.
struct Definition<'a> {
    is_async: bool,
    name: &'a Identifier,
    arguments: &'a Arguments,
    body: &'a [Stmt],
    decorators: &'a [Expr],
    returns: Option<&'a Expr>,
    type_params: &'a [TypeParam],
    lines: (u32, u32),
}

/// The two nodes are of two types with the same fields.
macro_rules! definition {
    ($walk:expr, $node:expr, $is_async:expr) => {
        Definition {
            is_async: $is_async,
            name: &$node.name,
            arguments: &$node.args,
            body: &$node.body,
            decorators: &$node.decorator_list,
            returns: $node.returns.as_deref(),
            type_params: &$node.type_params,
            lines: $walk.lines_of($node, &$node.decorator_list),
        }
    };
}

impl Walk<'_> {
    fn body(&mut self, body: &[Stmt], into: &mut Digest) -> Result<(), Rejected> {
        if self.depth >= DEEPEST_BODY {
            return Err(Rejected::TooDeep(DEEPEST_BODY));
        }
        self.depth += 1;
        into.count(body.len());
        for statement in body {
            self.statement(statement, into)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn statement(&mut self, statement: &Stmt, into: &mut Digest) -> Result<(), Rejected> {
        match statement {
            Stmt::FunctionDef(node) => self.function(&definition!(self, node, false), into),
            Stmt::AsyncFunctionDef(node) => self.function(&definition!(self, node, true), into),
            Stmt::ClassDef(node) => {
                into.tag(1);
                into.text(node.name.as_str());
                into.exprs(&node.decorator_list);
                into.type_params(&node.type_params);
                into.exprs(&node.bases);
                into.keywords(&node.keywords);
                let around = std::mem::take(&mut into.set_on_self);
                self.scopes.push((Scope::Class, node.name.to_string()));
                self.body(&node.body, into)?;
                self.scopes.pop();
                // They are a constant of the class since Python 3.13: `__static_attributes__`.
                let set_on_self = std::mem::replace(&mut into.set_on_self, around);
                into.names(&set_on_self);
                Ok(())
            }
            Stmt::For(node) => self.loop_over(2, &node.target, &node.iter, &node.body, &node.orelse, into),
            Stmt::AsyncFor(node) => self.loop_over(3, &node.target, &node.iter, &node.body, &node.orelse, into),
            Stmt::While(node) => self.branch(4, &node.test, &node.body, &node.orelse, into),
            Stmt::If(node) => self.branch(5, &node.test, &node.body, &node.orelse, into),
            Stmt::With(node) => self.with(6, &node.items, &node.body, into),
            Stmt::AsyncWith(node) => self.with(7, &node.items, &node.body, into),
            Stmt::Match(node) => self.cases(&node.subject, &node.cases, into),
            Stmt::Try(node) => self.attempt(9, [&node.body, &node.orelse, &node.finalbody], &node.handlers, into),
            Stmt::TryStar(node) => self.attempt(10, [&node.body, &node.orelse, &node.finalbody], &node.handlers, into),
            simple => {
                into.simple_statement(simple);
                Ok(())
            }
        }
    }

    fn lines_of(&self, node: &impl Ranged, decorators: &[Expr]) -> (u32, u32) {
        let first = decorators.first().map_or(node.start(), Ranged::start);
        // The end lies behind the last byte, which may be that of a line's end.
        let last = u32::from(node.end()).saturating_sub(1);
        (self.lines.line(u32::from(first)), self.lines.line(last))
    }

    fn function(&mut self, node: &Definition<'_>, into: &mut Digest) -> Result<(), Rejected> {
        into.tag(if node.is_async { 11 } else { 12 });
        into.text(node.name.as_str());
        into.exprs(node.decorators);
        into.type_params(node.type_params);
        into.arguments(node.arguments);
        into.maybe(node.returns);
        let (docstring, body) = match node.body {
            [Stmt::Expr(first), rest @ ..] if literal(&first.value).is_some() => (literal(&first.value), rest),
            all => (None, all),
        };
        into.maybe_text(docstring);
        let name = self.qualified(node.name.as_str());
        let index = self.functions.len();
        let (first, last) = node.lines;
        self.functions.push(Function { name, first, last, body: Fingerprint([0; 16]) });
        let mut own = Digest::default();
        self.scopes.push((Scope::Function, node.name.to_string()));
        self.body(body, &mut own)?;
        self.scopes.pop();
        into.flag(own.yields);
        into.names(&self.needed_around(&own.names));
        into.names.extend(own.names.iter().cloned());
        into.set_on_self.append(&mut own.set_on_self);
        if let Some(function) = self.functions.get_mut(index) {
            function.body = own.fingerprint()?;
        }
        Ok(())
    }

    /// The names in a function that may change the code around it: a variable that an inner function uses is kept in
    /// another way, and a class whose methods use `super` has a cell for itself.
    fn needed_around(&self, names: &Names) -> Names {
        let is_inside_function = self.scopes.iter().any(|(scope, _)| *scope == Scope::Function);
        let is_kept = |name: &&String| is_inside_function || matches!(name.as_str(), "super" | "__class__");
        names.iter().filter(is_kept).cloned().collect()
    }

    fn qualified(&self, name: &str) -> String {
        let mut found = String::new();
        for (scope, around) in &self.scopes {
            found.push_str(around);
            found.push_str(if *scope == Scope::Function { ".<locals>." } else { "." });
        }
        found.push_str(name);
        found
    }

    fn loop_over(
        &mut self,
        tag: u8,
        target: &Expr,
        iter: &Expr,
        body: &[Stmt],
        orelse: &[Stmt],
        into: &mut Digest,
    ) -> Result<(), Rejected> {
        into.tag(tag);
        into.expr(target);
        into.expr(iter);
        self.body(body, into)?;
        self.body(orelse, into)
    }

    fn branch(
        &mut self,
        tag: u8,
        test: &Expr,
        body: &[Stmt],
        orelse: &[Stmt],
        into: &mut Digest,
    ) -> Result<(), Rejected> {
        into.tag(tag);
        into.expr(test);
        self.body(body, into)?;
        self.body(orelse, into)
    }

    fn with(&mut self, tag: u8, items: &[WithItem], body: &[Stmt], into: &mut Digest) -> Result<(), Rejected> {
        into.tag(tag);
        into.count(items.len());
        for item in items {
            into.expr(&item.context_expr);
            into.maybe(item.optional_vars.as_deref());
        }
        self.body(body, into)
    }

    fn cases(&mut self, subject: &Expr, cases: &[MatchCase], into: &mut Digest) -> Result<(), Rejected> {
        into.tag(8);
        into.expr(subject);
        into.count(cases.len());
        for case in cases {
            into.pattern(&case.pattern);
            into.maybe(case.guard.as_deref());
            self.body(&case.body, into)?;
        }
        Ok(())
    }

    fn attempt(
        &mut self,
        tag: u8,
        bodies: [&[Stmt]; 3],
        handlers: &[ExceptHandler],
        into: &mut Digest,
    ) -> Result<(), Rejected> {
        into.tag(tag);
        for body in bodies {
            self.body(body, into)?;
        }
        into.count(handlers.len());
        for ExceptHandler::ExceptHandler(handler) in handlers {
            into.maybe(handler.type_.as_deref());
            into.maybe_text(handler.name.as_ref().map(Identifier::as_str));
            self.body(&handler.body, into)?;
        }
        Ok(())
    }
}
