//! Owns the calls of the scripts: what each is given, and what its answer means.

use std::sync::atomic::Ordering;

use redis::Value;
use tokio::time::{Duration, Instant};

use super::clock::Clock;
use super::counters::Call;
use super::keys::{self, Names};
use super::replies::Reply;
use super::tier::RedisTier;
use super::{failures, record};
use crate::core::failure::Failure;
use crate::core::shared::{Alone, Begun, Clearance, GateNews, Kept, Landed, Landing, SharedState, Terms};
use crate::core::state::State;
use crate::core::task::TaskKey;

/// The attempts of a call that has to be repeated.
const ATTEMPTS: usize = 3;

impl RedisTier {
    pub(super) async fn ask(&self, key: Option<&TaskKey>, terms: Terms) -> Result<Begun, Alone> {
        let names = self.names();
        let mut keys = vec![names.budget(), names.turns(), names.replicas()];
        if let Some(key) = key {
            keys.extend([names.task(key), names.lease(key)]);
        }
        let mut known = terms.known;
        for _ in 0..ATTEMPTS {
            let has_returned = self.link.returned.swap(false, Ordering::Relaxed);
            let mut script = self.paced(&self.scripts.begin, &keys);
            let lease = terms.lease.map_or(0, |lease| lease.as_millis());
            script.arg(&self.replica).arg(terms.weight.max(1)).arg(owner(terms.owner));
            script.arg(lease.to_string()).arg(known).arg(u8::from(has_returned));
            let answer = self.link.call(Call::Begin, &script).await.inspect_err(|_| {
                self.link.returned.fetch_or(has_returned, Ordering::Relaxed);
            })?;
            match self.begun(&names, key, terms, answer).ok_or_else(|| self.link.nonsense())? {
                Read::Whole(begun) => return Ok(begun),
                // A state that is not believed is a miss.
                Read::Unverified(sequence) => known = sequence,
            }
        }
        Err(Alone)
    }

    fn begun(
        &self,
        names: &Names,
        key: Option<&TaskKey>,
        terms: Terms,
        answer: Value,
    ) -> Option<Read<Begun>> {
        let now = Instant::now();
        let mut reply = Reply::new(answer)?;
        let after = |micros: u64| now + Duration::from_micros(micros);
        let begun = match reply.text()?.as_str() {
            "newer" => {
                let (time, sequence, blob) = (reply.number()?, reply.number()?, reply.bytes()?);
                return Some(match self.state(names, key?, time, sequence, &blob) {
                    Some(state) => {
                        self.link.counters.taken.add();
                        Read::Whole(Begun::Newer(state))
                    }
                    None => Read::Unverified(sequence),
                });
            }
            "leased" => Begun::Leased(after(reply.number()?)),
            "closed" => {
                let until = after(reply.number()?);
                Begun::Closed { until, because: failures::read(&reply.text()?) }
            }
            "later" => Begun::NotBefore(after(reply.number()?)),
            "go" => {
                let (sequence, is_probe) = (reply.number()?, reply.number()? == 1);
                self.told_time(Clock::told(reply.number()?));
                Begun::Go(Clearance { owner: terms.owner, sequence, is_probe })
            }
            _ => return None,
        };
        Some(Read::Whole(begun))
    }

    /// A state that another replica has written, if it verifies.
    fn state(
        &self,
        names: &Names,
        key: &TaskKey,
        time: u64,
        sequence: u64,
        blob: &[u8],
    ) -> Option<SharedState> {
        let clock = Clock::told(time);
        self.told_time(clock);
        let state = record::read(&names.key, key, sequence, blob, &clock);
        if state.is_none() {
            self.link.counters.unverified.add();
        }
        state
    }

    pub(super) async fn hold(
        &self,
        key: Option<&TaskKey>,
        holder: u64,
        lease: Duration,
    ) -> Result<(), Alone> {
        let names = self.names();
        let mut script = self.scripts.renew.prepare_invoke();
        script.key(names.budget()).key(names.turns());
        if let Some(key) = key {
            script.key(names.lease(key));
        }
        script.arg(owner(holder)).arg(lease.as_millis().to_string());
        self.link.call(Call::Renew, &script).await.map(drop)
    }

    pub(super) async fn tell(&self, key: Option<&TaskKey>, landing: Landing<'_>) -> Result<Landed, Alone> {
        let names = self.names();
        let mut keys = vec![names.budget(), names.turns()];
        let (mut path, mut channel) = ("", String::new());
        if let Some(key) = key {
            let number = keys::channel_of(key);
            keys.extend([names.task(key), names.lease(key), names.news(number)]);
            (path, channel) = (key.path(), names.channel(number));
        }
        let mut sequence = landing.clearance.sequence;
        for _ in 0..ATTEMPTS {
            let mut script = self.paced(&self.scripts.land, &keys);
            script.arg(owner(landing.clearance.owner));
            match landing.gate {
                GateNews::None => script.arg("").arg(0).arg("").arg(0),
                GateNews::Closed { hold, because } => script
                    .arg("closed")
                    .arg(hold.as_micros().to_string())
                    .arg(failures::write(because))
                    .arg(u8::from(matches!(because, Failure::RateLimited { .. }))),
                GateNews::Opened => script.arg("opened").arg(0).arg("").arg(0),
                GateNews::Undecided { hold } => {
                    script.arg("undecided").arg(hold.as_micros().to_string()).arg("").arg(0)
                }
            };
            script.arg(path).arg(&channel);
            match landing.state.zip(key).and_then(|(state, key)| self.record(&names, key, state, sequence)) {
                Some(record) => script
                    .arg(sequence)
                    .arg(record.fresh_until)
                    .arg(u8::from(record.is_terminal))
                    .arg(record.life)
                    .arg(record.blob),
                None => script.arg("").arg(0).arg(0).arg(0).arg(""),
            };
            let answer = self.link.call(Call::Land, &script).await?;
            match self.landed(&names, key, answer).ok_or_else(|| self.link.nonsense())? {
                Again::Landed(landed) => return Ok(landed),
                Again::As(number) => sequence = number,
            }
        }
        Err(Alone)
    }

    fn record(&self, names: &Names, key: &TaskKey, state: &State, sequence: u64) -> Option<record::Record> {
        let clock = (*self.clock.lock())?;
        record::write(&names.key, key, state, sequence, &clock, self.least_life)
    }

    fn landed(&self, names: &Names, key: Option<&TaskKey>, answer: Value) -> Option<Again> {
        let mut reply = Reply::new(answer)?;
        let landed = match reply.text()?.as_str() {
            "kept" => Landed::Kept,
            "outdated" => Landed::Outdated,
            "again" => return Some(Again::As(reply.number()?)),
            "other" => {
                let (time, sequence, blob) = (reply.number()?, reply.number()?, reply.bytes()?);
                match self.state(names, key?, time, sequence, &blob) {
                    Some(state) => Landed::Other(state),
                    // What is not believed refuses nothing.
                    None => Landed::Kept,
                }
            }
            _ => return None,
        };
        Some(Again::Landed(landed))
    }

    pub(super) async fn forget_task(&self, key: &TaskKey) -> Result<(), Alone> {
        let names = self.names();
        let number = keys::channel_of(key);
        let keys = [names.budget(), names.turns(), names.task(key), names.news(number)];
        let mut script = self.paced(&self.scripts.forget, &keys);
        script.arg(key.path()).arg(names.channel(number));
        self.link.call(Call::Forget, &script).await.map(drop)
    }

    pub(super) async fn read_task(&self, key: &TaskKey) -> Result<Kept, Alone> {
        let names = self.names();
        let mut script = self.scripts.read.prepare_invoke();
        script.key(names.budget()).key(names.turns()).key(names.task(key));
        let answer = self.link.call(Call::Read, &script).await?;
        let read = || {
            let mut reply = Reply::new(answer)?;
            Some((reply.number()?, reply.number()?, reply.bytes()?, reply.number()?))
        };
        let (time, sequence, blob, forgotten) = read().ok_or_else(|| self.link.nonsense())?;
        if let Some(state) =
            (!blob.is_empty()).then(|| self.state(&names, key, time, sequence, &blob)).flatten()
        {
            self.link.counters.taken.add();
            return Ok(Kept::State(state));
        }
        if forgotten == 0 {
            return Ok(Kept::Nothing);
        }
        // The number is the time, or a little more.
        Ok(Kept::Forgotten { sequence: forgotten, at: Clock::told(time).then(forgotten) })
    }
}

/// An answer, or one whose state is not believed.
enum Read<T> {
    Whole(T),
    Unverified(u64),
}

/// The end of a landing, or the number under which it is to be repeated.
enum Again {
    Landed(Landed),
    As(u64),
}

fn owner(owner: u64) -> String {
    format!("{owner:016x}")
}
