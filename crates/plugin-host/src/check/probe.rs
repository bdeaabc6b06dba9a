//! A run that a plugin believes to take part in.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pipeline_sdk::{
    CancellationToken, Context, ContextParts, Done, Mode, Outputs, PipelineId, Prior, Progress, ProgressSink,
    Recorder, RunId, StageError, StageName, Value,
};

/// One run of a probe.
#[derive(Clone)]
pub(super) struct Run {
    id: RunId,
    directory: PathBuf,
    pub(super) cancel: CancellationToken,
    book: Arc<Book>,
}

/// What a stage has recorded.
#[derive(Default)]
struct Book(Mutex<Vec<Done>>);

impl Book {
    fn entries(&self) -> MutexGuard<'_, Vec<Done>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            id: RunId::generate(),
            directory: directory.to_owned(),
            cancel: CancellationToken::new(),
            book: Arc::default(),
        }
    }

    /// The same run, which nobody has cancelled.
    pub(super) fn uncancelled(&self) -> Self {
        Self { cancel: CancellationToken::new(), ..self.clone() }
    }

    /// What was done, first to last.
    pub(super) fn done(&self) -> Vec<Done> {
        self.book.entries().clone()
    }

    pub(super) fn context(&self, mode: Mode, prior: Option<&Outputs>) -> Result<Context, StageError> {
        let stage = StageName::new("check").map_err(|error| StageError::failed(error.to_string()))?;
        Ok(Context::from(ContextParts {
            stage,
            run: self.id,
            pipeline: PipelineId { name: "check".to_owned(), environment: "local".to_owned() },
            directory: self.directory.clone(),
            mode,
            prior: prior.map(|outputs| Prior { outputs: outputs.clone() }),
            cancel: self.cancel.clone(),
            sink: self.book.clone(),
            recorder: self.book.clone(),
            services: None,
            inputs: None,
        }))
    }
}

impl ProgressSink for Book {
    fn progress(&self, _: &StageName, _: Progress) {}
}

#[async_trait]
impl Recorder for Book {
    async fn intent(&self, _: &StageName, intent: Done) -> Result<u64, StageError> {
        let mut entries = self.entries();
        entries.push(intent);
        Ok(entries.len() as u64 - 1)
    }

    async fn done(&self, _: &StageName, intent: u64, after: Value) -> Result<(), StageError> {
        let mut entries = self.entries();
        let entry = usize::try_from(intent).ok().and_then(|index| entries.get_mut(index));
        let entry = entry.ok_or_else(|| StageError::failed(format!("there is no intent {intent}")))?;
        entry.after = Some(after);
        Ok(())
    }
}

/// The name and the content of a file.
pub(super) type File = (PathBuf, Vec<u8>);

/// All files below `folder`.
pub(super) fn contents(folder: &Path) -> Vec<File> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap_or_default()));
        }
    }
    found.sort();
    found
}
