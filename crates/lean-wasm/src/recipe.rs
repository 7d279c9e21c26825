//! What the host builds in a guest: Lean objects, as a list of steps each of which makes one object of earlier ones.
//!
//! A recipe is plain data and says nothing of addresses. Names, levels and expressions are made by the guest's own constructors, which
//! work out the hashes and flags that Lean keeps in them; nothing that another guest has worked out is taken over.

/// A value that a step is given: an object that an earlier step has made, or a boxed scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part(u32);

/// What a [`Part`] stands for.
pub(crate) enum Given {
    /// A small number or a constructor without fields.
    Scalar(u32),
    /// The object of the step with this number.
    Made(usize),
}

impl Part {
    /// The largest scalar: Lean keeps larger natural numbers as objects.
    pub const MOST: u32 = (1 << 31) - 1;

    /// A natural number up to [`Part::MOST`], or the constructor with this number, without fields; larger ones are cut off.
    pub fn scalar(value: u32) -> Self {
        Self(value << 1 | 1)
    }

    pub(crate) fn given(self) -> Given {
        match self.0 & 1 {
            1 => Given::Scalar(self.0 >> 1),
            _ => Given::Made(self.0 as usize >> 1),
        }
    }
}

/// Constructors of the guest's that keep more in an object than its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// `Name.str`: prefix, text.
    NameText,
    /// `Name.num`: prefix, number.
    NameNumber,
    /// `Level.zero`: the unit.
    LevelZero,
    /// `Level.succ`.
    LevelSuccessor,
    /// `Level.max`.
    LevelMaximum,
    /// `Level.imax`.
    LevelImpredicativeMaximum,
    /// `Level.param`.
    LevelParameter,
    /// `Expr.bvar`.
    Variable,
    /// `Expr.sort`.
    Sort,
    /// `Expr.const`: name, list of levels.
    Constant,
    /// `Expr.app`.
    Application,
    /// `Expr.lam`: type, body. The variable has no name.
    Lambda,
    /// `Expr.forallE`: type, body. The variable has no name.
    Product,
    /// `Expr.letE`: type, value, body. The variable has no name.
    Let,
    /// `Expr.lit`.
    Literal,
    /// `Expr.proj`: structure, field, value.
    Projection,
}

/// One object.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Call(Function, [Part; 3]),
    Constructor {
        tag: u8,
        fields: Vec<Part>,
        scalars: Vec<u8>,
    },
    Array(Vec<Part>),
    Text(String),
    /// A natural number above [`Part::MOST`], in decimal digits.
    Number(String),
}

/// The steps, in order.
#[derive(Debug, Clone, Default)]
pub struct Recipe {
    pub(crate) steps: Vec<Step>,
}

impl Recipe {
    fn step(&mut self, step: Step) -> Part {
        // Far fewer than 2^31 objects fit into a guest.
        let part = Part((self.steps.len() as u32) << 1);
        self.steps.push(step);
        part
    }

    /// What `function` makes of up to three parts.
    pub fn call(&mut self, function: Function, parts: &[Part]) -> Part {
        let mut given = [Part::scalar(0); 3];
        for (place, part) in given.iter_mut().zip(parts) {
            *place = *part;
        }
        self.step(Step::Call(function, given))
    }

    /// A constructor's object: its number, its fields, and the scalars behind them as they lie in memory.
    pub fn constructor(&mut self, tag: u8, fields: &[Part], scalars: &[u8]) -> Part {
        self.step(Step::Constructor { tag, fields: fields.to_vec(), scalars: scalars.to_vec() })
    }

    /// A `List`.
    pub fn list(&mut self, elements: &[Part]) -> Part {
        elements.iter().rev().fold(Part::scalar(0), |rest, first| self.constructor(1, &[*first, rest], &[]))
    }

    /// An array.
    pub fn array(&mut self, elements: &[Part]) -> Part {
        self.step(Step::Array(elements.to_vec()))
    }

    /// A string.
    pub fn text(&mut self, text: &str) -> Part {
        self.step(Step::Text(text.to_owned()))
    }

    /// A natural number above [`Part::MOST`], given in decimal digits.
    pub fn number(&mut self, digits: &str) -> Part {
        self.step(Step::Number(digits.to_owned()))
    }
}
