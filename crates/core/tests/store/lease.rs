//! Locks that live only as long as they are renewed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline_core::{Holder, LockStatus, ObjectStateStore, StateLock, StateStore, StoreError, Wait};
use pipeline_sdk::RunId;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::{Instant, sleep};

use crate::flaky::{Fault, Flaky};

const LEASE: Duration = Duration::from_secs(30);

fn store(network: &Flaky) -> ObjectStateStore {
    ObjectStateStore::new(Arc::new(network.clone()), "team/app").with_lease(LEASE)
}

fn holder() -> Holder {
    Holder::this_process(RunId::generate())
}

fn patiently<'a>() -> Wait<'a> {
    Wait::at_most(Duration::from_secs(3600), |_| ())
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_kept_as_long_as_it_is_renewed() {
    let network = Flaky::new();
    let lock = store(&network).try_lock("local", &holder()).await.unwrap();
    let waiter = store(&network.other());
    let result = waiter.lock("local", &holder(), Wait::at_most(LEASE * 20, |_| ())).await.map(|_| ());
    assert!(matches!(result, Err(StoreError::Locked { .. })));
    assert!(lock.is_held() && !lock.lost().is_cancelled());
    let status = waiter.lock_status("local").await.unwrap();
    let LockStatus::Held { lease, renewed, .. } = status else { panic!("free") };
    assert_eq!(lease, Some(LEASE));
    assert!(renewed.is_some(), "the store dates what it is given");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_cut_off_stops_before_another_one_begins() {
    let network = Flaky::new();
    let (one, two) = (network.other(), network.other());
    let first = store(&one).lock("local", &holder(), patiently()).await.unwrap();
    let lost = first.lost();
    one.cut(true);
    let since = Instant::now();
    let second = store(&two);
    let new = holder();
    let mut taking = Box::pin(second.lock("local", &new, patiently()));
    tokio::select! {
        () = lost.cancelled() => assert!(!first.is_held()),
        _ = &mut taking => panic!("taken while the first still believes in it"),
    }
    let second = taking.await.unwrap();
    assert!(since.elapsed() > LEASE && since.elapsed() < LEASE * 3 / 2, "{:?}", since.elapsed());
    assert_eq!(second.epoch(), first.epoch() + 1);
    one.cut(false);
    let error = first.save(b"stale".to_vec()).await.unwrap_err();
    assert!(matches!(error, StoreError::Lost { .. }), "{error}");
    first.release().await.unwrap();
    sleep(LEASE * 2).await;
    assert!(second.is_held(), "a late release of the old holder does not touch the new lock");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_tell_the_time_has_its_lock_watched() {
    let network = Flaky::new();
    let one = network.other();
    let first = store(&one).lock("local", &holder(), patiently()).await.unwrap();
    one.cut(true);
    sleep(LEASE * 10).await;
    // Whoever just came has not seen anything for long enough, and is not told how old it is.
    network.fail(&[Fault::Refused]);
    let second = store(&network);
    assert!(matches!(second.try_lock("local", &holder()).await.map(|_| ()), Err(StoreError::Locked { .. })));
    sleep(LEASE + Duration::from_millis(1)).await;
    assert!(second.try_lock("local", &holder()).await.unwrap().is_held());
    assert!(!first.is_held());
}

/// One look is enough where the store dates the lock far back enough, by its own clock.
#[tokio::test(start_paused = true)]
async fn a_lock_that_was_not_renewed_for_its_life_is_taken_at_once() {
    let network = Flaky::new();
    let dead = network.other();
    let lock = store(&dead).try_lock("local", &holder()).await.unwrap();
    dead.cut(true);
    sleep(LEASE).await;
    let early = store(&network.other()).try_lock("local", &holder()).await.map(|_| ());
    assert!(matches!(early, Err(StoreError::Locked { .. })), "its last renewal may have been a second ago");
    sleep(Duration::from_secs(4)).await;
    let next = store(&network.other()).try_lock("local", &holder()).await.unwrap();
    assert!(next.is_held() && !lock.is_held());
    assert_eq!(next.epoch(), lock.epoch() + 1);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_broken_is_noticed_by_who_held_it() {
    let network = Flaky::new();
    let held = holder();
    let first = store(&network).try_lock("local", &held).await.unwrap();
    assert_eq!(store(&network).break_lock("local").await.unwrap(), Some(held));
    first.lost().cancelled().await;
    assert!(!first.is_held());
    let second = store(&network).try_lock("local", &holder()).await.unwrap();
    assert_eq!(second.epoch(), 2);
}

/// Until a run has a journal, nobody can keep it from going on but the store itself.
#[tokio::test(start_paused = true)]
async fn a_lock_that_was_broken_is_not_confirmed() {
    let network = Flaky::new();
    let lock = store(&network).try_lock("local", &holder()).await.unwrap();
    lock.confirm().await.unwrap();
    network.fail(&[Fault::Refused, Fault::Refused]);
    lock.confirm().await.unwrap();
    let new = holder();
    store(&network).break_lock("local").await.unwrap();
    let _second = store(&network).try_lock("local", &new).await.unwrap();
    assert!(lock.is_held(), "it cannot know yet");
    match lock.confirm().await {
        Err(StoreError::Lost { by, .. }) => assert_eq!(by, Some(new)),
        other => panic!("{other:?}"),
    }
    assert!(!lock.is_held() && lock.lost().is_cancelled());
    let one = network.other();
    store(&network).break_lock("local").await.unwrap();
    let third = store(&one).try_lock("local", &holder()).await.unwrap();
    one.cut(true);
    assert!(third.confirm().await.is_err(), "a store that is silent for as long as the lease lives");
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_dropped_is_given_back() {
    let network = Flaky::new();
    drop(store(&network).try_lock("local", &holder()).await.unwrap());
    sleep(Duration::from_millis(1)).await;
    assert_eq!(store(&network).lock_status("local").await.unwrap(), LockStatus::Free);
}

/// Who may act, as they see it themselves.
#[derive(Default)]
struct Witness {
    locks: Mutex<Vec<Arc<dyn StateLock>>>,
    epochs: Mutex<Vec<u64>>,
}

impl Witness {
    fn check(&self) {
        let locks = self.locks.lock().unwrap();
        let held = locks.iter().filter(|lock| lock.is_held()).count();
        assert!(held <= 1, "{held} holders at once");
    }

    fn begin(&self, lock: Arc<dyn StateLock>) {
        self.epochs.lock().unwrap().push(lock.epoch());
        self.locks.lock().unwrap().push(lock);
        self.check();
    }
}

/// The number that a state begins with.
fn number(state: &[u8]) -> u64 {
    std::str::from_utf8(state).unwrap().split(' ').next().unwrap().parse().unwrap()
}

/// One process after another: takes the lock, raises the number in the state, gives the lock back, or is
/// cut off, or dies.
async fn contend(network: Flaky, seed: u64, witness: Arc<Witness>, end: Instant) -> u32 {
    let mut random = StdRng::seed_from_u64(seed);
    let mut saves = 0;
    while Instant::now() < end {
        network.cut(false);
        let client = store(&network);
        let Ok(lock) = client.lock("local", &holder(), patiently()).await else {
            sleep(Duration::from_secs(1)).await;
            continue;
        };
        let lock: Arc<dyn StateLock> = lock.into();
        witness.begin(lock.clone());
        let cut_off = random.random_ratio(1, 4);
        for turn in 0..random.random_range(1..6) {
            if cut_off && turn == 2 {
                network.cut(true);
            }
            sleep(Duration::from_millis(random.random_range(0..15_000))).await;
            witness.check();
            let raise = async {
                let number = lock.load().await.ok()?.map_or(0, |state| number(&state));
                // No two writers write the same bytes, as states name their run: one that lost its answer would take
                // the other's for its own.
                let state = format!("{} {}", number + 1, RunId::generate());
                lock.save(state.into_bytes()).await.ok()
            };
            // A process gives up at some time.
            if let Ok(Some(())) = tokio::time::timeout(LEASE * 2, raise).await {
                saves += 1;
            }
            witness.check();
        }
        if !random.random_ratio(1, 4) {
            let _ = tokio::time::timeout(LEASE, lock.release()).await;
        } else {
            // It dies: nothing of it arrives any more, and nobody asks it what it believes.
            network.cut(true);
            witness.locks.lock().unwrap().retain(|other| !Arc::ptr_eq(other, &lock));
        }
        drop(lock);
        sleep(Duration::from_millis(random.random_range(0..20_000))).await;
    }
    saves
}

async fn simulate(seed: u64) {
    let (network, witness) = (Flaky::new(), Arc::new(Witness::default()));
    let end = Instant::now() + Duration::from_secs(1200);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..4_u64 {
        let seed = seed.wrapping_mul(31).wrapping_add(number);
        tasks.spawn(contend(network.client(seed), seed, witness.clone(), end));
    }
    let watch = witness.clone();
    let watcher = tokio::spawn(async move {
        loop {
            watch.check();
            sleep(Duration::from_millis(200)).await;
        }
    });
    let saves: u32 = tasks.join_all().await.into_iter().sum();
    assert!(!watcher.is_finished());
    watcher.abort();
    let epochs = witness.epochs.lock().unwrap().clone();
    assert!(epochs.len() > 10, "the lock goes round, also after crashes: {epochs:?}");
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    let states = network.states.lock().unwrap();
    let numbers: Vec<u64> = states.iter().map(|state| number(state)).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "gapless and in order");
    assert!(numbers.len() >= saves as usize, "what was told to be saved is");
    assert!(saves > 10);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn there_are_never_two_holders_and_always_one_again(seed: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(simulate(seed));
    }
}
