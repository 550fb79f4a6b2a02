//! The import graph: which file loads what, in which order. Its nodes are files under the search path of a test file.

use fixedbitset::FixedBitSet;
use indexmap::{IndexMap, IndexSet};

use crate::imports::resolve::Origin;

/// The number of a node, in the order in which nodes were added.
pub type NodeId = usize;
pub(crate) type ForeignId = usize;

/// What a node imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Edge {
    /// A file of the graph.
    Node(NodeId),
    /// A module whose own imports are not followed.
    Foreign(ForeignId),
}

/// The edges of a node: loaded when it is imported, and perhaps later (in functions, under conditions).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edges {
    /// Loaded at import, in order.
    pub load: Vec<Edge>,
    /// Perhaps loaded later, in order.
    pub later: Vec<Edge>,
}

/// Nodes, their edges, and the names of foreign modules.
#[derive(Debug, Default)]
pub struct Graph {
    edges: Vec<Edges>,
    foreign: IndexMap<String, Origin>,
}

/// Everything reached from some nodes, each kind in the order in which it would be imported.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// The files.
    pub nodes: IndexSet<NodeId>,
    /// The foreign modules.
    pub foreign: IndexSet<ForeignId>,
    /// How many of `foreign` are reached when the files are imported; the others only later.
    pub at_import: usize,
}

impl Graph {
    /// Adds a node without edges.
    pub fn add_node(&mut self) -> NodeId {
        self.edges.push(Edges::default());
        self.edges.len() - 1
    }

    /// Replaces the edges of a node that exists.
    pub fn set_edges(&mut self, node: NodeId, edges: Edges) {
        self.edges[node] = edges;
    }

    /// For each node, those that lead to it.
    #[must_use]
    pub(crate) fn dependents(&self) -> Vec<Vec<NodeId>> {
        let mut dependents = vec![Vec::new(); self.edges.len()];
        for node in 0..self.edges.len() {
            for next in self.successors(node) {
                dependents[next].push(node);
            }
        }
        dependents
    }

    /// The number of a foreign module, which is added at its first mention.
    pub fn foreign(&mut self, name: &str, origin: Origin) -> ForeignId {
        if let Some(known) = self.foreign.get_index_of(name) {
            return known;
        }
        self.foreign.insert_full(name.to_owned(), origin).0
    }

    /// The dotted name of a foreign module, and its origin.
    #[must_use]
    pub fn foreign_name(&self, id: ForeignId) -> (&str, Origin) {
        self.foreign.get_index(id).map_or(("", Origin::Stdlib), |(name, origin)| (name.as_str(), *origin))
    }

    /// Everything reached at import, in order. A module counts from when its import begins, as in
    /// `sys.modules`: before what it imports itself.
    #[must_use]
    pub fn at_import(&self, entries: &[NodeId]) -> Reached {
        let mut reached = Reached::default();
        for entry in entries {
            self.follow(*entry, &mut reached);
        }
        reached.at_import = reached.foreign.len();
        reached
    }

    /// [`Graph::at_import`], then what that may load later.
    #[must_use]
    pub fn ever(&self, entries: &[NodeId]) -> Reached {
        let mut reached = self.at_import(entries);
        let mut next = 0;
        while let Some(node) = reached.nodes.get_index(next).copied() {
            next += 1;
            for edge in &self.edges[node].later {
                match *edge {
                    Edge::Node(node) => self.follow(node, &mut reached),
                    Edge::Foreign(id) => {
                        reached.foreign.insert(id);
                    }
                }
            }
        }
        reached
    }

    /// The nodes that a node leads to: what it loads when it is imported, then what later.
    pub(crate) fn successors(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let edges = &self.edges[node];
        edges.load.iter().chain(&edges.later).filter_map(|edge| match *edge {
            Edge::Node(next) => Some(next),
            Edge::Foreign(_) => None,
        })
    }

    /// The shortest way from one of the entries to a node that is wanted, both ends included; empty if there is none.
    #[must_use]
    pub(crate) fn chain(&self, entries: &[NodeId], wanted: impl Fn(NodeId) -> bool) -> Vec<NodeId> {
        let mut come_from: IndexMap<NodeId, Option<NodeId>> = entries.iter().map(|entry| (*entry, None)).collect();
        let mut next = 0;
        while let Some((node, _)) = come_from.get_index(next).map(|(node, from)| (*node, *from)) {
            next += 1;
            if wanted(node) {
                let back = |node: &NodeId| come_from.get(node).copied().flatten();
                let mut chain: Vec<NodeId> = std::iter::successors(Some(node), back).collect();
                chain.reverse();
                return chain;
            }
            for to in self.successors(node) {
                come_from.entry(to).or_insert(Some(node));
            }
        }
        Vec::new()
    }

    /// Depth first without recursion: a chain of imports may be as long as the suite is large.
    fn follow(&self, entry: NodeId, reached: &mut Reached) {
        if !reached.nodes.insert(entry) {
            return;
        }
        let mut stack = vec![(entry, 0)];
        while let Some((node, position)) = stack.pop() {
            let Some(edge) = self.edges[node].load.get(position) else { continue };
            stack.push((node, position + 1));
            match *edge {
                Edge::Foreign(id) => {
                    reached.foreign.insert(id);
                }
                Edge::Node(next) if reached.nodes.insert(next) => stack.push((next, 0)),
                Edge::Node(_seen) => {}
            }
        }
    }

    /// For each foreign module, how many of the groups of entries reach it at import.
    ///
    /// Linear in the graph: the modules of a strongly connected component are united once, not once
    /// for each test file that reaches it.
    #[must_use]
    pub fn count(&self, groups: &[Vec<NodeId>]) -> Vec<usize> {
        let components = self.components();
        let mut counts = vec![0; self.foreign.len()];
        for group in groups {
            let mut united = FixedBitSet::with_capacity(self.foreign.len());
            for entry in group {
                united.union_with(&components.foreign[components.of[*entry]]);
            }
            united.ones().for_each(|id| counts[id] += 1);
        }
        counts
    }

    fn components(&self) -> Components {
        let order = strong_components(&self.edges);
        let mut of = vec![0; self.edges.len()];
        for (number, members) in order.iter().enumerate() {
            for node in members {
                of[*node] = number;
            }
        }
        let mut foreign: Vec<FixedBitSet> = Vec::with_capacity(order.len());
        for (number, members) in order.iter().enumerate() {
            let mut own = FixedBitSet::with_capacity(self.foreign.len());
            for edge in members.iter().flat_map(|node| &self.edges[*node].load) {
                match *edge {
                    Edge::Foreign(id) => own.insert(id),
                    // Components come after all that they lead to.
                    Edge::Node(next) if of[next] != number => own.union_with(&foreign[of[next]]),
                    Edge::Node(_own) => {}
                }
            }
            foreign.push(own);
        }
        Components { of, foreign }
    }
}

struct Components {
    of: Vec<usize>,
    foreign: Vec<FixedBitSet>,
}

/// Tarjan's algorithm without recursion (petgraph's is recursive, and a chain of imports as long as the suite; its
/// Kosaraju took 36 ms where this takes 15). A component comes after all components that it leads to.
fn strong_components(edges: &[Edges]) -> Vec<Vec<NodeId>> {
    let mut search = Tarjan {
        edges,
        index: vec![UNSEEN; edges.len()],
        arrived: 0,
        low: vec![0; edges.len()],
        on_stack: vec![false; edges.len()],
        stack: Vec::new(),
        found: Vec::new(),
    };
    for node in 0..edges.len() {
        if search.index[node] == UNSEEN {
            search.from(node);
        }
    }
    search.found
}

const UNSEEN: usize = usize::MAX;

struct Tarjan<'a> {
    edges: &'a [Edges],
    /// The order of arrival of each node; [`UNSEEN`] before.
    index: Vec<usize>,
    arrived: usize,
    low: Vec<usize>,
    on_stack: Vec<bool>,
    stack: Vec<NodeId>,
    found: Vec<Vec<NodeId>>,
}

impl Tarjan<'_> {
    fn from(&mut self, entry: NodeId) {
        let mut calls = vec![(entry, 0)];
        self.enter(entry);
        while let Some((node, position)) = calls.pop() {
            match self.edges[node].load.get(position) {
                Some(Edge::Node(next)) => {
                    calls.push((node, position + 1));
                    self.step(node, *next, &mut calls);
                }
                Some(Edge::Foreign(_)) => calls.push((node, position + 1)),
                None => {
                    self.leave(node);
                    if let Some((caller, _)) = calls.last() {
                        self.low[*caller] = self.low[*caller].min(self.low[node]);
                    }
                }
            }
        }
    }

    fn enter(&mut self, node: NodeId) {
        self.low[node] = self.arrived;
        self.index[node] = self.arrived;
        self.arrived += 1;
        self.stack.push(node);
        self.on_stack[node] = true;
    }

    fn step(&mut self, node: NodeId, next: NodeId, calls: &mut Vec<(NodeId, usize)>) {
        if self.index[next] == UNSEEN {
            self.enter(next);
            calls.push((next, 0));
        } else if self.on_stack[next] {
            self.low[node] = self.low[node].min(self.index[next]);
        }
    }

    fn leave(&mut self, node: NodeId) {
        if self.index[node] != self.low[node] {
            return;
        }
        let mut members = Vec::new();
        while let Some(member) = self.stack.pop() {
            self.on_stack[member] = false;
            members.push(member);
            if member == node {
                break;
            }
        }
        self.found.push(members);
    }
}
