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

impl Function {
    /// The word for it in [`Recipe::lines`], and how many parts it is given.
    fn word(self) -> (&'static str, usize) {
        match self {
            Self::NameText => ("str", 2),
            Self::NameNumber => ("num", 2),
            Self::LevelZero => ("zero", 0),
            Self::LevelSuccessor => ("succ", 1),
            Self::LevelMaximum => ("max", 2),
            Self::LevelImpredicativeMaximum => ("imax", 2),
            Self::LevelParameter => ("param", 1),
            Self::Variable => ("bvar", 1),
            Self::Sort => ("sort", 1),
            Self::Constant => ("const", 2),
            Self::Application => ("app", 2),
            Self::Lambda => ("lam", 2),
            Self::Product => ("forall", 2),
            Self::Let => ("let", 3),
            Self::Literal => ("lit", 1),
            Self::Projection => ("proj", 3),
        }
    }
}

/// Constructors that keep nothing in an object but their fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `List.cons`: first, rest.
    Cons,
    /// `Literal.natVal`: number.
    Number,
    /// `Literal.strVal`: text.
    Text,
    /// `ConstantVal`: name, universe parameters, type.
    Signature,
    /// `ReducibilityHints.regular`; its scalars are a height of 32 bits.
    Height,
    /// `DefinitionVal`: signature, value, hints, names; its scalar is 1, it is safe.
    DefinitionValue,
    /// `Declaration.defnDecl`: definition.
    Definition,
    /// `TheoremVal`: signature, value, names.
    TheoremValue,
    /// `Declaration.thmDecl`: theorem.
    Theorem,
    /// `OpaqueVal`: signature, value, names; its scalar is 0, it is not unsafe.
    OpaqueValue,
    /// `Declaration.opaqueDecl`: opaque.
    Opaque,
    /// `Constructor`: name, type.
    Constructor,
    /// `InductiveType`: name, type, constructors.
    Type,
    /// `Declaration.inductDecl`: universe parameters, number of parameters, types; its scalar is 0, it is not unsafe.
    Block,
}

impl Shape {
    /// Its number among its type's constructors.
    pub(crate) fn tag(self) -> u8 {
        match self {
            Self::Number
            | Self::Signature
            | Self::DefinitionValue
            | Self::TheoremValue
            | Self::OpaqueValue
            | Self::Constructor
            | Self::Type => 0,
            Self::Cons | Self::Text | Self::Definition => 1,
            Self::Height | Self::Theorem => 2,
            Self::Opaque => 3,
            Self::Block => 6,
        }
    }

    /// The word for it in [`Recipe::lines`].
    fn word(self) -> &'static str {
        match self {
            Self::Cons => "cons",
            Self::Number => "natural",
            Self::Text => "string",
            Self::Signature => "signature",
            Self::Height => "height",
            Self::DefinitionValue => "definition",
            Self::TheoremValue => "theorem",
            Self::OpaqueValue => "opaque",
            Self::Definition | Self::Theorem | Self::Opaque => "declare",
            Self::Constructor => "constructor",
            Self::Type => "type",
            Self::Block => "block",
        }
    }
}

/// One object.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Call(Function, [Part; 3]),
    Constructor {
        shape: Shape,
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

    /// A constructor's object: its fields, and the scalars behind them as they lie in memory.
    pub fn constructor(&mut self, shape: Shape, fields: &[Part], scalars: &[u8]) -> Part {
        self.step(Step::Constructor { shape, fields: fields.to_vec(), scalars: scalars.to_vec() })
    }

    /// A `List`.
    pub fn list(&mut self, elements: &[Part]) -> Part {
        elements
            .iter()
            .rev()
            .fold(Part::scalar(0), |rest, first| self.constructor(Shape::Cons, &[*first, rest], &[]))
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

    /// The same as text, for a Lean that makes the objects itself: a line a step, a word and its parts. A part is the number of an earlier
    /// line, or `#` and a scalar. Texts are decimal code points, numbers and heights decimal digits.
    pub fn lines(&self) -> String {
        let mut lines = String::new();
        let mut line = |word: &str, parts: &[Part], rest: &str| {
            lines += word;
            for part in parts {
                lines += &match part.given() {
                    Given::Scalar(value) => format!(" #{value}"),
                    Given::Made(step) => format!(" {step}"),
                };
            }
            lines += rest;
            lines.push('\n');
        };
        for step in &self.steps {
            match step {
                Step::Call(function, parts) => {
                    let (word, count) = function.word();
                    line(word, &parts[..count], "");
                }
                Step::Constructor { shape: Shape::Height, scalars, .. } => {
                    let height = scalars.iter().rev().fold(0, |height, byte| height << 8 | u64::from(*byte));
                    line(Shape::Height.word(), &[], &format!(" {height}"));
                }
                Step::Constructor { shape, fields, .. } => line(shape.word(), fields, ""),
                Step::Array(elements) => line("array", elements, ""),
                Step::Text(text) => {
                    let points: String = text.chars().map(|c| format!(" {}", u32::from(c))).collect();
                    line("text", &[], &points);
                }
                Step::Number(digits) => line("number", &[], &format!(" {digits}")),
            }
        }
        lines
    }
}
