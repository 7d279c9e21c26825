//! Declarations out of our tables as a recipe for Lean's objects: what a second guest's kernel is given was read from text.

use std::collections::HashMap;

use atlas_lean_kernel::{
    Declaration, Declarations, Expr, ExprId, Height, Inductive, Level, LevelId, Name, NameId, Signature,
    Terms,
};
use atlas_lean_wasm::{Function, Part, Recipe, Shape};

/// A declaration that Lean's kernel is not asked about, and why.
pub(crate) type Refused = (String, &'static str);

/// The recipe of the array of `Declaration`s, in their order.
pub(crate) fn recipe(terms: &Terms, declarations: &Declarations) -> Result<Recipe, Refused> {
    let mut rebuild = Rebuild {
        terms,
        recipe: Recipe::default(),
        names: HashMap::new(),
        levels: HashMap::new(),
        exprs: HashMap::new(),
    };
    let mut all = vec![];
    for declaration in declarations.iter() {
        all.push(rebuild.declaration(&declaration)?);
    }
    rebuild.recipe.array(&all);
    Ok(rebuild.recipe)
}

/// What has been rebuilt, by id. Only what declarations reach is: it is closed and not too deep, as the reader has seen to.
struct Rebuild<'t> {
    terms: &'t Terms,
    recipe: Recipe,
    names: HashMap<NameId, Part>,
    levels: HashMap<LevelId, Part>,
    exprs: HashMap<ExprId, Part>,
}

impl Rebuild<'_> {
    /// Fields are those of Lean's `Declaration` and of what it is made of, in the order of their declarations; scalars stand last.
    fn declaration(&mut self, declaration: &Declaration) -> Result<Part, Refused> {
        let refused = |s: &Signature, why| Err((self.terms.show(s.name), why));
        Ok(match declaration {
            Declaration::Axiom(s) => return refused(s, "a library declares no axioms"),
            Declaration::Quotient { signature, .. } => {
                return refused(signature, "quotients are the toolchain's to declare");
            }
            Declaration::Definition { signature, value, height } => {
                let fields = [
                    self.signature(signature),
                    self.expr(*value),
                    self.height(*height),
                    self.name_list(&[signature.name]),
                ];
                // `DefinitionSafety.safe`.
                let value = self.recipe.constructor(Shape::DefinitionValue, &fields, &[1]);
                self.recipe.constructor(Shape::Definition, &[value], &[])
            }
            Declaration::Theorem { signature, value } => {
                let fields =
                    [self.signature(signature), self.expr(*value), self.name_list(&[signature.name])];
                let value = self.recipe.constructor(Shape::TheoremValue, &fields, &[]);
                self.recipe.constructor(Shape::Theorem, &[value], &[])
            }
            Declaration::Opaque { signature, value } => {
                let fields =
                    [self.signature(signature), self.expr(*value), self.name_list(&[signature.name])];
                // It is not unsafe.
                let value = self.recipe.constructor(Shape::OpaqueValue, &fields, &[0]);
                self.recipe.constructor(Shape::Opaque, &[value], &[])
            }
            Declaration::Inductive(block) => self.block(block),
        })
    }

    /// Types with their constructors: recursors, numbers and flags are for Lean to work out.
    fn block(&mut self, block: &Inductive) -> Part {
        let mut types = vec![];
        for ty in &block.types {
            let mut constructors = vec![];
            let own = |name: &NameId| block.constructors.iter().find(|c| c.signature.name == *name);
            for constructor in ty.constructors.iter().filter_map(own) {
                let fields = [self.name(constructor.signature.name), self.expr(constructor.signature.ty)];
                constructors.push(self.recipe.constructor(Shape::Constructor, &fields, &[]));
            }
            let fields =
                [self.name(ty.signature.name), self.expr(ty.signature.ty), self.recipe.list(&constructors)];
            types.push(self.recipe.constructor(Shape::Type, &fields, &[]));
        }
        let (parameters, count) = match block.types.first() {
            Some(first) => (self.name_list(&first.signature.universe_params), first.num_params),
            None => (Part::scalar(0), 0),
        };
        let types = self.recipe.list(&types);
        // It is not unsafe.
        self.recipe.constructor(Shape::Block, &[parameters, Part::scalar(count), types], &[0])
    }

    fn signature(&mut self, signature: &Signature) -> Part {
        let fields =
            [self.name(signature.name), self.name_list(&signature.universe_params), self.expr(signature.ty)];
        self.recipe.constructor(Shape::Signature, &fields, &[])
    }

    /// `ReducibilityHints`.
    fn height(&mut self, height: Height) -> Part {
        match height {
            Height::Opaque => Part::scalar(0),
            Height::Abbreviation => Part::scalar(1),
            Height::Regular(height) => self.recipe.constructor(Shape::Height, &[], &height.to_le_bytes()),
        }
    }

    fn name_list(&mut self, names: &[NameId]) -> Part {
        let names: Vec<Part> = names.iter().map(|n| self.name(*n)).collect();
        self.recipe.list(&names)
    }

    fn number(&mut self, value: u64) -> Part {
        match u32::try_from(value) {
            Ok(small) if small <= Part::MOST => Part::scalar(small),
            _ => self.recipe.number(&value.to_string()),
        }
    }

    fn name(&mut self, name: NameId) -> Part {
        if let Some(known) = self.names.get(&name) {
            return *known;
        }
        // A name has a few hundred parts at most: no deeper recursion.
        let part = match self.terms.get_name(name) {
            Name::Anonymous => Part::scalar(0),
            Name::Str(before, text) => {
                let before = self.name(before);
                let text = self.recipe.text(self.terms.get_text(text));
                self.recipe.call(Function::NameText, &[before, text])
            }
            Name::Num(before, number) => {
                let before = self.name(before);
                let number = self.number(number);
                self.recipe.call(Function::NameNumber, &[before, number])
            }
        };
        self.names.insert(name, part);
        part
    }

    fn level(&mut self, root: LevelId) -> Part {
        let mut todo = vec![root];
        while let Some(level) = todo.pop() {
            if self.levels.contains_key(&level) {
                continue;
            }
            let below = match self.terms.get_level(level) {
                Level::Zero | Level::Param(_) => vec![],
                Level::Succ(a) => vec![a],
                Level::Max(a, b) | Level::IMax(a, b) => vec![a, b],
            };
            let parts: Option<Vec<Part>> = below.iter().map(|l| self.levels.get(l).copied()).collect();
            let Some(mut parts) = parts else {
                todo.push(level);
                todo.extend(below);
                continue;
            };
            let function = match self.terms.get_level(level) {
                Level::Zero => Function::LevelZero,
                Level::Succ(_) => Function::LevelSuccessor,
                Level::Max(..) => Function::LevelMaximum,
                Level::IMax(..) => Function::LevelImpredicativeMaximum,
                Level::Param(name) => {
                    parts.push(self.name(name));
                    Function::LevelParameter
                }
            };
            let part = self.recipe.call(function, &parts);
            self.levels.insert(level, part);
        }
        self.levels[&root]
    }

    fn expr(&mut self, root: ExprId) -> Part {
        // By hand and not by recursion: a term may be deeper than any stack.
        let mut todo = vec![root];
        while let Some(expr) = todo.last().copied() {
            if self.exprs.contains_key(&expr) {
                todo.pop();
                continue;
            }
            let before = todo.len();
            let exprs = &self.exprs;
            let node = self.terms.get(expr);
            let mut wanted = |e: ExprId| {
                if !exprs.contains_key(&e) {
                    todo.push(e);
                }
            };
            match node {
                Expr::App(a, b) | Expr::Lam(a, b) | Expr::Pi(a, b) => {
                    wanted(a);
                    wanted(b);
                }
                Expr::Let(a, b, c) => {
                    wanted(a);
                    wanted(b);
                    wanted(c);
                }
                Expr::Proj(_, _, e) => wanted(e),
                _ => {}
            }
            if todo.len() == before {
                todo.pop();
                let part = self.node(node);
                self.exprs.insert(expr, part);
            }
        }
        self.exprs[&root]
    }

    fn node(&mut self, node: Expr) -> Part {
        let (function, parts) = match node {
            Expr::BVar(index) => (Function::Variable, vec![Part::scalar(index)]),
            // The reader makes none; as a loose variable Lean's kernel refuses it.
            Expr::FVar(..) => (Function::Variable, vec![Part::scalar(0)]),
            Expr::Sort(level) => (Function::Sort, vec![self.level(level)]),
            Expr::Const(name, levels) => {
                let name = self.name(name);
                let levels: Vec<Part> =
                    self.terms.get_levels(levels).iter().map(|l| self.level(*l)).collect();
                (Function::Constant, vec![name, self.recipe.list(&levels)])
            }
            Expr::App(f, a) => (Function::Application, vec![self.exprs[&f], self.exprs[&a]]),
            Expr::Lam(t, b) => (Function::Lambda, vec![self.exprs[&t], self.exprs[&b]]),
            Expr::Pi(t, b) => (Function::Product, vec![self.exprs[&t], self.exprs[&b]]),
            Expr::Let(t, v, b) => (Function::Let, vec![self.exprs[&t], self.exprs[&v], self.exprs[&b]]),
            Expr::Proj(name, index, e) => {
                (Function::Projection, vec![self.name(name), Part::scalar(index), self.exprs[&e]])
            }
            Expr::Nat(number) => {
                let number = self.terms.get_nat(number);
                let number = match u64::try_from(number) {
                    Ok(small) => self.number(small),
                    Err(_) => self.recipe.number(&number.to_string()),
                };
                (Function::Literal, vec![self.recipe.constructor(Shape::Number, &[number], &[])])
            }
            Expr::Str(text) => {
                let text = self.recipe.text(self.terms.get_text(text));
                (Function::Literal, vec![self.recipe.constructor(Shape::Text, &[text], &[])])
            }
        };
        self.recipe.call(function, &parts)
    }
}
