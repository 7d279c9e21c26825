//! Builds the objects of a recipe in a guest.
//!
//! All of them are *persistent* for Lean (reference count 0): it neither counts references to them nor frees them, so the host need
//! not know which function consumes what, and threads may share them. The guest is a copy that is thrown away, or becomes the ground of further
//! copies, which need them all.

use std::collections::BTreeMap;

use wasmtime::{Instance, Result, Store, TypedFunc, bail};

use crate::guest::{SharedGuest, Thread};
use crate::memory::GuestMemory;
use crate::recipe::{Function, Given, Part, Recipe, Step};
use crate::schedule::function;
use atlas_lean_export::tag;

/// An object begins at a multiple of this many bytes.
const ALIGNMENT: usize = 8;
/// `BinderInfo.default`.
const EXPLICIT: u32 = 0;
/// `Name.anonymous`, boxed.
const ANONYMOUS: u32 = 1;
/// `false`, unboxed.
const FALSE: u32 = 0;

/// A constructor of the guest's, by how many parameters it has.
#[derive(Clone)]
enum Callable {
    One(TypedFunc<u32, u32>),
    Two(TypedFunc<(u32, u32), u32>),
    Three(TypedFunc<(u32, u32, u32), u32>),
    Four(TypedFunc<(u32, u32, u32, u32), u32>),
    Five(TypedFunc<(u32, u32, u32, u32, u32), u32>),
}

impl Function {
    /// Lean's name for it (`@[export]`), and how many parameters it has.
    fn symbol(self) -> (&'static str, usize) {
        match self {
            Self::NameText => ("lean_name_mk_string", 2),
            Self::NameNumber => ("lean_name_mk_numeral", 2),
            Self::LevelZero => ("lean_level_mk_zero", 1),
            Self::LevelSuccessor => ("lean_level_mk_succ", 1),
            Self::LevelMaximum => ("lean_level_mk_max", 2),
            Self::LevelImpredicativeMaximum => ("lean_level_mk_imax", 2),
            Self::LevelParameter => ("lean_level_mk_param", 1),
            Self::Variable => ("lean_expr_mk_bvar", 1),
            Self::Sort => ("lean_expr_mk_sort", 1),
            Self::Constant => ("lean_expr_mk_const", 2),
            Self::Application => ("lean_expr_mk_app", 2),
            Self::Lambda => ("lean_expr_mk_lambda", 4),
            Self::Product => ("lean_expr_mk_forall", 4),
            Self::Let => ("lean_expr_mk_let", 5),
            Self::Literal => ("lean_expr_mk_lit", 1),
            Self::Projection => ("lean_expr_mk_proj", 3),
        }
    }
}

/// A guest in which objects are built.
pub(crate) struct Builder<'s> {
    store: &'s mut Store<Thread>,
    instance: Instance,
    guest: SharedGuest,
    memory: GuestMemory,
    callables: BTreeMap<Function, Callable>,
    /// The next free byte of the block in which the host itself writes objects.
    free: u32,
    /// Addresses, or boxed scalars, by step.
    made: Vec<u32>,
}

/// Builds the objects of `recipe`; the last one's address. Of an empty recipe, an empty array.
pub(crate) async fn build(
    store: &mut Store<Thread>,
    instance: Instance,
    guest: &SharedGuest,
    mut recipe: Recipe,
) -> Result<u32> {
    if recipe.steps.is_empty() {
        recipe.array(&[]);
    }
    let memory = guest.lock().memory.clone();
    let mut builder = Builder {
        store,
        instance,
        guest: guest.clone(),
        memory,
        callables: BTreeMap::new(),
        free: 0,
        made: Vec::with_capacity(recipe.steps.len()),
    };
    let bytes: usize = recipe.steps.iter().map(own_bytes).sum();
    let bytes = u32::try_from(bytes + ALIGNMENT)?;
    let allocate: TypedFunc<u32, u32> = builder.find("lean_alloc_object")?.typed(&*builder.store)?;
    builder.free = allocate.call_async(&mut *builder.store, bytes).await?.next_multiple_of(ALIGNMENT as u32);
    for step in &recipe.steps {
        let object = builder.step(step).await?;
        builder.made.push(object);
    }
    match builder.made.last() {
        Some(last) => Ok(*last),
        None => bail!("an empty recipe"),
    }
}

/// Bytes that the host writes for a step.
fn own_bytes(step: &Step) -> usize {
    let bytes = match step {
        Step::Call(..) => 0,
        Step::Constructor { fields, scalars, .. } => 8 + 4 * fields.len() + scalars.len(),
        Step::Array(elements) => 16 + 4 * elements.len(),
        Step::Text(text) => 20 + text.len() + 1,
        Step::Number(digits) => digits.len() + 1,
    };
    bytes.next_multiple_of(ALIGNMENT)
}

impl Builder<'_> {
    fn find(&mut self, symbol: &str) -> Result<wasmtime::Func> {
        function(self.store, self.instance, &self.guest, symbol)
    }

    fn value(&self, part: Part) -> Result<u32> {
        match part.given() {
            Given::Scalar(value) => Ok(value << 1 | 1),
            Given::Made(step) => match self.made.get(step) {
                Some(object) => Ok(*object),
                None => bail!("a recipe uses what it has not made"),
            },
        }
    }

    async fn step(&mut self, step: &Step) -> Result<u32> {
        match step {
            Step::Call(function, [a, b, c]) => {
                let given = [self.value(*a)?, self.value(*b)?, self.value(*c)?];
                self.call(*function, given).await
            }
            Step::Constructor { shape, fields, scalars } => {
                let mut body = Vec::with_capacity(4 * fields.len() + scalars.len());
                for field in fields {
                    body.extend(self.value(*field)?.to_le_bytes());
                }
                body.extend(scalars);
                self.write(step, shape.tag(), u8::try_from(fields.len())?, &body)
            }
            Step::Array(elements) => {
                let length = u32::try_from(elements.len())?.to_le_bytes();
                let mut body = [length, length].concat();
                for element in elements {
                    body.extend(self.value(*element)?.to_le_bytes());
                }
                self.write(step, tag::ARRAY, 0, &body)
            }
            Step::Text(text) => {
                let size = (u32::try_from(text.len())? + 1).to_le_bytes();
                let length = u32::try_from(text.chars().count())?.to_le_bytes();
                let body = [&size, &size, &length, text.as_bytes(), b"\0"].concat();
                self.write(step, tag::STRING, 0, &body)
            }
            Step::Number(digits) => {
                let at = self.place(step);
                self.memory.write(at, digits.as_bytes())?;
                self.memory.write(at + u32::try_from(digits.len())?, b"\0")?;
                let read: TypedFunc<u32, u32> = self.find("lean_cstr_to_nat")?.typed(&*self.store)?;
                let number = read.call_async(&mut *self.store, at).await?;
                self.persistent(number)
            }
        }
    }

    /// The place for what the host writes for a step.
    fn place(&mut self, step: &Step) -> u32 {
        let at = self.free;
        // Their sum fitted when the block was asked for.
        self.free += own_bytes(step) as u32;
        at
    }

    fn write(&mut self, step: &Step, tag: u8, fields: u8, body: &[u8]) -> Result<u32> {
        let at = self.place(step);
        // Lean keeps the size of constructors in their header, and compares them byte by byte where it shares equal ones; that of arrays
        // and strings it works out.
        let bytes = own_bytes(step);
        let size = if matches!(step, Step::Constructor { .. }) { u16::try_from(bytes)? } else { 0 };
        let [low, high] = size.to_le_bytes();
        let mut object = vec![0, 0, 0, 0, low, high, fields, tag];
        object.extend(body);
        object.resize(bytes, 0);
        self.memory.write(at, &object)?;
        Ok(at)
    }

    fn persistent(&self, object: u32) -> Result<u32> {
        if object & 1 == 0 {
            self.memory.set_u32(object, 0)?;
        }
        Ok(object)
    }

    async fn call(&mut self, function: Function, [a, b, c]: [u32; 3]) -> Result<u32> {
        let callable = match self.callables.get(&function) {
            Some(known) => known.clone(),
            None => {
                let (symbol, parameters) = function.symbol();
                let found = self.find(symbol)?;
                let store = &*self.store;
                let callable = match parameters {
                    1 => Callable::One(found.typed(store)?),
                    2 => Callable::Two(found.typed(store)?),
                    3 => Callable::Three(found.typed(store)?),
                    4 => Callable::Four(found.typed(store)?),
                    _ => Callable::Five(found.typed(store)?),
                };
                self.callables.insert(function, callable.clone());
                callable
            }
        };
        let store = &mut *self.store;
        let object = match callable {
            Callable::One(f) => f.call_async(store, a).await?,
            Callable::Two(f) => f.call_async(store, (a, b)).await?,
            Callable::Three(f) => f.call_async(store, (a, b, c)).await?,
            Callable::Four(f) => f.call_async(store, (ANONYMOUS, a, b, EXPLICIT)).await?,
            Callable::Five(f) => f.call_async(store, (ANONYMOUS, a, b, c, FALSE)).await?,
        };
        self.persistent(object)
    }
}
