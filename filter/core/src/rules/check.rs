//! What can be said of an expression before any request comes: its size, and the names that it reads.

use std::collections::HashSet;

use cel::{
    IdedExpr, ParseErrors, Program,
    common::ast::{EntryExpr, Expr},
};

use super::{GUARD_FIELDS, GUARDS, RuleError, VARIABLES};
use crate::config::validate::distance;

const FUNCTIONS: [&str; 24] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "bytes",
    "dyn",
    "type",
    "min",
    "max",
    "has",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
    "optional.of",
    "optional.none",
    "orValue",
];
/// Binary operators of one level nest too: `a + b + c` is three deep. Each bracket level may hold this many.
const OPERATORS_PER_LEVEL: usize = 8;

pub(super) fn depth(depth: usize, limit: usize) -> Result<(), RuleError> {
    if depth > limit { Err(RuleError::TooDeep { depth, limit }) } else { Ok(()) }
}

/// The deepest nesting of brackets and ternaries. Brackets inside string literals count too, on the safe side.
pub(super) fn bracket_depth(source: &str) -> usize {
    let (mut depth, mut deepest, mut ternaries) = (0_usize, 0, 0);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'?' => ternaries += 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest + ternaries
}

pub(super) fn syntax(source: &str, errors: &ParseErrors) -> RuleError {
    let first = errors.errors.iter().min_by_key(|error| error.pos);
    let (line, column) = first.map_or((1, 1), |error| error.pos);
    // Multi-line rules: the column counts from the start of the rule.
    let before: usize = source
        .split_inclusive('\n')
        .take(usize::try_from(line - 1).unwrap_or_default())
        .map(|line| line.chars().count())
        .sum();
    RuleError::Syntax {
        column: before + usize::try_from(column).unwrap_or(1).max(1),
        message: first.map_or_else(|| "not an expression".to_owned(), |error| error.msg.clone()),
    }
}

/// The variables that the program reads; refuses names that do not exist and trees that are too deep to evaluate.
pub(super) fn names(program: &Program, max_depth: usize) -> Result<Vec<&'static str>, RuleError> {
    let mut walk = Walk { program, bound: HashSet::new(), reads: Vec::new(), deepest: 0 };
    walk.bind(program.expression());
    walk.visit(program.expression(), 1)?;
    depth(walk.deepest, max_depth * OPERATORS_PER_LEVEL)?;
    Ok(walk.reads)
}

struct Walk<'a> {
    program: &'a Program,
    /// Variables that comprehensions bind.
    bound: HashSet<&'a str>,
    reads: Vec<&'static str>,
    deepest: usize,
}

impl<'a> Walk<'a> {
    fn bind(&mut self, expr: &'a IdedExpr) {
        if let Expr::Comprehension(c) = &expr.expr {
            self.bound.insert(&c.iter_var);
            self.bound.extend(c.iter_var2.as_deref());
            self.bound.insert(&c.accu_var);
        }
        for child in children(expr) {
            self.bind(child);
        }
    }

    fn visit(&mut self, expr: &'a IdedExpr, depth: usize) -> Result<(), RuleError> {
        self.deepest = self.deepest.max(depth);
        match &expr.expr {
            // A guard's variable is read by its fields only: a misspelt one would never match, and nobody would know.
            Expr::Select(select) if let Some(guard) = self.guard(&select.operand) => {
                let field = format!("{guard}.{}", select.field);
                if !GUARD_FIELDS.contains(&field.as_str()) {
                    return Err(self.unknown("variable", &field, select.operand.id, &GUARD_FIELDS));
                }
                self.read(guard);
                return Ok(());
            }
            Expr::Ident(name) if self.guard(expr).is_some() => {
                return Err(self.unknown("variable", name, expr.id, &GUARD_FIELDS));
            }
            Expr::Ident(name) if !self.bound.contains(name.as_str()) => {
                let known = VARIABLES.into_iter().find(|known| known == name);
                let known = known.ok_or_else(|| self.unknown("variable", name, expr.id, &VARIABLES))?;
                self.read(known);
            }
            Expr::Call(call) => {
                let operator = !call.func_name.starts_with(|c: char| c.is_ascii_alphabetic());
                if !operator && !FUNCTIONS.contains(&call.func_name.as_str()) {
                    return Err(self.unknown("function", &call.func_name, expr.id, &FUNCTIONS));
                }
            }
            _ => {}
        }
        children(expr).into_iter().try_for_each(|child| self.visit(child, depth + 1))
    }

    fn read(&mut self, name: &'static str) {
        if !self.reads.contains(&name) {
            self.reads.push(name);
        }
    }

    /// The guard whose variable it is, if it is one.
    fn guard(&self, expr: &IdedExpr) -> Option<&'static str> {
        let Expr::Ident(name) = &expr.expr else { return None };
        GUARDS.into_iter().find(|guard| guard == name && !self.bound.contains(guard))
    }

    fn unknown(&self, kind: &'static str, name: &str, id: u64, known: &[&'static str]) -> RuleError {
        let offset = self.program.source_info().offset_for(id).map_or(0, |(start, _)| start);
        RuleError::Unknown {
            kind,
            name: name.to_owned(),
            column: usize::try_from(offset).unwrap_or_default() + 1,
            nearest: known.iter().copied().min_by_key(|known| distance(known, name)).unwrap_or_default(),
        }
    }
}

fn children(expr: &IdedExpr) -> Vec<&IdedExpr> {
    match &expr.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Comprehension(c) => vec![&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|entry| entry_children(&entry.expr)).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Struct(message) => message.entries.iter().flat_map(|entry| entry_children(&entry.expr)).collect(),
    }
}

fn entry_children(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}
