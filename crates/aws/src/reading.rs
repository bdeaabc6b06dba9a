//! One look at the world, in which resources share answers.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use pipeline_sdk::{Context, ResourceId, StageError};
use tokio::sync::OnceCell;

type Cell = Arc<OnceCell<Arc<dyn Any + Send + Sync>>>;

/// One look at the world. Resources that need the same answer, such as one batched describe call,
/// ask for it once; the next look asks anew.
pub struct Reading<'a> {
    cx: &'a Context,
    answers: Mutex<HashMap<String, Cell>>,
}

impl<'a> Reading<'a> {
    /// A look that has seen nothing yet.
    pub fn new(cx: &'a Context) -> Self {
        Self { cx, answers: Mutex::default() }
    }

    /// The stage's context.
    pub fn context(&self) -> &'a Context {
        self.cx
    }

    /// What `describe` finds, and what `more` tells about it by its ARN. Both are asked at the same time
    /// where the state remembers the ARN, and `more` once more if it turns out to be another.
    ///
    /// # Errors
    /// Those of the two.
    pub async fn described<D, M, F>(
        &self,
        id: &ResourceId,
        describe: impl Future<Output = Result<Option<D>, StageError>> + Send,
        arn: impl Fn(&D) -> Option<&str> + Send,
        more: impl Fn(String) -> F + Send,
    ) -> Result<Option<(D, M)>, StageError>
    where
        D: Send,
        M: Send,
        F: Future<Output = Result<M, StageError>> + Send,
    {
        let remembered = self.cx.prior().and_then(|prior| prior.resource(id)?.attributes["arn"].as_str());
        let ahead = async {
            match remembered {
                Some(arn) => Some(Box::pin(more(arn.to_owned())).await),
                None => None,
            }
        };
        // Boxed: what describes may itself be made of several calls, and the compiler limits how deep the
        // types of futures may go.
        let (found, ahead) = futures::join!(Box::pin(describe), ahead);
        let Some(found) = found? else { return Ok(None) };
        let arn = arn(&found).unwrap_or_default().to_owned();
        let more = match ahead {
            Some(Ok(more)) if remembered == Some(arn.as_str()) => more,
            _ => Box::pin(more(arn)).await?,
        };
        Ok(Some((found, more)))
    }

    /// The answer kept under `key`, or that of `ask`. Whoever comes while it is asked for waits.
    ///
    /// # Errors
    /// Those of `ask`; an error is not kept, the next one asks again.
    pub async fn once<T, F>(&self, key: &str, ask: impl FnOnce() -> F + Send) -> Result<Arc<T>, StageError>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, StageError>> + Send,
    {
        let cell = {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(answers.entry(key.to_owned()).or_default())
        };
        let answer = cell.get_or_try_init(|| async {
            let answer: Arc<dyn Any + Send + Sync> = Arc::new(Box::pin(ask()).await?);
            Ok::<_, StageError>(answer)
        });
        Arc::clone(answer.await?)
            .downcast()
            .map_err(|_| StageError::failed(format!("two kinds of answers are kept as `{key}`")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use pipeline_sdk::{Mode, NullSink, Outputs, Prior, Recorded, json};
    use tokio::sync::Notify;

    use super::*;
    use crate::kit::tests::context_for;

    fn id() -> ResourceId {
        ResourceId::new("test:thing", "table")
    }

    fn remembering(arn: &str) -> Context {
        let attributes = json!({ "arn": arn });
        let resources = vec![Recorded { id: id(), attributes }];
        let prior = Prior { outputs: Outputs { resources, ..Outputs::default() } };
        context_for(Mode::Converge, Some(prior), Arc::new(NullSink))
    }

    #[tokio::test]
    async fn what_is_remembered_is_asked_before_the_description_answers() {
        let (cx, asked) = (remembering("arn-1"), Notify::new());
        let describe = async {
            asked.notified().await;
            Ok(Some("arn-1"))
        };
        let more = |arn: String| {
            asked.notify_one();
            async move { Ok(format!("tags of {arn}")) }
        };
        let found = Reading::new(&cx).described(&id(), describe, |arn| Some(*arn), more).await;
        assert_eq!(found.expect("reads"), Some(("arn-1", "tags of arn-1".to_owned())));
    }

    #[tokio::test]
    async fn another_arn_than_the_remembered_one_is_asked_for() {
        let (cx, asked) = (remembering("arn-1"), AtomicUsize::new(0));
        let more = |arn: String| {
            asked.fetch_add(1, Ordering::Relaxed);
            async move { if arn == "arn-1" { Err(StageError::failed("gone")) } else { Ok(arn) } }
        };
        let describe = async { Ok(Some("arn-2")) };
        let found = Reading::new(&cx).described(&id(), describe, |arn| Some(*arn), more).await;
        assert_eq!(found.expect("reads"), Some(("arn-2", "arn-2".to_owned())));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
