//! Owns what was learnt of each model, and of each route: bounded, and forgotten with the process.

use std::collections::HashMap;

use super::clocks::{CLOCKS, KINDS, Kind, Shown};
use super::hazard::{Hazard, Table};
use super::model_id::{ModelId, Names};

/// The most models that are remembered; then the one that was looked at the longest ago is forgotten.
pub const MOST_MODELS: usize = 1000;

/// The bounds of what one look adds to a clock's score.
const MOST_SCORE: f64 = 5.0;
/// The part of a score that is left after another look.
const SCORE_KEPT: f32 = 0.998;
/// After so many ends of tasks whose age has another origin, a model's table is begun anew.
const CHANGED: u8 = 10;

/// The tables of one kind of tasks.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    tables: [Option<Box<Table>>; KINDS],
    /// The gain of each clock over the age, in foretelling the looks.
    scores: [f32; CLOCKS],
    /// The ends in a row whose age had another origin than the table.
    of_other_origin: u8,
    /// The ends found.
    pub(super) ends: u32,
}

/// A model, and what was learnt of it.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) name: Box<str>,
    pub(super) route: usize,
    used: u64,
    pub(super) learnt: Learnt,
}

/// All models.
#[derive(Debug, Default)]
pub(super) struct Models {
    models: HashMap<ModelId, Box<Model>>,
    names: Names,
    looks: u64,
}

impl Learnt {
    pub(super) fn table(&self, kind: Kind) -> Option<&Table> {
        self.tables.get(kind as usize)?.as_deref()
    }

    /// The tables that there are.
    #[cfg(test)]
    pub(super) fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().flatten().map(|table| &**table)
    }

    /// The table to learn in. A model has one origin of age: most do, and the memory is bounded by it. An upstream that
    /// changes its answers is followed.
    pub(super) fn table_mut(&mut self, kind: Kind, is_model: bool, is_over: bool) -> Option<&mut Table> {
        let other = match kind {
            Kind::Created => Some(Kind::Seen),
            Kind::Seen => Some(Kind::Created),
            Kind::Run | Kind::Early | Kind::Late => None,
        };
        if let Some(other) = other.filter(|_| is_model) {
            if self.table(other).is_some() {
                self.of_other_origin += u8::from(is_over);
                if self.of_other_origin < CHANGED {
                    return None;
                }
                self.tables[other as usize] = None;
            }
            if is_over {
                self.of_other_origin = 0;
            }
        }
        self.tables.get_mut(kind as usize).map(|table| &mut **table.get_or_insert_default())
    }

    /// Scores the clocks by how likely each held what the look found.
    pub(super) fn score(&mut self, likelihoods: [Option<f64>; CLOCKS]) {
        let [Some(by_age), others @ ..] = likelihoods else { return };
        for (score, likelihood) in self.scores.iter_mut().skip(1).zip(others) {
            let Some(likelihood) = likelihood else { continue };
            let gain = (likelihood - by_age).clamp(-MOST_SCORE, MOST_SCORE);
            #[expect(clippy::cast_possible_truncation, reason = "at most 5")]
            let gain = gain as f32;
            *score = *score * SCORE_KEPT + gain;
        }
    }

    /// The clock that plans: the one with the best score above zero among those that the task has, else the age.
    pub(super) fn best(&self, clocks: &[Option<Shown>; CLOCKS]) -> usize {
        let (mut best, mut most) = (0, 0.0);
        for (clock, (score, shown)) in self.scores.iter().zip(clocks).enumerate().skip(1) {
            if shown.is_some() && *score > most {
                (best, most) = (clock, *score);
            }
        }
        best
    }
}

impl Models {
    /// The id of a model, which is remembered from now on. Its name is cut.
    pub(super) fn id(&mut self, route: usize, name: &str) -> ModelId {
        let (id, name) = self.names.id(route, name);
        self.looks += 1;
        if let Some(model) = self.models.get_mut(&id) {
            model.used = self.looks;
            return id;
        }
        if self.models.len() >= MOST_MODELS {
            // Names of which nothing was learnt give way first.
            let oldest = self.models.iter().min_by_key(|(_, model)| (model.learnt.ends > 0, model.used));
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.models.remove(&oldest);
            }
        }
        let model = Model { name: name.into(), route, used: self.looks, learnt: Learnt::default() };
        self.models.insert(id, Box::new(model));
        id
    }

    pub(super) fn get(&self, id: Option<ModelId>) -> Option<&Learnt> {
        self.models.get(&id?).map(|model| &model.learnt)
    }

    pub(super) fn get_mut(&mut self, id: Option<ModelId>) -> Option<&mut Learnt> {
        self.models.get_mut(&id?).map(|model| &mut model.learnt)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Model> {
        self.models.values().map(|model| &**model)
    }
}

/// The hazard in force for a kind of table.
pub(super) fn hazard<'l>(model: Option<&'l Learnt>, route: Option<&'l Learnt>, kind: Kind) -> Hazard<'l> {
    Hazard {
        model: model.and_then(|learnt| learnt.table(kind)),
        route: route.and_then(|learnt| learnt.table(kind)),
    }
}
