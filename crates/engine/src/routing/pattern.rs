//! Patterns of words: `*` stands for one word, `#` for any number of them. An empty key has no words; otherwise words are
//! what stands between the dots, empty ones too.
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

const NONE: u32 = u32::MAX;
const ROOT: u32 = 0;

#[derive(Debug)]
struct Node {
    /// How many edges with a literal word leave it.
    literals: u32,
    star: u32,
    hash: u32,
    /// It was entered by `#`: any word leads back to it.
    repeats: bool,
    /// The step of a walk that last saw it.
    seen: u64,
    here: Targets,
}

impl Node {
    fn new(repeats: bool) -> Self {
        Self {
            literals: 0,
            star: NONE,
            hash: NONE,
            repeats,
            seen: 0,
            here: Targets::default(),
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
pub(super) struct Trie {
    nodes: Vec<Node>,
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
fn words(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = key.split(|byte| *byte == b'.');
    words.take(if key.is_empty() { 0 } else { usize::MAX })
}

impl Trie {
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

    pub(super) fn add(&mut self, pattern: &[u8], hit: Hit) {
        let mut at = ROOT;
        for word in words(pattern) {
            at = match self.follow(at, word) {
                Some(next) => next,
                None => self.extend(at, word),
            };
        }
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.here.push(hit);
        }
    }

    pub(super) fn remove(&mut self, pattern: &[u8], rank: u64) {
        let mut path = Vec::new();
        let mut at = ROOT;
        for word in words(pattern) {
            let Some(next) = self.follow(at, word) else {
                return;
            };
            path.push((at, word, next));
            at = next;
        }
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.here.remove(rank);
        }
        while let Some((from, word, to)) = path.pop() {
            if self.nodes.get(to as usize).is_none_or(Node::is_needed) {
                return;
            }
            self.cut(from, word, to);
        }
    }

    /// The node that a pattern's word leads to.
    fn follow(&self, from: u32, word: &[u8]) -> Option<u32> {
        let node = self.nodes.get(from as usize)?;
        let next = match word {
            b"*" => node.star,
            b"#" => node.hash,
            word => *self.edges.get(&(from, self.words.get(word)?.number))?,
        };
        (next != NONE).then_some(next)
    }

    /// Makes the node that a pattern's word leads to.
    fn extend(&mut self, from: u32, word: &[u8]) -> u32 {
        let node = Node::new(word == b"#");
        let made = if let Some(free) = self.free.pop() {
            if let Some(place) = self.nodes.get_mut(free as usize) {
                *place = node;
            }
            free
        } else {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        };
        let number = match word {
            b"*" | b"#" => NONE,
            word => self.intern(word),
        };
        if let Some(node) = self.nodes.get_mut(from as usize) {
            match word {
                b"*" => node.star = made,
                b"#" => node.hash = made,
                _ => {
                    node.literals += 1;
                    self.edges.insert((from, number), made);
                }
            }
        }
        made
    }

    /// Takes away a node that nothing needs, with the edge to it.
    fn cut(&mut self, from: u32, word: &[u8], to: u32) {
        let Some(node) = self.nodes.get_mut(from as usize) else {
            return;
        };
        match word {
            b"*" => node.star = NONE,
            b"#" => node.hash = NONE,
            word => {
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

    /// Adds what the key matches to `hits`, in the order of the bindings.
    pub(super) fn collect(&mut self, key: &[u8], hits: &mut Vec<Hit>) {
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
        let from = hits.len();
        let mut sources = 0;
        for &state in &self.states {
            if let Some(node) = self.nodes.get(state as usize)
                && !node.here.is_empty()
            {
                hits.extend(node.here.hits());
                sources += 1;
            }
        }
        if sources > 1
            && let Some(hits) = hits.get_mut(from..)
        {
            hits.sort_unstable();
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

/// Adds a node to the set of states, and those that `#` leads to from it without a word.
#[inline]
fn enter(nodes: &mut [Node], states: &mut Vec<u32>, step: u64, mut at: u32) {
    while let Some(node) = nodes.get_mut(at as usize) {
        if node.seen == step {
            return;
        }
        node.seen = step;
        states.push(at);
        at = node.hash;
    }
}
