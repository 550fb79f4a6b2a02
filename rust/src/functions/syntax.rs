//! Turns syntax into bytes: equal bytes for equal syntax wherever it stands, and other bytes for any other.
//!
//! All variants are named, so that new syntax breaks the build and not a result. Each node begins with a tag of its
//! own, and each list with its length.

use std::collections::BTreeSet;

use rustpython_parser::ast::{
    Arg, ArgWithDefault, Arguments, Comprehension, Expr, ExprContext, Identifier, Keyword, Ranged, Stmt, TypeParam,
};

use crate::error::Rejected;
use crate::imports::ast_walk::DEEPEST;
use crate::records::record::Fingerprint;

/// Variables that code uses.
pub(crate) type Names = BTreeSet<String>;

/// The bytes of one function's body, or of the rest of a file, and what is known of it as a whole.
#[derive(Default)]
pub(crate) struct Digest {
    pub(super) bytes: Vec<u8>,
    pub(super) depth: usize,
    pub(super) is_too_deep: bool,
    /// The names that it uses, with those of the functions in it.
    pub(crate) names: Names,
    /// The attributes of `self` that it sets, with those of the functions in it.
    pub(crate) set_on_self: Names,
    /// Whether it has a `yield` of its own.
    pub(crate) yields: bool,
}

impl Digest {
    /// An error if an expression was too deep to be followed.
    pub(crate) fn fingerprint(&self) -> Result<Fingerprint, Rejected> {
        if self.is_too_deep { Err(Rejected::TooDeep(DEEPEST)) } else { Ok(Fingerprint::of(&self.bytes)) }
    }

    pub(crate) fn tag(&mut self, tag: u8) {
        self.bytes.push(tag);
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        self.bytes.push(u8::from(flag));
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.bytes.extend(count.to_le_bytes());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.raw(text.as_bytes());
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes.extend(bytes);
    }

    pub(crate) fn maybe_text(&mut self, text: Option<&str>) {
        self.flag(text.is_some());
        self.text(text.unwrap_or_default());
    }

    pub(crate) fn names(&mut self, names: &Names) {
        self.count(names.len());
        for name in names {
            self.text(name);
        }
    }

    pub(super) fn identifiers(&mut self, names: &[Identifier]) {
        self.count(names.len());
        for name in names {
            self.text(name.as_str());
        }
    }

    pub(crate) fn exprs(&mut self, exprs: &[Expr]) {
        self.count(exprs.len());
        for expr in exprs {
            self.expr(expr);
        }
    }

    pub(crate) fn maybe(&mut self, expr: Option<&Expr>) {
        self.flag(expr.is_some());
        if let Some(expr) = expr {
            self.expr(expr);
        }
    }

    fn both(&mut self, first: &Expr, second: &Expr) {
        self.expr(first);
        self.expr(second);
    }

    pub(crate) fn keywords(&mut self, keywords: &[Keyword]) {
        self.count(keywords.len());
        for keyword in keywords {
            self.maybe_text(keyword.arg.as_ref().map(Identifier::as_str));
            self.expr(&keyword.value);
        }
    }

    /// With annotations and defaults.
    pub(crate) fn arguments(&mut self, arguments: &Arguments) {
        for list in [&arguments.posonlyargs, &arguments.args, &arguments.kwonlyargs] {
            self.count(list.len());
            for ArgWithDefault { def, default, .. } in list {
                self.argument(def);
                self.maybe(default.as_deref());
            }
        }
        for argument in [&arguments.vararg, &arguments.kwarg] {
            self.flag(argument.is_some());
            if let Some(argument) = argument {
                self.argument(argument);
            }
        }
    }

    fn argument(&mut self, argument: &Arg) {
        self.text(argument.arg.as_str());
        self.maybe(argument.annotation.as_deref());
    }

    pub(crate) fn type_params(&mut self, params: &[TypeParam]) {
        self.count(params.len());
        for param in params {
            match param {
                TypeParam::TypeVar(node) => {
                    self.tag(1);
                    self.text(node.name.as_str());
                    self.maybe(node.bound.as_deref());
                }
                TypeParam::ParamSpec(node) => {
                    self.tag(2);
                    self.text(node.name.as_str());
                }
                TypeParam::TypeVarTuple(node) => {
                    self.tag(3);
                    self.text(node.name.as_str());
                }
            }
        }
    }

    /// A statement without a body. Those with one are taken apart by the outline.
    pub(crate) fn simple_statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Return(node) => {
                self.tag(32);
                self.maybe(node.value.as_deref());
            }
            Stmt::Delete(node) => {
                self.tag(33);
                self.exprs(&node.targets);
            }
            Stmt::Assign(node) => {
                self.tag(34);
                self.exprs(&node.targets);
                self.expr(&node.value);
            }
            Stmt::TypeAlias(node) => {
                self.tag(35);
                self.expr(&node.name);
                self.type_params(&node.type_params);
                self.expr(&node.value);
            }
            Stmt::AugAssign(node) => {
                self.tag(36);
                self.tag(node.op as u8);
                self.both(&node.target, &node.value);
            }
            Stmt::AnnAssign(node) => {
                self.tag(37);
                // The parser takes a name in parentheses as simple, too; to the interpreter it is no declaration.
                self.flag(node.simple && node.start() == node.target.start());
                self.both(&node.target, &node.annotation);
                self.maybe(node.value.as_deref());
            }
            Stmt::Raise(node) => {
                self.tag(38);
                self.maybe(node.exc.as_deref());
                self.maybe(node.cause.as_deref());
            }
            Stmt::Assert(node) => {
                self.tag(39);
                self.expr(&node.test);
                self.maybe(node.msg.as_deref());
            }
            Stmt::Import(node) => {
                self.tag(40);
                self.aliases(&node.names);
            }
            Stmt::ImportFrom(node) => {
                self.tag(41);
                self.count(node.level.map_or(0, |level| level.to_usize()));
                self.maybe_text(node.module.as_ref().map(Identifier::as_str));
                self.aliases(&node.names);
            }
            Stmt::Global(node) => {
                self.tag(42);
                self.identifiers(&node.names);
            }
            Stmt::Nonlocal(node) => {
                self.tag(43);
                self.identifiers(&node.names);
                self.names.extend(node.names.iter().map(ToString::to_string));
            }
            Stmt::Expr(node) => {
                self.tag(44);
                self.expr(&node.value);
            }
            Stmt::Pass(_) => self.tag(45),
            Stmt::Break(_) => self.tag(46),
            Stmt::Continue(_) => self.tag(47),
            Stmt::FunctionDef(_)
            | Stmt::AsyncFunctionDef(_)
            | Stmt::ClassDef(_)
            | Stmt::For(_)
            | Stmt::AsyncFor(_)
            | Stmt::While(_)
            | Stmt::If(_)
            | Stmt::With(_)
            | Stmt::AsyncWith(_)
            | Stmt::Match(_)
            | Stmt::Try(_)
            | Stmt::TryStar(_) => self.is_too_deep = true,
        }
    }

    fn aliases(&mut self, names: &[rustpython_parser::ast::Alias]) {
        self.count(names.len());
        for alias in names {
            self.text(alias.name.as_str());
            self.maybe_text(alias.asname.as_ref().map(Identifier::as_str));
        }
    }

    pub(crate) fn expr(&mut self, expr: &Expr) {
        if self.depth >= DEEPEST {
            self.is_too_deep = true;
            return;
        }
        self.depth += 1;
        self.variant(expr);
        self.depth -= 1;
    }

    fn variant(&mut self, expr: &Expr) {
        match expr {
            Expr::BoolOp(node) => {
                self.tag(64);
                self.tag(node.op as u8);
                self.exprs(&node.values);
            }
            Expr::NamedExpr(node) => {
                self.tag(65);
                self.both(&node.target, &node.value);
            }
            Expr::BinOp(node) => {
                self.tag(66);
                self.tag(node.op as u8);
                self.both(&node.left, &node.right);
            }
            Expr::UnaryOp(node) => {
                self.tag(67);
                self.tag(node.op as u8);
                self.expr(&node.operand);
            }
            Expr::Lambda(node) => self.lambda(&node.args, &node.body),
            Expr::IfExp(node) => {
                self.tag(69);
                self.both(&node.test, &node.body);
                self.expr(&node.orelse);
            }
            Expr::Dict(node) => {
                self.tag(70);
                self.count(node.keys.len());
                node.keys.iter().for_each(|key| self.maybe(key.as_ref()));
                self.exprs(&node.values);
            }
            Expr::Set(node) => self.tagged(71, &node.elts),
            Expr::List(node) => self.tagged(72, &node.elts),
            Expr::Tuple(node) => self.tagged(73, &node.elts),
            Expr::ListComp(node) => self.comprehension(74, &[&node.elt], &node.generators),
            Expr::SetComp(node) => self.comprehension(75, &[&node.elt], &node.generators),
            Expr::DictComp(node) => self.comprehension(76, &[&node.key, &node.value], &node.generators),
            Expr::GeneratorExp(node) => self.comprehension(77, &[&node.elt], &node.generators),
            Expr::Await(node) => self.single(78, &node.value),
            Expr::Yield(node) => {
                self.tag(79);
                self.yields = true;
                self.maybe(node.value.as_deref());
            }
            Expr::YieldFrom(node) => {
                self.yields = true;
                self.single(80, &node.value);
            }
            Expr::Compare(node) => {
                self.tag(81);
                self.expr(&node.left);
                self.count(node.ops.len());
                node.ops.iter().for_each(|operator| self.tag(*operator as u8));
                self.exprs(&node.comparators);
            }
            Expr::Call(node) => {
                self.tag(82);
                self.expr(&node.func);
                self.exprs(&node.args);
                self.keywords(&node.keywords);
            }
            Expr::FormattedValue(node) => {
                self.tag(83);
                self.tag(node.conversion as u8);
                self.expr(&node.value);
                self.maybe(node.format_spec.as_deref());
            }
            Expr::JoinedStr(node) => self.tagged(84, &node.values),
            Expr::Constant(node) => {
                self.tag(85);
                self.constant(&node.value);
            }
            Expr::Attribute(node) => {
                self.single(86, &node.value);
                self.text(node.attr.as_str());
                let is_self = matches!(node.value.as_ref(), Expr::Name(name) if name.id.as_str() == "self");
                if is_self && node.ctx == ExprContext::Store {
                    self.set_on_self.insert(node.attr.to_string());
                }
            }
            Expr::Subscript(node) => {
                self.tag(87);
                self.both(&node.value, &node.slice);
            }
            Expr::Starred(node) => self.single(88, &node.value),
            Expr::Name(node) => {
                self.tag(89);
                self.text(node.id.as_str());
                if !self.names.contains(node.id.as_str()) {
                    self.names.insert(node.id.to_string());
                }
            }
            Expr::Slice(node) => {
                self.tag(90);
                self.maybe(node.lower.as_deref());
                self.maybe(node.upper.as_deref());
                self.maybe(node.step.as_deref());
            }
        }
    }

    fn lambda(&mut self, arguments: &Arguments, body: &Expr) {
        self.tag(68);
        self.arguments(arguments);
        // A `yield` makes the lambda a generator, not the function around it.
        let before = self.yields;
        self.expr(body);
        self.yields = before;
    }

    pub(super) fn tagged(&mut self, tag: u8, exprs: &[Expr]) {
        self.tag(tag);
        self.exprs(exprs);
    }

    pub(super) fn single(&mut self, tag: u8, expr: &Expr) {
        self.tag(tag);
        self.expr(expr);
    }

    fn comprehension(&mut self, tag: u8, results: &[&Expr], generators: &[Comprehension]) {
        self.tag(tag);
        for result in results {
            self.expr(result);
        }
        self.count(generators.len());
        for generator in generators {
            self.flag(generator.is_async);
            self.both(&generator.target, &generator.iter);
            self.exprs(&generator.ifs);
        }
    }
}
