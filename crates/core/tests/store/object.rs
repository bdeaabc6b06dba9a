//! Objects that are written only if nobody else did.

use std::sync::Arc;
use std::time::Duration;

use object_store::{ObjectStore, ObjectStoreExt as _};
use pipeline_core::{
    Entry, Holder, Journal, JournalError, ObjectJournal, ObjectStateStore, StateLock, StateStore, StoreError,
};
use pipeline_sdk::{Redactor, RunId};
use tokio::time::sleep;

use crate::flaky::{Fault, Flaky};

const LEASE: Duration = Duration::from_secs(30);

fn store(network: &Flaky) -> ObjectStateStore {
    ObjectStateStore::new(Arc::new(network.clone()), "team/app").with_lease(LEASE)
}

async fn try_lock(network: &Flaky) -> Result<Box<dyn StateLock>, StoreError> {
    store(network).try_lock("local", &Holder::this_process(RunId::generate())).await
}

async fn lock(network: &Flaky) -> Box<dyn StateLock> {
    try_lock(network).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn ones_own_success_is_believed_although_the_answer_says_otherwise() {
    for fault in [Fault::AnswerLost, Fault::AskedAgain] {
        let network = Flaky::new();
        for epoch in 1..3 {
            network.fail(&[fault]);
            let lock = lock(&network).await;
            assert_eq!(lock.epoch(), epoch);
            lock.load().await.unwrap();
            for state in ["one", "two"] {
                network.fail(&[fault]);
                lock.save(format!("{state} {epoch}").into_bytes()).await.unwrap();
            }
            network.fail(&[fault, fault, fault]);
            sleep(LEASE * 2).await;
            assert!(lock.is_held(), "renewals are believed too");
            network.fail(&[fault]);
            lock.release().await.unwrap();
        }
        assert_eq!(network.states.lock().unwrap().len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_an_error_and_can_be_tried_again() {
    let network = Flaky::new();
    network.fail(&[Fault::Refused]);
    let error = try_lock(&network).await.map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("cannot write team/app/local/lock.json in Flaky(team): "), "{error}");
    let lock = lock(&network).await;
    lock.load().await.unwrap();
    network.fail(&[Fault::Refused]);
    assert!(matches!(lock.save(b"one".to_vec()).await, Err(StoreError::Service { .. })));
    lock.save(b"one".to_vec()).await.unwrap();
    // The network is bad for a while, but not as long as the lease lives.
    network.fail(&[Fault::Refused; 4]);
    sleep(LEASE * 3).await;
    assert!(lock.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_save_that_seemed_to_fail_and_arrives_later_is_no_conflict() {
    let network = Flaky::new();
    let lock = Arc::new(lock(&network).await);
    lock.load().await.unwrap();
    lock.save(b"zero".to_vec()).await.unwrap();
    // It is given up, as a client with a time limit does; then it arrives.
    network.fail(&[Fault::Late(500)]);
    let given_up = tokio::time::timeout(Duration::from_millis(100), lock.save(b"one".to_vec())).await;
    assert!(given_up.is_err());
    sleep(Duration::from_secs(1)).await;
    lock.save(b"two".to_vec()).await.unwrap();
    assert_eq!(store(&network).peek("local").await.unwrap(), Some(b"two".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_state_that_somebody_else_wrote_is_not_overwritten() {
    let network = Flaky::new();
    let lock = lock(&network).await;
    lock.load().await.unwrap();
    lock.save(b"mine".to_vec()).await.unwrap();
    network.put(&"team/app/local/state.json".into(), b"theirs".to_vec().into()).await.unwrap();
    let error = lock.save(b"mine again".to_vec()).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert_eq!(lock.load().await.unwrap(), Some(b"theirs".to_vec()));
    lock.save(b"after looking".to_vec()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_writer_of_a_journal_believes_its_own_success_and_finds_a_fence() {
    let network = Flaky::new();
    let (run, folder) = (RunId::generate(), "team/app/local/runs/run");
    let open = |network: &Flaky| Box::new(ObjectJournal::new(Arc::new(network.clone()), folder.into()));
    let fence = |epoch| (epoch, Holder::this_process(run));
    let journal = Journal::create(open(&network), run, Redactor::default()).unwrap();
    for faults in [&[Fault::AskedAgain][..], &[Fault::AnswerLost], &[Fault::Conflict, Fault::Conflict], &[]] {
        network.fail(faults);
        journal.append(Entry::CancelRequested { cause: "SIGINT".to_owned() }).await.unwrap();
    }
    // The old writer's request is under way while the new one reads, and comes before its fence.
    let other = network.other();
    network.fail(&[Fault::Late(100)]);
    other.fail(&[Fault::Late(200)]);
    let late = journal.append(Entry::CancelRequested { cause: "late".to_owned() });
    let (late, resumed) =
        tokio::join!(late, Journal::resume(open(&other), run, Redactor::default(), fence(2)));
    late.unwrap();
    let (_, reading) = resumed.unwrap();
    assert_eq!(reading.records.len(), 6, "nothing that was told to be durable is lost");
    let error = journal.append(Entry::CancelRequested { cause: "stale".to_owned() }).await.unwrap_err();
    assert!(matches!(error, JournalError::Fenced { .. }), "{error}");
    let listed = network.list_with_delimiter(Some(&folder.into())).await.unwrap();
    assert_eq!(listed.objects.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_no_lock_is_damaged() {
    let network = Flaky::new();
    network.put(&"team/app/local/lock.json".into(), b"{}".to_vec().into()).await.unwrap();
    let error = try_lock(&network).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}
