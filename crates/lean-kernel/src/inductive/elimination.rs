//! Large elimination: may a recursor build data, or only proofs?

use super::block::Block;
use crate::fault::Checked;
use crate::term::Expr;
use crate::universe;

impl Block<'_, '_> {
    /// Of a type that is never a proposition: data. Of one that is or may be a proposition (`Sort u` with `u = 0`): only if a proof
    /// of it carries no choice, for all its proofs are equal. That is so without constructors (`False`), and with one whose fields are
    /// proofs or are determined by the indices of the result (`Eq`, `And`, `Acc`). A mutual or nested block is never looked into so far.
    pub(super) fn large(&mut self) -> Checked<bool> {
        if universe::never_zero(&mut self.ck.t, self.level)? {
            return Ok(true);
        }
        if self.types.len() > 1 {
            return Ok(false);
        }
        match &self.shapes[0][..] {
            [] => Ok(true),
            [c] => {
                for (x, fixed) in c.fields.iter().map(|x| (*x, c.indices.contains(x))).collect::<Vec<_>>() {
                    let Expr::FVar(_, ty) = self.ck.t.get(x) else { unreachable!("fields are variables") };
                    if !fixed && !self.ck.is_prop(ty)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// K: a proposition with one constructor without fields, like `Eq`. Its recursor computes on every proof whose type is that of
    /// the constructor.
    pub(super) fn k_like(&mut self) -> Checked<bool> {
        let [shapes] = &self.shapes[..] else { return Ok(false) };
        let [shape] = &shapes[..] else { return Ok(false) };
        Ok(shape.fields.is_empty() && universe::is_zero(&mut self.ck.t, self.level)?)
    }
}
