//! Patterns of words. In a binding's, `*` stands for one word, `#` for any number of them. An empty key has no words;
//! otherwise words are what stands between the dots, empty ones too.
//!
//! ```text
//! a.*.c   a.#.b        (root) -a-> ( ) -*-> ( ) -c-> (a.*.c)
//!                                   `--#-> (#) -b-> (a.#.b)
//! ```
//! A trie of the patterns' words, walked with the set of all nodes that the words so far can lead to. A node entered by `#`
//! stays in the set. A node is in the set once, so the walk costs at most nodes times words, whatever the patterns; nothing
//! recurses. Words are interned: a key's word is hashed once, and one that no pattern has needs no look-up of edges.

use ahash::RandomState;
use bytes::Bytes;

use super::hash::KeyedMap;
use super::targets::{Hit, Targets};

/// One word of a pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step<'a> {
    Word(&'a [u8]),
    /// Any one word.
    One,
    /// Any number of words.
    Many,
}

/// What stands where a pattern ends.
pub(super) trait Leaf: Default {
    /// Whether there is nothing, so that no pattern ends here.
    fn is_empty(&self) -> bool;
}

impl Leaf for Targets {
    fn is_empty(&self) -> bool {
        Self::is_empty(self)
    }
}

const NONE: u32 = u32::MAX;
const ROOT: u32 = 0;

#[derive(Debug)]
struct Node<L> {
    /// How many edges with a literal word leave it.
    literals: u32,
    star: u32,
    hash: u32,
    /// It was entered by `#`: any word leads back to it.
    repeats: bool,
    /// The step of a walk that last saw it.
    seen: u64,
    here: L,
}

impl<L: Leaf> Node<L> {
    fn new(repeats: bool) -> Self {
        Self {
            literals: 0,
            star: NONE,
            hash: NONE,
            repeats,
            seen: 0,
            here: L::default(),
        }
    }

    fn is_needed(&self) -> bool {
        self.literals > 0 || self.star != NONE || self.hash != NONE || !self.here.is_empty()
    }
}

#[derive(Debug)]
struct Word {
    number: u32,
    /// How many edges carry it.
    edges: u32,
}

/// The patterns of one topic.
#[derive(Debug)]
pub(super) struct Trie<L> {
    nodes: Vec<Node<L>>,
    free: Vec<u32>,
    words: KeyedMap<Bytes, Word>,
    free_words: Vec<u32>,
    words_made: u32,
    /// From a node, by a word, to a node.
    edges: KeyedMap<(u32, u32), u32>,
    step: u64,
    states: Vec<u32>,
    next_states: Vec<u32>,
}

/// The words of a key or pattern.
pub(super) fn words(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = key.split(|byte| *byte == b'.');
    words.take(if key.is_empty() { 0 } else { usize::MAX })
}

/// The steps of a binding's pattern.
pub(super) fn steps(pattern: &[u8]) -> impl Iterator<Item = Step<'_>> {
    words(pattern).map(|word| match word {
        b"*" => Step::One,
        b"#" => Step::Many,
        word => Step::Word(word),
    })
}

impl<L: Leaf> Trie<L> {
    pub(super) fn new(hasher: &RandomState) -> Self {
        Self {
            nodes: vec![Node::new(false)],
            free: Vec::new(),
            words: KeyedMap::with_hasher(hasher.clone()),
            free_words: Vec::new(),
            words_made: 0,
            edges: KeyedMap::with_hasher(hasher.clone()),
            step: 0,
            states: Vec::new(),
            next_states: Vec::new(),
        }
    }

    /// Whether there is no pattern.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes
            .get(ROOT as usize)
            .is_none_or(|root| !root.is_needed())
    }

    /// Changes what stands where a pattern ends.
    pub(super) fn change<'a, T>(
        &mut self,
        pattern: impl Iterator<Item = Step<'a>>,
        change: impl FnOnce(&mut L) -> T,
    ) -> Option<T> {
        let mut path = Vec::new();
        let mut at = ROOT;
        for step in pattern {
            let next = match self.follow(at, step) {
                Some(next) => next,
                None => self.extend(at, step),
            };
            path.push((at, step, next));
            at = next;
        }
        let changed = self
            .nodes
            .get_mut(at as usize)
            .map(|node| change(&mut node.here));
        while let Some((from, step, to)) = path.pop() {
            if self.nodes.get(to as usize).is_none_or(Node::is_needed) {
                break;
            }
            self.cut(from, step, to);
        }
        changed
    }

    /// The node that a pattern's word leads to.
    fn follow(&self, from: u32, step: Step<'_>) -> Option<u32> {
        let node = self.nodes.get(from as usize)?;
        let next = match step {
            Step::One => node.star,
            Step::Many => node.hash,
            Step::Word(word) => *self.edges.get(&(from, self.words.get(word)?.number))?,
        };
        (next != NONE).then_some(next)
    }

    /// Makes the node that a pattern's word leads to.
    fn extend(&mut self, from: u32, step: Step<'_>) -> u32 {
        let node = Node::new(step == Step::Many);
        let made = if let Some(free) = self.free.pop() {
            if let Some(place) = self.nodes.get_mut(free as usize) {
                *place = node;
            }
            free
        } else {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        };
        let number = match step {
            Step::One | Step::Many => NONE,
            Step::Word(word) => self.intern(word),
        };
        if let Some(node) = self.nodes.get_mut(from as usize) {
            match step {
                Step::One => node.star = made,
                Step::Many => node.hash = made,
                Step::Word(_) => {
                    node.literals += 1;
                    self.edges.insert((from, number), made);
                }
            }
        }
        made
    }

    /// Takes away a node that nothing needs, with the edge to it.
    fn cut(&mut self, from: u32, step: Step<'_>, to: u32) {
        let Some(node) = self.nodes.get_mut(from as usize) else {
            return;
        };
        match step {
            Step::One => node.star = NONE,
            Step::Many => node.hash = NONE,
            Step::Word(word) => {
                node.literals = node.literals.saturating_sub(1);
                if let Some(entry) = self.words.get_mut(word) {
                    self.edges.remove(&(from, entry.number));
                    entry.edges = entry.edges.saturating_sub(1);
                    if entry.edges == 0 {
                        self.free_words.push(entry.number);
                        self.words.remove(word);
                    }
                }
            }
        }
        if let Some(node) = self.nodes.get_mut(to as usize) {
            *node = Node::new(false);
        }
        self.free.push(to);
    }

    /// The number of a word, for one more edge.
    fn intern(&mut self, word: &[u8]) -> u32 {
        if let Some(entry) = self.words.get_mut(word) {
            entry.edges += 1;
            return entry.number;
        }
        let number = self.free_words.pop().unwrap_or_else(|| {
            self.words_made += 1;
            self.words_made - 1
        });
        let entry = Word { number, edges: 1 };
        self.words.insert(Bytes::copy_from_slice(word), entry);
        number
    }

    /// Goes along a key to all that stands where patterns end that match it.
    pub(super) fn matches(&mut self, key: &[u8]) -> impl Iterator<Item = &L> {
        self.walk(key);
        let states = self.states.iter();
        states.filter_map(|state| {
            let here = &self.nodes.get(*state as usize)?.here;
            (!here.is_empty()).then_some(here)
        })
    }

    /// Finds the nodes that a key leads to.
    fn walk(&mut self, key: &[u8]) {
        self.step += 1;
        self.states.clear();
        enter(&mut self.nodes, &mut self.states, self.step, ROOT);
        for word in words(key) {
            self.step += 1;
            let number = self.words.get(word).map(|entry| entry.number);
            self.next_states.clear();
            for &state in &self.states {
                let Some(node) = self.nodes.get(state as usize) else {
                    continue;
                };
                let star = node.star;
                let repeated = if node.repeats { state } else { NONE };
                let literal = number
                    .filter(|_| node.literals > 0)
                    .and_then(|number| self.edges.get(&(state, number)))
                    .copied()
                    .unwrap_or(NONE);
                for next in [repeated, star, literal] {
                    enter(&mut self.nodes, &mut self.next_states, self.step, next);
                }
            }
            std::mem::swap(&mut self.states, &mut self.next_states);
            if self.states.is_empty() {
                return;
            }
        }
    }

    /// How many nodes, words and edges there are, for tests of the clean-up.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (
            self.nodes.len() - self.free.len(),
            self.words.len(),
            self.edges.len(),
        )
    }
}

impl Trie<Targets> {
    /// Adds what the key matches to `hits`, in the order of the bindings.
    pub(super) fn collect(&mut self, key: &[u8], hits: &mut Vec<Hit>) {
        let from = hits.len();
        let mut sources = 0;
        for targets in self.matches(key) {
            hits.extend(targets.hits());
            sources += 1;
        }
        if sources > 1
            && let Some(hits) = hits.get_mut(from..)
        {
            hits.sort_unstable();
        }
    }
}

/// Adds a node to the set of states, and those that `#` leads to from it without a word.
#[inline]
fn enter<L>(nodes: &mut [Node<L>], states: &mut Vec<u32>, step: u64, mut at: u32) {
    while let Some(node) = nodes.get_mut(at as usize) {
        if node.seen == step {
            return;
        }
        node.seen = step;
        states.push(at);
        at = node.hash;
    }
}
