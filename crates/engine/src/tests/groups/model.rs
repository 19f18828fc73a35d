//! Clients that join, work, die, come back and forget, at random; brokers that restart. What must hold: in one generation
//! a partition has one owner and the group one leader, generations rise, and an acknowledged commit is there.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const PARTITIONS: u32 = 8;
const CLIENTS: usize = 5;

/// What a client is doing.
#[derive(Clone, PartialEq, Debug)]
enum Doing {
    Nothing,
    Joining(u64),
    Syncing(u64, u32),
    Working(u32, Vec<u32>),
}

struct Client {
    instance: Option<String>,
    id: Option<String>,
    doing: Doing,
    /// How often it has changed its mind about what it likes.
    metadata: u32,
}

struct World {
    club: Club,
    clients: Vec<Client>,
    seed: u64,
    ids: u64,
    generation: u32,
    leaders: BTreeMap<u32, String>,
    owners: BTreeMap<(u32, u32), String>,
    committed: BTreeMap<u32, u64>,
    /// Who had a part once.
    past: Vec<Membership>,
    /// Generations whose members have all got their parts.
    settled: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let client = |at: usize| Client {
            instance: (at < 2).then(|| format!("lasting-{at}")),
            id: None,
            doing: Doing::Nothing,
            metadata: 0,
        };
        Self {
            club: Club::new(),
            clients: (0..CLIENTS).map(client).collect(),
            seed: seed | 1,
            ids: 0,
            generation: 0,
            leaders: BTreeMap::new(),
            owners: BTreeMap::new(),
            committed: BTreeMap::new(),
            past: Vec::new(),
            settled: 0,
        }
    }

    fn dice(&mut self, sides: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) % sides
    }

    fn membership(&self, at: usize, generation: u32) -> Membership {
        let client = &self.clients[at];
        Membership {
            instance: client.instance.clone(),
            ..who(client.id.as_deref().unwrap_or_default(), generation)
        }
    }

    fn start_join(&mut self, at: usize) {
        self.ids += 1;
        let fresh = format!("id-{}", self.ids);
        let can_skip_assignment = self.dice(2) == 0;
        let client = &self.clients[at];
        let said = format!("{}", client.metadata);
        let join = Join {
            member: client.id.clone(),
            id_first: client.instance.is_none(),
            instance: client.instance.clone(),
            assignors: assignors(&["range", "robin"], &said),
            can_skip_assignment,
            ..join(&fresh)
        };
        let number = self.club.ask_join(join);
        self.clients[at].doing = Doing::Joining(number);
    }

    /// Takes what answers have come, and goes on as a client would.
    fn go_on(&mut self, at: usize) {
        match self.clients[at].doing.clone() {
            Doing::Joining(number) => match self.club.joined(number) {
                None => {}
                Some(Ok(joined)) => self.is_member(at, joined),
                Some(Err(GroupError::MemberIdRequired(id))) => {
                    self.clients[at].id = Some(id);
                    self.start_join(at);
                }
                Some(Err(error)) => self.failed(at, &error),
            },
            Doing::Syncing(number, generation) => match self.club.synced(number) {
                None => {}
                Some(Ok(part)) => self.has_part(at, generation, &part),
                Some(Err(error)) => self.failed(at, &error),
            },
            Doing::Nothing | Doing::Working(..) => {}
        }
    }

    fn failed(&mut self, at: usize, error: &GroupError) {
        match error {
            GroupError::Rebalancing | GroupError::OldGeneration => {}
            GroupError::UnknownMember | GroupError::Fenced => self.clients[at].id = None,
            other => panic!("{other:?}"),
        }
        self.clients[at].doing = Doing::Nothing;
    }

    fn is_member(&mut self, at: usize, joined: Joined) {
        let Joined {
            generation, member, ..
        } = joined;
        assert!(generation >= self.generation, "generations rise");
        self.generation = generation;
        self.clients[at].id = Some(member.clone());
        let leads = joined.leader == member && !joined.skip_assignment;
        if leads {
            // Whoever joins again while assigning is told again; no other leads.
            let leader = self.leaders.entry(generation).or_insert(member);
            assert_eq!(*leader, joined.leader, "one leader for a generation");
        }
        let mut parts: Vec<(String, String)> = Vec::new();
        if leads {
            let members = joined.members;
            for (nth, (id, ..)) in members.iter().enumerate() {
                let mine = (0..PARTITIONS).filter(|one| *one as usize % members.len() == nth);
                let mine: Vec<_> = mine.map(|one| one.to_string()).collect();
                parts.push((id.clone(), mine.join(",")));
            }
        }
        let parts: Vec<_> = parts.iter().map(|(id, part)| (&**id, &**part)).collect();
        let who = self.membership(at, generation);
        let number = self.club.ask_sync(who, &parts);
        self.clients[at].doing = Doing::Syncing(number, generation);
    }

    fn has_part(&mut self, at: usize, generation: u32, part: &str) {
        let part: Vec<u32> = part
            .split(',')
            .filter(|one| !one.is_empty())
            .map(|one| one.parse().unwrap())
            .collect();
        self.past.push(self.membership(at, generation));
        let client = &mut self.clients[at];
        let owner = client.instance.clone().or_else(|| client.id.clone());
        let owner = owner.unwrap();
        for one in &part {
            let first = self
                .owners
                .entry((generation, *one))
                .or_insert(owner.clone());
            assert_eq!(*first, owner, "one owner of a partition in a generation");
        }
        client.doing = Doing::Working(generation, part);
        let working = |one: &&Client| matches!(one.doing, Doing::Working(g, _) if g == generation);
        if self.clients.iter().filter(working).count() > 1 {
            self.settled += 1;
        }
    }

    fn work(&mut self, at: usize) {
        let Doing::Working(generation, part) = self.clients[at].doing.clone() else {
            return;
        };
        let who = self.membership(at, generation);
        if self.dice(2) == 0 {
            if let Err(error) = self.club.heartbeat(who) {
                self.failed(at, &error);
            }
            return;
        }
        let upto = self.dice(1_000);
        let offsets = part.iter().map(|one| offset("l", *one, upto)).collect();
        match self.club.commit(who, offsets) {
            Ok(results) => {
                assert!(results.iter().all(Result::is_ok));
                self.committed.extend(part.iter().map(|one| (*one, upto)));
            }
            Err(error) => self.failed(at, &error),
        }
    }

    /// One that slept through it all goes on as if nothing had happened.
    fn sleepwalk(&mut self) {
        let nth = self.dice(self.past.len().max(1) as u64) as usize;
        let Some(who) = self.past.get(nth).cloned() else {
            return;
        };
        if who.generation < Some(self.generation) {
            assert!(self.club.heartbeat(who.clone()).is_err());
            let parts = [(&*who.member, "0,1,2")];
            assert!(self.club.sync_now(who.clone(), &parts).is_err());
            assert!(self.club.commit(who, vec![offset("l", 0, 9_999)]).is_err());
        }
    }

    fn step(&mut self) {
        let at = self.dice(CLIENTS as u64) as usize;
        match self.dice(40) {
            // It dies without a word; another one starts in its place.
            0 => {
                self.clients[at].id = None;
                self.clients[at].doing = Doing::Nothing;
            }
            1 => {
                let client = &mut self.clients[at];
                client.doing = Doing::Nothing;
                if let Some(id) = client.id.take() {
                    let instance = client.instance.clone();
                    let _ = self.club.leave(&id, instance.as_deref());
                }
            }
            2 if self.dice(4) == 0 => self.club.save(),
            2 => self.clients[at].metadata += 1,
            3 => {
                let ms = self.dice(2 * SESSION_MS);
                self.club.wait(ms);
            }
            4 if self.dice(3) == 0 => {
                let from_snapshot = self.dice(2) == 0;
                self.club.restart(from_snapshot);
                // Connections are gone, and with them what was asked over them.
                for client in &mut self.clients {
                    if !matches!(client.doing, Doing::Working(..)) {
                        client.doing = Doing::Nothing;
                    }
                }
            }
            5..10 => {
                let ms = self.dice(500);
                self.club.wait(ms);
            }
            16 => self.sleepwalk(),
            10..16 if self.clients[at].doing == Doing::Nothing => self.start_join(at),
            _ => self.work(at),
        }
        for at in 0..CLIENTS {
            self.go_on(at);
        }
        let expected: Vec<_> = self
            .committed
            .iter()
            .map(|(partition, offset)| ("l".to_owned(), *partition, *offset))
            .collect();
        assert_eq!(self.club.offsets(), expected, "no commit is lost");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_group_shares_its_work_whatever_its_clients_do(seed in any::<u64>()) {
        let mut world = World::new(seed);
        for _ in 0..600 {
            world.step();
        }
        // However wild it was: left alone, all come to work together.
        for _ in 0..400 {
            for at in 0..CLIENTS {
                match world.clients[at].doing {
                    Doing::Nothing => world.start_join(at),
                    _ => world.work(at),
                }
                world.go_on(at);
            }
            world.club.wait(1_000);
        }
        let working = |one: &Client| matches!(one.doing, Doing::Working(g, _) if g == world.generation);
        prop_assert!(world.clients.iter().all(working));
        prop_assert_eq!(world.club.state(), GroupState::Stable);
        prop_assert!(world.settled > 0);
    }
}
