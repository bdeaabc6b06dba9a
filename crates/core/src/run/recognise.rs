//! Finding what the state has lost, so that a destruction leaves nothing and takes nothing away from what stays.

use std::sync::Arc;

use super::{Run, Session};
use crate::events::Emitter;
use crate::node::Nodes;
use crate::plan::plan_all;
use crate::state::StageRecord;

impl Run {
    /// Looks for what belongs to stages that the state does not know: it may be lost, or a run was killed that had made
    /// something. They are planned as for a run, which reads what is there and knows it by its tags; what is found is
    /// part of the state from then on. A stage that cannot be planned is looked at once more when the removal is
    /// planned, and named then.
    pub(super) async fn recognise(&mut self) {
        let definition = self.session.definition.clone();
        if definition.stages.iter().all(|stage| self.state.stages.contains_key(&stage.name)) {
            return;
        }
        let Ok(nodes) = Nodes::leniently(&definition, &self.registry, &self.state) else { return };
        let Ok(planned) = plan_all(&self.session.quietly(), &nodes, &self.state, &self.cancel).await else {
            return;
        };
        for (node, planned) in nodes.list.iter().zip(planned) {
            let outputs = planned.plan.outputs;
            if outputs.resources.is_empty() || self.state.stages.contains_key(&node.name) {
                continue;
            }
            let (kind, needs) = (node.kind.clone(), node.needs.clone());
            let record = StageRecord { kind, inputs: planned.sealed, needs, outputs };
            self.state.put(&node.name, Some(record));
        }
    }
}

impl Session {
    /// The same, but nobody hears what it tells.
    fn quietly(&self) -> Self {
        let redactor = self.definition.scope.redactor.clone();
        Self {
            run: self.run,
            definition: self.definition.clone(),
            emitter: Emitter::new(self.run, redactor, Arc::new(|_| ())),
            recorder: self.recorder.clone(),
            jitter: self.jitter,
        }
    }
}
