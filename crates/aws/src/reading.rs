//! One look at the world, in which resources share answers.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use pipeline_sdk::{Context, StageError};
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
            let answer: Arc<dyn Any + Send + Sync> = Arc::new(ask().await?);
            Ok::<_, StageError>(answer)
        });
        Arc::clone(answer.await?)
            .downcast()
            .map_err(|_| StageError::failed(format!("two kinds of answers are kept as `{key}`")))
    }
}
