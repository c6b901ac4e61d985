//! A map with keys that JSON can't have, as a list of pairs.

use super::slot::Slot;
use crate::types::SlotKey;
use serde::{Deserialize, Deserializer, Serializer};
use std::collections::BTreeMap;

pub(super) fn serialize<S: Serializer>(map: &BTreeMap<SlotKey, Box<Slot>>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(map.values())
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<SlotKey, Box<Slot>>, D::Error> {
    let slots = Vec::<Box<Slot>>::deserialize(from)?;
    Ok(slots.into_iter().map(|slot| (slot.key.clone(), slot)).collect())
}
