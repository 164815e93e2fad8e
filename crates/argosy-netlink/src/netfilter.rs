//! Tables of the packet filter that live as long as the socket that made them.
//!
//! The kernel (5.12 and later) removes a table that has an *owner* when that socket is closed,
//! however its process ends, and lets nobody else change it.

mod rule;

use std::collections::BTreeMap;
use std::io;

use rustix::net::netlink::NETFILTER;

use crate::message::{Message, NESTED, find, text};
use crate::socket::Socket;

pub use rule::Rule;

/// `NFNL_SUBSYS_NFTABLES`, in the upper byte of each message's kind.
const SUBSYSTEM: u16 = 10 << 8;
/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`: what is between them happens at once or not at
/// all.
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// Rules are added in batches below this, since a socket takes no datagram longer than its send
/// buffer, 208 KiB by default.
const BATCH_BYTES_MAX: usize = 64 * 1024;
/// struct nfgenmsg: family, version, resource.
const HEADER_BYTES: usize = 4;

const NFT_MSG_NEWTABLE: u16 = 0;
const NFT_MSG_GETTABLE: u16 = 1;
const NFT_MSG_NEWCHAIN: u16 = 3;
const NFT_MSG_GETCHAIN: u16 = 4;
const NFT_MSG_NEWRULE: u16 = 6;
const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
const NFT_TABLE_F_OWNER: u32 = 2;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
/// Verdicts as policies: `NF_DROP` and `NF_ACCEPT`.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
/// `NFPROTO_INET`: packets of both families.
const BOTH: u8 = 1;
const NFTA_HOOK_NUMBER: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_EXPRESSIONS: u16 = 4;

/// Whose packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    fn number(self) -> u8 {
        // NFPROTO_IPV4 and NFPROTO_IPV6.
        match self {
            Family::V4 => 2,
            Family::V6 => 10,
        }
    }
}

/// Where on its way a packet meets a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
}

/// What a chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    Filter,
    /// Sees the first packet of each connection only.
    Nat,
}

/// A list of rules at a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    pub name: &'static str,
    pub kind: ChainKind,
    pub hook: Hook,
    /// Lower ones are met first.
    pub priority: i32,
    /// What no rule decides on is dropped; else it goes on.
    pub drops: bool,
    pub rules: Vec<Rule>,
}

/// Chains under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub family: Family,
    pub name: String,
    pub chains: Vec<Chain>,
}

/// A socket to the packet filter of a network namespace; owner of the tables it makes.
#[derive(Debug)]
pub struct NfTables {
    socket: Socket,
}

impl NfTables {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> io::Result<NfTables> {
        Ok(NfTables { socket: Socket::open(Some(NETFILTER))? })
    }

    /// Makes a table that ends with this socket. If a part of it is refused, an earlier part may
    /// be there until then.
    pub fn add_owned(&self, table: &Table) -> io::Result<()> {
        let mut batch = vec![new_table(table)];
        batch.extend(table.chains.iter().map(|chain| new_chain(table, chain)));
        for chain in &table.chains {
            for rule in &chain.rules {
                let rule = new_rule(table, chain, rule);
                let bytes: usize = batch.iter().map(Message::len).sum();
                if bytes + rule.len() > BATCH_BYTES_MAX {
                    self.run(std::mem::take(&mut batch))?;
                }
                batch.push(rule);
            }
        }
        self.run(batch)
    }

    /// Returns the families and names of all tables, whoever made them.
    pub fn tables(&self) -> io::Result<BTreeMap<String, Family>> {
        let mut tables = BTreeMap::new();
        let request = request(NFT_MSG_GETTABLE, libc::NLM_F_DUMP, 0);
        self.socket.list(request, |message| {
            let family = match message.payload.first() {
                Some(2) => Family::V4,
                Some(10) => Family::V6,
                _ => return,
            };
            let attributes = message.payload.get(HEADER_BYTES..).unwrap_or_default();
            if let Some(name) = find(attributes, NFTA_TABLE_NAME) {
                tables.insert(text(name), family);
            }
        })?;
        Ok(tables)
    }

    /// Returns the chains at a hook that drop those IPv4 packets that no rule of theirs accepts, by
    /// table and name. Tables of iptables are among them, if it speaks to nf_tables.
    pub fn dropping_chains(&self, hook: Hook) -> io::Result<Vec<(String, String)>> {
        let mut chains = Vec::new();
        let request = request(NFT_MSG_GETCHAIN, libc::NLM_F_DUMP, 0);
        self.socket.list(request, |message| {
            let family = message.payload.first();
            let attributes = message.payload.get(HEADER_BYTES..).unwrap_or_default();
            let at = find(attributes, NFTA_CHAIN_HOOK).and_then(|it| find(it, NFTA_HOOK_NUMBER));
            let policy = find(attributes, NFTA_CHAIN_POLICY);
            let sees = [Some(&BOTH), Some(&Family::V4.number())].contains(&family);
            if sees
                && at == Some(&(hook as u32).to_be_bytes())
                && policy == Some(&DROP.to_be_bytes())
            {
                let name = |kind| find(attributes, kind).map(text).unwrap_or_default();
                chains.push((name(NFTA_CHAIN_TABLE), name(NFTA_CHAIN_NAME)));
            }
        })?;
        Ok(chains)
    }

    /// Does all of the messages, or none. Only the last one is asked for its success: a receive
    /// buffer holds few hundreds of answers. Refusals come unasked.
    fn run(&self, batch: Vec<Message>) -> io::Result<()> {
        let first = self.socket.next_sequence();
        let mut bytes = edge(BATCH_BEGIN).finish(first);
        let mut last = first;
        let count = batch.len();
        for (index, message) in batch.into_iter().enumerate() {
            last = self.socket.next_sequence();
            let is_last = index + 1 == count;
            let message = if is_last { message.acknowledged() } else { message };
            bytes.extend(message.finish(last));
        }
        bytes.extend(edge(BATCH_END).finish(self.socket.next_sequence()));
        self.socket.send(&bytes)?;
        self.socket.answers(first, last, |_| ())
    }
}

fn edge(kind: u16) -> Message {
    let mut message = Message::new(kind, 0);
    message.push(&[0, 0]);
    message.push(&(SUBSYSTEM >> 8).to_be_bytes());
    message
}

fn request(kind: u16, flags: i32, family: u8) -> Message {
    let mut message = Message::new(SUBSYSTEM | kind, flags);
    message.push(&[family, 0, 0, 0]);
    message
}

fn new_table(table: &Table) -> Message {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let mut message = request(NFT_MSG_NEWTABLE, flags, table.family.number());
    message.text(NFTA_TABLE_NAME, &table.name);
    message.attribute(NFTA_TABLE_FLAGS, &NFT_TABLE_F_OWNER.to_be_bytes());
    message
}

fn new_chain(table: &Table, chain: &Chain) -> Message {
    let mut message = request(NFT_MSG_NEWCHAIN, libc::NLM_F_CREATE, table.family.number());
    message.text(NFTA_CHAIN_TABLE, &table.name);
    message.text(NFTA_CHAIN_NAME, chain.name);
    message.nest(NFTA_CHAIN_HOOK | NESTED, |hook| {
        hook.attribute(NFTA_HOOK_NUMBER, &(chain.hook as u32).to_be_bytes());
        hook.attribute(NFTA_HOOK_PRIORITY, &chain.priority.to_be_bytes());
    });
    let policy = if chain.drops { DROP } else { ACCEPT };
    message.attribute(NFTA_CHAIN_POLICY, &policy.to_be_bytes());
    let kind = match chain.kind {
        ChainKind::Filter => "filter",
        ChainKind::Nat => "nat",
    };
    message.text(NFTA_CHAIN_TYPE, kind);
    message
}

fn new_rule(table: &Table, chain: &Chain, rule: &Rule) -> Message {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_APPEND;
    let mut message = request(NFT_MSG_NEWRULE, flags, table.family.number());
    message.text(NFTA_RULE_TABLE, &table.name);
    message.text(NFTA_RULE_CHAIN, chain.name);
    message.nest(NFTA_RULE_EXPRESSIONS | NESTED, |list| list.push(rule.as_bytes()));
    message
}
