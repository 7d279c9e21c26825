//! The second pass: every section written again, with the changes that the plan asks for.

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, ElementSection, Elements, EntityType, ExportKind, ExportSection, FunctionSection,
    GlobalSection, GlobalType, ImportSection, Instruction, Module, SectionId, TableSection, TagKind,
    TagSection, TagType, TypeSection, ValType,
};
use wasmparser::{Operator, TypeRef};

use super::Rewriter;

/// What the plan and the module disagree about.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unexpected(String);

type Encoded<T> = Result<T, Error<Unexpected>>;

fn unexpected(what: impl Into<String>) -> Error<Unexpected> {
    Error::UserError(Unexpected(what.into()))
}

/// Exports that the host itself uses.
const KEPT: &[&str] = &[
    "__wasm_call_ctors",
    "__main_argc_argv",
    "__indirect_function_table",
    "_emscripten_stack_alloc",
    "malloc",
];

impl Reencode for Rewriter {
    type Error = Unexpected;

    fn function_index(&mut self, func: u32) -> Encoded<u32> {
        Ok(self.renumbered(func))
    }

    fn instruction<'a>(&mut self, op: Operator<'a>) -> Encoded<Instruction<'a>> {
        // Instances are used by one thread after the other: all that they may hold is their mutable globals, which are exported.
        match &op {
            Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. } => return Err(unexpected("a write to the table")),
            Operator::GlobalSet { global_index } if !self.mutable_globals.contains(global_index) => {
                return Err(unexpected("a write to a global that was imported"));
            }
            _ => {}
        }
        // The start function's wait is for another thread that copies the initial data: it never happens here.
        let host = match &op {
            Operator::MemoryAtomicWait32 { memarg } if self.current != self.start => {
                Some(("futex_wait", memarg.offset))
            }
            Operator::MemoryAtomicNotify { memarg } if self.current != self.start => {
                Some(("futex_wake", memarg.offset))
            }
            _ => None,
        };
        match host {
            Some((_, offset)) if offset != 0 => Err(unexpected("an atomic wait with an offset")),
            Some((name, _)) => Ok(Instruction::Call(self.host(name).map_err(unexpected)?)),
            None => utils::instruction(self, op),
        }
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Encoded<()> {
        utils::parse_type_section(self, types, section)?;
        for (parameters, results) in &self.types[self.own_types..] {
            types.ty().function(parameters.iter().copied(), results.iter().copied());
        }
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        out: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Encoded<()> {
        let mut function = 0;
        let mut rest = vec![];
        for import in section.into_imports() {
            let import = import?;
            if let TypeRef::Func(_) = import.ty {
                if !self.dropped_imports.contains(&function) {
                    utils::parse_import(self, out, import)?;
                }
                function += 1;
            } else {
                rest.push(import);
            }
        }
        for (name, index) in &self.host_imports {
            out.import("host", name, EntityType::Function(*index));
        }
        for import in rest {
            // Globals with addresses of imported functions become defined ones; their indices stay, for they come first.
            if let TypeRef::Global(_) = import.ty {
                self.global_values.push(self.import_slots.get(import.name).copied().unwrap_or(0));
            } else {
                utils::parse_import(self, out, import)?;
            }
        }
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        out: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Encoded<()> {
        for value in &self.global_values {
            let global = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
            out.global(global, &ConstExpr::i32_const(*value as i32));
        }
        utils::parse_global_section(self, out, section)
    }

    fn parse_function_section(
        &mut self,
        out: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Encoded<()> {
        utils::parse_function_section(self, out, section)?;
        for (index, _) in &self.shims {
            out.function(*index);
        }
        let entry = self.add_type(&[ValType::I32; 3], &[]);
        out.function(entry);
        Ok(())
    }

    fn parse_table_section(
        &mut self,
        out: &mut TableSection,
        section: wasmparser::TableSectionReader<'_>,
    ) -> Encoded<()> {
        for table in section {
            let mut table = self.table_type(table?.ty)?;
            table.minimum = u64::from(self.table_size) + self.added_slots.len() as u64;
            out.table(table);
        }
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        out: &mut ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Encoded<()> {
        for export in section {
            let export = export?;
            if KEPT.contains(&export.name) {
                utils::parse_export(self, out, export)?;
            }
        }
        for global in &self.mutable_globals {
            out.export(&format!("mg{global}"), ExportKind::Global, *global);
        }
        out.export(
            "thread_entry",
            ExportKind::Func,
            self.new_imports + self.old_defined + self.shims.len() as u32,
        );
        Ok(())
    }

    fn parse_element_section(
        &mut self,
        out: &mut ElementSection,
        section: wasmparser::ElementSectionReader<'_>,
    ) -> Encoded<()> {
        utils::parse_element_section(self, out, section)?;
        let functions: Vec<u32> = self.added_slots.iter().map(|f| self.renumbered(*f)).collect();
        out.active(
            None,
            &ConstExpr::i32_const(self.table_size as i32),
            Elements::Functions(functions.into()),
        );
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        out: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Encoded<()> {
        self.current = self.old_imports;
        for body in section {
            utils::parse_function_body(self, out, body?)?;
            self.current += 1;
        }
        for (index, shim) in self.shims.clone() {
            out.function(&self.shim(index, shim).map_err(unexpected)?);
        }
        out.function(&self.thread_entry().map_err(unexpected)?);
        Ok(())
    }

    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        _after: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Encoded<()> {
        // The tag of the one kind of exception; its section goes between memories and globals.
        if before == Some(SectionId::Global) {
            let func_type_idx =
                self.index_of(&(vec![], vec![])).ok_or_else(|| unexpected("no type without parameters"))?;
            let mut tags = TagSection::new();
            tags.tag(TagType { kind: TagKind::Exception, func_type_idx });
            module.section(&tags);
        }
        Ok(())
    }
}
