//! Parses the imports of a file. The parser stands behind this seam: text in, [`Parsed`] out.

use rustpython_parser::Parse;
use rustpython_parser::ast::{self, Expr, ExprCall, Ranged, Stmt};
use serde::{Deserialize, Serialize};

use crate::error::Rejected;
use crate::imports::ast_walk::{self, Body, literal};
use crate::imports::effects::{self, Effect};
use crate::imports::source::Lines;

/// When an import runs, from "whenever the file is imported" to "never": the later one of two
/// that are nested holds for the inner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Context {
    /// Whenever the file is imported.
    Module,
    /// In a class body, which runs with the file.
    Class,
    /// In a `try` that catches `ImportError`.
    Try,
    /// In the `except ImportError` of one: runs if an import of the `try` failed.
    Handler,
    /// Under another condition.
    Conditional,
    /// In a `def` or `lambda`.
    Function,
    /// Never: `if TYPE_CHECKING`.
    TypeChecking,
    /// Named in `pytest_plugins`: pytest imports it after the file.
    Plugin,
}

impl Context {
    const ALL: [(&'static str, Self); 8] = [
        ("module", Self::Module),
        ("class", Self::Class),
        ("try", Self::Try),
        ("handler", Self::Handler),
        ("conditional", Self::Conditional),
        ("function", Self::Function),
        ("type_checking", Self::TypeChecking),
        ("plugin", Self::Plugin),
    ];
    pub(crate) const NAMES: &'static str = "module, class, try, handler, conditional, function, type_checking, plugin";

    #[must_use]
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, context)| *context)
    }
}

/// `import module` has no name; `from module import name` has one; `from . import name` has the
/// level 1 and an empty module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Import {
    /// The number of leading dots.
    pub level: u32,
    /// The dotted name after the dots.
    pub module: String,
    /// The name behind `import` in a `from` import.
    pub name: Option<String>,
    /// When the import runs.
    pub context: Context,
    /// Counted from 1.
    pub line: u32,
}

/// All that is kept of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// In the order of the source; `pytest_plugins` last.
    pub imports: Vec<Import>,
    /// What the file changes before the first test runs.
    pub effects: Vec<Effect>,
}

/// Statements deeper than this are rejected: `CPython` itself allows 100 levels of indentation; `elif`
/// chains count a level each.
pub(crate) const DEEPEST_BODY: usize = 4_000;

/// Parses decoded text. To be called on a thread of `process/thread_pool.rs` only: nested source takes stack.
pub fn parse(source: &str) -> Result<Parsed, Rejected> {
    let lines = Lines::of(source);
    let suite = ast::Suite::parse(source, "").map_err(|error| Rejected::Syntax {
        message: error.error.to_string(),
        line: Some(lines.line(u32::from(error.offset))),
    })?;
    let mut collector =
        Collector { lines: &lines, found: Vec::new(), plugins: Vec::new(), dynamic: is_dynamic(source), depth: 0 };
    collector.body(&suite, Context::Module)?;
    let mut imports = collector.found;
    imports.append(&mut collector.plugins);
    Ok(Parsed { imports, effects: effects::of(&suite, &lines) })
}

/// Most files call none of these, and walking every expression costs as much as the rest.
fn is_dynamic(source: &str) -> bool {
    ["import_module", "__import__", "importorskip"].iter().any(|name| source.contains(name))
}

struct Collector<'a> {
    lines: &'a Lines,
    found: Vec<Import>,
    plugins: Vec<Import>,
    dynamic: bool,
    depth: usize,
}

impl Collector<'_> {
    fn body(&mut self, body: &[Stmt], context: Context) -> Result<(), Rejected> {
        if self.depth >= DEEPEST_BODY {
            return Err(Rejected::TooDeep(DEEPEST_BODY));
        }
        self.depth += 1;
        for statement in body {
            self.statement(statement, context)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn statement(&mut self, statement: &Stmt, context: Context) -> Result<(), Rejected> {
        match statement {
            Stmt::Import(node) => self.import(node, context),
            Stmt::ImportFrom(node) => self.import_from(node, context),
            Stmt::Assign(node) if node.targets.iter().any(is_plugins) => self.plugins(&node.value, context),
            Stmt::AugAssign(node) if is_plugins(&node.target) => self.plugins(&node.value, context),
            Stmt::AnnAssign(node) if is_plugins(&node.target) => {
                if let Some(value) = &node.value {
                    self.plugins(value, context);
                }
            }
            // `own_calls` and `bodies` name every other statement.
            _other => {}
        }
        if self.dynamic {
            self.dynamic(statement, context);
        }
        for body in ast_walk::bodies(statement) {
            let (body, inner) = placed(&body);
            self.body(body, context.max(inner))?;
        }
        Ok(())
    }

    fn import(&mut self, node: &ast::StmtImport, context: Context) {
        let line = self.line(node);
        for alias in &node.names {
            self.found.push(Import { level: 0, module: alias.name.to_string(), name: None, context, line });
        }
    }

    fn import_from(&mut self, node: &ast::StmtImportFrom, context: Context) {
        let line = self.line(node);
        let level = node.level.map_or(0, |level| level.to_u32());
        let module = node.module.as_ref().map(ToString::to_string).unwrap_or_default();
        for alias in &node.names {
            let (module, name) = (module.clone(), Some(alias.name.to_string()));
            self.found.push(Import { level, module, name, context, line });
        }
    }

    fn dynamic(&mut self, statement: &Stmt, context: Context) {
        let (lines, found) = (self.lines, &mut self.found);
        ast_walk::own_calls(statement, &mut |call, later| {
            if let Some((level, module)) = imported_by(call) {
                let context = if later { context.max(Context::Function) } else { context };
                let line = lines.line(u32::from(call.start()));
                found.push(Import { level, module, name: None, context, line });
            }
        });
    }

    fn plugins(&mut self, value: &Expr, context: Context) {
        if context >= Context::Function {
            return;
        }
        let line = self.line(value);
        for module in strings_of(value) {
            self.plugins.push(Import { level: 0, module, name: None, context: Context::Plugin, line });
        }
    }

    fn line(&self, node: &impl Ranged) -> u32 {
        self.lines.line(u32::from(node.start()))
    }
}

fn placed<'a>(body: &Body<'a>) -> (&'a [Stmt], Context) {
    match body {
        Body::Always(body) => (body, Context::Module),
        Body::Class(body) => (body, Context::Class),
        Body::Function(_, body) => (body, Context::Function),
        Body::Maybe(body) => (body, Context::Conditional),
        Body::Never(body) => (body, Context::TypeChecking),
        Body::Try(body) => (body, Context::Try),
        Body::Handler(body) => (body, Context::Handler),
    }
}

fn is_plugins(target: &Expr) -> bool {
    matches!(target, Expr::Name(node) if node.id.as_str() == "pytest_plugins")
}

/// The literal strings of `"a"`, `["a", "b"]` or `("a",)`.
fn strings_of(value: &Expr) -> Vec<String> {
    let elements = match value {
        Expr::List(node) => &node.elts,
        Expr::Tuple(node) => &node.elts,
        Expr::Set(node) => &node.elts,
        single => return literal(single).map(|text| vec![text.to_owned()]).unwrap_or_default(),
    };
    elements.iter().filter_map(literal).map(str::to_owned).collect()
}

/// Level and module of `import_module("a.b")`, `__import__("a")`, `importorskip("a")`.
fn imported_by(call: &ExprCall) -> Option<(u32, String)> {
    let function = match call.func.as_ref() {
        Expr::Name(node) => node.id.as_str(),
        Expr::Attribute(node) => node.attr.as_str(),
        _other => return None,
    };
    let keyword = match function {
        "import_module" | "__import__" => "name",
        "importorskip" => "modname",
        _other => return None,
    };
    let name = literal(argument(call, 0, keyword)?)?;
    let anchor = (function == "import_module").then(|| argument(call, 1, "package").and_then(literal)).flatten();
    relative_to(name, anchor)
}

fn argument<'a>(call: &'a ExprCall, position: usize, keyword: &str) -> Option<&'a Expr> {
    let named = || call.keywords.iter().find(|one| one.arg.as_ref().is_some_and(|arg| arg.as_str() == keyword));
    call.args.get(position).or_else(|| named().map(|one| &one.value))
}

/// `.name` under a literal package becomes absolute; without one it stays relative to the file.
fn relative_to(name: &str, package: Option<&str>) -> Option<(u32, String)> {
    let module = name.trim_start_matches('.');
    let level = name.len() - module.len();
    let is_package_itself = level > 0 && module.is_empty();
    if !is_package_itself && !is_dotted_name(module) {
        return None;
    }
    match package {
        Some(package) if level > 0 => {
            let kept: Vec<&str> = package.split('.').collect();
            let kept = kept.get(..(kept.len() + 1).checked_sub(level)?)?;
            let parts: Vec<&str> = kept.iter().copied().chain([module]).filter(|part| !part.is_empty()).collect();
            Some((0, parts.join(".")))
        }
        _none => Some((u32::try_from(level).ok()?, module.to_owned())),
    }
}

fn is_dotted_name(name: &str) -> bool {
    !name.is_empty() && name.split('.').all(|part| !part.is_empty() && !part.contains(['/', '\\', ' ']))
}
