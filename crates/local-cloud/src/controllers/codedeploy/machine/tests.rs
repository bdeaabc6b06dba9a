use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn routings() -> impl Strategy<Value = Routing> {
    prop_oneof![
        Just(Routing::AllAtOnce),
        (1_u32..100, 1_u32..20)
            .prop_map(|(percent, minutes)| Routing::Canary { percent, interval: minutes * MINUTE }),
        (1_u32..100, 1_u32..20)
            .prop_map(|(percent, minutes)| Routing::Linear { percent, interval: minutes * MINUTE }),
    ]
}

fn hooks() -> impl Strategy<Value = BTreeSet<LifecycleEvent>> {
    let scriptable: Vec<_> = LifecycleEvent::ALL.into_iter().filter(|event| event.is_scriptable()).collect();
    btree_set(prop::sample::select(scriptable), 0..4)
}

prop_compose! {
    fn plans(is_rollback: bool)(
        routing in routings(),
        hooks in hooks(),
        test_listener: bool,
        ready_wait in prop::option::of(1_u32..100),
        termination_wait in prop::option::of(0_u32..100),
        undo_failure: bool,
    ) -> Plan {
        Plan {
            routing,
            hooks,
            test_listener,
            ready_wait: ready_wait.map(|minutes| minutes * MINUTE),
            termination_wait: termination_wait.map(|minutes| minutes * MINUTE),
            undo_failure,
            is_rollback,
        }
    }
}

prop_compose! {
    fn healths()(desired in 0_u32..4, steady: bool, healthy in 0_u32..4, unhealthy in 0_u32..4, failures in 0_u32..5)
        -> Health
    {
        Health { desired, steady, healthy, unhealthy, failures }
    }
}

prop_compose! {
    fn sights()(
        minutes in 0_u32..130,
        trouble in prop::bool::weighted(0.03),
        replacement in prop::option::weighted(0.8, prop_oneof![Just(well()), healths()]),
        emptied: bool,
        verdict in prop::option::of(prop_oneof![4 => Just(HookResult::Succeeded), 1 => Just(HookResult::Failed)]),
        stop in prop::option::weighted(0.03, any::<bool>()),
        alarm in prop::option::weighted(0.03, any::<bool>()),
        shift: bool,
        terminate: bool,
    ) -> Observation {
        let trouble = trouble.then(|| ErrorInformation::new("INVALID_ECS_SERVICE", "gone"));
        let alarm = alarm.map(|undo| Alarm { name: "errors".into(), undo });
        Observation {
            elapsed: minutes * MINUTE, trouble, replacement, emptied, verdict, stop, alarm, shift, terminate,
        }
    }
}

fn well() -> Health {
    Health { desired: 2, steady: true, healthy: 2, unhealthy: 0, failures: 0 }
}

/// Follows a deployment through `sights`; everything that was done, with what was seen then.
fn history(plan: &Plan, sights: &[Observation]) -> (Vec<(Phase, Action, Observation)>, Phase) {
    let mut phase = Phase::Created;
    let mut done = Vec::new();
    for seen in sights {
        let step = next(plan, &phase, seen);
        done.extend(step.actions.into_iter().map(|action| (phase.clone(), action, seen.clone())));
        phase = step.phase;
    }
    (done, phase)
}

/// The percentages that AWS documents for a routing.
fn documented_shares(routing: Routing) -> Vec<u32> {
    match routing {
        Routing::AllAtOnce => vec![100],
        Routing::Canary { percent, .. } => vec![percent, 100],
        Routing::Linear { percent, .. } => {
            (1..=100_u32.div_ceil(percent)).map(|step| (step * percent).min(100)).collect()
        }
    }
}

fn shares(done: &[(Phase, Action, Observation)]) -> Vec<u32> {
    done.iter()
        .filter_map(|(_, action, _)| if let Action::Shift(share) = action { Some(*share) } else { None })
        .collect()
}

proptest! {
    #[test]
    fn whatever_happens_traffic_is_safe(plan in plans(false), sights in vec(sights(), 1..120)) {
        let (done, end) = history(&plan, &sights);
        let actions: Vec<_> = done.iter().map(|(_, action, _)| action.clone()).collect();
        let first = |wanted: &Action| actions.iter().position(|action| action == wanted);

        // Traffic takes the documented steps, in order, and none is skipped.
        prop_assert!(documented_shares(plan.routing).starts_with(&shares(&done)));
        // Nothing gets traffic that was never healthy; no step is taken towards something broken.
        for (phase, action, seen) in &done {
            if matches!(action, Action::Shift(_)) {
                prop_assert!(seen.replacement.is_none_or(|health| !health.is_broken()));
                if let Phase::AllowTraffic { .. } = phase {
                    prop_assert!(seen.replacement.is_some_and(|health| health.is_ready()));
                }
            }
        }
        let installed = sights.iter().any(|seen| seen.replacement.is_some_and(|health| health.is_ready()));
        prop_assert!(installed || shares(&done).is_empty());
        // The original ends only after everything was shifted and the replacement is primary.
        if let Some(emptied) = first(&Action::EmptyOriginal) {
            prop_assert!(first(&Action::Promote).is_some_and(|promoted| promoted < emptied));
            prop_assert!(first(&Action::Shift(100)).is_some_and(|shifted| shifted < emptied));
            prop_assert!(first(&Action::RollBack).is_none());
        }
        // One undoing at most, and only where there is something to undo.
        prop_assert!(actions.iter().filter(|action| **action == Action::RollBack).count() <= 1);
        if let Some(undone) = first(&Action::RollBack) {
            prop_assert!(matches!(end, Phase::Ended(Outcome::Failed(_) | Outcome::Stopped(_))));
            prop_assert!(!matches!(done[undone].0, Phase::Created | Phase::Hook(LifecycleEvent::BeforeInstall)));
        }
        if end == Phase::Ended(Outcome::Succeeded) {
            prop_assert_eq!(shares(&done), documented_shares(plan.routing));
            prop_assert!(first(&Action::Promote).is_some());
            prop_assert_eq!(first(&Action::DeleteOriginal).is_some(), plan.termination_wait.is_some());
        }
    }

    #[test]
    fn the_end_is_the_end(plan in plans(false), sights in vec(sights(), 1..120), later in sights()) {
        let (_, end) = history(&plan, &sights);
        if matches!(end, Phase::Ended(_)) {
            prop_assert_eq!(next(&plan, &end, &later), Step::to(end));
        }
    }

    #[test]
    fn a_good_deployment_succeeds_on_time(plan in plans(false)) {
        // A clock that jumps by minutes, and a world where everything is well.
        let mut phase = Phase::Created;
        let mut elapsed = Duration::ZERO;
        let mut total = Duration::ZERO;
        for _ in 0..20_000 {
            let seen = Observation {
                elapsed,
                replacement: (phase != Phase::Created).then(well),
                emptied: true,
                verdict: Some(HookResult::Succeeded),
                ..Observation::default()
            };
            let ready = phase == Phase::ReadyWait;
            let step = next(&plan, &phase, &Observation { shift: ready, ..seen });
            if step == Step::to(phase.clone()) {
                elapsed += MINUTE;
                total += MINUTE;
            } else {
                elapsed = Duration::ZERO;
            }
            phase = step.phase;
            if matches!(phase, Phase::Ended(_)) {
                break;
            }
        }
        prop_assert_eq!(phase, Phase::Ended(Outcome::Succeeded));
        let steps = u32::try_from(documented_shares(plan.routing).len()).expect("few");
        let shifting = interval(plan.routing) * (steps - 1);
        prop_assert_eq!(total, shifting + plan.termination_wait.unwrap_or_default());
    }

    #[test]
    fn a_rollback_only_gives_back(plan in plans(true), sights in vec(sights(), 1..60)) {
        let (done, _) = history(&plan, &sights);
        for (_, action, _) in &done {
            prop_assert!(matches!(action, Action::Restore | Action::EmptyReplacement | Action::DeleteReplacement));
        }
    }

    #[test]
    fn every_prefix_goes_on(plan in plans(false), sights in vec(sights(), 1..60)) {
        // What is kept of a phase is enough: written, read back, and the same follows.
        let (_, end) = history(&plan, &sights);
        let kept = serde_json::to_string(&end).expect("written");
        let again: Phase = serde_json::from_str(&kept).expect("read");
        prop_assert_eq!(&again, &end);
        for seen in &sights {
            prop_assert_eq!(next(&plan, &again, seen), next(&plan, &end, seen));
        }
    }
}

fn simple() -> Plan {
    Plan {
        routing: Routing::AllAtOnce,
        hooks: BTreeSet::new(),
        test_listener: false,
        ready_wait: None,
        termination_wait: Some(MINUTE),
        undo_failure: true,
        is_rollback: false,
    }
}

fn code(phase: &Phase) -> &str {
    match phase {
        Phase::Ended(Outcome::Failed(error) | Outcome::Stopped(error)) => &error.code,
        _ => "",
    }
}

#[test]
fn an_unhealthy_replacement_ends_the_deployment_soon() {
    let unhealthy = Health { desired: 2, steady: false, healthy: 0, unhealthy: 2, failures: 0 };
    let crashing = Health { failures: 3, unhealthy: 0, ..unhealthy };
    for health in [unhealthy, crashing] {
        let seen = Observation { replacement: Some(health), ..Observation::default() };
        let step = next(&simple(), &Phase::Install, &seen);
        assert_eq!((code(&step.phase), step.actions), ("ECS_UPDATE_ERROR", vec![Action::RollBack]));
    }
    let starting = Health { failures: 2, unhealthy: 0, ..unhealthy };
    let seen = Observation { replacement: Some(starting), ..Observation::default() };
    assert_eq!(next(&simple(), &Phase::Install, &seen), Step::to(Phase::Install));
}

#[test]
fn limits_have_their_codes() {
    let late = Observation {
        elapsed: 61 * MINUTE,
        replacement: Some(Health { desired: 1, ..Health::default() }),
        ..Observation::default()
    };
    assert_eq!(code(&next(&simple(), &Phase::Install, &late).phase), "TIMEOUT");
    let hooked = Plan { hooks: [LifecycleEvent::AfterInstall].into(), ..simple() };
    let step = next(&hooked, &Phase::Hook(LifecycleEvent::AfterInstall), &late);
    assert_eq!((code(&step.phase), step.actions.len()), ("HOOK_EXECUTION_FAILURE", 1));
    let waiting = Plan { ready_wait: Some(60 * MINUTE), ..simple() };
    let step = next(&waiting, &Phase::ReadyWait, &late);
    assert!(
        matches!(&step.phase, Phase::Ended(Outcome::Stopped(error)) if error.message.contains("60 minutes"))
    );
}

#[test]
fn a_failure_before_anything_was_installed_undoes_nothing() {
    let seen = Observation { trouble: Some(ErrorInformation::new("X", "x")), ..Observation::default() };
    let step = next(&simple(), &Phase::Hook(LifecycleEvent::BeforeInstall), &seen);
    assert!(step.actions.is_empty());
}

#[test]
fn an_alarm_stops_and_may_roll_back_but_stops_no_rollback() {
    let seen = |undo| Observation {
        alarm: Some(Alarm { name: "errors".into(), undo }),
        replacement: Some(well()),
        ..Observation::default()
    };
    let shifting = Phase::AllowTraffic { shifted: 10 };
    let step = next(&simple(), &shifting, &seen(true));
    assert!(matches!(step.phase, Phase::Ended(Outcome::Stopped(_))));
    assert_eq!((code(&step.phase), step.actions), ("ALARM_ACTIVE", vec![Action::RollBack]));
    assert_eq!(next(&simple(), &shifting, &seen(false)).actions, []);
    assert_eq!(next(&simple(), &Phase::Termination, &seen(true)), Step::to(Phase::Termination));
    let undoing = Plan { is_rollback: true, ..simple() };
    assert_eq!(next(&undoing, &Phase::Removal, &seen(true)), Step::to(Phase::Removal));
}
