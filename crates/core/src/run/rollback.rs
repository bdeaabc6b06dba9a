//! Undoing what a run did: in reverse order, as far as it can be undone.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use pipeline_sdk::{Action, Change, Done, Mode, StageError};
use tokio::task::JoinSet;

use super::execution::Execution;
use super::save::Saver;
use crate::failure::{StageFailure, panic_error};
use crate::lifecycle::{StageEvent, StageState};

/// Undoes the nodes in `touched` and puts the state back to what it was for each. One that fails
/// does not stop those that do not depend on it. Returns what is left over.
pub(super) async fn roll_back(run: &mut Execution<'_>, touched: &[usize], saver: &mut Saver) -> Vec<String> {
    let graph = run.nodes.order.reversed();
    let mut waiting: Vec<usize> = (0..graph.len()).map(|node| graph.before(node).len()).collect();
    let mut is_touched = vec![false; graph.len()];
    touched.iter().for_each(|&node| is_touched[node] = true);
    // A stage that is still there keeps everything it was built on.
    let mut in_use_by: Vec<Option<usize>> = vec![None; graph.len()];
    let mut ready: VecDeque<usize> = graph.order().iter().copied().filter(|&n| waiting[n] == 0).collect();
    let mut calls: JoinSet<(usize, Result<(), StageError>)> = JoinSet::new();
    let mut left_over = Vec::new();
    let limit = run.session.definition.parallelism;
    loop {
        let mut ended = Vec::new();
        if run.broken() {
            // Dropping the calls stops them before their next side effect.
            left_over.extend(unknown(run, touched));
            return left_over;
        }
        while calls.len() < limit {
            let Some(node) = ready.pop_front() else { break };
            match (is_touched[node], in_use_by[node]) {
                (false, _) => ended.push(node),
                (true, None) => start(run, node, &mut calls),
                (true, Some(user)) => {
                    let user = &run.node(user).name;
                    let error = StageError::failed(format!("`{user}` could not be undone and may use it"));
                    give_up(run, node, &error, &mut left_over);
                    ended.push(node);
                }
            }
        }
        if ended.is_empty() {
            let joined = tokio::select! {
                biased;
                () = run.session.recorder.lock_lost() => continue,
                joined = calls.join_next() => joined,
            };
            let Some(joined) = joined else { break };
            let Ok((node, result)) = joined else { continue };
            match result {
                Ok(()) => undone(run, node, saver),
                Err(error) => give_up(run, node, &error, &mut left_over),
            }
            ended.push(node);
        }
        for node in ended {
            let stuck = run.stages[node].state == StageState::Stuck;
            let user = if stuck { Some(node) } else { in_use_by[node] };
            for &next in graph.after(node) {
                in_use_by[next] = in_use_by[next].or(user);
                waiting[next] -= 1;
                if waiting[next] == 0 {
                    ready.push_back(next);
                }
            }
        }
        if let Err(error) = saver.start(&mut run.state) {
            run.error.get_or_insert(error);
        }
    }
    left_over
}

fn start(run: &mut Execution<'_>, index: usize, calls: &mut JoinSet<(usize, Result<(), StageError>)>) {
    run.advance(index, StageEvent::Undo);
    let node = run.node(index);
    let done = run.session.recorder.done_by(&node.name);
    let sealed = &run.stages[index].planned.inputs;
    let (prior, mode) = (run.before.stages.get(&node.name), undo_mode(node.mode, &done));
    let context = run.session.undo_context(node, mode, prior, sealed);
    let stage = node.stage.clone();
    calls.spawn(async move {
        let call = AssertUnwindSafe(stage.rollback(&context, &done)).catch_unwind();
        (index, call.await.unwrap_or_else(|panic| Err(panic_error(panic.as_ref()))))
    });
}

fn undone(run: &mut Execution<'_>, index: usize, saver: &mut Saver) {
    let name = &run.node(index).name;
    run.state.put(name, run.before.stages.get(name).cloned());
    saver.mark();
    run.advance(index, StageEvent::Undone);
}

fn give_up(run: &mut Execution<'_>, index: usize, error: &StageError, left_over: &mut Vec<String>) {
    let node = run.node(index);
    let begun = run.stages[index].state == StageState::RollingBack;
    let failure = StageFailure::of(&node.name, error);
    let help = failure.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    let why = format!("{}{help}", failure.message);
    let done = run.session.recorder.done_by(&node.name);
    if done.is_empty() {
        left_over.push(format!("stage `{}`: {why}", node.name));
    }
    // Which of several side effects a stage has undone before it failed is known to the stage alone.
    let is_not = if begun && done.len() > 1 { "may not be undone" } else { "is not undone" };
    left_over.extend(done.iter().rev().map(|done| {
        let (remains, what_to_do) = remains(done);
        format!("stage `{}`: {remains} and {is_not}: {why}; {what_to_do}", node.name)
    }));
    run.stages[index].failure.get_or_insert(failure);
    run.advance(index, StageEvent::UndoFailed);
}

/// What is left when a run may do nothing more: the next one looks after it.
pub(super) fn unknown(run: &Execution<'_>, touched: &[usize]) -> Vec<String> {
    let left = touched.iter().filter(|&&index| run.stages[index].state != StageState::RolledBack);
    left.map(|&index| {
        format!("stage `{}` is not undone yet: the next run looks after it", run.node(index).name)
    })
    .collect()
}

/// How a stage of `mode` is undone. One that is removed, and did something else before in a run that this one took over,
/// comes back as a whole.
pub(super) fn undo_mode(mode: Mode, done: &[Done]) -> Mode {
    if done.iter().all(|done| done.action == Action::Delete) { mode } else { Mode::Converge }
}

/// What undoing `done` will change.
pub(super) fn inverse(done: &Done) -> Change {
    let (action, reason) = match done.action {
        Action::Create => (Action::Delete, "it was created"),
        Action::Update => (Action::Update, "it was changed"),
        Action::Replace => (Action::Replace, "it was replaced"),
        Action::Delete => (Action::Create, "it was deleted"),
        Action::Run => (Action::Run, "it was carried out"),
    };
    let reason = Some(format!("to undo: {reason}"));
    Change { resource: done.resource.clone(), action, attributes: Vec::new(), reason, irreversible: None }
}

/// What a run leaves on purpose, one line for each side effect.
pub(super) fn kept_lines(run: &Execution<'_>, touched: &[usize]) -> Vec<String> {
    let lines = |&index: &usize| {
        let name = &run.node(index).name;
        let done = run.session.recorder.done_by(name);
        done.iter().map(|done| format!("stage `{name}`: {} and is kept", remains(done).0)).collect::<Vec<_>>()
    };
    touched.iter().flat_map(lines).collect()
}

/// What a destruction that was cut short has left. It is not undone: what is removed, such as a service
/// with its tasks or the images of a repository, cannot be brought back by making it again.
pub(super) fn not_removed(run: &Execution<'_>) -> Vec<String> {
    let is_left = |&index: &usize| {
        let (state, name) = (run.stages[index].state, &run.node(index).name);
        state != StageState::Applied && run.state.stages.contains_key(name)
    };
    let left = (0..run.stages.len()).filter(is_left);
    left.map(|index| format!("stage `{}` is not removed: run `pipeline destroy` again", run.node(index).name))
        .collect()
}

/// What a side effect has left, and what to do about it.
fn remains(done: &Done) -> (String, String) {
    let Done { resource, action, after, .. } = done;
    let (was, what_to_do) = match action {
        Action::Create => ("was created", "delete it by hand if it is not wanted"),
        Action::Update => ("was changed", "the next run puts it right"),
        Action::Replace => ("was replaced", "the next run puts it right"),
        Action::Delete => ("was deleted", "the next run makes it again"),
        Action::Run => ("was carried out", "look at what it did"),
    };
    match after {
        Some(_) => (format!("{resource} {was}"), what_to_do.to_owned()),
        None => (format!("{resource} perhaps {was}"), format!("look whether it was, and {what_to_do}")),
    }
}
