//! Writing journals: into files and objects, by many at once, over crashes and full disks.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _};
use pipeline_core::{
    Entry, Holder, Journal, JournalError, JournalFile, LocalJournal, MemoryJournal, ObjectJournal,
    read_journal, recover,
};
use pipeline_sdk::{Action, Done, Redactor, ResourceId, RunId, StageName, json};

fn intent(id: u64, before: &str) -> Entry {
    let resource = ResourceId::new("test:thing", "thing");
    let done = Done { resource, action: Action::Update, before: Some(json!(before)), after: None };
    Entry::Intent { stage: StageName::new("a").unwrap(), id, done }
}

fn create(file: impl JournalFile + 'static, run: RunId) -> Journal {
    Journal::create(Box::new(file), run, Redactor::default()).unwrap()
}

async fn resume(
    file: impl JournalFile + 'static,
    run: RunId,
) -> Result<(Journal, pipeline_core::Reading), JournalError> {
    Journal::resume(Box::new(file), run, Redactor::default(), (1, Holder::this_process(run))).await
}

/// Goes through a run that is interrupted twice, in any sort of file.
async fn lives_on(open: impl Fn() -> Box<dyn JournalFile>) {
    let run = RunId::generate();
    let first = Journal::create(open(), run, Redactor::default()).unwrap();
    assert_eq!(first.append_relaxed(intent(0, "relaxed")).unwrap(), 0);
    assert_eq!(first.append(intent(1, "waited for")).await.unwrap(), 1);
    for expected in [2_u64, 4] {
        let (journal, reading) =
            Journal::resume(open(), run, Redactor::default(), (1, Holder::this_process(run))).await.unwrap();
        assert_eq!(
            (reading.run, reading.torn, reading.records.len() as u64),
            (Some(run), None, expected + 1)
        );
        let Entry::Fence { epoch, .. } = reading.records.last().unwrap().entry else { panic!("no fence") };
        assert_eq!(epoch, expected / 2, "epochs grow");
        assert_eq!(journal.append(intent(expected, "later")).await.unwrap(), expected + 1);
    }
    // The first process was not dead after all.
    let error = first.append(intent(9, "stale")).await.unwrap_err();
    assert!(matches!(error, JournalError::Fenced { .. }), "{error}");
    assert!(error.to_string().starts_with("another `pipeline` has taken over"), "{error}");
    assert_eq!(first.append_relaxed(intent(10, "stale")).unwrap_err(), error);
    assert_eq!(read_journal(&open().read().await.unwrap()).unwrap().records.len(), 6);
    // A run never begins a journal that exists.
    let second = Journal::create(open(), run, Redactor::default()).unwrap();
    assert!(matches!(second.flush().await, Err(JournalError::Fenced { .. })));
    let other =
        Journal::resume(open(), RunId::generate(), Redactor::default(), (1, Holder::this_process(run)));
    assert!(matches!(other.await.map(|_| ()), Err(JournalError::OtherRun { .. })));
}

#[tokio::test]
async fn a_journal_in_a_file_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("local/runs/run.journal");
    lives_on(|| Box::new(LocalJournal::new(&path))).await;
}

#[tokio::test]
async fn a_journal_in_memory_lives_on() {
    let memory = MemoryJournal::default();
    lives_on(|| Box::new(memory.reopened())).await;
}

#[tokio::test]
async fn a_journal_in_an_object_store_lives_on() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    lives_on(|| Box::new(ObjectJournal::new(store.clone(), "team/local/runs/run".into()))).await;
    let missing = "team/local/runs/run/00000001.jsonl".into();
    store.delete(&missing).await.unwrap();
    let error = ObjectJournal::new(store, "team/local/runs/run".into()).read().await.unwrap_err();
    assert!(error.to_string().contains("00000001.jsonl is missing"), "{error}");
}

#[tokio::test]
async fn a_torn_end_is_cut_before_anything_is_appended() {
    let folder = tempfile::tempdir().unwrap();
    for keep in [0, 1, 40] {
        let (run, path) = (RunId::generate(), folder.path().join(format!("{keep}.journal")));
        create(LocalJournal::new(&path), run).append(intent(0, "whole")).await.unwrap();
        let whole = std::fs::read(&path).unwrap();
        let mut torn = whole.clone();
        torn.extend_from_slice(&whole[..keep]);
        torn.extend_from_slice(&[0; 100]);
        std::fs::write(&path, &torn).unwrap();
        let (journal, reading) = resume(LocalJournal::new(&path), run).await.unwrap();
        assert_eq!(reading.torn.unwrap().bytes, keep + 100);
        journal.append(intent(1, "after")).await.unwrap();
        let read = read_journal(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((read.records.len(), read.torn), (3, None));
    }
}

#[tokio::test]
async fn a_line_that_lost_only_its_end_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (run, path) = (RunId::generate(), folder.path().join("run.journal"));
    create(LocalJournal::new(&path), run).append(intent(0, "whole")).await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.pop();
    std::fs::write(&path, &bytes).unwrap();
    let (journal, reading) = resume(LocalJournal::new(&path), run).await.unwrap();
    assert_eq!(reading.records.len(), 2);
    journal.append(intent(1, "after")).await.unwrap();
    assert_eq!(read_journal(&std::fs::read(&path).unwrap()).unwrap().records.len(), 3);
}

#[tokio::test]
async fn nothing_is_written_after_a_write_that_failed() {
    for kept in [0, 10, 1_000_000] {
        let memory = MemoryJournal::default();
        memory.fail_write(1, kept);
        let run = RunId::generate();
        let journal = create(memory.clone(), run);
        journal.append(intent(0, "one")).await.unwrap();
        let (second, third) =
            tokio::join!(journal.append(intent(1, "two")), journal.append(intent(2, "three")));
        assert!(matches!(second, Err(JournalError::Io { .. })), "{second:?}");
        assert!(third.is_err(), "they shared the write");
        let later = journal.append(intent(3, "four")).await.unwrap_err();
        assert_eq!(
            later.to_string(),
            "nothing more is written to the journal, since an earlier write failed: no space left on device. \
             Run `pipeline` again: it looks after what this run has begun"
        );
        assert!(journal.append_relaxed(intent(4, "five")).is_err());
        assert_eq!(memory.writes(), 2);
        // The next process finds all that was told to be durable.
        let (_, reading) = resume(memory.reopened(), run).await.unwrap();
        assert!(matches!(&reading.records[0].entry, Entry::Intent { id: 0, .. }));
    }
}

/// How many flushes 64 writers took that wrote eight records each. Every record was durable when it was said to be,
/// and got a number of its own.
async fn flushes_of_many_writers() -> u64 {
    let memory = MemoryJournal::default();
    let journal = Arc::new(create(memory.clone(), RunId::generate()));
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..64 {
        let (journal, memory) = (journal.clone(), memory.clone());
        tasks.spawn(async move {
            let mut numbers = Vec::new();
            for count in 0..8 {
                let seq = journal.append(intent(writer * 100 + count, "x")).await.unwrap();
                let written = String::from_utf8(memory.bytes()).unwrap();
                assert!(written.contains(&format!("\"seq\":{seq},")), "it is durable");
                numbers.push(seq);
            }
            numbers
        });
    }
    let mut numbers: Vec<u64> = tasks.join_all().await.concat();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..64 * 8).collect::<Vec<_>>());
    memory.writes()
}

/// On one thread nothing but the journal decides how many come together.
#[tokio::test]
async fn many_writers_share_flushes() {
    let flushes = flushes_of_many_writers().await;
    assert!(flushes < 64 * 8 / 16, "{flushes} writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_on_several_threads_get_numbers_of_their_own() {
    flushes_of_many_writers().await;
}

#[tokio::test]
async fn what_was_not_waited_for_is_written_when_the_journal_is_dropped() {
    let memory = MemoryJournal::default();
    let journal = create(memory.clone(), RunId::generate());
    journal.append_relaxed(intent(0, "x")).unwrap();
    assert_eq!(memory.writes(), 0);
    drop(journal);
    while memory.writes() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(read_journal(&memory.bytes()).unwrap().records.len(), 1);
}

#[tokio::test]
async fn secrets_do_not_reach_a_journal_and_do_not_break_it() {
    let (memory, redactor, run) = (MemoryJournal::default(), Redactor::default(), RunId::generate());
    for secret in ["hunter22", "update", "intent", "registry"] {
        redactor.learn(secret);
    }
    let journal = Journal::create(Box::new(memory.clone()), run, redactor).unwrap();
    let stage = StageName::new("registry").unwrap();
    let fence = Entry::Fence { epoch: 1, holder: Holder::this_process(run) };
    let mut entry = intent(0, "password=hunter22");
    if let Entry::Intent { stage: name, .. } = &mut entry {
        *name = stage.clone();
    }
    journal.append_relaxed(fence).unwrap();
    journal.append_relaxed(entry).unwrap();
    let after = json!({ "hunter22": ["hunter22"] });
    journal.append_relaxed(Entry::Result { stage: stage.clone(), id: 0, after }).unwrap();
    journal.append_relaxed(Entry::UndoFailed { stage, error: "hunter22 is wrong".to_owned() }).unwrap();
    journal.append(Entry::CancelRequested { cause: "hunter22".to_owned() }).await.unwrap();
    let text = String::from_utf8(memory.bytes()).unwrap();
    assert!(!text.contains("hunter22"), "{text}");
    let records = read_journal(text.as_bytes()).unwrap().records;
    assert!(matches!(&records[1].entry, Entry::Intent { done, .. } if done.action == Action::Update));
    assert!(recover(&records[..1]).is_ok());
}

/// A file whose writes never return, and one that panics.
struct Broken(MemoryJournal);

#[pipeline_sdk::async_trait]
impl JournalFile for Broken {
    fn place(&self) -> String {
        self.0.place()
    }
    async fn read(&mut self) -> Result<Vec<u8>, JournalError> {
        self.0.read().await
    }
    async fn truncate(&mut self, length: u64) -> Result<(), JournalError> {
        self.0.truncate(length).await
    }
    async fn append(&mut self, _batch: bytes::Bytes) -> Result<(), JournalError> {
        panic!("a file that panics")
    }
}

#[tokio::test]
async fn nobody_waits_for_ever_for_a_file_that_panics() {
    let journal = create(Broken(MemoryJournal::default()), RunId::generate());
    assert!(matches!(journal.append(intent(0, "x")).await, Err(JournalError::Poisoned { .. })));
    assert!(matches!(journal.append(intent(1, "x")).await, Err(JournalError::Poisoned { .. })));
}
