//! The first pass: what the module imports, exports and keeps in its table.

use std::collections::HashMap;

use wasm_encoder::ValType;
use wasmparser::{ElementItems, ElementKind, ExternalKind, Operator, Parser, Payload, TypeRef};

use super::Rewriter;

/// A line of the symbol table: name, kind, value.
pub(super) type Symbol = (String, char, i64);

fn value_type(value: wasmparser::ValType) -> Result<ValType, String> {
    Ok(match value {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        other => return Err(format!("value type {other:?}")),
    })
}

fn constant(expression: &wasmparser::ConstExpr<'_>) -> Result<Option<i32>, String> {
    match expression.get_operators_reader().read().map_err(text)? {
        Operator::I32Const { value } => Ok(Some(value)),
        _ => Ok(None),
    }
}

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

/// What was found, and the symbols in the order of their exports.
pub(super) fn scan(wasm: &[u8]) -> Result<(Rewriter, Vec<Symbol>), String> {
    let mut rw = Rewriter::default();
    let mut slots: HashMap<u32, u32> = HashMap::new();
    let mut globals: Vec<i32> = vec![];
    let mut imported_globals = 0;
    let mut exports: Vec<(String, ExternalKind, u32)> = vec![];
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(text)? {
            Payload::TypeSection(section) => {
                for t in section.into_iter_err_on_gc_types() {
                    let t = t.map_err(text)?;
                    let types = |list: &[wasmparser::ValType]| {
                        list.iter().map(|v| value_type(*v)).collect::<Result<Vec<_>, _>>()
                    };
                    let signature = (types(t.params())?, types(t.results())?);
                    rw.type_indices.entry(signature.clone()).or_insert(rw.types.len() as u32);
                    rw.types.push(signature);
                }
                rw.own_types = rw.types.len();
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(text)?;
                    match import.ty {
                        TypeRef::Func(t) => rw.import_names.push((import.name.to_owned(), t)),
                        TypeRef::Global(_) => imported_globals += 1,
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(section) => rw.old_defined = section.count(),
            Payload::TableSection(section) => {
                let table = section.into_iter().next().ok_or("no table")?.map_err(text)?;
                rw.table_size = table.ty.initial as u32;
            }
            Payload::GlobalSection(section) => {
                for (k, global) in section.into_iter().enumerate() {
                    let global = global.map_err(text)?;
                    if global.ty.mutable {
                        rw.mutable_globals.push(imported_globals + k as u32);
                    }
                    globals.push(constant(&global.init_expr)?.unwrap_or(0));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.map_err(text)?;
                    exports.push((export.name.to_owned(), export.kind, export.index));
                }
            }
            Payload::StartSection { func, .. } => rw.start = func,
            Payload::ElementSection(section) => {
                for element in section {
                    let element = element.map_err(text)?;
                    let ElementKind::Active { offset_expr, .. } = &element.kind else {
                        return Err("passive elements".into());
                    };
                    let base = constant(offset_expr)?.ok_or("element offset that is no constant")? as u32;
                    if let ElementItems::Functions(functions) = element.items {
                        for (k, function) in functions.into_iter().enumerate() {
                            slots.entry(function.map_err(text)?).or_insert(base + k as u32);
                        }
                    }
                }
            }
            _ => {}
        }
    }
    rw.old_imports = rw.import_names.len() as u32;
    let symbols = assign_slots(&mut rw, &exports, &mut slots, &globals, imported_globals)?;
    Ok((rw, symbols))
}

/// Gives every exported and every imported function a slot in the table.
fn assign_slots(
    rw: &mut Rewriter,
    exports: &[(String, ExternalKind, u32)],
    slots: &mut HashMap<u32, u32>,
    globals: &[i32],
    imported_globals: u32,
) -> Result<Vec<Symbol>, String> {
    let mut symbols = vec![];
    let mut slot_of = |rw: &mut Rewriter, function: u32| {
        *slots.entry(function).or_insert_with(|| {
            rw.added_slots.push(function);
            rw.table_size + rw.added_slots.len() as u32 - 1
        })
    };
    for (name, kind, index) in exports {
        match kind {
            ExternalKind::Func => {
                rw.exports.insert(name.clone(), *index);
                let slot = slot_of(rw, *index);
                symbols.push((name.clone(), 'f', i64::from(slot)));
            }
            ExternalKind::Global => {
                if name == "__stack_pointer" {
                    rw.stack_pointer = *index;
                }
                let defined = index.checked_sub(imported_globals).ok_or("an imported global is exported")?;
                let value = globals.get(defined as usize).ok_or("an exported global that is not there")?;
                symbols.push((name.clone(), 'd', i64::from(*value)));
            }
            _ => {}
        }
    }
    for k in 0..rw.old_imports {
        let slot = slot_of(rw, k);
        let name = rw.import_names[k as usize].0.clone();
        rw.import_slots.insert(name, slot);
    }
    Ok(symbols)
}
