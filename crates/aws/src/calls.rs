//! Counts the calls to AWS, so that "nothing was changed" is a measurement and not a belief.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::{
    Intercept, context::BeforeSerializationInterceptorContextRef, dyn_dispatch_hint,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// Words that begin the names of AWS operations which change nothing.
const READING: &[&str] =
    &["Describe", "List", "Get", "BatchGet", "BatchCheck", "Head", "Search", "Validate", "Lookup", "Test"];

/// How often each operation was called; a retry is not a new call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// Calls by service and operation: `ECR.DescribeRepositories`.
    pub by_operation: BTreeMap<String, u64>,
}

impl CallCounts {
    /// Calls that only read.
    pub fn reads(&self) -> u64 {
        self.count(is_read)
    }

    /// Calls that may change something.
    pub fn mutations(&self) -> u64 {
        self.count(|operation| !is_read(operation))
    }

    /// All calls.
    pub fn total(&self) -> u64 {
        self.by_operation.values().sum()
    }

    /// The calls made after `earlier` was taken.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let newer = self.by_operation.iter().filter_map(|(operation, count)| {
            let new = count - earlier.by_operation.get(operation).unwrap_or(&0).min(count);
            (new > 0).then(|| (operation.clone(), new))
        });
        Self { by_operation: newer.collect() }
    }

    fn count(&self, wanted: impl Fn(&str) -> bool) -> u64 {
        self.by_operation.iter().filter(|(name, _)| wanted(name)).map(|(_, count)| count).sum()
    }
}

fn is_read(operation: &str) -> bool {
    let name = operation.rsplit('.').next().unwrap_or(operation);
    READING.iter().any(|word| name.starts_with(word))
}

/// Sits in every client and counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallCounter {
    counts: Arc<Mutex<CallCounts>>,
}

impl CallCounter {
    pub(crate) fn counts(&self) -> CallCounts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, operation: String) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.by_operation.entry(operation).or_insert(0) += 1;
    }
}

#[dyn_dispatch_hint]
impl Intercept for CallCounter {
    fn name(&self) -> &'static str {
        "CallCounter"
    }

    // The first hook at which the operation is known for certain; runs once per call, not per attempt.
    fn read_before_serialization(
        &self,
        _context: &BeforeSerializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(metadata) = config.load::<Metadata>() {
            self.count(format!("{}.{}", metadata.service(), metadata.name()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_mutations_are_told_apart_by_name() {
        let counter = CallCounter::default();
        for operation in ["ECR.DescribeRepositories", "ECR.BatchGetImage", "ECR.GetAuthorizationToken"] {
            counter.count(operation.into());
        }
        let before = counter.counts();
        counter.count("ECR.CreateRepository".into());
        counter.count("ECR.DescribeRepositories".into());
        assert_eq!((before.reads(), before.mutations()), (3, 0));
        let new = counter.counts().since(&before);
        assert_eq!((new.reads(), new.mutations(), new.total()), (1, 1, 2));
    }
}
