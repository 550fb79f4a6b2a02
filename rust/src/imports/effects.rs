//! Finds what a file changes in the process before its first test runs: the environment, `sys.path`, other modules.
//!
//! The statements that run when the file is imported are read, the functions of the file that these call by name, and
//! the pytest hooks that run before collection ends.

use std::collections::{HashMap, HashSet};

use rustpython_parser::ast::{self, Expr, ExprCall, Operator, Ranged, Stmt};
use serde::{Deserialize, Serialize};

use crate::imports::ast_walk::{self, Body, literal};
use crate::imports::source::Lines;

/// What an effect changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An environment variable.
    Environment,
    /// An attribute of another module.
    Patch,
    /// `sys.path`.
    Path,
    /// Modules registered for assertion rewriting.
    Rewrite,
}

impl Kind {
    const ALL: [(&'static str, Self); 4] =
        [("environment", Self::Environment), ("patch", Self::Patch), ("path", Self::Path), ("rewrite", Self::Rewrite)];
    pub(crate) const NAMES: &'static str = "environment, patch, path, rewrite";

    #[must_use]
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Patch => "patch",
            Self::Path => "path",
            Self::Rewrite => "rewrite",
        }
    }
}

/// The detail where the source does not say it literally.
pub(crate) const UNKNOWN: &str = "*";

/// One change, at the line that makes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Effect {
    /// Counted from 1.
    pub line: u32,
    /// What changes.
    pub kind: Kind,
    /// The variable, attribute, path or module; [`UNKNOWN`] where the source does not say it literally.
    pub detail: String,
}

/// Hooks that run before the last test file is imported.
const EARLY_HOOKS: [&str; 8] = [
    "pytest_addhooks",
    "pytest_addoption",
    "pytest_cmdline_main",
    "pytest_collection",
    "pytest_configure",
    "pytest_load_initial_conftests",
    "pytest_plugin_registered",
    "pytest_sessionstart",
];

/// Bodies deeper than this are not followed (`imports/parse.rs` rejects such files before).
const DEEPEST_BODY: usize = 4_000;

pub(crate) fn of(suite: &[Stmt], lines: &Lines) -> Vec<Effect> {
    let mut reader = Reader {
        lines,
        names: HashMap::new(),
        functions: HashMap::new(),
        called: Vec::new(),
        found: Vec::new(),
        depth: 0,
    };
    reader.body(suite);
    reader.functions_that_ran();
    reader.found.sort();
    reader.found.dedup();
    reader.found
}

struct Reader<'a> {
    lines: &'a Lines,
    /// Local name -> dotted name that it was imported as.
    names: HashMap<String, String>,
    functions: HashMap<&'a str, &'a [Stmt]>,
    called: Vec<String>,
    found: Vec<Effect>,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn body(&mut self, body: &'a [Stmt]) {
        if self.depth >= DEEPEST_BODY {
            return;
        }
        self.depth += 1;
        for statement in body {
            self.statement(statement);
            for inner in ast_walk::bodies(statement) {
                match inner {
                    Body::Always(body)
                    | Body::Class(body)
                    | Body::Maybe(body)
                    | Body::Try(body)
                    | Body::Handler(body) => {
                        self.body(body);
                    }
                    Body::Function(name, body) => {
                        self.functions.insert(name, body);
                    }
                    Body::Never(_) => {}
                }
            }
        }
        self.depth -= 1;
    }

    fn functions_that_ran(&mut self) {
        self.called.extend(EARLY_HOOKS.iter().map(|hook| (*hook).to_owned()));
        let mut seen = HashSet::new();
        while let Some(name) = self.called.pop() {
            if let Some(body) = self.functions.get(name.as_str()).copied()
                && seen.insert(name)
            {
                self.body(body);
            }
        }
    }

    fn statement(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Import(node) => self.import(node),
            Stmt::ImportFrom(node) => self.import_from(node),
            Stmt::Assign(node) => node.targets.iter().for_each(|target| self.target(target, None)),
            Stmt::AnnAssign(node) if node.value.is_some() => self.target(&node.target, None),
            Stmt::AugAssign(node) => self.target(&node.target, Some((node.op, &node.value))),
            Stmt::Delete(node) => node.targets.iter().for_each(|target| self.target(target, None)),
            Stmt::For(node) => self.target(&node.target, None),
            // `own_calls` and `bodies` name every other statement.
            _other => {}
        }
        let mut calls = Vec::new();
        ast_walk::own_calls(statement, &mut |call, later| {
            if !later {
                self.call(call, &mut calls);
            }
        });
        self.found.append(&mut calls);
    }

    fn import(&mut self, node: &ast::StmtImport) {
        for alias in &node.names {
            let full = alias.name.as_str();
            let (local, dotted) = if let Some(name) = &alias.asname {
                (name.as_str(), full)
            } else {
                let top = full.split('.').next().unwrap_or(full);
                (top, top)
            };
            self.names.insert(local.to_owned(), dotted.to_owned());
        }
    }

    fn import_from(&mut self, node: &ast::StmtImportFrom) {
        let level = node.level.map_or(0, |level| level.to_usize());
        let module = node.module.as_ref().map_or("", |module| module.as_str());
        for alias in &node.names {
            let name = alias.name.as_str();
            let dotted = if module.is_empty() { name.to_owned() } else { format!("{module}.{name}") };
            let local = alias.asname.as_ref().unwrap_or(&alias.name).to_string();
            self.names.insert(local, format!("{}{dotted}", ".".repeat(level)));
        }
    }

    /// The dotted name that an expression stands for, if its first part was imported.
    fn dotted(&self, expr: &Expr) -> Option<String> {
        let mut parts = Vec::new();
        let mut expr = expr;
        while let Expr::Attribute(node) = expr {
            parts.push(node.attr.as_str());
            expr = &node.value;
        }
        let Expr::Name(node) = expr else { return None };
        parts.push(self.names.get(node.id.as_str())?);
        parts.reverse();
        Some(parts.join("."))
    }

    /// Something is assigned to, deleted, or (with an operator) updated.
    fn target(&mut self, target: &Expr, update: Option<(Operator, &Expr)>) {
        match target {
            Expr::Tuple(node) => node.elts.iter().for_each(|one| self.flat_target(one)),
            Expr::List(node) => node.elts.iter().for_each(|one| self.flat_target(one)),
            single => self.single_target(single, update),
        }
    }

    fn flat_target(&mut self, target: &Expr) {
        let target = if let Expr::Starred(node) = target { &node.value } else { target };
        self.single_target(target, None);
    }

    fn single_target(&mut self, target: &Expr, update: Option<(Operator, &Expr)>) {
        let line = self.lines.line(u32::from(target.start()));
        let (kind, detail) = match target {
            Expr::Subscript(node) => match self.dotted(&node.value).as_deref() {
                Some("os.environ" | "os.environb") => (Kind::Environment, text_or_unknown(Some(&node.slice))),
                Some("sys.path") => (Kind::Path, UNKNOWN.to_owned()),
                Some("sys.modules") => (Kind::Patch, format!("sys.modules[{}]", text_or_unknown(Some(&node.slice)))),
                _other => return,
            },
            Expr::Attribute(_) | Expr::Name(_) => match self.dotted(target) {
                Some(name) if name == "os.environ" => return self.environ(line, target, update),
                Some(name) if name == "sys.path" => (Kind::Path, UNKNOWN.to_owned()),
                Some(name) if matches!(target, Expr::Attribute(_)) => (Kind::Patch, name),
                _other => return,
            },
            _other => return,
        };
        self.found.push(Effect { line, kind, detail });
    }

    /// `os.environ = …` and `os.environ |= …`. Binding the bare name `environ` anew changes nothing.
    fn environ(&mut self, line: u32, target: &Expr, update: Option<(Operator, &Expr)>) {
        let keys = match update {
            Some((Operator::BitOr, value)) => keys_of(value),
            _other if matches!(target, Expr::Name(_)) => return,
            _other => vec![UNKNOWN.to_owned()],
        };
        self.found.extend(keys.into_iter().map(|detail| Effect { line, kind: Kind::Environment, detail }));
    }

    fn call(&mut self, call: &ExprCall, found: &mut Vec<Effect>) {
        let line = self.lines.line(u32::from(call.start()));
        if let Expr::Name(node) = call.func.as_ref() {
            self.called.push(node.id.to_string());
        }
        let effects = match self.dotted(&call.func) {
            Some(name) => self.known_call(&name, call),
            None => self.other_call(call),
        };
        found.extend(effects.into_iter().map(|(kind, detail)| Effect { line, kind, detail }));
    }

    /// A call of something imported.
    fn known_call(&self, name: &str, call: &ExprCall) -> Vec<(Kind, String)> {
        let one = |kind, detail: String| vec![(kind, detail)];
        let environment = |keys: Vec<String>| keys.into_iter().map(|key| (Kind::Environment, key)).collect();
        match name {
            "os.environ.setdefault"
            | "os.environ.pop"
            | "os.environ.__setitem__"
            | "os.environ.__delitem__"
            | "os.putenv"
            | "os.unsetenv" => one(Kind::Environment, text_or_unknown(call.args.first())),
            "os.environ.update" => environment(keys_of_call(call, 0)),
            "os.environ.clear" | "os.environ.popitem" | "dotenv.load_dotenv" => {
                one(Kind::Environment, UNKNOWN.to_owned())
            }
            "site.addsitedir" => one(Kind::Path, UNKNOWN.to_owned()),
            "pytest.register_assert_rewrite" => {
                call.args.iter().map(|arg| (Kind::Rewrite, text_or_unknown(Some(arg)))).collect()
            }
            "sys.modules.pop" | "sys.modules.setdefault" => {
                one(Kind::Patch, format!("sys.modules[{}]", text_or_unknown(call.args.first())))
            }
            "sys.modules.update" | "sys.modules.clear" => one(Kind::Patch, format!("sys.modules[{UNKNOWN}]")),
            _other if name.ends_with("patch.dict") => self.patch_dict(call),
            _other if is_monkey_patch(name) => one(Kind::Patch, format!("{name}()")),
            _other if is_path_change(name) => one(Kind::Path, UNKNOWN.to_owned()),
            _other => Vec::new(),
        }
    }

    /// A call of a builtin, of a local name, or of what another call returned.
    fn other_call(&self, call: &ExprCall) -> Vec<(Kind, String)> {
        match call.func.as_ref() {
            Expr::Name(node) if matches!(node.id.as_str(), "setattr" | "delattr") => {
                let Some(module) = call.args.first().and_then(|first| self.dotted(first)) else { return Vec::new() };
                vec![(Kind::Patch, format!("{module}.{}", text_or_unknown(call.args.get(1))))]
            }
            Expr::Attribute(node) if node.attr.as_str() == "start" => self.started_patch(&node.value),
            // `pytest.MonkeyPatch().setenv("KEY", …)`, directly or by a local name.
            Expr::Attribute(node) if matches!(node.attr.as_str(), "setenv" | "delenv") => {
                vec![(Kind::Environment, text_or_unknown(call.args.first()))]
            }
            _other => Vec::new(),
        }
    }

    /// `mock.patch("a.b").start()` and similar calls.
    fn started_patch(&self, patch: &Expr) -> Vec<(Kind, String)> {
        let Expr::Call(call) = patch else { return Vec::new() };
        let Some(name) = self.dotted(&call.func) else { return Vec::new() };
        let is_patch = ["patch", "patch.object", "patch.multiple"].iter().any(|end| name.ends_with(end));
        if !is_patch {
            return Vec::new();
        }
        let first = call.args.first();
        let detail = first.and_then(|first| self.dotted(first)).unwrap_or_else(|| text_or_unknown(first));
        vec![(Kind::Patch, detail)]
    }

    fn patch_dict(&self, call: &ExprCall) -> Vec<(Kind, String)> {
        let Some(first) = call.args.first() else { return Vec::new() };
        let name = self.dotted(first).or_else(|| literal(first).map(str::to_owned));
        match name.as_deref() {
            Some("os.environ") => keys_of_call(call, 1).into_iter().map(|key| (Kind::Environment, key)).collect(),
            Some(name) => vec![(Kind::Patch, name.to_owned())],
            None => Vec::new(),
        }
    }
}

fn is_monkey_patch(name: &str) -> bool {
    name.starts_with("gevent.monkey.patch_")
        || name == "eventlet.monkey_patch"
        || name == "eventlet.patcher.monkey_patch"
}

fn is_path_change(name: &str) -> bool {
    let method = name.strip_prefix("sys.path.").unwrap_or("");
    matches!(method, "insert" | "append" | "extend" | "remove" | "pop" | "clear" | "reverse" | "sort")
}

fn text_or_unknown(expr: Option<&Expr>) -> String {
    expr.and_then(literal).unwrap_or(UNKNOWN).to_owned()
}

/// The keys of a literal mapping or of `dict(KEY=…)`, else [`UNKNOWN`].
fn keys_of(value: &Expr) -> Vec<String> {
    match value {
        Expr::Dict(node) => node.keys.iter().map(|key| text_or_unknown(key.as_ref())).collect(),
        Expr::Call(call) if matches!(call.func.as_ref(), Expr::Name(node) if node.id.as_str() == "dict") => {
            let positional = call.args.iter().map(|_| UNKNOWN.to_owned());
            positional.chain(keywords_of(call)).collect()
        }
        _other => vec![UNKNOWN.to_owned()],
    }
}

fn keywords_of(call: &ExprCall) -> Vec<String> {
    let name = |keyword: &ast::Keyword| keyword.arg.as_ref().map_or(UNKNOWN.to_owned(), ToString::to_string);
    call.keywords.iter().map(name).collect()
}

/// The keys given to `update({…}, KEY=…)`: in the positional argument at `position` and by keyword.
fn keys_of_call(call: &ExprCall, position: usize) -> Vec<String> {
    let mut keys = call.args.get(position).map(keys_of).unwrap_or_default();
    keys.extend(keywords_of(call).into_iter().filter(|key| key != "clear"));
    keys
}
