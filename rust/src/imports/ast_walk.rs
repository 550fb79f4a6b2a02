//! Walks the syntax tree: the calls and the bodies of a statement, each with the time when it runs.
//!
//! All variants are named, so that new syntax breaks the build and not a result.

use rustpython_parser::ast::{
    ArgWithDefault, Arguments, BoolOp, Comprehension, Constant, ExceptHandler, Expr, ExprCall, Keyword, Stmt, StmtIf,
    UnaryOp,
};

/// Deeper expressions are not followed: no call that matters here is nested so deep, and the
/// parser's thread has to hold the walk (`docs/design/imports.md`).
pub const DEEPEST: usize = 1_000;

/// Called for each call: the call, and whether it runs later, since it stands in a lambda.
pub type OnCall<'a> = dyn FnMut(&ExprCall, bool) + 'a;

struct Walk<'a, 'b> {
    on_call: &'a mut OnCall<'b>,
    depth: usize,
    later: bool,
}

impl Walk<'_, '_> {
    fn expr(&mut self, expr: &Expr) {
        if self.depth >= DEEPEST {
            return;
        }
        self.depth += 1;
        self.variant(expr);
        self.depth -= 1;
    }

    fn variant(&mut self, expr: &Expr) {
        match expr {
            Expr::Call(call) => self.call(call),
            Expr::Lambda(node) => self.lambda(&node.args, &node.body),
            Expr::BoolOp(node) => self.all(&node.values),
            Expr::NamedExpr(node) => self.both(&node.target, &node.value),
            Expr::BinOp(node) => self.both(&node.left, &node.right),
            Expr::UnaryOp(node) => self.expr(&node.operand),
            Expr::IfExp(node) => {
                self.both(&node.test, &node.body);
                self.expr(&node.orelse);
            }
            Expr::Dict(node) => {
                node.keys.iter().flatten().for_each(|key| self.expr(key));
                self.all(&node.values);
            }
            Expr::Set(node) => self.all(&node.elts),
            Expr::List(node) => self.all(&node.elts),
            Expr::Tuple(node) => self.all(&node.elts),
            Expr::ListComp(node) => self.comprehension(&[&node.elt], &node.generators),
            Expr::SetComp(node) => self.comprehension(&[&node.elt], &node.generators),
            Expr::GeneratorExp(node) => self.comprehension(&[&node.elt], &node.generators),
            Expr::DictComp(node) => self.comprehension(&[&node.key, &node.value], &node.generators),
            Expr::Await(node) => self.expr(&node.value),
            Expr::Yield(node) => self.maybe(node.value.as_deref()),
            Expr::YieldFrom(node) => self.expr(&node.value),
            Expr::Compare(node) => {
                self.expr(&node.left);
                self.all(&node.comparators);
            }
            Expr::FormattedValue(node) => {
                self.expr(&node.value);
                self.maybe(node.format_spec.as_deref());
            }
            Expr::JoinedStr(node) => self.all(&node.values),
            Expr::Attribute(node) => self.expr(&node.value),
            Expr::Subscript(node) => self.both(&node.value, &node.slice),
            Expr::Starred(node) => self.expr(&node.value),
            Expr::Slice(node) => {
                self.maybe(node.lower.as_deref());
                self.maybe(node.upper.as_deref());
                self.maybe(node.step.as_deref());
            }
            Expr::Constant(_) | Expr::Name(_) => {}
        }
    }

    /// Callee and arguments first: they run before the call itself.
    fn call(&mut self, call: &ExprCall) {
        self.expr(&call.func);
        self.all(&call.args);
        call.keywords.iter().for_each(|Keyword { value, .. }| self.expr(value));
        (self.on_call)(call, self.later);
    }

    fn lambda(&mut self, arguments: &Arguments, body: &Expr) {
        self.defaults(arguments);
        let before = std::mem::replace(&mut self.later, true);
        self.expr(body);
        self.later = before;
    }

    fn defaults(&mut self, arguments: &Arguments) {
        defaults_of(arguments).for_each(|default| self.expr(default));
    }

    fn comprehension(&mut self, results: &[&Expr], generators: &[Comprehension]) {
        for generator in generators {
            self.both(&generator.target, &generator.iter);
            self.all(&generator.ifs);
        }
        for result in results {
            self.expr(result);
        }
    }

    fn all(&mut self, exprs: &[Expr]) {
        for expr in exprs {
            self.expr(expr);
        }
    }

    fn both(&mut self, first: &Expr, second: &Expr) {
        self.expr(first);
        self.expr(second);
    }

    fn maybe(&mut self, expr: Option<&Expr>) {
        if let Some(expr) = expr {
            self.expr(expr);
        }
    }
}

/// The default values of a signature: they run when the `def` or `lambda` does.
pub fn defaults_of(arguments: &Arguments) -> impl Iterator<Item = &Expr> {
    let with_default = |argument: &'_ ArgWithDefault| argument.default.is_some();
    arguments
        .posonlyargs
        .iter()
        .chain(&arguments.args)
        .chain(&arguments.kwonlyargs)
        .filter(move |argument| with_default(argument))
        .filter_map(|argument| argument.default.as_deref())
}

/// The calls in the expressions of a statement itself, not of the statements in its body.
pub fn own_calls(statement: &Stmt, on_call: &mut OnCall<'_>) {
    let mut walk = Walk { on_call, depth: 0, later: false };
    match statement {
        Stmt::FunctionDef(node) => walk.function(&node.decorator_list, &node.args),
        Stmt::AsyncFunctionDef(node) => walk.function(&node.decorator_list, &node.args),
        Stmt::ClassDef(node) => {
            walk.all(&node.decorator_list);
            walk.all(&node.bases);
            node.keywords.iter().for_each(|keyword| walk.expr(&keyword.value));
        }
        Stmt::Return(node) => walk.maybe(node.value.as_deref()),
        Stmt::Delete(node) => walk.all(&node.targets),
        Stmt::Assign(node) => {
            walk.expr(&node.value);
            walk.all(&node.targets);
        }
        Stmt::AugAssign(node) => walk.both(&node.target, &node.value),
        Stmt::AnnAssign(node) => {
            walk.maybe(node.value.as_deref());
            walk.expr(&node.target);
        }
        Stmt::For(node) => walk.both(&node.target, &node.iter),
        Stmt::AsyncFor(node) => walk.both(&node.target, &node.iter),
        Stmt::While(node) => walk.expr(&node.test),
        Stmt::If(node) => walk.expr(&node.test),
        Stmt::With(node) => node.items.iter().for_each(|item| walk.expr(&item.context_expr)),
        Stmt::AsyncWith(node) => node.items.iter().for_each(|item| walk.expr(&item.context_expr)),
        Stmt::Match(node) => walk.expr(&node.subject),
        Stmt::Raise(node) => {
            walk.maybe(node.exc.as_deref());
            walk.maybe(node.cause.as_deref());
        }
        Stmt::Assert(node) => {
            walk.expr(&node.test);
            walk.maybe(node.msg.as_deref());
        }
        Stmt::Expr(node) => walk.expr(&node.value),
        // The value of a type alias runs only when it is asked for.
        Stmt::TypeAlias(_)
        | Stmt::Try(_)
        | Stmt::TryStar(_)
        | Stmt::Import(_)
        | Stmt::ImportFrom(_)
        | Stmt::Global(_)
        | Stmt::Nonlocal(_)
        | Stmt::Pass(_)
        | Stmt::Break(_)
        | Stmt::Continue(_) => {}
    }
}

impl Walk<'_, '_> {
    fn function(&mut self, decorators: &[Expr], arguments: &Arguments) {
        self.all(decorators);
        self.defaults(arguments);
    }
}

/// The bodies of a statement, each with what decides whether it runs.
pub enum Body<'a> {
    /// Runs whenever the statement does.
    Always(&'a [Stmt]),
    /// A class body: runs with the statement, in a namespace of its own.
    Class(&'a [Stmt]),
    /// Runs when the function is called.
    Function(&'a str, &'a [Stmt]),
    /// Runs under a condition that is not known here.
    Maybe(&'a [Stmt]),
    /// Never runs: `if TYPE_CHECKING`, `if False`.
    Never(&'a [Stmt]),
    /// The part of a `try` whose `ImportError` is caught.
    Try(&'a [Stmt]),
    /// Runs if that `ImportError` was raised.
    Handler(&'a [Stmt]),
}

pub fn bodies(statement: &Stmt) -> Vec<Body<'_>> {
    match statement {
        Stmt::FunctionDef(node) => vec![Body::Function(node.name.as_str(), &node.body)],
        Stmt::AsyncFunctionDef(node) => vec![Body::Function(node.name.as_str(), &node.body)],
        Stmt::ClassDef(node) => vec![Body::Class(&node.body)],
        Stmt::For(node) => vec![Body::Always(&node.body), Body::Always(&node.orelse)],
        Stmt::AsyncFor(node) => vec![Body::Always(&node.body), Body::Always(&node.orelse)],
        Stmt::While(node) => vec![Body::Maybe(&node.body), Body::Maybe(&node.orelse)],
        Stmt::If(node) => branches(node),
        Stmt::With(node) => vec![Body::Always(&node.body)],
        Stmt::AsyncWith(node) => vec![Body::Always(&node.body)],
        Stmt::Match(node) => node.cases.iter().map(|case| Body::Maybe(&case.body)).collect(),
        Stmt::Try(node) => attempt(&node.body, &node.handlers, &node.orelse, &node.finalbody),
        Stmt::TryStar(node) => attempt(&node.body, &node.handlers, &node.orelse, &node.finalbody),
        Stmt::Return(_)
        | Stmt::Delete(_)
        | Stmt::Assign(_)
        | Stmt::TypeAlias(_)
        | Stmt::AugAssign(_)
        | Stmt::AnnAssign(_)
        | Stmt::Raise(_)
        | Stmt::Assert(_)
        | Stmt::Import(_)
        | Stmt::ImportFrom(_)
        | Stmt::Global(_)
        | Stmt::Nonlocal(_)
        | Stmt::Expr(_)
        | Stmt::Pass(_)
        | Stmt::Break(_)
        | Stmt::Continue(_) => Vec::new(),
    }
}

fn branches(node: &StmtIf) -> Vec<Body<'_>> {
    match truth(&node.test) {
        Some(true) => vec![Body::Always(&node.body), Body::Never(&node.orelse)],
        Some(false) => vec![Body::Never(&node.body), Body::Always(&node.orelse)],
        None => vec![Body::Maybe(&node.body), Body::Maybe(&node.orelse)],
    }
}

/// The value of a condition, where that is known when the tests run: `TYPE_CHECKING` is false.
fn truth(test: &Expr) -> Option<bool> {
    match test {
        Expr::Name(node) if node.id.as_str() == "TYPE_CHECKING" => Some(false),
        Expr::Attribute(node) if node.attr.as_str() == "TYPE_CHECKING" => Some(false),
        Expr::UnaryOp(node) if node.op == UnaryOp::Not => match node.operand.as_ref() {
            // One level only: a chain of a million `not` is no reason to recurse.
            Expr::UnaryOp(_) => None,
            operand => truth(operand).map(|value| !value),
        },
        Expr::BoolOp(node) if node.op == BoolOp::And => {
            let known_false = |value: &Expr| !matches!(value, Expr::BoolOp(_)) && truth(value) == Some(false);
            node.values.iter().any(known_false).then_some(false)
        }
        Expr::Constant(node) => match &node.value {
            Constant::Bool(value) => Some(*value),
            Constant::Int(value) => Some(value.to_string() != "0"),
            _other => None,
        },
        _other => None,
    }
}

fn attempt<'a>(
    body: &'a [Stmt],
    handlers: &'a [ExceptHandler],
    orelse: &'a [Stmt],
    finalbody: &'a [Stmt],
) -> Vec<Body<'a>> {
    let caught = |ExceptHandler::ExceptHandler(handler): &ExceptHandler| catches_import_error(handler.type_.as_deref());
    let guarded = handlers.iter().any(caught);
    let body = if guarded { Body::Try(body) } else { Body::Always(body) };
    let mut found = vec![body];
    for handler in handlers {
        let ExceptHandler::ExceptHandler(node) = handler;
        found.push(if caught(handler) { Body::Handler(&node.body) } else { Body::Maybe(&node.body) });
    }
    // `else` runs unless the body failed, so its imports are as optional as the body's.
    found.push(if guarded { Body::Try(orelse) } else { Body::Always(orelse) });
    found.push(Body::Always(finalbody));
    found
}

fn catches_import_error(caught: Option<&Expr>) -> bool {
    let by_name = |name: &str| matches!(name, "ImportError" | "ModuleNotFoundError" | "Exception" | "BaseException");
    match caught {
        None => true,
        Some(Expr::Name(node)) => by_name(node.id.as_str()),
        Some(Expr::Attribute(node)) => by_name(node.attr.as_str()),
        Some(Expr::Tuple(node)) => {
            node.elts.iter().any(|one| !matches!(one, Expr::Tuple(_)) && catches_import_error(Some(one)))
        }
        Some(_other) => false,
    }
}

/// The text of a literal string.
pub fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Constant(node) => match &node.value {
            Constant::Str(text) => Some(text),
            _other => None,
        },
        _other => None,
    }
}
