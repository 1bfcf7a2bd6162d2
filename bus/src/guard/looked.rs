//! Receivers that were looked up by name for the messages of one bundle: each once.

use std::collections::HashMap;

use testudo_wire::{AgentName, Capability};

/// Where the messages for an agent and a capability go, by the number of their group.
#[derive(Default)]
pub(super) struct Looked {
    /// Mostly the next message's too.
    last: Option<(AgentName, Capability, usize)>,
    before: HashMap<(AgentName, Capability), usize>,
}

impl Looked {
    /// The group, if it was looked up before.
    pub(super) fn get(&mut self, name: &AgentName, capability: &Capability) -> Option<usize> {
        match &self.last {
            Some((to, what, group)) if (to, what) == (name, capability) => Some(*group),
            Some(_) => {
                let group = *self.before.get(&(*name, *capability))?;
                self.put(name, capability, group);
                Some(group)
            }
            None => None,
        }
    }

    /// Notes a group.
    pub(super) fn put(&mut self, name: &AgentName, capability: &Capability, group: usize) {
        if let Some((name, capability, group)) = self.last.replace((*name, *capability, group)) {
            self.before.insert((name, capability), group);
        }
    }
}
