//! Critical path lengths, in one pass from the end of the book's reasoning to its beginning.

use super::Blueprint;

impl Blueprint {
    /// Recomputes all heights, in time linear in targets and edges. They change only when targets come,
    /// which is rare; what changes all the time (standings) is kept by counters.
    pub(super) fn refresh_heights(&mut self) {
        for ix in self.in_dependency_order().into_iter().rev() {
            let node = self.node(ix);
            let has_proof = u32::from(!node.target.kind.is_definition());
            let dependants = node.statement_dependants.iter().chain(&node.proof_dependants);
            let above_proof = dependants.map(|&d| self.node(d).proof_height).max().unwrap_or(0);
            let above_statement =
                node.statement_dependants.iter().map(|&d| self.node(d).statement_height).max();
            let proof = above_proof + has_proof;
            let statement = 1 + proof.max(above_statement.unwrap_or(0));
            let node = self.node_mut(ix);
            node.proof_height = proof;
            node.statement_height = statement;
        }
    }
}
