//! Which stage comes before which.

use std::collections::{BTreeMap, VecDeque};

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// A directed graph without cycles over numbered nodes. An edge leads from a node to one that waits
/// for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
    order: Vec<usize>,
}

impl Graph {
    /// The graph in which node `i` waits for every node of `before[i]`.
    ///
    /// # Errors
    /// Every cycle, as the nodes along it: each waits for the next one, the last for the first.
    pub(crate) fn new(mut before: Vec<Vec<usize>>) -> Result<Self, Vec<Vec<usize>>> {
        let mut after = vec![Vec::new(); before.len()];
        for (node, needed) in before.iter_mut().enumerate() {
            needed.sort_unstable();
            needed.dedup();
            for &other in needed.iter() {
                after[other].push(node);
            }
        }
        let order = topological_order(&before, &after);
        if order.len() < before.len() {
            return Err(cycles(&before));
        }
        Ok(Self { before, after, order })
    }

    /// Like [`Graph::new`], but edges within a cycle are left out.
    pub(crate) fn without_cycles(mut before: Vec<Vec<usize>>) -> Self {
        loop {
            match Self::new(before.clone()) {
                Ok(graph) => return graph,
                Err(cycles) => {
                    for cycle in cycles {
                        let next = cycle.get(1).copied().unwrap_or(cycle[0]);
                        before[cycle[0]].retain(|other| *other != next);
                    }
                }
            }
        }
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.before.len()
    }

    /// The nodes that `node` waits for.
    pub(crate) fn before(&self, node: usize) -> &[usize] {
        &self.before[node]
    }

    /// The nodes that wait for `node`.
    pub(crate) fn after(&self, node: usize) -> &[usize] {
        &self.after[node]
    }

    /// Every node, after all that it waits for; otherwise in the order of their numbers.
    pub(crate) fn order(&self) -> &[usize] {
        &self.order
    }

    /// The same graph with every edge turned.
    pub(crate) fn reversed(&self) -> Self {
        let order = self.order.iter().rev().copied().collect();
        Self { before: self.after.clone(), after: self.before.clone(), order }
    }
}

fn topological_order(before: &[Vec<usize>], after: &[Vec<usize>]) -> Vec<usize> {
    let mut waiting: Vec<usize> = before.iter().map(Vec::len).collect();
    let mut ready: VecDeque<usize> = (0..before.len()).filter(|node| waiting[*node] == 0).collect();
    let mut order = Vec::with_capacity(before.len());
    while let Some(node) = ready.pop_front() {
        order.push(node);
        for &next in &after[node] {
            waiting[next] -= 1;
            if waiting[next] == 0 {
                ready.push_back(next);
            }
        }
    }
    order
}

fn cycles(before: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut graph = DiGraph::<(), ()>::with_capacity(before.len(), before.len());
    let nodes: Vec<NodeIndex> = before.iter().map(|_| graph.add_node(())).collect();
    for (node, needed) in before.iter().enumerate() {
        for &other in needed {
            graph.add_edge(nodes[node], nodes[other], ());
        }
    }
    let components = tarjan_scc(&graph).into_iter().map(|component| {
        let mut members: Vec<usize> = component.into_iter().map(NodeIndex::index).collect();
        members.sort_unstable();
        members
    });
    let mut cycles: Vec<_> = components.filter_map(|members| shortest_cycle(before, &members)).collect();
    cycles.sort();
    cycles
}

/// The shortest cycle through the first of `members`, which all reach each other.
fn shortest_cycle(before: &[Vec<usize>], members: &[usize]) -> Option<Vec<usize>> {
    let start = *members.first()?;
    let mut came_from = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for &next in &before[node] {
            if next == start {
                let mut path = vec![node];
                while let Some(&previous) = path.last().and_then(|last| came_from.get(last)) {
                    path.push(previous);
                }
                path.reverse();
                return Some(path);
            }
            if members.binary_search(&next).is_ok() && !came_from.contains_key(&next) {
                came_from.insert(next, node);
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cycle_is_found_with_its_path() {
        let before = vec![vec![1], vec![2], vec![0], vec![3], vec![]];
        assert_eq!(Graph::new(before.clone()).expect_err("cycles"), vec![vec![0, 1, 2], vec![3]]);
        assert_eq!(Graph::without_cycles(before).len(), 5);
    }

    #[test]
    fn the_order_respects_the_edges_and_turns_with_them() {
        let graph = Graph::new(vec![vec![2], vec![0], vec![]]).expect("no cycle");
        assert_eq!(graph.order(), [2, 0, 1]);
        assert_eq!(graph.reversed().order(), [1, 0, 2]);
        assert_eq!(graph.reversed().before(0), [1]);
    }
}
