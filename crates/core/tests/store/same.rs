//! What all stores do alike.

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use pipeline_core::{
    Entry, Holder, Journal, LocalStore, LockStatus, MemoryStore, ObjectStateStore, StateStore, StoreError,
    Wait,
};
use pipeline_sdk::{Redactor, RunId};

fn stores() -> Vec<(Arc<dyn StateStore>, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let objects = ObjectStateStore::new(Arc::new(InMemory::new()), "team/app");
    vec![
        (Arc::new(MemoryStore::default()), None),
        (Arc::new(LocalStore::beside(folder.path())), Some(folder)),
        (Arc::new(objects), None),
    ]
}

fn holder() -> Holder {
    Holder::this_process(RunId::generate())
}

#[tokio::test]
async fn a_lock_says_who_holds_it_and_counts() {
    for (store, _folder) in stores() {
        assert_eq!(store.lock_status("local").await.unwrap(), LockStatus::Free);
        assert_eq!(store.break_lock("local").await.unwrap(), None);
        let first = holder();
        let lock = store.try_lock("local", &first).await.unwrap();
        assert_eq!((lock.epoch(), lock.is_held()), (1, true));
        match store.lock_status("local").await.unwrap() {
            LockStatus::Held { holder, epoch, .. } => assert_eq!((holder, epoch), (Some(first.clone()), 1)),
            LockStatus::Free => panic!("free"),
        }
        let error = store.try_lock("local", &holder()).await.map(|_| ()).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(&format!("run {}, process {} on ", first.run, first.pid)), "{said}");
        assert!(store.try_lock("other", &holder()).await.unwrap().is_held(), "another environment is free");
        lock.release().await.unwrap();
        lock.release().await.unwrap();
        assert!(!lock.is_held());
        assert!(matches!(lock.save(b"late".to_vec()).await, Err(StoreError::Lost { .. })));
        assert_eq!(store.lock_status("local").await.unwrap(), LockStatus::Free);
        let second = store.try_lock("local", &holder()).await.unwrap();
        assert_eq!((second.epoch(), second.load().await.unwrap()), (2, None));
        assert!(!lock.is_held() && second.is_held() && !second.lost().is_cancelled());
    }
}

#[tokio::test]
async fn a_state_is_read_back_by_the_next_holder() {
    for (store, _folder) in stores() {
        for expected in [None, Some(b"2".to_vec()), Some(b"2".to_vec())] {
            let lock = store.try_lock("local", &holder()).await.unwrap();
            assert_eq!(lock.load().await.unwrap(), expected);
            for state in [b"1", b"2"] {
                lock.save(state.to_vec()).await.unwrap();
            }
            lock.release().await.unwrap();
        }
        assert_eq!(store.peek("local").await.unwrap(), Some(b"2".to_vec()));
        assert_eq!(store.peek("other").await.unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_the_lock_is_free_or_the_time_is_over_and_tells_once_for_whom() {
    for (store, _folder) in stores() {
        let first = holder();
        let lock = store.try_lock("local", &first).await.unwrap();
        let mut told = Vec::new();
        let wait = Wait::at_most(Duration::from_secs(5), |holder| told.push(holder.cloned()));
        let since = tokio::time::Instant::now();
        let result = store.lock("local", &holder(), wait).await.map(|_| ());
        assert!(matches!(result, Err(StoreError::Locked { holder: Some(ref held), .. }) if *held == first));
        assert_eq!((told, since.elapsed().as_secs()), (vec![Some(first)], 5));
        let result = store.lock("local", &holder(), Wait::never()).await.map(|_| ());
        assert!(matches!(result, Err(StoreError::Locked { .. })));
        let free = async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            lock.release().await.unwrap();
        };
        let waiter = holder();
        let (taken, ()) =
            tokio::join!(store.lock("local", &waiter, Wait::at_most(Duration::from_secs(60), |_| ())), free);
        assert!(taken.unwrap().is_held());
    }
}

#[tokio::test]
async fn journals_belong_to_the_environment_and_are_listed_in_their_order() {
    for (store, _folder) in stores() {
        let lock = store.try_lock("local", &holder()).await.unwrap();
        assert!(store.runs("local").await.unwrap().is_empty());
        let mut runs = [RunId::generate(), RunId::generate(), RunId::generate()];
        for run in runs {
            let journal = Journal::create(store.journal("local", run), run, Redactor::default()).unwrap();
            journal.append(Entry::Fence { epoch: lock.epoch(), holder: holder() }).await.unwrap();
        }
        runs.sort();
        assert_eq!(store.runs("local").await.unwrap(), runs);
        let fence = (1, holder());
        let (_, reading) =
            Journal::resume(store.journal("local", runs[1]), runs[1], Redactor::default(), fence)
                .await
                .unwrap();
        assert_eq!(reading.records.len(), 2);
        assert!(store.runs("other").await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_lock_on_local_files_is_not_broken_while_its_process_lives() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::beside(folder.path());
    let lock = store.try_lock("local", &holder()).await.unwrap();
    let error = store.break_lock("local").await.unwrap_err().to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    assert!(error.ends_with("End that process, and the lock is free"), "{error}");
    assert!(lock.is_held());
    drop(lock);
    assert_eq!(store.break_lock("local").await.unwrap(), None);
    // What another program left, or one that ended while it wrote.
    std::fs::write(folder.path().join(".pipeline/local/lock"), "{\"epoch\":").unwrap();
    assert_eq!(store.try_lock("local", &holder()).await.unwrap().epoch(), 1);
}
